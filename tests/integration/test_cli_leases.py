"""Leases from the command line, with the real daemon: its words, its statuses, and `run`."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import harness
from harness import PORTSCAN, Daemon, closed_port, listening_socket, require, wait_for
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
        self.expect(1, ["release", lease], err=f"portscan: you have no lease {lease}; leases "
                    "tells which you have\n")
        self.expect(0, ["release", "--json", self.lease()["lease"]["lease"]], "{}\n")

    def test_no_such_lease(self):
        for command in ("renew", "release"):
            self.expect(1, [command, "0123456789abcdef"], err="portscan: you have no lease "
                        "0123456789abcdef; leases tells which you have\n")
            self.expect_usage([command], f"{command} needs a LEASE; 'portscan leases' tells which "
                              "there are")
            self.expect_usage([command, "a", "b"], '"b" is one argument too many; usage: portscan '
                              f"{command} LEASE")


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

    def test_who(self):
        port = self.lease("--name", "web")["port"]
        lease = rf"{HEAD}{ID}  {port}  tcp +\* +\S+ +shared +claimed +\S+ +\d+ +\ds +\S+ +web\n"
        self.expect(0, ["who", str(port), "--protocol", "udp"], re.compile(lease))
        with listening_socket(port=port):
            self.expect(0, ["who", str(port)], re.compile(
                rf"PROTO  ADDRESS +STATE +UNIT +USER +PID +COMMAND\n"
                rf"tcp +127\.0\.0\.1:{port} +LISTEN .*\n(?:.*\n)*\n" + lease))


class Running(Leases):
    def command(self, *arguments):
        return [PORTSCAN, "run", *arguments]

    def start(self, *arguments, **options):
        """`run` of a command that says its port first: the process, and the port."""
        process = subprocess.Popen(self.command(*arguments), env=self.environment, text=True,
                                   stdout=subprocess.PIPE, **options)
        self.addCleanup(self.end, process)
        return process, int(process.stdout.readline())

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()

    def start_python(self, script):
        return self.start("--", sys.executable, "-c",
                          "import os, signal, time\n" + script.replace("READY", "print(os.environ"
                                                                       "['PORT'], flush=True)"))


class Run(Running):
    def test_three_ways(self):
        out = self.expect(0, ["run", "--count", "2", "--", "sh", "-c",
                              'echo $PORT $PORT1 $PORT2; echo "$@"; echo ${port}',
                              "sh", "{port}", "{port1}", "a{port2}b{port2}", "{port", "{port0}",
                              "${port1}", "{portx}"], re.compile(r"(?s).*"))
        first, second = map(int, out.split()[1:3])
        self.assertEqual(out, f"{first} {first} {second}\n"
                         f"{first} {first} a{second}b{second} {{port {{port0}} ${{port1}} "
                         f"{{portx}}\n\n")

    def test_environment_of_one(self):
        out = self.expect(0, ["run", "--", "env"], re.compile(r"(?s).*"))
        self.assertRegex(out, rf"(?m)^PORT={PORT}$")
        self.assertNotRegex(out, r"(?m)^(PORT1|LISTEN_\w+)=")

    def test_options_of_the_command(self):
        self.expect(0, ["run", "24000-24999", "--", "sh", "-c", "echo $1 ${PORT%???}", "--",
                        "--count"], "--count 24\n")
        self.expect(0, ["run", "--name=--", "--", "sh", "-c", "echo $1", "--", "--help"],
                    "--help\n")

    def test_one_process(self):
        """The lease is that of the very process, which has become the command."""
        process, port = self.start_python("READY; time.sleep(100)")
        with open(f"/proc/{process.pid}/cmdline", "rb") as cmdline:
            self.assertTrue(cmdline.read().startswith(sys.executable.encode()))
        lease = self.lease_of(port)
        self.assertEqual((lease["until"], lease["pid"]), ("process", process.pid))
        self.assertEqual(lease["expires_in_ms"], None)

    def test_exit_status(self):
        for status in (0, 1, 4, 77, 255):
            self.expect(status, ["run", "--", "sh", "-c", f"exit {status}"])
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1):
            run = self.run_portscan("run", "--", "sh", "-c", f"kill -{int(number)} $$")
            self.assertEqual(run.returncode, -number)

    def test_signals_reach_the_command(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1,
                       signal.SIGUSR2, signal.SIGQUIT, signal.SIGWINCH):
            process, port = self.start_python(
                f"signal.signal({int(number)}, lambda *_: os._exit(43))\nREADY\n"
                "while True: time.sleep(1)")
            process.send_signal(number)
            self.assertEqual(process.wait(20), 43, number)
            self.assertTrue(wait_for(lambda port=port: self.is_over(port)))

    def test_default_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            process, port = self.start("--", "sh", "-c", "echo $PORT; exec sleep 100")
            process.send_signal(number)
            self.assertEqual(process.wait(20), -number)
            self.assertTrue(wait_for(lambda port=port: self.is_over(port)))

    def test_ignored_and_blocked_signals_stay_so(self):
        status = self.run_portscan("run", "--", "grep", "-E", "^Sig(Blk|Ign)",
                                   "/proc/self/status").stdout
        plain = subprocess.run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], check=True,
                               capture_output=True, text=True).stdout
        self.assertEqual(status, plain)

    def test_survivor_of_a_killed_command(self):
        """What the command leaves behind keeps the port from others, as long as it listens."""
        process, port = self.start_python(
            "import socket\n"
            "s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
            "child = os.fork()\n"
            "if child == 0:\n    READY\n    print(os.getpid(), flush=True)\n"
            "time.sleep(100)")
        child = int(process.stdout.readline())
        try:
            process.kill()
            process.wait()
            self.assertTrue(wait_for(lambda: self.is_over(port)))
            time.sleep(QUARANTINE_MS / 1000 + 0.3)
            self.assertEqual(self.lease_of(port)["state"], "quarantined")
            self.expect(1, ["lease", str(port)], err=re.compile(r"portscan: of 1 ports .*\n"))
        finally:
            os.kill(child, signal.SIGKILL)
        self.assertTrue(wait_for(lambda: self.lease_of(port) is None))

    def test_not_there(self):
        self.expect(127, ["run", "--", "no-such-command"], err="portscan: no-such-command can't be "
                    "run: No such file or directory; see whether it is installed, and in $PATH\n")
        self.expect(126, ["run", "--", self.daemon.log], err=f"portscan: {self.daemon.log} can't be "
                    "run: Permission denied\n")
        self.assertTrue(wait_for(lambda: all(lease["until"] != "process"
                                             for lease in self.leases())))

    def test_standard_input(self):
        run = subprocess.run(["sh", "-c", f"read first; '{PORTSCAN}' run -- cat"],
                             env=self.environment, input="one\ntwo\nthree\n", text=True,
                             capture_output=True, check=True)
        self.assertEqual(run.stdout, "two\nthree\n")

    def test_descriptors(self):
        def descriptors(*prefix, **options):
            return subprocess.run([*prefix, "sh", "-c", "ls /proc/$$/fd"], check=True, text=True,
                                  capture_output=True, env=self.environment, **options).stdout

        plain = descriptors()
        self.assertEqual(descriptors(*self.command("--")), plain)
        self.assertEqual(descriptors(*self.command("--listen", "--count", "2", "--")),
                         plain + "3\n4\n")
        with open(os.devnull, "rb") as null:
            kept = descriptors(*self.command("--"), pass_fds=[null.fileno()])
            self.assertIn(str(null.fileno()), kept.split())

    def test_without_standard_descriptors(self):
        """Sockets that came in where stdin would be end up in their place all the same."""
        run = subprocess.run(["sh", "-c", f"exec '{PORTSCAN}' run --listen --count 3 -- "
                              "sh -c 'readlink /proc/$$/fd/3 /proc/$$/fd/4 /proc/$$/fd/5 "
                              "/proc/$$/fd/6 /proc/$$/fd/0' <&- 2>&-"],
                             env=self.environment, capture_output=True, text=True, check=False)
        self.assertRegex(run.stdout, r"^(socket:\[\d+\]\n){3}$")

    def test_wrong_usage(self):
        needs = "run needs -- and a COMMAND, as in: portscan run -- ./server --port {port}"
        self.expect_usage(["run"], needs)
        self.expect_usage(["run", "ls"], needs)
        self.expect_usage(["run", "--"], needs)
        self.expect_usage(["run", "ls", "--", "ls"], '"ls" are no ports; write them as 3000-3010 '
                          "or 80,443, or see 'portscan help run'")
        self.expect_usage(["run", "--count", "2", "--", "echo", "a{port3}"],
                          '"a{port3}" has {port3}, and the lease 2 ports; give --count 3')
        self.expect_usage(["run", "--until", "released", "--", "ls"], "run does not take --until; "
                          "'portscan help run' lists what it takes")
        self.expect_usage(["run", "--", "echo", "{port2}"],
                          '"{port2}" has {port2}, and the lease 1 port; give --count 2')

    def test_many_at_once(self):
        processes = [self.start("--", "sh", "-c", "echo $PORT; exec sleep 100")
                     for _ in range(32)]
        self.assertEqual(len({port for _, port in processes}), 32)

    def test_same_port_by_name(self):
        """A server that is started again has its port again."""
        first = self.expect(0, ["run", "--name", "again", "--", "sh", "-c", "echo $PORT"],
                            re.compile(PORT + r"\n"))
        self.expect(0, ["run", "--name", "again", "--", "sh", "-c", "echo $PORT"], first)


class Terminal(Running):
    """In the foreground of a terminal, with a shell that keeps jobs."""

    def start_shell(self):
        pid, master = pty.fork()
        if pid == 0:
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"],
                      {**self.environment, "PS1": "$ ", "TERM": "dumb", "HISTFILE": ""})
        self.addCleanup(os.close, master)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        return master

    def type(self, master, text, until):
        """Types, and returns what the terminal shows up to a match of `until`."""
        os.write(master, text.encode())
        shown, deadline = "", time.monotonic() + 20
        while not (match := re.search(until, shown)):
            self.assertLess(time.monotonic(), deadline, shown)
            shown += os.read(master, 4096).decode()
        return match

    def test_interrupt_and_job_control(self):
        require("bash")
        master = self.start_shell()
        run = f"'{PORTSCAN}' run -- sh -c 'echo port=$PORT; exec sleep 100'\n"
        port = int(self.type(master, run, r"port=(\d+)")[1])
        self.type(master, "\x03", r"\$ ")
        self.type(master, "echo status=$?\n", r"status=130")
        self.assertTrue(wait_for(lambda: self.is_over(port)))

        port = int(self.type(master, run, r"port=(\d+)")[1])
        self.type(master, "\x1a", r"Stopped")
        self.assertEqual(self.lease_of(port)["state"], "held")
        pid = self.lease_of(port)["pid"]
        os.write(master, b"fg\n")
        self.assertTrue(wait_for(lambda: state_of(pid) == "S"))
        self.type(master, "\x03", r"\$ ")
        self.type(master, "echo status=$?\n", r"status=130")
        self.assertTrue(wait_for(lambda: self.is_over(port)))


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


class Listen(Running):
    def fetch(self, port, host="127.0.0.1"):
        with urllib.request.urlopen(f"http://{host}:{port}/", timeout=20) as answer:
            return answer.read()

    def start_listening(self, *command):
        """The port is known only from the lease: these servers don't say it."""
        process = subprocess.Popen(self.command("--listen", "--", *command), text=True,
                                   env=self.environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, process)
        found = []
        self.assertTrue(wait_for(lambda: found.extend(
            lease["ports"][0] for lease in self.leases() if lease["pid"] == process.pid) or found))
        return process, found[0]

    def test_what_is_handed_over(self):
        script = ("import os, socket\n"
                  "s = socket.socket(fileno=3)\n"
                  "print(os.environ['LISTEN_FDS'], os.environ['LISTEN_PID'] == str(os.getpid()),"
                  " os.environ['LISTEN_FDNAMES'], s.getsockname()[1] == int(os.environ['PORT']),"
                  " s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), s.getblocking(),"
                  " os.get_inheritable(3))")
        self.expect(0, ["run", "--listen", "--", sys.executable, "-c", script],
                    "1 True port True 1 True True\n")
        self.expect(0, ["run", "--listen", "--count", "2", "--protocol", "both", "--", "sh", "-c",
                        "echo $LISTEN_FDS $LISTEN_FDNAMES"], "4 port1:port1:port2:port2\n")
        self.expect(3, ["run", "--listen", "--protocol", "udp", "--", "true"],
                    err="portscan: nothing listens on UDP; leave listen out\n")

    def test_clients_before_the_server(self):
        """The port is open from the beginning: who connects early is served late."""
        process, port = self.start_listening(sys.executable, "-c", """
import socket, sys
sys.stdin.readline()
s = socket.socket(fileno=3)
while True:
    c = s.accept()[0]
    c.sendall(b"served")
    c.close()
""")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            self.assertEqual(client.recv(100), b"served")
        process.kill()

    def test_lighttpd(self):
        require("lighttpd")
        with tempfile.TemporaryDirectory(prefix="portscand-test-") as directory:
            with open(os.path.join(directory, "index.html"), "w", encoding="ascii") as index:
                index.write("served by lighttpd")
            configuration = os.path.join(directory, "lighttpd.conf")
            with open(configuration, "w", encoding="ascii") as file:
                file.write(f'server.document-root = "{directory}"\n'
                           'server.systemd-socket-activation = "enable"\n'
                           'index-file.names = ("index.html")\n')
            process, port = self.start_listening("lighttpd", "-D", "-f", configuration)
            self.assertEqual(self.fetch(port), b"served by lighttpd")
            if socket.has_ipv6:
                self.assertEqual(self.fetch(port, "[::1]"), b"served by lighttpd")
            self.assertEqual(self.lease_of(port)["state"], "in_use")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(20), 0)
            self.assertTrue(wait_for(lambda: self.is_over(port)))

    def test_proxy_of_systemd(self):
        proxy = "/usr/lib/systemd/systemd-socket-proxyd"
        require(proxy)
        with harness.listening_socket() as behind:
            process, port = self.start_listening(proxy,
                                                 "127.0.0.1:%d" % behind.getsockname()[1])
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                server = behind.accept()[0]
                with contextlib.closing(server):
                    client.sendall(b"there")
                    self.assertEqual(server.recv(100), b"there")
                    server.sendall(b"and back")
                    self.assertEqual(client.recv(100), b"and back")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(20), -signal.SIGTERM)


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
