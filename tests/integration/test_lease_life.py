"""How leases end, who may do what with them, and what others see of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import harness
import without_table
from harness import Daemon, listening_socket, require, require_root, wait_for
from leasing import OTHER, USER, Test, bind, can_bind, free_ports


# In a pid namespace of its own: a client connects, hands its connection on and ends; another
# process gets its pid, and the lease is asked for. Prints the pid, and the answer.
PID_AGAIN = """
import os, signal, socket, subprocess, sys
program, directory = sys.argv[1:]
path = directory + "/socket"
daemon = subprocess.Popen([program, "--socket", path, "--runtime-dir", directory],
                          stderr=subprocess.PIPE)
daemon.stderr.readline()
ours, theirs = socket.socketpair()
pid = os.fork()
if pid == 0:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    socket.send_fds(theirs, [b"1"], [client.fileno()])
    os._exit(0)
os.waitpid(pid, 0)
_, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(pid - 1))
again = os.fork()
if again == 0:
    signal.pause()
client = socket.socket(fileno=fd)
client.sendall(b'{"method": "lease", "params": {"until": "process"}}\\n')
print(pid == again, client.recv(65536).decode(), end="")
os.kill(again, signal.SIGKILL)
daemon.terminate()
daemon.wait()
"""
SO_PEERPIDFD = 77


# While a daemon is away others of this host could take the ports of its leases.
setUpModule = harness.enter_network


class Until(Test):
    def test_claimed(self):
        result = self.lease(ttl_ms=700)
        lease, port = result["lease"]["lease"], result["port"]
        with listening_socket(port=port):
            self.expect_state(lease, "in_use")
            self.assertIsNone(self.info(lease)["expires_in_ms"])
            time.sleep(1)
            self.assertEqual(self.state(lease), "in_use")
        # A server that is started again at once has its port.
        self.expect_state(lease, "held")
        with listening_socket(port=port):
            self.expect_state(lease, "in_use")
        self.expect_state(lease, "held")
        self.assertLessEqual(self.info(lease)["expires_in_ms"], 700)
        self.expect_state(lease, "quarantined")
        self.refuse(8, ports=port)
        self.expect_state(lease, None)
        self.assertEqual(self.lease(ports=port)["port"], port)

    def test_claimed_by_nobody(self):
        result = self.lease(ttl_ms=300)
        self.expect_state(result["lease"]["lease"], "quarantined")
        self.assertEqual(self.client.call("renew", {"lease": result["lease"]["lease"]})["error"]
                         ["data"]["error"], "NoSuchLease")

    def test_claimed_in_both_families(self):
        for host in ("127.0.0.1", "::1", "::"):
            result = self.lease(ttl_ms=20000)
            with listening_socket(host, port=result["port"]):
                self.expect_state(result["lease"]["lease"], "in_use")

    def test_claimed_on_another_address(self):
        """Who has the number on an address that is not leased is no reason either."""
        for kind, protocol in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")):
            with socket.socket(socket.AF_INET, kind) as other, \
                    socket.socket(socket.AF_INET, kind) as server:
                other.bind(("127.0.0.2", 0))
                port = other.getsockname()[1]
                result = self.lease(ports=port, protocol=protocol, address="127.0.0.1",
                                    ttl_ms=500)
                if protocol == "tcp":
                    other.listen()
                self.assertEqual(self.state(result["lease"]["lease"]), "held")
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("127.0.0.1", port))
                if protocol == "tcp":
                    server.listen()
                self.expect_state(result["lease"]["lease"], "in_use")
                server.close()
                self.expect_state(result["lease"]["lease"], None)

    def test_claimed_by_the_other_protocol(self):
        """Who has the number in a protocol that is not leased is no reason to keep the lease."""
        for protocol, other in (("udp", socket.SOCK_STREAM), ("tcp", socket.SOCK_DGRAM)):
            result = self.lease(protocol=protocol, ttl_ms=20000)
            with bind(result["port"], kind=other) as bound:
                if other == socket.SOCK_STREAM:
                    bound.listen()
                self.assertEqual(self.state(result["lease"]["lease"]), "held")

    def test_a_server_outlives_its_lease(self):
        """The port is not given out while somebody listens on it."""
        result = self.lease(until="released")
        lease, port = result["lease"]["lease"], result["port"]
        with listening_socket(port=port):
            self.release(lease)
            time.sleep(1.5)
            self.assertEqual(self.state(lease), "quarantined")
            self.refuse(8, ports=port)
        self.expect_state(lease, None)

    def test_connection(self):
        with self.daemon.client() as client:
            port = self.lease(client, until="connection")["port"]
            self.lease(client, until="connection", hold="exclusive", name="mine")
            self.assertFalse(can_bind(port))
        self.assertTrue(wait_for(lambda: can_bind(port)))
        self.assertEqual({info["state"] for info in self.leases()}, {"quarantined"})

    def test_connection_that_is_half_closed(self):
        client = self.enterContext(self.daemon.client())
        client.start("lease", {"until": "connection"})
        client.start("wait", {"port": 1, "deadline_ms": 300})
        client.half_close()
        port = client.receive()["result"]["port"]
        self.assertFalse(can_bind(port))
        self.assertEqual(client.receive()["error"]["data"]["error"], "DeadlineExceeded")
        self.assertTrue(wait_for(lambda: can_bind(port)))

    def test_a_name_moves_to_who_asked_last(self):
        with self.daemon.client() as one:
            lease = self.lease(one, until="connection", name="moves")["lease"]["lease"]
            self.assertEqual(self.lease(until="connection", name="moves")["lease"]["lease"], lease)
        time.sleep(0.2)
        self.assertEqual(self.state(lease), "held")

    def test_process(self):
        self.require_processes()
        with subprocess.Popen(["sleep", "600"]) as process:
            leases = [self.lease(until="process", pid=process.pid)["lease"] for _ in range(5)]
            self.assertEqual([info["pid"] for info in leases], [process.pid] * 5)
            self.release(leases[0]["lease"])
            time.sleep(0.1)
            self.assertEqual(self.state(leases[1]["lease"]), "held")
            process.kill()
        self.assertTrue(wait_for(lambda: {info["state"] for info in self.leases()} <=
                                 {"quarantined"}))
        self.refuse_member("pid", until="process", pid=process.pid)

    def test_a_process_that_is_a_zombie(self):
        self.require_processes()
        process = subprocess.Popen(["true"])
        self.assertTrue(wait_for(lambda: os.waitid(
            os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)))
        self.refuse_member("pid", until="process", pid=process.pid)
        process.wait()

    @unittest.skipIf(harness.WRAPPER, "the daemon is started without it")
    def test_a_pid_that_was_given_anew(self):
        require_root()
        require("unshare")
        with self.daemon.connect() as connection:
            try:
                os.close(connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD))
            except OSError:
                self.skipTest("no SO_PEERPIDFD: a pid is all there is")
        with tempfile.TemporaryDirectory(prefix="portscand-test-") as directory:
            output = subprocess.run(
                ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-ISc", PID_AGAIN,
                 harness.PORTSCAND, directory], check=True, capture_output=True, text=True,
                env={**os.environ, **harness.SANITIZER_OPTIONS}, timeout=60).stdout
        is_again, _, answer = output.partition(" ")
        self.assertEqual(is_again, "True", output)
        self.assertEqual(json.loads(answer)["error"]["data"],
                         {"error": "InvalidParameter", "parameter": "pid"})

    def test_no_process_is_watched_for_nothing(self):
        self.require_processes()
        before = self.daemon.n_descriptors()
        with subprocess.Popen(["sleep", "600"]) as process:
            for _ in range(100):
                self.refuse(8, until="process", pid=process.pid, ports=1, exclude=1)
            self.assertEqual(self.daemon.n_descriptors(), before)
            process.kill()

    def test_released(self):
        result = self.lease(until="released", ttl_ms=400)
        lease = result["lease"]["lease"]
        answer = self.client.call("renew", {"lease": lease, "ttl_ms": 30000})["result"]
        self.assertGreater(answer["lease"]["expires_in_ms"], 20000)
        time.sleep(0.6)
        self.assertEqual(self.state(lease), "held")
        self.client.call("renew", {"lease": lease, "ttl_ms": 100})
        with listening_socket(port=result["port"]):
            # A ttl that was asked for ends it, used or not.
            self.expect_state(lease, "quarantined")

    def test_no_such_lease(self):
        for method in ("renew", "release"):
            for lease in ("", "x", "0" * 16, "0" * 17, "G" * 16, "DEADBEEFDEADBEEF"):
                error = self.client.call(method, {"lease": lease})["error"]
                self.assertEqual((error["code"], error["data"]),
                                 (9, {"error": "NoSuchLease", "lease": lease}))
            self.assertEqual(self.client.call(method)["error"]["data"]["parameter"], "lease")
        lease = self.lease()["lease"]["lease"]
        self.release(lease)
        self.assertEqual(self.client.call("release", {"lease": lease})["error"]["code"], 9)


class NoQuarantine(Test):
    options = ["--quarantine-ms", "0"]

    def test_free_at_once(self):
        port = int(free_ports(1))
        for i in range(50):
            with self.subTest(i=i):
                self.release(self.lease(ports=port)["lease"]["lease"])
        self.assertEqual(self.leases(), [])

    def test_connections(self):
        port = int(free_ports(1))
        with self.daemon.client() as client:
            self.lease(client, ports=port, until="connection")
        self.assertTrue(wait_for(lambda: not self.leases()))
        self.lease(ports=port)


class Others(Test):
    def test_find_passes_over_what_is_leased(self):
        with harness.closed_ports(3) as (one, other, third):
            ports = [one, other, third]
        self.lease(ports=one)
        self.lease(ports=other, hold="none")
        for via in ("connect", "table", "bind"):
            found = self.client.call("find", {"ports": ports, "via": via})["result"]
            self.assertEqual(found["ports"], [third], via)
        found = self.client.call("find", {"ports": ports, "count": 3, "include_leased": True})
        self.assertEqual(found["result"]["ports"], ports)
        self.release(self.leases()[0]["lease"])
        # It rests.
        found = self.client.call("find", {"ports": ports})["result"]
        self.assertEqual(found["ports"], [third])

    def test_who(self):
        result = self.lease(name="shown")
        who = self.client.call("who", {"port": result["port"]})["result"]
        self.assertEqual((who["lease"]["lease"], who["lease"]["name"]),
                         (result["lease"]["lease"], "shown"))
        self.assertIsNone(self.client.call("who", {"port": 1})["result"]["lease"])

    def test_metrics(self):
        before = self.daemon.metrics()
        leases = [self.lease(count=2)["lease"]["lease"] for _ in range(3)]
        self.release(leases[0])
        self.refuse(8, ports=1, exclude=1)
        with listening_socket(port=self.lease(ttl_ms=100)["port"]):
            self.expect_state(self.leases()[-1]["lease"], "in_use")
            after = self.daemon.metrics()
            self.assertEqual({state: after[f'portscand_leases{{state="{state}"}}']
                              for state in ("held", "in_use", "quarantined")},
                             {"held": 2, "in_use": 1, "quarantined": 1})
        self.assertEqual(after["portscand_leases_granted_total"], 4)
        self.assertEqual(after["portscand_leases_refused_total"], 1)
        self.assertEqual(after["portscand_leases_expired_total"], 0)
        self.assertEqual(after["portscand_lease_pool_ports"], 10000)
        # Somebody else may have one or the other.
        free, refused = "portscand_lease_pool_free_ports", "portscand_lease_pool_refused_ports"
        self.assertEqual(before[free] - after[free] - after[refused], 7)
        self.assertEqual(after["portscand_lease_lost_ports"], 0)
        self.expect_state(self.leases()[-1]["lease"], "quarantined")
        self.assertEqual(self.daemon.metrics()["portscand_leases_expired_total"], 1)

    def test_a_pool_that_is_empty(self):
        with harness.closed_ports(4) as ports:
            pool = ",".join(map(str, ports))
        with Daemon("--pool", pool, "--quarantine-ms", "400") as daemon, daemon.client() as client:
            for _ in range(4):
                last = self.lease(client)
            self.assertEqual(self.refuse(8, client)["data"]["checked"], 4)
            self.release(last["lease"]["lease"], client)
            self.refuse(8, client)
            time.sleep(0.5)
            self.assertEqual(self.lease(client)["port"], last["port"])


class Rights(Test):
    def setUp(self):
        require_root()
        super().setUp()
        self.user = self.enterContext(self.daemon.client(uid=USER))
        self.other = self.enterContext(self.daemon.client(uid=OTHER))

    def test_leases_of_others(self):
        result = self.lease(self.user, name="web")
        lease = result["lease"]["lease"]
        self.assertEqual(result["lease"]["uid"], USER)
        self.assertEqual([info["lease"] for info in self.leases(self.user)], [lease])
        for params in ({}, {"all": True}):
            self.assertEqual(self.leases(self.other, **params), [])
        for method in ("renew", "release"):
            error = self.other.call(method, {"lease": lease})["error"]
            self.assertEqual(error["data"], {"error": "NoSuchLease", "lease": lease})
        self.assertIsNone(self.other.call("who", {"port": result["port"]})["result"]["lease"])
        self.assertNotEqual(self.lease(self.other, name="web")["lease"]["lease"], lease)
        self.refuse(8, self.other, ports=result["port"])
        # Root sees all, if it asks for all, and may end what it sees.
        self.assertEqual(self.leases(), [])
        self.assertEqual(len(self.leases(all=True)), 2)
        who = self.client.call("who", {"port": result["port"]})["result"]
        self.assertEqual(who["lease"]["lease"], lease)
        self.assertIn("result", self.client.call("renew", {"lease": lease}))
        self.release(lease)

    def test_processes_of_others(self):
        self.require_processes()
        error = self.refuse(6, self.user, until="process", pid=os.getpid())
        self.assertEqual(error["data"]["error"], "PermissionDenied")
        with subprocess.Popen(["sleep", "600"], user=USER) as process:
            self.lease(self.user, until="process", pid=process.pid)
            self.refuse(6, self.other, until="process", pid=process.pid)
            self.lease(until="process", pid=process.pid)
            process.kill()

    def test_a_process_that_can_not_be_looked_into(self):
        """/proc has root for the owner of those."""
        self.require_processes()
        script = "import ctypes, time; ctypes.CDLL(None).prctl(4, 0); print(1, flush=True); " \
            "time.sleep(600)"
        with subprocess.Popen(["python3", "-c", script], user=USER, stdout=subprocess.PIPE) as \
                process:
            process.stdout.readline()
            self.lease(self.user, until="process", pid=process.pid)
            self.refuse(6, self.other, until="process", pid=process.pid)
            process.kill()

    def test_quota(self):
        self.lease(self.user, count=1000, until="released")
        for _ in range(24):
            last = self.lease(self.user, until="released")["lease"]["lease"]
        error = self.refuse(4, self.user)
        self.assertEqual(error["data"], {"error": "QuotaExceeded", "resource": "leases",
                                         "limit": 1024})
        self.lease(self.other)
        self.lease(count=1030)
        self.release(last, self.user)
        # Not that there were 1,024 of them.
        self.assertEqual(self.refuse(4, self.user, count=2)["message"], "you may have 1024 leased "
                         "ports at once, and would have more; release some")
        self.lease(self.user)

    def test_privileged_ports(self):
        """The daemon here may: so this is about who asks."""
        with self.daemon.client(uid=USER) as client:
            answer = client.call("lease", {"ports": "600-1000"})
            self.assertEqual(answer.get("error", {}).get("data", {}).get("error"),
                             "PermissionDenied", answer)
            # Of a list that has others, one of those; nothing is left to chance.
            for contiguous in False, True:
                for _ in range(20):
                    result = self.lease(client, ports="800-2000", count=2, contiguous=contiguous)
                    self.assertGreater(result["port"], 1023)
                    self.release(result["lease"]["lease"], client)


class WithoutTable(Test):
    """On a kernel that doesn't tell who listens: whoever binds a port next finds out."""

    @classmethod
    def setUpClass(cls):
        cls.daemon_options = {"wrapper": without_table.wrapper()}

    def test_what_is_over_comes_back(self):
        port = self.lease(ttl_ms=300)["port"]
        self.assertTrue(wait_for(lambda: not self.leases(), 5))
        lease = self.lease(ports=port, until="released")["lease"]["lease"]
        self.release(lease)
        self.expect_state(lease, None)
        self.lease(ports=port)

    def test_a_server_outlives_its_lease(self):
        result = self.lease(ttl_ms=300)
        with listening_socket(port=result["port"]):
            self.expect_state(result["lease"]["lease"], None)
            self.refuse(8, ports=result["port"])


if __name__ == "__main__":
    harness.main()
