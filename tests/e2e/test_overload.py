"""A weir that has more to do than it can, or too few descriptors or too little memory: it refuses early, says why, and recovers."""
import contextlib
import random
import threading

import pytest

import broken
import http2
import message
from waiting import eventually

COMPRESSED = ("Accept-Encoding", "br")


def words(count, seed=7):
    """Text that takes a while to compress."""
    generator = random.Random(seed)
    return bytes(generator.choices(b"abcdefghijklmnopqrstuvwxyz0123456789 ", k=count))


WORDS = words(1 << 20)


def answer_or_flood(connection):
    """/flood has an answer without end."""
    while True:
        broken.receive(connection)
        if connection.request.target != "/flood":
            connection.send(message.response())
            continue
        with contextlib.suppress(OSError):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while True:
                connection.send(WORDS)
        return


@contextlib.contextmanager
def worker_without_rest(scene, weir, count=4):
    """Its turns are long: each compresses a part of `count` answers that do not end."""
    clients = [scene.client(weir) for _ in range(count)]

    def read(client):
        with contextlib.suppress(OSError):
            while client.sock.recv(1 << 18):
                pass

    for client in clients:
        client.send(message.request("GET", "/flood", COMPRESSED))
    threads = [threading.Thread(target=read, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for client in clients:
            client.reset()
        for thread in threads:
            thread.join()


def lagging(scene, **overload):
    routes = [{"name": "flood", "path": "/flood", "pool": "web", "priority": "high"},
              {"name": "low", "path_prefix": "/low", "pool": "web", "priority": "low"},
              {"name": "own", "path": "/own", "respond": {"status": 200, "body": "own"}},
              {"name": "rest", "pool": "web"}]
    listener = {"routes": routes, "compress": {"algorithms": ["br"], "levels": {"br": 8}}, "http2": {}}
    return scene.proxy(scene.server([answer_or_flood]), listener=listener, overload={"lag": "1ms", "window": "1s", **overload})


def refused(weir, cause):
    return weir.metric("weir_overload_refused_total", cause=cause)


def overloads(weir, cause, event="overload"):
    return [said for said in weir.events(event) if said["cause"] == cause]


def ask_until(client, status, target="/low"):
    def asked():
        response = client.ask("GET", target)
        return response if response.status == status else None
    return eventually(asked, f"a {status} for {target}")


def test_a_worker_that_does_not_keep_up_refuses_low_classes_first_and_says_so(scene):
    weir = lagging(scene)
    client = scene.client(weir)
    assert client.ask("GET", "/low").status == 200
    with worker_without_rest(scene, weir):
        response = ask_until(client, 503)
        assert response.get("Retry-After") == "1" and "Reason: overloaded." in response.text
        assert client.ask("GET", "/own").text == "own"  # what weir says itself costs no more than to refuse it
        assert weir.ask_admin("GET", "/healthz").status == 200
        assert overloads(weir, "lag")[0]["worker"] == "0"
        worker = weir.get("/api/v1/workers")["workers"][0]
        assert worker["overload"] == "lag" and worker["refused"] >= 1 and worker["lag_seconds"] > 0
        assert weir.metric("weir_overloaded_workers", cause="lag") == 1
        record = weir.exchange(end="overloaded")
        assert record["status"] == 503 and record["origin"] == "weir" and record["route"] == "low"
    eventually(lambda: overloads(weir, "lag", "overload_over"), "the end of it")
    assert weir.metric("weir_overloaded_workers", cause="lag") == 0
    assert client.ask("GET", "/low").status == 200
    assert refused(weir, "lag") == weir.metric("weir_exchanges_total", listener="web", end="overloaded") + \
        weir.metric("weir_connections_refused_total", listener="web", reason="overloaded")


def test_over_http2_the_stream_alone_is_refused(scene):
    weir = lagging(scene)
    with worker_without_rest(scene, weir):
        ask_until(scene.client(weir), 503)
        connection = http2.Http2(weir.address)
        scene.clients.append(connection)
        answers = []

        def is_refused():
            answers.append(connection.ask("GET", "/low"))
            return answers[-1].status == 503
        eventually(is_refused, "a stream that is refused")
        assert answers[-1].headers["retry-after"] == "1" and b"overloaded" in answers[-1].body
        assert not connection.goaways


def test_a_reload_turns_it_off(scene):
    weir = lagging(scene)
    client = scene.client(weir)
    with worker_without_rest(scene, weir):
        ask_until(client, 503)
        weir.reload({**weir.config, "overload": {"lag": "off"}})
        eventually(lambda: overloads(weir, "lag", "overload_over"), "the end of it")
        assert client.ask("GET", "/low").status == 200


@pytest.mark.parametrize("overload, word", [({"lag": "0ms"}, "lag"), ({"lag": "2m"}, "lag"), ({"window": "1ms"}, "window"),
                                            ({"leg": "1s"}, "leg")])
def test_what_it_cannot_be_is_said_with_its_place(scene, overload, word):
    weir = scene.proxy(scene.server())
    response = weir.put_config({**weir.config, "overload": overload})
    assert response.status == 400 and word in response.text


def test_connections_to_servers_leave_the_descriptors_that_are_kept_back(scene):
    """So many clients that each of them cannot have a connection to a server as well."""
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy(server, nofile=128)
    clients = [scene.client(weir) for _ in range(60)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\n")
    weir.wait_live(client_connections=60)
    for client in clients:
        client.send(b"Host: a.test\r\n\r\n")
    eventually(lambda: len(server.requests) + weir.metric("weir_exchanges_total", listener="web", end="no_descriptors") == 60,
               "all that came")
    told = int(weir.metric("weir_exchanges_total", listener="web", end="no_descriptors"))
    assert 16 <= told < 60  # two for each of the others, of 88
    assert weir.count_fds() <= 128 - 16  # of 32 that are kept back
    assert weir.ask_admin("GET", "/healthz").status == 200
    refusals = [client.read() for client in clients if is_told(weir, client)]
    assert len(refusals) == told
    for response in refusals:
        assert response.status == 503 and response.get("Retry-After") == "1" and "Reason: no_descriptors." in response.text
        assert response.get("Connection") == "close"
    assert overloads(weir, "descriptors") and refused(weir, "descriptors") >= told
    for client in clients:
        client.close()
    eventually(lambda: overloads(weir, "descriptors", "overload_over"), "the end of it")


def is_told(weir, client):
    client.sock.settimeout(0)
    try:
        return bool(client.sock.recv(1, 2))  # MSG_PEEK
    except BlockingIOError:
        return False
    finally:
        client.sock.settimeout(60)


def test_an_idle_connection_to_a_server_ends_for_one_that_is_needed(scene):
    """All descriptors are with clients and idle connections to servers: another pool's servers can be asked all the same."""
    are_all_there = threading.Event()
    servers = [scene.server([broken.receive, broken.wait_for(are_all_there), broken.ok, broken.serve()]), scene.server()]
    routes = [{"name": "b", "path": "/b", "pool": "b"}, {"name": "rest", "pool": "web"}]
    weir = scene.proxy(servers[0], nofile=128, listener={"routes": routes}, pools={"b": {"servers": [servers[1].address]}})
    possible = 128 - 32 - 8
    clients = [scene.client(weir) for _ in range(12)]
    for client in clients:
        client.send(message.request())
    servers[0].wait_requests(len(clients))
    are_all_there.set()
    for client in clients:
        assert client.read().status == 200
    idle = len(clients)
    weir.wait_live(idle_server_connections=idle)
    while len(clients) + idle < possible:
        clients.append(scene.client(weir))
        clients[-1].send(b"G")
    weir.wait_live(client_connections=len(clients))
    assert clients[0].ask("GET", "/b").status == 200
    assert not refused(weir, "descriptors")
