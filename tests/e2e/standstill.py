"""A process that stands still: what comes to it meanwhile it learns of in one turn, in the order in which it came."""
import contextlib
import os
import signal

from waiting import eventually


def is_still(pid):
    """All of its threads: a signal is one thread's first."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as file:
            if file.read().rsplit(")", 1)[1].split()[0] != "T":
                return False
    return True


@contextlib.contextmanager
def standing_still(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: is_still(pid), "it stands still")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
