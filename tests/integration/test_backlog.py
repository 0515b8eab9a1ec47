"""Clients that are behind with reading: what they asked waits for them, and comes whole."""

import json
import re
import signal
import socket
import time
import unittest

import harness
from harness import Daemon, INSTRUMENTED, closed_port, listener, silent_port, wait_for

setUpModule = harness.enter_network

MIB = 1 << 20
# More answers than the daemon keeps for one connection (1 MiB) and the kernel for its socket; as
# those of one batch they are there all at once.
N_METRICS = 400
SHUTTING_DOWN = 12


def answers(client):
    """What comes until the daemon ends the connection: JSON-RPC's by id, and Varlink's."""
    by_id, varlink = {}, []
    for message, ending in re.findall(rb"([^\n\0]+)([\n\0])", client.receive_all()):
        message = json.loads(message)
        if ending == b"\0":
            varlink.append(message)
            continue
        for answer in message if isinstance(message, list) else [message]:
            if "id" in answer:
                if answer["id"] in by_id:
                    raise AssertionError(f"two answers to {answer['id']}")
                by_id[answer["id"]] = answer
    return by_id, varlink


class Test(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(Daemon())
        self.client = self.enterContext(self.daemon.client(timeout=120))

    def fall_behind(self):
        """Asks for more than fits the way, and reads none of it."""
        self.client.send_lines([{"id": f"m{i}", "method": "metrics"} for i in range(N_METRICS)])

    def requests(self, method):
        name = f'portscand_requests_total{{method="{method}"}}'
        return self.daemon.metrics()[name]

    def expect_quiet(self):
        """Waits until the daemon has done what it can."""
        def is_idle():
            before = self.daemon.cpu_seconds()
            time.sleep(0.3)
            return self.daemon.cpu_seconds() - before < 0.02
        self.assertTrue(wait_for(is_idle, 120 if INSTRUMENTED else 30))


class Large(Test):
    """Answers of 380 KB are made once there is room for them."""

    def start(self, **scan):
        """A scan and a find that end while the client is behind."""
        self.client.send_lines(
            {"id": "scan", "method": "scan",
             "params": {"ports": "1-65535", "status": "closed", **scan}},
            {"id": "find", "method": "find",
             "params": {"ports": "1-65535", "status": "open", "count": 100}})
        self.fall_behind()
        self.expect_quiet()

    def test_they_come(self):
        with listener() as port:
            self.start()
            before = self.daemon.resident_bytes()
            self.client.half_close()
            by_id, _ = answers(self.client)
        scan, find = by_id["scan"]["result"], by_id["find"]["result"]
        self.assertEqual(len(by_id), N_METRICS + 2)
        self.assertEqual(find["ports"], [port])
        self.assertEqual(scan["ports"], [one for one in range(1, 65536) if one != port])
        self.assertEqual(scan["counts"], {"open": 1, "closed": 65534, "timeout": 0})
        self.assertLess(self.daemon.resident_bytes(), before + 2 * MIB)

    def test_progress_waits(self):
        with listener() as port:
            self.start(stream=True)
            self.client.half_close()
            by_id, _ = answers(self.client)
        self.assertEqual(by_id["scan"]["result"]["ports"],
                         [one for one in range(1, 65536) if one != port])

    def test_varlink_tells_each_port_once(self):
        with listener() as port:
            self.client.send_varlink({"method": "io.portscand.Scan", "more": True,
                                      "parameters": {"ports": ["1-65535"], "status": "closed"}})
            self.fall_behind()
            self.expect_quiet()
            self.client.half_close()
            by_id, replies = answers(self.client)
        self.assertEqual(len(by_id), N_METRICS)
        self.assertEqual([bool(one.get("continues")) for one in replies],
                         [True] * (len(replies) - 1) + [False])
        told = sorted(one for reply in replies for one in reply["parameters"]["ports"])
        self.assertEqual(told, [one for one in range(1, 65536) if one != port])

    def test_a_client_that_leaves(self):
        self.start()
        n = self.daemon.n_descriptors()
        self.client.close()
        self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() < n))
        self.assertIn("result", self.daemon.call("info"))

    def test_an_end_meanwhile(self):
        """Who could not be answered before the daemon stops is told that it stops."""
        self.start()
        # Once more in haste: it changes nothing.
        for sig in signal.SIGTERM, signal.SIGINT:
            self.daemon.process.send_signal(sig)
            time.sleep(0.1)
        by_id, _ = answers(self.client)
        for which in "scan", "find":
            self.assertEqual(by_id[which]["error"]["code"], SHUTTING_DOWN)
            self.assertEqual(by_id[which]["error"]["data"], {"error": "ShuttingDown"})
        self.assertEqual(self.daemon.stop(), 0)


class Wait(Test):
    def test_a_change_is_told_later(self):
        """The first look is over while the client is behind: it is told what is seen then."""
        with silent_port() as port:
            self.client.send_varlink({
                "method": "io.portscand.Wait", "more": True,
                "parameters": {"port": port, "until": "open", "via": "connect",
                               "timeout_ms": 500, "interval_ms": 100, "deadline_ms": 6000}})
            self.fall_behind()
            # Some looks of 0.5 seconds each.
            time.sleep(1.5)
            self.client.half_close()
            by_id, replies = answers(self.client)
        self.assertEqual(len(by_id), N_METRICS)
        self.assertEqual(len(replies), 2)
        self.assertTrue(replies[0]["continues"])
        self.assertEqual(replies[0]["parameters"]["status"], "closed")
        self.assertEqual(replies[0]["parameters"]["reason"], "timeout")
        self.assertEqual(replies[1]["error"], "io.portscand.DeadlineExceeded")
        self.assertEqual(replies[1]["parameters"]["port"], port)


class Batches(Test):
    def test_answers_of_those_under_way_have_a_limit(self):
        """Past 1 MiB that waits for the last of a batch, no more is read of the connection."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            wait = {"id": "wait", "method": "wait",
                    "params": {"port": server.getsockname()[1], "interval_ms": 50,
                               "deadline_ms": 60000}}
            self.client.send(json.dumps([wait] + [{"id": i, "method": "metrics"}
                                                  for i in range(N_METRICS)]) + "\n")
            self.client.send_lines({"id": "next", "method": "info"})
            self.assertTrue(self.client.is_silent(1))
            self.assertEqual(self.requests("metrics"), N_METRICS + 1)
            self.assertEqual(self.requests("info"), 0)
            server.listen()
            batch = self.client.receive()
            self.assertEqual(self.client.receive()["id"], "next")
        self.assertEqual({one["id"] for one in batch}, {"wait", *range(N_METRICS)})
        self.assertEqual([one["result"]["status"] for one in batch if one["id"] == "wait"],
                         ["open"])

    def test_an_end_in_the_middle(self):
        """Calls of a batch that had not begun are answered as well."""
        n = 1400
        with closed_port() as port:
            self.client.send(json.dumps([
                {"id": i, "method": "wait", "params": {"port": port, "deadline_ms": 60000}}
                for i in range(n)]) + "\n")
            # As many as may be under way.
            self.assertTrue(wait_for(lambda: self.requests("wait") == 1024))
            self.daemon.process.send_signal(signal.SIGTERM)
            batch = self.client.receive()
        self.assertEqual(sorted(one["id"] for one in batch), list(range(n)))
        self.assertEqual({one["error"]["code"] for one in batch}, {SHUTTING_DOWN})
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    harness.main()
