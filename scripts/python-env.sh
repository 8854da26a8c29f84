#!/usr/bin/env bash
# A Python with pyzmq, for the tests that use real ZeroMQ sockets.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/python-env.sh [-h]

Makes a virtual environment with the pinned pyzmq (which brings its own libzmq) under the target folder, unless it is
there, and prints the path of its python. Needs python3 with venv, and PyPI or a mirror that pip knows.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
esac

pyzmq=27.1.0
cd "$(dirname "${BASH_SOURCE[0]}")/.."
env=${CARGO_TARGET_DIR:-target}/python-env
mkdir -p "$env"
exec 9>"$env.lock"
flock 9
if [ "$(cat "$env/made" 2>/dev/null)" != "$pyzmq" ]; then
    python3 -m venv "$env" >&2
    "$env/bin/pip" install --quiet --disable-pip-version-check "pyzmq==$pyzmq" >&2
    echo "$pyzmq" > "$env/made"
fi
realpath --no-symlinks "$env/bin/python"
