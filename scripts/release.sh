#!/usr/bin/env bash
# Makes what is given out: a Debian package, an archive with a static binary, lists of what is in them, and checksums.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/release.sh [-h] [--out FOLDER] [--profile NAME] [--no-build] [deb | archive | list | all]

Builds the release commands and makes of them, in FOLDER (target/release-files by default):

  deb      corecast_VERSION_ARCH.deb: the commands, a hardened systemd unit, /etc/corecast/broker.toml, man pages,
           completions, documentation
  archive  corecast-VERSION-ARCH-linux.tar.gz: static commands for containers, and for hosts that look names up by files and DNS alone, with the same pages,
           a Containerfile and a seccomp profile that allows io_uring
  list     corecast-VERSION.cdx.json and corecast-bench-VERSION.cdx.json, the crates in each command (CycloneDX)
  all      all of these (the default)

and SHA256SUMS, with what the folder has of these for this version. With --profile dev it tries the script in a few minutes:
what it makes is slow, and not to be given out. With --no-build it takes the commands that were built in this way before.

Each of the two builds takes some ten minutes on two cores. Needs cargo, cc, make, git and, for a package, dpkg-dev; installs
cargo-deb and cargo-cyclonedx, in versions that it names, into the target folder, once.
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
build=yes
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --out) [ $# -ge 2 ] || { usage >&2; exit 2; }; out=$2; shift ;;
        --profile) [ $# -ge 2 ] || { usage >&2; exit 2; }; profile=$2; shift ;;
        --no-build) build=no ;;
        deb | archive | list | all) kinds=$1 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
need cargo cc make git

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
arch=$(uname -m)
tools=$target/release-tools
# The folder of a profile has its name, but for one.
built=${profile/#dev/debug}
mkdir -p "$out"
out=$(cd "$out" && pwd)
# One package and one archive for one commit, whenever they are made.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# tool NAME VERSION: installs a subcommand of cargo, and nothing if it is there. Built without optimisation, in a minute or two
# of CPU: it runs for seconds.
tool() {
    "$tools/bin/$1" "${1#cargo-}" --version 2>/dev/null | grep -qF "$2" && return
    echo "== installing $1 $2"
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$target/release-tools-build" "$1@$2"
}

# commands FOLDER OPTION...: builds both commands, with these options of cargo, into this folder, or finds them there.
commands() {
    local folder=$1
    shift
    if [ "$build" = yes ]; then
        echo "== building the commands"
        cargo build --profile "$profile" --locked "$@"
    fi
    for name in corecast corecast-bench; do
        [ -x "$folder/$name" ] || { echo "release: no $folder/$name: build it first" >&2; exit 1; }
    done
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
    need dpkg dpkg-shlibdeps
    tool cargo-deb "$CARGO_DEB"
    commands "$target/$built"
    # The package takes them from here, by Cargo.toml, wherever the target folder is.
    local folder=$PWD/target/package
    pages "$target/$built" "$folder"
    gzip -9nc CHANGELOG.md >"$folder/changelog.gz"
    cat >"$folder/changelog.Debian" <<TEXT
corecast ($version-1) unstable; urgency=medium

  * Version $version. /usr/share/doc/corecast/changelog.gz says what is new.

 -- $(sed -n 's/^maintainer = "\(.*\)"$/\1/p' Cargo.toml)  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT
    mkdir -p "$folder/units"
    cp scripts/package/corecast.service "$folder/units/"
    echo "== making the package"
    PATH=$tools/bin:$PATH cargo deb --no-build --profile "$profile" --locked --quiet --output "$out/corecast_${version}_$(dpkg --print-architecture).deb"
}

make_archive() {
    local name="corecast-$version-$arch-linux" triple="$arch-unknown-linux-gnu"
    RUSTFLAGS="-C target-feature=+crt-static" commands "$target/$triple/$built" --target "$triple"
    if readelf --program-headers "$target/$triple/$built/corecast" | grep -q INTERP; then
        echo "release: $target/$triple/$built/corecast is not static" >&2
        exit 1
    fi
    local folder=$target/archive/$name
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$target/$triple/$built/corecast" "$target/$triple/$built/corecast-bench" "$folder/"
    strip "$folder/corecast" "$folder/corecast-bench"
    pages "$folder" "$folder/share"
    cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT scripts/package/Containerfile scripts/package/seccomp.json \
        scripts/package/corecast.service scripts/package/corecast.socket scripts/package/broker.toml "$folder/"
    cp -r docs "$folder/docs"
    tar -C "$target/archive" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" |
        gzip -9n >"$out/$name.tar.gz"
}

make_list() {
    tool cargo-cyclonedx "$CARGO_CYCLONEDX"
    echo "== listing the crates"
    PATH=$tools/bin:$PATH cargo cyclonedx --quiet --format json --spec-version 1.5 --override-filename release-list
    # Crates of this workspace are named by their folders, which are nobody else's business.
    sed "s|file://$PWD|file:///corecast|g" release-list.json >"$out/corecast-$version.cdx.json"
    sed "s|file://$PWD|file:///corecast|g" bench/release-list.json >"$out/corecast-bench-$version.cdx.json"
    rm release-list.json bench/release-list.json executors/release-list.json
}

case $kinds in
    deb) make_deb ;;
    archive) make_archive ;;
    list) make_list ;;
    all) make_deb; make_archive; make_list ;;
esac
cd "$out"
# Files of another version in the same folder have checksums of their own, elsewhere.
find . -maxdepth 1 -type f \( -name "corecast_${version}_*.deb" -o -name "corecast-$version-*.tar.gz" -o -name "corecast*-$version.cdx.json" \) \
    -printf '%P\0' | sort -z | xargs -0 sha256sum -- >SHA256SUMS
echo
echo "== made, in $out"
cat SHA256SUMS
