#!/usr/bin/env bash
# Makes the Python package: a wheel and an sdist; with --test, installs the wheel into a fresh environment and tests it there.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/python-package.sh [-h] [--out FOLDER] [--test]

Builds the package `corecast` for Python 3.11 and newer: a wheel and an sdist in FOLDER (default: python/target/wheels).
With --test it makes the wheel alone, puts it into a fresh virtual environment and runs the tests of python/tests there, against
CORECAST_BIN or target/debug/corecast, which it builds if neither is there. Needs a Rust toolchain, cc, python3 and a package
index for maturin, pytest, numpy and pyzmq. PYTHON_PROFILE chooses cargo's profile (default: release).
TEXT
}

out= test=
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --out) out=${2:?--out needs a folder}; shift ;;
        --test) test=1 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

maturin=1.16.0 pytest=9.2.0 numpy=2.4.6 pyzmq=27.3.0
[ -z "$out" ] || out=$(realpath -m "$out")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/needs.sh
. scripts/needs.sh
need cargo cc python3 flock
# shellcheck source=scripts/venv.sh
. scripts/venv.sh

target=$(realpath -m "${CARGO_TARGET_DIR:-python/target}")
out=${out:-$target/wheels}
profile=${PYTHON_PROFILE:-release}
venv "$target/package-env" "$maturin" "maturin==$maturin"
began=$SECONDS
"$target/package-env/bin/maturin" build --locked --profile "$profile" --manifest-path python/Cargo.toml --out "$out"
echo "== wheel: $((SECONDS - began)) s"
ls -l "$out"/corecast-*.whl

if [ -z "$test" ]; then
    "$target/package-env/bin/maturin" sdist --manifest-path python/Cargo.toml --out "$out"
    ls -l "$out"/corecast-*.tar.gz
    exit 0
fi

binary=${CORECAST_BIN:-target/debug/corecast}
[ -x "$binary" ] || cargo build --locked --package corecast --features cli
began=$SECONDS
# Fresh each time, so that the wheel of before is not what is tested.
rm -rf "$target/test-env"
venv "$target/test-env" "$pytest" "pytest==$pytest" "numpy==$numpy" "pyzmq==$pyzmq"
if "$target/test-env/bin/python" -m pip --version >/dev/null 2>&1; then
    pip=("$target/test-env/bin/python" -m pip)
else
    pip=(python3 -m pip --python "$target/test-env/bin/python")
fi
"${pip[@]}" install --quiet --disable-pip-version-check --no-index --no-deps "$out"/corecast-*.whl
# From elsewhere: Python must find the package that was installed, not the folder.
(cd python/tests && CORECAST_BIN=$(realpath "$binary") "$target/test-env/bin/python" -m pytest -q -c ../pyproject.toml --rootdir .. -p no:cacheprovider .)
echo "== tests of the package: $((SECONDS - began)) s"
