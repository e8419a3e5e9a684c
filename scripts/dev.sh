#!/bin/sh
# What `make dev` runs once everything is built: a private server, the example app, one real order followed to its end, one workflow to where
# it waits for an approval, then it serves until Ctrl-C. PORT (8288) is the server's, APP_PORT (the first free one from 3000) the app's.
set -eu
cd "$(dirname "$0")/.."

port=${PORT:-8288}
example=examples/orders-typescript
flowforge=$(command -v flowforge || echo src/gateway/flowforge)

is_taken() {
	node -e '
		const server = require("net").createServer();
		server.once("error", () => process.exit(0));
		server.listen(Number(process.argv[1]), () => process.exit(1));' "$1"
}

app_port=${APP_PORT:-3000}
if [ -z "${APP_PORT:-}" ]; then
	while [ "$app_port" -lt 3100 ] && is_taken "$app_port"; do
		app_port=$((app_port + 1))
	done
fi

# npm writes node_modules/.package-lock.json last: with it older than our lock file there is something to install.
if [ ! "$example/node_modules/.package-lock.json" -nt "$example/package-lock.json" ]; then
	echo "installing the example's packages"
	(cd "$example" && npm ci --no-audit --no-fund --loglevel=error)
	touch "$example/node_modules/.package-lock.json"
fi

order="o$(date +%s)"
exec "$flowforge" dev -p "$port" -u "http://localhost:$app_port/api/inngest" \
	--demo "flowforge send shop/order.created -d '{\"id\": \"$order\", \"total\": 42}' --wait && examples/restock-workflow/run.sh http://localhost:$app_port" \
	--next "docs/quickstart-{sql,python,typescript,inngest}.md, then examples/README.md" \
	-- env PORT="$app_port" node --import "./$example/node_modules/tsx/dist/loader.mjs" "$example/src/app.ts"
