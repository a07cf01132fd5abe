"""Every fault has one end reason and one origin, and is told to the client in a sentence to act on: which pool and
server, in which phase, after how long, under which request id. The record and the counters say the same."""
import itertools
import json
import re
import threading

import pytest

import broken
import message
from ports import reserve_port
from standstill import standing_still
from waiting import eventually

SERVER_FAULTS = {"connect_refused", "connect_timeout", "connect_failed", "send_failed", "send_timeout",
                 "first_byte_timeout", "response_timeout", "server_closed", "server_reset", "response_cut",
                 "bad_response", "bad_response_body", "response_head_too_large", "no_server"}
PHASES = {"connect_refused": "connect", "connect_timeout": "connect", "connect_failed": "connect",
          "first_byte_timeout": "waiting|answer", "server_closed": "waiting|answer", "server_reset": "waiting|answer",
          "bad_response": "waiting|answer|response", "send_timeout": "sen[dt]|taking"}
IDS = itertools.count()


class Fault:
    """How to make one fault happen: the test's part is to compare what comes of it."""

    def __init__(self, end, status, origin, set_up):
        self.end, self.status, self.origin, self.set_up = end, status, origin, set_up


def send(client, *fields, method="GET", target="/", body=None):
    client.send(message.request(method, target, *fields, body=body))


# Each sets weir up and returns (weir, client that has sent what leads to the fault).


def refuse_connection(scene, fields):
    weir = scene.proxy({"name": "one", "address": f"127.0.0.1:{reserve_port()}"})
    client = scene.client(weir)
    send(client, *fields)
    return weir, client


def let_connection_wait(scene, fields):
    weir = scene.proxy({"name": "one", "address": scene.full_backlog().address},
                       pool={"timeouts": {"connect": "150ms"}})
    client = scene.client(weir)
    send(client, *fields)
    return weir, client


def name_a_socket_that_is_not_there(scene, fields):
    weir = scene.proxy({"name": "one", "address": "unix:/nowhere/server.sock"})
    client = scene.client(weir)
    send(client, *fields)
    return weir, client


def behind(*steps, pool=None, listener=None, method="GET", body=None):
    def set_up(scene, fields):
        server = scene.server(list(steps))
        weir = scene.proxy({"name": "one", "address": server.address}, pool=pool, listener=listener)
        client = scene.client(weir)
        send(client, *fields, method=method, body=body)
        return weir, client
    return set_up


def stop_taking(scene, fields):
    server = scene.server([broken.stall], receive_buffer=4096)
    weir = scene.proxy({"name": "one", "address": server.address}, pool={"timeouts": {"response": "300ms"}})
    client = scene.client(weir)
    client.send(message.request("POST", "/", ("Content-Length", str(64 << 20)), *fields))
    client.sock.setblocking(False)
    sent = 0
    try:
        while sent < 32 << 20:
            sent += client.sock.send(b"x" * 65536)
    except (BlockingIOError, BrokenPipeError):
        pass
    client.sock.settimeout(client.limit_s)
    return weir, client


def break_off_while_it_sends(scene, fields):
    """It learns of the body and of the broken connection in one turn, of the body first."""
    may_break, has_broken = threading.Event(), threading.Event()

    def break_off(connection):
        connection.reset()
        has_broken.set()
    server = scene.server([broken.receive_head, broken.wait_for(may_break), break_off])
    weir = scene.proxy({"name": "one", "address": server.address})
    client = scene.client(weir)
    client.send(message.request("POST", "/", ("Content-Length", "10"), *fields))
    server.wait_requests(1)
    with standing_still(weir.pid):
        client.send(b"0123456789")
        may_break.set()
        assert has_broken.wait(client.limit_s)
    return weir, client


def send_raw(data, listener=None):
    def set_up(scene, fields):
        weir = scene.proxy(scene.server(), listener=listener)
        client = scene.client(weir)
        client.send(data)
        return weir, client
    return set_up


def stall_head(scene, fields):
    weir = scene.proxy(scene.server(), listener={"timeouts": {"header": "200ms"}})
    client = scene.client(weir)
    client.send(b"GET / HTTP/1.1\r\nHost: exa")
    return weir, client


