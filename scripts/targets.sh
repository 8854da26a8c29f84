#!/usr/bin/env bash
# Checks corecast against its performance targets, those that a command can check, and prints a table of them.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/targets.sh [-h] [--quick] [--seconds N] [--no-build] [--before FILE] [--out DIR] [ROW…]

Checks each target with a command and its --assert, goes on after a target that is missed, and prints at the end each
target, its measurement (median, and smallest to largest round), and the verdict. Without ROW: all.

One topic that everybody wants:
  peers-64    flood of 64 bytes beside libzmq, nats, redis and bare loops; the last subscriber; memory
  peers-1k    flood of 1 KiB beside the best peer
  peers-16k   flood of 16 KiB beside the best peer
  pace        20 messages/s beside the bare loop with one sending thread per shard of our broker: time and CPU, and
              sessions stay where they are
  neighbour   20 messages/s beside the others, while another program takes one core and goes before all others there
  uds         as pace, over Unix sockets, and beside TCP
  shared      sessions per executor beside the best peer
  echo        one message at a time beside a bare connection
  canonical   4 messages/s to 2…512 subscribers, both modes, beside the pyzmq way
  isolation   the cost of 1 % of stalled subscribers to the others
  scaling     CPU of a delivery with 9,000 subscribers over that with 512
  quiet       CPU of an idle broker with 9,000 subscribers

Many topics, of which each subscriber wants some:
  topics-100        256 subscribers of 20 of 100 topics each, beside the best peer and an earlier build
  topics-1000       256 of 10 of 1,000
  topics-10000      16 of 500 of 10,000
  wildcards         the same by 500 wildcards
  door-100, door-1000, door-10000, door-wildcards
                    those four through the ZeroMQ listener, beside libzmq's proxy
  topics-pace       20 messages/s over 100 topics beside the bare loop
  fan-in            256 publishers, 4 subscribers of everything
  topics-isolation  the cost of 10 % of stalled subscribers to the others, with zipf-spread topics
  subscribing       the cost of a filter, up to 100,000 of them

Under TLS, with the same raw clients for everybody:
  tls-64      flood of 64 bytes beside nats-server and redis-server, and beside our plain TCP
  tls-1k      the same with 1 KiB
  tls-pace    20 messages/s beside our plain TCP
  tls-idle    memory of 10,000 idle sessions
  handshakes  5,000 handshakes beside subscribers that stay: the p99 of these

Other clients (python/measure.py has the rest of the package for Python):
  portable    our own clients with epoll beside those with io_uring: 20 messages/s and a flood to 64 subscribers
  python      512 subscribers of the package for Python, in shared sessions, beside the pyzmq way: 4 messages/s

Several hosts, and history (four rounds each):
  joined      flood and 20 messages/s over two brokers with a nats-server between them, 2 x 256 subscribers, beside two
              clustered nats-servers, old and new, and beside one broker
  joined-far  one subscriber at the other broker, beside one at the other nats-server
  engine-idle the cost of --engine to a broker whose messages nobody wants elsewhere
  keep-last   the cost of --keep '>=last' to a flood on 1,000 topics
  last-value  the last values of 10,000 topics for a late joiner, beside JetStream

  --quick        fewer rounds, shorter runs: about half an hour instead of three; its figures vary more
  --seconds N    seconds of each paced part [default: 5, with --quick 2]
  --no-build     use the existing release builds
  --before FILE  the `corecast` command of the earlier build [default: of commit 5e99304, built in the target folder]
  --out DIR      folder of the results [default: results/targets-TIME]

scripts/peers.sh install gets the peers to compare with. Nothing else should run meanwhile; the row `neighbour` takes root.
Exit code: 0 if all targets are met, 1 if any is missed or could not be measured, 2 for wrong usage.
TEXT
}

# The commit before partial interest was made cheap.
before_commit=5e99304
# Seconds that one command may take: the longest takes a third of it.
command_seconds_max=5400
all=(peers-64 peers-1k peers-16k pace neighbour uds shared echo canonical isolation scaling quiet
    topics-100 topics-1000 topics-10000 wildcards door-100 door-1000 door-10000 door-wildcards
    topics-pace fan-in topics-isolation subscribing
    tls-64 tls-1k tls-pace tls-idle handshakes
    portable python
    joined joined-far engine-idle keep-last last-value)
