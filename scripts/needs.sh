# Sourced by the other scripts: reports missing commands before anything is built, and how to get them.

# need COMMAND...: ends the script if one of them is missing.
need() {
    local missing=0 command
    for command in "$@"; do
        if command -v "$command" >/dev/null; then
            continue
        fi
        missing=1
        case $command in
            cargo) echo "missing: cargo, the Rust toolchain (rustc 1.92 or newer): https://rustup.rs" >&2 ;;
            c++) echo "missing: c++, a C++ compiler for libFuzzer: apt-get install g++, dnf install gcc-c++, apk add g++" >&2 ;;
            cc) echo "missing: cc, a C compiler, and linker for Rust: apt-get install gcc, dnf install gcc, apk add gcc musl-dev" >&2 ;;
            make) echo "missing: make, which builds the allocator: apt-get install make, dnf install make, apk add make" >&2 ;;
            python3) echo "missing: python3 (3.8 or newer): apt-get install python3, dnf install python3" >&2 ;;
            valgrind) echo "missing: valgrind, which counts instructions: apt-get install valgrind, dnf install valgrind, apk add valgrind" >&2 ;;
            *) echo "missing: $command" >&2 ;;
        esac
    done
    if [ "$missing" -ne 0 ]; then
        exit 1
    fi
}
