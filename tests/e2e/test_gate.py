"""The gate: who may pass, and how many."""
import pytest

import message
from waiting import eventually
from weir import listen_at_free_port


def try_to_pass(scene, weir, source="127.0.0.1", listener=None, *fields):
    """The status of a request, or None if the connection was closed without a word."""
    client = scene.client(weir, source=source, listener=listener)
    try:
        client.send(message.request("GET", "/", *fields))
        return client.read().status
    except (message.Ended, ConnectionResetError, BrokenPipeError):
        return None
    finally:
        client.close()


@pytest.mark.parametrize("gate, source, passes", [
    ({"deny": ["127.0.0.2/32"]}, "127.0.0.1", True),
    ({"deny": ["127.0.0.2/32"]}, "127.0.0.2", False),
    ({"deny": ["127.0.0.2"]}, "127.0.0.2", False),
    ({"deny": ["127.0.0.0/24"]}, "127.0.0.200", False),
    ({"deny": ["127.0.0.0/24"]}, "127.0.1.1", True),
    ({"allow": ["127.0.0.2/32"]}, "127.0.0.2", True),
    ({"allow": ["127.0.0.2/32"]}, "127.0.0.1", False),
    ({"allow": ["127.0.0.2/32"], "deny": ["127.0.0.0/8"]}, "127.0.0.2", True),
    ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.2/32"]}, "127.0.0.2", False),
    ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.2/32"]}, "127.0.0.3", True),
    ({"allow": ["127.0.0.2/32"], "deny": ["127.0.0.2/32"]}, "127.0.0.2", False),
    ({"deny": ["0.0.0.0/0"]}, "127.0.0.1", False),
    ({"deny": ["::/0"]}, "127.0.0.1", True),
])
@pytest.mark.parametrize("level", ["global", "listener", "route"])
def test_the_longest_prefix_decides(scene, gate, source, passes, level):
    server = scene.server()
    weir = scene.proxy(server, **{"global": {"gate": gate}, "listener": {"listener": {"gate": gate}},
                                  "route": {"listener": {"routes": [{"name": "all", "pool": "web", "gate": gate}]}}}[level])
    status = try_to_pass(scene, weir, source)
    if passes:
        assert status == 200
    elif level == "route":
        assert status == 403
        assert weir.exchange(status=403)["end"] == "gate_denied"
    else:
        assert status is None
        weir.wait_metric(1, "weir_connections_refused_total", listener="web", reason="gate_denied")
        event = weir.wait_event("connection_refused")
        assert event["reason"] == "gate_denied" and event["client"].rsplit(":", 1)[0] == source
    assert bool(server.requests) == passes


def test_all_levels_must_let_pass(scene):
    weir = scene.proxy(scene.server(), gate={"deny": ["127.0.0.2"]},
                       listener={"gate": {"deny": ["127.0.0.3"]},
                                 "routes": [{"name": "all", "pool": "web", "gate": {"deny": ["127.0.0.4"]}}]})
    assert [try_to_pass(scene, weir, f"127.0.0.{last}") for last in (1, 2, 3, 4)] == [200, None, None, 403]


def test_a_listeners_gate_is_its_own(scene):
    weir = scene.proxy(scene.server(), listener={"gate": {"deny": ["127.0.0.1"]}},
                       listeners={"open": {"bind": listen_at_free_port(), "pool": "web"}})
    assert try_to_pass(scene, weir) is None
    assert try_to_pass(scene, weir, listener="open") == 200


def test_a_gate_on_tcp_closes_at_once(scene):
    weir = scene.proxy(scene.server(), protocol="tcp", listener={"gate": {"deny": ["127.0.0.1"]}})
    scene.client(weir).check_gone()
    weir.wait_metric(1, "weir_connections_refused_total", reason="gate_denied")


