"""Runs a command that cannot outlive the process that wanted it, however that one ends.

    python -I -m infra.leash PARENT SIGNAL -- COMMAND ...

Linux has a call for this; elsewhere a second process watches.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1  # prctl(2)
LOOK_S = 0.5


def alive(pid: int) -> bool:
    """Whether a process of that number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def watch(parent: int, child: int, number: int) -> None:
    """Send `number` to `child` once `parent` is gone; return when either is."""
    while alive(child):
        if not alive(parent):
            os.kill(child, number)
            return
        time.sleep(LOOK_S)


def main() -> None:
    """Become the command, bound to the parent."""
    parent, number, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[4:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it went before the call
            sys.exit(128 + number)
    else:
        child = os.getpid()
        if os.fork() == 0:
            os.setsid()
            watch(parent, child, number)
            os._exit(0)
    os.execvp(command[0], command)


def leashed(command: list[str], number: int = signal.SIGKILL) -> list[str]:
    """`command`, so that `number` reaches it when this process dies.

    On Linux it is the *thread* that starts it whose end counts: start children from a thread that stays.
    """
    return [
        sys.executable,
        "-I",
        os.path.abspath(__file__),
        str(os.getpid()),
        str(int(number)),
        "--",
        *command,
    ]


if __name__ == "__main__":
    main()
