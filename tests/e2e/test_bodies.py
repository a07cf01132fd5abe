"""Bodies in every framing and both directions, and trailers; each on a new and on a reused connection to the server."""
import hashlib
import os
import random
import signal
import socket
import threading

import pytest

import broken
import message
from waiting import eventually

SIZES = [0, 1, 1000, 4096, 65535, 65536, 300000]

TRAILERS = {"routes": {"all": {"pool": "web", "request_trailers": ["X-End", "X-Sum", "X-Sum-Two"]}}}


def make_bytes(size, seed=1):
    return random.Random(seed).randbytes(size)


def split(data, seed=2):
    """Into pieces of random sizes."""
    generator, pieces, at = random.Random(seed), [], 0
    while at < len(data):
        size = generator.choice([1, 10, 500, 4096, 20000])
        pieces.append(data[at:at + size])
        at += size
    return pieces


# Requests


@pytest.mark.parametrize("size", SIZES)
def test_a_request_with_content_length_arrives_as_such(relay, size):
    body = make_bytes(size)
    client = relay.open(broken.receive, broken.ok)
    assert client.ask("POST", "/", body=body).status == 200
    request = relay.wait_requests()[0]
    assert request.get("Content-Length") == str(size)
    assert request.body == body


@pytest.mark.parametrize("size", SIZES)
def test_a_chunked_request_arrives_whole(relay, size):
    body = make_bytes(size)
    client = relay.open(broken.receive, broken.ok)
    client.send(message.request("POST", "/", ("Transfer-Encoding", "chunked")) + message.chunked(*split(body)))
    assert client.read("POST").status == 200
    request = relay.wait_requests()[0]
    assert request.framing == "chunked"
    assert request.body == body


def test_chunk_extensions_are_not_passed_on(relay):
    client = relay.open(broken.receive, broken.ok)
    client.send(message.request("POST", "/", ("Transfer-Encoding", "chunked"))
                + b'5;name=value;flag;quoted="a\\"b"\r\nhello\r\n0;last\r\n\r\n')
    assert client.read("POST").status == 200
    assert relay.wait_requests()[0].body == b"hello"  # and the strict reader accepted the framing


def test_a_request_body_byte_by_byte(relay):
    client = relay.open(broken.receive, broken.ok, listener=TRAILERS)
    client.send_pieces(message.request("POST", "/", ("Transfer-Encoding", "chunked"))
                       + message.chunked(b"hello", b", ", b"world", trailers=[("X-End", "yes")]))
    assert client.read("POST").status == 200
    request = relay.wait_requests()[0]
    assert request.body == b"hello, world"
    assert request.trailers == [("X-End", "yes")]


