#!/usr/bin/env bash
# Makes a Python with pyzmq, for the tests and measurements that use real ZeroMQ sockets, and with the parser of OpenMetrics.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/python-env.sh [-h]

Makes a virtual environment with the pinned pyzmq (whose wheel brings its own libzmq: no system package) and the pinned client of
Prometheus, whose parser of OpenMetrics is the reference, under the target folder, unless it is there already, and prints the path of its python. Needs python3 with its venv module or pip,
and a package index that pip can reach.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
esac

pyzmq=27.1.0
prometheus=0.26.0
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need python3 flock
# shellcheck source=scripts/venv.sh
. scripts/venv.sh
env=${CARGO_TARGET_DIR:-target}/python-env
venv "$env" "$pyzmq $prometheus" "pyzmq==$pyzmq" "prometheus-client==$prometheus"
realpath --no-symlinks "$env/bin/python"
