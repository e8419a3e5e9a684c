#!/bin/sh
# What FlowForge needs to run, from Debian 12's packages. scripts/deps.sh installs what it needs to be built.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends postgresql-common
# The cluster is made by database.sh, where the volume is.
echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
apt-get install -qy --no-install-recommends postgresql-15 postgresql-15-cron libcurl4 libargon2-1 libjansson4 \
	libjavascriptcoregtk-4.1-0 ca-certificates
rm -rf /var/lib/apt/lists/*
