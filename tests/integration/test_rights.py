"""Who may what: which targets are probed for whom, and what is told of others' sockets."""

import os
import subprocess
import tempfile
import unittest

import harness
import users
from harness import Daemon, Namespace, listener, require, require_root, wait_for
from users import DAEMON_USER, GROUP, OTHER, OTHER_GROUP, USER

# Interfaces that lead nowhere: what is sent to their networks is lost.
SETUP = """
sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 || true
for n in 0 1; do
	ip link add d$n type veth peer name p$n
	ip link set d$n up
	ip link set p$n up
done
ip addr add 10.9.0.1/24 brd + dev d0
ip addr add fd09::1/64 dev d0 nodad
ip addr add fe80::9:1/64 dev d0 nodad
ip addr add 10.10.0.1/24 dev d1
"""
HOSTS = """127.0.0.1 localhost
10.9.0.1 own.test
10.10.0.1 own.test
10.9.0.2 foreign.test
10.9.0.1 mixed.test
10.9.0.2 mixed.test
127.0.0.1 mixed6.test
fd09::2 mixed6.test
::ffff:10.9.0.1 own-mapped.test
::ffff:10.9.0.2 mapped.test
"""

OWN = ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "10.9.0.1", "10.10.0.1", "fd09::1",
       "fe80::9:1%d0", "::ffff:10.9.0.1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "localhost",
       "own.test", "own-mapped.test"]
FOREIGN = ["10.9.0.2", "192.0.2.1", "fd09::2", "fe80::9:2%d0", "::ffff:10.9.0.2",
           "::ffff:a09:2", "0:0:0:0:0:FFFF:10.9.0.2", "foreign.test", "mixed.test", "mixed6.test",
           "mapped.test",
           # Nearly this host's, but not quite.
           "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "::2", "128.0.0.1",
           # This host has it, but by another interface.
           "fe80::9:1%d1",
           # Anybody's.
           "10.9.0.255", "255.255.255.255", "224.0.0.1", "ff02::1%d0", "ff01::1%lo"]
# Other ways to write an IPv4 address: of a foreign host, taken for names.
TRICKS = ["10.9.2", "0x0a090002", "168361986", "012.011.0.2", "10.9.0.2.", "10.9.0.2%d0",
          "[10.9.0.2]", "10.9.0.2 ", "10.9.0.2/32", "10.9.0.2:80"]


def count_probes(daemon):
    """How many probes there have been."""
    return sum(value for name, value in daemon.metrics().items()
               if name.startswith("portscand_probes_total"))


