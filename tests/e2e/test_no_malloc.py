"""Once warm, a worker neither allocates nor frees, nor asks the system for memory: from accept to log, and in tunnels."""
import os
import struct
import subprocess

import pytest

import message
from client import Client
from waiting import eventually
from weir import is_sanitized

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "malloc_counter.c")
HEADER, THREAD = struct.Struct("<Q"), struct.Struct("<QQ16s")  # as in malloc_counter.c
WARM_UP, MEASURED = 2000, 5000
RUNS = 4  # at most
CLIENTS = 8
GET = message.request("GET", "/", host="example.test")
POST = message.request("POST", "/", body=b"x" * 300, host="example.test")
ENDING = b"nginx\n"


class Counts:
    """The allocator's calls by thread, of a weir that was started within `preloaded`."""

    def __init__(self, directory, monkeypatch):
        self.path = os.path.join(str(directory), "counts")
        self.library = os.path.join(str(directory), "malloc_counter.so")
        self.monkeypatch = monkeypatch
        with open(self.path, "wb"):
            pass
        subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fno-builtin", "-o", self.library,
                        SOURCE], check=True)

    def preload(self, start):
        with self.monkeypatch.context() as environment:
            environment.setenv("LD_PRELOAD", self.library)
            environment.setenv("WEIR_MALLOC_COUNTS", self.path)
            return start()

    def of_workers(self):
        with open(self.path, "rb") as file:
            data = file.read()
        counts = {}
        for index in range(HEADER.unpack_from(data)[0]):
            allocations, releases, name = THREAD.unpack_from(data, HEADER.size + index * THREAD.size)
            name = name.rstrip(b"\0").decode()
            if name.startswith("weir/"):
                counts[name] = (allocations, releases)
        return counts


def ask_all(clients, request):
    for client in clients:
        client.sock.sendall(request)
    for client in clients:
        answer = b""
        while not answer.endswith(ENDING):
            data = client.sock.recv(4096)
            assert data, f"closed after {answer!r}"
            answer += data
        assert answer.startswith(b"HTTP/1.1 200 "), answer


def ask_on_kept_connections(address, count):
    clients = [Client(address) for _ in range(CLIENTS)]
    for number in range(count // CLIENTS):
        ask_all(clients, POST if number % 4 == 3 else GET)
    for client in clients:
        client.close()


def ask_on_new_connections(address, count):
    for number in range(count // CLIENTS):
        clients = [Client(address) for _ in range(CLIENTS)]
        ask_all(clients, POST if number % 4 == 3 else GET)
        for client in clients:
            client.close()


LOADS = {"kept": ask_on_kept_connections, "new": ask_on_new_connections}


def steady(counts, run):
    """Some run costs no call of the allocator. On a busy machine more may be under way at a time than ever before, for which there
    must be memory once; what each request or connection costs would be seen in every run. How many runs it took."""
    run(WARM_UP)
    seen = [counts.of_workers()]
    assert list(seen[0]) == ["weir/0"] and seen[0]["weir/0"][0] > 0, f"nothing was counted: {seen}"
    while len(seen) <= RUNS:
        run(MEASURED)
        seen.append(counts.of_workers())
        if seen[-1] == seen[-2]:
            return len(seen) - 1
    raise AssertionError(f"calls of malloc or mmap, free or munmap, by worker, after each run: {seen}")


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("protocol, has_log", [("http", False), ("http", True), ("tcp", False), ("tcp", True)])
def test_a_warm_worker_never_calls_the_allocator(scene, tmp_path, monkeypatch, protocol, has_log, load):
    if is_sanitized("release"):
        return  # brings an allocator of its own
    nginx = scene.nginx(logs=False)
    counts = Counts(tmp_path, monkeypatch)
    log = {"access_log": {"path": str(tmp_path / "access.log")}} if has_log else {}
    weir = counts.preload(lambda: scene.proxy(nginx, protocol=protocol, build="release", **log))

    def run(requests):
        LOADS[load](weir.address, requests)
        weir.wait_live(exchanges=0, tunnels=0, client_connections=0)

    runs = steady(counts, run)
    if has_log:
        total = WARM_UP + runs * MEASURED
        lines = total if protocol == "http" or load == "new" else 2 * CLIENTS
        eventually(lambda: sum(1 for _ in open(tmp_path / "access.log")) == lines, f"{lines} lines in the log")


@pytest.mark.parametrize("connections", [1, 8])
def test_nor_does_it_for_http_2(scene, tmp_path, monkeypatch, connections):
    if is_sanitized("release"):
        return
    counts = Counts(tmp_path, monkeypatch)
    weir = counts.preload(lambda: scene.proxy(scene.nginx(logs=False), build="release"))
    host, port = weir.address

    def run(requests):
        """On new connections, ten at the same time on each."""
        done = subprocess.run(["h2load", "-n", str(requests), "-c", str(connections), "-m", "10", "-H", "cookie: a=b",
                               f"http://{host}:{port}/"], capture_output=True, text=True, timeout=100)
        assert f"{requests} succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
        weir.wait_live(exchanges=0, client_connections=0)

    steady(counts, run)


ROUTES = [10, 3_000]
SWAPS = 2
CALLS_OF_A_SWAP = 40  # listeners, sockets and mails count; routes do not


def with_routes(config, count, generation):
    routes = [{"name": f"r{number}", "path": f"/{generation}/{number}", "pool": "web"} for number in range(count - 1)]
    front = {key: value for key, value in config["listeners"]["web"].items() if key != "pool"}
    return {**config, "listeners": {"web": {**front, "routes": [*routes, {"name": "rest", "pool": "web"}]}}}


@pytest.mark.parametrize("count", ROUTES)
def test_what_a_worker_does_for_another_configuration_does_not_grow_with_its_routes(scene, tmp_path, monkeypatch, count):
    """They are made and freed elsewhere: a worker's turn stays as short as it was."""
    if is_sanitized("release"):
        return
    counts = Counts(tmp_path, monkeypatch)
    weir = counts.preload(lambda: scene.proxy(scene.nginx(logs=False), build="release"))
    first = weir.config
    ask_on_kept_connections(weir.address, WARM_UP)
    weir.reload(with_routes(first, count, 0))
    weir.wait_retired()
    before = counts.of_workers()["weir/0"]
    for generation in range(1, SWAPS + 1):
        weir.reload(with_routes(first, count, generation))
    weir.wait_retired()
    calls = [now - then for now, then in zip(counts.of_workers()["weir/0"], before)]
    assert max(calls) <= SWAPS * CALLS_OF_A_SWAP, calls
    print(f"{count} routes: {calls} allocations and releases by the worker in {SWAPS} reloads")
    weir.reload(first)
    weir.wait_retired()
