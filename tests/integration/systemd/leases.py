"""Leases of a portscand under the service manager that runs here as PID 1: test_units.sh asks."""

import errno
import json
import socket
import subprocess
import sys
import threading
import time

SOCKET = "/run/portscand.sock"
N_LEASES = 10000


class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(SOCKET)
        self.stream = self.socket.makefile("rw")

    def calls(self, *requests):
        """The results of calls, in any order; in portions, so that nobody waits for the other."""
        results = []
        for i in range(0, len(requests), 100):
            portion = requests[i:i + 100]
            for method, params in portion:
                self.stream.write(json.dumps({"method": method, "params": params}) + "\n")
            self.stream.flush()
            results += [json.loads(self.stream.readline()) for _ in portion]
        for result in results:
            assert "result" in result, result
        return [result["result"] for result in results]

    def leases(self):
        return self.calls(("leases", {"all": True}))[0]["leases"]


def can_bind(port):
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
            return True
        except OSError as error:
            assert error.errno == errno.EADDRINUSE, error
            return False


class Thief(threading.Thread):
    """Tries to take each of the ports, again and again."""

    def __init__(self, ports):
        super().__init__()
        self.ports = ports
        self.taken = []
        self.n_rounds = 0
        self.is_over = False

    def run(self):
        while not self.is_over:
            self.taken += [port for port in self.ports if can_bind(port)]
            self.n_rounds += 1


def systemctl(*arguments):
    return subprocess.run(["systemctl", *arguments], check=True, capture_output=True,
                          text=True).stdout.strip()


def main_pid():
    return int(systemctl("show", "--value", "-p", "MainPID", "portscand.service"))


def expect_held(ports):
    """By a daemon that answers, which takes a while after a crash."""
    deadline = time.monotonic() + 10
    while True:
        try:
            leases = Client().leases()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    leased = sorted(port for info in leases if info["state"] == "held" for port in info["ports"])
    assert leased == ports, (len(leased), len(ports))
    assert not any(info["lost"] for info in leases)
    assert not any(can_bind(port) for port in ports)


def end_all():
    client = Client()
    client.calls(*(("release", {"lease": info["lease"]}) for info in client.leases()
                   if info["state"] != "quarantined"))


def outlive():
    """Restarts and crashes, with somebody who wants the ports."""
    results = Client().calls(*[("lease", {"until": "released", "hold": hold, "protocol": protocol})
                               for hold in ("shared", "exclusive")
                               for protocol in ("tcp", "both")] * 50)
    ports = sorted(result["port"] for result in results)
    thief = Thief(ports)
    thief.start()
    try:
        for command in (["restart"], ["kill", "-s", "KILL"], ["restart"], ["kill", "-s", "KILL"]):
            pid, rounds = main_pid(), thief.n_rounds
            systemctl(*command, "portscand.service")
            while main_pid() in (pid, 0) or thief.n_rounds < rounds + 3:
                time.sleep(0.05)
            expect_held(ports)
    finally:
        thief.is_over = True
        thief.join()
    assert not thief.taken, thief.taken
    n_stored = int(systemctl("show", "--value", "-p", "NFileDescriptorStore", "portscand.service"))
    assert n_stored <= 8, n_stored
    end_all()


def cpu_milliseconds_of_the_manager():
    with open("/proc/1/schedstat", encoding="ascii") as schedstat:
        return int(schedstat.read().split()[0]) / 1e6


def cost():
    """What ten thousand leases cost PID 1, and whether a restart keeps as many."""
    client = Client()
    before = cpu_milliseconds_of_the_manager()
    results = client.calls(*[("lease", {"until": "released", "ports": "10000-29999"})] * N_LEASES)
    spent = cpu_milliseconds_of_the_manager() - before
    print(f"PID 1 took {spent:.1f} ms for {N_LEASES} leases")
    assert spent < 50
    ports = sorted(result["port"] for result in results)
    assert len(set(ports)) == N_LEASES
    systemctl("restart", "portscand.service")
    expect_held(ports)
    end_all()


def portpicker():
    """Where its clients look for it, unless they are told."""
    with socket.socket(socket.AF_UNIX) as connection, subprocess.Popen(["sleep", "60"]) as process:
        connection.connect("\0unittest-portserver")
        connection.sendall(f"{process.pid}\n".encode())
        port = int(connection.recv(100))
        lease, = [info for info in Client().leases() if port in info["ports"]]
        assert (lease["until"], lease["pid"]) == ("process", process.pid), lease
        process.kill()


{"outlive": outlive, "cost": cost, "portpicker": portpicker}[sys.argv[1]]()
