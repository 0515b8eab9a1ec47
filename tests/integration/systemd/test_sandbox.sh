#!/bin/bash
# test_sandbox.sh BUILD_DIR [newer]: installs the build into a booted systemd, this machine's or
# Debian 13's, and holds the daemon in its sandbox to all that it does for root, for users, and
# for nobody. Prints TAP. Needs root; see boot.sh and lib.sh.
set -euo pipefail

# shellcheck source=tests/integration/systemd/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
foreign_host=10.99.0.2
readme=$here/../../../README.md

start() {
	inside systemctl -q enable --now portscand.socket
	# In tenths. It fails if there is more, and says where.
	check "its exposure is 1.7 at most" inside systemd-analyze security --no-pager --threshold=17 \
		portscand.service
}

test_methods() {
	local who

	# First, as they see leases, too.
	for who in inside as_user as_nobody; do
		check "check, find, scan and wait, via connect, table and bind, $who" \
			ask $who sandbox.py via "$port"
	done
	for who in inside as_user; do
		check "wait for what changes, $who" ask $who sandbox.py wait
		check "leases with descriptors, $who" ask $who sandbox.py descriptors
	done
	for who in inside as_user as_nobody; do
		check "ports below 1024, $who" ask $who sandbox.py low_ports
		check "what ends leases, $who" ask $who sandbox.py until
		check "leases as of a port server, $who" ask $who sandbox.py portserver
	done
	check "a name is looked up" is "localhost:$port open (accepted, *" \
		as_user portscan check localhost "$port"
}

test_leases_of_others() {
	local lease

	read -r -a lease < <(ask as_user sandbox.py give)
	check "leases of others can't be seen or ended" \
		ask as_nobody sandbox.py not_mine "${lease[@]}"
	check "root ends it" inside portscan release "${lease[0]}"
}

test_foreign_targets() {
	local about=(sandbox.py foreign "$foreign_host" 80)

	check "there is a foreign host" inside sh -euc "
		systemd-sysusers - <<-E
			u alice 4712
		E
		ip netns add foreign
		ip link add here type veth peer name there netns foreign
		ip addr add 10.99.0.1/24 dev here
		ip link set here up
		ip -n foreign addr add $foreign_host/24 dev there
		ip -n foreign link set there up
		systemd-run -q --unit=foreign ip netns exec foreign python3 -m http.server -b $foreign_host 80
		portscan wait $foreign_host 80
	"
	check "root may have it probed" ask inside "${about[@]}" open
	check "a user may not" ask as_user "${about[@]}" denied
	check "nobody may not" ask as_nobody "${about[@]}" denied
	check "nobody is told what to do about it" \
		is "*$foreign_host may not be probed by you; *the group portscan*" \
		as_nobody portscan check $foreign_host 80
	check "alice may not" ask as_alice "${about[@]}" denied
	check "the group is there to be joined" inside usermod -aG portscan alice
	check "then she may" ask as_alice "${about[@]}" open
	check "this host may be probed by nobody, on each address" \
		is "10.99.0.1:1 closed (refused, *" as_nobody portscan check 10.99.0.1 1
	inside sh -euc "echo allow = 10.99.0.0/24 >/etc/portscand.conf"
	inside systemctl reload portscand.service
	check "allow is for nobody, too" eventually ask as_nobody "${about[@]}" open
	inside sh -euc "echo deny = $foreign_host >>/etc/portscand.conf"
	inside systemctl reload portscand.service
	check "deny is for root, too" eventually ask inside "${about[@]}" denied
	inside rm /etc/portscand.conf
	inside systemctl reload portscand.service
	check "all is as it was" eventually ask inside "${about[@]}" open
}

as_alice() {
	inside setpriv --reuid alice --regid alice --init-groups "$@"
}

# who_has PORT WHO UNIT USER PID
who_has() {
	is $'PROTO *\n'"tcp "*":$1 "*" LISTEN "*" $3 "*" $4 "*" $5 "* "$2" portscan who "$1"
}

test_who() {
	local pid

	inside systemd-run -q --unit=web --uid=tester python3 -m http.server 8123
	inside portscan wait 8123 >"$work/log"
	pid=$(main_pid web.service)
	check "who names the unit of a service, and its process to its user" \
		who_has 8123 as_user web.service tester "$pid"
	check "and to root" who_has 8123 inside web.service tester "$pid"
	check "but to nobody else" who_has 8123 as_nobody web.service tester "-"
	check "the command, too" is "*$pid  *python3 -m http.server 8123" as_user portscan who 8123
	check "the daemon itself may not look at processes" \
		is '*"unit":"web.service","pid":null,"command":null*' inside portscan who 8123 --json
	check "who names a socket unit, and the process of its service" \
		who_has "$port" inside peer.socket root "$(main_pid peer.service)"
	inside systemctl stop web.service
}

