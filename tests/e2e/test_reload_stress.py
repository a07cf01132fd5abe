"""Random configurations, one after another, under all kinds of traffic: no request fails that the configuration does not
explain, and all that was taken comes back."""
import random
import threading
import time

import pytest

import broken
import message
from client import Client
from test_upgrade import ASK, SWITCH
from weir import listen_at_free_port, make_config

METHODS = ["round_robin", "least_request", "least_connections", "peak_ewma", "random"]
COUNT_MIN = 10  # of configurations
BODY = random.Random(1).randbytes(300000)


def serve(connection):
    """By the request: an echo of its length, a long body in pieces, a tunnel, or ok."""
    while True:
        broken.receive(connection)
        request = connection.request
        if request.has("Upgrade"):
            connection.send(SWITCH)
            while connection.buffer or connection.fill():
                connection.send(connection.take(len(connection.buffer)))
            return
        if request.target.startswith("/up"):
            connection.send(message.response(200, body=b"%d" % len(request.body)))
        elif request.target.startswith("/slow"):
            whole = message.response(200, body=BODY)
            for at in range(0, len(whole), 60000):
                connection.send(whole[at:at + 60000])
                time.sleep(0.005)  # a slow server, not a wait for anything
        else:
            connection.send(message.response())


def raw_echo(connection):
    while connection.buffer or connection.fill():
        connection.send(connection.take(len(connection.buffer)))


class Configurations:
    """Seeded; all of them serve everything that the traffic asks for."""

    def __init__(self, seed, first, servers, raw):
        self.random = random.Random(seed)
        self.first = first
        self.servers = servers
        self.raw = raw
        self.extra = listen_at_free_port()

    def pool(self, **more):
        pick = self.random
        chosen = pick.sample(self.servers, pick.randint(1, len(self.servers)))
        pool = {"servers": [{"name": f"s{self.servers.index(server)}", "address": server.address,
                             "weight": pick.choice([1, 1, 3, 10]), **({"max_connections": 8} if pick.random() < 0.4 else {})}
                            for server in chosen],
                "balance": pick.choice(METHODS), "queue": {"length": 1000}, "timeouts": {"queue": "20s"}, **more}
        if pick.random() < 0.2:
            pool["sticky"] = {"cookie": "w", "secrets": ["s" * 20]}
        return pool

    def listener(self):
        pick = self.random
        kind = pick.randrange(4)
        front = {"bind": self.first["listeners"]["web"]["bind"]}
        if kind == 0:
            return {**front, "pool": "web"}
        routes = [{"name": "rest", "pool": "web", "upgrade": ["websocket"]}]
        if kind > 1:
            routes.append({"name": "up", "path_prefix": "/up", "pool": "other"})
        if kind > 2:
            routes.append({"name": "mirrored", "path_prefix": "/m", "pool": "web", "mirror": "other"})
            routes.append({"name": "split", "path_prefix": "/split", "split": "checkout"})
        pick.shuffle(routes)
        return {**front, "routes": routes}

    def make(self):
        pick = self.random
        config = {**self.first, "listeners": {}, "pools": {"web": self.pool(), "other": self.pool(), "raw": {
            "servers": [server.address for server in pick.sample(self.raw, pick.randint(1, len(self.raw)))]}}}
        config["listeners"]["front" if pick.random() < 0.2 else "web"] = self.listener()
        config["listeners"]["raw"] = self.first["listeners"]["raw"]
        if pick.random() < 0.5:
            config["listeners"]["extra"] = {"bind": self.extra, "pool": "other"}
        if pick.random() < 0.3:
            config["gate"] = {"connections_per_client": 1000}
        share = pick.randint(1, 99)
        config["splits"] = {"checkout": {"unit": "header:X-User", "salt": "s", "variants": {
            "a": {"weight": share, "pool": "web"}, "b": {"weight": 100 - share, "pool": "other"}}}}
        return config


