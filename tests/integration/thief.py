"""thief.py PORT: tries to get PORT of this host in every way but SO_REUSEADDR, until its stdin ends.

Then it prints a line of JSON: how often it tried, by which ways it got the port, and which other
ports it got where the kernel chose.
"""

import json
import select
import socket
import struct
import sys

PORT = int(sys.argv[1])
LINGER_NOT = struct.pack("ii", 1, 0)

tried = 0
got = []
others = set()


def bind(family, address, port):
    """Whether it could be bound; the port goes to `others` if it is another."""
    try:
        with socket.socket(family) as thief:
            if family == socket.AF_INET6:
                thief.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
            thief.bind((address, port))
            others.add(thief.getsockname()[1])
            return thief.getsockname()[1] == PORT
    except OSError:
        return False


def connect(address):
    """Whether the source that the kernel has chosen is the port."""
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        thief.settimeout(1)
        try:
            thief.connect(address)
        except OSError:
            return False
        others.add(thief.getsockname()[1])
        return thief.getsockname()[1] == PORT


def main():
    global tried  # pylint: disable=global-statement
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        ways = {
            "bind 0.0.0.0": lambda: bind(socket.AF_INET, "0.0.0.0", PORT),
            "bind 127.0.0.1": lambda: bind(socket.AF_INET, "127.0.0.1", PORT),
            "bind ::": lambda: bind(socket.AF_INET6, "::", PORT),
            "bind ::1": lambda: bind(socket.AF_INET6, "::1", PORT),
            "bind to port 0": lambda: bind(socket.AF_INET, "127.0.0.1", 0),
            "bind :: to port 0": lambda: bind(socket.AF_INET6, "::", 0),
            "connect to another": lambda: connect(listening.getsockname()),
            "connect to itself": lambda: connect(("127.0.0.1", PORT)),
        }
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            tried += 1
            got.extend(way for way, attempt in ways.items() if attempt())
            while select.select([listening], [], [], 0)[0]:
                listening.accept()[0].close()
    others.discard(PORT)
    print(json.dumps({"tried": tried, "got": sorted(set(got)), "others": sorted(others)}))


main()
