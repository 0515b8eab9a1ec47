"""sandbox.py WHAT [ARGUMENT]...: what the host's daemon does for whoever runs this, in its sandbox."""

import contextlib
import json
import os
import socket
import subprocess
import threading

from client import Client, can_bind, main, main_pid, systemctl, wait_for

CONFIG = "/etc/portscand.conf"


def via(port):
    """Each way to find out, by each method. Nobody but `port` has a socket on this host."""
    port = int(port)
    client = Client()
    for how, is_open, is_closed in (("connect", "accepted", "refused"),
                                    ("table", "listening", "not_listening"),
                                    ("bind", "in_use", "bindable")):
        for tried, status, reason in (port, "open", is_open), (port + 1, "closed", is_closed):
            for method in "check", "wait":
                params = {"until": status} if method == "wait" else {}
                result = client.call(method, port=tried, via=how, **params)
                assert (result["status"], result["reason"]) == (status, reason), (how, result)
        for status, expected in ("open", port), ("closed", port + 1):
            result = client.call("find", ports=f"{port}-", status=status, via=how)
            assert result["port"] == expected, (how, result)
        result = client.call("scan", via=how)
        assert result["ports"] == [port], (how, result)
        assert result["counts"] == {"open": 1, "closed": 65534, "timeout": 0}, (how, result)
        error = client.error("wait", port=port, until="closed", deadline_ms=100, via=how)
        assert (error["error"], error["reason"]) == ("DeadlineExceeded", is_open), (how, error)


def wait():
    """Until a server starts, and until it has ended."""
    client = Client()
    for how in "connect", "table":
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            timer = threading.Timer(0.3, server.listen)
            timer.start()
            result = client.call("wait", port=server.getsockname()[1], via=how)
            timer.join()
            assert result["status"] == "open" and result["waited_ms"] >= 200, (how, result)
            threading.Timer(0.3, server.shutdown, [socket.SHUT_RDWR]).start()
            result = client.call("wait", port=server.getsockname()[1], via=how, until="closed")
            assert result["status"] == "closed" and result["waited_ms"] >= 200, (how, result)


@contextlib.contextmanager
def leased_sockets(client, **params):
    """A lease with its descriptors: its result, and the sockets."""
    request = json.dumps({"method": "lease", "params": {"pass_fd": True, **params}}) + "\n"
    client.socket.sendall(request.encode())
    answer, fds, _, _ = socket.recv_fds(client.socket, 65536, 253)
    sockets = [socket.socket(fileno=fd) for fd in fds]
    try:
        yield json.loads(answer)["result"], sockets
    finally:
        for one in sockets:
            one.close()


def expect_served(server, port):
    server.settimeout(10)
    with socket.create_connection(("127.0.0.1", port), 10), server.accept()[0]:
        pass


def descriptors():
    """Those of leases, of each protocol and kind of hold; TCP servers on them serve."""
    client = Client()
    for hold in "shared", "exclusive":
        with leased_sockets(client, listen=True, hold=hold, count=3) as (result, sockets):
            ports = result["lease"]["ports"]
            assert result["fds"] == [one.getsockname()[1] for one in sockets] == ports, result
            for port, server in zip(ports, sockets):
                expect_served(server, port)
                assert not can_bind(port)
                assert client.lease_of(port)["state"] == "in_use"
        with leased_sockets(client, protocol="both", hold=hold) as (result, sockets):
            assert result["fds"] == [result["port"]] * 2, result
            assert [one.type & 0xf for one in sockets] == [socket.SOCK_STREAM, socket.SOCK_DGRAM]
            assert not can_bind(result["port"])
            assert not can_bind(result["port"], socket.SOCK_DGRAM)


def low_ports():
    """Below 1024: the daemon may bind them, by its one capability; they are leased to root."""
    client = Client()
    assert client.call("check", port=1, via="bind")["reason"] == "bindable"
    assert client.call("find", ports="1-1023", strict=True)["port"] == 1
    if os.getuid() != 0:
        assert client.error("lease", ports="2-1023")["error"] == "PermissionDenied"
        return
    with leased_sockets(client, ports="2-1023", listen=True) as (result, (server,)):
        assert 1 <= result["port"] <= 1023, result
        expect_served(server, result["port"])
        assert client.call("check", port=result["port"], via="bind")["reason"] == "in_use"


def expect_over(client, port):
    wait_for(lambda: client.lease_of(port)["state"] == "quarantined")


def until():
    """What ends a lease: each of them seen from in there, whoever it is that asks."""
    client = Client()
    # The process: by its pidfd.
    with subprocess.Popen(["sleep", "60"]) as process:
        port = client.call("lease", until="process", pid=process.pid)["port"]
        info = client.lease_of(port)
        assert (info["pid"], info["uid"], info["state"]) == (process.pid, os.getuid(), "held"), info
        assert not can_bind(port)
        process.kill()
    expect_over(client, port)
    # Whose it is if not told: known by the connection.
    info = client.lease_of(client.call("lease", until="process")["port"])
    assert info["pid"] == os.getpid(), info
    if os.getuid() != 0:
        assert client.error("lease", until="process", pid=1)["error"] == "PermissionDenied"
    # The connection.
    other = Client()
    port = other.call("lease", until="connection")["port"]
    assert client.lease_of(port)["state"] == "held"
    other.close()
    expect_over(client, port)
    # A server that was there.
    port = client.call("lease", ttl_ms=500)["port"]
    with socket.create_server(("127.0.0.1", port)):
        assert client.lease_of(port)["state"] == "in_use"
    expect_over(client, port)
    # Whoever has it.
    result = client.call("lease", until="released")
    client.call("release", lease=result["lease"]["lease"])
    expect_over(client, result["port"])


