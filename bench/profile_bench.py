#!/usr/bin/python3
"""What being watched costs: bench/profile_bench.py [PAIRS] [SECONDS]

One weir in front of one nginx, wrk's load on the other core. Windows without anything and windows with it take turns, and
what is compared is weir's CPU time for a million requests, all its threads included: of each pair one ratio.
"""
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEIR = os.path.join(ROOT, "build", "release", "weir")
WRK, NGINX = "/usr/bin/wrk", "/usr/sbin/nginx"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Bench:
    def __init__(self, directory):
        self.origin, self.front, self.admin = free_port(), free_port(), free_port()
        nginx = os.path.join(directory, "nginx.conf")
        with open(nginx, "w") as file:
            file.write(f"worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log; daemon off;\n"
                       "events { worker_connections 1024; }\nhttp { access_log off; keepalive_requests 100000000;\n"
                       f"server {{ listen 127.0.0.1:{self.origin}; location / {{ return 200 '{'x' * 100}'; }} }} }}\n")
        config = os.path.join(directory, "weir.yaml")
        with open(config, "w") as file:
            json.dump({"listeners": {"web": {"bind": f"127.0.0.1:{self.front}", "pool": "web"}},
                       "pools": {"web": {"servers": [f"127.0.0.1:{self.origin}"]}},
                       "admin": {"bind": f"127.0.0.1:{self.admin}"}, "workers": 1}, file)
        self.nginx = subprocess.Popen(["taskset", "-c", "1", NGINX, "-c", nginx, "-p", directory])
        self.weir = subprocess.Popen(["taskset", "-c", "0", WEIR, "run", "-c", config], stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                self.ask("/readyz")
                break
            except OSError:
                time.sleep(0.01)

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=120) as answer:
            return answer.read().decode()

    def cpu_s(self):
        total = 0
        for thread in os.listdir(f"/proc/{self.weir.pid}/task"):
            with open(f"/proc/{self.weir.pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def requests(self):
        return json.loads(self.ask("/api/v1/stats"))["totals"]["requests"]

    def load(self, seconds):
        return subprocess.Popen(["taskset", "-c", "1", WRK, "-t", "1", "-c", "64", "-d", f"{seconds}s",
                                 f"http://127.0.0.1:{self.front}/"], stdout=subprocess.DEVNULL)

    def window(self, seconds, watch):
        """CPU seconds for a million requests while `watch` is at it, and how many samples came of how many."""
        watcher = subprocess.Popen(["curl", "-s", watch], stdout=subprocess.PIPE, text=True) if watch else None
        time.sleep(0.2)
        requests, cpu_s = self.requests(), self.cpu_s()
        time.sleep(seconds)
        requests, cpu_s = self.requests() - requests, self.cpu_s() - cpu_s
        out = watcher.communicate()[0] if watcher else ""
        return cpu_s / requests * 1e6, out

    def stop(self):
        for process in (self.weir, self.nginx):
            process.terminate()
            process.wait()


def say(title, ratios):
    middle = statistics.median(ratios)
    draws = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(4000))
    print(f"{title:34} {100 * (middle - 1):+6.2f} %   95 %: {100 * (draws[100] - 1):+.2f} to {100 * (draws[3899] - 1):+.2f}"
          f"   {len(ratios)} pairs")


def compare(title, pairs, seconds, path):
    """`path` is asked for in every other window; None: nothing is, to see how good the method is."""
    ratios, cpu = [], []
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        load = bench.load(int(pairs * 2 * (seconds + 1.5)) + 5)
        try:
            time.sleep(1)
            for number in range(pairs):
                costs = {}
                for is_watched in ((False, True), (True, False))[number % 2]:
                    watch = f"http://127.0.0.1:{bench.admin}{path}" if is_watched and path else None
                    costs[is_watched], out = bench.window(seconds, watch)
                ratios.append(costs[True] / costs[False])
        finally:
            load.terminate()
            load.wait()
            bench.stop()
    say(title, ratios)


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    random.seed(1)
    print(f"weir's CPU time for a million requests, watched over unwatched, windows of {seconds} s")
    compare("nothing (how good the method is)", pairs, seconds, None)
    for hz in (9, 99, 997):
        compare(f"a profile, {hz} Hz", pairs, seconds, f"/debug/pprof/profile?seconds={seconds + 0.5}&hz={hz}&form=folded")
    compare("a trace", pairs, seconds, f"/debug/trace?seconds={seconds + 0.5}")


if __name__ == "__main__":
    main()
