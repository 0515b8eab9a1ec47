"""portscand as a service: how it starts, is watched, and ends, and what it does when short."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import (PORTSCAND, Client, Daemon, Namespace, closed_port, full_port, is_served,
                     launch, listener, require, wait_for)


class Test(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="portscand-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.runtime = self.enterContext(tempfile.TemporaryDirectory(prefix="portscand-test-"))

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, *options, fds=(), names="", closed="", env=None, stderr=subprocess.PIPE,
              **others):
        """A daemon that is ended by the test's end, with its stderr in a pipe."""
        process = launch([*harness.WRAPPER, PORTSCAND, *options], fds, names, closed=closed,
                         env={**os.environ, "RUNTIME_DIRECTORY": self.runtime,
                              **harness.SANITIZER_OPTIONS, **(env or {})},
                         stdin=subprocess.DEVNULL, stderr=stderr, text=True, **others)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stderr, process.stdout):
            if stream:
                stream.close()

    def start_served(self, path, *options, **arguments):
        process = self.start("--socket", path, *options, **arguments)
        address = "\0" + path[1:] if path[0] == "@" else path
        self.assertTrue(wait_for(lambda: is_served(address) or process.poll() is not None, 30))
        self.assertIsNone(process.poll())
        return process

    def client(self, address):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect("\0" + address[1:] if address[0] == "@" else address)
        return self.enterContext(Client(connection))

    def assert_ends(self, process, status, seconds=30):
        self.assertEqual(process.wait(seconds), status)
        return process.stderr.read() if process.stderr else ""

    def assert_serves(self, address):
        self.assertEqual(self.client(address).call("info")["result"]["product"], "portscand")


class Notifications(Test):
    def start_notifying(self, **env):
        self.notified = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.notified.bind(self.path("notify"))
        self.notified.settimeout(30)
        return self.start("--socket", self.path("socket"),
                          env={"NOTIFY_SOCKET": self.path("notify"), **env})

    def next_notification(self):
        return self.notified.recv(4096).decode().splitlines()

    def test_ready_and_stopping(self):
        process = self.start_notifying()
        message = self.next_notification()
        self.assertIn("READY=1", message)
        self.assertIn("STATUS=Serving " + self.path("socket"), message)
        # Ready is ready.
        self.assert_serves(self.path("socket"))
        process.send_signal(signal.SIGTERM)
        message = self.next_notification()
        self.assertIn("STOPPING=1", message)
        self.assertTrue(any(line.startswith("STATUS=") for line in message))
        self.assert_ends(process, 0)

    def test_watchdog(self):
        process = self.start_notifying(WATCHDOG_USEC="200000")
        self.assertIn("READY=1", self.next_notification())
        began = time.monotonic()
        for _ in range(3):
            self.assertEqual(self.next_notification(), ["WATCHDOG=1"])
        self.assertGreater(time.monotonic() - began, 0.2)
        process.terminate()
        self.assert_ends(process, 0)

    def test_watchdog_while_busy(self):
        process = self.start_notifying(WATCHDOG_USEC="2000000")
        self.assertIn("READY=1", self.next_notification())
        client = self.client(self.path("socket"))
        client.send_lines(*({"method": "scan", "id": i} for i in range(3)))
        latest = time.monotonic()
        for _ in range(4):
            self.assertEqual(self.next_notification(), ["WATCHDOG=1"])
            if not harness.INSTRUMENTED:
                self.assertLess(time.monotonic() - latest, 2)
            latest = time.monotonic()
        client.close()
        process.terminate()
        self.assert_ends(process, 0)

    def test_no_watchdog_that_is_for_another(self):
        process = self.start_notifying(WATCHDOG_USEC="100000", WATCHDOG_PID="1")
        self.assertIn("READY=1", self.next_notification())
        self.notified.settimeout(0.4)
        with self.assertRaises(TimeoutError):
            self.next_notification()
        process.terminate()
        self.assert_ends(process, 0)


