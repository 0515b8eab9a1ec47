"""What the programs that test_*.sh run under the service manager share: its daemon's clients."""

import errno
import json
import socket
import subprocess
import sys
import time

SOCKET = "/run/portscand.sock"


class Client:
    def __init__(self, path=SOCKET):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rw")

    def close(self):
        self.stream.close()
        self.socket.close()

    def ask(self, method, **params):
        """The answer to one request, with "result" or "error"."""
        self.stream.write(json.dumps({"method": method, "params": params}) + "\n")
        self.stream.flush()
        return json.loads(self.stream.readline())

    def call(self, method, **params):
        """The result of a request that has to succeed."""
        answer = self.ask(method, **params)
        assert "result" in answer, (method, params, answer)
        return answer["result"]

    def error(self, method, **params):
        """The name of the error, and what it says besides, of a request that has to fail."""
        answer = self.ask(method, **params)
        assert "error" in answer, (method, params, answer)
        return answer["error"]["data"]

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
        return self.call("leases", all=True)["leases"]

    def lease_of(self, port):
        """What the caller's leases say of the port; None if there is none."""
        found = [info for info in self.call("leases")["leases"] if port in info["ports"]]
        return found[0] if found else None


def can_bind(port, kind=socket.SOCK_STREAM):
    with socket.socket(type=kind) as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
            return True
        except OSError as error:
            assert error.errno == errno.EADDRINUSE, error
            return False


def systemctl(*arguments, may_fail=False):
    return subprocess.run(["systemctl", *arguments], check=not may_fail, capture_output=True,
                          text=True).stdout.strip()


def show(name, unit="portscand.service"):
    return systemctl("show", "--value", "-p", name, unit)


def main_pid():
    return int(show("MainPID"))


def wait_for(condition, seconds=10):
    """Fails unless `condition` comes true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't come about"
        time.sleep(0.02)


def main(*functions):
    """Runs the one that the first argument names, with the others."""
    {function.__name__: function for function in functions}[sys.argv[1]](*sys.argv[2:])
