#!/usr/bin/python3
"""make bench-overload: weir, haproxy and nginx before a server that is asked for up to ten times what it can do.

The server does LANES things at a time, SERVICE seconds each, and keeps whoever is too many waiting, without end and in order,
as application servers do. Clients come at a fixed rate, whatever becomes of those before them, each on a connection of its own,
and give up after PATIENCE seconds. Measured for each proxy and load: how many good answers a second came, and how long
those took. Printed as a table, as ratios of weir's figures to the others', and drawn (--svg). weir is not told what the server can do (`concurrency: {adaptive: {}}`), haproxy
is (`maxconn`), and nginx has neither a queue nor a bound on what waits at the server. See docs/benchmarking.md."""

import argparse
import asyncio
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from xml.sax.saxutils import escape

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LANES, SERVICE, QUEUE, PATIENCE = 10, 0.1, 1.0, 5.0
CAPACITY = LANES / SERVICE
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"

HAPROXY = """\
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 1s
frontend web
    bind 127.0.0.1:{port}
    default_backend origin
backend origin
    http-reuse always
    server one {origin} maxconn {lanes}
"""

NGINX = """\
{user}daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 9500; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    upstream origin {{ server {origin}; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

WEIR = """\
workers: 1
listeners: {{web: {{bind: "127.0.0.1:{port}", pool: web}}}}
pools: {{web: {{servers: ["{origin}"], concurrency: {{adaptive: {{}}}}, queue: {{length: 10000}}, timeouts: {{queue: 1s}}}}}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def await_port(port, process, log=None):
    for _ in range(400):
        if process.poll() is not None:
            words = open(log, encoding="utf-8").read() if log else ""
            sys.exit(f"{process.args[0]} ended before it listened on port {port}: {words}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on port {port}")


# The server, in a process of its own


async def serve(port):
    lanes = asyncio.Semaphore(LANES)

    async def talk(reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                async with lanes:  # whoever has gone meanwhile is worked for as well: nobody tells it
                    await asyncio.sleep(SERVICE)
                writer.write(ANSWER)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    asyncio.get_running_loop().add_reader(sys.stdin, os._exit, 0)  # whoever began it has gone
    server = await asyncio.start_server(talk, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


# Clients


async def ask(port, took, failed):
    begun = time.monotonic()
    writer = None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            head = await reader.readline()
        if head.split(b" ")[1:2] == [b"200"]:
            took.append((time.monotonic() - begun, time.monotonic()))
        else:
            failed.append(head)
    except (OSError, TimeoutError):
        failed.append(b"")
    finally:
        if writer:
            writer.close()


async def load(port, rate, seconds):
    took, failed, running, begun = [], [], set(), time.monotonic()
    for number in range(int(rate * seconds)):
        wait = begun + number / rate - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.ensure_future(ask(port, took, failed))
        running.add(task)
        task.add_done_callback(running.discard)
    spent = time.monotonic() - begun
    if spent > seconds * 1.1:
        print(f"the machine is too busy: {rate:.0f} clients a second were to come, and {rate * seconds / spent:.0f} did",
              file=sys.stderr)
    if running:
        await asyncio.wait(running)
    # What is still answered when nobody comes any more is no part of the rate.
    good = sum(at <= begun + spent for _, at in took) / spent if spent else 0
    durations = sorted(duration for duration, _ in took)
    return {"good": good, "failed": len(failed), "median": durations[len(durations) // 2] if took else None,
            "p99": durations[len(durations) * 99 // 100] if took else None}


class Proxy:
    def __init__(self, name, weir, origin):
        self.port, self.directory = free_port(), tempfile.mkdtemp(prefix=f"overload-{name}-")
        path = f"{self.directory}/config"
        text, argv = {
            "weir": (WEIR, [weir, "run", "-c", path]),
            "haproxy": (HAPROXY, ["/usr/sbin/haproxy", "-db", "-f", path]),
            "nginx": (NGINX, ["/usr/sbin/nginx", "-p", self.directory, "-c", path, "-e", "stderr"]),
        }[name]
        user = "user root;\n" if os.geteuid() == 0 else ""
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.format(port=self.port, origin=origin, user=user, lanes=LANES))
        with open(f"{self.directory}/log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        await_port(self.port, self.process, f"{self.directory}/log")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def measure(name, options, times):
    """A server and a proxy that nobody has asked before: what waits at the server from one run is not the next one's."""
    port = free_port()
    server = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--serve", str(port)], stdin=subprocess.PIPE)
    try:
        await_port(port, server)
        proxy = Proxy(name, options.weir, f"127.0.0.1:{port}")
        try:
            return asyncio.run(load(proxy.port, CAPACITY * times, options.seconds))
        finally:
            proxy.stop()
    finally:
        server.kill()
        server.wait()


# Ratios: they carry over to other machines better than figures do


def ratio(ours, theirs):
    if ours is None or theirs is None:
        return "-"
    return f"{ours / theirs:.2f}" if theirs else "none there"


def print_ratios(results, loads):
    peers = [name for name in results if name != "weir"]
    if "weir" not in results or not peers:
        return
    columns = [(key, words, name) for key, words in (("good", "good answers"), ("p99", "p99")) for name in peers]
    print("\nweir's figures as ratios to the others' at the same load; more good answers are better, less p99 is.\n\n| load | "
          + " | ".join(f"{words}, of {name}'s" for _, words, name in columns) + " |\n|" + "---|" * (len(columns) + 1))
    for times in loads:
        shown = [ratio(results["weir"][times][key], results[name][times][key]) for key, _, name in columns]
        print(f"| {times:g}× | " + " | ".join(shown) + " |")


# The picture

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 200, 60, 60, 90
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #5b6570 }
  .title { font-size: 15px; font-weight: 600 } .end { text-anchor: end } .middle { text-anchor: middle }
  path { fill: none; stroke-width: 2.5 } .axis { stroke: #8f99a3; stroke-width: 1 } .want { stroke: #d9480f; stroke-dasharray: 5 4; stroke-width: 1.5 }
  .ground { fill: #fff; stroke: none } .weir { stroke: #2a7fd4; stroke-width: 3.5 } .haproxy { stroke: #7a4fb5 } .nginx { stroke: #b58a2e }
  @media (prefers-color-scheme: dark) { .ground { fill: #14181c } text { fill: #c3ccd5 } .weir { stroke: #58a6ff } .haproxy { stroke: #b392f0 } }
"""


def panel(x, title, unit, results, loads, value, most, wanted):
    def place(i, v):
        return x + WIDTH * i / (len(loads) - 1), TOP + HEIGHT * (1 - min(v, most) / most)
    parts = [f'<text class="title" x="{x}" y="{TOP - 26}">{escape(title)}</text>',
             f'<path class="axis" d="M{x} {TOP}v{HEIGHT}h{WIDTH}"/>',
             f'<path class="want" d="M{x} {place(0, wanted)[1]:.1f}h{WIDTH}"/>']
    for i, times in enumerate(loads):
        parts.append(f'<text class="middle" x="{place(i, 0)[0]:.1f}" y="{TOP + HEIGHT + 18}">{times:g}×</text>')
    for v in (0, most / 2, most):
        parts.append(f'<text class="end" x="{x - 6}" y="{place(0, v)[1] + 4:.1f}">{v:g}{unit}</text>')
    for name, by_load in results.items():
        points = [place(i, value(by_load[times])) for i, times in enumerate(loads) if value(by_load[times]) is not None]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<path class="{name}" d="M{line}"><title>{name}</title></path>')
    return parts


def draw(path, results, loads):
    second = LEFT + WIDTH + GAP
    width, height = second + WIDTH + 30, TOP + HEIGHT + 92
    parts = [f'<path class="ground" d="M0 0h{width}v{height}H0z"/>']
    parts += panel(LEFT, "Good answers, of what the server can give", " %", results, loads,
                  lambda r: 100 * r["good"] / CAPACITY, 120, 90)
    parts += panel(second, "The slowest of a hundred answers", " s", results, loads, lambda r: r["p99"], PATIENCE, 2 * QUEUE)
    for i, name in enumerate(results):
        parts.append(f'<path class="{name}" d="M{LEFT + 110 * i} {TOP + HEIGHT + 44}h22"/>'
                     f'<text x="{LEFT + 110 * i + 28}" y="{TOP + HEIGHT + 48}">{name}</text>')
    wanted = LEFT + 110 * len(results)
    parts += [f'<path class="want" d="M{wanted} {TOP + HEIGHT + 44}h22"/>'
              f'<text x="{wanted + 28}" y="{TOP + HEIGHT + 48}">what is wanted: 90 % of it, within twice the queue\'s {QUEUE:g} s</text>',
              f'<text x="{LEFT}" y="{TOP + HEIGHT + 76}">Clients a second, in times what the server can do ({CAPACITY:.0f}); '
              f'who has no answer after {PATIENCE:g} s gives up.</text>']
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"><style>{STYLE}</style>\n'
                + "\n".join(parts) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description="Proxies before a server that cannot do it all; docs/benchmarking.md.")
    parser.add_argument("--seconds", type=int, default=20, help="of each load (20)")
    parser.add_argument("--load", type=float, nargs="+", default=[0.5, 1, 2, 5, 10], metavar="TIMES",
                        help="so many times what the server can do (0.5 1 2 5 10)")
    parser.add_argument("--proxy", nargs="+", choices=("weir", "haproxy", "nginx"), default=("weir", "haproxy", "nginx"))
    parser.add_argument("--weir", default=f"{ROOT}/build/release/weir")
    parser.add_argument("--svg", default=f"{ROOT}/build/bench/overload.svg", metavar="FILE", help="where it is drawn")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    if len(options.load) < 2:
        parser.error("--load needs two or more, to draw a line between")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what it has begun ends with it
    if "weir" in options.proxy and not os.access(options.weir, os.X_OK):
        parser.error(f"{options.weir} is not there; build it with `make`, or say which one with --weir")
    peers = [name for name in options.proxy if name == "weir" or os.access(f"/usr/sbin/{name}", os.X_OK)]
    print(f"A server of {CAPACITY:.0f} answers a second, {options.seconds} s of each load; load average "
          f"{os.getloadavg()[0]:.1f}\n\n| load | proxy | good, a second | of capacity | median | p99 | refused or given up |\n"
          "|---|---|---|---|---|---|---|", flush=True)
    results = {name: {} for name in peers}
    for times in options.load:
        for name in peers:
            r = results[name][times] = measure(name, options, times)
            shown = [f"{r[key]:.2f} s" if r[key] is not None else "-" for key in ("median", "p99")]
            print(f"| {times:g}× | {name} | {r['good']:.0f} | {100 * r['good'] / CAPACITY:.0f} % | {shown[0]} | {shown[1]} | "
                  f"{r['failed']:,} |", flush=True)
    print_ratios(results, options.load)
    os.makedirs(os.path.dirname(os.path.abspath(options.svg)), exist_ok=True)
    draw(options.svg, results, options.load)
    print(f"\ndrawn: {options.svg}")


if __name__ == "__main__":
    main()
