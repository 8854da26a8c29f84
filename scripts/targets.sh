#!/usr/bin/env bash
# Checks corecast against its performance targets, those that a command can check, and prints a table of them.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/targets.sh [-h] [--quick] [--no-build] [--out DIR] [ROW…]

Checks each target with a command and its --assert, goes on after a target that is missed, and prints at the end each
target, its measurement (median, and smallest to largest round), and the verdict. Without ROW: all.

  peers-64    flood of 64 bytes beside libzmq, nats, redis and the floor; the last subscriber; memory
  peers-1k    flood of 1 KiB beside the best peer
  peers-16k   flood of 16 KiB beside the best peer
  pace        20 messages/s beside the bare loop with one sending thread per shard of our broker: time and CPU
  uds         the same over Unix sockets, and beside TCP
  shared      sessions per executor beside the best peer
  echo        one message at a time beside a bare connection
  canonical   4 messages/s to 2…512 subscribers, both modes, beside the pyzmq way
  isolation   the cost of 1 % of stalled subscribers to the others
  scaling     CPU of a delivery with 9,000 subscribers over that with 512
  quiet       CPU of an idle broker with 9,000 subscribers

  --quick     fewer rounds, shorter runs: about a quarter of an hour instead of five; its figures vary more
  --no-build  use the existing release build
  --out DIR   folder of the results [default: results/targets-TIME]

scripts/peers.sh install gets the peers to compare with. Nothing else should run meanwhile.
Exit code: 0 if all targets are met, 1 if any is missed or could not be measured, 2 for wrong usage.
TEXT
}

all=(peers-64 peers-1k peers-16k pace uds shared echo canonical isolation scaling quiet)
rows=() quick='' build=yes out=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --quick) quick=yes ;;
        --no-build) build='' ;;
        --out)
            out=${2-}
            [ -n "$out" ] || { usage >&2; exit 2; }
            shift
            ;;
        *)
            if [[ " ${all[*]} " != *" $1 "* ]]; then
                echo "error: there is no row \`$1\`; the rows are ${all[*]}" >&2
                exit 2
            fi
            rows+=("$1")
            ;;
    esac
    shift
