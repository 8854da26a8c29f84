#!/usr/bin/env bash
# Checks the alerts and the dashboard of scripts/monitoring, by themselves and with a real Prometheus and real brokers in trouble.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/alerts-test.sh [-h] [--rules]

Checks scripts/monitoring/alerts.yml with promtool, and its rules with scripts/monitoring/alerts_test.yml. Then it starts eight
brokers on loopback, and a Prometheus that reads them each second; one broker is well, and each other is brought into trouble: a
subscriber that stands still, a flood, a certificate that ends tomorrow, a reload that fails, an engine that stands still, no free
descriptors, a core that something else has, kill -9. Each alert must fire for the broker that has that trouble, and for no other.
At the end every query of scripts/monitoring/dashboard.json must have an answer. It takes a minute or two. --rules leaves out what
needs brokers.

Needs python3, prometheus and promtool (Debian's package prometheus) and nats-server: scripts/peers.sh install. Builds the command;
CORECAST_TEST_BIN is a folder of one that was built before. Logs of the run are in the folder alerts of the target folder.
TEXT
}

rules_only=0
case ${1-} in
    -h | --help) usage; exit 0 ;;
    --rules) rules_only=1 ;;
    ?*) usage >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
need python3 promtool

promtool check rules scripts/monitoring/alerts.yml
(cd scripts/monitoring && promtool test rules alerts_test.yml)
if [ "$rules_only" -eq 1 ]; then
    exit 0
fi

need prometheus nats-server
target=${CARGO_TARGET_DIR:-target}
bin=${CORECAST_TEST_BIN:-}
if [ -z "$bin" ]; then
    need cargo cc make
    cargo build --locked --quiet --bins
    bin=$target/debug
fi
folder=$(realpath -m "$target/alerts")
rm -rf "$folder"
mkdir -p "$folder"
python3 scripts/monitoring/fire_alerts.py "$(realpath "$bin/corecast")" "$folder" "$(command -v nats-server)" "$(command -v prometheus)"
