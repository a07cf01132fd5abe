"""When a request goes out a second time, and when it must not: never if it may have been acted on."""
import collections
import os
import random
import signal
import threading

import pytest

import broken
import message
from ports import reserve_port
from waiting import eventually

ROUND_ROBIN = {"balance": "round_robin"}


def dead():
    """An address where nobody listens."""
    return f"127.0.0.1:{reserve_port()}"


def close_after(*steps):
    return [*steps, broken.close]


# Servers that cannot be reached


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH"])
def test_a_refused_connection_moves_the_request_to_the_next_server(scene, method):
    good = scene.server()
    weir = scene.proxy(dead(), good, pool=ROUND_ROBIN)
    client = scene.client(weir)
    for number in range(4):
        assert client.ask(method, f"/{number}", body=b"body").status == 200
    assert [request.body for request in good.requests] == [b"body"] * 4
    tried_twice = [record for record in weir.wait_records(4) if len(record["attempts"]) == 2]
    assert tried_twice
    for record in tried_twice:
        assert [attempt["end"] for attempt in record["attempts"]] == ["connect_refused", "ok"]
        assert (record["end"], record["status"]) == ("ok", 200)


def test_a_connection_that_does_not_open_moves_the_request_to_the_next_server(scene):
    good = scene.server()
    weir = scene.proxy(scene.full_backlog(), good, pool={"balance": "round_robin", "timeouts": {"connect": "200ms"}})
    client = scene.client(weir)
    for _ in range(2):
        assert client.ask("POST", "/", body=b"body").status == 200
    assert ["connect_timeout", "ok"] in [[attempt["end"] for attempt in record["attempts"]]
                                         for record in weir.wait_records(2)]


def test_a_body_that_waited_for_the_second_server_arrives_whole(scene):
    good = scene.server()
    weir = scene.proxy(scene.full_backlog(), good, pool={"balance": "round_robin", "timeouts": {"connect": "200ms"}})
    client = scene.client(weir)
    for _ in range(2):
        body = bytes(range(256)) * 1024
        assert client.ask("POST", "/", body=body).status == 200
        assert good.requests[-1].body == body


def test_when_every_server_refuses_the_client_is_told(scene):
    weir = scene.proxy(dead(), dead(), dead(), pool={"retry": {"attempts": 5}})
    response = scene.client(weir).ask()
    assert response.status == 502
    record = weir.exchange(status=502)
    assert record["end"] == "connect_refused"
    assert len({attempt["server"] for attempt in record["attempts"]}) == 3


def test_attempts_are_limited(scene):
    weir = scene.proxy(dead(), dead(), dead(), pool={"retry": {"attempts": 2}})
    assert scene.client(weir).ask().status == 502
    record = weir.exchange(status=502)
    assert record["attempt_count"] == 2


# Servers that go away


