"""Leases over a restart of the daemon, without a descriptor store."""

import contextlib
import signal
import socket
import subprocess
import time

import harness
from harness import Namespace, listening_socket, require, require_root, wait_for
from leasing import USER, Test, bind, can_bind


class WithoutInterface(Test):
    """The interface of a lease's address goes."""

    @classmethod
    def setUpClass(cls):
        require_root()
        require("ip", "nsenter", "unshare")

    def setUp(self):
        self.namespace = self.enterContext(Namespace(
            "ip link add d0 type veth peer name p0\nip link set d0 up\n"
            "ip addr add fe80::9:1/64 dev d0 nodad\n"))
        self.daemon_options = {"namespace": self.namespace}
        super().setUp()

    def test_every_other_address_is_left_alone(self):
        port = self.lease(address="fe80::9:1%d0", until="released")["port"]
        with self.namespace.entered():
            self.assertTrue(can_bind(port))
        self.namespace.run("ip link del d0")
        self.restart(signal.SIGKILL)
        self.assertEqual(self.leases()[0]["lost"], [port])
        with self.namespace.entered():
            self.assertTrue(can_bind(port))
            self.assertTrue(can_bind(port, "::"))


class Restart(Test):
    def test_leases_are_there_again(self):
        self.require_processes()
        for sig in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(sig=sig):
                kept = [self.lease(name=f"{sig} {i}", hold=hold, protocol=protocol,
                                   until="released")
                        for i, (hold, protocol) in enumerate(
                            (hold, protocol) for hold in ("shared", "exclusive", "none")
                            for protocol in ("tcp", "udp", "both"))]
                kept += [self.lease(until="claimed", ttl_ms=90000),
                         self.lease(until="process"), self.lease(address="127.0.0.1", count=5)]
                ended = self.lease(until="connection")["lease"]["lease"]
                released = self.lease()["lease"]["lease"]
                self.release(released)
                before = {info["lease"]: info for info in self.leases()}
                self.restart(sig)
                after = {info["lease"]: info for info in self.leases()}
                for lease in kept:
                    lease = lease["lease"]["lease"]
                    for member in set(before[lease]) - {"age_ms", "expires_in_ms"}:
                        self.assertEqual(after[lease][member], before[lease][member], member)
                    self.assertGreaterEqual(after[lease]["age_ms"], before[lease]["age_ms"])
                    if before[lease]["expires_in_ms"]:
                        self.assertLess(after[lease]["expires_in_ms"],
                                        before[lease]["expires_in_ms"])
                    if before[lease]["hold"] != "none":
                        kind = socket.SOCK_DGRAM if before[lease]["protocol"] == "udp" else \
                            socket.SOCK_STREAM
                        self.assertFalse(any(can_bind(port, kind=kind)
                                             for port in before[lease]["ports"]))
                for lease in (ended, released):
                    self.assertIn(self.state(lease), ("quarantined", None))

    def test_a_process_that_ended_meanwhile(self):
        self.require_processes()
        with subprocess.Popen(["sleep", "600"]) as process:
            lease = self.lease(until="process", pid=process.pid)["lease"]["lease"]
            other = self.lease(until="process")["lease"]["lease"]
            self.daemon.stop(signal.SIGKILL)
            process.kill()
        self.daemon.start()
        self.connect()
        self.assertEqual((self.state(lease), self.state(other)), ("quarantined", "held"))

    def test_a_process_is_watched_again(self):
        self.require_processes()
        with subprocess.Popen(["sleep", "600"]) as process:
            lease = self.lease(until="process", pid=process.pid)["lease"]["lease"]
            self.restart(signal.SIGKILL)
            self.assertEqual(self.state(lease), "held")
            process.kill()
        self.expect_state(lease, "quarantined")

    def test_the_end_of_a_ttl(self):
        short = self.lease(until="released", ttl_ms=300)["lease"]["lease"]
        long = self.lease(until="released", ttl_ms=4000)["lease"]["lease"]
        self.daemon.stop(signal.SIGKILL)
        time.sleep(0.5)
        self.daemon.start()
        self.connect()
        self.expect_state(short, "quarantined")
        self.assertEqual(self.state(long), "held")
        self.expect_state(long, "quarantined", 10)

    def test_names_are_remembered(self):
        port = self.lease(name="web")["port"]
        self.release(self.leases()[0]["lease"])
        self.restart(signal.SIGKILL)
        self.assertEqual(self.lease(name="web")["port"], port)

    def test_a_server_goes_on(self):
        result = self.lease(until="released")
        lease, port = result["lease"]["lease"], result["port"]
        with listening_socket(port=port):
            self.restart(signal.SIGKILL)
            info = self.info(lease)
            self.assertEqual((info["state"], info["lost"]), ("in_use", []))
            self.assertNotIn("taken", self.daemon.stderr())
        # Held again once that has ended.
        self.assertTrue(wait_for(lambda: not can_bind(port), 15, 0.2))

    def test_a_server_on_one_address_goes_on(self):
        leases = {}
        with contextlib.ExitStack() as stack:
            for address in "127.0.0.1", "127.0.0.2", "::1":
                result = self.lease(until="released", address=address)
                stack.enter_context(listening_socket(address, port=result["port"]))
                leases[result["lease"]["lease"]] = (address, "in_use", [])
            self.restart(signal.SIGKILL)
            self.assertEqual({info["lease"]: (info["address"], info["state"], info["lost"])
                              for info in self.leases()}, leases)

    def test_a_server_s_connections_are_left(self):
        result = self.lease(until="released")
        with listening_socket(port=result["port"]) as server:
            with socket.create_connection(server.getsockname()) as connection:
                server.accept()[0].close()
                connection.recv(1)
        self.restart(signal.SIGKILL)
        info = self.info(result["lease"]["lease"])
        self.assertEqual((info["state"], info["lost"]), ("held", []))
        with listening_socket(port=result["port"]):
            pass

    def test_a_descriptor_that_was_passed(self):
        for params in ({"hold": "exclusive"}, {"hold": "exclusive", "protocol": "udp"},
                       {"hold": "exclusive", "listen": True}, {"listen": True}):
            with self.subTest(**params):
                result, (passed,) = self.lease_with_fds(1, until="released", **params)
                self.restart(signal.SIGKILL)
                info = self.info(result["lease"]["lease"])
                self.assertEqual(info["lost"], [])
                self.refuse(8, ports=result["port"])
                passed.close()
        self.assertNotIn("taken", self.daemon.stderr())

    def test_a_port_that_somebody_took(self):
        require_root()
        with self.daemon.client(uid=USER) as client:
            ports = [self.lease(client, until="released", name=f"n{i}")["port"] for i in range(3)]
            lease = self.leases(client)[1]["lease"]
            self.daemon.stop(signal.SIGKILL)
        with bind(ports[1]):
            self.daemon.start()
            self.connect()
            info = self.info(lease)
            self.assertEqual((info["lost"], info["state"]), ([ports[1]], "held"))
            self.assertEqual(self.daemon.metrics()["portscand_lease_lost_ports"], 1)
            self.refuse(8, ports=ports[1])
            with self.daemon.client(uid=USER) as client:
                # Not even to whom it was promised.
                other = self.lease(client, until="released", name="n1")
                self.assertNotEqual(other["port"], ports[1])
            self.release(other["lease"]["lease"])
            time.sleep(6)
            self.assertEqual(self.daemon.stderr().count(f"port {ports[1]} of lease {lease} was "
                                                        "taken by somebody else"), 1)

    def test_a_port_that_comes_back(self):
        require_root()
        with self.daemon.client(uid=USER) as client:
            result = self.lease(client, until="released")
        self.daemon.stop(signal.SIGKILL)
        with listening_socket(port=result["port"]):
            self.daemon.start()
            self.connect()
            self.assertEqual(self.info(result["lease"]["lease"])["lost"], [result["port"]])
        self.assertTrue(wait_for(lambda: not can_bind(result["port"]), 15, 0.2))
        self.assertEqual(self.info(result["lease"]["lease"])["lost"], [])


if __name__ == "__main__":
    harness.main()
