#!/bin/sh
# Makes the virtualenv .venv of the Python applications under test; does nothing when it is newer than requirements.txt.
set -eu
cd "$(dirname "$0")"
[ .venv/made -nt requirements.txt ] && exit 0
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
touch .venv/made
