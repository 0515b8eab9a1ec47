"""What tests of leases share: a daemon, and the ways to see who has a port."""

import contextlib
import json
import os
import socket
import unittest

import harness
from harness import Daemon, wait_for

# Users that nothing belongs to.
USER = 47110
OTHER = 47111


def bind(port, host="127.0.0.1", reuse=False, kind=socket.SOCK_STREAM):
    """A socket bound to the port, or None if somebody has it."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if reuse:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        return bound
    except OSError:
        bound.close()
        return None


def can_bind(port, *args, **options):
    bound = bind(port, *args, **options)
    if bound:
        bound.close()
    return bound is not None


def connect(port, host="127.0.0.1"):
    """A connection, or None if nobody listens."""
    try:
        return socket.create_connection((host, port))
    except ConnectionRefusedError:
        return None


def free_ports(n):
    """A list for `ports`: some that were free a moment ago."""
    with harness.closed_ports(n) as ports:
        return ",".join(map(str, ports))


def receive_fds(connection, ending=b"\n"):
    """One answer with its descriptors, which have to come with its first byte and no other's."""
    message, fds, _, _ = socket.recv_fds(connection, 1, 300)
    while message and not message.endswith(ending):
        rest, more, _, _ = socket.recv_fds(connection, 1, 300)
        message += rest
        if not rest or more:
            raise AssertionError(f"{len(more)} descriptors behind {message}")
    return message, fds


@contextlib.contextmanager
def acting_as(uid):
    """What is done within the block is done as this user; for root only."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


class Test(unittest.TestCase):
    """A daemon and a client of its own for each test."""

    options = ["--quarantine-ms", "500"]
    daemon_options = {}

    def setUp(self):
        self.daemon = self.enterContext(Daemon(*self.options, **self.daemon_options))
        self.connect()

    def connect(self):
        self.client = self.enterContext(self.daemon.client())
        self.leases()

    def restart(self, sig):
        """Ends the daemon by a signal, and starts it again in its directory."""
        self.daemon.stop(sig)
        self.daemon.start()
        self.connect()

    def lease(self, client=None, **params):
        answer = (client or self.client).call("lease", params)
        self.assertIn("result", answer, params)
        return answer["result"]

    def refuse(self, code, client=None, **params):
        """The error that a lease ends with, whose code has to be this."""
        answer = (client or self.client).call("lease", params)
        self.assertEqual(answer.get("error", {}).get("code"), code, (params, answer))
        return answer["error"]

    def refuse_member(self, member, **params):
        self.assertEqual(self.refuse(-32602, **params)["data"]["parameter"], member)

    def lease_with_fds(self, n_expected, client=None, **params):
        """The result, and the sockets that came along."""
        client = client or self.client
        client.start("lease", {"pass_fd": True, **params})
        message, fds = receive_fds(client.socket)
        sockets = [self.enterContext(socket.socket(fileno=fd)) for fd in fds]
        self.assertEqual(len(sockets), n_expected, message)
        return json.loads(message)["result"], sockets

    def require_processes(self):
        """valgrind knows no pidfds."""
        answer = self.client.call("lease", {"until": "process"})
        if "error" in answer and answer["error"]["data"]["error"] == "NotSupported":
            self.skipTest(answer["error"]["data"]["detail"])
        self.release(answer["result"]["lease"]["lease"])

    def release(self, lease, client=None):
        self.assertEqual((client or self.client).call("release", {"lease": lease})["result"], {})

    def leases(self, client=None, **params):
        return (client or self.client).call("leases", params)["result"]["leases"]

    def info(self, lease):
        return next((info for info in self.leases(all=True) if info["lease"] == lease), None)

    def state(self, lease):
        """None: it is not even in quarantine."""
        info = self.info(lease)
        return info and info["state"]

    def expect_state(self, lease, state, seconds=5):
        self.assertTrue(wait_for(lambda: self.state(lease) == state, seconds, 0.02),
                        (state, self.info(lease)))
