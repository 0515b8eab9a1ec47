"""A busy host: 2,000 listeners and 20,000 connections, in a network namespace of their own."""

import contextlib
import os
import random
import resource
import socket
import statistics
import sys
import time
import unittest

import harness
from harness import Daemon, Namespace, listening_socket

N_LISTENERS = 2000
N_CONNECTIONS = 20000
# Each has both ends of its share of the connections: two descriptors for one.
N_PROCESSES = 8


def limit_of_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def hold_connections(n, report, until):
    """In a process of its own: a server with n connections; tells its port, and waits."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listening_socket(backlog=n))
        for _ in range(n):
            client = stack.enter_context(socket.socket())
            client.connect(server.getsockname())
            harness.reset_on_close(client)
            stack.enter_context(server.accept()[0])
        os.write(report, b"%d\n" % server.getsockname()[1])
        os.read(until, 1)


@contextlib.contextmanager
def connections():
    """All of them: yields the ports of the servers, and the pids of their processes."""
    until, end = os.pipe()
    servers = {}
    try:
        for _ in range(N_PROCESSES):
            told, report = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(end)
                try:
                    hold_connections(N_CONNECTIONS // N_PROCESSES, report, until)
                finally:
                    os._exit(0)
            os.close(report)
            servers[pid] = told
        ports = {}
        for pid, told in servers.items():
            with open(told, encoding="ascii") as line:
                ports[int(line.readline())] = pid
        yield ports
    finally:
        os.close(end)
        for pid in servers:
            os.waitpid(pid, 0)


class Busy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if limit_of_descriptors() < 2 * N_CONNECTIONS // N_PROCESSES + 3000:
            raise unittest.SkipTest("the limit of descriptors is too low")
        harness.require("ip", "ss", "nsenter")
        cls.network = cls.enterClassContext(Namespace())
        cls.enterClassContext(cls.network.entered())
        cls.servers = cls.enterClassContext(connections())
        cls.listeners = [cls.enterClassContext(listening_socket(
            random.choice(["127.0.0.1", "0.0.0.0", "::1", "::"]), backlog=1024,
            v6only=random.random() < 0.5)) for _ in range(N_LISTENERS)]
        cls.daemon = cls.enterClassContext(Daemon())
        cls.daemon.result("info")

    def ports(self, host):
        """Those with a listener for the address, from the sockets themselves."""
        found = set(self.servers) if host == "127.0.0.1" else set()
        for one in self.listeners:
            address, port = one.getsockname()[:2]
            if address in (host, "0.0.0.0" if host == "127.0.0.1" else "::") or (
                    address == "::" and not one.getsockopt(socket.IPPROTO_IPV6,
                                                           socket.IPV6_V6ONLY)):
                found.add(port)
        return found

    def test_it_is_busy(self):
        lines = self.network.run("ss -tnH state established | wc -l")
        self.assertGreaterEqual(int(lines), 2 * N_CONNECTIONS)

    def test_scan_and_check(self):
        for host in ("127.0.0.1", "::1"):
            expected = self.ports(host)
            result = self.daemon.result("scan", {"via": "table", "host": host})
            self.assertEqual(set(result["ports"]), expected)
            ports = random.sample(range(1, 65536), 400) + random.sample(sorted(expected), 400)
            with self.daemon.client() as client:
                client.send_lines(*({"method": "check", "id": port, "params": {
                    "port": port, "via": "table", "host": host}} for port in ports))
                for port in ports:
                    answer = client.receive()
                    self.assertEqual((answer["id"], answer["result"]["status"]),
                                     (port, "open" if port in expected else "closed"))

    def test_scan_is_hundreds_of_times_as_fast(self):
        table = [self.daemon.result("scan", {"via": "table"})["elapsed_us"] for _ in range(15)]
        connect = self.daemon.result("scan", {"via": "connect"})["elapsed_us"]
        ratio = connect / statistics.median(table)
        print(f"via table {statistics.median(table)} µs, via connect {connect} µs, "
              f"{ratio:.0f} times as long", file=sys.stderr)
        # It is some 350: half of it is for a host that does something else meanwhile.
        self.assertGreater(ratio, 150)

    def test_who(self):
        for port, pid in self.servers.items():
            began = time.monotonic()
            sockets = self.daemon.result("who", {"port": port})["sockets"]
            took = time.monotonic() - began
            self.assertEqual(len(sockets), 1024)
            # A listener on another address may have the same port.
            states = [one["state"] for one in sockets]
            n_listening = states.count("LISTEN")
            self.assertIn(n_listening, range(1, 5))
            self.assertEqual(states, ["LISTEN"] * n_listening + ["ESTAB"] * (1024 - n_listening))
            self.assertEqual({one["pid"] for one in sockets[n_listening:]}, {pid})
        print(f"who of {len(sockets)} sockets: {took * 1e3:.1f} ms", file=sys.stderr)
        port = self.listeners[0].getsockname()[1]
        listening = [one for one in self.daemon.result("who", {"port": port})["sockets"]
                     if one["state"] == "LISTEN"]
        self.assertIn(os.getpid(), {one["pid"] for one in listening})

    def test_checks_go_on_while_who_looks(self):
        port = next(iter(self.servers))
        with self.daemon.client() as asker, self.daemon.client() as checker:
            times = []
            for _ in range(5):
                asker.start("who", {"port": port})
            while len(times) < 20 or asker.is_silent(0):
                began = time.monotonic()
                checker.call("check", {"port": 9, "via": "table"})
                times.append(time.monotonic() - began)
        print(f"checks meanwhile: median {statistics.median(times) * 1e3:.2f} ms, "
              f"slowest {max(times) * 1e3:.1f} ms", file=sys.stderr)


if __name__ == "__main__":
    harness.main()
