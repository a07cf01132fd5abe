"""SIGTERM: what is going on comes to its end, nothing new begins, and it does not take for ever."""
import json
import os
import signal
import threading

import pytest

import broken
import message
from client import Client
from test_systemd import Listener
from waiting import LIMIT_S, Stopwatch, eventually
from weir import listen_at_free_port


def is_refusing(weir):
    """Then every worker knows of the end."""
    try:
        client = Client(weir.address)
    except ConnectionRefusedError:
        return True
    client.close()
    return False


def drain(weir):
    weir.terminate()
    weir.wait_event("draining")
    eventually(lambda: is_refusing(weir), "new connections being refused")


def test_what_is_going_on_comes_to_its_end(relay):
    go = threading.Event()
    client = relay.open(broken.receive, broken.wait_for(go), broken.send(message.response(body=b"x" * 100000)),
                        broken.wait_end)
    client.send(message.request())
    relay.wait_requests()
    drain(relay.weir)
    go.set()
    response = client.read()
    assert (response.status, len(response.body)) == (200, 100000)
    assert "close" in response.options()
    client.check_gone()
    assert relay.weir.wait_exit() == 0


def test_a_response_under_way_is_not_cut(relay):
    go = threading.Event()
    client = relay.open(broken.receive, broken.send(message.response(200, ("Content-Length", "10"), body=None) + b"half "),
                        broken.wait_for(go), broken.send(b"whole"), broken.wait_end)
    client.send(message.request())
    client.read_head()
    relay.weir.terminate()
    relay.weir.wait_event("draining")
    go.set()
    assert client.read_exactly(10) == b"half whole"
    client.check_gone()
    assert relay.weir.wait_exit() == 0


def test_a_request_under_way_is_read_to_its_end(relay):
    client = relay.open(broken.receive, broken.ok)
    client.send(message.request("POST", "/", ("Content-Length", "10")) + b"half ")
    relay.weir.wait_live(exchanges=1)
    relay.weir.terminate()
    relay.weir.wait_event("draining")
    client.send(b"whole")
    assert client.read("POST").status == 200
    assert relay.weir.wait_exit() == 0
    assert relay.requests[0].body == b"half whole"


def test_idle_connections_are_closed_and_the_end_comes_at_once(scene):
    weir = scene.proxy(scene.server(), timeouts={"drain": "300s"})
    clients = [scene.client(weir) for _ in range(5)]
    for client in clients:
        client.ask()
    weir.terminate()
    for client in clients:
        client.check_closed()
    assert weir.wait_exit() == 0
    assert weir.wait_event("stopped")


def test_new_connections_are_refused(scene):
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy(server)
    scene.client(weir).send(message.request())
    server.wait_requests(1)
    drain(weir)
    assert weir.process.poll() is None


def test_readiness_ends_while_health_goes_on(scene):
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy(server)
    assert weir.ask_admin("GET", "/readyz").status == 200
    scene.client(weir).send(message.request())
    server.wait_requests(1)
    weir.terminate()
    weir.wait_event("draining")
    assert weir.ask_admin("GET", "/readyz").status == 503
    assert weir.ask_admin("GET", "/healthz").status == 200
    assert weir.stats()["draining"] is True


def test_what_is_left_and_for_how_long_is_seen(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.wait_end])
    weir = scene.proxy(server, timeouts={"drain": "600s"}, listeners={
        "raw": {"bind": listen_at_free_port(), "protocol": "tcp", "pool": "web"}})
    drain_of_none = weir.stats()["drain"]
    assert drain_of_none["since_seconds"] is None and drain_of_none["left_seconds"] is None
    asking = [scene.client(weir, "web") for _ in range(3)]
    for client in asking:
        client.send(message.request())
    server.wait_requests(3)
    tunnels = [scene.client(weir, "raw") for _ in range(2)]
    weir.wait_live(tunnels=2, exchanges=3)
    weir.terminate()
    begun = weir.wait_event("drain_begins")
    assert (begun["exchanges"], begun["tunnels"], begun["client_connections"]) == ("3", "2", "5")
    drain = weir.stats()["drain"]
    assert (drain["exchanges"], drain["tunnels"], drain["client_connections"]) == (3, 2, 5)
    assert drain["listeners"] == {"web": 3, "raw": 2}
    assert 0 <= drain["since_seconds"] and 0 < drain["left_seconds"] <= 600
    tunnels.pop().close()
    eventually(lambda: weir.stats()["drain"]["tunnels"] == 1, "one less")
    go.set()
    for client in asking + tunnels:
        client.close()
    assert weir.wait_exit() == 0
    assert weir.wait_event("drained")["client_connections"] == "0"


