#!/usr/bin/env bash
# Makes what is given out: a Debian package, an archive with a static binary, lists of what is in them, and checksums.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/release.sh [-h] [--out FOLDER] [--profile NAME] [deb | archive | list | all]

Builds the release commands and makes of them, in FOLDER (target/release-files by default):

  deb      corecast_VERSION_ARCH.deb: the commands, a hardened systemd unit, /etc/corecast/broker.toml, man pages,
           completions, documentation
  archive  corecast-VERSION-ARCH-linux.tar.gz: static commands for any distribution and for containers, with the same pages,
           a Containerfile and a seccomp profile that allows io_uring
  list     corecast-VERSION.cdx.json, the list of all crates in them (CycloneDX)
  all      all of these (the default)

and SHA256SUMS. With --profile dev it tries the script in a few minutes: what it makes is slow, and not to be given out.

Each of the two builds takes some ten minutes on two cores. Needs cargo, cc and make; installs cargo-deb and cargo-cyclonedx
in these versions into the target folder, once.
TEXT
}

readonly CARGO_DEB=3.8.0
readonly CARGO_CYCLONEDX=0.5.9

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh

target=${CARGO_TARGET_DIR:-$PWD/target}
out=$target/release-files
kinds=all
profile=release
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --out) [ $# -ge 2 ] || { usage >&2; exit 2; }; out=$2; shift ;;
        --profile) [ $# -ge 2 ] || { usage >&2; exit 2; }; profile=$2; shift ;;
        deb | archive | list | all) kinds=$1 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
need cargo cc make

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
arch=$(uname -m)
tools=$target/release-tools
# The folder of a profile has its name, but for one.
built=${profile/#dev/debug}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# tool NAME VERSION: installs a subcommand of cargo, and nothing if it is there.
tool() {
    "$tools/bin/$1" --version 2>/dev/null | grep -qF "$2" && return
    echo "== installing $1 $2"
    cargo install --quiet --locked --root "$tools" --target-dir "$target/release-tools-build" "$1@$2"
}

# pages COMMAND FOLDER: man pages and completions of both commands, in a folder.
pages() {
    local commands=$1 folder=$2 subcommand
    rm -rf "$folder"
    mkdir -p "$folder/man" "$folder/completions"
    for name in corecast corecast-bench; do
        "$commands/$name" man >"$folder/man/$name.1"
        "$commands/$name" completions bash >"$folder/completions/$name.bash"
        "$commands/$name" completions zsh >"$folder/completions/_$name"
        "$commands/$name" completions fish >"$folder/completions/$name.fish"
    done
    for subcommand in $("$commands/corecast" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
        [ "$subcommand" = help ] || "$commands/corecast" man "$subcommand" >"$folder/man/corecast-$subcommand.1"
    done
    gzip -9nf "$folder"/man/*.1
}

make_deb() {
    tool cargo-deb "$CARGO_DEB"
    echo "== building the commands"
    cargo build --profile "$profile" --locked
    # The package takes them from here: target/package/ in Cargo.toml.
    pages "$target/$built" "$target/package"
    gzip -9nc CHANGELOG.md >"$target/package/changelog.gz"
    mkdir -p "$target/package/units"
    cp scripts/package/corecast.service "$target/package/units/"
    echo "== making the package"
    PATH=$tools/bin:$PATH cargo deb --no-build --profile "$profile" --locked --quiet --output "$out/corecast_${version}_$(dpkg --print-architecture).deb"
}

make_archive() {
    local name="corecast-$version-$arch-linux" triple="$arch-unknown-linux-gnu"
    echo "== building the static commands"
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --profile "$profile" --locked --target "$triple"
    local folder=$target/archive/$name
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$target/$triple/$built/corecast" "$target/$triple/$built/corecast-bench" "$folder/"
    strip "$folder/corecast" "$folder/corecast-bench"
    pages "$folder" "$folder/share"
    cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT scripts/package/Containerfile scripts/package/seccomp.json \
        scripts/package/corecast.service scripts/package/corecast.socket scripts/package/broker.toml "$folder/"
    cp -r docs "$folder/docs"
    # One archive for one commit, whenever it is made.
    tar -C "$target/archive" --sort=name --owner=0 --group=0 --numeric-owner \
        --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
}

make_list() {
    tool cargo-cyclonedx "$CARGO_CYCLONEDX"
    echo "== listing the crates"
    PATH=$tools/bin:$PATH cargo cyclonedx --quiet --format json --spec-version 1.5 --override-filename corecast-sbom
    mv corecast-sbom.json "$out/corecast-$version.cdx.json"
    rm -f executors/corecast-sbom.json bench/corecast-sbom.json
}

case $kinds in
    deb) make_deb ;;
    archive) make_archive ;;
    list) make_list ;;
    all) make_deb; make_archive; make_list ;;
esac
(cd "$out" && sha256sum -- *.deb *.tar.gz *.cdx.json 2>/dev/null >SHA256SUMS || true)
echo
echo "== made"
(cd "$out" && ls -l && cat SHA256SUMS)
