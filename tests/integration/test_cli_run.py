"""`portscan run` with the real daemon: what the command gets, and that nothing stays in between."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import harness
from harness import PORTSCAN, require, wait_for
from test_cli_leases import PORT, QUARANTINE_MS, Leases

setUpModule = harness.enter_network


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

    def test_count_of_one(self):
        """What is written for a number of ports works for one."""
        self.expect(0, ["run", "--count", "1", "--", "sh", "-c", "test $PORT = $PORT1; echo $?",
                        "{port1}"], "0\n")

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


if __name__ == "__main__":
    harness.main()
