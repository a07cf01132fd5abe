"""WebSockets towards servers that speak HTTP/2 (RFC 8441), from clients of HTTP/2 and of HTTP/1.1."""
import hashlib
import random
import threading

import h2.errors
import h2.settings
import pytest

import broken
import http2_server
from http2 import Http2
from http2_server import Http2Server
from tls import Pki
from waiting import eventually
from websocket_site import Site, accept_of

ERRORS = h2.errors.ErrorCodes
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13"))


def is_tunnel(stream):
    return stream.headers[":method"] == "CONNECT"


def open_tunnel(connection, stream):
    if is_tunnel(stream):
        connection.head(stream, 200, ("x-own", "1"), ("sec-websocket-accept", "nonsense"))


def echo(connection, stream, data):
    if is_tunnel(stream):
        connection.send(stream, data)


def end(connection, stream):
    if is_tunnel(stream):
        connection.send(stream, b"", True)
    else:
        connection.respond(stream)


def serve(scene, server_type=Http2Server, answer=end, on_head=open_tunnel, on_data=echo, tunnels=True, **options):
    server = server_type(answer, on_head=on_head, on_data=on_data, tunnels=tunnels, **options)
    scene.servers.append(server)
    return server


@pytest.fixture(params=["plain", "tls"])
def site(request, scene, tmp_path):
    return Site(scene, Pki(tmp_path) if request.param == "tls" else None)


@pytest.fixture
def plain(scene):
    return Site(scene, None)


def front(site, server, **pool):
    site.serve(server=server, pool={"protocol": "h2c", **pool})
    return server


def say_last(site, number):
    site.http2.h2.end_stream(number)
    site.http2.flush()


def test_a_server_of_http_2_is_asked_in_its_way(site):
    server = front(site, serve(site.scene))
    for _ in range(2):  # on a new connection, and on one that is open
        number, stream = site.ask(("x-client", "1"), ("sec-websocket-protocol", "chat"))
        assert stream.status == 200 and stream.headers["x-own"] == "1"
        assert not {"upgrade", "connection", "sec-websocket-accept"} & set(stream.headers)
        site.say(number, b"hello")
        assert site.hear(stream, 5) == b"hello"
        assert site.http2.ask().status == 200  # beside it
        say_last(site, number)
        assert site.end_of(stream) is None
    asked = server.streams[0]
    assert (asked.headers[":method"], asked.headers[":protocol"], asked.path) == ("CONNECT", "websocket", "/chat")
    assert (asked.headers[":scheme"], asked.headers[":authority"]) == ("http", "a.example")
    assert asked.headers["sec-websocket-version"] == "13" and asked.headers["x-client"] == "1"
    assert asked.headers["sec-websocket-protocol"] == "chat"
    assert not {"sec-websocket-key", "upgrade", "connection", "content-length"} & set(asked.headers)
    eventually(lambda: asked.has_ended, "the end")
    assert asked.reset is None and bytes(asked.body) == b"hello"
    records = [record for record in site.weir.wait_records(4) if record["is_tunnel"]]
    assert [(r["status"], r["end"], r["method"]) for r in records] == [(200, "ok", "GET")] * 2
    assert len(server.connections) == 1
    site.weir.wait_live(tunnels=0, exchanges=0)


def test_a_client_of_http_1_reaches_a_server_of_http_2(scene):
    server = serve(scene)
    weir = scene.proxy(server, pool={"protocol": "h2c"})
    client = scene.client(weir)
    response = client.ask("GET", "/chat", *HANDSHAKE)
    assert (response.status, response.get("Sec-WebSocket-Accept")) == (101, accept_of(KEY))
    assert response.get("Upgrade") == "websocket" and response.get("X-Own") == "1" and response.options() == ["upgrade"]
    client.send(b"hello")
    assert client.read_exactly(5) == b"hello"
    client.half_close()
    assert client.read_to_end() == b""
    record = weir.exchange(status=101)
    assert (record["end"], record["is_tunnel"], record["protocol"]) == ("ok", True, "HTTP/1.1")
    # What is no handshake (RFC 6455 4.1) goes without.
    response = scene.client(weir).ask("GET", "/chat", *HANDSHAKE[:2])
    assert (response.status, response.body) == (200, b"ok")


def test_a_server_of_http_2_by_alpn(plain, tmp_path):
    pki = Pki(tmp_path)
    pki.make("server", "127.0.0.1", names=["IP:127.0.0.1"])
    context = pki.server_context("server")
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = serve(plain.scene, tls=context)
    plain.serve(server=server, pool={"protocol": "auto", "tls": {"ca": pki.ca}})
    number, stream = plain.ask()
    plain.say(number, b"hello")
    assert plain.hear(stream, 5) == b"hello"
    assert server.streams[0].headers[":scheme"] == "https"
    client = plain.scene.client(plain.weir)
    assert client.ask("GET", "/chat", *HANDSHAKE).status == 101
    client.send(b"hello")
    assert client.read_exactly(5) == b"hello"
    assert len(server.connections) == 1