class Traffic:
    def __init__(self, web, raw):
        self.web, self.raw = web, raw
        self.ended = threading.Event()
        self.faults = []
        self.counts = {}
        jobs = [self.keep_alive] * 3 + [self.anew] * 2 + [self.upload, self.download, self.websocket, self.session]
        self.threads = [threading.Thread(target=self.run, args=(job, number)) for number, job in enumerate(jobs)]

    def run(self, job, number):
        try:
            job(random.Random(number))
        except Exception as error:
            self.faults.append(f"{job.__name__}: {error!r}")

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def ask(self, client, is_reused, target, expected=b"ok", **options):
        """False: the connection was over before the request had come, which may be of one that was idle (RFC 9112 9.5)."""
        begun = []
        try:
            client.send(message.request("POST" if options else "GET", target, ("X-User", target), **options))
            response = message.read_response(client, "GET", into=begun)
        except (message.Ended, ConnectionResetError, BrokenPipeError):
            if is_reused and not begun:
                return False
            raise
        assert response.status == 200 and response.body == expected, f"{response.status} {response.text[:200]}"
        self.count(target.split("/")[1])
        return not (response.get("Connection") or "").lower() == "close"

    def keep_alive(self, pick):
        client, is_reused = Client(self.web), False
        while not self.ended.is_set():
            if self.ask(client, is_reused, pick.choice(["/a", "/m", "/split"])):
                is_reused = True
            else:
                client.close()
                client, is_reused = Client(self.web), False
        client.close()

    def anew(self, pick):
        while not self.ended.is_set():
            client = Client(self.web)
            self.ask(client, False, pick.choice(["/b", "/m"]))
            client.close()

    def upload(self, pick):
        while not self.ended.is_set():
            client = Client(self.web)
            size = pick.choice([1, 3000, 200000])
            self.ask(client, False, "/up", b"%d" % size, body=b"u" * size)
            client.close()

    def download(self, _):
        while not self.ended.is_set():
            client = Client(self.web, receive_buffer=8192)
            self.ask(client, False, "/slow", BODY)
            client.close()

    def echo(self, client):
        for _ in range(40):
            client.send(b"hello")
            assert client.read_exactly(5) == b"hello"
            if self.ended.wait(0.02):
                break
        client.close()

    def websocket(self, _):
        while not self.ended.is_set():
            client = Client(self.web)
            assert client.ask("GET", "/ws", *ASK).status == 101
            self.count("websocket")
            self.echo(client)

    def session(self, _):
        while not self.ended.is_set():
            self.count("session")
            self.echo(Client(self.raw))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def stress(scene, seed, seconds):
    servers = [scene.server([serve]) for _ in range(4)]
    raw = [scene.server([raw_echo]) for _ in range(2)]
    weir = scene.weir(make_config(servers, workers=2, pools={"raw": {"servers": [raw[0].address]}},
                                  listeners={"raw": {"bind": listen_at_free_port(), "protocol": "tcp", "pool": "raw"}}))
    first = weir.config
    configurations = Configurations(seed, first, servers, raw)
    deadline, count = time.monotonic() + seconds, 0
    with Traffic(weir.bind_of("web"), weir.bind_of("raw")) as traffic:
        # However slow the machine: so many, too.
        while (time.monotonic() < deadline or count < COUNT_MIN) and not traffic.faults and weir.process.poll() is None:
            began = time.monotonic()
            weir.reload(configurations.make())
            count += 1
            time.sleep(max(0, 0.05 - (time.monotonic() - began)))
    assert weir.process.poll() is None, weir.log[-20000:]
    assert not traffic.faults, (traffic.faults, count, traffic.counts)
    assert {"a", "b", "m", "split", "up", "slow", "websocket", "session"} <= traffic.counts.keys(), traffic.counts
    weir.reload(first)
    weir.wait_retired()
    print(f"{count} configurations, {traffic.counts}")
    return weir


@pytest.mark.parametrize("seed", [1, 2])
def test_random_configurations_under_load(scene, seed):
    stress(scene, seed, 6)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_random_configurations_for_minutes(scene):
    stress(scene, random.SystemRandom().randrange(1 << 32), 600)
