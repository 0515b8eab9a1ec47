#!/usr/bin/env python3
"""soak.py [MINUTES]: ten kinds of clients at random (5 minutes), every answer checked.

What the daemon says of ports is held against the kernel's own tables, asked by connect(), bind()
and ss. In the end it has as much memory and as many descriptors as in the beginning. Give the
daemon as $PORTSCAND; where that is allowed, all happens in a network of its own.
"""

import ctypes
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integration"))
import harness  # noqa: E402

CLONE_NEWNET = 0x40000000
WORKERS = 10
LISTENERS = 40
WARM_UP_S = 10
# Bytes: what an allocator keeps for later differs from run to run.
GROWTH_MAX = 3 << 20
POOL = "20000-29999"


class Wrong(Exception):
    """An answer that isn't so."""


def expect(condition, *details):
    if not condition:
        raise Wrong(" ".join(map(str, details)))


def listen(port=0):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    return listener, listener.getsockname()[1]


def bound():
    """A port that nobody listens on, and nobody else gets."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


def can_bind(port):
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def ports_by_ss():
    """TCP ports with a listener, as ss tells them."""
    lines = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    return {int(line.split()[3].rsplit(":", 1)[1]) for line in lines.splitlines()}


class Soak:
    def __init__(self, daemon, seconds):
        self.daemon = daemon
        self.end = time.monotonic() + seconds
        self.counts = {}
        self.failures = []
        self.lock = threading.Lock()
        self.listeners = [listen() for _ in range(LISTENERS)]
        self.kinds = [self.checks, self.finds, self.scans, self.waits, self.leases, self.passes,
                      self.whos, self.speaks_varlink, self.batches, self.asks_for_a_port,
                      self.misbehaves]

    def open_port(self):
        return random.choice(self.listeners)[1]

    def result(self, client, method, params=None):
        answer = client.call(method, params)
        expect("result" in answer, method, params, answer)
        return answer["result"]

    def checks(self, client):
        holder, closed = bound()
        with holder:
            for port, status in ((self.open_port(), "open"), (closed, "closed")):
                for via in ("connect", "table"):
                    answer = self.result(client, "check", {"port": port, "via": via})
                    expect(answer["status"] == status, via, port, answer)
                answer = self.result(client, "check", {"port": port, "via": "bind"})
                expect(answer["reason"] == "in_use", port, answer)

    def finds(self, client):
        ports = self.result(client, "find", {"ports": "30000-31000", "count": 3, "strict": True,
                                             "order": random.choice(["first", "random"])})["ports"]
        expect(len(set(ports)) == 3, ports)
        for port in ports:
            expect(can_bind(port), "find strict, but bind() fails:", port)
        wanted = self.open_port()
        found = self.result(client, "find", {"ports": f"{wanted}", "status": "open",
                                             "via": random.choice(["connect", "table"])})
        expect(found["port"] == wanted, wanted, found)

    def scans(self, client):
        before = ports_by_ss()
        via = random.choice(["connect", "table"])
        found = set(self.result(client, "scan", {"ports": "1-65535", "via": via})["ports"])
        after = ports_by_ss()
        expect(before & after <= found | self.leased_by_us(), via, before & after - found)
        mine = {port for _, port in self.listeners}
        expect(mine <= found, via, "without", mine - found)

    def leased_by_us(self):
        """Ports with a listener that comes and goes: leases of other workers."""
        return set(range(20000, 30000))

    def waits(self, client):
        holder, port = bound()
        holder.close()
        until = {"port": port, "interval_ms": 5, "deadline_ms": 5000}
        client.start("wait", until)
        time.sleep(random.random() / 20)
        try:
            listener, _ = listen(port)
        except OSError:
            # Somebody was faster, and may listen or not.
            client.receive()
            return
        with listener:
            answer = client.receive()
            expect(answer["result"]["status"] == "open", answer)

    def leases(self, client):
        params = {"until": random.choice(["claimed", "connection", "process", "released"]),
                  "count": random.randint(1, 4), "ttl_ms": 60000,
                  "hold": random.choice(["shared", "exclusive"])}
        lease = self.result(client, "lease", params)["lease"]
        for port in lease["ports"]:
            expect(not can_bind(port), "leased, but to be had:", port)
        if params["hold"] == "shared":
            listener, _ = listen(lease["ports"][0])
            with listener:
                answer = self.result(client, "check", {"port": lease["ports"][0]})
                expect(answer["status"] == "open", answer)
                state = [one["state"] for one in self.result(client, "leases")["leases"]
                         if one["lease"] == lease["lease"]]
                expect(state == ["in_use"], lease, state)
        self.result(client, "renew", {"lease": lease["lease"], "ttl_ms": 50000})
        self.result(client, "release", {"lease": lease["lease"]})
        for port in lease["ports"]:
            expect(can_bind(port), "released, but not to be had:", port)

    def passes(self, client):
        client.send_lines({"id": 1, "method": "lease", "params": {
            "pass_fd": True, "listen": True, "hold": random.choice(["shared", "exclusive"])}})
        data, fds, _, _ = socket.recv_fds(client.socket, 65536, 4)
        expect(data.endswith(b"\n"), data)
        result = json.loads(data)["result"]
        expect(len(fds) == len(result["fds"]) == 1, fds, result)
        with socket.socket(fileno=fds[0]) as listener:
            with socket.create_connection(("127.0.0.1", result["port"])) as connection:
                accepted, peer = listener.accept()
                accepted.close()
                expect(peer[1] == connection.getsockname()[1], peer)
        self.result(client, "release", {"lease": result["lease"]["lease"]})

    def whos(self, client):
        port = self.open_port()
        sockets = self.result(client, "who", {"port": port})["sockets"]
        expect(sockets[0]["state"] == "LISTEN" and sockets[0]["pid"] == os.getpid(), sockets[0])
        listener = next(listener for listener, other in self.listeners if other == port)
        expect(sockets[0]["inode"] == os.fstat(listener.fileno()).st_ino, sockets[0])

    def speaks_varlink(self, client):
        port = self.open_port()
        client.send_varlink({"method": "io.portscand.Check", "parameters": {"port": port}},
                            {"method": "io.portscand.GetMetrics", "oneway": True},
                            {"method": "org.varlink.service.GetInfo"},
                            {"method": "io.portscand.ListLeases"})
        expect(client.receive_varlink()["parameters"]["status"] == "open", port)
        expect(client.receive_varlink()["parameters"]["product"] == "portscand")
        expect("leases" in client.receive_varlink()["parameters"])

    def batches(self, client):
        ports = [self.open_port() for _ in range(random.randint(1, 30))]
        client.send_lines([{"jsonrpc": "2.0", "id": i, "method": "check",
                            "params": {"port": port}} for i, port in enumerate(ports)])
        answers = client.receive()
        expect(sorted(answer["id"] for answer in answers) == list(range(len(ports))), answers)
        expect({answer["result"]["status"] for answer in answers} == {"open"}, answers)
        holder, port = bound()
        with holder:
            client.send_lines({"id": "w", "method": "wait", "params": {"port": port}},
                              {"id": "c", "method": "cancel", "params": {"id": "w"}})
            both = {answer["id"]: answer for answer in (client.receive(), client.receive())}
        expect(both["w"]["error"]["data"]["error"] == "Cancelled", both)
        expect(both["c"]["result"]["cancelled"] == 1, both)

    def asks_for_a_port(self, client):
        child = subprocess.Popen(["sleep", "1"])
        try:
            client.send(f"{child.pid}\n")
            port = int(client.receive_all())
            expect(can_bind(port), "given out, but not to be had:", port)
        finally:
            child.kill()
            child.wait()

    def misbehaves(self, client):
        port = self.open_port()
        what = random.randrange(6)
        if what == 0:
            client.send(os.urandom(random.randrange(1, 5000)))
        elif what == 1:
            client.send_lines({"method": "scan", "params": {"stream": True}},
                              {"method": "lease", "params": {"until": "connection"}})
        elif what == 2:
            client.send(b"{" * 200000)
        elif what == 3:
            for byte in f'{{"method":"check","params":{{"port":{port}}}}}\n'.encode():
                client.send(bytes([byte]))
        elif what == 4:
            client.socket.settimeout(0.1)
            client.send(b'{"method":"metrics"}\n' * 2000)
        else:
            client.send_lines({"method": "check", "params": {"port": port, "host": "x.invalid"}},
                              {"method": "lease", "params": {"pass_fd": True, "count": 9,
                                                             "until": "connection"}})

    def work(self):
        while time.monotonic() < self.end and not self.failures:
            kind = random.choice(self.kinds)
            try:
                with self.daemon.client(120) as client:
                    kind(client)
            except Exception as error:  # noqa: BLE001: whatever it is, it is told
                if kind == self.misbehaves and isinstance(error, OSError):
                    continue
                self.failures.append(f"{kind.__name__}: {traceback.format_exc()}")
            with self.lock:
                self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1

    def run(self):
        workers = [threading.Thread(target=self.work) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def settle(daemon):
    """Waits until nothing is under way: what it then has of memory and descriptors."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        leases = daemon.result("leases", {"all": True})["leases"]
        for lease in leases:
            if lease["state"] != "quarantined":
                daemon.call("release", {"lease": lease["lease"]})
        if not leases and daemon.metrics()["portscand_connections"] == 1:
            break
        time.sleep(0.2)
    time.sleep(6)
    return daemon.resident_bytes(), daemon.n_descriptors()


def enter_network():
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    enter_network()
    with harness.Daemon("--quarantine-ms", "1000", "--pool", POOL) as daemon:
        Soak(daemon, WARM_UP_S).run()
        before = settle(daemon)
        soak = Soak(daemon, minutes * 60)
        soak.run()
        after = settle(daemon)
        for kind, count in sorted(soak.counts.items()):
            print(f"{count:8} {kind}")
        print(f"resident: {before[0] >> 10} KiB before, {after[0] >> 10} KiB after")
        print(f"descriptors: {before[1]} before, {after[1]} after")
        print("\n".join(soak.failures), end="")
        if daemon.stderr().strip():
            print("the daemon said:", daemon.stderr(), sep="\n")
        is_good = not soak.failures and after[0] - before[0] <= GROWTH_MAX and \
            after[1] <= before[1] + 2
    print("as it should be" if is_good else "NOT as it should be")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
