"""The real daemon and real listeners for tests: nothing fixed, nothing left behind.

Paths of the programs come from the environment: $PORTSCAND and $PORTSCAN. With
$PORTSCAND_WRAPPER the daemon runs under a command such as valgrind, and with
$PORTSCAND_SANITIZED it is known to be slower and larger than it is built for.
"""

import contextlib
import ctypes
import errno
import json
import os
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PORTSCAND = os.path.abspath(os.environ.get("PORTSCAND", "portscand"))
PORTSCAN = os.environ.get("PORTSCAN", "portscan")
WRAPPER = shlex.split(os.environ.get("PORTSCAND_WRAPPER", ""))
# Whether the daemon is slowed down and blown up by what watches over it.
INSTRUMENTED = bool(WRAPPER or os.environ.get("PORTSCAND_SANITIZED"))

# Between fork and exec only a process of its own can know its pid and have descriptors from 3 on.
LAUNCHER = """
import os, resource, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
names, nofile, closed = sys.argv[2], int(sys.argv[3]), sys.argv[4]
kept = [os.dup(fd) for fd in fds]
while any(fd < 3 + len(kept) for fd in kept):
    kept = [os.dup(fd) for fd in kept]
for i, fd in enumerate(kept):
    os.dup2(fd, 3 + i)
    os.set_inheritable(3 + i, True)
os.closerange(3 + len(kept), 65536)
for fd in closed.split():
    os.close(int(fd))
if kept:
    os.environ["LISTEN_FDS"] = str(len(kept))
    os.environ["LISTEN_PID"] = str(os.getpid())
if names:
    os.environ["LISTEN_FDNAMES"] = names
if nofile:
    resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
os.execvp(sys.argv[5], sys.argv[5:])
"""

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def launch(command, fds=(), names="", nofile=0, closed="", **options):
    """Popen of `command` with `fds` passed in as a service manager does, and limits set."""
    arguments = [sys.executable, "-ISc", LAUNCHER, ",".join(map(str, fds)), names, str(nofile),
                 closed, *command]
    return subprocess.Popen(arguments, pass_fds=fds, **options)


