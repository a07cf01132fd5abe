"""gRPC through weir: every kind of call over HTTP/2 on both sides, byte by byte as its protocol has it; statuses in records
and metrics; and weir's own faults in the words of gRPC."""
import struct
import urllib.parse

import h2.errors
import pytest

from http2 import Http2
from http2_server import Http2Server
from waiting import eventually

ERRORS = h2.errors.ErrorCodes
TYPE = ("content-type", "application/grpc")
ASKED = (TYPE, ("te", "trailers"), ("grpc-timeout", "20S"))
UNAVAILABLE, UNIMPLEMENTED, DEADLINE_EXCEEDED = "14", "12", "4"


def pack(*messages):
    """Messages as gRPC frames them."""
    return b"".join(struct.pack(">BI", 0, len(m)) + m for m in messages)


def unpack(data):
    messages, data = [], bytes(data)
    while data:
        length = struct.unpack(">I", data[1:5])[0]
        messages.append(data[5:5 + length])
        data = data[5 + length:]
    return messages


class Site:
    def __init__(self, scene):
        self.scene = scene

    def open(self, answer=None, pool=None, **options):
        self.server = Http2Server(answer, **options)
        self.scene.servers.append(self.server)
        self.weir = self.scene.proxy(self.server, pool={"protocol": "h2c", **(pool or {})})
        return self.server

    def client(self):
        client = Http2(self.weir.address)
        self.scene.clients.append(client)
        return client

    def record(self):
        return self.weir.wait_records(1)[0]


@pytest.fixture
def site(scene):
    return Site(scene)


def finish(connection, stream, *messages, status="0", **fields):
    connection.head(stream, 200, TYPE)
    connection.send(stream, pack(*messages), [("grpc-status", status), *fields.items()])


def test_a_unary_call(site):
    server = site.open(lambda c, s: finish(c, s, *unpack(s.body)))
    answered = site.client().ask("POST", "/echo.Echo/Say", *ASKED, body=pack(b"hello"))
    assert unpack(answered.body) == [b"hello"]
    assert answered.trailers == {"grpc-status": "0"}
    got = server.streams[0].headers
    assert (got["te"], got["grpc-timeout"], got[":path"]) == ("trailers", "20S", "/echo.Echo/Say")
    record = site.record()
    assert (record["status"], record["grpc_status"], record["protocol"]) == (200, 0, "HTTP/2")
    assert site.weir.metric("weir_grpc_responses_total", listener="web", status="0") == 1


def test_messages_of_a_server_come_one_by_one(site):
    def on_head(connection, stream):
        connection.head(stream, 200, TYPE)

    server = site.open(on_head=on_head)
    client = site.client()
    number = client.request("POST", "/echo.Echo/Watch", *ASKED, body=pack(b"x"))
    stream = server.wait_streams(1)[0]
    seen = client.streams[number]
    for i in range(5):
        with stream.connection.lock:
            stream.connection.h2.send_data(stream.number, pack(b"%d" % i))
            stream.connection.flush()
        client.until(lambda: len(unpack(seen.body)) == i + 1, "the next message")
    with stream.connection.lock:
        stream.connection.h2.send_headers(stream.number, [("grpc-status", "0")], end_stream=True)
        stream.connection.flush()
    assert client.read(number).trailers == {"grpc-status": "0"}


def test_messages_of_both_go_to_and_fro(site):
    def on_data(connection, stream, data):
        connection.h2.send_data(stream.number, data)

    def on_head(connection, stream):
        connection.head(stream, 200, TYPE)

    def answer(connection, stream):
        connection.h2.send_headers(stream.number, [("grpc-status", "0")], end_stream=True)

    site.open(answer, on_head=on_head, on_data=on_data)
    client = site.client()
    number = client.request("POST", "/echo.Echo/Chat", *ASKED, ends=False)
    seen = client.streams[number]
    for i in range(20):
        client.h2.send_data(number, pack(b"%d" % i))
        client.flush()
        client.until(lambda: len(unpack(seen.body)) == i + 1, "the echo")
    client.h2.end_stream(number)
    client.flush()
    assert client.read(number).trailers == {"grpc-status": "0"}


def test_a_stream_of_a_client_is_counted_at_its_end(site):
    site.open(lambda c, s: finish(c, s, b"%d" % len(unpack(s.body))))
    client = site.client()
    number = client.request("POST", "/echo.Echo/Collect", *ASKED, ends=False)
    for i in range(30):
        client.h2.send_data(number, pack(b"message %d" % i))
        client.flush()
    client.h2.end_stream(number)
    client.flush()
    assert unpack(client.read(number).body) == [b"30"]


def test_an_answer_of_trailers_alone_passes_as_it_is(site):
    site.open(lambda c, s: c.head(s, 200, TYPE, ("grpc-status", "5"), ("grpc-message", "nobody%20here"), ends=True))
    answered = site.client().ask("POST", "/a.B/C", *ASKED, body=pack(b"x"))
    assert answered.headers["grpc-status"] == "5" and answered.headers["grpc-message"] == "nobody%20here"
    assert "content-length" not in answered.headers and not answered.body and answered.trailers is None
    record = site.record()
    assert (record["status"], record["grpc_status"], record["end"]) == (200, 5, "ok")


# The time that a client gives its call


def asked(timeout):
    return (TYPE, ("te", "trailers"), ("grpc-timeout", timeout))


