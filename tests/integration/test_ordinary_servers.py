"""Servers that know nothing of leases start on a leased port while somebody else tries to take it."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

import harness
from harness import Daemon, Namespace, require, require_root, wait_for
from leasing import can_bind

# So few that who wants any port is given each of them again and again.
RANGE = range(40000, 40006)

NODE = """
require('http').createServer((request, response) => response.end('node')).listen(+process.argv[1]);
"""

C = """
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };
	int listening = socket(AF_INET, SOCK_STREAM, 0), one = 1, fd;

	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listening, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listening, 5) < 0)
		return 1;
	while ((fd = accept(listening, NULL, NULL)) >= 0) {
		write(fd, "HTTP/1.0 200 OK\\r\\n\\r\\nc", 22);
		close(fd);
	}
	return argc;
}
"""


class Thief(threading.Thread):
    """Wants the port, by its number, as the source of a connection, and as any port at all."""

    def __init__(self, namespace, port):
        super().__init__()
        self.namespace = namespace
        self.port = port
        self.taken = None
        self.n_rounds = 0
        self.is_over = False

    def run(self):
        with self.namespace.entered(), socket.socket() as target:
            target.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            target.bind(("127.0.0.1", 1000))
            target.listen(1000)
            while not self.is_over and not self.taken:
                self.taken = self.attempt(target)
                self.n_rounds += 1

    def attempt(self, target):
        for host in ("127.0.0.1", "0.0.0.0", "::1", "::"):
            if can_bind(self.port, host):
                return f"bound {host}"
        for reuse in (0, 1):
            with socket.socket() as any_port:
                any_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
                any_port.bind(("127.0.0.1", 0))
                if any_port.getsockname()[1] == self.port:
                    return "bound to port 0"
        with socket.socket() as connection:
            harness.reset_on_close(connection)
            connection.connect(target.getsockname())
            if connection.getsockname()[1] == self.port:
                return "the source of a connection"
            target.accept()[0].close()
        return None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.join()


class Servers(unittest.TestCase):
    def setUp(self):
        require_root()
        self.namespace = self.enterContext(Namespace(
            f"echo {RANGE[0]} {RANGE[-1]} >/proc/sys/net/ipv4/ip_local_port_range"))
        self.daemon = self.enterContext(Daemon("--quarantine-ms", "500", namespace=self.namespace))
        self.directory = self.enterContext(tempfile.TemporaryDirectory(prefix="portscand-test-"))

    def is_served(self, port):
        with self.namespace.entered(), contextlib.suppress(OSError), \
                socket.create_connection(("127.0.0.1", port), 5) as connection:
            harness.reset_on_close(connection)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(100).startswith(b"HTTP/")
        return False

    def serve(self, *command):
        port = RANGE[2]
        lease = self.daemon.result("lease", {"ports": port, "until": "released"})["lease"]["lease"]
        with Thief(self.namespace, port) as thief:
            self.assertTrue(wait_for(lambda: thief.n_rounds > 50 or thief.taken))
            # Started again it has its port again.
            for _ in range(3):
                server = subprocess.Popen(
                    [*self.namespace.prefix(), *(word.format(port=port) for word in command)],
                    cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    self.assertTrue(wait_for(lambda: self.is_served(port), 20, 0.05))
                finally:
                    server.kill()
                    server.wait()
                rounds = thief.n_rounds
                self.assertTrue(wait_for(lambda: thief.n_rounds > rounds + 50 or thief.taken))
        self.assertIsNone(thief.taken)
        self.assertGreater(thief.n_rounds, 200)
        self.assertEqual(self.daemon.result("release", {"lease": lease}), {})

    def test_python(self):
        self.serve(sys.executable, "-m", "http.server", "{port}")

    def test_node(self):
        require("node")
        self.serve("node", "-e", NODE, "{port}")

    def test_c(self):
        require("cc")
        program = os.path.join(self.directory, "server")
        subprocess.run(["cc", "-w", "-x", "c", "-o", program, "-"], input=C, text=True, check=True)
        self.serve(program, "{port}")


if __name__ == "__main__":
    harness.main()
