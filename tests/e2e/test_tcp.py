"""TCP listeners: bytes as they are, both ways, and every way in which a connection can end."""
import hashlib
import random
import socket
import threading

import pytest

import broken
from ports import reserve_port
from waiting import Stopwatch, eventually

SIZE = 8 << 20


def proxy(scene, *servers, **config):
    return scene.proxy(*servers, protocol="tcp", **config)


def echo(connection):
    while connection.buffer or connection.fill():
        connection.send(connection.take(len(connection.buffer)))


def seeded(seed, size=SIZE):
    return random.Random(seed).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def send_in_pieces(wire, data, seed):
    generator, at = random.Random(seed), 0
    while at < len(data):
        size = generator.choice([1, 100, 5000, 70000, 500000])
        wire.send(data[at:at + size])
        at += size


def test_bytes_come_back_exactly(scene):
    weir = proxy(scene, scene.server([echo]))
    client = scene.client(weir)
    data = seeded(1)
    sender = threading.Thread(target=send_in_pieces, args=(client, data, 2))
    sender.start()
    assert digest(client.read_exactly(SIZE)) == digest(data)
    sender.join()


def test_both_directions_are_independent(scene):
    there, back = seeded(3), seeded(4)

    def exchange(connection):
        sender = threading.Thread(target=send_in_pieces, args=(connection, back, 5))
        sender.start()
        connection.rest = connection.read_exactly(SIZE)
        sender.join()
        connection.half_close()

    server = scene.server([exchange])
    weir = proxy(scene, server)
    client = scene.client(weir)
    sender = threading.Thread(target=send_in_pieces, args=(client, there, 6))
    sender.start()
    assert digest(client.read_to_end()) == digest(back)
    sender.join()
    client.half_close()
    record = weir.exchange(end="ok")
    assert digest(server.connections[0].rest) == digest(there)
    assert (record["bytes_in"], record["bytes_out"]) == (SIZE, SIZE)
    assert record["protocol"] == "tcp"


def test_the_server_may_speak_first(scene):
    """And the client be silent: nothing waits for its first byte."""
    server = scene.server([broken.send(b"220 ready\r\n"), broken.wait_end])
    client = scene.client(proxy(scene, server))
    assert client.read_exactly(11) == b"220 ready\r\n"


def test_what_the_client_sends_at_once_waits_for_the_server(scene):
    server = scene.server([broken.wait_end])
    weir = proxy(scene, server)
    client = scene.client(weir)
    client.send(b"early")
    client.half_close()
    server.wait_end_of(0)
    assert server.connections[0].rest == b"early"


def test_bytes_are_passed_on_one_by_one(scene):
    client = scene.client(proxy(scene, scene.server([echo])))
    for byte in b"interactive":
        client.send(bytes([byte]))
        assert client.read_exactly(1) == bytes([byte])


def test_many_at_once_are_not_mixed_up(scene):
    weir = proxy(scene, scene.server([echo]), workers=2)
    clients = [scene.client(weir) for _ in range(50)]
    for round_number in range(10):
        for number, client in enumerate(clients):
            client.send(b"%05d/%05d" % (number, round_number))
        for number, client in enumerate(clients):
            assert client.read_exactly(11) == b"%05d/%05d" % (number, round_number)
    weir.wait_live(tunnels=50)


# Ends


def test_the_client_may_close_its_half_first(scene):
    answer = seeded(7, 1 << 20)
    server = scene.server([broken.wait_end, broken.send(answer), broken.close])
    weir = proxy(scene, server)
    client = scene.client(weir)
    client.send(b"question")
    client.half_close()
    assert client.read_to_end() == answer
    assert (server.connections[0].rest, server.connections[0].end) == (b"question", "eof")
    assert weir.exchange()["end"] == "ok"


def test_the_server_may_close_its_half_first(scene):
    server = scene.server([broken.send(b"bye"), broken.half_close, broken.wait_end])
    weir = proxy(scene, server)
    client = scene.client(weir)
    assert client.read_to_end() == b"bye"
    data = seeded(8, 1 << 20)
    client.send(data)
    client.half_close()
    server.wait_end_of(0)
    assert server.connections[0].rest == data
    assert weir.exchange()["end"] == "ok"


def test_an_end_without_any_bytes_is_an_end(scene):
    server = scene.server([broken.wait_end])
    weir = proxy(scene, server)
    scene.client(weir).close()
    assert server.wait_end_of(0) == "eof"
    record = weir.exchange()
    assert (record["end"], record["bytes_in"], record["bytes_out"]) == ("ok", 0, 0)


