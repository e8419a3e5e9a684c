#!/bin/sh
# PostgreSQL with FlowForge, as the user postgres. The first start makes the cluster, its keys and the database `flowforge`; later ones only
# start it. Data and keys are in $FLOWFORGE_DATA (/var/lib/flowforge), to which a volume belongs: a dump does not hold the keys.
#
#   FLOWFORGE_PASSWORD      of two roles: flowforge, which owns the database and administers tenant 1, and gateway (needed by the first start)
#   FLOWFORGE_JWT_SECRET    signs the tokens of users
#   FLOWFORGE_SIGNING_KEY   and FLOWFORGE_EVENT_KEYS: as in docs/settings.md
#
# What follows on the command line is handed to postgres (-c setting=value).
set -eu
home=${FLOWFORGE_DATA:-/var/lib/flowforge}
bin=/usr/lib/postgresql/15/bin

# A value for postgresql.conf or SQL.
quoted() {
	printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"
}

sql() {
	"$bin/psql" -qX -v ON_ERROR_STOP=1 -h "$home" -U postgres "$@"
}

make_cluster() {
	: "${FLOWFORGE_PASSWORD:?the first start needs FLOWFORGE_PASSWORD}"
	# An attempt that was interrupted left this behind.
	rm -rf "$home/data.new"
	"$bin/initdb" -D "$home/data.new" -U postgres --auth-local=peer --auth-host=scram-sha-256 --locale=C.UTF-8 >/dev/null
	(umask 077 && for key in secret audit; do [ -s "$home/$key.key" ] || head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$home/$key.key"; done)
	cat >>"$home/data.new/postgresql.conf" <<-CONF
		listen_addresses = '*'
		unix_socket_directories = $(quoted "$home")
		shared_preload_libraries = 'flowforge,pg_cron'
		cron.database_name = 'flowforge'
		flowforge.databases = 'flowforge'
		flowforge.auth = on
		flowforge.secret_key_file = $(quoted "$home/secret.key")
		flowforge.audit_key_file = $(quoted "$home/audit.key")
		include_if_exists = 'flowforge.conf'
	CONF
	echo 'host all all all scram-sha-256' >>"$home/data.new/pg_hba.conf"
	"$bin/pg_ctl" -D "$home/data.new" -o "-c listen_addresses='' -c flowforge.databases=nowhere" -w -s start
	sql -d postgres <<-SQL
		create role flowforge login password $(quoted "$FLOWFORGE_PASSWORD");
		create database flowforge owner flowforge;
		\\connect flowforge
		create extension pg_cron;
		create extension flowforge;
		select ff_grant('flowforge', 1, 'admin') \\g /dev/null
		create role gateway login password $(quoted "$FLOWFORGE_PASSWORD") in role flowforge_gateway;
	SQL
	"$bin/pg_ctl" -D "$home/data.new" -m fast -w -s stop
	mv "$home/data.new" "$home/data"
}

# Settings that come from the environment are written anew at each start.
write_settings() {
	umask 077
	{
		echo "flowforge.jwt_secret = $(quoted "${FLOWFORGE_JWT_SECRET:-}")"
		echo "flowforge.signing_key = $(quoted "${FLOWFORGE_SIGNING_KEY:-}")"
		echo "flowforge.event_keys = $(quoted "${FLOWFORGE_EVENT_KEYS:-}")"
	} >"$home/data/flowforge.conf"
}

[ -s "$home/data/PG_VERSION" ] || make_cluster
write_settings
exec "$bin/postgres" -D "$home/data" "$@"
