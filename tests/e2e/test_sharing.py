"""Workers share: who has a fifth more connections than the average hands new ones over, whatever the listener speaks; caps
hold across all of them, and nothing is lost on the way."""
import json

import pytest

import message
from client import Client
from echo import echo_server
from http2 import Http2
from test_binary_upgrade import Load
from test_proxy_protocol import v1
from test_reload import changed
from tls import Pki
from waiting import LIMIT_S, eventually
from weir import listen_at_free_port, make_config

NOBODY = "127.0.0.1:1"  # weir itself answers
ANSWER = {"routes": [{"name": "all", "respond": {"status": 200, "body": "ok"}}]}


def workers(weir):
    return [row for row in weir.get("/api/v1/workers")["workers"] if row["worker"] != "control"]


def spread(weir):
    return [row["client_connections"] for row in workers(weir)]


def wait_connections(weir, count):
    return eventually(lambda: sum(found := spread(weir)) == count and found, lambda: f"{count} connections: {spread(weir)}")


def handed(weir):
    rows = workers(weir)
    return sum(row["handed_over"] for row in rows), sum(row["taken_over"] for row in rows)


def ask(client):
    client.send(message.request("GET", "/"))
    response = client.read()
    assert response.status == 200, response.status


def open_one(weir, connect, spreads):
    """A connection that has been served, and who has it."""
    client = connect()
    after = wait_connections(weir, sum(spreads[-1]) + 1)
    who = next(i for i, (now, before) in enumerate(zip(after, spreads[-1])) if now > before)
    spreads.append(after)
    return who, client


def lean(weir, connect, count):
    """All connections but worker 0's go: it has `count`, the others have none."""
    spreads, mine, others = [wait_connections(weir, 0)], [], []
    while len(mine) < count:
        who, client = open_one(weir, connect, spreads)
        (others if who else mine).append(client)
    for client in others:
        client.close()
    found = wait_connections(weir, count)
    assert found == [count] + [0] * (len(found) - 1)
    return mine


def connect_plain(scene, weir):
    client = scene.client(weir)
    ask(client)
    return client


def test_who_has_more_than_others_hands_new_connections_over(scene):
    weir = scene.proxy(NOBODY, listener=ANSWER, workers=2)
    kept = lean(weir, lambda: connect_plain(scene, weir), 20)
    before = handed(weir)
    kept += [connect_plain(scene, weir) for _ in range(20)]
    found = wait_connections(weir, 40)
    # The kernel gives each about half of them: then it would be about 30 to 10.
    assert abs(found[0] - found[1]) <= 6, found
    out, into = handed(weir)
    assert out > before[0] and out - before[0] == into - before[1]
    for client in kept:
        ask(client)
    weir.check_invariants()


@pytest.mark.parametrize("count", [4, 8])
def test_nobody_has_much_more_than_his_share(scene, count):
    weir = scene.proxy(NOBODY, listener=ANSWER, workers=count)
    kept = [connect_plain(scene, weir) for _ in range(25 * count)]
    found = wait_connections(weir, len(kept))
    assert max(found) <= 1.25 * 25 + 6, found


def test_tls_begins_where_the_connection_ends_up(scene, tmp_path):
    pki = Pki(tmp_path)
    weir = scene.proxy(NOBODY, listener={**ANSWER, "tls": {"certificates": [pki.make("a", "a.example")]}}, workers=2)

    def connect():
        client = scene.client(weir, context=pki.context(), name="a.example")
        ask(client)
        return client
    kept = lean(weir, connect, 12)
    kept += [connect() for _ in range(12)]
    found = wait_connections(weir, 24)
    assert abs(found[0] - found[1]) <= 6, found
    for client in kept:
        ask(client)
    weir.check_invariants()


