#!/bin/sh
# Writes docs/sql-api.md from the comments of a database that has the extension, docs/errors.md from src/util/errors.h,
# docs/settings.md from the server's own table of settings, and docs/command-line.md and the manual
# page docs/flowforge.1 from the program's help.
#
#   scripts/gen-docs.sh           writes them
#   scripts/gen-docs.sh --check   fails when they are not what it would write
#
# The database is the one psql connects to (PGHOST, PGPORT, PGDATABASE, ...) as a superuser of a server that has preloaded the library. The
# same sources give the same text on every machine.
set -eu
cd "$(dirname "$0")/.."

query() {
	psql -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"
}

functions() {
	query "
		select format(E'### \`%s\`\n\n\`\`\`sql\n%s(%s) returns %s\n\`\`\`\n\n%s\n', p.proname, p.proname,
			case when pg_get_function_arguments(p.oid) = '' then '' else E'\n\t' || replace(pg_get_function_arguments(p.oid), ', ', E',\n\t') || E'\n' end,
			pg_get_function_result(p.oid), obj_description(p.oid, 'pg_proc'))
		from pg_proc p
		join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
		join pg_extension e on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid and e.extname = 'flowforge'
		where p.proname like 'ff\\_%'
		order by p.proname collate \"C\", pg_get_function_identity_arguments(p.oid) collate \"C\""
}

views() {
	query "
		select format(E'### \`flowforge.%s\`\n\n%s\n\n| column | type |\n|---|---|\n%s\n', c.relname, obj_description(c.oid, 'pg_class'),
			(select string_agg(format('| \`%s\` | %s |', a.attname, format_type(a.atttypid, a.atttypmod)), E'\n' order by a.attnum)
			from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped))
		from pg_class c
		where c.relnamespace = 'flowforge'::regnamespace and c.relkind = 'v'
		order by c.relname collate \"C\""
}

sql_api() {
	cat <<-END
		# The SQL API

		Made by \`scripts/gen-docs.sh\` from the comments in the database; do not edit. Functions are in the schema the extension was
		created in, by default \`public\`; tables and views are in \`flowforge\`.

		## Functions

	END
	functions
	printf '%s\n\n' '## Views'
	views
}

# Rows of the table in errors.h: X(NAME, 'a', 'b', 'c', status, "title"), each of which may be broken over lines.
error_rows() {
	tr -d '\\' <src/util/errors.h | tr -s '[:space:]' ' ' | sed 's/ X(/\n X(/g' |
		sed -n "s/^[[:space:]]*X([A-Z_]*, '\(.\)', '\(.\)', '\(.\)', \([0-9]*\), \"\(.*\)\").*/\1 \1\2\3 \4 \5/p" |
		awk -v area="$1" '$1 == area { code = $2; status = $3; $1 = $2 = $3 = ""; sub(/^ +/, ""); printf "| `FF%s` | %s | %s |\n", code, status, $0 }'
}

error_area() {
	printf '## %s\n\n| SQLSTATE | HTTP | meaning |\n|---|---|---|\n' "$2"
	error_rows "$1"
	echo
}

errors() {
	cat <<-END
		# Errors

		Made by \`scripts/gen-docs.sh\` from \`src/util/errors.h\`; do not edit. Every error a caller can cause has an SQLSTATE of class FF, a
		message, a detail that names the offending value, and a hint that says what to do. Over HTTP it is the answer's \`code\`.

	END
	error_area 0 'Events, functions and runs'
	error_area 1 'The expression language'
	error_area 2 'The HTTP API'
	error_area 3 'Triggers: schedules, webhooks and watched tables'
	error_area 4 'Steps the server takes itself'
	error_area 5 'Graphs, workflows and registered functions'
	error_area 6 'Who may do what'
	cat <<-END
		## Others

		Over HTTP, values PostgreSQL itself refuses (SQLSTATE class 22) are 400, conflicts with what is stored (class 23) 409, a server that is
		short of something or restarting (classes 40, 53, 57 and \`55P03\`) 503, and everything else 500, whose reason is in the server's log
		under the id in \`x-request-id\`.
	END
}

# A setting whose default is for the machine to say says so in its long description ("By default ...").
server_settings() {
	printf '%s\n|---|---|---|---|---|\n' '| setting | default | range | changed by | description |'
	query "
		select format('| \`%s\` | %s | %s | %s | %s |', name,
			case when extra_desc like 'By default %' then 'by machine' when boot_val = '' then 'empty' else '\`' || boot_val || coalesce(' ' || nullif(unit, ''), '') || '\`' end,
			case vartype when 'bool' then 'on, off' when 'string' then 'text' when 'enum' then array_to_string(enumvals, ', ') else min_val || ' to ' || max_val || coalesce(' ' || nullif(unit, ''), '') end,
			case context when 'postmaster' then 'restart' when 'sighup' then 'reload' when 'superuser' then 'a superuser, in a session' else context end,
			concat_ws(' ', short_desc, extra_desc))
		from pg_settings
		where name like 'flowforge.%'
		order by name collate \"C\""
	echo
}

help_of() {
	printf '%s\n' '```'
	NO_COLOR=1 src/gateway/flowforge help "$@"
	printf '%s\n\n' '```'
}

