"""Becomes another program that dies with the process that started this one.

Run by path, with nothing but the standard library:

    python -I -S child.py --parent PID --signal N [--owner UID:GID] -- PROGRAM ARGUMENT…

The kernel is asked to send signal N when the starting thread ends (`PR_SET_PDEATHSIG`, Linux);
then PROGRAM replaces this process, so that its command line and process id are its own.

With `--owner`, root is given up first, as PostgreSQL demands. One right is kept across that,
`CAP_DAC_OVERRIDE`: the program may lie below folders that only root can enter (a virtual
environment in /root, a private --data folder), and nobody's permissions are to be changed for it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys

# linux/prctl.h and linux/capability.h
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS = 1, 8, 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_OVERRIDE, CAPABILITY_VERSION_3 = 1, 0x20080522


def main(argv: list[str]) -> None:
    """Replaces this process; comes back only by an error."""
    options = _parse(argv)
    if options.owner:
        uid, gid = (int(part) for part in options.owner.split(":"))
        _become(uid, gid)
    if sys.platform == "linux":  # after the change of user, which clears it
        _prctl(PR_SET_PDEATHSIG, options.signal)
    if os.getppid() != options.parent:
        sys.exit("the starting process is gone")  # it died before the kernel was asked
    try:
        os.execvp(options.program[0], options.program)  # noqa: S606  (no shell is wanted)
    except OSError as error:
        sys.exit(f"cannot run {options.program[0]}: {error.strerror}")


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--owner")
    parser.add_argument("program", nargs="+")
    return parser.parse_args(argv)


def _become(uid: int, gid: int) -> None:
    """Gives up root for `uid:gid`, keeping CAP_DAC_OVERRIDE where it is had and can be kept.

    Without the "fixup" a change of user leaves capabilities alone, and access(2), by which
    PostgreSQL looks for its own programs, heeds them; where that is not allowed, keeping them over
    the one change is.
    """
    kept = sys.platform == "linux" and (
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) or _prctl(PR_SET_KEEPCAPS, 1)
    )
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if kept and _set_capabilities(1 << CAP_DAC_OVERRIDE):
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def _prctl(option: int, *arguments: int) -> bool:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)) == 0)


def _set_capabilities(mask: int) -> bool:
    """Sets the effective, permitted and inheritable sets to `mask`; False where that is refused."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    return bool(ctypes.CDLL(None, use_errno=True).capset(header, sets) == 0)


if __name__ == "__main__":
    main(sys.argv[1:])
