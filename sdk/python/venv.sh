#!/bin/sh
# Makes the virtualenv .venv in which the SDK is tested; does nothing when it is newer than requirements-test.txt.
set -eu
cd "$(dirname "$0")"
[ .venv/made -nt requirements-test.txt ] && exit 0
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-test.txt
echo "$PWD/src" >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/flowforge.pth"
touch .venv/made
