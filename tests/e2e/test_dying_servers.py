"""Servers that are killed with requests in their hands: what clients get, and what the servers' own journals say came. Short forms
here; the long ones, of thousands of deaths and at a rate, are `make soak`'s."""
import collections
import threading

import pytest

import steady
from dying import Dying
from waiting import LIMIT_S, eventually

# Told to do all that may be done: after everything, at once, and out of a budget that is never used up.
RETRY = {"on": ["connect", "reset", 502, 503], "attempts": 5, "per_try": "5s", "budget": {"share": 100, "reserve": 100},
         "hedge": {"percentile": 95, "at_least": "20ms"}}
CLIENTS = 4


def send_to_death(scene, deaths):
    """Of every client's posts one of two kills its server, half of those with an answer's head begun; gets go between them. Returns what
    each got, by its target, and the journals' posts."""
    servers = [Dying(scene.directory) for _ in range(2)]
    scene.servers += servers
    weir = scene.proxy(*servers, build="release", workers=2, pool={"retry": RETRY, "ejection": False})
    got = {}

    def run(name):
        client = scene.client(weir)
        for number in range(deaths // CLIENTS):
            for target in (f"/die/{('half', 'none')[number % 2]}/{name}/{number}", f"/live/{name}/{number}"):
                assert client.ask("GET", f"/get/{name}/{number}").status == 200
                got[target] = client.ask("POST", target, body=target.encode()).status

    threads = [threading.Thread(target=run, args=(name,)) for name in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got, [request for server in servers for request in server.seen() if request[0] == "POST"]


def check_once(got, seen, deaths):
    counts = collections.Counter(target for _, target, _ in seen)
    assert len(got) == 2 * deaths
    assert set(counts) == set(got) and set(counts.values()) == {1}
    assert all(body == target for _, target, body in seen)
    for target, status in got.items():
        assert status == (200 if "/live/" in target else 502), (target, status)


def test_a_post_that_killed_its_server_is_in_one_journal_once(scene):
    check_once(*send_to_death(scene, 60), 60)


@pytest.mark.soak
def test_ten_thousand_posts_that_killed_their_servers_are_in_one_journal_once(scene):
    check_once(*send_to_death(scene, 10000), 10000)


def nginx_posts(servers):
    """The targets of all posts in the servers' own logs; those of one that was killed are there, too, since nginx writes each at once."""
    for server in servers:
        with open(server.access_log) as file:
            yield from (line.split(" ")[3] for line in file if line.split(" ")[2] == "POST")


@pytest.mark.soak
@pytest.mark.serial
def test_a_server_that_is_killed_at_2000_requests_a_second_costs_one_of_ten_thousand_at_most(scene):
    servers = [scene.nginx(keepalive_timeout="300s") for _ in range(3)]
    weir = scene.proxy(*servers, build="release", workers=2)
    loads = [steady.start(weir.address, str(number), 500, 40) for number in range(4)]
    eventually(lambda: weir.metric("weir_exchanges_total", listener="web") >= 20000, "20,000 requests", 4 * LIMIT_S)
    servers[0].process.kill()
    results = [steady.result(load) for load in loads]
    count, failed = sum(result["count"] for result in results), sum((result["failed"] for result in results), [])
    print(f"{count} requests, {count / max(result['seconds'] for result in results):.0f} a second; failed: {failed}")
    assert count >= 30000
    assert len(failed) <= count / 10000
    assert all(method == "POST" for method, _, _ in failed)
    posts = collections.Counter(nginx_posts(servers))
    assert max(posts.values()) == 1