@pytest.mark.parametrize("forwarded, status", [("192.0.2.5", 403), ("198.51.100.1", 200), ("198.51.100.1, 192.0.2.5", 403)])
def test_who_speaks_for_another_passes_with_his_address(scene, forwarded, status):
    weir = scene.proxy(scene.server(), listener={"trust": ["127.0.0.0/8"], "gate": {"deny": ["192.0.2.0/24"]}})
    assert try_to_pass(scene, weir, "127.0.0.1", None, ("X-Forwarded-For", forwarded)) == status


def test_who_is_not_trusted_speaks_for_nobody(scene):
    weir = scene.proxy(scene.server(), listener={"trust": ["127.0.0.9"], "gate": {"deny": ["192.0.2.0/24"]}})
    assert try_to_pass(scene, weir, "127.0.0.1", None, ("X-Forwarded-For", "192.0.2.5")) == 200


# How many


@pytest.mark.parametrize("level", ["listener", "global"])
def test_a_client_may_have_so_many_connections(scene, level):
    gate = {"connections_per_client": 2}
    weir = scene.proxy(scene.server(), **({"gate": gate} if level == "global" else {"listener": {"gate": gate}}))
    clients = [scene.client(weir) for _ in range(2)]
    for client in clients:
        assert client.ask().status == 200
    assert try_to_pass(scene, weir) is None
    weir.wait_metric(1, "weir_connections_refused_total", reason="client_connections")
    assert try_to_pass(scene, weir, "127.0.0.3") == 200  # another client
    clients[0].close()
    eventually(lambda: try_to_pass(scene, weir) == 200, "room after one was closed")
    assert clients[1].ask().status == 200


def test_the_connections_of_a_client_are_counted_on_tcp_and_in_tunnels_too(scene):
    weir = scene.proxy(scene.server([lambda connection: connection.read_to_end()]), protocol="tcp",
                       listener={"gate": {"connections_per_client": 2}})
    clients = [scene.client(weir) for _ in range(2)]
    weir.wait_live(tunnels=2)
    scene.client(weir).check_gone()
    clients[0].close()
    weir.wait_live(tunnels=1)
    scene.client(weir).send(b"x")
    weir.wait_live(tunnels=2)


def test_a_listener_may_have_so_many_connections(scene):
    weir = scene.proxy(scene.server(), listener={"gate": {"connections": 3}},
                       listeners={"open": {"bind": listen_at_free_port(), "pool": "web"}})
    clients = [scene.client(weir, source=f"127.0.0.{last}") for last in (1, 2, 3)]
    for client in clients:
        assert client.ask().status == 200
    assert try_to_pass(scene, weir, "127.0.0.4") is None
    weir.wait_metric(1, "weir_connections_refused_total", reason="connection_limit")
    assert try_to_pass(scene, weir, listener="open") == 200
    clients[0].close()
    eventually(lambda: try_to_pass(scene, weir) == 200, "room after one was closed")


@pytest.mark.parametrize("key", ["gate", "limits"])
def test_weir_as_a_whole_may_have_so_many_connections(scene, key):
    weir = scene.proxy(scene.server(), listeners={"other": {"bind": listen_at_free_port(), "pool": "web"}},
                       **{key: {"connections": 3}}, workers=2)
    clients = [scene.client(weir), scene.client(weir), scene.client(weir, listener="other")]
    for client in clients:
        assert client.ask().status == 200
    assert try_to_pass(scene, weir) is None
    assert try_to_pass(scene, weir, listener="other") is None
    weir.wait_metric(2, "weir_connections_refused_total", reason="connection_limit")
    clients[0].close()
    eventually(lambda: try_to_pass(scene, weir) == 200, "room after one was closed")


def test_refusals_do_not_flood_the_log(scene):
    weir = scene.proxy(scene.server(), listener={"gate": {"deny": ["127.0.0.1"]}})
    for _ in range(200):
        assert try_to_pass(scene, weir) is None
    weir.wait_metric(200, "weir_connections_refused_total", reason="gate_denied")
    assert len(weir.events("connection_refused")) <= 10
