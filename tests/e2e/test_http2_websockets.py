"""WebSockets over HTTP/2 (RFC 8441): from clients that speak it to servers that speak HTTP/1.1."""
import base64
import hashlib
import random
import struct
import threading

import h2.errors
import h2.settings
import pytest

import broken
import http2
import message
from browser import Browser
from tls import Pki
from waiting import eventually
from websocket_site import Site, accept_of, grant

ERRORS = h2.errors.ErrorCodes


def echo(connection):
    while connection.buffer or connection.fill():
        connection.send(connection.take(len(connection.buffer)))


@pytest.fixture(params=["plain", "tls"])
def site(request, scene, tmp_path):
    return Site(scene, Pki(tmp_path) if request.param == "tls" else None)


def test_a_websocket_passes_to_a_server_of_http_1(site):
    number, stream = site.open(echo)
    assert site.http2.h2.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
    assert stream.headers["x-own"] == "1" and "date" in stream.headers
    assert not {"upgrade", "connection", "sec-websocket-accept"} & set(stream.headers)
    asked = site.server.wait_requests(1)[0]
    assert (asked.method, asked.target, asked.get("Upgrade"), asked.options()) == ("GET", "/chat", "websocket", ["upgrade"])
    assert len(base64.b64decode(asked.get("Sec-WebSocket-Key"))) == 16
    assert asked.get("Sec-WebSocket-Version") == "13" and asked.get("Host") == "a.example"
    site.say(number, b"hello")
    assert site.hear(stream, 5) == b"hello"
    site.weir.wait_live(tunnels=1)
    site.say(number, b", world")
    assert site.hear(stream, 12) == b"hello, world"
    site.http2.h2.end_stream(number)
    site.http2.flush()
    assert site.end_of(stream) is None
    record = site.weir.exchange(status=200)
    assert (record["end"], record["is_tunnel"], record["method"], record["protocol"]) == ("ok", True, "GET", "HTTP/2")
    site.weir.wait_live(tunnels=0)


def test_requests_go_on_beside_it(site):
    number, stream = site.open(echo)
    site.say(number, b"one")
    assert site.http2.ask().status == 200
    site.say(number, b"two")
    assert site.hear(stream, 6) == b"onetwo"


def test_much_passes_both_ways(site):
    data = random.Random(7).randbytes(4 << 20)
    number, stream = site.open(echo)
    site.say(number, data)
    assert hashlib.sha256(site.hear(stream, len(data))).digest() == hashlib.sha256(data).digest()


def test_the_first_bytes_need_not_wait_for_the_answer(site):
    asked = threading.Event()
    site.serve(broken.wait_for(asked), grant, echo)
    client = site.http2
    number = client.h2.get_next_available_stream_id()
    client.h2.send_headers(number, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", client.scheme),
                                    (":path", "/chat"), (":authority", "a.example")])
    site.say(number, b"eager")
    asked.set()
    assert site.hear(client.streams[number], 5) == b"eager"


def test_a_server_may_end_its_half(site):
    number, stream = site.open(broken.send(b"bye"), broken.half_close, broken.wait_end)
    assert site.end_of(stream) is None and bytes(stream.body) == b"bye"
    site.http2.h2.send_data(number, b"one more thing", end_stream=True)
    site.http2.flush()
    assert site.server.wait_end_of() == "eof"
    assert site.server.connections[0].rest == b"one more thing"
    assert site.weir.exchange(status=200)["end"] == "ok"


def test_a_client_may_end_its_half(site):
    number, stream = site.open(broken.wait_end, broken.send(b"the rest"), broken.close)
    site.http2.send_body(number, b"done")
    assert site.end_of(stream) is None and bytes(stream.body) == b"the rest"
    assert site.server.wait_end_of() == "eof"
    assert site.server.connections[0].rest == b"done"


def test_a_reset_of_the_client_is_one_of_the_servers_connection(site):
    number, stream = site.open(broken.wait_end)
    site.http2.h2.reset_stream(number, ERRORS.CANCEL)
    site.http2.flush()
    assert site.server.wait_end_of() == "reset"
    assert site.weir.exchange(status=200)["end"] == "client_reset"
    assert not site.http2.goaways


def test_a_reset_of_a_client_that_has_said_its_last_is_noticed(site):
    number, stream = site.open(broken.wait_end, broken.wait_hangup)
    site.http2.send_body(number, b"done")
    assert site.server.wait_end_of() == "eof"
    site.server.connections[0].end = None
    # python3-h2 itself has no way to reset what it has ended.
    site.http2.send(http2.frame(http2.RST_STREAM, stream=number, payload=int(ERRORS.CANCEL).to_bytes(4, "big")))
    assert site.server.wait_end_of() == "reset"
    assert site.weir.exchange(status=200)["end"] == "client_reset"
    assert not site.http2.goaways


def test_a_reset_of_the_server_is_one_of_the_stream(site):
    number, stream = site.open(broken.receive_bytes(4), broken.reset)
    site.say(number, b"done")
    assert site.end_of(stream) == ERRORS.CANCEL
    assert site.weir.exchange(status=200)["end"] == "server_reset"


def test_a_client_that_goes_takes_its_tunnels_along(site):
    site.open(broken.wait_end)
    site.http2.close()
    assert site.server.wait_end_of() == "reset"
    assert site.weir.exchange(status=200)["end"] == "client_reset"


