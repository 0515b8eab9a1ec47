"""The JSON-RPC library jayson, as it comes from the npm registry, is served unchanged."""

import json
import os
import shutil
import subprocess
import unittest

import harness
from harness import Daemon, closed_port, listener, require

HERE = os.path.dirname(os.path.abspath(__file__))


def install():
    """jayson_client.js beside an installed jayson, below the build directory."""
    directory = os.path.join(os.environ["SCRATCH"], "jayson")
    os.makedirs(directory, exist_ok=True)
    for name in ("package.json", "jayson_client.js"):
        shutil.copyfile(os.path.join(HERE, name), os.path.join(directory, name))
    if not os.path.isdir(os.path.join(directory, "node_modules", "jayson")):
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
                   "--no-package-lock"]
        try:
            run = subprocess.run(command, cwd=directory, capture_output=True, text=True,
                                 timeout=90, check=False)
        except subprocess.TimeoutExpired:
            raise unittest.SkipTest("npm could not fetch jayson in time") from None
        if run.returncode != 0:
            raise unittest.SkipTest("npm could not fetch jayson: " + run.stderr.strip()[-500:])
    return os.path.join(directory, "jayson_client.js")


class Jayson(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        require("npm", "node")
        script = install()
        daemon = cls.enterClassContext(Daemon())
        cls.open = cls.enterClassContext(listener())
        cls.closed = cls.enterClassContext(closed_port())
        run = subprocess.run(["node", script, daemon.path, str(cls.open), str(cls.closed)],
                             capture_output=True, text=True, timeout=60, check=False)
        if run.returncode != 0:
            raise AssertionError(run.stderr)
        cls.seen = json.loads(run.stdout)
        cls.metrics = daemon.metrics()

    def test_request(self):
        answer = self.seen["request"]
        self.assertEqual(answer["jsonrpc"], "2.0")
        self.assertEqual((answer["result"]["port"], answer["result"]["status"]),
                         (self.open, "open"))
        self.assertEqual(self.seen["withId"]["id"], "my id")
        self.assertEqual(self.seen["withId"]["result"]["status"], "closed")
        self.assertEqual({answer["result"]["status"] for answer in self.seen["many"]}, {"open"})

    def test_error(self):
        error = self.seen["error"]["error"]
        self.assertEqual((error["code"], error["data"]["parameter"]), (-32602, "port"))
        self.assertEqual(self.seen["unknown"]["error"]["code"], -32601)
        self.assertEqual(self.seen["positional"]["error"]["data"]["parameter"], "params")

    def test_batch(self):
        answers = self.seen["batch"]
        self.assertEqual(len(answers), 3)
        self.assertEqual(sorted(answer["result"]["status"] for answer in answers
                                if "result" in answer), ["closed", "open"])
        self.assertEqual([answer["error"]["code"] for answer in answers if "error" in answer],
                         [-32601])

    def test_notification(self):
        self.assertEqual(self.seen["notification"], "nothing")
        # It was carried out all the same.
        self.assertEqual(self.metrics['portscand_requests_total{method="check"}'], 107)

    def test_callback_with_error_and_result(self):
        seen = self.seen["errorAndResult"]
        self.assertEqual((seen["failure"], seen["error"], seen["result"]["port"]),
                         (None, None, self.closed))


if __name__ == "__main__":
    harness.main()
