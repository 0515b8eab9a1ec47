"""Runtime directories that can't be written, journals that can't be read, a second daemon."""

import os
import re
import resource
import signal
import subprocess
import tempfile
import unittest

import harness
from harness import Daemon, require_root, wait_for
from leasing import Test, can_bind, free_ports


class Directory(unittest.TestCase):
    """A runtime directory with a file system of its own, in a mount namespace."""

    def start(self, mount_options, *options):
        require_root()
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix="portscand-test-"))
        # The namespace's own shell outlives the daemons in it.
        self.namespace = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c",
             f"mount -t tmpfs -o {mount_options} tmpfs {directory} && echo ready && read end"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.namespace.communicate)
        if self.namespace.stdout.readline() != "ready\n":
            self.skipTest("no mount namespace here")
        self.directory = directory
        enter = ["nsenter", "-t", str(self.namespace.pid), "-m", "--"]
        self.daemon = self.enterContext(Daemon("--runtime-dir", directory, *options,
                                               wrapper=enter))
        self.client = self.enterContext(self.daemon.client())
        self.run_inside("true")

    def run_inside(self, command):
        subprocess.run(["nsenter", "-t", str(self.namespace.pid), "-m", "--", "sh", "-c", command],
                       check=True)

    def lease(self, **params):
        return self.client.call("lease", params)

    def expect_refusal(self, what):
        port = int(free_ports(1))
        error = self.lease(ports=port)["error"]
        self.assertEqual(error["data"], {"error": "ResourcesExhausted",
                                         "resource": "runtime directory"})
        self.assertIn(what, error["message"])
        self.assertTrue(can_bind(port))

    def test_full(self):
        self.start("size=64k,mode=700")
        kept = [self.lease(until="released")["result"]["lease"]["lease"] for _ in range(10)]
        self.run_inside(f"cat /dev/zero >{self.directory}/filler 2>/dev/null || true")
        # What there is room for in the journal's last page is still written.
        while "result" in (answer := self.lease(until="released")):
            kept.append(answer["result"]["lease"]["lease"])
            self.assertLess(len(kept), 1000)
        self.expect_refusal("No space left on device")
        renewed = self.client.call("renew", {"lease": kept[0], "ttl_ms": 5000})
        self.assertEqual(renewed["error"]["data"]["error"], "ResourcesExhausted")
        self.assertEqual([info["lease"] for info in
                          self.client.call("leases")["result"]["leases"]], kept)
        # An end stands, written or not; and nothing is granted that would not be written.
        self.assertIn("result", self.client.call("release", {"lease": kept[0]}))
        self.expect_refusal("No space left on device")
        full = (f"leases can't be written down in {self.directory}: No space left on device; none "
                "is given until they can\n")
        self.assertEqual(self.daemon.stderr().count(full), 1)
        self.run_inside(f"rm {self.directory}/filler")
        kept.append(self.lease(until="released")["result"]["lease"]["lease"])
        self.assertIn(f"leases can be written down in {self.directory} again\n",
                      self.daemon.stderr())
        self.daemon.stop(signal.SIGKILL)
        self.daemon.start()
        with self.daemon.client() as client:
            after = {info["lease"]: info["state"] for info in
                     client.call("leases")["result"]["leases"]}
        self.assertNotEqual(after.pop(kept[0], "quarantined"), "held")
        self.assertEqual(after, dict.fromkeys(kept[1:], "held"))

    def test_read_only(self):
        self.start("size=1m,mode=700")
        kept = self.lease(until="released")["result"]["lease"]["lease"]
        # A file that is open for writing is in the way of that.
        self.daemon.stop()
        self.run_inside(f"mount -o remount,ro {self.directory}")
        self.daemon.start()
        self.client = self.enterContext(self.daemon.client())
        self.assertEqual([info["lease"] for info in
                          self.client.call("leases")["result"]["leases"]], [kept])
        self.expect_refusal("Read-only file system")
        self.run_inside(f"mount -o remount,rw {self.directory}")
        self.assertIn("result", self.lease())

    def test_not_there(self):
        with Daemon("--runtime-dir", "/proc/no/such/directory") as daemon, \
                daemon.client() as client:
            self.client = client
            self.expect_refusal("No such file or directory")
            self.assertIn("there are no leases to be had", daemon.stderr())
            self.assertIn("result", client.call("check", {"port": 1}))


