#!/usr/bin/env bash
# Builds the image of an archive by its Containerfile, and runs a broker and its clients in containers.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/container-test.sh [-h] ARCHIVE.tar.gz

Unpacks the archive of scripts/release.sh, builds its image, and under its seccomp profile
  - runs a broker as an ordinary user, as its container's first process and with a read-only root;
  - publishes and subscribes from containers of their own, by TCP;
  - stops it by the engine's signal, on which it must drain and exit with 0.
It prints what the broker says under the engine's default profile, too. Needs podman or docker, which fetches the image of Debian
for the build. ENGINE is the engine's command (podman), BUILD_OPTIONS and RUN_OPTIONS are options of its build and of its run
("--ulimit memlock=67108864 --ulimit nofile=20000").
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    *.tar.gz) archive=$(realpath "$1") ;;
    *) usage >&2; exit 2 ;;
esac
read -ra engine <<<"${ENGINE:-podman}"
read -ra build_options <<<"${BUILD_OPTIONS-}"
read -ra run_options <<<"${RUN_OPTIONS---ulimit memlock=67108864 --ulimit nofile=20000}"
command -v "${engine[0]}" >/dev/null || { echo "container-test: missing: ${engine[0]}" >&2; exit 1; }

work=$(mktemp -d)
name=corecast-test-$$
finish() {
    "${engine[@]}" rm -f "$name" >/dev/null 2>&1 || true
    "${engine[@]}" rmi "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT
die() {
    echo "container-test: FAILED: $*" >&2
    "${engine[@]}" logs "$name" >&2 || true
    exit 1
}
# run OPTION... -- ARGUMENT...: the command of the image with these arguments, in a container with these options.
run() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    "${engine[@]}" run "${run_options[@]}" "${options[@]}" "$name" "$@"
}
step() { echo "== $*"; }

step "the image"
tar -C "$work" -xzf "$archive"
folder=$(echo "$work"/corecast-*)
"${engine[@]}" build "${build_options[@]}" --quiet -t "$name" -f "$folder/Containerfile" "$folder"
run --rm -- --version
profile=(--security-opt "seccomp=$folder/seccomp.json")

step "a broker under the default profile"
run --rm --network none -- broker --listen tcp://127.0.0.1:0 >"$work/default" 2>&1 &
default=$!
for _ in $(seq 100); do
    grep -q -e ^ready -e ^error "$work/default" && break
    sleep 0.1
done
grep -e ^ready -e ^error "$work/default" || die "neither ready nor an error: $(cat "$work/default")"
if grep -q ^ready "$work/default"; then kill "$default"; fi
wait "$default" || true

step "a broker under the profile of corecast"
run -d --name "$name" --network none --read-only "${profile[@]}" -- broker --metrics 127.0.0.1:9680 >/dev/null
for _ in $(seq 100); do
    "${engine[@]}" logs "$name" >"$work/broker" 2>&1
    grep -q ^ready "$work/broker" && break
    sleep 0.1
done
grep ^ready "$work/broker" || die "the broker is not ready"

step "publish and subscribe"
run --rm --network "container:$name" "${profile[@]}" -- sub t --count 1 >"$work/heard" &
sub=$!
run --rm --network "container:$name" "${profile[@]}" -- pub t "hello from a container" --wait-subscribers 1 || die "pub"
wait "$sub" || die "sub"
grep -x "hello from a container" "$work/heard" || die "something else was heard"
run --rm --network "container:$name" "${profile[@]}" -- sessions --metrics 127.0.0.1:9680 || die "sessions"

step "stop"
"${engine[@]}" stop --time 20 "$name" >/dev/null
code=$("${engine[@]}" inspect --format '{{.State.ExitCode}}' "$name")
[ "$code" = 0 ] || die "the broker has ended with $code"
"${engine[@]}" logs "$name" 2>&1 | tail -n 2
echo "container-test: ok"
