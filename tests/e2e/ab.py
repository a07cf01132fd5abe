"""ab (ApacheBench): as many requests as weir answers."""
import subprocess

from waiting import eventually


class Load:
    """Requests until the block ends, bounded."""

    def __init__(self, weir):
        self.weir = weir

    def __enter__(self):
        self.process = subprocess.Popen(["ab", "-q", "-k", "-r", "-c", "8", "-t", "40", "-n", "4000000",
                                         "http://%s:%d/" % self.weir.address], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        eventually(lambda: self.weir.metric("weir_exchanges_total", end="ok") > 1000, "requests")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
