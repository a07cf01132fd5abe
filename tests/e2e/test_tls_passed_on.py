"""TLS that is passed on untouched, by the name that the client asks for: weir has no certificate, and sees nothing."""
import contextlib
import json
import ssl
import subprocess
import threading

import pytest

import broken
from tls import Pki
from weir import make_config, run_command


@pytest.fixture
def pki(tmp_path):
    return Pki(tmp_path)


def serve_tls(pki, name):
    """A script of a server: TLS with that certificate, and the name in front of whatever is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path(name + ".pem"), pki.path(name + ".key"))

    def script(connection):
        with context.wrap_socket(connection.sock, server_side=True) as tls:
            tls.sendall(name.encode() + b":" + tls.recv(65536))
            with contextlib.suppress(OSError):
                tls.recv(1)
    return script


def say(text):
    def script(connection):
        connection.send(text)
        broken.wait_end(connection)
    return script


def passing(scene, pki, build="asan", rest=None, names=("a", "w"), **listener):
    """Routes to servers with a certificate each; `rest` is a script of the server for what no route takes."""
    pki.make("a", "a.example")
    pki.make("w", "*.w.example")
    servers = {name: scene.server([serve_tls(pki, name)]) for name in names}
    pools = {name: {"servers": [server.address]} for name, server in servers.items()}
    routes = [{"sni": [{"a": "a.example", "w": "*.w.example"}[name]], "pool": name} for name in names]
    if rest:
        pools["rest"] = {"servers": [scene.server([rest]).address]}
        routes.append({"name": "rest", "pool": "rest"})
    config = make_config(["127.0.0.1:1"], protocol="tcp", listener={"routes": routes, **listener}, pools=pools)
    return scene.weir(config, build=build)


def connect(scene, weir, pki, name, **options):
    return scene.client(weir, context=pki.context(), name=name, **options)


def check_name(scene, weir, pki, asked, server):
    client = connect(scene, weir, pki, asked)
    client.send(b"hello")
    expected = server.encode() + b":hello"
    assert client.read_exactly(len(expected)) == expected
    client.close()


@pytest.mark.parametrize("build", ["asan", "release"])
def test_each_name_goes_to_its_server(scene, pki, build):
    weir = passing(scene, pki, build)
    for asked, server in (("a.example", "a"), ("A.Example", "a"), ("x.w.example", "w")):
        check_name(scene, weir, pki, asked, server)
    records = weir.wait_records(3)
    assert [r["route"] for r in records] == ["w", "a", "a"] and all(r["end"] == "ok" for r in records)
    assert not any(r["is_tls"] for r in records)  # not weir's


def hello(name, version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def keep_bytes(count):
    def script(connection):
        connection.kept = connection.read_exactly(count)
        connection.send(b"!")
        broken.wait_end(connection)
    return script


def in_records(data, piece):
    message = data[5:]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part
                    for part in (message[at:at + piece] for at in range(0, len(message), piece)))


@pytest.mark.parametrize("piece", [None, 1, 100])
def test_a_hello_in_any_pieces_arrives_as_it_was_sent(scene, piece):
    """Records of `piece` bytes."""
    sent = hello("a.example") if piece is None else in_records(hello("a.example"), piece)
    server = scene.server([keep_bytes(len(sent))])
    config = make_config([server], protocol="tcp", listener={"routes": [{"sni": ["a.example"], "pool": "web"}]})
    weir = scene.weir(config)
    client = scene.client(weir)
    client.send_pieces(sent, len(sent) // 10)  # each waits for its acknowledgement
    assert client.read_exactly(1) == b"!"
    assert server.wait_connection().kept == sent
    client.close()
    weir.wait_records(1)


def test_what_has_no_route_is_closed_with_a_reason(scene, pki):
    weir = passing(scene, pki)
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        connect(scene, weir, pki, "b.example")
    context = pki.context()
    context.check_hostname = False
    with pytest.raises((ssl.SSLError, OSError)):
        scene.client(weir, context=context, name=None)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x03"):
        client = scene.client(weir)
        client.send(data)
        client.check_gone()
    records = weir.wait_records(4)
    assert [r["end"] for r in records] == ["not_tls", "not_tls", "tls_no_name", "tls_unknown_name"]
    assert all(r["route"] is None and r["pool"] is None for r in records)


def test_or_goes_where_the_rest_goes(scene, pki):
    weir = passing(scene, pki, rest=say(b"rest"))
    check_name(scene, weir, pki, "a.example", "a")
    for data in (hello("b.example"), hello(None), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x03"):
        client = scene.client(weir)
        client.send(data)
        assert client.read_exactly(4) == b"rest"
        client.close()
    assert all(r["route"] == "rest" for r in weir.wait_records(5)[:4])


def test_a_hello_that_does_not_come_is_not_waited_for(scene, pki):
    weir = passing(scene, pki, timeouts={"header": "200ms"})
    for data in (b"", hello("a.example")[:-1]):
        client = scene.client(weir)
        client.send(data or b"\x16")
        client.check_gone()
    assert [r["end"] for r in weir.wait_records(2)] == ["header_timeout"] * 2


def test_a_hello_without_end_is_refused(scene, pki):
    weir = passing(scene, pki)
    client = scene.client(weir)
    message = b"\x01\x00\x3f\x00\x03\x03" + b"\x00" * 4000
    client.send(b"".join(b"\x16\x03\x01\x00\x01" + message[at:at + 1] for at in range(len(message))))
    client.check_gone()
    assert weir.wait_records(1)[0]["end"] == "not_tls"


def test_a_client_that_goes_in_the_middle_leaves_nothing(scene, pki):
    weir = passing(scene, pki)
    client = scene.client(weir)
    client.send(hello("a.example")[:100])
    weir.wait_live(tunnels=1)
    client.half_close()
    assert weir.wait_records(1)[0]["end"] == "client_abort"


def test_tls_that_ends_here_goes_by_its_name_too(scene, pki):
    pairs = [pki.make("a", "a.example"), pki.make("b", "b.example")]
    pools = {"a": {"servers": [scene.server([say(b"A")]).address]}, "b": {"servers": [scene.server([say(b"B")]).address]}}
    routes = [{"sni": ["a.example"], "pool": "a"}, {"sni": ["b.example"], "pool": "b"}]
    weir = scene.weir(make_config(["127.0.0.1:1"], protocol="tcp", pools=pools,
                                  listener={"tls": {"certificates": pairs}, "routes": routes}))
    for name, answer in (("a.example", b"A"), ("b.example", b"B")):
        client = connect(scene, weir, pki, name)
        assert client.read_exactly(1) == answer
        client.close()
    weir.wait_records(2)


@pytest.mark.parametrize("build", ["asan", "release"])
def test_nginx_behind_it_is_verified_by_curl(scene, pki, build):
    """Many connections at once to two names, each with nginx's own certificate."""
    pairs = {name: pki.make(name, f"{name}.example") for name in ("a", "b")}
    servers = {name: scene.nginx(is_tls=True, server=f"ssl_certificate {pair['cert']}; "
                                 f"ssl_certificate_key {pair['key']}; location / {{ return 200 {name}; }}")
               for name, pair in pairs.items()}
    pools = {name: {"servers": [server.address]} for name, server in servers.items()}
    routes = [{"sni": [f"{name}.example"], "pool": name} for name in pairs]
    weir = scene.weir(make_config(["127.0.0.1:1"], protocol="tcp", pools=pools, listener={"routes": routes}), build=build)
    host, port = weir.address
    answers = []

    def ask(name):
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", pki.ca, "--resolve",
                               f"{name}.example:{port}:{host}", f"https://{name}.example:{port}/"],
                              capture_output=True, text=True)
        answers.append((name, done.stdout, done.stderr))

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab" * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer == (answer[0], answer[0], "") for answer in answers), answers
    weir.wait_records(12)


MISTAKES = [
    ({"routes": [{"sni": ["a b"], "pool": "web"}]}, "is no name that a client could ask for"),
    ({"routes": [{"sni": ["a"], "pool": "web"}, {"name": "x", "sni": ["A"], "pool": "web"}]}, '"A" is there twice'),
    ({"routes": [{"name": "x", "pool": "web"}, {"name": "y", "pool": "web"}]}, "an earlier route takes all"),
    ({"routes": [{"host": "a", "pool": "web"}]}, 'have no "host"'),
    ({"protocol": "http", "routes": [{"sni": ["a"], "pool": "web"}]}, "requests go by the host"),
]


@pytest.mark.parametrize("listener,sentence", MISTAKES)
def test_mistakes_are_told_with_their_place(tmp_path, listener, sentence):
    path = tmp_path / "weir.json"
    front = {"bind": "127.0.0.1:0", "protocol": "tcp", **listener}
    path.write_text(json.dumps({"listeners": {"web": front}, "pools": {"web": {"servers": ["127.0.0.1:1"]}}}, indent=1))
    done = run_command("check", str(path))
    assert done.returncode == 78 and sentence in done.stdout + done.stderr, done.stdout + done.stderr
