#!/bin/sh
# The test of @name@, in an environment of its own. FLOWFORGE_PYTHON is where the package comes from, if not from the index.
set -eu
cd "$(dirname "$0")"
if [ ! -d .venv ]; then
	python3 -m venv .venv
	.venv/bin/pip install -q "${FLOWFORGE_PYTHON:-flowforge}"
fi
.venv/bin/python -m unittest -q
echo "@name@: the test has passed"
