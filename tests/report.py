#!/usr/bin/env python3
"""report.py BUILD_DIR [ARGUMENT]...: meson test with these arguments; says at the end why tests,
or parts of them, were skipped, and then how many passed and failed, in a line of its own."""

import json
import pathlib
import re
import subprocess
import sys


def reason(test):
    """The last that a skipped test has said."""
    output = test.get("stdout", "") + "\n" + test.get("stderr", "")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return re.sub(r"^1\.\.0 # SKIP ", "", lines[-1]) if lines else "no reason given"


def partly_skipped(test):
    """The reasons for which parts of a test that passed were skipped (unittest's words, TAP's)."""
    output = test.get("stdout", "") + "\n" + test.get("stderr", "")
    return re.findall(r"^.*\.\.\. skipped ['\"](.*)['\"]$|^ok \d+ - (.*?) # SKIP (.*)$", output, re.M)


def name(test):
    return test["name"].removeprefix("portscand:")


def main():
    build = pathlib.Path(sys.argv[1])
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    status = subprocess.run(["meson", "test", "-C", build, *sys.argv[2:]]).returncode
    if not log.exists():
        print("0 passed, 1 failed")
        return status or 1

    tests = [json.loads(line) for line in log.read_text().splitlines()]
    skipped = [test for test in tests if test["result"] == "SKIP"]
    passed = [test for test in tests if test["result"] in ("OK", "EXPECTEDFAIL")]
    failed = len(tests) - len(passed) - len(skipped)
    print()
    for test in skipped:
        print(f"skipped: {name(test)}: {reason(test)}")
    for test in passed:
        for words in partly_skipped(test):
            print(f"skipped: a part of {name(test)}: {', '.join(filter(None, words))}")
    tail = f", {len(skipped)} skipped" if skipped else ""
    print(f"{len(passed)} passed, {failed} failed{tail}")
    return status


sys.exit(main())
