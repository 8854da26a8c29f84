#!/usr/bin/env bash
# Shows the live page of a broker as people see it: in a browser, wide and narrow, light and dark; and leaves it open for a day.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/page-shots.sh [-h] [SHOTS]

Starts a broker with publishers, subscribers and two that stand still, opens its live page in headless Chromium at 400 and 1,280 pixels
wide, in light and dark, saves a screenshot of each in SHOTS (default: the folder page-shots of the target folder), and checks the
layout: nothing is wider than the page, and nothing is cut off. Then the page takes 100,000 events, which is more than a day has, and
its memory must not grow. It takes a minute or two, and exits with 1 if there is a fault.

Installs nothing. Uses $CHROMIUM, or else chromium, chromium-browser or google-chrome. Needs python3. Builds the command;
CORECAST_TEST_BIN is a folder of one that was built before.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac

browser=${CHROMIUM-}
for name in chromium chromium-browser google-chrome; do
    [[ -n $browser ]] || browser=$(command -v "$name" || true)
done
if [[ -z $browser ]]; then
    echo "missing: Chromium (apt-get install chromium), or set CHROMIUM to the path of one" >&2
    exit 1
fi

shots=${1:+$(realpath -m "$1")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need python3
bin=${CORECAST_TEST_BIN:-}
if [ -z "$bin" ]; then
    need cargo cc make
    cargo build --locked --quiet --bins
    bin=${CARGO_TARGET_DIR:-target}/debug
fi
exec python3 scripts/page_shots.py "$(realpath "$bin/corecast")" "${shots:-$(realpath -m "${CARGO_TARGET_DIR:-target}/page-shots")}" "$browser"
