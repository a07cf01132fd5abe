"""Ten thousand clients at once, each keeping its connection and asking again and again."""
import copy

import pytest

from crowd import Crowd
from waiting import eventually
from weir import listen_at_free_port

MIB = 1 << 20


def used(weir):
    return weir.stats()["memory"]["used"]


def run(scene, clients, processes, build, cap, rounds, memory_each):
    nginx = scene.nginx(logs=False, connections=2 * cap + 64)
    weir = scene.proxy({"name": "nginx", "address": nginx.address, "max_connections": cap}, build=build, workers=2,
                       pool={"queue": {"length": clients}, "timeouts": {"queue": "60s"}},
                       listener={"timeouts": {"keep_alive": "300s"}})
    with Crowd(weir.address, clients, processes) as crowd:
        assert crowd.do("connect") == {"open": clients, "right": 0, "faults": {}}
        for _ in range(rounds):
            assert crowd.do("ask") == {"open": clients, "right": clients, "faults": {}}
        # Blocks that a round has used are kept for a while, as the next may want them.
        eventually(lambda: used(weir) <= memory_each * clients, lambda: f"{used(weir)} bytes in use")
        live, memory, rss = weir.live(), used(weir), weir.rss_bytes()
        assert live["client_connections"] == clients
        assert live["server_connections"] <= cap
        refused = sum(value for name, value in weir.metrics().items() if name.startswith("weir_connections_refused"))
        assert refused == 0
        crowd.do("close")
    weir.wait_live(client_connections=0, exchanges=0)
    weir.wait_metric(clients * rounds, "weir_exchanges_total", end="ok")
    print(f"{clients} connections: resident {rss / MIB:.1f} MiB; {memory / clients:.0f} bytes of the budget each")
    return rss


@pytest.mark.serial
def test_10000_connections_are_all_served(scene):
    # Every request of a round is with weir at once; what the arenas of all took stays with its allocator.
    rss = run(scene, 10000, 2, "release", cap=2000, rounds=3, memory_each=2048)
    assert rss <= 200 * MIB or scene.weirs[0].is_sanitized


@pytest.mark.serial
def test_1000_connections_are_all_served_under_the_sanitizers(scene):
    run(scene, 1000, 1, "asan", cap=100, rounds=3, memory_each=16384)


@pytest.mark.serial
def test_5000_idle_connections_of_a_listener_that_goes_all_end(scene):
    """In good order, and not one of the requests of others fails meanwhile."""
    clients = 5000
    nginx = scene.nginx(logs=False)
    weir = scene.proxy({"name": "nginx", "address": nginx.address, "max_connections": 100}, workers=2,
                       pool={"queue": {"length": clients}, "timeouts": {"queue": "60s"}},
                       listener={"timeouts": {"keep_alive": "300s"}})
    first, without = weir.config, copy.deepcopy(weir.config)
    without["listeners"]["other"] = {**without["listeners"].pop("web"), "bind": listen_at_free_port()}
    with Crowd(weir.address, clients) as crowd:
        assert crowd.do("connect") == {"open": clients, "right": 0, "faults": {}}
        assert crowd.do("ask") == {"open": clients, "right": clients, "faults": {}}
        weir.reload(without)
        assert scene.client(weir, "other").ask().status == 200
        assert crowd.do("hear_end") == {"open": 0, "right": clients, "faults": {}}
    weir.wait_retired()
    weir.reload(first)
    weir.wait_live(exchanges=0)
    weir.wait_retired()
    assert scene.client(weir).ask().status == 200
