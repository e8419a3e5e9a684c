#!/bin/bash
# The benchmarks: run.sh [lang] [definitions] [sandbox] [streaming] [send] [triggers] [throughput] [latency] [graphs] [memory] [fair] [gateway] [auth] [live] [sleepers]. Without a name, all of
# them. Prints figures as ratios to limits measured in the same run.
set -eu
cd "$(dirname "$0")"
rest=()
for part in ${*:-lang definitions sandbox streaming send triggers throughput latency graphs memory fair gateway auth live sleepers}; do
	case $part in
		lang | definitions | sandbox | streaming) python3 "$part.py" ;;
		live)
			FLOWFORGE_CLIENTS=1000 FLOWFORGE_IDLE_CLIENTS=5000 python3 ../tap/live.py many_clients idle_clients
			python3 fanout.py ../../src/gateway/flowforge
			;;
		*) rest+=("$part") ;;
	esac
done
[ ${#rest[@]} = 0 ] && exit
app=$(mktemp /tmp/flowforge-noop-XXXXXX)
trap 'rm -f "$app"' EXIT
gcc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o "$app" noop_app.c
NOOP_APP=$app python3 bench.py "${rest[@]}"
