#!/usr/bin/env bash
# The main job on this machine: 512 subscribers with a socket each, at 4 messages a second and as fast as it goes,
# through the broker (proxy) and straight from the publisher (direct), side by side.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/demo.sh [-h] [SUBSCRIBERS]

Builds the commands in release mode, says what this host allows (corecast doctor), and runs
    corecast-bench run --mode both --subscribers 512 --rate 4 --duration 10 --size 64
    corecast-bench run --mode both --subscribers 512 --rate flood --messages 20000 --size 64
Each starts a broker of its own. Prints, mode by mode, what arrived and how long it took.

SUBSCRIBERS takes the place of 512. Needs a Rust toolchain, cc and make, and nothing else.
Exit code: 0 when every message is accounted for, else that of the command that failed.
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

bin=${CARGO_TARGET_DIR:-target}/release
echo "== building (the first time takes some minutes)"
cargo build --release --locked

echo
echo "== what this host allows"
"$bin/corecast" doctor --open-files "$((2 * subscribers + 100))"

worst=0
run() {
    echo
    echo "== corecast-bench run $*"
    local code=0
    "$bin/corecast-bench" run "$@" || code=$?
    # A machine too slow for the rate (3) is worth a word, and the next run all the same.
    if [ "$code" -ne 0 ]; then
        echo "exit code $code" >&2
        worst=$code
    fi
}
run --mode both --subscribers "$subscribers" --rate 4 --duration 10 --size 64 \
    --assert 'lost==0' --assert 'deliveries==deliveries_expected'
run --mode both --subscribers "$subscribers" --rate flood --messages 20000 --size 64 --assert 'lost==0'
exit "$worst"