rows=() quick='' seconds='' build=yes before='' out=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --quick) quick=yes ;;
        --seconds)
            seconds=${2-}
            [[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "error: --seconds: \`$seconds\` is no whole number" >&2; exit 2; }
            shift
            ;;
        --no-build) build='' ;;
        --before)
            before=$(realpath -- "${2-}" 2>/dev/null || true)
            [ -f "$before" ] && [ -x "$before" ] || { echo "error: --before: \`${2-}\` is no command" >&2; exit 2; }
            shift
            ;;
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

target=${CARGO_TARGET_DIR:-target}
bin=$target/release/corecast-bench
if [ -n "$build" ]; then
    need cargo cc make
    cargo build --release --locked
fi
if [ ! -x "$bin" ]; then
    echo "error: $bin does not exist: leave out --no-build" >&2
    exit 2
fi

# Builds the earlier commit in a folder of its own, unless that was done before.
build_before() {
    local folder=$target/before-$before_commit
    before=$folder/target/release/corecast
    [ ! -x "$before" ] || return 0
    if [ -z "$build" ]; then
        echo "error: $before does not exist: leave out --no-build, or name another with --before" >&2
        return 1
    fi
    need tar
    if ! git cat-file -e "$before_commit^{commit}" 2>/dev/null; then
        echo "error: this clone has no commit $before_commit: git fetch --unshallow, or --before FILE" >&2
        return 1
    fi
    mkdir -p "$folder"
    git archive "$before_commit" | tar -x -C "$folder"
    (cd "$folder" && cargo build --release --locked --package corecast --features cli,jemalloc --target-dir target)
}

if [ -z "$before" ] && [[ " ${rows[*]} " =~ \ (topics-10+|wildcards)\  ]]; then
    build_before || exit 2
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
# A process has one end of each.
sessions=10000
if [ "$files" != unlimited ] && [ "$files" -lt 10500 ]; then
    sessions=$((files - 500))
    echo "note: $sessions TLS sessions and not 10000, by the same limit"
fi
rivals=libzmq-all,nats-all,redis-all
peers=corecast,$rivals,mosquitto,zenoh-1.10
# One of our broker's shards is on it.
last_core=$(python3 -c 'import os; print(max(os.sched_getaffinity(0)))')
if [ -n "$quick" ]; then
    rounds=(--rounds 1) four=(--rounds 1) pace=(--duration "${seconds:-2}") counts=(2 16 512) short=(--quick)
else
    rounds=(--rounds 5) four=(--rounds 4) pace=(--duration "${seconds:-5}") counts=(2 4 8 16 32 64 128 256 512) short=()
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
    { timeout --signal INT --kill-after 60 "$command_seconds_max" "$bin" "$subcommand" "$@" "${asserts[@]}" 2>&1 >&3 |
        tee "$out/$name.err" >&2; } 3>&1 || code=$?
    for index in "${!numbers[@]}"; do
        take_down "$name" "$record" "$code" "$index"
    done
    whats=() numbers=() bounds=()
}

# Writes one line of the table. The verdict is the command's own: failed assertions are in its stderr.
take_down() {
    local name=$1 record=$2 code=$3 number=${numbers[$4]} bound=${bounds[$4]} measured met=met
    if measured=$(figure "$record" "$number"); then
        if grep -qF -- "--assert '$number $bound'" "$out/$name.err"; then
            met=short
        elif [ "$code" -ne 0 ] && [ "$code" -ne 2 ] && [ "$code" -ne 3 ]; then
            met="short (exit code $code)"
        fi
    else
        measured='not measured' met=short
    fi
    [ "$met" = met ] || failed=1
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
    if name in ("lost", "wrong"):
        return sum(peer[name] for peer in peers.values())
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
    print("{median:.3g} ({min:.3g}–{max:.3g})".format(**found), *(f"over {peer}" for peer in found.get("over", [])[:1]))
else:
    print(f"{found:.4g}")
PY
}

