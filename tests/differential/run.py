#!/usr/bin/python3
"""One request, one meaning: generated requests (cases.py) go through weir to servers of Debian's (peers.py), and what each of them has
read is what weir has: as many requests, the same paths, hosts and fields. Or weir has refused.

    tests/differential/run.py --cases 20000 --seed 1

Says what did not agree, with the bytes that led to it; its exit code is 1 then. Servers that are not installed are left out, and that
is said (tools/setup.sh soak installs them)."""
import argparse
import collections
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

import peers
from cases import Case
from ports import reserve_port
from waiting import LIMIT_S, eventually

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LINE = ["$request_id", "$weir_pool", "$status", "$upstream_status", "$weir_end", "$request_method", "$request_uri", "$http_x_case"]
SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: h.test\r\nX-Case: %d\r\nConnection: close\r\n\r\n"
AT_ONCE = 24
SILENCE_S = 1.0  # whoever waits for more by then is left
SHOWN = 20
ROUND = 20000


class Weir:
    def __init__(self, directory, binary, servers):
        self.log = os.path.join(directory, "weir.log")
        self.ports = {server.name: reserve_port() for server in servers}
        rule = {"request_headers": {"set": peers.SET}}
        conf = {
            "workers": 1,
            "listeners": {s.name: {"bind": f"127.0.0.1:{self.ports[s.name]}", "routes": [{"name": s.name, "pool": s.name, **rule}]} for s in servers},
            "pools": {s.name: {"servers": [f"127.0.0.1:{s.port}"], "retry": {"attempts": 1}, "ejection": False} for s in servers},
            "access_log": {"path": self.log, "format": " ".join(f'"{v}"' for v in LINE)},
            "admin": {"bind": f"127.0.0.1:{reserve_port()}"},
        }
        path = os.path.join(directory, "weir.yaml")
        with open(path, "w") as file:
            json.dump(conf, file)
        self.messages = os.path.join(directory, "weir.err")
        self.process = subprocess.Popen([binary, "run", "-c", path], stderr=open(self.messages, "wb"))
        eventually(self.is_ready, lambda: f"weir: {self.said()}")

    def said(self):
        with open(self.messages, errors="replace") as file:
            return file.read()[-4000:]

    def is_ready(self):
        assert self.process.poll() is None, self.said()
        return "event=ready" in self.said()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def lines(self):
        with open(self.log, "rb") as file:
            for line in file.read().split(b"\n"):
                values = [peers.unescape(v) for v in peers.QUOTED.findall(line)]
                if len(values) == len(LINE):
                    yield dict(zip(("id", "pool", "status", "upstream_status", "end", "method", "target", "case"), values))


class Sender:
    """A case on a connection of its own, a whole request behind it: that must not be taken for part of it."""

    def __init__(self, port, data):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))
        self.rest = data
        self.heard_at = time.monotonic()

    def on_ready(self):
        """True: over."""
        try:
            if self.rest:
                self.rest = self.rest[self.sock.send(self.rest):]
                self.heard_at = time.monotonic()
                return False
            self.heard_at = time.monotonic()
            return not self.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            return True


def send_all(weir, jobs):
    selector, running, is_over = selectors.DefaultSelector(), set(), False
    while not is_over or running:
        while not is_over and len(running) < AT_ONCE:
            job = next(jobs, None)
            if job is None:
                is_over = True
                break
            sender = Sender(*job)
            running.add(sender)
            selector.register(sender.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, sender)
        done = set()
        for key, _ in selector.select(0.2):
            sender = key.data
            had = bool(sender.rest)
            if sender.on_ready():
                done.add(sender)
            elif had and not sender.rest:
                selector.modify(sender.sock, selectors.EVENT_READ, sender)
        now = time.monotonic()
        done |= {s for s in running if now - s.heard_at > SILENCE_S}
        for sender in done:
            selector.unregister(sender.sock)
            sender.sock.close()
        running -= done
        assert weir.process.poll() is None, weir.said()


def path_of(server, value):
    return value if server.decodes else urllib.parse.unquote_to_bytes(value.split(b"?")[0])


def elements(value):
    """Of a list (RFC 9110 5.6.1): empty ones are none."""
    return [part.strip(b" \t") for part in value.split(b",") if part.strip(b" \t")]


def same_field(said, own):
    """weir has a list of all (RFC 9110 5.3), of which some show the first or the last."""
    said, own = elements(said), elements(own)
    return said == own or not own or said[:len(own)] == own or said[-len(own):] == own


