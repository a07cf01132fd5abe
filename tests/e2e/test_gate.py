"""The gate: who may pass, and how many."""
import json

import pytest

import message
from waiting import eventually
from weir import listen_at_free_port, run_command


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


@pytest.mark.parametrize("rule", [{}, {"maintenance": True}, {"auth": {"basic": "users"}}])
def test_who_may_not_pass_learns_nothing_else(scene, tmp_path, rule):
    """Not which routes there are, not that it is out for maintenance, not how to show who it is."""
    if "auth" in rule:
        users = tmp_path / "users"
        users.write_text("alice:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
        rule = {"auth": {"basic": str(users)}}
    routes = [{"name": "only", "path": "/only", "pool": "web"}]
    weir = scene.proxy(scene.server(), listener={"trust": ["127.0.0.0/8"], "gate": {"deny": ["192.0.2.0/24"]}, "routes": routes,
                                                 **rule})
    client = scene.client(weir)
    for target in ("/only", "/none", "/%00"):
        answer = client.ask("GET", target, ("X-Forwarded-For", "192.0.2.7"))
        assert (answer.status, answer.has("WWW-Authenticate"), answer.has("Retry-After")) == (403, False, False)
    assert client.ask("GET", "/none", ("X-Forwarded-For", "198.51.100.7")).status == (
        401 if "auth" in rule else 503 if "maintenance" in rule else 404)
    eventually(lambda: [e["end"] for e in weir.exchanges()].count("gate_denied") == 3, "each ends as denied")
    asked = {"url": "/none", "client": "192.0.2.7"}
    assert json.loads(weir.ask_admin("POST", "/api/v1/explain", body=asked).body)["answer"]["end"] == "gate_denied"


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


# Files


def write_list(path, *blocks):
    """Replaced by rename, as tools do that write lists."""
    beside = path.with_name(path.name + ".new")
    beside.write_text("# written by a test\n" + "".join(f"{block} ; remark\n" for block in blocks))
    beside.rename(path)


@pytest.mark.parametrize("level", ["global", "listener", "route"])
def test_a_file_of_addresses_is_replaced_while_weir_runs(scene, tmp_path, level):
    path = tmp_path / "deny.txt"
    write_list(path, "127.0.0.2", "127.0.3.0/24")
    gate = {"deny_files": [str(path)]}
    weir = scene.proxy(scene.server(), workers=2,
                       **{"global": {"gate": gate}, "listener": {"listener": {"gate": gate}},
                          "route": {"listener": {"routes": [{"name": "all", "pool": "web", "gate": gate}]}}}[level])
    refused = 403 if level == "route" else None
    assert [try_to_pass(scene, weir, source) for source in ("127.0.0.1", "127.0.0.2", "127.0.3.9")] == [200, refused, refused]
    weir.wait_metric(2, "weir_gate_file_blocks")
    stays = scene.client(weir, source="127.0.0.4")
    assert stays.ask().status == 200
    write_list(path, "127.0.0.1", "127.0.0.4", "127.0.0.5")
    weir.wait_metric(3, "weir_gate_file_blocks")
    assert [try_to_pass(scene, weir, source) for source in ("127.0.0.1", "127.0.0.2", "127.0.3.9")] == [refused, 200, 200]
    assert stays.ask().status == 403  # also on a connection that is open
    assert int(weir.wait_event("addresses_changed")["blocks"]) in (2, 3)


def test_a_mistake_in_a_file_keeps_what_was_there(scene, tmp_path):
    path = tmp_path / "deny.txt"
    write_list(path, "127.0.0.2")
    weir = scene.proxy(scene.server(), gate={"deny_files": [str(path)]})
    beside = tmp_path / "deny.txt.new"
    beside.write_text("127.0.0.3\nnonsense\n")
    beside.rename(path)  # at once: nobody reads half of it
    event = weir.wait_event("addresses_refused")
    assert f"{path}:2: " in event["error"]
    assert [try_to_pass(scene, weir, source) for source in ("127.0.0.2", "127.0.0.3")] == [None, 200]
    weir.wait_metric(1, "weir_gate_file_changes_total", result="refused")
    write_list(path, "127.0.0.3", "127.0.0.9")
    weir.wait_metric(2, "weir_gate_file_blocks")
    assert [try_to_pass(scene, weir, source) for source in ("127.0.0.2", "127.0.0.3")] == [200, None]


def test_allowed_by_a_file_keeps_the_rest_out(scene, tmp_path):
    path = tmp_path / "allow.txt"
    write_list(path, "127.0.0.0/30")
    weir = scene.proxy(scene.server(), gate={"allow_files": [str(path)], "deny": ["127.0.0.2"]})
    assert [try_to_pass(scene, weir, f"127.0.0.{last}") for last in (1, 2, 9)] == [200, None, None]


def test_a_file_that_is_not_there_is_a_mistake_of_the_configuration(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text("gate:\n  deny_files: [/nowhere/deny.txt]\nlisteners: {web: {bind: ':1', pool: web}}\n"
                    "pools: {web: {servers: ['127.0.0.1:1']}}\n")
    done = run_command("check", "-c", str(path))
    assert done.returncode == 78 and "2:" in done.stderr + done.stdout
    assert "cannot open /nowhere/deny.txt" in done.stderr + done.stdout


def test_a_million_blocks_are_replaced_without_a_pause(scene, tmp_path):
    path = tmp_path / "deny.txt"
    million = [f"{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}.0/25" for n in range(0x010000, 0x010000 + 1000000)]
    write_list(path, "127.0.0.2")
    weir = scene.proxy(scene.server(), build="release", gate={"deny_files": [str(path)]})
    client = scene.client(weir)
    write_list(path, *million, "127.0.0.3")
    while weir.metric("weir_gate_file_blocks") < 1000000:
        assert client.ask().status == 200
    assert [try_to_pass(scene, weir, source) for source in ("127.0.0.2", "127.0.0.3")] == [200, None]
