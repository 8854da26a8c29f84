#!/usr/bin/env bash
# Runs an experiment over real machines, by ssh: copies the two commands to each, starts agents, runs, fetches the
# results, stops everything and leaves nothing behind.
set -euo pipefail

usage() {
    cat <<'TXT'
Usage: scripts/fleet.sh build
       scripts/fleet.sh [OPTION...] NAME=DESTINATION[,ADDRESS]... -- COMMAND...

  build            builds corecast and corecast-bench without shared libraries (target/fleet/), for any Linux on this
                   machine's kind of processor
  NAME=DESTINATION a host for subscribers: its name in the results, and its ssh destination. Its agent listens at the
                   address by which ssh reached it, or at ADDRESS
  COMMAND          a command of corecast-bench, without --hosts: run ..., experiment ...

  --admin DEST     run broker, publishers and COMMAND on that machine instead of this one
  --results DIR    folder in which COMMAND runs, or which gets its files from --admin [results/fleet-DATE]
  --bin DIR        folder of the commands [target/fleet]
  --broker-listen URL  address of the broker, if agents cannot reach it at the address from which they are reached
  --time-limit SECS    time limit of COMMAND [14400]
  -h, --help       print this help

Nothing is tuned on any machine; scripts/tune-host.sh shows the possible settings. Each machine needs sshd, a shell, and
a kernel that passes `corecast doctor`; the commands are copied into a folder of their own under /tmp, which is removed
at the end, even after an error or Ctrl-C, and when this machine or its connection dies. CORECAST_FLEET_SSH is the ssh
command with its options [ssh]. The agents ask for a token that is made for this call; what passes between them and
COMMAND is not encrypted.

Examples:
  scripts/fleet.sh build
  scripts/fleet.sh worker1=10.0.0.2 worker2=10.0.0.3 -- experiment canonical --out canonical
  scripts/fleet.sh --admin me@admin w1=me@w1,10.1.0.2 w2=me@w2,10.1.0.3 -- run --mode both --json both.json
  CORECAST_FLEET_SSH='ssh -i key -p 2222' scripts/fleet.sh w1=root@w1 -- run --subscribers 64

Exit code: that of COMMAND; 1 if COMMAND did not run; 2 for wrong usage.
TXT
}

