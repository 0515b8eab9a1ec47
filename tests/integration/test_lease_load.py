"""Many clients at once, and a daemon that is killed in the middle of it."""

import contextlib
import json
import os
import signal
import threading
import time
import unittest

import harness
from harness import Daemon, Namespace, require_root, wait_for
from leasing import can_bind

N_CLIENTS = 64
N_LEASES = 10000
N_KILLS = 15
# Nothing else is in the namespace, so all of them can be had.
POOL = "20000-34999"


class Load(unittest.TestCase):
    def setUp(self):
        require_root()
        self.namespace = self.enterContext(Namespace())
        self.daemon = self.enterContext(Daemon("--pool", POOL, "--quarantine-ms", "60000",
                                               nofile=20000, namespace=self.namespace))
        self.lock = threading.Lock()
        self.answered = []
        self.n_wanted = N_LEASES

    def take(self, client):
        """Leases in small batches, until there are enough; one more batch at most."""
        while True:
            with self.lock:
                n = min(20, self.n_wanted)
                self.n_wanted -= n
            if n == 0:
                return
            got = 0
            try:
                client.send_lines(*({"method": "lease", "params": {"until": "released"}}
                                    for _ in range(n)))
                for _ in range(n):
                    answer = client.receive()
                    if answer is None:
                        raise ConnectionResetError
                    with self.lock:
                        self.answered.append((answer["result"]["lease"]["lease"],
                                              answer["result"]["port"]))
                    got += 1
            finally:
                with self.lock:
                    self.n_wanted += n - got

    def take_whatever_happens(self):
        while True:
            with contextlib.suppress(OSError):
                with self.daemon.client() as client:
                    return self.take(client)
            time.sleep(0.01)

    def start_clients(self):
        threads = [threading.Thread(target=self.take_whatever_happens) for _ in range(N_CLIENTS)]
        for thread in threads:
            thread.start()
        self.addCleanup(lambda: [thread.join() for thread in threads])
        return threads

    def expect_all_held(self):
        """What was answered is there, each port once, and held."""
        self.assertEqual(len(self.answered), N_LEASES)
        leases = {info["lease"]: info for info in self.daemon.result("leases")["leases"]}
        ports = [port for info in leases.values() for port in info["ports"]]
        self.assertEqual(len(ports), len(set(ports)))
        for lease, port in self.answered:
            info = leases[lease]
            self.assertEqual((info["ports"], info["state"], info["lost"]), ([port], "held", []))
        with self.namespace.entered():
            self.assertEqual([port for _, port in self.answered if can_bind(port)], [])

    def test_none_twice(self):
        for thread in self.start_clients():
            thread.join()
        self.assertEqual(len({port for _, port in self.answered}), N_LEASES)
        self.expect_all_held()
        self.assertEqual(len(self.daemon.result("leases")["leases"]), N_LEASES)

    def test_killed_again_and_again(self):
        threads = self.start_clients()
        for i in range(N_KILLS):
            self.assertTrue(wait_for(
                lambda: len(self.answered) >= (i + 1) * N_LEASES // (N_KILLS + 1), 60, 0.001))
            self.daemon.stop(signal.SIGKILL)
            self.daemon.start()
        for thread in threads:
            thread.join()
        self.expect_all_held()
        self.daemon.stop(signal.SIGKILL)
        self.daemon.start()
        self.expect_all_held()


if __name__ == "__main__":
    harness.main()
