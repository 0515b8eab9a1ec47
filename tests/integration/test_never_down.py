"""What goes wrong around the daemon, or is done to it: it goes on, and says so once."""

import contextlib
import ctypes
import json
import os
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import harness
import users
from clock import Clock
from harness import (Daemon, INSTRUMENTED, Namespace, closed_port, listener, require, require_root,
                     reset_on_close, silent_port, wait_for)

setUpModule = harness.enter_network

MIB = 1 << 20
# For leases: other tests of this host have theirs where the daemon's default is.
POOL = "--pool=10000-19999"
# What one client may make the daemon keep: a message, and answers that it doesn't read.
CLIENT_MAX = 128 * 1024 + MIB


setUpModule = harness.enter_network


class Test(unittest.TestCase):
    options = ()
    nofile = 0

    def setUp(self):
        self.daemon = self.enterContext(Daemon(*self.options, nofile=self.nofile))
        # It runs now, and its descriptors can be counted.
        self.daemon.call("info")

    def client(self, **options):
        return self.enterContext(self.daemon.client(**options))

    def check(self, port, client=None):
        """Somebody else's check: it has to be answered in good time."""
        begin = time.monotonic()
        ask = client.call if client else self.daemon.call
        self.assertEqual(ask("check", {"port": port})["result"]["status"], "open")
        self.assertLess(time.monotonic() - begin, 10 if INSTRUMENTED else 2)

    def expect_idle(self, n_descriptors):
        """All that was under way is gone, and nothing spins."""
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= n_descriptors),
                        (self.daemon.n_descriptors(), n_descriptors))
        before = self.daemon.cpu_seconds()
        time.sleep(0.5)
        self.assertLess(self.daemon.cpu_seconds() - before, 0.1)


class Descriptors(Test):
    nofile = 64

    def test_accept_goes_on_by_itself(self):
        with listener() as port:
            held = [self.client(timeout=5) for _ in range(self.nofile + 10)]
            self.assertTrue(wait_for(
                lambda: self.daemon.n_descriptors() >= self.nofile - 1))
            before = self.daemon.cpu_seconds()
            time.sleep(1)
            self.assertLess(self.daemon.cpu_seconds() - before, 0.1, "it spins")
            self.assertEqual(self.daemon.stderr().count("no client can be accepted"), 1)
            self.assertIn("LimitNOFILE=", self.daemon.stderr())
            # Those that are connected are served meanwhile, as far as it can be done.
            self.assertIn("result", held[0].call("info"))
            # Who waits is let in as others go, without any further event.
            for client in held[:40]:
                client.close()
            self.check(port, held[-1])
            self.assertGreater(self.daemon.metrics()["portscand_accept_pauses_total"], 0)

    def test_a_check_waits_for_a_descriptor(self):
        with listener() as port:
            held = [self.client(timeout=10) for _ in range(self.nofile)]
            self.assertTrue(wait_for(
                lambda: self.daemon.n_descriptors() >= self.nofile - 1))
            held[0].start("check", {"port": port, "timeout_ms": 9000})
            self.assertTrue(held[0].is_silent(0.3))
            for client in held[20:]:
                client.close()
            self.assertEqual(held[0].receive()["result"]["status"], "open")