def test_the_log_says_at_intervals_what_is_left(scene):
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy(server, timeouts={"drain": "800ms"})
    client = scene.client(weir)
    client.send(message.request())
    server.wait_requests(1)
    weir.terminate()
    lines = [weir.wait_event("drain_goes_on", count) for count in (1, 2, 3)]
    assert [line["exchanges"] for line in lines] == ["1"] * 3
    assert sorted(int(line["left_ms"]) for line in lines) == [int(line["left_ms"]) for line in reversed(lines)]
    client.check_gone()
    assert weir.wait_exit() == 0
    assert weir.wait_event("drained")["exchanges"] == "1"  # which was cut


def test_systemds_status_says_what_is_left(scene, monkeypatch, tmp_path):
    listener = Listener(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.wait_end])
    weir = scene.proxy(server, timeouts={"drain": "600s"})
    client = scene.client(weir)
    client.send(message.request())
    server.wait_requests(1)
    weir.terminate()
    listener.wait(r"STATUS=draining: 1 exchanges, 0 tunnels, 1 connections left, for (600|5\d\d) s at most")
    go.set()
    assert client.read().status == 200
    assert weir.wait_exit() == 0


def test_there_is_a_bound(scene):
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy(server, timeouts={"drain": "500ms"},
                       access_log={"path": os.path.join(str(scene.directory), "log"), "format": "json"})
    client = scene.client(weir)
    client.send(message.request())
    server.wait_requests(1)
    with Stopwatch() as watch:
        weir.terminate()
        assert weir.wait_exit() == 0
    watch.check_at_least(0.45)
    client.check_gone()
    server.wait_end_of(0)
    with open(os.path.join(str(scene.directory), "log")) as file:
        assert json.loads(file.read())["end"] == "drained"


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(scene, second):
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy(server, timeouts={"drain": "300s"})
    client = scene.client(weir)
    client.send(message.request())
    server.wait_requests(1)
    weir.terminate()
    weir.wait_event("draining")
    weir.process.send_signal(second)
    assert weir.wait_exit() == 0
    assert weir.wait_event("stopping_now")


def test_a_tunnel_may_go_on_until_the_bound(scene):
    server = scene.server([broken.receive_bytes(1), broken.send(b"y"), broken.wait_end])
    weir = scene.proxy(server, protocol="tcp", timeouts={"drain": "1s"})
    client = scene.client(weir)
    weir.wait_live(tunnels=1)
    weir.terminate()
    weir.wait_event("draining")
    client.send(b"x")
    assert client.read_exactly(1) == b"y"
    client.check_gone()
    assert weir.wait_exit() == 0


def test_a_tunnel_that_ends_lets_weir_end(scene):
    weir = scene.proxy(scene.server([broken.wait_end]), protocol="tcp", timeouts={"drain": "300s"})
    client = scene.client(weir)
    weir.wait_live(tunnels=1)
    weir.terminate()
    weir.wait_event("draining")
    client.close()
    assert weir.wait_exit() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_is_lost_that_was_sent_before_the_end(scene, workers):
    """Clients that keep asking, each time on a new connection, see answers until they see refusals; never a cut."""
    weir = scene.proxy(scene.server(), workers=workers)
    results, lock = [], threading.Lock()
    begun = threading.Event()

    def run():
        for _ in range(2000):
            try:
                client = Client(weir.address)
            except ConnectionRefusedError:
                return
            try:
                client.send(message.request("GET", "/", ("Connection", "close")))
                status = client.read().status
            except (message.Ended, ConnectionResetError, BrokenPipeError):
                status = None  # it lay in the backlog when the listener closed
            client.close()
            with lock:
                results.append(status)
            begun.set()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(LIMIT_S)
    eventually(lambda: len(results) > 50, "some requests")
    weir.terminate()
    for thread in threads:
        thread.join()
    assert weir.wait_exit() == 0
    assert set(results) <= {200, None}
    # Between the last accept and the close there is a moment which only SO_REUSEPORT's kernel could close.
    assert results.count(None) <= 4


def test_many_idle_and_busy_ones_end_together(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.wait_end])
    weir = scene.proxy(server, workers=2)
    busy = [scene.client(weir) for _ in range(20)]
    for client in busy:
        client.send(message.request())
    server.wait_requests(20)
    weir.terminate()
    weir.wait_event("draining")
    go.set()
    for client in busy:
        assert client.read().status == 200
    assert weir.wait_exit() == 0
