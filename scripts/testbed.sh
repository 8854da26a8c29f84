#!/usr/bin/env bash
# Makes three hosts on one machine, as network namespaces: admin, worker1 and worker2, each with its own address, joined
# by a bridge in a namespace of its own, so that the machine's own network is not touched.
set -euo pipefail

readonly PREFIX=${CORECAST_TESTBED:-corecast}
readonly ROLES=(admin worker1 worker2)
readonly NET="$PREFIX-net"
readonly SUBNET=10.213.77

usage() {
    cat <<'TXT'
Usage: scripts/testbed.sh up [--rate BANDWIDTH] | down | exec ROLE COMMAND... | status

  up            makes the hosts admin (10.213.77.1), worker1 (10.213.77.2) and worker2 (10.213.77.3), after removing
                the remains of an earlier run
    --rate R    limits the sending rate of each host to R, in tc's notation: 1gbit, 100mbit
  exec ROLE C   runs a command on a host, with this terminal, and exits with its exit code
  status        lists the hosts, their addresses and their processes, and checks that they reach each other
  down          ends every process on the hosts and removes the hosts; not an error if there are none

Needs root, and ip and tc from the package iproute2. CORECAST_TESTBED replaces the prefix corecast of its namespaces, for
a second testbed beside the first.

Examples:
  scripts/testbed.sh up --rate 1gbit
  scripts/testbed.sh exec admin corecast broker --listen tcp://10.213.77.1:6680 --insecure
  scripts/testbed.sh exec worker1 corecast sub '>' --broker tcp://10.213.77.1:6680
  scripts/testbed.sh down
TXT
}

fail() {
    printf 'testbed: %s\n' "$1" >&2
    exit "${2:-1}"
}

needs() {
    [ "$(id -u)" = 0 ] || fail "network namespaces need root: run it with sudo"
    command -v ip >/dev/null || fail "the command ip is missing: install the package iproute2"
    command -v tc >/dev/null || fail "the command tc is missing: install the package iproute2"
}

namespace() { printf '%s-%s' "$PREFIX" "$1"; }

exists() { ip netns list 2>/dev/null | cut -d' ' -f1 | grep -qxF -- "$1"; }

is_role() {
    local role
    for role in "${ROLES[@]}"; do [ "$role" = "$1" ] && return 0; done
    return 1
}

# Ends the processes of one namespace: with SIGTERM, then with SIGKILL.
end_processes() {
    local pids waited
    for waited in 0 1 2 3 4 5 6 7 8 9; do
        pids=$(ip netns pids "$1" 2>/dev/null || true)
        [ -n "$pids" ] || return 0
        if [ "$waited" = 0 ]; then
            # It may have ended meanwhile.
            xargs -r kill -TERM <<<"$pids" 2>/dev/null || true
        fi
        sleep 0.2
    done
    xargs -r kill -KILL <<<"$pids" 2>/dev/null || true
    for waited in 0 1 2 3 4 5 6 7 8 9; do
        [ -n "$(ip netns pids "$1" 2>/dev/null || true)" ] || return 0
        sleep 0.2
    done
    fail "processes of $1 do not end: $(ip netns pids "$1" | tr '\n' ' ')"
}

down() {
    local role
    for role in "${ROLES[@]}" net; do
        if exists "$(namespace "$role")"; then
            end_processes "$(namespace "$role")"
            ip netns delete "$(namespace "$role")"
        fi
    done
    # The bridge and the cables were inside, and went with them.
    for role in "${ROLES[@]}" net; do
        ! exists "$(namespace "$role")" || fail "the namespace $(namespace "$role") is still there"
    done
}

up() {
    local rate='' role number=0
    while [ $# -gt 0 ]; do
        case "$1" in
        --rate) rate=${2:?--rate needs a bandwidth} && shift 2 ;;
        *) fail "unknown option $1; see scripts/testbed.sh --help" 2 ;;
        esac
    done
    down
    # From here on a failure takes the unfinished testbed down again.
    trap down EXIT
    ip netns add "$NET"
    ip -n "$NET" link add bridge type bridge
    ip -n "$NET" link set bridge up
    for role in "${ROLES[@]}"; do
        number=$((number + 1))
        local host
        host=$(namespace "$role")
        ip netns add "$host"
        ip -n "$host" link add eth0 type veth peer name "$role" netns "$NET"
        ip -n "$NET" link set "$role" master bridge up
        ip -n "$host" link set lo up
        ip -n "$host" address add "$SUBNET.$number/24" dev eth0
        ip -n "$host" link set eth0 up
        if [ -n "$rate" ]; then
            # A burst of 128 KiB is one timer tick of 1 Gbit/s; packets queued for over 50 ms are dropped, as by a NIC.
            ip netns exec "$host" tc qdisc add dev eth0 root tbf rate "$rate" burst 128kb latency 50ms
        fi
    done
    trap - EXIT
    status
}

status() {
    local role host address number=0 reached=yes
    for role in "${ROLES[@]}"; do
        number=$((number + 1))
        host=$(namespace "$role")
        exists "$host" || fail "there is no testbed; make one with scripts/testbed.sh up"
        address="$SUBNET.$number"
        printf '%-8s %-12s %s processes\n' "$role" "$address" "$(ip netns pids "$host" | wc -l)"
        # Bash can connect: a refused connection shows that the host is reached.
        if [ "$role" != admin ]; then
            reach "$(namespace admin)" "$address" || reached=no
        fi
    done
    [ "$reached" = yes ] || fail "the hosts do not reach each other"
}

# Succeeds if a host answers at that address, if only to refuse the connection.
reach() {
    local said
    said=$(ip netns exec "$1" timeout 2 bash -c "exec 3<>/dev/tcp/$2/9" 2>&1 || true)
    [ -z "$said" ] || grep -q 'refused' <<<"$said"
}

on_host() {
    [ $# -ge 2 ] || fail "exec needs a role and a command" 2
    is_role "$1" || fail "there is no host $1; there are ${ROLES[*]}" 2
    exists "$(namespace "$1")" || fail "there is no testbed; make one with scripts/testbed.sh up"
    local host
    host=$(namespace "$1")
    shift
    exec ip netns exec "$host" "$@"
}

case "${1:-}" in
-h | --help) usage ;;
up) needs && shift && up "$@" ;;
down) needs && down ;;
status) needs && status ;;
exec) needs && shift && on_host "$@" ;;
*) usage >&2 && exit 2 ;;
esac