say() { printf 'fleet: %s\n' "$1" >&2; }
fail() {
    say "$1"
    exit "${2:-1}"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Seconds for a machine's answer to a short question, the copy of two commands, the orderly end of an agent.
readonly ASK_SECS=30 COPY_SECS=600 END_SECS=20

build() {
    # shellcheck source=scripts/needs.sh
    . "$root/scripts/needs.sh"
    need cargo cc make
    local target
    target="$(uname -m)-unknown-linux-musl"
    if ! rustup target list --installed 2>/dev/null | grep -qx "$target"; then
        # A statically linked GNU C library cannot look up host names, but does everything else: write addresses.
        target="$(uname -m)-unknown-linux-gnu"
    fi
    local built=${CARGO_TARGET_DIR:-$root/target}
    (cd "$root" && RUSTFLAGS='-C target-feature=+crt-static' cargo build --profile "${CORECAST_FLEET_PROFILE:-release}" \
        --locked --target "$target" --target-dir "$built/fleet-build" --package corecast --package corecast-bench --bins)
    local folder=${CORECAST_FLEET_PROFILE:-release} command
    [ "$folder" != dev ] || folder=debug
    mkdir -p "$built/fleet"
    for command in corecast corecast-bench; do
        cp "$built/fleet-build/$target/$folder/$command" "$built/fleet/"
        ! ldd "$built/fleet/$command" 2>&1 | grep -q '=>' || fail "$command still needs shared libraries: see ldd $built/fleet/$command"
    done
    say "static, for $target: $built/fleet"
}

# An ssh command that never prompts, and that notices when the other end is gone.
readonly SSH_OPTIONS=(-o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3)
ask() {
    local secs=$1 destination=$2
    shift 2
    timeout "$secs" "${ssh[@]}" "${SSH_OPTIONS[@]}" "$destination" "$@"
}

# Makes a folder on a machine and puts the commands and the agents' token there. Sets folder_of and address_of.
declare -A folder_of=() address_of=()
prepare() {
    local destination=$1 said kind command
    [ -z "${folder_of[$destination]:-}" ] || return 0
    # shellcheck disable=SC2016 # for the shell over there
    said=$(ask "$ASK_SECS" "$destination" \
        'set -- $SSH_CONNECTION; echo "$3"; uname -sm; mktemp -d /tmp/corecast-fleet.XXXXXX' </dev/null) ||
        fail "cannot use $destination by ssh: try \`${ssh[*]} -o BatchMode=yes $destination true\`"
    { read -r address_of["$destination"] && read -r kind && read -r folder_of["$destination"]; } <<<"$said" ||
        fail "$destination did not answer with its address, its kind and a folder: $said"
    [ "$kind" = "$(uname -sm)" ] || fail "$destination is $kind, but the commands are for $(uname -sm)"
    say "$destination: copying"
    for command in corecast corecast-bench; do
        ask "$COPY_SECS" "$destination" \
            "cat >'${folder_of[$destination]}/$command' && chmod 755 '${folder_of[$destination]}/$command'" \
            <"$bin/$command" || fail "cannot copy $command to $destination"
    done
    ask "$ASK_SECS" "$destination" "umask 077 && cat >'${folder_of[$destination]}/agent.token'" <"$work/agent.token" ||
        fail "cannot copy the token to $destination"
    if ! ask "$ASK_SECS" "$destination" "'${folder_of[$destination]}/corecast' doctor --jitter 0" \
        >"$work/doctor" 2>&1 </dev/null; then
        cat "$work/doctor" >&2
        fail "$destination cannot run executors: see above"
    fi
}

# The time limit of a run. In the foreground, so that the signal goes to corecast-bench, which ends its own children, and
# not to its whole group.
limited=(timeout --foreground -k 30)

# Runs a command line on a machine for as long as this script lives: a remote shell reads from a pipe that this one holds
# open and, when that ends for whatever reason, ends the command with SIGTERM. After the command it runs $4 and removes the
# folder $2.
declare -a pipes=() tethers=()
tether() {
    local destination=$1 folder=$2 line=$3 after=$4 out=$5 err=$6 fifo pipe other
    fifo="$work/fifo-${#tethers[@]}"
    mkfifo "$fifo"
    exec {pipe}<>"$fifo"
    pipes+=("$pipe")
    local remote="exec 3<&0; ( $line ) </dev/null 3<&- & command=\$!
        ( exec >/dev/null 2>&1; cat <&3; kill -TERM \$command ) &
        code=0; wait \$command || code=\$?
        $after
        rm -rf '$folder'; exit \$code"
    # In a session of its own: Ctrl-C goes to this script, which ends the session in order. The pipes belong to this script
    # alone: when it is gone, for whatever reason, they end.
    (
        for other in "${pipes[@]}"; do exec {other}>&-; done
        [ -z "$err" ] || exec 2>"$err"
        exec setsid "${ssh[@]}" "${SSH_OPTIONS[@]}" "$destination" "$remote"
    ) <"$fifo" >"$out" &
    tethers+=("$!")
}

# shellcheck disable=SC2317 # run by the trap
# Waits a limited time until a process of this script has ended. Returns its exit code.
ended() {
    local pid=$1 tenths=$(($2 * 10)) code=0
    while kill -0 "$pid" 2>/dev/null && [ "$tenths" -gt 0 ]; do
        sleep 0.1
        tenths=$((tenths - 1))
    done
    if kill -0 "$pid" 2>/dev/null; then
        say "process $pid did not end: killed"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" 2>/dev/null || code=$?
    return "$code"
}

running=''
# shellcheck disable=SC2317 # run by the trap
clean_up() {
    local code=$? pipe pid destination
    trap '' INT TERM
    if [ -n "$running" ] && kill -TERM "$running" 2>/dev/null; then
        say "stopping"
        ended "$running" "$END_SECS" || true
    fi
    for pipe in "${pipes[@]}"; do exec {pipe}>&-; done
    for pid in "${tethers[@]}"; do ended "$pid" "$END_SECS" || true; done
    # A machine that failed before its tether was up still has its folder.
    for destination in "${!folder_of[@]}"; do
        [ -n "${tethered[$destination]:-}" ] ||
            ask "$ASK_SECS" "$destination" "rm -rf '${folder_of[$destination]}'" </dev/null || true
    done
    rm -rf "$work"
    exit "$code"
}

# Starts the agent of a host, and waits for its address. Adds it to hosts.toml.
declare -A tethered=()
start_agent() {
    local name=$1 destination=$2 address=$3 out="$work/agent-$1.out" err="$work/agent-$1.err" waited url
    [ -n "$address" ] || address=${address_of[$destination]}
    case $address in *:*) address="[$address]" ;; esac
    local here=${folder_of[$destination]}
    local line="exec '$here/corecast-bench' agent --listen 'tcp://$address:0' --token-file '$here/agent.token'"
    : >"$out"
    # The admin's folder holds the results: it is removed when they have been fetched.
    local folder=${folder_of[$destination]}
    [ "$destination" != "$admin" ] || folder=$folder/none
    tether "$destination" "$folder" "$line" : "$out" "$err"
    [ "$destination" = "$admin" ] || tethered[$destination]=yes
    for ((waited = 0; waited < ASK_SECS * 10; waited++)); do
        url=$(sed -n 's/^ready //p' "$out")
        [ -z "$url" ] || break
        kill -0 "${tethers[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    if [ -z "$url" ]; then
        cat "$err" >&2
        fail "the agent of $name did not start on $destination"
    fi
    say "$name: agent at $url"
    printf '[[host]]\nname = "%s"\nagent = "%s"\n' "$name" "$url" >>"$work/hosts.toml"
}