class Clients(Test):
    options = (POOL,)

    def test_who_connects_and_leaves_by_the_thousand(self):
        with listener() as port, self.daemon.client() as other:
            self.check(port, other)
            before = self.daemon.n_descriptors()
            for i in range(5000):
                client = self.daemon.connect()
                if i % 4 == 1:
                    client.send(b'{"method":"check","params":{"port":%d}}\n' % port)
                elif i % 4 == 2:
                    client.send(b'{"method":')
                elif i % 4 == 3:
                    client.shutdown(socket.SHUT_WR)
                client.close()
                if i % 1000 == 999:
                    self.check(port, other)
            self.expect_idle(before)
            self.check(port, other)

    def test_who_never_writes(self):
        clients = [self.client() for _ in range(200)]
        before = self.daemon.cpu_seconds()
        time.sleep(0.5)
        self.assertLess(self.daemon.cpu_seconds() - before, 0.1)
        for client in clients:
            self.assertIn("result", client.call("info"))

    def test_who_writes_byte_by_byte(self):
        slow = [self.client() for _ in range(20)]
        message = b'{"jsonrpc":"2.0","id":1,"method":"info"}\n'
        with listener() as port:
            for byte in message:
                for client in slow:
                    client.send(bytes([byte]))
                time.sleep(0.01)
            self.check(port)
        for client in slow:
            self.assertIn("result", client.receive())

    def test_who_writes_one_endless_message(self):
        before = self.daemon.resident_bytes()
        endless = self.client()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1000):
                endless.send(b"x" * 65536)
        self.assertLess(self.daemon.resident_bytes() - before, 8 * MIB)
        with contextlib.suppress(ConnectionResetError):
            answer = endless.receive()
            self.assertEqual(answer["error"]["data"],
                             {"error": "MessageTooLarge", "limit": 131072})

    def test_who_never_reads(self):
        """200 of them, that ask as long as they may: the memory is what the limits say."""
        with listener() as port, self.daemon.client() as other:
            self.check(port, other)
            before = self.daemon.resident_bytes()
            ask = b'{"id":1,"method":"metrics"}\n' * 1000
            clients = [self.daemon.connect() for _ in range(200)]
            for client in clients:
                self.addCleanup(client.close)
                client.setblocking(False)

            def is_stuck():
                """Nobody can write, and the daemon has nothing more to do."""
                writable = select.select([], clients, [], 0)[1]
                for client in writable:
                    with contextlib.suppress(BlockingIOError):
                        client.send(ask)
                cpu = self.daemon.cpu_seconds()
                time.sleep(0.1 if writable else 0.5)
                return not writable and self.daemon.cpu_seconds() - cpu < 0.1

            self.assertTrue(wait_for(is_stuck, 200 if INSTRUMENTED else 60), "it reads on and on")
            grown = self.daemon.resident_bytes() - before
            print(f"{grown / len(clients) / MIB:.2f} MiB each of {CLIENT_MAX / MIB:.2f}",
                  end=" ")
            # An answer that begins below the limit goes beyond it; buffers grow by doubling.
            if not INSTRUMENTED:
                self.assertLess(grown, len(clients) * 2.5 * CLIENT_MAX)
            self.check(port, other)
            for client in clients:
                client.close()
            self.check(port, other)

    def test_who_leaves_in_the_middle(self):
        """Of anything, at any time: nothing is left of it, and others are served."""
        draw = random.Random(5)
        with listener() as port, silent_port() as silent, self.daemon.client() as other:
            self.check(port, other)
            before = self.daemon.n_descriptors()
            works = [
                {"method": "scan", "params": {"ports": "1-65535"}},
                {"method": "scan", "params": {"ports": "1-65535", "stream": True}},
                {"method": "scan", "params": {"ports": "1-65535", "via": "table"}},
                {"method": "find", "params": {"ports": "1-65535", "count": 65535}},
                {"method": "check", "params": {"port": silent, "timeout_ms": 60000}},
                {"method": "check", "params": {"port": 9, "host": "never.invalid"}},
                {"method": "wait", "params": {"port": 9, "interval_ms": 10}},
                {"method": "lease", "params": {"count": 20, "until": "connection",
                                               "pass_fd": True, "listen": True}},
                {"method": "lease", "params": {"count": 100, "until": "connection",
                                               "protocol": "both", "pass_fd": True}},
                {"method": "lease", "params": {"until": "process", "ttl_ms": 2000}},
                {"method": "who", "params": {"port": port}},
                {"method": "leases", "params": {"all": True}},
                {"method": "metrics"},
            ]
            for i in range(400):
                client = self.daemon.connect()
                for j, work in enumerate(draw.sample(works, draw.randint(1, 4))):
                    client.sendall(json.dumps({"id": j, **work}).encode() + b"\n")
                if draw.random() < 0.5:
                    client.sendall(b'{"method":"io.portscand.Scan","parameters":'
                                   b'{"ports":"1-65535"},"more":true}\0')
                time.sleep(draw.random() * 0.01)
                if draw.random() < 0.3:
                    client.recv(100)
                client.close()
                if i % 100 == 99:
                    self.check(port, other)
            # Descriptors on their way to somebody who is gone are closed, too.
            self.assertTrue(wait_for(lambda: not other.call("leases", {"all": True})
                                     ["result"]["leases"], 20))
            self.expect_idle(before + 4)

    def test_descriptors_that_nobody_reads(self):
        """A user who leases and gives back, and never takes the sockets that were passed."""
        before = self.daemon.n_descriptors()
        with self.daemon.client() as greedy, listener() as port:
            greedy.socket.setblocking(False)
            ask = (b'{"id":1,"method":"lease","params":{"name":"n","count":120,'
                   b'"protocol":"both","ports":"10000-60000","pass_fd":true}}\n')
            with contextlib.suppress(BlockingIOError):
                for _ in range(2000):
                    greedy.socket.send(ask)
            time.sleep(0.5)
            # The kernel's buffer, and what makes the daemon stop reading.
            self.assertLess(self.daemon.n_descriptors() - before, 240 + 3 * 253)
            self.check(port)
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= before + 240 + 4))


