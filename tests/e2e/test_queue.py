"""A server's cap on connections, and the queue before it."""
import threading

import pytest

import broken
import message
from waiting import Stopwatch


class Gauge:
    """A server's script that counts how many requests are with it at the same time."""

    def __init__(self, hold_s=0.0):
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.hold_s = hold_s

    def __call__(self, connection):
        while True:
            broken.receive(connection)
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            threading.Event().wait(self.hold_s)  # the server's work
            with self.lock:
                self.now -= 1
            connection.send(message.response())


def capped(server, cap, name="one"):
    return {"name": name, "address": server.address, "max_connections": cap}


def busy_proxy(scene, script, cap=1, **config):
    """weir before a server at its cap, and the client that keeps it busy."""
    server = scene.server(script)
    weir = scene.proxy(capped(server, cap), **config)
    client = scene.client(weir)
    client.send(message.request("GET", "/busy"))
    server.wait_requests(1)
    return server, weir, client


def ask_later(scene, weir, target, exchanges):
    """A request that must wait; returned when weir has it."""
    client = scene.client(weir)
    client.send(message.request("GET", target))
    weir.wait_live(exchanges=exchanges)
    return client


def test_requests_over_the_cap_wait_in_the_order_in_which_they_came(scene):
    go = threading.Event()
    server, weir, busy = busy_proxy(scene, [broken.receive, broken.wait_for(go), broken.ok, broken.serve()])
    waiting = [ask_later(scene, weir, f"/{number}", number + 2) for number in range(10)]
    assert len(server.requests) == 1
    assert weir.get("/api/v1/pools/web")["queue"]["waiting"] == 10
    go.set()
    for client in [busy, *waiting]:
        assert client.read().status == 200
    assert [request.target for request in server.requests] == ["/busy"] + [f"/{number}" for number in range(10)]
    assert len(server.connections) == 1
    weir.wait_metric(10, "weir_pool_queued_total", pool="web")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("cap", [1, 3])
def test_a_cap_is_never_exceeded_and_nobody_is_forgotten(scene, workers, cap):
    gauge = Gauge(0.002)
    server = scene.server([gauge])
    weir = scene.proxy(capped(server, cap), workers=workers)
    clients = [scene.client(weir) for _ in range(30)]
    for _ in range(5):
        for client in clients:
            client.send(message.request())
        for client in clients:
            assert client.read().status == 200
    assert gauge.most <= cap
    assert len(server.requests) == 150


def test_an_idle_connection_of_another_worker_makes_way(scene):
    server = scene.server()
    weir = scene.proxy(capped(server, 1), workers=4)
    for _ in range(40):
        client = scene.client(weir)  # lands on any worker
        assert client.ask().status == 200
        client.close()
    assert len(weir.wait_records(40)) == 40


def test_with_room_at_another_server_nobody_waits(scene):
    servers = [scene.server([broken.receive, broken.wait_end]) for _ in range(2)]
    weir = scene.proxy(*(capped(server, 1, f"s{number}") for number, server in enumerate(servers)))
    for _ in servers:
        scene.client(weir).send(message.request())
    for server in servers:
        server.wait_requests(1)
    assert weir.get("/api/v1/pools/web")["queue"]["waiting"] == 0


def test_a_full_queue_refuses(scene):
    server, weir, _ = busy_proxy(scene, [broken.receive, broken.wait_end],
                              pool={"queue": {"length": 2, "order": "first_come"}, "timeouts": {"queue": "300s"}})
    for number in range(2):
        ask_later(scene, weir, "/waits", number + 2)
    refused = scene.client(weir).ask("GET", "/refused")
    assert refused.status == 503 and refused.get("Retry-After") == "1"
    assert weir.exchange(status=503)["end"] == "queue_full"
    weir.wait_metric(1, "weir_pool_queue_full_total", pool="web")
    assert (weir.metric("weir_pool_queue_length", pool="web"), weir.metric("weir_server_in_flight", pool="web")) == (2, 1)
    assert len(server.requests) == 1


def test_once_somebody_was_refused_who_comes_last_is_served_first(scene):
    go = threading.Event()
    server, weir, busy = busy_proxy(scene, [broken.receive, broken.wait_for(go), broken.ok, broken.serve()],
                                    pool={"queue": {"length": 2}, "timeouts": {"queue": "300s"}})
    assert weir.metric("weir_pool_queue_newest_first", pool="web") == 0
    waiting = [ask_later(scene, weir, f"/{number}", number + 2) for number in range(2)]
    last = scene.client(weir)
    last.send(message.request("GET", "/2"))
    displaced = waiting[0].read()  # who has waited longest makes way
    assert displaced.status == 503 and displaced.get("Retry-After") == "1"
    assert weir.exchange(status=503)["end"] == "queue_full"
    assert weir.metric("weir_pool_queue_newest_first", pool="web") == 1
    assert weir.get("/api/v1/pools/web")["queue"]["newest_first"] is True
    go.set()
    for client in [busy, waiting[1], last]:
        assert client.read().status == 200
    assert [request.target for request in server.requests] == ["/busy", "/2", "/1"]


