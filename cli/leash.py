"""Becomes another program that the kernel ends when its parent dies, however the parent dies.

    FOVEA_LEASHED='{"NAME": "value"}' python -I -S leash.py PARENT_PID PROGRAM ARGUMENT…

A script of its own because it must run between fork and exec, where the supervisor's threads forbid Python. The
program's environment waits in FOVEA_LEASHED because some of it, such as LD_LIBRARY_PATH, would break Python itself.
"""

import ctypes
import json
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent and become the program."""
    parent, program, *_ = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the leash was on.
    if os.getppid() != int(parent):
        sys.exit("the supervisor is gone")
    os.environ.update(json.loads(os.environ.pop("FOVEA_LEASHED")))
    os.execv(program, sys.argv[2:])  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main()
