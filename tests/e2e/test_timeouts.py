"""Time-outs: each in its place, neither early nor late, and an idle time-out is not one of the whole."""
import threading

import pytest

import broken
import message
from waiting import Stopwatch


def drip(connection, count, every_s=0.05, data=b"x"):
    """A byte now and then: what this file is about."""
    pause = threading.Event()
    for _ in range(count):
        connection.send(data)
        pause.wait(every_s)


# The client's


def test_a_head_must_arrive_in_time(scene):
    weir = scene.proxy(scene.server(), listener={"timeouts": {"header": "300ms"}})
    client = scene.client(weir)
    with Stopwatch() as watch:
        client.send(b"GET / HTTP/1.1\r\n")
        response = client.read()
        client.check_gone()
    assert response.status == 408
    assert "close" in response.options()
    watch.check_at_least(0.29)


def test_a_head_that_drips_does_not_win_time(scene):
    weir = scene.proxy(scene.server(), listener={"timeouts": {"header": "300ms"}})
    client = scene.client(weir)
    client.send(b"GET / HTTP/1.1\r\nX: ")
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        drip(client, 1000)
    assert weir.exchange(status=408)["end"] == "header_timeout"


def test_the_head_of_a_second_request_has_its_own_time(scene):
    weir = scene.proxy(scene.server(), listener={"timeouts": {"header": "300ms", "keep_alive": "10s"}})
    client = scene.client(weir)
    client.ask()
    threading.Event().wait(0.4)  # idle for longer than a head may take
    client.send(b"GET / HTTP/1.1\r\n")
    assert client.read().status == 408


def test_a_body_must_go_on(relay):
    client = relay.open(broken.receive, broken.ok, listener={"timeouts": {"body": "300ms"}})
    client.send(message.request("POST", "/", ("Content-Length", "10")) + b"half")
    with Stopwatch() as watch:
        response = client.read("POST")
    assert response.status == 408
    assert "close" in response.options()
    watch.check_at_least(0.25)
    relay.weir.wait_live(exchanges=0)
    assert relay.requests == []


def test_a_body_that_drips_has_its_time(relay):
    client = relay.open(broken.receive, broken.ok,
                        listener={"timeouts": {"body": "400ms"}, "limits": {"least_rate": "off"}})
    client.send(message.request("POST", "/", ("Content-Length", "20")))
    drip(client, 20)
    assert client.read("POST").status == 200
    assert relay.wait_requests()[0].body == b"x" * 20


def test_a_response_must_be_taken(relay):
    client = relay.open(broken.receive, broken.send(message.response(body=bytes(16 << 20))), broken.wait_end,
                        listener={"timeouts": {"write": "400ms"}})
    with Stopwatch() as watch:
        client.send(message.request())
        relay.weir.exchange(end="write_timeout")
    watch.check_at_least(0.35)
    client.read_cut()


def test_a_response_that_is_taken_slowly_has_its_time(relay):
    size = 6 << 20
    client = relay.open(broken.receive, broken.send(message.response(body=bytes(size))), broken.serve(),
                        listener={"timeouts": {"write": "500ms"}})
    client.send(message.request())
    client.read_head()
    pause = threading.Event()
    left = size
    while left:
        left -= len(client.read_exactly(min(left, 300000)))
        pause.wait(0.05)
    assert client.ask().text == "ok"


# The server's


def test_a_connection_must_open_in_time(scene):
    weir = scene.proxy(scene.full_backlog(), pool={"timeouts": {"connect": "300ms"}})
    with Stopwatch() as watch:
        assert scene.client(weir).ask().status == 504
    watch.check_at_least(0.29)


def test_a_response_must_begin_in_time(relay):
    client = relay.open(broken.receive, broken.wait_end, pool={"timeouts": {"first_byte": "300ms"}})
    with Stopwatch() as watch:
        assert client.ask().status == 504
    watch.check_at_least(0.29)
    assert relay.server.wait_end_of(0)


def test_the_time_for_the_first_byte_begins_after_the_request(relay):
    client = relay.open(broken.receive, broken.ok, pool={"timeouts": {"first_byte": "300ms"}})
    client.send(message.request("POST", "/", ("Content-Length", "10")))
    drip(client, 10, every_s=0.08)
    assert client.read("POST").status == 200


