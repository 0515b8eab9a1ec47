"""Leases whose sockets a service manager keeps while the daemon is not there; played here."""

import contextlib
import os
import signal
import socket
import tempfile
import threading

import harness
from harness import Namespace, require_root, wait_for
from leasing import Test, can_bind


class Manager(threading.Thread):
    """A service manager's descriptor store, behind a notification socket."""

    def __init__(self, directory):
        super().__init__()
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.lock = threading.Lock()
        self.synced = threading.Event()
        self.store = []
        self.n_stored = 0
        self.start()

    def run(self):
        while True:
            state, fds, _, _ = socket.recv_fds(self.socket, 4096, 8)
            if state == b"end":
                return
            if state == b"sync":
                self.synced.set()
                continue
            with self.lock:
                self.handle(dict(line.split("=", 1) for line in state.decode().splitlines()), fds)

    def handle(self, state, fds):
        if "FDSTORE" in state:
            assert state["FDPOLL"] == "0"
            self.store += [(state["FDNAME"], fd) for fd in fds]
            self.n_stored += len(fds)
        elif "FDSTOREREMOVE" in state:
            for entry in [entry for entry in self.store if entry[0] == state["FDNAME"]]:
                self.store.remove(entry)
                os.close(entry[1])
        else:
            assert not fds

    def stored(self):
        """Names and descriptors, as the daemon is to get them.

        Like systemd it hears all that a daemon has said before it sees that it is gone.
        """
        self.synced.clear()
        self.send(b"sync")
        self.synced.wait(30)
        with self.lock:
            return list(self.store)

    def send(self, message):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message, self.path)

    def close(self):
        self.send(b"end")
        self.join()
        self.socket.close()
        for _, fd in self.store:
            os.close(fd)


class Thief(threading.Thread):
    """Tries to take ports all the time: every one of them, without SO_REUSEADDR."""

    def __init__(self, namespace, ports):
        super().__init__()
        self.namespace = namespace
        self.ports = ports
        self.taken = []
        self.n_rounds = 0
        self.is_over = False

    def run(self):
        # A thread's own: the others stay where they are.
        with self.namespace.entered():
            while not self.is_over and not self.taken:
                self.taken = [port for port in self.ports if can_bind(port)]
                self.n_rounds += 1

    def __enter__(self):
        self.start()
        assert wait_for(lambda: self.n_rounds > 0)
        return self

    def __exit__(self, *_):
        rounds = self.n_rounds
        wait_for(lambda: self.taken or self.n_rounds >= rounds + 2)
        self.is_over = True
        self.join()


