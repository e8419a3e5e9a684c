#!/bin/bash
# The benchmarks: run.sh [lang] [sandbox] [send] [triggers] [throughput] [latency] [graphs] [sleepers]. Prints figures as ratios to limits measured in the same run.
set -eu
cd "$(dirname "$0")"
app=$(mktemp /tmp/flowforge-noop-XXXXXX)
trap 'rm -f "$app"' EXIT
all=${*:-lang sandbox}
case " $all " in *' lang '*) python3 lang.py ;; esac
case " $all " in *' sandbox '*) python3 sandbox.py ;; esac
rest=${*//lang/}
rest=${rest//sandbox/}
# Nothing named is everything; only these named is only these.
[ -n "$*" ] && [ -z "${rest// /}" ] && exit
# shellcheck disable=SC2086
set -- $rest
gcc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o "$app" noop_app.c
NOOP_APP=$app python3 bench.py "$@"
