"""A kernel without NETLINK_SOCK_DIAG, as far as a program can tell that is started through this."""

import ctypes
import errno
import os
import platform
import struct
import sys
import unittest

# The number of socket(): seccomp is spelt out for these.
SOCKET = {"x86_64": 41, "aarch64": 198}.get(platform.machine())
AF_NETLINK, NETLINK_SOCK_DIAG = 16, 4
ALLOW, ERRNO = 0x7fff0000, 0x50000 | errno.EPROTONOSUPPORT
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST, THIRD = 0, 16, 32
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def wrapper():
    """For a Daemon; the test is skipped where there is none."""
    if not SOCKET:
        raise unittest.SkipTest(f"socket() has another number on {platform.machine()}")
    return [sys.executable, "-IS", os.path.abspath(__file__)]


def main(command):
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in [
        (LOAD, 0, 0, NUMBER), (EQUAL, 0, 5, SOCKET),
        (LOAD, 0, 0, FIRST), (EQUAL, 0, 3, AF_NETLINK),
        (LOAD, 0, 0, THIRD), (EQUAL, 0, 1, NETLINK_SOCK_DIAG),
        (RETURN, 0, 0, ERRNO), (RETURN, 0, 0, ALLOW)])
    text = ctypes.create_string_buffer(program)
    instructions = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(instructions), 0, 0) < 0:
        sys.exit("no seccomp")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
