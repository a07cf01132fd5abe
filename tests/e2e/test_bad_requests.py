"""Requests that are not correct HTTP/1.1, among them those that smuggle: each gets a fault and the end of its connection,
and nothing of it, or behind it, reaches a server."""
import itertools

import pytest

import broken
import message
from scene import Scene

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"
HOST = b"Host: example.test\r\n"


def fields(*lines):
    """A POST with these lines as its fields."""
    return b"POST /bad HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def line(text):
    """A request with this first line."""
    return text + b"\r\n" + HOST + b"\r\n"


CORPUS = {
    # line ends
    "bare LF after the request line": (b"GET /bad HTTP/1.1\n" + HOST + b"\r\n", 400),
    "bare LF after a field": (b"GET /bad HTTP/1.1\r\nHost: example.test\n\r\n", 400),
    "bare LF at the head's end": (b"GET /bad HTTP/1.1\r\n" + HOST + b"\n", 400),
    "bare LF everywhere": (b"GET /bad HTTP/1.1\nHost: example.test\n\n", 400),
    "bare CR in a value": (fields(b"X-A: a\rb"), 400),
    "bare CR before a name": (fields(b"\rX-A: a"), 400),
    "CR CR LF": (fields(b"X-A: a\r"), 400),
    "bare CR in the request line": (b"GET /bad\rHTTP/1.1\r\n" + HOST + b"\r\n", 400),
    # field lines
    "obs-fold": (fields(b"X-A: a", b" b"), 400),
    "obs-fold with a tab": (fields(b"X-A: a", b"\tb"), 400),
    "white space before the first field": (b"GET /bad HTTP/1.1\r\n Host: example.test\r\n\r\n", 400),
    "space before the colon": (fields(b"X-A : a"), 400),
    "tab before the colon": (fields(b"X-A\t: a"), 400),
    "no name": (fields(b": a"), 400),
    "no colon": (fields(b"X-A"), 400),
    "space in a name": (fields(b"X A: a"), 400),
    "NUL in a name": (fields(b"X\0A: a"), 400),
    "NUL in a value": (fields(b"X-A: a\0b"), 400),
    "control byte in a value": (fields(b"X-A: a\x01b"), 400),
    "DEL in a value": (fields(b"X-A: a\x7fb"), 400),
    "high byte in a name": (fields(b"X-\xe9: a"), 400),
    "bracket in a name": (fields(b"X(A): a"), 400),
    # Host
    "no Host": (b"GET /bad HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (fields(b"Host: example.test"), 400),
    "two different Hosts": (fields(b"Host: other.test"), 400),
    "Host with a space": (b"GET /bad HTTP/1.1\r\nHost: exa mple\r\n\r\n", 400),
    "Host with user information": (b"GET /bad HTTP/1.1\r\nHost: user@example.test\r\n\r\n", 400),
    "Host with a path": (b"GET /bad HTTP/1.1\r\nHost: example.test/x\r\n\r\n", 400),
    "Host with a bad port": (b"GET /bad HTTP/1.1\r\nHost: example.test:99999\r\n\r\n", 400),
    "Host list": (b"GET /bad HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400),
    # Content-Length
    "CL twice, equal": (fields(b"Content-Length: 5", b"Content-Length: 5") + b"hello", 400),
    "CL twice, different": (fields(b"Content-Length: 5", b"Content-Length: 6") + b"hello!", 400),
    "CL list": (fields(b"Content-Length: 5, 5") + b"hello", 400),
    "CL with plus": (fields(b"Content-Length: +5") + b"hello", 400),
    "CL negative": (fields(b"Content-Length: -5") + b"hello", 400),
    "CL hexadecimal": (fields(b"Content-Length: 0x5") + b"hello", 400),
    "CL empty": (fields(b"Content-Length: "), 400),
    "CL with a letter": (fields(b"Content-Length: 5a") + b"hello", 400),
    "CL with a space within": (fields(b"Content-Length: 5 5") + b"hello", 400),
    "CL decimal": (fields(b"Content-Length: 5.0") + b"hello", 400),
    "CL over 64 bits": (fields(b"Content-Length: 18446744073709551621") + b"hello", 400),
    "CL over 63 bits": (fields(b"Content-Length: 9223372036854775808") + b"hello", 400),
    "CL with many digits": (fields(b"Content-Length: " + b"9" * 100), 400),
    "CL with a vertical tab": (fields(b"Content-Length: \x0b5") + b"hello", 400),
    "CL with a high digit": (fields("Content-Length: ５".encode()) + b"hello", 400),
    # Transfer-Encoding
    "CL before TE": (fields(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "TE before CL": (fields(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n", 400),
    "TE and CL of zero": (fields(b"Transfer-Encoding: chunked", b"Content-Length: 0") + b"0\r\n\r\n", 400),
    "TE and a bad CL": (fields(b"Transfer-Encoding: chunked", b"Content-Length: x") + b"0\r\n\r\n", 400),
    "TE on 1.0": (b"POST /bad HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE with space before the colon": (fields(b"Transfer-Encoding : chunked") + b"0\r\n\r\n", 400),
    "TE with a vertical tab": (fields(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n", 400),
    "TE with NUL": (fields(b"Transfer-Encoding: chunked\0") + b"0\r\n\r\n", 400),
    "TE in quotes": (fields(b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n", 400),
    "TE xchunked": (fields(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", 400),
    "TE chunked twice": (fields(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", 400),
    "TE chunked in two fields": (fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "TE identity": (fields(b"Transfer-Encoding: identity"), 400),
    "TE identity after chunked": (fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + b"0\r\n\r\n", 400),
    "TE gzip alone": (fields(b"Transfer-Encoding: gzip"), 400),
    "TE chunked then gzip": (fields(b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", 400),
    "TE gzip then chunked": (fields(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "TE empty": (fields(b"Transfer-Encoding: "), 400),
    "TE with a parameter": (fields(b"Transfer-Encoding: chunked;x=y") + b"0\r\n\r\n", 400),
    "TE folded": (fields(b"Transfer-Encoding:", b" chunked") + b"0\r\n\r\n", 400),
    # the request line
    "HTTP/0.9": (b"GET /bad\r\n\r\n", 400),
    "HTTP/2.0": (line(b"GET /bad HTTP/2.0"), 505),
    "HTTP/3.1": (line(b"GET /bad HTTP/3.1"), 505),
    "HTTP/1.2": (line(b"GET /bad HTTP/1.2"), 505),
    "HTTP/1.10": (line(b"GET /bad HTTP/1.10"), 400),
    "HTTP/01.1": (line(b"GET /bad HTTP/01.1"), 400),
    "http in lower case": (line(b"GET /bad http/1.1"), 400),
    "HTTP/1": (line(b"GET /bad HTTP/1"), 400),
    "no space before the version": (line(b"GET /badHTTP/1.1"), 400),
    "two spaces before the target": (line(b"GET  /bad HTTP/1.1"), 400),
    "two spaces before the version": (line(b"GET /bad  HTTP/1.1"), 400),
    "tabs for spaces": (line(b"GET\t/bad\tHTTP/1.1"), 400),
    "space behind the version": (line(b"GET /bad HTTP/1.1 "), 400),
    "space before the method": (line(b" GET /bad HTTP/1.1"), 400),
    "space in the target": (line(b"GET /b ad HTTP/1.1"), 400),
    "fragment": (line(b"GET /bad#part HTTP/1.1"), 400),
    "high byte in the target": (line(b"GET /b\xe4d HTTP/1.1"), 400),
    "NUL in the target": (line(b"GET /b\0ad HTTP/1.1"), 400),
    "no path": (line(b"GET bad HTTP/1.1"), 400),
    "star for GET": (line(b"GET * HTTP/1.1"), 400),
    "absolute-form of another scheme": (line(b"GET ftp://example.test/bad HTTP/1.1"), 400),
    "absolute-form with user information": (line(b"GET http://user:word@example.test/bad HTTP/1.1"), 400),
    "absolute-form without a host": (line(b"GET http:///bad HTTP/1.1"), 400),
    "control byte in the method": (line(b"G\x01T /bad HTTP/1.1"), 400),
    "separator in the method": (line(b"G(T /bad HTTP/1.1"), 400),
    "long method": (line(b"A" * 40 + b" /bad HTTP/1.1"), 400),
    "CONNECT without a port": (line(b"CONNECT example.test HTTP/1.1"), 400),
    # other protocols
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40, 400),
    "PROXY protocol 1": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + b"GET /bad HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "PROXY protocol 2": (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\0" * 12, 400),
    "a response": (b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n", 400),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
    "SMTP": (b"EHLO example.test\r\n", 400),
    "only empty lines": (b"\r\n" * 10, 400),
    "random bytes": (bytes(range(128, 256)) * 4, 400),
    # limits
    "a head over the limit": (fields(*[b"X-%d: " % number + b"x" * 1000 for number in range(80)]), 431),
    "a field over the limit": (fields(b"X-Long: " + b"x" * 70000), 431),
    "too many fields": (fields(*[b"X-%d: 1" % number for number in range(200)]), 431),
    "a target over the limit": (line(b"GET /" + b"x" * 70000 + b" HTTP/1.1"), 414),
}

# What begins correctly, so that a server may have been sent the head, and goes wrong within the body.
BODIES = {
    "a size that is no number": b"g\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a space before it": b" 5\r\nhello\r\n0\r\n\r\n",
    "a size over 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size that is almost 2^64": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a size in LF": b"5\nhello\r\n0\r\n\r\n",
    "a size in CR": b"5\rhello\r\n0\r\n\r\n",
    "data longer than its size": b"5\r\nhello!\r\n0\r\n\r\n",
    "data that ends in LF": b"5\r\nhello\n0\r\n\r\n",
    "data that ends in CR": b"5\r\nhello\rX0\r\n\r\n",
    "an extension in LF": b"5;a=b\nhello\r\n0\r\n\r\n",
    "an extension with a control byte": b"5;a=\x01b\r\nhello\r\n0\r\n\r\n",
    "an extension with a bare CR": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "a long extension": b"5;" + b"a" * 100000 + b"\r\nhello\r\n0\r\n\r\n",
    "a last chunk in LF": b"5\r\nhello\r\n0\n\n",
    "trailers without an end": b"5\r\nhello\r\n0\r\nX-A: 1\n\n",
    "a trailer with a space before its colon": b"5\r\nhello\r\n0\r\nX-A : 1\r\n\r\n",
    "a folded trailer": b"5\r\nhello\r\n0\r\nX-A: 1\r\n 2\r\n\r\n",
    "a trailer with NUL": b"5\r\nhello\r\n0\r\nX-A: \0\r\n\r\n",
    "too many trailers": b"0\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(1000)) + b"\r\n",
    "trailers over the limit": b"0\r\nX-A: " + b"x" * 100000 + b"\r\n\r\n",
}
ENDS = {400: "bad_request", 414: "target_too_long", 431: "head_too_large", 501: "coding_not_supported",
        505: "version_not_supported"}


class Range:
    """One weir and one server for all cases of this file."""

    def __init__(self, scene):
        self.scene = scene
        self.server = scene.server()
        self.weir = scene.proxy(self.server)
        self.ids = itertools.count()

    def send(self, data, size=None):
        """The client, once all was sent as far as weir took it."""
        client = self.scene.client(self.weir)
        try:
            client.send_pieces(data, size) if size else client.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return client

    def check_refused(self, client, status):
        before = len(self.server.requests)
        response = client.read()
        assert response.status == status, response.text
        assert "close" in response.options()
        client.check_gone()
        assert scene_is_well(self)
        assert [request.target for request in self.server.requests[before:]] == ["/well"]
        record = self.weir.exchange(status=status)
        assert record["request_id"] in response.text


def scene_is_well(range_):
    client = range_.scene.client(range_.weir)
    response = client.ask("GET", "/well", ("Connection", "close"))
    client.close()
    return response.status == 200


@pytest.fixture(scope="module")
def shooting_range(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("bad-requests"))
    yield Range(scene)
    scene.finish()


@pytest.mark.parametrize("name", CORPUS)
def test_a_bad_request_gets_a_fault_and_the_end(shooting_range, name):
    data, status = CORPUS[name]
    client = shooting_range.send(data + SMUGGLED)
    shooting_range.check_refused(client, status)
    assert shooting_range.weir.exchange(status=status)["end"] == ENDS[status]


@pytest.mark.parametrize("name", [name for name in CORPUS if len(CORPUS[name][0]) < 1000])
def test_it_makes_no_difference_how_a_bad_request_is_cut(shooting_range, name):
    data, status = CORPUS[name]
    client = shooting_range.send(data + SMUGGLED, size=5)
    shooting_range.check_refused(client, status)


@pytest.mark.parametrize("name", [name for name in CORPUS if len(CORPUS[name][0]) < 1000])
def test_a_bad_request_behind_a_good_one_lets_that_be_answered(shooting_range, name):
    data, status = CORPUS[name]
    if data.startswith(b"\r\n"):
        data = b"\r\n\r\n" + data  # a few empty lines are allowed
    client = shooting_range.send(message.request("GET", "/good") + data + SMUGGLED)
    assert client.read().status == 200
    response = client.read()
    assert response.status == status
    client.check_gone()
    assert "/smuggled" not in [request.target for request in shooting_range.server.requests]


@pytest.mark.parametrize("name", BODIES)
def test_a_body_whose_framing_is_broken_gets_a_fault_and_the_end(shooting_range, name):
    before = len(shooting_range.server.requests)
    client = shooting_range.send(fields(b"Transfer-Encoding: chunked") + BODIES[name] + SMUGGLED)
    response = client.read()
    assert response.status in (400, 431)
    client.check_gone()
    assert scene_is_well(shooting_range)
    assert [request.target for request in shooting_range.server.requests[before:]] == ["/well"]
    assert shooting_range.weir.exchange(status=response.status)["end"] == "bad_request_body"


@pytest.mark.parametrize("name", BODIES)
def test_a_broken_body_after_the_response_began_ends_the_connection(scene, name):
    """The server answers early; what is wrong comes after."""
    server = scene.server([broken.receive_head, broken.ok, broken.wait_end])
    weir = scene.proxy(server)
    client = scene.client(weir)
    client.send(fields(b"Transfer-Encoding: chunked"))
    assert client.read().status == 200
    try:
        client.send(BODIES[name] + SMUGGLED)
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.check_gone()
    assert [request.target for request in server.requests] == ["/bad"]
    assert b"smuggled" not in server.connections[0].rest


def test_a_bad_request_reaches_no_server_even_as_a_connection(scene):
    server = scene.server()
    weir = scene.proxy(server)
    for name in ("CL before TE", "bare LF everywhere", "two Hosts"):
        client = scene.client(weir)
        client.send(CORPUS[name][0] + SMUGGLED)
        assert client.read().status == 400
    assert server.connections == []
    weir.wait_metric(3, "weir_exchanges_total", end="bad_request")


def test_limits_can_be_set_lower(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"limits": {"head": "2KiB", "headers": 10, "body": 1000}})
    assert scene.client(weir).ask("GET", "/", ("X-A", "x" * 3000)).status == 431
    assert scene.client(weir).ask("GET", "/", *[(f"X-{n}", "1") for n in range(10)]).status == 431
    assert scene.client(weir).ask("GET", "/" + "x" * 3000).status == 414
    assert scene.client(weir).ask("POST", "/", body=b"x" * 1001).status == 413
    assert server.requests == []
    assert scene.client(weir).ask("POST", "/", ("X-A", "x" * 1000), body=b"x" * 1000).status == 200


def test_a_chunked_body_over_the_limit_is_cut_off(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"limits": {"body": 1000}})
    client = scene.client(weir)
    client.send(message.request("POST", "/", ("Transfer-Encoding", "chunked")) + b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    client.send(b"1\r\nx\r\n0\r\n\r\n")
    response = client.read("POST")
    assert response.status == 413
    assert "1000" in response.text
    client.check_gone()
    weir.wait_live(exchanges=0)
    assert server.requests == []


def test_a_head_of_exactly_the_limit_passes(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"limits": {"head": "4KiB"}})
    base = len(message.request("GET", "/", ("X-A", "")))
    assert scene.client(weir).ask("GET", "/", ("X-A", "x" * (4096 - base))).status == 200
    assert scene.client(weir).ask("GET", "/", ("X-A", "x" * (4097 - base))).status == 431
