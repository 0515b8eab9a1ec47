#!/bin/sh
# run.sh [SECONDS]: builds the fuzz targets and runs each for so long (30), from the corpus.
# Fails on a finding, which is left in build-fuzz/findings. The whole daemon takes hours to say anything
# new: give it 7200.
set -eu

seconds=${1:-30}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
build=$here/../../build-fuzz
findings=$build/findings
status=0

if [ ! -f "$build/build.ninja" ]; then
	CC=clang meson setup -Dfuzz=true "$build" "$here/../.."
fi
mkdir -p "$findings"

for corpus in "$here"/corpus/*; do
	name=$(basename "$corpus")
	ninja -C "$build" "tests/fuzz/fuzz_$name" >/dev/null
	# What it finds of interest goes into a directory that does not last.
	scratch=$(mktemp -d)
	echo "$name, $seconds s"
	dictionary=
	[ ! -f "$here/$name.dict" ] || dictionary=-dict=$here/$name.dict
	"$build/tests/fuzz/fuzz_$name" ${dictionary:+"$dictionary"} \
		-max_total_time="$seconds" -timeout=60 \
		-artifact_prefix="$findings/$name-" -print_final_stats=1 \
		"$scratch" "$corpus" >"$findings/$name.log" 2>&1 || {
		status=1
		cat "$findings/$name.log"
	}
	grep -E 'number_of_executed_units|^Done' "$findings/$name.log" || true
	rm -rf "$scratch"
done
exit $status
