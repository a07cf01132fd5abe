"""Traces: which one a request belongs to, what servers are told of it, and the spans that a collector gets."""
import re
import threading
import time

import pytest

import broken
import message
from collector import Collector
from ports import reserve_port
from prometheus import Prometheus
from waiting import eventually

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UPGRADED = message.response(101, ("Connection", "Upgrade"), ("Upgrade", "websocket"), body=None, reason="Switching Protocols")
PARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-0([01])")


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


def start(scene, collector, *servers, **config):
    """weir with a trace of every request, unless said otherwise."""
    tracing = {"endpoint": getattr(collector, "endpoint", collector), "sample": 1, **config.pop("tracing", {})}
    return scene.proxy(*servers, tracing=tracing, **config)


class Echo:
    """A server, and what it was told in the field traceparent."""

    def __init__(self, scene, status=200):
        self.told = []
        self.address = scene.server([broken.serve(self.answer)]).address
        self.status = status

    def answer(self, request):
        self.told.append((request.all("traceparent"), request.all("tracestate")))
        return message.response(self.status)


def parent_of(told):
    (field,), _ = told
    return PARENT.fullmatch(field).groups()


def test_lines_of_the_log_about_a_request_name_its_trace(scene, collector):
    """Which one it is part of, be it begun here or elsewhere; sampled or not."""
    weir = start(scene, collector, scene.server(), tracing={"sample": 0}, listener={"rate": {"requests": "1/d", "burst": 1}})
    client = scene.client(weir)
    assert client.ask().status == 200
    assert client.ask("GET", "/", ("X-Request-Id", "mine"), ("traceparent", f"00-{TRACE}-{SPAN}-00")).status == 429
    event = weir.wait_event("rate_limited")
    assert (event["request_id"], event["trace_id"]) == ("mine", TRACE)


OPENMETRICS = "Accept", "application/openmetrics-text; version=1.0.0"
EXEMPLAR = re.compile(r'(weir_\w+_seconds)_bucket\{(.*)le="([^"]+)"\} \d+ # \{trace_id="([0-9a-f]{32})"\} (\S+) (\d+\.\d{3})')


def exemplars_of(weir):
    """[(family, labels, bound, trace, seconds, time)]"""
    text = weir.ask_admin("GET", "/metrics", OPENMETRICS).text
    found = [EXEMPLAR.fullmatch(line) for line in text.splitlines() if " # " in line and not line.startswith("#")]
    assert all(found), text
    return [(name, labels, float(bound), trace, float(seconds), float(at)) for name, labels, bound, trace, seconds, at in
            (match.groups() for match in found)]


def test_histograms_have_the_traces_that_were_sent_as_exemplars(scene, collector):
    weir = start(scene, collector, {"name": "one", "address": scene.server().address})
    client = scene.client(weir)
    assert client.ask().status == 200
    assert client.ask("GET", "/", ("traceparent", f"00-{TRACE}-{SPAN}-01")).status == 200
    sent = {span["trace"] for span in collector.wait(2, kind=2)}
    assert TRACE in sent
    found = exemplars_of(weir)
    assert {name for name, *_ in found} == {"weir_exchange_duration_seconds", "weir_route_duration_seconds",
                                            "weir_server_first_byte_seconds"}
    assert {trace for _, _, _, trace, _, _ in found} <= sent
    assert all(0 <= seconds <= bound for _, _, bound, _, seconds, _ in found)
    assert len({(name, labels, bound) for name, labels, bound, *_ in found}) == len(found)  # one a bucket
    assert " # {" not in weir.ask_admin("GET", "/metrics").text  # Prometheus's own format has none


def test_what_is_not_sent_is_no_exemplar(scene, collector):
    """Nobody could look it up."""
    weir = start(scene, collector, scene.server(), tracing={"sample": 0})
    assert scene.client(weir).ask("GET", "/", ("traceparent", f"00-{TRACE}-{SPAN}-01")).status == 200
    weir.wait_records(1)
    assert exemplars_of(weir) == []


