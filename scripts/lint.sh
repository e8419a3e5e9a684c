#!/bin/bash
# The C sources compile without a warning and are formatted, and cppcheck and clang-tidy find nothing.
set -u
cd "$(dirname "$0")/.."
status=0
server=$(pg_config --includedir-server)

echo 'lint: -Wall -Wextra -Werror'
make -s -f extension.mk -j2 all >/tmp/flowforge-lint.$$ 2>&1 || { cat /tmp/flowforge-lint.$$; status=1; }
rm -f /tmp/flowforge-lint.$$

echo 'lint: clang-format'
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 | grep -E '(error|warning):' | sort -u | head -20
[ "${PIPESTATUS[1]}" = 0 ] || { echo 'lint: run "make format"'; status=1; }

echo 'lint: cppcheck'
cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr --std=c11 -j2 --suppress=unknownMacro \
	--suppress=nullPointerRedundantCheck --suppress=internalAstError --suppress=syntaxError --suppress=preprocessorErrorDirective -Isrc -Isrc/gateway -DFF_VERSION='"0"' src || status=1

echo 'lint: clang-tidy'
checks='-*,clang-analyzer-core.*,clang-analyzer-unix.*,bugprone-sizeof-expression,bugprone-suspicious-*,bugprone-infinite-loop,bugprone-macro-repeated-side-effects'
checks="$checks,-bugprone-suspicious-include,-bugprone-suspicious-string-compare,-clang-analyzer-core.StackAddressEscape,-clang-analyzer-core.CallAndMessage"
for file in $(git ls-files 'src/*.c'); do
	echo "$file"
done | xargs -P2 -n4 clang-tidy --quiet --checks="$checks" --warnings-as-errors='*' 2>/dev/null >/tmp/flowforge-tidy.$$ \
	--extra-arg=-Isrc --extra-arg=-Isrc/gateway --extra-arg=-I"$server" --extra-arg=-I/usr/include/postgresql --extra-arg=-D_GNU_SOURCE --extra-arg='-DFF_VERSION="0"' \
	--extra-arg='-DFF_PG_BINDIR="/"' --extra-arg=-Wno-macro-redefined --extra-arg=-Isrc/sandbox/program \
	$(pkg-config --cflags-only-I javascriptcoregtk-4.1 | sed 's/-I/--extra-arg=-I/g') || { grep -E 'error:|warning:' /tmp/flowforge-tidy.$$ | sort -u | head -40; status=1; }
rm -f /tmp/flowforge-tidy.$$

[ $status = 0 ] && echo 'lint: clean'
exit $status
