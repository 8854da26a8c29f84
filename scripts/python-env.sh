#!/usr/bin/env bash
# Makes a Python with pyzmq, for the tests and measurements that use real ZeroMQ sockets.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/python-env.sh [-h]

Makes a virtual environment with the pinned pyzmq (whose wheel brings its own libzmq: no system package) under the
target folder, unless it is there already, and prints the path of its python. Needs python3 with its venv module or pip,
and a package index that pip can reach.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
esac

pyzmq=27.1.0
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need python3 flock
env=${CARGO_TARGET_DIR:-target}/python-env
mkdir -p "$env"
# Several tests may ask at once: one makes it, the others wait.
exec 9>"$env.lock"
flock 9
if [ "$(cat "$env/made" 2>/dev/null)" != "$pyzmq" ]; then
    # Some systems ship venv without ensurepip: their own pip can fill the environment then.
    if python3 -c 'import ensurepip' 2>/dev/null; then
        python3 -m venv "$env" >&2
        pip=("$env/bin/python" -m pip)
    elif python3 -m pip --version >/dev/null 2>&1; then
        python3 -m venv --without-pip "$env" >&2
        pip=(python3 -m pip --python "$env/bin/python")
    else
        echo "error: python3 has neither ensurepip nor pip: install one of them (python3-venv, python3-pip)" >&2
        exit 1
    fi
    "${pip[@]}" install --quiet --disable-pip-version-check "pyzmq==$pyzmq" >&2
    echo "$pyzmq" > "$env/made"
fi
realpath --no-symlinks "$env/bin/python"