def test_prometheus_stores_the_exemplars(scene, collector, tmp_path):
    server = scene.server()
    weir = start(scene, collector, {"name": "one", "address": server.address})
    prometheus = Prometheus(tmp_path, "%s:%d" % weir.admin_address)
    try:
        client = scene.client(weir)

        def found():
            """Of one exchange more: a worker leaves an exemplar out while the others are being read."""
            assert client.ask("GET", "/", ("traceparent", f"00-{TRACE}-{SPAN}-00")).status == 200
            told = prometheus.exemplars('{__name__=~"weir_.*_seconds_bucket"}', time.time() - 3600, time.time() + 60)
            return told if len({labels["__name__"] for labels, _ in told}) >= 3 else None
        told = eventually(found, "an exemplar of each kind")
        eventually(lambda: prometheus.scrape_error() == "", lambda: f"nothing to complain of: {prometheus.scrape_error()}")
        by_name = {labels["__name__"]: (labels, exemplar) for labels, exemplar in told}
        assert set(by_name) == {f"weir_{what}_seconds_bucket" for what in
                                ("exchange_duration", "route_duration", "server_first_byte")}
        assert {exemplar["labels"]["trace_id"] for _, exemplar in told} == {TRACE}
        labels, exemplar = by_name["weir_exchange_duration_seconds_bucket"]
        total_ms = pytest.approx(float(exemplar["value"]) * 1000)
        eventually(lambda: any(record["total_ms"] == total_ms for record in weir.exchanges(limit=1000)), f"a record of {total_ms}")
        assert float(exemplar["value"]) <= float(labels["le"])
        assert by_name["weir_server_first_byte_seconds_bucket"][0]["server"] == "one"
    finally:
        prometheus.close()


def test_a_trace_is_begun_and_told(scene, collector):
    echo = Echo(scene)
    weir = start(scene, collector, {"name": "one", "address": echo.address})
    assert scene.client(weir).ask("GET", "/path?secret=1").status == 200
    trace, span, sampled = parent_of(echo.told[0])
    assert sampled == "1"
    exchange, = collector.wait(1, kind=2)
    attempt, = collector.wait(1, kind=3)
    assert exchange["trace"] == attempt["trace"] == trace
    assert attempt["id"] == span and attempt["parent"] == exchange["id"] and exchange["parent"] is None
    assert exchange["start"] <= attempt["start"] <= attempt["end"] <= exchange["end"]
    about = exchange["attributes"]
    assert (about["http.request.method"], about["url.path"], about["http.response.status_code"]) == ("GET", "/path", 200)
    assert about["client.address"] == "127.0.0.1" and about["weir.end"] == "ok"
    assert attempt["attributes"]["weir.server"] == attempt["name"] == "one"
    assert exchange["resource"]["service.name"] == "weir" and exchange["resource"]["process.pid"] == weir.pid
    assert "secret" not in str(collector.spans)
    # Who has the trace finds the exchange by it.
    record, = weir.wait_records(1, request_id=trace)
    assert record["id"] == about["weir.id"]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_the_trace_and_decision_of_a_trusted_client_are_kept(scene, collector, flags):
    echo = Echo(scene)
    weir = start(scene, collector, {"name": "one", "address": echo.address}, tracing={"sample": 1 - int(flags)},
                 listener={"trust": ["127.0.0.1"]})
    client = scene.client(weir)
    assert client.ask("GET", "/", ("traceparent", f"00-{TRACE}-{SPAN}-{flags}"), ("tracestate", "a=1,b=2")).status == 200
    trace, span, sampled = parent_of(echo.told[0])
    assert (trace, sampled) == (TRACE, flags[1]) and span != SPAN
    assert echo.told[0][1] == ["a=1,b=2"]
    if flags == "01":
        exchange, = collector.wait(1, kind=2)
        assert (exchange["trace"], exchange["parent"]) == (TRACE, SPAN)
        return
    # Nobody wants it: the one behind it, which fails, comes alone.
    client.ask("GET", "/", ("traceparent", f"00-{'1' * 32}-{SPAN}-01"))
    exchange, = collector.wait(1, kind=2)
    assert exchange["trace"] == "1" * 32


