"""Descriptors, memory and processor time: bounded, said, given back."""
import contextlib
import os
import resource
import socket
import threading

import pytest

import broken
import message
from client import Client
from crowd import Crowd
from tls import Pki
from waiting import eventually

KIB = 1024


def test_the_descriptor_limit_is_raised_and_said(scene):
    weir = scene.proxy(scene.server(), nofile=(256, 4096))
    assert resource.prlimit(weir.pid, resource.RLIMIT_NOFILE) == (4096, 4096)
    starting = weir.events("starting")[0]
    assert int(starting["descriptors"]) == 4096
    assert 3500 <= int(starting["connections"]) <= 4096
    assert weir.stats()["descriptors"]["limit"] == 4096


def test_a_limit_that_descriptors_do_not_allow_is_said(scene):
    weir = scene.proxy(scene.server(), nofile=512, limits={"connections": 100000})
    warning = weir.wait_event("connections_limited")
    assert int(warning["asked"]) == 100000 and int(warning["possible"]) <= 512


def try_to_ask(weir):
    """Whether a client on a new connection is answered with 200; the connection is closed again."""
    client = Client(weir.address, limit_s=5)
    try:
        client.send(message.request("GET", "/", ("Connection", "close")))
        return client.read().status == 200
    except (message.Ended, OSError):
        return False
    finally:
        client.close()


def test_without_descriptors_connections_are_shed_and_it_recovers(scene):
    weir = scene.proxy(scene.nginx(), nofile=128)
    with Crowd(weir.address, 400) as crowd:
        crowd.do("connect")
        crowd.do("send GET / HTTP/1.1\\r\\n")
        eventually(lambda: sum(weir.metric("weir_connections_refused_total", reason=reason)
                               for reason in ("connection_limit", "no_descriptors")) >= 200, "connections shed")
        assert weir.ask_admin("GET", "/healthz").status == 200  # its own descriptors are reserved
        assert len(weir.events("connection_refused")) <= 20
        before = weir.cpu_seconds()
        threading.Event().wait(1.0)  # in which there is nothing to do
        assert weir.cpu_seconds() - before < 0.3
        crowd.do("close")
    weir.wait_live(client_connections=0)
    assert try_to_ask(weir)


def test_when_every_descriptor_is_taken_it_does_not_spin(scene):
    """More than weir foresaw: the limit falls while it runs."""
    weir = scene.proxy(scene.nginx(), nofile=1000)
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (60, 1000))
    with Crowd(weir.address, 300) as crowd:
        crowd.do("connect")
        crowd.do("send GET / HTTP/1.1\\r\\n")
        eventually(lambda: weir_log_has(weir, "no_descriptors"), "a message that says so")
        before = weir.cpu_seconds()
        threading.Event().wait(1.0)
        assert weir.cpu_seconds() - before < 0.3
        crowd.do("close")
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (1000, 1000))
    eventually(lambda: try_to_ask(weir), "an answer after recovering")
    assert weir.metric("weir_connections_refused_total", reason="no_descriptors") > 0


@contextlib.contextmanager
def without_free_descriptors(weir, limit):
    """No descriptor is free, and none becomes free."""
    taken = {int(name) for name in os.listdir(f"/proc/{weir.pid}/fd")}
    first_free = min(set(range(len(taken) + 1)) - taken)
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (first_free, limit))
    yield
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (limit, limit))


def test_without_a_descriptor_the_api_sheds_and_does_not_spin(scene):
    weir = scene.proxy(scene.server(), nofile=1000)
    eventually(lambda: weir.count_fds() == weir.baseline[1], "the API's own connection being closed")
    with without_free_descriptors(weir, 1000):
        for _ in range(3):
            client = Client(weir.admin_address)
            client.send(message.request("GET", "/healthz", host="%s:%d" % weir.admin_address))
            client.check_gone()
        weir.wait_event("connection_refused")  # messages have a thread of their own
        refused = len(weir.events("connection_refused"))
        before = weir.cpu_seconds()
        threading.Event().wait(1.0)  # in which there is nothing to do
        assert weir.cpu_seconds() - before < 0.3
        assert 1 <= refused <= len(weir.events("connection_refused")) <= 3
    assert weir.ask_admin("GET", "/healthz").status == 200


def weir_log_has(weir, reason):
    return any(event["reason"] == reason for event in weir.events("connection_refused"))