run_here() {
    cd "$results"
    CORECAST_BIN="$bin/corecast" "${limited[@]}" "$limit" "$bin/corecast-bench" "$@" --hosts "$work/hosts.toml" &
    running=$!
    local code=0
    wait "$running" || code=$?
    running=''
    return "$code"
}

# The same on another machine. The files of the command come back as an archive at the end of the connection's output.
run_there() {
    local folder=${folder_of[$admin]} word words='' code=0
    for word in "$@"; do words+=" $(printf '%q' "$word")"; done
    ask "$ASK_SECS" "$admin" "mkdir '$folder/results' && cat >'$folder/hosts.toml'" <"$work/hosts.toml"
    tether "$admin" "$folder" \
        "cd '$folder/results' && CORECAST_BIN='$folder/corecast' exec ${limited[*]} $limit '$folder/corecast-bench'$words --hosts '$folder/hosts.toml' >stdout.txt" \
        "tar -C '$folder/results' -cf - ." "$work/results.tar" ''
    tethered[$admin]=yes
    local pid=${tethers[-1]} pipe=${pipes[-1]}
    # shellcheck disable=SC2317 # run by the trap
    interrupt() { exec {pipe}>&-; }
    trap interrupt INT TERM
    while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
    wait "$pid" || code=$?
    trap - INT TERM
    tar -C "$results" -xf "$work/results.tar" || fail "the results of $admin could not be fetched"
    cat "$results/stdout.txt"
    return "$code"
}

read -ra ssh <<<"${CORECAST_FLEET_SSH:-ssh}"
bin="${CARGO_TARGET_DIR:-$root/target}/fleet"
admin='' results='' broker_listen='' limit=14400
declare -a hosts=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    build) build && exit 0 ;;
    --admin) admin=${2:?--admin needs a destination} && shift 2 ;;
    --results) results=${2:?--results needs a folder} && shift 2 ;;
    --bin) bin=$(cd "${2:?--bin needs a folder}" && pwd) && shift 2 ;;
    --broker-listen) broker_listen=${2:?--broker-listen needs an address} && shift 2 ;;
    --time-limit) limit=${2:?--time-limit needs seconds} && shift 2 ;;
    --) shift && break ;;
    *=*) hosts+=("$1") && shift ;;
    *) fail "unknown option $1; see scripts/fleet.sh --help" 2 ;;
    esac
done
[ ${#hosts[@]} -gt 0 ] || { usage >&2 && exit 2; }
[ $# -gt 0 ] || fail "no command given: write -- and a command after the hosts; see scripts/fleet.sh --help" 2
case $limit in '' | *[!0-9]*) fail "--time-limit $limit: write seconds" 2 ;; esac
for host in "${hosts[@]}"; do
    [[ $host =~ ^[A-Za-z0-9_.-]+=[^,\']+(,[0-9A-Za-z.:-]+)?$ ]] || fail "$host is not a host: write NAME=DESTINATION or NAME=DESTINATION,ADDRESS" 2
done
for command in corecast corecast-bench; do
    [ -x "$bin/$command" ] || fail "there is no $bin/$command: scripts/fleet.sh build makes it, or name a folder with --bin" 2
done
results=${results:-results/fleet-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$results"
results=$(cd "$results" && pwd)
work=$(mktemp -d)
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

(umask 077; head -c 32 /dev/urandom | base64 >"$work/agent.token")
# Beside the file of hosts, also where that is copied to.
echo 'token_file = "agent.token"' >"$work/hosts.toml"
[ -z "$broker_listen" ] || printf 'broker_listen = "%s"\n' "$broker_listen" >>"$work/hosts.toml"
[ -z "$admin" ] || prepare "$admin"
for host in "${hosts[@]}"; do
    rest=${host#*=}
    prepare "${rest%%,*}"
done
for host in "${hosts[@]}"; do
    rest=${host#*=} address=''
    case $rest in *,*) address=${rest#*,} ;; esac
    start_agent "${host%%=*}" "${rest%%,*}" "$address"
done
code=0
if [ -n "$admin" ]; then run_there "$@" || code=$?; else run_here "$@" || code=$?; fi
say "results: $results"
exit "$code"