def test_a_refusal_is_an_ordinary_answer(site):
    site.serve(broken.send(message.response(403, body=b"not you", reason="Forbidden")))
    number, stream = site.ask()
    assert site.end_of(stream) in (None, ERRORS.NO_ERROR)
    assert (stream.status, bytes(stream.body)) == (403, b"not you")
    record = site.weir.exchange(status=403)
    assert (record["end"], record["is_tunnel"]) == ("ok", False)


@pytest.mark.parametrize("answer", ["ignored", "wrong"])
def test_what_is_no_handshake_is_the_servers_fault(site, answer):
    answers = {"ignored": message.response(200, body=b"a page"),
               "wrong": message.response(101, ("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                         ("Sec-WebSocket-Accept", accept_of("x" * 24)), body=None, reason="Switching")}
    site.serve(broken.send(answers[answer]), broken.wait_end)
    number, stream = site.ask()
    site.end_of(stream)
    assert stream.status == 502
    assert site.weir.exchange(status=502)["end"] == "bad_response"


@pytest.mark.parametrize("case", ["protocol", "route", "own"])
def test_what_cannot_be_had_is_not_implemented(site, case):
    options = {"protocol": {}, "route": {"listener": {"routes": {"r": {"pool": "web", "upgrade": []}}}},
               "own": {"listener": {"routes": {"r": {"respond": "hello"}}}}}[case]
    site.serve(**options)
    number, stream = site.ask(protocol="connect-udp" if case == "protocol" else "websocket")
    site.end_of(stream)
    assert stream.status == 501
    assert site.weir.exchange(status=501)["end"] == "upgrade_not_supported"


def test_an_error_is_never_told_as_a_call_that_failed(site):
    """To gRPC's clients weir's errors are a 200, which here would say that the tunnel is open."""
    site.serve(listener={"routes": {"r": {"pool": "web", "upgrade": []}}})
    number, stream = site.ask(("content-type", "application/grpc"))
    site.end_of(stream)
    assert stream.status == 501 and "grpc-status" not in stream.headers


def test_what_was_not_announced_is_malformed(site):
    site.serve(listener={"http2": {"websockets": False}})
    assert site.http2.h2.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 0
    number, stream = site.ask()
    assert site.end_of(stream) == ERRORS.PROTOCOL_ERROR
    assert site.weir.exchange(end="bad_request")["status"] == 400


def test_what_is_silent_for_too_long_is_cut(site):
    number, stream = site.open(broken.wait_end, pool={"timeouts": {"idle": "300ms"}})
    assert site.end_of(stream) == ERRORS.CANCEL
    assert site.weir.exchange(status=200)["end"] == "idle_timeout"
    assert not site.http2.goaways


def test_tunnels_go_on_while_weir_drains(site):
    number, stream = site.open(echo)
    site.weir.terminate()
    heard = b""  # python3-h2 itself would say no more behind a GOAWAY
    while bytes([http2.GOAWAY]) + b"\0\0\0\0\0\x7f\xff\xff\xff" not in heard:
        heard += site.http2.sock.recv(65536)
    site.http2.send(http2.frame(http2.DATA, stream=number, payload=b"more"))
    while b"more" not in heard:
        data = site.http2.sock.recv(65536)
        assert data, heard
        heard += data
    site.http2.close()
    assert site.weir.wait_exit() == 0


def read_frame(connection):
    """A WebSocket's frame of a client: its opcode, and its payload unmasked."""
    first, size = connection.read_exactly(2)
    size &= 0x7f
    if size == 126:
        size, = struct.unpack("!H", connection.read_exactly(2))
    mask = connection.read_exactly(4)
    return first & 0xf, bytes(byte ^ mask[at % 4] for at, byte in enumerate(connection.read_exactly(size)))


def converse(connection):
    """Echoes messages until the client closes."""
    opcode = None
    while opcode != 8:
        opcode, payload = read_frame(connection)
        connection.send(bytes([0x80 | opcode, len(payload)]) + payload)


def test_chromium_speaks_through_it(scene, tmp_path):
    pki = Pki(tmp_path)
    page = message.response(200, ("Content-Type", "text/html"), ("Connection", "close"), body=b"<title>page</title>")

    def answer(connection):
        if connection.request.has("Upgrade"):
            grant(connection)
            converse(connection)
        else:
            connection.send(page)

    server = scene.server([broken.receive, answer, broken.wait_end])
    weir = scene.proxy(server, listener={"tls": {"certificates": [pki.make("a", "a.example", "IP:127.0.0.1")]}})
    browser = Browser(tmp_path, arguments=["--ignore-certificate-errors"])
    try:
        host, port = weir.address
        browser.open(f"https://{host}:{port}/")
        said = browser.run(f"""new Promise((done, failed) => {{
            const socket = new WebSocket("wss://{host}:{port}/chat"), heard = [];
            socket.onopen = () => {{ socket.send("hello"); socket.send("world"); }};
            socket.onmessage = event => {{ heard.push(event.data); if (heard.length === 2) socket.close(1000); }};
            socket.onclose = event => done([...heard, event.code]);
        }})""")
        assert said == ["hello", "world", 1000]
    finally:
        browser.close()
    record = eventually(lambda: next((r for r in weir.exchanges() if r["target"] == "/chat"), None), "the tunnel's record")
    assert (record["status"], record["protocol"], record["is_tunnel"]) == (200, "HTTP/2", True)
