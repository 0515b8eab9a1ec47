"""JSON-RPC over the socket: the specification to the letter, and what is easier than that."""

import json
import subprocess
import time
import unittest

import harness
from harness import Daemon, closed_port, listener, require, silent_port

MESSAGE_MAX = 131072
UNSENT_MAX = 1024 * 1024
UNDER_WAY_MAX = 1024

setUpModule = harness.enter_network


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())
        cls.open = cls.enterClassContext(listener())
        cls.closed = cls.enterClassContext(closed_port())

    def setUp(self):
        self.client = self.daemon.client()
        self.addCleanup(self.client.close)

    def ask(self, text):
        """The answer to one line, which has no ending yet."""
        self.client.send(text + "\n")
        return self.client.receive()

    def assert_error(self, answer, code, name, request_id=None):
        self.assertEqual(answer["jsonrpc"], "2.0")
        self.assertEqual(answer["error"]["code"], code)
        self.assertEqual(answer["error"]["data"]["error"], name)
        self.assertIn("id", answer)
        self.assertEqual(answer["id"], request_id)
        self.assertNotIn("result", answer)

    def assert_nothing_more(self):
        """Nothing is left unanswered or unread: the next answer is to this question."""
        self.client.send_lines({"jsonrpc": "2.0", "id": "the end", "method": "info"})
        self.assertEqual(self.client.receive()["id"], "the end")


