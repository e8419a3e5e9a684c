#!/bin/bash
# The benchmarks: run.sh [lang] [definitions] [send] [triggers] [throughput] [latency] [graphs] [sleepers]. Prints figures as ratios to limits measured in the same run.
set -eu
cd "$(dirname "$0")"
app=$(mktemp /tmp/flowforge-noop-XXXXXX)
trap 'rm -f "$app"' EXIT
for kind in lang definitions; do
	case " ${*:-lang definitions} " in *" $kind "*) python3 $kind.py ;; esac
done
case "$*" in lang | definitions | 'lang definitions') exit ;; esac
set -- $(echo " $* " | sed 's/ lang / /; s/ definitions / /')
gcc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o "$app" noop_app.c
NOOP_APP=$app python3 bench.py "$@"
