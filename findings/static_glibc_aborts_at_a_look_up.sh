#!/usr/bin/env bash
# A static program (crt-static) of one glibc on a host with another: what does a look-up of a name do?
#
# Observed on 2026-11-30: rustc 1.95.0 and glibc 2.36 (Debian 12), in a root of Debian 11 (glibc 2.31). If nsswitch.conf has a module
# that is installed there, such as `hosts: files mdns4_minimal dns`, the process ends with SIGABRT at the first name that is not in
# /etc/hosts: "dl-call-libc-early-init.c:37: _dl_call_libc_early_init: Assertion `sym != NULL' failed". A static glibc loads the
# host's modules, and with them the host's C library, which has to be of its own version. With `hosts: files dns`, which are part of a
# static glibc, and on a host with the same glibc, names are found.
#
# It matters for anything static that looks up a host, a user or a group: Debian's usual line for users is `files systemd`. Way round:
# such an nsswitch.conf; or `__nss_configure_lookup("hosts", "files dns")` before the first look-up, which was tried in the same root.
# Needs root, rustc and debootstrap; takes two minutes. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
cat >"$work/look.rs" <<'RUST'
fn main() {
    let found = std::net::ToSocketAddrs::to_socket_addrs(&("absent.invalid", 1)).map(Iterator::collect::<Vec<_>>);
    println!("{found:?}");
}
RUST
rustc -C target-feature=+crt-static -o "$work/look" "$work/look.rs"
debootstrap --variant=minbase --include=libnss-mdns bullseye "$work/root" >"$work/log" 2>&1 || { tail "$work/log"; exit 2; }
cp "$work/look" "$work/root/"
for line in 'files dns' 'files mdns4_minimal dns'; do
    echo "hosts: $line" >"$work/root/etc/nsswitch.conf"
    echo "== $line"
    code=0
    chroot "$work/root" /look || code=$?
    echo "exit code $code"
done
[ "$code" = 134 ]
