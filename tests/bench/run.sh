#!/bin/sh
# run.sh BENCH SOURCE_DIR: runs the bench, with the npm module beside it where npm can get it.
set -eu

bench=$1
source=$2
shift 2

modules=$(mktemp -d)
trap 'rm -rf "$modules"' EXIT
if command -v npm >/dev/null; then
	cp "$source/package.json" "$source/sweep.js" "$modules"
	(cd "$modules" && npm install --no-audit --no-fund --silent >/dev/null 2>&1) ||
		echo 'npm could not install portscanner: that row will fail'
fi
NPM_SWEEP=$modules/sweep.js "$bench" "$@"
