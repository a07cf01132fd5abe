"""`weir invariants`: what is counted as things come and go is what there is; where it is not, it is told where. That it is so
at the end of every other test is looked at in weir.py."""
import json
import threading

import pytest

import broken
import message
from client import Client
from echo import echo_server
from http2 import Http2
from test_http2_server_websockets import HANDSHAKE, serve
from test_leaks import within
from test_queue import ask_later, busy_proxy
from test_reload import changed
from test_upgrade import ASK, SWITCH
from waiting import eventually
from weir import run_command

SERVER = "((struct proxy*)anchor.proxy)->pools[0]->roster->places[0].server"
WORKER = "((struct proxy*)anchor.proxy)->workers[0]"
LISTENER = "((struct proxy*)anchor.proxy)->listeners[0]"

# What a bug would leave behind: what is set, and what is said.
PLANT = {
    "server_slots": (f"{SERVER}->peer.in_flight = 3", "3 exchanges are in flight at the server, but 1 slots of it"),
    "server_connections": (f"{SERVER}->peer.open_connections = 2", "2 connections to the server are counted as open, but 0"),
    "slots": (f"{SERVER}->workers[0].slots = 1", "1 of the server's slots are held by the worker, but 0"),
    "idle_connections": (f"{SERVER}->workers[0].idle_count = 1", "1 connections to the server are counted as idle, but 0"),
    "listener_connections": (f"{LISTENER}->connections = 4", "4 connections of clients are counted at the listener, but 0"),
    "all_connections": ("((struct proxy*)anchor.proxy)->connections = 5", "5 connections of clients are counted in all, but 0"),
    "exchanges": (f"{LISTENER}->workers[0].begun = 7", "exchanges have begun and not ended, but 0"),
    "requests": ("((struct proxy*)anchor.proxy)->pools[0]->workers[0]->tally.begun = 9", "requests to the pool have begun"),
    "retrying": ("((struct proxy*)anchor.proxy)->pools[0]->retries.retrying = 2", "2 requests draw on the pool's retry budget"),
    "queue": ("((struct proxy*)anchor.proxy)->pools[0]->workers[0]->queue_length = 1", "1 wait in the pool's queue"),
    "promises": ("((struct proxy*)anchor.proxy)->pools[0]->workers[0]->promised = 1", "1 slots are promised"),
    "pool_views": ("((struct proxy*)anchor.proxy)->pools[0]->workers[0]->view->users = 2", "2 users are counted of a set"),
    "site_views": (f"{WORKER}->site->users = 6", "6 users are counted of a configuration"),
    "site_references": ("((struct proxy*)anchor.proxy)->site->refs = 9", "9 references to the configuration are counted"),
    "client_counts": (f"{WORKER}->counted_clients = 1", "1 connections are counted for connections_per_client"),
    "open_files": (f"{WORKER}->open_files = 1", "1 files are counted as open for clients, but 0 are with exchanges"),
    "kept_memory": (f"{WORKER}->loop.blocks.idle_bytes = 1", "1 bytes are kept and not used"),
    "memory": ("((struct proxy*)anchor.proxy)->budget.used += 4096", "bytes are drawn on the budget, but"),
    "records": (f"{WORKER}->recorded = 40", "40 exchanges and sessions have ended, but 0 flight records"),
}


def look(weir):
    """Once it can be told: nothing moved meanwhile."""
    def told():
        found = weir.get("/api/v1/invariants")
        return found if found["is_at_rest"] else None
    return eventually(told, "a moment of rest")


def check(weir, **expected):
    """All hold, and these sums are as large as that."""
    found = look(weir)
    assert found["broken"] == [] and found["holds"]
    sums = {entry["name"]: entry for entry in found["sums"]}
    assert all(entry["verdict"] == "holds" and entry["says"] is None for entry in sums.values()), sums
    for name, count in expected.items():
        assert (sums[name]["counted"], sums[name]["found"]) == (count, count), f"{name}: {sums[name]}"
    return found


