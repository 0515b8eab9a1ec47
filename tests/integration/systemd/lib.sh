# shellcheck shell=bash
# lib.sh: for tests that install the build into a booted systemd, see boot.sh. Sourced as
# ". lib.sh BUILD_DIR [newer]": this machine's systemd, or Debian 13's. set_up comes first, and
# finish last. Prints TAP. Needs root.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
build=$(readlink -f "$1")
version=${2:-}
# Inside is a network of its own, so all ports are ours.
port=7777
uid=4711
# Where the programs of these tests are, inside.
programs=/usr/local/share/portscand-tests
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

# A user, without any other group.
as_user() {
	inside setpriv --reuid $uid --regid $uid --clear-groups \
		env HOME=/ XDG_RUNTIME_DIR=/run/user/$uid "$@"
}

as_nobody() {
	inside setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}

# ask WHO PROGRAM ARGUMENT...: runs a program of these tests; WHO is one of the above.
ask() {
	local who=$1 program=$2

	shift 2
	"$who" python3 -B "$programs/$program" "$@"
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

# exits STATUS COMMAND...
exits() {
	local expected=$1 status=0

	shift
	"$@" || status=$?
	[ "$status" = "$expected" ] || {
		echo "$* exited with $status, expected $expected"
		return 1
	}
}

# eventually COMMAND...: within ten seconds
eventually() {
	local _

	for _ in $(seq 100); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	"$@"
}

property() {
	inside systemctl show --value -p "$2" "$1"
}

main_pid() {
	property "$1" MainPID
}

has_another_pid() {
	local pid

	pid=$(main_pid portscand.service)
	[ "$pid" != 0 ] && [ "$pid" != "$1" ]
}

# warns PATTERN...: the warnings about our units, and whatever is worse, since it was last asked:
# each of them has to be provoked, and none may be missing.
warns() {
	local seen

	inside journalctl --sync
	# But not what a manager says of a hierarchy of cgroups that has no controllers.
	seen=$(inside journalctl -q -o cat -p warning --cursor-file=/run/test.cursor \
		-u portscand.service -u portscand.socket |
		grep -v 'for control group .*, ignoring: ' || true)
	are_all_of "$seen" "$@"
}

# are_all_of LINES PATTERN...: each line is like one of the patterns, and each pattern like one.
are_all_of() {
	local line pattern is_found lines=()

	[ -z "$1" ] || mapfile -t lines <<<"$1"
	shift
	for line in "${lines[@]}"; do
		is_found=
		for pattern in "$@"; do
			# shellcheck disable=SC2053 # a pattern
			[[ $line != $pattern ]] || is_found=1
		done
		[ -n "$is_found" ] || {
			echo "unexpected: $line"
			return 1
		}
	done
	for pattern in "$@"; do
		is_found=
		for line in "${lines[@]}"; do
			# shellcheck disable=SC2053 # a pattern
			[[ $line != $pattern ]] || is_found=1
		done
		[ -n "$is_found" ] || {
			echo "missing: $pattern"
			return 1
		}
	done
}

# unit NAME: a unit, as in stdin, of the system inside
unit() {
	# shellcheck disable=SC2016 # for the shell inside
	inside sh -euc 'cat >/run/systemd/system/$0; systemctl daemon-reload' "$1"
}

# The machine's or the newer systemd, with the build

install_build() {
	local log=$build/meson-logs/install-log.txt

	# "ninja uninstall" goes by the log, which is not to be that of a test.
	[ ! -f "$log" ] || cp -p "$log" "$work/install-log.before"
	DESTDIR=$work/installed meson install -C "$build" --no-rebuild --quiet >"$work/log"
	sed -n "s|^$work/installed/|/|p" "$log" >"$work/installed.files"
	rm -f "$log"
	[ ! -f "$work/install-log.before" ] || mv "$work/install-log.before" "$log"
}

set_up() {
	local trees=("$work/installed" "$work/tests") status=0

	case $(meson introspect "$build" --buildoptions |
		python3 -c 'import json, sys
print({o["name"]: o["value"] for o in json.load(sys.stdin)}["prefix"])') in
	/usr | /usr/local) ;;
	*)
		skip_all "systemd looks for units below the prefixes /usr and /usr/local only"
		;;
	esac
	install_build
	mkdir -p "$work/tests$programs"
	cp "$here"/*.py "$work/tests$programs/"
	if [ "$version" = newer ]; then
		"$here/fetch.sh" "$build/systemd-newer" 2>"$work/log" || skip_all "$(tail -n 1 "$work/log")"
		trees+=("$build/systemd-newer")
	fi
	"$here/boot.sh" start "$work/state" "${trees[@]}" >"$work/log" 2>&1 || status=$?
	[ $status != 77 ] || skip_all "$(tail -n 1 "$work/log")"
	if [ $status != 0 ]; then
		sed 's/^/# /' "$work/log"
		echo "Bail out! systemd can't be booted"
		exit 1
	fi
	echo "# $(inside systemctl --version | head -n 1)"
	# As README.md has it.
	inside ldconfig
	inside systemd-sysusers 2>"$work/log"
	inside systemctl daemon-reload
	inside sh -c "echo 'u tester $uid' | systemd-sysusers -" 2>"$work/log"
	# Somebody who listens.
	unit peer.socket <<<"[Socket]
ListenStream=127.0.0.1:$port"
	unit peer.service <<<"[Service]
ExecStart=sleep infinity"
	inside systemctl start peer.socket
}

finish() {
	echo "1..$n"
	[ $n_failed = 0 ]
}
