#!/usr/bin/env bash
# Runs everything at once for half an hour: every message sent is received or reported as a gap, and neither descriptors
# nor memory grow.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/soak.sh [-h] [MINUTES]

Builds in release mode and runs tests/soak for MINUTES [30]: a broker process; a steady stream to permanent subscribers,
fast and slow, of each policy that drops; and besides them clients of eight kinds that come and go all the time, among
them strangers, stalled ones, ZeroMQ sockets and commands that are killed. Prints descriptors and resident memory at ten
pauses, and for each permanent subscriber: sent = received + reported as gaps.

Needs the same as scripts/test.sh. Exit code: 0 if every message is accounted for and nothing grew. scripts/test.sh runs
the same test for ten seconds.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac
minutes=${1-30}
if ! [[ $minutes =~ ^[0-9]+$ ]] || [ "$minutes" -eq 0 ]; then
    echo "error: MINUTES must be a whole number from 1, not '$minutes'" >&2
    exit 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need cargo cc make

echo "== mixed churn for $minutes minutes"
SOAK_SECONDS=$((minutes * 60)) cargo test --release --locked --package corecast --test soak -- --nocapture