class Daemon:
    """A portscand with a directory of its own, ended by leaving the `with` block.

    activated: its listening socket is made before it starts and passed as descriptor 3, so a
    client may connect at once; otherwise it gets --socket and is waited for.
    nofile: RLIMIT_NOFILE. namespace: where it runs. program: another build of it. wrapper: what
    it is started by.
    """

    def __init__(self, *options, activated=True, env=None, nofile=0, namespace=None,
                 program=None, wrapper=()):
        self.directory = tempfile.mkdtemp(prefix="portscand-test-")
        self.path = os.path.join(self.directory, "portscand.sock")
        self.runtime = os.path.join(self.directory, "runtime")
        self.log = os.path.join(self.directory, "stderr")
        os.mkdir(self.runtime, 0o700)
        self.program = program or PORTSCAND
        self.command = [*(namespace.prefix() if namespace else []), *wrapper, *WRAPPER,
                        self.program, *options]
        self.activated = activated
        self.nofile = nofile
        self.env = {**os.environ, "RUNTIME_DIRECTORY": self.runtime, **SANITIZER_OPTIONS,
                    **(env or {})}
        self.start()

    def start(self, fds=(), names=()):
        """Starts it, or once it has ended, starts it again in the same directory.

        fds, names: what it gets besides its listening socket, from a descriptor store.
        """
        self.was_killed = False
        with open(self.log, "ab") as log:
            start = self._start_activated if self.activated else self._start_with_socket
            self.process = start(fds, names, {"env": self.env, "stderr": log,
                                              "stdin": subprocess.DEVNULL})

    def _start_activated(self, fds, names, options):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self.path)
            os.chmod(self.path, 0o666)
            listening.listen(4096)
            return launch(self.command, [listening.fileno(), *fds],
                          ":".join(["portscand", *names]), nofile=self.nofile, **options)

    def _start_with_socket(self, fds, names, options):
        process = launch([*self.command, "--socket", self.path], fds, ":".join(names),
                         nofile=self.nofile, **options)
        if wait_for(lambda: process.poll() is not None or is_served(self.path), 30) and \
                process.poll() is None:
            return process
        process.kill()
        process.wait()
        raise RuntimeError("portscand did not start: " + self.stderr())

    def __enter__(self):
        return self

    def close(self):
        self.stop()
        shutil.rmtree(self.directory)

    def __exit__(self, kind, *_):
        try:
            status = self.stop()
            if kind is None and not self.was_killed and status != 0:
                raise AssertionError(f"portscand ended with {status}: {self.stderr()}")
        finally:
            shutil.rmtree(self.directory)

    @property
    def pid(self):
        return self.process.pid

    def stderr(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self, sig=signal.SIGTERM, timeout=30):
        """Ends it by a signal and returns its exit status; harmless when it has ended."""
        if self.process.poll() is None:
            self.was_killed = sig == signal.SIGKILL
            self.process.send_signal(sig)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def connect(self, timeout=30, uid=None):
        """A connected socket, of the caller's. uid: who connects; for root only."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        if uid is not None:
            os.chmod(self.directory, 0o755)
            os.seteuid(uid)
        try:
            connection.connect(self.path)
        except BaseException:
            connection.close()
            raise
        finally:
            if uid is not None:
                os.seteuid(0)
        return connection

    def client(self, timeout=30, uid=None):
        """A Client, of the caller's."""
        return Client(self.connect(timeout, uid))

    def call(self, method, params=None):
        """One call on a connection of its own; the answer, as it came."""
        with self.client() as client:
            return client.call(method, params)

    def result(self, method, params=None):
        """One call on a connection of its own, which has to succeed: its result."""
        answer = self.call(method, params)
        if "result" not in answer:
            raise AssertionError(f"{method} {params}: {answer}")
        return answer["result"]

    def error(self, method, params=None):
        """One call on a connection of its own, which has to fail: its error."""
        answer = self.call(method, params)
        if "error" not in answer:
            raise AssertionError(f"{method} {params}: {answer}")
        return answer["error"]

    def metrics(self):
        """The samples of the metrics, by what is written before their values."""
        lines = self.result("metrics")["text"].splitlines()
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def n_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Client:
    """One connection, and the messages that come in on it."""

    def __init__(self, connection):
        self.socket = connection
        self.received = b""
        self.next_id = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def send_lines(self, *messages):
        """JSON-RPC: each message with its LF, all in one piece."""
        self.send("".join(json.dumps(message) + "\n" for message in messages))

    def send_varlink(self, *messages):
        """Varlink: each message with its NUL, all in one piece."""
        self.send("".join(json.dumps(message) + "\0" for message in messages))

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def receive_until(self, ending):
        """The bytes before `ending`, or what there was when the connection ended; None for none."""
        scanned = 0
        while (at := self.received.find(ending, scanned)) < 0:
            scanned = len(self.received)
            data = self.socket.recv(1 << 20)
            if not data:
                rest, self.received = self.received, b""
                return rest or None
            self.received += data
        message, self.received = self.received[:at], self.received[at + 1:]
        return message

    def receive(self):
        """The next line's JSON, or None at the end."""
        line = self.receive_until(b"\n")
        return None if line is None else json.loads(line)

    def receive_varlink(self):
        """The next reply's JSON, or None at the end."""
        reply = self.receive_until(b"\0")
        return None if reply is None else json.loads(reply)

    def receive_all(self):
        """All that comes until the daemon ends the connection."""
        while data := self.socket.recv(1 << 20):
            self.received += data
        everything, self.received = self.received, b""
        return everything

    def is_silent(self, seconds=0.2):
        """Whether nothing comes in for that long, the end of the connection neither."""
        ready = select.poll()
        ready.register(self.socket, select.POLLIN)
        return not self.received and not ready.poll(seconds * 1000)

    def start(self, method, params=None):
        """Sends a request, and returns its id."""
        request_id, self.next_id = self.next_id, self.next_id + 1
        self.send_lines({"jsonrpc": "2.0", "id": request_id, "method": method,
                         "params": params or {}})
        return request_id

    def call(self, method, params=None):
        """The answer to one call."""
        self.start(method, params)
        return self.receive()

    def call_varlink(self, method, parameters=None, **flags):
        self.send_varlink({"method": method, "parameters": parameters or {}, **flags})
        return self.receive_varlink()