def test_a_call_ends_when_the_time_that_its_client_gave_is_over(site):
    """Also of a client that does not see to that itself, before a server that does not either."""
    server = site.open()
    answered = site.client().ask("POST", "/a.B/C", *asked("200m"), body=pack(b"x"))
    assert (answered.headers[":status"], answered.headers["grpc-status"]) == ("200", DEADLINE_EXCEEDED)
    assert urllib.parse.unquote(answered.headers["grpc-message"]).startswith(
        "The time that the client gave its call (grpc-timeout) ran out")
    eventually(lambda: server.streams[0].reset == ERRORS.CANCEL, "RST_STREAM at the server")
    assert server.streams[0].headers["grpc-timeout"] == "200m"
    record = site.record()
    assert (record["end"], record["grpc_status"], record["origin"]) == ("grpc_timeout", 4, "client")
    assert len(record["attempts"]) == 1


def test_an_answer_that_has_begun_ends_so_too(site):
    def on_head(connection, stream):
        connection.head(stream, 200, TYPE)
        connection.h2.send_data(stream.number, pack(b"first"))

    server = site.open(on_head=on_head)
    answered = site.client().ask("POST", "/a.B/Watch", *asked("300000u"), body=pack(b"x"))
    assert unpack(answered.body) == [b"first"]
    assert answered.trailers["grpc-status"] == DEADLINE_EXCEEDED
    eventually(lambda: server.streams[0].reset == ERRORS.CANCEL, "RST_STREAM at the server")
    record = site.record()
    assert (record["end"], record["status"], record["grpc_status"]) == ("grpc_timeout", 200, 4)


def test_a_time_that_is_over_already_asks_nobody_for_long(site):
    site.open()
    answered = site.client().ask("POST", "/a.B/C", *asked("0n"), body=pack(b"x"))
    assert answered.headers["grpc-status"] == DEADLINE_EXCEEDED


def test_the_lesser_of_two_times_counts(site):
    site.open(pool={"timeouts": {"total": "200ms"}})
    answered = site.client().ask("POST", "/a.B/C", *asked("1H"), body=pack(b"x"))
    assert answered.headers["grpc-status"] == DEADLINE_EXCEEDED
    assert site.record()["end"] == "total_timeout"


def test_what_is_no_time_is_the_servers_to_judge(site):
    server = site.open(lambda c, s: finish(c, s, *unpack(s.body)))
    for timeout in ("0s", "1", "S", "123456789S", "-1S", "1S, 0n"):
        assert site.client().ask("POST", "/a.B/C", *asked(timeout), body=pack(b"x")).trailers == {"grpc-status": "0"}
        assert server.streams[-1].headers["grpc-timeout"] == timeout


def test_a_server_that_breaks_off_its_answer_is_a_status_behind_it(site):
    def on_head(connection, stream):
        connection.head(stream, 200, TYPE)
        connection.h2.send_data(stream.number, pack(b"first"))
        connection.flush()
        connection.close()

    site.open(on_head=on_head)
    answered = site.client().ask("POST", "/a.B/Watch", *ASKED, body=pack(b"x"))
    assert unpack(answered.body) == [b"first"] and answered.trailers["grpc-status"] == UNAVAILABLE
    record = site.record()
    assert (record["end"], record["grpc_status"]) == ("response_cut", 14)
    assert "in the middle of its response" in urllib.parse.unquote(answered.trailers["grpc-message"])


def test_the_access_log_has_the_status(scene, tmp_path):
    site = Site(scene)
    path = tmp_path / "access.log"
    site.server = Http2Server(lambda c, s: c.respond(s) if s.path == "/plain" else finish(c, s, status="5"))
    scene.servers.append(site.server)
    site.weir = scene.proxy(site.server, pool={"protocol": "h2c"},
                            access_log={"path": str(path), "format": "$request_uri $status $weir_grpc_status"})
    client = site.client()
    client.ask("POST", "/a.B/C", *ASKED, body=pack(b"x"))
    client.ask("GET", "/plain")
    eventually(lambda: path.exists() and path.read_text().count("\n") == 2, "two lines")
    assert path.read_text().splitlines() == ["/a.B/C 200 5", "/plain 200 -"]


def test_a_cancelled_call_is_cancelled_at_the_server(site):
    server = site.open(on_head=lambda c, s: c.head(s, 200, TYPE))
    client = site.client()
    number = client.request("POST", "/a.B/C", *ASKED, ends=False)
    stream = server.wait_streams(1)[0]
    client.until(lambda: client.streams[number].headers, "the head")
    client.h2.reset_stream(number, ERRORS.CANCEL)
    client.flush()
    eventually(lambda: stream.reset is not None, "RST_STREAM at the server")
    assert stream.reset == ERRORS.CANCEL
    assert site.record()["end"] == "client_abort"


FAULTS = {
    "no server": ({"servers": ["127.0.0.1:1"]}, UNAVAILABLE, "connect_refused"),
    "no answer": ({"timeouts": {"first_byte": "200ms"}}, DEADLINE_EXCEEDED, "first_byte_timeout"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_weirs_own_faults_are_statuses(site, name):
    pool, status, end = FAULTS[name]
    site.open(pool=pool)
    answered = site.client().ask("POST", "/a.B/C", *ASKED, body=pack(b"x"))
    assert answered.status == 200 and answered.headers["content-type"] == "application/grpc"
    assert answered.headers["grpc-status"] == status and not answered.body
    assert "content-length" not in answered.headers
    assert "server" in urllib.parse.unquote(answered.headers["grpc-message"]).lower()
    record = site.record()
    assert (record["end"], record["grpc_status"], record["is_local_reply"]) == (end, int(status), True)


def test_others_are_told_in_http(site):
    site.open(pool={"servers": ["127.0.0.1:1"]})
    answered = site.client().ask("POST", "/a.B/C", ("content-type", "application/grpcx"), body=b"x")
    assert answered.status == 502 and "grpc-status" not in answered.headers
    assert site.record()["grpc_status"] is None
