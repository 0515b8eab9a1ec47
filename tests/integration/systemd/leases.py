"""leases.py WHAT: leases that outlive the daemon, or the service manager that keeps them."""

import os
import signal
import threading
import time

from client import Client, can_bind, main, main_pid, show, systemctl, wait_for

CONFIG = "/etc/portscand.conf"
N_LEASES = 10000


class Thief(threading.Thread):
    """Tries to take each of the ports, again and again."""

    def __init__(self):
        super().__init__()
        self.ports = []
        self.taken = []
        self.n_rounds = 0
        self.is_over = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.join()

    def run(self):
        while not self.is_over:
            ports = self.ports
            self.taken += [port for port in ports if can_bind(port)]
            self.n_rounds += 1


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


def take(n=1):
    """Leases of every kind that nothing ends but release: their ports."""
    results = Client().calls(*[("lease", {"until": "released", "hold": hold, "protocol": protocol})
                               for hold in ("shared", "exclusive")
                               for protocol in ("tcp", "both")] * n)
    return sorted(result["port"] for result in results)


def restart():
    systemctl("restart", "portscand.service")


def kill():
    systemctl("kill", "-s", "KILL", "portscand.service")


def hang():
    """The service manager finds out by its watchdog."""
    os.kill(main_pid(), signal.SIGSTOP)


def daemon_reexec():
    """The service manager starts itself anew, with all it keeps."""
    systemctl("daemon-reexec")


def daemon_reload():
    systemctl("daemon-reload")


def reload():
    systemctl("reload", "portscand.service")


def restart_into_a_mistake():
    """It can't start, again and again, until the mistake is mended."""
    with open(CONFIG, "w", encoding="ascii") as config:
        config.write("pool = none\n")
    try:
        n_before = int(show("NRestarts"))
        systemctl("restart", "portscand.service", may_fail=True)
        wait_for(lambda: int(show("NRestarts")) >= n_before + 3, 20)
    finally:
        os.unlink(CONFIG)


def outlive(*names):
    """Each of these in turn, with somebody who wants the ports, and with leases in between."""
    actions = [restart, kill, hang, daemon_reexec, daemon_reload, reload, restart_into_a_mistake]
    replacing = [restart, kill, hang, restart_into_a_mistake]
    ports = take(50)
    with Thief() as thief:
        thief.ports = ports
        for name in names:
            action, = [action for action in actions if action.__name__ == name]
            pid, rounds = main_pid(), thief.n_rounds
            action()
            if action in replacing:
                wait_for(lambda pid=pid: main_pid() not in (pid, 0), 20)
            wait_for(lambda rounds=rounds: thief.n_rounds >= rounds + 3, 20)
            expect_held(ports)
            assert (main_pid() == pid) == (action not in replacing), name
            ports = sorted(ports + take())
            thief.ports = ports
            assert not thief.taken, (name, thief.taken)
    assert not thief.taken, thief.taken
    n_stored = int(show("NFileDescriptorStore"))
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
    restart()
    expect_held(ports)
    end_all()


def storm():
    """Many first requests at once, of clients that connect before there is a daemon."""
    clients = [Client() for _ in range(100)]
    for client in clients:
        client.stream.write('{"method":"info"}\n')
        client.stream.flush()
    pids = {client.stream.readline().split('"pid":')[1].split(",")[0] for client in clients}
    assert pids == {str(main_pid())}, pids


main(outlive, cost, storm)