class Journal(unittest.TestCase):
    def test_one_that_can_not_be_written(self):
        require_root()
        require("unshare", "mount")
        # A file system with no room, in a mount namespace of the daemon's own.
        with tempfile.TemporaryDirectory() as directory:
            program = os.path.join(directory, "on-full-disk")
            with open(program, "w", encoding="ascii") as file:
                file.write('#!/bin/sh\n'
                           'mount -t tmpfs -o size=64k none "$RUNTIME_DIRECTORY" || exit 77\n'
                           f'exec {harness.PORTSCAND} "$@"\n')
            os.chmod(program, 0o755)
            with Daemon(POOL, program=program, wrapper=["unshare", "-m"]) as full:
                if not wait_for(lambda: harness.is_served(full.path), 2):
                    self.skipTest("no tmpfs can be mounted here")
                runtime = f"/proc/{full.pid}/root{full.runtime}"
                first = full.result("lease", {"until": "released"})["lease"]["lease"]
                with contextlib.suppress(OSError), open(f"{runtime}/ballast", "wb") as ballast:
                    while True:
                        ballast.write(b"x" * 512)
                        ballast.flush()
                leases = []
                error = None
                for _ in range(200):
                    answer = full.call("lease", {"until": "released", "name": "n" * 200 +
                                                 str(len(leases))})
                    if "error" in answer:
                        error = answer["error"]
                        break
                    leases.append(answer["result"]["lease"]["lease"])
                self.assertEqual(error["data"], {"error": "ResourcesExhausted",
                                                 "resource": "runtime directory"})
                self.assertIn("No space left on device", error["message"])
                # All else goes on: leases end, and ports are probed.
                self.assertEqual(full.result("release", {"lease": first}), {})
                with listener() as port:
                    self.assertEqual(full.result("check", {"port": port})["status"], "open")
                self.assertLess(full.stderr().count("\n"), 20)
                # Once there is room, there are leases again.
                os.unlink(f"{runtime}/ballast")
                self.assertIn("lease", full.result("lease", {"until": "released"}))

    def test_without_a_runtime_directory(self):
        with tempfile.TemporaryDirectory() as directory, \
                Daemon("--runtime-dir", f"{directory}/not/there") as daemon, listener() as port:
            error = daemon.error("lease")
            self.assertEqual(error["data"]["error"], "ResourcesExhausted")
            self.assertEqual(error["data"]["resource"], "runtime directory")
            self.assertEqual(daemon.result("check", {"port": port})["status"], "open")
            self.assertIn("--runtime-dir", daemon.stderr())


