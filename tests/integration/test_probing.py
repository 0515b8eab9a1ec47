"""What check, find, scan and wait say of real ports, on this host."""

import collections
import contextlib
import socket
import subprocess
import threading
import time
import unittest

import harness
from harness import (Daemon, closed_port, closed_ports, full_port, listener, listening_socket,
                     silent_port, wait_for)

UNREACHABLE = "127.255.255.255"

setUpModule = harness.enter_network


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon())
        # It runs by now, however slowly it starts: some tests say when things happen.
        cls.daemon.result("info")

    def check(self, port, host=None, **params):
        return self.daemon.result("check", {"port": port, "host": host, **params})

    def assert_check(self, port, host, status, reason, address):
        result = self.check(port, host)
        self.assertEqual((result["host"], result["port"], result["status"], result["reason"],
                          result["address"]),
                         (host, port, status, reason, address))


class Check(Test):
    def test_ipv4(self):
        with listener() as port:
            self.assert_check(port, "127.0.0.1", "open", "accepted", "127.0.0.1")
            self.assert_check(port, "::1", "closed", "refused", "::1")
            self.assert_check(port, "127.0.0.2", "closed", "refused", "127.0.0.2")
        self.assert_check(port, "127.0.0.1", "closed", "refused", "127.0.0.1")

    def test_ipv6(self):
        with listener("::1") as port:
            self.assert_check(port, "::1", "open", "accepted", "::1")
            self.assert_check(port, "0:0::1", "open", "accepted", "::1")
            self.assert_check(port, "127.0.0.1", "closed", "refused", "127.0.0.1")
        self.assert_check(port, "::1", "closed", "refused", "::1")

    def test_dual_stack(self):
        with listener("::", v6only=False) as port:
            for host in ("127.0.0.1", "::1", "127.0.0.9"):
                self.assert_check(port, host, "open", "accepted", host)
            self.assert_check(port, "::ffff:127.0.0.1", "open", "accepted", "127.0.0.1")

    def test_any_address(self):
        with listener("0.0.0.0") as port:
            self.assert_check(port, "0.0.0.0", "open", "accepted", "0.0.0.0")
            self.assert_check(port, "127.0.0.1", "open", "accepted", "127.0.0.1")
            self.assert_check(port, "::1", "closed", "refused", "::1")

    def test_default_host(self):
        with listener() as port:
            self.assertEqual(self.check(port)["host"], "127.0.0.1")

    def test_localhost(self):
        for name in ("localhost", "LOCALHOST", "localhost.", "any.thing.localhost", "a.LocalHost"):
            with listener() as port:
                self.assert_check(port, name, "open", "accepted", "127.0.0.1")
            with listener("::1") as port:
                self.assert_check(port, name, "open", "accepted", "::1")
            with closed_port() as port:
                self.assertEqual(self.check(port, name)["reason"], "refused")

    def test_unreachable(self):
        error = self.daemon.error("check", {"port": 80, "host": UNREACHABLE})
        self.assertEqual(error["code"], 1)
        self.assertEqual(error["data"], {"error": "Unreachable", "host": UNREACHABLE, "port": 80,
                                         "errno": "ENETUNREACH", "status": "closed"})
        error = self.daemon.error("wait", {"port": 80, "host": UNREACHABLE})
        self.assertEqual(error["data"], {"error": "Unreachable", "host": UNREACHABLE, "port": 80,
                                         "errno": "ENETUNREACH", "status": "closed"})
        for method in ("find", "scan"):
            error = self.daemon.error(method, {"ports": "80-90", "host": UNREACHABLE})
            self.assertEqual(error["data"], {"error": "Unreachable", "host": UNREACHABLE,
                                             "port": 80, "errno": "ENETUNREACH"})

    def test_no_answer_is_a_timeout(self):
        with silent_port() as port:
            began = time.monotonic()
            result = self.check(port, timeout_ms=300)
            self.assertEqual((result["status"], result["reason"]), ("closed", "timeout"))
            self.assertGreaterEqual(time.monotonic() - began, 0.29)
            self.assertGreaterEqual(result["elapsed_us"], 290000)

    def test_full_accept_queue_is_open(self):
        with full_port() as port:
            result = self.check(port, timeout_ms=300)
            self.assertEqual((result["status"], result["reason"]), ("open", "backlog_full"))
            self.assertGreaterEqual(result["elapsed_us"], 290000)

    def test_full_accept_queue_that_empties_in_time(self):
        # The kernel tries again after a second.
        with listening_socket(backlog=0) as full, contextlib.ExitStack() as stack:
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            time.sleep(0.05)
            with self.daemon.client() as client:
                client.start("check", {"port": full.getsockname()[1], "timeout_ms": 20000})
                self.assertTrue(client.is_silent())
                threading.Thread(target=harness.accept_all, args=(full,)).start()
                self.assertEqual(client.receive()["result"]["reason"], "accepted")
            full.shutdown(socket.SHUT_RDWR)

    def test_connections_end_by_reset(self):
        with listening_socket() as listening:
            port = listening.getsockname()[1]
            self.assertEqual(self.check(port)["status"], "open")
            connection, _ = listening.accept()
            with connection, self.assertRaises(ConnectionResetError):
                connection.settimeout(10)
                connection.recv(1)

    def test_no_time_wait_is_left(self):
        n = 5000
        with listener() as port, self.daemon.client() as client:
            # By hundreds, so that the listener's queue is never full.
            for _ in range(n // 200):
                for answer in ask_all(client, [{"method": "check", "params": {
                        "port": port, "timeout_ms": 10000}}] * 200):
                    self.assertEqual(answer["result"]["status"], "open")
            self.assertEqual(states_of(port).get("TIME-WAIT", 0), 0)

    def test_60000_checks_pipelined(self):
        n = 60000 if not harness.INSTRUMENTED else 6000
        with closed_port() as port, self.daemon.client() as client:
            answers = ask_all(client, ({"method": "check", "id": i, "params": {"port": port}}
                                       for i in range(n)))
            self.assertEqual(collections.Counter(answer["result"]["reason"] for answer in answers),
                             {"refused": n})

    def test_checks_are_answered_while_others_sweep(self):
        with self.daemon.client() as one, self.daemon.client() as two, listener() as port, \
                self.daemon.client() as client:
            for other in (one, two):
                other.send_lines(*({"method": "scan", "id": i} for i in range(2)))
            latencies = []
            while not (readable(one) and readable(two)) and len(latencies) < 100:
                began = time.monotonic()
                answer = client.call("check", {"port": port})
                latencies.append(time.monotonic() - began)
                self.assertEqual(answer["result"]["status"], "open")
            self.assertGreater(len(latencies), 10)
            latencies.sort()
            self.assertLess(latencies[len(latencies) // 2], 0.05 if not harness.INSTRUMENTED
                            else 1)


def readable(client):
    return not client.is_silent(0)


def ask_all(client, messages):
    """Sends all, and reads meanwhile: the answers in the order they came."""
    messages = list(messages)
    sender = threading.Thread(target=client.send_lines, args=messages)
    sender.start()
    answers = [client.receive() for _ in messages]
    sender.join()
    return answers


def states_of(port):
    """How many TCP sockets with the port are in each state, by ss."""
    harness.require("ss")
    output = subprocess.run(["ss", "-Htan", f"( sport = :{port} or dport = :{port} )"],
                            capture_output=True, text=True, check=True).stdout
    return collections.Counter(line.split()[0] for line in output.splitlines())


class Find(Test):
    def find(self, ports, **params):
        return self.daemon.result("find", {"ports": ports, **params})

    def test_first_in_order(self):
        with contextlib.ExitStack() as stack:
            a, b, c = stack.enter_context(closed_ports(3))
            busy = stack.enter_context(listener())
            for ports in ([busy, c, a, b], [c, b, a], [busy, b], [f"{c}", a], f"{busy},{c},{a}"):
                result = self.find(ports)
                expected = next(int(port) for port in
                                (ports.split(",") if isinstance(ports, str) else ports)
                                if int(port) != busy)
                self.assertEqual((result["port"], result["ports"]), (expected, [expected]))

    def test_first_although_a_later_one_is_known_sooner(self):
        with closed_ports(2) as (a, b), silent_port() as silent:
            result = self.find([silent, a, b], timeout_ms=300)
            self.assertEqual(result["port"], silent)
            self.assertEqual(self.find([silent, b, a], count=2, timeout_ms=300)["ports"],
                             [silent, b])

    def test_any_is_the_soonest(self):
        with closed_port() as port, silent_port() as silent:
            began = time.monotonic()
            result = self.find([silent, port], order="any", timeout_ms=10000)
            self.assertLess(time.monotonic() - began, 5)
            self.assertEqual((result["port"], result["ports"], result["checked"]),
                             (port, [port], 1))

    def test_random(self):
        with closed_ports(4) as ports:
            seen = collections.Counter(self.find(ports, order="random")["port"]
                                       for _ in range(200))
            self.assertEqual(set(seen), set(ports))
            # Each is expected 50 times; 15 is six sigma away.
            self.assertGreater(min(seen.values()), 14)
            result = self.find(ports, order="random", count=4)
            self.assertEqual(sorted(result["ports"]), ports)
            self.assertEqual(result["port"], result["ports"][0])

    def test_open(self):
        with listener() as a, listener() as b, closed_port() as closed:
            self.assertEqual(self.find([closed, b, a], status="open")["port"], b)
            self.assertEqual(self.find([closed, b, a], status="open", count=5)["ports"], [b, a])
            for order in ("first", "any", "random"):
                result = self.find([closed], status="open", order=order)
                self.assertEqual((result["port"], result["ports"], result["checked"]),
                                 (None, [], 1))

    def test_strict(self):
        with silent_port() as silent, closed_port() as taken:
            with closed_port() as free:
                pass
            for order in ("first", "any", "random"):
                params = {"order": order, "timeout_ms": 150}
                self.assertEqual(self.find(silent, **params)["port"], silent)
                self.assertIsNone(self.find(silent, strict=True, **params)["port"])
                self.assertEqual(self.find([silent, taken, free], strict=True, count=9,
                                           **params)["ports"], [free])

    def test_count(self):
        with closed_ports(10) as ports:
            for count in (1, 3, 10, 11, 65535):
                self.assertEqual(self.find(ports, count=count)["ports"], ports[:count])

    def test_stops_when_it_is_certain(self):
        with closed_port() as port:
            result = self.find(f"{port}-")
            self.assertEqual(result["port"], port)
            self.assertLess(result["checked"], 3000)
            self.assertEqual(self.find([port, "1-65535"], order="any")["checked"], 1)

    def test_exclude(self):
        with closed_ports(3) as ports:
            self.assertEqual(self.find(ports, exclude=ports[0])["port"], ports[1])
            self.assertEqual(self.find(ports, exclude=[f"{ports[0]}", ports[1]], count=3)["ports"],
                             [ports[2]])
            result = self.find(ports, exclude="1-65535")
            self.assertEqual((result["port"], result["ports"], result["checked"]), (None, [], 0))
            for order in ("any", "random"):
                self.assertIsNone(self.find(ports, exclude="1-", order=order)["port"])

    def test_include_leased(self):
        with closed_port() as port:
            for leased in (True, False):
                self.assertEqual(self.find(port, include_leased=leased)["port"], port)

    def test_reversed_and_open_ended_and_duplicate(self):
        with closed_port() as port, listener() as busy:
            result = self.find(f"{port}-{port - 1}", count=2, status="closed", exclude=busy)
            self.assertEqual(result["ports"], sorted(result["ports"]))
            self.assertIn(port, result["ports"])
            result = self.find([port, f"{port}-{port}", str(port), f"{port},{port}"], count=9)
            self.assertEqual((result["ports"], result["checked"]), ([port], 1))
            with self.daemon.client() as client:
                result = client.call("find", {"ports": "65535-", "count": 5})["result"]
            self.assertEqual(result["checked"], 1)

    def test_names(self):
        with closed_port() as port, listener("::1") as busy:
            self.assertEqual(self.find([busy, port], host="localhost")["port"], port)
            self.assertEqual(self.find([port, busy], host="localhost", status="open")["port"],
                             busy)


class Scan(Test):
    def test_order_and_counts(self):
        with listener() as a, listener() as b, closed_ports(2) as closed, silent_port() as silent:
            ports = [closed[1], b, silent, a, closed[0]]
            result = self.daemon.result("scan", {"ports": ports, "timeout_ms": 200})
            self.assertEqual(set(result), {"ports", "counts", "done", "total", "elapsed_us"})
            self.assertEqual(result["ports"], [b, a])
            self.assertEqual(result["counts"], {"open": 2, "closed": 2, "timeout": 1})
            self.assertEqual((result["done"], result["total"]), (5, 5))
            result = self.daemon.result("scan", {"ports": ports, "timeout_ms": 200,
                                                 "status": "closed"})
            self.assertEqual(result["ports"], [closed[1], silent, closed[0]])

    def test_all_ports(self):
        with listener() as a, listener() as b:
            result = self.daemon.result("scan")
            self.assertIn(a, result["ports"])
            self.assertIn(b, result["ports"])
            self.assertEqual(result["ports"], sorted(result["ports"]))
            self.assertEqual((result["done"], result["total"]), (65535, 65535))
            self.assertEqual(sum(result["counts"].values()), 65535)
            self.assertEqual(result["counts"]["open"], len(result["ports"]))

    def test_closed_list_of_65535(self):
        result = self.daemon.result("scan", {"host": "127.77.77.77", "status": "closed",
                                             "ports": ["30000-65535", "1-40000"]})
        self.assertEqual(result["total"], 65535)
        # Whatever listens on all addresses here is not closed.
        self.assertEqual(len(result["ports"]) + result["counts"]["open"], 65535)
        self.assertEqual(result["ports"], [*(port for port in result["ports"] if port >= 30000),
                                           *(port for port in result["ports"] if port < 30000)])
        self.assertEqual(len(set(result["ports"])), len(result["ports"]))

    def test_ipv6_and_localhost(self):
        with listener("::1") as six, listener() as four:
            ports = [six, four]
            self.assertEqual(self.daemon.result("scan", {"ports": ports, "host": "::1"})["ports"],
                             [six])
            result = self.daemon.result("scan", {"ports": ports, "host": "localhost"})
            self.assertEqual(result["ports"], ports)
            self.assertEqual(result["counts"], {"open": 2, "closed": 0, "timeout": 0})

    def test_stream(self):
        with listener() as a, silent_port() as silent, listener() as b, \
                self.daemon.client() as client:
            began = time.monotonic()
            client.send_lines({"jsonrpc": "2.0", "id": "s", "method": "scan", "params": {
                "ports": [a, silent, b], "stream": True, "timeout_ms": 650}})
            messages = [client.receive()]
            while "method" in messages[-1]:
                messages.append(client.receive())
            elapsed = time.monotonic() - began
        progress, answer = messages[:-1], messages[-1]
        self.assertGreaterEqual(len(progress), 1)
        self.assertLessEqual(len(progress), elapsed * 10 + 1)
        for message in progress:
            self.assertEqual(set(message), {"jsonrpc", "method", "params"})
            self.assertEqual((message["jsonrpc"], message["method"]), ("2.0", "progress"))
            self.assertEqual(set(message["params"]), {"id", "ports", "done", "total"})
            self.assertEqual((message["params"]["id"], message["params"]["total"]), ("s", 3))
        self.assertEqual([port for message in progress for port in message["params"]["ports"]],
                         [a, b])
        self.assertEqual(progress[0]["params"]["done"], 2)
        # The answer is the whole result all the same.
        self.assertEqual(answer["result"]["ports"], [a, b])
        self.assertEqual(answer["id"], "s")

    def test_no_stream_without_being_asked(self):
        with silent_port() as silent, self.daemon.client() as client:
            self.assertIn("result", client.call("scan", {"ports": silent, "timeout_ms": 300}))

    def test_stream_to_a_client_that_does_not_read(self):
        with self.daemon.client() as client:
            client.send_lines(*({"method": "scan", "id": i, "params": {
                "stream": True, "status": "closed"}} for i in range(4)))
            time.sleep(1)
            results = {}
            while len(results) < 4:
                message = client.receive()
                if "result" in message:
                    results[message["id"]] = message["result"]
        for result in results.values():
            self.assertEqual(result["done"], 65535)
            self.assertEqual(len(result["ports"]), result["counts"]["closed"] +
                             result["counts"]["timeout"])


class Wait(Test):
    def later(self, seconds, action):
        timer = threading.Timer(seconds, action)
        timer.start()
        self.addCleanup(timer.join)

    def test_open_already(self):
        with listener() as port:
            result = self.daemon.result("wait", {"port": port})
            self.assertEqual(set(result), {"host", "address", "port", "status", "reason",
                                           "waited_ms"})
            self.assertEqual((result["status"], result["reason"]), ("open", "accepted"))
            self.assertLess(result["waited_ms"], 1000)

    def test_opens_later(self):
        with contextlib.ExitStack() as stack:
            bound = stack.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            self.later(0.3, lambda: bound.listen(16))
            result = self.daemon.result("wait", {"port": bound.getsockname()[1],
                                                 "interval_ms": 20})
            self.assertEqual(result["status"], "open")
            self.assertGreaterEqual(result["waited_ms"], 250)
            self.assertLess(result["waited_ms"], 10000)

    def test_closes_later(self):
        listening = listening_socket(backlog=4096)
        self.later(0.3, listening.close)
        result = self.daemon.result("wait", {"port": listening.getsockname()[1],
                                             "until": "closed", "interval_ms": 20})
        self.assertEqual((result["status"], result["reason"]), ("closed", "refused"))
        self.assertGreaterEqual(result["waited_ms"], 150)

    def test_deadline(self):
        with closed_port() as port:
            began = time.monotonic()
            error = self.daemon.error("wait", {"port": port, "deadline_ms": 300})
            self.assertGreaterEqual(time.monotonic() - began, 0.29)
            self.assertLess(time.monotonic() - began, 10)
            self.assertEqual(error["code"], 7)
            self.assertGreaterEqual(error["data"].pop("waited_ms"), 300)
            self.assertEqual(error["data"], {"error": "DeadlineExceeded", "host": "127.0.0.1",
                                             "address": "127.0.0.1", "port": port,
                                             "status": "closed", "reason": "refused"})

    def test_deadline_of_closing(self):
        with listener() as port:
            error = self.daemon.error("wait", {"port": port, "deadline_ms": 200,
                                               "until": "closed"})
            self.assertEqual((error["data"]["status"], error["data"]["reason"]),
                             ("open", "accepted"))

    def test_deadline_in_the_middle_of_a_look(self):
        with silent_port() as port:
            error = self.daemon.error("wait", {"port": port, "deadline_ms": 200,
                                               "timeout_ms": 60000})
            self.assertEqual((error["data"]["error"], error["data"]["status"],
                              error["data"]["reason"]),
                             ("DeadlineExceeded", "closed", "timeout"))

    def test_interval(self):
        with closed_port() as port:
            before = self.daemon.metrics()
            self.daemon.error("wait", {"port": port, "deadline_ms": 1000, "interval_ms": 200})
            after = self.daemon.metrics()
        name = 'portscand_probes_total{outcome="refused"}'
        self.assertLessEqual(after[name] - before[name], 6)
        self.assertGreaterEqual(after[name] - before[name], 2)

    def test_name(self):
        with contextlib.ExitStack() as stack:
            bound = stack.enter_context(socket.socket(socket.AF_INET6))
            bound.bind(("::1", 0))
            self.later(0.2, lambda: bound.listen(16))
            result = self.daemon.result("wait", {"port": bound.getsockname()[1],
                                                 "host": "localhost"})
            self.assertEqual((result["host"], result["address"]), ("localhost", "::1"))


class Stopping(Test):
    """Work that nobody wants any more ends, and gives its descriptors back."""

    def setUp(self):
        self.silent = self.enterContext(silent_port())
        self.daemon.result("info")
        # A socket of each family is kept to be used again.
        self.idle = self.daemon.n_descriptors() + 2

    def start_many(self, client, n=200):
        client.send_lines(*({"method": "check", "id": i, "params": {
            "port": self.silent, "timeout_ms": 600000}} for i in range(n)))
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() > n))

    def test_client_that_goes_away(self):
        abandoned = self.daemon.metrics()["portscand_abandoned_total"]
        with self.daemon.client() as client:
            self.start_many(client)
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= self.idle))
        self.assertEqual(self.daemon.metrics()["portscand_abandoned_total"], abandoned + 200)

    def test_client_that_half_closes_and_goes_away(self):
        with self.daemon.client() as client:
            self.start_many(client)
            client.half_close()
            time.sleep(0.1)
            self.assertGreater(self.daemon.n_descriptors(), 200)
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= self.idle))

    def test_client_that_is_throttled_and_goes_away(self):
        with self.daemon.client() as client:
            self.start_many(client, 1024)
            client.send_lines({"method": "info"})
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= self.idle))

    def test_client_that_does_not_read_and_goes_away(self):
        with self.daemon.client() as client:
            self.start_many(client)
            client.send_lines(*({"method": "metrics"} for _ in range(700)))
            time.sleep(0.3)
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= self.idle))

    def test_cancel(self):
        with self.daemon.client() as client:
            self.start_many(client, 1)
            client.send_lines({"method": "cancel", "id": "c", "params": {"id": 0}})
            answer = client.receive()
            self.assertEqual((answer["error"]["code"], answer["error"]["data"], answer["id"]),
                             (11, {"error": "Cancelled"}, 0))
            self.assertEqual(client.receive(), {"result": {"cancelled": 1}, "id": "c"})
            self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= self.idle))

    def test_sweep_ends_with_its_client(self):
        name = 'portscand_probes_total{outcome="refused"}'
        for ports in ("1-65535", "1-30000"):
            with self.daemon.client() as client:
                client.start("scan", {"ports": ports, "host": "127.88.88.88"})
                time.sleep(0.02)
            before = self.daemon.metrics()[name]
            time.sleep(0.3)
            self.assertEqual(self.daemon.metrics()[name], before)

    def test_clients_come_and_go(self):
        for i in range(300):
            with self.daemon.client() as client:
                client.start(("check", "scan", "find", "wait")[i % 4],
                             {"port": self.silent} if i % 4 in (0, 3) else
                             {"ports": [self.silent, "1-65535"]})
                if i % 3 == 0:
                    time.sleep(0.002)
                if i % 5 == 0:
                    client.half_close()
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() <= self.idle))


if __name__ == "__main__":
    harness.main()
