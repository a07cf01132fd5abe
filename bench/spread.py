"""How evenly clients' connections are spread over the workers: spread.py [--workers 2] [--workers 8] BINARY...

Connections come from 127.0.0.1, each with a request that weir itself answers. First as many come at once as are asked for;
then most of them go and others come, a hundred times, while a tenth stays for long, as clients do: who has kept more than
others gets as many new ones all the same, if only the kernel's hash decides. Then those of one worker's connections that can
be told apart go at once, and as many come. After each, what each worker has, and how much the largest part is of an average
one. Seeded: the same connections come in the same order for each binary, but the kernel deals them out by ports.

No figure is a time, so that it tells the same on a busy machine."""
import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

REQUEST = b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Weir:
    def __init__(self, binary, workers):
        self.port, self.admin = free_port(), free_port()
        config = {"workers": workers, "admin": {"bind": f"127.0.0.1:{self.admin}"},
                  "listeners": {"web": {"bind": f"127.0.0.1:{self.port}", "timeouts": {"keep_alive": "600s"},
                                        "routes": [{"name": "all", "respond": {"status": 200, "body": "ok"}}]}}}
        self.file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        json.dump(config, self.file)
        self.file.flush()
        self.process = subprocess.Popen([binary, "run", "-c", self.file.name], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "event=ready" in line:
                return
        sys.exit(f"{binary} did not start")

    def workers(self):
        """Each worker's connections; [] where this weir has no such answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/api/v1/workers") as answer:
            rows = json.load(answer)["workers"]
        return [row for row in rows if row["worker"] != "control"]

    def spread(self):
        return [row["client_connections"] for row in self.workers()]

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port))
        s.sendall(REQUEST)
        while b"ok" not in s.recv(4096):
            pass
        return s

    def wait(self, count):
        while sum(self.spread()) != count:
            time.sleep(0.002)

    def end(self):
        self.process.terminate()
        self.process.communicate()


def say(what, spread, rows):
    average = sum(spread) / len(spread)
    handed = sum(row.get("handed_over", 0) for row in rows)
    print(f"  {what:34} {' '.join(f'{n:5}' for n in spread)}   largest {max(spread) / average:4.2f} of the average, "
          f"{handed} handed over so far")


def measure(binary, workers, count, seed):
    generator = random.Random(seed)
    weir = Weir(binary, workers)
    print(f"{binary}, {workers} workers, {count} connections")
    kept = [weir.connect() for _ in range(count)]
    weir.wait(count)
    say("as they came", weir.spread(), weir.workers())
    worst = 0.0
    for _ in range(100):
        generator.shuffle(kept)
        going = [s for s in kept[count // 10:] if generator.random() < 0.3]
        kept = [s for s in kept if s not in set(going)]
        for s in going:
            s.close()
        weir.wait(len(kept))
        kept += [weir.connect() for _ in range(count - len(kept))]
        spread = weir.spread()
        worst = max(worst, max(spread) * workers / sum(spread))
    say(f"after a hundred changes (worst {worst:4.2f})", weir.spread(), weir.workers())
    where = []
    for s in kept:
        s.close()
    weir.wait(0)
    kept = []
    before = weir.spread()
    for _ in range(count):
        kept.append(weir.connect())
        now = weir.spread()
        where.append(next(i for i in range(workers) if now[i] > before[i]))
        before = now
    for s, worker in zip(kept, where):
        if worker:
            s.close()
    left = [s for s, worker in zip(kept, where) if not worker]
    weir.wait(len(left))
    left += [weir.connect() for _ in range(count - len(left))]
    say("all but one worker's went, others came", weir.spread(), weir.workers())
    weir.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("binaries", nargs="+")
    options = parser.parse_args()
    for workers in options.workers or [2, 8]:
        for binary in options.binaries:
            measure(os.path.abspath(binary), workers, options.connections, options.seed)


if __name__ == "__main__":
    main()