class Specification(Test):
    def test_named_parameters(self):
        answer = self.ask(json.dumps({"jsonrpc": "2.0", "method": "check",
                                      "params": {"port": self.open}, "id": 3}))
        self.assertEqual(set(answer), {"jsonrpc", "result", "id"})
        self.assertEqual((answer["jsonrpc"], answer["id"]), ("2.0", 3))
        result = answer["result"]
        self.assertEqual(list(result), ["host", "address", "port", "status", "reason",
                                        "elapsed_us"])
        self.assertEqual((result["host"], result["address"], result["port"], result["status"],
                          result["reason"]),
                         ("127.0.0.1", "127.0.0.1", self.open, "open", "accepted"))
        self.assertIs(type(result["elapsed_us"]), int)

    def test_positional_parameters(self):
        answer = self.ask('{"jsonrpc":"2.0","method":"check","params":[22],"id":1}')
        self.assert_error(answer, -32602, "InvalidParameter", 1)
        self.assertEqual(answer["error"]["data"]["parameter"], "params")
        # None by position are none.
        answer = self.ask('{"jsonrpc":"2.0","method":"info","params":[],"id":1}')
        self.assertIn("result", answer)
        answer = self.ask('{"jsonrpc":"2.0","method":"check","params":[],"id":1}')
        self.assertEqual(answer["error"]["data"]["parameter"], "port")

    def test_ids(self):
        for request_id in ("a string", "", 0, -7, 2**53, 1.5, None, "1"):
            answer = self.ask(json.dumps({"jsonrpc": "2.0", "method": "info", "id": request_id}))
            self.assertIn("id", answer)
            self.assertEqual(answer["id"], request_id)
            self.assertIs(type(answer["id"]), type(request_id))

    def test_ids_that_are_none(self):
        for request_id in (True, [1], {"a": 1}):
            answer = self.ask(json.dumps({"jsonrpc": "2.0", "method": "info", "id": request_id}))
            self.assert_error(answer, -32600, "InvalidRequest")

    def test_notifications(self):
        self.client.send_lines({"jsonrpc": "2.0", "method": "check", "params": {"port": self.open}},
                               {"jsonrpc": "2.0", "method": "foobar"},
                               {"jsonrpc": "2.0", "method": "check", "params": {"port": 0}},
                               {"jsonrpc": "2.0", "method": "scan", "params": {
                                   "ports": str(self.open), "stream": True}})
        self.assert_nothing_more()
        self.assertTrue(self.client.is_silent())

    def test_unknown_method(self):
        answer = self.ask('{"jsonrpc":"2.0","method":"foobar","id":"1"}')
        self.assert_error(answer, -32601, "MethodNotFound", "1")
        self.assertEqual(answer["error"]["data"]["method"], "foobar")

    def test_varlink_names_are_not_methods_here(self):
        for method in ("io.portscand.Check", "org.varlink.service.GetInfo", "Check", "Lease"):
            answer = self.ask(json.dumps({"jsonrpc": "2.0", "method": method, "id": 1}))
            self.assert_error(answer, -32601, "MethodNotFound", 1)

    def test_invalid_json(self):
        answer = self.ask('{"jsonrpc":"2.0","method":"foobar, "params":"bar","baz]')
        self.assert_error(answer, -32700, "ParseError")
        self.assert_nothing_more()

    def test_invalid_requests(self):
        for text in ('{"jsonrpc":"2.0","method":1,"params":"bar"}', '1.5', '"check"', 'null',
                     '[]', '{"jsonrpc":"2.0"}', '{"jsonrpc":"1.0","method":"info"}',
                     '{"jsonrpc":2.0,"method":"info"}', '{}'):
            with self.subTest(text):
                self.assertEqual(self.ask(text)["error"]["code"], -32600)
        self.assert_error(self.ask('{"jsonrpc":"2.0","method":1,"params":"bar"}'), -32600,
                          "InvalidRequest")
        self.assert_error(self.ask('[]'), -32600, "InvalidRequest")

    def test_batch_that_is_no_json(self):
        answer = self.ask('[{"jsonrpc":"2.0","method":"info","id":"1"},{"jsonrpc":"2.0","method"]')
        self.assert_error(answer, -32700, "ParseError")

    def test_batch_of_too_many(self):
        self.assert_error(self.ask("[" + ",".join(["1"] * 8193) + "]"), -32600,
                          "InvalidRequest")
        self.assert_nothing_more()

    def test_batches_of_nonsense(self):
        for text, n in (("[1]", 1), ("[1,2,3]", 3), ("[[]]", 1)):
            answers = self.ask(text)
            self.assertEqual(len(answers), n)
            for answer in answers:
                self.assert_error(answer, -32600, "InvalidRequest")

    def test_mixed_batch(self):
        answers = self.ask(json.dumps([
            {"jsonrpc": "2.0", "method": "check", "params": {"port": self.open}, "id": "1"},
            {"jsonrpc": "2.0", "method": "check", "params": {"port": self.closed}},
            {"jsonrpc": "2.0", "method": "check", "params": {"port": self.closed}, "id": "2"},
            {"foo": "boo"},
            {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
            {"jsonrpc": "2.0", "method": "info", "id": "9"},
        ]))
        self.assertEqual(len(answers), 5)
        by_id = {answer["id"]: answer for answer in answers}
        self.assertEqual(set(by_id), {"1", "2", None, "5", "9"})
        self.assertEqual(by_id["1"]["result"]["status"], "open")
        self.assertEqual(by_id["2"]["result"]["status"], "closed")
        self.assertEqual(by_id[None]["error"]["code"], -32600)
        self.assert_error(by_id["5"], -32601, "MethodNotFound", "5")
        self.assertEqual(by_id["9"]["result"]["product"], "portscand")

    def test_batch_of_notifications(self):
        self.client.send_lines([{"jsonrpc": "2.0", "method": "info"},
                                {"jsonrpc": "2.0", "method": "check",
                                 "params": {"port": self.open}}])
        self.assert_nothing_more()
        self.assertTrue(self.client.is_silent())

    def test_batch_waits_for_its_slowest(self):
        with silent_port() as silent:
            self.client.send_lines([
                {"jsonrpc": "2.0", "method": "check", "id": "slow",
                 "params": {"port": silent, "timeout_ms": 300}},
                {"jsonrpc": "2.0", "method": "check", "id": "fast", "params": {"port": self.open}}])
            self.client.send_lines({"jsonrpc": "2.0", "method": "info", "id": "between"})
            self.assertEqual(self.client.receive()["id"], "between")
            answers = {answer["id"]: answer["result"] for answer in self.client.receive()}
        self.assertEqual(answers["slow"]["reason"], "timeout")
        self.assertEqual(answers["fast"]["reason"], "accepted")

    def test_batch_of_progress_has_none(self):
        with silent_port() as silent:
            answers = self.ask(json.dumps([
                {"jsonrpc": "2.0", "method": "scan", "id": 1, "params": {
                    "ports": [silent, self.open], "stream": True, "timeout_ms": 350}}]))
        self.assertEqual(len(answers), 1)
        self.assertEqual(answers[0]["result"]["ports"], [self.open])

    def test_answers_come_as_they_are_done(self):
        with silent_port() as silent:
            self.client.send_lines(
                {"jsonrpc": "2.0", "method": "check", "id": "slow",
                 "params": {"port": silent, "timeout_ms": 300}},
                {"jsonrpc": "2.0", "method": "check", "id": "fast", "params": {"port": self.open}})
            self.assertEqual([self.client.receive()["id"] for _ in range(2)], ["fast", "slow"])

    def test_unicode_and_nul(self):
        for request_id in ("ünï→cödé 🔌", "a\0b", '"\\\n\t'):
            answer = self.ask(json.dumps({"jsonrpc": "2.0", "method": "info", "id": request_id}))
            self.assertEqual(answer["id"], request_id)
            self.client.send(json.dumps({"jsonrpc": "2.0", "method": "info", "id": request_id},
                                        ensure_ascii=False).replace("\0", "\\u0000") + "\n")
            self.assertEqual(self.client.receive()["id"], request_id)

    def test_not_utf8(self):
        self.client.send(b'{"jsonrpc":"2.0","method":"info","id":"\xff"}\n')
        self.assert_error(self.client.receive(), -32700, "ParseError")

    def test_one_byte_at_a_time(self):
        for byte in json.dumps({"jsonrpc": "2.0", "method": "info", "id": 1}) + "\n":
            self.client.send(byte)
        self.assertEqual(self.client.receive()["id"], 1)


class EasyTyping(Test):
    def test_no_version(self):
        answer = self.ask(f'{{"method":"check","params":{{"port":{self.open}}},"id":5}}')
        self.assertEqual(set(answer), {"result", "id"})
        self.assertEqual(answer["id"], 5)

    def test_no_version_and_no_id(self):
        answer = self.ask(f'{{"method":"check","params":{{"port":{self.open}}}}}')
        self.assertEqual(set(answer), {"result"})
        self.assertEqual(answer["result"]["status"], "open")
        answer = self.ask('{"method":"check"}')
        self.assertEqual(set(answer), {"error"})
        self.assertEqual(answer["error"]["data"], {"error": "InvalidParameter",
                                                   "parameter": "port"})

    def test_unknown_member_of_the_envelope(self):
        answer = self.ask('{"method":"check","parameters":{"port":22}}')
        self.assertEqual(answer["error"]["code"], -32600)
        self.assertIn("parameters", answer["error"]["message"])

    def test_port_as_digits(self):
        answer = self.ask(f'{{"method":"check","params":{{"port":"{self.open}"}}}}')
        self.assertEqual(answer["result"]["port"], self.open)

    def test_port_lists(self):
        a, b = sorted((self.open, self.closed))
        for ports in (f"{a},{b}", [a, b], [str(a), b], [f"{a},{b}"]):
            answer = self.ask(json.dumps({"method": "scan", "params": {"ports": ports}}))
            self.assertEqual(answer["result"]["total"], 2)
            self.assertEqual(answer["result"]["ports"], [self.open])
        answer = self.ask(json.dumps({"method": "scan", "params": {"ports": self.open}}))
        self.assertEqual(answer["result"]["ports"], [self.open])

    def test_line_endings(self):
        self.client.send('\n\r\n\n{"method":"info"}\r\n\r\n{"method":"info","id":2}\n')
        self.assertEqual(set(self.client.receive()), {"result"})
        self.assertEqual(self.client.receive()["id"], 2)

    def test_missing_last_newline(self):
        self.client.send('{"method":"info","id":1}\n{"method":"info","id":2}')
        self.client.half_close()
        self.assertEqual([self.client.receive()["id"] for _ in range(2)], [1, 2])
        self.assertIsNone(self.client.receive())

    def test_half_close_waits_for_the_answer(self):
        with silent_port() as silent:
            self.client.send(f'{{"method":"check","params":{{"port":{silent}}}}}')
            self.client.half_close()
            self.assertEqual(self.client.receive()["result"]["reason"], "timeout")
            self.assertIsNone(self.client.receive())

    def test_half_close_of_nothing(self):
        self.client.half_close()
        self.assertIsNone(self.client.receive())

    def test_half_close_behind_a_batch(self):
        calls = [{"jsonrpc": "2.0", "method": "check", "id": i, "params": {"port": self.open}}
                 for i in range(500)]
        self.client.send(json.dumps(calls))
        self.client.half_close()
        self.assertEqual(sorted(answer["id"] for answer in self.client.receive()),
                         list(range(500)))
        self.assertIsNone(self.client.receive())

    def run_with_input(self, *command):
        require(command[0])
        for ending in ("", "\n"):
            text = f'{{"method":"check","params":{{"port":{self.open}}}}}' + ending
            run = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30,
                                 check=True)
            self.assertEqual(json.loads(run.stdout)["result"]["status"], "open")

    def test_socat(self):
        self.run_with_input("socat", "-t", "10", "-", "UNIX-CONNECT:" + self.daemon.path)

    def test_netcat(self):
        require("nc")
        if "-U" not in subprocess.run(["nc", "-h"], capture_output=True, text=True,
                                      check=False).stderr:
            self.skipTest("this nc knows no AF_UNIX")
        self.run_with_input("nc", "-N", "-U", self.daemon.path)

    def test_info(self):
        result = self.ask('{"method":"info"}')["result"]
        self.assertEqual(set(result), {"vendor", "product", "version", "url", "interfaces", "pid",
                                       "uptime_ms"})
        self.assertEqual(result["interfaces"], ["org.varlink.service", "io.portscand"])
        if not harness.WRAPPER:
            self.assertEqual(result["pid"], self.daemon.pid)

    def test_cancel_of_nothing(self):
        self.assertEqual(self.ask('{"method":"cancel","params":{"id":77}}'),
                         {"result": {"cancelled": 0}})

    def test_cancel_by_every_kind_of_id(self):
        for request_id in (1, "one", None, 1.5):
            self.client.send_lines(
                {"jsonrpc": "2.0", "method": "wait", "id": request_id,
                 "params": {"port": self.closed}},
                {"method": "cancel", "params": {"id": request_id}})
            cancelled = self.client.receive()
            self.assert_error(cancelled, 11, "Cancelled", request_id)
            self.assertEqual(self.client.receive(), {"result": {"cancelled": 1}})

    def test_cancel_is_for_ones_own_connection(self):
        with self.daemon.client() as other:
            other.send_lines({"method": "wait", "id": 1,
                              "params": {"port": self.closed, "deadline_ms": 500}})
            self.assertEqual(self.ask('{"method":"cancel","params":{"id":1}}')["result"],
                             {"cancelled": 0})
            self.assertEqual(other.receive()["error"]["data"]["error"], "DeadlineExceeded")

    def test_cancel_within_a_batch(self):
        answers = self.ask(json.dumps([
            {"jsonrpc": "2.0", "method": "wait", "id": "w", "params": {"port": self.closed}},
            {"jsonrpc": "2.0", "method": "cancel", "id": "c", "params": {"id": "w"}}]))
        by_id = {answer["id"]: answer for answer in answers}
        self.assert_error(by_id["w"], 11, "Cancelled", "w")
        self.assertEqual(by_id["c"]["result"], {"cancelled": 1})


