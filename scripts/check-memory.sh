#!/bin/bash
# The tests under sanitizers: check-memory.sh [regress] [pgtap] [isolation] [lang] [tap] [gateway] [fuzz] [e2e]. Ends with "N passed, N failed".
#
# The extension runs with assertions, AddressSanitizer and UndefinedBehaviorSanitizer, the gateway with both sanitizers and its search for
# leaks. PostgreSQL itself is Debian's: a private copy of its installation, which finds its files relative to its programs, takes the
# instrumented library, and preloads ASan and test/memory/preload.c, by which every palloc is a malloc of its own; so ASan knows where each
# chunk ends and when it was freed. (MEMORY_CONTEXT_CHECKING, which would need a PostgreSQL of our own, knows less.) Leaks are not looked for
# in the server, whose contexts free what its code does not.
set -u
cd "$(dirname "$0")/.."
kinds=${*:-regress pgtap isolation lang tap gateway e2e}
copy=$(mktemp -d /tmp/flowforge-memory-XXXXXX)
trap '[ -n "${FLOWFORGE_KEEP:-}" ] && mv "$copy" "$FLOWFORGE_KEEP"; rm -rf "$copy"' EXIT
trap 'exit 1' INT TERM
chmod 755 "$copy"
version=$(pg_config --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
bin=$copy/usr/lib/postgresql/$version/bin
reports=$copy/reports
as_user=
[ "$(id -u)" = 0 ] && as_user='runuser -u postgres --'
sanitizers=address,undefined

copy_postgres() {
	mkdir -p "$copy/usr/lib/postgresql" "$copy/usr/share/postgresql" "$copy/usr/include"
	cp -r "$(dirname "$(pg_config --bindir)")" "$copy/usr/lib/postgresql/$version"
	cp -r "$(pg_config --sharedir)" "$copy/usr/share/postgresql/$version"
	ln -s "$(pg_config --includedir)" "$copy/usr/include/postgresql"
}

# The sources, and the packages the tests have installed, so that they need not be fetched again.
copy_source() {
	mkdir "$copy/source"
	git ls-files -z | xargs -0 cp -p --parents -t "$copy/source"
	for packages in test/e2e/node_modules examples/orders-typescript/node_modules; do
		[ -d "$packages" ] && ln -s "$PWD/$packages" "$copy/source/$packages"
	done
	return 0
}

build() {
	local flags="-g -O1 -fno-omit-frame-pointer -fsanitize=$sanitizers -Wno-error" config=$bin/pg_config
	local module="gcc -shared -fPIC -g -O1 -I$("$config" --includedir-server)"

	make -s -f extension.mk -j2 flowforge.so flowforge--0.1.0.sql PG_CONFIG="$config" COPT="-DUSE_ASSERT_CHECKING $flags" &&
		make -s -j2 -C src/gateway SANITIZE=1 PG_CONFIG="$config" &&
		make -s -j2 -C src/sandbox/program install PG_CONFIG="$config" &&
		$module -Wl,-z,initfirst -o "$copy/preload.so" test/memory/preload.c &&
		$module -DUSE_ASSERT_CHECKING $flags -o "$("$config" --pkglibdir)/canary.so" test/memory/canary.c &&
		install -m 755 flowforge.so "$("$config" --pkglibdir)/" &&
		install -m 644 flowforge.control flowforge--0.1.0.sql "$("$config" --sharedir)/extension/"
}

# Our postgres stands before the real one. initdb, which loads no extension, is spared the sanitizers. A process that has reported something
# must not end as if all were well: PostgreSQL takes exit code 1 for an orderly end.
stand_before_postgres() {
	local options=detect_leaks=0:detect_stack_use_after_return=0:handle_abort=1:exitcode=99:allocator_may_return_null=1
	options=$options:max_malloc_fill_size=4096:malloc_fill_byte=127:quarantine_size_mb=32:malloc_context_size=12:intercept_memmem=0
	local asan ubsan
	asan=$(readlink -f "$(gcc -print-file-name=libasan.so)")
	ubsan=$(readlink -f "$(gcc -print-file-name=libubsan.so)")
	mv "$bin/postgres" "$bin/postgres.real"
	cat >"$bin/postgres" <<-WRAPPER
		#!/bin/bash
		case "\${1:-}" in
			--boot | --single | --check | -V | --version) ;;
			*)
				export LD_PRELOAD="$asan $copy/preload.so $ubsan"
				export ASAN_OPTIONS=$options:log_path=$reports/server
				export UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/server
				;;
		esac
		exec -a "\$0" "$bin/postgres.real" "\$@"
	WRAPPER
	chmod 755 "$bin/postgres"
}

