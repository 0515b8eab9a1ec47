"""Names to addresses: the hosts file, and name servers that answer, refuse or are dead."""

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading
import time
import unittest

import harness
import users
from clock import Clock
from harness import Daemon, Namespace, listener, require, require_root, wait_for

A, AAAA = 1, 28
NXDOMAIN = 3
HOSTS = "\n".join(["127.0.0.1 localhost", "127.0.0.7 in-hosts.test",
                   "127.0.0.8 twice.test", "::1 twice.test",
                   *(f"127.0.2.{i} many.test" for i in range(1, 65)),
                   *(f"127.0.2.{i} more.test" for i in range(1, 66)), ""])


class NameServer:
    """Answers from a table of names to addresses: None is no answer, and no entry NXDOMAIN."""

    def __init__(self, names, address="127.0.0.1"):
        self.names = names
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = []
        self.is_closing = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def close(self):
        # There is no other way to wake who waits for a datagram.
        self.is_closing = True
        with self.socket.dup() as own, contextlib.suppress(OSError):
            own.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()

    @contextlib.contextmanager
    def held(self):
        """Within the block it hears questions, and answers none."""
        self.may_answer.clear()
        try:
            yield
        finally:
            self.may_answer.set()

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            if self.is_closing:
                return
            answer = self.answer(query)
            self.may_answer.wait()
            if answer:
                self.socket.sendto(answer, client)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        name = ".".join(labels).lower()
        self.asked.append(name)
        addresses = self.names.get(name, [])
        if addresses is None:
            return None
        records = b""
        n_records = 0
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if kind == (AAAA if family == socket.AF_INET6 else A):
                data = socket.inet_pton(family, address)
                records += struct.pack(">HHHIH", 0xc00c, kind, 1, 0, len(data)) + data
                n_records += 1
        code = 0 if name in self.names else NXDOMAIN
        return query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, n_records, 0, 0) + question + \
            records


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        require_root()
        require("ip", "unshare", "nsenter", "mount")
        cls.directory = tempfile.mkdtemp(prefix="portscand-test-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.hosts = cls.write("hosts", HOSTS)
        cls.resolv_conf = cls.write("resolv.conf", "")
        cls.nsswitch = cls.write("nsswitch.conf", "hosts: files dns\n")
        mounts = {"/etc/hosts": cls.hosts, "/etc/resolv.conf": cls.resolv_conf}
        if os.path.exists("/etc/nsswitch.conf"):
            mounts["/etc/nsswitch.conf"] = cls.nsswitch
        cls.namespace = cls.enterClassContext(Namespace(mounts=mounts))
        with cls.namespace.entered():
            cls.server = NameServer({
                "one.test": ["127.0.0.2"],
                "six.test": ["::1"],
                "several.test": ["127.0.0.3", "127.0.0.4", "::1"],
                "again.test": ["127.0.0.2", "127.0.0.2", "127.0.0.2"],
                "half.test": ["127.255.255.255", "127.0.0.5"],
                "nowhere.test": ["127.255.255.255"],
                "nothing.test": [],
                "silent.test": None,
            })
        cls.addClassCleanup(cls.server.close)
        with cls.namespace.entered():
            dead = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            dead.bind(("127.0.0.53", 53))
        cls.addClassCleanup(dead.close)

    @classmethod
    def write(cls, name, text):
        path = os.path.join(cls.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def setUp(self):
        self.use_servers("127.0.0.1")
        self.daemon = self.enterContext(Daemon(namespace=self.namespace))

    def use_servers(self, *addresses):
        self.write("resolv.conf", "".join(f"nameserver {address}\n" for address in addresses) +
                   # In the words of c-ares up to 1.21, and in those of everybody else.
                   "options retrans:500 retry:2 timeout:1 attempts:2\n")

    def listen(self, host, port=0):
        with self.namespace.entered():
            return self.enterContext(listener(host, port=port))

    def closed_port(self):
        with self.namespace.entered():
            return self.enterContext(harness.closed_port("127.0.0.99"))

    def check(self, host, port):
        return self.daemon.result("check", {"host": host, "port": port})


class Names(Test):
    def test_one_address(self):
        port = self.listen("127.0.0.2")
        result = self.check("one.test", port)
        self.assertEqual((result["host"], result["address"], result["status"]),
                         ("one.test", "127.0.0.2", "open"))
        self.assertEqual(self.check("ONE.Test.", port)["address"], "127.0.0.2")
        self.assertEqual(self.check("one.test", self.closed_port())["reason"], "refused")

    def test_ipv6_alone(self):
        self.assertEqual(self.check("six.test", self.listen("::1"))["address"], "::1")

    def test_open_if_one_of_several_is(self):
        for address in ("127.0.0.3", "127.0.0.4", "::1"):
            result = self.check("several.test", self.listen(address))
            self.assertEqual((result["address"], result["status"]), (address, "open"))

    def test_closed_if_all_are(self):
        result = self.check("several.test", self.closed_port())
        self.assertEqual((result["status"], result["reason"]), ("closed", "refused"))
        self.assertIn(result["address"], ("127.0.0.3", "127.0.0.4", "::1"))

    def test_clock_that_is_set_meanwhile(self):
        clock = Clock(self)
        port = self.listen("127.0.0.2")
        for seconds in (3600., -3600.):
            clock.jump(0.)
            with Daemon(namespace=self.namespace, env=clock.env) as daemon, \
                    daemon.client() as client:
                client.call("info")
                self.server.asked.clear()
                with self.server.held():
                    client.start("check", {"host": "one.test", "port": port})
                    self.assertTrue(wait_for(lambda: "one.test" in self.server.asked))
                    clock.jump(seconds)
                answer = client.receive()
            self.assertEqual(answer.get("result", answer).get("status"), "open", answer)

    def test_so_many_and_no_more(self):
        port = self.listen("127.0.2.64")
        self.assertEqual(self.check("many.test", port)["address"], "127.0.2.64")
        for method, params in (("check", {"port": port}), ("find", {"ports": "80"}), ("scan", {}),
                               ("wait", {"port": port})):
            error = self.daemon.error(method, {"host": "more.test", **params})
            self.assertEqual(error["data"], {"error": "NotSupported", "detail":
                                             "the name has more than 64 addresses"})

    def test_scan_and_find_of_several(self):
        ports = [self.listen(address) for address in ("127.0.0.4", "::1", "127.0.0.3")]
        closed = self.closed_port()
        result = self.daemon.result("scan", {"host": "several.test", "ports": [closed, *ports]})
        self.assertEqual(result["ports"], ports)
        self.assertEqual(result["counts"], {"open": 3, "closed": 1, "timeout": 0})
        result = self.daemon.result("find", {"host": "several.test", "ports": [*ports, closed]})
        self.assertEqual(result["port"], closed)

    def test_an_address_that_is_told_twice_is_probed_once(self):
        port = self.listen("127.0.0.2", 7000)
        self.assertEqual(self.check("again.test", port)["status"], "open")
        before = self.daemon.metrics()
        result = self.daemon.result("scan", {"host": "again.test", "ports": "7000-7009"})
        self.assertEqual((result["ports"], result["counts"]["closed"]), ([port], 9))
        after = self.daemon.metrics()
        for outcome, n in ("open", 1), ("refused", 9):
            name = f'portscand_probes_total{{outcome="{outcome}"}}'
            self.assertEqual(after[name] - before[name], n)

    def test_scan_of_all_ports_of_several(self):
        ports = sorted(self.listen(address) for address in ("127.0.0.4", "::1", "127.0.0.3"))
        result = self.daemon.result("scan", {"host": "several.test"})
        self.assertEqual(result["ports"], ports)
        self.assertEqual(result["counts"], {"open": 3, "closed": 65532, "timeout": 0})

    def test_one_of_two_unreachable(self):
        result = self.check("half.test", self.listen("127.0.0.5"))
        self.assertEqual((result["address"], result["status"]), ("127.0.0.5", "open"))
        result = self.check("half.test", self.closed_port())
        self.assertEqual((result["address"], result["reason"]), ("127.0.0.5", "refused"))

    def test_all_unreachable(self):
        error = self.daemon.error("check", {"host": "nowhere.test", "port": 80})
        self.assertEqual(error["data"], {"error": "Unreachable", "host": "nowhere.test",
                                         "port": 80, "errno": "ENETUNREACH", "status": "closed"})

    def test_not_found(self):
        for method, params in (("check", {"port": 80}), ("find", {"ports": 80}), ("scan", {}),
                               ("wait", {"port": 80})):
            for host in ("unknown.test", "nothing.test"):
                error = self.daemon.error(method, {"host": host, **params})
                self.assertEqual((error["code"], error["data"]["error"], error["data"]["host"]),
                                 (2, "NameNotFound", host))
                self.assertTrue(error["data"]["detail"])

    def test_hosts_file(self):
        result = self.check("in-hosts.test", self.listen("127.0.0.7"))
        self.assertEqual((result["address"], result["status"]), ("127.0.0.7", "open"))
        for address in ("127.0.0.8", "::1"):
            self.assertEqual(self.check("twice.test", self.listen(address))["address"], address)
        self.assertNotIn("in-hosts.test", self.server.asked)

    def test_localhost_asks_nobody(self):
        self.write("hosts", "127.0.0.9 localhost\n")
        port = self.listen("127.0.0.1")
        for name in ("localhost", "x.localhost"):
            self.assertEqual(self.check(name, port)["address"], "127.0.0.1")
        self.assertFalse([name for name in self.server.asked if "localhost" in name])
        self.write("hosts", HOSTS)

    def test_resolv_conf_is_read_again(self):
        self.use_servers("127.0.0.53")
        self.assertEqual(self.daemon.error("check", {"host": "one.test", "port": 80})["data"]
                         ["error"], "NameNotFound")
        self.use_servers("127.0.0.1")
        self.assertEqual(self.check("one.test", self.listen("127.0.0.2"))["status"], "open")

    def test_second_server(self):
        self.use_servers("127.0.0.53", "127.0.0.1")
        self.assertEqual(self.check("one.test", self.listen("127.0.0.2"))["status"], "open")

    def test_no_server_at_all(self):
        self.use_servers("127.0.0.54")
        error = self.daemon.error("check", {"host": "one.test", "port": 80})
        self.assertEqual(error["data"]["error"], "NameNotFound")


class DeadServer(Test):
    def assert_prompt(self, params, status):
        began = time.monotonic()
        self.assertEqual(self.daemon.result("check", params)["status"], status)
        self.assertLess(time.monotonic() - began, 5 if not harness.INSTRUMENTED else 20)

    def test_delays_nobody_else(self):
        port = self.listen("127.0.0.1")
        named = self.listen("127.0.0.2")
        with self.daemon.client() as client:
            client.send_lines(*({"method": "check", "id": i, "params": {
                "host": "silent.test", "port": 80}} for i in range(100)))
            self.assertTrue(wait_for(lambda: self.server.asked.count("silent.test") >= 100))
            for _ in range(10):
                self.assert_prompt({"port": port}, "open")
                self.assert_prompt({"port": port, "host": "localhost"}, "open")
                self.assert_prompt({"port": named, "host": "one.test"}, "open")
                self.assert_prompt({"port": self.listen("127.0.0.7"), "host": "in-hosts.test"},
                                   "open")
            for answer in [client.receive() for _ in range(100)]:
                self.assertEqual((answer["error"]["data"]["error"],
                                  answer["error"]["data"]["host"]),
                                 ("NameNotFound", "silent.test"))

    def test_many_names_at_once(self):
        self.listen("127.0.0.2", 7000)
        with self.daemon.client() as client:
            client.send_lines(*({"method": "check", "id": i, "params": {
                "host": "silent.test" if i < 150 else "one.test", "port": 7000}}
                for i in range(300)))
            answers = {answer["id"]: answer for answer in (client.receive() for _ in range(300))}
        for i in range(150):
            self.assertEqual(answers[i]["error"]["data"]["error"], "NameNotFound")
        for i in range(150, 300):
            self.assertEqual(answers[i]["result"]["status"], "open")

    def test_who_waits_for_a_place_gets_one(self):
        """1,024 are looked up at once, of all clients together."""
        self.listen("127.0.0.2", 7000)
        with self.daemon.client() as one, self.daemon.client() as two:
            for client in one, two:
                client.send_lines(*({"method": "check", "id": i, "params": {
                    "host": "silent.test", "port": 7000}} for i in range(600)))
            self.assertTrue(wait_for(lambda: self.daemon.metrics()[
                'portscand_requests_total{method="check"}'] == 1200))
            result = self.daemon.result("check", {"host": "one.test", "port": 7000})
            self.assertEqual(result["status"], "open")
            for client in one, two:
                for _ in range(600):
                    self.assertEqual(client.receive()["error"]["data"]["error"], "NameNotFound")

    def test_ends_in_some_seconds_and_keeps_nobody_waiting(self):
        """As many names at once as one connection may ask for, all of them dead but the last."""
        with self.daemon.client() as client, self.daemon.client() as other:
            started = time.monotonic()
            client.send_lines(*({"method": "check", "id": i, "params": {
                "host": "silent.test", "port": 80}} for i in range(900)))
            self.assertTrue(wait_for(lambda: self.daemon.metrics()[
                'portscand_requests_total{method="check"}'] >= 900))
            other.call("check", {"host": "in-hosts.test", "port": 80})
            self.assertLess(time.monotonic() - started, 5)
            for _ in range(900):
                error = client.receive()["error"]
                self.assertEqual(error["data"]["error"], "NameNotFound")
            self.assertLess(time.monotonic() - started, 30)

    def test_of_one_user_keeps_no_other_waiting(self):
        """As many as one user may ask for, on several connections: more than there are places."""
        self.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:9 attempts:1\n"
                                  "options retrans:9000 retry:1\n")
        named = self.listen("127.0.0.2")
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                client = stack.enter_context(self.daemon.client(uid=users.USER))
                client.send_lines(*({"method": "check", "id": i, "params": {
                    "host": "silent.test", "port": 80}} for i in range(1000)))
            self.assertTrue(wait_for(lambda: self.daemon.metrics()[
                'portscand_requests_total{method="check"}'] >= 4000))
            other = stack.enter_context(self.daemon.client(uid=users.OTHER))
            started = time.monotonic()
            answer = other.call("check", {"host": "one.test", "port": named})
            self.assertEqual(answer["result"]["status"], "open")
            self.assertLess(time.monotonic() - started, 5)

    def test_wait_ends_at_its_deadline(self):
        error = self.daemon.error("wait", {"host": "silent.test", "port": 80, "deadline_ms": 200})
        # Nothing is said of a port that was never looked at.
        self.assertEqual(error["data"], {"error": "NameNotFound", "host": "silent.test",
                                         "detail": "the name servers did not answer in time"})

    def test_cancel(self):
        with self.daemon.client() as client:
            for method, params in (("check", {"port": 80}), ("find", {"ports": 80}), ("scan", {}),
                                   ("wait", {"port": 80})):
                client.send_lines(
                    {"method": method, "id": method, "params": {"host": "silent.test", **params}},
                    {"method": "cancel", "params": {"id": method}})
                answer = client.receive()
                self.assertEqual((answer["id"], answer["error"]["data"]["error"]),
                                 (method, "Cancelled"))
                self.assertEqual(client.receive()["result"], {"cancelled": 1})

    def test_client_that_goes_away(self):
        self.daemon.result("info")
        idle = self.daemon.n_descriptors()
        with self.daemon.client() as client:
            client.send_lines(*({"method": "check", "params": {"host": "silent.test", "port": 80}}
                                for _ in range(200)))
            self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() > idle + 50))
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= idle))

    def test_shut_down_meanwhile(self):
        with self.daemon.client() as client:
            client.send_lines(*({"method": "check", "id": i, "params": {
                "host": "silent.test", "port": 80}} for i in range(200)))
            self.assertTrue(wait_for(lambda: self.daemon.metrics()[
                'portscand_requests_total{method="check"}'] == 200))
            self.assertEqual(self.daemon.stop(), 0)
            answers = [client.receive() for _ in range(200)]
        self.assertEqual({answer["error"]["data"]["error"] for answer in answers},
                         {"ShuttingDown"})