def command(weir, *arguments):
    return run_command("invariants", "--admin", "%s:%d" % weir.admin_address, *arguments)


def test_what_waits_and_what_is_served_is_in_the_sums(scene):
    go = threading.Event()
    _, weir, busy = busy_proxy(scene, [broken.receive, broken.wait_for(go), broken.ok, broken.serve()])
    check(weir, exchanges=1, requests=1, slots=1, server_slots=1, server_connections=1, queue=0)
    waiting = [ask_later(scene, weir, f"/{number}", number + 2) for number in range(3)]
    check(weir, exchanges=4, requests=4, slots=1, server_slots=1, queue=3, waiters=3, client_connections=4,
          all_connections=4, listener_connections=4)
    go.set()
    for client in [busy, *waiting]:
        assert client.read().status == 200
    eventually(lambda: weir.live()["exchanges"] == 0, "the end of all")
    check(weir, exchanges=0, records=4, slots=0, server_connections=1, idle_connections=1, client_connections=4)


def test_a_tunnel_is_one_connection_on_each_side(scene):
    weir = scene.proxy(scene.server([broken.receive, broken.send(SWITCH), broken.wait_end]))
    client = scene.client(weir)
    client.send(message.request("GET", "/", *ASK))
    client.read_head()
    weir.wait_live(tunnels=1)
    check(weir, client_connections=1, server_connections=1, pool_connections=1, server_slots=1, exchanges=1, tunnel_objects=1)


def test_a_websocket_over_http2_is_on_its_servers_connection(scene):
    """The stream goes on as a tunnel, and the connection stays what it is for others."""
    weir = scene.proxy(serve(scene), pool={"protocol": "h2c"})
    client = scene.client(weir)
    client.send(message.request("GET", "/", *HANDSHAKE))
    assert client.read_head().status == 101
    weir.wait_live(tunnels=1)
    check(weir, client_connections=1, server_slots=1, server_connections=1, pool_connections=1, server_objects=1)


def test_a_stream_of_http2_is_an_exchange_of_its_own(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok], [broken.receive, broken.wait_for(go), broken.ok])
    weir = scene.proxy(server)
    client = Http2(weir.address)
    scene.clients.append(client)
    numbers = [client.request(), client.request()]
    server.wait_requests(2)
    check(weir, client_connections=1, exchanges=2, requests=2, server_slots=2, server_connections=2)
    go.set()
    assert [client.read(number).status for number in numbers] == [200, 200]


def test_a_tcp_session_is_a_connection_and_an_attempt(scene):
    weir = scene.proxy(scene.server([broken.wait_end]), protocol="tcp")
    scene.client(weir)
    weir.wait_live(tunnels=1)
    check(weir, client_connections=1, server_slots=1, server_connections=1, exchanges=0, tunnel_objects=1)


@pytest.mark.parametrize("workers", [1, 4])
def test_sums_are_told_without_a_pause_under_traffic(scene, workers):
    """Whoever asks in the middle hears that it holds, or that it moved too much: never that it is broken."""
    server = echo_server(scene, "one")
    weir = scene.proxy({"address": server.address, "max_connections": 3}, workers=workers,
                       listener={"gate": {"connections_per_client": 1000}})
    faults = []

    def work():
        try:
            for number in range(60):
                client = Client(weir.address)
                for _ in range(1 + number % 4):
                    assert client.ask().status == 200
                client.close()
        except Exception as fault:  # noqa: BLE001
            faults.append(fault)
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    asked = 0
    while any(thread.is_alive() for thread in threads):
        found = weir.get("/api/v1/invariants")
        assert found["holds"], found["broken"]
        asked += 1
    for thread in threads:
        thread.join()
    assert not faults, faults[0]
    assert asked > 0
    check(weir, exchanges=0, all_connections=0, server_slots=0, queue=0)