def test_the_trailers_of_a_request_arrive(relay):
    client = relay.open(broken.receive, broken.ok, listener=TRAILERS)
    client.send(message.request("POST", "/", ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"))
                + message.chunked(b"body", trailers=[("X-Sum", "1"), ("X-Sum-Two", "")]))
    assert client.read("POST").status == 200
    assert relay.wait_requests()[0].trailers == [("X-Sum", "1"), ("X-Sum-Two", "")]


def test_trailers_of_a_request_that_the_route_does_not_name_are_dropped(relay):
    """They would come behind everything that was decided by the head."""
    rules = {"request_trailers": ["X-Sum", "X-Role", "X-Set"],
             "request_headers": {"remove": ["X-Role"], "set": {"X-Set": "weir"}}}
    client = relay.open(broken.receive, broken.ok, broken.receive, broken.ok,
                        listener={"routes": {"r": {"path_prefix": "/named", "pool": "web", **rules}, "rest": {"pool": "web"}}})
    sent = [("X-Sum", "1"), ("X-Role", "admin"), ("X_Role", "admin"), ("X-Set", "client"), ("X-Egress-Host", "evil.test"),
            ("Weir-Split", "a=b"), ("X-Forwarded-For", "192.0.2.1"), ("X-Other", "2")]
    for path in ("/named", "/"):
        client.send(message.request("POST", path, ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"))
                    + message.chunked(b"body", trailers=sent))
        assert client.read("POST").status == 200
    named, other = relay.wait_requests(2)
    assert named.trailers == [("X-Sum", "1")] and named.has("Trailer")
    assert other.trailers == [] and not other.has("Trailer")
    assert named.body == other.body == b"body"


def test_header_rules_reach_trailers_of_a_response(relay):
    rules = {"remove": ["X-Secret"], "set": {"X-Set": "weir"}}
    data = message.response(200, ("Transfer-Encoding", "chunked"), body=None) \
        + message.chunked(b"body", trailers=[("X-Secret", "1"), ("X-Set", "server"), ("X-Sum", "2")])
    client = relay.open(broken.receive, broken.send(data), listener={"routes": {"r": {"pool": "web",
                                                                                      "response_headers": rules}}})
    response = client.ask()
    assert response.trailers == [("X-Sum", "2")] and response.get("X-Set") == "weir"


def test_bad_white_space_is_read_over_and_not_passed_on(relay):
    """In chunk extensions of both directions, and before a colon of a response's head and trailers."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\nX-A \t: 1\r\n\r\n2 ; a = b\r\nok\r\n0\r\nX-B : 2\r\n\r\n"
    client = relay.open(broken.receive, broken.send(data), broken.serve())
    client.send(message.request("POST", "/", ("Transfer-Encoding", "chunked")) + b"3 ;a=b\r\nabc\r\n0\r\n\r\n")
    response = client.read("POST")  # which is strict
    assert response.text == "ok" and response.get("X-A") == "1" and response.trailers == [("X-B", "2")]
    assert relay.wait_requests()[0].body == b"abc"
    assert client.ask().text == "ok"


def test_te_trailers_is_said_anew(relay):
    client = relay.open(broken.receive, broken.ok, broken.receive, broken.ok, broken.receive, broken.ok)
    client.ask("GET", "/", ("TE", "gzip;q=0.5, trailers"), ("Connection", "TE"))
    client.ask("GET", "/", ("TE", "gzip"), ("Connection", "TE"))
    client.ask("GET", "/")
    with_trailers, *others = relay.wait_requests(3)
    assert with_trailers.get("TE") == "trailers" and "te" in with_trailers.options()
    for request in others:
        assert not request.has("TE") and "te" not in request.options()


def test_a_get_may_have_a_body(relay):
    client = relay.open(broken.receive, broken.ok)
    assert client.ask("GET", "/", body=b"strange but allowed").status == 200
    assert relay.wait_requests()[0].body == b"strange but allowed"


def test_a_request_without_a_body_gets_none(relay):
    client = relay.open(broken.receive, broken.ok)
    client.ask("GET", "/")
    request = relay.wait_requests()[0]
    assert request.framing == "none"


def test_the_body_goes_on_while_the_client_still_sends(relay):
    client = relay.open(broken.receive_head, broken.receive_bytes(5), broken.receive_bytes(6), broken.ok)
    client.send(message.request("POST", "/", ("Content-Length", "11")) + b"hello")
    connection = relay.connection
    relay.wait_requests()
    eventually(lambda: connection.rest == b"hello", lambda: f"the first bytes at the server: {connection.rest!r}")
    client.send(b" world")
    assert client.read("POST").status == 200
    assert connection.rest == b"hello world"


# Responses


@pytest.mark.parametrize("size", SIZES)
def test_a_response_with_content_length_arrives_as_such(relay, size):
    body = make_bytes(size)
    client = relay.open(broken.receive, broken.send(message.response(body=body)), broken.serve())
    response = client.ask()
    assert response.get("Content-Length") == str(size)
    assert response.body == body
    assert client.ask().text == "ok"


@pytest.mark.parametrize("size", SIZES)
def test_a_chunked_response_arrives_whole(relay, size):
    body = make_bytes(size)
    data = message.response(200, ("Transfer-Encoding", "chunked"), body=None) + message.chunked(*split(body))
    client = relay.open(broken.receive, broken.send(data), broken.serve())
    response = client.ask()
    assert response.framing == "chunked"
    assert response.body == body
    assert client.ask().text == "ok"


@pytest.mark.parametrize("size", SIZES)
def test_a_response_that_its_connection_ends_becomes_chunked(relay, size):
    body = make_bytes(size)
    client = relay.open(broken.receive, broken.send(message.response(body=None) + body), broken.close,
                        then=[broken.serve()])
    response = client.ask()
    assert response.framing == "chunked"
    assert response.body == body
    assert client.ask().text == "ok"  # the client's connection goes on


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_client_of_http_1_0_gets_no_chunks(relay, framing):
    body = make_bytes(30000)
    data = {"length": message.response(body=body),
            "chunked": message.response(200, ("Transfer-Encoding", "chunked"), body=None)
            + message.chunked(*split(body), trailers=[("X-End", "1")]),
            "close": message.response(body=None) + body}[framing]
    client = relay.open(broken.receive, broken.send(data), broken.close)
    response = client.ask(version="1.0")
    assert response.framing in ("length", "close")
    assert response.body == body
    assert not response.has("Transfer-Encoding")


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_response_byte_by_byte(relay, framing):
    data = {"length": message.response(body=b"hello"),
            "chunked": message.response(200, ("Transfer-Encoding", "chunked"), body=None)
            + message.chunked(b"he", b"llo", trailers=[("X-End", "yes")]),
            "close": message.response(body=None) + b"hello"}[framing]
    client = relay.open(broken.receive, broken.send_pieces(data), broken.close)
    response = client.ask()
    assert response.body == b"hello"
    assert response.trailers == ([("X-End", "yes")] if framing == "chunked" else [])


def test_the_trailers_of_a_response_arrive(relay):
    data = message.response(200, ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"), body=None) \
        + message.chunked(b"body", trailers=[("X-Sum", "1"), ("X-Other", "two words")])
    client = relay.open(broken.receive, broken.send(data), broken.serve())
    assert client.ask().trailers == [("X-Sum", "1"), ("X-Other", "two words")]
    assert client.ask().text == "ok"


def test_framing_is_never_taken_from_trailers(relay):
    data = message.response(200, ("Transfer-Encoding", "chunked"), body=None) \
        + b"4\r\nbody\r\n0\r\nContent-Length: 100\r\nTransfer-Encoding: gzip\r\nHost: x\r\nX-End: 1\r\n\r\n"
    client = relay.open(broken.receive, broken.send(data), broken.serve())
    client.send(message.request())
    try:
        response = client.read()
    except message.Ended:
        assert relay.weir.exchange(end="bad_response_body")  # which is as good
        return
    assert response.body == b"body"
    names = {name.lower() for name, _ in response.trailers}
    assert not names & {"content-length", "transfer-encoding", "host"}


@pytest.mark.parametrize("fields", [(("Content-Length", "12345"),), (("Transfer-Encoding", "chunked"),), ()],
                         ids=["length", "chunked", "none"])
def test_head_is_answered_without_a_body(relay, fields):
    client = relay.open(broken.receive, broken.send(message.response(200, *fields, body=None)), broken.serve())
    response = client.ask("HEAD")
    assert response.status == 200
    if fields and fields[0][0] == "Content-Length":
        assert response.get("Content-Length") == "12345"
    assert client.ask().text == "ok"
    assert relay.requests[0].method == "HEAD"
    assert len({request.connection for request in relay.wait_requests(2)}) == 1


@pytest.mark.parametrize("status, fields", [(204, ()), (304, (("ETag", '"x"'), ("Content-Length", "500"))), (304, ())])
def test_204_and_304_have_no_body(relay, status, fields):
    client = relay.open(broken.receive, broken.send(message.response(status, *fields, body=None)), broken.serve())
    response = client.ask()
    assert response.status == status
    assert response.get("ETag") == ('"x"' if fields else None)
    assert client.ask().text == "ok"
    assert len({request.connection for request in relay.wait_requests(2)}) == 1


def test_205_is_passed_on(relay):
    client = relay.open(broken.receive, broken.send(message.response(205, body=b"")), broken.serve())
    assert client.ask().status == 205
    assert client.ask().text == "ok"


def test_a_status_without_a_reason_and_unknown_ones_pass(relay):
    client = relay.open(broken.receive, broken.send(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
                        broken.receive, broken.send(message.response(799, reason="Odd")), broken.serve())
    assert client.ask().status == 200
    assert client.ask().status == 799


# Both at once


def echo_stream(connection):
    """Answers with the request's body while it still comes."""
    length = message.read_request_head(connection).get("Content-Length")
    connection.send(message.response(200, ("Content-Length", length), body=None))
    left = int(length)
    while left:
        data = connection.take(len(connection.buffer)) or (connection.fill() and connection.take(65536))
        connection.send(data)
        left -= len(data)


@pytest.mark.parametrize("size", [100000, 8 << 20])
def test_request_and_response_flow_at_the_same_time(relay, size):
    body = make_bytes(size)
    client = relay.open(echo_stream, broken.serve())
    sender = threading.Thread(target=client.send, args=(message.request("POST", "/", body=body),))
    sender.start()
    response = client.read("POST")
    sender.join()
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(body).digest()
    assert client.ask().text == "ok"


def test_a_slow_reader_gets_all_of_a_large_response(relay):
    body = make_bytes(4 << 20)
    client = relay.open(broken.receive, broken.send(message.response(body=body)), broken.serve())
    client.send(message.request())
    head = client.read_head()
    digest, left = hashlib.sha256(), len(body)
    while left:
        data = client.read_exactly(min(left, 50000))  # the kernel's buffers fill up in between
        digest.update(data)
        left -= len(data)
    assert head.get("Content-Length") == str(len(body))
    assert digest.digest() == hashlib.sha256(body).digest()


def test_a_slow_server_gets_all_of_a_large_request(relay):
    body = make_bytes(4 << 20)
    go = threading.Event()
    client = relay.open(broken.receive_head, broken.wait_for(go), broken.receive_body, broken.ok)
    sender = threading.Thread(target=client.send, args=(message.request("POST", "/", body=body),))
    sender.start()
    relay.wait_requests()
    go.set()
    assert client.read("POST").status == 200
    sender.join()
    assert relay.requests[0].body == body


def test_a_response_before_the_end_of_the_request_gets_through(relay):
    answer = message.response(403, ("Connection", "close"), body=b"no more, please")
    client = relay.open(broken.receive_head, broken.send(answer), broken.half_close, broken.wait_end)
    client.send(message.request("POST", "/", ("Content-Length", "10000000")) + b"x" * 1000)
    response = client.read("POST")
    assert (response.status, response.text) == (403, "no more, please")
    assert "close" in response.options()
    client.check_gone()


@pytest.mark.parametrize("size", [200000, 30 << 20])
def test_an_early_response_while_the_client_goes_on_sending_gets_through(relay, size):
    """Both sides keep alive: what nobody wants is read to its end, and the next request follows."""
    client = relay.open(broken.receive_head, broken.send(message.response(413, body=b"too much")), broken.wait_end,
                        then=[broken.serve()])
    client.send(message.request("POST", "/", ("Content-Length", str(size))))
    response = client.read("POST")
    assert (response.status, response.text) == (413, "too much")
    assert "close" not in response.options()
    client.send(b"x" * size)
    assert client.ask().text == "ok"


def test_a_client_that_sends_first_and_reads_then_gets_the_early_response(relay):
    """The server answers with a close and is gone; the client has 30 MiB to send before it looks."""
    client = relay.open(broken.receive_head, broken.send(message.response(401, ("Connection", "close"), body=b"who?")),
                        broken.half_close, broken.wait_end)
    client.send(message.request("POST", "/", ("Content-Length", str(30 << 20))))
    client.send(b"x" * (30 << 20))
    response = client.read("POST")
    assert (response.status, response.text) == (401, "who?")
    assert "close" in response.options()
    client.check_gone()


@pytest.mark.parametrize("size, is_kept", [(200000, True), (30 << 20, False)])
def test_a_body_over_the_limit_is_answered_to_a_client_that_sends_first(scene, size, is_kept):
    weir = scene.proxy(scene.server(), listener={"limits": {"body": "100KiB"}})
    client = scene.client(weir)
    client.send(message.request("PUT", "/", ("Content-Length", str(size))))
    client.send(b"x" * size)
    response = client.read("PUT")
    assert response.status == 413
    assert ("close" not in response.options()) == is_kept
    if is_kept:
        assert client.ask().text == "ok"
    else:
        client.check_gone()


def test_a_chunked_body_over_the_limit_is_answered_to_a_client_that_sends_first(scene):
    weir = scene.proxy(scene.server(), listener={"limits": {"body": "100KiB"}})
    client = scene.client(weir)
    client.send(message.request("PUT", "/", ("Transfer-Encoding", "chunked")))
    client.send(message.chunked(*[b"x" * 65536] * 200))
    assert client.read("PUT").status == 413
    client.check_gone()


def test_a_body_that_was_not_asked_for_is_not_waited_for(scene):
    """Without the 100 that it expects, a client may leave the body away: its next request must not be taken for it."""
    weir = scene.proxy(scene.server(), listener={"limits": {"body": "10"}})
    client = scene.client(weir)
    client.send(message.request("PUT", "/", ("Content-Length", "200"), ("Expect", "100-continue")))
    response = client.read("PUT")
    assert response.status == 413
    assert "close" in response.options()
    client.check_gone()


# What is complete does not wait for what is not


@pytest.mark.parametrize("framing", [b"5\r\n", b"5", b"0\r\nX-Sum: 1"])
def test_a_response_head_does_not_wait_for_the_data_of_its_first_chunk(relay, framing):
    seen = threading.Event()
    rest = (b"5\r\nhello\r\n0\r\n\r\n" if framing[:1] == b"5" else b"0\r\nX-Sum: 1\r\n\r\n")[len(framing):]
    head = message.response(200, ("Transfer-Encoding", "chunked"), body=None)
    client = relay.open(broken.receive, broken.send(head + framing), broken.wait_for(seen), broken.send(rest))
    client.send(message.request())
    response = client.read_head()
    seen.set()
    response.read_body(client, to_end=True)
    assert response.body == (b"hello" if framing[:1] == b"5" else b"")


def test_a_request_head_does_not_wait_for_the_data_of_its_first_chunk(relay):
    client = relay.open(broken.receive_head, broken.receive_body, broken.ok)
    client.send(message.request("POST", "/", ("Transfer-Encoding", "chunked")) + b"5\r\n")
    relay.wait_requests()
    client.send(b"hello\r\n0\r\n\r\n")
    assert client.read("POST").status == 200
    assert relay.wait_requests()[0].body == b"hello"


@pytest.mark.parametrize("size, count", [(1, 200000), (26, 60000), (27, 60000), (1013, 2760), (1013, 2765)])
def test_small_chunks_for_a_client_that_pauses_arrive_whole(scene, size, count):
    """The kernel's buffers are full before it begins to read."""
    data = message.response(200, ("Transfer-Encoding", "chunked"), body=None) + message.chunked(*[b"x" * size] * count)
    server = scene.server([broken.receive, broken.send(data), broken.serve()])
    weir = scene.proxy(server, listener={"timeouts": {"write": "60s"}})
    client = scene.client(weir, receive_buffer=4096)
    client.send(message.request())
    broken.wait_stuck(server.wait_connection())
    response = client.read()
    assert len(response.body) == size * count
    assert client.ask().text == "ok"
    assert {record["end"] for record in weir.wait_records(2)} == {"ok"}


@pytest.mark.parametrize("limit", [0, "0", "0KiB"])
def test_a_limit_of_nothing_refuses_every_body_and_nothing_else(scene, limit):
    weir = scene.proxy(scene.server(), listener={"limits": {"body": limit}})
    client = scene.client(weir)
    assert client.ask("GET", "/").status == 200
    assert client.ask("POST", "/", ("Content-Length", "0")).status == 200
    client.send(message.request("POST", "/", body=b"1"))
    assert client.read("POST").status == 413
    client = scene.client(weir)
    client.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n")
    assert client.read("POST").status == 413


def test_off_is_no_limit(scene):
    weir = scene.proxy(scene.server(), listener={"limits": {"body": "off"}})
    client = scene.client(weir)
    assert client.ask("POST", "/", body=bytes(300000)).status == 200


@pytest.mark.parametrize("build", ["asan", "release"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_an_early_answer_of_a_server_that_has_gone_is_its_answer(scene, build, is_chunked):
    """The client's bytes, which nobody takes any more, were once read over those of the answer."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(30)
    weir = scene.proxy(f"127.0.0.1:{listening.getsockname()[1]}", build=build,
                       pool={"ejection": False, "retry": {"buffer": "1KiB"}})
    body = b"answer" * 900

    def piece(data):
        return b"%x\r\n%s\r\n" % (len(data), data) if is_chunked else data
    client = scene.client(weir)
    length = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 2000000"
    client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n\r\n" + piece(b"z" * 2000))
    server, _ = listening.accept()
    eventually(lambda: len(server.recv(65536, socket.MSG_PEEK)) > 2000, "the request's beginning")
    os.kill(weir.pid, signal.SIGSTOP)
    try:
        client.send(piece(b"z" * 60000))
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        server.close()
    finally:
        os.kill(weir.pid, signal.SIGCONT)
    response = client.read()
    assert response.status != 200 or response.body == body
    listening.close()