shop_port() {
	inside portscan leases --all --json | python3 -c 'import json, sys
print(*[lease["ports"][0] for lease in json.load(sys.stdin)["leases"]
        if lease["name"] == "shop" and lease["state"] == "in_use"])'
}

shop_is_at() {
	is "$1" shop_port && return
	inside portscan leases --all
	return 1
}

# As README.md has it, with Type=notify.
test_run() {
	local first pid

	# As is usual, others have leases.
	inside portscan lease --until released >"$work/log"
	inside sh -euc 'cat >/usr/bin/shop; chmod +x /usr/bin/shop' <<-'E'
		#!/usr/bin/python3
		import os, signal, socket, sys
		server = socket.create_server(("", int(sys.argv[sys.argv.index("--port") + 1])))
		with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
		    manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
		signal.pause()
	E
	{
		grep -B 1 -m 1 '^ExecStart=portscan run' "$readme"
		printf 'Type=notify\nTimeoutStartSec=20\n'
	} | unit shop.service
	check "a unit with portscan run is in order" says_nothing \
		inside systemd-analyze verify --man=no shop.service
	check "it starts, and says itself that it is ready" inside systemctl start shop.service
	pid=$(main_pid shop.service)
	first=$(shop_port)
	check "it has a port of those asked for" test "${first:-0}" -ge 8000 -a "${first:-0}" -le 8999
	check "it took the place of portscan" is "*/shop --port $first*" \
		inside sh -c "tr '\\0' ' ' </proc/$pid/cmdline"
	check "who names it" who_has "$first" inside shop.service root "$pid"
	check "it restarts" inside systemctl restart shop.service
	check "it has the same port again" shop_is_at "$first"
	inside systemctl restart portscand.service
	check "also after a restart of the daemon" shop_is_at "$first"
	inside systemctl kill -s KILL shop.service
	inside systemctl reset-failed shop.service
	check "the lease ends with it" eventually shop_is_at ""
	check "it starts again" inside systemctl start shop.service
	check "with the same port" shop_is_at "$first"
	inside systemctl stop shop.service

	inside systemd-run -q --unit=listens --uid=tester --setenv=PYTHONUNBUFFERED=1 \
		portscan run --listen 9000-9099 -- python3 -c '
import os, signal, socket
assert (os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"]) == ("1", str(os.getpid()))
server = socket.socket(fileno=3)
assert server.getsockname()[1] == int(os.environ["PORT"])
while True:
    server.setblocking(True)
    server.accept()[0].close()'
	check "run hands over a socket that listens" eventually is "90??" \
		inside portscan find 9000-9099 --open
	inside systemctl stop listens.service
	check "which ends with it" eventually exits 1 inside portscan find 9000-9099 --open
}

# As the texts have it.
test_varlink() {
	local socket=/run/portscand.sock
	local registered=/run/varlink/registry/io.portscand

	if ! inside sh -c 'command -v varlinkctl' >"$work/log"; then
		# The newer one has it.
		[ "$version" != newer ] || check "there is varlinkctl" false
		return 0
	fi
	check "varlinkctl info" is "*Product: portscand*" as_user varlinkctl info $registered
	check "varlinkctl introspect" is "*interface io.portscand*method Check(*" \
		as_user varlinkctl introspect $socket io.portscand
	check "varlinkctl introspect without an interface" is "*interface io.portscand*" \
		as_user varlinkctl introspect $registered
	check "varlinkctl call" is '*"status":*"open"*' \
		as_user varlinkctl call $socket io.portscand.Check "{\"port\":$port}"
	check "varlinkctl call, an error" is "*io.portscand.TargetDenied*" \
		as_user varlinkctl call $socket io.portscand.Check '{"port":80,"host":"10.99.0.2"}'
	check "varlinkctl call --more" is '*"ports":*'"$port"'*"total":*10000*' \
		as_user varlinkctl call --more $socket io.portscand.Scan '{"ports":["1-10000"]}'
	check "varlinkctl leases" is '*"protocol":*"both"*"state":*"held"*' as_user varlinkctl call \
		$socket io.portscand.Lease '{"protocol":"both","until":"released"}'
	check "varlinkctl exec: has a daemon of its own" is '*"status":*"open"*' as_user \
		varlinkctl call "exec:$(grep '/portscand$' "$work/installed.files")" \
		io.portscand.Check "{\"port\":$port}"
	if inside varlinkctl --help | grep -q -e --exec; then
		check "varlinkctl --exec hands over a socket that listens" is "True" \
			as_user varlinkctl call --exec $socket io.portscand.Lease \
			'{"pass_fd":true,"listen":true}' -- python3 -c \
			'import socket; print(socket.socket(fileno=3).getsockname()[1] >= 20000)'
	fi
}

set_up
start
test_methods
test_leases_of_others
test_foreign_targets
test_who
test_run
test_varlink
check "no warning in all that" warns
finish
