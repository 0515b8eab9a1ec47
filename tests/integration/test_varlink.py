"""Varlink over the socket, by hand and by systemd's varlinkctl."""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import unittest

import harness
from harness import Daemon, closed_port, listener, listening_socket, silent_port

PROTOCOL = os.environ["PROTOCOL"]


def interface_text(name):
    with open(os.path.join(PROTOCOL, name + ".varlink"), encoding="utf-8") as file:
        return file.read()

setUpModule = harness.enter_network


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())
        cls.open = cls.enterClassContext(listener())
        cls.closed = cls.enterClassContext(closed_port())
        cls.silent = cls.enterClassContext(silent_port())

    def setUp(self):
        self.client = self.daemon.client()
        self.addCleanup(self.client.close)


class Calls(Test):
    def test_check(self):
        reply = self.client.call_varlink("io.portscand.Check", {"port": self.open})
        self.assertEqual(set(reply), {"parameters"})
        self.assertEqual(set(reply["parameters"]), {"host", "address", "port", "status", "reason",
                                                    "elapsed_us"})
        self.assertEqual(reply["parameters"]["status"], "open")

    def test_find_and_its_null(self):
        reply = self.client.call_varlink("io.portscand.Find", {"ports": [str(self.open)]})
        self.assertEqual(set(reply["parameters"]), {"port", "ports", "checked", "elapsed_us"})
        self.assertEqual((reply["parameters"]["port"], reply["parameters"]["ports"],
                          reply["parameters"]["checked"]), (None, [], 1))

    def test_parameters_may_be_left_out(self):
        for message in ({"method": "org.varlink.service.GetInfo"},
                        {"method": "org.varlink.service.GetInfo", "parameters": None},
                        {"method": "org.varlink.service.GetInfo", "oneway": False, "more": None}):
            self.client.send_varlink(message)
            self.assertEqual(self.client.receive_varlink()["parameters"]["product"], "portscand")

    def test_pipelined_in_order(self):
        ports = [self.silent, self.open, self.closed, self.silent, self.open]
        self.client.send_varlink(*({"method": "io.portscand.Check", "parameters": {
            "port": port, "timeout_ms": 150}} for port in ports))
        replies = [self.client.receive_varlink()["parameters"] for _ in ports]
        self.assertEqual([reply["port"] for reply in replies], ports)
        self.assertEqual([reply["reason"] for reply in replies],
                         ["timeout", "accepted", "refused", "timeout", "accepted"])

    def test_many_pipelined(self):
        n = 3000
        self.client.send_varlink(*({"method": "io.portscand.Check", "parameters": {
            "port": 1 + i % 65535, "host": "::1"}} for i in range(n)))
        self.assertEqual([self.client.receive_varlink()["parameters"]["port"] for _ in range(n)],
                         list(range(1, n + 1)))

    def test_half_close(self):
        self.client.send_varlink({"method": "io.portscand.Check", "parameters": {
            "port": self.silent}}, {"method": "org.varlink.service.GetInfo"})
        self.client.half_close()
        self.assertEqual(self.client.receive_varlink()["parameters"]["reason"], "timeout")
        self.assertEqual(self.client.receive_varlink()["parameters"]["product"], "portscand")
        self.assertIsNone(self.client.receive_varlink())

    def test_oneway(self):
        accepted = 'portscand_probes_total{outcome="open"}'
        before = self.daemon.metrics()[accepted]
        self.client.send_varlink(
            {"method": "io.portscand.Check", "oneway": True, "parameters": {"port": self.open}},
            {"method": "io.portscand.Check", "oneway": True, "parameters": {"port": 0}},
            {"method": "io.portscand.Nonsense", "oneway": True},
            {"method": "io.portscand.Scan", "oneway": True, "more": True, "parameters": {
                "ports": [str(self.silent)], "timeout_ms": 250}},
            {"method": "io.portscand.Wait", "oneway": True, "more": True, "parameters": {
                "port": self.closed, "deadline_ms": 200}},
            {"method": "org.varlink.service.GetInfo"})
        self.assertEqual(self.client.receive_varlink()["parameters"]["product"], "portscand")
        self.assertTrue(self.client.is_silent())
        self.assertEqual(self.daemon.metrics()[accepted], before + 1)

    def test_more_on_scan(self):
        with contextlib.ExitStack() as stack:
            a = stack.enter_context(listener())
            b = stack.enter_context(silent_port())
            c = stack.enter_context(listener())
            self.client.send_varlink({"method": "io.portscand.Scan", "more": True, "parameters": {
                "ports": [f"{a},{b}", str(c)], "timeout_ms": 550}})
            replies = [self.client.receive_varlink()]
            while replies[-1].get("continues"):
                replies.append(self.client.receive_varlink())
        self.assertGreaterEqual(len(replies), 3)
        self.assertLessEqual(len(replies), 7)
        for reply in replies[:-1]:
            self.assertEqual(set(reply), {"parameters", "continues"})
            self.assertIs(reply["continues"], True)
        self.assertEqual(set(replies[-1]), {"parameters"})
        for reply in replies:
            self.assertEqual(set(reply["parameters"]), {"ports", "counts", "done", "total",
                                                        "elapsed_us"})
            self.assertEqual(reply["parameters"]["total"], 3)
        # Each has what was found since the last: together, every port once.
        self.assertEqual([port for reply in replies for port in reply["parameters"]["ports"]],
                         [a, c])
        self.assertEqual(replies[0]["parameters"]["done"], 2)
        self.assertEqual(replies[-1]["parameters"]["counts"], {"open": 2, "closed": 0,
                                                               "timeout": 1})

    def test_scan_without_more(self):
        reply = self.client.call_varlink("io.portscand.Scan", {
            "ports": [str(self.open), str(self.silent)], "timeout_ms": 350})
        self.assertNotIn("continues", reply)
        self.assertEqual(reply["parameters"]["ports"], [self.open])
        self.assertTrue(self.client.is_silent())

    def test_more_on_wait(self):
        with listening_socket() as reserved:
            port = reserved.getsockname()[1]
        self.client.send_varlink({"method": "io.portscand.Wait", "more": True, "parameters": {
            "port": port, "interval_ms": 10, "deadline_ms": 20000}})
        first = self.client.receive_varlink()
        self.assertIs(first["continues"], True)
        self.assertEqual((first["parameters"]["status"], first["parameters"]["reason"]),
                         ("closed", "refused"))
        self.assertTrue(self.client.is_silent())
        with listener(port=port):
            last = self.client.receive_varlink()
        self.assertNotIn("continues", last)
        self.assertEqual(set(last["parameters"]), {"host", "address", "port", "status", "reason",
                                                   "waited_ms"})
        self.assertEqual(last["parameters"]["status"], "open")
        self.assertGreaterEqual(last["parameters"]["waited_ms"], 190)

    def test_more_on_wait_that_is_over_at_once(self):
        reply = self.client.call_varlink("io.portscand.Wait", {"port": self.open}, more=True)
        self.assertNotIn("continues", reply)
        self.assertTrue(self.client.is_silent())

    def test_more_changes_nothing_elsewhere(self):
        for method, parameters in (("io.portscand.Check", {"port": self.open}),
                                   ("io.portscand.Find", {"ports": [str(self.closed)]}),
                                   ("io.portscand.GetMetrics", {}),
                                   ("org.varlink.service.GetInfo", {})):
            reply = self.client.call_varlink(method, parameters, more=True)
            self.assertEqual(set(reply), {"parameters"})
        self.assertTrue(self.client.is_silent(0.1))

    def test_metrics(self):
        text = self.client.call_varlink("io.portscand.GetMetrics")["parameters"]["text"]
        self.assertTrue(text.endswith("# EOF\n"))

    def test_mixed_dialects(self):
        slow = {"port": self.silent, "timeout_ms": 300}
        self.client.send_varlink({"method": "io.portscand.Check", "parameters": slow})
        self.client.send_lines({"method": "info", "id": 1})
        self.client.send_varlink({"method": "org.varlink.service.GetInfo"})
        # A line waits for nobody; Varlink's calls wait for each other.
        self.assertEqual(self.client.receive()["id"], 1)
        self.assertEqual(self.client.receive_varlink()["parameters"]["reason"], "timeout")
        self.assertEqual(self.client.receive_varlink()["parameters"]["product"], "portscand")

        self.client.send_lines({"method": "check", "id": 2, "params": slow})
        self.client.send_varlink({"method": "org.varlink.service.GetInfo"})
        self.assertEqual(self.client.receive_varlink()["parameters"]["product"], "portscand")
        self.assertEqual(self.client.receive()["id"], 2)

    def test_cancel_does_not_reach_varlink(self):
        self.client.send_varlink({"method": "io.portscand.Check", "parameters": {
            "port": self.silent, "timeout_ms": 300}})
        self.client.send_lines({"method": "cancel", "id": 1, "params": {"id": None}})
        self.assertEqual(self.client.receive()["result"], {"cancelled": 0})
        self.assertEqual(self.client.receive_varlink()["parameters"]["reason"], "timeout")


