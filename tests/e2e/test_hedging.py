"""Another server is asked beside one that takes longer than most do: what of it clients and servers see, with servers that
speak HTTP/1 and HTTP/2. A slow server here is one that does not answer at all: whatever is answered came from another."""
import json
import threading

import h2.errors
import pytest

import broken
import message
from http2_server import Http2Server
from waiting import eventually
from weir import run_command

ENOUGH = 30  # answers of a server, for its percentile to be known
PATIENCE = "3s"  # with who hangs; the others answer within it on a busy machine, too
RETRY = {"attempts": 3, "on": ["connect", "reset"], "hedge": {"percentile": 95, "at_least": "20ms"},
         "budget": {"share": 100, "reserve": 10}}


class Slow:
    """A server that stops answering when told to."""

    def __init__(self):
        self.hangs = threading.Event()
        self.ended = []

    def h1(self, connection):
        while True:
            broken.receive(connection)
            if self.hangs.is_set():
                broken.wait_end(connection)
                self.ended.append(connection.end)
                raise broken.Stop
            connection.send(message.response(body=b"slow"))

    def h2(self, connection, stream):
        if not self.hangs.is_set():
            connection.respond(stream, b"slow")


class Trio:
    """One slow server of three."""

    def __init__(self, scene, kind, pool=None, **config):
        self.kind, self.slow = kind, Slow()
        if kind == "h1":
            answer = [broken.serve(lambda request: message.response(body=b"fast"))]
            self.servers = [scene.server([self.slow.h1]), scene.server(answer), scene.server(answer)]
        else:
            self.servers = [Http2Server(self.slow.h2)] + [
                Http2Server(lambda connection, stream: connection.respond(stream, b"fast")) for _ in range(2)]
            scene.servers += self.servers
        protocol = {"protocol": "h2c"} if kind == "h2" else {}
        self.weir = scene.proxy(*self.servers, pool={"balance": "round_robin", "retry": RETRY, **protocol, **(pool or {})},
                                **config)
        self.client = scene.client(self.weir)

    def asked(self, server):
        return len(server.requests if self.kind == "h1" else server.streams)

    def warm(self):
        for _ in range(3 * ENOUGH):
            assert self.client.ask("GET", "/warm").status == 200
        eventually(lambda: explain(self.weir)["hedge"]["after_ms"] is not None, "its percentile is known")
        assert explain(self.weir)["hedge"]["may"] is True
        self.slow.hangs.set()
        return self.asked(self.servers[0])


def explain(weir, **asked):
    told = weir.ask_admin("POST", "/api/v1/explain", body={"url": "http://example.test/", **asked})
    assert told.status == 200, told.text
    return json.loads(told.text)["retry"]


@pytest.fixture(params=["h1", "h2"])
def kind(request):
    return request.param


def test_who_would_wait_for_a_slow_server_is_answered_by_a_fast_one(scene, kind):
    trio = Trio(scene, kind)
    before = trio.warm()
    answers = [trio.client.ask() for _ in range(30)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"fast")] * 30
    at_slow = trio.asked(trio.servers[0]) - before
    assert at_slow >= 5
    records = trio.weir.wait_records(30 + 3 * ENOUGH)
    slow = next(server["name"] for server in trio.weir.servers().values() if server["address"] == trio.servers[0].address)
    hedged = [record for record in records if record["attempt_count"] > 1]
    for record in hedged:
        assert record["attempt_count"] == 2
        assert [attempt["is_hedge"] for attempt in record["attempts"]] == [False, True]
        ends = {attempt["end"]: attempt["server"] for attempt in record["attempts"]}
        assert set(ends) == {"ok", "outrun"}
        assert ends["ok"] != slow or record["target"] == "/warm"  # a busy machine may have been slow then already
    # Each of those that the slow one had was broken off there, and answered elsewhere; some before it had read them.
    assert sum(attempt["server"] == slow and attempt["end"] == "outrun"
               for record in hedged for attempt in record["attempts"]) >= at_slow
    won = sum(record["attempts"][1]["end"] == "ok" for record in hedged)
    assert won >= 1
    trio.weir.wait_metric(len(hedged), "weir_pool_hedges_total", pool="web")
    assert trio.weir.metric("weir_pool_hedges_won_total", pool="web") == won
    counts = trio.weir.get("/api/v1/pools/web")["retries"]["hedges"]
    assert counts == {"made": len(hedged), "won": won, "denied": 0}
    # Slow it was: no failure.
    assert all(server["state"] == "up" for server in trio.weir.servers().values())
    assert trio.weir.metric("weir_server_failures_total", pool="web") == 0


def test_what_is_broken_off_ends_at_the_slow_server(scene, kind):
    trio = Trio(scene, kind)
    before = trio.warm()
    for _ in range(9):
        assert trio.client.ask().body == b"fast"
    at_slow = trio.asked(trio.servers[0]) - before
    if kind == "h1":
        eventually(lambda: len(trio.slow.ended) == at_slow, "each connection is closed")
    else:
        late = trio.servers[0].streams[before:]
        eventually(lambda: all(stream.reset == h2.errors.ErrorCodes.CANCEL for stream in late), "each stream is reset")
        assert not any(connection.is_closed for connection in trio.servers[0].connections)
    assert at_slow >= 1


def test_a_body_goes_to_both_whole(scene, kind):
    trio = Trio(scene, kind)
    before = trio.warm()
    body = bytes(range(256)) * 60
    for number in range(9):
        assert trio.client.ask("PUT", f"/{number}", body=body).body == b"fast"
    assert trio.asked(trio.servers[0]) - before >= 1
    if kind == "h1":
        bodies = [request.body for server in trio.servers for request in server.requests if request.method == "PUT"]
    else:
        bodies = [bytes(stream.body) for server in trio.servers for stream in server.streams
                  if stream.headers[":method"] == "PUT"]
    assert len(bodies) >= 10 and set(bodies) == {body}


