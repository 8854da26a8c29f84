#!/usr/bin/env bash
# Installs, runs, upgrades and removes the Debian package in a fresh Debian with a systemd of its own.
# shellcheck disable=SC2016  # What is in single quotes is for sed, and for shells inside.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/package-test.sh [-h] FILE.deb

Makes a minimal Debian in a temporary folder (debootstrap), boots its systemd in namespaces of its own (systemd-nspawn, without a
network), and with FILE.deb
  - checks the package with lintian, which must report no error;
  - installs it, renders its man pages, and completes in bash, zsh and fish;
  - checks its unit with systemd-analyze verify, and its exposure, which must be at most 2.0;
  - publishes and subscribes as an ordinary user and as a member of the group of the Unix socket, at the broker of the unit;
  - reloads it, with a good and a bad configuration; stops it with a signal, after which the watchdog starts it again; has its
    address taken while it starts;
  - upgrades it while a subscriber is connected; tries to upgrade it to a command that does not run, and under a configuration
    that is wrong, after which the old broker must serve on; runs it by socket activation;
  - removes and purges it.
Needs root, debootstrap, systemd-container, lintian and Debian's packages (about 150 MB); four minutes.
TEXT
}

readonly EXPOSURE_MAX=2.0
readonly SUITE=bookworm

case ${1-} in
    -h | --help) usage; exit 0 ;;
    *.deb) package=$(realpath "$1") ;;
    *) usage >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "package-test: it needs root" >&2; exit 1; }
for command in debootstrap systemd-nspawn nsenter lintian dpkg-deb; do
    command -v "$command" >/dev/null || { echo "package-test: missing: $command: apt-get install debootstrap systemd-container lintian" >&2; exit 1; }
done

work=$(mktemp -d)
root=$work/root
nspawn=
finish() {
    if [ -n "$nspawn" ]; then
        # The first SIGTERM shuts it down, the second ends it at once.
        kill "$nspawn" 2>/dev/null || true
        sleep 1
        kill "$nspawn" 2>/dev/null || true
        wait "$nspawn" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$work"
}
trap finish EXIT

step() { echo "== $*"; }
die() {
    echo "package-test: FAILED: $*" >&2
    [ -z "$nspawn" ] || inside journalctl --no-pager -q -u corecast -n 30 >&2 || true
    exit 1
}
# until_so WHAT COMMAND...: waits up to 60 s until the command succeeds.
until_so() {
    local what=$1
    shift
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    die "not in a minute: $what"
}

# inside COMMAND...: runs a command in the fresh Debian, as root.
inside() {
    nsenter --target "$init" --all --root --wd /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"
}
# as USER COMMAND...: the same as this user.
as() {
    local user=$1
    shift
    inside setpriv --reuid "$user" --regid "$user" --init-groups "$@"
}

step "lintian"
lintian --fail-on error "$package" || { echo "package-test: FAILED: lintian reports errors" >&2; exit 1; }

step "a fresh $SUITE"
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,man-db,bash-completion,zsh,fish \
    "$SUITE" "$root" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log"; die "debootstrap"; }
cp "$package" "$root/corecast.deb"
# The profile of nspawn denies io_uring; that of the unit is what is tested.
SYSTEMD_SECCOMP=0 systemd-nspawn --directory "$root" --register=no --keep-unit --private-network --boot --console=pipe \
    >"$work/nspawn.log" 2>&1 </dev/null &
nspawn=$!
init() { init=$(ps -o pid= --ppid "$nspawn" | tr -d ' ') && [ -n "$init" ]; }
until_so "nspawn starts systemd" init
init
until_so "systemd runs" inside systemctl is-system-running

step "install"
inside dpkg -i /corecast.deb
inside corecast --version
inside id corecast
[ "$(inside stat -c '%a %U %G' /etc/corecast)" = "750 root corecast" ] || die "/etc/corecast is open to others"
inside corecast config check /etc/corecast/broker.toml
inside dpkg-query -W -f '${Conffiles}\n' corecast
inside dpkg-query -W -f '${Conffiles}' corecast | grep -q ' /etc/corecast/broker.toml ' || die "the configuration is not that of its owner"
inside dpkg --verify corecast

step "man pages and completions"
inside man corecast-broker >"$work/page"
grep -q 'egress-bytes' "$work/page" || die "the man page of the broker has none of its options"
inside sh -c 'for page in /usr/share/man/man1/corecast*.gz; do
    MANWIDTH=80 MANROFFOPT=-ww man --warnings -l "$page" >/dev/null || exit 1; done; ls /usr/share/man/man1/corecast* | wc -l' >"$work/pages" 2>"$work/warnings" ||
    die "a man page cannot be shown: $(cat "$work/warnings")"