class Errors(Test):
    def assert_error(self, method, parameters, error, members):
        reply = self.client.call_varlink(method, parameters)
        self.assertEqual(reply, {"error": error, "parameters": members})

    def test_invalid_parameter(self):
        for method, parameters, member in (
                ("Check", {}, "port"),
                ("Check", {"port": "22"}, "port"),
                ("Check", {"port": 0}, "port"),
                ("Check", {"port": 65536}, "port"),
                ("Check", {"port": 1.0}, "port"),
                ("Check", {"port": 1, "via": "magic"}, "via"),
                ("Check", {"port": 1, "host": "a b"}, "host"),
                ("Check", {"port": 1, "prot": 1}, "prot"),
                ("Find", {"ports": "80"}, "ports"),
                ("Find", {"ports": [80]}, "ports"),
                ("Find", {"ports": []}, "ports"),
                ("Find", {"ports": ["80"], "exclude": "80"}, "exclude"),
                ("Find", {"ports": ["80"], "count": 0}, "count"),
                ("Scan", {"stream": True}, "stream"),
                ("Scan", {"ports": []}, "ports"),
                ("Wait", {"port": 1, "deadline_ms": 86400001}, "deadline_ms"),
                ("GetMetrics", {"a": 1}, "a")):
            self.assert_error("io.portscand." + method, parameters,
                              "org.varlink.service.InvalidParameter", {"parameter": member})
        self.assert_error("org.varlink.service.GetInterfaceDescription", {},
                          "org.varlink.service.InvalidParameter", {"parameter": "interface"})

    def test_unknown_methods_and_interfaces(self):
        for method in ("io.portscand.Nonsense", "io.portscand.check", "io.portscand.lease",
                       "org.varlink.service.Nonsense", "io.portscand."):
            self.assert_error(method, {}, "org.varlink.service.MethodNotFound", {"method": method})
        for interface in ("com.example", "io", "io.portscan", "io.portscand.more", "org.varlink"):
            self.assert_error(interface + ".Method", {}, "org.varlink.service.InterfaceNotFound",
                              {"interface": interface})
        self.assert_error("check", {}, "org.varlink.service.MethodNotFound", {"method": "check"})
        self.assert_error("", {}, "org.varlink.service.MethodNotFound", {"method": ""})
        self.assert_error("org.varlink.service.GetInterfaceDescription",
                          {"interface": "com.example"}, "org.varlink.service.InterfaceNotFound",
                          {"interface": "com.example"})

    def test_unreachable(self):
        for method, parameters in (("Check", {"port": 80}), ("Wait", {"port": 80}),
                                   ("Find", {"ports": ["80-90"]}), ("Scan", {"ports": ["80-90"]})):
            self.assert_error("io.portscand." + method, {**parameters, "host": "127.255.255.255"},
                              "io.portscand.Unreachable",
                              {"host": "127.255.255.255", "port": 80, "errno": "ENETUNREACH"})

    def test_deadline(self):
        self.assert_error("io.portscand.Wait", {"port": self.closed, "deadline_ms": 100},
                          "io.portscand.DeadlineExceeded",
                          {"host": "127.0.0.1", "port": self.closed, "status": "closed",
                           "reason": "refused"})

    def test_message_too_large(self):
        self.client.send('{"method":"io.portscand.Check","parameters":{"host":"' + "x" * 131072)
        self.assertEqual(self.client.receive_varlink(),
                         {"error": "io.portscand.MessageTooLarge", "parameters": {
                             "limit": 131072}})
        self.assertIsNone(self.client.receive_varlink())

    def test_message_too_large_is_answered_in_order(self):
        self.client.send_varlink({"method": "io.portscand.Check", "parameters": {
            "port": self.silent, "timeout_ms": 300}})
        self.client.send('{"method":"io.portscand.Check","parameters":{"host":"' + "x" * 131072 +
                         '"}}\0')
        self.assertEqual(self.client.receive_varlink()["parameters"]["port"], self.silent)
        self.assertEqual(self.client.receive_varlink()["error"], "io.portscand.MessageTooLarge")
        self.assertIsNone(self.client.receive_varlink())

    def test_what_is_not_varlink_ends_the_connection(self):
        for text in ("{", "", "[]", "1", "null", '{"method":1}', "{}", '{"parameters":{}}',
                     '{"method":"io.portscand.Check","parameters":[]}',
                     '{"method":"io.portscand.Check","parameters":1}',
                     '{"method":"io.portscand.Check","more":1}',
                     '{"method":"io.portscand.Check","oneway":"yes"}',
                     '{"method":"a","method":"b"}'):
            with self.subTest(text), self.daemon.client() as client:
                client.send_varlink({"method": "io.portscand.Check", "parameters": {
                    "port": self.silent, "timeout_ms": 100}})
                client.send(text + "\0" + '{"method":"org.varlink.service.GetInfo"}\0')
                # What came before is answered, what comes behind is not.
                self.assertEqual(client.receive_varlink()["parameters"]["reason"], "timeout")
                self.assertIsNone(client.receive_varlink())


