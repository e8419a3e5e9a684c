#!/bin/sh
# The test of @name@: on the server that `flowforge dev` runs here, else on one that is started for it and stopped again.
set -eu
cd "$(dirname "$0")"
flowforge=${FLOWFORGE:-flowforge}

ready() {
	"$flowforge" psql -Xqc 'select 1' >/dev/null 2>&1
}

if ! ready; then
	"$flowforge" dev -p "${PORT:-8299}" >dev.log 2>&1 &
	server=$!
	trap 'kill "$server" 2>/dev/null; wait "$server" || true' EXIT
	until ready; do
		kill -0 "$server" 2>/dev/null || { cat dev.log >&2; exit 1; }
		sleep 0.2
	done
fi

"$flowforge" psql -Xqf setup.sql
"$flowforge" psql -Xqf test.sql
echo "@name@: the test has passed"
