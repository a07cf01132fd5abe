"""Upgrades: WebSocket and what else a route allows become tunnels; everything else is dropped."""
import random
import threading

import pytest

import broken
import message
from waiting import Stopwatch

ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
       ("Sec-WebSocket-Version", "13")]
SWITCH = message.response(101, ("Connection", "Upgrade"), ("Upgrade", "websocket"),
                          ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), body=None,
                          reason="Switching Protocols")


def echo(connection):
    while connection.buffer or connection.fill():
        connection.send(connection.take(len(connection.buffer)))


def open_tunnel(relay, *steps, **config):
    client = relay.open(broken.receive, broken.send(SWITCH), *steps, **config)
    response = client.ask("GET", "/chat", *ASK)
    assert response.status == 101
    return client


def test_a_websocket_becomes_a_tunnel(relay):
    client = open_tunnel(relay, echo)
    for data in (b"hello", b"\x81\x85\0\0\0\0world", b"GET / HTTP/1.1\r\n\r\n"):
        client.send(data)
        assert client.read_exactly(len(data)) == data
    relay.weir.wait_live(tunnels=1)
    client.close()
    record = relay.weir.exchange(status=101)
    assert (record["end"], record["is_tunnel"]) == ("ok", True)


def test_an_empty_body_does_not_hinder_an_upgrade(relay):
    client = relay.open(broken.receive, broken.send(SWITCH), echo)
    client.send(message.request("GET", "/chat", *ASK, ("Content-Length", "0")) + b"eager")
    assert client.read().status == 101
    assert client.read_exactly(5) == b"eager"


def test_a_101_has_its_sticky_cookie_and_follows_the_header_rules(relay):
    answer = message.response(101, ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("X-Secret", "1"),
                              ("X-Set", "server"), body=None, reason="Switching Protocols")
    rules = {"remove": ["X-Secret"], "set": {"X-Set": "weir"}, "add": {"X-Added": "{request_id}"}}
    client = relay.open(broken.receive, broken.send(answer), echo,
                        pool={"sticky": {"cookie": "w", "secrets": ["0123456789abcdef0123"]}},
                        listener={"routes": {"r": {"pool": "web", "response_headers": rules}}})
    response = client.ask("GET", "/chat", *ASK)
    assert response.status == 101
    assert response.get("Set-Cookie").startswith("w=") and response.get("X-Set") == "weir"
    assert not response.has("X-Secret") and response.get("X-Added")
    client.send(b"x")
    assert client.read_exactly(1) == b"x"


def test_both_heads_of_an_upgrade_arrive_whole(relay):
    client = relay.open(broken.receive, broken.send(SWITCH), broken.wait_end)
    response = client.ask("GET", "/chat", *ASK)
    assert response.get("Upgrade") == "websocket"
    assert "upgrade" in response.options()
    assert response.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    request = relay.wait_requests()[0]
    assert request.get("Upgrade") == "websocket"
    assert "upgrade" in request.options()
    assert request.get("Sec-WebSocket-Key") == "dGhlIHNhbXBsZSBub25jZQ=="


def test_the_servers_first_bytes_may_come_with_its_head(relay):
    client = relay.open(broken.receive, broken.send(SWITCH + b"welcome"), echo)
    client.send(message.request("GET", "/chat", *ASK))
    assert client.read().status == 101
    assert client.read_exactly(7) == b"welcome"
    client.send(b"thanks")
    assert client.read_exactly(6) == b"thanks"


def test_the_clients_first_bytes_may_come_with_its_head(relay):
    client = relay.open(broken.receive, broken.send(SWITCH), echo)
    client.send(message.request("GET", "/chat", *ASK) + b"eager")
    assert client.read().status == 101
    assert client.read_exactly(5) == b"eager"


def test_the_heads_may_come_byte_by_byte(relay):
    client = relay.open(broken.receive, broken.send_pieces(SWITCH + b"welcome"), echo)
    client.send_pieces(message.request("GET", "/chat", *ASK))
    assert client.read().status == 101
    assert client.read_exactly(7) == b"welcome"


def test_much_data_passes_both_ways(relay):
    data = random.Random(7).randbytes(4 << 20)
    client = open_tunnel(relay, echo)
    sender = threading.Thread(target=client.send, args=(data,))
    sender.start()
    assert client.read_exactly(len(data)) == data
    sender.join()