def test_a_reset_by_the_client_is_passed_on_as_a_reset(scene):
    server = scene.server([broken.send(b"x"), broken.wait_end])
    weir = proxy(scene, server)
    client = scene.client(weir)
    client.read_exactly(1)
    client.reset()
    assert server.wait_end_of(0) == "reset"
    assert weir.exchange()["end"] == "client_reset"


def test_a_reset_by_the_server_is_passed_on_as_a_reset(scene):
    server = scene.server([broken.receive_bytes(1), broken.reset])
    weir = proxy(scene, server)
    client = scene.client(weir)
    client.send(b"x")
    client.check_reset()
    assert weir.exchange()["end"] == "server_reset"


def test_a_reset_after_a_half_close_is_noticed(scene):
    server = scene.server([broken.half_close, broken.wait_end])
    weir = proxy(scene, server)
    client = scene.client(weir)
    assert client.read_to_end() == b""
    client.reset()
    assert server.wait_end_of(0) == "reset"
    weir.wait_live(tunnels=0)


def test_a_reset_of_a_client_that_has_said_its_last_is_noticed(scene):
    server = scene.server([broken.wait_end, broken.wait_hangup])
    weir = proxy(scene, server)
    client = scene.client(weir)
    client.send(b"question")
    client.half_close()
    assert server.wait_end_of(0) == "eof"
    server.connections[0].end = None
    client.reset()
    assert server.wait_end_of(0) == "reset"
    assert weir.exchange()["end"] == "client_reset"


def test_data_before_a_close_is_not_lost_although_nobody_reads_yet(scene):
    go = threading.Event()
    data = seeded(9, 200000)
    server = scene.server([broken.wait_for(go), broken.wait_end])
    weir = proxy(scene, server)
    client = scene.client(weir)
    client.send(data)
    client.close()
    go.set()
    server.wait_end_of(0)
    assert server.connections[0].rest == data


# Connecting


def test_a_server_that_refuses_ends_the_client_at_once(scene):
    weir = proxy(scene, f"127.0.0.1:{reserve_port()}")
    client = scene.client(weir)
    client.check_gone()
    record = weir.exchange()
    assert (record["end"], record["origin"]) == ("connect_refused", "server")
    assert [attempt["end"] for attempt in record["attempts"]] == ["connect_refused"]
    weir.wait_metric(1, "weir_exchanges_total", end="connect_refused")


def test_the_next_server_is_tried(scene):
    weir = proxy(scene, f"127.0.0.1:{reserve_port()}", scene.server([echo]), pool={"balance": "round_robin"})
    for _ in range(4):
        client = scene.client(weir)
        client.send(b"hello")
        assert client.read_exactly(5) == b"hello"
        client.close()
    weir.wait_live(tunnels=0)
    assert ["connect_refused", "ok"] in [[attempt["end"] for attempt in record["attempts"]]
                                         for record in weir.wait_records(4)]


def test_a_connection_that_does_not_open_is_given_up(scene):
    weir = proxy(scene, scene.full_backlog(), pool={"timeouts": {"connect": "200ms"}})
    client = scene.client(weir)
    with Stopwatch() as watch:
        client.check_gone()
    watch.check_at_least(0.15)
    assert weir.exchange()["end"] == "connect_timeout"


def test_a_client_that_goes_while_the_server_is_connected_leaves_nothing(scene):
    weir = proxy(scene, scene.full_backlog(), pool={"timeouts": {"connect": "60s"}})
    client = scene.client(weir)
    weir.wait_live(tunnels=1)
    client.reset()
    weir.wait_live(tunnels=0, server_connections=0, client_connections=0)


def test_without_a_server_the_client_is_closed_and_told_apart(scene):
    weir = proxy(scene, {"name": "one", "address": f"127.0.0.1:{reserve_port()}"})
    weir.patch_server("web", "one", admin="maintenance")
    scene.client(weir).check_gone()
    assert weir.exchange()["end"] == "no_server"


def test_clients_over_the_cap_wait_in_turn(scene):
    server = scene.server([broken.send(b"go"), broken.wait_end])
    weir = proxy(scene, {"name": "one", "address": server.address, "max_connections": 1})
    clients = []
    for number in range(3):
        clients.append(scene.client(weir))
        weir.wait_live(tunnels=number + 1)
    for number, client in enumerate(clients):
        assert client.read_exactly(2) == b"go"
        for later in clients[number + 1:]:
            later.check_open()
        client.close()


