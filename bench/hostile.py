#!/usr/bin/python3
"""make bench-hostile: what hostile HTTP/2 clients cost weir, haproxy and nginx, and the honest clients beside them.

For each kind of attack a proxy is started, honest clients (h2load) are measured in calm and then beside N hostile
connections, which send what the kind says and then hold still. Printed: the proxy's memory that a hostile byte holds
(growth of its PSS by bytes that the attackers could send), and the honest rate against calm. See docs/benchmarking.md."""

import argparse
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
SETTLE_S = 1.0


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def string(text):
    """A literal of HPACK, without Huffman; its length has a prefix of seven bits (RFC 7541 5.1)."""
    if len(text) < 127:
        return bytes((len(text),)) + text
    left, out = len(text) - 127, b"\x7f"
    while left >= 128:
        out += bytes((left % 128 + 128,))
        left //= 128
    return out + bytes((left,)) + text


def request(path=b"/100"):
    """:method GET, :scheme http, :path, :authority."""
    return b"\x82\x86\x04" + string(path) + b"\x01" + string(b"a")


def settings(window=None):
    return frame(SETTINGS, 0, 0, b"" if window is None else struct.pack(">HI", 4, window))


def opening(window=None):
    return PREFACE + settings(window)


# What each kind of attacker sends, in pieces; what it has sent by then is what it holds.

def rapid_reset():
    yield opening()
    for i in range(2000):
        stream = 2 * i + 1
        yield frame(HEADERS, END_STREAM | END_HEADERS, stream, request()) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")


def continuation():
    yield opening()
    yield frame(HEADERS, END_STREAM, 1, request())
    for i in range(30):
        yield frame(CONTINUATION, 0, 1, b"\x00" + string(b"x-%d" % i) + string(b"v" * 2000))


def settings_flood():
    yield opening()
    for _ in range(3000):
        yield settings(65535)


def ping_flood():
    yield opening()
    for _ in range(3000):
        yield frame(PING, 0, 0, b"12345678")


def empty_frames():
    yield opening()
    yield frame(HEADERS, END_HEADERS, 1, request())
    for _ in range(3000):
        yield frame(DATA, 0, 1)


def tiny_windows():
    """Each of 100 answers goes out byte by byte, if at all."""
    yield opening(1)
    for i in range(100):
        yield frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, request(b"/65536"))
    for _ in range(20):
        for i in range(100):
            yield frame(WINDOW_UPDATE, 0, 2 * i + 1, b"\0\0\0\x01")


def hpack_references():
    """One entry of the table, 3.9 KiB, and a hundred requests of which each refers to it fifteen times; no answer can go."""
    yield opening(0)
    entry = b"\x40" + string(b"x") + string(b"v" * 3900)
    yield frame(HEADERS, END_STREAM | END_HEADERS, 1, request() + entry)
    for i in range(1, 100):
        yield frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, request() + b"\xbe" * 15)


def small_references():
    """As many fields as a head may have, each a byte."""
    yield opening(0)
    for i in range(100):
        yield frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, request() + b"\x90" * 120)


def slow():
    """A frame of a head whose last byte never comes."""
    yield opening()
    yield frame(HEADERS, END_STREAM | END_HEADERS, 1, request() + b"\x00" + string(b"x") + string(b"v" * 3000))[:-1]


KINDS = (rapid_reset, continuation, settings_flood, ping_flood, empty_frames, tiny_windows, hpack_references,
         small_references, slow)

