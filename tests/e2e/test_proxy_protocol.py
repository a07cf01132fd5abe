"""The PROXY protocol: who the client is, said by the proxy in front, and said to the servers behind."""
import json
import socket
import struct

import pytest

import broken
import message
from tls import Pki, TlsSocket
from waiting import eventually
from weir import make_config, run_command

BUILDS = pytest.mark.parametrize("build", ["asan", "release"])
BELIEVED = {"proxy_protocol": {"from": ["127.0.0.1"]}}
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source="192.0.2.7", port=4711):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {'::1' if ':' in source else '192.0.2.1'} {port} 80\r\n".encode()


def v2(source="192.0.2.7", port=4711, more=b""):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    body = socket.inet_pton(family, source) * 2 + struct.pack(">HH", port, 80) + more
    return SIGNATURE + bytes([0x21, 0x21 if ":" in source else 0x11]) + struct.pack(">H", len(body)) + body


HEADERS = [(v1(), "192.0.2.7"), (v1("2001:db8::7"), "2001:db8::7"), (v2(), "192.0.2.7"), (v2("2001:db8::7"), "2001:db8::7"),
           (v2(more=b"\x04\0\x08" + b"x" * 8), "192.0.2.7"), (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
           (SIGNATURE + b"\x20\0\0\0", "127.0.0.1")]
HEADER_IDS = ["v1", "v1-6", "v2", "v2-6", "v2-more", "v1-unknown", "v2-local"]


def introduced(scene, weir, header, **options):
    client = scene.client(weir, **options)
    client.send(header)
    return client


# in


@BUILDS
@pytest.mark.parametrize("header, source", HEADERS, ids=HEADER_IDS)
def test_the_client_is_who_the_header_names(scene, build, header, source):
    server = scene.server()
    weir = scene.proxy(server, build=build, listener=BELIEVED)
    client = introduced(scene, weir, header)
    for _ in range(2):
        assert client.ask().status == 200
    assert server.requests[0].get("X-Forwarded-For") == source
    assert {record["client"] for record in weir.wait_records(2)} == {source}


@pytest.mark.parametrize("header", [v1(), v2()], ids=["v1", "v2"])
def test_it_may_come_in_pieces_and_together_with_what_follows(scene, header):
    weir = scene.proxy(scene.server(), listener=BELIEVED)
    whole = header + message.request("GET", "/")
    for cut in range(1, len(whole)):
        client = introduced(scene, weir, whole[:cut])
        client.send(whole[cut:])
        assert client.read().status == 200
        client.close()
    client = introduced(scene, weir, whole)
    assert client.read().status == 200
    assert {record["client"] for record in weir.wait_records(len(whole))} == {"192.0.2.7"}


@BUILDS
def test_tls_comes_after_it(scene, tmp_path, build):
    pki = Pki(tmp_path)
    pair = pki.make("a", "a.example")
    weir = scene.proxy(scene.server(), build=build, listener={**BELIEVED, "tls": {"certificates": [pair]}})
    client = introduced(scene, weir, v2())
    client.sock = TlsSocket(client.sock, pki.context(), "a.example")
    assert client.ask().status == 200
    assert weir.exchange()["client"] == "192.0.2.7"


def test_tcp_listeners_believe_it_too(scene):
    server = scene.server([broken.receive_bytes(5), broken.send(b"world"), broken.half_close, broken.wait_end])
    weir = scene.proxy(server, protocol="tcp", listener=BELIEVED)
    client = introduced(scene, weir, v2() + b"hello")
    assert client.read_exactly(5) == b"world"
    client.close()
    assert weir.exchange()["client"] == "192.0.2.7"


def test_a_unix_socket_can_be_introduced(scene, tmp_path):
    path = str(tmp_path / "weir.sock")
    weir = scene.proxy(scene.server(), listener={"bind": f"unix:{path}", "proxy_protocol": {"from": ["::1"]}})
    client = introduced(scene, weir, v1())
    assert client.ask("POST", "/", body=b"x" * 300000).status == 200
    assert weir.exchange()["client"] == "192.0.2.7"


def test_the_gate_asks_for_the_client_and_counts_it(scene):
    weir = scene.proxy(scene.server(), listener={**BELIEVED, "gate": {"deny": ["192.0.2.0/24"], "connections_per_client": 1}})
    introduced(scene, weir, v1()).check_gone()
    weir.wait_metric(1, "weir_connections_refused_total", reason="gate_denied")
    first = introduced(scene, weir, v1("198.51.100.1"))
    assert first.ask().status == 200
    introduced(scene, weir, v1("198.51.100.1")).check_gone()
    weir.wait_metric(1, "weir_connections_refused_total", reason="client_connections")
    assert introduced(scene, weir, v1("198.51.100.2")).ask().status == 200


def test_strangers_are_not_believed(scene):
    server = scene.server()
    weir = scene.proxy(server, listener=BELIEVED)
    stranger = scene.client(weir, source="127.0.0.2")
    stranger.check_gone()
    weir.wait_metric(1, "weir_connections_refused_total", reason="gate_denied")
    assert not server.requests


def test_strangers_may_be_served_as_who_they_are(scene):
    weir = scene.proxy(scene.server(), listener={"proxy_protocol": {"from": ["127.0.0.1"], "others": "serve"}})
    assert scene.client(weir, source="127.0.0.2").ask().status == 200
    assert weir.exchange()["client"] == "127.0.0.2"
    liar = introduced(scene, weir, v1() + message.request("GET", "/"), source="127.0.0.2")
    assert liar.read().status == 400


@BUILDS
@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\0\1", v1().replace(b"TCP4", b"UDP4"),
                                  v1()[:-2] + b"\n", b"PROXY " + b"x" * 200, v2()[:12] + b"\x21\x11\0\x02ab"],
                         ids=["http", "tls", "udp", "lf", "endless", "short"])