class ShortOfDescriptors(Test):
    @unittest.skipIf(harness.WRAPPER, "the wrapper has descriptors of its own")
    def test_is_no_answer_about_a_name(self):
        port = self.listen("127.0.0.7")
        daemon = self.enterContext(Daemon(namespace=self.namespace, nofile=40))
        for host in ("in-hosts.test", "one.test"):
            with daemon.client() as client, contextlib.ExitStack() as stack:
                client.call("info")
                for _ in range(60):
                    stack.enter_context(daemon.client())
                self.assertTrue(wait_for(lambda: daemon.n_descriptors() == 40))
                # Not the name is to blame, and not before it has been tried for a while.
                error = client.call("check", {"host": host, "port": port})["error"]
                self.assertEqual((error["code"], error["data"]),
                                 (3, {"error": "ResourcesExhausted", "resource": "descriptors"}))
                error = client.call("wait", {"host": host, "port": port,
                                             "deadline_ms": 300})["error"]
                self.assertEqual(error["data"], {"error": "ResourcesExhausted",
                                                 "resource": "descriptors"})
                client.start("find", {"host": host, "ports": [port]})
                self.assertTrue(client.is_silent(0.5))
                # One that could be asked for in the end, and then was not answered.
                self.write("resolv.conf", "nameserver 127.0.0.1\n"
                                          "options retrans:9000 timeout:9 attempts:1\n")
                client.start("wait", {"host": "silent.test", "port": port, "deadline_ms": 3000})
                self.assertTrue(client.is_silent(0.3))
                stack.close()
                self.assertIn("result", client.receive())
                self.assertEqual(client.receive()["error"]["data"], {
                    "error": "NameNotFound", "host": "silent.test",
                    "detail": "the name servers did not answer in time"})
        self.assertEqual(daemon.result("check", {"host": "in-hosts.test", "port": port})["status"],
                         "open")


if __name__ == "__main__":
    harness.main()
