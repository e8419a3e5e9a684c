#!/bin/bash
# FlowForge beside other systems: run.sh [--rounds N] [--only NAME,...] [--quick], or make bench-peers. README.md tells what it does.
set -eu
cd "$(dirname "$0")"
sh install.sh
app=$(mktemp /tmp/flowforge-noop-XXXXXX)
trap 'rm -f "$app"' EXIT
gcc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o "$app" ../noop_app.c
NOOP_APP=$app python3 compare.py "$@"
