"""Runs a command that may not use io_uring, as in a container with the usual profile: python3 forbid.py COMMAND..."""
import ctypes
import errno
import os
import struct
import sys

# linux/seccomp.h, linux/prctl.h, linux/filter.h: the numbers of io_uring's calls are those of every architecture.
SETUP, REGISTER = 425, 427
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_NUMBER = (0x20, 0, 0, 0)
REFUSE = (0x06, 0, 0, 0x00050000 | errno.EPERM)
ALLOW = (0x06, 0, 0, 0x7FFF0000)
IF_LESS, IF_MORE = 0x35, 0x25
PROGRAM = [LOAD_NUMBER, (IF_LESS, 0, 2, SETUP), (IF_MORE, 1, 0, REGISTER), REFUSE, ALLOW]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


code = b"".join(struct.pack("HBBI", *instruction) for instruction in PROGRAM)
libc = ctypes.CDLL(None, use_errno=True)
program = Program(len(PROGRAM), code)
zero = ctypes.c_ulong(0)
for call in ((PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero), (PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program))):
    if libc.prctl(*call, zero, zero) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
# The filter holds, or this tests nothing.
if libc.syscall(SETUP, 1, None) != -1 or ctypes.get_errno() != errno.EPERM:
    sys.exit("io_uring is not refused")
os.execvp(sys.argv[1], sys.argv[1:])