class BadMembers(Test):
    def assert_refused(self, method, params, member):
        error = self.ask(json.dumps({"method": method, "params": params}))["error"]
        self.assertEqual((error["code"], error["data"]),
                         (-32602, {"error": "InvalidParameter", "parameter": member}),
                         (params, error))
        return error["message"]

    def test_ports(self):
        for port in (0, 65536, -1, 1.5, 80.0, True, None, [], {}, " 80", "80 ", "80x", "1e2",
                     "+80", "0x50", "", "65536", "0", "80,81", "٨٠"):
            for method in ("check", "wait"):
                self.assert_refused(method, {"port": port}, "port")

    def test_port_lists(self):
        for ports in ([], "", ",", "80,", "1-2-3", "-5", "0-5", "65536", [[80]], [True], {}, True,
                      "80 81", "a", [""], [80, None], 0, 80.5):
            self.assert_refused("find", {"ports": ports}, "ports")
            self.assert_refused("scan", {"ports": ports}, "ports")
            self.assert_refused("find", {"ports": 1, "exclude": ports}, "exclude")
        self.assert_refused("find", {}, "ports")
        self.assert_refused("find", {"ports": None}, "ports")

    def test_ranges(self):
        for method, required in (("check", {"port": 1}), ("find", {"ports": 1}), ("scan", {}),
                                 ("wait", {"port": 1})):
            for value in (0, 600001, -1, "400", 1.5, True, 2**70):
                self.assert_refused(method, {**required, "timeout_ms": value}, "timeout_ms")
        for value in (0, 86400001, "1", 0.5):
            self.assert_refused("wait", {"port": 1, "deadline_ms": value}, "deadline_ms")
        for value in (0, 600001, [], "50"):
            self.assert_refused("wait", {"port": 1, "interval_ms": value}, "interval_ms")
        for value in (0, 65536, "2"):
            self.assert_refused("find", {"ports": 1, "count": value}, "count")

    def test_words(self):
        for value in ("OPEN", "", 1, True, "open ", "open\0"):
            self.assert_refused("find", {"ports": 1, "status": value}, "status")
            self.assert_refused("scan", {"ports": 1, "status": value}, "status")
            self.assert_refused("wait", {"port": 1, "until": value}, "until")
        for value in ("netlink", "Table", "", 0):
            message = self.assert_refused("check", {"port": 1, "via": value}, "via")
            self.assertIn("one of connect", message)
        self.assert_refused("find", {"ports": 1, "order": "last"}, "order")
        for member in ("strict", "include_leased"):
            self.assert_refused("find", {"ports": 1, member: "true"}, member)
            self.assert_refused("find", {"ports": 1, member: 1}, member)
        self.assert_refused("scan", {"ports": 1, "stream": "yes"}, "stream")

    def test_hosts(self):
        for host in ("", "a" * 254, "a b", "a/b", 1, [], "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g",
                     "1::2::3", "127.1", "a..b", ".a", "localhost\0x", "[::1]", "::1%nosuchif",
                     "-" * 64 + ".com", "ü.example"):
            self.assert_refused("check", {"port": 1, "host": host}, "host")
            self.assert_refused("scan", {"ports": 1, "host": host}, "host")

    def test_unknown_members(self):
        for method, required in (("check", {"port": 1}), ("find", {"ports": 1}), ("scan", {}),
                                 ("wait", {"port": 1}), ("info", {}), ("metrics", {}),
                                 ("cancel", {"id": 1})):
            self.assert_refused(method, {**required, "prot": 1}, "prot")
        message = self.assert_refused("check", {"prot": 1}, "prot")
        for known in ("port", "host", "timeout_ms", "via"):
            self.assertIn(known, message)

    def test_missing_members(self):
        self.assert_refused("check", {}, "port")
        self.assert_refused("wait", {"host": "::1"}, "port")
        self.assert_refused("cancel", {}, "id")
        self.assert_refused("cancel", {"id": []}, "id")

    def test_message_tells_what_was_given_and_what_is_allowed(self):
        message = self.assert_refused("check", {"port": 1, "timeout_ms": 700000}, "timeout_ms")
        self.assertIn("700000", message)
        self.assertIn("1 to 600000", message)

    def test_null_is_left_out(self):
        answer = self.ask(json.dumps({"method": "check", "params": {
            "port": self.open, "host": None, "timeout_ms": None, "via": None}}))
        self.assertEqual(answer["result"]["host"], "127.0.0.1")


