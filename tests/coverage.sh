#!/bin/sh
# coverage.sh: which lines of daemon/ and protocol/ the tests run, and which they don't. Builds in
# build-coverage/, runs the units, the corpora of the fuzzers and the integration tests. Fails if
# one of them does, or if of ten lines less than nine are run. Needs gcc and gcovr.
#
# What a daemon does that a test kills is not counted.
set -eu

cd "$(dirname "$0")/.."
build_dir=build-coverage
status=0

if ! command -v gcovr >/dev/null; then
	echo "coverage.sh: install gcovr first" >&2
	exit 1
fi
if [ ! -f $build_dir/build.ninja ]; then
	CC=gcc meson setup -Dbuildtype=debug -Db_coverage=true $build_dir
fi
ninja -C $build_dir
# Empty ones, which daemons of every user may fill.
find $build_dir -name '*.gcno' | while read -r notes; do
	: >"${notes%.gcno}.gcda"
	chmod a+w "${notes%.gcno}.gcda"
done
python3 tests/report.py $build_dir --suite unit --suite fuzz --suite integration || status=1
find $build_dir -name '*.gcda' -empty -delete
gcovr --root . --filter daemon/ --filter protocol/ --fail-under-line 90 $build_dir || status=1
exit $status
