"""This host asked without connecting: via table, via bind, backlog_full, strict, and who."""

import contextlib
import ctypes
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import unittest

import harness
import without_table
from harness import (Daemon, Namespace, closed_port, full_port, listening_socket, require,
                     require_root)

FOREIGN = "192.0.2.1"

# Addresses on lo and on a device of its own.
NETWORK = """
ip addr add 10.98.0.1/32 dev lo
ip link add portscan0 type dummy 2>/dev/null || ip link add portscan0 type veth peer name portscan1
ip link set portscan0 up
ip addr add 10.99.0.1/24 dev portscan0
ip addr add 127.0.0.9/32 dev portscan0
ip addr add fd00:99::1/64 dev portscan0 nodad
"""

# What listeners are bound to: the address, whether v6-only, and the device.
KINDS = [
    ("127.0.0.1", None, None), ("127.0.0.2", None, None), ("0.0.0.0", None, None),
    ("10.98.0.1", None, None), ("10.99.0.1", None, None), ("127.0.0.9", None, None),
    ("::1", True, None), ("::", True, None), ("::", False, None), ("fd00:99::1", True, None),
    ("::ffff:127.0.0.1", False, None), ("::ffff:0.0.0.0", False, None),
    ("::ffff:10.99.0.1", False, None),
    ("0.0.0.0", None, "portscan0"), ("::", False, "portscan0"), ("::", True, "portscan0"),
    ("10.99.0.1", None, "portscan0"), ("0.0.0.0", None, "lo"), ("127.0.0.1", None, "lo"),
    ("::", False, "lo"), ("::1", True, "lo"), ("10.99.0.1", None, "lo"),
]

# The addresses asked for, and the interface that a packet to each seems to come in through.
HOSTS = {"127.0.0.1": "lo", "127.0.0.2": "lo", "10.98.0.1": "lo", "127.0.0.9": "portscan0",
         "10.99.0.1": "portscan0", "::1": "lo", "fd00:99::1": "portscan0",
         "::ffff:127.0.0.1": "lo"}


def bound_socket(kind, port, listen=True):
    """A socket of this kind, of the caller's; None if the port is taken for it."""
    address, v6only, device = kind
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        if v6only is not None:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        if device:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        one.bind((address, port))
        if listen:
            # Room for the sweeps by connect that this is compared with.
            one.listen(1024)
    except OSError:
        one.close()
        return None
    return one


def can_bind(host, port):
    one = bound_socket((host, False if ":" in host else None, None), port, listen=False)
    if one:
        one.close()
    return one is not None


def listeners_of_ss(namespace):
    """What ss says of each listener: address, device or "", and port."""
    found = []
    for line in namespace.run("ss -ltnuH").splitlines():
        words = line.split()
        if words[0] != "tcp":
            continue
        local = re.fullmatch(r"\[?([^]%]*)\]?(?:%([^:]+))?:(\d+)", words[4])
        found.append((local[1], local[2] or "", int(local[3])))
    return found


def ports_by_ss(listeners, host):
    """The ports that a connection to `host` finds a listener on, worked out from ss."""
    interface = HOSTS[host]
    host = host.removeprefix("::ffff:")
    anything = {"::", "*"} if ":" in host else {"0.0.0.0", "*", "::ffff:0.0.0.0"}
    return {port for address, device, port in listeners
            if device in ("", interface)
            and (address in anything or address.removeprefix("::ffff:") == host)}


class Local(unittest.TestCase):
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        require("ip", "ss", "nsenter")
        cls.network = cls.enterClassContext(Namespace(NETWORK))
        cls.enterClassContext(cls.network.entered())
        cls.daemon = cls.enterClassContext(Daemon(nofile=20000))
        # Answers once to be sure that it has started.
        cls.daemon.result("info")

    def scan(self, via, host="127.0.0.1", **params):
        return self.daemon.result("scan", {"via": via, "host": host, **params})

    def check(self, port, via, host="127.0.0.1", **params):
        result = self.daemon.result("check", {"port": port, "via": via, "host": host, **params})
        self.assertEqual((result["port"], result["host"]), (port, host))
        return result["status"], result["reason"]

    def find(self, ports, **params):
        return self.daemon.result("find", {"ports": ports, **params})["ports"]

    def assert_not_supported(self, answer, about):
        self.assertEqual(answer["data"]["error"], "NotSupported")
        self.assertIn(about, answer["data"]["detail"])
        self.assertIn(about, answer["message"])