# The watch is tested first: a report for each fault committed on purpose.
test_watch_of_server() {
	local fault missed=0 data=$copy/canary

	install -d -m 700 "$data"
	[ -n "$as_user" ] && chown postgres "$data"
	(cd /tmp && $as_user "$bin/initdb" -D "$data" -A trust -N -U postgres && $as_user "$bin/pg_ctl" -D "$data" -l "$data/log" -w -t 60 \
		-o "-c listen_addresses= -k $data" start) >"$copy/canary.log" 2>&1 || { cat "$copy/canary.log" "$data/log"; return 1; }
	psql -qX -h "$data" -U postgres -d postgres -c "create function canary(text) returns integer language c strict as 'canary'"
	for fault in 'read beyond a chunk' 'read after pfree' 'read after reset' 'write beyond the stack' 'shift too far' 'assert wrongly'; do
		psql -qXAt -h "$data" -U postgres -d postgres -c "select canary('$fault')" >/dev/null 2>&1
		if ls "$reports"/server.* >/dev/null 2>&1; then
			rm -f "$reports"/*
		else
			echo "not ok - the sanitizers report this: $fault"
			missed=1
		fi
		until psql -qX -h "$data" -U postgres -d postgres -c 'select 1' >/dev/null 2>&1; do sleep 0.1; done
	done
	(cd /tmp && $as_user "$bin/pg_ctl" -D "$data" -m immediate -w stop) >/dev/null
	return $missed
}

test_watch_of_gateway() {
	gcc -g -O1 -fsanitize=$sanitizers -o "$copy/leak" test/memory/leak.c || return 1
	"$copy/leak" >/dev/null 2>&1
	ls "$reports"/gateway.* >/dev/null 2>&1 || { echo 'not ok - the sanitizers report this: a leak'; return 1; }
	rm -f "$reports"/*
}

# What is watched is what was built with the flags.
test_instrumentation() {
	local file check

	for file in "$("$bin/pg_config" --pkglibdir)/flowforge.so" "$copy/source/src/gateway/flowforge"; do
		for check in __asan_report_load __ubsan_handle_; do
			nm -D "$file" | grep -q "$check" || { echo "not ok - $(basename "$file") is built with $check"; return 1; }
		done
	done
}

print_reports() {
	local report

	echo 'check-memory: the sanitizers found:'
	for report in "$reports"/*; do
		echo "--- $(basename "$report")"
		head -60 "$report"
	done | head -400
}

copy_postgres && copy_source || exit 1
install -d -m 777 "$reports"
echo 'check-memory: building with assertions and sanitizers'
(cd "$copy/source" && build) >"$copy/build.log" 2>&1 || { tail -40 "$copy/build.log"; echo '0 passed, 1 failed'; exit 1; }
stand_before_postgres
export PATH="$bin:$PATH"
export ASAN_OPTIONS="detect_stack_use_after_return=0:log_path=$reports/gateway"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/gateway"
test_instrumentation && test_watch_of_server && test_watch_of_gateway || { echo '0 passed, 1 failed'; exit 1; }
echo 'ok - the sanitizers report each fault committed on purpose'

export FLOWFORGE_KILLS=${FLOWFORGE_KILLS:-5} FLOWFORGE_QUIET_SECONDS=${FLOWFORGE_QUIET_SECONDS:-5}
# What ASan keeps of freed memory, and puts around each chunk, is several times what the server takes.
export FUZZ_MEMORY_MB=${FUZZ_MEMORY_MB:-192}
export FLOWFORGE_E2E=${FLOWFORGE_E2E:-features badevents http sql} FLOWFORGE_E2E_MODES=${FLOWFORGE_E2E_MODES:-dev}
(cd "$copy/source" && bash scripts/check.sh $kinds) | tee "$copy/check.out" | grep -v --line-buffered '^[0-9]* passed, [0-9]* failed$'
passed=$(sed -n '$s/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$copy/check.out")
failed=$(sed -n '$s/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$copy/check.out")
found=$(find "$reports" -type f | wc -l)
[ "$found" = 0 ] || print_reports
echo "check-memory: $found processes were reported by the sanitizers"
echo "$((${passed:-0} + 1)) passed, $((${failed:-1} + found)) failed"
[ "$((${failed:-1} + found))" = 0 ]
