#!/usr/bin/env bash
# Checks everything about the code that needs no run: format, lints, documentation, structure.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/check.sh [-h]

Runs cargo fmt --check, clippy (for everything, and for each feature alone) and rustdoc with warnings denied, a syntax
check of the scripts (with shellcheck, if it is installed), the checks of scripts/structure.py (crates, locks, length of
files, circles of imports, doc comments), prints the figures of scripts/structure_report.py, each beside its bound, and checks
the dependencies (scripts/deny.sh).
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    ?*) usage >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need cargo cc make python3

echo "== structure"
python3 -m doctest scripts/rust_files.py
python3 scripts/structure.py
python3 scripts/structure_report.py

echo "== scripts"
scripts=(scripts/*.sh .ci/run)
for script in "${scripts[@]}"; do
    bash -n "$script"
done
if command -v shellcheck >/dev/null; then
    shellcheck -x "${scripts[@]}"
fi

echo "== cargo fmt --check"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check

# fuzz is a workspace of its own, so nothing else notices if its Cargo.lock is behind the other one.
echo "== fuzz/Cargo.lock"
cargo metadata --manifest-path fuzz/Cargo.toml --locked --format-version 1 >/dev/null

echo "== dependencies"
scripts/deny.sh

echo "== cargo clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings

# Alone, each feature must do without the dependencies of the others. Everything else here builds them together.
for features in "" client stream broker nats cli; do
    echo "== cargo clippy, features: ${features:-none}"
    cargo clippy --package corecast --lib --no-default-features --features "$features" --locked --quiet -- -D warnings
done

echo "== cargo doc, as programs that depend on corecast see it"
RUSTDOCFLAGS="-D warnings" cargo doc --package corecast --no-deps --locked

echo "== cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

echo "checks: ok"
