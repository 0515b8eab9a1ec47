"""Leases over the socket: what may be asked for, and what is had then."""

import contextlib
import json
import os
import socket
import time

import harness
from harness import listening_socket, wait_for
from leasing import Test, bind, can_bind, connect, free_ports, receive_fds

INFO = {"lease", "name", "protocol", "address", "ports", "hold", "until", "state", "uid", "pid",
        "age_ms", "expires_in_ms", "lost"}


def receives(udp, port):
    """Whether the socket gets what is sent to the port, in both families."""
    udp.settimeout(5)
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(host.encode(), (host, port))
        if udp.recv(10) != host.encode():
            return False
    return True


def leave_in_time_wait():
    """A port that an earlier server's connection still has."""
    with listening_socket() as server:
        with socket.create_connection(server.getsockname()) as connection:
            server.accept()[0].close()
            connection.recv(1)
        return server.getsockname()[1]


class Members(Test):
    def test_defaults(self):
        result = self.lease()
        info = result["lease"]
        self.assertEqual(set(result), {"lease", "port", "fds"})
        self.assertEqual(set(info), INFO)
        self.assertRegex(info["lease"], "^[0-9a-f]{16}$")
        self.assertEqual(info["ports"], [result["port"]])
        self.assertTrue(20000 <= result["port"] <= 29999)
        self.assertEqual((result["fds"], info["name"], info["protocol"], info["address"],
                          info["hold"], info["until"], info["state"], info["uid"], info["pid"],
                          info["lost"]),
                         ([], None, "tcp", "*", "shared", "claimed", "held", os.getuid(),
                          os.getpid(), []))
        self.assertTrue(0 <= info["age_ms"] < 5000)
        self.assertTrue(55000 < info["expires_in_ms"] <= 60000)

    def test_varlink(self):
        reply = self.client.call_varlink("io.portscand.Lease", {"ports": ["20000-29999"],
                                                                "name": "varlink"})
        result = reply["parameters"]
        self.assertEqual(set(result["lease"]), INFO)
        lease = result["lease"]["lease"]
        reply = self.client.call_varlink("io.portscand.Renew", {"lease": lease, "ttl_ms": 90000})
        self.assertEqual(set(reply["parameters"]), {"lease"})
        self.assertGreater(reply["parameters"]["lease"]["expires_in_ms"], 80000)
        reply = self.client.call_varlink("io.portscand.ListLeases")
        self.assertEqual([info["lease"] for info in reply["parameters"]["leases"]], [lease])
        self.assertEqual(self.client.call_varlink("io.portscand.Release", {"lease": lease}),
                         {"parameters": {}})
        reply = self.client.call_varlink("io.portscand.Release", {"lease": lease})
        self.assertEqual((reply["error"], reply["parameters"]),
                         ("io.portscand.NoSuchLease", {"lease": lease}))

    def test_ports_and_exclude(self):
        with harness.closed_ports(3) as (low, middle, high):
            ports = f"{low},{middle},{high}"
        result = self.lease(ports=ports, exclude=[low, high])
        self.assertEqual(result["port"], middle)
        error = self.refuse(8, ports=ports, exclude=[low, high])
        self.assertEqual(error["data"], {"error": "NoPortAvailable", "checked": 1})
        self.assertEqual(sorted(self.lease(ports=ports, count=2)["lease"]["ports"]), [low, high])
        error = self.refuse(8, ports=ports)
        self.assertEqual(error["data"]["checked"], 3)

    def test_count(self):
        result = self.lease(count=20)
        ports = result["lease"]["ports"]
        self.assertEqual((len(set(ports)), ports, result["port"]), (20, sorted(ports), ports[0]))
        self.release(result["lease"]["lease"])

    def test_contiguous(self):
        for _ in range(20):
            ports = self.lease(count=5, contiguous=True)["lease"]["ports"]
            self.assertEqual(ports, list(range(ports[0], ports[0] + 5)))

    def test_contiguous_is_no_longer_than_the_list(self):
        error = self.refuse(8, ports="20000-20003,20005-20008", count=5, contiguous=True)
        self.assertEqual(error["data"]["checked"], 8)

    def test_nothing_is_half_granted(self):
        ports = free_ports(3)
        self.refuse(8, ports=ports, count=4)
        self.assertEqual(self.leases(), [])
        self.assertTrue(all(can_bind(int(port)) for port in ports.split(",")))

    def test_random(self):
        self.assertGreater(len({self.lease()["port"] for _ in range(20)}), 15)
        ports = [self.lease()["port"] for _ in range(10)]
        self.assertNotEqual(ports, sorted(ports))

    def test_until_process(self):
        self.require_processes()
        info = self.lease(until="process", pid=os.getpid())["lease"]
        self.assertEqual((info["until"], info["pid"], info["expires_in_ms"]),
                         ("process", os.getpid(), None))

    def test_ttl(self):
        self.require_processes()
        for until in ("released", "connection", "process"):
            self.assertIsNone(self.lease(until=until)["lease"]["expires_in_ms"])
            info = self.lease(until=until, ttl_ms=70000)["lease"]
            self.assertTrue(60000 < info["expires_in_ms"] <= 70000)

    def test_wrong_members(self):
        for member, params in (
                ("count", {"count": 0}), ("count", {"count": 70000}), ("ports", {"ports": "0"}),
                ("ports", {"ports": "x"}), ("protocol", {"protocol": "sctp"}),
                ("hold", {"hold": "tight"}), ("until", {"until": "monday"}),
                ("pid", {"pid": 0, "until": "process"}), ("pid", {"pid": os.getpid()}),
                ("ttl_ms", {"ttl_ms": 0}), ("ttl_ms", {"ttl_ms": -1}), ("name", {"name": ""}), ("name", {"name": "x" * 256}),
                ("address", {"address": "localhost"}), ("address", {"address": ""}),
                ("listen", {"listen": True}), ("contiguous", {"contiguous": 1}),
                ("colour", {"colour": "red"}),
                ("count", {"count": 254, "pass_fd": True}),
                ("count", {"count": 127, "pass_fd": True, "protocol": "both"})):
            with self.subTest(member=member, **params):
                self.refuse_member(member, **params)
        self.assertEqual(self.leases(), [])

    def test_what_can_not_be_served(self):
        for params in ({"address": "192.0.2.1"}, {"pass_fd": True, "hold": "none"},
                       {"pass_fd": True, "listen": True, "protocol": "udp"}):
            with self.subTest(**params):
                self.assertEqual(self.refuse(10, **params)["data"]["error"], "NotSupported")
        self.assertEqual(self.leases(), [])

    def test_a_batch(self):
        self.client.send_lines([{"jsonrpc": "2.0", "id": i, "method": "lease",
                                 "params": {"pass_fd": i == 3}} for i in range(4)])
        answers = {answer["id"]: answer for answer in self.client.receive()}
        self.assertEqual(len({answers[i]["result"]["port"] for i in range(3)}), 3)
        self.assertEqual(answers[3]["error"]["data"]["parameter"], "pass_fd")
        self.assertEqual(len(self.leases()), 3)


