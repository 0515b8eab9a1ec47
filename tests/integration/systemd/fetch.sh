#!/bin/bash
# fetch.sh DIR: unpacks Debian 13's systemd, which is newer and has varlinkctl, and the libraries
# that it needs into DIR, from the archive that this machine's apt is set up with. Nothing is
# installed: apt works with a state of its own, and no maintainer script runs. Does nothing if DIR
# is there. Exits with 77, and says why, where it can't be had.
set -euo pipefail

suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages=(
	systemd libsystemd-shared libsystemd0 libnss-systemd libudev1 libc6 libssl3t64 libcap2
	libcrypt1 libmount1 libblkid1 libseccomp2 libselinux1 libacl1 libpam0g libaudit1
	libpcre2-8-0 libcap-ng0 libzstd1 zlib1g libgcc-s1 libuuid1
)

cannot() {
	echo "fetch.sh: $*" >&2
	exit 77
}

destination=$(readlink -m "$1")
[ ! -d "$destination" ] || exit 0
command -v apt-get >/dev/null || cannot "there is no apt here"
[ -r $keyring ] || cannot "$keyring is missing"
# shellcheck disable=SC2016 # apt's words, not the shell's
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
	grep -E '/debian/?$' | head -n 1 || true)
[ -n "$archive" ] || cannot "apt knows no archive of Debian; run apt-get update"

mkdir -p "$(dirname "$destination")"
work=$(mktemp -d "$destination.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{root,lists/partial,cache/archives/partial}
echo "deb [signed-by=$keyring] $archive $suite main" >"$work/sources.list"
: >"$work/status"
apt() {
	apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o Dir::State::Lists="$work/lists" -o Dir::State::status="$work/status" \
		-o Dir::Cache="$work/cache" -o Acquire::Languages=none \
		-o APT::Sandbox::User=root -o APT::Default-Release= -o Acquire::Retries=3 "$@"
}
apt update >"$work/log" 2>&1 || cannot "no list of $suite: $(tail -n 1 "$work/log")"
cd "$work/cache/archives"
apt download "${packages[@]}" >"$work/log" 2>&1 ||
	cannot "no packages of $suite: $(tail -n 1 "$work/log")"

# What base-files would have made.
for directory in bin sbin lib lib64; do
	mkdir -p "$work/root/usr/$directory"
	ln -s "usr/$directory" "$work/root/$directory"
done
for package in *.deb; do
	dpkg-deb --fsys-tarfile "$package" |
		tar -x --keep-directory-symlink -C "$work/root"
done
# Documentation; and what is to be this machine's, not theirs.
rm -rf "$work"/root/usr/share/{doc,man,locale,bug,lintian} "$work/root/etc"
mv "$work/root" "$destination"
