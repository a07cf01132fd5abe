"""Responses that are not correct HTTP/1.1: a 502 with its reason and nothing passed on; where the head was correct and
has gone out already, a visible end instead of a whole-looking response. On new and on reused connections."""
import itertools

import pytest

import broken
import message
from scene import Scene
from weir import listen_at_free_port, make_config

OK = b"HTTP/1.1 200 OK\r\n"
POISON = b"poison"


def fields(*lines, body=POISON):
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


# name: (bytes, end reason)
HEADS = {
    "no HTTP": (b"poison poison poison\r\n\r\n", "bad_response"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad_response"),
    "a request": (b"GET /poison HTTP/1.1\r\n\r\n", "bad_response"),
    "TLS": (b"\x15\x03\x01\0\2\2\x46\r\n\r\n", "bad_response"),
    "HTTP/0.9": (b"<html>poison</html>", "bad_response"),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\n\r\npoison", "bad_response"),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\n\r\npoison", "bad_response"),
    "HTTP/1": (b"HTTP/1 200 OK\r\n\r\npoison", "bad_response"),
    "lower case": (b"http/1.1 200 OK\r\n\r\npoison", "bad_response"),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\npoison", "bad_response"),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\npoison", "bad_response"),
    "a status below 100": (b"HTTP/1.1 099 No\r\n\r\npoison", "bad_response"),
    "a status with letters": (b"HTTP/1.1 2xx OK\r\n\r\npoison", "bad_response"),
    "a negative status": (b"HTTP/1.1 -20 OK\r\n\r\npoison", "bad_response"),
    "two spaces": (b"HTTP/1.1  200 OK\r\n\r\npoison", "bad_response"),
    "a tab": (b"HTTP/1.1\t200 OK\r\n\r\npoison", "bad_response"),
    "LF after the status line": (b"HTTP/1.1 200 OK\nContent-Length: 6\r\n\r\npoison", "bad_response"),
    "NUL in the reason": (b"HTTP/1.1 200 O\0K\r\nContent-Length: 6\r\n\r\npoison", "bad_response"),
    "CR in the reason": (b"HTTP/1.1 200 O\rK\r\nContent-Length: 6\r\n\r\npoison", "bad_response"),
    "an empty line first": (b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "bad_response"),
    "bare LF after a field": (OK + b"Content-Length: 6\n\r\npoison", "bad_response"),
    "bare LF at the end": (OK + b"Content-Length: 6\r\n\npoison", "bad_response"),
    "bare CR in a value": (fields(b"X-A: a\rb", b"Content-Length: 6"), "bad_response"),
    "NUL in a value": (fields(b"X-A: a\0b", b"Content-Length: 6"), "bad_response"),
    "control byte in a value": (fields(b"X-A: a\x01b", b"Content-Length: 6"), "bad_response"),
    "NUL in a name": (fields(b"X\0A: a", b"Content-Length: 6"), "bad_response"),
    "obs-fold": (fields(b"X-A: a", b" b", b"Content-Length: 6"), "bad_response"),
    "space within a field name": (fields(b"Content Length: 6"), "bad_response"),
    "no colon": (fields(b"poison", b"Content-Length: 6"), "bad_response"),
    "no name": (fields(b": poison", b"Content-Length: 6"), "bad_response"),
    "CL of letters": (fields(b"Content-Length: six"), "bad_response"),
    "CL negative": (fields(b"Content-Length: -6"), "bad_response"),
    "CL with plus": (fields(b"Content-Length: +6"), "bad_response"),
    "CL empty": (fields(b"Content-Length:"), "bad_response"),
    "CL over 63 bits": (fields(b"Content-Length: 9223372036854775808"), "bad_response"),
    "CL list of different": (fields(b"Content-Length: 6, 7"), "bad_response"),
    "CL twice, different": (fields(b"Content-Length: 6", b"Content-Length: 7"), "bad_response"),
    "CL and TE": (fields(b"Content-Length: 6", b"Transfer-Encoding: chunked"), "bad_response"),
    "TE on 1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n", "bad_response"),
    "TE gzip": (fields(b"Transfer-Encoding: gzip"), "bad_response"),
    "TE gzip, chunked": (fields(b"Transfer-Encoding: gzip, chunked", body=b"6\r\npoison\r\n0\r\n\r\n"), "bad_response"),
    "TE chunked, gzip": (fields(b"Transfer-Encoding: chunked, gzip"), "bad_response"),
    "TE chunked twice": (fields(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), "bad_response"),
    "TE xchunked": (fields(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), "bad_response"),
    "TE with a vertical tab": (fields(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), "bad_response"),
    "101 unasked": (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\npoison",
                    "bad_response"),
    "a bad head after a good 103": (b"HTTP/1.1 103 Early Hints\r\n\r\npoison\r\n\r\n", "bad_response"),
    "a head over the limit": (fields(*[b"X-%d: " % number + b"x" * 1000 for number in range(80)],
                                     b"Content-Length: 6"), "response_head_too_large"),
    "a field over the limit": (fields(b"X-Long: " + b"x" * 70000, b"Content-Length: 6"), "response_head_too_large"),
    "too many fields": (fields(*[b"X-%d: 1" % number for number in range(300)], b"Content-Length: 6"),
                        "response_head_too_large"),
}