def test_the_client_may_close_its_half(relay):
    client = open_tunnel(relay, broken.wait_end, broken.send(b"the rest"), broken.close)
    client.send(b"done")
    client.half_close()
    assert client.read_to_end() == b"the rest"
    assert relay.connection.rest == b"done"
    assert relay.connection.end == "eof"
    assert relay.weir.exchange(status=101)["end"] == "ok"


def test_the_server_may_close_its_half(relay):
    client = open_tunnel(relay, broken.send(b"bye"), broken.half_close, broken.wait_end)
    assert client.read_to_end() == b"bye"
    client.send(b"one more thing")
    client.half_close()
    relay.server.wait_end_of(0)
    assert relay.connection.rest == b"one more thing"


def test_a_reset_by_the_client_is_passed_on_as_a_reset(relay):
    client = open_tunnel(relay, broken.wait_end)
    client.send(b"x")
    client.reset()
    assert relay.server.wait_end_of(0) == "reset"
    assert relay.weir.exchange(status=101)["end"] == "client_reset"


def test_a_reset_by_the_server_is_passed_on_as_a_reset(relay):
    client = open_tunnel(relay, broken.receive_bytes(1), broken.reset)
    client.send(b"x")
    client.check_reset()
    assert relay.weir.exchange(status=101)["end"] == "server_reset"


def test_a_silent_tunnel_ends_after_its_idle_time(relay):
    client = open_tunnel(relay, broken.wait_end, pool={"timeouts": {"idle": "300ms"}})
    with Stopwatch() as watch:
        client.check_gone()
    watch.check_at_least(0.2)
    assert relay.weir.exchange(status=101)["end"] == "idle_timeout"


def test_a_half_closed_tunnel_ends_after_its_time(relay):
    client = open_tunnel(relay, broken.wait_end, broken.stall, pool={"timeouts": {"half_closed": "300ms"}})
    client.half_close()
    with Stopwatch() as watch:
        client.check_gone()
    watch.check_at_least(0.2)
    assert relay.weir.exchange(status=101)["end"] == "half_closed_timeout"


def test_a_server_may_refuse_to_upgrade(relay):
    client = relay.open(broken.receive, broken.send(message.response(426, body=b"no")), broken.serve())
    response = client.ask("GET", "/chat", *ASK)
    assert (response.status, response.text) == (426, "no")
    assert client.ask().text == "ok"
    assert len({request.connection for request in relay.wait_requests(2)}) == 1


INNER = b"GET /inner HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize("is_at_once", [True, False])
def test_what_follows_a_refused_connect_is_not_a_request(scene, is_at_once):
    """A client may send for the tunnel before it knows that there is none (draft-ietf-httpbis-optimistic-upgrade)."""
    server = scene.server()
    client = scene.client(scene.proxy(server))
    client.send(b"CONNECT inner:80 HTTP/1.1\r\nHost: inner:80\r\n\r\n" + (INNER if is_at_once else b""))
    if not is_at_once:
        client.send(INNER)
    response = client.read("CONNECT")
    assert response.status == 405
    assert "close" in response.options()
    client.check_gone()
    assert server.requests == []


def test_what_follows_a_refused_connect_resets_nothing(scene):
    """What was sent for the tunnel may come when the refusal is out already, and must not destroy it on its way (RFC 9112 9.6)."""
    server = scene.server()
    client = scene.client(scene.proxy(server))
    client.send(b"CONNECT inner:80 HTTP/1.1\r\nHost: inner:80\r\n\r\n")
    assert client.read("CONNECT").status == 405
    assert client.read_to_end() == b""
    for _ in range(3):
        client.send(INNER)
    assert server.requests == []


def test_what_follows_a_refused_upgrade_of_an_unknown_kind_is_not_a_request(relay):
    client = relay.open(broken.receive, broken.ok, broken.serve())
    client.send(message.request("GET", "/", ("Connection", "Upgrade"), ("Upgrade", "connect-udp")) + INNER)
    response = client.read()
    assert response.status == 200
    assert "close" in response.options()
    client.check_gone()
    assert [request.target for request in relay.wait_requests()] == ["/"]


def test_who_runs_ahead_of_a_refused_websocket_is_not_read_on(relay):
    client = relay.open(broken.receive, broken.send(message.response(426, body=b"no")), broken.serve())
    client.send(message.request("GET", "/chat", *ASK) + INNER)
    assert client.read().status == 426
    client.check_gone()
    assert [request.target for request in relay.wait_requests()] == ["/chat"]


