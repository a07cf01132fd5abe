"""HTTP/2 towards clients: over TLS and by prior knowledge, what requests and responses become between it and HTTP/1, and what
one connection may not do to weir."""
import contextlib
import hashlib
import os
import random
import socket
import subprocess
import threading

import h2.errors
import pytest

import broken
import http2
import message
from http2 import Http2
from tls import Pki
from waiting import eventually

ERRORS = h2.errors.ErrorCodes


@pytest.fixture(params=["plain", "tls"])
def way(request, scene, tmp_path):
    return Way(scene, tmp_path, request.param == "tls")


class Way:
    """weir over TLS or without, and clients of it."""

    def __init__(self, scene, directory, is_secure):
        self.scene = scene
        self.pki = Pki(directory) if is_secure else None
        self.weir = None

    def proxy(self, *servers, listener=None, **config):
        tls = {"tls": {"certificates": [self.pki.make("a", "a.example")]}} if self.pki else {}
        self.weir = self.scene.proxy(*(servers or [self.scene.server()]), listener={**tls, **(listener or {})}, **config)
        return self.weir

    def client(self, **options):
        context = self.pki.context() if self.pki else None
        client = Http2(self.weir.address, context=context, name="a.example", **options)
        self.scene.clients.append(client)
        return client

    def curl(self, *arguments, path="/"):
        host, port = self.weir.address
        common = ["curl", "-sS", "--max-time", "30", *arguments]
        if self.pki:
            done = subprocess.run([*common, "--http2", "--cacert", self.pki.ca, "--resolve", f"a.example:{port}:{host}",
                                   f"https://a.example:{port}{path}"], capture_output=True)
        else:
            done = subprocess.run([*common, "--http2-prior-knowledge", f"http://{host}:{port}{path}"], capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_curl_is_served(way):
    weir = way.proxy()
    assert way.curl("-o", "/dev/null", "-w", "%{http_version} %{http_code}") == b"2 200"
    record = weir.wait_records(1)[0]
    assert (record["protocol"], record["end"], record["is_tls"]) == ("HTTP/2", "ok", way.pki is not None)


def test_what_curl_sends_and_gets_is_the_same(way, tmp_path):
    body = random.Random(7).randbytes(5_000_000)
    path = tmp_path / "body"
    path.write_bytes(body)
    server = way.scene.server([broken.serve(lambda request: message.response(body=request.body))])
    way.proxy(server)
    echoed = way.curl("--data-binary", f"@{path}")
    assert hashlib.sha256(echoed).digest() == hashlib.sha256(body).digest()


def test_a_server_sees_an_ordinary_request(way):
    server = way.scene.server()
    way.proxy(server)
    client = way.client()
    assert client.ask("GET", "/a?b", ("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers")).status == 200
    request = server.requests[0]
    assert (request.method, request.target, request.version) == ("GET", "/a?b", "1.1")
    assert request.get("host") == "example.test"
    assert request.get("cookie") == "a=1; b=2"
    assert request.get("via") == "2.0 weir"
    assert request.get("te") == "trailers"
    assert request.body == b""


@pytest.mark.parametrize("method, body, length", [("POST", None, "0"), ("POST", b"", None), ("PUT", b"hello", None),
                                                  ("DELETE", None, None)])
def test_bodies_become_http_1s(way, method, body, length):
    server = way.scene.server()
    way.proxy(server)
    client = way.client()
    assert client.ask(method, "/", body=body).status == 200
    request = server.requests[0]
    assert request.get("content-length") == length
    assert request.get("transfer-encoding") == ("chunked" if body is not None else None)
    assert request.body == (body or b"")


def test_a_known_length_stays_known(way):
    server = way.scene.server()
    way.proxy(server)
    assert way.client().ask("POST", "/", ("content-length", "5"), body=b"hello").status == 200
    assert server.requests[0].get("content-length") == "5"
    assert server.requests[0].body == b"hello"


@pytest.mark.parametrize("status", [200, 204, 304, 404])
def test_responses_without_content_end_with_their_head(way, status):
    pairs = [] if status in (204, 304) else [("Content-Length", "0")]
    way.proxy(way.scene.server([broken.receive, broken.send(message.response(status, *pairs, body=None)), broken.wait_end]))
    stream = way.client().ask()
    assert (stream.status, bytes(stream.body), stream.reset) == (status, b"", None)


def test_head_gets_the_head_alone(way):
    way.proxy(way.scene.server([broken.receive, broken.send(message.response(200, ("Content-Length", "7"), body=None)),
                                broken.wait_end]))
    stream = way.client().ask("HEAD")
    assert stream.headers["content-length"] == "7" and not stream.body


def test_chunked_and_close_delimited_responses_are_whole(way):
    chunked = message.response(200, ("Transfer-Encoding", "chunked"), body=None) + message.chunked(b"one", b"two")
    until_close = message.response(200, ("Connection", "close"), body=None) + b"until close"
    way.proxy(way.scene.server([broken.receive, broken.send(chunked), broken.receive, broken.send(until_close), broken.close]))
    client = way.client()
    assert bytes(client.ask().body) == b"onetwo"
    stream = client.ask()
    assert bytes(stream.body) == b"until close" and "connection" not in stream.headers


def test_a_response_that_is_cut_is_reset_and_the_connection_goes_on(way):
    cut = message.response(200, ("Content-Length", "100"), body=None) + b"not all"
    way.proxy(way.scene.server([broken.receive, broken.send(cut), broken.close], [broken.serve()]))
    client = way.client()
    assert client.ask().reset == ERRORS.INTERNAL_ERROR
    assert client.ask().status == 200


def test_trailers_pass_both_ways(way):
    response = message.response(200, ("Transfer-Encoding", "chunked"), body=None) + \
        message.chunked(b"body", trailers=[("X-Sum", "42")])
    server = way.scene.server([broken.receive, broken.send(response), broken.wait_end])
    way.proxy(server, listener={"routes": [{"name": "all", "pool": "web", "request_trailers": ["x-check"]}]})
    stream = way.client().ask("POST", "/", ("te", "trailers"), body=b"hello", trailers=[("x-check", "7")])
    assert stream.trailers == {"x-sum": "42"}
    assert bytes(stream.body) == b"body"
    assert server.requests[0].trailers == [("x-check", "7")]


def test_interim_responses_come_before_the_final_one(way):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    way.proxy(way.scene.server([broken.receive, broken.send(early + message.response()), broken.wait_end]))
    stream = way.client().ask()
    assert [head[":status"] for head in stream.interim] == ["103"]
    assert (stream.status, bytes(stream.body)) == (200, b"ok")


def test_whoever_expects_is_told_to_go_on(way):
    server = way.scene.server([broken.receive_head, broken.send(b"HTTP/1.1 100 Continue\r\n\r\n"), broken.receive_body, broken.ok,
                               broken.wait_end])
    way.proxy(server)
    client = way.client()
    number = client.request("POST", "/", ("expect", "100-continue"), ("content-length", "5"), ends=False)
    client.until(lambda: client.streams[number].interim, "a 100")
    client.send_body(number, b"hello")
    assert client.read(number).status == 200
    assert server.requests[0].body == b"hello"


def test_many_streams_are_served_at_once(way):
    weir = way.proxy(way.scene.server([broken.serve(lambda request: message.response(body=request.target.encode()))]))
    client = way.client()
    numbers = {client.request("GET", f"/{i}"): i for i in range(100)}
    for number, i in numbers.items():
        assert bytes(client.read(number).body) == f"/{i}".encode()
    weir.wait_metric(100, "weir_exchanges_total", end="ok")


def test_a_stream_that_is_not_taken_does_not_stop_the_others(way):
    large = message.response(body=b"x" * 3_000_000)
    server = way.scene.server([broken.serve(lambda request: large if request.target == "/large" else message.response())])
    way.proxy(server)
    client = way.client(takes=False)
    client.h2.increment_flow_control_window(8 << 20)
    stalled = client.request("GET", "/large")
    client.until(lambda: len(client.streams[stalled].body) == 65535, "a window's worth of the large one")
    for _ in range(50):
        assert client.ask("GET", "/small").status == 200
    assert len(client.streams[stalled].body) == 65535
    client.credit(4 << 20, stalled)
    assert len(client.read(stalled).body) == 3_000_000


def test_a_server_that_does_not_take_a_body_stops_only_that(way):
    go = threading.Event()
    slow = way.scene.server([broken.receive_head, broken.wait_for(go), broken.receive_body, broken.ok, broken.wait_end],
                            receive_buffer=4096)
    fast = way.scene.server()
    way.proxy(slow, listener={"routes": [{"name": "slow", "path_prefix": "/slow", "pool": "web"},
                                         {"name": "fast", "pool": "fast"}]}, pools={"fast": {"servers": [fast.address]}})
    client = way.client()
    number = client.request("POST", "/slow", ends=False)
    sent = 0
    while (room := client.h2.local_flow_control_window(number)) > 0 and sent < 200_000:
        room = min(room, 16384)
        client.h2.send_data(number, b"x" * room)
        client.flush()
        sent += room
        client.ask("POST", "/fast", body=b"y" * 1000)  # a round trip: what is credited has come
    for _ in range(100):
        assert client.ask("POST", "/fast", body=b"y" * 10000).status == 200
    go.set()
    client.send_body(number, b"")
    assert client.read(number).status == 200
    assert len(slow.requests[0].body) == sent


# ends


def test_a_request_that_is_taken_back_ends_at_the_server(way):
    server = way.scene.server([broken.receive, broken.wait_end], [broken.serve()])
    weir = way.proxy(server)
    client = way.client()
    number = client.request("GET", "/gone")
    server.wait_requests(1)
    client.h2.reset_stream(number, ERRORS.CANCEL)
    client.flush()
    server.wait_end_of(0)
    assert weir.wait_records(1)[0]["end"] == "client_abort"
    assert client.ask().status == 200


def test_a_client_that_leaves_takes_its_streams_along(way):
    server = way.scene.server([broken.receive, broken.wait_end])
    weir = way.proxy(server)
    client = way.client()
    for _ in range(3):
        client.request()
    server.wait_requests(3)
    client.close()
    for record in weir.wait_records(3):
        assert record["end"] == "client_abort"


def read_frames(client, enough):
    """(type, flags, stream, payload) of what comes, without the library, which would not have sent what the test did."""
    seen, data = [], b""
    while not enough(seen):
        more = client.sock.recv(65536)
        assert more, f"closed after {seen}"
        data += more
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
            length = int.from_bytes(data[:3], "big")
            seen.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:9 + length]))
            data = data[9 + length:]
    return seen