CHUNKED = fields(b"Transfer-Encoding: chunked", body=b"")
BODIES = {
    "a size that is no number": (CHUNKED + b"g\r\npoison\r\n0\r\n\r\n", "bad_response_body"),
    "a negative size": (CHUNKED + b"-6\r\npoison\r\n0\r\n\r\n", "bad_response_body"),
    "a size with 0x": (CHUNKED + b"0x6\r\npoison\r\n0\r\n\r\n", "bad_response_body"),
    "no size": (CHUNKED + b"\r\npoison\r\n0\r\n\r\n", "bad_response_body"),
    "a size over 64 bits": (CHUNKED + b"10000000000000006\r\npoison\r\n0\r\n\r\n", "bad_response_body"),
    "a size in LF": (CHUNKED + b"6\npoison\r\n0\r\n\r\n", "bad_response_body"),
    "a bad second chunk": (CHUNKED + b"5\r\nhello\r\nxx\r\npoison\r\n0\r\n\r\n", "bad_response_body"),
    "data longer than its size": (CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n", "bad_response_body"),
    "data that ends in LF": (CHUNKED + b"5\r\nhello\n0\r\n\r\n", "bad_response_body"),
    "an extension with a control byte": (CHUNKED + b"5;\x01\r\nhello\r\n0\r\n\r\n", "bad_response_body"),
    "a trailer without a colon": (CHUNKED + b"5\r\nhello\r\n0\r\npoison\r\n\r\n", "bad_response_body"),
    "a folded trailer": (CHUNKED + b"5\r\nhello\r\n0\r\nX-A: 1\r\n 2\r\n\r\n", "bad_response_body"),
    "trailers over the limit": (CHUNKED + b"0\r\nX-A: " + b"x" * 100000 + b"\r\n\r\n", "bad_response_body"),
    "an end within the length": (fields(b"Content-Length: 100", body=b"x" * 99), "response_cut"),
    "an end before a byte of the length": (fields(b"Content-Length: 100", body=b""), "response_cut"),
    "an end within a chunk": (CHUNKED + b"64\r\nhello", "response_cut"),
    "an end between chunks": (CHUNKED + b"5\r\nhello\r\n", "response_cut"),
    "an end before the last line": (CHUNKED + b"5\r\nhello\r\n0\r\n", "response_cut"),
    "an end within the trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nX-A: 1\r\n", "response_cut"),
}
CASES = {**HEADS, **BODIES}


class Range:
    """One weir for all cases of this file: a listener whose connections to the server are always new, and one whose
    connections are kept."""

    def __init__(self, scene):
        self.scene = scene
        self.server = scene.server([self.serve])
        config = make_config([self.server], pool={"retry": {"attempts": 1}},
                             pools={"new": {"servers": [self.server.address], "idle_connections": 0,
                                            "retry": {"attempts": 1}}})
        config["listeners"]["new"] = {"bind": listen_at_free_port(), "pool": "new", "faults": "full"}
        self.weir = scene.weir(config)
        self.ids = itertools.count()

    def serve(self, connection):
        while True:
            broken.receive(connection)
            name = connection.request.get("X-Case")
            if name is None:
                connection.send(message.response())
                continue
            data = CASES[name][0]
            if connection.request.has("X-Size"):
                connection.send_pieces(data, int(connection.request.get("X-Size")))
            else:
                connection.send(data)
            if connection.request.get("X-Then") == "reset":
                connection.reset()
                raise broken.Stop
            connection.half_close()
            broken.wait_end(connection)
            return

    def ask(self, way, name, *fields):
        """A client that has asked for a bad response."""
        if way == "reused":
            client = self.scene.client(self.weir)
            assert client.ask("GET", "/warm", ("Connection", "close")).status == 200
            client.close()
            self.weir.wait_live(exchanges=0)
        client = self.scene.client(self.weir, listener="web" if way == "reused" else "new")
        self.request_id = f"request-{next(self.ids)}"
        client.send(message.request("GET", "/bad", ("X-Case", name), ("X-Request-Id", self.request_id), *fields))
        return client

    def record(self, way):
        """Of the latest bad response."""
        record = self.weir.exchange(pool="web" if way == "reused" else "new", request_id=self.request_id)
        assert record["attempts"][-1]["is_reused"] == (way == "reused")
        return record


@pytest.fixture(scope="module")
def shooting_range(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("bad-responses"))
    yield Range(scene)
    scene.finish()