HAPROXY = """\
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
frontend web
    bind 127.0.0.1:{port} proto h2
    default_backend origin
backend origin
    http-reuse always
    server one {origin}
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
    proxy_max_temp_file_size 0;
    upstream origin {{ server {origin}; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port} http2 backlog=4096;
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

WEIR = """\
workers: 1
limits: {{memory: {memory}}}
listeners: {{web: {{bind: "127.0.0.1:{port}", pool: web}}}}
pools: {{web: {{servers: ["{origin}"]}}}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cgroup:
    """Memory of one proxy, bounded by the kernel; where no cgroup can be made, nothing is."""

    def __init__(self, mib):
        self.path, self.file = None, None
        for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            path = f"{root}/weir-bench-{os.getpid()}"
            try:
                os.mkdir(path)
                with open(f"{path}/{limit}", "w", encoding="ascii") as f:
                    f.write(str(mib << 20))
            except OSError:
                if os.path.isdir(path):
                    os.rmdir(path)
                continue
            self.path = path
            return

    def enter(self):
        """In the child, before it becomes the proxy."""
        if self.path:
            with open(f"{self.path}/cgroup.procs", "w", encoding="ascii") as f:
                f.write(str(os.getpid()))

    def remove(self):
        for _ in range(50):
            if not self.path:
                return
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)  # its last process is on its way out


class Proxy:
    def __init__(self, name, options, origin):
        self.name, self.port = name, free_port()
        self.directory = tempfile.mkdtemp(prefix=f"hostile-{name}-")
        path = f"{self.directory}/config"
        user = "user root;\n" if os.geteuid() == 0 else ""
        text, argv = {
            "weir": (WEIR, [options.weir, "run", "-c", path]),
            "haproxy": (HAPROXY, ["/usr/sbin/haproxy", "-db", "-f", path]),
            "nginx": (NGINX, ["/usr/sbin/nginx", "-p", self.directory, "-c", path, "-e", "stderr"]),
        }[name]
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.format(port=self.port, origin=origin, user=user, memory=f"{options.memory // 2}MiB"))
        self.cgroup = Cgroup(options.memory)
        with open(f"{self.directory}/log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, preexec_fn=self.cgroup.enter)
        await_port(self.port, self.process)

    def pids(self):
        """nginx serves from a child."""
        pid = self.process.pid
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                return [pid] + [int(child) for child in f.read().split()]
        except OSError:
            return []

    def memory(self):
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                    total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1)) << 10
            except (OSError, AttributeError):
                pass  # it has ended
        return total

    def is_alive(self):
        return self.process.poll() is None

    def stop(self):
        if self.is_alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.cgroup.remove()
        shutil.rmtree(self.directory, ignore_errors=True)


def await_port(port, process):
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended before it listened on port {port}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on port {port}")


def attack(port, kind, count, seconds, report):
    """In a process of its own: sends all that `kind` has on `count` connections, as far as it is taken, and holds them. Tells
    how many bytes that were, then waits to be killed."""
    poll, open_ones, sent = select.poll(), {}, 0
    pieces = list(kind())
    whole = b"".join(pieces)
    for _ in range(count):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        poll.register(s, select.POLLIN | select.POLLOUT)
        open_ones[s.fileno()] = [s, 0]
    until = time.monotonic() + seconds
    while open_ones and time.monotonic() < until:
        waiting = False
        for fd, event in poll.poll(200):
            s, at = open_ones[fd]
            try:
                if event & (select.POLLHUP | select.POLLERR) or (event & select.POLLIN and not s.recv(65536)):
                    raise ConnectionError
                if event & select.POLLOUT and at < len(whole):
                    now = s.send(whole[at:at + 4096])
                    sent += now
                    open_ones[fd][1] = at + now
                    waiting = True
                    if at + now == len(whole):
                        poll.modify(s, select.POLLIN)  # answers are taken in, as far as windows let them come
            except BlockingIOError:
                pass
            except OSError:
                poll.unregister(fd)
                s.close()
                del open_ones[fd]
        if not waiting and all(at == len(whole) for _, at in open_ones.values()):
            break
    os.write(report, f"{sent} {len(open_ones)}\n".encode())
    signal.pause()


def start_attack(port, kind, count, seconds):
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(readable)
            attack(port, kind, count, seconds, writable)
        finally:
            os._exit(0)
    os.close(writable)
    return pid, readable