def has_frame(seen, kind, flags=0):
    return any(k == kind and f & flags == flags for k, f, _, _ in seen)


def test_a_drained_weir_says_goaway_and_ends_its_streams(way):
    go = threading.Event()
    server = way.scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.wait_end])
    weir = way.proxy(server)
    client = way.client()
    client.request()
    server.wait_requests(1)
    weir.terminate()
    weir.wait_event("draining")
    seen = read_frames(client, lambda seen: has_frame(seen, http2.GOAWAY))
    assert not has_frame(seen, http2.DATA)
    go.set()
    seen = read_frames(client, lambda seen: has_frame(seen, http2.DATA, http2.END_STREAM))
    assert has_frame(seen, http2.HEADERS)
    client.close()
    assert weir.wait_exit() == 0


def test_idle_connections_do_not_hold_a_drain_up(way):
    weir = way.proxy()
    client = way.client()
    assert client.ask().status == 200
    weir.terminate()
    last = read_frames(client, lambda seen: len([1 for kind, _, _, _ in seen if kind == http2.GOAWAY]) == 2)[-1]
    assert last[3] == b"\0\0\0\1\0\0\0\0"  # the last stream that was served, and no error
    client.close()
    assert weir.wait_exit() == 0


# what is refused


BAD_FIELDS = {
    "upper case": [("X-Upper", "1")],
    "CR in a value": [("x", "a\rb")],
    "LF in a value": [("x", "a\nb")],
    "a request in a value": [("x", "1\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x")],
    "NUL in a value": [("x", "a\0b")],
    "LF in a name": [("x\r\ny", "1")],
    "a colon in a name": [("x:y", "1")],
    "an empty name": [("", "1")],
    "connection": [("connection", "x")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "upgrade": [("upgrade", "websocket")],
    "keep-alive": [("keep-alive", "timeout=5")],
    "te other than trailers": [("te", "gzip")],
    "another host": [("host", "other.test")],
    "a pseudo-field behind others": [("x", "1"), (":path", "/b")],
    "an unknown pseudo-field": [(":unknown", "1")],
    "a length without content": [("content-length", "5")],
    "two lengths": [("content-length", "0"), ("content-length", "0")],
}
BAD_HEADS = {
    "a path with a space": http2.fields("GET", "/a b"),
    "a path with a line": http2.fields("GET", "/ HTTP/1.1\r\nx: y"),
    "an absolute path": http2.fields("GET", "http://other.test/"),
    "an empty path": http2.fields("GET", ""),
    "a method with a space": http2.fields("GET /", "/"),
    "an authority with user information": http2.fields(authority="a@b"),
    "an authority with a line": http2.fields(authority="a\r\nb"),
    "no authority": [(":method", "GET"), (":scheme", "http"), (":path", "/")],
    "no path": [(":method", "GET"), (":scheme", "http"), (":authority", "a")],
    "two methods": [(":method", "GET"), *http2.fields()],
}
BAD = {**{name: http2.fields() + pairs for name, pairs in BAD_FIELDS.items()}, **BAD_HEADS}


def test_what_is_malformed_never_reaches_a_server(way):
    server = way.scene.server()
    weir = way.proxy(server, listener={"http2": {"resets": 1000}})
    for name, pairs in BAD.items():
        client = way.client()
        client.send(http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, http2.block(*pairs)))
        client.h2.get_next_available_stream_id()
        client.streams[1] = http2.Stream()
        raw = read_frames(client, lambda seen: has_frame(seen, http2.RST_STREAM))
        codes = [payload for kind, _, number, payload in raw if kind == http2.RST_STREAM and number == 1]
        assert codes == [b"\0\0\0\1"], f"{name}: {raw}"
        client.close()
    assert not server.requests
    records = weir.wait_records(len(BAD))
    assert all((record["end"], record["protocol"]) == ("bad_request", "HTTP/2") for record in records)


