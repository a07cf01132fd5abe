"""Flight records: what is known of every exchange after it."""
import datetime
import re
import subprocess

import pytest

import broken
import message
from ports import reserve_port
from waiting import eventually


def test_a_record_tells_all_of_an_exchange(relay):
    client = relay.open(broken.receive, broken.send(message.response(201, body=b"x" * 1000, reason="Created")))
    client.send(message.request("PUT", "/path?query", ("X-Request-Id", "me-1"), body=b"y" * 500))
    client.read("PUT")
    record = relay.weir.exchange(request_id="me-1")
    assert re.fullmatch("[0-9a-f]{16}", record["id"])
    assert (record["method"], record["target"], record["protocol"]) == ("PUT", "/path?query", "HTTP/1.1")
    assert (record["status"], record["end"], record["origin"]) == (201, "ok", "none")
    assert (record["listener"], record["pool"]) == ("web", "web")
    assert (record["client"], record["client_port"]) == ("127.0.0.1", client.port)
    assert 500 <= record["bytes_in"] <= 1000 and 1000 <= record["bytes_out"] <= 1500
    attempt, = record["attempts"]
    assert (attempt["server"], attempt["status"], attempt["end"]) == (relay.server.address, 201, "ok")
    assert attempt["is_reused"] == relay.is_reused
    start = datetime.datetime.fromisoformat(record["start"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - start).total_seconds()) < 60
    phases = record["phases"]
    assert 0 <= phases["picked_ms"] <= phases["connected_ms"] <= phases["sent_ms"] <= phases["first_byte_ms"] \
        <= record["total_ms"] < 10000


def test_every_request_has_one_record(scene):
    weir = scene.proxy(scene.server(), workers=2)
    clients = [scene.client(weir) for _ in range(10)]
    for number in range(20):
        for client in clients:
            client.ask("GET", f"/{client.port}/{number}")
    records = weir.wait_records(200)
    assert len(records) == 200
    assert len({record["id"] for record in records}) == 200
    assert len({record["target"] for record in records}) == 200


def test_the_latest_comes_first(scene):
    weir = scene.proxy(scene.server())
    client = scene.client(weir)
    for number in range(5):
        client.ask("GET", f"/{number}")
    assert [record["target"] for record in weir.wait_records(5)] == ["/4", "/3", "/2", "/1", "/0"]
    assert [record["target"] for record in weir.exchanges(limit=2)] == ["/4", "/3"]


def test_records_can_be_filtered(scene):
    go = scene.server([broken.serve(lambda request: message.response(int(request.target[1:])))])
    weir = scene.proxy(go, listener={"routes": [{"name": "dead", "path": "/dead", "pool": "dead"},
                                                {"name": "rest", "pool": "web"}]},
                       pools={"dead": {"servers": [{"name": "gone", "address": f"127.0.0.1:{reserve_port()}"}]}})
    client = scene.client(weir)
    for target in ("/200", "/404", "/503", "/dead", "/200"):
        client.ask("GET", target, ("X-Request-Id", target[1:]))
    weir.wait_records(5)

    def targets(**filters):
        return sorted(record["target"] for record in weir.exchanges(**filters))

    assert targets(status=404) == ["/404"]
    assert targets(status=200) == ["/200", "/200"]
    assert targets(end="connect_refused") == ["/dead"]
    assert targets(end="ok") == ["/200", "/200", "/404", "/503"]
    assert targets(pool="dead") == ["/dead"]
    assert targets(pool="web", status=200) == ["/200", "/200"]
    assert targets(request_id="503") == ["/503"]
    assert targets(request_id="unknown") == []
    assert targets(end="ok", pool="dead") == []


@pytest.mark.parametrize("query", ["status=ok", "status=99999", "end=nonsense", "limit=0", "limit=-1", "limit=x",
                                   "limit=1000000", "sttus=200", "status=200&status=201", "pool=nonsense", "%zz"])
def test_a_filter_that_cannot_be_is_refused(scene, query):
    weir = scene.proxy(scene.server())
    response = weir.ask_admin("GET", f"/api/v1/exchanges?{query}")
    assert response.status == 400, response.text
    assert response.get("Content-Type") == "application/problem+json"


def test_a_record_is_found_by_its_id(scene):
    weir = scene.proxy(scene.server())
    scene.client(weir).ask("GET", "/here")
    record = weir.exchange()
    shown = weir.get(f"/api/v1/exchanges/{record['id']}")
    assert shown.pop("story")
    assert shown == record
    assert weir.ask_admin("GET", "/api/v1/exchanges/" + "0" * 16).status == 404
    assert weir.ask_admin("GET", "/api/v1/exchanges/nonsense").status in (400, 404)


def test_a_long_target_is_cut_and_says_so(scene):
    weir = scene.proxy(scene.server())
    scene.client(weir).ask("GET", "/" + "long" * 1000)
    record = weir.exchange()
    assert record["is_target_cut"] and "/longlong".startswith(record["target"][:9])


def test_old_records_make_way_for_new_ones(scene):
    weir = scene.proxy(scene.nginx(), build="release")
    host, port = weir.address
    subprocess.run(["ab", "-q", "-k", "-n", "6000", "-c", "20", f"http://{host}:{port}/"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: weir.metric("weir_exchanges_total", end="ok") == 6000, "all requests counted")
    records = weir.exchanges(limit=1000)
    assert len(records) == 1000
    assert len({record["id"] for record in records}) == 1000


def test_requests_that_are_not_read_have_records_too(scene):
    weir = scene.proxy(scene.server())
    client = scene.client(weir)
    client.send(b"nonsense\r\n\r\n")
    client.read()
    record = weir.exchange(end="bad_request")
    assert (record["status"], record["origin"], record["attempts"]) == (400, "client", [])
    assert record["client_port"] == client.port


def test_totals_agree_with_records(scene):
    weir = scene.proxy(scene.server())
    client = scene.client(weir)
    for _ in range(7):
        client.ask()
    weir.wait_records(7)
    totals = weir.stats()["totals"]
    assert (totals["requests"], totals["connections"], totals["ends"]) == (7, 1, {"ok": 7})
    listener, = weir.get("/api/v1/listeners")["listeners"]
    assert (listener["exchanges"], listener["accepted"]) == (7, 1)