def give():
    """Prints a lease that lasts, and its port."""
    result = Client().call("lease", until="released")
    print(result["lease"]["lease"], result["port"])


def not_mine(lease, port):
    """Another user's lease."""
    client = Client()
    assert client.lease_of(int(port)) is None
    assert lease not in [info["lease"] for info in client.leases()]
    for method in "renew", "release":
        assert client.error(method, lease=lease)["error"] == "NoSuchLease"
    assert not can_bind(int(port))


def portserver():
    """As its clients ask, where they look unless they are told."""
    client = Client()

    def ask(pid):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect("\0unittest-portserver")
            connection.sendall(f"{pid}\n".encode())
            return connection.recv(100)

    assert ask(1) == b""
    with subprocess.Popen(["sleep", "60"]) as process:
        port = int(ask(process.pid))
        info = client.lease_of(port)
        assert (info["until"], info["pid"], info["hold"]) == ("process", process.pid, "none"), info
        assert can_bind(port) and can_bind(port, socket.SOCK_DGRAM)
        process.kill()
    expect_over(client, port)


def n_sent():
    """How many connections were begun in this network."""
    with open("/proc/net/snmp", encoding="ascii") as snmp:
        names, values = [line.split() for line in snmp if line.startswith("Tcp:")]
    return int(values[names.index("ActiveOpens")])


def foreign(host, port, expected):
    """Each method about another host: "denied", and nothing is sent; or "open"."""
    client = Client()
    port = int(port)
    for method, params in (("check", {"port": port}), ("wait", {"port": port}),
                           ("find", {"ports": port, "status": "open"}), ("scan", {"ports": port})):
        before = n_sent()
        if expected == "denied":
            error = client.error(method, host=host, **params)
            assert error == {"error": "TargetDenied", "host": host}, (method, error)
            assert n_sent() == before, method
        else:
            result = client.call(method, host=host, timeout_ms=5000, **params)
            assert result.get("status") == "open" or result["ports"] == [port], (method, result)
            assert n_sent() > before, method


def goes_on():
    """Servers on leased ports, and what ends the leases, through a restart and a crash."""
    client = Client()
    with leased_sockets(client, listen=True, until="released") as (result, (handed_over,)), \
            subprocess.Popen(["sleep", "60"]) as process:
        of_process = client.call("lease", until="process", pid=process.pid)["port"]
        claimed = client.call("lease")["port"]
        with socket.create_server(("127.0.0.1", claimed)) as server:
            for action in ["restart"], ["kill", "-s", "KILL"]:
                assert client.lease_of(claimed)["state"] == "in_use"
                pid = main_pid()
                systemctl(*action, "portscand.service")
                wait_for(lambda pid=pid: main_pid() not in (pid, 0))
                expect_served(handed_over, result["port"])
                expect_served(server, claimed)
                client = Client()
                for port, state in ((result["port"], "in_use"), (claimed, "in_use"),
                                    (of_process, "held")):
                    info = client.lease_of(port)
                    assert (info["state"], info["lost"]) == (state, []), info
        process.kill()
    expect_over(client, of_process)
    expect_over(client, claimed)
    client.call("release", lease=result["lease"]["lease"])


def write_config(text):
    with open(CONFIG, "w", encoding="ascii") as config:
        config.write(text)


def configure():
    """What is in force when the file changes, for a client that stays."""
    client = Client()
    pid = main_pid()

    def pool():
        result = client.call("lease", until="released")
        client.call("release", lease=result["lease"]["lease"])
        return result["port"] // 1000

    assert 20 <= pool() <= 29
    write_config("pool = 30000-30999\n")
    systemctl("reload", "portscand.service")
    wait_for(lambda: pool() == 30)
    # What comes after a mistake is not in force either, nor what came before.
    write_config("# A mistake:\npool = 31000-31999\nquarantine-ms = soon\nwindow = 7\n")
    systemctl("reload", "portscand.service")
    wait_for(lambda: "/etc/portscand.conf:3" in subprocess.run(
        ["journalctl", "-q", "-o", "cat", "-p", "err", "-u", "portscand.service"],
        check=True, capture_output=True, text=True).stdout)
    assert all(pool() == 30 for _ in range(20))
    write_config("pool = 32000-32999\n")
    systemctl("kill", "-s", "HUP", "portscand.service")
    wait_for(lambda: pool() == 32)
    os.unlink(CONFIG)
    systemctl("reload", "portscand.service")
    wait_for(lambda: 20 <= pool() <= 29)
    assert main_pid() == pid


main(via, wait, descriptors, low_ports, until, give, not_mine, portserver, foreign, goes_on,
     configure)
