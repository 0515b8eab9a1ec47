"""The port server dialect, by Debian's python3-portpicker as it is, and by hand."""

import json
import os
import socket
import subprocess
import unittest
import uuid

import harness
from harness import Daemon, closed_ports, require_root, wait_for
from leasing import USER, Test, can_bind

# Debian's module is there for Debian's Python only.
PYTHON = "/usr/bin/python3"
PICK = """
import json, os, sys
import portpicker
ports = [portpicker.get_port_from_port_server(os.environ["PORTSERVER_ADDRESS"])
         for _ in range(int(sys.argv[1]))]
print(json.dumps(ports), flush=True)
sys.stdin.readline()
"""


def has_portpicker():
    return os.path.exists(PYTHON) and subprocess.run(
        [PYTHON, "-c", "import portpicker"], stderr=subprocess.DEVNULL, check=False
    ).returncode == 0


@unittest.skipUnless(has_portpicker(), "python3-portpicker is not installed")
@unittest.skipIf(harness.WRAPPER, "needs pidfds")
class Portpicker(unittest.TestCase):
    def start(self, pool=None):
        self.address = "@portscand-test-" + uuid.uuid4().hex
        options = ["--pool", pool] if pool else []
        self.daemon = self.enterContext(Daemon(
            "--socket", self.address, "--quarantine-ms", "300", *options, activated=False))

    def pick(self, n):
        """A process that picks n ports and then waits for a line, and what it got."""
        process = subprocess.Popen([PYTHON, "-c", PICK, str(n)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, "PORTSERVER_ADDRESS": self.address})
        self.addCleanup(process.communicate)
        return process, process.stdout

    def states(self):
        return [info["state"] for info in self.daemon.result("leases")["leases"]]

    def test_several_processes(self):
        self.start()
        started = [self.pick(50) for _ in range(4)]
        ports = {process.pid: json.loads(output.readline()) for process, output in started}
        every = [port for some in ports.values() for port in some]
        self.assertEqual(len(set(every)), 200)
        self.assertTrue(all(20000 <= port <= 29999 for port in every))
        # Nothing is held: the process may bind them as it likes.
        self.assertTrue(all(can_bind(port, "::", kind=kind) for port in every[::20]
                            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)))
        for info in self.daemon.result("leases")["leases"]:
            self.assertEqual((info["until"], info["hold"], info["protocol"]),
                             ("process", "none", "both"))
            self.assertIn(info["ports"][0], ports[info["pid"]])
        # A process that dies gives back what it had, and no other's.
        started[0][0].kill()
        self.assertTrue(wait_for(lambda: len(self.states()) == 150))

    def test_exhaustion(self):
        with closed_ports(3) as ports:
            pool = ",".join(map(str, ports))
        self.start(pool)
        process, output = self.pick(5)
        picked = json.loads(output.readline())
        self.assertEqual((sorted(picked[:3]), picked[3:]), (ports, [None, None]))
        self.assertIn(b"Portserver failed to find a port", process.communicate(b"\n")[1])
        self.assertTrue(wait_for(lambda: not self.states()))
        _, output = self.pick(3)
        self.assertEqual(sorted(json.loads(output.readline())), ports)

    def test_pick_unused_port(self):
        """What users of the module call: a second process never gets what the first one has."""
        self.start()
        script = "import portpicker, sys\nprint(portpicker.pick_unused_port(), flush=True)\n" \
            "sys.stdin.readline()"
        ports = set()
        for _ in range(5):
            process = subprocess.Popen([PYTHON, "-c", script], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE,
                                       env={**os.environ, "PORTSERVER_ADDRESS": self.address})
            self.addCleanup(process.communicate)
            ports.add(int(process.stdout.readline()))
        self.assertEqual(len(ports), 5)
        self.assertTrue(all(20000 <= port <= 29999 for port in ports))


class ByHand(Test):
    def setUp(self):
        super().setUp()
        self.require_processes()
        # A lease that is over is none that a test has asked for.
        self.assertTrue(wait_for(lambda: not self.leases()))

    def ask(self, message, uid=None):
        with self.daemon.client(uid=uid) as client:
            client.send(message)
            return client.receive_all()

    def test_endings(self):
        pid = str(os.getpid()).encode()
        for message in (pid + b"\n", pid + b"\r\n", b"\n" + pid + b"\n"):
            self.assertRegex(self.ask(message), rb"^2\d{4}\n$")
        with self.daemon.client() as client:
            client.send(pid)
            client.half_close()
            self.assertRegex(client.receive_all(), rb"^2\d{4}\n$")

    def test_byte_by_byte(self):
        with self.daemon.client() as client:
            for byte in str(os.getpid()) + "\n":
                client.send(byte)
            self.assertRegex(client.receive_all(), rb"^2\d{4}\n$")

    def test_refusals(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        for pid in (0, 1, -1, -os.getpid(), gone.pid, 2**31 - 1, 2**31, 2**63, 2**64 + os.getpid(),
                    10**100):
            with self.subTest(pid=pid):
                self.assertEqual(self.ask(f"{pid}\n"), b"")
        self.assertEqual(self.leases(), [])
        self.assertEqual(self.daemon.metrics()["portscand_leases_refused_total"], 10)

    def test_not_a_number(self):
        for message in ("1 2\n", "+5\n", "12x\n", "0x10\n", "1.5\n", "--5\n"):
            with self.subTest(message=message):
                with self.daemon.client() as client:
                    client.send(message)
                    self.assertIn(client.receive()["error"]["code"], (-32700, -32600))

    def test_what_follows_is_not_read(self):
        with self.daemon.client() as client:
            client.send(f"{os.getpid()}\n{os.getpid()}\n" + '{"method":"info"}\n')
            self.assertRegex(client.receive_all(), rb"^2\d{4}\n$")
        self.assertEqual(len(self.leases()), 1)

    def test_behind_other_answers(self):
        with self.daemon.client() as client:
            client.send('{"id":1,"method":"check","params":{"port":1}}\n' + f"{os.getpid()}\n")
            lines = client.receive_all().splitlines()
            self.assertEqual(json.loads(lines[0])["id"], 1)
            self.assertRegex(lines[1], rb"^2\d{4}$")

    def test_others_processes(self):
        require_root()
        self.assertEqual(self.ask(f"{os.getpid()}\n", uid=USER), b"")
        with subprocess.Popen(["sleep", "600"], user=USER) as process:
            for uid in (USER, None):
                self.assertRegex(self.ask(f"{process.pid}\n", uid=uid), rb"^2\d{4}\n$")
            process.kill()

    def test_quota(self):
        require_root()
        with subprocess.Popen(["sleep", "600"], user=USER) as process, \
                self.daemon.client(uid=USER) as client:
            self.lease(client, count=1023)
            self.assertNotEqual(self.ask(f"{process.pid}\n", uid=USER), b"")
            self.assertEqual(self.ask(f"{process.pid}\n", uid=USER), b"")
            process.kill()


if __name__ == "__main__":
    harness.main()
