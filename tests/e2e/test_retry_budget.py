"""What servers get to do by retries and by hedges together, out of one budget: told by what the servers have seen themselves, with
those of HTTP/1, of HTTP/2, and of either as they say by ALPN."""
import json
import threading

import pytest

import broken
import message
from http2_server import Http2Server
from tls import Pki
from waiting import eventually

SHARE = 1.2  # of what clients ask for, with the budget that nobody has written
WARM = 150  # requests, so that the time after which another server is asked is known
HOLD_S = 0.2  # how long a server takes that is slow: longer than any hedge waits


class Mood:
    """How servers answer: well; each request late; or one of four late, and all with 503."""

    def __init__(self):
        self.is_slow = self.is_sick = False
        self.lock = threading.Lock()
        self.count = 0

    def next(self):
        """Whether this one is late, and its status."""
        with self.lock:
            self.count += 1
            if self.is_sick:
                return self.count % 4 == 0, 503
            return self.is_slow, 200


class Http1(Mood):
    def __init__(self, scene, directory):
        super().__init__()
        self.pool = {}
        self.servers = [scene.server([self.answer]) for _ in range(3)]

    def answer(self, connection):
        while True:
            broken.receive(connection)
            is_late, status = self.next()
            if is_late:
                connection.server.stopping.wait(HOLD_S)
            connection.send(message.response(status))

    def journal(self):
        return [request.target for server in self.servers for request in server.requests]


class Http2(Mood):
    tls = None

    def __init__(self, scene, directory):
        super().__init__()
        self.pool = {"protocol": "h2c"}
        self.prepare(directory)
        self.servers = [Http2Server(self.answer, tls=self.tls) for _ in range(3)]
        scene.servers += self.servers

    def prepare(self, directory):
        pass

    def answer(self, connection, stream):
        is_late, status = self.next()
        if not is_late:
            connection.respond(stream, b"ok", status)
            return
        threading.Timer(HOLD_S, self.answer_late, (connection, stream, status)).start()

    @staticmethod
    def answer_late(connection, stream, status):
        with connection.lock:
            if connection.is_closed or stream.reset is not None:
                return
            try:
                connection.respond(stream, b"ok", status)
                connection.flush()
            except OSError:
                pass  # it was closed in this moment

    def journal(self):
        return [stream.path for server in self.servers for stream in server.streams]


class Auto(Http2):
    def prepare(self, directory):
        pki = Pki(directory)
        pki.make("server", "127.0.0.1", names=["IP:127.0.0.1"])
        self.tls = pki.server_context("server")
        self.tls.set_alpn_protocols(["h2", "http/1.1"])
        self.pool = {"protocol": "auto", "tls": {"ca": pki.ca}}


def ask_side_by_side(scene, weir, clients, each):
    """Their statuses."""
    statuses = []

    def run(name):
        client = scene.client(weir)
        for number in range(each):
            statuses.append(client.ask("GET", f"/{name}/{number}").status)

    threads = [threading.Thread(target=run, args=(name,)) for name in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def hedge_time(weir):
    told = weir.ask_admin("POST", "/api/v1/explain", body={"url": "http://example.test/"})
    return json.loads(told.text)["retry"]["hedge"]["after_ms"]


@pytest.mark.parametrize("kind", [Http1, Http2, Auto], ids=["h1", "h2", "auto"])
def test_retries_and_hedges_together_never_make_more_than_a_fifth(scene, tmp_path, kind):
    mood = kind(scene, tmp_path)
    weir = scene.proxy(*mood.servers, build="release", workers=2, pool={
        "balance": "round_robin", "ejection": False,
        "retry": {"on": ["connect", "reset", 503], "attempts": 5, "hedge": {"percentile": 95, "at_least": "20ms"}},
        **mood.pool})
    client = scene.client(weir)
    asked = [client.ask("GET", f"/warm/{number}").status for number in range(WARM)]
    eventually(lambda: hedge_time(weir) is not None, "the percentile being known")

    # All are slow: hedges alone are paid for.
    mood.is_slow = True

    def has_hedged():
        asked.append(client.ask("GET", f"/slow/{len(asked)}").status)
        return weir.metric("weir_pool_hedges_total", pool="web") >= 1
    eventually(has_hedged, "a hedge")
    assert set(asked) == {200}
    assert len(mood.journal()) <= SHARE * len(asked)

    # All are sick, some slow as well: everybody would be asked for again, and many asked beside another.
    mood.is_sick = True
    denied = ask_side_by_side(scene, weir, 8, 40)
    assert set(denied) == {503}
    weir.wait_live(exchanges=0)
    asked += denied
    seen = mood.journal()
    assert len(asked) < len(seen) <= SHARE * len(asked)
    made = weir.metric("weir_pool_retries_total", pool="web", why="status")
    hedges = weir.metric("weir_pool_hedges_total", pool="web")
    assert made > 0 and hedges >= 1 and weir.metric("weir_pool_retries_denied_total", pool="web") > 0
    # A hedge that was broken off at once may not have been seen; nothing was seen that was not counted.
    assert made <= len(seen) - len(asked) <= made + hedges
