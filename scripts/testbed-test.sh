#!/usr/bin/env bash
# Tests real hosts: the testbed comes up and goes without a trace, 512 subscribers on two of its hosts get everything in
# both modes, scripts/fleet.sh does its work over sshd on the same three hosts, and scripts/cluster.sh joins two of them by an engine.
set -euo pipefail

usage() {
    cat <<'TXT'
Usage: scripts/testbed-test.sh [-h] [testbed | fleet | cluster]

Builds the commands (debug) and tests, as root, in namespaces of its own:
  testbed  scripts/testbed.sh up, the canonical experiment over two agents in both modes, down; the remains of a crash
  fleet    scripts/fleet.sh against an sshd on each host: from one of them, with --admin, interrupted; needs sshd
  cluster  scripts/cluster.sh test --short: brokers of two hosts, joined by an engine that gets into trouble; needs nats-server
Without an argument: all. Without root, sshd or nats-server it reports what it skips, and exits with 0.
CORECAST_TEST_BIN is a folder of commands built before.
TXT
}

case ${1-} in
    -h | --help) usage && exit 0 ;;
    '' | testbed | fleet | cluster) part=${1-} ;;
    *) usage >&2 && exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
skip() { printf '\nSKIPPED: %s\n\n' "$1" >&2; }
fail() {
    printf 'testbed-test: FAILED: %s\n' "$1" >&2
    exit 1
}
if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null || ! command -v tc >/dev/null; then
    skip "the tests of the testbed need root, and ip and tc (iproute2)"
    exit 0
fi
if ! { ip netns add corecast-probe && ip netns delete corecast-probe; } 2>/dev/null; then
    skip "this machine lets root make no network namespaces"
    exit 0
fi

# A testbed other than the one that somebody may be working with.
export CORECAST_TESTBED=corecast-test-$$
bin=${CORECAST_TEST_BIN:-}
if [ -z "$bin" ]; then
    cargo build --quiet --locked --package corecast --package corecast-bench --bins
    bin=${CARGO_TARGET_DIR:-target}/debug
fi
bin=$(cd "$bin" && pwd)
work=$(mktemp -d)
# The commands are copied five times: without symbols.
mkdir "$work/bin"
for command in corecast corecast-bench; do
    cp "$bin/$command" "$work/bin/"
    ! command -v strip >/dev/null || strip "$work/bin/$command"