def test_an_upgrade_with_a_body_is_dropped_and_the_body_is_one(relay):
    client = relay.open(broken.receive, broken.ok, broken.serve())
    response = client.ask("POST", "/chat", *ASK, body=INNER)
    assert response.status == 200
    request = relay.wait_requests()[0]
    assert request.body == INNER and not request.has("Upgrade")
    assert client.ask().text == "ok"
    assert [request.target for request in relay.wait_requests(2)] == ["/chat", "/"]


def test_a_switch_in_two_pieces_leaves_nothing_behind(relay):
    half = len(SWITCH) // 2
    step = threading.Event()
    client = relay.open(broken.receive, broken.send(SWITCH[:half]), broken.wait_for(step), broken.send(SWITCH[half:]),
                        echo)
    client.send(message.request("GET", "/chat", *ASK))
    relay.wait_requests()
    step.set()
    assert client.read().status == 101
    client.send(b"hello")
    assert client.read_exactly(5) == b"hello"


def test_h2c_is_dropped_and_the_request_proceeds(relay):
    client = relay.open(broken.receive, broken.ok, broken.serve())
    response = client.ask("GET", "/", ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
                          ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"))
    assert (response.status, response.text) == (200, "ok")
    request = relay.wait_requests()[0]
    assert not request.has("Upgrade") and not request.has("HTTP2-Settings")
    assert "upgrade" not in request.options()
    assert client.ask().text == "ok"


def test_of_several_protocols_only_the_allowed_one_is_asked_for(relay):
    client = relay.open(broken.receive, broken.ok)
    client.ask("GET", "/", ("Connection", "Upgrade"), ("Upgrade", "h2c, websocket"))
    assert relay.wait_requests()[0].get("Upgrade") == "websocket"


def test_upgrade_without_connection_upgrade_is_none(relay):
    client = relay.open(broken.receive, broken.ok)
    client.ask("GET", "/", ("Upgrade", "websocket"))
    assert not relay.wait_requests()[0].has("Upgrade")


def test_a_client_of_http_1_0_cannot_upgrade(relay):
    client = relay.open(broken.receive, broken.ok)
    assert client.ask("GET", "/", *ASK, version="1.0").status == 200
    assert not relay.wait_requests()[0].has("Upgrade")


def test_a_route_says_which_protocols_may_pass(relay):
    listener = {"routes": [{"name": "chat", "pool": "web", "upgrade": ["chat/1"]}]}
    switch = message.response(101, ("Connection", "Upgrade"), ("Upgrade", "chat/1"), body=None)
    client = relay.open(broken.receive, broken.ok, broken.receive, broken.send(switch), echo, listener=listener)
    client.ask("GET", "/", *ASK)
    assert client.ask("GET", "/", ("Connection", "Upgrade"), ("Upgrade", "chat/1")).status == 101
    client.send(b"hi")
    assert client.read_exactly(2) == b"hi"
    requests = relay.wait_requests(2)
    assert not requests[0].has("Upgrade")
    assert requests[1].get("Upgrade") == "chat/1"


@pytest.mark.parametrize("fields, switch", [
    ((), SWITCH),
    ((("Connection", "Upgrade"), ("Upgrade", "h2c")), message.response(101, ("Connection", "Upgrade"), ("Upgrade", "h2c"),
                                                                       body=None)),
    (ASK, message.response(101, body=None)),
    (ASK, message.response(101, ("Connection", "Upgrade"), ("Upgrade", "other"), body=None)),
], ids=["unasked", "dropped", "without protocol", "another protocol"])
def test_a_101_that_was_not_asked_for_is_a_fault(relay, fields, switch):
    client = relay.open(broken.receive, broken.send(switch + b"smuggled"), broken.wait_end)
    response = client.ask("GET", "/", *fields)
    assert response.status == 502
    assert "smuggled" not in response.text
    assert relay.weir.exchange(status=502)["end"] == "bad_response"


def test_a_tunnels_bytes_are_counted(relay):
    client = open_tunnel(relay, broken.receive_bytes(1000), broken.send(b"y" * 3000), broken.close)
    client.send(b"x" * 1000)
    assert client.read_to_end() == b"y" * 3000
    client.close()
    record = relay.weir.exchange(status=101)
    assert record["bytes_in"] >= 1000
    assert record["bytes_out"] >= 3000