class FileSize(Test):
    # RLIMIT_FSIZE comes with a signal besides, which Python would have it ignore.
    daemon_options = {"wrapper": ["env", "--default-signal=XFSZ"]}

    def test_a_limit_of_the_file(self):
        resource.prlimit(self.daemon.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        n = 0
        while "result" in (answer := self.client.call("lease", {"until": "released"})):
            n += 1
            self.assertLess(n, 1000)
        self.assertIn("File too large", answer["error"]["message"])
        self.assertEqual(len(self.leases()), n)
        resource.prlimit(self.daemon.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.lease(until="released")
        self.restart(signal.SIGKILL)
        self.assertEqual(len(self.leases()), n + 1)


class Journal(Test):
    def journal(self):
        return os.path.join(self.daemon.runtime, "leases.journal")

    def test_a_second_daemon(self):
        second = Daemon("--runtime-dir", self.daemon.runtime)
        self.addCleanup(second.close)
        self.assertEqual(second.process.wait(30), 1)
        self.assertIn("runtime is in use by another portscand", second.stderr())
        self.lease()

    def test_a_torn_last_line(self):
        kept = self.lease(until="released")["lease"]["lease"]
        self.daemon.stop(signal.SIGKILL)
        with open(self.journal(), "a", encoding="utf-8") as journal:
            journal.write('{"lease":"0123456789abcd')
        self.daemon.start()
        self.connect()
        self.assertEqual([info["lease"] for info in self.leases()], [kept])
        self.lease(until="released")
        self.restart(signal.SIGKILL)
        self.assertEqual(len(self.leases()), 2)

    def test_a_bad_line(self):
        self.lease(until="released")
        self.daemon.stop(signal.SIGKILL)
        with open(self.journal(), "a", encoding="utf-8") as journal:
            journal.write("not a line of ours\n")
        with open(self.journal(), encoding="utf-8") as journal:
            text = journal.read()
        self.daemon.start()
        self.assertEqual(self.daemon.process.wait(10), 1)
        self.assertRegex(self.daemon.stderr(),
                         r"leases\.journal, line 3: not JSON: .*; mend it, or move it away")
        with open(self.journal(), encoding="utf-8") as journal:
            self.assertEqual(journal.read(), text)
        os.unlink(self.journal())
        self.daemon.start()
        self.connect()
        self.assertEqual(self.leases(), [])

    def test_one_that_can_not_be_opened(self):
        self.daemon.stop()
        os.unlink(self.journal())
        os.symlink("elsewhere", self.journal())
        self.daemon.start()
        self.assertEqual(self.daemon.process.wait(10), 1)
        self.assertIn("leases.journal: Too many levels of symbolic links", self.daemon.stderr())
        self.assertFalse(os.path.exists(os.path.join(self.daemon.runtime, "elsewhere")))
        os.unlink(self.journal())
        self.daemon.start()
        self.connect()

    def test_another_boot(self):
        self.lease(until="released")
        self.daemon.stop(signal.SIGKILL)
        with open(self.journal(), encoding="utf-8") as journal:
            text = journal.read()
        with open(self.journal(), "w", encoding="utf-8") as journal:
            journal.write(re.sub('"boot":"[^"]*"', '"boot":"' + "0" * 32 + '"', text))
        self.daemon.start()
        self.connect()
        self.assertEqual(self.leases(), [])

    def test_it_is_written_anew_when_most_is_history(self):
        kept = self.lease(until="released")["lease"]["lease"]
        for _ in range(40):
            self.client.send_lines(*({"method": "renew", "params": {"lease": kept, "ttl_ms": 90000}}
                                     for _ in range(100)))
            for _ in range(100):
                self.assertIn("result", self.client.receive())
        self.assertGreater(os.path.getsize(self.journal()), 100000)
        self.assertTrue(wait_for(lambda: os.path.getsize(self.journal()) < 1000, 15, 0.2))
        self.restart(signal.SIGKILL)
        self.assertEqual([info["lease"] for info in self.leases()], [kept])


if __name__ == "__main__":
    harness.main()
