#!/bin/sh
# Builds FlowForge and puts what is to be installed below a directory: build.sh DIRECTORY
set -eu
cd "$(dirname "$0")/.."
sh scripts/deps.sh dev
make -s -f extension.mk -j"$(nproc)" all
make -s -f extension.mk install DESTDIR="$1"