class TwoThousandListeners(Local):
    """Of every kind, on ports at random, some of them shared by several kinds."""

    N = 2000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        seed = random.randrange(1 << 32)
        print(f"seed {seed}", file=sys.stderr)
        dice = random.Random(seed)
        ports = dice.sample(range(1, 65536), 1200)
        cls.listeners = []
        cls.addClassCleanup(lambda: [one.close() for one in cls.listeners])
        while len(cls.listeners) < cls.N:
            one = bound_socket(dice.choice(KINDS), dice.choice(ports))
            if one:
                one.setblocking(False)
                cls.listeners.append(one)
        cls.ports = ports

    def drain(self):
        """How many connections the listeners have seen since."""
        n = 0
        for one in self.listeners:
            with contextlib.suppress(BlockingIOError):
                while True:
                    one.accept()[0].close()
                    n += 1
        return n

    def test_table_connect_and_ss_agree(self):
        listeners = listeners_of_ss(self.network)
        for host in HOSTS:
            with self.subTest(host):
                table = self.scan("table", host)
                self.assertEqual(set(table["ports"]), ports_by_ss(listeners, host))
                self.assertEqual(table["counts"], {
                    "open": len(table["ports"]), "closed": 65535 - len(table["ports"]),
                    "timeout": 0})
                self.assertEqual((table["done"], table["total"]), (65535, 65535))
                connect = self.scan("connect", host)
                self.assertEqual(table["ports"], connect["ports"])
                closed = self.scan("table", host, status="closed")["ports"]
                self.assertEqual(sorted(closed + table["ports"]), list(range(1, 65536)))
        self.drain()

    def test_check_says_the_same(self):
        others = random.sample(range(1, 65536), 300)
        for host in HOSTS:
            is_open = set(self.scan("table", host)["ports"])
            ports = self.ports + others
            with self.subTest(host), self.daemon.client() as client:
                # As many as are read while nobody reads the answers.
                for begin in range(0, len(ports), 500):
                    part = ports[begin:begin + 500]
                    client.send_lines(*({"method": "check", "id": port, "params": {
                        "port": port, "host": host, "via": "table"}} for port in part))
                    for port in part:
                        answer = client.receive()
                        self.assertEqual(answer["id"], port)
                        self.assertEqual(
                            (answer["result"]["status"], answer["result"]["reason"]),
                            ("open", "listening") if port in is_open
                            else ("closed", "not_listening"))

    def test_nobody_sees_a_connection(self):
        self.drain()
        before = self.daemon.n_descriptors()
        for host in HOSTS:
            self.scan("table", host)
            self.scan("bind", host)
        self.find("1-", via="table", count=60000, strict=True)
        for port in self.ports[:200]:
            self.check(port, "table")
            self.check(port, "bind")
            self.daemon.result("who", {"port": port})
        self.assertEqual(self.drain(), 0)
        self.assertEqual(self.daemon.n_descriptors(), before)
        # Nor is anything left: no connection, and nothing that is only bound.
        self.assertEqual(self.network.run("ss -tanH state connected state bound-inactive "
                                          "2>/dev/null || ss -tanH state connected"), "")

    def test_bind_is_what_binding_says(self):
        for host in ("127.0.0.1", "10.99.0.1", "::1"):
            with self.subTest(host):
                taken = {port for port in range(1, 65536) if not can_bind(host, port)}
                result = self.scan("bind", host)
                self.assertEqual(set(result["ports"]), taken)
                self.assertEqual(result["counts"]["open"], len(taken))

    def test_lists_keep_their_order(self):
        is_open = set(self.scan("table")["ports"])
        ports = random.sample(range(1, 65536), 3000) + list(is_open)
        ports = list(dict.fromkeys(ports))
        for status in ("open", "closed"):
            expected = [port for port in ports if (port in is_open) == (status == "open")]
            self.assertEqual(self.scan("table", ports=ports, status=status)["ports"], expected)
            for count in (1, 7, 65535):
                self.assertEqual(self.find(ports, via="table", status=status, count=count),
                                 expected[:count])
            found = self.find(ports, via="table", status=status, count=9, order="random")
            self.assertEqual(len(set(found) & set(expected)), 9)

    def test_progress_has_the_rest(self):
        with self.daemon.client() as client:
            client.send_varlink({"method": "io.portscand.Scan", "more": True,
                                 "parameters": {"via": "table"}})
            reply = client.receive_varlink()
        self.assertEqual(reply["parameters"]["ports"], self.scan("table")["ports"])

    def test_askers_share_a_dump(self):
        with self.daemon.client() as client:
            before = self.daemon.metrics()["portscand_table_dumps_total"]
            client.send_lines(*({"method": "scan", "id": i, "params": {
                "via": "table", "ports": "1-1000"}} for i in range(20)))
            answers = [client.receive()["result"]["ports"] for _ in range(20)]
            after = self.daemon.metrics()["portscand_table_dumps_total"]
        self.assertEqual(answers, [answers[0]] * 20)
        # One, if the daemon has taken all of them in before its turn was over.
        self.assertLessEqual(after - before, 4)

    def test_lookups_are_counted(self):
        before = self.daemon.metrics()
        self.check(9, "table")
        after = self.daemon.metrics()
        self.assertEqual(after["portscand_table_lookups_total"] -
                         before["portscand_table_lookups_total"], 1)
        self.assertEqual(after["portscand_table_dumps_total"],
                         before["portscand_table_dumps_total"])


