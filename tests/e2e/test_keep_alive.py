"""Connections that carry more than one request: on the client's side and on the server's; pipelining."""
import threading

import pytest

import broken
import message
from waiting import Stopwatch, eventually


def test_one_connection_on_each_side_carries_many_requests(scene):
    server = scene.server()
    client = scene.client(scene.proxy(server))
    for number in range(50):
        response = client.ask("GET", f"/{number}")
        assert response.text == "ok"
        assert "close" not in response.options()
    assert [request.target for request in server.requests] == [f"/{number}" for number in range(50)]
    assert len(server.connections) == 1


def test_one_client_after_another_uses_the_same_server_connection(scene):
    server = scene.server()
    weir = scene.proxy(server)
    for _ in range(5):
        client = scene.client(weir)
        client.ask()
        client.close()
        weir.wait_live(client_connections=0, idle_server_connections=1)
    assert len(server.connections) == 1


def test_the_latest_used_server_connection_is_taken_first(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.serve()],
                          [broken.receive, broken.ok, broken.serve()])
    weir = scene.proxy(server)
    slow, fast = scene.client(weir), scene.client(weir)
    slow.send(message.request())
    server.wait_requests(1)
    fast.ask()
    go.set()
    slow.read()
    weir.wait_live(idle_server_connections=2)
    for _ in range(5):
        fast.ask("GET", "/again")
    assert {request.connection for request in server.requests if request.target == "/again"} == {0}


def test_close_is_the_clients_alone(scene):
    server = scene.server()
    weir = scene.proxy(server)
    client = scene.client(weir)
    response = client.ask("GET", "/", ("Connection", "close"))
    assert "close" in response.options()
    client.check_closed()
    assert not server.requests[0].has("Connection") or "close" not in server.requests[0].options()
    weir.wait_live(idle_server_connections=1)
    scene.client(weir).ask()
    assert len(server.connections) == 1


def test_close_is_the_servers_alone(scene):
    server = scene.server([broken.receive, broken.send(message.response(200, ("Connection", "close"))), broken.close])
    client = scene.client(scene.proxy(server))
    for _ in range(3):
        assert "close" not in client.ask().options()
    assert len(server.connections) == 3


def test_a_server_of_http_1_0_is_not_asked_twice_on_a_connection(scene):
    server = scene.server([broken.receive, broken.send(message.response(version="1.0")), broken.wait_end])
    client = scene.client(scene.proxy(server))
    for _ in range(3):
        response = client.ask()
        assert (response.version, response.text) == ("1.1", "ok")
    assert len(server.connections) == 3


def test_a_server_of_http_1_0_may_say_keep_alive(scene):
    answer = message.response(200, ("Connection", "keep-alive"), version="1.0")
    server = scene.server([broken.serve(lambda request: answer)])
    client = scene.client(scene.proxy(server))
    for _ in range(3):
        response = client.ask()
        assert response.version == "1.1" and response.text == "ok"
    assert len(server.connections) == 1


def test_a_client_of_http_1_0_gets_one_response_and_the_end(scene):
    server = scene.server()
    client = scene.client(scene.proxy(server))
    response = client.ask(version="1.0")
    assert response.text == "ok"
    client.check_closed()
    assert server.requests[0].version == "1.1"


def test_a_client_of_http_1_0_may_ask_for_keep_alive(scene):
    client = scene.client(scene.proxy(scene.server()))
    for _ in range(3):
        response = client.ask("GET", "/", ("Connection", "keep-alive"), version="1.0")
        assert response.text == "ok"
        assert "keep-alive" in response.options()


def test_after_max_requests_a_server_connection_is_closed(scene):
    server = scene.server()
    weir = scene.proxy(server, pool={"max_requests": 3})
    client = scene.client(weir)
    for _ in range(7):
        client.ask()
    assert [request.connection for request in server.requests] == [0, 0, 0, 1, 1, 1, 2]


def test_the_servers_own_number_of_requests_is_heeded(scene):
    answer = message.response(200, ("Connection", "keep-alive"), ("Keep-Alive", "timeout=5, max=0"))
    server = scene.server([broken.serve(lambda request: answer)])
    client = scene.client(scene.proxy(server))
    for _ in range(3):
        client.ask()
    assert len(server.connections) == 3


def test_no_more_idle_connections_are_kept_than_asked_for(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.serve()])
    weir = scene.proxy(server, pool={"idle_connections": 2})
    clients = [scene.client(weir) for _ in range(6)]
    for client in clients:
        client.send(message.request())
    server.wait_requests(6)
    go.set()
    for client in clients:
        client.read()
    weir.wait_live(exchanges=0, server_connections=2, idle_server_connections=2)


def test_an_idle_server_connection_is_closed_in_time(scene):
    weir = scene.proxy(scene.server(), pool={"timeouts": {"keep_alive": "300ms"}})
    with Stopwatch() as watch:
        scene.client(weir).ask()
        weir.wait_live(idle_server_connections=0, server_connections=0)
    watch.check_at_least(0.25)


def test_a_servers_announced_patience_is_undercut(scene):
    answer = message.response(200, ("Connection", "keep-alive"), ("Keep-Alive", "timeout=1"))
    server = scene.server([broken.receive, broken.send(answer), broken.wait_end])
    weir = scene.proxy(server)
    with Stopwatch() as watch:
        scene.client(weir).ask()
        assert server.wait_end_of(0) == "eof"
    watch.check_at_least(0.1)


def test_an_idle_client_connection_is_closed_in_time_and_without_a_word(scene):
    weir = scene.proxy(scene.server(), listener={"timeouts": {"keep_alive": "300ms"}})
    client = scene.client(weir)
    client.ask()
    with Stopwatch() as watch:
        client.check_closed()
    watch.check_at_least(0.2)
    assert len(weir.exchanges()) == 1


