"""Other users for tests: who connects, and to which groups they belong. For root only."""

import contextlib
import os
import resource
import shutil
import stat
import unittest

import harness
from harness import Client, Daemon

# Of nobody, it is to be hoped.
USER = 4711
OTHER = 4712
DAEMON_USER = 4713
GROUP = 4714
OTHER_GROUP = 4715


@contextlib.contextmanager
def as_user(uid, gid=None, groups=()):
    """What connects within the block is this user's; gid: the main group, else `uid`."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(uid if gid is None else gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


def connect(daemon, uid, gid=None, groups=(), timeout=30):
    """A connected socket, of the caller's."""
    os.chmod(daemon.directory, 0o755)
    with as_user(uid, gid, groups):
        return daemon.connect(timeout)


def client(daemon, uid, gid=None, groups=(), timeout=30):
    """A Client, of the caller's."""
    return Client(connect(daemon, uid, gid, groups, timeout))


@contextlib.contextmanager
def descriptors(n):
    """This process may have so many within the block; the test is skipped if it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < n:
        raise unittest.SkipTest(f"this process may have {hard} descriptors, and it takes {n}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def group_files(directory, group="portscan", gid=GROUP):
    """Mounts for a Namespace in which there is the group, and nothing else of interest."""
    files = {
        "/etc/group": f"root:x:0:\n{group}:x:{gid}:\n",
        "/etc/passwd": "root:x:0:0:root:/:/bin/sh\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    mounts = {}
    for path, text in files.items():
        mounts[path] = os.path.join(directory, os.path.basename(path))
        with open(mounts[path], "w", encoding="ascii") as file:
            file.write(text)
    return mounts


class DaemonOfUser(Daemon):
    """A Daemon that runs as this user, from a copy of the program which that user can reach."""

    def __init__(self, uid, directory, *options, **more):
        os.chmod(directory, 0o755)
        program = shutil.copy(more.pop("program", None) or harness.PORTSCAND, directory)
        os.chmod(program, stat.S_IRWXU | stat.S_IROTH | stat.S_IXOTH)
        self.uid = uid
        super().__init__(*options, program=program, **more)

    def start(self, fds=(), names=()):
        os.chmod(self.directory, 0o755)
        os.chown(self.runtime, self.uid, self.uid)
        at = self.command.index(self.program)
        if "setpriv" not in self.command:
            self.command[at:at] = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}",
                                   "--clear-groups", "--"]
        super().start(fds, names)