class Few(Local):
    def test_foreign_hosts(self):
        for via in ("table", "bind"):
            for method, params in (("check", {"port": 80}), ("wait", {"port": 80}),
                                   ("find", {"ports": "80-90"}), ("scan", {"ports": "80-90"})):
                with self.subTest(via=via, method=method):
                    answer = self.daemon.error(method, {"host": FOREIGN, "via": via, **params})
                    self.assert_not_supported(answer, f"{FOREIGN} is no address of this host")
                    self.assertIn("; ask via connect", answer["message"])

    def test_names(self):
        with listening_socket("127.0.0.1") as one:
            port = one.getsockname()[1]
            self.assertEqual(self.check(port, "table", "localhost"), ("open", "listening"))
            self.assertEqual(self.check(port, "bind", "localhost"), ("open", "in_use"))
            self.assertIn(port, self.scan("table", "localhost")["ports"])
        self.assertEqual(self.check(port, "table", "localhost"), ("closed", "not_listening"))
        self.assertEqual(self.check(port, "bind", "localhost"), ("closed", "bindable"))

    def test_any_address_is_loopback(self):
        with listening_socket("127.0.0.1") as one:
            port = one.getsockname()[1]
            self.assertEqual(self.check(port, "table", "0.0.0.0"), ("open", "listening"))
            self.assertEqual(self.check(port, "table", "::"), ("closed", "not_listening"))
            self.assertIn(port, self.scan("table", "0.0.0.0")["ports"])

    def test_bound_and_not_listening(self):
        with closed_port() as taken:
            with closed_port() as free:
                pass
            self.assertEqual(self.check(taken, "table"), ("closed", "not_listening"))
            self.assertEqual(self.check(taken, "bind"), ("open", "in_use"))
            for via in ("connect", "table"):
                self.assertEqual(self.find([taken, free], via=via), [taken])
                self.assertEqual(self.find([taken, free], via=via, strict=True), [free])
                self.assertEqual(self.find([taken, free], via=via, strict=True, status="open"), [])
            self.assertEqual(self.find([taken, free], via="bind"), [free])

    def test_strict_is_not_for_foreign_hosts(self):
        # 127.255.255.255 is a broadcast: nobody can say of it whether a port can be bound.
        answer = self.daemon.error("find", {"ports": "80", "host": "127.255.255.255",
                                            "strict": True})
        self.assertEqual(answer["data"]["error"], "Unreachable")

    def test_backlog_full(self):
        with full_port() as port, closed_port() as closed:
            self.assertEqual(self.check(port, "connect", timeout_ms=200),
                             ("open", "backlog_full"))
            self.assertEqual(self.check(port, "table"), ("open", "listening"))
            result = self.scan("connect", ports=[closed, port], timeout_ms=200)
            self.assertEqual(result["ports"], [port])
            self.assertEqual(result["counts"], {"open": 1, "closed": 1, "timeout": 0})
            self.assertEqual(self.find([port, closed], timeout_ms=200), [closed])
            result = self.daemon.result("wait", {"port": port, "timeout_ms": 100})
            self.assertEqual((result["status"], result["reason"]), ("open", "backlog_full"))

    def test_wait_polls_the_table(self):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.setblocking(False)
            port = server.getsockname()[1]
            timer = threading.Timer(0.2, server.listen)
            with self.daemon.client() as client:
                before = self.daemon.metrics()["portscand_table_lookups_total"]
                timer.start()
                result = client.call("wait", {"port": port, "via": "table", "interval_ms": 10})
                timer.join()
                self.assertEqual((result["result"]["status"], result["result"]["reason"]),
                                 ("open", "listening"))
                self.assertGreater(self.daemon.metrics()["portscand_table_lookups_total"],
                                   before + 5)
                self.assertRaises(BlockingIOError, server.accept)
                threading.Timer(0.1, server.close).start()
                result = client.call("wait", {"port": port, "via": "table", "until": "closed"})
                self.assertEqual(result["result"]["reason"], "not_listening")
                result = client.call("wait", {"port": port, "via": "bind", "until": "closed"})
                self.assertEqual(result["result"]["reason"], "bindable")

    def test_privileged_ports(self):
        require("setpriv")
        wrapper = [shutil.which("setpriv"), "--bounding-set", "-net_bind_service"]
        with Daemon(wrapper=wrapper) as daemon:
            for method, params in (("check", {"port": 1023}), ("scan", {"ports": "1023-1030"}),
                                   ("find", {"ports": "1023-1030"}), ("wait", {"port": 1023})):
                answer = daemon.error(method, {"via": "bind", **params})
                self.assertEqual(answer["data"]["error"], "PermissionDenied")
                self.assertIn("port 1023", answer["data"]["detail"])
            answer = daemon.error("find", {"ports": "1023-1030", "strict": True})
            self.assertEqual(answer["data"]["error"], "PermissionDenied")
            self.assertEqual(daemon.result("check", {"port": 1024, "via": "bind"})["reason"],
                             "bindable")
            self.assertEqual(daemon.result("check", {"port": 1023, "via": "table"})["reason"],
                             "not_listening")


