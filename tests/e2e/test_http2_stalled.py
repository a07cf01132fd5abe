"""Clients that take nothing of a large answer, beside others whose exchanges are on the same HTTP/2 connection to the server:
those are not kept waiting by them."""
import contextlib
import hashlib

import pytest

import message
from http2 import Http2
from http2_server import Http2Server
from waiting import eventually

LARGE = 16 << 20
STALLED = 5
HONEST = 20
BODY = bytes(range(256)) * 1024


def answer(connection, stream):
    connection.respond(stream, bytes(LARGE) if stream.path == "/large" else BODY)


@pytest.fixture
def weir(scene):
    server = Http2Server(answer)
    scene.servers.append(server)
    weir = scene.proxy(server, pool={"protocol": "h2c"})
    weir.server = server
    return weir


def wait_stalled(server):
    """Nothing more of the large answers can come: each has used up its stream's window."""
    def is_stalled():
        connection = server.connections[0]
        with connection.lock:
            return all(connection.h2._get_stream_by_id(s.number).outbound_flow_control_window == 0 and s.rest
                       for s in connection.streams.values() if s.path == "/large")

    server.wait_streams(STALLED)
    eventually(is_stalled, "large answers that cannot go on")


def test_who_takes_nothing_does_not_stall_others(scene, weir):
    stalled = [scene.client(weir, receive_buffer=4096) for _ in range(STALLED)]
    for client in stalled:
        client.send(b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n")
    wait_stalled(weir.server)
    honest = [scene.client(weir) for _ in range(HONEST)]
    for client in honest:
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert [client.read().body == BODY for client in honest] == [True] * HONEST
    assert len(weir.server.connections) == 1
    # And they have lost nothing: whoever takes at last has all of it.
    expected = hashlib.sha256(bytes(LARGE)).digest()
    assert hashlib.sha256(stalled[0].read().body).digest() == expected


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_server_that_closes_takes_nothing_along_that_it_has_sent(scene, is_whole):
    """A server that is stopped ends its answers and closes. A client who is slow has all of his even so; what is missing is told."""
    body = BODY[:50000]

    def last_answer(connection, stream):
        if connection.index or stream.path == "/before":
            connection.respond(stream, bytes(64535))
            return
        connection.head(stream, 200)
        connection.h2.send_data(stream.number, body[:16000])
        connection.h2.send_data(stream.number, body[16000:32000])
        connection.h2.send_data(stream.number, body[32000:48000])
        connection.h2.send_data(stream.number, body[48000:], end_stream=is_whole)
        connection.flush()
        connection.close()

    server = Http2Server(last_answer)
    scene.servers.append(server)
    weir = scene.proxy(server, pool={"protocol": "h2c"})
    slow = Http2(weir.address, takes=False)
    scene.clients.append(slow)
    assert len(slow.ask("GET", "/before").body) == 64535  # of its connection's window of 65,535
    number = slow.request()
    slow.until(lambda: slow.streams[number].body, "what its window lets in")
    # Once others are served over another connection, the end of the first has been heard.
    eventually(lambda: scene.client(weir).ask().status == 200 and len(server.connections) == 2, "another connection")
    slow.credit(len(body))
    answer = slow.read(number)
    assert (answer.has_ended, bytes(answer.body) == body) == (is_whole, is_whole)
    record, = [record for record in weir.wait_records(3) if record["bytes_out"] < 64535]
    assert record["end"] == ("ok" if is_whole else "response_cut")


def test_who_holds_an_answer_ends_while_memory_is_short(scene):
    """Clients of HTTP/1, too: what they do not take is held where it comes from, over HTTP/2 64 KiB of each."""
    server = Http2Server(answer)
    scene.servers.append(server)
    weir = scene.proxy(server, pool={"protocol": "h2c", "timeouts": {"total": "1h"}}, limits={"memory": "4MiB"},
                       listener={"timeouts": {"write": "1h"}, "limits": {"least_rate": "off"}})
    for _ in range(80):
        stalled = scene.client(weir, receive_buffer=4096)
        with contextlib.suppress(OSError):  # it is not let in
            stalled.send(b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n")

    def is_served():
        with contextlib.suppress(OSError, message.Ended):
            client = scene.client(weir)
            client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            answered = client.read()
            return answered.status == 200 and answered.body == BODY
        return False

    eventually(lambda: weir.metric("weir_exchanges_total", end="no_memory") >= 1, "one that ended")
    eventually(is_served, "somebody new is served beside them")
    stats = weir.stats()["memory"]
    assert stats["used"] <= stats["limit"] * 1.05
