#!/bin/sh
# The files of the projects `flowforge init` makes, as rows of a table in C: templates.sh DIRECTORY > templates.inc
set -eu
cd "$1"
find . -type f | LC_ALL=C sort | while read -r path; do
	path=${path#./}
	printf '{"%s", "%s",\n' "${path%%/*}" "${path#*/}"
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/ "/' -e 's/$/\\n"/' "$path"
	printf '},\n'
done