def test_higher_priorities_are_served_first_and_lower_ones_make_way(scene):
    go = threading.Event()
    routes = [{"path_prefix": f"/{name}", "pool": "web", "name": name, "priority": name} for name in ("low", "high")]
    server, weir, busy = busy_proxy(scene, [broken.receive, broken.wait_for(go), broken.ok, broken.serve()],
                                    pool={"queue": {"length": 4}, "timeouts": {"queue": "300s"}},
                                    listener={"routes": [*routes, {"pool": "web"}]})
    targets = ["/low/0", "/normal/1", "/low/2", "/high/3"]
    waiting = [ask_later(scene, weir, target, number + 2) for number, target in enumerate(targets)]
    last = scene.client(weir)
    last.send(message.request("GET", "/high/4"))
    assert waiting[0].read().status == 503
    go.set()
    for client in [busy, *waiting[1:], last]:
        assert client.read().status == 200
    # Of one class who came last is first, as somebody was refused.
    assert [request.target for request in server.requests] == ["/busy", "/high/4", "/high/3", "/normal/1", "/low/2"]


def test_a_tcp_client_makes_way_too(scene):
    server = scene.server([broken.wait_end])
    weir = scene.proxy(capped(server, 1), protocol="tcp", pool={"queue": {"length": 1}, "timeouts": {"queue": "300s"}})
    scene.client(weir)
    server.wait_connection(0)
    first = scene.client(weir)
    weir.wait_metric(1, "weir_pool_queue_length", pool="web")
    scene.client(weir)
    first.check_closed()
    assert weir.exchange(end="queue_full")["attempt_count"] == 0
    assert weir.metric("weir_pool_queue_length", pool="web") == 1


def test_a_queue_of_length_zero_is_none(scene):
    _, weir, _ = busy_proxy(scene, [broken.receive, broken.wait_end], pool={"queue": {"length": 0}})
    assert scene.client(weir).ask().status == 503


def test_waiting_has_an_end(scene):
    _, weir, _ = busy_proxy(scene, [broken.receive, broken.wait_end], pool={"timeouts": {"queue": "300ms"}})
    with Stopwatch() as watch:
        response = scene.client(weir).ask()
    assert response.status == 503
    watch.check_at_least(0.29)
    assert weir.exchange(status=503)["end"] == "queue_timeout"


def test_who_leaves_the_queue_leaves_no_gap(scene):
    go = threading.Event()
    server, weir, busy = busy_proxy(scene, [broken.receive, broken.wait_for(go), broken.ok, broken.serve()],
                                    pool={"queue": {"length": 3}})
    first = ask_later(scene, weir, "/first", 2)
    leaves = ask_later(scene, weir, "/leaves", 3)
    last = ask_later(scene, weir, "/last", 4)
    leaves.reset()
    weir.wait_live(exchanges=3)
    ask_later(scene, weir, "/fits", 4)
    go.set()
    for client in (busy, first, last):
        assert client.read().status == 200
    server.wait_requests(4)
    assert [request.target for request in server.requests] == ["/busy", "/first", "/last", "/fits"]


def test_a_failed_connection_gives_its_place_to_the_next(scene):
    server = scene.server([broken.receive, broken.reset])
    weir = scene.proxy(capped(server, 1))
    clients = [scene.client(weir) for _ in range(5)]
    for number, client in enumerate(clients):
        client.send(message.request("POST", f"/{number}", body=b"x"))
    assert [client.read("POST").status for client in clients] == [502] * 5
    assert sorted(request.target for request in server.requests) == [f"/{number}" for number in range(5)]


def test_requests_with_bodies_wait_without_losing_a_byte(scene):
    go = threading.Event()
    server, weir, busy = busy_proxy(scene, [broken.receive, broken.wait_for(go), broken.ok, broken.serve()])
    body = bytes(range(256)) * 2000
    client = scene.client(weir)
    sender = threading.Thread(target=client.send, args=(message.request("POST", "/", body=body),))
    sender.start()
    weir.wait_live(exchanges=2)
    assert weir.stats()["memory"]["used"] < 1 << 20
    go.set()
    assert busy.read().status == 200
    assert client.read("POST").status == 200
    sender.join()
    assert server.requests[1].body == body
