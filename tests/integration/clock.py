"""A wall clock of a daemon's own, which a test can set."""

import mmap
import os
import struct
import tempfile
import unittest

import harness


class Clock:
    """env: what its daemon is to be started with."""

    def __init__(self, test):
        module = os.environ.get("CLOCK_JUMP")
        if not module or harness.WRAPPER:
            raise unittest.SkipTest("no CLOCK_JUMP to be loaded")
        path = os.path.join(test.enterContext(tempfile.TemporaryDirectory()), "offset")
        with open(path, "w+b") as file:
            file.write(struct.pack("d", 0.0))
            file.flush()
            self.offset = mmap.mmap(file.fileno(), 8)
        sanitizers = {**harness.SANITIZER_OPTIONS}
        sanitizers["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        self.env = {**sanitizers, "LD_PRELOAD": module, "CLOCK_OFFSET": path}

    def jump(self, seconds):
        """It is so much later than it really is, or earlier."""
        self.offset[:] = struct.pack("d", seconds)
