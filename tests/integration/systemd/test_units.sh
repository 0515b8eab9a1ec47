#!/bin/bash
# test_units.sh BUILD_DIR [newer]: installs the build into a booted systemd, this machine's or
# Debian 13's, and holds the units to what they are for. Prints TAP. Needs root; see boot.sh.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
build=$(readlink -f "$1")
version=${2:-}
port=7777
uid=4711
n=0
n_failed=0

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

[ "$(id -u)" = 0 ] || skip_all "only root can boot a systemd"
work=$(mktemp -d /run/portscand-test.XXXXXX)
trap '"$here/boot.sh" stop "$work/state"; rm -rf "$work"' EXIT

inside() {
	"$here/boot.sh" exec "$work/state" "$@"
}

as_user() {
	inside setpriv --reuid $uid --regid $uid --clear-groups \
		env HOME=/ XDG_RUNTIME_DIR=/run/user/$uid "$@"
}

# check WHAT COMMAND...: WHAT is so if COMMAND succeeds; what it prints is shown if it fails.
check() {
	local what=$1

	shift
	n=$((n + 1))
	if (set -e; "$@") >"$work/output" 2>&1; then
		echo "ok $n - $what"
	else
		n_failed=$((n_failed + 1))
		sed 's/^/# /' "$work/output"
		echo "not ok $n - $what"
	fi
}

# is EXPECTED COMMAND...: COMMAND prints EXPECTED, a pattern of the shell.
is() {
	local expected=$1 printed

	shift
	printed=$("$@" 2>&1) || true
	# shellcheck disable=SC2053 # a pattern
	[[ $printed == $expected ]] && return
	printf '%s\nprinted: %s\nexpected: %s\n' "$*" "$printed" "$expected"
	return 1
}

says_nothing() {
	is "" "$@"
}

# eventually COMMAND...: within five seconds
eventually() {
	local _

	for _ in $(seq 50); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	"$@"
}

main_pid() {
	inside systemctl show --value -p MainPID "$1"
}

# The machine's or the newer systemd, with the build

set_up() {
	local trees=("$work/installed")

	case $(meson introspect "$build" --buildoptions |
		python3 -c 'import json, sys
print({o["name"]: o["value"] for o in json.load(sys.stdin)}["prefix"])') in
	/usr | /usr/local) ;;
	*)
		skip_all "systemd looks for units below the prefixes /usr and /usr/local only"
		;;
	esac
	DESTDIR=$work/installed meson install -C "$build" --no-rebuild --quiet >"$work/log"
	mkdir -p "$work/tests/usr/local/share/portscand"
	cp "$here/leases.py" "$work/tests/usr/local/share/portscand/"
	trees+=("$work/tests")
	if [ "$version" = newer ]; then
		"$here/fetch.sh" "$build/systemd-newer" 2>"$work/log" || skip_all "$(tail -n 1 "$work/log")"
		trees+=("$build/systemd-newer")
	fi
	if ! "$here/boot.sh" start "$work/state" "${trees[@]}" >"$work/log" 2>&1; then
		[ $? != 77 ] || skip_all "$(tail -n 1 "$work/log")"
		sed 's/^/# /' "$work/log"
		echo "Bail out! systemd can't be booted"
		exit 1
	fi
	echo "# $(inside systemctl --version | head -n 1)"
	inside ldconfig
	inside systemd-sysusers 2>"$work/log"
	inside sh -c "echo 'u tester $uid' | systemd-sysusers -" 2>"$work/log"
	# Somebody who listens.
	inside sh -euc "
		cd /run/systemd/system
		printf '[Socket]\nListenStream=127.0.0.1:$port\n' >peer.socket
		printf '[Service]\nExecStart=sleep infinity\n' >peer.service
	"
	inside systemctl daemon-reload
	inside systemctl start peer.socket
}

test_socket_activation() {
	check "the units are in order" says_nothing \
		inside systemd-analyze verify --man=no portscand.socket portscand.service
	check "the socket can be enabled" inside systemctl -q enable portscand.socket
	check "the socket starts" inside systemctl start portscand.socket
	check "nothing runs yet" is inactive inside systemctl is-active portscand.service
	check "everybody may connect" is 666 inside stat -c %a /run/portscand.sock
	check "the registry has it" is /run/portscand.sock \
		inside readlink -f /run/varlink/registry/io.portscand
	check "the first request starts the daemon" is "127.0.0.1:$port open (accepted, *" \
		as_user portscan check $port
	check "it runs" is active inside systemctl is-active portscand.service
	check "it is ready and says so" is "Serving /run/portscand.sock, @unittest-portserver" \
		inside systemctl show --value -p StatusText portscand.service
	check "it is no root" is portscand inside sh -c \
		"ps -o user= -p $(main_pid portscand.service)"
	check "its directory is its own" is "portscand 755" \
		inside stat -c '%U %a' /run/portscand
}

test_requests() {
	local who

	for who in inside as_user; do
		check "check, by $who" is "127.0.0.1:1 closed (refused, *" "$who" portscan check 1
		check "find, by $who" is $((port + 1)) "$who" portscan find $port-
		check "scan lists what listens and nothing else, by $who" \
			is $'*\n'"$port "*$'\n1 open, 65534 closed, *' "$who" portscan scan
		check "info, by $who" is '*"product":"portscand"*' "$who" portscan info --json
	done
	check "a name is looked up" is "localhost:$port open (accepted, *" \
		as_user portscan check localhost $port
}

