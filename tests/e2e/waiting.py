"""Bounded waits on conditions: the only way in which a test waits for another program."""
import time

LIMIT_S = 60
POLL_S = 0.004


def eventually(condition, what, seconds=LIMIT_S):
    """The first true value of condition(); fails with `what` if none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what() if callable(what) else what}")
        time.sleep(POLL_S)


class Stopwatch:
    """How long the block took, in seconds."""

    def __enter__(self):
        self.started = time.monotonic()
        self.seconds = None
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.started

    def check_at_least(self, seconds):
        """Nothing is asserted of the longest time, which is the machine's; waits are bounded elsewhere."""
        assert self.seconds >= seconds, f"took {self.seconds:.3f} s"
