#!/bin/sh
# Runs bootstrap.py with the first Python of 3.11 or later that PATH offers; PYTHON=... names one instead.
set -eu
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14 python}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$candidate" "$(dirname "$0")/bootstrap.py" "$@"
    fi
done
echo "foyer: Python 3.11 or later is needed, and none was found on PATH (PYTHON=/path/to/python names one)" >&2
exit 1
