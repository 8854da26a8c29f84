# Sourced by the other scripts: reports missing commands before anything is built, and how to get them.

# The oldest Rust that builds this, by the manifest.
rust_needed() {
    sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml"
}

# An older cargo may not even read the manifest, and then says something else.
is_old_cargo() {
    local has
    has=$(cargo --version | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
    [ "$(printf '%s\n' "$(rust_needed)" "$has" | sort -V | head -n 1)" != "$(rust_needed)" ]
}

# need COMMAND...: ends the script if one of them is missing.
need() {
    local missing=0 command
    for command in "$@"; do
        if command -v "$command" >/dev/null; then
            if [ "$command" = cargo ] && is_old_cargo; then
                missing=1
                echo "too old: $(cargo --version); Rust $(rust_needed) or newer is needed: rustup update stable" >&2
            fi
            continue
        fi
        missing=1
        case $command in
            cargo) echo "missing: cargo, the Rust toolchain ($(rust_needed) or newer): https://rustup.rs" >&2 ;;
            c++) echo "missing: c++, a C++ compiler for libFuzzer: apt-get install g++, dnf install gcc-c++, apk add g++" >&2 ;;
            cc) echo "missing: cc, a C compiler, and linker for Rust: apt-get install gcc, dnf install gcc, apk add gcc musl-dev" >&2 ;;
            make) echo "missing: make, which builds the allocator: apt-get install make, dnf install make, apk add make" >&2 ;;
            openssl) echo "missing: openssl, which makes certificates: apt-get install openssl, dnf install openssl, apk add openssl" >&2 ;;
            python3) echo "missing: python3 (3.8 or newer): apt-get install python3, dnf install python3" >&2 ;;
            valgrind) echo "missing: valgrind, which counts instructions: apt-get install valgrind, dnf install valgrind, apk add valgrind" >&2 ;;
            *) echo "missing: $command" >&2 ;;
        esac
    done
    if [ "$missing" -ne 0 ]; then
        exit 1
    fi
}
