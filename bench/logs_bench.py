#!/usr/bin/python3
"""Reading logs beside goaccess: bench/logs_bench.py [RECORDS] [RUNS]

Hot cache, one core each. The same files for all: `combined` and JSON with clients, paths and agents as they repeat in life, and
the worst case, where every client is another one. `wc -l`, and weir's finding of lines and of fields with nothing kept of
them (bench-log-scan), are the limit. Figures are the best of the runs; memory is the peak resident set.
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEIR = os.path.join(ROOT, "build", "release", "weir")
SCAN = os.path.join(ROOT, "build", "release", "bench", "bench-log-scan")
AGENTS = [f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36"
          for v in range(90, 120)] + ["curl/7.88.1", "Googlebot/2.1 (+http://www.google.com/bot.html)"]
REFERERS = ["-", "https://example.com/", "https://www.google.com/search?q=x"]
STATUSES = [200] * 20 + [304, 404, 500]


def records(count, distinct):
    random.seed(1)
    clients = [f"10.{random.randint(0, 255)}.{random.randint(0, 255)}.{random.randint(1, 254)}" for _ in range(20000)]
    for i in range(count):
        client = (f"{i % 223 + 1}.{i // 223 % 256}.{i // 57088 % 256}.{random.randint(0, 255)}" if distinct
                  else clients[int(random.paretovariate(0.7)) % len(clients)])
        path = random.choice(["/", "/index.html", f"/api/v1/users/{random.randint(1, 100000)}",
                              f"/static/app.{random.randint(0, 50):x}.js",
                              f"/products/{random.randint(1, 5000)}/reviews?page={random.randint(1, 9)}"])
        second = i // 1000
        yield (client, "12/Mar/2026:%02d:%02d:%02d +0000" % (10 + second // 3600, second // 60 % 60, second % 60),
               random.choice(["GET", "GET", "GET", "POST"]), path, random.choice(STATUSES), random.randint(100, 50000),
               random.choice(REFERERS), random.choice(AGENTS))


def write(path, count, form):
    with open(path, "w") as file:
        for client, at, method, target, status, size, referer, agent in records(count, form == "distinct"):
            if form == "json":
                file.write(json.dumps({"remote_addr": client, "time_local": at, "request": f"{method} {target} HTTP/1.1",
                                       "status": str(status), "body_bytes_sent": str(size), "http_referer": referer,
                                       "http_user_agent": agent}) + "\n")
            else:
                file.write(f'{client} - - [{at}] "{method} {target} HTTP/1.1" {status} {size} "{referer}" "{agent}"\n')


def resident(pid):
    """The peak so far; the kernel's own count of a child begins with what its parent had."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def run(argv, runs):
    """(seconds, peak bytes) of the fastest."""
    best = None
    for _ in range(runs):
        began = time.monotonic()
        process = subprocess.Popen(["taskset", "-c", "1", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            time.sleep(0.005)
        took = time.monotonic() - began
        if process.returncode:
            raise SystemExit(f"{argv[0]}: {process.stderr.read().decode()}")
        if best is None or took < best[0]:
            best = (took, peak)
    return best


def goaccess(path, form):
    if form == "json":
        return ["goaccess", path, "--no-global-config", "-o", "json", "--date-format=%d/%b/%Y", "--time-format=%T",
                '--log-format={"remote_addr":"%h","time_local":"%d:%t %^","request":"%r","status":"%s",'
                '"body_bytes_sent":"%b","http_referer":"%R","http_user_agent":"%u"}']
    return ["goaccess", path, "--no-global-config", "--log-format=COMBINED", "-o", "json"]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(f"{count:,} records, the best of {runs} runs (goaccess: 1), one core, hot cache")
    print(f"{'':10}{'':22}{'GB/s':>8}{'records/s':>14}{'peak MB':>9}{'x goaccess':>12}")
    with tempfile.TemporaryDirectory() as directory:
        for form in ("combined", "distinct", "json"):
            path = os.path.join(directory, f"{form}.log")
            write(path, count, form)
            size = os.path.getsize(path)
            with open(path, "rb") as file:
                while file.read(1 << 20):
                    pass
            them = run(goaccess(path, form), 1)
            rows = {"weir logs stats": run([WEIR, "logs", "stats", path], runs), "goaccess": them,
                    "fields found": run([SCAN, "fields", path], runs), "lines found": run([SCAN, "lines", path], runs),
                    "wc -l": run(["wc", "-l", path], runs)}
            for name, (took, peak) in rows.items():
                print(f"{form:10}{name:22}{size / took / 1e9:8.3f}{count / took:14,.0f}{peak / 1e6:9.1f}{them[0] / took:12.1f}")


if __name__ == "__main__":
    main()
