#!/usr/bin/env bash
# Installs, starts and stops the other systems that corecast-bench compares with.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/peers.sh install | start | stop | status

  install   installs what is missing: redis-server, nats-server and mosquitto from Debian (as root), promtool, with
            which a test checks the metrics page (package prometheus), and a Python with pyzmq under the target folder.
            Services that Debian would start are not left running.
  start     starts each server on loopback with the configuration that `corecast-bench peers` uses (bench/peers/):
            mosquitto on 1883, nats-server on 4222, redis-server on 6379. `corecast-bench peers` needs none of them: it
            starts its own servers in each round.
  stop      stops the servers that `start` started, and nothing else
  status    lists the installed and the running servers
TEXT
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
run=$target/peers
servers=(mosquitto nats-server redis-server)
# Distributions put servers, which ordinary users do not run, into the sbin folders.
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin

port_of() {
    case $1 in
        mosquitto) echo 1883 ;;
        nats-server) echo 4222 ;;
        redis-server) echo 6379 ;;
    esac
}

# Fills in the configuration of a server: one source for this script and for corecast-bench.
configuration() {
    local server=$1 folder=$2 port listen user
    port=$(port_of "$server")
    case $server in
        mosquitto) listen="listener $port 127.0.0.1" ;;
        nats-server) listen="listen: \"127.0.0.1:$port\"" ;;
        redis-server) listen="bind 127.0.0.1\nport $port" ;;
    esac
    user='# not started by root: it stays who it is'
    if [ "$(id -u)" -eq 0 ]; then
        user='user root'
    fi
    sed -e "s|@LISTEN@|$listen|; s|@USER@|$user|; s|@DIR@|$folder|" "bench/peers/${server%-server}.conf"
}

pid_of() {
    local pid
    pid=$(cat "$run/$1/pid" 2>/dev/null) || return 1
    # The process number may have been reused.
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}

install_servers() {
    local missing=() server denied=
    for server in "${servers[@]}"; do
        command -v "$server" >/dev/null || missing+=("$server")
    done
    # promtool, with which a test checks the metrics page.
    command -v promtool >/dev/null || missing+=(prometheus)
    if [ ${#missing[@]} -eq 0 ]; then
        echo "servers: all installed"
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "error: ${missing[*]} missing, and this is not Debian: install them with the system's own package manager" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "error: ${missing[*]} missing, and only root may install them: sudo scripts/peers.sh install" >&2
        return 1
    fi
    # Debian starts a server as soon as it is installed, unless this file forbids it. An existing file is left alone.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        denied=/usr/sbin/policy-rc.d
        # shellcheck disable=SC2064  # the present name
        trap "rm -f $denied" RETURN EXIT
        printf '#!/bin/sh\nexit 101\n' >"$denied"
        chmod 755 "$denied"
    fi
    local options=(-qq -o "Acquire::Retries=1" -o "Acquire::http::Timeout=20" -o "DPkg::Lock::Timeout=60")
    export DEBIAN_FRONTEND=noninteractive
    if ! apt-get "${options[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
        # The package lists may be old or missing.
        apt-get "${options[@]}" update >/dev/null || true
        apt-get "${options[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
    fi
    # Nor should they start with the machine.
    if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
        systemctl --quiet disable --now "${missing[@]}" 2>/dev/null || true
    fi
    echo "servers: installed ${missing[*]}"
}

install_all() {
    local code=0
    install_servers || code=1
    if python=$(scripts/python-env.sh); then
        echo "pyzmq: $python"
    else
        code=1
    fi
    return "$code"
}

start_all() {
    local server folder pid code=0
    for server in "${servers[@]}"; do
        if pid=$(pid_of "$server"); then
            echo "$server: already running, process $pid"
            continue
        fi
        if ! command -v "$server" >/dev/null; then
            echo "$server: not installed (scripts/peers.sh install)" >&2
            code=1
            continue
        fi
        folder=$(realpath -m "$run/$server")
        mkdir -p "$folder"
        configuration "$server" "$folder" >"$folder/peer.conf"
        local words=(-c "$folder/peer.conf")
        if [ "$server" = redis-server ]; then
            words=("$folder/peer.conf")
        fi
        setsid "$server" "${words[@]}" </dev/null >"$folder/log" 2>&1 &
        pid=$!
        echo "$pid" >"$folder/pid"
        if wait_for_port "$(port_of "$server")" "$pid"; then
            echo "$server: tcp://127.0.0.1:$(port_of "$server"), process $pid"
        else
            echo "$server: did not start:" >&2
            tail -5 "$folder/log" >&2
            rm -f "$folder/pid"
            code=1
        fi
    done
    return "$code"
}

# Waits until the server accepts connections; fails if it ends before that.
wait_for_port() {
    local tries
    for tries in $(seq 100); do
        if ! kill -0 "$2" 2>/dev/null; then
            return 1
        fi
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
            # Another process may hold the port: then ours ends at once.
            sleep 0.1
            kill -0 "$2" 2>/dev/null
            return
        fi
        sleep 0.1
    done
    echo "nothing answers on port $1 after $tries attempts" >&2
    return 1
}

stop_all() {
    local server pid
    for server in "${servers[@]}"; do
        if pid=$(pid_of "$server"); then
            kill "$pid"
            while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
            echo "$server: stopped"
        fi
        rm -f "$run/$server/pid"
    done
}

status() {
    local server pid
    for server in "${servers[@]}"; do
        if pid=$(pid_of "$server"); then
            echo "$server: running, process $pid, tcp://127.0.0.1:$(port_of "$server")"
        elif command -v "$server" >/dev/null; then
            echo "$server: installed, not running"
        else
            echo "$server: not installed (scripts/peers.sh install)"
        fi
    done
    if [ -x "$target/python-env/bin/python" ]; then
        echo "pyzmq: installed"
    else
        echo "pyzmq: not installed (scripts/peers.sh install)"
    fi
}

case ${1-} in
    install) install_all ;;
    start) start_all ;;
    stop) stop_all ;;
    status) status ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
