"""Probing where the network, or this host, is not as it should be: in namespaces of their own."""

import collections
import contextlib
import fcntl
import os
import select
import signal
import statistics
import struct
import subprocess
import threading
import time
import unittest

import harness
import users
from harness import (Daemon, Namespace, closed_port, full_port, listener, require, require_root,
                     wait_for)

# A foreign network where nobody lives: 10.9.0.1 is ours, and what is sent to others is lost.
VOID = """ip link add void type dummy 2>&- || ip link add void type ifb
ip addr add 10.9.0.1/24 dev void
ip addr add fd09::1/64 dev void nodad
ip link set void up"""
NOBODY, ANOTHER, OURS = "10.9.0.2", "10.9.0.3", "10.9.0.1"
DROP = """nft add table inet test
nft add chain inet test input '{ type filter hook input priority 0; }'
nft add rule inet test input tcp dport 2001-3000 drop
nft add rule inet test input tcp dport 3001-3010 reject with icmpx host-unreachable
nft add rule inet test input tcp dport 3011-3020 reject with tcp reset
nft add rule inet test input tcp dport 3021-3030 reject with icmpx port-unreachable"""


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        require_root()
        require("ip", "unshare", "nsenter")

    def start(self, setup, *options, **arguments):
        self.namespace = self.enterContext(Namespace(setup))
        self.daemon = self.enterContext(Daemon(*options, namespace=self.namespace, **arguments))

    def listen(self, host="127.0.0.1", port=0):
        with self.namespace.entered():
            return self.enterContext(listener(host, port=port))

    def closed_port(self, host="127.0.0.1"):
        with self.namespace.entered():
            return self.enterContext(closed_port(host))

    def n_opened(self):
        """Connections that were ever begun in the namespace."""
        names, values = [line.split() for line in self.namespace.run(
            "grep ^Tcp: /proc/net/snmp").splitlines()]
        return int(values[names.index("ActiveOpens")])

    def n_in_state(self, state):
        return len(self.namespace.run(f"ss -Htan state {state}").splitlines())


class Filtered(Test):
    def setUp(self):
        require("nft")
        self.start(DROP)

    def test_counts(self):
        # Of this host the kernel's table says who is behind the filter.
        ports = [self.listen(port=1000), self.listen(port=2500), self.listen(port=3500)]
        result = self.daemon.result("scan", {"ports": "1-3000,3021-4000", "timeout_ms": 300})
        self.assertEqual(result["ports"], ports)
        self.assertEqual(result["counts"], {"open": 3, "closed": 2978, "timeout": 999})
        result = self.daemon.result("scan", {"ports": "1-3000", "timeout_ms": 300,
                                             "status": "closed"})
        self.assertEqual(result["ports"], [port for port in range(1, 3001) if port not in ports])

    def test_time(self):
        began = time.monotonic()
        result = self.daemon.result("scan", {"ports": "2001-3000", "timeout_ms": 500})
        elapsed = time.monotonic() - began
        self.assertEqual(result["counts"]["timeout"], 1000)
        # All at once, and none of them cut short.
        self.assertGreaterEqual(elapsed, 0.49)
        if not harness.INSTRUMENTED:
            self.assertLess(elapsed, 5)

    def test_find(self):
        find = {"ports": "2991-3000,80", "timeout_ms": 200}
        self.assertEqual(self.daemon.result("find", find)["port"], 2991)
        self.assertEqual(self.daemon.result("find", {**find, "strict": True})["port"], 80)

    def test_cancel_in_the_middle(self):
        with self.daemon.client() as client:
            client.send_lines({"method": "scan", "id": 1, "params": {
                "ports": "2001-3000", "timeout_ms": 600000}})
            self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() > 1000))
            began = time.monotonic()
            client.send_lines({"method": "cancel", "id": 2, "params": {"id": 1}})
            self.assertEqual(client.receive()["error"]["data"]["error"], "Cancelled")
            self.assertEqual(client.receive()["result"], {"cancelled": 1})
            if not harness.INSTRUMENTED:
                self.assertLess(time.monotonic() - began, 5)
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() < 20))

    def test_wait_for_the_filter_to_go(self):
        with self.daemon.client() as client:
            client.send_varlink({"method": "io.portscand.Wait", "more": True, "parameters": {
                "port": 2600, "timeout_ms": 100}})
            first = client.receive_varlink()
            self.assertEqual((first["parameters"]["reason"], first["continues"]),
                             ("timeout", True))
            self.namespace.run("nft flush ruleset")
            self.listen(port=2600)
            last = client.receive_varlink()
        # How it is open depends on whether the last look began before that.
        self.assertEqual(last["parameters"]["status"], "open")
        self.assertNotIn("continues", last)

    def test_rejected(self):
        self.daemon.result("check", {"port": 9})
        n_descriptors = self.daemon.n_descriptors()
        for host in ("127.0.0.1", "::1"):
            error = self.daemon.error("check", {"host": host, "port": 3005})
            self.assertEqual(error["data"], {"error": "Unreachable", "host": host, "port": 3005,
                                             "errno": "EHOSTUNREACH", "status": "closed"})
        error = self.daemon.error("scan", {"ports": "3011-3015,3004"})
        self.assertEqual((error["data"]["port"], error["data"]["errno"]), (3004, "EHOSTUNREACH"))
        self.assertEqual(self.daemon.result("check", {"port": 3015})["reason"], "refused")
        result = self.daemon.result("check", {"port": 3025})
        self.assertEqual((result["status"], result["reason"]), ("closed", "refused"))
        # Nothing of it sticks to what is asked next.
        self.assertEqual(self.daemon.result("check", {"port": self.listen()})["status"], "open")
        result = self.daemon.result("scan", {"ports": "3011-3040"})
        self.assertEqual(result["counts"], {"open": 0, "closed": 30, "timeout": 0})
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= n_descriptors + 1))