def stall_body(scene, fields):
    weir = scene.proxy(scene.server(), listener={"timeouts": {"body": "200ms"}})
    client = scene.client(weir)
    client.send(message.request("POST", "/", ("Content-Length", "10"), *fields) + b"half")
    return weir, client


def send_too_much(scene, fields):
    weir = scene.proxy(scene.server(), listener={"limits": {"body": 10}})
    client = scene.client(weir)
    send(client, *fields, method="POST", body=b"x" * 11)
    return weir, client


def miss_every_route(scene, fields):
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "only", "path": "/only", "pool": "web"}]})
    client = scene.client(weir)
    send(client, *fields)
    return weir, client


def be_undecidable(scene, fields):
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "hard", "path_regex": "^/(a+)+[^!]$", "pool": "web"},
                                                            {"name": "rest", "pool": "web"}]})
    client = scene.client(weir)
    send(client, *fields, target="/" + "a" * 60 + "!")
    return weir, client


def be_denied(scene, fields):
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "closed", "pool": "web",
                                                             "gate": {"deny": ["127.0.0.0/8"]}}]})
    client = scene.client(weir)
    send(client, *fields)
    return weir, client


def take_every_server_out(scene, fields):
    weir = scene.proxy({"name": "one", "address": scene.server().address})
    weir.patch_server("web", "one", admin="maintenance")
    client = scene.client(weir)
    send(client, *fields)
    return weir, client


def fill_the_queue(scene, fields, timeout="10s", length=1):
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy({"name": "one", "address": server.address, "max_connections": 1},
                       pool={"queue": {"length": length, "order": "first_come"}, "timeouts": {"queue": timeout}})
    busy = scene.client(weir)
    send(busy)
    server.wait_requests(1)
    for number in range(length if timeout == "10s" else 0):
        waiting = scene.client(weir)
        send(waiting)
        weir.wait_live(exchanges=2 + number)
    client = scene.client(weir)
    send(client, *fields)
    return weir, client


def wait_too_long(scene, fields):
    return fill_the_queue(scene, fields, timeout="200ms")


def go_round_in_circles(scene, fields):
    address = f"127.0.0.1:{reserve_port()}"
    weir = scene.proxy({"name": "one", "address": address}, listener={"bind": address},
                       pool={"timeouts": {"keep_alive": "300ms"}})  # it is its own idle client
    client = scene.client(weir)
    send(client, *fields)
    return weir, client


POST = {"method": "POST", "body": b"x"}  # which is never tried again
FAULTS = [
    Fault("connect_refused", 502, "server", refuse_connection),
    Fault("connect_timeout", 504, "server", let_connection_wait),
    Fault("connect_failed", 502, "server", name_a_socket_that_is_not_there),
    Fault("server_closed", 502, "server", behind(broken.receive, broken.close, **POST)),
    Fault("server_reset", 502, "server", behind(broken.receive, broken.reset, **POST)),
    Fault("first_byte_timeout", 504, "server", behind(broken.receive, broken.wait_end,
                                                      pool={"timeouts": {"first_byte": "200ms"}})),
    Fault("send_failed", 502, "server", break_off_while_it_sends),
    Fault("send_timeout", 504, "server", stop_taking),
    Fault("bad_response", 502, "server", behind(broken.receive, broken.send(b"nonsense\r\n\r\n"), broken.wait_end)),
    Fault("response_head_too_large", 502, "server",
          behind(broken.receive, broken.send(message.response(200, ("X", "x" * 70000))), broken.wait_end)),
    Fault("total_timeout", 504, "weir", behind(broken.receive, broken.wait_end,
                                               pool={"timeouts": {"total": "200ms"}})),
    Fault("no_server", 503, "server", take_every_server_out),
    Fault("queue_full", 503, "weir", fill_the_queue),
    Fault("queue_timeout", 503, "weir", wait_too_long),
    Fault("no_route", 404, "config", miss_every_route),
    Fault("route_undecided", 414, "config", be_undecidable),
    Fault("loop_detected", 508, "config", go_round_in_circles),
    Fault("gate_denied", 403, "client", be_denied),
    Fault("body_too_large", 413, "client", send_too_much),
    Fault("body_timeout", 408, "client", stall_body),
]
UNREAD = [  # there is no head to read a request id or Accept from
    Fault("bad_request", 400, "client", send_raw(b"nonsense\r\n\r\n")),
    Fault("bad_request_body", 400, "client",
          send_raw(message.request("POST", "/", ("Transfer-Encoding", "chunked")) + b"nonsense\r\n")),
    Fault("head_too_large", 431, "client", send_raw(message.request("GET", "/", ("X", "x" * 70000)))),
    Fault("target_too_long", 414, "client", send_raw(b"GET /" + b"x" * 70000)),
    Fault("version_not_supported", 505, "client", send_raw(b"GET / HTTP/2.0\r\n\r\n")),
    Fault("coding_not_supported", 501, "client",
          send_raw(message.request("POST", "/", ("Transfer-Encoding", "gzip, chunked")))),
    Fault("expectation_failed", 417, "client", send_raw(message.request("POST", "/", ("Expect", "more"), body=b"x"))),
    Fault("method_not_allowed", 405, "client", send_raw(b"CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n\r\n")),
    Fault("header_timeout", 408, "client", stall_head),
]