def test_a_head_that_stays_half_is_given_up(relay):
    client = relay.open(broken.receive, broken.send(b"HTTP/1.1 200 OK\r\nX-A"), broken.wait_end,
                        pool={"timeouts": {"first_byte": "300ms", "response": "300ms"}})
    with Stopwatch() as watch:
        assert client.ask().status == 504
    watch.check_at_least(0.25)
    assert relay.weir.exchange(status=504)["end"] in ("first_byte_timeout", "response_timeout")


def test_a_response_must_go_on(relay):
    client = relay.open(broken.receive, broken.send(message.response(200, ("Content-Length", "10"), body=None) + b"half"),
                        broken.wait_end, pool={"timeouts": {"response": "300ms"}})
    client.send(message.request())
    with Stopwatch() as watch:
        client.read_cut()
    watch.check_at_least(0.25)
    assert relay.weir.exchange(end="response_timeout")


def test_a_response_that_drips_has_its_time(relay):
    client = relay.open(broken.receive, broken.send(message.response(200, ("Content-Length", "20"), body=None)),
                        lambda connection: drip(connection, 20), broken.serve(),
                        pool={"timeouts": {"response": "400ms"}})
    assert client.ask().body == b"x" * 20


def test_early_hints_do_not_stop_the_clock(relay):
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    client = relay.open(broken.receive, broken.send(hints), broken.wait_end, pool={"timeouts": {"first_byte": "300ms"}})
    with Stopwatch() as watch:
        assert client.ask().status == 504
    watch.check_at_least(0.25)


def test_a_server_must_take_the_request(scene):
    server = scene.server([broken.stall], receive_buffer=4096)
    weir = scene.proxy(server, pool={"timeouts": {"response": "300ms"}})
    client = scene.client(weir)
    client.send(message.request("POST", "/", ("Content-Length", str(64 << 20))))
    sender = threading.Thread(target=send_all_that_goes, args=(client,))
    sender.start()
    assert weir.exchange(status=504)["end"] == "send_timeout"
    client.close()
    sender.join()


def send_all_that_goes(client):
    try:
        client.send(bytes(64 << 20))
    except OSError:
        pass


# The whole


def test_the_total_time_bounds_what_each_part_would_allow(relay):
    client = relay.open(broken.receive, broken.wait_end, pool={"timeouts": {"total": "300ms"}})
    with Stopwatch() as watch:
        assert client.ask().status == 504
    watch.check_at_least(0.29)
    assert relay.weir.exchange(status=504)["end"] == "total_timeout"


def test_the_total_time_cuts_a_response_that_drips_on(relay):
    client = relay.open(broken.receive, broken.send(message.response(200, ("Content-Length", "1000"), body=None)),
                        lambda connection: drip(connection, 1000, 0.02), pool={"timeouts": {"total": "400ms"}})
    client.send(message.request())
    with Stopwatch() as watch:
        client.read_cut()
    watch.check_at_least(0.3)
    assert relay.weir.exchange(end="total_timeout")["status"] == 200


def test_the_total_time_counts_for_each_request_of_a_connection(scene):
    client = scene.client(scene.proxy(scene.server(), pool={"timeouts": {"total": "600ms"}}))
    pause = threading.Event()
    for _ in range(10):
        assert client.ask().status == 200
        pause.wait(0.1)


@pytest.mark.parametrize("phase", ["connect", "first byte", "body"])
def test_after_a_time_out_nothing_is_left(scene, phase):
    times = {"connect": {"connect": "200ms"}, "first byte": {"first_byte": "200ms"}, "body": {"response": "200ms"}}[phase]
    server = {"connect": lambda: scene.full_backlog(),
              "first byte": lambda: scene.server([broken.receive, broken.wait_end]),
              "body": lambda: scene.server([broken.receive, broken.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
                                            broken.wait_end])}[phase]()
    weir = scene.proxy(server, pool={"timeouts": times})
    clients = [scene.client(weir) for _ in range(20)]
    for client in clients:
        client.send(message.request())
    for client in clients:
        client.read_cut() if phase == "body" else client.read()
    weir.wait_live(exchanges=0, server_connections=0)
