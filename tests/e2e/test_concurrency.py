"""How many requests are at a server at a time is found out: what servers see of it, whatever it is found to be."""
import json
import threading

import pytest

import broken
import message
from waiting import LIMIT_S, eventually
from weir import make_config, run_command

ADAPTIVE = {"start": 4, "least": 2, "most": 6, "window": "50ms", "probe": "1s"}


class Gated:
    """A server that answers once it is let."""

    def __init__(self, scene, **pool):
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.at_once, self.most, self.came = 0, 0, 0
        self.server = scene.server([broken.serve(self.answer)])
        self.weir = scene.proxy(self.server, pool={"concurrency": {"adaptive": ADAPTIVE}, **pool})

    def answer(self, request):
        with self.lock:
            self.came += 1
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        assert self.open.wait(LIMIT_S)
        with self.lock:
            self.at_once -= 1
        return message.response()


def test_who_is_too_many_waits_in_the_queue_and_is_served(scene):
    gated = Gated(scene, timeouts={"queue": "60s"})
    clients = [scene.client(gated.weir) for _ in range(40)]
    for client in clients:
        client.send(message.request())
    gated.weir.wait_metric(36, "weir_pool_queue_length", pool="web")
    assert gated.weir.metric("weir_server_requests_limit", pool="web") == 4
    eventually(lambda: gated.came >= 4, lambda: f"4 requests at the server, of which came {gated.came}")
    assert gated.came == 4
    gated.open.set()
    assert [client.read().status for client in clients] == [200] * 40
    for _ in range(5):
        for client in clients:
            client.send(message.request())
        assert [client.read().status for client in clients] == [200] * 40
    assert gated.most <= ADAPTIVE["most"]
    assert ADAPTIVE["least"] <= gated.weir.metric("weir_server_requests_limit", pool="web") <= ADAPTIVE["most"]
    gated.weir.wait_metric(0, "weir_server_in_flight", pool="web")


def test_the_servers_own_cap_holds_beside_it(scene):
    server = scene.server([broken.serve(lambda request: message.response())])
    weir = scene.proxy(server, pool={"concurrency": {"adaptive": ADAPTIVE},
                                     "servers": [{"address": server.address, "max_requests": 3}]})
    assert weir.metric("weir_server_requests_limit", pool="web") == 3
    clients = [scene.client(weir) for _ in range(10)]
    for _ in range(5):
        for client in clients:
            client.send(message.request())
        assert [client.read().status for client in clients] == [200] * 10
    assert weir.metric("weir_server_requests_limit", pool="web") <= 3


def test_a_reload_switches_it_on_and_off(scene):
    server = scene.server()
    config = make_config([server])
    weir = scene.weir(config)
    pool = config["pools"]["web"]
    for adaptive, limit in [(None, 0), (ADAPTIVE, 4), ({**ADAPTIVE, "start": 10, "most": 20, "least": 8}, 8), (None, 0)]:
        pool.pop("concurrency", None)
        if adaptive:
            pool["concurrency"] = {"adaptive": adaptive}
        weir.reload(config)
        weir.wait_metric(limit, "weir_server_requests_limit", pool="web")
        assert scene.client(weir).ask().status == 200


@pytest.mark.parametrize("adaptive, words", [
    ({"least": 10, "most": 5, "start": 7}, "make it smaller"),
    ({"least": 10, "most": 50, "start": 7}, "between"),
    ({"tolerance": 90}, "100"),
])
def test_bounds_that_cannot_be_are_refused_with_their_place(tmp_path, adaptive, words):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:18080", "pool": "web"}},
                                "pools": {"web": {"servers": ["127.0.0.1:18081"], "concurrency": {"adaptive": adaptive}}}}))
    done = run_command("check", "-c", str(path))
    assert done.returncode == 78 and words in done.stderr, done.stderr
