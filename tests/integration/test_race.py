"""Who has leased a port never loses it: ordinary servers start on it, as they are, while others
try to get it all the time."""

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import harness
from harness import Daemon, require, wait_for

THIEF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "thief.py")
RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
# So few that the kernel, where it chooses, comes past each of them again and again.
N_PORTS = 32
# How often a server starts at least, and for how many seconds.
ROUNDS = 3
SECONDS = 1.5

NODE = """
require('http').createServer((request, response) => response.end('served\\n'))
	.listen(Number(process.argv[1]));
"""

C = """
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const char answer[] = "HTTP/1.0 200 OK\\r\\n\\r\\nserved\\n";
	struct sockaddr_in address = { .sin_family = AF_INET };
	int on = 1, listening = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_port = htons((unsigned short)atoi(argv[argc - 1]));
	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listening, (struct sockaddr *)&address, sizeof(address)) < 0)
		return 1;
	if (listen(listening, 64) < 0)
		return 2;
	for (;;) {
		char request[4096];
		int client = accept(listening, 0, 0);

		if (read(client, request, sizeof(request)) > 0)
			(void)!write(client, answer, sizeof(answer) - 1);
		close(client);
	}
}
"""


def setUpModule():
    before = os.stat("/proc/self/ns/net").st_ino
    harness.enter_network()
    if os.stat("/proc/self/ns/net").st_ino == before:
        return
    # A network of our own may be told which ports the kernel is to choose from.
    with contextlib.suppress(OSError), open(RANGE, "w", encoding="ascii") as file:
        file.write(f"25000 {25000 + N_PORTS - 1}")


def kernel_range():
    with open(RANGE, encoding="ascii") as file:
        return tuple(map(int, file.read().split()))


class Race(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(Daemon())
        self.directory = self.enterContext(tempfile.TemporaryDirectory(prefix="portscand-test-"))
        first, last = kernel_range()
        self.is_narrow = last - first < N_PORTS
        # However long it takes until the next server is there, or the thieves have ended.
        self.port = self.daemon.result("lease", {"ports": f"{first}-{last}",
                                                 "until": "released"})["port"]

    def start_thief(self):
        thief = subprocess.Popen([sys.executable, THIEF, str(self.port)], text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(thief.wait)
        self.addCleanup(thief.kill)
        self.assertEqual(thief.stdout.readline(), "ready\n")
        return thief

    def stop_thief(self, thief):
        booty = json.loads(thief.communicate(timeout=60)[0])
        self.assertEqual(booty["got"], [])
        self.assertGreater(booty["tried"], 20)
        if self.is_narrow:
            # It would have come by: the kernel has chosen most of the others.
            self.assertGreater(len(booty["others"]), N_PORTS // 4)

    def is_served(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def serve(self, *command):
        """One life of the server."""
        with open(os.path.join(self.directory, "log"), "wb") as log, \
                subprocess.Popen(command, stdout=log, stderr=log,
                                 cwd=self.directory) as server:
            try:
                self.assertTrue(wait_for(lambda: server.poll() is not None or self.is_served(), 30))
            finally:
                server.kill()
        with open(log.name, encoding="utf-8", errors="replace") as log:
            self.assertEqual(server.returncode, -9, log.read())

    def race(self, *command):
        thieves = [self.start_thief(), self.start_thief()]
        rounds, end = 0, time.monotonic() + SECONDS
        while rounds < ROUNDS or time.monotonic() < end:
            self.serve(*command)
            rounds += 1
        lease, = (lease for lease in self.daemon.result("leases")["leases"]
                  if self.port in lease["ports"])
        self.assertEqual((lease["state"], lease["lost"]), ("held", []))
        for thief in thieves:
            self.stop_thief(thief)

    def test_python(self):
        self.race(sys.executable, "-m", "http.server", str(self.port))

    def test_node(self):
        require("node")
        self.race("node", "-e", NODE, str(self.port))

    def test_c(self):
        compiler = shlex.split(os.environ.get("CC", "cc"))
        require(compiler[0])
        source = os.path.join(self.directory, "server.c")
        with open(source, "w", encoding="ascii") as file:
            file.write(C)
        program = os.path.join(self.directory, "server")
        subprocess.run([*compiler, "-o", program, source], check=True)
        self.race(program, str(self.port))

    def test_thief_takes_what_is_not_leased(self):
        """The thief is one: it gets a port that nobody has leased."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        thief = self.start_thief()
        time.sleep(0.5)
        booty = json.loads(thief.communicate(timeout=60)[0])
        self.assertNotEqual(booty["got"], [])


if __name__ == "__main__":
    harness.main()
