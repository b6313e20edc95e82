"""Becomes another program that the kernel kills when its parent dies, however the parent dies.

    FOVEA_CHILD_ENVIRONMENT='{"NAME": "value"}' python -I -S parent_death.py PARENT_PID NICENESS PROGRAM ARGUMENT…

A script of its own because it must run between fork and exec, where the supervisor's threads forbid Python. The
program's environment comes in one variable because some of it, such as LD_LIBRARY_PATH, would break Python itself.
"""

import ctypes
import json
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for a SIGKILL at the parent's death, give way by `niceness`, and become the program."""
    parent, niceness, program, *_ = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before the call above sends no signal any more.
    if os.getppid() != int(parent):
        sys.exit("the supervisor has ended")
    os.nice(int(niceness))
    os.environ.update(json.loads(os.environ.pop("FOVEA_CHILD_ENVIRONMENT")))
    os.execv(program, sys.argv[3:])  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main()
