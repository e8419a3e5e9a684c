#!/bin/sh
# Installs the peers beside this file, in the versions the lock files name; does nothing when that has been done.
set -eu
cd "$(dirname "$0")"
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
	npm ci --no-audit --no-fund --loglevel=error --engine-strict=false
fi
if [ ! .venv/made -nt requirements.txt ]; then
	rm -rf .venv
	python3 -m venv .venv
	# Only the SQL and the command are wanted of them, so without what their clients depend on.
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	touch .venv/made
fi