class NoIpv6(Test):
    def test_switched_off(self):
        self.start("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6\n"
                   "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6")
        port, closed = self.listen(), self.closed_port()
        error = self.daemon.error("check", {"port": port, "host": "::1"})
        self.assertEqual((error["data"]["error"], error["data"]["host"], error["data"]["port"]),
                         ("Unreachable", "::1", port))
        self.assertIn(error["data"]["errno"], ("EADDRNOTAVAIL", "ENETUNREACH"))
        for _ in range(3):
            result = self.daemon.result("check", {"port": port, "host": "localhost"})
            self.assertEqual((result["address"], result["status"]), ("127.0.0.1", "open"))
            result = self.daemon.result("check", {"port": closed, "host": "localhost"})
            self.assertEqual((result["address"], result["reason"]), ("127.0.0.1", "refused"))
        result = self.daemon.result("scan", {"ports": [port, closed], "host": "localhost"})
        self.assertEqual(result["ports"], [port])
        result = self.daemon.result("scan", {"host": "localhost"})
        self.assertEqual(result["ports"], [port])
        self.assertEqual(result["done"], 65535)


class NoNetwork(Test):
    def test_unreachable(self):
        self.start("true")
        for host, errno in (("192.0.2.1", "ENETUNREACH"), ("2001:db8::1", "ENETUNREACH")):
            error = self.daemon.error("check", {"port": 80, "host": host})
            self.assertEqual(error["data"], {"error": "Unreachable", "host": host, "port": 80,
                                             "errno": errno, "status": "closed"})


class LinkLocal(Test):
    def test_interface_does_not_stick(self):
        """A socket is used again, but not one that is tied to an interface."""
        self.start(VOID)
        address = self.namespace.run("ip -6 -o addr show dev void scope link").split()[3]
        address = address.split("/")[0]
        host = address + "%void"
        index = self.namespace.run("ip -o link show void").split(":")[0]
        port = self.listen("::")
        for interface in ("void", index):
            result = self.daemon.result("check", {"port": port, "host": f"{address}%{interface}"})
            self.assertEqual((result["status"], result["address"]), ("open", host))
        for interface in ("nowhere", "999999", "0", f"{index}x", "-1", "9" * 11, "9" * 20):
            error = self.daemon.error("check", {"port": port, "host": f"{address}%{interface}"})
            self.assertEqual(error["data"]["parameter"], "host")
        for _ in range(3):
            result = self.daemon.result("check", {"port": self.closed_port("::1"), "host": host})
            self.assertEqual((result["address"], result["reason"]), (host, "refused"))
            result = self.daemon.result("check", {"port": self.listen("::1"), "host": "::1"})
            self.assertEqual(result["status"], "open")
            result = self.daemon.result("check", {"port": self.closed_port("::1"), "host": "::1"})
            self.assertEqual(result["reason"], "refused")