row_peers-64() {
    want 'flood over libzmq' ratio.libzmq.deliveries_per_s '>= 10'
    want 'flood over libzmq in one part' ratio.libzmq_one_part.deliveries_per_s '>= 10'
    want 'flood over the best nats-server' ratio.best_nats.deliveries_per_s '>= 10'
    want 'flood over the best redis-server' ratio.best_redis.deliveries_per_s '>= 10'
    want 'flood over the bare loop that sends the payloads alone in blocks' ratio.floor_blocks.deliveries_per_s '>= 0.95'
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
    want 'time to the last at 20/s, over the bare loop' ratio.floor.last_subscriber_us.median '<= 1.1'
    want 'CPU a delivery at 20/s, over the bare loop' ratio.floor.cpu_ns_per_delivery '<= 1.1'
    want 'sessions that moved from shard to shard, without a neighbour' corecast.sessions_moved '== 0'
    measure pace peers --peers corecast,floor --floor-threads "$cores" --flood-messages 0 "${rounds[@]}" "${pace[@]}"
}

row_neighbour() {
    want 'beside a neighbour: time to the last at 20/s, over the best peer' ratio.best.last_subscriber_us.median '<= 1'
    want 'lost' lost '== 0'
    measure neighbour peers --peers "corecast,$rivals,mosquitto" --neighbour "$last_core:-10" --flood-messages 0 \
        "${rounds[@]}" "${pace[@]}"
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

# beside_others NAME RATE CPU ARGUMENT…: subscribers of some of many topics, beside the best peer and the earlier build.
beside_others() {
    local name=$1
    want 'flood over the best peer' ratio.best.deliveries_per_s "$2"
    want 'CPU a delivery in the flood, over the earlier build' ratio.corecast_before.cpu_ns_per_delivery_flood "$3"
    want 'lost' lost '== 0'
    want 'wrong' wrong '== 0'
    shift 3
    measure "$name" peers --peers "corecast,$rivals" --before "$before" "$@" "${rounds[@]}" "${pace[@]}"
}

# beside_libzmq NAME CPU ARGUMENT…: the same through the ZeroMQ listener, with the clients and the bytes of libzmq's proxy.
beside_libzmq() {
    local name=$1
    want "CPU a delivery in the flood, over libzmq's proxy" ratio.best_libzmq.cpu_ns_per_delivery_flood "$2"
    want 'lost' lost '== 0'
    want 'wrong' wrong '== 0'
    shift 2
    measure "$name" peers --peers corecast-zmtp,libzmq-all "$@" "${rounds[@]}" "${pace[@]}"
}

row_portable() {
    want 'epoll: time to the last of 64 at 20/s, over io_uring' ratio.corecast.last_subscriber_us.median '<= 1.3'
    want 'epoll: flood to 64, over io_uring' ratio.corecast.deliveries_per_s '>= 0.7'
    want 'lost' lost '== 0'
    # As many as a subscriber's queue at the broker has room for, so that nobody has to drop any.
    measure portable peers --peers corecast-epoll,corecast --clients native --subscribers 64 --flood-messages 100000 \
        "${rounds[@]}" "${pace[@]}"
}

row_python() {
    want 'Python: time to the last of 512 at 4/s, shared sessions, over pyzmq' ratio.pyzmq_proxy.last_subscriber_us.median '<= 0.25'
    want 'lost' lost '== 0'
    measure python peers --peers corecast-python,pyzmq-proxy --subscribers 512 --sessions per-executor --rate 4 \
        --flood-messages 0 "${rounds[@]}" "${pace[@]}"
}

of_100=(--subscribers 256 --topics 100 --topics-per-subscriber 20)
of_1000=(--subscribers 256 --topics 1000 --topics-per-subscriber 10)
of_10000=(--subscribers 16 --topics 10000 --topics-per-subscriber 500)
by_wildcards=("${of_10000[@]}" --topic-filters wildcard:1)
row_topics-100() { beside_others topics-100 '>= 5' '<= 0.15' "${of_100[@]}"; }
row_topics-1000() { beside_others topics-1000 '>= 2.5' '<= 0.4' "${of_1000[@]}"; }
row_topics-10000() { beside_others topics-10000 '>= 3' '<= 0.4' "${of_10000[@]}"; }
row_wildcards() { beside_others wildcards '>= 3' '<= 0.4' "${by_wildcards[@]}"; }
row_door-100() { beside_libzmq door-100 '<= 0.3' "${of_100[@]}"; }
row_door-1000() { beside_libzmq door-1000 '<= 0.5' "${of_1000[@]}"; }
row_door-10000() { beside_libzmq door-10000 '<= 0.4' "${of_10000[@]}"; }
row_door-wildcards() { beside_libzmq door-wildcards '<= 0.4' "${by_wildcards[@]}"; }

row_topics-pace() {
    want 'time to the last at 20/s, over the bare loop' ratio.floor.last_subscriber_us.median '<= 1.2'
    measure topics-pace peers --peers corecast,floor --floor-threads "$cores" --flood-messages 0 "${of_100[@]}" \
        "${rounds[@]}" "${pace[@]}"
}

row_fan-in() {
    want 'flood over the best peer' ratio.best.deliveries_per_s '>= 2'
    want 'lost' lost '== 0'
    measure fan-in peers --peers "corecast,$rivals" --publishers 256 --subscribers 4 --rate 2 "${rounds[@]}" "${pace[@]}"
}

row_topics-isolation() {
    want '10 % stalled: p99 of the others, over without' ratio.isolation.stalled '<= 1.05'
    # Each gets a fifth of the messages: as many as in the row `isolation`.
    measure topics-isolation experiment isolation --slow 10% --topics 100 --topics-per-subscriber 20 --topic-spread zipf \
        --rate 320 "${short[@]}"
}

row_subscribing() {
    local kind
    for kind in one many; do
        want "CPU of a filter, us ($kind)" "subscribing.$kind.cpu_us" '<= 10'
        want "the last thousand over the first ($kind)" "subscribing.$kind.growth" '<= 1.5'
    done
    measure subscribing experiment subscribing "${short[@]}"
}

# tls_flood NAME BYTES
tls_flood() {
    want 'TLS: flood over the best nats-server with TLS' ratio.best_nats.deliveries_per_s '>= 5'
    want 'TLS: flood over the best redis-server with TLS' ratio.best_redis.deliveries_per_s '>= 5'
    want 'TLS: flood over our plain TCP' ratio.corecast.deliveries_per_s '>= 0.35'
    want 'lost' lost '== 0'
    want 'wrong' wrong '== 0'
    measure "$1" peers --peers corecast-tls,corecast,nats-all-tls,redis-all-tls,floor-tls-frames --floor-threads "$cores" \
        --subscribers 512 --size "$2" "${rounds[@]}" "${pace[@]}"
}

row_tls-64() { tls_flood tls-64 64; }
row_tls-1k() { tls_flood tls-1k 1024; }

row_tls-pace() {
    want 'TLS: time to the last at 20/s, over our plain TCP' ratio.corecast.last_subscriber_us.median '<= 1.3'
    measure tls-pace peers --peers corecast-tls,corecast,floor-tls --floor-threads "$cores" --flood-messages 0 \
        "${rounds[@]}" "${pace[@]}"
}

row_tls-idle() {
    want "memory of each of $sessions idle TLS sessions, bytes" quiet.rss_per_subscriber_bytes '<= 24576'
    measure tls-idle experiment quiet --transport tls --subscribers "$sessions" --timeout 60 "${short[@]}"
}

row_handshakes() {
    want '5,000 TLS handshakes: p99 of the others, over without' ratio.handshakes.p99 '<= 2'
    want 'handshakes' handshakes.made '>= 5000'
    measure handshakes experiment handshakes "${short[@]}"
}

row_joined() {
    local other server flood last cpu
    for other in nats_clustered:8:0.70:0.5 nats_2_15_clustered:14:0.55:0.45 corecast:0.95:1.10:1.15; do
        IFS=: read -r server flood last cpu <<<"$other"
        want "two brokers and NATS: flood over $server" "ratio.$server.deliveries_per_s" ">= $flood"
        want "the same: time to the last at 20/s" "ratio.$server.last_subscriber_us.median" "<= $last"
        want "the same: CPU of the servers a delivery at 20/s" "ratio.$server.cpu_ns_per_delivery" "<= $cpu"
    done
    want 'lost' lost '== 0'
    want 'wrong' wrong '== 0'
    measure joined peers --peers corecast-joined,nats-clustered,nats-2.15-clustered,corecast --subscribers 512 --size 64 \
        "${four[@]}" "${pace[@]}"
}

row_joined-far() {
    want 'one far subscriber: flood over nats_2_15_clustered' ratio.nats_2_15_clustered.deliveries_per_s '>= 3'
    want 'the same: latency at 20/s' ratio.nats_2_15_clustered.latency_us.median '<= 1.3'
    want 'lost' lost '== 0'
    want 'wrong' wrong '== 0'
    measure joined-far peers --peers corecast-joined,nats-clustered,nats-2.15-clustered --subscribers 1 --size 64 \
        --engine nats-2.15 --flood-messages 2000000 "${four[@]}" "${pace[@]}"
}

# with_options NAME OPTION…: a command that is `corecast`, whose brokers have these options as well; sets `with`.
with_options() {
    with=$(realpath "$out")/corecast-$1
    local corecast
    corecast=$(realpath "$target/release/corecast")
    shift
    {
        echo '#!/bin/sh'
        printf 'case $1 in broker) exec %q "$@"' "$corecast"
        printf ' %q' "$@"
        printf ' ;; *) exec %q "$@" ;; esac\n' "$corecast"
    } >"$with"
    chmod +x "$with"
}

# beside_plain NAME [ARGUMENT…]: ours are the command `with`, beside the plain one as the earlier build.
beside_plain() {
    CORECAST_BIN=$with measure "$1" peers --peers corecast --before "$target/release/corecast" "${@:2}" "${four[@]}" "${pace[@]}"
}

row_engine-idle() {
    local port engine
    port=$(python3 -c 'import socket; one = socket.socket(); one.bind(("127.0.0.1", 0)); print(one.getsockname()[1])')
    nats-server -a 127.0.0.1 -p "$port" >"$out/engine.log" 2>&1 &
    engine=$!
    with_options engine --engine "nats://127.0.0.1:$port" --engine-wait
    want 'a broker with --engine and nobody elsewhere: CPU a delivery, over one without' \
        ratio.corecast_before.cpu_ns_per_delivery '<= 1.02'
    want 'the same in the flood' ratio.corecast_before.cpu_ns_per_delivery_flood '<= 1.02'
    want 'lost' lost '== 0'
    beside_plain engine-idle --subscribers 512 --size 64
    kill "$engine"
    wait "$engine" || true
}

row_keep-last() {
    with_options keep --keep '>=last'
    want '--keep last on a flood of 1,000 topics, over none' ratio.corecast_before.deliveries_per_s '>= 0.9'
    want 'lost' lost '== 0'
    beside_plain keep-last "${of_1000[@]}"
}

row_last-value() {
    local index servers=() asserts=() code=0
    local of_peers=$target/peers/bin/nats-server-2.15
    ! command -v nats-server >/dev/null || servers+=(--nats "nats=$(command -v nats-server)")
    [ ! -x "$of_peers" ] || servers+=(--nats "nats_2_15=$of_peers")
    for index in nats nats_2_15; do
        want "last values of 10,000 topics, over $index's" "ratio.last_value.$index" '<= 0.25'
    done
    for index in "${!numbers[@]}"; do
        asserts+=(--assert "${numbers[index]} ${bounds[index]}")
    done
    echo
    echo "== last-value: scripts/last_value.py ${servers[*]}"
    scripts/last_value.py --corecast "$target/release/corecast" "${servers[@]}" "${four[@]}" --json "$out/last-value.json" \
        "${asserts[@]}" 2> >(tee "$out/last-value.err" >&2) || code=$?
    for index in "${!numbers[@]}"; do
        take_down last-value "$out/last-value.json" "$code" "$index"
    done
    whats=() numbers=() bounds=()
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
