"""Either side goes away, with a FIN or a RST, in every phase of an exchange: what is left afterwards is nothing."""
import threading

import pytest

import broken
import message

HEAD = b"POST /vanish HTTP/1.1\r\nHost: example.test\r\nContent-Length: 10\r\n\r\n"
CHUNKED_HEAD = b"POST /vanish HTTP/1.1\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED_ANSWER_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# phase: (what the client sends before it goes, what the server has read by then, what the server sends by then)
CLIENT_PHASES = {
    "before the head": (b"", None, b""),
    "within the request line": (b"POST /van", None, b""),
    "within the head": (HEAD[:40], None, b""),
    "after the head": (HEAD, 0, b""),
    "within the body": (HEAD + b"12345", 5, b""),
    "within a chunk": (CHUNKED_HEAD + b"a\r\n12345", None, b""),
    "between chunks": (CHUNKED_HEAD + b"5\r\n12345\r\n", None, b""),
    "after the request": (HEAD + b"1234567890", 10, b""),
    "within the response's head": (HEAD + b"1234567890", 10, ANSWER_HEAD[:20]),
    "after the response's head": (HEAD + b"1234567890", 10, ANSWER_HEAD),
    "within the response's body": (HEAD + b"1234567890", 10, ANSWER_HEAD + b"12345"),
    "within the response's chunk": (HEAD + b"1234567890", 10, CHUNKED_ANSWER_HEAD + b"a\r\n12345"),
    "within a response without an end": (HEAD + b"1234567890", 10, b"HTTP/1.1 200 OK\r\n\r\n12345"),
    "after an early response": (HEAD + b"12345", 5, ANSWER_HEAD + b"1234567890"),
    "after the response": (HEAD + b"1234567890", 10, ANSWER_HEAD + b"1234567890"),
    "within the next head": (HEAD + b"1234567890" + HEAD[:40], 10, ANSWER_HEAD + b"1234567890"),
}


def vanish(wire, how):
    if how == "fin":
        wire.close()
    else:
        wire.reset()


def is_seen_at_client(answer):
    return answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\n\r\n" in answer


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("phase", CLIENT_PHASES)
def test_the_client_vanishes(relay, phase, how):
    sent, read, answered = CLIENT_PHASES[phase]
    arrived, gone = threading.Event(), threading.Event()

    def note_arrival(_):
        arrived.set()

    steps = [note_arrival]
    if read is not None:
        steps = [broken.receive_head, broken.receive_bytes(read), broken.send(answered), note_arrival]
    # Then the server goes on as if nothing had happened: weir must not mind what still comes.
    steps += [broken.wait_for(gone), broken.send(b"X" * 10), broken.wait_end if how == "rst" else broken.close]
    client = relay.open(*steps)
    client.send(sent)
    if read is not None:
        assert arrived.wait(10)
    if is_seen_at_client(answered):
        client.read_head()
    vanish(client, how)
    is_whole = phase in ("before the head", "after the response", "within the next head")
    if how == "rst" and read is not None and not is_whole:
        relay.weir.wait_live(exchanges=0)  # noticed at once, not when the server answers
    gone.set()
    relay.weir.wait_live(exchanges=0, client_connections=0)
    if how == "rst" and read is not None and not is_whole:
        assert relay.server.wait_end_of(0)


# phase: (how much the server reads, what it sends, what the client may see)
REQUEST = HEAD + b"1234567890"
SERVER_PHASES = {
    "at once": (0, b"", "502"),
    "within the head": (30, b"", "502"),
    "after the head": ("head", b"", "502"),
    "within the body": (5, b"", "502"),
    "after the request": (10, b"", "502"),
    "within its status line": (10, ANSWER_HEAD[:10], "502"),
    "within its head": (10, ANSWER_HEAD[:25], "502"),
    "after its head": (10, ANSWER_HEAD, "cut"),
    "within its body": (10, ANSWER_HEAD + b"12345", "cut"),
    "within its chunk": (10, CHUNKED_ANSWER_HEAD + b"a\r\n12345", "cut"),
    "between its chunks": (10, CHUNKED_ANSWER_HEAD + b"5\r\n12345\r\n", "cut"),
    "before its last line": (10, CHUNKED_ANSWER_HEAD + b"5\r\n12345\r\n0\r\n", "cut"),
    "after an interim response": (10, b"HTTP/1.1 103 Early Hints\r\n\r\n", "502"),
    "after an early response": ("head", ANSWER_HEAD + b"1234567890", "200"),
    "after its response": (10, ANSWER_HEAD + b"1234567890", "200"),
}


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("is_body_sent", [True, False], ids=["whole request", "half request"])
@pytest.mark.parametrize("phase", SERVER_PHASES)
def test_the_server_vanishes(relay, phase, is_body_sent, how):
    read, answered, seen = SERVER_PHASES[phase]
    if not is_body_sent and read == 10:
        read = 5
    go = threading.Event()
    if phase in ("at once", "within the head"):
        steps = [broken.wait_for(go), broken.receive_bytes(read)]
    else:
        steps = [broken.receive_head, broken.receive_bytes(0 if read == "head" else read)]
    steps += [broken.send(answered), broken.close if how == "fin" else broken.reset]
    client = relay.open(*steps)
    go.set()
    client.send(REQUEST if is_body_sent else REQUEST[:-5])
    heads = []
    try:
        response = message.read_response(client, "POST", into=heads)
    except (message.Ended, ConnectionResetError):
        # A reset may overtake what was sent before it: then even a whole response can be lost, but not seen as whole.
        assert seen == "cut" or (how == "rst" and seen == "200") or heads == []
        assert seen != "502" or heads == []
    else:
        if how == "rst" and answered:
            assert response.status == 502 or (seen == "200" and response.body == b"1234567890")
        else:
            assert str(response.status) == seen
    assert len(relay.server.requests) <= 1 + relay.is_reused  # a POST goes out once
    client.close()
    relay.weir.wait_live(exchanges=0, client_connections=0)


@pytest.mark.parametrize("client_how", ["fin", "rst"])
@pytest.mark.parametrize("server_how", ["fin", "rst"])
@pytest.mark.parametrize("phase", ["after the request", "within the response's body"])
def test_both_vanish(relay, phase, client_how, server_how):
    _, read, answered = CLIENT_PHASES[phase]
    arrived, go = threading.Event(), threading.Event()
    client = relay.open(broken.receive_head, broken.receive_bytes(read), broken.send(answered),
                        lambda _: arrived.set(), broken.wait_for(go),
                        broken.close if server_how == "fin" else broken.reset)
    client.send(REQUEST)
    assert arrived.wait(10)
    go.set()
    vanish(client, client_how)
    relay.weir.wait_live(exchanges=0, client_connections=0, server_connections=0)


# Tunnels


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("size", [0, 1, 3000000], ids=["silent", "a byte", "much under way"])
def test_one_side_of_a_tcp_connection_vanishes(scene, who, how, size):
    data = b"x" * size
    end = broken.close if how == "fin" else broken.reset
    if who == "server":
        server = scene.server([broken.send(data), end])
    else:
        server = scene.server([broken.send(data), broken.wait_end])
    weir = scene.proxy(server, protocol="tcp")
    client = scene.client(weir)
    if who == "client":
        client.read_exactly(min(size, 1000))
        vanish(client, how)
    else:
        client.check_gone()
        client.close()
    weir.wait_live(tunnels=0, client_connections=0, server_connections=0)
