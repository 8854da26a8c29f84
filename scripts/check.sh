#!/usr/bin/env bash
# Checks everything about the code that needs no run: format, lints, documentation, structure.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/check.sh [-h]

Runs cargo fmt --check, clippy (for everything, for each feature alone, and for the package for Python) and rustdoc with warnings denied, a syntax
check of the scripts (with shellcheck, if it is installed) and of the systemd unit of packages (if there is systemd), the checks of scripts/structure.py (crates, locks, length of
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
for script in scripts/package/debian/post*; do
    sh -n "$script"
done

# unit: verifies the unit of packages, with a command that is there, and its exposure. systemd-analyze only warns of a key that it
# does not know: a misspelt one would be no error.
unit() {
    local folder said
    folder=$(mktemp -d)
    cp scripts/package/corecast.socket "$folder/"
    sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' scripts/package/corecast.service >"$folder/corecast.service"
    said=$(systemd-analyze verify --man=no "$folder/corecast.service" "$folder/corecast.socket" 2>&1) || true
    rm -r "$folder"
    [ -z "$said" ] || { echo "$said" >&2; return 1; }
    systemd-analyze security --offline=true --no-pager --threshold=20 scripts/package/corecast.service | tail -n 1
}

echo "== the systemd unit"
if command -v systemd-analyze >/dev/null; then
    unit
else
    echo "warning: NO SYSTEMD-ANALYZE: the unit of packages is NOT CHECKED" >&2
fi

echo "== cargo fmt --check"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path python/Cargo.toml --check

# fuzz and python are workspaces of their own, so nothing else notices if their Cargo.lock is behind the other one.
for workspace in fuzz python; do
    echo "== $workspace/Cargo.lock"
    cargo metadata --manifest-path "$workspace/Cargo.toml" --locked --format-version 1 >/dev/null
done

echo "== dependencies"
scripts/deny.sh

echo "== cargo clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings

# Alone, each feature must do without the dependencies of the others. Everything else here builds them together, and rustdoc does not look
# into bodies.
for features in "" client stream broker nats cli; do
    echo "== cargo clippy, features: ${features:-none}"
    cargo clippy --package corecast --lib --no-default-features --features "$features" --locked --quiet -- -D warnings
done

# A workspace of its own, with a target folder of its own.
echo "== cargo clippy, the package for Python"
python_target=python/target
[ -z "${CARGO_TARGET_DIR-}" ] || python_target=$CARGO_TARGET_DIR/python
cargo clippy --manifest-path python/Cargo.toml --target-dir "$python_target" --all-targets --locked -- -D warnings

echo "== cargo doc, as programs that depend on corecast see it"
RUSTDOCFLAGS="-D warnings" cargo doc --package corecast --no-deps --locked

echo "== cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

echo "checks: ok"