class Namespace:
    """A network namespace, with lo up, and on demand a mount namespace: ended like a Daemon.

    setup: shell commands run inside before anything else. mounts: paths to the files that are to
    be seen there instead.
    """

    def __init__(self, setup="", mounts=None):
        unshare = ["unshare", "-n"]
        commands = ["set -e", "ip link set lo up"]
        if mounts:
            unshare += ["-m", "--propagation", "private"]
            commands += [f"mount --bind {shlex.quote(source)} {shlex.quote(path)}"
                         for path, source in mounts.items()]
        commands += [setup, "echo ready", "read end || true"]
        self.has_mounts = bool(mounts)
        self.process = subprocess.Popen([*unshare, "sh", "-c", "\n".join(commands)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            _, errors = self.process.communicate()
            raise unittest.SkipTest("no network namespace here: " + errors.strip())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()

    def prefix(self):
        """What runs a command inside."""
        return ["nsenter", "-t", str(self.process.pid), "-n", *(["-m"] if self.has_mounts else []),
                "--"]

    def run(self, command):
        """A shell command's output."""
        return subprocess.run([*self.prefix(), "sh", "-c", command], check=True,
                              capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def entered(self):
        """Sockets made within the block are the namespace's."""
        with open("/proc/self/ns/net", "rb") as own, \
                open(f"/proc/{self.process.pid}/ns/net", "rb") as other:
            set_namespace(other.fileno())
            try:
                yield
            finally:
                set_namespace(own.fileno())


def set_namespace(fd):
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).setns(fd, clone_newnet) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def wait_for(condition, seconds=10, interval=0.01):
    """Whether `condition` has come true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def is_served(path):
    """Whether somebody listens at the AF_UNIX address."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            return True
        except OSError:
            return False


def require(*programs):
    """Skips the test, and says so, unless all of these can be run."""
    for program in programs:
        if not shutil.which(program):
            raise unittest.SkipTest(program + " is not installed")


def require_root():
    if os.geteuid() != 0:
        raise unittest.SkipTest("only root can do that")


@contextlib.contextmanager
def listener(host="127.0.0.1", backlog=1024, port=0, v6only=True):
    """A server on a port that the kernel chose, which takes every connection: yields the port."""
    with listening_socket(host, backlog, port, v6only) as listening:
        thread = threading.Thread(target=accept_all, args=(listening,))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def accept_all(listening):
    """Until the socket is shut down."""
    while True:
        try:
            listening.accept()[0].close()
        except OSError as error:
            if error.errno == errno.EINVAL:
                return


def listening_socket(host="127.0.0.1", backlog=16, port=0, v6only=True):
    """A listening socket, of the caller's, that nobody accepts from."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(backlog)
    except BaseException:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def closed_port(host="127.0.0.1"):
    """A port that is bound and does not listen: closed, and nobody else gets it meanwhile."""
    with closed_ports(1, host) as ports:
        yield ports[0]


@contextlib.contextmanager
def closed_ports(n, host="127.0.0.1"):
    """n of them, in ascending order."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket(family)) for _ in range(n)]
        for one in bound:
            one.bind((host, 0))
        yield sorted(one.getsockname()[1] for one in bound)


def enter_network():
    """Gives the tests of a module, as its setUpModule, and all they start a network of their own.

    There silent_port() can have ports that do not answer, which takes a packet filter: where a
    listener merely drops what comes, the daemon finds it in the kernel's table.
    """
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet) < 0:
        return
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    global has_filter  # pylint: disable=global-statement
    has_filter = bool(shutil.which("nft")) and subprocess.run(
        ["nft", "add table inet test; add set inet test silent { type inet_service; }; "
         "add chain inet test input { type filter hook input priority 0; }; "
         "add rule inet test input tcp flags & (syn|ack) == syn tcp dport @silent drop"],
        check=False, capture_output=True).returncode == 0


has_filter = False


@contextlib.contextmanager
def silent_port(host="127.0.0.1"):
    """A port that answers nobody, by a packet filter: yields the port."""
    if not has_filter:
        raise unittest.SkipTest("ports that do not answer need root, and nft")
    with closed_port(host) as port:
        subprocess.run(["nft", f"add element inet test silent {{ {port} }}"], check=True)
        try:
            yield port
        finally:
            subprocess.run(["nft", f"delete element inet test silent {{ {port} }}"], check=True)


@contextlib.contextmanager
def full_port(host="127.0.0.1"):
    """A listener whose accept queue is full, so that it answers nobody: yields the port."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(listening_socket(host, backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(full.family))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname()[:2])
        time.sleep(0.05)
        yield full.getsockname()[1]


def reset_on_close(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def main():
    unittest.main(verbosity=2)