def test_a_connection_of_http2_and_one_of_tcp_are_handed_over_as_others_are(scene):
    server = echo_server(scene, "one")
    config = make_config([server], listener=ANSWER, workers=2,
                         listeners={"raw": {"bind": listen_at_free_port(), "protocol": "tcp",
                                            "pool": "web"}})
    weir = scene.weir(config)
    lean(weir, lambda: connect_plain(scene, weir), 12)
    kept = []
    for _ in range(6):
        client = Http2(weir.address)
        scene.clients.append(client)
        assert client.ask().status == 200
        kept.append(client)
    raw = [scene.client(weir, "raw") for _ in range(6)]
    for client in raw:
        ask(client)
    found = wait_connections(weir, 24)
    assert found[1] >= 9, found
    assert handed(weir)[0] >= 1
    weir.check_invariants()


def test_who_a_proxy_says_its_client_is_is_read_where_the_connection_ends_up(scene):
    one = echo_server(scene, "one")
    weir = scene.proxy(one, listener={"proxy_protocol": {"from": ["127.0.0.1"]}}, workers=2)

    def connect():
        client = scene.client(weir)
        client.send(v1("192.0.2.9") + message.request("GET", "/"))
        assert client.read().status == 200
        return client
    lean(weir, connect, 12)
    for _ in range(12):
        connect()
    found = wait_connections(weir, 24)
    assert abs(found[0] - found[1]) <= 6, found
    assert {record["client"] for record in weir.exchanges(limit=24)} == {"192.0.2.9"}
    weir.check_invariants()


@pytest.mark.parametrize("gate", [{"connections": 32}, {"connections_per_client": 32}])
def test_caps_are_exact_whoever_serves(scene, gate):
    """As many as both workers have until one of them has eight are well below the cap: they share."""
    weir = scene.proxy(NOBODY, listener={**ANSWER, "gate": gate}, workers=2)
    kept = lean(weir, lambda: connect_plain(scene, weir), 8)
    kept += [connect_plain(scene, weir) for _ in range(24)]
    for _ in range(10):
        client = Client(weir.address)
        client.send(message.request("GET", "/"))
        client.check_gone()
    wait_connections(weir, 32)
    kept.pop().close()
    wait_connections(weir, 31)
    kept.append(connect_plain(scene, weir))
    weir.check_invariants()


def test_a_client_that_is_gone_before_it_arrives_leaves_nothing(scene):
    weir = scene.proxy(NOBODY, listener=ANSWER, workers=2)
    lean(weir, lambda: connect_plain(scene, weir), 10)
    for _ in range(100):
        client = Client(weir.address)
        client.send(b"G")  # else the kernel keeps it for itself
        client.close()
    wait_connections(weir, 10)
    weir.check_invariants()


def test_connections_are_handed_over_while_configurations_change_and_weir_drains(scene):
    weir = scene.proxy(NOBODY, listener=ANSWER, workers=4)
    kept = lean(weir, lambda: connect_plain(scene, weir), 10)
    for number in range(10):
        weir.reload(changed(weir.config, "listeners.web.timeouts", {"keep_alive": f"{20 + number}s"}))
        kept += [connect_plain(scene, weir) for _ in range(4)]
    for client in kept:
        ask(client)
    assert sum(wait_connections(weir, 50)) == 50
    weir.wait_retired()
    weir.check_invariants()


def test_connections_are_handed_over_while_another_process_takes_over(scene):
    """Those that are on their way to a worker that drains are served all the same."""
    weir = scene.proxy(NOBODY, listener=ANSWER, workers=4)
    for _ in range(3):
        kept = lean(weir, lambda: connect_plain(scene, weir), 16)
        before = handed(weir)[0]
        with Load(weir.address, kept=0, new=6) as load:
            load.wait_more()
            assert handed(weir)[0] > before
            weir.upgrade()
            load.wait_more()
        assert not load.faults, load.faults
        for client in kept:
            client.close()
    for process in weir.predecessors:
        assert process.wait(LIMIT_S) == 0


def test_a_worker_alone_hands_nothing_over(scene):
    weir = scene.proxy(NOBODY, listener=ANSWER, workers=1)
    for _ in range(30):
        connect_plain(scene, weir)
    assert handed(weir) == (0, 0)
    assert json.loads(weir.ask_admin("GET", "/api/v1/workers").body)["workers"][-1]["handed_over"] is None