def named(faults):
    return pytest.mark.parametrize("fault", faults, ids=lambda fault: fault.end)


def check_record(weir, fault, request_id):
    record = weir.exchange(request_id=request_id, end=fault.end)
    assert (record["end"], record["origin"], record["status"]) == (fault.end, fault.origin, fault.status)
    assert weir.exchanges(status=fault.status, end=fault.end)
    assert weir.get(f"/api/v1/exchanges/{record['id']}")["request_id"] == request_id
    eventually(lambda: weir.metric("weir_exchanges_total", end=fault.end) >= 1, "the counter of that end")
    return record


@named(FAULTS)
def test_a_fault_is_a_sentence(scene, fault):
    request_id = f"fault-{next(IDS)}"
    weir, client = fault.set_up(scene, [("X-Request-Id", request_id)])
    response = client.read()
    assert response.status == fault.status, response.text
    assert response.get("Content-Type") == "text/plain; charset=utf-8"
    assert request_id in response.text
    assert fault.end in response.text
    assert re.search(r"[A-Z][^.\n]{15,}\.", response.text), response.text
    if fault.end in SERVER_FAULTS - {"no_server"}:
        assert '"one"' in response.text and '"web"' in response.text
        assert re.search(r"[0-9.]+ m?s\b", response.text), response.text
    if fault.end in PHASES:
        assert re.search(PHASES[fault.end], response.text), response.text
    if fault.end in ("no_server", "queue_full", "queue_timeout"):
        assert "web" in response.text
    check_record(weir, fault, request_id)


@named(FAULTS)
def test_a_client_that_prefers_json_gets_a_problem(scene, fault):
    request_id = f"fault-{next(IDS)}"
    weir, client = fault.set_up(scene, [("X-Request-Id", request_id), ("Accept", "text/html;q=0.1, application/json")])
    response = client.read()
    assert response.status == fault.status
    assert response.get("Content-Type") == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == fault.status
    assert problem["title"] and len(problem["detail"]) > 20
    assert (problem["end"], problem["origin"], problem["request_id"]) == (fault.end, fault.origin, request_id)
    if fault.end in SERVER_FAULTS - {"no_server"}:
        assert (problem["pool"], problem["server"]) == ("web", "one")
    record = check_record(weir, fault, request_id)
    assert problem.get("id", record["id"]) == record["id"]


@named(UNREAD)
def test_a_fault_before_a_request_is_known_is_a_sentence_too(scene, fault):
    weir, client = fault.set_up(scene, [])
    response = client.read()
    assert response.status == fault.status, response.text
    assert response.get("Content-Type") == "text/plain; charset=utf-8"
    record = weir.exchange(end=fault.end)
    assert record["request_id"] in response.text
    assert len(record["request_id"]) >= 16
    check_record(weir, fault, record["request_id"])


@named([fault for fault in FAULTS if fault.status != 413 and fault.end not in ("send_timeout", "body_timeout")])
def test_after_a_fault_the_clients_connection_goes_on(scene, fault):
    weir, client = fault.set_up(scene, [])
    response = client.read()
    assert "close" not in response.options()
    client.send(message.request("GET", "/again"))
    assert client.read().status in (fault.status, 502, 503, 504, 200)


