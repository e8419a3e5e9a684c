#!/bin/sh
# The test of @name@: its types, and what it does. FLOWFORGE_TYPESCRIPT is where the package comes from, if not from the registry.
set -eu
cd "$(dirname "$0")"
if [ ! -d node_modules ]; then
	npm install --no-audit --no-fund --loglevel=error ${FLOWFORGE_TYPESCRIPT:+--no-save "$FLOWFORGE_TYPESCRIPT"}
fi
npm test --silent
echo "@name@: the test has passed"
