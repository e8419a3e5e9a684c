#!/bin/bash
# Every test, or the kinds named: check.sh [regress] [pgtap] [isolation] [lang] [graph] [schema] [sandbox] [tap] [gateway] [cli] [docs] [e2e] [sdk] [examples] [fuzz]. Ends with "N passed, N failed".
# FLOWFORGE_E2E names the files of the end-to-end tests, without .test.mjs, if not all are to be run.
#
# The SQL tests run in a private cluster in a temporary directory, as an unprivileged user; the others start their own servers.
set -u
cd "$(dirname "$0")/.."
root=$PWD
kinds=${*:-regress pgtap isolation lang graph schema sandbox docs e2e sdk examples tap gateway cli}
bin=$(pg_config --bindir)
work=$(mktemp -d /tmp/flowforge-check-XXXXXX)
chmod 755 "$work"
passed=0
failed=0
as_user=
if [ "$(id -u)" = 0 ]; then
	chown postgres "$work"
	as_user='runuser -u postgres --'
fi

stop_cluster() {
	[ -f "$work/data/postmaster.pid" ] && (cd /tmp && $as_user "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null)
}
cleanup() {
	stop_cluster
	[ -n "${FLOWFORGE_KEEP:-}" ] && cp -r "$work" "$FLOWFORGE_KEEP"; rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

count() { # name, ok?
	if [ "$2" = 0 ]; then
		passed=$((passed + 1))
		echo "ok - $1"
	else
		failed=$((failed + 1))
		echo "not ok - $1"
	fi
}

start_cluster() {
	(cd /tmp && $as_user "$bin/initdb" -D "$work/data" -A trust -N -U postgres --locale=C.UTF-8 >/dev/null) || return 1
	cat >>"$work/data/postgresql.conf" <<-CONF
		shared_preload_libraries = 'flowforge,pg_cron,pg_stat_statements'
		pg_stat_statements.track = all
		cron.database_name = 'flowforge_regress'
		flowforge.databases = 'nowhere'
		unix_socket_directories = '$work'
		listen_addresses = ''
		max_prepared_transactions = 5
		timezone = 'UTC'
		flowforge.audit_key_file = '$work/audit.key'
		flowforge.secret_key_file = '$work/secret.key'
	CONF
	printf '%064d' 7 >"$work/audit.key"
	printf '%064d' 8 >"$work/secret.key"
	(cd /tmp && $as_user "$bin/pg_ctl" -D "$work/data" -l "$work/log" -w start >/dev/null)
	export PGHOST=$work PGPORT=5432 PGUSER=postgres
}

run_regress() {
	mkdir -p "$work/regress" "$work/isolation"
	"$(dirname "$(pg_config --pgxs)")/../test/regress/pg_regress" --inputdir="$root" --outputdir="$work/regress" --bindir="$bin" \
		--dbname=flowforge_regress --host="$work" --user=postgres install util lang schema template operand graph send tenant trigger cron hook watch sdk register api tools control starters openapi outbound workflow flow held access jwt secret \
		>"$work/regress.out" 2>&1
	cat "$work/regress.out"
	while read -r line; do
		case "$line" in
			test*' ok '*) count "regress: $(echo "$line" | awk '{print $2}')" 0 ;;
			test*FAILED*) count "regress: $(echo "$line" | awk '{print $2}')" 1 ;;
		esac
	done <"$work/regress.out"
	grep -q '^test ' "$work/regress.out" || count 'regress: it runs' 1
	grep -q 'No such file' "$work/regress.out" && count 'regress: every test has its expected output' 1
	[ -f "$work/regress/regression.diffs" ] && head -150 "$work/regress/regression.diffs"
}

run_isolation() {
	local tester
	tester=$(dirname "$(pg_config --pgxs)")/../test/isolation/pg_isolation_regress
	"$tester" --inputdir="$root/test/isolation" --outputdir="$work/isolation" --bindir="$bin" --dbname=flowforge_isolation --host="$work" \
		--user=postgres $(cd "$root/test/isolation/specs" && ls *.spec | sed 's/\.spec$//') >"$work/isolation.out" 2>&1
	cat "$work/isolation.out"
	while read -r line; do
		case "$line" in
			test*' ok '*) count "isolation: $(echo "$line" | awk '{print $2}')" 0 ;;
			test*FAILED*) count "isolation: $(echo "$line" | awk '{print $2}')" 1 ;;
		esac
	done <"$work/isolation.out"
	grep -q '^test ' "$work/isolation.out" || count 'isolation: it runs' 1
	[ -f "$work/isolation/regression.diffs" ] && head -100 "$work/isolation/regression.diffs"
}