class Holding(Test):
    def test_every_hold_and_protocol(self):
        kinds = {"tcp": [socket.SOCK_STREAM], "udp": [socket.SOCK_DGRAM],
                 "both": [socket.SOCK_STREAM, socket.SOCK_DGRAM]}
        for hold in ("shared", "exclusive", "none"):
            for protocol, held in kinds.items():
                with self.subTest(hold=hold, protocol=protocol):
                    result = self.lease(hold=hold, protocol=protocol, until="released")
                    port = result["port"]
                    self.assertEqual((result["lease"]["hold"], result["lease"]["protocol"]),
                                     (hold, protocol))
                    for kind in kinds["both"]:
                        is_held = kind in held and hold != "none"
                        for host in ("127.0.0.1", "0.0.0.0", "::1", "::"):
                            self.assertEqual(can_bind(port, host, kind=kind), not is_held, host)
                            self.assertEqual(can_bind(port, host, reuse=True, kind=kind),
                                             not is_held or hold == "shared", host)
                    self.release(result["lease"]["lease"])
                    self.assertTrue(can_bind(port))

    def test_addresses(self):
        for address, others in (("127.0.0.1", ["127.0.0.2", "::1"]), ("::1", ["127.0.0.1"])):
            result = self.lease(address=address)
            self.assertEqual(result["lease"]["address"], address)
            self.assertFalse(can_bind(result["port"], address))
            for other in others:
                self.assertTrue(can_bind(result["port"], other), other)

    def test_a_port_is_given_out_once(self):
        port = int(free_ports(1))
        self.lease(ports=port, protocol="tcp", address="127.0.0.1")
        self.refuse(8, ports=port, protocol="udp", address="::1", hold="none")

    def test_a_port_that_is_bound_is_passed_over(self):
        for options in ({}, {"kind": socket.SOCK_DGRAM}):
            with harness.closed_ports(2) as (one, other):
                pass
            with bind(one, reuse=True, **options):
                self.assertEqual(self.lease(ports=[one, other], protocol="both")["port"], other)

    def test_an_ordinary_server_starts(self):
        result = self.lease()
        server = listening_socket(port=result["port"])
        self.addCleanup(server.close)
        self.expect_state(result["lease"]["lease"], "in_use")
        # A second one doesn't.
        with self.assertRaises(OSError):
            listening_socket(port=result["port"])

    def test_time_wait_of_an_earlier_server(self):
        port = leave_in_time_wait()
        self.assertFalse(can_bind(port))
        for _ in range(2):
            self.assertEqual(self.lease(ports=port, name="same")["port"], port)
            self.assertFalse(can_bind(port))
            self.release(self.leases()[0]["lease"])
        # Not as one of several: there are others.
        other = int(free_ports(1))
        self.assertEqual(self.lease(ports=[leave_in_time_wait(), other])["port"], other)

    def test_a_taken_port_is_none_in_time_wait(self):
        with listening_socket() as server:
            port = server.getsockname()[1]
            with socket.create_connection(server.getsockname()) as connection:
                server.accept()[0].close()
                connection.recv(1)
            error = self.refuse(8, ports=port)
            self.assertEqual(error["data"]["checked"], 1)


    def test_cancelled_while_it_looks_for_time_wait(self):
        with listening_socket() as server:
            params = {"ports": server.getsockname()[1]}
            self.client.send_lines({"id": "lease", "method": "lease", "params": params},
                                   {"id": "cancel", "method": "cancel", "params": {"id": "lease"}})
            answers = {one["id"]: one for one in (self.client.receive() for _ in range(2))}
            self.assertEqual(answers["lease"]["error"]["data"], {"error": "Cancelled"})
            self.assertEqual(answers["cancel"]["result"], {"cancelled": 1})
            with self.daemon.client() as leaving:
                leaving.send_lines({"method": "lease", "params": params})
            self.assertEqual(self.refuse(8, **params)["data"]["error"], "NoPortAvailable")
        self.assertEqual(self.leases(), [])


