#!/bin/bash
# test_units.sh BUILD_DIR [newer]: installs the build into a booted systemd, this machine's or
# Debian 13's, and holds the units to what they are for, from the first start to the removal.
# Prints TAP. Needs root; see boot.sh and lib.sh.
set -euo pipefail

# shellcheck source=tests/integration/systemd/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
config=/etc/portscand.conf

test_socket_activation() {
	check "the units are in order" says_nothing \
		inside systemd-analyze verify --man=no portscand.socket portscand.service
	check "nothing is enabled by itself" is disabled inside systemctl is-enabled portscand.socket
	check "the service enables its socket" inside systemctl -q enable portscand.service
	check "the socket is enabled" is enabled inside systemctl is-enabled portscand.socket
	check "the socket can be enabled and started" \
		inside systemctl -q enable --now portscand.socket
	check "nothing runs yet" is inactive inside systemctl is-active portscand.service
	check "everybody may connect" is 666 inside stat -c %a /run/portscand.sock
	check "the registry has it" is /run/portscand.sock \
		inside readlink -f /run/varlink/registry/io.portscand
	check "the first requests start the daemon, once" ask inside leases.py storm
	check "it runs" is active inside systemctl is-active portscand.service
	check "it is ready and says so" is "Serving /run/portscand.sock, @unittest-portserver" \
		property portscand.service StatusText
	check "it is no root" is portscand inside sh -c \
		"ps -o user= -p $(main_pid portscand.service)"
	check "it has one capability" is $'Cap*:\t0000000000000400' inside sh -c \
		"grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/$(main_pid portscand.service)/status | uniq -f 1"
	check "its directory is its own" is "portscand 755" \
		inside stat -c '%U %a' /run/portscand
	check "what it writes there is seen by nobody else" is "portscand 600" inside sh -c \
		'portscan lease --ttl 1000 >/dev/null; stat -c "%U %a" /run/portscand/* | sort -u'
	check "the log says that it serves" is "*serving /run/portscand.sock*" \
		inside journalctl -q -o cat -p info -u portscand
}

test_requests() {
	local who

	for who in inside as_user as_nobody; do
		check "check, by $who" is "127.0.0.1:1 closed (refused, *" "$who" portscan check 1
		check "find, by $who" is $((port + 1)) "$who" portscan find "$port-"
		check "scan lists what listens and nothing else, by $who" \
			is $'*\n'"$port "*$'\n1 open, 65534 closed, *' "$who" portscan scan
		check "info, by $who" is '*"product":"portscand"*' "$who" portscan info --json
	done
}

test_restart() {
	local inode pid

	inode=$(inside stat -c %i /run/portscand.sock)
	pid=$(main_pid portscand.service)
	check "restart" inside systemctl restart portscand.service
	check "the socket is the same" is "$inode" inside stat -c %i /run/portscand.sock
	check "the daemon is another" has_another_pid "$pid"
	check "it answers" exits 0 as_user portscan check "$port"
	check "stop leaves the socket" inside systemctl -q stop portscand.service
	check "it ended well" is success property portscand.service Result
	check "the next request starts it again" exits 0 as_user portscan check "$port"
	pid=$(main_pid portscand.service)
	check "the service manager starts itself anew" inside systemctl daemon-reexec
	check "the daemon stays, and answers" exits 0 as_user portscan check "$port"
	check "it is the same" is "$pid" main_pid portscand.service
	check "its socket is watched again" inside sh -euc "
		systemctl -q stop portscand.service
		portscan check $port
		systemctl is-active portscand.service
	"
}