class Interfaces(Test):
    def test_get_info(self):
        info = self.client.call_varlink("org.varlink.service.GetInfo")["parameters"]
        self.assertEqual(set(info), {"vendor", "product", "version", "url", "interfaces"})
        self.assertEqual(info["interfaces"], ["org.varlink.service", "io.portscand"])

    def test_descriptions(self):
        for name in ("org.varlink.service", "io.portscand"):
            reply = self.client.call_varlink("org.varlink.service.GetInterfaceDescription",
                                             {"interface": name})
            self.assertEqual(reply, {"parameters": {"description": interface_text(name)}})


class Varlinkctl(Test):
    """systemd's own client: of $SYSTEMD257 (a directory tree with its libraries), or installed."""

    @classmethod
    def setUpClass(cls):
        # Before the daemon: one that is ended before it has started ends by the signal.
        cls.program = cls.find_program()
        super().setUpClass()
        if "validate-idl" not in cls.varlinkctl("--help").stdout:
            raise unittest.SkipTest("this varlinkctl has no validate-idl")

    @staticmethod
    def find_program():
        """varlinkctl as a command; that of the tree runs with the tree's loader and libraries."""
        tree = os.environ.get("SYSTEMD257", "")
        program = os.path.join(tree, "usr/bin/varlinkctl")
        loaders = glob.glob(os.path.join(tree, "usr/lib/*/ld-linux*.so.*"))
        if tree and os.path.exists(program) and loaders:
            libraries = os.path.dirname(loaders[0])
            return [loaders[0], "--library-path", f"{libraries}:{libraries}/systemd", program]
        if shutil.which("varlinkctl"):
            return ["varlinkctl"]
        raise unittest.SkipTest("varlinkctl is not installed, and $SYSTEMD257 has none")

    @classmethod
    def varlinkctl(cls, *arguments, check=True):
        """As it ends it sends SIGCONT to what it has started, which takes away the SIGSTOP that
        LeakSanitizer waits for: leaks are looked for elsewhere."""
        run = subprocess.run([*cls.program, *arguments], capture_output=True, text=True,
                             check=False, timeout=60,
                             env={**os.environ, **harness.SANITIZER_OPTIONS,
                                  "ASAN_OPTIONS": "detect_leaks=0"})
        if check and run.returncode != 0:
            raise AssertionError(f"varlinkctl {arguments}: {run.stderr}")
        return run

    def test_info(self):
        output = self.varlinkctl("info", "unix:" + self.daemon.path).stdout
        self.assertIn("io.portscand", output)
        info = json.loads(self.varlinkctl("info", "--json=short", self.daemon.path).stdout)
        self.assertEqual(info["product"], "portscand")

    def test_list_interfaces(self):
        output = self.varlinkctl("list-interfaces", self.daemon.path).stdout
        self.assertEqual(output.split(), ["io.portscand", "org.varlink.service"])

    def test_list_methods(self):
        output = self.varlinkctl("list-methods", self.daemon.path).stdout.split()
        for method in ("Check", "Find", "Scan", "Wait", "GetMetrics"):
            self.assertIn("io.portscand." + method, output)
        self.assertIn("org.varlink.service.GetInfo", output)

    def test_introspect_and_validate(self):
        for name in ("io.portscand", "org.varlink.service"):
            text = self.varlinkctl("introspect", self.daemon.path, name).stdout
            self.assertIn("interface " + name, text)
            path = os.path.join(self.daemon.directory, name)
            for content in (text, interface_text(name)):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(content)
                self.varlinkctl("validate-idl", path)

    def test_call(self):
        output = self.varlinkctl("call", "--json=short", self.daemon.path, "io.portscand.Check",
                                 json.dumps({"port": self.open})).stdout
        self.assertEqual(json.loads(output)["status"], "open")

    def test_call_that_fails(self):
        run = self.varlinkctl("call", "--json=short", self.daemon.path, "io.portscand.Check",
                              '{"port":80,"host":"127.255.255.255"}', check=False)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("io.portscand.Unreachable", run.stderr)

    def test_more(self):
        output = self.varlinkctl("call", "--more", "--json=short", self.daemon.path,
                                 "io.portscand.Scan", json.dumps({
                                     "ports": [str(self.open), str(self.silent)],
                                     "timeout_ms": 450})).stdout
        replies = [json.loads(line) for line in output.replace("\x1e", "").splitlines()]
        self.assertGreaterEqual(len(replies), 2)
        self.assertEqual([port for reply in replies for port in reply["ports"]], [self.open])
        self.assertEqual(replies[-1]["done"], 2)

    def test_oneway(self):
        self.varlinkctl("call", "--oneway", self.daemon.path, "io.portscand.Check",
                        json.dumps({"port": self.open}))

    def test_exec(self):
        address = "exec:" + harness.PORTSCAND
        output = self.varlinkctl("call", "--json=short", address, "io.portscand.Check",
                                 json.dumps({"port": self.open})).stdout
        self.assertEqual(json.loads(output)["status"], "open")
        info = json.loads(self.varlinkctl("info", "--json=short", address).stdout)
        self.assertEqual(info["product"], "portscand")
        output = self.varlinkctl("call", "--more", "--json=short", address, "io.portscand.Scan",
                                 json.dumps({"ports": [f"{self.open},{self.closed}"]})).stdout
        self.assertEqual(json.loads(output.replace("\x1e", ""))["ports"], [self.open])


if __name__ == "__main__":
    harness.main()