@pytest.mark.parametrize("sent", [b"four", b"sixsix"])
def test_a_body_of_another_length_is_never_whole_at_the_server(way, sent):
    server = way.scene.server([broken.receive_head, broken.wait_end])
    weir = way.proxy(server)
    client = way.client()
    client.send(http2.frame(http2.HEADERS, http2.END_HEADERS, 1,
                            http2.block(*http2.fields("POST", "/", ("content-length", "5")))))
    client.send(http2.frame(http2.DATA, http2.END_STREAM, 1, sent))
    read_frames(client, lambda seen: has_frame(seen, http2.RST_STREAM))
    assert weir.wait_records(1)[0]["end"] == "bad_request_body"
    client.close()
    for connection in {request.connection for request in server.requests}:
        server.wait_end_of(connection)


BAD_TRAILERS = ("upper case", "CR in a value", "LF in a value", "a request in a value", "NUL in a value", "LF in a name",
                "an empty name", "connection", "transfer-encoding", "an unknown pseudo-field")


def test_trailers_that_are_malformed_never_reach_a_server(way):
    server = way.scene.server([broken.receive_head, broken.wait_end])
    weir = way.proxy(server, listener={"http2": {"resets": 1000},
                                       "routes": [{"name": "all", "pool": "web", "request_trailers": ["x", "x-upper"]}]})
    for count, name in enumerate(BAD_TRAILERS, 1):
        client = way.client()
        client.send(http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.block(*http2.fields("POST", "/"))))
        server.wait_requests(count)
        client.send(http2.frame(http2.DATA, 0, 1, b"body"))
        client.send(http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, http2.block(*BAD_FIELDS[name])))
        raw = read_frames(client, lambda seen: has_frame(seen, http2.RST_STREAM))
        assert [payload for kind, _, number, payload in raw if kind == http2.RST_STREAM and number == 1], f"{name}: {raw}"
        connection = server.requests[-1].connection
        server.wait_end_of(connection)
        assert server.connections[connection].rest in (b"", b"4\r\nbody\r\n"), name  # and no last chunk
        client.close()
    assert {record["end"] for record in weir.wait_records(len(BAD_TRAILERS))} == {"bad_request_body"}