def test_what_is_no_header_is_closed_with_a_reason(scene, build, sent):
    weir = scene.proxy(scene.server(), build=build, listener=BELIEVED)
    introduced(scene, weir, sent).check_gone()
    weir.wait_metric(1, "weir_exchanges_total", end="proxy_header")
    event = weir.wait_event("connection_unopened")
    assert event["reason"] == "proxy_header" and "PROXY" in event["detail"]


def test_a_header_that_does_not_come_is_not_waited_for(scene):
    weir = scene.proxy(scene.server(), listener={**BELIEVED, "timeouts": {"header": "300ms"}})
    silent, half = scene.client(weir), introduced(scene, weir, v1()[:20])
    silent.check_gone()
    half.check_gone()
    weir.wait_metric(2, "weir_exchanges_total", end="header_timeout")


def test_whoever_goes_in_the_middle_leaves_nothing(scene):
    weir = scene.proxy(scene.server(), listener=BELIEVED)
    for cut in range(len(v2())):
        client = scene.client(weir)
        client.send(v2()[:cut])
        client.close()
    weir.wait_metric(len(v2()), "weir_exchanges_total", end="client_abort")
    eventually(lambda: not weir.metric("weir_client_connections"), lambda: weir.metric("weir_client_connections"))
    assert introduced(scene, weir, v2()).ask().status == 200


def test_a_reload_and_a_stop_find_those_that_wait(scene):
    weir = scene.proxy(scene.server(), listener=BELIEVED)
    waiting = introduced(scene, weir, v1()[:10])
    weir.reload(weir.config)
    waiting.send(v1()[10:])
    assert waiting.ask().status == 200
    left = introduced(scene, weir, v1()[:10])
    weir.wait_metric(2, "weir_client_connections")
    weir.terminate()
    left.check_gone()


# out


def tells(scene, server, version, build="asan", **config):
    return scene.proxy(server, build=build, protocol="tcp", pool={"proxy_protocol": version, **config.pop("pool", {})}, **config)


@BUILDS
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_servers_are_told_who_the_client_is(scene, build, version):
    heard = []

    def hear(connection):
        heard.append(connection.read_until(b"hello", 200, "what is for the server"))
        connection.send(b"world")
    server = scene.server([hear, broken.half_close, broken.wait_end])
    weir = tells(scene, server, version, build)
    client = scene.client(weir)
    port, own = client.port, weir.address[1]
    expected = f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {own}\r\n".encode() if version == "v1" else \
        SIGNATURE + b"\x21\x11\0\x0c" + bytes([127, 0, 0, 1] * 2) + struct.pack(">HH", port, own)
    client.send(b"hello")
    assert client.read_exactly(5) == b"world"
    assert heard == [expected + b"hello"]


@BUILDS
def test_it_goes_before_tls_and_nginx_believes_it(scene, tmp_path, build):
    pki = Pki(tmp_path)
    pair = pki.make("s", "s.example")
    nginx = scene.nginx(is_tls=True, is_introduced=True, server=f"""
        ssl_certificate {pair['cert']}; ssl_certificate_key {pair['key']};
        location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_port"; }}""")
    weir = tells(scene, nginx, "v2", build, listener=BELIEVED, pool={"tls": {"ca": pki.ca, "name": "s.example"}})
    client = introduced(scene, weir, v1("198.51.100.9", 999))
    assert client.ask().text == "198.51.100.9 999"


def test_checks_say_that_they_are_nobodys(scene):
    nginx = scene.nginx(is_introduced=True)
    weir = scene.proxy(nginx, protocol="tcp", pool={"proxy_protocol": "v2", "health": {
        "http": {"path": "/"}, "interval": "1s", "timeout": "1s", "fall": 1}})
    eventually(lambda: all(s["check"]["last"] == "passed" for s in weir.servers().values()), lambda: weir.servers())


def test_http_does_not_tell_it_by_connection(scene, tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(make_config(["127.0.0.1:1"], pool={"proxy_protocol": "v1"})))
    done = run_command("check", str(path))
    assert done.returncode == 78 and "X-Forwarded-For" in done.stderr + done.stdout