@pytest.mark.parametrize("end", [broken.close, broken.reset], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_an_idempotent_request_without_an_answer_goes_to_the_next_server(scene, method, end):
    dying = scene.server([broken.receive, end])
    good = scene.server()
    weir = scene.proxy(dying, good, pool=ROUND_ROBIN)
    client = scene.client(weir)
    assert [client.ask(method).status for _ in range(2)] == [200, 200]
    assert dying.requests and len(good.requests) == 2


@pytest.mark.parametrize("end", [broken.close, broken.reset], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
def test_another_request_is_never_sent_twice(scene, method, end):
    dying = [scene.server([broken.receive, end]), scene.server([broken.receive, end])]
    weir = scene.proxy(*dying, pool=ROUND_ROBIN)
    client = scene.client(weir)
    for number in range(4):
        assert client.ask(method, f"/{number}", body=b"body").status == 502
    counts = collections.Counter(request.target for server in dying for request in server.requests)
    assert counts == {f"/{number}": 1 for number in range(4)}
    assert all(record["attempt_count"] == 1 for record in weir.wait_records(4, status=502))


def test_a_route_may_say_that_its_requests_are_idempotent(scene):
    dying, good = scene.server([broken.receive, broken.close]), scene.server()
    weir = scene.proxy(dying, good, pool=ROUND_ROBIN,
                       listener={"routes": [{"name": "safe", "pool": "web", "idempotent": True}]})
    client = scene.client(weir)
    assert [client.ask("POST", "/", body=b"body").status for _ in range(2)] == [200, 200]
    assert dying.requests and len(good.requests) == 2


def test_one_server_that_dies_is_not_asked_again_on_a_new_connection(scene):
    server = scene.server([broken.receive, broken.close])
    weir = scene.proxy(server)
    assert scene.client(weir).ask().status == 502
    assert len(server.requests) == 1


def test_after_a_response_byte_nothing_is_tried_again(scene):
    servers = [scene.server([broken.receive, broken.send(b"H"), end]) for end in (broken.close, broken.reset)]
    weir = scene.proxy(*servers, pool=ROUND_ROBIN)
    client = scene.client(weir)
    assert [client.ask().status for _ in range(2)] == [502, 502]
    assert [len(server.requests) for server in servers] == [1, 1]


def test_after_a_response_began_it_is_cut_and_not_tried_again(scene):
    servers = [scene.server([broken.receive, broken.send(message.response(200, ("Content-Length", "10"), body=None)
                                                         + b"half"), broken.close]) for _ in range(2)]
    weir = scene.proxy(*servers, pool=ROUND_ROBIN)
    client = scene.client(weir)
    client.send(message.request())
    assert client.read_cut().body in (b"half", b"")
    assert sum(len(server.requests) for server in servers) == 1


def test_a_small_body_is_kept_and_sent_again_whole(scene):
    body = bytes(range(256)) * 64  # 16 KiB
    dying, good = scene.server([broken.receive, broken.close]), scene.server()
    weir = scene.proxy(dying, good, pool=ROUND_ROBIN)
    client = scene.client(weir)
    for _ in range(2):
        assert client.ask("PUT", "/", body=body).status == 200
    assert dying.requests and len(good.requests) == 2
    assert {request.body for request in dying.requests + good.requests} == {body}


def test_a_small_chunked_body_is_kept_and_sent_again_whole(scene):
    dying, good = scene.server([broken.receive, broken.close]), scene.server()
    weir = scene.proxy(dying, good, pool=ROUND_ROBIN)
    client = scene.client(weir)
    for _ in range(2):
        client.send(message.request("PUT", "/", ("Transfer-Encoding", "chunked")) + message.chunked(b"a" * 5000, b"b"))
        assert client.read("PUT").status == 200
    assert [request.body for request in good.requests] == [b"a" * 5000 + b"b"] * 2


def test_a_body_over_the_buffer_is_not_sent_again(scene):
    dying, good = scene.server([broken.receive, broken.close]), scene.server()
    weir = scene.proxy(dying, good, pool={"balance": "round_robin", "retry": {"buffer": "1KiB"}})
    client = scene.client(weir)
    statuses = [client.ask("PUT", f"/{number}", body=b"x" * 2000).status for number in range(2)]
    assert sorted(statuses) == [200, 502]
    assert len(dying.requests) == 1 and len(good.requests) == 1


def test_a_time_out_is_no_reason_to_ask_again(scene):
    silent = [scene.server([broken.receive, broken.wait_end]) for _ in range(2)]
    weir = scene.proxy(*silent, pool={"balance": "round_robin", "timeouts": {"first_byte": "200ms"}})
    assert scene.client(weir).ask().status == 504
    assert sum(len(server.requests) for server in silent) == 1


# The keep-alive race


def test_a_kept_connection_that_dies_is_replaced_on_the_same_server(scene):
    server = scene.server([broken.receive, broken.ok, broken.receive, broken.close], [broken.serve()])
    weir = scene.proxy(server)
    client = scene.client(weir)
    assert [client.ask("GET", f"/{number}").status for number in range(2)] == [200, 200]
    assert [(request.target, request.connection) for request in server.requests] == [("/0", 0), ("/1", 0), ("/1", 1)]
    record = weir.wait_records(2)[0]
    assert [(attempt["end"], attempt["is_reused"]) for attempt in record["attempts"]] \
        in ([("server_closed", True), ("ok", False)], [("server_reset", True), ("ok", False)])


def test_a_kept_connection_is_replaced_only_once(scene):
    server = scene.server([broken.receive, broken.ok, broken.receive, broken.close], [broken.receive, broken.close])
    client = scene.client(scene.proxy(server))
    assert [client.ask("GET", f"/{number}").status for number in range(2)] == [200, 502]
    assert [request.target for request in server.requests] == ["/0", "/1", "/1"]


def test_a_post_on_a_kept_connection_that_dies_is_not_sent_again(scene):
    server = scene.server([broken.receive, broken.ok, broken.receive, broken.close], [broken.serve()])
    client = scene.client(scene.proxy(server))
    assert client.ask().status == 200
    assert client.ask("POST", "/", body=b"once").status == 502
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_a_server_that_closes_after_each_answer_without_saying_so_is_found_out(scene):
    """What is lost before that: a connection that dies at reuse halves the age at which one is used again, which is a
    second at first, so that after ten no age is left. Mostly it is one, or none if a close is seen before."""
    server = scene.server([broken.receive, broken.ok, broken.close])
    weir = scene.proxy(server)
    client = scene.client(weir)
    lost = asked = 0
    while next(iter(weir.servers().values()))["learned_idle_ms"] != 1:
        lost += client.ask("POST", "/", body=b"once").status != 200
        asked += 1
        assert asked <= 300 and lost <= 11
    assert [client.ask("POST", "/", body=b"once").status for _ in range(300)] == [200] * 300


def test_a_post_takes_no_connection_that_the_server_may_be_about_to_close(scene):
    """The server says how long it waits; at half of that a request that cannot be repeated gets a new connection."""
    answer = message.response(200, ("Connection", "keep-alive"), ("Keep-Alive", "timeout=1"))
    server = scene.server([broken.serve(lambda request: answer)])
    weir = scene.proxy(server)
    client = scene.client(weir)
    client.ask("POST", "/first", body=b"1")
    client.ask("POST", "/at-once", body=b"2")
    threading.Event().wait(0.6)  # what this is about: older than half of the second
    client.ask("POST", "/later", body=b"3")
    assert [request.connection for request in server.requests] == [0, 0, 1]


def hammer(scene, weir, method, clients, requests_each, until=None):
    """(target, status) of every request, from clients side by side: so many, and more until that event is set."""
    results, lock = [], threading.Lock()

    def run(name):
        client = scene.client(weir)
        mine = []
        number = 0
        while number < requests_each or (until and not until.is_set()):
            target = f"/{name}/{number}"
            body = target.encode() if method == "POST" else None
            mine.append((target, client.ask(method, target, body=body).status))
            number += 1
        with lock:
            results.extend(mine)

    threads = [threading.Thread(target=run, args=(name,)) for name in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) >= clients * requests_each
    return results


@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_that_closes_idle_connections_at_random_costs_no_502(scene, seed):
    server = scene.server([broken.serve_and_close_at_random(seed, 0.3)])
    weir = scene.proxy(server)
    results = hammer(scene, weir, "GET", 4, 250)
    assert [result for result in results if result[1] != 200] == []
    assert len(server.connections) > 100  # the server did close


def test_nginx_that_closes_after_a_few_requests_costs_no_502(scene):
    nginx = scene.nginx(keepalive_requests=3, keepalive_timeout="1s")
    weir = scene.proxy(nginx)
    results = hammer(scene, weir, "GET", 4, 250)
    assert [result for result in results if result[1] != 200] == []


def test_a_post_is_never_received_twice_even_if_connections_are_closed_at_random(scene):
    server = scene.server([broken.serve_and_close_at_random(3, 0.3)])
    weir = scene.proxy(server)
    results = hammer(scene, weir, "POST", 4, 100)
    counts = collections.Counter(request.body.decode() for request in server.requests)
    assert max(counts.values()) == 1
    for target, status in results:
        assert status in (200, 502)
        assert status != 200 or counts[target] == 1


def test_records_keep_the_first_three_attempts_and_the_last(scene):
    weir = scene.proxy(*[dead() for _ in range(6)], pool={"retry": {"attempts": 6}})
    assert scene.client(weir).ask().status == 502
    record = weir.exchange(status=502)
    assert record["attempt_count"] == 6
    assert [attempt["number"] for attempt in record["attempts"]] == [1, 2, 3, 6]
    assert [attempt["end"] for attempt in record["attempts"]] == ["connect_refused"] * 4


# What is configured: statuses, time-outs of a try, and the pool's budget


def answering(scene, status, count=1):
    """Servers that answer everything with this status."""
    return [scene.server([broken.serve(lambda request: message.response(status, body=b"busy"))]) for _ in range(count)]


def ends_of(record):
    return [(attempt["end"], attempt["status"]) for attempt in record["attempts"]]


def requests_at(servers):
    return sum(len(server.requests) for server in servers)


def test_a_status_that_is_named_moves_the_request_to_another_server(scene):
    busy, good = answering(scene, 503), scene.server()
    weir = scene.proxy(*busy, good, pool={"balance": "round_robin", "retry": {"on": ["connect", "reset", 503]}})
    client = scene.client(weir)
    assert [client.ask().status for _ in range(2)] == [200, 200]
    assert requests_at(busy) >= 1 and len(good.requests) == 2
    again = [record for record in weir.wait_records(2) if len(record["attempts"]) == 2]
    assert len(again) == requests_at(busy)
    for record in again:
        assert ends_of(record) == [("answer_given_up", 503), ("ok", 200)]
        assert not record["is_retry_denied"]
    assert weir.metric("weir_pool_retries_total", pool="web", why="status") == len(again)


def test_a_status_that_is_not_named_is_passed_on(scene):
    busy, good = answering(scene, 503), scene.server()
    weir = scene.proxy(*busy, good, pool={"balance": "round_robin", "retry": {"on": [502, 504]}})
    client = scene.client(weir)
    assert sorted(client.ask().status for _ in range(2)) == [200, 503]
    assert requests_at(busy) == 1


def test_what_may_have_been_acted_on_is_not_repeated_for_its_status(scene):
    busy, good = answering(scene, 503), scene.server()
    weir = scene.proxy(*busy, good, pool={"balance": "round_robin", "retry": {"on": [503]}})
    client = scene.client(weir)
    answers = [client.ask("POST", f"/{number}", body=b"body") for number in range(4)]
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
    assert collections.Counter(r.target for r in busy[0].requests + good.requests) \
        == {f"/{number}": 1 for number in range(4)}


def test_a_route_has_a_retry_of_its_own(scene):
    busy, good = answering(scene, 503), scene.server()
    weir = scene.proxy(*busy, good, pool={"balance": "round_robin"}, listener={"routes": [
        {"name": "patient", "path_prefix": "/patient", "pool": "web", "retry": {"on": [503]}, "idempotent": True},
        {"name": "rest", "pool": "web"}]})
    client = scene.client(weir)
    assert [client.ask("POST", "/patient", body=b"body").status for _ in range(2)] == [200, 200]
    assert sorted(client.ask("POST", "/rest", body=b"body").status for _ in range(2)) == [200, 503]


def test_the_last_answer_is_passed_on_when_no_server_is_left(scene):
    busy = answering(scene, 503, 2)
    weir = scene.proxy(*busy, pool={"balance": "round_robin", "retry": {"on": [503]}})
    answer = scene.client(weir).ask()
    assert (answer.status, answer.body) == (503, b"busy")
    assert [len(server.requests) for server in busy] == [1, 1]
    record = weir.exchange(status=503)
    assert ends_of(record) == [("answer_given_up", 503), ("ok", 503)] and not record["is_local_reply"]


def test_servers_that_all_answer_503_never_see_more_than_their_share_again(scene):
    """1,000 requests of eight clients, of which a fifth may be asked for twice; who is denied that gets the answer that
    came."""
    busy = answering(scene, 503, 3)
    weir = scene.proxy(*busy, pool={"retry": {"on": [503], "attempts": 5}}, build="release")
    results = hammer(scene, weir, "GET", 8, 125)
    assert {status for _, status in results} == {503}
    assert 1000 < requests_at(busy) <= 1200
    retried = weir.metric("weir_pool_retries_total", pool="web", why="status")
    assert retried == requests_at(busy) - 1000
    assert weir.metric("weir_pool_retries_denied_total", pool="web") > 0
    records = weir.wait_records(1000)
    assert any(record["is_retry_denied"] for record in records)
    assert all(record["end"] == "ok" and not record["is_local_reply"] for record in records)
    state = weir.get("/api/v1/pools")["pools"][0]["retries"]
    assert state["made"] == retried and state["denied"] > 0 and state["now"] == 0


def test_a_budget_of_ones_own(scene):
    busy = answering(scene, 503, 2)
    weir = scene.proxy(*busy, pool={"retry": {"on": [503], "budget": {"share": 100, "reserve": 0}}})
    client = scene.client(weir)
    for _ in range(20):
        assert client.ask().status == 503
    assert requests_at(busy) == 40


def test_a_hung_server_costs_a_try_and_no_request(scene):
    """One of two takes everything and answers nothing, as one that is stopped does."""
    hung, good = scene.server([broken.receive, broken.wait_end]), scene.server()
    weir = scene.proxy(hung, good, pool={"balance": "round_robin", "retry": {"per_try": "2s"}})
    client = scene.client(weir)
    assert [client.ask().status for _ in range(2)] == [200, 200]
    record = next(record for record in weir.wait_records(2) if len(record["attempts"]) == 2)
    assert ends_of(record) == [("try_timeout", None), ("ok", 200)]
    assert weir.metric("weir_pool_retries_total", pool="web", why="per_try") >= 1


def test_a_connection_that_takes_longer_than_a_try_is_given_up(scene):
    good = scene.server()
    weir = scene.proxy(scene.full_backlog(), good, pool={"balance": "round_robin", "retry": {"per_try": "2s"}})
    client = scene.client(weir)
    assert [client.ask("POST", "/", body=b"body").status for _ in range(2)] == [200, 200]
    assert ["connect_timeout", "ok"] in [[attempt["end"] for attempt in record["attempts"]]
                                         for record in weir.wait_records(2)]


def test_an_nginx_that_is_killed_under_load_costs_no_request_that_may_be_repeated(scene):
    nginx = [scene.nginx() for _ in range(2)]
    weir = scene.proxy(*nginx, build="release")
    is_killed = threading.Event()

    def kill_later():
        eventually(lambda: weir.metric("weir_exchanges_total", listener="web") >= 400, "400 requests")
        nginx[0].process.kill()
        nginx[0].process.wait()
        is_killed.set()

    killer = threading.Thread(target=kill_later)
    killer.start()
    results = hammer(scene, weir, "GET", 8, 250, until=is_killed)
    killer.join()
    results += hammer(scene, weir, "GET", 2, 20)  # of which some meet the dead one, if none has yet
    assert [result for result in results if result[1] != 200] == []
    assert weir.metric("weir_pool_retries_total", pool="web") > 0


def test_an_nginx_that_is_stopped_costs_no_request(scene):
    """All that is asked of it meanwhile goes to the other one, after the time of a try."""
    nginx = [scene.nginx() for _ in range(2)]
    weir = scene.proxy(*nginx, pool={"balance": "round_robin", "retry": {"per_try": "2s"}})
    client = scene.client(weir)
    assert [client.ask().status for _ in range(4)] == [200] * 4
    os.kill(nginx[0].process.pid, signal.SIGSTOP)
    try:
        assert [client.ask().status for _ in range(8)] == [200] * 8
    finally:
        os.kill(nginx[0].process.pid, signal.SIGCONT)
    assert weir.metric("weir_pool_retries_total", pool="web", why="per_try") >= 1


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_servers_do_no_post_is_received_twice(scene, seed):
    """Three servers that answer, refuse by 503, close or reset as they like, and the pool told to try again after all of
    that."""
    generator = random.Random(seed)
    lock = threading.Lock()

    def behave(connection):
        while True:
            broken.receive(connection)
            with lock:
                what = generator.random()
            if what < 0.2:
                broken.close(connection)
            if what < 0.4:
                broken.reset(connection)
            connection.send(message.response(503 if what < 0.7 else 200))

    servers = [scene.server([behave]) for _ in range(3)]
    weir = scene.proxy(*servers, pool={"retry": {"on": ["connect", "reset", 503], "attempts": 5,
                                                 "budget": {"share": 100, "reserve": 100}}})
    posts = hammer(scene, weir, "POST", 4, 60)
    gets = hammer(scene, weir, "GET", 4, 60)
    counts = collections.Counter(r.target for server in servers for r in server.requests if r.method == "POST")
    assert max(counts.values()) == 1 and sum(counts.values()) <= len(posts)
    for target, status in posts:
        assert status in (200, 502, 503)
        assert status != 200 or counts[target] == 1
    assert sum(status == 200 for _, status in gets) > sum(status == 200 for _, status in posts)