def test_a_server_that_closes_while_idle_is_noticed_at_once(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.ok, broken.wait_for(go), broken.close], [broken.serve()])
    weir = scene.proxy(server)
    client = scene.client(weir)
    client.ask()
    weir.wait_live(idle_server_connections=1)
    go.set()
    weir.wait_live(idle_server_connections=0, server_connections=0)
    assert client.ask().status == 200


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"x"])
def test_what_a_server_says_unasked_is_never_an_answer(scene, unasked):
    go = threading.Event()
    server = scene.server([broken.receive, broken.ok, broken.wait_for(go), broken.send(unasked), broken.wait_end],
                          [broken.serve()])
    weir = scene.proxy(server)
    client = scene.client(weir)
    client.ask()
    weir.wait_live(idle_server_connections=1)
    go.set()
    server.wait_end_of(0)
    assert client.ask().text == "ok"
    assert server.requests[1].connection == 1


def test_bytes_behind_a_response_are_never_the_next_answer(scene):
    stowaway = message.response(body=b"stowaway")
    server = scene.server([broken.receive, broken.send(message.response() + stowaway), broken.serve()],
                          [broken.serve()])
    weir = scene.proxy(server)
    client = scene.client(weir)
    assert client.ask().text == "ok"
    assert client.ask("GET", "/second").text == "ok"
    assert server.requests[1].connection == 1


# Pipelining


def echo_target(request):
    return message.response(body=f"{request.target} {request.body.decode()}".encode())


def test_pipelined_requests_are_answered_in_order(scene):
    server = scene.server([broken.serve(echo_target)])
    client = scene.client(scene.proxy(server))
    client.send(b"".join(message.request("GET", f"/{number}") for number in range(100)))
    for number in range(100):
        assert client.read().text == f"/{number} "
    assert [request.target for request in server.requests] == [f"/{number}" for number in range(100)]


def test_pipelined_requests_with_bodies_are_told_apart(scene):
    server = scene.server([broken.serve(echo_target)])
    client = scene.client(scene.proxy(server))
    client.send(message.request("POST", "/1", body=b"GET /smuggled HTTP/1.1\r\n\r\n") + message.request("GET", "/2")
                + message.request("PUT", "/3", ("Transfer-Encoding", "chunked")) + message.chunked(b"a", b"bc")
                + message.request("DELETE", "/4"))
    assert client.read().text == "/1 GET /smuggled HTTP/1.1\r\n\r\n"
    assert client.read().text == "/2 "
    assert client.read().text == "/3 abc"
    assert client.read().text == "/4 "
    assert len(server.requests) == 4


@pytest.mark.parametrize("size", [1, 2, 7, 61])
def test_pipelined_requests_may_be_cut_anywhere(scene, size):
    server = scene.server([broken.serve(echo_target)])
    client = scene.client(scene.proxy(server))
    client.send_pieces(message.request("POST", "/1", body=b"one") + message.request("GET", "/2")
                       + message.request("POST", "/3", ("Transfer-Encoding", "chunked"))
                       + message.chunked(b"th", b"ree") + message.request("GET", "/4"), size)
    assert [client.read().text for _ in range(4)] == ["/1 one", "/2 ", "/3 three", "/4 "]


def test_a_slow_response_does_not_let_the_next_overtake_it(scene):
    go = threading.Event()
    slow = scene.server([broken.receive, broken.wait_for(go), broken.send(message.response(body=b"slow"))])
    fast = scene.server([broken.serve(lambda request: message.response(body=b"fast"))])
    weir = scene.proxy(fast, listener={"routes": [{"name": "slow", "path": "/slow", "pool": "slow"},
                                                  {"name": "rest", "pool": "web"}]},
                       pools={"slow": {"servers": [slow.address]}})
    client = scene.client(weir)
    client.send(message.request("GET", "/slow") + message.request("GET", "/fast"))
    slow.wait_requests(1)
    client.check_open()
    go.set()
    assert [client.read().text for _ in range(2)] == ["slow", "fast"]


def test_what_follows_the_last_request_of_a_connection_is_not_served(scene):
    server = scene.server()
    client = scene.client(scene.proxy(server))
    client.send(message.request("GET", "/1", ("Connection", "close")) + message.request("GET", "/2"))
    assert client.read().status == 200
    client.check_closed()
    assert [request.target for request in server.requests] == ["/1"]


def test_empty_lines_between_requests_are_skipped(scene):
    client = scene.client(scene.proxy(scene.server()))
    client.send(b"\r\n" + message.request() + b"\r\n" + message.request())
    assert [client.read().status for _ in range(2)] == [200, 200]


def test_a_client_that_half_closes_after_its_requests_gets_all_responses(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.serve()])
    client = scene.client(scene.proxy(server))
    client.send(message.request("GET", "/1") + message.request("GET", "/2"))
    client.half_close()
    server.wait_requests(1)
    go.set()
    assert [client.read().status for _ in range(2)] == [200, 200]
    client.check_closed()


def test_requests_of_many_clients_go_through_few_server_connections(scene):
    server = scene.server()
    weir = scene.proxy(server, pool={"servers": [{"name": "one", "address": server.address, "max_connections": 4}]})
    clients = [scene.client(weir) for _ in range(40)]
    for _ in range(5):
        for client in clients:
            client.send(message.request())
        for client in clients:
            assert client.read().status == 200
    assert len(server.requests) == 200
    assert len(server.connections) <= 4
    eventually(lambda: weir.live()["exchanges"] == 0, "the end of all exchanges")
