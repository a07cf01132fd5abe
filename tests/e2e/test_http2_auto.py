"""`protocol: auto`: each server says by ALPN whether it speaks HTTP/2 or HTTP/1.1, and requests go on as it says."""
import concurrent.futures
import json
import threading

import pytest

import broken
from http2_server import Http2Server
from tls import Pki
from waiting import eventually
from weir import run_command


class Site:
    """weir in front of servers over TLS that each have a word of their own in what is spoken."""

    def __init__(self, scene, directory):
        self.scene, self.pki = scene, Pki(directory)
        self.pki.make("server", "127.0.0.1", names=["IP:127.0.0.1"])

    def context(self, *protocols):
        context = self.pki.server_context("server")
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def http1(self, *protocols, **options):
        return self.scene.server([broken.serve()], tls=self.context(*protocols), **options)

    def http2(self, **options):
        server = Http2Server(tls=self.context("h2", "http/1.1"), **options)
        self.scene.servers.append(server)
        return server

    def proxy(self, *servers, **pool):
        self.weir = self.scene.proxy(*servers, pool={"protocol": "auto", "tls": {"ca": self.pki.ca}, **pool})
        return self.weir

    def ask_many(self, count, *fields, **options):
        """So many at the same time."""
        def ask(_):
            client = self.scene.client(self.weir)
            return client.ask("POST", "/", *fields, body=b"hello", **options)
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(ask, range(count)))


@pytest.fixture
def site(scene, tmp_path):
    return Site(scene, tmp_path)


def attempts(weir, count):
    return [len(record["attempts"]) for record in weir.wait_records(count)]


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)])
def test_a_server_of_http_1_is_spoken_to_so(site, protocols):
    server = site.http1(*protocols)
    weir = site.proxy(server)
    client = site.scene.client(weir)
    for _ in range(3):
        assert client.ask("POST", "/", body=b"hello").status == 200
    assert [request.version for request in server.wait_requests(3)] == ["1.1"] * 3
    assert len(server.connections) == 1  # it is kept
    assert attempts(weir, 3) == [1, 1, 1]


def test_a_server_of_http_2_is_spoken_to_so(site):
    server = site.http2()
    weir = site.proxy(server)
    client = site.scene.client(weir)
    for _ in range(3):
        assert client.ask("POST", "/", body=b"hello").status == 200
    assert [stream.headers[":method"] for stream in server.wait_streams(3)] == ["POST"] * 3
    assert len(server.connections) == 1
    assert attempts(weir, 3) == [1, 1, 1]


def test_each_server_of_a_pool_has_its_own_word(site):
    one, two = site.http1("http/1.1"), site.http2()
    weir = site.proxy(one, two)
    client = site.scene.client(weir)
    for _ in range(4):
        assert client.ask().status == 200
    assert len(one.wait_requests(2)) == 2 and len(two.wait_streams(2)) == 2


def test_many_at_once_go_out_once_each_whatever_is_spoken(site):
    for server in (site.http1("http/1.1"), site.http2()):
        weir = site.proxy(server)
        for _ in range(2):
            assert [answer.status for answer in site.ask_many(20)] == [200] * 20
        assert attempts(weir, 40) == [1] * 40
        seen = len(server.wait_requests(40)) if hasattr(server, "requests") else len(server.wait_streams(40))
        assert seen == 40


def test_a_server_may_change_its_mind(site):
    before = site.http2()
    weir = site.proxy(before)
    assert site.scene.client(weir).ask().status == 200
    before.close()
    site.scene.servers.remove(before)
    after = site.http1("http/1.1", port=before.port)
    eventually(lambda: site.scene.client(weir).ask().status == 200, "an answer of the server that came after")
    assert after.wait_requests(1)[0].version == "1.1"


class Held(broken.Server):
    """One whose connections are begun by the kernel alone until `go` is set."""

    def __init__(self, go, *scripts, **options):
        self.go = go
        super().__init__(*scripts, **options)

    def run(self, connection, script):
        broken.wait_for(self.go)(connection)
        super().run(connection, script)


def test_many_at_once_go_out_once_each_while_a_server_changes_its_mind(site):
    """They share one connection, as the last one was HTTP/2: one of them goes on there, the others on new ones."""
    before = site.http2()
    weir = site.proxy(before)
    assert site.scene.client(weir).ask().status == 200
    before.close()
    site.scene.servers.remove(before)
    weir.wait_live(idle_server_connections=0)
    go = threading.Event()
    after = Held(go, [broken.serve()], tls=site.context("http/1.1"), port=before.port)
    site.scene.servers.append(after)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answers = pool.submit(site.ask_many, 20)
        weir.wait_live(exchanges=20)
        assert len(after.connections) == 1
        go.set()
        assert [answer.status for answer in answers.result()] == [200] * 20
    ends = [attempt["end"] for record in weir.wait_records(21) for attempt in record["attempts"]]
    assert ends.count("server_goaway") == 19, ends
    assert [request.version for request in after.requests] == ["1.1"] * 20  # none twice


def test_a_copy_goes_on_as_well(site):
    server, shadow = site.scene.server(), site.http1("http/1.1")
    site.weir = site.scene.proxy(
        server, listener={"routes": {"r": {"pool": "web", "mirror": {"pool": "shadow"}}}},
        pools={"shadow": {"servers": [shadow.address], "protocol": "auto", "tls": {"ca": site.pki.ca}}})
    assert site.scene.client(site.weir).ask().status == 200
    assert shadow.wait_requests(1)[0].version == "1.1"


def test_without_tls_there_is_nothing_to_go_by(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:1", "pool": "web"}},
                                "pools": {"web": {"protocol": "auto", "servers": ["127.0.0.1:2"]}}}))
    done = run_command("check", "-c", str(path))
    assert done.returncode != 0
    assert "auto goes by what TLS agrees on" in done.stdout + done.stderr


def test_a_check_of_a_pool_of_h2_hears_whether_a_server_speaks_it(site):
    able, unable = site.http2(), site.http1("http/1.1")
    check = {"tcp": {}, "interval": "1s", "timeout": "1s", "fall": 1, "rise": 1}
    weir = site.proxy(able, unable, protocol="h2", health=check)
    eventually(lambda: weir.servers()[unable.address]["state"] == "down", "the one without HTTP/2 to be out")
    assert "HTTP/2" in weir.servers()[unable.address]["health_detail"]
    eventually(lambda: weir.servers()[able.address]["check"]["last"] == "passed", "the other to pass")
    assert weir.servers()[able.address]["state"] == "up"
