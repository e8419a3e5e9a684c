#!/bin/sh
# Publishes the workflow and runs it until it waits for an approval: run.sh SHOP_URL. Needs a server started by `flowforge dev`.
set -eu
shop=$1
flowforge=${FLOWFORGE:-flowforge}
here=$(dirname "$0")

(cd "$here" && "$flowforge" psql -Xqf setup.sql)
run=$("$flowforge" psql -XqAtc "select ff_workflow_run('restock', jsonb_build_object('shop', '$shop'))")

ask() {
	"$flowforge" psql -XqAtc "$1"
}

tries=0
until [ "$(ask "select status in ('paused', 'completed', 'failed') from flowforge.runs where run_id = '$run'")" = t ]; do
	tries=$((tries + 1))
	[ "$tries" -lt 100 ] || break
	sleep 0.2
done

echo
ask "select format('  %-10s %s', status, name) from flowforge.steps where run_id = '$run' and step_id !~ '\[' order by position nulls last, started_at"
approval=$(ask "select approval_id from flowforge.approvals where run_id = '$run' and status = 'pending'")
if [ -n "$approval" ]; then
	echo
	ask "select '  ' || prompt from flowforge.approvals where approval_id = '$approval'"
	echo "  approve:   $flowforge psql -c \"select ff_approve('$approval', '{\\\"note\\\": \\\"with thanks\\\"}')\""
	echo "  then see:  $flowforge runs get $run"
else
	ask "select '  ' || ff_explain('$run')"
	[ "$(ask "select status from flowforge.runs where run_id = '$run'")" = completed ]
fi
