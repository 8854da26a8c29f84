#!/usr/bin/env bash
# Runs the main benchmark on this machine: 512 subscribers with a socket each, at 4 messages a second and as fast as
# possible, through the broker (proxy) and straight from the publisher (direct), side by side.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/demo.sh [-h] [SUBSCRIBERS]

Builds the commands in the profile `demo`, which takes less time than a release and optimises the crates that messages
pass through, checks this host (corecast doctor), and runs
    corecast-bench run --mode both --subscribers 512 --rate 4 --duration 10 --size 64
    corecast-bench run --mode both --subscribers 512 --rate flood --messages 20000 --size 64
Each starts a broker of its own. Prints deliveries and latencies for each mode.

SUBSCRIBERS replaces 512. Needs a Rust toolchain, cc and make, and nothing else.
Exit code: 0 if every message is accounted for, else that of the command that failed.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac
subscribers=${1-512}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need cargo cc make

bin=${CARGO_TARGET_DIR:-target}/demo
echo "== building (the first time takes some minutes)"
cargo build --profile demo --locked

echo
echo "== this host"
"$bin/corecast" doctor --open-files "$((2 * subscribers + 100))"

worst=0
run() {
    echo
    echo "== corecast-bench run $*"
    local code=0
    "$bin/corecast-bench" run "$@" || code=$?
    # A machine too slow for the rate (3) is worth a line, but no reason to skip the next run.
    if [ "$code" -ne 0 ]; then
        echo "exit code $code" >&2
        worst=$code
    fi
}
run --mode both --subscribers "$subscribers" --rate 4 --duration 10 --size 64 \
    --assert 'lost==0' --assert 'deliveries==deliveries_expected'
run --mode both --subscribers "$subscribers" --rate flood --messages 20000 --size 64 --assert 'lost==0'
exit "$worst"