run_pgtap() {
	psql -qX -d postgres -c 'create database flowforge_pgtap' && psql -qX -d flowforge_pgtap -c 'create extension flowforge' -c 'create extension pgtap'
	for file in test/pgtap/*.sql; do
		take_tap "pgtap $(basename "$file" .sql)" psql -XqAt -v ON_ERROR_STOP=1 -d flowforge_pgtap -f "$file"
	done
	psql -XqAt -d flowforge_pgtap -c 'select * from flowforge.fsck()' >"$work/fsck.out" 2>&1
	cat "$work/fsck.out"
	count 'pgtap: flowforge.fsck() finds nothing afterwards' "$(test -s "$work/fsck.out"; echo $((1 - $?)))"
}

# Runs a command that prints TAP and counts its lines; a command that fails without a "not ok" counts as one failure.
take_tap() {
	local name=$1 line ok=0 bad=0 status
	shift
	"$@" >"$work/tap.out" 2>&1
	status=$?
	while IFS= read -r line; do
		case "$line" in
			'ok '*) ok=$((ok + 1)) ;;
			'not ok '*) bad=$((bad + 1)) ;;
		esac
	done <"$work/tap.out"
	[ "$status" != 0 ] && [ "$bad" = 0 ] && bad=1
	if [ "$bad" = 0 ]; then
		echo "ok - $name ($ok)"
	else
		cat "$work/tap.out"
		echo "not ok - $name ($bad of $((ok + bad)))"
	fi
	passed=$((passed + ok))
	failed=$((failed + bad))
}

# Tests that start their own servers wait more than they work: once all kinds have said what they have, FLOWFORGE_JOBS run side by side. A
# command prints TAP, or what node's test runner prints.
names=()
commands=()
later() { # name, command
	names+=("$1")
	commands+=("$2")
}

run_later() {
	local number
	for number in "${!commands[@]}"; do
		echo "$number ${commands[$number]}"
	done | xargs -r -d '\n' -n 1 -P "${FLOWFORGE_JOBS:-4}" sh -c 'number=${1%% *}; began=$(date +%s); sh -c "${1#* }" >"$0.$number" 2>&1
		echo $? >"$0.$number.status"; echo "# $(($(date +%s) - began)) s: ${1#* }"' "$work/side"
	for number in "${!commands[@]}"; do
		if grep -q '^ℹ pass ' "$work/side.$number"; then
			take_node "${names[$number]}" "$work/side.$number" "$(cat "$work/side.$number.status")"
		else
			take_tap "${names[$number]}" sh -c "cat '$work/side.$number'; exit $(cat "$work/side.$number.status")"
		fi
	done
}

# Counts what node's test runner printed. Leaves are counted, not the groups they stand in.
take_node() { # name, output, status
	local ok bad
	ok=$(sed -n 's/^ℹ pass //p' "$2")
	bad=$(sed -n 's/^ℹ fail //p' "$2")
	[ "$3" != 0 ] && [ "${bad:-0}" = 0 ] && bad=1
	passed=$((passed + ${ok:-0}))
	failed=$((failed + ${bad:-0}))
	if [ "${bad:-0}" = 0 ]; then
		echo "ok - $1 (${ok:-0})"
	else
		tail -150 "$2"
		echo "not ok - $1 ($bad)"
	fi
}

run_taps() {
	local kind=$1 file
	shift
	for file in "$@"; do
		later "$kind $(basename "$file" .py)" "exec python3 test/$kind/$file"
	done
}

# What hostile clients try, TLS and files are tried on a gateway that is built with sanitizers, in a copy of its sources.
run_gateway() {
	local part sanitized=$work/sanitized/src/gateway

	later 'gateway protocol' "exec python3 test/gateway/protocol_test.py '$root/src/gateway/flowforge'"
	mkdir -p "$work/sanitized/src"
	cp flowforge.control "$work/sanitized" && cp -r src/gateway "$work/sanitized/src" && rm -f "$sanitized"/*.o "$sanitized"/*/*.o "$sanitized/flowforge"
	make -s -C "$sanitized" SANITIZE=1 >"$work/sanitized.make" 2>&1 || { cat "$work/sanitized.make"; count 'gateway: it builds with sanitizers' 1; return; }
	nm -D "$sanitized/flowforge" | grep -q __asan_report_load
	count 'gateway: it is built with sanitizers' $?
	for part in hostile tls web websocket; do
		later "gateway $part, with sanitizers" "exec python3 -W ignore test/gateway/${part}_test.py '$sanitized/flowforge'"
	done
}

# `flowforge init` makes projects with our packages.
run_cli() {
	build_typescript
	run_taps cli $(cd test/cli && grep -l '__main__' *.py)
}

