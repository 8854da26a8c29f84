#!/usr/bin/env bash
# Makes a cluster on one machine: a host with a nats-server and two hosts with a broker each, as network namespaces, joined over
# that engine. It can be worked with, or put into trouble and checked.
set -euo pipefail

usage() {
    cat <<'TXT'
Usage: scripts/cluster.sh up | down | status | exec HOST COMMAND... | test [--short]

  up        makes the hosts engine (10.213.77.1), a (10.213.77.2) and b (10.213.77.3), and starts a nats-server and a broker
            on each of the other two
  exec      runs a command on a host, such as: scripts/cluster.sh exec b corecast sub '>'
  status    lists the hosts, and shows what the metrics of both brokers say of the engine
  test      makes a cluster of its own, and puts the engine into trouble under load: killed, stopped, cut off, started again
            with nothing, its broker killed. A subscriber on b checks what a publisher on a says: sent = received + told, in
            order, nothing twice. --short leaves out what takes long
  down      ends every process on the hosts, and removes them

Needs root, ip and tc (iproute2), python3, and nats-server (scripts/peers.sh install); CORECAST_NATS_SERVER names another one,
CORECAST_NATS_SERVER_OTHER one of another version, which takes its place in one of the tests. Both brokers have the name of
this machine: two of one name are two.
CORECAST_TEST_BIN is a folder of commands built before. CORECAST_TESTBED replaces the prefix of the namespaces.
TXT
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CORECAST_TESTBED=${CORECAST_TESTBED:-corecast-cluster}
NATS=${CORECAST_NATS_SERVER:-nats-server}
# Of another version, if there is one.
OTHER=${CORECAST_NATS_SERVER_OTHER:-}
readonly ENGINE=10.213.77.1 A=10.213.77.2 B=10.213.77.3
STATE=/tmp/$CORECAST_TESTBED

fail() {
    printf 'cluster: %s\n' "$1" >&2
    exit "${2:-1}"
}

role_of() {
    case $1 in
        engine) echo admin ;;
        a) echo worker1 ;;
        b) echo worker2 ;;
        *) fail "there is no host $1; there are engine, a and b" 2 ;;
    esac
}

on() {
    local role
    role=$(role_of "$1")
    shift
    ip netns exec "$CORECAST_TESTBED-$role" "$@"
}

# The same in place of this shell: for what runs in the background, whose pid is then that of the command.
become() {
    local role
    role=$(role_of "$1")
    shift
    exec ip netns exec "$CORECAST_TESTBED-$role" "$@"
}

commands() {
    local bin=${CORECAST_TEST_BIN:-}
    if [ -z "$bin" ]; then
        cargo build --quiet --locked --package corecast --bin corecast --features cli,jemalloc >&2
        bin=${CARGO_TARGET_DIR:-target}/debug
    fi
    realpath "$bin"
}

start_engine() {
    become engine setsid "$NATS" -a "$ENGINE" -p 4222 </dev/null >>"$STATE/engine.log" 2>&1 &
    echo $! >"$STATE/engine.pid"
    disown
    local tries
    for tries in $(seq 200); do
        if on a bash -c "exec 3<>/dev/tcp/$ENGINE/4222" 2>/dev/null; then return; fi
        sleep 0.05
    done
    fail "the nats-server does not answer after $tries attempts: $(tail -3 "$STATE/engine.log")"
}

# start_broker a|b ADDRESS: returns when it is ready, which is when the engine has answered.
start_broker() {
    local ready=$STATE/$1.ready
    : >"$ready"
    become "$1" setsid "$BIN/corecast" broker --shards 2 --listen "tcp://$2:6680,tcp://127.0.0.1:6680" --insecure \
        --metrics 127.0.0.1:9680 --engine "nats://$ENGINE:4222" --engine-wait \
        </dev/null >"$ready" 2>>"$STATE/$1.log" &
    echo $! >"$STATE/$1.pid"
    disown
    local tries
    for tries in $(seq 600); do
        if grep -q ^ready "$ready"; then return; fi
        kill -0 "$(cat "$STATE/$1.pid")" 2>/dev/null || break
        sleep 0.05
    done
    fail "the broker on $1 is not ready after $tries looks: $(tail -3 "$STATE/$1.log")"
}

