#!/bin/bash
# The tests with assertions and UndefinedBehaviorSanitizer in the extension, and with AddressSanitizer too in the gateway. PostgreSQL itself is Debian's: a private copy of
# its installation, which finds its files relative to its programs, takes the instrumented library, so that nothing else is touched.
set -u
cd "$(dirname "$0")/.."
kinds=${*:-regress pgtap tap gateway cli}
copy=$(mktemp -d /tmp/flowforge-memory-XXXXXX)
trap 'rm -rf "$copy"' EXIT
chmod 755 "$copy"
version=$(pg_config --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
mkdir -p "$copy/usr/lib/postgresql" "$copy/usr/share/postgresql" "$copy/source" "$copy/reports"
chmod 777 "$copy/reports"
cp -r "/usr/lib/postgresql/$version" "$copy/usr/lib/postgresql/"
cp -r "/usr/share/postgresql/$version" "$copy/usr/share/postgresql/"
git ls-files -z | xargs -0 cp --parents -t "$copy/source"
config="$copy/usr/lib/postgresql/$version/bin/pg_config"
flags='-g -O1 -fno-omit-frame-pointer -fsanitize=undefined -fno-sanitize=alignment'

echo 'check-memory: building with assertions and sanitizers'
(cd "$copy/source" &&
	make -s -f extension.mk -j2 flowforge.so flowforge--0.1.0.sql PG_CONFIG=pg_config COPT="-DUSE_ASSERT_CHECKING $flags -Wno-error" \
		SHLIB_LINK="-lcurl -fsanitize=undefined" >"$copy/build.log" 2>&1 &&
	make -s -C src/gateway SANITIZE=1 PG_CONFIG=pg_config bindir="$(dirname "$config")" >>"$copy/build.log" 2>&1) || { tail -40 "$copy/build.log"; echo '0 passed, 1 failed'; exit 1; }
install -m 755 "$copy/source/flowforge.so" "$copy/usr/lib/postgresql/$version/lib/"
install -m 644 "$copy/source/flowforge.control" "$copy/source/flowforge--0.1.0.sql" "$copy/usr/share/postgresql/$version/extension/"

export PATH="$(dirname "$config"):$PATH"
export ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=0:log_path=$copy/reports/asan:abort_on_error=0"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$copy/reports/ubsan"
export FLOWFORGE_KILLS=${FLOWFORGE_KILLS:-5} FLOWFORGE_QUIET_SECONDS=5
(cd "$copy/source" && bash scripts/check.sh $kinds)
status=$?
if ls "$copy"/reports/* >/dev/null 2>&1; then
	echo 'check-memory: the sanitizers found:'
	head -60 "$copy"/reports/* | head -200
	exit 1
fi
echo 'check-memory: nothing found'
exit $status
