"""
A closed port of this host, within the range that source ports are taken from, is never open: not
when the kernel picks that very port as the source, and connects the probe to itself.
"""

import os
import unittest

import harness
from harness import Daemon, Namespace, require, require_root

WITHOUT_CHECK = os.environ.get("PORTSCAND_WITHOUT_SELF_CONNECTION_CHECK")
SMALL_RANGE = (40000, 40063)


def probe_closed_ports(daemon, first, last, n_sweeps, n_checks):
    """
    Sweeps a range of closed ports, and checks its first over and over, on both families. Returns
    how many were seen open.
    """
    n_open = 0
    for i in range(n_sweeps):
        result = daemon.result("scan", {"ports": f"{first}-{last}",
                                        "host": "::1" if i % 5 == 4 else "127.0.0.1"})
        assert result["done"] == last - first + 1, result
        n_open += result["counts"]["open"]
    with daemon.client() as client:
        for _ in range(n_checks // 500):
            client.send_lines(*[{"method": "check", "params": {"port": first}}] * 500)
            for _ in range(500):
                n_open += client.receive()["result"]["status"] == "open"
    return n_open


class SelfConnection(unittest.TestCase):
    def start(self, source_ports=None, program=None):
        """A daemon where nobody else is, and so no port is open."""
        require_root()
        require("ip", "unshare", "nsenter")
        setup = ""
        if source_ports:
            setup = "echo %d %d > /proc/sys/net/ipv4/ip_local_port_range" % source_ports
        namespace = self.enterContext(Namespace(setup))
        return self.enterContext(Daemon(namespace=namespace, program=program))

    def test_25_sweeps_and_40000_checks(self):
        n = 25 if not harness.INSTRUMENTED else 3
        daemon = self.start()
        self.assertEqual(probe_closed_ports(daemon, 32768, 60999, n, n * 1600), 0)
        print(daemon.metrics()["portscand_self_connections_total"], "self-connections seen")

    def test_where_it_is_certain_to_happen(self):
        daemon = self.start(SMALL_RANGE)
        self.assertEqual(probe_closed_ports(daemon, *SMALL_RANGE, 50, 1000), 0)
        self.assertGreater(daemon.metrics()["portscand_self_connections_total"], 0)

    def test_fails_without_the_check(self):
        if not WITHOUT_CHECK or not os.path.exists(WITHOUT_CHECK):
            self.skipTest("portscand-without-self-connection-check is not built")
        daemon = self.start(SMALL_RANGE, program=WITHOUT_CHECK)
        self.assertGreater(probe_closed_ports(daemon, *SMALL_RANGE, 50, 1000), 0)


if __name__ == "__main__":
    harness.main()