[ ! -s "$work/warnings" ] || { cat "$work/warnings"; die "man warns of a page"; }
echo "$(cat "$work/pages") man pages"
inside bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader corecast
    COMP_WORDS=(corecast bro) COMP_CWORD=1; _corecast corecast bro corecast; echo "bash: ${COMPREPLY[*]}"' | tee "$work/bash"
grep -qx 'bash: broker' "$work/bash" || die "bash does not complete"
inside zsh -fc 'autoload -U compinit; compinit -u -D; echo "zsh: $_comps[corecast] $_comps[corecast-bench]"; autoload +X _corecast' | tee "$work/zsh"
grep -qx 'zsh: _corecast _corecast-bench' "$work/zsh" || die "zsh does not complete"
inside fish -c 'complete -C "corecast bro"' | tee "$work/fish"
grep -q '^broker' "$work/fish" || die "fish does not complete"

step "the unit"
inside systemd-analyze verify --man=no corecast.service
inside systemd-analyze security --no-pager --threshold="$(echo "$EXPOSURE_MAX" | awk '{print $1 * 10}')" corecast.service | tail -n 1 ||
    die "the unit is exposed by more than $EXPOSURE_MAX"
until_so "the broker is ready" inside systemctl is-active corecast
main_pid() { inside systemctl show -P MainPID corecast; }
inside grep -E '^(Uid|CapBnd|NoNewPrivs|Seccomp|Max locked memory|Max open files)' "/proc/$(main_pid)/status" "/proc/$(main_pid)/limits" -h
inside grep -q '^Seccomp:.2' "/proc/$(main_pid)/status" || die "it runs without its filter of system calls"

client=corecast
# hears USER ADDRESS: a message passes, as this user.
hears() {
    as "$1" timeout 30 "$client" sub t --count 1 --broker "$2" >"$work/heard" &
    local sub=$!
    as "$1" timeout 30 "$client" pub t "hello from $1" --wait-subscribers 1 --broker "$2" || die "$1 cannot publish at $2"
    wait "$sub" || die "$1 cannot subscribe at $2"
    grep -q "hello from $1" "$work/heard" || die "$1 heard something else"
    echo "$1 at $2: $(cat "$work/heard")"
}
readonly TCP=tcp://127.0.0.1:6680 UDS=uds:///run/corecast/broker.sock

step "publish and subscribe"
inside useradd --no-create-home --user-group someone
inside useradd --no-create-home --user-group --groups corecast member
hears someone $TCP
hears member $UDS
if as someone timeout 10 corecast pub t x --broker $UDS --timeout 1 2>"$work/refused"; then
    die "somebody outside of the group has used the Unix socket"
fi
cat "$work/refused"

step "reload"
before=$(main_pid)
inside sed -i '$a log-level = "info,corecast=debug"' /etc/corecast/broker.toml
inside systemctl reload corecast
# A fault changes nothing.
inside sed -i '$a no-such-option = 1' /etc/corecast/broker.toml
inside systemctl reload corecast || true
until_so "the fault is in the log" inside sh -c 'journalctl -q -u corecast | grep -q no-such-option'
inside journalctl --no-pager -q -u corecast -o cat | grep no-such-option | tail -n 1
inside sed -i '/no-such-option/d' /etc/corecast/broker.toml
inside systemctl reload corecast
until_so "it is active" inside systemctl is-active corecast
[ "$(main_pid)" = "$before" ] || die "a reload has restarted it"
# Operators reach it at its Unix socket; over loopback, without a token, they only look.
readonly HTTP=uds:///run/corecast/http.sock
inside corecast reload --metrics $HTTP
inside corecast sessions --metrics 127.0.0.1:9680 >/dev/null
if as someone corecast reload --metrics 127.0.0.1:9680 2>/dev/null; then die "an ordinary user has reloaded it"; fi
hears someone $TCP

step "a broker that hangs"
inside mkdir -p /run/systemd/system/corecast.service.d
inside sh -c 'printf "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n" >/run/systemd/system/corecast.service.d/quick.conf'
inside systemctl daemon-reload
inside systemctl restart corecast
before=$(main_pid)
inside sh -c "kill -STOP $before"
restarted() { [ "$(main_pid)" != "$before" ] && inside systemctl is-active corecast; }
until_so "the watchdog starts it again" restarted
inside journalctl --no-pager -q -u corecast -o cat | grep -i watchdog | tail -n 2
hears someone $TCP
inside rm -r /run/systemd/system/corecast.service.d
inside systemctl daemon-reload