def test_heads_over_the_limits_are_answered(way):
    way.proxy(listener={"limits": {"head": "4KiB", "headers": 20}})
    client = way.client()
    assert client.ask("GET", "/", ("x", "y" * 5000)).status == 431
    assert client.ask("GET", "/", *[(f"x-{i}", "1") for i in range(30)]).status == 431
    assert client.ask().status == 200


def test_names_with_an_underscore_are_dropped_as_ever(way):
    server = way.scene.server()
    way.proxy(server)
    assert way.client().ask("GET", "/", ("x_y", "1"), ("x_forwarded_for", "1.2.3.4")).status == 200
    assert not [name for name, _ in server.requests[0].fields if "_" in name]


def test_connect_is_not_served(way):
    way.proxy()
    client = way.client()
    number = client.h2.get_next_available_stream_id()
    client.h2.send_headers(number, [(":method", "CONNECT"), (":authority", "a.example:443")], end_stream=True)
    client.flush()
    assert client.read(number).status == 405


def test_it_can_be_turned_off(scene, tmp_path):
    pki = Pki(tmp_path)
    tls = {"tls": {"certificates": [pki.make("a", "a.example")]}, "http2": {"enabled": False}}
    weir = scene.proxy(scene.server(), listener=tls)
    host, port = weir.address
    done = subprocess.run(["curl", "-sS", "--max-time", "30", "--http2", "--cacert", pki.ca, "--resolve",
                           f"a.example:{port}:{host}", "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                           f"https://a.example:{port}/"], capture_output=True, text=True)
    assert done.stdout == "1.1 200", done.stderr


def test_without_it_prior_knowledge_is_told_what_is_spoken(scene):
    weir = scene.proxy(scene.server(), listener={"http2": {"enabled": False}})
    client = scene.client(weir)
    client.send(http2.PREFACE + http2.frame(http2.SETTINGS))
    assert client.read().status == 505


def test_http_1_is_served_beside_it(scene):
    weir = scene.proxy(scene.server())
    client = scene.client(weir)
    assert client.ask().status == 200
    other = Http2(weir.address)
    scene.clients.append(other)
    assert other.ask().status == 200
    assert client.ask().status == 200
    # In pieces, the preface is the same.
    slow = scene.client(weir)
    for piece in (b"P", b"RI * HT", b"TP/2.0\r\n\r\nSM\r\n", b"\r\n" + http2.frame(http2.SETTINGS)):
        slow.send_pieces(piece, len(piece))
    assert slow.read_exactly(9)[3] == http2.SETTINGS


# floods


def hello(client, *frames):
    try:
        client.send(b"".join(frames))
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was ended before all was sent


GET = http2.block(*http2.fields())
FLOODS = {
    "http2_resets": lambda: [http2.frame(http2.HEADERS, 5, 2 * i + 1, GET) +
                             http2.frame(http2.RST_STREAM, 0, 2 * i + 1, b"\0\0\0\x08") for i in range(400)],
    "http2_settings": lambda: [http2.frame(http2.SETTINGS)] * 200,
    "http2_pings": lambda: [http2.frame(http2.PING, 0, 0, b"12345678")] * 1000,
    "http2_empty_frames": lambda: [http2.frame(http2.HEADERS, 4, 1, GET)] + [http2.frame(http2.DATA, 0, 1)] * 1000,
    "http2_windows": lambda: [http2.frame(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1")] * 4000,
    "http2_continuations": lambda: [http2.frame(http2.HEADERS, 1, 1, GET[:1])] +
    [http2.frame(http2.CONTINUATION, 0, 1, b"\0\1x\1y")] * 100,
    "http2_memory": lambda: [http2.frame(http2.HEADERS, 5, 1, GET + b"\x40\x01x\x7f\xd1\x0e" + b"v" * 2000)] +
    [http2.frame(http2.HEADERS, 5, 3, b"\xbe" * 10000)],
    "http2_protocol": lambda: [http2.frame(http2.DATA, 0, 7, b"x")],
}


@pytest.mark.parametrize("reason", FLOODS)
def test_floods_end_their_connection_and_are_counted(scene, reason):
    weir = scene.proxy(scene.server())
    honest = Http2(weir.address)
    scene.clients.append(honest)
    assert honest.ask().status == 200
    hostile = Http2(weir.address)
    scene.clients.append(hostile)
    hello(hostile, *FLOODS[reason]())
    expected = ERRORS.PROTOCOL_ERROR if reason == "http2_protocol" else ERRORS.ENHANCE_YOUR_CALM
    seen = read_frames(hostile, lambda seen: has_frame(seen, http2.GOAWAY))
    code = int.from_bytes([payload for kind, _, _, payload in seen if kind == http2.GOAWAY][-1][4:8], "big")
    assert code == expected
    hostile.close()
    eventually(lambda: weir.metric("weir_exchanges_total", end=reason) >= 1, f"{reason} in the metrics")
    assert honest.ask().status == 200


def test_whoever_does_not_read_is_not_read_from(scene):
    """PING after PING, of which nobody takes the answers: memory stays bounded, and honest ones are served."""
    weir = scene.proxy(scene.server(), listener={"http2": {"pings": 1000000}})
    hostile = Http2(weir.address, receive_buffer=4096)
    scene.clients.append(hostile)
    hostile.sock.settimeout(0.5)
    sent = 0
    ping = http2.frame(http2.PING, 0, 0, b"12345678") * 1000
    try:
        while sent < 64 << 20:
            sent += hostile.sock.send(ping)
    except TimeoutError:
        pass
    assert sent < 64 << 20
    honest = Http2(weir.address)
    scene.clients.append(honest)
    assert honest.ask().status == 200


def is_let_in(scene, weir):
    """Somebody new is served."""
    with contextlib.suppress(OSError):
        client = scene.client(weir)
        client.send(message.request())
        return client.read().status == 200
    return False


def test_who_holds_most_ends_while_memory_is_short(scene):
    """A hundred requests each, whose answers nobody takes: rather than that nobody is let in any more, they end."""
    large = message.response(body=bytes(64 << 10))
    server = scene.server([broken.serve(lambda request: large if request.target == "/large" else message.response())])
    weir = scene.proxy(server, limits={"memory": "4MiB"}, build="release")
    requests = b"".join(http2.frame(http2.HEADERS, 5, 2 * i + 1, http2.block(*http2.fields(path="/large")))
                        for i in range(100))
    for _ in range(40):
        hostile = socket.create_connection(weir.address)
        scene.clients.append(hostile)
        with contextlib.suppress(OSError):  # it is not let in
            hostile.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0, b"\0\4\0\0\0\0") + requests)
    eventually(lambda: weir.metric("weir_exchanges_total", end="http2_memory") >= 1, "one that ended")
    stats = weir.stats()["memory"]
    assert stats["used"] <= stats["limit"] * 1.05

    eventually(lambda: is_let_in(scene, weir), "somebody new is served beside them")


def fill_with(scene, weir, said):
    """Clients that say so and stand still, until memory is short: for many of them there was none."""
    def is_short():
        return weir.metric("weir_connections_refused_total", reason="no_memory") + \
            weir.metric("weir_exchanges_total", end="no_memory") + weir.metric("weir_exchanges_total", end="http2_memory") >= 100

    for _ in range(40):
        for _ in range(50):
            hostile = socket.create_connection(weir.address)
            scene.clients.append(hostile)
            with contextlib.suppress(OSError):  # it is not let in
                hostile.sendall(said)
        if is_short():
            return
    eventually(is_short, "a hundred that are refused, or ended")


@pytest.mark.parametrize("kind", ["pings", "half a head"])
def test_whoever_holds_still_while_memory_is_short_keeps_nobody_out(scene, kind):
    """Hundreds that hold ten kilobytes each, and do nothing that has a limit."""
    weir = scene.proxy(scene.server([broken.serve(lambda request: message.response())]), limits={"memory": "4MiB"}, build="release",
                       listener={"http2": {"pings": 1000}, "timeouts": {"header": "1h"}})
    said = {"pings": http2.frame(http2.PING, 0, 0, b"12345678") * 600,
            "half a head": http2.frame(http2.HEADERS, 5, 1, http2.block(*http2.fields(), ("x", "v" * 3000)))[:-1]}[kind]
    fill_with(scene, weir, http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + said)

    for _ in range(20):
        eventually(lambda: is_let_in(scene, weir), "somebody new is served beside them")


def test_handshakes_that_stand_still_keep_nobody_out(scene, tmp_path):
    """Hundreds of clients of TLS whose first message stops in the middle."""
    way = Way(scene, tmp_path, True)
    weir = way.proxy(scene.server([broken.serve(lambda request: message.response())]), limits={"memory": "4MiB"},
                     listener={"timeouts": {"header": "1h"}})
    fill_with(scene, weir, bytes.fromhex("1603010200010001fc0303") + bytes(40))

    def is_served():
        with contextlib.suppress(OSError):
            return way.client().ask().status == 200
        return False

    eventually(is_served, "somebody new is served beside them")


# tools of others


def test_nghttp_and_h2load_are_served(way):
    weir = way.proxy(way.scene.server([broken.serve(lambda request: message.response(body=request.body or b"hi"))]))
    host, port = weir.address
    scheme = "https" if way.pki else "http"
    done = subprocess.run(["nghttp", "-m", "20", "--no-verify", "-d", os.path.abspath(__file__), "-n",
                           f"{scheme}://{host}:{port}/"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "error" not in done.stderr.lower(), done.stderr
    done = subprocess.run(["h2load", "-n", "400", "-c", "4", "-m", "10", f"{scheme}://{host}:{port}/"],
                          capture_output=True, text=True, timeout=60)
    assert "400 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout


@pytest.mark.parametrize("build", ["asan", "release"])
@pytest.mark.parametrize("begun", [b"P", b"PRI * HTTP/2", b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"])
def test_a_preface_in_two_pieces_leaves_nothing_to_the_next_clients_request(scene, build, begun):
    """What reads the start of a connection may be who reads another's next: whatever came before it became HTTP/2."""
    weir = scene.proxy(scene.server([broken.serve()], [broken.serve()]), build=build)
    client = scene.client(weir)
    client.send(begun)
    weir.wait_live(client_connections=1)
    asked = scene.client(weir)
    assert asked.ask().status == 200  # what came first has been read by then
    client.send((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))[len(begun):])
    client.take(9)
    for number in range(3):
        other = scene.client(weir)
        other.send(b"GET /first HTTP/1.1\r\nHo")
        weir.wait_live(client_connections=3 + 2 * number)
        assert scene.client(weir).ask().status == 200
        other.send(b"st: example.test\r\n\r\n")
        assert other.read().status == 200
