#!/usr/bin/env bash
# Shows the settings of this host that hinder corecast, and changes them on request.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/tune-host.sh [-h] [--apply] [--persist] [--open-files N]

Without --apply it changes nothing: it prints each setting, and the command that changes it if it is not as recommended.
  --apply         run these commands: kernel settings and frequency governors, until the next start (as root)
  --persist       also keep the kernel settings, in /etc/sysctl.d/90-corecast.conf, and the limits of new logins,
                  in /etc/security/limits.d/90-corecast.conf (as root)
  --open-files N  connections that one process should be able to have at once (default 20000)
`corecast doctor` checks the same settings from inside a process, and io_uring and the CPUs.
TEXT
}

apply=no persist=no open_files=20000
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --apply) apply=yes ;;
        --persist) apply=yes persist=yes ;;
        --open-files) open_files=${2:?--open-files needs a number}; shift ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
case $open_files in
    '' | *[!0-9]*) echo "error: --open-files $open_files is not a number" >&2; exit 2 ;;
esac
if [ "$apply" = yes ] && [ "$(id -u)" -ne 0 ]; then
    echo "error: only root may change this host; without --apply nothing is changed" >&2
    exit 1
fi

kept=""
row() { printf '%-8s %-32s %-12s %s\n' "$1" "$2" "$3" "$4"; }

# sysctl_least NAME VALUE: the setting should be VALUE or more. sysctl_is: exactly.
sysctl_least() { setting "$1" "$2" -ge; }
sysctl_is() { setting "$1" "$2" -eq; }
setting() {
    local name=$1 wanted=$2 order=$3 file found keep=$2
    file=/proc/sys/${name//.//}
    if [ ! -r "$file" ]; then
        row "-" "$name" "none" "this kernel has no such setting"
        return
    fi
    read -r found <"$file"
    if test "$found" "$order" "$wanted"; then
        row "ok" "$name" "$found" ""
        keep=$found
    elif [ "$apply" = yes ]; then
        printf '%s\n' "$wanted" >"$file"
        row "set" "$name" "$wanted" "was $found"
    else
        row "change" "$name" "$found" "sysctl -w $name=$wanted"
    fi
    kept+="$name = $keep"$'\n'
}

# limit NAME FLAG WANTED: checks the limit of this shell, which children inherit. No script can set its caller's.
limit() {
    local name=$1 flag=$2 wanted=$3 found
    found=$(ulimit -S "$flag")
    if [ "$found" = unlimited ] || [ "$found" -ge "$wanted" ]; then
        row "ok" "$name" "$found" ""
    else
        row "change" "$name" "$found" "ulimit $flag $wanted, or --persist for new logins"
    fi
}

governors() {
    local file found=0 other=0
    for file in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor; do
        [ -r "$file" ] || continue
        found=1
        if [ "$(<"$file")" != performance ]; then
            other=$((other + 1))
            if [ "$apply" = yes ]; then
                echo performance >"$file"
            fi
        fi
    done
    if [ "$found" -eq 0 ]; then
        row "-" "frequency governor" "none" "as in most virtual machines"
    elif [ "$other" -eq 0 ]; then
        row "ok" "frequency governor" "performance" ""
    elif [ "$apply" = yes ]; then
        row "set" "frequency governor" "performance" "$other CPUs had another"
    else
        row "change" "frequency governor" "$other others" "cpupower frequency-set -g performance"
    fi
}

row "" "setting" "now" "to change it"
sysctl_is kernel.io_uring_disabled 0    # 1 and 2 forbid io_uring, without which nothing runs
sysctl_least net.core.somaxconn 4096    # caps the queue of connections waiting to be accepted
sysctl_least net.ipv4.tcp_max_syn_backlog 2048
sysctl_least fs.file-max "$((2 * open_files))"
limit "open files (ulimit -n)" -n "$open_files"
limit "memlock, KiB (ulimit -l)" -l 65536
governors

if [ "$persist" = yes ]; then
    printf '# Written by corecast scripts/tune-host.sh\n%s' "$kept" >/etc/sysctl.d/90-corecast.conf
    mkdir -p /etc/security/limits.d
    printf '# Written by corecast scripts/tune-host.sh\n' >/etc/security/limits.d/90-corecast.conf
    # A star is everybody but root.
    printf '%s - nofile %s\n%s - memlock 65536\n' '*' "$open_files" '*' root "$open_files" root \
        >>/etc/security/limits.d/90-corecast.conf
    echo "kept in /etc/sysctl.d/90-corecast.conf and /etc/security/limits.d/90-corecast.conf"
fi
