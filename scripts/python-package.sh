#!/usr/bin/env bash
# Makes the Python package: a wheel and an sdist; with --test or --env, installs the wheel into a fresh environment.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/python-package.sh [-h] [--out FOLDER] [--test | --env]

Builds the package `corecast` for Python 3.11 and newer: a wheel and an sdist in FOLDER (default: wheels in its target folder).
With --test it makes the wheel alone, puts it into a fresh virtual environment and runs the tests of python/tests there, against
CORECAST_BIN or target/debug/corecast, which it builds if neither is there. With --env it makes that environment, and prints
the path of its python: python/measure.py and the peer corecast-python of corecast-bench run with it.

The target folder is python/target, or `python` in CARGO_TARGET_DIR. Needs a Rust toolchain, cc, python3 and a package index for
maturin, pytest, numpy and pyzmq. PYTHON_PROFILE chooses cargo's profile (default: release).
TEXT
}

out='' test='' env=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --out) out=${2:?--out needs a folder}; shift ;;
        --test) test=1 ;;
        --env) env=1 ;;
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

# The broker to test with is of the other workspace, and its builds are in another folder.
binary=$(realpath -m "${CORECAST_BIN:-${CARGO_TARGET_DIR:-target}/debug/corecast}")
if [ -n "$test" ] && [ ! -x "$binary" ]; then
    cargo build --locked --package corecast --features cli
fi

# A folder of its own: the same crates with other features would be built again and again in a shared one.
target=python/target
[ -z "${CARGO_TARGET_DIR-}" ] || target=$CARGO_TARGET_DIR/python
target=$(realpath -m "$target")
export CARGO_TARGET_DIR=$target
out=${out:-$target/wheels}
profile=${PYTHON_PROFILE:-release}
venv "$target/package-env" "$maturin" "maturin==$maturin"
began=$SECONDS
# In a folder that has no other.
rm -rf "$target/newest"
"$target/package-env/bin/maturin" build --locked --profile "$profile" --manifest-path python/Cargo.toml --out "$target/newest" >&2
wheel=("$target/newest"/corecast-*.whl)
echo "== wheel: $((SECONDS - began)) s" >&2
mkdir -p "$out"
cp "${wheel[@]}" "$out"
ls -l "$out/$(basename "${wheel[@]}")" >&2

if [ -z "$test$env" ]; then
    "$target/package-env/bin/maturin" sdist --manifest-path python/Cargo.toml --out "$out"
    ls -l "$out"/corecast-*.tar.gz
    exit 0
fi

began=$SECONDS
# Fresh each time, so that nothing of before is in it.
rm -rf "$target/test-env"
venv "$target/test-env" "$pytest" "pytest==$pytest" "numpy==$numpy" "pyzmq==$pyzmq"
python=$target/test-env/bin/python
if "$python" -m pip --version >/dev/null 2>&1; then
    pip=("$python" -m pip)
else
    pip=(python3 -m pip --python "$python")
fi
"${pip[@]}" install --quiet --disable-pip-version-check --no-index --no-deps "${wheel[@]}" >&2
if [ -n "$env" ]; then
    echo "$python"
    exit 0
fi
# From elsewhere: Python must find the package that was installed, not the folder.
(cd python/tests && CORECAST_BIN=$binary "$python" -m pytest -q -c ../pyproject.toml --rootdir .. -p no:cacheprovider --durations 5 .)
echo "== tests of the package: $((SECONDS - began)) s"
