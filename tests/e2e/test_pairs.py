"""A body goes up and another comes down, whole, in each pair of a client's side and a server's: HTTP/1.1 and HTTP/2, in TLS and
without."""
import hashlib
import random
import threading

import pytest

import broken
import message
from http2 import Http2
from http2_server import Http2Server
from tls import Pki

SIDES = ("http1", "http1 in TLS", "http2", "http2 in TLS")
SHORT, LONG = (3 << 20) + 4321, 100 << 20
NAME = "a.example"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.make("front", NAME)
    pki.make("server", "IP:127.0.0.1")
    return pki


@pytest.fixture(scope="module", params=[SHORT, pytest.param(LONG, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def bodies(request):
    return [random.Random(seed).randbytes(request.param) for seed in (1, 2)]


class Server:
    """Answers one request with `answer`; what came of it is digest()."""

    def __init__(self, scene, pki, side, answer):
        tls = pki.server_context("server") if "TLS" in side else None
        self.is_http2 = side.startswith("http2")
        self.pool = {"tls": {"ca": pki.ca}} if tls else {}
        if self.is_http2:
            self.pool["protocol"] = "h2" if tls else "h2c"
            if tls:
                tls.set_alpn_protocols(["h2"])
            self.server = Http2Server(lambda connection, stream: connection.respond(stream, answer), tls=tls)
            scene.servers.append(self.server)
        else:
            response = message.response(200, body=answer)
            self.server = scene.server([broken.receive, broken.send(response), broken.wait_end], tls=tls)

    def digest(self):
        whole = self.server.wait_streams(1) if self.is_http2 else self.server.wait_requests(1)
        return hashlib.sha256(whole[0].body).digest()


def exchange(scene, weir, pki, side, body):
    """The digest of the answer."""
    context = pki.context() if "TLS" in side else None
    if side.startswith("http2"):
        client = Http2(weir.address, context=context, name=NAME)
        scene.clients.append(client)
        stream = client.ask("POST", "/", body=body)
        assert (stream.status, stream.reset) == (200, None)
        return hashlib.sha256(stream.body).digest()
    client = scene.client(weir, context=context, name=NAME)
    sender = threading.Thread(target=client.send, args=(message.request("POST", "/", body=body),))
    sender.start()
    response = client.read("POST")
    sender.join()
    assert response.status == 200
    return hashlib.sha256(response.body).digest()


@pytest.mark.parametrize("server_side", SIDES)
@pytest.mark.parametrize("client_side", SIDES)
def test_bodies_are_whole_both_ways(scene, pki, bodies, client_side, server_side):
    up, down = bodies
    server = Server(scene, pki, server_side, down)
    pair = {"cert": pki.path("front.pem"), "key": pki.path("front.key")}
    listener = {"tls": {"certificates": [pair]}} if "TLS" in client_side else {}
    weir = scene.proxy(server.server, listener=listener, pool=server.pool, build="asan" if len(up) == SHORT else "release")
    assert exchange(scene, weir, pki, client_side, up) == hashlib.sha256(down).digest()
    assert server.digest() == hashlib.sha256(up).digest()
