"""`pipeline:` of a pool: several requests on one connection to a server, and what becomes of those that wait for others."""
import threading

import pytest

import broken
import message
from waiting import eventually

PATIENT = {"pipeline": {"depth": 4, "patience": "60s"}}


def echo(request):
    return message.response(body=request.target.encode())


def receive_many(count):
    def step(connection):
        for _ in range(count):
            broken.receive(connection)
    return step


def answer_all_but_first(connection):
    for request in [r for r in connection.server.requests if r.connection == connection.index][1:]:
        connection.send(echo(request))


def ask_at_once(scene, weir, count, first=0):
    """Requests of clients of their own, all sent before any is answered."""
    clients = [scene.client(weir) for _ in range(count)]
    for number, client in enumerate(clients, first):
        client.send(message.request("GET", f"/{number}"))
    return clients


def check_own(clients, first=0):
    for number, client in enumerate(clients, first):
        response = client.read()
        assert (response.status, response.text) == (200, f"/{number}")


@pytest.fixture(params=["asan", "release"])
def build(request):
    return request.param


def test_four_wait_for_one_another_on_one_connection(scene, build):
    server = scene.server([broken.receive, broken.ok, receive_many(4), answer_all_but_first, broken.serve(echo)],
                          [broken.serve(echo)])
    weir = scene.proxy(server, build=build, pool=PATIENT)
    scene.warm(weir)
    clients = ask_at_once(scene, weir, 4)
    check_own(clients)
    assert {r.connection for r in server.requests} == {0}
    check_own(ask_at_once(scene, weir, 9, first=4), first=4)


def test_without_it_each_has_a_connection(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.ok, broken.receive, broken.wait_for(go), broken.ok, broken.serve()],
                          [broken.receive, broken.wait_for(go), broken.ok, broken.serve()])
    weir = scene.proxy(server)
    scene.warm(weir)
    clients = [scene.client(weir) for _ in range(4)]
    for client in clients:
        client.send(message.request())
    server.wait_requests(5)
    go.set()
    assert all(client.read().status == 200 for client in clients)
    assert len(server.connections) == 4


def test_what_may_not_be_repeated_waits_for_nobody(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.ok, broken.receive, broken.wait_for(go), broken.ok, broken.serve()],
                          [broken.serve(echo)])
    weir = scene.proxy(server, pool=PATIENT)
    scene.warm(weir)
    slow = scene.client(weir)
    slow.send(message.request("GET", "/slow"))
    server.wait_requests(2)
    for request in (message.request("POST", "/post"), message.request("PUT", "/put", body=b"body"),
                    message.request("GET", "/get", body=b"body")):
        client = scene.client(weir)
        client.send(request)
        assert client.read().status == 200
    assert all(r.connection > 0 for r in server.requests[2:])
    go.set()
    assert slow.read().status == 200


@pytest.mark.parametrize("last", [
    message.response(200, ("Connection", "close"), body=b"/0"),
    message.response(body=b"/0", version="1.0"),
], ids=["close", "1.0"])
def test_a_server_that_closes_loses_it_and_nothing_else(scene, build, last):
    server = scene.server([broken.receive, broken.ok, receive_many(4), broken.send(last), broken.wait_end],
                          [broken.serve(echo)])
    weir = scene.proxy(server, build=build, pool=PATIENT)
    scene.warm(weir)
    check_own(ask_at_once(scene, weir, 4))
    targets = [r.target for r in server.requests[1:]]
    assert targets.count("/0") == 1 and all(targets.count(f"/{n}") == 2 for n in (1, 2, 3))
    before = len(server.requests)
    check_own(ask_at_once(scene, weir, 4))  # one at a time on each connection now
    assert len(server.requests) == before + 4


@pytest.mark.parametrize("how", [broken.close, broken.reset], ids=["fin", "reset"])
def test_when_the_connection_dies_those_behind_are_asked_elsewhere(scene, build, how):
    head = message.response(body=b"0123456789")[:-5]
    server = scene.server([broken.receive, broken.ok, receive_many(4), broken.send(head), how], [broken.serve(echo)])
    weir = scene.proxy(server, build=build, pool=PATIENT)
    scene.warm(weir)
    clients = ask_at_once(scene, weir, 4)
    clients[0].read_cut()
    check_own(clients[1:], first=1)
    targets = [r.target for r in server.requests[1:]]
    assert targets.count("/0") == 1 and all(targets.count(f"/{n}") == 2 for n in (1, 2, 3))
    weir.wait_live(exchanges=0)
    records = weir.exchanges(limit=10)
    ends = {record["target"]: [attempt["end"] for attempt in record["attempts"]] for record in records}
    assert all(ends[f"/{n}"] == ["left_behind", "ok"] for n in (1, 2, 3)), ends


def test_when_it_dies_before_any_answer_nothing_is_lost(scene, build):
    server = scene.server([broken.receive, broken.ok, receive_many(4), broken.reset], [broken.serve(echo)])
    weir = scene.proxy(server, build=build, pool=PATIENT)
    scene.warm(weir)
    check_own(ask_at_once(scene, weir, 4))
    assert all([r.target for r in server.requests].count(f"/{n}") == 2 for n in range(4))


def test_a_late_answer_does_not_keep_the_others(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.ok, broken.receive, broken.wait_for(go), broken.send(message.response()),
                           broken.wait_end], [broken.serve(echo)])
    weir = scene.proxy(server, pool={"pipeline": 4})
    scene.warm(weir)
    clients = ask_at_once(scene, weir, 4)
    check_own(clients[1:], first=1)  # while the first one's is still to come
    go.set()
    assert clients[0].read().text == "ok"


def test_an_answer_that_nobody_asked_for_is_nobodys(scene, build):
    """Behind its own answer it has one ready for whoever comes next."""
    server = scene.server([broken.receive, broken.ok, broken.receive,
                           broken.send(message.response(body=b"/0") + message.response(body=b"wrong")), broken.wait_end],
                          [broken.serve(echo)])
    weir = scene.proxy(server, build=build, pool=PATIENT)
    scene.warm(weir)
    check_own(ask_at_once(scene, weir, 1))
    check_own(ask_at_once(scene, weir, 3, first=1), first=1)


def test_a_client_that_goes_takes_nobody_along(scene, build):
    server = scene.server([broken.receive, broken.ok, receive_many(4), broken.wait_for(go := threading.Event()),
                           answer_all_but_first, broken.serve(echo)], [broken.serve(echo)])
    weir = scene.proxy(server, build=build, pool=PATIENT)
    scene.warm(weir)
    clients = ask_at_once(scene, weir, 4)
    server.wait_requests(5)
    clients[1].reset()
    weir.wait_live(exchanges=3)
    go.set()
    check_own(clients[:1])
    check_own(clients[2:], first=2)


def test_under_load_each_has_its_own_answer_whatever_servers_do(scene, build):
    servers = [scene.server([broken.serve_and_close_at_random(seed, 0.05, echo)]) for seed in (1, 2)]
    weir = scene.proxy(*servers, build=build, pool={"pipeline": {"depth": 8, "patience": "20ms"}})
    wrong = []

    def ask_many(number):
        client = scene.client(weir)
        for count in range(100):
            target = f"/{number}/{count}"
            response = client.ask("GET", target)
            if (response.status, response.text) != (200, target):
                wrong.append((target, response.status, response.text))

    threads = [threading.Thread(target=ask_many, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    eventually(lambda: weir.live()["exchanges"] == 0, "the end of all exchanges")
