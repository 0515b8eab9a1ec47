"""The command line with the real daemon: its words, its exit statuses, its errors."""

import contextlib
import fcntl
import json
import os
import pty
import pwd
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
import unittest

from harness import (PORTSCAN, PORTSCAND, Daemon, closed_port, enter_network, listener,
                     silent_port)


setUpModule = enter_network


class Cli(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.environment = {**os.environ, "PORTSCAND_SOCKET": cls.daemon.path}

    def run_portscan(self, *arguments, env=None, **options):
        return subprocess.run([PORTSCAN, *arguments], env=env or self.environment, text=True,
                              stdin=subprocess.DEVNULL, timeout=60, check=False,
                              **({"capture_output": True} | options))

    def expect(self, status, arguments, out="", err=""):
        """Asserts the status and the exact text; a compiled pattern is matched in full."""
        run = self.run_portscan(*arguments)
        for what, expected, found in (("stdout", out, run.stdout), ("stderr", err, run.stderr)):
            if isinstance(expected, re.Pattern):
                self.assertTrue(expected.fullmatch(found), (arguments, what, found, run.stderr))
            else:
                self.assertEqual(found, expected, (arguments, what))
        self.assertEqual(run.returncode, status, (arguments, run.stderr))
        return run.stdout

    def expect_usage(self, arguments, err):
        self.expect(2, arguments, err=f"portscan: {err}\n")


class Check(Cli):
    def test_open_and_closed(self):
        with listener() as port:
            self.expect(0, ["check", str(port)],
                        re.compile(rf"127\.0\.0\.1:{port} open \(accepted, \d+\.\d ms\)\n"))
        with closed_port() as port:
            self.expect(1, ["check", "localhost", str(port)],
                        re.compile(rf"localhost:{port} closed \(refused, \d+\.\d ms\)\n"))

    def test_ipv6(self):
        with listener("::1") as port:
            self.expect(0, ["check", "::1", str(port)],
                        re.compile(rf"\[::1\]:{port} open \(accepted, \d+\.\d ms\)\n"))

    def test_options_in_any_order(self):
        with listener() as port:
            for words in (["check", "--json", "127.0.0.1", str(port), "--timeout", "1000"],
                          ["--timeout=1000", "check", str(port), "--via", "connect", "--json"]):
                result = json.loads(self.expect(0, words, re.compile(r".*\n")))
                self.assertEqual(result["port"], port)
                self.assertEqual(list(result), ["host", "address", "port", "status", "reason",
                                                "elapsed_us"])

    def test_unreachable(self):
        self.expect(3, ["check", "127.255.255.255", "9"],
                    err=re.compile(r"portscan: 127\.255\.255\.255 .*; .*\n"))

    def test_wrong_usage(self):
        self.expect_usage(["check"], "check needs PORT, as in: portscan check 8080")
        self.expect_usage(["check", "80x"], '"80x" is no port; a port is digits and nothing else, '
                          "1 to 65535")
        self.expect_usage(["check", ""], '"" is no port; a port is digits and nothing else, '
                          "1 to 65535")
        self.expect_usage(["check", "localhost:8080"],
                          '"localhost:8080" is a host and a port in one; write them apart: '
                          "portscan check localhost 8080")
        self.expect_usage(["check", "[::1]:8080"],
                          '"[::1]:8080" is a host and a port in one; write them apart: '
                          "portscan check ::1 8080")
        self.expect_usage(["check", "localhost"],
                          'check needs PORT after the host "localhost", as in: '
                          "portscan check localhost 8080")
        for port in ("0", "65536", "99999999999999999999"):
            self.expect_usage(["check", port], f'"{port}" is no port; ports are 1 to 65535')
        self.expect_usage(["check", "80-90"], 'check takes one port, and "80-90" is more than one; '
                          "'portscan help scan' looks at many")
        self.expect_usage(["check", "80", "81"], '"80" and "81" are both ports; write them as one, '
                          "such as 3000-3010 or 80,443")
        self.expect_usage(["check", "a", "b"], '"a" and "b" are two hosts, or one of them is no '
                          "port; see 'portscan help check'")
        self.expect_usage(["check", "a", "80", "b"], '"b" is one argument too many; usage: '
                          "portscan check [HOST] PORT")
        self.expect_usage(["check", "80", "--count", "2"], "check does not take --count; "
                          "'portscan help check' lists what it takes")
        self.expect_usage(["check", "80", "--via", "magic"],
                          '--via is "magic"; it must be one of connect, table, bind')
        for value in ("0", "-1", "x", "1.5", ""):
            self.expect_usage(["check", "80", f"--timeout={value}"],
                              f'--timeout is "{value}"; it must be a whole number, 1 or more')
        for value in ("99999999999", "99999999999999999999"):
            self.expect_usage(["check", "80", f"--timeout={value}"],
                              f"--timeout is {value}, which is more than can be asked for")
        # Its range is the daemon's to say.
        self.expect_usage(["check", "80", "--timeout", "600001"],
                          "timeout_ms is 600001; it must be an integer from 1 to 600000")
        self.expect_usage(["check", b"\xff".decode(errors="surrogateescape"), "80"],
                          "an argument is not UTF-8; write it in UTF-8")


class Find(Cli):
    def test_closed_ports(self):
        with closed_port() as one, closed_port() as other:
            ports = f"{other},{one}"
            self.expect(0, ["find", ports], f"{other}\n")
            self.expect(0, ["find", ports, "--count", "2"], f"{other}\n{one}\n")
            self.expect(0, ["find", "localhost", ports, "--exclude", str(other)], f"{one}\n")
            self.expect(0, ["find", ports, "--order", "any", "--count", "9"],
                        re.compile(rf"{other}\n{one}\n|{one}\n{other}\n"))
            self.expect(1, ["find", "--open", ports])

    def test_open_ports(self):
        with listener() as port:
            self.expect(0, ["find", str(port), "--open"], f"{port}\n")
            self.expect(1, ["find", str(port), "--strict", "--include-leased"])
            result = json.loads(self.expect(1, ["find", str(port), "--json"], re.compile(r".*\n")))
            self.assertEqual((result["port"], result["ports"], result["checked"]), (None, [], 1))

    def test_wrong_usage(self):
        self.expect_usage(["find"], "find needs PORTS, as in: portscan find 8080")
        self.expect_usage(["find", "3000", "3010"], '"3000" and "3010" are both ports; write them '
                          "as one, such as 3000-3010 or 80,443")
        self.expect_usage(["find", "3000", "--open", "--closed"],
                          "--open and --closed exclude each other; leave one out")
        self.expect(2, ["find", "3000-99999"], err=re.compile(r'portscan: ports is "3000-99999" '
                                                              r"\(ports are 1-65535\); .*\n"))


class Scan(Cli):
    def test_table(self):
        with listener() as port, closed_port() as closed:
            out = self.expect(0, ["scan", f"{port},{closed}"], re.compile(r"(?s).*"))
            head, row, counts = out.splitlines()
            self.assertEqual(head, "PORT   SERVICE")
            self.assertRegex(row, rf"^{port:<5}  \S+$")
            self.assertRegex(counts, r"^1 open, 1 closed, 0 timed out: 2 ports of 127\.0\.0\.1 in "
                             r"\d+\.\d ms$")
            out = self.expect(0, ["scan", "localhost", f"{port},{closed}", "--closed"],
                              re.compile(r"(?s).*"))
            self.assertRegex(out.splitlines()[1], rf"^{closed:<5}  \S+$")

    def test_services_have_names(self):
        name = socket.getservbyport(9, "tcp")
        out = self.expect(0, ["scan", "9", "--closed"], re.compile(r"(?s).*"))
        self.assertEqual(out.splitlines()[1], f"9      {name}")

    def test_none(self):
        with closed_port() as port:
            self.expect(0, ["scan", str(port)], re.compile(r"0 open, 1 closed, 0 timed out: 1 port"
                                                           r" of 127\.0\.0\.1 in \d+\.\d ms\n"))

    def test_all_ports(self):
        with listener() as port:
            result = json.loads(self.expect(0, ["scan", "--json"], re.compile(r".*\n")))
            self.assertIn(port, result["ports"])
            self.assertEqual((result["done"], result["total"]), (65535, 65535))

    def test_full_disk(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            run = self.run_portscan("scan", "9", capture_output=False, stdout=full,
                                    stderr=subprocess.PIPE)
        self.assertEqual(run.stderr, "portscan: write error: No space left on device\n")
        self.assertEqual(run.returncode, 3)


class Wait(Cli):
    def test_reached_when_it_listens(self):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
            timer = threading.Timer(0.2, server.listen)
            timer.start()
            self.expect(0, ["wait", str(port), "--deadline", "10000", "--interval", "10"],
                        re.compile(rf"127\.0\.0\.1:{port} open \(accepted, \d+\.\d ms\)\n"))
            timer.join()

    def test_closed(self):
        with closed_port() as port:
            result = json.loads(self.expect(0, ["wait", str(port), "--closed", "--json"],
                                            re.compile(r".*\n")))
            self.assertEqual(result["status"], "closed")

    def test_deadline(self):
        with closed_port() as port:
            self.expect(1, ["wait", str(port), "--deadline", "100"],
                        re.compile(rf"127\.0\.0\.1:{port} closed \(refused, \d+\.\d ms\)\n"))
            result = json.loads(self.expect(1, ["wait", str(port), "--deadline", "100", "--json"],
                                            re.compile(r".*\n")))
            self.assertGreaterEqual(result.pop("waited_ms"), 100)
            self.assertEqual(result, {"host": "127.0.0.1", "address": "127.0.0.1", "port": port,
                                      "status": "closed", "reason": "refused"})


class Via(Cli):
    def test_check(self):
        with listener() as port:
            for via, reason in (("connect", "accepted"), ("table", "listening"),
                                ("bind", "in_use")):
                self.expect(0, ["check", str(port), "--via", via], re.compile(
                    rf"127\.0\.0\.1:{port} open \({reason}, \d+\.\d ms\)\n"))
        self.expect(1, ["check", str(port), "--via", "bind"], re.compile(
            rf"127\.0\.0\.1:{port} closed \(bindable, \d+\.\d ms\)\n"))

    def test_find_scan_wait(self):
        with listener() as port, closed_port() as taken:
            self.expect(0, ["find", f"{port},{taken}", "--via", "table"], f"{taken}\n")
            self.expect(1, ["find", f"{port},{taken}", "--via", "bind"])
            self.expect(1, ["find", f"{port},{taken}", "--via", "table", "--strict"])
            out = self.expect(0, ["scan", "--via", "table"], re.compile(r"(?s).*"))
            self.assertRegex(out, rf"(?m)^{port} ")
            self.expect(0, ["wait", str(port), "--via", "table"], re.compile(
                rf"127\.0\.0\.1:{port} open \(listening, \d+\.\d ms\)\n"))

    def test_foreign_host(self):
        self.expect(3, ["check", "192.0.2.1", "80", "--via", "table"], err="portscan: via table "
                    "can't tell: 192.0.2.1 is no address of this host; ask via connect\n")

    def test_help_says_what_is_different(self):
        for command in ("scan", "find"):
            out = self.expect(0, ["help", command], re.compile(r"(?s).*"))
            self.assertIn("--via table asks the kernel", out)
            self.assertIn("ports that a firewall blocks, or redirects", out)


class Who(Cli):
    def test_table(self):
        with listener() as port, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", port))
            head, *rows = self.expect(0, ["who", str(port)], re.compile(r"(?s).*")).splitlines()
            self.assertEqual(head.split(), ["PROTO", "ADDRESS", "STATE", "UNIT", "USER", "PID",
                                            "COMMAND"])
            self.assertEqual(len(rows), 2)
            user = pwd.getpwuid(os.geteuid()).pw_name
            for row, protocol, state in zip(rows, ("tcp", "udp"), ("LISTEN", "UNCONN")):
                words = row.split()
                self.assertEqual(words[:3] + words[4:6],
                                 [protocol, f"127.0.0.1:{port}", state, user, str(os.getpid())])
                self.assertIn("python", row)
                self.assertEqual(row.index(words[2]), head.index("STATE"))
            self.expect(0, ["who", str(port), "--protocol", "udp"],
                        re.compile(r"(?s)PROTO.*\nudp[^\n]*\n"))

    def test_ipv6(self):
        with listener("::1") as port:
            self.expect(0, ["who", str(port)], re.compile(rf"(?s).*\ntcp    \[::1\]:{port} .*"))

    def test_json(self):
        with listener() as port:
            result = json.loads(self.expect(0, ["who", str(port), "--json"], re.compile(r".*\n")))
        self.assertEqual(result["sockets"][0]["pid"], os.getpid())
        self.assertEqual(json.loads(self.expect(1, ["who", str(port), "--json"],
                                                re.compile(r".*\n"))), {"sockets": [], "lease": None})

    def test_nobody(self):
        with closed_port() as port:
            pass
        self.expect(1, ["who", str(port)], f"nobody has port {port}\n")

    def test_wrong_usage(self):
        self.expect_usage(["who"], "who needs PORT, as in: portscan who 8080")
        self.expect_usage(["who", "web"],
                          '"web" is no port; who takes a port of this host, 1 to 65535')
        self.expect_usage(["who", "web", "80"],
                          '"80" is one argument too many; usage: portscan who PORT')
        self.expect_usage(["who", "80", "--protocol", "icmp"],
                          '--protocol is "icmp"; it must be one of tcp, udp, both')
        self.expect_usage(["who", "80", "--via", "table"], "who does not take --via; "
                          "'portscan help who' lists what it takes")


class Others(Cli):
    def test_info(self):
        out = self.expect(0, ["info"], re.compile(r"(?s).*"))
        lines = dict(line.split(None, 1) for line in out.splitlines())
        self.assertEqual(lines["product"], "portscand")
        self.assertEqual(lines["interfaces"], "org.varlink.service io.portscand")
        self.assertEqual(lines["pid"], str(self.daemon.pid))
        info = json.loads(self.expect(0, ["info", "--json"], re.compile(r".*\n")))
        self.assertEqual(info["pid"], self.daemon.pid)

    def test_metrics(self):
        out = self.expect(0, ["metrics"], re.compile(r"(?s).*"))
        self.assertTrue(out.endswith("\n# EOF\n"))

    def test_call(self):
        with closed_port() as port:
            out = self.expect(0, ["call", "check", f'{{"port":"{port}"}}'], re.compile(r".*\n"))
            self.assertEqual(json.loads(out)["status"], "closed")
        self.expect(0, ["call", "info"], re.compile(r'\{"vendor":.*\n'))
        self.expect(1, ["call", "check", '{"port":0}'],
                    err=re.compile(r"portscan: port is 0; it must be .*\n"))
        self.expect(1, ["call", "brew"], err='portscan: there is no method "brew"; there are '
                    "check, find, scan, wait, lease, renew, release, leases, who, metrics, info, "
                    "cancel\n")
        self.expect_usage(["call"], "call needs a METHOD, as in: portscan call info")
        self.expect_usage(["call", "check", "[22]"],
                          'the parameters must be a JSON object, such as {"port":22}')
        self.expect(2, ["call", "check", '{"port":}'],
                    err=re.compile(r"portscan: not JSON at line 1, column 9: .*\n"))

    def test_help(self):
        out = self.expect(0, ["--help"], re.compile(r"(?s)usage: portscan COMMAND .*"))
        self.assertEqual(out, self.expect(0, ["help"], re.compile(r"(?s).*")))
        self.assertLess(max(map(len, out.splitlines())), 90)
        for command in ("check", "find", "scan", "wait", "who", "info", "metrics", "call"):
            self.assertIn(f"\n  {command}", out)
            text = self.expect(0, ["help", command],
                               re.compile(rf"(?s)usage: portscan {command}.*"))
            self.assertEqual(text, self.expect(0, [command, "--help"], re.compile(r"(?s).*")))
            self.assertEqual(text, self.expect(0, ["-h", command], re.compile(r"(?s).*")))
        self.expect(0, ["--version"], re.compile(r"portscan \d+\.\d+\.\d+\n"))

    def test_no_such_thing(self):
        there_are = ("there are check, find, scan, wait, lease, run, renew, release, leases, who, "
                     "info, metrics, call and help")
        self.expect_usage(["brew"], f'there is no command "brew"; {there_are}')
        self.expect_usage(["help", "brew"], f'there is no command "brew"; {there_are}')
        self.expect_usage([], "a command is missing; see 'portscan --help'")
        self.expect_usage(["check", "--brew"], "there is no option --brew; see 'portscan --help'")
        self.expect_usage(["check", "-b"], "there is no option -b; see 'portscan --help'")
        self.expect_usage(["check", "--timeout"],
                          "--timeout needs an argument; see 'portscan --help'")
        self.expect_usage(["check", "--json=1"], "--json=1 takes no argument; see "
                          "'portscan --help'")
        self.expect_usage(["info", "x"], '"x" is one argument too many; usage: portscan info')


class Connecting(Cli):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="portscan-test-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def test_nobody_there(self):
        path = os.path.join(self.directory, "none")
        self.expect(4, ["--socket", path, "info"],
                    err=f"portscan: no daemon at {path}: No such file or directory; start one "
                    "there, or leave out --socket\n")
        self.environment = {**os.environ, "PORTSCAND_SOCKET": path}
        self.expect(4, ["info"],
                    err=f"portscan: no daemon at {path}: No such file or directory; start one "
                    "there, or leave out $PORTSCAND_SOCKET\n")

    def test_the_users_own(self):
        os.symlink(self.daemon.path, os.path.join(self.directory, "portscand.sock"))
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": self.directory}
        self.environment.pop("PORTSCAND_SOCKET", None)
        info = json.loads(self.expect(0, ["info", "--json"], re.compile(r".*\n")))
        self.assertEqual(info["pid"], self.daemon.pid)

    def test_connection_ends(self):
        path = os.path.join(self.directory, "short")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            closer = threading.Thread(target=lambda: server.accept()[0].close())
            closer.start()
            self.expect(4, ["check", "9", "--socket", path],
                        err="portscan: the daemon has ended the connection; see its log, and whether "
                        "you have very many open\n")
            closer.join()

    @unittest.skipIf(os.path.exists("/run/portscand.sock"), "this host's daemon would answer")
    def test_starts_one(self):
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": self.directory,
                            "PATH": os.path.dirname(PORTSCAND)}
        self.environment.pop("PORTSCAND_SOCKET", None)
        with closed_port() as port:
            # And it has nothing to say on the user's terminal.
            self.expect(1, ["check", str(port)],
                        re.compile(rf"127\.0\.0\.1:{port} closed \(refused, \d+\.\d ms\)\n"))
            self.expect(0, ["find", str(port)], f"{port}\n")


class Progress(Cli):
    """On a terminal of its own as stderr."""

    def start(self, *arguments, width=60):
        master, terminal = pty.openpty()
        self.addCleanup(os.close, master)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        process = subprocess.Popen([PORTSCAN, *arguments], env=self.environment, text=True,
                                   stdout=subprocess.PIPE, stderr=terminal)
        self.addCleanup(process.stdout.close)
        os.close(terminal)
        return process, master

    def read(self, master, until=None, timeout=20):
        text = b""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not (until and until in text):
            if select.select([master], [], [], 0.1)[0]:
                try:
                    data = os.read(master, 4096)
                except OSError:
                    break
                text += data
        return text

    def test_wait(self):
        with closed_port() as port:
            process, master = self.start("wait", str(port), "--deadline", "900")
            text = self.read(master).decode()
            self.assertEqual(process.wait(20), 1)
        lines = text.split("\r\x1b[K")
        self.assertGreater(len(lines), 2)
        self.assertEqual((lines[0], lines[-1]), ("", ""))
        for line in lines[1:-1]:
            self.assertRegex(line, rf"^waiting for 127\.0\.0\.1 port {port} to be open, 0\.\d s$")

    def test_cut_off_at_the_width(self):
        with closed_port() as port:
            process, master = self.start("wait", str(port), "--deadline", "700", width=20)
            text = self.read(master).decode()
            self.assertEqual(process.wait(20), 1)
        self.assertIn("\r\x1b[Kwaiting for 127.0.0\r\x1b[K", text)

    def test_not_before_half_a_second(self):
        with closed_port() as port:
            process, master = self.start("wait", str(port), "--deadline", "100")
            self.assertEqual(self.read(master), b"")
            self.assertEqual(process.wait(20), 1)

    def test_interrupted(self):
        with closed_port() as port:
            process, master = self.start("wait", str(port))
            self.read(master, until=b"waiting")
            process.send_signal(signal.SIGINT)
            self.assertTrue(self.read(master).endswith(b"\r\x1b[K"))
            self.assertEqual(process.wait(20), -signal.SIGINT)

    def test_scan(self):
        with silent_port() as port:
            process, master = self.start("scan", f"9,{port}", "--timeout", "1500")
            text = self.read(master).decode()
            out = process.stdout.read()
            self.assertEqual(process.wait(20), 0)
        self.assertRegex(text, r"\r\x1b\[Kscanning 127\.0\.0\.1: 1 of 2 ports \(50%\), 0 open, 0")
        self.assertTrue(text.endswith("\r\x1b[K"))
        self.assertRegex(out, r"2 ports of 127\.0\.0\.1 in \d+\.\d ms\n$")


if __name__ == "__main__":
    unittest.main()