class Window(Test):
    def test_one_host(self):
        self.start(VOID, "--window", "8")
        began = time.monotonic()
        seen = []
        with self.daemon.client() as one, self.daemon.client() as two:
            for client, ports in ((one, "1-20"), (two, "21-40")):
                client.start("scan", {"host": NOBODY, "ports": ports, "timeout_ms": 300})
            while (one.is_silent(0.01) or two.is_silent(0.01)) and len(seen) < 1000:
                seen.append(self.n_in_state("syn-sent"))
            results = [one.receive()["result"], two.receive()["result"]]
        # Five rounds of eight.
        self.assertGreaterEqual(time.monotonic() - began, 1.45)
        # ss doesn't see all at one moment: who ends and who follows may both be there.
        self.assertEqual(statistics.median_high(seen), 8)
        for result in results:
            self.assertEqual(result["counts"], {"open": 0, "closed": 0, "timeout": 20})

    def test_hosts_have_windows_of_their_own(self):
        self.start(VOID, "--window", "2")
        with self.daemon.client() as client:
            client.start("scan", {"host": NOBODY, "ports": "1-100", "timeout_ms": 600000})
            self.assertTrue(wait_for(lambda: self.n_in_state("syn-sent") == 2))
            result = self.daemon.result("scan", {"host": ANOTHER, "ports": "1-2",
                                                 "timeout_ms": 100})
            self.assertEqual(result["counts"]["timeout"], 2)
            error = self.daemon.error("check", {"host": NOBODY, "port": 80, "timeout_ms": 200})
            self.assertEqual((error["code"], error["data"]),
                             (3, {"error": "ResourcesExhausted", "resource": "probes to one host"}))

    def test_this_host_has_none(self):
        require("nft")
        self.start(VOID + "\n" + DROP, "--window", "1")
        for host in (OURS, "fd09::1", "127.0.0.1", "::1"):
            began = time.monotonic()
            result = self.daemon.result("scan", {"host": host, "ports": "2001-2100",
                                                 "timeout_ms": 200})
            self.assertEqual(result["counts"]["timeout"], 100)
            self.assertLess(time.monotonic() - began, 10)

    def test_first_come_first_served(self):
        self.start(VOID, "--window", "1")
        with self.daemon.client() as client:
            for port in range(1, 6):
                client.start("scan", {"host": NOBODY, "ports": port, "timeout_ms": 100})
            self.assertEqual([client.receive()["id"] for _ in range(5)], list(range(1, 6)))

    def test_room_is_not_lost_with_who_it_was_for(self):
        """
        The second in the queue is told that there is room, and is gone before it takes it: the
        third gets it. The daemon is halted so that it hears of both at once, and has enough to
        do that it is not halted while it sleeps.
        """
        self.start(VOID, "--window", "1")
        with self.daemon.client() as first, self.daemon.client() as second, \
                self.daemon.client() as third, self.daemon.client() as busy:
            first.start("check", {"host": NOBODY, "port": 1, "timeout_ms": 300})
            self.assertTrue(wait_for(lambda: self.n_in_state("syn-sent") == 1))
            for client, port in ((second, 2), (third, 3)):
                client.start("scan", {"host": NOBODY, "ports": port, "timeout_ms": 200})
                client.call("info")
            for _ in range(5):
                busy.start("scan")
            os.kill(self.daemon.pid, signal.SIGSTOP)
            time.sleep(0.4)
            second.send_lines({"method": "cancel", "params": {"id": 1}})
            os.kill(self.daemon.pid, signal.SIGCONT)
            third.socket.settimeout(15)
            self.assertEqual(first.receive()["result"]["reason"], "timeout")
            self.assertEqual(third.receive()["result"]["counts"]["timeout"], 1)

    def test_room_goes_on_to_the_next_when_two_are_cancelled_at_once(self):
        self.start(VOID, "--window", "1")
        with self.daemon.client() as client:
            for port, timeout in ((1, 600000), (2, 600000), (3, 200)):
                client.start("scan", {"host": NOBODY, "ports": port, "timeout_ms": timeout})
            self.assertTrue(wait_for(lambda: self.n_in_state("syn-sent") == 1))
            # The first makes room, of which the second is told, and is gone.
            client.send_lines(*({"method": "cancel", "params": {"id": i}} for i in (1, 2)))
            answers = [client.receive() for _ in range(5)]
        self.assertEqual([one["error"]["data"]["error"] for one in answers if "error" in one],
                         ["Cancelled"] * 2)
        self.assertEqual((answers[-1]["id"], answers[-1]["result"]["counts"]["timeout"]), (3, 1))