@pytest.fixture(params=["new", "reused"])
def way(request):
    return request.param


@pytest.mark.parametrize("name", HEADS)
def test_a_bad_head_is_a_502_with_its_reason(shooting_range, way, name):
    client = shooting_range.ask(way, name)
    response = client.read()
    assert response.status == 502
    assert "poison" not in response.raw_head.decode("latin-1") + response.text
    assert shooting_range.request_id in response.text
    assert client.ask("GET", "/well").status == 200  # the client's connection goes on
    record = shooting_range.record(way)
    assert record["end"] == HEADS[name][1]
    assert record["origin"] == "server"
    if record["end"] == "response_head_too_large" and "fields" not in name:
        assert "65536" in response.text


@pytest.mark.parametrize("name", [name for name in HEADS if len(HEADS[name][0]) < 1000])
def test_it_makes_no_difference_how_a_bad_head_is_cut(shooting_range, way, name):
    client = shooting_range.ask(way, name, ("X-Size", "3"))
    response = client.read()
    assert response.status == 502
    assert shooting_range.record(way)["end"] == HEADS[name][1]


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_ends_visibly(shooting_range, way, name):
    client = shooting_range.ask(way, name)
    heads = []
    try:
        response = message.read_response(client, "GET", into=heads)
    except (message.Ended, ConnectionResetError):
        assert heads and heads[0].status == 200
        assert POISON not in heads[0].body
    else:
        assert response.status == 502, "the response looks whole"
    shooting_range.weir.wait_live(exchanges=0)
    assert shooting_range.record(way)["end"] == BODIES[name][1]


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_ends_visibly_for_a_client_of_1_0(shooting_range, name):
    """Its body may go to the connection's end: only a reset tells it apart from a whole one."""
    client = shooting_range.scene.client(shooting_range.weir)
    client.send(message.request("GET", "/bad", ("X-Case", name), version="1.0"))
    heads = []
    try:
        response = message.read_response(client, "GET", into=heads)
    except (message.Ended, ConnectionResetError):
        return
    assert response.status == 502, "the response looks whole"


@pytest.mark.parametrize("size", [1, 10, 19, 30])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_head_that_breaks_off_is_a_502(relay, size, how):
    data = message.response()[:size]
    steps = [broken.receive, broken.send(data), broken.close if how == "fin" else broken.reset]
    client = relay.open(*steps)
    response = client.ask()
    assert response.status == 502
    assert relay.weir.exchange(status=502)["end"] in (("server_closed",) if how == "fin"
                                                      else ("server_reset", "server_closed"))
    assert len(relay.requests) == 1  # a byte had come: never again


def test_a_close_delimited_response_that_is_reset_is_reset_for_a_client_of_1_0(relay):
    client = relay.open(broken.receive, broken.send(message.response(body=None) + b"half"), broken.reset)
    client.send(message.request(version="1.0"))
    client.check_reset()


def test_a_close_delimited_response_that_is_reset_ends_without_its_last_chunk(relay):
    client = relay.open(broken.receive, broken.send(message.response(body=None) + b"half"), broken.reset)
    client.send(message.request())
    client.read_cut()
    assert relay.weir.exchange(end="server_reset")


@pytest.mark.parametrize("answer, method", [
    (message.response(body=b"poison"), "HEAD"),
    (message.response(204, body=None) + b"poison", "GET"),
    (message.response(304, body=None) + b"poison", "GET"),
], ids=["HEAD", "204", "304"])
def test_a_body_where_none_may_be_is_not_passed_on(relay, answer, method):
    client = relay.open(broken.receive, broken.send(answer), broken.wait_end, then=[broken.serve()])
    assert client.ask(method).status in (200, 204, 304)
    response = client.ask("GET", "/next")
    assert (response.status, response.text) == (200, "ok")
    assert relay.requests[-1].connection == 1


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_no_response_at_all_is_a_502(relay, first):
    client = relay.open(broken.receive, broken.send(first), broken.close)
    client.send(message.request("POST", "/", body=b"x"))
    assert client.read("POST").status == 502
    assert relay.weir.exchange(status=502)["end"] == "server_closed"


def test_the_same_content_length_twice_is_refused_or_made_one(relay):
    answer = fields(b"Content-Length: 2", b"Content-Length: 2", body=b"ok")
    client = relay.open(broken.receive, broken.send(answer), broken.serve())
    response = client.ask()
    assert response.status == 502 or response.get("Content-Length") == "2"


def test_limits_for_responses_can_be_set_lower(scene):
    server = scene.server([broken.serve(lambda request: message.response(200, ("X-A", "x" * 3000)))])
    weir = scene.proxy(server, pool={"limits": {"head": "2KiB"}})
    response = scene.client(weir).ask()
    assert response.status == 502
    assert "2048" in response.text
    assert weir.exchange(status=502)["end"] == "response_head_too_large"