def test_without_descriptors_for_the_server_the_client_is_told(scene):
    server = scene.server()
    weir = scene.proxy(server, nofile=1000)
    clients = [scene.client(weir) for _ in range(3)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n")
    weir.wait_live(client_connections=3)
    eventually(lambda: weir.count_fds() == weir.baseline[1] + 3, "the API's own connection being closed")
    taken = {int(name) for name in os.listdir(f"/proc/{weir.pid}/fd")}
    first_free = min(set(range(len(taken) + 1)) - taken)
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (first_free, 1000))
    told, next_one, last = clients
    told.send(b"\r\n")
    assert told.read().status == 503
    told.check_closed()
    told.close()
    eventually(lambda: weir.count_fds() == weir.baseline[1] + 2, "the descriptor of whoever was told is free")
    next_one.send(b"\r\n")
    assert next_one.read().status == 200
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (1000, 1000))
    assert weir.exchange(end="no_descriptors")["origin"] == "weir"
    last.send(b"\r\n")
    assert last.read().status == 200


def test_without_memory_connections_are_shed_and_it_recovers(scene):
    """Clients that do not read hold memory; at nine tenths of the limit nobody new is let in."""
    data = message.response(body=bytes(8 << 20))
    server = scene.server([broken.serve(lambda request: data if request.target == "/lazy" else message.response())],
                          send_buffer=65536)
    weir = scene.proxy(server, limits={"memory": "1MiB"}, build="release")
    lazy = []
    while not weir.metric("weir_connections_refused_total", reason="no_memory"):
        assert len(lazy) < 400, weir.stats()
        lazy.append(scene.client(weir, receive_buffer=4096))
        with contextlib.suppress(OSError):
            lazy[-1].send(message.request("GET", "/lazy"))
    stats = weir.stats()["memory"]
    assert stats["used"] <= stats["limit"] * 1.05
    assert weir.ask_admin("GET", "/healthz").status == 200
    eventually(lambda: weir_log_has(weir, "no_memory"), "the message")
    assert weir.metric("weir_overload_refused_total", cause="memory") and weir.wait_event("overload")["cause"] == "memory"
    for client in lazy:
        client.reset()
    weir.wait_live(exchanges=0, client_connections=0)
    client = scene.client(weir)
    client.send(message.request())
    assert client.read().status == 200


def test_a_peak_of_idle_connections_is_not_remembered(scene):
    """Once they are gone, as many may come again: nothing of what they took is kept as used."""
    weir = scene.proxy(scene.server(), limits={"memory": "1MiB"}, build="release")

    def fill():
        idle = []
        while True:
            assert len(idle) < 4000, weir.stats()
            idle.append(scene.client(weir))
            try:
                assert idle[-1].ask().status == 200
            except OSError:
                break
        for client in idle:
            client.close()
        weir.wait_live(client_connections=0)
        return len(idle)

    first = fill()
    assert first > 500
    stats = weir.stats()["memory"]
    assert stats["used"] < stats["limit"] / 3
    assert fill() > first * 9 / 10
    assert scene.client(weir).ask().status == 200


def test_a_client_that_does_not_read_costs_little(scene):
    data = message.response(body=bytes(8 << 20))  # more than the kernel keeps for each
    server = scene.server([broken.serve(lambda request: data)], send_buffer=65536)
    weir = scene.proxy(server, build="release")
    before = weir.stats()["memory"]["used"]
    with Crowd(weir.address, 500) as crowd:
        crowd.do("connect")
        crowd.do("send GET / HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n")
        server.wait_requests(500)
        # Until nothing moves any more: the bytes that weir has sent stay the same.
        eventually(lambda: is_still(weir), "all being stuck")
        used = weir.stats()["memory"]["used"] - before
        print(f"500 clients which do not read: {used / 500 / KIB:.1f} KiB each")
        assert used / 500 <= 48 * KIB
    weir.wait_live(exchanges=0, client_connections=0)


def is_still(weir, count=500):
    seen = weir.stats()
    threading.Event().wait(0.2)
    return weir.stats()["memory"]["used"] == seen["memory"]["used"] and seen["live"]["exchanges"] == count


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.soak)])
def test_a_client_that_does_not_read_costs_little_over_tls(scene, tmp_path, count):
    """Beyond what its connection cost before it asked for anything, which is OpenSSL's, most of it."""
    pki = Pki(tmp_path)
    data = message.response(body=bytes(8 << 20))
    server = scene.server([broken.serve(lambda request: data)], send_buffer=65536)
    weir = scene.proxy(server, build="release", listener={"tls": {"certificates": [pki.make("a", "a.example")]}})
    context = pki.context()
    clients = [scene.client(weir, context=context, name="a.example", receive_buffer=65536) for _ in range(count)]
    weir.wait_live(client_connections=count)
    before = weir.stats()["memory"]["used"]
    for client in clients:
        client.send(message.request())
    server.wait_requests(count)
    eventually(lambda: is_still(weir, count), "all being stuck")
    used = weir.stats()["memory"]["used"] - before
    assert used / count <= 48 * KIB
    for client in clients:
        client.close()
    weir.wait_live(exchanges=0, client_connections=0)


