"""Clients and servers that misbehave at random, with a fixed seed: whatever happens, a response that looks whole is the
right one, weir stays, and nothing is left afterwards."""
import random
import threading
import time

import pytest

import broken
import message
from client import Client
from weir import make_config

SIZES = [0, 1, 100, 5000, 70000, 600000]


def body_of(target, size):
    """What the server answers: known from the target alone."""
    return (target.encode() * (size // len(target) + 1))[:size]


def size_of(target):
    return int(target.split("/")[2])


def answer_of(target, generator):
    """A correct response in any framing."""
    body = body_of(target, size_of(target))
    kind = generator.choice(["length", "length", "chunked", "close"])
    if kind == "length":
        return message.response(body=body), kind
    if kind == "close":
        return message.response(body=None) + body, kind
    middle = generator.randint(0, len(body))
    return (message.response(200, ("Transfer-Encoding", "chunked"), body=None)
            + message.chunked(body[:middle], body[middle:], trailers=[("X-End", "1")])), kind


def misbehave(seed):
    """A server's script: answers correctly most of the time."""
    seeds, lock = random.Random(seed), threading.Lock()

    def step(connection):
        with lock:
            generator = random.Random(seeds.random())
        while True:
            chance = generator.random()
            if chance < 0.02:
                raise broken.Stop
            broken.receive(connection)
            data, kind = answer_of(connection.request.target, generator)
            if chance < 0.10:
                data, kind = data[:generator.randint(0, len(data) - 1)], "reset" if kind == "close" else "cut"
            elif chance < 0.12:
                data, kind = b"nonsense\r\n\r\n", "cut"
            if generator.random() < 0.1 and len(data) < 3000:
                connection.send_pieces(data, generator.randint(1, 50))
            else:
                connection.send(data)
            if kind == "reset" or (kind == "cut" and generator.random() < 0.5):
                broken.reset(connection)
            if kind != "length" and kind != "chunked":
                raise broken.Stop
    return step


class Crowd:
    """Clients which ask, go away and come back."""

    def __init__(self, weir, seed, seconds):
        self.address = weir.address
        self.seed = seed
        self.deadline = time.monotonic() + seconds
        self.lock = threading.Lock()
        self.counts = {}
        self.faults = []

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def run(self, number):
        generator = random.Random(self.seed * 1000 + number)
        serial = 0
        while time.monotonic() < self.deadline and not self.faults:
            client = Client(self.address)
            try:
                while generator.random() < 0.9 and time.monotonic() < self.deadline:
                    serial += 1
                    if not self.ask(client, f"/{number}-{serial}/{generator.choice(SIZES)}", generator):
                        break
            except (message.Ended, ConnectionResetError, BrokenPipeError):
                self.count("cut")
            except Exception as error:
                self.faults.append(f"client {number}, request {serial}: {error!r}")
            finally:
                client.reset() if generator.random() < 0.3 else client.close()

    def ask(self, client, target, generator):
        """False if the connection is of no more use."""
        method = generator.choice(["GET", "GET", "GET", "POST", "PUT", "HEAD"])
        body = generator.randbytes(generator.choice([0, 10, 20000, 200000])) if method in ("POST", "PUT") else None
        data = message.request(method, target, body=body)
        if generator.random() < 0.05:
            client.send(data[:generator.randint(0, len(data))])
            return False
        client.send(data)
        if generator.random() < 0.05:
            return False
        response = client.read(method)
        if response.status == 200:
            wanted = b"" if method == "HEAD" else body_of(target, size_of(target))
            assert response.body == wanted, f"{method} {target}: {len(response.body)} bytes, {len(wanted)} wanted"
        else:
            assert response.status in (502, 503, 504), response.status
        self.count(response.status)
        return "close" not in response.options()


def run(scene, seed, seconds, build, workers):
    servers = [scene.server([misbehave(seed * 10 + number)]) for number in range(3)]
    weir = scene.weir(make_config(servers, workers=workers, pool={
        "timeouts": {"connect": "2s", "first_byte": "2s", "response": "2s", "queue": "2s"}, "max_requests": 50}), build=build)
    crowd = Crowd(weir, seed, seconds)
    threads = [threading.Thread(target=crowd.run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(crowd.counts)
    assert crowd.faults == []
    assert crowd.counts[200] > 20
    assert weir.process.poll() is None
    weir.wait_live(exchanges=0, client_connections=0)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_little_chaos(scene, seed, workers):
    run(scene, seed, 2, "asan", workers)


@pytest.mark.soak
@pytest.mark.parametrize("build", ["asan", "release"])
def test_much_chaos(scene, build):
    seed = int(time.time())
    print(f"seed {seed}")
    run(scene, seed, 300, build, 2)
