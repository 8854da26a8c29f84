#!/usr/bin/env bash
# Fuzzes the ZeroMQ door (greeting, frames, handshakes, and whole sessions in a shard), frames of several messages, tickets, TLS
# listeners and files of users.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/fuzz.sh [-h] [SECONDS [TARGET...]]

Runs the fuzz targets (engine, greeting, frames, mechanisms, runs, session, ticket, tls, users) one after the other, SECONDS in all (60), each
from its corpus in fuzz/corpus. New inputs are kept in the target folder; an input that breaks a rule is reported and kept there, and the
exit code is 1. Needs cargo and a C++ compiler (which builds libFuzzer); the stable toolchain is enough, without
sanitizers: the fuzzed code has no unsafe blocks.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    *[!0-9]*) usage >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need cargo cc make c++
seconds=${1:-60}
targets=("${@:2}")
if [ ${#targets[@]} -eq 0 ]; then
    targets=(engine greeting frames mechanisms runs session ticket tls users)
fi

target_folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# The flags of `cargo fuzz`, without the sanitizers, which need a nightly compiler. With --target they do not apply to
# build scripts.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
RUSTFLAGS=$coverage cargo build --manifest-path fuzz/Cargo.toml --release --locked --bins \
    --target "$host" --target-dir "$target_folder"

# libFuzzer takes 0 for no limit.
each=$((seconds / ${#targets[@]}))
if [ "$each" -lt 1 ]; then
    each=1
fi
for target in "${targets[@]}"; do
    echo "== $target, $each s"
    mkdir -p "$target_folder/corpus/$target" "$target_folder/artifacts"
    "$target_folder/$host/release/$target" -max_total_time="$each" -max_len=2048 -timeout=10 -rss_limit_mb=2048 \
        -verbosity=0 -print_final_stats=1 -artifact_prefix="$target_folder/artifacts/$target-" \
        "$target_folder/corpus/$target" "fuzz/corpus/$target"
done
echo "fuzz: ok"
