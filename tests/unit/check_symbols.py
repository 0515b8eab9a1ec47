#!/usr/bin/env python3
"""Compares what libportscan exports with its version script and with what its headers declare.

Usage: check_symbols.py NM LIBRARY VERSION-SCRIPT HEADER...
"""

import re
import subprocess
import sys


def exported(nm, library):
    """Names with their versions, such as portscan_new@@LIBPORTSCAN_1; the versions' own left out."""
    listing = subprocess.run([nm, "--dynamic", "--defined-only", "--with-symbol-versions", library],
                             check=True, capture_output=True, text=True).stdout
    symbols = (line.split() for line in listing.splitlines())
    return {symbol[-1] for symbol in symbols if symbol[-2] != "A"}


def scripted(path):
    """The same names, as the version script has them."""
    names = set()
    with open(path, encoding="ascii") as script:
        for line in script:
            if version := re.fullmatch(r"(LIBPORTSCAN_\d+) \{", line.strip()):
                current = version[1]
            elif symbol := re.fullmatch(r"(\w+);", line.strip()):
                names.add(f"{symbol[1]}@@{current}")
    return names


def declared(path):
    with open(path, encoding="utf-8") as header:
        text = header.read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"typedef .*?;", "", text, flags=re.DOTALL)
    return set(re.findall(r"\b(portscan_\w+)\(", text))


def main():
    nm, library, script, *headers = sys.argv[1:]
    in_library, in_script = exported(nm, library), scripted(script)
    in_header = set().union(*map(declared, headers))
    differences = {
        "exported, but not in the version script": in_library - in_script,
        "in the version script, but not exported": in_script - in_library,
        "in the version script, but not declared": {s.split("@")[0] for s in in_script} - in_header,
        "declared, but not in the version script": in_header - {s.split("@")[0] for s in in_script},
    }
    for what, names in differences.items():
        for name in sorted(names):
            print(f"{name}: {what}")
    if not in_script or any(differences.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
