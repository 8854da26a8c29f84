#!/usr/bin/env bash
# Measures restarts that nobody notices: what is lost, what is told, and the longest pause of a subscriber.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/restart-test.sh [-h] [SUBSCRIBERS]

Builds in release mode and runs four tests of tests/transfers with SUBSCRIBERS [512], each with a session of its own, and 200
messages a second: clients that are sent from one broker to another, with an engine between them and without, and a broker that is
started again at a socket that stays, with history and without. Prints a line for each: what was lost and told, and the longest
time between two messages that one of the subscribers saw. All of them fail if anything is lost and not told; with an engine and with
history, if anything is lost or a gap is told at all.

Needs the same as scripts/test.sh; without nats-server (scripts/peers.sh install) the first is skipped. A subscriber takes a descriptor
here and one at each broker.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac
subscribers=${1-512}
if ! [[ $subscribers =~ ^[0-9]+$ ]] || [ "$subscribers" -eq 0 ]; then
    echo "error: SUBSCRIBERS must be a whole number from 1, not '$subscribers'" >&2
    exit 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need cargo cc make

CORECAST_TRANSFER_SUBSCRIBERS=$subscribers cargo test --release --locked --package corecast --test transfers -- \
    --test-threads 1 --nocapture nothing_is_lost_ what_is_lost_is_told_