def host_of(value):
    return re.sub(rb":\d*$", b"", value).lower().rstrip(b".")


def differences(server, line):
    """What the server has read otherwise than weir."""
    said = urllib.parse.unquote_to_bytes(line["weir_path"])
    if path_of(server, line["path"]) != said:
        yield "path"
    if line["weir_host"] and host_of(line["host"]) != host_of(line["weir_host"]):  # without one (HTTP/1.0) weir says the server's
        yield "host"
    if not same_field(line["weir_field"], line["field"]):
        yield "field"


class Findings:
    def __init__(self):
        self.counts, self.faults = collections.Counter(), collections.Counter()

    def wrong(self, server, what, line, mine):
        self.faults[(server.name, what)] += 1
        if self.faults[(server.name, what)] <= SHOWN:
            print(f"{server.name}: {what}\n    server: {line}\n    weir:   {mine}", flush=True)

    def compare(self, server, of_weir):
        sent = {line["id"]: line for line in of_weir if line["pool"] == server.name.encode()}
        asked = {number: line for number, line in sent.items() if line["upstream_status"] not in (b"", b"-")}
        seen = collections.Counter()
        for line in server.lines():
            seen[line["id"]] += 1
            mine = sent.get(line["id"])
            if line["status"][:1] in (b"4", b"5"):
                self.counts["refused by the server"] += 1
                continue
            if mine is None:
                self.wrong(server, "a request that weir knows nothing of", line, mine)
                continue
            if seen[line["id"]] == 2:
                self.wrong(server, "one request that was two", line, mine)
            self.counts["agreed on"] += 1
            for what in differences(server, line):
                self.wrong(server, f"another {what}", line, mine)
        for number in asked.keys() - seen.keys():
            if asked[number]["upstream_status"][:1] in (b"4", b"5"):
                self.counts["refused by the server"] += 1  # before it had a line for it
            elif asked[number]["end"] == b"ok":
                self.wrong(server, "a request that the server knows nothing of", None, asked[number])


def run_round(arguments, kinds, numbers, findings):
    """So many cases to servers that begin anew: logs of a round are looked at, and gone. How many requests they were."""
    directory = tempfile.mkdtemp(prefix="differential-")
    os.chmod(directory, 0o755)  # a server may have become another user
    faults, requests = sum(findings.faults.values()), 0
    servers = [kind(directory) for kind in kinds]
    try:
        for server in servers:
            server.start()
            server.wait_ready()
        weir = Weir(directory, arguments.weir, servers)

        def jobs():
            nonlocal requests
            for number in numbers:
                data, count = Case(arguments.seed, number).make()
                requests += count
                for server in servers:
                    yield weir.ports[server.name], data + SENTINEL % number

        send_all(weir, jobs())
        assert weir.stop() == 0, weir.said()
        for server in servers:
            server.stop()
        of_weir = list(weir.lines())
        findings.counts["refused by weir"] += sum(line["upstream_status"] in (b"", b"-") for line in of_weir)
        for server in servers:
            findings.compare(server, of_weir)
    finally:
        for server in servers:
            server.stop()
        if sum(findings.faults.values()) > faults or arguments.keep:
            print(f"logs are in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return requests


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="each goes to every server")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weir", default=os.path.join(ROOT, "build", "release", "weir"))
    parser.add_argument("--only", nargs="*", choices=[p.name for p in peers.PEERS])
    parser.add_argument("--keep", action="store_true", help="the folders with all logs")
    arguments = parser.parse_args()
    kinds = [kind for kind in peers.PEERS if kind.find() and (not arguments.only or kind.name in arguments.only)]
    missing = [kind.name for kind in peers.PEERS if not kind.find()]
    if missing:
        print(f"not installed, and left out: {', '.join(missing)}")
    if not kinds:
        print("differential: no server is installed; tools/setup.sh soak installs five")
        return 1
    findings, requests, began = Findings(), 0, time.monotonic()
    last = arguments.first + arguments.cases
    for first in range(arguments.first, last, ROUND):
        requests += run_round(arguments, kinds, range(first, min(first + ROUND, last)), findings)
        print(f"seed {arguments.seed}: {min(first + ROUND, last) - arguments.first} cases, {requests} requests to each of {len(kinds)} servers, "
              f"{time.monotonic() - began:.0f} s: " + ", ".join(f"{number} {what}" for what, number in sorted(findings.counts.items())), flush=True)
    for (name, what), number in sorted(findings.faults.items()):
        print(f"NOT AGREED ON: {name}: {what}: {number}")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
