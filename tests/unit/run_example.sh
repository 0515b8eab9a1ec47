#!/bin/sh
# Runs the example of portscan.h with a daemon that it starts itself.
set -eu
[ -e /run/portscand.sock ] && exit 77
PATH=$(dirname "$PORTSCAND"):$PATH
XDG_RUNTIME_DIR=/proc/self/fdinfo
export PATH XDG_RUNTIME_DIR
unset PORTSCAND_SOCKET
output=$("$1")
echo "$output"
echo "$output" | grep -Eqx 'port (0|30[01][0-9]) is free'