up() {
    command -v "$NATS" >/dev/null || fail "nats-server is not installed (scripts/peers.sh install)"
    BIN=$(commands)
    rm -rf "$STATE"
    mkdir -p "$STATE"
    scripts/testbed.sh up >/dev/null
    start_engine
    start_broker a $A
    start_broker b $B
    until_metric a corecast_engine_peers 1
    until_metric b corecast_engine_peers 1
}

# The value of a metric of the broker on a host.
metric() {
    on "$1" python3 -c '
import sys, urllib.request
page = urllib.request.urlopen("http://127.0.0.1:9680/metrics", timeout=5).read().decode()
print(sum(int(float(line.rsplit(" ", 1)[1])) for line in page.splitlines() if line.split(" ")[0].split("{")[0] == sys.argv[1]))
' "$2"
}

# until_metric HOST METRIC LEAST: waits until it is that much.
until_metric() {
    local tries
    for tries in $(seq 600); do
        if [ "$(metric "$1" "$2")" -ge "$3" ]; then return; fi
        sleep 0.1
    done
    fail "$2 on $1 is not $3 after $tries looks: $(metric "$1" "$2")"
}

status() {
    scripts/testbed.sh status
    local host
    for host in a b; do
        printf '%s: connected=%s peers=%s sent=%s received=%s missing=%s\n' "$host" "$(metric $host corecast_engine_connected)" \
            "$(metric $host corecast_engine_peers)" "$(metric $host corecast_engine_sent_total)" \
            "$(metric $host corecast_engine_received_total)" "$(metric $host corecast_engine_missing_total)"
    done
}

# The oracle reads what `corecast sub -o json` prints of messages that are the numbers from 1 to N, and ends when it has the last.
oracle() {
    python3 -u -c '
import json, sys
sent, last, told, heard, missed = int(sys.argv[1]), None, 0, 0, 0
for line in sys.stdin:
    event = json.loads(line)
    if "gap" in event:
        assert event["gap"]["reason"] == "engine", event
        told += event["gap"]["missed"]
        missed += event["gap"]["missed"]
    else:
        number = int(event["payload"])
        if last is None:
            last = number - 1 - told
            sent_before = last
        assert number > last, f"{number} after {last}: twice, or out of order"
        assert number - last - 1 == told, f"{number - last - 1} missing before {number}, and {told} told"
        last, told = number, 0
        heard += 1
    if last is not None and last + told >= sent:
        break
of = sent - sent_before
assert heard + missed == of, f"{heard} received + {missed} told, of {of}"
print(f"sent {of} = received {heard} + told {missed}")
' "$1"
}

# under_load SECONDS NAME ACTION...: a publisher on a says 1,000 numbers a second for so long while the action is done.
under_load() {
    local seconds=$1 name=$2 n code=0
    shift 2
    n=$((seconds * 1000))
    rm -f "$STATE/heard"
    mkfifo "$STATE/heard"
    become b "$BIN/corecast" sub "$name" -o json >"$STATE/heard" 2>"$STATE/sub.log" &
    local sub=$!
    oracle "$n" <"$STATE/heard" >"$STATE/verdict" 2>&1 &
    local judge=$!
    until_metric b corecast_subscriptions 1
    seq 1 "$n" | on a "$BIN/corecast" pub "$name" --lines - --rate 1000 2>"$STATE/pub.log" &
    local pub=$!
    # The load has begun.
    until_metric a corecast_messages_in_total $(($(metric a corecast_messages_in_total) + 500))
    "$@" || code=$?
    wait "$pub" || code=1
    # A lost last message is told within some seconds of quiet.
    local tries
    for tries in $(seq 600); do
        kill -0 "$judge" 2>/dev/null || break
        sleep 0.1
    done
    kill "$judge" 2>/dev/null && code=1
    wait "$judge" || code=1
    kill "$sub" 2>/dev/null || true
    wait "$sub" 2>/dev/null || true
    printf '%-44s %s\n' "$name" "$(tail -1 "$STATE/verdict")"
    [ "$code" -eq 0 ] || fail "$name: FAILED after $tries looks; $(tail -2 "$STATE/pub.log" "$STATE/b.log" | tr '\n' ' ')"
}

kill_engine() { kill -KILL "$(cat "$STATE/engine.pid")"; }

killed_and_back() {
    kill_engine
    sleep "$1"
    start_engine
    until_metric a corecast_engine_connected 1
    until_metric b corecast_engine_connected 1
}

