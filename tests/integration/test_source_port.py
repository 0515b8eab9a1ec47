"""
A sweep's connections come from a source port of their own: which is nobody else's loss. In these
networks there is but one source port, or some, so it is known which.
"""

import contextlib
import os
import unittest

import harness
from harness import Daemon, Namespace, full_port, listening_socket, require, require_root
from leasing import can_bind, connect

SOURCE = 40000
OTHERS = f"1-{SOURCE - 1}"


class Test(unittest.TestCase):
    def start(self, last=SOURCE):
        require_root()
        require("ip", "unshare", "nsenter")
        self.namespace = self.enterContext(Namespace())
        self.enterContext(self.namespace.entered())
        self.daemon = self.enterContext(Daemon("--quarantine-ms", "0"))
        self.sources = range(SOURCE, last + 1)

    def leave_few_sources(self):
        self.namespace.run(f"echo {self.sources[0]} {self.sources[-1]} "
                           "> /proc/sys/net/ipv4/ip_local_port_range")

    def has_source(self, client):
        """By the kernel's table (Linux 6.8): a socket that is bound, also between its probes."""
        return any(one["state"] == "BOUND-INACTIVE" for port in self.sources
                   for one in client.call("who", {"port": port})["result"]["sockets"])

    @contextlib.contextmanager
    def sweeping(self):
        """Somebody who sweeps 127.0.0.1, again and again, and has a source port by now."""
        if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 8):
            self.skipTest("this kernel does not tell of bound sockets (6.8 does)")
        with self.daemon.client() as client, self.daemon.client() as other:
            client.send_lines(*[{"method": "scan", "id": i, "params": {"ports": OTHERS}}
                                for i in range(100)])
            self.assertTrue(harness.wait_for(lambda: self.has_source(other), interval=0),
                            "no source port was ever taken")
            yield


class OneSourcePort(Test):
    def setUp(self):
        self.start()
        self.leave_few_sources()

    def test_it_is_free_once_the_answer_is_there(self):
        for ports in (OTHERS, "1-100", OTHERS):
            self.daemon.result("scan", {"ports": ports})
            self.assertTrue(can_bind(SOURCE))

    def test_it_is_free_once_nobody_asks(self):
        with self.sweeping():
            pass
        self.assertTrue(harness.wait_for(lambda: can_bind(SOURCE), 2))

    def test_it_can_be_bound_by_us_meanwhile(self):
        with self.sweeping(), self.daemon.client() as client:
            for _ in range(100):
                result = client.call("check", {"port": SOURCE, "via": "bind"})["result"]
                self.assertEqual((result["status"], result["reason"]), ("closed", "bindable"))
                result = client.call("find", {"ports": [SOURCE], "strict": True})["result"]
                self.assertEqual(result["ports"], [SOURCE])

    def test_others_can_connect_from_it_meanwhile(self):
        with self.sweeping(), self.daemon.client() as client:
            for host in ("::1", "127.0.0.2"):
                for _ in range(20):
                    result = client.call("check", {"host": host, "port": 9})["result"]
                    self.assertEqual((result["status"], result["reason"]), ("closed", "refused"))
                result = client.call("scan", {"host": host, "ports": "1-1000"})["result"]
                self.assertEqual(result["counts"], {"open": 0, "closed": 1000, "timeout": 0})

    def test_it_can_be_leased_meanwhile(self):
        with self.sweeping(), self.daemon.client() as client:
            for _ in range(20):
                answer = client.call("lease", {"ports": SOURCE})
                self.assertEqual(answer["result"]["port"], SOURCE, answer)
                self.assertFalse(can_bind(SOURCE))
                client.call("release", {"lease": answer["result"]["lease"]["lease"]})

    def test_it_is_told_as_closed(self):
        """The sweep comes by the port it comes from."""
        for host in ("127.0.0.1", "::1"):
            result = self.daemon.result("scan", {"ports": "1-65535", "host": host})
            self.assertEqual(result["counts"], {"open": 0, "closed": 65535, "timeout": 0})
        self.assertGreaterEqual(self.daemon.metrics()["portscand_self_connections_total"], 2)


class FewSourcePorts(Test):
    def test_all_can_be_bound_by_us(self):
        """An IPv6 socket for all addresses takes what an IPv4 one of the sweep has."""
        self.start(SOURCE + 3)
        self.leave_few_sources()
        with self.sweeping(), self.daemon.client() as client:
            for host in ("::", "::1", "0.0.0.0", "127.0.0.1", "localhost"):
                for _ in range(20):
                    answer = client.call("find", {"ports": list(self.sources), "strict": True,
                                                  "count": 4, "host": host})
                    self.assertEqual(answer["result"]["ports"], list(self.sources))


class PendingProbe(Test):
    def test_does_not_have_the_port_alone(self):
        self.start()
        full = self.enterContext(full_port())
        self.leave_few_sources()
        with self.daemon.client() as client:
            with self.sweeping():
                client.start("check", {"port": full, "timeout_ms": 60000})
                self.assertTrue(client.is_silent(0.2))
            self.daemon.result("info")
            # Refused; without a source port it could not even be tried.
            self.assertIsNone(connect(9))
            self.assertTrue(client.is_silent(0))


class SeveralHosts(unittest.TestCase):
    HOSTS = ["127.0.0.1", "192.0.2.1", "192.0.2.2", "::1"]

    def setUp(self):
        require_root()
        require("ip", "unshare", "nsenter")
        namespace = self.enterContext(Namespace(
            "ip addr add 192.0.2.1/32 dev lo; ip addr add 192.0.2.2/32 dev lo"))
        self.enterContext(namespace.entered())
        self.daemon = self.enterContext(Daemon())
        self.listeners = {host: self.enterContext(listening_socket(host)) for host in self.HOSTS}
        self.ports = {host: one.getsockname()[1] for host, one in self.listeners.items()}

    def test_sweeps_one_after_the_other_and_all_at_once(self):
        for host in self.HOSTS:
            result = self.daemon.result("scan", {"host": host})
            self.assertEqual(result["ports"], [self.ports[host]])
        with self.daemon.client() as client:
            client.send_lines(*[{"method": "scan", "id": host, "params": {"host": host}}
                                for host in self.HOSTS])
            for _ in self.HOSTS:
                answer = client.receive()
                self.assertEqual(answer["result"]["ports"], [self.ports[answer["id"]]])

    def test_a_server_sees_the_address_that_the_kernel_would_pick(self):
        """Whatever address somebody else is sweeping."""
        with self.daemon.client() as sweeper, self.daemon.client() as client:
            sweeper.send_lines(*[{"method": "scan", "params": {"ports": "1-9999"}}] * 100)
            for _ in range(50):
                for host in ("192.0.2.1", "192.0.2.2"):
                    result = client.call("check", {"host": host, "port": self.ports[host]})
                    self.assertEqual(result["result"]["status"], "open")
                    connection, peer = self.listeners[host].accept()
                    connection.close()
                    self.assertEqual(peer[0], host)


if __name__ == "__main__":
    harness.main()