class ClockIsSet(unittest.TestCase):
    def test_jumps(self):
        clock = Clock(self)
        self.daemon = self.enterContext(Daemon(POOL, env=clock.env))
        self.daemon.call("info")
        for seconds in 86400.0, -86400.0, 0.0:
            with self.subTest(seconds), silent_port() as silent, harness.closed_port() as closed, \
                    self.daemon.client() as client, self.daemon.client() as other:
                uptime = other.call("info")["result"]["uptime_ms"]
                lease = self.daemon.result("lease", {"ttl_ms": 60000, "until": "released"})["lease"]
                begin = time.monotonic()
                client.start("check", {"port": silent, "timeout_ms": 1000})
                client.start("scan", {"ports": str(silent), "timeout_ms": 1000})
                client.start("wait", {"port": closed, "deadline_ms": 1500, "interval_ms": 100})
                client.start("wait", {"port": silent, "deadline_ms": 1200, "timeout_ms": 1000})
                time.sleep(0.3)
                clock.jump(seconds)
                took = {}
                for _ in range(4):
                    answer = client.receive()
                    self.assertTrue("result" in answer or
                                    answer["error"]["data"]["error"] == "DeadlineExceeded", answer)
                    took[answer["id"]] = time.monotonic() - begin
                first = client.next_id - 4
                for i, expected in enumerate((1.0, 1.0, 1.5, 1.2)):
                    self.assertGreater(took[first + i], expected - 0.05)
                    self.assertLess(took[first + i], expected + (5 if INSTRUMENTED else 1))
                # A server that comes is seen in time, too.
                client.start("wait", {"port": closed, "interval_ms": 50, "until": "open"})
                self.assertTrue(client.is_silent(0.2))
                found = next(one for one in self.daemon.result("leases")["leases"]
                             if one["lease"] == lease["lease"])
                self.assertEqual(found["state"], "held")
                self.assertGreater(found["expires_in_ms"], 40000)
                grown = other.call("info")["result"]["uptime_ms"] - uptime
                self.assertGreater(grown, 0)
                self.assertLess(grown, 30000)
                self.daemon.result("release", {"lease": lease["lease"]})

    def test_the_clock_since_boot(self):
        """After a restart hours later by CLOCK_BOOTTIME, the leases with a ttl are over."""
        require_root()
        require("unshare")
        with Daemon(POOL, "--quarantine-ms=0") as daemon:
            for ttl in 3600000, None:
                params = {"until": "released", "name": str(ttl)}
                daemon.result("lease", params if ttl is None else {**params, "ttl_ms": ttl})
            daemon.stop()
            daemon.command[:0] = ["unshare", "-T", "--boottime", "7200", "--"]
            daemon.start()
            try:
                names = [one["name"] for one in daemon.result("leases", {"all": True})["leases"]]
            except (ConnectionError, FileNotFoundError):
                self.skipTest("no time namespace here")
            self.assertEqual(names, ["None"])


