#!/bin/bash
# Fuzzes the language: fuzz-lang.sh [SECONDS of each fuzzer (60)] [SEED]. The module has AddressSanitizer and UndefinedBehaviorSanitizer,
# PostgreSQL is Debian's: a private copy of its installation, which finds its files relative to its programs, takes that module.
set -u
cd "$(dirname "$0")/.."
root=$PWD
seconds=${1:-60}
seed=${2:-$(date +%s)}
work=$(mktemp -d /tmp/flowforge-fuzz-XXXXXX)
chmod 755 "$work"
version=$(pg_config --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
bin="$work/usr/lib/postgresql/$version/bin"
as_user=
[ "$(id -u)" = 0 ] && as_user='runuser -u postgres --'
finish() {
	[ -f "$work/data/postmaster.pid" ] && (cd /tmp && $as_user "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null)
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

mkdir -p "$work/usr/lib/postgresql" "$work/usr/share/postgresql" "$work/source" "$work/reports"
chmod 777 "$work/reports"
cp -r "$(cd "$(pg_config --bindir)/.." && pwd)" "$work/usr/lib/postgresql/$version"
cp -r "$(pg_config --sharedir)" "$work/usr/share/postgresql/$version"
git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$work/source"

echo 'fuzz: building with sanitizers'
flags='-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=alignment -DUSE_ASSERT_CHECKING -Wno-error'
(cd "$work/source" &&
	for file in src/lang/*.c; do echo "${file%.c}.o: COPT += -include test/fuzz/lang_guard.h -Wno-unused-function"; done >>extension.mk &&
	make -s -f extension.mk -j2 flowforge.so flowforge--0.1.0.sql COPT="$flags" SHLIB_LINK='-lcurl -fsanitize=address,undefined') \
	>"$work/build.log" 2>&1 || { tail -40 "$work/build.log"; exit 1; }
install -m 755 "$work/source/flowforge.so" "$work/usr/lib/postgresql/$version/lib/"
install -m 644 "$work/source/flowforge.control" "$work/source/flowforge--0.1.0.sql" "$work/usr/share/postgresql/$version/extension/"

export ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=0:log_path=$work/reports/asan:quarantine_size_mb=4:intercept_memmem=0"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$work/reports/ubsan"
[ "$(id -u)" = 0 ] && chown postgres "$work"
(cd /tmp && $as_user "$bin/initdb" -D "$work/data" -A trust -N -U postgres --locale=C.UTF-8 >/dev/null) || exit 1
cat >>"$work/data/postgresql.conf" <<-CONF
	shared_preload_libraries = 'flowforge'
	flowforge.databases = 'nowhere'
	unix_socket_directories = '$work'
	listen_addresses = ''
CONF
gcc -O1 -shared -fPIC -Wl,-z,initfirst -o "$work/early.so" test/fuzz/early_asan.c || exit 1
preload="$(gcc -print-file-name=libasan.so) $work/early.so"
(cd /tmp && $as_user env LD_PRELOAD="$preload" "$bin/pg_ctl" -D "$work/data" -l "$work/log" -w start >/dev/null) || { tail "$work/log"; exit 1; }
export PGHOST=$work PGPORT=5432 PGUSER=postgres PATH="$bin:$PATH"

failed=0
for kind in grammar bytes; do
	python3 "$root/test/fuzz/lang.py" $kind "$seconds" "$seed" || failed=1
done
if ls "$work"/reports/* >/dev/null 2>&1; then
	echo 'fuzz: the sanitizers found:'
	head -60 "$work"/reports/* | head -200
	failed=1
fi
exit $failed