class Names(Test):
    def test_the_same_lease(self):
        one = self.lease(name="web", ttl_ms=20000)
        other = self.lease(name="web", ttl_ms=50000)
        self.assertEqual(one["lease"]["lease"], other["lease"]["lease"])
        self.assertGreater(other["lease"]["expires_in_ms"], 40000)
        self.assertEqual(len(self.leases()), 1)

    def test_the_same_port_later(self):
        port = self.lease(name="web")["port"]
        self.release(self.leases()[0]["lease"])
        self.assertEqual(self.lease(name="web")["port"], port)
        self.assertNotEqual(self.lease(name="db")["port"], port)

    def test_another_lease_under_the_name(self):
        lease = self.lease(name="web")["lease"]["lease"]
        self.refuse_member("name", name="web", count=2)
        self.assertEqual(self.state(lease), "held")

    def test_a_port_that_is_taken_is_not_the_same(self):
        port = self.lease(name="web")["port"]
        self.release(self.leases()[0]["lease"])
        with bind(port):
            self.assertNotEqual(self.lease(name="web")["port"], port)


class Descriptors(Test):
    def test_bound_sockets(self):
        for hold in ("shared", "exclusive"):
            result, (server,) = self.lease_with_fds(1, hold=hold)
            self.assertEqual(result["fds"], [result["port"]])
            self.assertEqual(server.getsockname()[1], result["port"])
            self.assertFalse(can_bind(result["port"]))
            server.listen()
            with socket.create_connection(("127.0.0.1", result["port"])):
                server.accept()[0].close()
            self.expect_state(result["lease"]["lease"], "in_use")

    def test_listening_sockets(self):
        for hold in ("shared", "exclusive"):
            result, servers = self.lease_with_fds(3, hold=hold, count=3, listen=True)
            self.assertEqual(result["fds"], result["lease"]["ports"])
            for server, port in zip(servers, result["fds"]):
                with socket.create_connection(("127.0.0.1", port)):
                    server.accept()[0].close()

    def test_both_protocols(self):
        for hold in ("shared", "exclusive"):
            result, (tcp, udp) = self.lease_with_fds(2, protocol="both", hold=hold, listen=True)
            self.assertEqual(result["fds"], [result["port"]] * 2)
            self.assertEqual((tcp.type, udp.type), (socket.SOCK_STREAM, socket.SOCK_DGRAM))
            self.assertTrue(receives(udp, result["port"]))

    def test_udp(self):
        for hold in ("shared", "exclusive"):
            result, (udp,) = self.lease_with_fds(1, protocol="udp", hold=hold)
            self.assertTrue(receives(udp, result["port"]))
            self.expect_state(result["lease"]["lease"], "in_use")
            udp.close()
            self.expect_state(result["lease"]["lease"], "held")

    def test_varlink(self):
        self.client.send_varlink({"method": "io.portscand.Lease",
                                  "parameters": {"pass_fd": True, "listen": True}})
        message, (fd,) = receive_fds(self.client.socket, b"\0")
        result = json.loads(message[:-1])["parameters"]
        with socket.socket(fileno=fd) as server:
            self.assertEqual(server.getsockname()[1], result["port"])
            self.assertEqual(server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1)

    def test_many_pipelined(self):
        n = 200
        self.client.send_lines(*({"id": i, "method": "lease", "params": {"pass_fd": i % 2 == 0}}
                                 for i in range(n)))
        for _ in range(n):
            message, fds = receive_fds(self.client.socket)
            answer = json.loads(message)
            self.assertEqual(len(fds), 1 - answer["id"] % 2)
            for fd in fds:
                with socket.socket(fileno=fd) as bound:
                    self.assertEqual(bound.getsockname()[1], answer["result"]["port"])

    def test_as_many_as_there_can_be(self):
        result, sockets = self.lease_with_fds(253, count=253)
        self.assertEqual([bound.getsockname()[1] for bound in sockets], result["fds"])

    def test_an_exclusive_port_that_was_handed_over(self):
        params = {"hold": "exclusive", "until": "released", "name": "once"}
        result, (server,) = self.lease_with_fds(1, listen=True, **params)
        lease, port = result["lease"]["lease"], result["port"]
        # There is just the one socket, and the client has it.
        error = self.refuse(10, pass_fd=True, **params)
        self.assertIn("descriptor", error["message"])
        self.assertEqual(self.state(lease), "in_use")
        self.assertEqual(self.lease(**params)["lease"]["lease"], lease)
        server.close()
        self.assertTrue(can_bind(port))
        # Asked for again it is bound again; and else after a while.
        result, (server,) = self.lease_with_fds(1, **params)
        self.assertEqual((result["lease"]["lease"], result["port"]), (lease, port))
        server.close()
        self.assertTrue(wait_for(lambda: not can_bind(port, reuse=True), 15, 0.2))

    def test_a_shared_port_with_a_server(self):
        params = {"until": "released", "name": "served"}
        result, (server,) = self.lease_with_fds(1, listen=True, **params)
        error = self.refuse(10, pass_fd=True, **params)
        self.assertIn("listens", error["message"])
        self.assertEqual(self.state(result["lease"]["lease"]), "in_use")
        server.close()
        self.lease_with_fds(1, **params)

    def test_nobody_to_pass_them_to(self):
        before = self.daemon.n_descriptors()
        for hold in ("shared", "exclusive"):
            params = {"pass_fd": True, "listen": True, "hold": hold, "until": "released"}
            self.client.send_varlink({"method": "io.portscand.Lease", "parameters": params,
                                      "oneway": True})
            self.client.send_lines({"jsonrpc": "2.0", "method": "lease", "params": params})
        leases = self.leases()
        self.assertEqual([info["state"] for info in leases], ["held"] * 4)
        for info in leases:
            self.assertFalse(can_bind(info["ports"][0]))
            self.assertIsNone(connect(info["ports"][0]))
        self.assertEqual(self.daemon.n_descriptors(), before + 4)

    def test_released_before_they_are_sent(self):
        before = self.daemon.n_descriptors()
        self.client.send_lines({"id": 1, "method": "lease", "params": {
            "pass_fd": True, "name": "brief", "until": "released", "hold": "exclusive"}})
        message, fds = receive_fds(self.client.socket)
        self.release(json.loads(message)["result"]["lease"]["lease"])
        os.close(fds[0])
        self.assertEqual(self.daemon.n_descriptors(), before)

    def test_a_client_that_does_not_read(self):
        before = self.daemon.n_descriptors()
        for hold in ("shared", "exclusive"):
            client = self.daemon.client()
            client.socket.setblocking(False)
            request = {"method": "lease", "params": {
                "pass_fd": True, "count": 100, "until": "connection", "hold": hold}}
            with contextlib.suppress(BlockingIOError):
                for _ in range(2000):
                    client.send_lines(request)
            time.sleep(0.5)
            held = len(self.leases(all=True)) * 100
            under_way = self.daemon.n_descriptors() - before - 1
            self.assertLess(under_way, (held if hold == "shared" else 0) + 2000)
            client.close()
            self.assertTrue(wait_for(lambda: self.daemon.n_descriptors() == before),
                            self.daemon.n_descriptors() - before)
            self.assertTrue(wait_for(lambda: not [
                info for info in self.leases(all=True) if info["state"] != "quarantined"]))


if __name__ == "__main__":
    harness.main()