test_restart() {
	local inode pid

	inode=$(inside stat -c %i /run/portscand.sock)
	pid=$(main_pid portscand.service)
	check "restart" inside systemctl restart portscand.service
	check "the socket is the same" is "$inode" inside stat -c %i /run/portscand.sock
	check "the daemon is another" inside test "$pid" != "$(main_pid portscand.service)"
	check "it answers" as_user portscan check $port
	check "stop leaves the socket" inside systemctl -q stop portscand.service
	check "it ended well" is success \
		inside systemctl show --value -p Result portscand.service
	check "the next request starts it again" as_user portscan check $port
}

has_another_pid() {
	local pid

	pid=$(main_pid portscand.service)
	[ "$pid" != 0 ] && [ "$pid" != "$1" ]
}

test_crash() {
	local pid

	check "the journal has no warning so far" says_nothing \
		inside journalctl -q -o cat -p warning -u portscand.service -u portscand.socket

	pid=$(main_pid portscand.service)
	inside systemctl kill -s KILL portscand.service
	check "started again after a crash" eventually has_another_pid "$pid"
	check "it answers after a crash" as_user portscan check $port

	inside sh -euc '
		mkdir /run/systemd/system/portscand.service.d
		printf "[Service]\nWatchdogSec=1s\n" >/run/systemd/system/portscand.service.d/test.conf
		systemctl daemon-reload
		systemctl restart portscand.service
	'
	pid=$(main_pid portscand.service)
	sleep 1.5
	check "it feeds the watchdog" is "$pid" main_pid portscand.service
	inside systemctl kill -s STOP portscand.service
	check "the watchdog replaces a daemon that hangs" eventually has_another_pid "$pid"
	check "it answers after that" as_user portscan check $port
}

test_leases() {
	local ask="python3 -B /usr/local/share/portscand/leases.py"

	# First, as that is when something is stored.
	# shellcheck disable=SC2086 # words
	check "ten thousand leases cost the service manager little" inside $ask cost
	# shellcheck disable=SC2086
	check "leases outlive restarts and crashes, their ports never free" inside $ask outlive
	# shellcheck disable=SC2086
	check "portpicker finds it" inside $ask portpicker
}

test_stop() {
	check "socket and service stop" inside systemctl stop portscand.socket portscand.service
	check "nothing failed" says_nothing inside systemctl --failed --no-legend
	check "nothing is left" says_nothing inside sh -c \
		'ls -d /run/portscand* /run/varlink/registry/io.portscand 2>/dev/null'
}

test_varlink() {
	local registered=/run/varlink/registry/io.portscand

	if ! inside sh -c 'command -v varlinkctl' >/dev/null; then
		n=$((n + 1))
		echo "ok $n - varlinkctl # SKIP this systemd has none"
		return
	fi
	check "varlinkctl info" is "*Product: portscand*" as_user varlinkctl info $registered
	check "varlinkctl introspect" is "*interface io.portscand*method Check(*" \
		as_user varlinkctl introspect $registered io.portscand
	check "varlinkctl introspect without an interface" is "*interface io.portscand*" \
		as_user varlinkctl introspect $registered
	check "varlinkctl call" is '*"status":*"open"*' \
		as_user varlinkctl call $registered io.portscand.Check "{\"port\":$port}"
}

test_user_instance() {
	inside sh -euc "
		mkdir -p -m 0755 /run/user
		install -d -m 0700 -o $uid -g $uid /run/user/$uid
		mkdir /run/systemd/system/user@.service.d
		# That one asks logind, which isn't here.
		mkdir /run/systemd/system/user-runtime-dir@.service.d
		printf '[Service]\nExecStart=\nExecStop=\nExecStart=true\n' \
			>/run/systemd/system/user-runtime-dir@.service.d/test.conf
		printf '[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\n' \
			>/run/systemd/system/user@.service.d/test.conf
		systemctl daemon-reload
	"
	check "a user's manager starts" inside systemctl start user@$uid.service
	check "the user's units are in order" says_nothing as_user \
		systemd-analyze --user verify --man=no portscand.socket portscand.service
	check "the user's socket starts" as_user systemctl --user start portscand.socket
	check "the user's registry has it" is /run/user/$uid/portscand.sock \
		as_user readlink -f /run/user/$uid/varlink/registry/io.portscand
	check "the user's own daemon answers" is "127.0.0.1:$port open (accepted, *" \
		as_user portscan check $port
	check "it is the user's own" is "Serving /run/user/$uid/portscand.sock" \
		as_user systemctl --user show --value -p StatusText portscand.service
	check "it stops" as_user systemctl --user stop portscand.socket portscand.service
	check "no warning from it" says_nothing \
		inside journalctl -q -o cat -p warning _SYSTEMD_USER_UNIT=portscand.service
	check "the user's manager stops" inside systemctl stop user@$uid.service
}

set_up
test_socket_activation
test_requests
test_varlink
test_restart
test_user_instance
test_crash
test_leases
test_stop
echo "1..$n"
[ $n_failed = 0 ]