def overrun(pid, namespace):
    """
    Has the kernel answer questions that a halted process has not asked until its netlink sockets
    have no room left: how many of them.
    """
    pidfd_getfd, bad_request = 438, struct.pack("IHHII", 16, 16, 5, 0xdeadbeef, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            fd = libc.syscall(pidfd_getfd, process, int(name), 0)
            if fd < 0:
                raise unittest.SkipTest("no descriptors of others can be had here")
            with socket.socket(fileno=fd) as copy:
                if copy.family == socket.AF_NETLINK:
                    copy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    for _ in range(500):
                        copy.send(bad_request)
                    inodes.add(str(os.fstat(fd).st_ino))
    os.close(process)
    fields = [line.split() for line in namespace.run("cat /proc/net/netlink").splitlines()]
    return sum(one[-1] in inodes and int(one[-2]) > 0 for one in fields)


class Netlink(unittest.TestCase):
    def test_more_sockets_than_fit_its_buffer(self):
        """A listing of many thousand sockets comes whole, or the question is asked again."""
        require_root()
        require("unshare", "nsenter", "ip")
        with Namespace() as namespace, Daemon(namespace=namespace) as daemon, \
                users.descriptors(8000):
            with namespace.entered(), contextlib.ExitStack() as stack:
                ports = set()
                for _ in range(6000):
                    one = stack.enter_context(socket.socket())
                    one.bind(("127.0.0.1", 0))
                    one.listen(1)
                    ports.add(one.getsockname()[1])
                for _ in range(5):
                    result = daemon.result("scan", {"via": "table", "ports": "1-65535"})
                    self.assertEqual(result["counts"]["open"], len(ports))

    def test_buffers_that_run_over(self):
        """
        The daemon's own sockets get so many answers that the kernel has no room for the next
        ones: idle, and in the middle of listings. What it says is right, or ResourcesExhausted.
        """
        require_root()
        require("unshare", "nsenter", "ip")
        draw = random.Random(3)
        with Namespace() as namespace, Daemon(namespace=namespace) as daemon, \
                users.descriptors(4000), daemon.client() as client, contextlib.ExitStack() as stack:
            namespace.run("ip addr add 10.9.0.1/32 dev lo")
            with namespace.entered():
                servers = [stack.enter_context(harness.listening_socket()) for _ in range(2000)]
                closed = stack.enter_context(closed_port())
            ports = sorted(one.getsockname()[1] for one in servers)
            asks = [("scan", {"via": "table", "ports": "1-65535"}),
                    ("check", {"via": "table", "port": ports[0]}),
                    ("check", {"via": "table", "port": closed, "host": "10.9.0.1"}),
                    ("find", {"via": "table", "host": "10.9.0.1", "status": "open",
                              "ports": ports[0]}),
                    ("who", {"port": ports[1]})]
            n_right, n_overrun = 0, 0
            for i in range(20):
                ids = {client.start(method, params): method for method, params in asks * (i % 4)}
                time.sleep(draw.random() * 0.01)
                os.kill(daemon.pid, signal.SIGSTOP)
                n_overrun += overrun(daemon.pid, namespace)
                os.kill(daemon.pid, signal.SIGCONT)
                ids |= {client.start(method, params): method for method, params in asks}
                for _ in range(len(ids)):
                    answer = client.receive()
                    n_right += self.is_right(ids.pop(answer["id"]), answer, ports, closed)
            self.assertGreater(n_overrun, 20)
            # And it has got over it.
            for method, params in asks:
                self.assertTrue(self.is_right(method, client.call(method, params), ports, closed))
            self.assertGreater(n_right, 20 * len(asks))

    def is_right(self, method, answer, ports, closed):
        """False for ResourcesExhausted; a wrong answer fails the test."""
        if "error" in answer:
            self.assertEqual(answer["error"]["data"]["error"], "ResourcesExhausted")
            return False
        result = answer["result"]
        if method == "scan":
            self.assertEqual(result["ports"], ports)
        elif method == "check":
            self.assertEqual(result["reason"],
                             "not_listening" if result["port"] == closed else "listening")
        elif method == "find":
            self.assertIsNone(result["port"])
        else:
            self.assertEqual([one["state"] for one in result["sockets"]], ["LISTEN"])
        return True


class Many(unittest.TestCase):
    def test_idle_clients(self):
        """9,000 of them: root's, which has no quota; memory as little as they are busy."""
        require_root()
        n = 1000 if INSTRUMENTED else 9000
        with users.descriptors(n + 1000), Daemon(nofile=n + 1000) as daemon, \
                listener() as port, daemon.client() as other, contextlib.ExitStack() as stack:
            def p99():
                times = []
                for _ in range(200):
                    begin = time.perf_counter()
                    self.assertEqual(other.call("check", {"port": port})["result"]["status"],
                                     "open")
                    times.append((time.perf_counter() - begin) * 1e3)
                return sorted(times)[197]

            peace = p99()
            before = daemon.resident_bytes()
            clients = []
            for _ in range(n):
                clients.append(daemon.connect())
                stack.callback(clients[-1].close)
            self.assertTrue(wait_for(lambda: daemon.n_descriptors() > n, 30))
            each = (daemon.resident_bytes() - before) / n
            beside = p99()
            print(f"{each:.0f} bytes each; p99 {peace:.2f} -> {beside:.2f} ms", end=" ")
            if not INSTRUMENTED:
                self.assertLess(each, 2048)
            self.assertLess(beside, 1000 if INSTRUMENTED else 100)
            cpu = daemon.cpu_seconds()
            time.sleep(0.5)
            self.assertLess(daemon.cpu_seconds() - cpu, 0.1)
            clients[n // 2].sendall(b'{"method":"info"}\n')
            self.assertIn(b"portscand", clients[n // 2].recv(4096))


if __name__ == "__main__":
    harness.main()
