"""The configuration file: read at the start, and again at SIGHUP, while clients are served."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness
import users
from harness import Daemon, Namespace, require, require_root, silent_port, wait_for
from users import USER


class Manager:
    """What a service manager hears from the daemon."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self):
        """The next message, as a dictionary; those about descriptors are left out."""
        while True:
            message, fds, _, _ = socket.recv_fds(self.socket, 4096, 8)
            for fd in fds:
                os.close(fd)
            fields = dict(line.split("=", 1) for line in message.decode().splitlines())
            if not any(name.startswith("FDSTORE") for name in fields):
                return fields

    def receive_until(self, name):
        while name not in (fields := self.receive()):
            pass
        return fields


class Test(unittest.TestCase):
    namespace = None

    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.file = os.path.join(self.directory, "portscand.conf")

    def write(self, *lines):
        with open(self.file, "w", encoding="ascii") as file:
            file.write("".join(line + "\n" for line in lines))

    def start(self, *options, **more):
        daemon = self.enterContext(Daemon("--config", self.file, *options,
                                          namespace=self.namespace, **more))
        daemon.call("info")
        return daemon

    def reload(self, daemon, *lines, expected="read the configuration again"):
        """Writes the file and has it read: what the daemon said about it."""
        self.write(*lines)
        before = len(daemon.stderr())
        os.kill(self.pid(daemon), signal.SIGHUP)
        self.assertTrue(wait_for(lambda: expected in daemon.stderr()[before:]),
                        daemon.stderr()[before:])
        return daemon.stderr()[before:]

    def pid(self, daemon):
        return daemon.result("info")["pid"]


