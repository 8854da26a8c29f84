#!/usr/bin/env python3
"""Runs a command under the seccomp profile of this folder, as a container engine would.

usage: scripts/package/seccomp-test.py COMMAND [ARGUMENT...]

Reads seccomp.json beside it (the format of Docker and Podman: a default action, and names that are allowed), loads it by
libseccomp, which every host with systemd has, and executes the command. A system call that is not allowed fails with EPERM.
"""

import ctypes
import json
import os
import pathlib
import sys

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
NO_SUCH_CALL = -1


def main(command):
    if not command or command[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if command else 2
    profile = json.loads(pathlib.Path(__file__).with_name("seccomp.json").read_text(encoding="utf-8"))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(ERRNO | profile["defaultErrnoRet"]))
    for rule in profile["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number == NO_SUCH_CALL:
                print(f"seccomp-test: this libseccomp knows no {name}", file=sys.stderr)
                continue
            # Negative numbers are calls of other architectures.
            if number >= 0 and lib.seccomp_rule_add(context, ALLOW, number, 0) != 0:
                raise OSError(f"{name} cannot be allowed")
    # No new privileges first, which seccomp_load sets by itself.
    if lib.seccomp_load(context) != 0:
        raise OSError("the profile cannot be loaded")
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
