"""Unix sockets on either side carry as much as TCP does: bulk, both ways, and what is there when its sender has gone."""
import random
import threading

import pytest

import broken
import message

BULK = random.Random(1).randbytes(8 << 20)


@pytest.fixture(params=["client", "server", "both"])
def ends(request, scene):
    """Which sides are unix sockets: what a listener binds to, and where a server is; None: a port."""
    listener = {"bind": f"unix:{scene.directory}/listener"} if request.param != "server" else None
    server = f"{scene.directory}/server" if request.param != "client" else None
    return listener, server


def proxy(scene, server, listener, **options):
    return scene.proxy({"name": "behind", "address": server.address}, listener=listener, **options)


def test_a_large_response_arrives_whole(scene, ends):
    listener, path = ends
    server = scene.server([broken.receive, broken.send(message.response(body=BULK)), broken.serve()], path=path)
    client = scene.client(proxy(scene, server, listener))
    assert client.ask().body == BULK
    assert client.ask().text == "ok"


def test_a_large_request_arrives_whole(scene, ends):
    listener, path = ends
    server = scene.server(path=path)
    client = scene.client(proxy(scene, server, listener))
    assert client.ask("POST", "/", body=BULK).status == 200
    assert server.requests[0].body == BULK


def test_what_a_server_sent_before_it_closed_arrives(scene, ends):
    """The kernel says at once that both directions are gone, and has bytes still."""
    listener, path = ends
    head = message.response(200, ("Connection", "close"), body=BULK)
    client = scene.client(proxy(scene, scene.server([broken.receive, broken.send(head)], path=path), listener))
    client.send(message.request())
    threading.Event().wait(0.1)
    assert client.read().body == BULK


@pytest.mark.parametrize("closes_first", [False, True])
def test_tcp_goes_through_both_ways(scene, ends, closes_first):
    listener, path = ends
    server = scene.server([broken.receive_bytes(len(BULK)), broken.send(BULK), *([] if closes_first else [broken.wait_end])],
                          path=path)
    client = scene.client(proxy(scene, server, listener, protocol="tcp"))
    client.send(BULK)
    assert client.read_exactly(len(BULK)) == BULK
