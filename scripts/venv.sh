# shellcheck shell=bash
# Sourced by other scripts: Python packages in a folder of their own.

# venv FOLDER MADE ARGUMENT…: makes a virtual environment with the packages that these arguments of `pip install` name,
# unless it was made for MADE already. Needs python3, with ensurepip or pip, and flock.
venv() {
    local env=$1 made=$2 pip
    shift 2
    mkdir -p "$env"
    # Several may ask at once: one makes it, the others wait.
    exec 9>"$env.lock"
    flock 9
    if [ "$(cat "$env/made" 2>/dev/null)" != "$made" ]; then
        # Some systems ship venv without ensurepip: their own pip can fill the environment then.
        if python3 -c 'import ensurepip' 2>/dev/null; then
            python3 -m venv "$env" >&2 || return 1
            pip=("$env/bin/python" -m pip)
        elif python3 -m pip --version >/dev/null 2>&1; then
            python3 -m venv --without-pip "$env" >&2 || return 1
            pip=(python3 -m pip --python "$env/bin/python")
        else
            echo "error: python3 has neither ensurepip nor pip: install one of them (python3-venv, python3-pip)" >&2
            return 1
        fi
        "${pip[@]}" install --quiet --disable-pip-version-check "$@" >&2 || return 1
        echo "$made" >"$env/made"
    fi
    exec 9>&-
}