class Stopping(Test):
    def test_tells_what_is_under_way(self):
        path = self.path("socket")
        process = self.start_served(path)
        with full_port() as silent, closed_port() as closed:
            line, batch, varlink, idle = (self.client(path) for _ in range(4))
            params = {"port": silent, "timeout_ms": 600000}
            for method, given in (("check", params), ("wait", {"port": closed}),
                                  ("find", {"ports": silent, "timeout_ms": 600000}),
                                  ("scan", {"ports": [silent, "1-65535"]})):
                line.send_lines({"jsonrpc": "2.0", "method": method, "id": method,
                                 "params": given})
            batch.send_lines([{"jsonrpc": "2.0", "method": "check", "id": i, "params": params}
                              for i in range(100)])
            varlink.send_varlink({"method": "io.portscand.Check", "parameters": params})
            for client in (line, batch, idle):
                client.send_lines({"method": "info", "id": "there"})
                self.assertEqual(client.receive()["id"], "there")
            varlink.send_lines({"method": "info", "id": "there"})
            self.assertEqual(varlink.receive()["id"], "there")

            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            answers = {answer["id"]: answer for answer in (line.receive() for _ in range(4))}
            self.assertEqual(set(answers), {"check", "wait", "find", "scan"})
            for answer in [*answers.values(), *batch.receive()]:
                self.assertEqual((answer["error"]["code"], answer["error"]["data"]),
                                 (12, {"error": "ShuttingDown"}))
            self.assertEqual(varlink.receive_varlink(), {"error": "io.portscand.ShuttingDown",
                                                         "parameters": {}})
            for client in (line, batch, varlink, idle):
                self.assertIsNone(client.receive())
            self.assert_ends(process, 0)
            if not harness.INSTRUMENTED:
                self.assertLess(time.monotonic() - began, 1)
        self.assertFalse(os.path.exists(path))

    def test_ends_though_clients_do_not_read(self):
        path = self.path("socket")
        process = self.start_served(path)
        client = self.client(path)
        client.send_lines(*({"method": "metrics"} for _ in range(2000)))
        time.sleep(0.3)
        began = time.monotonic()
        process.terminate()
        self.assert_ends(process, 0)
        self.assertLess(time.monotonic() - began, 2 if not harness.INSTRUMENTED else 10)

    def test_by_other_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start_served(self.path("socket"))
            process.send_signal(number)
            self.assert_ends(process, 0)

    def test_again_and_again(self):
        process = self.start_served(self.path("socket"))
        with contextlib.suppress(ProcessLookupError):
            for _ in range(20):
                process.send_signal(signal.SIGTERM)
        self.assert_ends(process, 0)

    def test_during_thousands_of_probes(self):
        harness.require_root()
        require("nft")
        path = self.path("socket")
        namespace = self.enterContext(Namespace(
            "nft add table inet test\n"
            "nft add chain inet test input '{ type filter hook input priority 0; }'\n"
            "nft add rule inet test input meta l4proto tcp drop"))
        with Daemon(namespace=namespace) as daemon, daemon.client() as client:
            client.start("scan", {"timeout_ms": 600000})
            self.assertTrue(wait_for(lambda: daemon.n_descriptors() > 2000))
            began = time.monotonic()
            self.assertEqual(daemon.stop(), 0)
            self.assertLess(time.monotonic() - began, 2 if not harness.INSTRUMENTED else 20)
            self.assertEqual(client.receive()["error"]["data"]["error"], "ShuttingDown")
        self.assertFalse(os.path.exists(path))