class SlowWire:
    """Joins two namespaces by a tun device each, as 10.8.0.1 and 10.8.0.2, and `delay` seconds."""

    def __init__(self, one, other, delay):
        self.delay = delay
        self.is_closing = False
        self.devices = [self.open(one, "10.8.0.1", "10.8.0.2"),
                        self.open(other, "10.8.0.2", "10.8.0.1")]
        self.threads = [threading.Thread(target=self.relay, args=ends)
                        for ends in (self.devices, self.devices[::-1])]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def open(namespace, address, peer):
        set_interface, tun, no_packet_information = 0x400454ca, 0x0001, 0x1000
        with namespace.entered():
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        try:
            with namespace.entered():
                fcntl.ioctl(device, set_interface,
                            struct.pack("16sH22x", b"wire", tun | no_packet_information))
            namespace.run(f"ip addr add {address} peer {peer} dev wire\n"
                          "ip link set wire up txqueuelen 10000")
        except BaseException:
            os.close(device)
            raise
        return device

    def relay(self, source, sink):
        packets = collections.deque()
        while not self.is_closing:
            wait = packets[0][0] - time.monotonic() if packets else 0.05
            if wait > 0 and select.select([source], [], [], min(wait, 0.05))[0]:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        packets.append((time.monotonic() + self.delay, os.read(source, 65536)))
            while packets and packets[0][0] <= time.monotonic():
                with contextlib.suppress(OSError):
                    os.write(sink, packets.popleft()[1])

    def close(self):
        self.is_closing = True
        for thread in self.threads:
            thread.join()
        for device in self.devices:
            os.close(device)


class Slow(Test):
    """Hosts whose verdict is not there at once: at the other end of a slow wire."""

    def setUp(self):
        self.start("true")
        self.other = self.enterContext(Namespace())
        try:
            wire = SlowWire(self.namespace, self.other, 0.03)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"no slow wire here: {error}")
        self.addCleanup(wire.close)

    def test_pending(self):
        with self.other.entered(), listener("10.8.0.2") as port, \
                closed_port("10.8.0.2") as closed, full_port("10.8.0.2") as silent:
            for _ in range(3):
                for asked, status, reason in ((port, "open", "accepted"),
                                              (closed, "closed", "refused"),
                                              (silent, "closed", "timeout")):
                    result = self.daemon.result("check", {"host": "10.8.0.2", "port": asked})
                    self.assertEqual((result["port"], result["status"], result["reason"]),
                                     (asked, status, reason))
                    self.assertGreaterEqual(result["elapsed_us"], 50000)
            result = self.daemon.result("scan", {"host": "10.8.0.2", "timeout_ms": 5000,
                                                 "ports": ["1-5000", port, closed]})
            self.assertEqual(result["ports"], [port])
            self.assertEqual(result["counts"], {"open": 1, "closed": 5001, "timeout": 0})
            result = self.daemon.result("find", {"host": "10.8.0.2", "ports": [port, closed, 1]})
            self.assertEqual(result["port"], closed)
            result = self.daemon.result("wait", {"host": "10.8.0.2", "port": port})
            self.assertEqual(result["status"], "open")
        self.assertLess(self.daemon.n_descriptors(), 20)

    def test_client_that_goes_away(self):
        for i in range(30):
            with self.daemon.client() as client:
                client.start("scan", {"host": "10.8.0.2"})
                time.sleep(0.01 * (i % 10))
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() < 20))