def test_who_waits_while_the_servers_change_goes_by_the_new_ones(scene):
    server = scene.server([broken.send(b"go"), broken.wait_end])
    weir = proxy(scene, {"name": "one", "address": server.address, "max_connections": 1}, pool={"balance": "peak_ewma"})
    first = scene.client(weir)
    assert first.read_exactly(2) == b"go"
    second = scene.client(weir)
    weir.wait_metric(1, "weir_pool_queue_length", pool="web")
    weir.patch_server("web", "one", weight=3)
    first.close()
    assert second.read_exactly(2) == b"go"
    assert weir.exchange()["end"] == "ok"


def test_clients_over_the_cap_do_not_wait_for_ever(scene):
    server = scene.server([broken.send(b"go"), broken.wait_end])
    weir = proxy(scene, {"name": "one", "address": server.address, "max_connections": 1},
                 pool={"timeouts": {"queue": "200ms"}})
    first = scene.client(weir)
    assert first.read_exactly(2) == b"go"
    scene.client(weir).check_gone()
    assert weir.exchange()["end"] == "queue_timeout"
    first.check_open()


# Time


def test_a_silent_connection_ends_after_its_idle_time(scene):
    server = scene.server([broken.wait_end])
    weir = proxy(scene, server, pool={"timeouts": {"idle": "300ms"}})
    client = scene.client(weir)
    with Stopwatch() as watch:
        client.check_gone()
    watch.check_at_least(0.25)
    assert weir.exchange()["end"] == "idle_timeout"
    server.wait_end_of(0)


@pytest.mark.parametrize("talker", ["client", "server"])
def test_one_side_that_talks_keeps_the_connection_from_being_idle(scene, talker):
    stop = threading.Event()

    def talk(connection):
        while not stop.wait(0.02):
            connection.send(b"x")
        connection.half_close()

    server = scene.server([talk if talker == "server" else broken.wait_end])
    weir = proxy(scene, server, pool={"timeouts": {"idle": "300ms"}})
    client = scene.client(weir)
    with Stopwatch() as watch:
        if talker == "client":
            for _ in range(40):
                client.send(b"x")
                stop.wait(0.02)
        else:
            client.read_exactly(40)
    watch.check_at_least(0.5)
    weir.wait_live(tunnels=1)
    stop.set()


def test_the_total_time_is_a_bound_whatever_is_going_on(scene):
    weir = proxy(scene, scene.server([echo]), pool={"timeouts": {"total": "400ms"}})
    client = scene.client(weir)
    with Stopwatch() as watch:
        try:
            while True:
                client.send(b"x")
                client.read_exactly(1)
        except (OSError, Exception) as error:
            assert not isinstance(error, TimeoutError)
    watch.check_at_least(0.3)
    assert weir.exchange()["end"] == "total_timeout"


def test_a_half_closed_connection_does_not_last(scene):
    server = scene.server([broken.wait_end, broken.stall])
    weir = proxy(scene, server, pool={"timeouts": {"half_closed": "300ms"}})
    client = scene.client(weir)
    client.half_close()
    with Stopwatch() as watch:
        client.check_gone()
    watch.check_at_least(0.2)
    assert weir.exchange()["end"] == "half_closed_timeout"


def test_a_peer_that_does_not_read_holds_up_only_itself(scene):
    """Backpressure: weir keeps a bounded amount, the rest waits at the sender."""
    weir = proxy(scene, scene.server([broken.send(seeded(10)), broken.stall]))
    lazy = scene.client(weir, receive_buffer=4096)
    eventually(lambda: weir.live()["tunnels"] == 1, "the tunnel")
    assert weir.stats()["memory"]["used"] < 4 << 20
    assert digest(lazy.read_exactly(SIZE)) == digest(seeded(10))


def test_a_unix_socket_as_server(scene, tmp_path):
    path = str(tmp_path / "server.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    weir = proxy(scene, {"name": "local", "address": f"unix:{path}"})
    client = scene.client(weir)
    client.send(b"hello")
    connection, _ = listener.accept()
    with connection, listener:
        assert connection.recv(10) == b"hello"
        connection.sendall(b"world")
    assert client.read_to_end() == b"world"
