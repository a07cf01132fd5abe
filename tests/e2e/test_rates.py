"""Rate limits: how many requests may come in a time, of a listener, a route and a pool. Rates of a few a day make a test
independent of how long it takes: only the burst passes."""
import json
import re
import subprocess
import threading
import time

import pytest

import http2
import message
from weir import run_command

THREE = {"requests": "3/d"}
PLACES = ["listener", "route", "pool"]


def at(place, rate):
    return {"listener": {"listener": {"rate": rate}},
            "route": {"listener": {"routes": [{"name": "all", "pool": "web", "rate": rate}]}},
            "pool": {"pool": {"rate": rate}}}[place]


def statuses(scene, weir, count, *fields, source="127.0.0.1", target="/"):
    client = scene.client(weir, source=source)
    answers = [client.ask("GET", target, *fields).status for _ in range(count)]
    client.close()
    return answers


@pytest.mark.parametrize("place", PLACES)
def test_what_is_over_the_rate_gets_429_and_says_when_to_come_again(scene, place):
    server = scene.server()
    weir = scene.proxy(server, **at(place, {"requests": "3/d", "burst": 2}))
    client = scene.client(weir)
    assert [client.ask().status for _ in range(2)] == [200, 200]
    answer = client.ask()
    assert answer.status == 429
    assert 28000 < int(answer.get("Retry-After")) <= 28800  # a day's third
    assert answer.get("RateLimit-Policy") == f'"{place}";q=3;w=86400'
    assert re.fullmatch(rf'"{place}";r=0;t=\d+', answer.get("RateLimit"))
    assert f"this {place} allows 3/d" in answer.text
    assert client.ask().status == 429  # the connection goes on
    assert len(server.requests) == 2
    record = weir.wait_records(2, status=429)[0]
    assert record["end"] == "rate_limited" and record["origin"] == "client" and record["is_local_reply"]
    name = {"listener": "web", "route": "web/all", "pool": "web"}[place]
    weir.wait_metric(2, "weir_rate_requests_total", place=place, limit=name, outcome="refused")
    weir.wait_metric(2, "weir_rate_requests_total", place=place, limit=name, outcome="passed")
    event = weir.wait_event("rate_limited")
    assert event["place"] == place and event["limit"] == name and event["client"] == "127.0.0.1"
    assert event["request_id"] in {record["request_id"] for record in weir.wait_records(2, status=429)}
    assert "trace_id" not in event


def test_each_client_has_an_account_of_its_own(scene):
    weir = scene.proxy(scene.server(), listener={"rate": THREE})
    assert statuses(scene, weir, 4) == [200, 200, 200, 429]
    assert statuses(scene, weir, 4, source="127.0.0.2") == [200, 200, 200, 429]


@pytest.mark.parametrize("key, same, other", [
    ("header:X-Key", ("X-Key", "a"), ("X-Key", "b")),
    ("cookie:id", ("Cookie", "x=1; id=7"), ("Cookie", "x=1; id=8")),
    ("{host} {header:X-Key}", ("X-Key", "a"), ("X-Key", "b")),
])
def test_a_key_may_be_anything_of_a_request(scene, key, same, other):
    weir = scene.proxy(scene.server(), listener={"rate": {**THREE, "key": key}})
    assert statuses(scene, weir, 2, same) == [200, 200]
    assert statuses(scene, weir, 2, same, source="127.0.0.2") == [200, 429]
    assert statuses(scene, weir, 1, other) == [200]


def test_without_its_key_a_request_is_its_clients(scene):
    weir = scene.proxy(scene.server(), listener={"rate": {**THREE, "key": "header:X-Key"}})
    assert statuses(scene, weir, 4) == [200, 200, 200, 429]
    assert statuses(scene, weir, 1, source="127.0.0.2") == [200]
    assert statuses(scene, weir, 1, ("X-Key", "a")) == [200]


def test_one_account_for_all(scene):
    weir = scene.proxy(scene.server(), listener={"rate": {**THREE, "key": "all"}})
    assert [statuses(scene, weir, 1, source=f"127.0.0.{n}")[0] for n in range(1, 6)] == [200, 200, 200, 429, 429]


def test_an_ipv6_network_is_one_client(scene):
    weir = scene.proxy(scene.server(), listener={"rate": THREE, "trust": ["127.0.0.0/8"]})
    of = [statuses(scene, weir, 1, ("X-Forwarded-For", address))[0] for address in
          ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::3", "2001:db8:0:1::4", "2001:db8:0:2::1"]]
    assert of == [200, 200, 200, 429, 200]


def test_the_listeners_rate_counts_also_what_no_route_takes(scene):
    weir = scene.proxy(scene.server(), listener={"rate": THREE, "routes": [{"name": "a", "path": "/a", "pool": "web"}]})
    assert statuses(scene, weir, 4, target="/b") == [404, 404, 404, 429]


def test_a_route_without_a_pool_has_a_rate_too(scene):
    weir = scene.proxy(scene.server(), listener={"routes": [
        {"name": "hello", "path": "/hello", "respond": "hello", "rate": THREE}, {"name": "rest", "pool": "web"}]})
    assert statuses(scene, weir, 4, target="/hello") == [200, 200, 200, 429]
    assert statuses(scene, weir, 4) == [200] * 4


def test_all_workers_count_together(scene):
    weir = scene.proxy(scene.server(), listener={"rate": {"requests": "50/d"}}, workers=4)
    answers = []

    def ask(source):
        for _ in range(10):
            answers.extend(statuses(scene, weir, 2))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] * 50 + [429] * 30


