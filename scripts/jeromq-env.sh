#!/usr/bin/env bash
# A ZeroMQ library that speaks ZMTP 2.0, for the test that such peers are served.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/jeromq-env.sh [-h]

Fetches Debian 12's JeroMQ 0.3.6 (ZMTP 2.0) with apt-get, without installing it, into the target folder unless it is
there, and prints the path of its jar. Needs apt-get, dpkg-deb and a JDK (java of 11 or newer that runs source files).
Takes some seconds.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
esac

version=0.3.6
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need apt-get dpkg-deb java flock
env=${CARGO_TARGET_DIR:-target}/jeromq-env
jar=$env/usr/share/java/jeromq-$version.jar
mkdir -p "$env"
exec 9>"$env.lock"
flock 9
if [ ! -e "$jar" ]; then
    (cd "$env" && apt-get download -qq "libjeromq-java=$version*" >&2 && dpkg-deb -x libjeromq-java_*.deb .)
fi
realpath --no-symlinks "$jar"
