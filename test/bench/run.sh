#!/bin/bash
# The benchmarks: run.sh [lang] [graph] [send] [triggers] [throughput] [latency] [graphs] [sleepers]. Prints figures as ratios to limits measured in the same run.
set -eu
cd "$(dirname "$0")"
app=$(mktemp /tmp/flowforge-noop-XXXXXX)
trap 'rm -f "$app"' EXIT
for kind in lang graph; do
	case " ${*:-lang graph} " in *" $kind "*) python3 $kind.py ;; esac
done
case "$*" in lang | graph | 'lang graph') exit ;; esac
set -- $(echo " $* " | sed 's/ lang / /; s/ graph / /')
gcc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o "$app" noop_app.c
NOOP_APP=$app python3 bench.py "$@"