class ParseErrors(Test):
    def assert_parse_error(self, text, line, column):
        self.client.send(text + "\n")
        answer = self.client.receive()
        self.assert_error(answer, -32700, "ParseError")
        data = answer["error"]["data"]
        self.assertEqual((data["line"], data["column"]), (line, column), answer)
        self.assertIn(f"line {line}, column {column}", answer["error"]["message"])

    def test_where(self):
        self.assert_parse_error('{"method":info}', 1, 14)
        self.assert_parse_error('{"a":1}x', 1, 8)
        self.assert_parse_error('{"method" "info"}', 1, 16)
        self.assert_parse_error('x', 1, 1)

    def test_duplicate_members(self):
        answer = self.ask('{"method":"check","params":{"port":1,"port":2}}')
        self.assert_error(answer, -32700, "ParseError")
        self.assertIn("port", answer["error"]["message"])

    def test_nesting(self):
        def nested(depth):
            return '{"method":"check","params":{"port":' + "[" * depth + "]" * depth + "}}"

        # The message and its params are the first two.
        self.assertEqual(self.ask(nested(30))["error"]["code"], -32602)
        answer = self.ask(nested(31))
        self.assert_error(answer, -32700, "ParseError")
        self.assertEqual(answer["error"]["data"]["column"], len('{"method":"check",') + 48)
        answer = self.ask("[" * 60000 + "]" * 60000)
        self.assert_error(answer, -32700, "ParseError")
        self.assertEqual(answer["error"]["data"]["column"], 33)
        # Brackets in strings are none.
        answer = self.ask(json.dumps({"jsonrpc": "2.0", "method": "info", "id": "[{\\\"" * 50}))
        self.assertEqual(answer["id"], "[{\\\"" * 50)

    def test_others_on_the_connection_go_on(self):
        with silent_port() as silent:
            self.client.send_lines({"method": "check", "id": 1, "params": {"port": silent}})
            self.client.send("}\n")
            self.assertEqual(self.client.receive()["error"]["code"], -32700)
            self.assertEqual(self.client.receive()["id"], 1)


