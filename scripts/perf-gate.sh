#!/usr/bin/env bash
# Compares the instructions that two commits execute on the hot path: unlike times, they are reproducible.
set -euo pipefail

# Growth of a case that is tolerated, in percent. Hash keys are random, which moves the cases that route by under 1 %.
growth_percent_max=3
# Iterations of each case: one is some thousand to some million instructions.
iterations=100

usage() {
    cat <<TEXT
usage: scripts/perf-gate.sh [-h] BASE [HEAD]

Builds the micro-benchmarks (bench/benches/hot_path) of two commits, BASE and HEAD (default: the checked-out commit), in a
git worktree of its own, runs each case $iterations times under valgrind's callgrind and prints a table: case, instructions
of one iteration before and after, ratio. A case that only one commit has is listed, and is not a failure.

Exit code 1: a case executes over $growth_percent_max % more in HEAD; 2: wrong usage, or nothing to compare; any other
code is that of a failed build.

It does not see the kernel, memory, other cores, or the duration of an instruction. To time the same cases by the clock:
\`cargo bench -p corecast-bench --bench hot_path\`. Builds are kept in the target folder, under perf-gate; do not run two
gates at a time.

Needs cargo and valgrind (no hardware counters, no root).
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    usage >&2
    exit 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need git cargo cc valgrind

# commit NAME: its full number.
commit() {
    if ! git rev-parse --verify --quiet --end-of-options "$1^{commit}"; then
        echo "error: $1 is not a commit of this repository" >&2
        exit 2
    fi
}
base=$(commit "$1")
head=$(commit "${2:-HEAD}")
if [ $# -eq 1 ] && [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    echo "warning: uncommitted changes are not compared" >&2
fi

# Callgrind counts `rep movsb` as an instruction for each byte, which would drown everything but copying: with these, glibc
# copies and clears by vectors whatever the length.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000

target_folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/perf-gate
folder=$(mktemp -d)
tree=$folder/tree
clean_up() {
    git worktree remove --force "$tree" 2>/dev/null || true
    rm -rf "$folder"
    git worktree prune
}
trap clean_up EXIT

# build WHICH COMMIT: leaves the program in $folder/WHICH, or nothing if there are no micro-benchmarks.
build() {
    echo "== $1: $(git log -1 --format='%h %s' "$2")" >&2
    # One after the other in the same place: dependencies are built once for both, and changed files are newer than their
    # build.
    if [ -d "$tree" ]; then
        git -C "$tree" checkout --quiet --detach "$2"
    else
        git worktree add --quiet --detach "$tree" "$2"
    fi
    if [ ! -f "$tree/bench/benches/hot_path/main.rs" ]; then
        echo "error: $1 has no micro-benchmarks: there is nothing to compare" >&2
        exit 2
    fi
    # Callgrind selects what to count by the name of a function. With several units a change anywhere in a crate moves the
    # cuts between them, and with the cuts the inlining: 7 % of a case whose source nobody had touched.
    (cd "$tree" && CARGO_PROFILE_BENCH_STRIP=none CARGO_PROFILE_BENCH_CODEGEN_UNITS=1 cargo bench --package corecast-bench --bench hot_path --no-run --locked \
        --target-dir "$target_folder" --message-format json-render-diagnostics) >"$folder/messages"
    program=$(sed -n '/"name":"hot_path"/s/.*"executable":"\([^"]*\)".*/\1/p' "$folder/messages")
    cp "$program" "$folder/$1"
}

# count WHICH: writes a line for each of its cases into $folder/WHICH.counts: name, and instructions of one iteration.
count() {
    local cases name log=$folder/callgrind
    cases=$("$folder/$1" cases)
    for name in $cases; do
        if ! valgrind --tool=callgrind --collect-atstart=no --toggle-collect='hot_path::count::counted_part*' \
            --callgrind-out-file="$log.out" "$folder/$1" count "$name" "$iterations" >"$log" 2>&1; then
            cat "$log" >&2
            echo "error: $name of $1 failed under valgrind" >&2
            exit 2
        fi
        awk -v name="$name" -v iterations="$iterations" '
            /^totals: / { total = $2 }
            END { if (total > 0) printf "%s %.0f\n", name, total / iterations; else exit 1 }
        ' "$log.out" || { echo "error: callgrind counted nothing of $name: is the program stripped?" >&2; exit 2; }
    done >"$folder/$1.counts"
}

build base "$base"
build head "$head"
count base
count head

awk -v percent="$growth_percent_max" '
    BEGIN { printf "%-24s %12s %12s  %s\n", "case", "base", "head", "ratio" }
    FNR == NR { base[$1] = $2; order[++cases] = $1; next }
    !($1 in base) { order[++cases] = $1 }
    { head[$1] = $2 }
    END {
        for (i = 1; i <= cases; i++) {
            name = order[i]
            if (!(name in head)) { printf "%-24s %12d %12s  only in base\n", name, base[name], "-"; continue }
            if (!(name in base)) { printf "%-24s %12s %12d  only in head\n", name, "-", head[name]; continue }
            compared++
            ratio = head[name] / base[name]
            grew = head[name] * 100 > base[name] * (100 + percent)
            failed += grew
            printf "%-24s %12d %12d  %.3f%s\n", name, base[name], head[name], ratio, grew ? "  GREW" : ""
        }
        if (!compared) { print "error: no case is in both: there is nothing to compare" > "/dev/stderr"; exit 2 }
        if (failed) { printf "perf gate: %d of %d grew by more than %d %%\n", failed, compared, percent; exit 1 }
        printf "perf gate: ok, %d compared\n", compared
    }
' "$folder/base.counts" "$folder/head.counts"