class Parking(Test):
    options = ["--quarantine-ms", "500"]

    def setUp(self):
        require_root()
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix="portscand-test-"))
        self.manager = Manager(directory)
        self.addCleanup(self.manager.close)
        self.namespace = self.enterContext(Namespace())
        self.daemon_options = {"env": {"NOTIFY_SOCKET": self.manager.path},
                               "namespace": self.namespace, "nofile": 20000}
        super().setUp()

    def restart(self, sig):
        self.daemon.stop(sig)
        stored = self.manager.stored()
        self.daemon.start([fd for _, fd in stored], [name for name, _ in stored])
        self.connect()

    def can_bind(self, *args, **options):
        with self.namespace.entered():
            return can_bind(*args, **options)

    def test_never_free(self):
        ports = []
        for hold in ("shared", "exclusive"):
            for protocol in ("tcp", "both"):
                ports += self.lease(count=50, hold=hold, protocol=protocol, until="released")[
                    "lease"]["ports"]
        with Thief(self.namespace, ports) as thief:
            for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
                self.restart(sig)
                self.assertEqual([info["lost"] for info in self.leases()], [[]] * 4)
                self.assertEqual(self.daemon.metrics()["portscand_lease_parked_sockets"], 300)
        self.assertEqual(thief.taken, [])
        self.assertGreater(thief.n_rounds, 3)
        # A few descriptors, however many leases and restarts.
        self.assertLessEqual(self.manager.n_stored, 4)

    def test_addresses(self):
        self.namespace.run("ip addr add 10.9.0.1/32 dev lo")
        granted = {}
        for address in "127.0.0.1", "10.9.0.1", "::1":
            for protocol in "tcp", "udp", "both":
                lease = self.lease(count=2, address=address, protocol=protocol,
                                   until="released")["lease"]
                granted[lease["lease"]] = (address, lease["ports"], [])
        for sig in signal.SIGTERM, signal.SIGKILL:
            self.restart(sig)
            self.assertEqual({info["lease"]: (info["address"], info["ports"], info["lost"])
                              for info in self.leases()}, granted)
            self.assertEqual(self.daemon.metrics()["portscand_lease_parked_sockets"], 24)
        for address, ports, _ in granted.values():
            self.assertFalse(self.can_bind(ports[0], address) and
                             self.can_bind(ports[0], address, kind=socket.SOCK_DGRAM))

    def test_too_few_descriptors_for_what_is_parked(self):
        """It doesn't start with some of them lost: with more descriptors it has them all."""
        ports = self.lease(count=200, until="released")["lease"]["ports"]
        self.daemon.stop(signal.SIGKILL)
        enough, self.daemon.nofile = self.daemon.nofile, 100
        self.daemon.start(*self.stored())
        self.assertEqual(self.daemon.process.wait(30), 1)
        self.assertIn("the ports that were parked with the service manager can't be had: "
                      "Too many open files; raise LimitNOFILE=", self.daemon.stderr())
        self.daemon.nofile = enough
        self.daemon.start(*self.stored())
        self.connect()
        (info,) = self.leases()
        self.assertEqual((info["ports"], info["lost"]), (ports, []))

    def test_never_free_while_it_is_away(self):
        ports = self.lease(count=100, until="released")["lease"]["ports"]
        with Thief(self.namespace, ports) as thief:
            self.daemon.stop(signal.SIGKILL)
            rounds = thief.n_rounds
            self.assertTrue(wait_for(lambda: thief.n_rounds > rounds + 3))
            self.daemon.start(*self.stored())
            self.connect()
        self.assertEqual(thief.taken, [])

    def stored(self):
        stored = self.manager.stored()
        return [fd for _, fd in stored], [name for name, _ in stored]

    def test_what_is_over_is_let_go_of(self):
        kept = self.lease(until="released")["lease"]
        leases = [self.lease(until="released")["lease"] for _ in range(300)]
        for info in leases:
            self.release(info["lease"])
        for info in leases[::10]:
            self.assertTrue(wait_for(lambda: self.can_bind(info["ports"][0]), 10, 0.1))
        self.restart(signal.SIGKILL)
        self.assertFalse(self.can_bind(kept["ports"][0]))
        self.assertEqual(self.daemon.metrics()["portscand_lease_parked_sockets"], 1)

    def test_the_port_of_a_name_behind_others(self):
        """A server that restarts has it again at once, while what was parked before is alive."""
        self.lease(count=3, until="released")
        ports = set()
        for _ in range(20):
            result = self.lease(name="web", until="released")
            ports.add(result["port"])
            self.release(result["lease"]["lease"])
        self.assertEqual(len(ports), 1, ports)

    def test_what_ended_while_it_was_away(self):
        info = self.lease(until="released", ttl_ms=300)["lease"]
        connection = self.lease(until="connection")["lease"]
        self.restart(signal.SIGKILL)
        for one in (info, connection):
            self.expect_state(one["lease"], None)
            self.assertTrue(wait_for(lambda: self.can_bind(one["ports"][0]), 10, 0.1))

    def test_an_exclusive_socket_that_was_handed_over(self):
        """Once its user closes it nobody listens: no copy is left in the store."""
        result, (server,) = self.lease_with_fds(1, hold="exclusive", until="released", listen=True)
        self.assertTrue(self.can_connect(result["port"]))
        server.close()
        self.assertTrue(wait_for(lambda: not self.can_connect(result["port"]), 2, 0.05))

    def test_an_exclusive_socket_that_was_handed_over_just_before_the_end(self):
        """Nor does the next daemon find one that the last had no time to let go of."""
        for name, listen in (("a", True), ("b", False), ("c", True), ("d", False)):
            params = {"name": name, "hold": "exclusive", "until": "released"}
            if name in "cd":
                # Held for a while, and so in the store.
                self.lease(**params)
            result, (server,) = self.lease_with_fds(1, listen=listen, **params)
            self.restart(signal.SIGKILL)
            server.listen()
            self.assertTrue(self.can_connect(result["port"]))
            self.assertEqual(self.info(result["lease"]["lease"])["lost"], [])
            server.close()
            self.assertTrue(wait_for(lambda: not self.can_connect(result["port"]), 2, 0.05))
            # And then it holds the port again.
            self.assertTrue(wait_for(lambda: not self.can_bind(result["port"]), 15, 0.2))

    def can_connect(self, port):
        with self.namespace.entered(), contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    def test_a_store_that_was_emptied(self):
        """As after `systemctl stop`: what can be had is bound again."""
        ports = self.lease(count=20, until="released")["lease"]["ports"]
        self.daemon.stop()
        self.daemon.start()
        self.connect()
        self.assertEqual(self.leases()[0]["lost"], [])
        self.assertFalse(any(self.can_bind(port) for port in ports))

    def test_ten_thousand(self):
        leases = [self.lease(count=1000, until="released") for _ in range(9)]
        for _ in range(10):
            self.client.send_lines(*({"method": "lease", "params": {"until": "released"}}
                                     for _ in range(100)))
            leases += [self.client.receive()["result"] for _ in range(100)]
        ports = sorted(port for result in leases for port in result["lease"]["ports"])
        self.assertEqual(len(set(ports)), 10000)
        with Thief(self.namespace, ports[::20]) as thief:
            self.restart(signal.SIGTERM)
            self.restart(signal.SIGKILL)
        self.assertEqual(thief.taken, [])
        self.assertEqual(self.daemon.metrics()["portscand_lease_parked_sockets"], 10000)
        self.assertLessEqual(self.manager.n_stored, 4)


if __name__ == "__main__":
    harness.main()