class Hesitant(http2_server.Connection):
    """Its settings come when the server's `go` is set."""

    def run(self):
        self.server.go.wait()
        super().run()


class HesitantServer(Http2Server):
    connection_type = Hesitant

    def __init__(self, *arguments, **options):
        self.go = threading.Event()
        super().__init__(*arguments, **options)

    def close(self):
        self.go.set()
        super().close()


def test_a_servers_settings_are_waited_for(site):
    server = front(site, serve(site.scene, HesitantServer))
    client = site.scene.client(site.weir) if not site.pki else None
    if client:
        client.send(b"GET /chat HTTP/1.1\r\nHost: a\r\n" + b"".join(b"%s: %s\r\n" % (n.encode(), v.encode()) for n, v in HANDSHAKE) + b"\r\n")
    asked = site.begin()
    site.weir.wait_live(exchanges=2 if client else 1)
    server.go.set()
    site.http2.until(lambda: asked.headers, "an answer")
    assert asked.status == 200
    if client:
        assert client.read_head().status == 101


def test_settings_that_never_come_are_not_waited_for_long(plain):
    server = serve(plain.scene, HesitantServer)
    plain.serve(server=server, pool={"protocol": "h2c", "timeouts": {"connect": "100ms"}, "retry": {"attempts": 1}})
    number, stream = plain.ask()
    plain.end_of(stream)
    assert stream.status == 504
    assert plain.weir.exchange(status=504)["end"] == "connect_timeout"


def test_a_server_that_takes_none_is_not_asked(site):
    server = serve(site.scene, tunnels=False)
    site.serve(server=server, pool={"protocol": "h2c"}, listener={"faults": "full"})
    number, stream = site.ask()
    site.end_of(stream)
    assert stream.status == 501 and b"SETTINGS_ENABLE_CONNECT_PROTOCOL" in stream.body
    assert site.weir.exchange(status=501)["end"] == "upgrade_not_supported"
    if not site.pki:
        assert site.scene.client(site.weir).ask("GET", "/chat", *HANDSHAKE).status == 501
    assert site.http2.ask().status == 200
    assert [stream.headers[":method"] for stream in server.streams] == ["GET"]


def test_a_refusal_passes_and_nothing_is_reset(site):
    server = front(site, serve(site.scene, on_head=lambda c, s: c.respond(s, b"not you", 403), answer=None))
    number, stream = site.ask()
    assert site.end_of(stream) in (None, ERRORS.NO_ERROR)
    assert (stream.status, bytes(stream.body)) == (403, b"not you")
    eventually(lambda: server.streams[0].has_ended, "the end of the request")
    assert server.streams[0].reset is None
    record = site.weir.exchange(status=403)
    assert (record["end"], record["is_tunnel"]) == ("ok", False)


def test_both_may_end_their_halves_first(site):
    def speak(connection, stream):
        open_tunnel(connection, stream)
        if stream.path == "/server":
            connection.send(stream, b"bye", True)

    def answer(connection, stream):
        if stream.path == "/client":
            connection.send(stream, b"the rest", True)

    server = front(site, serve(site.scene, on_head=speak, on_data=None, answer=answer))
    number, stream = site.ask(path="/server")
    assert site.end_of(stream) is None and bytes(stream.body) == b"bye"
    site.http2.h2.send_data(number, b"one more thing", end_stream=True)
    site.http2.flush()
    eventually(lambda: server.streams[0].has_ended, "the client's end")
    assert bytes(server.streams[0].body) == b"one more thing" and server.streams[0].reset is None
    number, stream = site.ask(path="/client")
    site.http2.send_body(number, b"done")
    assert site.end_of(stream) is None and bytes(stream.body) == b"the rest"
    assert bytes(server.streams[1].body) == b"done" and server.streams[1].reset is None
    assert [record["end"] for record in site.weir.wait_records(2)] == ["ok"] * 2


def test_resets_pass_and_leave_the_connection_alone(site):
    server = front(site, serve(site.scene))
    number, stream = site.ask()
    connection = server.connections[0]
    with connection.lock:
        connection.refuse(server.streams[0], ERRORS.INTERNAL_ERROR)
        connection.flush()
    assert site.end_of(stream) == ERRORS.CANCEL
    assert site.weir.exchange(status=200)["end"] == "server_reset"
    number, stream = site.ask()
    site.http2.h2.reset_stream(number, ERRORS.CANCEL)
    site.http2.flush()
    eventually(lambda: server.streams[1].reset is not None, "the reset")
    assert server.streams[1].reset == ERRORS.CANCEL
    eventually(lambda: [r["end"] for r in site.weir.exchanges(status=200)].count("client_reset") == 1, "the second's record")
    assert site.http2.ask().status == 200
    assert len(server.connections) == 1 and not server.connections[0].goaways and not site.http2.goaways