class Descriptors(Test):
    """The daemon has a few dozens of descriptors: it takes longer, and stays right."""

    def start_short(self, nofile):
        require("nft")
        self.start(DROP, nofile=nofile)

    def test_sweep(self):
        self.start_short(64)
        ports = [self.listen(port=port) for port in (1000, 3500)]
        with self.daemon.client() as one, self.daemon.client() as two:
            for client in (one, two):
                client.start("scan", {"ports": "1-2200,3021-4000", "timeout_ms": 100})
            for client in (one, two):
                result = client.receive()["result"]
                self.assertEqual(result["ports"], ports)
                self.assertEqual(result["counts"], {"open": 2, "closed": 2978, "timeout": 200})
        self.assertGreater(self.daemon.metrics()["portscand_probes_put_off_total"], 0)

    def test_many_checks(self):
        self.start_short(64)
        port = self.listen()
        with self.daemon.client() as client:
            client.send_lines(*({"method": "check", "id": i, "params": {
                "port": port if i % 2 else 2001 + i, "timeout_ms": 300}} for i in range(400)))
            for answer in (client.receive() for _ in range(400)):
                if "error" in answer:
                    self.assertEqual(answer["error"]["data"], {"error": "ResourcesExhausted",
                                                               "resource": "descriptors"})
                else:
                    self.assertEqual(answer["result"]["reason"],
                                     "accepted" if answer["id"] % 2 else "timeout")

    def test_idle_connections(self):
        self.start_short(64)
        port, closed = self.listen(), self.closed_port()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.daemon.client()) for _ in range(40)]
            for client in clients:
                self.assertEqual(client.call("check", {"port": port})["result"]["status"], "open")
            result = clients[0].call("scan", {"ports": [closed, "2001-2100", port],
                                              "timeout_ms": 100})["result"]
            self.assertEqual(result["ports"], [port])
            self.assertEqual(result["counts"], {"open": 1, "closed": 1, "timeout": 100})

    @unittest.skipIf(harness.WRAPPER, "the wrapper has descriptors of its own")
    def test_none_left_at_all(self):
        self.start_short(40)
        port = self.listen()
        with self.daemon.client() as client:
            self.assertIn("result", client.call("info"))
            with contextlib.ExitStack() as stack:
                for _ in range(60):
                    stack.enter_context(self.daemon.client())
                self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() == 40))
                error = client.call("check", {"port": port})["error"]
                self.assertEqual((error["code"], error["data"]),
                                 (3, {"error": "ResourcesExhausted", "resource": "descriptors"}))
                error = client.call("wait", {"port": port, "deadline_ms": 300})["error"]
                self.assertEqual(error["data"], {"error": "ResourcesExhausted",
                                                 "resource": "descriptors"})
                # Looks that end for want of a descriptor are no news, and do not end the wait.
                began = time.monotonic()
                error = client.call("wait", {"port": port, "deadline_ms": 500, "timeout_ms": 50,
                                             "interval_ms": 50})["error"]
                self.assertGreaterEqual(time.monotonic() - began, 0.5)
                self.assertEqual(error["data"], {"error": "ResourcesExhausted",
                                                 "resource": "descriptors"})
                error = client.call("check", {"port": port, "via": "bind"})["error"]
                self.assertEqual((error["code"], error["data"]),
                                 (3, {"error": "ResourcesExhausted", "resource": "descriptors"}))
                # The table is read through a socket that is there already.
                result = client.call("check", {"port": port, "via": "table"})["result"]
                self.assertEqual(result["reason"], "listening")
                client.start("find", {"ports": port, "status": "open"})
                self.assertTrue(client.is_silent(0.5))
            self.assertEqual(client.receive()["result"]["port"], port)
            self.assertEqual(client.call("check", {"port": port})["result"]["status"], "open")


class GivenUp(Test):
    def test_the_kernel_is_less_patient(self):
        """Where it gives up before the probe's own time is over, that is a timeout as well."""
        self.start(VOID + """
            echo 1 > /proc/sys/net/ipv4/tcp_syn_retries
            echo 0 > /proc/sys/net/ipv4/tcp_syn_linear_timeouts || true""")
        began = time.monotonic()
        result = self.daemon.result("check", {"host": NOBODY, "port": 80, "timeout_ms": 60000})
        self.assertEqual((result["status"], result["reason"]), ("closed", "timeout"))
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(self.daemon.result("scan", {"host": NOBODY, "ports": "1-3",
                                                     "timeout_ms": 60000})["counts"],
                         {"open": 0, "closed": 0, "timeout": 3})
        self.assertEqual(self.daemon.metrics()['portscand_probes_total{outcome="timeout"}'], 4)