def test_what_may_have_been_acted_on_goes_to_nobody_else(scene, kind):
    trio = Trio(scene, kind, pool={"timeouts": {"first_byte": PATIENCE}, "ejection": False})
    trio.warm()
    assert explain(trio.weir, method="POST")["hedge"]["may"] is False
    assert "method" in explain(trio.weir, method="POST")["hedge"]["why_not"]
    statuses = [trio.client.ask("POST", f"/{number}", body=b"x").status for number in range(6)]
    assert sorted(set(statuses)) == [200, 504]
    records = trio.weir.wait_records(6 + 3 * ENOUGH)
    assert all(record["attempt_count"] == 1 for record in records if record["method"] == "POST")
    if kind == "h1":
        targets = [request.target for server in trio.servers for request in server.requests if request.method == "POST"]
    else:
        targets = [stream.path for server in trio.servers for stream in server.streams
                   if stream.headers[":method"] == "POST"]
    assert sorted(targets) == [f"/{number}" for number in range(6)]


def test_a_budget_that_is_used_up_asks_nobody_else(scene):
    trio = Trio(scene, "h1", pool={"retry": {**RETRY, "budget": {"share": 1, "reserve": 0}, "per_try": "off"},
                                   "timeouts": {"first_byte": PATIENCE}, "ejection": False})
    trio.warm()
    statuses = [trio.client.ask().status for _ in range(9)]
    assert 504 in statuses
    denied = [record for record in trio.weir.wait_records(9 + 3 * ENOUGH) if record["is_hedge_denied"]]
    assert denied and all(record["attempt_count"] == 1 for record in denied)
    made = trio.weir.metric("weir_pool_hedges_total", pool="web")
    assert made <= (9 + 3 * ENOUGH) / 100 and trio.weir.metric("weir_pool_hedges_denied_total", pool="web") == len(denied)


def test_a_connection_that_does_not_open_is_not_waited_for(scene):
    good = scene.server([broken.serve(lambda request: message.response(body=b"fast"))])
    weir = scene.proxy(scene.full_backlog(), good, pool={"balance": "round_robin", "retry": RETRY, "ejection": False,
                                                         "timeouts": {"connect": "60s"}})
    far = next(server for server in weir.servers().values() if server["address"] != good.address)
    weir.patch_server("web", far["name"], weight=0)
    client = scene.client(weir)
    for _ in range(ENOUGH):
        assert client.ask().body == b"fast"
    eventually(lambda: explain(weir)["hedge"]["after_ms"] is not None, "its percentile is known")
    weir.patch_server("web", far["name"], weight=1)
    assert [client.ask().body for _ in range(6)] == [b"fast"] * 6
    records = [record for record in weir.wait_records(6 + ENOUGH) if record["attempt_count"] == 2]
    assert any([attempt["end"] for attempt in record["attempts"]] == ["outrun", "ok"] for record in records)


def test_why_tells_who_was_asked_beside_whom(scene):
    trio = Trio(scene, "h1")
    trio.warm()
    for _ in range(6):
        trio.client.ask()
    won = next(record for record in trio.weir.wait_records(6 + 3 * ENOUGH)
               if [attempt["end"] for attempt in record["attempts"]] == ["outrun", "ok"])
    done = run_command("why", "--admin", "%s:%d" % trio.weir.admin_address, won["id"])
    lines = [line for line in done.stdout.splitlines() if "Attempt " in line]
    assert len(lines) == 2, done.stdout
    assert "and was broken off after" in lines[0] and "as another had answered" in lines[0]
    assert "beside the one before it, which took long" in lines[1] and "it answered 200" in lines[1]


def test_explain_says_whether_another_would_be_asked(scene):
    trio = Trio(scene, "h1")
    told = explain(trio.weir)["hedge"]
    assert told["may"] is False and told["after_ms"] is None and "too few answers" in told["why_not"]
    trio.warm()
    told = explain(trio.weir)["hedge"]
    assert told["after_ms"] >= 20 and told["why_not"] is None
    assert (told["percentile"], told["at_least_ms"]) == (95, 20)


def test_a_route_may_do_without(scene):
    trio = Trio(scene, "h1", pool={"timeouts": {"first_byte": PATIENCE}, "ejection": False},
                listener={"routes": [{"name": "alone", "path_prefix": "/alone", "pool": "web", "retry": {"attempts": 1}},
                                     {"name": "rest", "pool": "web"}]})
    trio.warm()
    statuses = [trio.client.ask("GET", "/alone").status for _ in range(3)]
    assert sorted(statuses) == [200, 200, 504]
    assert explain(trio.weir, url="http://example.test/alone")["hedge"] is None


@pytest.mark.parametrize("pool, words", [
    ({"retry": {"attempts": 1, "hedge": {}}}, "only one is allowed"),
    ({"retry": {"hedge": {"percentile": 100}}}, "99"),
    ({"retry": {"hedge": {"at_least": "0ms"}}}, "at_least"),
    ({"kind": "egress", "servers": ["127.0.0.1"], "retry": {"hedge": {}}}, "no other to ask"),
])
def test_what_cannot_be_is_refused_with_its_place(tmp_path, pool, words):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:18080", "pool": "web"}},
                                "pools": {"web": {"servers": ["127.0.0.1:18081"], **pool}}}))
    done = run_command("check", "-c", str(path))
    assert done.returncode == 78 and words in done.stderr, done.stderr