# What is in force is held to it by leases.
test_configuration() {
	check "no warning before the mistakes" warns
	check "reload, SIGHUP, and a mistake that changes nothing" ask inside sandbox.py configure
	check "the mistake is told with file and line" warns "$config:3: *quarantine-ms*" \
		"the configuration stays as it was"

	# So it is at the start, but then there is nothing to stay.
	inside sh -euc "echo nonsense = 1 >$config"
	check "a mistake at the start keeps it from starting" \
		exits 1 inside systemctl restart portscand.service
	# shellcheck disable=SC2016 # for the shell inside
	check "it is tried again and again" eventually inside sh -euc '
		test "$(systemctl show --value -p NRestarts portscand.service)" -ge 3
		systemctl is-active portscand.socket'
	inside rm $config
	check "until it is mended" eventually is active inside systemctl is-active portscand.service
	check "it answers after that" exits 0 as_user portscan check "$port"
	check "that mistake is told, too" warns "$config:1: *nonsense*" "*Failed with result*" \
		"*Failed to start*"
}

test_crash() {
	local pid

	pid=$(main_pid portscand.service)
	inside systemctl kill -s KILL portscand.service
	check "started again after a crash" eventually has_another_pid "$pid"
	check "it answers after a crash" exits 0 as_user portscan check "$port"
	check "the crash is in the journal" warns "*Main process exited, code=killed*" \
		"*Failed with result 'signal'*"

	check "it has a watchdog" is 30s property portscand.service WatchdogUSec
	inside mkdir /run/systemd/system/portscand.service.d
	unit portscand.service.d/test.conf <<<$'[Service]\nWatchdogSec=1s'
	inside systemctl restart portscand.service
	pid=$(main_pid portscand.service)
	sleep 1.5
	check "it feeds the watchdog" is "$pid" main_pid portscand.service
	inside systemctl kill -s STOP portscand.service
	check "the watchdog replaces a daemon that hangs" eventually has_another_pid "$pid"
	check "it answers after that" exits 0 as_user portscan check "$port"
	check "that is in the journal" warns "*Watchdog timeout*" \
		"*Main process exited, code=*" "*Failed with result 'watchdog'*"
}

test_leases() {
	# First, as that is when something is stored.
	check "ten thousand leases cost the service manager little" ask inside leases.py cost
	# Still with a watchdog of a second.
	check "leases outlive whatever happens to the daemon, their ports never free" \
		ask inside leases.py outlive restart kill hang daemon_reexec kill daemon_reload \
		reload restart_into_a_mistake restart
	check "servers on leased ports, and what ends leases, outlive it" \
		ask inside sandbox.py goes_on
	check "nothing else went wrong" warns "*Main process exited, code=*" \
		"*Failed with result 'signal'*" "*Watchdog timeout*" \
		"*Failed with result 'watchdog'*" "$config:1: *" "*Failed with result 'exit-code'*" \
		"*Failed to start*"
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
		printf '[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i HOME=/tmp/home\n' \
			>/run/systemd/system/user@.service.d/test.conf
		install -d -o $uid /tmp/home
		systemctl daemon-reload
	"
	check "a user's manager starts" inside systemctl start user@$uid.service
	check "the user's units are in order" says_nothing as_user \
		systemd-analyze --user verify --man=no portscand.socket portscand.service
	check "the user's socket is enabled and starts" \
		as_user systemctl -q --user enable --now portscand.socket
	check "nobody else may connect" is 600 inside stat -c %a /run/user/$uid/portscand.sock
	check "the user's registry has it" is /run/user/$uid/portscand.sock \
		as_user readlink -f /run/user/$uid/varlink/registry/io.portscand
	check "the user's own daemon answers" is "127.0.0.1:$port open (accepted, *" \
		as_user portscan check "$port"
	check "it is the user's own" is "Serving /run/user/$uid/portscand.sock" \
		as_user systemctl --user show --value -p StatusText portscand.service
	test_leases_of_user_instance
	check "it stops" \
		as_user systemctl -q --user disable --now portscand.socket portscand.service
	check "nothing is left" says_nothing inside sh -c \
		"ls -d /run/user/$uid/portscand* /run/user/$uid/varlink/registry/*portscan* 2>/dev/null;
		ps -C portscand -o pid= -u $uid | grep -v ."
	check "no warning from it but of the crash" \
		is $'*Main process exited*\n*Failed with result \'signal\'*' \
		inside journalctl -q -o cat -p warning _SYSTEMD_USER_UNIT=portscand.service + \
		USER_UNIT=portscand.service
	check "the user's manager stops" inside systemctl stop user@$uid.service
}