done
bin=$work/bin
testbed=scripts/testbed.sh
clean_up() {
    local code=$?
    "$testbed" down || code=1
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# Checks that nothing of the testbed is left, and no process that was started in it.
assert_gone() {
    local pid
    ! ip netns list | grep -q "^$CORECAST_TESTBED" || fail "a namespace is left: $(ip netns list)"
    [ "$bridges" = "$(ip -o link show type bridge)" ] || fail "a bridge is left: $(ip -o link show type bridge)"
    for pid in "$@"; do
        ! kill -0 "$pid" 2>/dev/null || fail "process $pid is left: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
    done
}
bridges=$(ip -o link show type bridge)
# All processes of the three hosts.
processes() {
    local role
    for role in admin worker1 worker2; do ip netns pids "$CORECAST_TESTBED-$role"; done
}
wait_for() {
    local tenths
    for ((tenths = 0; tenths < 200; tenths++)); do
        ! grep -q "$1" "$2" 2>/dev/null || return 0
        sleep 0.1
    done
    fail "no \`$1\` in $2: $(cat "$2")"
}

test_testbed() {
    echo "== the testbed: the canonical experiment with 512 subscribers on two hosts, both modes"
    "$testbed" up --rate 1gbit
    (umask 077; head -c 32 /dev/urandom | base64 >"$work/agent.token")
    echo 'token_file = "agent.token"' >"$work/hosts.toml"
    local host address=2
    for host in worker1 worker2; do
        "$testbed" exec "$host" "$bin/corecast-bench" agent --listen "tcp://10.213.77.$address:6690" \
            --token-file "$work/agent.token" \
            >"$work/$host.out" 2>"$work/$host.err" &
        wait_for '^ready ' "$work/$host.out"
        printf '[[host]]\nname = "%s"\nagent = "tcp://10.213.77.%s:6690"\n' "$host" "$address" >>"$work/hosts.toml"
        address=$((address + 1))
    done
    local code=0
    "$testbed" exec admin "$bin/corecast-bench" experiment canonical --quick --hosts "$work/hosts.toml" \
        --subscribers 512 --sessions per-subscriber --duration 3 --out "$work/canonical" --assert 'lost==0' \
        --assert 'deliveries==deliveries_expected' --assert 'duplicated+reordered+corrupted==0' || code=$?
    # A slow machine may miss the rate (3), but no message may be missing.
    [ "$code" = 0 ] || [ "$code" = 3 ] || fail "the experiment ended with $code"
    python3 - "$work/canonical/results.json" <<'PY'
import json, sys
results = json.load(open(sys.argv[1]))
runs = [run["record"] for run in results["runs"]]
assert "incomplete" not in results, results["incomplete"]
assert {run["mode"] for run in runs} == {"proxy", "direct"}, runs
for run in runs:
    assert run["lost"] == 0 and run["deliveries"] == run["deliveries_expected"] > 0, run
    assert [(host["name"], host["subscribers"]) for host in run["hosts"]] == [("worker1", 256), ("worker2", 256)]
    assert "clock_error_us" not in run, "one machine, one clock"
PY
    local left
    # shellcheck disable=SC2207 # numbers
    left=($(processes))
    [ "${#left[@]}" -ge 2 ] || fail "the agents should still be there"
    "$testbed" down
    assert_gone "${left[@]}"
    "$testbed" down || fail "down without a testbed is fine"

    echo "== the next up removes the remains of a crash"
    ip netns add "$CORECAST_TESTBED-admin"
    ip netns exec "$CORECAST_TESTBED-admin" sleep 1000 &
    local stale=$!
    "$testbed" up >/dev/null
    ! kill -0 "$stale" 2>/dev/null || fail "the process of the earlier testbed is left"
    "$testbed" down
    assert_gone

    echo "== without root it reports that"
    if command -v setpriv >/dev/null; then
        local said
        ! said=$(setpriv --reuid 65534 --regid 65534 --clear-groups bash "$testbed" up 2>&1) || fail "up without root"
        grep -q 'need root' <<<"$said" || fail "without root it says: $said"
    fi
}

# An sshd on each host, with keys, ports and files of this test only.
start_sshd() {
    local number=0 role
    ssh-keygen -q -t ed25519 -N '' -f "$work/host-key"
    ssh-keygen -q -t ed25519 -N '' -f "$work/key"
    cp "$work/key.pub" "$work/authorized"
    for role in admin worker1 worker2; do
        number=$((number + 1))
        cat >"$work/sshd-$role" <<CONF
ListenAddress 10.213.77.$number
Port 2222
HostKey $work/host-key
AuthorizedKeysFile $work/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
CONF
        printf '[10.213.77.%s]:2222 %s\n' "$number" "$(cut -d' ' -f1,2 "$work/host-key.pub")" >>"$work/known"
        cat >>"$work/ssh" <<CONF
Host $role
  HostName 10.213.77.$number
  Port 2222
  User root
  IdentityFile $work/key
  IdentitiesOnly yes
  UserKnownHostsFile $work/known
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
CONF
        "$testbed" exec "$role" "$sshd" -D -e -f "$work/sshd-$role" 2>"$work/sshd-$role.err" &
        wait_for 'Server listening' "$work/sshd-$role.err"
    done
}

folders() { find /tmp -maxdepth 1 -name 'corecast-fleet.*' | sort; }

assert_nothing_left() {
    local tenths
    for ((tenths = 0; tenths < 100; tenths++)); do
        if [ "$(folders)" = "$folders_before" ] && ! processes | xargs -r -I{} sh -c 'tr "\0" " " </proc/{}/cmdline 2>/dev/null; echo' | grep -q corecast-fleet; then
            return 0
        fi
        sleep 0.1
    done
    fail "fleet.sh left something: $(folders) $(processes | xargs -r ps -fp)"
}

test_fleet() {
    local sshd
    if ! sshd=$(command -v sshd || ls /usr/sbin/sshd 2>/dev/null); then
        skip "the tests of scripts/fleet.sh need sshd: apt-get install openssh-server"
        return 0
    fi
    echo "== fleet.sh over ssh, from one of the hosts"
    mkdir -p /run/sshd
    "$testbed" up >/dev/null
    start_sshd
    folders_before=$(folders)
    export CORECAST_FLEET_SSH="ssh -F $work/ssh"
    local fleet=("$testbed" exec admin scripts/fleet.sh --bin "$bin")
    local few=(--mode both --subscribers 32 --rate 50 --duration 1 --json r.json --assert 'lost==0')
    local code=0
    "${fleet[@]}" --results "$work/here" w1=worker1 w2=worker2 -- run "${few[@]}" || code=$?
    [ "$code" = 0 ] || [ "$code" = 3 ] || fail "fleet.sh ended with $code"
    grep -q '"name": "w2"' "$work/here/r.json" || fail "w2 is not in the results"
    assert_nothing_left

    echo "== the same with broker and publishers on another machine, which also runs subscribers"
    code=0
    "${fleet[@]}" --admin worker1 --results "$work/there" w1=worker1,10.213.77.2 w2=worker2 -- run "${few[@]}" || code=$?
    [ "$code" = 0 ] || [ "$code" = 3 ] || fail "fleet.sh --admin ended with $code"
    grep -q '"name": "w1"' "$work/there/r.json" || fail "w1 is not in the results that were fetched"
    grep -q 'deliveries' "$work/there/stdout.txt" || fail "the tables were not fetched"
    assert_nothing_left

    echo "== interrupted, it keeps its measurements; killed, it leaves nothing behind either"
    local signal fleet_pid
    for signal in TERM KILL; do
        setsid "${fleet[@]}" --admin worker1 --results "$work/$signal" w2=worker2 -- run --subscribers 8 --rate 50 --duration 100 --json r.json 2>"$work/$signal.err" >/dev/null &
        fleet_pid=$!
        wait_for 'sending' "$work/$signal.err"
        kill "-$signal" "$fleet_pid"
        code=0
        wait "$fleet_pid" || code=$?
        [ "$code" != 0 ] || fail "an interruption is no success"
        assert_nothing_left
    done
    grep -q '"incomplete": "interrupted"' "$work/TERM/r.json" || fail "what was measured before the interruption is lost"

    echo "== errors are reported"
    ! "${fleet[@]}" --results "$work/none" w1=worker1 w3=nowhere -- run 2>"$work/none.err" || fail "nowhere is no machine"
    grep -q 'cannot use nowhere by ssh' "$work/none.err" || fail "it says: $(cat "$work/none.err")"
    assert_nothing_left
    local left
    # shellcheck disable=SC2207 # numbers
    left=($(processes))
    "$testbed" down
    assert_gone "${left[@]}"
}

test_cluster() {
    if ! command -v "${CORECAST_NATS_SERVER:-nats-server}" >/dev/null; then
        skip "the tests of a cluster need nats-server: scripts/peers.sh install"
        return 0
    fi
    echo "== brokers of two hosts, joined by an engine that gets into trouble"
    CORECAST_TEST_BIN=$bin scripts/cluster.sh test --short || fail "scripts/cluster.sh test --short"
    assert_gone
}

case $part in
    testbed) test_testbed ;;
    fleet) test_fleet ;;
    cluster) test_cluster ;;
    *)
        test_testbed
        test_fleet
        test_cluster
        ;;
esac
echo "testbed-test: ok"