@pytest.mark.parametrize("accept, is_json", [
    (None, False), ("*/*", False), ("text/html,application/xhtml+xml,*/*;q=0.8", False), ("application/json", True),
    ("application/problem+json", True), ("text/plain, application/json", False), ("APPLICATION/JSON", True),
    ("application/json;q=0.5, text/html;q=0.9", False), ("application/json;q=0", False),
    ("text/html;q=0.2, application/json;q=0.9", True), ("application/json;charset=utf-8", True), (",,;;q=", False),
])
def test_the_kind_of_answer_follows_accept(scene, accept, is_json):
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "only", "path": "/only", "pool": "web"}]})
    response = scene.client(weir).ask("GET", "/", *([("Accept", accept)] if accept else []))
    assert (response.get("Content-Type") == "application/problem+json") == is_json


def test_a_fault_answers_head_without_a_body(scene):
    weir = scene.proxy(f"127.0.0.1:{reserve_port()}")
    client = scene.client(weir)
    response = client.ask("HEAD")
    assert response.status == 502
    assert int(response.get("Content-Length")) > 50
    assert client.ask("HEAD").status == 502


def test_a_fault_does_not_echo_what_the_client_sent(scene):
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "only", "path": "/only", "pool": "web"}]})
    response = scene.client(weir).ask("GET", "/<script>", ("Accept", "application/json"),
                                      ("X-Request-Id", "<script>"), host="example.test")
    assert "<script>" not in response.text


def test_a_fault_is_not_to_be_cached_and_is_dated(scene):
    response = scene.client(scene.proxy(f"127.0.0.1:{reserve_port()}")).ask()
    assert response.get("Cache-Control") == "no-store"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", response.get("Date"))


# Once bytes of the response have gone out


CUTS = {
    "response_cut": [broken.send(message.response(200, ("Content-Length", "100"), body=None) + b"half"), broken.close],
    "server_reset": [broken.send(message.response(200, ("Content-Length", "100"), body=None) + b"half"), broken.reset],
    "response_timeout": [broken.send(message.response(200, ("Content-Length", "100"), body=None) + b"half"),
                         broken.wait_end],
    "bad_response_body": [broken.send(message.response(200, ("Transfer-Encoding", "chunked"), body=None)
                                      + b"4\r\nhalf\r\n"), broken.receive_bytes(0), broken.send(b"nonsense\r\n"),
                          broken.wait_end],
}


@pytest.mark.parametrize("end", CUTS)
def test_a_response_that_broke_off_looks_it(relay, end):
    go = threading.Event()
    steps = [broken.receive, CUTS[end][0], broken.wait_for(go), *CUTS[end][1:]]
    # On a busy machine the others may take longer than the one that waits for it.
    client = relay.open(*steps, pool={"timeouts": {"response": "300ms" if end == "response_timeout" else "60s"}})
    client.send(message.request())
    head = client.read_head()
    assert head.status == 200
    go.set()
    client.buffer[:0] = head.raw_head
    assert client.read_cut().body in (b"half", b"")
    record = relay.weir.exchange(end=end)
    assert (record["status"], record["origin"]) == (200, "server")
    relay.weir.wait_metric(1, "weir_exchanges_total", end=end)


def test_a_client_that_goes_away_is_recorded_as_such(relay):
    client = relay.open(broken.receive, broken.wait_end)
    client.send(message.request("GET", "/gone"))
    relay.wait_requests()
    client.reset()
    record = relay.weir.exchange(end="client_abort")
    assert (record["origin"], record["target"]) == ("client", "/gone")
    relay.server.wait_end_of(0)


def test_a_client_that_stops_reading_is_recorded_as_such(relay):
    client = relay.open(broken.receive, broken.send(message.response(body=bytes(16 << 20))), broken.wait_end,
                        listener={"timeouts": {"write": "300ms"}})
    client.send(message.request())
    record = relay.weir.exchange(end="write_timeout")
    assert record["origin"] == "client"
    client.read_cut()