settings() {
	cat <<-END
		# Settings

		Made by \`scripts/gen-docs.sh\` from \`pg_settings\` and from the program's help; do not edit.

		## Of the server

		In \`postgresql.conf\`, by \`alter system\` and, where a session may change them, by \`alter database\`, \`alter role\` and \`set\`. Units may be
		written: \`'2h'\`, \`'4MB'\`. Those changed by a reload take effect with \`select pg_reload_conf()\`.

	END
	server_settings
	cat <<-END
		## Of the gateway

		Each option wins over its variable, and that over a line of the file that \`--config\` names.

	END
	help_of serve
	cat <<-END
		A listening socket that is passed on as systemd does it (\`LISTEN_FDS\`, \`LISTEN_PID\`) is served instead of host and port. SIGTERM and
		SIGINT end it: requests under way are answered, streams end, and the exit code is 0. SIGHUP has files and certificate read again. What
		the options do is told in [the gateway in production](gateway.md).
	END
}

command_line() {
	cat <<-END
		# The command line

		Made by \`scripts/gen-docs.sh\` from the program's help; do not edit.

	END
	help_of
	src/gateway/flowforge help --man | sed -n 's/^\.SS "flowforge \(.*\)"/\1/p' | tr -d '\\' | while read -r command; do
		printf '## flowforge %s\n\n```\n' "$command"
		# shellcheck disable=SC2086
		NO_COLOR=1 src/gateway/flowforge $command --help
		printf '%s\n\n' '```'
	done
}

manual() {
	src/gateway/flowforge help --man
}

# Writes a page, or compares it.
page() {
	"$2" > "$work/page.md"
	sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' "$work/page.md" > "$work/trimmed.md"
	if [ "$mode" = write ]; then
		mkdir -p docs
		cp "$work/trimmed.md" "$1"
		echo "wrote $1"
	elif ! diff -u "$1" "$work/trimmed.md"; then
		echo "$1 is out of date: run scripts/gen-docs.sh" >&2
		failed=1
	fi
}

case "${1-}" in
	'') mode=write ;;
	--check) mode=check ;;
	*) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
if ! query "select 1 from pg_extension where extname = 'flowforge'" > "$work/extension" || [ ! -s "$work/extension" ]; then
	echo "$0: psql must reach a database with the extension (PGHOST, PGPORT, PGDATABASE)" >&2
	exit 2
fi
page docs/sql-api.md sql_api
page docs/errors.md errors
page docs/settings.md settings
page docs/command-line.md command_line
page docs/flowforge.1 manual
exit $failed