def test_what_is_held_back_comes_in_time(scene):
    weir = scene.proxy(scene.server(), listener={"rate": {"requests": "20/s", "burst": 1, "delay": "60s"}})
    began = time.monotonic()
    assert statuses(scene, weir, 5) == [200] * 5
    assert time.monotonic() - began >= 4 / 20 - 0.001
    assert any(record["is_delayed"] for record in weir.wait_records(5))
    assert weir.metric("weir_rate_requests_total", outcome="delayed") >= 1


def test_a_body_waits_with_its_request(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"rate": {"requests": "20/s", "burst": 1, "delay": "60s"}})
    client = scene.client(weir)
    assert client.ask().status == 200
    client.send(message.request("POST", "/", body=b"x" * 100000))
    assert client.read().status == 200
    server.wait_requests(2)
    assert server.requests[1].body == b"x" * 100000


def test_who_goes_away_while_held_back_is_forgotten(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"rate": {"requests": "1/m", "burst": 1, "delay": "60s"}})
    assert statuses(scene, weir, 1) == [200]
    client = scene.client(weir)
    client.send(message.request())
    weir.wait_live(exchanges=1)
    client.reset()
    weir.wait_live(exchanges=0)
    assert weir.wait_records(2)[0]["end"] == "client_abort"
    assert len(server.requests) == 1


def test_a_dry_limit_only_says_what_it_would_have_done(scene):
    weir = scene.proxy(scene.server(), listener={"rate": {**THREE, "dry": True}})
    assert statuses(scene, weir, 5) == [200] * 5
    weir.wait_metric(2, "weir_rate_requests_total", outcome="would_refuse")
    assert [record["is_over_rate"] for record in weir.wait_records(5)] == [True, True, False, False, False]
    assert weir.wait_event("rate_limited")["outcome"] == "would_refuse"


@pytest.mark.parametrize("tells, passed, refused", [("refused", False, True), ("all", True, True), ("nobody", False, False)])
def test_whom_it_tells(scene, tells, passed, refused):
    weir = scene.proxy(scene.server(), listener={"rate": {**THREE, "tells": tells}})
    client = scene.client(weir)
    answers = [client.ask() for _ in range(4)]
    assert [answer.has("RateLimit") for answer in answers] == [passed] * 3 + [refused]
    assert [answer.has("Retry-After") for answer in answers] == [False] * 3 + [True]
    if passed:
        assert [answer.get("RateLimit").split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]


def test_the_tightest_is_told_of(scene):
    weir = scene.proxy(scene.server(), listener={"rate": {"requests": "9/d", "tells": "all"}},
                       pool={"rate": {"requests": "2/d", "tells": "all"}})
    client = scene.client(weir)
    assert client.ask().get("RateLimit").startswith('"pool";r=1;')


def test_a_reload_lets_nobody_begin_anew(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"rate": THREE})
    assert statuses(scene, weir, 4) == [200, 200, 200, 429]
    config = json.loads(json.dumps(weir.config))
    config["listeners"]["web"]["timeouts"] = {"header": "7s"}
    weir.reload(config)
    assert statuses(scene, weir, 1) == [429]
    config["listeners"]["web"]["rate"] = {**THREE, "key": "header:X-Key"}  # another key is another account
    weir.reload(config)
    assert statuses(scene, weir, 4) == [200, 200, 200, 429]
    del config["listeners"]["web"]["rate"]
    weir.reload(config)
    assert statuses(scene, weir, 4) == [200] * 4
    weir.wait_retired()


def test_http2_streams_are_requests(scene):
    weir = scene.proxy(scene.server(), listener={"rate": THREE})
    client = http2.Http2(weir.address)
    streams = [client.request() for _ in range(5)]
    answers = [client.read(stream) for stream in streams]
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 429, 429]
    client.close()


def test_curl_waits_as_long_as_it_is_told(scene, tmp_path):
    """A real client that knows Retry-After comes again, and is served."""
    weir = scene.proxy(scene.server(), listener={"rate": {"requests": "1/s", "burst": 1}})
    url = "http://%s:%d/" % weir.address
    for _ in range(3):
        done = subprocess.run(["curl", "-s", "-o", str(tmp_path / "body"), "-w", "%{http_code}", "--retry", "20", url],
                              capture_output=True, text=True, timeout=60)
        assert done.stdout.endswith("200"), done
    assert weir.metric("weir_rate_requests_total", outcome="passed") == 3


def test_explain_says_what_a_limit_would_say(scene):
    weir = scene.proxy(scene.server(), listener={"rate": THREE}, pool={"rate": {"requests": "5/d", "dry": True}})

    def explain():
        return json.loads(weir.ask_admin("POST", "/api/v1/explain", body={"url": "/x"}).body)

    limits = explain()["limits"]
    assert [(limit["place"], limit["remaining"], limit["outcome"]) for limit in limits] == \
        [("listener", 2, "passed"), ("pool", 4, "passed")]
    assert statuses(scene, weir, 4) == [200, 200, 200, 429]
    told = explain()
    assert told["limits"][0]["outcome"] == "refused" and told["answer"]["status"] == 429
    assert told["answer"]["end"] == "rate_limited"
    assert statuses(scene, weir, 1) == [429]  # asking counts nothing


def test_a_tcp_listener_has_no_requests(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text("listeners: {db: {bind: ':1', protocol: tcp, pool: db, rate: 5/s}}\npools: {db: {servers: ['127.0.0.1:1']}}\n")
    done = run_command("check", "-c", str(path))
    assert done.returncode == 78 and "knows no requests" in done.stdout + done.stderr