step "trouble at start"
inside systemctl stop corecast
inside systemd-run --quiet --unit taken systemd-socket-activate -l 127.0.0.1:6680 /bin/cat
until_so "its address is taken" inside sh -c 'grep -qi " 0100007F:1A18 " /proc/net/tcp'
inside systemctl start --no-block corecast
tried_often() { [ "$(inside systemctl show -P NRestarts corecast)" -ge 7 ]; }
until_so "it is tried again" tried_often
inside journalctl --no-pager -q -u corecast -o cat | grep '^error: ' | tail -n 1
inside systemctl stop taken
until_so "it starts when the address is free" inside systemctl is-active corecast
inside sed -i '$a no-such-option = 1' /etc/corecast/broker.toml
if inside systemctl restart corecast 2>/dev/null; then die "it starts with a wrong configuration"; fi
shown() { inside systemctl show -P "$1" corecast; }
[ "$(shown ExecMainStatus), $(shown NRestarts), $(shown ActiveState)" = "2, 0, failed" ] ||
    die "a wrong configuration is tried again: $(shown ExecMainStatus), $(shown NRestarts), $(shown ActiveState)"
inside sed -i '/no-such-option/d' /etc/corecast/broker.toml
inside systemctl start corecast
hears someone $TCP

step "upgrade"
dpkg-deb -R "$package" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb -b "$work/next" "$root/next.deb" >/dev/null
as someone timeout 60 corecast sub t --count 2 >"$work/heard" &
sub=$!
as someone timeout 30 corecast pub t "before the upgrade" --wait-subscribers 1
before=$(main_pid)
inside dpkg -i /next.deb
until_so "it is active" inside systemctl is-active corecast
[ "$(main_pid)" != "$before" ] || die "the upgrade has not restarted it"
as someone timeout 30 corecast pub t "after the upgrade" --wait-subscribers 1
wait "$sub" || die "the subscriber has not gone on"
cat "$work/heard"
inside grep -q 'corecast=debug' /etc/corecast/broker.toml || die "the configuration is gone"
inside dpkg -s corecast | grep '^Version'

step "an upgrade to a command that does not run"
dpkg-deb -R "$package" "$work/broken"
sed -i 's/^Version: .*/&+next2/' "$work/broken/DEBIAN/control"
printf '#!/bin/sh\necho "this command does not run here" >&2\nexit 126\n' >"$work/broken/usr/bin/corecast"
dpkg-deb -b "$work/broken" "$root/broken.deb" >/dev/null
before=$(main_pid)
inside cp /usr/bin/corecast /usr/local/bin/corecast-before
if inside dpkg -i /broken.deb >"$work/dpkg" 2>&1; then die "a command that does not run was taken"; fi
grep -e 'does not run here' -e '^corecast: ' "$work/dpkg" || { cat "$work/dpkg"; die "it says nothing of why"; }
[ "$(main_pid)" = "$before" ] || die "the upgrade has ended the broker"
client=/usr/local/bin/corecast-before
hears someone $TCP
client=corecast
inside dpkg -i /next.deb 2>&1 | grep -i downgrading
until_so "it is active" inside systemctl is-active corecast
hears someone $TCP
inside rm /usr/local/bin/corecast-before

step "an upgrade under a configuration that is wrong"
inside sed -i '$a no-such-option = 1' /etc/corecast/broker.toml
before=$(main_pid)
if inside dpkg -i /next.deb >"$work/dpkg" 2>&1; then die "a wrong configuration was taken"; fi
grep -e no-such-option -e '^corecast: ' "$work/dpkg" || { cat "$work/dpkg"; die "it says nothing of why"; }
[ "$(main_pid)" = "$before" ] || die "the upgrade has ended the broker"
hears someone $TCP
inside sed -i '/no-such-option/d' /etc/corecast/broker.toml
inside dpkg --configure corecast
until_so "it is active" inside systemctl is-active corecast
[ "$(main_pid)" != "$before" ] || die "the upgrade has not restarted it"
hears someone $TCP

step "socket activation"
inside cp /usr/share/doc/corecast/examples/corecast.socket /etc/systemd/system/
inside systemctl disable --now corecast.service
inside systemctl daemon-reload
inside systemctl enable --now corecast.socket
[ "$(inside systemctl is-active corecast.service || true)" = inactive ] || die "it runs before anybody has come"
hears someone $TCP
inside systemctl stop corecast.service
hears someone $TCP
inside systemctl disable --now corecast.socket corecast.service
inside rm /etc/systemd/system/corecast.socket

step "remove and purge"
inside systemctl enable --now corecast.service
inside dpkg --remove corecast
inside test ! -e /usr/bin/corecast || die "the command is left"
inside test -e /etc/corecast/broker.toml || die "a removal takes the configuration"
[ "$(inside systemctl is-active corecast.service || true)" != active ] || die "the broker is left"
inside dpkg --purge corecast
inside test ! -e /etc/corecast || die "a purge leaves the configuration"
inside find /etc /usr /var/lib -xdev -name '*corecast*' -not -path '*/dpkg/*' >"$work/left"
[ ! -s "$work/left" ] || { cat "$work/left"; die "it leaves files"; }
echo "package-test: ok"
