"""The real daemon and real listeners for tests: nothing fixed, nothing left behind.

Paths of the programs come from the environment: $PORTSCAND and $PORTSCAN.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PORTSCAND = os.environ.get("PORTSCAND", "portscand")
PORTSCAN = os.environ.get("PORTSCAN", "portscan")

# Between fork and exec only a process of its own can know its pid and have a descriptor 3.
LAUNCHER = """
import os, sys
fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
os.set_inheritable(3, True)
os.closerange(4, 1024)
os.environ["LISTEN_FDS"] = "1"
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Daemon:
    """A portscand with a directory of its own, ended by leaving the `with` block.

    activated: its listening socket is made before it starts and passed as descriptor 3, so a
    client may connect at once; otherwise it gets --socket and is waited for.
    """

    def __init__(self, *options, activated=True, env=None):
        self.directory = tempfile.mkdtemp(prefix="portscand-test-")
        self.path = os.path.join(self.directory, "portscand.sock")
        self.runtime = os.path.join(self.directory, "runtime")
        self.log = os.path.join(self.directory, "stderr")
        os.mkdir(self.runtime, 0o700)
        start = self._start_activated if activated else self._start_with_socket
        environment = {**os.environ, "RUNTIME_DIRECTORY": self.runtime, **(env or {})}
        with open(self.log, "wb") as log:
            self.process = start([PORTSCAND, *options], environment, log)

    def _start_activated(self, command, env, log):
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self.path)
            listening.listen(128)
            launch = [sys.executable, "-ISc", LAUNCHER, str(listening.fileno()), *command]
            return subprocess.Popen(launch, env=env, stderr=log, stdin=subprocess.DEVNULL,
                                    pass_fds=[listening.fileno()])

    def _start_with_socket(self, command, env, log):
        process = subprocess.Popen([*command, "--socket", self.path], env=env, stderr=log,
                                   stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.path)
                return process
            time.sleep(0.01)
        process.kill()
        process.wait()
        said = self.stderr()
        shutil.rmtree(self.directory)
        raise RuntimeError("portscand did not start: " + said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stop()
        shutil.rmtree(self.directory)

    @property
    def pid(self):
        return self.process.pid

    def stderr(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self, sig=signal.SIGTERM, timeout=10):
        """Ends it by a signal and returns its exit status; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def connect(self, timeout=10):
        """A connected socket, of the caller's."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect(self.path)
        return connection

    def call(self, method, params=None):
        """One call on a connection of its own; the answer, as it came."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        with self.connect() as connection, connection.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            return json.loads(stream.readline())


@contextlib.contextmanager
def listener(host="127.0.0.1", backlog=1024):
    """A listening socket on a port that the kernel chose: yields the port.

    The backlog has room for all who sweep this host meanwhile: nobody accepts them.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.bind((host, 0))
        listening.listen(backlog)
        yield listening.getsockname()[1]


@contextlib.contextmanager
def closed_port(host="127.0.0.1"):
    """A port that is bound and does not listen: closed, and nobody else gets it meanwhile."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.bind((host, 0))
        yield bound.getsockname()[1]