# The program itself, and one with a door by which the tests are what an engine would be that code has taken over.
run_sandbox() {
	make -s -C src/sandbox/program PROBE=1 BUILD="$work" >"$work/sandbox.make" 2>&1 || { cat "$work/sandbox.make"; count 'sandbox: it builds' 1; return; }
	take_tap 'sandbox' python3 test/sandbox/run.py "$bin/flowforge-sandbox" "$work/flowforge-sandbox"
}

# npm writes node_modules/.package-lock.json last: with it older than our lock file there is something to install.
install_packages() {
	[ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] && return
	(cd "$1" && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json)
}

run_docs() {
	psql -qX -d postgres -c 'create database flowforge_docs' && psql -qX -d flowforge_docs -c 'create extension flowforge'
	PGDATABASE=flowforge_docs sh scripts/gen-docs.sh --check
	count 'docs: the generated pages are up to date' $?
	take_tap 'docs snippets' python3 test/docs/snippets.py
	take_tap 'docs rules' python3 test/docs/rules.py
	install_packages examples/orders-typescript && install_packages sdk/typescript || { count 'docs: npm ci' 1; return; }
	local page
	for page in $(grep -l '^<!-- test: ' README.md docs/*.md); do
		later "docs $page" "exec python3 test/docs/walk.py $page"
	done
}

run_sdk_python() {
	sdk/python/venv.sh || { count 'sdk python: the virtualenv' 1; return; }
	local file
	for file in $(cd sdk/python/tests && ls test_*.py); do
		later "sdk python $(basename "$file" .py)" "cd sdk/python && exec .venv/bin/python tests/tap.py tests/$file"
	done
}

run_e2e() {
	install_packages test/e2e || { count 'e2e: npm ci' 1; return; }
	install_packages examples/orders-typescript || { count 'e2e: npm ci of the example' 1; return; }
	test/e2e/python/venv.sh || { count 'e2e: the virtualenv of the Python applications' 1; return; }
	local file
	for file in ${FLOWFORGE_E2E:-$(cd test/e2e && ls *.test.mjs | sed 's/\.test\.mjs$//')}; do
		later "e2e $file" "cd test/e2e && exec node --test --test-concurrency=1 --test-reporter=spec $file.test.mjs"
	done
}

# Once, though several kinds want it.
build_typescript() {
	[ -n "${typescript_built:-}" ] && return
	install_packages sdk/typescript || { count 'sdk: npm ci' 1; return 1; }
	(cd sdk/typescript && npm run --silent build) || { count 'sdk: the TypeScript package builds' 1; return 1; }
	typescript_built=yes
}

run_sdk_typescript() {
	install_packages test/e2e || { count 'sdk: npm ci' 1; return; }
	build_typescript || return
	local file
	for file in $(cd sdk/typescript/test && ls unit/*.test.mjs live/*.test.mjs | sed 's/\.test\.mjs$//'); do
		later "sdk typescript $file" "cd sdk/typescript && exec node --test --test-concurrency=1 --test-reporter=spec test/$file.test.mjs"
	done
}

# One table of scenarios with our packages and the published one side by side; it takes what the two above have prepared.
run_sdk_scenarios() {
	later 'sdk scenarios' "cd sdk/scenarios && exec node --test --test-concurrency=1 --test-reporter=spec scenarios.test.mjs"
}

run_examples() {
	sdk/python/venv.sh || { count 'examples: the virtualenv' 1; return; }
	build_typescript || return
	later 'examples' 'exec python3 test/examples/examples.py'
}

case " $kinds " in *' regress '* | *' pgtap '* | *' isolation '* | *' lang '* | *' graph '* | *' schema '* | *' docs '* | *' fuzz '*) start_cluster || count 'a private cluster starts' 1 ;; esac
for kind in $kinds; do
	case $kind in
		regress) run_regress ;;
		isolation) run_isolation ;;
		pgtap) run_pgtap ;;
		lang) take_tap 'lang properties' python3 test/lang/properties.py ;;
		schema) take_tap 'schema properties' python3 test/schema/properties.py ;;
		fuzz) for fuzzer in lang graph; do take_tap "fuzz $fuzzer" python3 test/fuzz/$fuzzer.py "${FUZZ_SECONDS:-60}"; grep '^ok' "$work/tap.out"; done ;;
		graph) take_tap 'graph properties' python3 test/graph/properties.py ;;
		sandbox) run_sandbox ;;
		tap) run_taps tap $(cd test/tap && grep -lE '^run\(|^\s+run\(|__main__' *.py) ;;
		gateway) run_gateway ;;
		cli) run_cli ;;
		docs) run_docs ;;
		sdk) run_sdk_python; run_sdk_typescript; run_sdk_scenarios ;;
		e2e) run_e2e ;;
		examples) run_examples ;;
		*) echo "unknown kind of test: $kind" >&2; exit 2 ;;
	esac
done
run_later
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
