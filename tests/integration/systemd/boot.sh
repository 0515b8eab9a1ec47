#!/bin/bash
# boot.sh: boots a real systemd as PID 1 of namespaces of its own, over this machine's root.
#
#   boot.sh start STATE [DIR]...   boot; returns when it is up. The files under each DIR are laid
#                                  over the root: an installed tree, another version of systemd
#   boot.sh exec STATE COMMAND...  run COMMAND inside, as root
#   boot.sh log STATE              what was printed on its console
#   boot.sh stop STATE             end it; nothing of it is left
#
# STATE is a directory, made by start and removed by stop. Nothing inside can change a file of
# this machine (overlayfs over a tmpfs, /sys and /proc/sys read-only), and the network is a
# loopback of its own. Whatever runs inside dies with its PID 1.
#
# start exits with 77, and says why, where this can't be done: it needs root, overlayfs, cgroup2,
# and the commands of util-linux, script and ip. The hierarchy of cgroups may be hybrid: the
# systemd inside sees a unified one, but without the controllers that are bound to version 1.
set -euo pipefail

self=$(readlink -f "$0")
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Units that a container has no use for, or that would touch the machine.
masked_units=(
	apparmor.service console-getty.service dbus.service dbus.socket dev-hugepages.mount
	getty.target kmod-static-nodes.service ldconfig.service proc-sys-fs-binfmt_misc.automount
	sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount
	sys-kernel-tracing.mount systemd-ask-password-console.path systemd-ask-password-wall.path
	systemd-binfmt.service systemd-boot-update.service systemd-firstboot.service
	systemd-hwdb-update.service systemd-journal-flush.service systemd-logind.service
	systemd-modules-load.service systemd-networkd.service systemd-pcrphase.service
	systemd-pstore.service systemd-random-seed.service systemd-remount-fs.service
	systemd-resolved.service systemd-sysctl.service systemd-sysusers.service
	systemd-timesyncd.service systemd-udev-trigger.service systemd-udevd-control.socket
	systemd-udevd-kernel.socket systemd-udevd.service systemd-update-done.service
	systemd-update-utmp.service
)

die() {
	echo "boot.sh: $*" >&2
	exit 1
}

cannot() {
	echo "boot.sh: $*" >&2
	exit 77
}

# Inside, in the order in which it happens

# PID 1 of the new namespaces goes into its cgroup, and makes that the root of what it sees.
enter_cgroup() {
	echo 0 >"$state_cgroup/cgroup.procs"
	exec unshare --cgroup /bin/bash "$self" --boot "$state"
}

mount_root() {
	local base=$state/base directory

	mount --make-rprivate /
	mount -t tmpfs -o size=2g,mode=0755 upper "$base"
	mkdir -p "$base/upper" "$base/work" "$base/root"
	# Copied, as overlayfs refuses a second lower directory that is inside the first.
	for directory in "${over[@]}"; do
		cp -a "$directory/." "$base/upper/"
	done
	mount -t overlay overlay \
		-o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
}

mount_api() {
	local root=$1 device

	mkdir -p "$root"/{proc,sys,dev,run,tmp,old_root}
	mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
	mount --bind "$root/proc/sys" "$root/proc/sys"
	mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
	mount -o remount,bind,ro "$root/proc/sys"
	[ ! -e "$root/proc/sysrq-trigger" ] || mount --bind /dev/null "$root/proc/sysrq-trigger"
	mount -t sysfs -o nosuid,nodev,noexec,ro sysfs "$root/sys"
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
	mount -t tmpfs -o mode=0755,nosuid dev "$root/dev"
	for device in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
		# shellcheck disable=SC2086 # three words
		set -- $device
		mknod -m 666 "$root/dev/$1" c "$2" "$3"
	done
	mkdir -p "$root"/dev/{pts,shm,mqueue}
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	ln -s fd/0 "$root/dev/stdin"
	ln -s fd/1 "$root/dev/stdout"
	ln -s fd/2 "$root/dev/stderr"
	mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/dev/shm"
	mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs "$root/run"
	mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/tmp"
	# The terminal that script(1) gave us, so that what is printed at boot is kept.
	: >"$root/dev/console"
	mount --bind "$(tty)" "$root/dev/console"
}