class Start(Test):
    def test_all_words(self):
        path = os.path.join(self.directory, "a.sock")
        runtime = os.path.join(self.directory, "runtime")
        self.write("# comment", "; another", "", "[any section]", f"socket = {path}",
                   f"runtime-dir = {runtime}", "pool = 10000-10001", "quarantine-ms = 0",
                   "window = 7", "connections-per-user = 3", "requests-per-user = 9",
                   "leases-per-user = 1", "allow = 192.0.2.0/24", "deny = 198.51.100.0/24",
                   "log-level = warning")
        # Sockets that are passed in go before those of the file: there must be none.
        process = subprocess.Popen(
            [*harness.WRAPPER, harness.PORTSCAND, "--config", self.file],
            env={**os.environ, **harness.SANITIZER_OPTIONS}, stderr=subprocess.PIPE)
        try:
            self.assertTrue(wait_for(lambda: harness.is_served(path), 30))
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                client = harness.Client(connection)
                result = client.call("lease")["result"]
                self.assertIn(result["port"], (10000, 10001))
            self.assertTrue(os.path.exists(os.path.join(runtime, "leases.journal")))
        finally:
            process.terminate()
            _, errors = process.communicate()
        self.assertEqual((process.returncode, errors), (0, b""))

    def refused(self, *lines, options=()):
        self.write(*lines)
        done = subprocess.run(
            [*harness.WRAPPER, harness.PORTSCAND, "--config", self.file, *options],
            env={**os.environ, **harness.SANITIZER_OPTIONS}, capture_output=True, text=True,
            timeout=30, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        return done.stderr

    def test_mistakes(self):
        self.assertEqual(self.refused("", "window = none"),
                         f"portscand: {self.file}:2: window is \"none\"; it must be a number "
                         "from 1 to 65535\n")
        self.assertEqual(self.refused("windo = 3"),
                         f"portscand: {self.file}:1: windo is not known; portscand --help tells "
                         "the words there are\n")
        self.assertEqual(self.refused("allow = 10.0.0.1/8", "no word"),
                         f"portscand: {self.file}:1: allow is \"10.0.0.1/8\"; it must be a "
                         "network such as 192.0.2.0/24, with no bits behind the prefix\n")
        self.assertEqual(self.refused(options=["--deny=x"]),
                         "portscand: --deny is \"x\"; it must be a network such as "
                         "192.0.2.0/24, with no bits behind the prefix\n")
        os.unlink(self.file)
        done = subprocess.run([harness.PORTSCAND, "--config", self.file], capture_output=True,
                              text=True, timeout=30, check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (2, f"portscand: {self.file}: No such file or directory\n"))


class Reload(Test):
    def test_a_mistake_leaves_the_old_one_in_force(self):
        self.write("pool = 10000")
        daemon = self.start()
        said = self.reload(daemon, "pool = 11000", "window = 0",
                           expected="the configuration stays as it was")
        self.assertIn(f"{self.file}:2: window is \"0\"; it must be a number from 1 to 65535",
                      said)
        self.assertNotIn("read the configuration again", said)
        lease = daemon.result("lease", {"until": "connection"})
        self.assertEqual(lease["port"], 10000)
        # A file that is gone is a mistake, too, where it was asked for.
        os.unlink(self.file)
        os.kill(daemon.pid, signal.SIGHUP)
        self.assertTrue(wait_for(
            lambda: daemon.stderr().count("the configuration stays as it was") == 2))
        self.assertIn(f"{self.file}: No such file or directory", daemon.stderr())
        self.reload(daemon, "pool = 11000")
        self.assertEqual(daemon.result("lease", {"until": "connection"})["port"], 11000)

    def test_pool_and_quarantine(self):
        self.write("pool = 10000", "quarantine-ms = 60000")
        daemon = self.start()
        first = daemon.result("lease", {"until": "released"})
        self.assertEqual(first["port"], 10000)
        self.reload(daemon, "pool = 11000", "quarantine-ms = 0")
        # What is leased stays so.
        self.assertEqual(daemon.result("renew", {"lease": first["lease"]["lease"]})
                         ["lease"]["ports"], [10000])
        for _ in range(2):
            lease = daemon.result("lease", {"until": "released"})
            self.assertEqual(lease["port"], 11000)
            daemon.result("release", {"lease": lease["lease"]["lease"]})
            self.assertTrue(wait_for(lambda: len(daemon.result("leases")["leases"]) == 1))

    def test_pool_among_ports_for_connections(self):
        require_root()
        require("ip", "nsenter")
        self.namespace = self.enterContext(Namespace(
            "echo 30000 39999 >/proc/sys/net/ipv4/ip_local_port_range"))
        told = ("the pool overlaps ip_local_port_range (30000-39999), and connections of this host "
                "may have ports of it; give another --pool, or put it into ip_local_reserved_ports")
        self.write("pool = 29000-30000")
        daemon = self.start()
        self.assertEqual(daemon.stderr().count(told), 1)
        self.assertNotIn(told, self.reload(daemon, "pool = 29000-29999,40000-"))
        self.assertIn(told, self.reload(daemon, "pool = 39999"))
        self.namespace.run("echo 38000-39999 >/proc/sys/net/ipv4/ip_local_reserved_ports")
        self.assertNotIn(told, self.reload(daemon, "pool = 38000-40000"))

    def test_options_win_over_what_is_read_again(self):
        self.write("pool = 10000")
        daemon = self.start("--pool=12000", "--quarantine-ms=0")
        self.reload(daemon, "pool = 11000")
        self.assertEqual(daemon.result("lease", {"until": "connection"})["port"], 12000)

    def test_log_level(self):
        self.write()
        daemon = self.start()
        self.reload(daemon, "log-level = debug")
        self.reload(daemon, "log-level = info")
        self.write("log-level = err")
        os.kill(daemon.pid, signal.SIGHUP)
        before = daemon.stderr()
        time.sleep(0.3)
        self.write("window = 0")
        os.kill(daemon.pid, signal.SIGHUP)
        self.assertTrue(wait_for(lambda: "window is" in daemon.stderr()))
        # The mistake is an error, and that the old one stays only a warning.
        self.assertNotIn("stays as it was", daemon.stderr()[len(before):])

    def test_what_takes_a_restart(self):
        self.write("socket = /run/one.sock")
        daemon = self.start()
        said = self.reload(daemon, "socket = /run/two.sock", "pool = 11000")
        self.assertIn("portscand: another socket takes a restart\n", said)
        self.assertNotIn("runtime-dir", said)
        # Everything else of the same file counts.
        self.assertEqual(daemon.result("lease", {"until": "connection"})["port"], 11000)
        # And it is said again, as it is still so.
        self.assertIn("another socket", self.reload(daemon, "socket = /run/two.sock"))
        said = self.reload(daemon, "socket = /run/one.sock", "runtime-dir = /run/elsewhere")
        self.assertIn("portscand: another runtime-dir takes a restart\n", said)
        self.assertNotIn("another socket", said)
        self.assertNotIn("takes a restart", self.reload(daemon, "socket = /run/one.sock"))

    def test_clients_do_not_notice(self):
        self.write()
        daemon = self.start()
        with harness.closed_port() as port, daemon.client() as client:
            client.start("wait", {"port": port, "deadline_ms": 1500, "interval_ms": 20})
            client.start("scan", {"ports": "1-65535"})
            answers = []
            for i in range(50):
                self.write(f"window = {i + 1}")
                os.kill(daemon.pid, signal.SIGHUP)
            answers = {answer["id"]: answer for answer in (client.receive(), client.receive())}
            self.assertEqual(answers[1]["error"]["data"]["error"], "DeadlineExceeded")
            self.assertEqual(sum(answers[2]["result"]["counts"][name]
                                 for name in ("open", "closed", "timeout")), 65535)

    def test_the_manager_is_told(self):
        with Manager(self.directory) as manager:
            self.write()
            daemon = self.start(env={"NOTIFY_SOCKET": manager.path})
            manager.receive_until("READY")
            for mistake in False, True:
                begin = time.monotonic_ns() // 1000
                if mistake:
                    self.write("window = 0")
                os.kill(daemon.pid, signal.SIGHUP)
                fields = manager.receive_until("RELOADING")
                self.assertEqual(fields["RELOADING"], "1")
                self.assertGreaterEqual(int(fields["MONOTONIC_USEC"]), begin)
                self.assertLessEqual(int(fields["MONOTONIC_USEC"]), time.monotonic_ns() // 1000)
                self.assertEqual(manager.receive()["READY"], "1")
            daemon.stop()
            self.assertEqual(manager.receive_until("STOPPING")["STOPPING"], "1")


class Users(Test):
    """What others than root notice."""

    def setUp(self):
        require_root()
        super().setUp()

    def test_quotas(self):
        self.write("pool = 10000-10999")
        daemon = self.start()
        first = self.enterContext(users.client(daemon, USER))
        self.assertIn("result", first.call("lease", {"count": 2}))
        self.reload(daemon, "pool = 10000-10999", "connections-per-user = 1",
                    "requests-per-user = 1", "leases-per-user = 2")
        error = first.call("lease")["error"]["data"]
        self.assertEqual(error, {"error": "QuotaExceeded", "resource": "leases", "limit": 2})
        with users.connect(daemon, USER) as second, contextlib.suppress(ConnectionResetError):
            self.assertEqual(second.recv(1), b"")
        with harness.closed_port() as port:
            first.start("wait", {"port": port})
            first.start("info")
            self.assertEqual(first.receive()["error"]["data"],
                             {"error": "QuotaExceeded", "resource": "requests", "limit": 1})
        self.reload(daemon)
        self.assertIn("result", first.call("lease", {"ports": "10000-10999"}))
        with users.client(daemon, USER) as second:
            self.assertIn("result", second.call("info"))


class Targets(Test):
    def setUp(self):
        require_root()
        require("ip", "nsenter", "unshare")
        super().setUp()
        self.namespace = self.enterContext(Namespace("""
ip link add d0 type veth peer name d1
ip link set d0 up
ip link set d1 up
ip addr add 10.9.0.1/24 dev d0
"""))

    def denied(self, client):
        answer = client.call("check", {"host": "10.9.0.2", "port": 9, "timeout_ms": 20})
        return answer.get("error", {}).get("data", {}).get("error") == "TargetDenied"

    def test_allow_and_deny(self):
        self.write()
        daemon = self.start()
        with users.client(daemon, USER) as user, daemon.client() as root:
            self.assertTrue(self.denied(user))
            self.assertFalse(self.denied(root))
            self.reload(daemon, "allow = 10.9.0.0/24")
            self.assertFalse(self.denied(user))
            self.reload(daemon, "deny = 10.9.0.0/24")
            self.assertTrue(self.denied(user))
            self.assertTrue(self.denied(root))
            self.reload(daemon)
            self.assertTrue(self.denied(user))
            self.assertFalse(self.denied(root))

    def test_window(self):
        self.write("window = 5")
        daemon = self.start()
        with daemon.client() as client:
            client.call("info")
            # Those who came before are gone by then.
            self.assertTrue(wait_for(
                lambda: daemon.metrics()["portscand_connections"] == 2))
            time.sleep(0.1)
            before = daemon.n_descriptors()
            client.start("scan", {"host": "10.9.0.2", "ports": "1-1000", "timeout_ms": 2000})

            def n_probes():
                return daemon.n_descriptors() - before

            self.assertTrue(wait_for(lambda: n_probes() == 5))
            self.reload(daemon, "window = 50")
            self.assertTrue(wait_for(lambda: n_probes() > 40))



if __name__ == "__main__":
    harness.main()