class Rights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        require_root()
        require("ip", "nsenter", "unshare", "setpriv")
        cls.directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        mounts = users.group_files(cls.directory)
        mounts["/etc/hosts"] = os.path.join(cls.directory, "hosts")
        mounts["/etc/resolv.conf"] = os.path.join(cls.directory, "resolv.conf")
        with open(mounts["/etc/hosts"], "w", encoding="ascii") as file:
            file.write(HOSTS)
        with open(mounts["/etc/resolv.conf"], "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        cls.namespace = cls.enterClassContext(Namespace(SETUP, mounts))

    def start(self, *options):
        return self.enterContext(Daemon(*options, namespace=self.namespace))

    def client(self, daemon, uid, gid=None, groups=()):
        return self.enterContext(users.client(daemon, uid, gid, groups))

    def ask(self, client, host, method="check", **params):
        """The name of the error, or "" for an answer, one of the network's included."""
        ports = {"port": 9} if method in ("check", "wait") else {"ports": "9"}
        answer = client.call(method, {"host": host, "timeout_ms": 20, **ports, **params})
        name = answer.get("error", {}).get("data", {}).get("error", "")
        return "" if name in ("Unreachable", "DeadlineExceeded") else name

    def assert_denied(self, client, *hosts, **params):
        for host in hosts:
            with self.subTest(host):
                self.assertEqual(self.ask(client, host, **params), "TargetDenied")

    def assert_probed(self, client, *hosts, **params):
        for host in hosts:
            with self.subTest(host):
                self.assertEqual(self.ask(client, host, **params), "")


class Everybody(Rights):
    def setUp(self):
        self.daemon = self.start()

    def test_own_addresses(self):
        self.assert_probed(self.client(self.daemon, USER), *OWN)

    @unittest.skipIf(harness.WRAPPER, "the wrapper has descriptors of its own")
    def test_own_addresses_without_a_descriptor(self):
        """They stay this host's own when the daemon has no descriptor left to ask with."""
        daemon = self.enterContext(Daemon(namespace=self.namespace, nofile=40))
        client = self.client(daemon, USER)
        leased = client.call("lease", {"hold": "none", "until": "released"})["result"]["port"]
        for _ in range(60):
            self.enterContext(daemon.client())
        self.assertTrue(wait_for(lambda: daemon.n_descriptors() == 40))
        # What has a name in it takes a descriptor to look that up.
        named = [host for host in OWN if "%" in host or host.endswith(("localhost", ".test"))]
        own = [host for host in OWN if host not in named]
        for method in "check", "find", "scan":
            self.assert_probed(client, *own, method=method, via="table")
            self.assert_denied(client, FOREIGN[0], method=method, via="table")
            self.assertEqual(self.ask(client, "fe80::9:1%d0", method), "ResourcesExhausted")
        answer = client.call("find", {"ports": leased, "host": "10.9.0.1", "via": "table"})
        self.assertEqual(answer["result"]["ports"], [])
        error = client.call("check", {"host": "10.9.0.1", "port": 9})["error"]
        self.assertEqual(error["data"], {"error": "ResourcesExhausted", "resource": "descriptors"})

    def test_foreign_addresses(self):
        client = self.client(self.daemon, USER)
        before = count_probes(self.daemon)
        self.assert_denied(client, *FOREIGN)
        self.assertEqual(count_probes(self.daemon), before, "something was sent")

    def test_other_ways_to_write_an_address(self):
        client = self.client(self.daemon, USER)
        before = count_probes(self.daemon)
        for host in TRICKS:
            with self.subTest(host):
                self.assertIn(self.ask(client, host),
                              ("TargetDenied", "NameNotFound", "InvalidParameter"))
        self.assertEqual(count_probes(self.daemon), before, "something was sent")

    def test_every_method(self):
        client = self.client(self.daemon, USER)
        for method in "check", "find", "scan", "wait":
            more = {"deadline_ms": 50} if method == "wait" else {}
            for host in "10.9.0.2", "::ffff:10.9.0.2", "mixed.test":
                for via in "connect", "table", "bind":
                    if via == "bind" and method not in ("find",):
                        continue
                    with self.subTest(method, host=host, via=via):
                        self.assertEqual(self.ask(client, host, method, via=via, **more),
                                         "TargetDenied")
            self.assert_probed(client, "10.9.0.1", method=method, **more)

    def test_varlink_too(self):
        client = self.client(self.daemon, USER)
        reply = client.call_varlink("io.portscand.Check", {"host": "10.9.0.2", "port": 9})
        self.assertEqual(reply, {"error": "io.portscand.TargetDenied",
                                 "parameters": {"host": "10.9.0.2"}})

    def test_the_error_tells_what_to_do(self):
        answer = self.client(self.daemon, USER).call("check", {"host": "10.9.0.2", "port": 9})
        self.assertEqual(answer["error"]["data"], {"error": "TargetDenied", "host": "10.9.0.2"})
        self.assertIn("group portscan", answer["error"]["message"])
        self.assertIn("--allow", answer["error"]["message"])

    def test_addresses_that_come_and_go(self):
        client = self.client(self.daemon, USER)
        for add, address in (("10.9.0.7/24", "10.9.0.7"), ("fd09::7/64", "fd09::7"),
                             ("fe80::9:7/64", "fe80::9:7%d1")):
            nodad = "nodad" if ":" in add else ""
            device = "d1" if "%d1" in address else "d0"
            self.assert_denied(client, address)
            self.namespace.run(f"ip addr add {add} dev {device} {nodad}")
            # The kernel has IPv6 addresses routed a moment later.
            self.assertTrue(wait_for(lambda: not self.ask(client, address)), address)
            self.assert_probed(client, address)
            self.namespace.run(f"ip addr del {add} dev {device}")
            self.assert_denied(client, address)

    def test_an_address_that_goes_during_a_wait(self):
        client = self.client(self.daemon, USER)
        self.namespace.run("ip addr add 10.9.0.8/24 dev d0")
        client.start("wait", {"host": "10.9.0.8", "port": 9, "deadline_ms": 20000,
                              "timeout_ms": 50, "interval_ms": 50})
        self.assertTrue(client.is_silent(0.3))
        self.namespace.run("ip addr del 10.9.0.8/24 dev d0")
        self.assertEqual(client.receive()["error"]["data"],
                         {"error": "TargetDenied", "host": "10.9.0.8"})

    def test_other_groups_do_not_help(self):
        for gid, groups in ((OTHER_GROUP, ()), (USER, (OTHER_GROUP,)), (0, ()), (USER, (0,)),
                            (USER, tuple(range(5000, 5300)))):
            self.assert_denied(self.client(self.daemon, USER, gid, groups), "10.9.0.2")

    def test_who_it_is_counts_as_of_connect(self):
        """A socket that root made and somebody else uses is root's, and the other way round."""
        client = self.client(self.daemon, 0)
        with users.as_user(USER):
            self.assert_probed(client, "10.9.0.2")
        self.assert_denied(self.client(self.daemon, USER), "10.9.0.2")


class Trusted(Rights):
    def test_by_main_group(self):
        self.assert_probed(self.client(self.start(), USER, GROUP), *OWN, *FOREIGN)

    def test_by_supplementary_group(self):
        daemon = self.start()
        self.assert_probed(self.client(daemon, USER, groups=[GROUP]), *OWN, *FOREIGN)
        self.assert_probed(self.client(daemon, USER, groups=[OTHER_GROUP, GROUP]), "10.9.0.2")
        # More of them than one asks for at first.
        many = [*range(5000, 5300), GROUP]
        self.assert_probed(self.client(daemon, USER, groups=many), "10.9.0.2")

    def test_root(self):
        self.assert_probed(self.client(self.start(), 0), *OWN, *FOREIGN)

    def test_the_daemons_own_user(self):
        daemon = self.enterContext(users.DaemonOfUser(DAEMON_USER, self.directory,
                                                      namespace=self.namespace))
        self.assert_probed(self.client(daemon, DAEMON_USER), "10.9.0.1", "10.9.0.2")
        self.assert_probed(self.client(daemon, 0), "10.9.0.2")
        self.assert_probed(self.client(daemon, USER, groups=[GROUP]), "10.9.0.2")
        self.assert_denied(self.client(daemon, USER), "10.9.0.2")
        self.assert_probed(self.client(daemon, USER), *OWN)

    def test_without_the_group(self):
        with tempfile.TemporaryDirectory() as directory:
            mounts = users.group_files(directory, group="others")
            with Namespace(SETUP, mounts) as namespace, Daemon(namespace=namespace) as daemon:
                self.assert_denied(self.client(daemon, USER, GROUP, [GROUP]), "10.9.0.2")
                self.assert_probed(self.client(daemon, 0), "10.9.0.2")
                self.assert_probed(self.client(daemon, USER), "10.9.0.1")


class Policy(Rights):
    def test_allow_lets_everybody(self):
        daemon = self.start("--allow", "10.9.0.0/28", "--allow=fd09::/64")
        client = self.client(daemon, USER)
        self.assert_probed(client, "10.9.0.2", "::ffff:10.9.0.2", "fd09::2", "foreign.test",
                           "mixed.test", "mixed6.test")
        self.assert_denied(client, "10.9.0.16", "::ffff:10.9.0.16", "fe80::9:2%d0", "192.0.2.1")

    def test_allow_of_all_is_of_one_family(self):
        client = self.client(self.start("--allow=::/0"), USER)
        self.assert_probed(client, "fd09::2", "fe80::9:2%d0")
        self.assert_denied(client, "10.9.0.2", "::ffff:10.9.0.2")

    def test_deny_is_for_all(self):
        daemon = self.start("--deny", "10.9.0.2", "--deny=fe80::/10")
        for client in (self.client(daemon, USER, GROUP), self.client(daemon, 0)):
            self.assert_denied(client, "10.9.0.2", "::ffff:10.9.0.2", "::ffff:a09:2",
                               "foreign.test", "mixed.test", "mapped.test", "fe80::9:2%d0",
                               "fe80::9:1%d0")
            self.assert_probed(client, "10.9.0.3", "fd09::2", "own.test")
            # No group is of any use.
            self.assertEqual(client.call("check", {"host": "10.9.0.2", "port": 9})["error"]
                             ["message"], "10.9.0.2 may not be probed by anybody, as the "
                             "administrator has it; ask for another rule than its --deny")

    def test_deny_of_this_host(self):
        daemon = self.start("--deny", "127.0.0.0/8", "--deny=::1")
        for client in (self.client(daemon, USER), self.client(daemon, 0)):
            self.assert_denied(client, "127.0.0.1", "localhost", "0.0.0.0", "::", "::1",
                               "::ffff:127.0.0.1", "::ffff:0.0.0.0")
            self.assert_probed(client, "10.9.0.1")

    def test_the_most_specific_decides(self):
        client = self.client(self.start("--allow=10.9.0.0/24", "--deny=10.9.0.0/28",
                                        "--allow=10.9.0.2", "--deny=10.0.0.0/8"), USER)
        self.assert_probed(client, "10.9.0.2", "10.9.0.16")
        self.assert_denied(client, "10.9.0.3", "10.9.1.1", "10.9.0.1")

    def test_of_a_name_each_address_is_judged(self):
        daemon = self.start("--deny=10.10.0.1")
        self.assert_denied(self.client(daemon, 0), "own.test")
        self.assert_probed(self.client(daemon, 0), "10.9.0.1", "mixed.test")


class Who(Rights):
    """Everybody sees who has a port; which process, only its own user and root."""

    def setUp(self):
        self.daemon = self.start()

    def serve(self, uid):
        program = ("import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
                   "print(s.getsockname()[1], flush=True); sys.stdin.read()")
        process = subprocess.Popen(
            [*self.namespace.prefix(), "setpriv", f"--reuid={uid}", f"--regid={uid}",
             "--clear-groups", "--", harness.sys.executable, "-ISc", program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        return process.pid, int(process.stdout.readline())

    def who(self, uid, port):
        sockets = self.client(self.daemon, uid).call("who", {"port": port})["result"]["sockets"]
        self.assertEqual([(one["uid"], one["state"]) for one in sockets], [(USER, "LISTEN")])
        return sockets[0]

    def test_a_process_is_told_to_its_user_and_to_root(self):
        pid, port = self.serve(USER)
        for uid in USER, 0:
            self.assertEqual(self.who(uid, port)["pid"], pid)
            self.assertIn("-ISc", self.who(uid, port)["command"])
        socket = self.who(OTHER, port)
        self.assertIsNone(socket["pid"])
        self.assertIsNone(socket["command"])


class WhoOfTheHost(Who):
    """By a daemon that is no root, as the host's: the kernel shows it no other user's processes."""

    def setUp(self):
        self.daemon = self.enterContext(users.DaemonOfUser(DAEMON_USER, self.directory,
                                                           namespace=self.namespace))

    test_a_process_is_told_to_its_user_and_to_root = None

    def test_the_daemon_tells_no_process(self):
        _, port = self.serve(USER)
        for uid in USER, 0:
            self.assertIsNone(self.who(uid, port)["pid"])
            self.assertIsNone(self.who(uid, port)["command"])

    def test_the_command_line_looks_by_itself(self):
        pid, port = self.serve(USER)
        command = [*self.namespace.prefix(), harness.PORTSCAN, "--socket", self.daemon.path, "who",
                   str(port)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        self.assertRegex(told, rf"\ntcp .* LISTEN .* {pid} .*-ISc import socket")
        told = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
        self.assertIn('"pid":null', told.stdout)


class NoRoot(unittest.TestCase):
    """What can be seen of it without being root: the daemon's own user may probe all."""

    def test_own_user(self):
        with Daemon() as daemon, listener() as port:
            self.assertEqual(daemon.result("check", {"port": port})["status"], "open")
            # Nothing leaves the host: it is a broadcast address of the loopback.
            error = daemon.error("check", {"host": "127.255.255.255", "port": 9})
            self.assertEqual(error["data"]["error"], "Unreachable")


if __name__ == "__main__":
    harness.main()
