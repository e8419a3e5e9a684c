#!/bin/sh
# Installs what FlowForge needs on Debian 12 and what is not there yet; does nothing, at once, when all is there.
#
#   deps.sh dev     to build and run it (the default)
#   deps.sh check   also to test it
#   deps.sh bench   also to compare it with others
#   deps.sh lint    also to lint and format it
#
# Runs as root, or with sudo.
set -eu

dev='build-essential pkg-config postgresql-15 postgresql-client-15 postgresql-server-dev-15 postgresql-15-cron libpq-dev
	libcurl4-openssl-dev libssl-dev zlib1g-dev libargon2-dev libjansson-dev libjavascriptcoregtk-4.1-dev ca-certificates'
check='python3 python3-venv python3-jinja2 python3-jsonschema postgresql-15-pgtap libtap-parser-sourcehandler-pgtap-perl libipc-run-perl valgrind curl jq procps groff-base mandoc zsh'
bench='wrk nginx-light'
lint='clang-format clang-tidy cppcheck'

case "${1:-dev}" in
	dev) wanted=$dev ;;
	check) wanted="$dev $check" ;;
	bench) wanted="$dev $check $bench" ;;
	lint) wanted="$dev $lint" ;;
	*) echo "usage: deps.sh [dev|check|bench|lint]" >&2; exit 2 ;;
esac

# Node from elsewhere than Debian's packages serves as well, if it is new enough for the example and the tests.
node_is_missing() {
	! command -v npm >/dev/null 2>&1 || ! node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' >/dev/null 2>&1
}

# shellcheck disable=SC2086
there=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' $wanted 2>/dev/null || true)"
missing=
for package in $wanted; do
	case "$there" in
		*" $package=installed "*) ;;
		*) missing="$missing $package" ;;
	esac
done
if [ "${1:-dev}" != lint ] && node_is_missing; then
	missing="$missing nodejs npm"
fi
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root=sudo
	command -v sudo >/dev/null 2>&1 || { echo "deps.sh: these packages are missing, and there is no sudo:$missing" >&2; exit 1; }
fi

# Debian's package would start a cluster of its own; ours is private and made by `flowforge dev`.
if ! dpkg-query -W -f '${db:Status-Status}' postgresql-common 2>/dev/null | grep -qx installed &&
	! grep -qs '^ *create_main_cluster' /etc/postgresql-common/createcluster.conf; then
	$as_root mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' | $as_root tee -a /etc/postgresql-common/createcluster.conf >/dev/null
fi

echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
	# shellcheck disable=SC2086
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		-o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=120 $missing >"$log" 2>&1
}
if ! { $as_root apt-get update -qq >"$log" 2>&1 && install; }; then
	cat "$log" >&2
	echo "deps.sh: the packages could not be installed" >&2
	exit 1
fi