class Sockets(Test):
    def test_second_daemon(self):
        for address in (self.path("socket"), "@" + self.path("abstract")):
            first = self.start_served(address)
            errors = self.assert_ends(self.start("--socket", address), 1)
            self.assertIn(address, errors)
            self.assertIn("served by process", errors)
            # One fault, one line.
            self.assertEqual(len(errors.splitlines()), 1, errors)
            if not harness.WRAPPER:
                self.assertIn(f"process {first.pid} ", errors)
            self.assert_serves(address)
            first.terminate()
            self.assert_ends(first, 0)

    def test_the_same_socket_twice(self):
        for address in (self.path("twice"), "@" + self.path("twice-abstract")):
            errors = self.assert_ends(self.start("--socket", address, "--socket", address), 1)
            self.assertIn(f"{address} is given twice", errors)

    def test_link_to_nowhere(self):
        path = self.path("link")
        os.symlink(self.path("nowhere"), path)
        errors = self.assert_ends(self.start("--socket", path), 1)
        self.assertIn(f"{path} is in the way, and no socket; remove it", errors)
        self.assertTrue(os.path.islink(path))

    def test_too_few_descriptors(self):
        if harness.INSTRUMENTED:
            self.skipTest("a sanitizer or valgrind has descriptors of its own")
        for limit in (8, 12, 31):
            process = self.start("--socket", self.path("socket"), nofile=limit)
            self.assertIn("raise LimitNOFILE=, or ulimit -n, to 32 or more",
                          self.assert_ends(process, 1))

    def test_second_daemon_while_the_queue_is_full(self):
        path = self.path("socket")
        with socket.socket(socket.AF_UNIX) as busy:
            busy.bind(path)
            busy.listen(0)
            with socket.socket(socket.AF_UNIX) as waiting:
                waiting.connect(path)
                errors = self.assert_ends(self.start("--socket", path), 1)
                self.assertIn("served by process", errors)

    def test_stale_file(self):
        path = self.path("socket")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
            stale.listen()
        process = self.start_served(path)
        self.assert_serves(path)
        process.terminate()
        self.assertIn("left over", self.assert_ends(process, 0))
        self.assertFalse(os.path.exists(path))

    def test_stale_file_of_a_killed_daemon(self):
        path = self.path("socket")
        first = self.start_served(path)
        first.kill()
        first.wait()
        self.assertTrue(os.path.exists(path))
        second = self.start_served(path)
        self.assert_serves(path)
        second.terminate()
        self.assert_ends(second, 0)

    def test_several_started_at_once(self):
        for with_stale_file in (False, True):
            path = self.path(f"socket{with_stale_file}")
            if with_stale_file:
                with socket.socket(socket.AF_UNIX) as stale:
                    stale.bind(path)
            processes = [self.start("--socket", path) for _ in range(6)]
            self.assertTrue(wait_for(lambda: sum(process.poll() is not None
                                                 for process in processes) == 5, 30))
            # One serves, and the others say so.
            time.sleep(0.1)
            living = [process for process in processes if process.poll() is None]
            self.assertEqual(len(living), 1)
            self.assert_serves(path)
            for process in processes:
                if process is not living[0]:
                    self.assertIn("served by process", self.assert_ends(process, 1))
            living[0].terminate()
            self.assert_ends(living[0], 0)

    def test_file_that_is_no_socket(self):
        path = self.path("file")
        with open(path, "w", encoding="utf-8") as file:
            file.write("precious")
        self.assertIn("no socket", self.assert_ends(self.start("--socket", path), 1))
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "precious")

    def test_socket_of_another_kind(self):
        path = self.path("datagrams")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(path)
            errors = self.assert_ends(self.start("--socket", path), 1)
            self.assertIn("Protocol wrong type for socket", errors)
            self.assertTrue(os.path.exists(path))

    def test_directory_that_is_not_there(self):
        path = self.path("no/socket")
        errors = self.assert_ends(self.start("--socket", path), 1)
        self.assertIn(path, errors)
        self.assertIn("No such file or directory; make its directory, or give another --socket",
                      errors)

    def test_path_that_is_too_long(self):
        path = self.path("x" * 200)
        errors = self.assert_ends(self.start("--socket", path), 2)
        self.assertIn(path, errors)
        self.assertIn("at most 107 bytes", errors)

    def test_socket_of_another_is_left_alone(self):
        path = self.path("socket")
        process = self.start_served(path)
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            process.terminate()
            self.assert_ends(process, 0)
            self.assertTrue(os.path.exists(path))

    def test_open_to_every_user(self):
        mask = os.umask(0o077)
        try:
            process = self.start_served(self.path("socket"))
        finally:
            os.umask(mask)
        self.assertEqual(os.stat(self.path("socket")).st_mode & 0o777, 0o777)
        process.terminate()
        self.assert_ends(process, 0)

    def test_several(self):
        addresses = [self.path("a"), "@" + self.path("b"), self.path("c")]
        process = self.start(*(word for address in addresses for word in ("--socket", address)))
        self.assertTrue(wait_for(lambda: is_served(addresses[2]), 30))
        for address in addresses:
            self.assert_serves(address)
        process.terminate()
        errors = self.assert_ends(process, 0)
        for address in addresses:
            self.assertIn(address, errors)
        self.assertEqual(os.listdir(self.directory), [])

    def test_one_of_several_is_taken(self):
        first = self.start_served(self.path("b"))
        errors = self.assert_ends(self.start("--socket", self.path("a"), "--socket",
                                             self.path("b")), 1)
        self.assertIn(self.path("b"), errors)
        # What was opened before is cleared away.
        self.assertFalse(os.path.exists(self.path("a")))
        self.assert_serves(self.path("b"))
        first.terminate()
        self.assert_ends(first, 0)

    def test_user_s_own(self):
        harness.require_root()
        require("setpriv")
        os.chmod(self.directory, 0o777)
        if not os.access(os.path.dirname(PORTSCAND), os.X_OK):
            self.skipTest("others can't get at the build")
        command = ["setpriv", "--reuid=65534", "--clear-groups", PORTSCAND]
        process = subprocess.Popen(command, env={"XDG_RUNTIME_DIR": self.directory,
                                                 **harness.SANITIZER_OPTIONS},
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        path = self.path("portscand.sock")
        if not wait_for(lambda: is_served(path) or process.poll() is not None, 30) or \
                process.poll() == 127:
            self.skipTest("no other user can run the build")
        self.assert_serves(path)
        process.terminate()
        self.assert_ends(process, 0)


class CommandLine(Test):
    def run_it(self, *options):
        return subprocess.run([PORTSCAND, *options], capture_output=True, text=True, check=False,
                              timeout=30, env={**os.environ, **harness.SANITIZER_OPTIONS})

    def test_help_and_version(self):
        run = self.run_it("--help")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        for option in ("--socket", "--window", "--log-level", "--help", "--version"):
            self.assertIn(option, run.stdout)
        run = self.run_it("--version")
        self.assertEqual(run.returncode, 0)
        self.assertRegex(run.stdout, r"^portscand \d+\.\d+\.\d+\n$")

    def test_output_that_can_not_be_written(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            for option in ("--help", "--version"):
                self.assertNotEqual(subprocess.run([PORTSCAND, option], stdout=full, check=False,
                                                   stderr=subprocess.DEVNULL).returncode, 0)

    def test_wrong_options(self):
        for options, blamed in ((["--nonsense"], "nonsense"), (["word"], "word"),
                                (["--window", "0"], "window"), (["--window", "65536"], "window"),
                                (["--window", "10x"], "window"), (["--window", " 1"], "window"),
                                (["--window", "-1"], "window"), (["--window", ""], "window"),
                                (["--window"], "window"), (["--socket", "relative"], "socket"),
                                (["--socket", "@"], "socket"), (["--socket", ""], "socket"),
                                (["--log-level", "loud"], "log-level"), (["-x"], "x"),
                                (["--socket=/tmp/x"] * 17, "socket"),
                                (["--help=1"], "help")):
            run = self.run_it(*options)
            self.assertEqual((run.returncode, run.stdout), (2, ""), options)
            self.assertIn(blamed, run.stderr)


class PassedIn(Test):
    def listening(self, name):
        listening = self.enterContext(socket.socket(socket.AF_UNIX))
        listening.bind(self.path(name))
        listening.listen(16)
        return listening

    def test_several_listening(self):
        sockets = [self.listening(name) for name in "ab"]
        process = self.start("--socket", self.path("not-this"), fds=[s.fileno() for s in sockets],
                             names="varlink:other")
        for name in "ab":
            self.assert_serves(self.path(name))
        self.assertFalse(os.path.exists(self.path("not-this")))
        process.terminate()
        errors = self.assert_ends(process, 0)
        self.assertIn(self.path("a"), errors)
        # Whose socket it is, his is the file.
        self.assertTrue(os.path.exists(self.path("a")))

    def test_connected(self):
        ours, theirs = socket.socketpair()
        with theirs:
            process = self.start(fds=[theirs.fileno()])
        with Client(ours) as client:
            ours.settimeout(30)
            self.assertEqual(client.call("info")["result"]["product"], "portscand")
            self.assertEqual(client.call_varlink("org.varlink.service.GetInfo")["parameters"]
                             ["product"], "portscand")
        # It was one client's own: nobody else is told about it.
        self.assertEqual(self.assert_ends(process, 0), "")

    def test_connected_has_no_leases(self):
        ours, theirs = socket.socketpair()
        with theirs:
            process = self.start(fds=[theirs.fileno()])
        with Client(ours) as client:
            ours.settimeout(30)
            for method, params in (("lease", {}), ("leases", {}), ("release", {"lease": "1" * 16}),
                                   ("renew", {"lease": "1" * 16})):
                error = client.call(method, params)["error"]
                self.assertEqual((error["code"], error["data"]["error"]), (10, "NotSupported"))
        self.assert_ends(process, 0)

    def test_connected_and_half_closed(self):
        ours, theirs = socket.socketpair()
        with theirs, full_port() as silent, Client(ours) as client:
            ours.settimeout(30)
            process = self.start(fds=[theirs.fileno()])
            theirs.close()
            client.start("check", {"port": silent})
            client.half_close()
            self.assertEqual(client.receive()["result"]["reason"], "backlog_full")
            self.assertIsNone(client.receive())
            self.assert_ends(process, 0)

    def test_connected_and_listening(self):
        ours, theirs = socket.socketpair()
        with theirs:
            process = self.start(fds=[self.listening("a").fileno(), theirs.fileno()],
                                 names="varlink:connection")
        ours.settimeout(30)
        with Client(ours) as client:
            self.assertIn("result", client.call("info"))
            self.assert_serves(self.path("a"))
        self.assert_ends(process, 0)

    def test_what_is_no_stream_socket(self):
        with open("/dev/null", "rb") as null, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams, \
                socket.socket() as internet, socket.socket(socket.AF_UNIX) as fresh:
            internet.listen()
            for wrong in (null, datagrams, internet):
                errors = self.assert_ends(self.start(fds=[wrong.fileno()], names="wrong"), 1)
                self.assertIn("descriptor 3 (wrong)", errors)
            # Neither listening nor connected: as good as a client that is gone.
            self.assert_ends(self.start(fds=[fresh.fileno()]), 0)

    def test_good_ones_beside_a_wrong_one(self):
        ours, theirs = socket.socketpair()
        with theirs, ours, open("/dev/null", "rb") as null:
            for fds in ([theirs.fileno(), null.fileno()],
                        [self.listening("a").fileno(), theirs.fileno(), null.fileno()]):
                errors = self.assert_ends(self.start(fds=fds), 1)
                self.assertIn(f"descriptor {2 + len(fds)}", errors)

    def test_systemd_socket_activate(self):
        require("systemd-socket-activate")
        path = self.path("socket")
        process = subprocess.Popen(
            ["systemd-socket-activate", "--listen=" + path, "--fdname=varlink",
             "--setenv=RUNTIME_DIRECTORY=" + self.runtime,
             *(f"--setenv={name}={value}" for name, value in harness.SANITIZER_OPTIONS.items()),
             PORTSCAND, "--log-level", "debug"], stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        self.assertTrue(wait_for(lambda: is_served(path), 30))
        client = self.client(path)
        self.assertEqual(client.call("info")["result"]["pid"], process.pid)
        self.assert_serves(path)
        process.terminate()
        self.assertIn("serving " + path, self.assert_ends(process, 0))

    def test_systemd_socket_activate_for_each_connection(self):
        require("systemd-socket-activate")
        path = self.path("socket")
        process = subprocess.Popen(
            ["systemd-socket-activate", "--accept", "--listen=" + path,
             *(f"--setenv={name}={value}" for name, value in harness.SANITIZER_OPTIONS.items()),
             PORTSCAND], stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, process)
        self.assertTrue(wait_for(lambda: is_served(path), 30))
        pids = [client.call("info")["result"]["pid"] for client in
                (self.client(path) for _ in range(3))]
        self.assertEqual(len({*pids, process.pid}), 4)


class Descriptors(Test):
    @unittest.skipIf(harness.WRAPPER, "the wrapper has descriptors of its own")
    def test_accept_neither_dies_nor_spins(self):
        with Daemon(nofile=64) as daemon, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(daemon.client()) for _ in range(100)]
            self.assertTrue(wait_for(lambda: daemon.n_descriptors() == 64))
            time.sleep(0.2)
            began, before = time.monotonic(), daemon.cpu_seconds()
            time.sleep(2)
            share = (daemon.cpu_seconds() - before) / (time.monotonic() - began)
            self.assertLess(share, 0.1)
            # Who got in is served.
            self.assertIn("result", clients[0].call("info"))
            self.assertTrue(clients[-1].is_silent(0))
            warnings = [line for line in daemon.stderr().splitlines() if "accepted" in line]
            self.assertEqual(len(warnings), 1, warnings)
            self.assertIn("Too many open files", warnings[0])
            self.assertIn("LimitNOFILE", warnings[0])
            # And the others, as soon as there is room: each in its turn.
            for client in clients:
                self.assertIn("result", client.call("info"))
                client.close()
            self.assertGreater(daemon.metrics()["portscand_accept_pauses_total"], 0)


class Logs(Test):
    def test_prefix_of_its_own(self):
        process = self.start_served(self.path("socket"))
        process.terminate()
        for line in self.assert_ends(process, 0).splitlines():
            self.assertTrue(line.startswith("portscand: "), line)

    def test_journal_s_prefixes(self):
        read, write = os.pipe()
        status = os.fstat(write)
        process = self.start_served(self.path("socket"), stderr=write,
                                    env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        second = self.start("--socket", self.path("socket"), stderr=write,
                            env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        os.close(write)
        second.wait(30)
        process.terminate()
        process.wait(30)
        with open(read, encoding="utf-8") as pipe:
            lines = pipe.read().splitlines()
        self.assertGreaterEqual(len(lines), 3)
        for line in lines:
            self.assertRegex(line, r"^<[36]>\S")
        self.assertTrue(any(line.startswith("<3>") and "served by" in line for line in lines))

    def test_journal_of_another(self):
        process = self.start_served(self.path("socket"), env={"JOURNAL_STREAM": "1:1"})
        process.terminate()
        self.assertTrue(self.assert_ends(process, 0).startswith("portscand: "))

    def test_levels(self):
        for level, n_lines in (("err", 0), ("warning", 0), ("notice", 0), ("info", 2),
                               ("debug", 2)):
            process = self.start_served(self.path("socket"), "--log-level", level)
            process.terminate()
            lines = self.assert_ends(process, 0).splitlines()
            self.assertEqual(len(lines), n_lines, (level, lines))

    @unittest.skipIf(harness.WRAPPER, "the wrapper has descriptors of its own")
    def test_standard_descriptors_that_are_closed(self):
        for closed in ("1", "2", "0 1 2"):
            process = self.start_served(self.path("socket"), closed=closed)
            client = self.client(self.path("socket"))
            with listener() as port:
                for _ in range(3):
                    self.assertEqual(client.call("check", {"port": port})["result"]["status"],
                                     "open")
            targets = {int(name): os.readlink(f"/proc/{process.pid}/fd/{name}")
                       for name in os.listdir(f"/proc/{process.pid}/fd")}
            for fd in map(int, closed.split()):
                self.assertEqual(targets[fd], "/dev/null")
            client.close()
            process.terminate()
            self.assert_ends(process, 0)

    def test_reader_of_stderr_is_gone(self):
        read, write = os.pipe()
        process = self.start_served(self.path("socket"), stderr=write)
        os.close(write)
        os.close(read)
        process.terminate()
        process.wait(30)
        self.assertEqual(process.returncode, 0)


@unittest.skipIf(harness.INSTRUMENTED, "it is not itself")
class Memory(Test):
    def test_idle_and_idle_connections(self):
        # Set, it has every page written that is only reserved.
        with Daemon(env={"MALLOC_PERTURB_": "0"}) as daemon:
            self.assertIn("pid", daemon.result("info"))
            idle = daemon.resident_bytes()
            self.assertLess(idle, 4 << 20)
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(daemon.client()) for _ in range(1000)]
                for client in clients:
                    self.assertIn("result", client.call("info"))
                each = (daemon.resident_bytes() - idle) / 1000
                self.assertLess(each, 1536)
                self.assertLess(daemon.resident_bytes(), 6 << 20)

    def test_is_given_back(self):
        with Daemon() as daemon:
            def use():
                daemon.result("scan", {"status": "closed"})
                with daemon.client() as client:
                    client.send_lines([{"method": "check", "params": {"port": 1}}] * 2000)
                    self.assertEqual(len(client.receive()), 2000)

            for _ in range(3):
                use()
            before = daemon.resident_bytes()
            for _ in range(8):
                use()
            self.assertLess(daemon.resident_bytes(), before + (1 << 20))


class Metrics(Test):
    def test_text(self):
        with Daemon() as daemon, listener() as port:
            daemon.result("check", {"port": port})
            daemon.error("check", {"port": 80, "host": "127.255.255.255"})
            daemon.error("check", {"port": 0})
            text = daemon.result("metrics")["text"]
            samples = daemon.metrics()
        self.assertTrue(text.endswith("# EOF\n"))
        families = re.findall(r"^# TYPE (\w+) (counter|gauge)$", text, re.MULTILINE)
        self.assertEqual(len(set(families)), len(families))
        for line in text.splitlines():
            if line.startswith("#"):
                self.assertRegex(line, r"^# (TYPE|HELP|EOF)")
                continue
            name = re.match(r'^(\w+)(\{\w+="[^"]+"\})? [0-9.e+]+$', line)[1]
            self.assertTrue((name, "gauge") in families or
                            (name.removesuffix("_total"), "counter") in families, line)
        self.assertEqual(samples['portscand_requests_total{method="check"}'], 3)
        self.assertEqual(samples['portscand_errors_total{error="Unreachable"}'], 1)
        self.assertEqual(samples['portscand_errors_total{error="InvalidParameter"}'], 1)
        self.assertEqual(samples['portscand_errors_total{error="Internal"}'], 0)
        self.assertEqual(samples['portscand_probes_total{outcome="open"}'], 1)
        self.assertEqual(samples['portscand_probes_total{outcome="unreachable"}'], 1)
        self.assertEqual(samples["portscand_connections_accepted_total"], 5)


if __name__ == "__main__":
    harness.main()