class Who(Local):
    def who(self, port, **params):
        return self.daemon.result("who", {"port": port, **params})["sockets"]

    def test_listener(self):
        with listening_socket("127.0.0.1") as one:
            port, inode = one.getsockname()[1], os.fstat(one.fileno()).st_ino
            (found,) = self.who(port)
        self.assertEqual({name: found[name] for name in
                          ("protocol", "address", "port", "state", "uid", "inode", "pid")},
                         {"protocol": "tcp", "address": "127.0.0.1", "port": port,
                          "state": "LISTEN", "uid": os.geteuid(),
                          "inode": inode, "pid": os.getpid()})
        self.assertIn("python", found["command"])
        with open("/proc/self/cgroup", encoding="ascii") as cgroup:
            ours = [line.split("::", 1)[1].strip() for line in cgroup if line.startswith("0::")]
        if ours and found["cgroup"]:
            self.assertTrue(found["cgroup"].endswith(ours[0]), (found["cgroup"], ours))

    def test_nobody(self):
        with closed_port() as port:
            pass
        self.assertEqual(self.who(port), [])

    def test_bound_only(self):
        with closed_port() as port:
            (found,) = self.who(port)
            self.assertEqual((found["state"], found["pid"]), ("BOUND-INACTIVE", os.getpid()))
            self.assertEqual(self.who(port, protocol="udp"), [])

    def test_connections_without_a_listener(self):
        with listening_socket() as server, socket.create_connection(server.getsockname()) as client:
            host, port = client.getsockname()
            accepted = server.accept()[0]
            harness.reset_on_close(client)
            with socket.socket() as bound, socket.socket(type=socket.SOCK_DGRAM) as datagrams, \
                    accepted:
                bound.bind(("127.0.0.2", port))
                datagrams.bind((host, port))
                found = self.who(port)
        self.assertEqual([(one["protocol"], one["address"], one["state"]) for one in found],
                         [("udp", host, "UNCONN"), ("tcp", "127.0.0.2", "BOUND-INACTIVE"),
                          ("tcp", host, "ESTAB")])
        self.assertEqual({one["pid"] for one in found}, {os.getpid()})

    def test_a_command_that_can_not_be_printed(self):
        program = ("import socket; one = socket.create_server(('127.0.0.1', 0)); "
                   "print(one.getsockname()[1], flush=True); input()")
        arguments = [b"a\tb", b"caf\xc3\xa9", b"\xff\x1b[m"]
        with subprocess.Popen([sys.executable, "-ISc", program, *arguments],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            (found,) = self.who(int(process.stdout.readline()))
            process.communicate("\n")
        self.assertEqual(found["pid"], process.pid)
        self.assertTrue(found["command"].endswith(" a?b caf?? ??[m"), found["command"])

    def test_udp_and_both(self):
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", 0))
            port = datagrams.getsockname()[1]
            with listening_socket(port=port):
                self.assertEqual([(one["protocol"], one["state"]) for one in self.who(port)],
                                 [("tcp", "LISTEN"), ("udp", "UNCONN")])
            (found,) = self.who(port, protocol="udp")
            self.assertEqual((found["protocol"], found["pid"]), ("udp", os.getpid()))
            self.assertEqual(self.who(port, protocol="tcp"), [])

    def test_at_most_1024_those_that_listen_first(self):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(listening_socket(backlog=2000))
            port = server.getsockname()[1]
            for _ in range(1500):
                client = stack.enter_context(socket.socket())
                client.connect(("127.0.0.1", port))
                harness.reset_on_close(client)
                stack.enter_context(server.accept()[0])
            sockets = self.who(port)
        self.assertEqual(len(sockets), 1024)
        self.assertEqual(sockets[0]["state"], "LISTEN")
        self.assertEqual({one["state"] for one in sockets[1:]}, {"ESTAB"})
        self.assertEqual({one["pid"] for one in sockets}, {os.getpid()})

    def test_only_ones_own_processes(self):
        require_root()
        other = 65534
        os.chmod(self.daemon.directory, 0o755)
        os.chmod(self.daemon.path, 0o666)
        with listening_socket() as ours:
            port = ours.getsockname()[1]

            def ask():
                shared = self.who(port)
                # Inherited: as long as it is there, that process has it, too.
                ours.close()
                return shared, self.who(port), os.getpid()

            (found,), (not_shared,), pid = as_user(other, ask)
            self.assertEqual((found["uid"], found["pid"]), (0, pid))
            found = not_shared
            self.assertEqual((found["uid"], found["pid"], found["command"]), (0, None, None))

            def ask_for_own():
                with listening_socket() as own:
                    return self.who(own.getsockname()[1]), os.getpid()

            (found,), pid = as_user(other, ask_for_own)
            self.assertEqual((found["uid"], found["pid"]), (other, pid))

    def test_root_sees_all(self):
        require_root()
        require("setpriv")
        program = ("import socket; one = socket.create_server(('127.0.0.1', 0)); "
                   "print(one.getsockname()[1], flush=True); input()")
        with subprocess.Popen(["setpriv", "--reuid", "65534", "--clear-groups", sys.executable,
                               "-ISc", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              cwd="/", text=True) as process:
            (found,) = self.who(int(process.stdout.readline()))
            process.communicate("\n")
        self.assertEqual((found["uid"], found["pid"]), (65534, process.pid))
        self.assertIn("socket.create_server", found["command"])

    def test_many_descriptors_do_not_block(self):
        # A process with thousands of descriptors is looked at in slices.
        with self.daemon.client() as asker, self.daemon.client() as checker, \
                contextlib.ExitStack() as stack:
            for _ in range(8000):
                stack.callback(os.close, os.dup(2))
            one = stack.enter_context(listening_socket())
            asker.start("who", {"port": one.getsockname()[1]})
            n_checks = 0
            while asker.is_silent(0):
                checker.call("check", {"port": 9, "via": "table"})
                n_checks += 1
            (found,) = asker.receive()["result"]["sockets"]
        self.assertEqual(found["pid"], os.getpid())
        self.assertGreater(n_checks, 5)


class WithoutTable(Local):
    """On a kernel that doesn't tell."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = cls.enterClassContext(Daemon(wrapper=without_table.wrapper()))
        cls.daemon.result("info")

    def test_not_supported_with_the_reason(self):
        for method, params in (("check", {"port": 80}), ("wait", {"port": 80}),
                               ("find", {"ports": "80-90"}), ("scan", {"ports": "80-90"})):
            with self.subTest(method=method):
                self.assert_not_supported(self.daemon.error(method, {"via": "table", **params}),
                                          "NETLINK_SOCK_DIAG")
        answer = self.daemon.error("who", {"port": 80})
        self.assertEqual(answer["data"], {"error": "NotSupported",
                                          "detail": "no NETLINK_SOCK_DIAG"})

    def test_the_rest_works(self):
        with listening_socket() as one:
            port = one.getsockname()[1]
            self.assertEqual(self.check(port, "connect"), ("open", "accepted"))
            self.assertEqual(self.check(port, "bind"), ("open", "in_use"))
        with full_port() as port:
            self.assertEqual(self.check(port, "connect", timeout_ms=100), ("closed", "timeout"))


def as_user(uid, function):
    """What `function` returns in a process of that user's."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            # Or else its directory in /proc is root's.
            pr_set_dumpable = 4
            ctypes.CDLL(None).prctl(pr_set_dumpable, 1, 0, 0, 0)
            os.write(writer, repr(function()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, encoding="utf-8") as answer:
        text = answer.read()
    if os.waitpid(pid, 0)[1] != 0:
        raise AssertionError("the other user's process failed")
    return eval(text)  # pylint: disable=eval-used


if __name__ == "__main__":
    harness.main()
