#!/bin/sh
# Makes .venv with everything that running and testing need; does nothing when it is newer than setup.cfg.
set -eu
cd "$(dirname "$0")/.."
[ .venv/ready -nt setup.cfg ] && exit 0

python=""
for candidate in "${PYTHON:-}" python3.11 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "stackmaster needs Python 3.11 or newer; install it or name it: PYTHON=/path/to/python3 make …" >&2
    exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get -q update >&2
        DEBIAN_FRONTEND=noninteractive apt-get -qy install python3-venv >&2
    else
        echo "Python's venv module is missing: apt-get install python3-venv (as root)" >&2
        exit 1
    fi
fi

"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' >&2
touch .venv/ready