@pytest.mark.parametrize("sample", [0, 1])
def test_how_much_is_sent_is_not_for_strangers_to_say(scene, collector, sample):
    echo = Echo(scene)
    weir = start(scene, collector, {"name": "one", "address": echo.address}, tracing={"sample": sample, "slow": "1h"})
    client = scene.client(weir)
    assert client.ask("GET", "/", ("traceparent", f"00-{TRACE}-{SPAN}-0{1 - sample}"), ("tracestate", "a=1")).status == 200
    trace, span, sampled = parent_of(echo.told[0])
    assert (trace, int(sampled)) == (TRACE, sample) and span != SPAN and echo.told[0][1] == ["a=1"]
    if sample:
        exchange, = collector.wait(1, kind=2)
        assert (exchange["trace"], exchange["parent"], exchange["flags"]) == (TRACE, SPAN, 1)
        return
    # The one behind it, which fails, comes alone.
    echo.status = 503
    assert client.ask("GET", "/", ("traceparent", f"00-{'1' * 32}-{SPAN}-01")).status == 503
    exchange, = collector.wait(1, kind=2)
    assert (exchange["trace"], exchange["flags"]) == ("1" * 32, 0)


def test_requests_of_one_trace_have_ids_of_their_own(scene, collector):
    echo = Echo(scene)
    weir = start(scene, collector, {"name": "one", "address": echo.address})
    client = scene.client(weir)
    for _ in range(3):
        assert client.ask("GET", "/", ("traceparent", f"00-{TRACE}-{SPAN}-01")).status == 200
    ids = {record["request_id"] for record in weir.wait_records(3)}
    assert len(ids) == 3 and TRACE not in ids
    spans = collector.wait(3, kind=2, trace=TRACE)
    assert {span["attributes"]["weir.request_id"] for span in spans} == ids


