"""A collector of OpenTelemetry's spans, as far as tests need one: it takes what comes by OTLP/HTTP as JSON, and holds it
against the schema (opentelemetry-proto: collector/trace/v1, trace/v1, common/v1, in protobuf's JSON mapping)."""
import http.server
import json
import re
import threading

from waiting import eventually

TRACE_ID, SPAN_ID, NUMBER = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}"), re.compile("0|[1-9][0-9]*")
VALUES = {"stringValue": str, "boolValue": bool, "intValue": str, "doubleValue": (int, float)}


def take(node, wanted, optional=()):
    """An object with these keys, and maybe those."""
    assert isinstance(node, dict), node
    assert set(wanted) <= set(node) <= set(wanted) | set(optional), node
    return [node[key] for key in wanted]


def attributes_of(node):
    """{key: value}"""
    found = {}
    for attribute in node:
        key, value = take(attribute, ["key", "value"])
        (kind, inner), = value.items()
        assert isinstance(key, str) and key and key not in found and isinstance(inner, VALUES[kind]), attribute
        assert kind != "intValue" or NUMBER.fullmatch(inner), attribute
        found[key] = int(inner) if kind == "intValue" else inner
    return found


def check_span(node):
    trace, span, kind, name, start, end, attributes, status, flags = take(
        node, ["traceId", "spanId", "kind", "name", "startTimeUnixNano", "endTimeUnixNano", "attributes", "status", "flags"],
        ["parentSpanId"])
    assert TRACE_ID.fullmatch(trace) and trace.strip("0"), node
    assert SPAN_ID.fullmatch(span) and span.strip("0"), node
    assert SPAN_ID.fullmatch(node.get("parentSpanId", "1" * 16)), node
    assert kind in (2, 3) and isinstance(name, str) and name, node
    assert NUMBER.fullmatch(start) and NUMBER.fullmatch(end) and int(start) <= int(end), node
    assert flags in (0, 1), node
    take(status, [], ["code", "message"])
    assert status.get("code", 0) in (0, 1, 2), node
    return {"trace": trace, "id": span, "parent": node.get("parentSpanId"), "kind": kind, "name": name, "start": int(start),
            "end": int(end), "attributes": attributes_of(attributes), "code": status.get("code", 0), "flags": flags}


def check_request(document):
    """Its spans, each with its resource's attributes."""
    spans = []
    resource_spans, = take(document, ["resourceSpans"])
    for part in resource_spans:
        resource, scopes = take(part, ["resource", "scopeSpans"])
        about, = take(resource, ["attributes"])
        for scope_part in scopes:
            scope, found = take(scope_part, ["scope", "spans"])
            assert take(scope, ["name", "version"])[0] == "weir"
            spans += [{**check_span(span), "resource": attributes_of(about)} for span in found]
    return spans


class Collector:
    """`status` is what it answers; `hold`, an event, is waited for before it does."""

    def __init__(self, status=200, hold=None):
        self.spans, self.faults, self.requests, self.status = [], [], 0, status
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hold:
                    hold.wait(60)
                try:
                    assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json", self.path
                    assert self.headers["Host"] == "127.0.0.1:%d" % collector.port
                    collector.spans += check_request(json.loads(body))
                except (AssertionError, KeyError, ValueError) as fault:
                    collector.faults.append(repr(fault))
                collector.requests += 1
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}/v1/traces"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def wait(self, count, **about):
        """That many spans of a kind, a name, a trace."""
        def found():
            spans = [span for span in self.spans if all(span[key] == value for key, value in about.items())]
            return spans if len(spans) >= count else None
        spans = eventually(found, lambda: f"{count} spans of {about}: {self.spans} {self.faults}")
        assert not self.faults, self.faults
        return spans

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        assert not self.faults, self.faults
