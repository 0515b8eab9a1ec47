"""What the command line says to somebody who got it wrong, and to whom else went wrong."""

import os
import re
import socket
import tempfile
import threading
import unittest

from harness import closed_port, enter_network
from test_cli import Cli


setUpModule = enter_network


class Ports(Cli):
    def test_up_to_a_port(self):
        for words, ports in ((["find", "-3000"], "-3000"), (["find", "-3"], "-3"),
                             (["scan", "localhost", "-3000,8080"], "-3000,8080"),
                             (["lease", "-3000", "--count", "2"], "-3000")):
            self.expect_usage(words, f'"{ports}" is no option; ports up to one are written '
                              f"1{ports}")
        self.expect_usage(["find", "-3x"], "there is no option -3; see 'portscan --help'")

    def test_blanks(self):
        for words in (["find", "3000, 3001"], ["find", "localhost", "3000, 3001"],
                      ["lease", "3000, 3001"], ["run", "3000, 3001", "--", "true"]):
            self.expect_usage(words, '"3000, 3001" are no ports; write them as 3000-3010,8080, '
                              "without blanks, and up to one as 1-3010")
        self.expect_usage(["check", "80 "],
                          '"80 " is no port; a port is digits and nothing else, 1 to 65535')

    def test_nothing_named(self):
        self.expect_usage(["call", ""], "call needs a METHOD, as in: portscan call info")
        for command in ("renew", "release"):
            self.expect_usage([command, ""], f"{command} needs a LEASE; 'portscan leases' tells "
                              "which there are")


class Hosts(Cli):
    def test_brackets(self):
        with closed_port("::1") as port:
            self.expect(1, ["check", "[::1]", str(port)],
                        re.compile(rf"\[::1\]:{port} closed \(refused, \d+\.\d ms\)\n"))
        self.expect_usage(["check", "["], 'check needs PORT after the host "[", as in: portscan '
                          "check [ 8080")

    def test_link_local_without_an_interface(self):
        for command in ("check", "find", "scan", "wait"):
            self.expect_usage([command, "fe80::1", "80"], 'host is "fe80::1", which is another one '
                              "on each link; add the interface, as in fe80::1%eth0")
        self.expect_usage(["check", "fe80::1%nowhere", "80"],
                          'host is "fe80::1%nowhere", and there is no such interface; see ip link')


class Sockets(Cli):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="portscan-test-")
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "socket")

    def answer(self, data):
        """A server that is not portscand: what it says to one client."""
        server = self.enterContext(socket.socket(socket.AF_UNIX))
        server.bind(self.path)
        server.listen()

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                try:
                    connection.sendall(data)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)

    def test_no_address(self):
        self.expect_usage(["--socket", "", "info"], "--socket is empty; give a path, or @NAME")

    def test_too_long(self):
        path = "/" + "x" * 107
        self.expect_usage(["--socket", path, "info"], f'--socket is "{path}", too long for a '
                          "socket; a path may have 107 bytes")
        self.environment = {**os.environ, "PORTSCAND_SOCKET": path}
        self.expect_usage(["info"], f'$PORTSCAND_SOCKET is "{path}", too long for a socket; a '
                          "path may have 107 bytes")

    def test_another_server(self):
        for data in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b'{"hello":"world"}\n', b"\0\0",
                     b"x" * (65 << 20)):
            self.answer(data)
            self.expect(4, ["check", "9", "--socket", self.path],
                        err="portscan: what listens there is not portscand; see --socket and "
                        "$PORTSCAND_SOCKET\n")
            os.unlink(self.path)


if __name__ == "__main__":
    unittest.main()