@pytest.mark.parametrize("fields", [
    [f"00-{TRACE}-{SPAN}-0"], [f"00-{'0' * 32}-{SPAN}-01"], [f"ff-{TRACE}-{SPAN}-01"], [f"00-{TRACE.upper()}-{SPAN}-01"],
    ["nonsense"], [""], [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"]])
def test_what_is_no_trace_goes_no_further(scene, collector, fields):
    echo = Echo(scene)
    weir = start(scene, collector, {"name": "one", "address": echo.address})
    assert scene.client(weir).ask("GET", "/", *[("traceparent", field) for field in fields], ("tracestate", "a=1")).status == 200
    trace, _, _ = parent_of(echo.told[0])
    assert trace != TRACE and echo.told[0][1] == []
    exchange, = collector.wait(1, kind=2)
    assert exchange["trace"] == trace and exchange["parent"] is None


def test_each_attempt_has_a_span_of_its_own(scene, collector):
    echo = Echo(scene)
    weir = start(scene, collector, {"name": "gone", "address": f"127.0.0.1:{reserve_port()}"},
                 {"name": "one", "address": echo.address}, pool={"balance": "round_robin"})
    client = scene.client(weir)

    def is_retried():
        assert client.ask().status == 200
        return weir.exchanges(server="gone")
    eventually(is_retried, "an attempt that failed")
    failed, = collector.wait(1, name="gone", kind=3)[:1]
    first, second = sorted(collector.wait(2, trace=failed["trace"], kind=3), key=lambda span: span["start"])
    exchange, = collector.wait(1, trace=failed["trace"], kind=2)
    assert (first["name"], second["name"]) == ("gone", "one") and first["id"] != second["id"]
    assert first["parent"] == second["parent"] == exchange["id"]
    assert (first["code"], second["code"], exchange["code"]) == (2, 0, 0)
    assert first["attributes"]["weir.end"] == "connect_refused" and second["attributes"]["http.request.resend_count"] == 1
    assert exchange["attributes"]["weir.attempts"] == 2
    assert second["id"] in [parent_of(told)[1] for told in echo.told]


def test_what_fails_is_sent_though_it_was_not_chosen(scene, collector):
    echo = Echo(scene, status=503)
    weir = start(scene, collector, {"name": "one", "address": echo.address}, tracing={"sample": 0})
    assert scene.client(weir).ask().status == 503
    exchange, = collector.wait(1, kind=2)
    assert (exchange["code"], exchange["flags"]) == (2, 0)
    assert parent_of(echo.told[0])[2] == "0"


def test_what_is_slow_is_sent_though_it_was_not_chosen(scene, collector):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok])
    weir = start(scene, collector, {"name": "one", "address": server.address}, tracing={"sample": 0, "slow": "1ms"})
    client = scene.client(weir)
    client.send(message.request())
    server.wait_requests(1)
    begun = weir.stats()["uptime_seconds"]
    eventually(lambda: weir.stats()["uptime_seconds"] > begun + 0.01, "some time")
    go.set()
    assert client.read().status == 200
    exchange, = collector.wait(1, kind=2)
    assert exchange["end"] - exchange["start"] >= 1_000_000 and exchange["code"] == 0


def test_a_tunnel_is_not_slow(scene, collector):
    server = scene.server([broken.receive, broken.send(UPGRADED), broken.wait_end], [broken.serve(lambda _: message.response(503))])
    weir = start(scene, collector, {"name": "one", "address": server.address}, tracing={"sample": 0, "slow": "1ms"})
    client = scene.client(weir)
    client.send(message.request("GET", "/", ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("X-Request-Id", "tunnel")))
    assert client.read_head().status == 101
    begun = weir.stats()["uptime_seconds"]
    eventually(lambda: weir.stats()["uptime_seconds"] > begun + 0.01, "some time")
    client.close()
    record, = weir.wait_records(1, request_id="tunnel")
    assert record["is_tunnel"] and record["total_ms"] >= 1
    # The one behind it, which fails, comes alone.
    assert scene.client(weir).ask().status == 503
    exchange, = collector.wait(1, kind=2)
    assert exchange["attributes"]["http.response.status_code"] == 503


def test_what_is_neither_is_not_sent(scene, collector):
    echo = Echo(scene)
    weir = start(scene, collector, {"name": "one", "address": echo.address}, tracing={"sample": 0, "slow": "1h"},
                 listener={"trust": ["127.0.0.1"]})
    client = scene.client(weir)
    for _ in range(20):
        assert client.ask().status == 200
    assert client.ask("GET", "/", ("traceparent", f"00-{TRACE}-{SPAN}-01")).status == 200
    exchange, = collector.wait(1, kind=2)
    assert exchange["trace"] == TRACE
    weir.wait_metric(1, "weir_traced_exchanges_total", result="sent")


@pytest.mark.parametrize("status", [500, 429])
def test_a_collector_that_refuses_is_complained_of_and_stops_nothing(scene, status):
    collector = Collector(status=status)
    try:
        weir = start(scene, collector, scene.server())
        assert scene.client(weir).ask().status == 200
        assert weir.wait_event("spans_not_sent")["status"] == str(status)
        weir.wait_metric(1, "weir_traced_exchanges_total", result="failed")
    finally:
        collector.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP", b"no HTTP at all, but longer", b"HTTP/1.1 2x0 OK\r\n\r\n"])
def test_what_is_no_answer_is_called_so(scene, answer):
    collector = scene.server([broken.receive, broken.send(answer), broken.close])
    weir = start(scene, f"http://{collector.address}/v1/traces", scene.server())
    assert scene.client(weir).ask().status == 200
    event = weir.wait_event("spans_not_sent")
    assert (event["status"], event["error"]) == ("0", "no whole answer")


def test_weir_ends_while_the_collector_hangs(scene):
    collector = scene.server([broken.receive, broken.wait_end])
    weir = start(scene, f"http://{collector.address}/v1/traces", scene.server())
    assert scene.client(weir).ask().status == 200
    collector.wait_requests(1)
    weir.terminate()
    assert weir.wait_exit() == 0
    assert collector.wait_end_of() == "eof"


def test_without_a_collector_traffic_goes_on_and_weir_ends(scene):
    weir = start(scene, f"http://127.0.0.1:{reserve_port()}/v1/traces", scene.server())
    client = scene.client(weir)
    for _ in range(20):
        assert client.ask().status == 200
    assert "refused" in weir.wait_event("spans_not_sent")["error"]


def test_a_collector_that_holds_everything_costs_bounded_memory(scene):
    hold = threading.Event()
    collector = Collector(hold=hold)
    try:
        weir = start(scene, collector, scene.server(), workers=1)
        client = scene.client(weir)

        def is_full():
            for _ in range(100):
                assert client.ask().status == 200
            return weir.metric("weir_traced_exchanges_total", result="dropped")
        eventually(is_full, "spans that find no room")
    finally:
        hold.set()
        collector.close()


def test_without_tracing_a_trace_passes_as_it_is(scene):
    echo = Echo(scene)
    weir = scene.proxy({"name": "one", "address": echo.address})
    field = f"00-{TRACE}-{SPAN}-01"
    assert scene.client(weir).ask("GET", "/", ("traceparent", field), ("tracestate", "a=1")).status == 200
    assert echo.told == [([field], ["a=1"])]