stopped() {
    kill -STOP "$(cat "$STATE/engine.pid")"
    sleep "$1"
    kill -CONT "$(cat "$STATE/engine.pid")"
    until_metric b corecast_engine_connected 1
}

# cut_off HOST SECONDS: its cable is out for so long.
cut_off() {
    on "$1" ip link set eth0 down
    sleep "$2"
    on "$1" ip link set eth0 up
    until_metric "$1" corecast_engine_connected 1
}

nothing() { :; }

# The server ends, and one of another version takes its place: OTHER, and then the first again.
other_version() {
    local first=$NATS
    kill_engine
    NATS=$OTHER
    start_engine
    until_metric b corecast_engine_connected 1
    sleep "$1"
    kill_engine
    NATS=$first
    start_engine
    until_metric b corecast_engine_connected 1
}

# A client that is no broker publishes what no broker makes, into all subjects of brokers, for so many seconds.
junk() {
    on engine python3 - "$ENGINE" "$1" <<'PY'
import os, random, socket, sys, time
server = socket.create_connection((sys.argv[1], 4222))
server.sendall(b'CONNECT {"verbose":false}\r\n')
until, rng = time.monotonic() + float(sys.argv[2]), random.Random(1)
subjects = [b"cc.default.t.junk", b"cc.default.odd", b"cc.default.w.all", b"cc.default.t.foreign-junk"]
while time.monotonic() < until:
    for _ in range(50):
        junk = rng.randbytes(rng.randrange(200))
        if rng.random() < 0.5:
            # Behind the first bytes of a head.
            junk = bytes([0xCC, 1, rng.randrange(4), 0]) + junk
        server.sendall(b"PUB %s %d\r\n%s\r\n" % (rng.choice(subjects), len(junk), junk))
    time.sleep(0.01)
server.sendall(b"PING\r\n")
answer = b""
while b"PONG" not in answer:
    some = server.recv(65536)
    assert some, "the server ended the connection"
    answer += some
PY
    [ "$(metric b corecast_engine_junk_total)" -gt 0 ] || fail "no junk was counted"
    [ "$(metric b corecast_engine_connected)" -eq 1 ] || fail "junk has cut b off"
}

# A broker that is killed takes its publishers' connections with it: they come back, and say what they do not know.
killed_broker() {
    local before
    kill -KILL "$(cat "$STATE/a.pid")"
    before=$(metric b corecast_engine_connects_total)
    start_broker a $A
    until_metric a corecast_engine_peers 1
    [ "$(metric b corecast_engine_connects_total)" = "$before" ] || fail "b has lost the engine as a was killed"
}

run_tests() {
    local short=${1:-}
    [ -z "$short" ] || [ "$short" = --short ] || fail "unknown option $short; see scripts/cluster.sh --help" 2
    export CORECAST_TESTBED=corecast-cluster-$$
    STATE=/tmp/$CORECAST_TESTBED
    trap 'scripts/testbed.sh down; rm -rf "$STATE"' EXIT
    up
    echo "nats-server: $("$NATS" --version)"
    under_load 3 calm nothing
    under_load 8 engine-killed-for-1-s killed_and_back 1
    under_load 12 engine-stopped-for-5-s stopped 5
    under_load 6 b-cut-off-for-half-a-second cut_off b 0.5
    under_load 12 b-cut-off-for-5-s cut_off b 5
    if [ -z "$short" ]; then
        under_load 12 a-cut-off-for-5-s cut_off a 5
        under_load 75 b-cut-off-for-60-s cut_off b 60
        under_load 20 engine-killed-for-10-s killed_and_back 10
        under_load 8 foreign-junk junk 4
        if [ -n "$OTHER" ]; then
            echo "the other nats-server: $("$OTHER" --version)"
            under_load 12 replaced-by-another-version-and-back other_version 2
        fi
    fi
    killed_broker
    under_load 3 a-killed-and-back nothing
    echo "cluster: ok"
}

case ${1-} in
    -h | --help) usage ;;
    up) up && status && printf '%s\n' \
        "scripts/cluster.sh exec b $BIN/corecast sub '>'" "scripts/cluster.sh exec a $BIN/corecast pub greetings hello" ;;
    down) scripts/testbed.sh down && rm -rf "$STATE" ;;
    status) status ;;
    exec) shift && [ $# -ge 2 ] || { usage >&2 && exit 2; } && on "$@" ;;
    test) shift && run_tests "$@" ;;
    *) usage >&2 && exit 2 ;;
esac
