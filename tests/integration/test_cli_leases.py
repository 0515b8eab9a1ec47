"""Leases from the command line, with the real daemon: its words and its exit statuses."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

import harness
from harness import PORTSCAN, Daemon, closed_port, listening_socket, wait_for
from test_cli import Cli

# Short, for the tests that wait until a port is given out again.
QUARANTINE_MS = 300

HEAD = r"LEASE +PORTS +PROTO +ADDRESS +STATE +HOLD +UNTIL +USER +PID +AGE +EXPIRES +NAME\n"
PORT = r"2\d{4}"
ID = r"[0-9a-f]{16}"

setUpModule = harness.enter_network


class Leases(Cli):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--quarantine-ms", str(QUARANTINE_MS))
        cls.addClassCleanup(cls.daemon.close)
        cls.environment = {**os.environ, "PORTSCAND_SOCKET": cls.daemon.path}

    def lease(self, *arguments):
        """The result object of a lease."""
        return json.loads(self.expect(0, ["lease", "--json", *arguments], re.compile(r".*\n")))

    def leases(self):
        """Those that are not over."""
        return [lease for lease in self.daemon.result("leases")["leases"]
                if lease["state"] != "quarantined"]

    def lease_of(self, port):
        """The lease of the port, over or not; or None."""
        for lease in self.daemon.result("leases")["leases"]:
            if port in lease["ports"]:
                return lease
        return None

    def is_over(self, port):
        lease = self.lease_of(port)
        return lease is None or lease["state"] == "quarantined"


class Lease(Leases):
    def test_ports_one_a_line(self):
        self.expect(0, ["lease"], re.compile(PORT + r"\n"))
        ports = self.expect(0, ["lease", "--count", "3", "--contiguous"],
                            re.compile(rf"({PORT}\n){{3}}")).split()
        self.assertEqual([int(port) - int(ports[0]) for port in ports], [0, 1, 2])

    def test_outlives_the_command(self):
        port = int(self.expect(0, ["lease"], re.compile(PORT + r"\n")))
        lease = self.lease_of(port)
        self.assertEqual((lease["until"], lease["state"]), ("claimed", "held"))
        with listening_socket(port=port):
            lease = self.lease_of(port)
            self.assertEqual((lease["state"], lease["expires_in_ms"]), ("in_use", None))

    def test_every_option(self):
        result = self.lease("24000-24999", "--exclude", "24000-24500", "--count", "2", "--ttl",
                            "90000", "--name", "every option", "--protocol", "both", "--address",
                            "127.0.0.1", "--hold", "exclusive", "--until", "released")["lease"]
        self.assertTrue(all(24500 < port < 25000 for port in result["ports"]))
        self.assertTrue(60000 < result.pop("expires_in_ms") <= 90000)
        for member in ("lease", "ports", "age_ms", "pid"):
            del result[member]
        self.assertEqual(result, {
            "name": "every option", "protocol": "both", "address": "127.0.0.1",
            "hold": "exclusive", "until": "released", "state": "held", "uid": os.geteuid(),
            "lost": [],
        })

    def test_of_a_process(self):
        with subprocess.Popen(["sleep", "100"]) as process:
            lease = self.lease("--pid", str(process.pid))["lease"]
            self.assertEqual((lease["until"], lease["pid"]), ("process", process.pid))
            same = self.lease("--pid", str(process.pid), "--until", "process")["lease"]
            self.assertEqual(same["until"], "process")
            process.kill()
        self.assertTrue(wait_for(lambda: self.is_over(lease["ports"][0])))

    def test_of_a_shell(self):
        """As README.md has it: kept for as long as the script runs."""
        script = subprocess.run(
            ["sh", "-c", f"port=$('{PORTSCAN}' lease --pid $$) && echo $port && "
             f"'{PORTSCAN}' call who \"{{\\\"port\\\":$port}}\""],
            env=self.environment, capture_output=True, text=True, check=True)
        port, who = script.stdout.splitlines()
        self.assertEqual(json.loads(who)["lease"]["state"], "held")
        self.assertTrue(wait_for(lambda: self.is_over(int(port))))

    def test_name(self):
        first = self.expect(0, ["lease", "--name", "sticky"], re.compile(PORT + r"\n"))
        self.expect(0, ["lease", "--name", "sticky"], first)
        lease = self.lease_of(int(first))["lease"]
        self.expect(0, ["release", lease])
        self.expect(0, ["lease", "--name", "sticky"], first)

    def test_none_free(self):
        with closed_port() as port:
            message = (f"portscan: of 1 ports there are not 1 free; release some, or give other "
                       f"ports\n")
            self.expect(1, ["lease", str(port)], err=message)
            marker = os.path.join(self.daemon.directory, "ran")
            self.expect(1, ["run", str(port), "--", "touch", marker], err=message)
            self.assertFalse(os.path.exists(marker))

    def test_find_passes_over(self):
        port = self.expect(0, ["lease"], re.compile(PORT + r"\n")).strip()
        self.expect(1, ["find", port])
        self.expect(0, ["find", port, "--include-leased"], port + "\n")

    def test_wrong_usage(self):
        self.expect_usage(["lease", "localhost"], '"localhost" are no ports; write them as '
                          "3000-3010 or 80,443, or see 'portscan help lease'")
        self.expect_usage(["lease", "3000", "3001"], '"3001" is one argument too many; usage: '
                          "portscan lease [PORTS]")
        self.expect_usage(["lease", "--until", "process"],
                          "--until process needs to know which; in a shell: --pid $$")
        self.expect_usage(["lease", "--until", "connection"],
                          "--until connection would end with this command; use 'portscan run', or "
                          "--pid with the process that needs the port")
        self.expect_usage(["lease", "--until", "never"], '--until is "never"; it must be one of '
                          "claimed, connection, process, released")
        self.expect_usage(["lease", "--hold", "tight"],
                          '--hold is "tight"; it must be one of shared, exclusive, none')
        self.expect_usage(["lease", "--pid", "1", "--until", "claimed"],
                          'pid goes with "until":"process"; leave it out')
        self.expect_usage(["lease", "--ttl", "2592000001"], "ttl_ms is 2592000001; it must be an "
                          "integer from 1 to 2592000000")
        self.expect_usage(["lease", "--listen"], "lease does not take --listen; 'portscan help "
                          "lease' lists what it takes")

    def test_errors(self):
        self.expect(3, ["lease", "--address", "192.0.2.1"],
                    err='portscan: 192.0.2.1 is no address of this host; give one, or "*"\n')


class Keeping(Leases):
    def test_renew(self):
        lease = self.lease("--until", "released", "--ttl", "60000")["lease"]["lease"]
        self.expect(0, ["renew", lease, "--ttl", "600000"])
        renewed = json.loads(self.expect(0, ["renew", lease, "--json"], re.compile(r".*\n")))
        self.assertTrue(590000 < renewed["lease"]["expires_in_ms"] <= 600000)

    def test_release(self):
        result = self.lease()
        lease, port = result["lease"]["lease"], result["port"]
        self.expect(0, ["release", lease])
        self.assertTrue(self.is_over(port))
        self.expect(1, ["release", lease], err=f'portscan: you have no lease "{lease}"; leases '
                    "tells which you have\n")
        self.expect(0, ["release", "--json", self.lease()["lease"]["lease"]], "{}\n")

    def test_no_such_lease(self):
        for command in ("renew", "release"):
            self.expect(1, [command, "0123456789abcdef"], err="portscan: you have no lease "
                        '"0123456789abcdef"; leases tells which you have\n')
            self.expect_usage([command], f"{command} needs a LEASE; 'portscan leases' tells which "
                              "there are")
            self.expect_usage([command, "a", "b"], '"b" is one argument too many; usage: portscan '
                              f"{command} LEASE")


class Short(Leases):
    def test_of_descriptors(self):
        """What helps is not a longer timeout, which leases don't have."""
        with Daemon(nofile=64) as daemon:
            run = self.run_portscan("lease", "--count", "100",
                                    env={**os.environ, "PORTSCAND_SOCKET": daemon.path})
            self.assertEqual(daemon.result("leases"), {"leases": []})
        self.assertEqual(run.stderr, "portscan: the daemon is short of descriptors, of which each "
                         "port takes one; release some leases, or raise its LimitNOFILE=\n")
        self.assertEqual(run.returncode, 3)