def test_what_a_server_resets_behind_its_end_is_not_wanted(plain):
    def speak(connection, stream):
        open_tunnel(connection, stream)
        connection.send(stream, b"bye", True)

    server = front(plain, serve(plain.scene, on_head=speak, on_data=None, answer=None))
    number, stream = plain.ask()
    assert plain.end_of(stream) is None and bytes(stream.body) == b"bye"
    connection = server.connections[0]
    with connection.lock:
        connection.refuse(server.streams[0], ERRORS.NO_ERROR)
        connection.flush()
    plain.http2.h2.send_data(number, b"unheard")
    plain.http2.flush()
    plain.http2.until(lambda: stream.reset is not None, "the reset")
    assert plain.weir.exchange(status=200)["end"] == "server_reset"
    assert plain.http2.ask("POST", body=b"").status in (200, 502) and not plain.http2.goaways


def test_much_passes_both_ways(site):
    data = random.Random(7).randbytes(4 << 20)
    front(site, serve(site.scene))
    number, stream = site.ask()
    site.say(number, data)
    assert hashlib.sha256(site.hear(stream, len(data))).digest() == hashlib.sha256(data).digest()


def test_what_a_server_does_not_take_waits_at_the_client(plain):
    data = random.Random(8).randbytes(1 << 20)
    server = front(plain, serve(plain.scene, on_data=None, takes=False))
    number, stream = plain.ask()
    deaf, connection = server.streams[0], server.connections[0]
    sender = threading.Thread(target=plain.http2.send_body, args=(number, data, False))
    sender.start()
    eventually(lambda: len(deaf.body) == 65535, "as much as its window lets come")
    other = Http2(plain.weir.address)
    plain.scene.clients.append(other)
    assert other.ask().status == 200  # beside it
    assert sender.is_alive() and len(server.connections) == 1
    with connection.lock:
        server.takes = True
        connection.h2.acknowledge_received_data(len(deaf.body), deaf.number)
        connection.flush()
    eventually(lambda: len(deaf.body) == len(data), "the rest")
    sender.join()
    assert bytes(deaf.body) == data


def test_what_a_client_does_not_take_waits_at_the_server(plain):
    data = random.Random(9).randbytes(1 << 20)

    def speak(connection, stream):
        open_tunnel(connection, stream)
        if is_tunnel(stream):
            connection.send(stream, data, True)

    server = front(plain, serve(plain.scene, on_head=speak, on_data=None))
    deaf = Http2(plain.weir.address, takes=False)
    plain.scene.clients.append(deaf)
    stream = plain.begin(client=deaf)
    deaf.until(lambda: len(stream.body) == 65535, "as much as its window lets come")
    assert plain.http2.ask().status == 200 and len(server.connections) == 1
    assert len(server.streams[0].rest) >= len(data) - (512 << 10)
    deaf.takes = True
    deaf.h2.acknowledge_received_data(len(stream.body), stream.number)
    deaf.flush()
    deaf.until(lambda: stream.has_ended, "the rest")
    assert bytes(stream.body) == data


def test_a_tunnel_outlives_goaway(site):
    server = front(site, serve(site.scene))
    number, stream = site.ask()
    connection = server.connections[0]
    with connection.lock:
        connection.leave(server.streams[0].number)
    assert site.http2.ask().status == 200
    assert len(server.connections) == 2
    # python3-h2 itself goes on as if nothing had been said.
    site.say(number, b"hello")
    assert site.hear(stream, 5) == b"hello"
    say_last(site, number)
    assert site.end_of(stream) is None
    eventually(lambda: connection.is_closed, "the end of what was left")


def test_goaway_that_leaves_the_request_out_is_asked_again(plain):
    def leave(connection, stream):
        if connection.index == 0:
            connection.leave(0)
        else:
            open_tunnel(connection, stream)

    server = front(plain, serve(plain.scene, on_head=leave))
    number, stream = plain.ask()
    assert stream.status == 200 and len(server.connections) == 2
    plain.say(number, b"hello")
    assert plain.hear(stream, 5) == b"hello"


def test_a_server_that_goes_takes_its_tunnels_along(site):
    server = front(site, serve(site.scene))
    first, second = site.ask()[1], site.ask()[1]
    server.connections[0].close()
    assert site.end_of(first) == ERRORS.CANCEL and site.end_of(second) == ERRORS.CANCEL
    assert {record["end"] for record in site.weir.wait_records(2)} == {"server_closed"}


def test_trailers_have_no_place_in_a_tunnel(plain):
    def speak(connection, stream):
        connection.head(stream, 200)
        connection.h2.send_headers(stream.number, [("x-trailer", "1")], end_stream=True)

    front(plain, serve(plain.scene, on_head=speak, answer=None, tolerant=True))
    number, stream = plain.ask()
    assert stream.status == 200 and plain.end_of(stream) == ERRORS.CANCEL
    assert plain.weir.exchange(status=200)["end"] == "bad_response_body"