def test_a_server_that_does_not_read_costs_little(scene):
    server = scene.server([broken.stall], receive_buffer=4096)
    weir = scene.proxy(server, build="release")
    before = weir.stats()["memory"]["used"]
    clients = []
    for _ in range(50):
        client = scene.client(weir)
        client.send(message.request("POST", "/", ("Content-Length", str(64 << 20))))
        client.sock.setblocking(False)
        clients.append(client)
    for _ in range(20):
        for client in clients:
            try:
                while client.sock.send(bytes(65536)):
                    pass
            except BlockingIOError:
                pass
    used = weir.stats()["memory"]["used"] - before
    print(f"50 uploads to a server which does not read: {used / 50 / KIB:.1f} KiB each")
    assert used / 50 <= 64 * KIB  # 16 KiB of them kept for another attempt


def kernel_holds(weir, client):
    """Of what weir has sent to it: what the kernel has not got rid of."""
    pair = [f":{port:04X}" for port in (weir.address[1], client.port)]
    with open("/proc/net/tcp") as file:
        for line in file.read().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(pair[0]) and fields[2].endswith(pair[1]):
                return int(fields[4].split(":")[0], 16)
    return 0


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_the_kernel_takes_little_for_a_client_that_does_not_read(scene, protocol):
    """The rest stays where it is, until nothing moves any more at the server."""
    size = 2 << 20
    server = scene.server([broken.receive, broken.send(message.response(200, ("Content-Length", str(size)), body=None)),
                           broken.send(bytes(size)), broken.wait_end], send_buffer=65536)
    weir = scene.proxy(server, protocol=protocol)
    client = scene.client(weir, receive_buffer=16384)
    client.send(message.request())
    seen = []

    def is_stuck():
        seen.append(message.unsent(server.wait_connection().sock))
        return len(seen) > 25 and len(set(seen[-25:])) == 1 and seen[-1] > 0

    eventually(is_stuck, lambda: f"all being stuck: {seen[-25:]}")
    assert 0 < kernel_holds(weir, client) <= 640 * KIB
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    assert len(client.read().body) == size  # slow it was: it gets all of it


def test_an_idle_connection_owns_no_buffer(scene):
    server = scene.server()
    weir = scene.proxy(server, build="release")
    scene.warm(weir, 20)
    clients = [scene.client(weir) for _ in range(200)]
    for client in clients:
        client.ask()
    weir.wait_live(exchanges=0, client_connections=200)
    assert weir.live()["blocks"] == 0
    used = weir.stats()["memory"]["used"]
    print(f"200 idle clients: {used} bytes in all")
    assert used <= 200 * 2 * KIB


def test_a_tunnel_at_rest_owns_no_buffer(scene):
    weir = scene.proxy(scene.server([lambda connection: [connection.send(connection.read_exactly(5)),
                                                         connection.read_to_end()]]), protocol="tcp")
    clients = [scene.client(weir) for _ in range(50)]
    for client in clients:
        client.send(b"hello")
        assert client.read_exactly(5) == b"hello"
    weir.wait_live(tunnels=50)
    assert weir.live()["blocks"] == 0


def test_at_rest_it_uses_no_processor_time(scene):
    weir = scene.proxy(scene.server(), workers=2, build="release")
    client = scene.client(weir)
    client.ask()
    before = weir.cpu_seconds()
    threading.Event().wait(1.0)
    assert weir.cpu_seconds() - before < 0.05


def test_a_client_that_waits_half_way_uses_no_processor_time(scene):
    server = scene.server([broken.receive, broken.send(message.response(body=bytes(8 << 20))), broken.wait_end])
    weir = scene.proxy(server, build="release")
    lazy = [scene.client(weir, receive_buffer=4096) for _ in range(20)]
    for client in lazy:
        client.send(message.request())
    eventually(lambda: weir.live()["exchanges"] == 20, "all exchanges")
    before = weir.cpu_seconds()
    threading.Event().wait(1.0)
    assert weir.cpu_seconds() - before < 0.3


def test_bulk_for_one_does_not_starve_another(scene):
    server = scene.server([broken.serve(lambda request: message.response(
        body=bytes(32 << 20) if request.target == "/bulk" else b"small"))])
    weir = scene.proxy(server, build="release")
    bulk = [scene.client(weir) for _ in range(2)]
    readers = []
    for client in bulk:
        client.send(message.request("GET", "/bulk"))
        readers.append(threading.Thread(target=client.read))
        readers[-1].start()
    small = scene.client(weir)
    for _ in range(20):
        assert small.ask().text == "small"
    for reader in readers:
        reader.join()