class Limits(Test):
    def padded(self, size, ending="\n"):
        """A valid request of so many bytes, its ending apart."""
        head, tail = '{"jsonrpc":"2.0","method":"info","id":"', '"}'
        return head + "x" * (size - len(head) - len(tail)) + tail + ending

    def test_largest_message(self):
        for ending in ("\n", "\r\n"):
            self.client.send(self.padded(MESSAGE_MAX, ending))
            answer = self.client.receive()
            self.assertEqual(len(answer["id"]), MESSAGE_MAX - 41)
        self.assert_nothing_more()

    def test_largest_message_whose_ending_comes_in_two(self):
        self.client.send(self.padded(MESSAGE_MAX, "\r"))
        self.assertTrue(self.client.is_silent())
        self.client.send("\n" + self.padded(MESSAGE_MAX, "\r"))
        self.assertEqual(len(self.client.receive()["id"]), MESSAGE_MAX - 41)
        self.client.half_close()
        self.assertEqual(len(self.client.receive()["id"]), MESSAGE_MAX - 41)
        self.assertIsNone(self.client.receive())

    def test_largest_messages_pipelined(self):
        self.client.send(self.padded(MESSAGE_MAX) * 5)
        for _ in range(5):
            self.assertEqual(len(self.client.receive()["id"]), MESSAGE_MAX - 41)

    def test_message_too_large(self):
        self.client.send(self.padded(MESSAGE_MAX + 1))
        answer = self.client.receive()
        self.assert_error(answer, 13, "MessageTooLarge")
        self.assertEqual(answer["error"]["data"]["limit"], MESSAGE_MAX)
        self.assertIsNone(self.client.receive())

    def test_message_without_an_end(self):
        # More than the socket's buffer takes: so the daemon reads on, and the answer is seen.
        self.client.send("x" * (MESSAGE_MAX * 4))
        answer = self.client.receive()
        self.assert_error(answer, 13, "MessageTooLarge")
        self.assertIsNone(self.client.receive())

    def test_message_too_large_behind_others(self):
        with silent_port() as silent:
            self.client.send_lines({"method": "check", "id": 1, "params": {"port": silent}})
            self.client.send("x" * (MESSAGE_MAX + 1) + '\n{"method":"info","id":"lost"}\n')
            self.assert_error(self.client.receive(), 13, "MessageTooLarge")
            self.assertEqual(self.client.receive()["id"], 1)
            self.assertIsNone(self.client.receive())

    def test_client_that_never_stops(self):
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1000):
                self.client.send("x" * 65536)

    def test_requests_under_way(self):
        n = UNDER_WAY_MAX + 500
        with closed_port() as port:
            waits = [{"method": "wait", "id": i, "params": {"port": port, "interval_ms": 600000}}
                     for i in range(n)]
            self.client.send_lines(*waits)
            self.client.send_lines({"method": "info", "id": "behind"})
            # 1,024 are under way, the rest are not even looked at.
            self.assertTrue(self.client.is_silent(0.5))
            count = 'portscand_requests_total{method="wait"}'
            before = self.daemon.metrics()[count]
            self.assertTrue(self.client.is_silent(0.2))
            self.assertEqual(self.daemon.metrics()[count], before)
            self.assertEqual(len(self.client.received), 0)

    def test_requests_under_way_go_on(self):
        n = 2 * UNDER_WAY_MAX + 100
        with closed_port() as port:
            self.client.send_lines(*({"method": "wait", "id": i, "params": {
                "port": port, "interval_ms": 600000, "deadline_ms": 300}} for i in range(n)))
            self.client.send_lines({"method": "info", "id": n})
            answers = [self.client.receive() for _ in range(n + 1)]
        self.assertEqual(sorted(answer["id"] for answer in answers), list(range(n + 1)))
        for answer in answers:
            if answer["id"] != n:
                self.assertEqual(answer["error"]["data"]["error"], "DeadlineExceeded")

    def test_client_that_does_not_read(self):
        """The daemon stops reading past 1 MiB of unsent answers, goes on later, loses nothing."""
        n = 10000
        # Set, it has every page written that is only reserved.
        daemon = self.enterContext(Daemon(env={"MALLOC_PERTURB_": "0"}))
        client = self.enterContext(daemon.client())
        request = {"jsonrpc": "2.0", "method": "metrics"}
        lines = b"".join(json.dumps({**request, "id": i}).encode() + b"\n" for i in range(n))
        client.socket.setblocking(False)
        sent = 0
        idle_since = time.monotonic()
        while sent < len(lines) and time.monotonic() - idle_since < 1:
            try:
                sent += client.socket.send(lines[sent:])
                idle_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        self.assertLess(sent, len(lines))
        if not harness.INSTRUMENTED:
            self.assertLess(daemon.resident_bytes(), 16 << 20)
        # Others don't notice.
        self.assertEqual(daemon.result("check", {"port": self.open})["status"], "open")

        client.socket.settimeout(30)
        ids = []
        while len(ids) < n:
            if sent < len(lines):
                client.socket.setblocking(False)
                try:
                    sent += client.socket.send(lines[sent:])
                except BlockingIOError:
                    pass
                client.socket.settimeout(30)
            ids.append(client.receive()["id"])
        self.assertEqual(ids, list(range(n)))

    def test_half_close_without_reading(self):
        """All is answered though the client starts to read only after its half-close."""
        n = 1500
        self.client.send_lines(*({"method": "metrics", "id": i} for i in range(400)))
        time.sleep(0.2)
        self.client.send_lines(*({"method": "info", "id": i} for i in range(400, n)))
        self.client.half_close()
        time.sleep(0.2)
        self.assertEqual([self.client.receive()["id"] for _ in range(n)], list(range(n)))
        self.assertIsNone(self.client.receive())

    def test_large_batch(self):
        calls = [{"jsonrpc": "2.0", "method": "check", "params": {"port": self.open}, "id": i}
                 for i in range(1400)]
        answers = self.ask(json.dumps(calls, separators=(",", ":")))
        self.assertEqual(sorted(answer["id"] for answer in answers), list(range(1400)))
        self.assertEqual({answer["result"]["status"] for answer in answers}, {"open"})

    def test_batch_of_2000(self):
        calls = ",".join('{"jsonrpc":"2.0","method":"info","id":%d}' % i for i in range(2000))
        answers = self.ask("[" + calls + "]")
        self.assertEqual([answer["id"] for answer in answers], list(range(2000)))

    def test_batch_of_nothing_but_numbers(self):
        n = MESSAGE_MAX // 2 - 1
        self.assert_error(self.ask("[" + ",".join(["1"] * n) + "]"), -32600, "InvalidRequest")
        answers = self.ask("[" + ",".join(["1"] * 8192) + "]")
        self.assertEqual(len(answers), 8192)
        self.assertEqual({answer["error"]["code"] for answer in answers}, {-32600})

    def test_batch_larger_than_what_may_be_under_way(self):
        n = UNDER_WAY_MAX + 300
        calls = ",".join('{"jsonrpc":"2.0","method":"wait","id":%d,"params":{"port":%d,'
                         '"deadline_ms":100}}' % (i, self.closed) for i in range(n))
        answers = self.ask("[" + calls + "]")
        self.assertEqual(sorted(answer["id"] for answer in answers), list(range(n)))
        self.assertEqual({answer["error"]["data"]["error"] for answer in answers},
                         {"DeadlineExceeded"})

    def test_batch_with_too_much_to_answer(self):
        n = 4000
        answers = self.ask("[" + ",".join('{"method":"metrics","id":%d}' % i for i in range(n)) +
                           "]")
        self.assertEqual([answer["id"] for answer in answers], list(range(n)))
        refused = [answer for answer in answers if "error" in answer]
        size = sum(len(json.dumps(answer["result"])) for answer in answers if "result" in answer)
        # Up to 8 MiB they are answered, and then no more.
        self.assertGreater(size, 7 << 20)
        self.assertLess(size, 9 << 20)
        self.assertGreater(len(refused), 10)
        self.assertEqual(refused, answers[-len(refused):])
        for answer in refused:
            self.assertEqual(answer["error"]["data"], {"error": "ResourcesExhausted",
                                                       "resource": "batch"})
        self.assert_nothing_more()


if __name__ == "__main__":
    harness.main()