class Tables(Leases):
    def setUp(self):
        for lease in self.leases():
            self.daemon.result("release", {"lease": lease["lease"]})
        self.assertTrue(wait_for(lambda: not self.daemon.result("leases")["leases"]))

    def test_none(self):
        self.expect(0, ["leases"])
        self.expect(0, ["leases", "--json"], '{"leases":[]}\n')

    def test_leases(self):
        user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout
        user = user.strip()
        ports = self.lease("--count", "3", "--contiguous", "--name", "web")["lease"]["ports"]
        one = self.lease("--pid", str(os.getpid()), "--protocol", "udp", "--address", "127.0.0.1",
                         "--hold", "none")["port"]
        over = self.lease("--until", "released", "--ttl", "9000000")["lease"]
        self.expect(0, ["leases"], re.compile(
            HEAD +
            rf"{ID}  {ports[0]}-{ports[2]}  tcp +\* +held +shared +claimed +{user} +\d+ +\ds +5\ds "
            rf"+web\n"
            rf"{ID}  {one} +udp +127\.0\.0\.1 +held +none +process +{user} +{os.getpid()} +\ds +- "
            rf"+-\n"
            rf"{ID}  {over['ports'][0]} +tcp +\* +held +shared +released +{user} +\d+ +\ds "
            rf"+2h29m +-\n"))
        self.expect(0, ["release", over["lease"]])
        self.assertRegex(self.expect(0, ["leases", "--all"], re.compile(r"(?s).*")),
                         rf"{over['ports'][0]} +tcp +\* +quarantined")

    def test_many_ports(self):
        """The table stays readable; all of them are in the JSON."""
        ports = self.lease("--count", "200")["lease"]["ports"]
        out = self.expect(0, ["leases"], re.compile(r"(?s).*"))
        shown = out.splitlines()[1].split()[1:4]
        self.assertEqual(shown[1:], ["(200)", "tcp"])
        self.assertTrue(shown[0].startswith(f"{ports[0]}"), shown)
        self.assertTrue(shown[0].endswith(",..."), shown)
        self.assertLess(max(map(len, out.splitlines())), 160)

    def test_lost(self):
        """A port that somebody took while the daemon was dead is told of."""
        with Daemon("--quarantine-ms", "100", activated=False) as daemon:
            environment = {**os.environ, "PORTSCAND_SOCKET": daemon.path}
            port = daemon.result("lease", {"until": "released"})["port"]
            daemon.stop(signal.SIGKILL)
            with socket.socket() as thief:
                thief.bind(("127.0.0.1", port))
                with Daemon("--quarantine-ms", "100", activated=False,
                            env={"RUNTIME_DIRECTORY": daemon.runtime}) as again:
                    environment["PORTSCAND_SOCKET"] = again.path
                    run = self.run_portscan("leases", env=environment)
            self.assertRegex(run.stdout, rf"{port}  tcp +\* +lost:{port} +shared +released")

    def test_who_agrees_with_itself(self):
        """The lease is in use when a listener is shown above it, and else it is not."""
        port = self.lease("--until", "released")["port"]
        for _ in range(3):
            with listening_socket(port=port):
                self.expect(0, ["who", str(port)], re.compile(r"(?s).* LISTEN .* in_use .*"))
            self.expect(0, ["who", str(port)], re.compile(rf"(?s).*{HEAD}.* held .*"))

    def test_who(self):
        port = self.lease("--name", "web")["port"]
        lease = rf"{HEAD}{ID}  {port}  tcp +\* +\S+ +shared +claimed +\S+ +\d+ +\ds +\S+ +web\n"
        self.expect(0, ["who", str(port), "--protocol", "udp"], re.compile(lease))
        with listening_socket(port=port):
            self.expect(0, ["who", str(port)], re.compile(
                rf"PROTO  ADDRESS +STATE +UNIT +USER +PID +COMMAND\n"
                rf"tcp +127\.0\.0\.1:{port} +LISTEN .*\n(?:.*\n)*\n" + lease))


class NoDaemon(Cli):
    @classmethod
    def setUpClass(cls):
        if os.path.exists("/run/portscand.sock"):
            raise unittest.SkipTest("this host has a portscand")
        cls.directory = tempfile.TemporaryDirectory(prefix="portscand-test-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.environment = {name: value for name, value in os.environ.items()
                           if name != "PORTSCAND_SOCKET"}
        cls.environment["XDG_RUNTIME_DIR"] = cls.directory.name

    def test_every_command(self):
        for command in (["lease"], ["run", "--", "echo", "ran"], ["renew", "0123456789abcdef"],
                        ["release", "0123456789abcdef"], ["leases"]):
            self.expect(4, command, err="portscan: no daemon is running, and leases need one that "
                        "all share; start it with 'systemctl start portscand.socket'\n")
        nowhere = os.path.join(self.directory.name, "nowhere")
        self.expect(4, ["lease", "--socket", nowhere], err=f"portscan: no daemon at {nowhere}: No "
                    "such file or directory; start one there, or leave out --socket\n")


if __name__ == "__main__":
    harness.main()