test_leases_of_user_instance() {
	local lease

	lease=$(as_user portscan lease --until released)
	check "a lease of it" is "*$lease *held*released*tester*" as_user portscan leases
	check "which it keeps over a restart" as_user systemctl --user restart portscand.service
	check "it has it" is "*$lease *held*released*tester*" as_user portscan leases
	as_user systemctl --user kill -s KILL portscand.service
	check "and over a crash" eventually is "*$lease *held*released*tester*" \
		as_user portscan leases
	check "its port is bound" is "*$lease open (in_use, *" \
		as_user portscan check "$lease" --via bind
	# shellcheck disable=SC2016
	check "who names the user's manager" is "*user@$uid.service *tester *http.server*" as_user sh -euc '
		systemd-run -q --user --unit=web portscan run 9000-9009 -- python3 -m http.server {port}
		for i in $(seq 100); do
			port=$(portscan find 9000-9009 --open) && break
			sleep 0.1
		done
		portscan who $port'
	check "what it ran stops" as_user systemctl --user stop web.service
}

test_stop() {
	local lease

	lease=$(inside portscan lease --until released)
	check "a port is held" is "*$lease open (in_use, *" \
		inside portscan check "$lease" --via bind
	check "socket and service stop" inside systemctl -q disable --now \
		portscand.socket portscand.service
	check "nothing failed" says_nothing inside systemctl --failed --no-legend
	check "no warning of that" warns
	check "no file is left" says_nothing inside sh -c \
		'ls -d /run/portscand* /run/varlink/registry/io.portscand /sys/fs/cgroup/*/portscand* \
			/tmp/*portscand* /var/tmp/*portscand* /etc/systemd/system/*/portscand* 2>/dev/null'
	check "no socket is left" says_nothing \
		inside sh -c "grep -E 'portscan|unittest' /proc/net/unix"
	check "no process is left" says_nothing \
		inside sh -c 'ps -o pid=,args= -C portscand; ps -o pid=,args= -u portscand'
	check "no port is held any more" inside python3 -c "import socket
with socket.socket() as one:
    one.bind(('', $lease))"
	check "no daemon answers" exits 4 inside portscan lease
}

# As README.md has it; what "ninja uninstall" removes is in the log of the installation.
test_purge() {
	inside rm -r /run/systemd/system/portscand.service.d
	# shellcheck disable=SC2016 # for the shell inside
	inside sh -euc 'while read -r path; do
		if [ -d "$path" ] && [ ! -h "$path" ]; then
			rmdir "$path" 2>/dev/null || true
		else
			rm "$path"
		fi
	done' <"$work/installed.files"
	inside sh -euc 'ldconfig; systemctl daemon-reload'
	check "the user goes" inside userdel portscand
	check "the group goes" inside groupdel portscan
	check "neither is left" says_nothing \
		inside sh -c 'getent passwd portscand; getent group portscand portscan'
	check "no unit is left" says_nothing inside sh -c \
		"systemctl list-unit-files --no-legend 'portscand*'
		systemctl list-units --all --no-legend 'portscand*'"
	check "no file is left of the installation" says_nothing inside sh -c \
		"find /usr /etc /run /var /tmp /dev -xdev -iname '*portscan*' \
			-not -path '$programs*' -not -path '/usr/lib/python*' -not -path '/run/portscand-test*'"
	check "nothing failed in the end" says_nothing inside systemctl --failed --no-legend
	check "no warning in the end" warns
}

set_up
test_socket_activation
test_requests
test_restart
test_user_instance
test_configuration
test_crash
test_leases
test_stop
test_purge
finish
