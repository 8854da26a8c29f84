#!/usr/bin/env bash
# cargo-deb and a sysusers.d asset that has another name in the package than in the repository: by which of the two is it called?
#
# Observed on 2026-11-30, cargo-deb 3.8.0: by that in the repository. With `["users.conf", "usr/lib/sysusers.d/demo.conf", "644"]` the
# postinst script calls `systemd-sysusers users.conf`, and the package has /usr/lib/sysusers.d/demo.conf. Since the script has
# `set -e`, installing fails: "Failed to open 'users.conf': No such file or directory". The calls for tmpfiles.d had the same fault until
# https://github.com/kornelski/cargo-deb/issues/143.
#
# Way round: a source with the name of the target, or `demo.sysusers`, whose suffix is replaced. Needs cargo, a crate registry and
# dpkg-deb; takes two minutes, or a second with this cargo-deb in the PATH. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! cargo-deb deb --version 2>/dev/null | grep -qx 3.8.0; then
    cargo install --quiet --locked --debug --root "$work/tools" --target-dir "$work/build" cargo-deb@3.8.0
    PATH=$work/tools/bin:$PATH
fi
mkdir src scripts units
cat > Cargo.toml <<'TOML'
[package]
name = "demo"
version = "0.1.0"
edition = "2021"
description = "A demonstration"
license = "MIT"

[package.metadata.deb]
maintainer = "nobody <nobody@example.invalid>"
depends = ""
maintainer-scripts = "scripts"
systemd-units = { unit-name = "demo", unit-scripts = "units" }
assets = [["users.conf", "usr/lib/sysusers.d/demo.conf", "644"]]
TOML
echo 'fn main() {}' > src/main.rs
echo 'u demo - "A demonstration"' > users.conf
printf '#!/bin/sh\nset -e\n#DEBHELPER#\n' > scripts/postinst
printf '[Service]\nExecStart=/bin/true\n' > units/demo.service
cargo deb --quiet --no-build --output demo.deb >/dev/null
dpkg-deb -c demo.deb | grep -o '[^ ]*sysusers.d/..*'
dpkg-deb -I demo.deb postinst | tee postinst | grep -o 'systemd-sysusers .*'
grep -q 'systemd-sysusers .* users.conf' postinst