done
[ ${#rows[@]} -gt 0 ] || rows=("${all[@]}")

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need python3

bin=${CARGO_TARGET_DIR:-target}/release/corecast-bench
if [ -n "$build" ]; then
    need cargo cc make
    cargo build --release --locked
fi
if [ ! -x "$bin" ]; then
    echo "error: $bin does not exist: leave out --no-build" >&2
    exit 2
fi
out=${out:-results/targets-$(date -u +%Y%m%dT%H%M%SZ)}
if [ -e "$out" ]; then
    echo "error: $out exists already, and results are not overwritten" >&2
    exit 2
fi
mkdir -p "$out"

cores=$(nproc)
# Both ends of a session are on this host; the rest needs some more files.
files=$(ulimit -Hn)
most=9000
if [ "$files" != unlimited ] && [ "$files" -lt 18500 ]; then
    most=$(((files - 500) / 2))
    echo "note: $most subscribers and not 9000, by the hard limit of open files (ulimit -Hn: $files)"
fi
peers=corecast,libzmq-all,nats-all,redis-all,mosquitto,zenoh-1.10
if [ -n "$quick" ]; then
    rounds=(--rounds 1) pace=(--duration 2) counts=(2 16 512) short=(--quick)
else
    rounds=(--rounds 5) pace=(--duration 5) counts=(2 4 8 16 32 64 128 256 512) short=()
fi

failed=0
whats=() numbers=() bounds=()

# want WHAT NUMBER BOUND: adds an assertion to the next command.
want() {
    whats+=("$1") numbers+=("$2") bounds+=("$3")
}

# measure NAME SUBCOMMAND [ARGUMENT…]: runs the subcommand with these assertions, and records the results.
measure() {
    local name=$1 subcommand=$2 record code=0 index asserts=()
    shift 2
    for index in "${!numbers[@]}"; do
        asserts+=(--assert "${numbers[index]} ${bounds[index]}")
    done
    if [ "$subcommand" = peers ]; then
        record=$out/$name.json
        set -- "$@" --json "$record"
    else
        record=$out/$name/results.json
        set -- "$@" --out "$out/$name"
    fi
    echo
    echo "== $name: corecast-bench $subcommand $*"
    "$bin" "$subcommand" "$@" "${asserts[@]}" 2> >(tee "$out/$name.err" >&2) || code=$?
    wait
    for index in "${!numbers[@]}"; do
        take_down "$name" "$record" "$code" "$index"
    done
    whats=() numbers=() bounds=()
}

# Writes one line of the table. The verdict is the command's own: failed assertions are in its stderr.
take_down() {
    local name=$1 record=$2 code=$3 number=${numbers[$4]} bound=${bounds[$4]} measured met=yes
    if measured=$(figure "$record" "$number"); then
        if grep -qF -- "--assert '$number $bound'" "$out/$name.err"; then
            met=no
        elif [ "$code" -ne 0 ] && [ "$code" -ne 2 ] && [ "$code" -ne 3 ]; then
            met="no (exit code $code)"
        fi
    else
        measured='not measured' met=no
    fi
    [ "$met" = yes ] || failed=1
    printf '| %s | %s | %s %s | %s | %s |\n' "$name" "${whats[$4]}" "$number" "$bound" "$measured" "$met" >>"$out/table.md"
}

# figure RECORD NUMBER: its median, with the minimum and maximum if there are rounds.
figure() {
    python3 - "$1" "$2" <<'PY'
import json
import sys

path, name = sys.argv[1:]


def find(record):
    if name in record.get("figures", {}):
        return record["figures"][name]
    peers = {peer["peer"].replace("-", "_").replace(".", "_"): peer for peer in record.get("peers", [])}
    if name == "lost":
        return sum(peer["lost"] for peer in peers.values())
    if name.startswith("ratio."):
        who, figure = name[len("ratio."):].split(".", 1)
        best, _, family = who.partition("_")
        if best == "best":
            return (record["ratio_to_best_of"][family] if family else record["ratio_to_best"])[figure]
        return peers[who]["ratio"][figure]
    who, figure = name.split(".", 1)
    return peers[who][figure]


try:
    with open(path, encoding="utf-8") as file:
        found = find(json.load(file))
except (OSError, ValueError, KeyError):
    sys.exit(1)
if isinstance(found, dict):
    print("{median:.3g} ({min:.3g}–{max:.3g})".format(**found))
else:
    print(f"{found:.4g}")
PY
}

row_peers-64() {
    want 'flood over libzmq' ratio.libzmq.deliveries_per_s '>= 10'
    want 'flood over libzmq in one part' ratio.libzmq_one_part.deliveries_per_s '>= 10'
    want 'flood over the best nats-server' ratio.best_nats.deliveries_per_s '>= 10'
    want 'flood over the best redis-server' ratio.best_redis.deliveries_per_s '>= 10'
    # The same bytes: floor-blocks sends only the payloads, about half as many.
    want 'flood over the bare loop in blocks of the same bytes' ratio.floor_frames.deliveries_per_s '>= 0.8'
    want 'CPU a delivery in the flood, over that loop' ratio.floor_frames.cpu_ns_per_delivery_flood '<= 1.15'
    want 'time to the last at 20/s, over the best peer' ratio.best.last_subscriber_us.median '< 1'
    want 'memory of an idle subscriber, bytes' corecast.rss_per_subscriber_bytes '<= 2048'
    want 'lost' lost '== 0'
    measure peers-64 peers --peers "$peers,floor-blocks,floor-frames" --subscribers 512 --size 64 "${rounds[@]}" "${pace[@]}"
}

row_peers-1k() {
    want 'flood of 1 KiB over the best peer' ratio.best.deliveries_per_s '>= 3'
    measure peers-1k peers --peers "$peers" --subscribers 512 --size 1024 "${rounds[@]}" "${pace[@]}"
}

row_peers-16k() {
    want 'flood of 16 KiB over the best peer' ratio.best.deliveries_per_s '>= 1.5'
    measure peers-16k peers --peers "$peers" --subscribers 512 --size 16384 "${rounds[@]}" "${pace[@]}"
}

row_pace() {
    want 'time to the last at 20/s, over the bare loop' ratio.floor.last_subscriber_us.median '<= 1.2'
    want 'CPU a delivery at 20/s, over the bare loop' ratio.floor.cpu_ns_per_delivery '<= 1.15'
    measure pace peers --peers corecast,floor --floor-threads "$cores" --flood-messages 0 "${rounds[@]}" "${pace[@]}"
}

row_uds() {
    want 'Unix sockets: time to the last, over the bare loop' ratio.floor_uds.last_subscriber_us.median '<= 1.2'
    want 'Unix sockets: time to the last, over TCP' ratio.corecast_tcp.last_subscriber_us.median '<= 0.5'
    measure uds peers --peers corecast-uds,corecast-tcp,floor-uds --floor-threads "$cores" --flood-messages 0 \
        "${rounds[@]}" "${pace[@]}"
}

row_shared() {
    want 'sessions per executor: time to the last, over the best peer' ratio.best.last_subscriber_us.median '<= 0.1'
    measure shared peers --peers "$peers" --sessions per-executor --clients native --flood-messages 0 \
        "${rounds[@]}" "${pace[@]}"
}

row_echo() {
    want 'one message, over a bare connection' ratio.echo.busy '<= 1.5'
    measure echo experiment echo "${short[@]}"
}

row_canonical() {
    local mode count ours
    for mode in proxy direct; do
        ours=corecast
        [ "$mode" = proxy ] || ours=corecast-direct
        for count in "${counts[@]}"; do
            beside_pyzmq "$mode" "$ours" "$count" per-subscriber '<= 0.5'
            if [ "$count" -ge 16 ]; then
                beside_pyzmq "$mode" "$ours" "$count" per-executor '<= 0.1'
            fi
        done
    done
}

beside_pyzmq() {
    want "$1, $3 subscribers, sessions $4: median over pyzmq" "ratio.pyzmq_$1.latency_us.median" "$5"
    measure "canonical-$1-$3-$4" peers --peers "$2,pyzmq-$1" --subscribers "$3" --sessions "$4" --clients native \
        --rate 4 --flood-messages 0 "${rounds[@]}" "${pace[@]}"
}

row_isolation() {
    want '1 % stalled: p99 of the others, over without' ratio.isolation.stalled '<= 1.05'
    measure isolation experiment isolation "${short[@]}"
}

row_scaling() {
    want "CPU a delivery, 512 to $most subscribers" ratio.scaling.cpu_ns_per_delivery '<= 1.15'
    measure scaling experiment scaling --subscribers "512,$most" --shards "$cores" "${short[@]}"
}

row_quiet() {
    want "idle broker with $most subscribers, part of a core" quiet.cpu_cores '<= 0.01'
    measure quiet experiment quiet --subscribers "$most" "${short[@]}"
}

printf '| row | what | target | measured (least–greatest) | met |\n|---|---|---|---|---|\n' >"$out/table.md"
for row in "${rows[@]}"; do
    "row_$row"
done
echo
echo "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), $cores cores, $(uname -sr), records in $out"
echo
cat "$out/table.md"
exit "$failed"