# Forgets what the machine has enabled: boots to a target of our own.
configure() {
	local root=$1 unit
	local units=$root/etc/systemd/system

	mkdir -p "$units"
	rm -rf "$units"/*.wants "$units"/*.requires "$units/default.target" \
		"$root"/{usr/,}lib/systemd/system/{multi-user,graphical}.target.wants \
		"$root/var/log/journal"
	: >"$root/etc/fstab"
	tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
	echo portscand-test >"$root/etc/hostname"
	hostname portscand-test
	for unit in "${masked_units[@]}"; do
		ln -sf /dev/null "$units/$unit"
	done
	cat >"$units/up.target" <<-'U'
		[Unit]
		Description=Up
		Requires=basic.target
		After=basic.target
		AllowIsolate=yes
	U
	ln -s up.target "$units/default.target"
}

boot() {
	local root=$state/base/root

	mount_root
	mount_api "$root"
	configure "$root"
	ip link set lo up
	cd "$root"
	pivot_root . old_root
	umount -l /old_root
	# container= makes systemd leave out what only a machine needs.
	exec /usr/bin/env -i PATH=$path container=other TERM=dumb LANG=C.UTF-8 \
		"$init" --log-target=journal-or-kmsg --show-status=yes \
		</dev/console >/dev/console 2>&1
}

# Outside

leader() {
	cat "$state/pid" 2>/dev/null
}

# Our PID 1 lives: it is still in our cgroup, and so no other process with its number.
alive() {
	local pid

	pid=$(leader) && [ -n "$pid" ] || return 1
	! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || return 1
	grep -qF "/$(basename "$(cat "$state/cgroup")")" "/proc/$pid/cgroup" 2>/dev/null
}

inside() {
	nsenter -t "$(leader)" -m -u -i -n -p -C -r -w -- \
		/usr/bin/env -i PATH=$path HOME=/root TERM=dumb LANG=C.UTF-8 SYSTEMD_PAGER= \
		SYSTEMD_COLORS=0 "$@"
}

check_needs() {
	local command

	[ "$(id -u)" = 0 ] || cannot "only root can boot a systemd"
	for command in unshare nsenter script ip setsid; do
		command -v "$command" >/dev/null || cannot "$command is missing"
	done
	grep -qw cgroup2 /proc/filesystems || cannot "this kernel has no cgroup2"
	mkdir -p "$state/try"/{base,root}
	# shellcheck disable=SC2016 # for the shell inside
	unshare --mount --net --uts --ipc --pid --cgroup --fork /bin/sh -euc '
		mount --make-rprivate /
		mount -t tmpfs tmpfs "$1/base"
		mkdir "$1/base/upper" "$1/base/work"
		mount -t overlay overlay \
			-o "lowerdir=/,upperdir=$1/base/upper,workdir=$1/base/work" "$1/root"
	' sh "$state/try" 2>"$state/try.log" ||
		cannot "no overlay over / in namespaces here: $(tail -n 1 "$state/try.log")"
}

find_init() {
	local directory name

	for directory in "${over[@]}" ""; do
		for name in /usr/lib/systemd/systemd /lib/systemd/systemd; do
			if [ -x "$directory$name" ]; then
				echo $name
				return
			fi
		done
	done
}

make_cgroup() {
	local directory

	for directory in /sys/fs/cgroup/unified /sys/fs/cgroup; do
		[ -e "$directory/cgroup.controllers" ] || continue
		# Where it is read-only this is as good as not there.
		! mkdir "$directory/portscand-test.$$" 2>/dev/null || {
			echo "$directory/portscand-test.$$"
			return
		}
	done
	mkdir -p "$state/cgroup2"
	mount -t cgroup2 cgroup2 "$state/cgroup2" || return
	mkdir "$state/cgroup2/portscand-test.$$" || return
	echo "$state/cgroup2/portscand-test.$$"
}

# The one process in the cgroup whose innermost number is 1.
find_leader() {
	local pid

	find "$state_cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null | while read -r pid; do
		if grep -qE '^NSpid:.*\s1$' "/proc/$pid/status" 2>/dev/null; then
			echo "$pid"
			break
		fi
	done
}

wait_until_up() {
	local is_up='' _

	for _ in $(seq 300); do
		is_up=$(inside systemctl is-system-running 2>/dev/null || true)
		case $is_up in
		running)
			return
			;;
		degraded)
			inside systemctl --failed --no-legend >&2
			die "a unit failed at boot"
			;;
		esac
		alive || break
		sleep 0.1
	done
	cat "$state/console.log" >&2
	die "systemd did not come up (${is_up:-it died})"
}

start() {
	local init script_pid _

	over=()
	for _ in "$@"; do
		over+=("$(readlink -e "$_")")
	done
	! alive || die "$state is in use"
	rm -rf --one-file-system "$state"
	mkdir -p "$state/base"
	state=$(readlink -f "$state")
	trap 'rm -rf --one-file-system "$state"' EXIT
	check_needs
	init=$(find_init)
	[ -n "$init" ] || cannot "systemd is missing"
	state_cgroup=$(make_cgroup) || cannot "no cgroup can be made here"
	echo "$state_cgroup" >"$state/cgroup"
	trap 'stop' EXIT
	declare -p state over init state_cgroup >"$state/variables"

	# script(1) is its console, and setsid keeps it out of our terminal.
	setsid script -qefc "exec unshare --mount --net --uts --ipc --pid --fork --kill-child \
		/bin/bash '$self' --enter '$state'" "$state/console.log" \
		</dev/null >/dev/null 2>&1 &
	script_pid=$!
	for _ in $(seq 100); do
		find_leader >"$state/pid"
		[ ! -s "$state/pid" ] || break
		kill -0 "$script_pid" 2>/dev/null || break
		sleep 0.05
	done
	if [ ! -s "$state/pid" ]; then
		cat "$state/console.log" >&2
		die "the namespaces did not come up"
	fi
	wait_until_up
	trap - EXIT
}

stop() {
	local group _

	if alive; then
		kill -KILL "$(leader)" 2>/dev/null || true
		for _ in $(seq 50); do
			alive || break
			sleep 0.1
		done
	fi
	if [ -s "$state/cgroup" ]; then
		group=$(cat "$state/cgroup")
		for _ in $(seq 20); do
			[ -d "$group" ] || break
			find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
		done
		[ ! -d "$state/cgroup2" ] || umount "$state/cgroup2"
	fi
	rm -rf --one-file-system "$state"
}

[ $# -ge 2 ] || die "usage: boot.sh start|exec|log|stop STATE [ARGUMENT]..."
action=$1
state=$2
shift 2
case $action in
start)
	start "$@"
	;;
exec)
	alive || die "nothing runs in $state"
	inside "$@"
	;;
log)
	cat "$state/console.log"
	;;
stop)
	stop
	;;
--enter | --boot)
	# shellcheck source=/dev/null # what start has declared
	. "$state/variables"
	"$(if [ "$action" = --enter ]; then echo enter_cgroup; else echo boot; fi)"
	;;
*)
	die "usage: boot.sh start|exec|log|stop STATE [ARGUMENT]..."
	;;
esac
