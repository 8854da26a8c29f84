#!/usr/bin/env bash
# Runs all tests of all three crates.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/test.sh [-h] [ARGUMENT...]

Builds the commands and examples, which some tests run, and runs all tests. ARGUMENTs go to `cargo test`
(scripts/test.sh --test wire). Needs a Rust toolchain, cc, make, python3 for the client written in Python, openssl for
its certificates and its client, a package index
for pyzmq, which brings its own libzmq (scripts/python-env.sh puts it into the target folder, once), and a host that can
run executors, which `corecast doctor` checks first. Comparisons with servers that are not installed are skipped, and
their tests say so: scripts/peers.sh install gets them.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need cargo cc make python3 openssl

target=${CARGO_TARGET_DIR:-target}
log=$target/test.log
if [ $# -eq 0 ]; then
    # All of it in one command, so that the library and its unit tests, each of which takes one core, are built side by side.
    cargo test --workspace --locked --no-run
else
    cargo build --workspace --bins --examples --locked
fi
if ! "$target/debug/corecast" doctor --jitter 0; then
    echo "error: this host cannot run executors, so most tests would fail: see the fixes above" >&2
    exit 1
fi

# The tests call it themselves; called here, it reports what is missing first.
scripts/python-env.sh >/dev/null

code=0
cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$log" || code=$?

echo
echo "== results"
grep -E '^ +(Running|Doc-tests) |^test result: |^error: |^test .* FAILED$' "$log" || true
passed=$(sed -n 's/^test result: .* \([0-9]*\) passed;.*/\1/p' "$log" | paste -sd+ - | { read -r sum || sum=0; echo $((sum)); })
if [ "$code" -ne 0 ]; then
    echo "tests: FAILED ($passed passed), exit code $code; the whole log is in $log"
    exit "$code"
fi
echo "tests: ok, $passed passed"