class Starved(Test):
    """Who waits for room waits: nobody is told of any before there is some."""

    def test_sweeps_do_not_wake_each_other(self):
        self.start("echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range")
        self.listen(port=40000)
        with self.daemon.client() as client:
            for _ in range(3):
                client.start("scan", {"ports": "1-1000"})
            self.assertTrue(client.is_silent(1))
            before = self.daemon.cpu_seconds()
            self.assertTrue(client.is_silent(1))
            self.assertLess(self.daemon.cpu_seconds() - before, 0.5)

    def test_wait_says_nothing_of_a_port_that_it_could_not_look_at(self):
        self.start("echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range")
        self.listen(port=40000)
        for params in ({"deadline_ms": 200}, {"deadline_ms": 600, "timeout_ms": 50}):
            error = self.daemon.error("wait", {"port": 9, **params})
            self.assertEqual(error["data"], {"error": "ResourcesExhausted",
                                             "resource": "source ports"})

    def test_a_foreign_host_sees_no_probe_that_there_is_no_room_for(self):
        self.start(VOID, "--allow", "10.9.0.0/24", nofile=80)
        with users.client(self.daemon, users.USER) as client:
            for _ in range(2):
                client.start("scan", {"host": NOBODY, "ports": "1-65535", "timeout_ms": 60000})
            self.assertTrue(wait_for(lambda: self.n_in_state("syn-sent") >= 20))
            self.assertTrue(client.is_silent(0.5))
            before = self.n_opened()
            self.assertTrue(client.is_silent(1))
            self.assertEqual(self.n_opened(), before)


class CutShort(Test):
    """An administrator may end any connection; that says nothing about the port."""

    def end_pending(self):
        return self.namespace.run(f"ss -HKtan state syn-sent dst {NOBODY}").splitlines()

    def test_is_asked_again(self):
        self.start(VOID)
        for method, params, n in (("check", {"port": 80}, 1), ("scan", {"ports": "80-83"}, 4)):
            with self.daemon.client() as client:
                client.start(method, {"host": NOBODY, "timeout_ms": 60000, **params})
                self.assertTrue(wait_for(lambda: self.n_in_state("syn-sent") == n))
                before = self.n_opened()
                if len(self.end_pending()) < n:
                    self.skipTest("this kernel ends no connections for ss -K")
                self.assertTrue(wait_for(lambda: self.n_opened() == before + n))
                self.assertEqual(self.n_in_state("syn-sent"), n)
                self.assertTrue(client.is_silent(0))
            self.assertTrue(wait_for(lambda: self.n_in_state("syn-sent") == 0))

    def test_when_it_is_too_late(self):
        self.start(VOID)
        with self.daemon.client() as client:
            for method, params in (("check", {"port": 80}), ("scan", {"ports": "80-83"})):
                client.start(method, {"host": NOBODY, "timeout_ms": 500, **params})
                self.assertTrue(wait_for(lambda: self.n_in_state("syn-sent") > 0))
                os.kill(self.daemon.pid, signal.SIGSTOP)
                try:
                    self.end_pending()
                    time.sleep(0.6)
                finally:
                    os.kill(self.daemon.pid, signal.SIGCONT)
                result = client.receive()["result"]
                if method == "check":
                    self.assertEqual((result["status"], result["reason"]), ("closed", "timeout"))
                else:
                    self.assertEqual(result["counts"], {"open": 0, "closed": 0, "timeout": 4})


class SourcePorts(Test):
    def test_shortage_is_no_answer(self):
        self.start(VOID + "\necho 40000 40009 > /proc/sys/net/ipv4/ip_local_port_range")
        with self.daemon.client() as client:
            client.send_lines(*({"method": "check", "id": i, "params": {
                "host": NOBODY, "port": 80, "timeout_ms": 500}} for i in range(40)))
            answers = [client.receive() for _ in range(40)]
        seen = collections.Counter(
            answer["result"]["reason"] if "result" in answer else
            tuple(answer["error"]["data"].values()) for answer in answers)
        self.assertLessEqual(set(seen), {"timeout", ("ResourcesExhausted", "source ports")})
        self.assertGreaterEqual(seen["timeout"], 10)
        self.assertGreater(seen["ResourcesExhausted", "source ports"], 0)

    def test_sweep_waits_for_them(self):
        self.start(VOID + "\necho 40000 40004 > /proc/sys/net/ipv4/ip_local_port_range")
        with self.daemon.client() as client:
            for _ in range(12):
                client.start("scan", {"host": NOBODY, "ports": 80, "timeout_ms": 100})
            for _ in range(12):
                self.assertEqual(client.receive()["result"]["counts"],
                                 {"open": 0, "closed": 0, "timeout": 1})

    def test_this_host(self):
        self.start("echo 40000 40009 > /proc/sys/net/ipv4/ip_local_port_range")
        port = self.listen(port=80)
        result = self.daemon.result("scan")
        self.assertEqual(result["ports"], [port])
        for _ in range(50):
            self.assertEqual(self.daemon.result("check", {"port": port})["status"], "open")


if __name__ == "__main__":
    harness.main()
