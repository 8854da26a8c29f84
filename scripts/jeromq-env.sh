#!/usr/bin/env bash
# Fetches a ZeroMQ library that speaks ZMTP 2.0, for the test that such peers are served.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/jeromq-env.sh [-h]

Fetches JeroMQ 0.3.6 (ZMTP 2.0) of Debian 12 with apt-get into the target folder, without installing it and unless it is
there already, and prints the path of its jar. Needs apt-get, dpkg-deb and a JDK (java 11 or newer, which runs source
files). Takes some seconds.
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