def test_what_pins_an_older_configuration_is_told(scene):
    server = scene.server([broken.receive, broken.ok])
    weir = scene.proxy(server, workers=2)
    client = scene.client(weir)
    client.send(b"POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: 4\r\n\r\n12")
    weir.wait_live(exchanges=1)
    weir.reload(changed(weir.config, "listeners.web.timeouts", {"keep_alive": "9s"}))
    eventually(lambda: len(look(weir)["snapshots"]) == 2 and look(weir)["snapshots"][1]["workers"] == 1, "one worker that has it")
    now, before = check(weir)["snapshots"]
    assert now == {"generation": 2, "is_in_force": True, "references": 3, "workers": 2, "stragglers": 0}
    assert before == {"generation": 1, "is_in_force": False, "references": 1, "workers": 1, "stragglers": 0}
    assert "Generation 1 is not freed yet: 1 workers have it" in command(weir).stdout
    client.send(b"34")
    assert client.read().status == 200
    weir.wait_retired()
    assert len(check(weir)["snapshots"]) == 1


def test_what_is_lost_is_told_with_its_place(scene):
    """All of it at once: a debugger takes its time."""
    weir = scene.proxy(echo_server(scene, "one"), build="asan")
    check(weir)
    weir.baseline = None
    weir.is_checked = False  # what is planted stays
    within(weir, *(f"set var {assignment}" for assignment, _ in PLANT.values()))
    found = look(weir)
    sums = {entry["name"]: entry for entry in found["sums"] if entry["verdict"] != "holds"}
    assert not found["holds"] and set(sums) == set(PLANT)
    said, as_json = command(weir), command(weir, "--json")
    assert said.returncode == as_json.returncode == 1
    assert said.stdout.startswith("What is counted is not what there is:\n")
    assert json.loads(as_json.stdout)["broken"] == found["broken"]
    for name, (_, says) in PLANT.items():
        assert sums[name]["verdict"] == "broken" and sums[name]["broken"] == 1
        assert says in sums[name]["says"] and sums[name]["says"] in found["broken"] and says in said.stdout, name


def test_the_command_shows_each_sum(scene):
    weir = scene.proxy(echo_server(scene, "one"))
    said = command(weir)
    assert said.returncode == 0 and said.stdout.startswith("All that is counted is what there is.\n")
    rows = [line.split() for line in said.stdout.splitlines()[2:]]
    assert rows[0] == ["sum", "verdict", "counted", "found"]
    assert {row[0] for row in rows[1:]} == {entry["name"] for entry in weir.get("/api/v1/invariants")["sums"]}
    assert all(row[1] == "holds" and row[2] == row[3] for row in rows[1:])


def test_faults_of_the_command_are_told():
    assert run_command("invariants", "now").returncode == 64
    done = run_command("invariants", "--admin", "127.0.0.1:1")
    assert done.returncode == 69 and "nothing answers at 127.0.0.1:1" in done.stderr


def test_many_who_ask_at_once_are_answered_or_told_to_ask_again(scene):
    weir = scene.proxy(echo_server(scene, "one"), workers=2)
    clients = [scene.client(weir.admin_address) for _ in range(80)]
    for client in clients:
        client.send(message.request("GET", "/api/v1/invariants", host="%s:%d" % weir.admin_address))
    answers = [client.read() for client in clients]
    assert {answer.status for answer in answers} <= {200, 503} and answers[0].status == 200
    assert all(json.loads(answer.body)["holds"] for answer in answers if answer.status == 200)
    check(weir)


def test_who_asks_and_goes_away_is_forgotten(scene):
    weir = scene.proxy(echo_server(scene, "one"), workers=2)
    for _ in range(50):
        client = Client(weir.admin_address)
        client.send(message.request("GET", "/api/v1/invariants", host="%s:%d" % weir.admin_address))
        client.close()
    check(weir)


def test_only_get_is_answered(scene):
    weir = scene.proxy(echo_server(scene, "one"))
    for method in ["POST", "PUT", "DELETE", "PATCH"]:
        assert weir.ask_admin(method, "/api/v1/invariants").status == 405