def honest(port, seconds):
    """Requests a second of a hundred clients, and how many failed. Who is not let in comes again in the next second."""
    done = failures = 0
    for _ in range(seconds):
        until = time.monotonic() + 1
        argv = ["h2load", "-t1", "-c100", "-m1", "-D1", f"http://127.0.0.1:{port}/100"]
        text = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120).stdout.decode()
        rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", text)
        failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
        done += float(rate.group(1)) if rate else 0
        failures += sum(map(int, failed.groups())) if failed else 0
        time.sleep(max(0, until - time.monotonic()))  # nobody was let in: it did not take a second
    return done / seconds, failures


def run(name, kind, options, origin):
    proxy = Proxy(name, options, origin)
    attacker = None
    try:
        calm, _ = honest(proxy.port, options.seconds)
        before = proxy.memory()
        attacker, readable = start_attack(proxy.port, kind, options.connections, options.seconds * 2)
        sent, held = map(int, os.read(readable, 64).split())
        os.close(readable)
        time.sleep(SETTLE_S)
        memory = proxy.memory()
        beside, failed = honest(proxy.port, options.seconds)
        peak = max(memory, proxy.memory())
        return {"calm": calm, "beside": beside, "failed": failed, "sent": sent, "held": held, "growth": memory - before,
                "peak": peak, "alive": proxy.is_alive(), "bounded": proxy.cgroup.path is not None}
    finally:
        if attacker:
            os.kill(attacker, signal.SIGKILL)
            os.waitpid(attacker, 0)
        proxy.stop()


def row(kind, name, r):
    ratio = f"{r['growth'] / r['sent']:.2f}" if r["sent"] else "-"
    share = f"{100 * r['beside'] / r['calm']:.0f} %" if r["calm"] else "-"
    state = "" if r["alive"] else " **ended**"
    return (f"| {kind} | {name}{state} | {r['sent']:,} | {r['held']:,} | {r['growth'] >> 10:,} KiB | {ratio} | "
            f"{r['peak'] >> 10:,} KiB | {r['calm']:,.0f} | {r['beside']:,.0f} | {share} | {r['failed']:,} |")


def main():
    names = [kind.__name__ for kind in KINDS]
    parser = argparse.ArgumentParser(description="Hostile HTTP/2 clients beside honest ones; docs/benchmarking.md.",
                                     epilog=f"kinds: {' '.join(names)}")
    parser.add_argument("--connections", type=int, default=2000, metavar="N", help="hostile ones (2000)")
    parser.add_argument("--seconds", type=int, default=3, help="of each load by honest clients (3)")
    parser.add_argument("--memory", type=int, default=64, metavar="MIB", help="that a proxy may have, by cgroup (64)")
    parser.add_argument("--kind", nargs="+", choices=names, default=names)
    parser.add_argument("--proxy", nargs="+", choices=("weir", "haproxy", "nginx"), default=("weir", "haproxy", "nginx"))
    parser.add_argument("--weir", default=f"{ROOT}/build/release/weir")
    parser.add_argument("--origin", default=f"{ROOT}/build/release/bench/bench-origin")
    options = parser.parse_args()
    for program in ("h2load", options.weir, options.origin):
        if not shutil.which(program):
            sys.exit(f"{program} is not there: `make bench-hostile` builds weir and bench-origin, h2load is Debian's nghttp2-client")
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen([options.origin, address])
    await_port(int(address.rsplit(":", 1)[1]), server)
    peers = [name for name in options.proxy if name == "weir" or os.access(f"/usr/sbin/{name}", os.X_OK)]
    print(f"{options.connections:,} hostile connections beside 100 honest clients, {options.memory} MiB by cgroup\n\n"
          "| attack | proxy | bytes sent | still open | held | held a byte | PSS | calm, req/s | beside | share | failed |\n"
          "|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    try:
        for kind in KINDS:
            for name in peers if kind.__name__ in options.kind else ():
                result = run(name, kind, options, address)
                print(row(kind.__name__, name, result), flush=True)
                if not result["bounded"]:
                    print("no cgroup could be made: memory is measured and not bounded", file=sys.stderr)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
