#!/bin/bash
# The benchmarks: run.sh [lang] [send] [triggers] [throughput] [latency] [graphs] [sleepers]. Prints figures as ratios to limits measured in the same run.
set -eu
cd "$(dirname "$0")"
app=$(mktemp /tmp/flowforge-noop-XXXXXX)
trap 'rm -f "$app"' EXIT
case " ${*:-lang} " in *' lang '*) python3 lang.py ;; esac
[ "$*" = lang ] && exit
set -- ${*//lang/}
gcc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o "$app" noop_app.c
NOOP_APP=$app python3 bench.py "$@"
