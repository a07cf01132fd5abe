"""What HTTP says of TLS: redirects to it, that it is to stay, and who the client is."""
import json
import ssl
import subprocess

import pytest

import broken
import message
from http2 import Http2
from tls import Pki
from weir import make_config, run_command

YEAR = 365 * 86400


@pytest.fixture
def pki(tmp_path):
    return Pki(tmp_path)


def secure(scene, pki, *servers, build="asan", tls=None, listener=None, **config):
    front = {"tls": {"certificates": [pki.make("a", "a.example")], **(tls or {})}, **(listener or {})}
    return scene.proxy(*(servers or [scene.server()]), build=build, listener=front, **config)


def connect(scene, weir, pki, **options):
    return scene.client(weir, context=options.pop("context", None) or pki.context(), name="a.example", **options)


# redirects

def redirecting(scene, redirect="https", build="asan", routes=None):
    config = make_config([scene.server()], listener={"redirect": redirect, **({"routes": routes} if routes else {})})
    config["listeners"]["web"].pop("pool", None)
    return scene.weir(config, build=build)


def ask(scene, weir, host="a.example", target="/x?y=1", method="GET"):
    client = scene.client(weir)
    client.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
    return client.read(method)


REDIRECTS = [
    ("GET", "a.example", "/x?y=%2f&z", 301, "https://a.example/x?y=%2f&z"),
    ("HEAD", "a.example", "/", 301, "https://a.example/"),
    ("POST", "a.example", "/x", 308, "https://a.example/x"),
    ("DELETE", "a.example:8080", "/x", 308, "https://a.example/x"),
    ("GET", "A.Example:80", "//b.example/x", 301, "https://A.Example/b.example/x"),
    ("GET", "127.0.0.1:80", "/", 301, "https://127.0.0.1/"),
    ("GET", "[::1]:80", "/", 301, "https://[::1]/"),
    ("GET", "a_b.example", "/", 301, "https://a_b.example/"),
    ("OPTIONS", "a.example", "*", 308, "https://a.example"),
]


@pytest.mark.parametrize("build", ["asan", "release"])
def test_everything_goes_to_https(scene, build):
    weir = redirecting(scene, build=build)
    for method, host, target, status, location in REDIRECTS:
        response = ask(scene, weir, host, target, method)
        assert (response.status, response.get("Location")) == (status, location), (method, host, target)
        assert response.get("Strict-Transport-Security") is None
    record = weir.exchange(route="https")
    assert record["end"] == "ok"


@pytest.mark.parametrize("host", ["a.example;b", "a'b", "$(x)", "a&b.example", "a!b", "(a)", "a,b", "a=b", "a~b", "a*b", "%61.example"])
def test_a_host_that_is_none_is_refused(scene, host):
    response = ask(scene, redirecting(scene), host)
    assert response.status == 400 and response.get("Location") is None


def test_another_port_is_said(scene):
    weir = redirecting(scene, {"to": "https", "port": 8443})
    assert ask(scene, weir, "a.example:8080", "/x").get("Location") == "https://a.example:8443/x"


def test_routes_go_first(scene):
    routes = [{"name": "acme", "path_prefix": "/.well-known/acme-challenge/", "respond": "token"}]
    weir = redirecting(scene, routes=routes)
    assert ask(scene, weir, target="/.well-known/acme-challenge/x").body == b"token"
    assert ask(scene, weir, target="/.well-known/other").status == 301
    names = [(r["name"], r["pool"]) for r in weir.get("/api/v1/routes")["routes"]]
    assert names == [("acme", None), ("https", None)]


def test_the_configuration_shows_it_as_it_was_written(scene):
    weir = redirecting(scene)
    shown = next(l for l in weir.get("/api/v1/config")["listeners"] if l["name"] == "web")
    assert shown["redirect"]["to"] == "https" and not shown.get("routes")
    weir.reload(weir.config)
    assert ask(scene, weir).status == 301


def test_explain_knows_it(scene, tmp_path):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:0", "redirect": "https"}},
                                "pools": {"web": {"servers": ["127.0.0.1:1"]}}}))
    done = run_command("explain", "-c", str(path), "http://a.example/x?y", "--json")
    answer = json.loads(done.stdout)["answer"]
    assert answer["status"] == 301 and "https://a.example/x?y" in answer["why"], done.stdout


def test_mistakes_are_told(tmp_path):
    for listener, sentence in (({"redirect": "https", "pool": "web"}, "either a pool for everything or redirects"),
                               ({"redirect": "https", "protocol": "tcp"}, "a tcp listener does not redirect"),
                               ({"redirect": "http"}, "https")):
        path = tmp_path / "weir.json"
        path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:0", **listener}},
                                    "pools": {"web": {"servers": ["127.0.0.1:1"]}}}))
        done = run_command("check", str(path))
        assert done.returncode == 78 and sentence in done.stdout + done.stderr, (listener, done)


# Strict-Transport-Security

def test_https_is_said_to_stay_in_every_answer(scene, pki):
    server = scene.server([broken.receive, broken.send(message.response(200, ("Strict-Transport-Security", "max-age=1")))])
    weir = secure(scene, pki, server, tls={"hsts": "180d"})
    response = connect(scene, weir, pki).ask()
    assert response.all("Strict-Transport-Security") == [f"max-age={180 * 86400}"]
    server.close()
    assert connect(scene, weir, pki).ask().get("Strict-Transport-Security") == f"max-age={180 * 86400}"
    assert scene.client(weir).ask().get("Strict-Transport-Security") is None  # plain, on the same port


def test_all_of_it_can_be_said_and_a_route_goes_first(scene, pki):
    routes = [{"name": "other", "path": "/other", "pool": "web",
               "response_headers": {"set": {"Strict-Transport-Security": "max-age=5"}}}, {"name": "rest", "pool": "web"}]
    weir = secure(scene, pki, tls={"hsts": {"max_age": "365d", "subdomains": True, "preload": True}},
                  listener={"routes": routes})
    client = connect(scene, weir, pki)
    assert client.ask().all("Strict-Transport-Security") == [f"max-age={YEAR}; includeSubDomains; preload"]
    assert client.ask(target="/other").all("Strict-Transport-Security") == ["max-age=5"]


def test_preloading_asks_for_a_year(scene, pki, tmp_path):
    path = tmp_path / "weir.json"
    front = {"tls": {"certificates": [pki.make("a", "a.example")], "hsts": {"max_age": "30d", "preload": True}}}
    path.write_text(json.dumps(make_config(["127.0.0.1:1"], listener=front)))
    done = run_command("check", str(path))
    assert done.returncode == 78 and "preloaded for a year at least" in done.stdout + done.stderr


# records, logs, and who the client is

FORMAT = ("$ssl_protocol $ssl_cipher $ssl_server_name $ssl_session_reused $ssl_client_verify \"$ssl_client_s_dn\" "
          "$weir_client_fingerprint \"$weir_client_names\"")


def fingerprint(pki, name):
    out = subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", pki.path(name + ".pem")],
                         check=True, capture_output=True, text=True).stdout
    return out.strip().split("=")[1].replace(":", "").lower()


def read_lines(weir, path, count):
    weir.terminate()
    weir.wait_exit()
    with open(path) as file:
        lines = file.read().splitlines()
    assert len(lines) == count, lines
    return lines


@pytest.mark.parametrize("build", ["asan", "release"])
def test_version_cipher_and_name_are_in_records_and_logs(scene, pki, tmp_path, build):
    path = tmp_path / "access.log"
    weir = secure(scene, pki, build=build, access_log={"path": str(path), "format": FORMAT})
    context = pki.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    first = connect(scene, weir, pki, context=context)
    first.ask()
    again = connect(scene, weir, pki, context=context, session=first.sock.tls.session)
    again.ask()
    connect(scene, weir, pki).ask()
    records = weir.wait_records(3)
    assert [(r["tls_version"], r["tls_cipher"]) for r in records][1:] == [("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")] * 2
    assert records[0]["tls_version"] == "TLSv1.3" and records[0]["tls_cipher"].startswith("TLS_")
    assert scene.client(weir).ask().status == 400
    lines = read_lines(weir, path, 4)
    cipher = "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert lines[0] == f'TLSv1.2 {cipher} a.example . NONE "-" - "-"'
    assert lines[1] == f'TLSv1.2 {cipher} a.example r NONE "-" - "-"'
    assert lines[2].startswith("TLSv1.3 TLS_") and lines[3] == '- - - - - "-" - "-"'


def identity(request):
    return {name: request.all(f"X-Client-Cert-{name}") for name in ("Subject", "Names", "Fingerprint")}


FORGED = [("X-Client-Cert-Subject", "CN=root"), ("x-client-cert-names", "DNS:root"), ("X-Client-Cert-Fingerprint", "00"),
          ("X_Client_Cert_Subject", "CN=root"), ("X-Client_Cert.Names", "DNS:root"), ("X-Client-Cert-Other", "x")]


@pytest.mark.parametrize("build", ["asan", "release"])
def test_servers_are_told_who_the_client_is_and_clients_cannot_say_it(scene, pki, tmp_path, build):
    path = tmp_path / "access.log"
    server = scene.server([broken.receive, broken.ok, broken.receive, broken.ok])
    weir = secure(scene, pki, server, build=build, tls={"client": {"ca": pki.ca, "certificate": "request"}},
                  listener={"fields": {"underscore": "keep"}}, access_log={"path": str(path), "format": FORMAT})
    pki.make("me", "me.example", "b.me.example")
    connect(scene, weir, pki, context=pki.context("me")).ask("GET", "/", *FORGED)
    connect(scene, weir, pki).ask("GET", "/", *FORGED)
    requests = server.wait_requests(2)
    assert identity(requests[0]) == {"Subject": ["CN=me.example"], "Names": ["DNS:me.example, DNS:b.me.example"],
                                     "Fingerprint": [fingerprint(pki, "me")]}
    assert identity(requests[1]) == {"Subject": [], "Names": [], "Fingerprint": []}
    for request in requests:
        assert b"root" not in request.raw_head and request.get("X-Client-Cert-Other") is None
    lines = read_lines(weir, path, 2)
    assert lines[0].endswith(f'SUCCESS "CN=me.example" {fingerprint(pki, "me")} "DNS:me.example, DNS:b.me.example"')
    assert lines[1].endswith('NONE "-" - "-"')


def test_on_a_plain_listener_nobody_says_it_either(scene):
    server = scene.server([broken.receive, broken.ok])
    weir = scene.proxy(server)
    scene.client(weir).ask("GET", "/", *FORGED)
    assert b"root" not in server.wait_requests(1)[0].raw_head


def test_tcp_has_them_too(scene, pki, tmp_path):
    path = tmp_path / "access.log"

    def echo(connection):
        while connection.buffer or connection.fill():
            connection.send(connection.take(len(connection.buffer)))

    weir = secure(scene, pki, scene.server([echo]), protocol="tcp", access_log={"path": str(path), "format": FORMAT})
    client = connect(scene, weir, pki)
    client.send(b"x")
    assert client.read_exactly(1) == b"x"
    client.half_close()
    client.check_closed()
    assert weir.wait_records(1)[0]["tls_version"] == "TLSv1.3"
    assert read_lines(weir, path, 1)[0].startswith("TLSv1.3 TLS_")


@pytest.mark.parametrize("version", [1, 2])
def test_another_host_than_the_name_of_the_handshake_lets_nobody_in(scene, pki, version):
    """What clients must show is one rule for all names of a listener: requests go by their host alone."""
    servers = {name: scene.server([broken.serve(lambda _, name=name: message.response(body=name.encode()))])
               for name in "ab"}
    pki.make("me", "me.example")
    routes = [{"name": name, "host": f"{name}.example", "pool": name} for name in servers]
    config = make_config([], listener={"routes": routes, "tls": {
        "certificates": [pki.make(name, f"{name}.example") for name in servers], "client": pki.ca}})
    config["pools"] = {name: {"servers": [server.address]} for name, server in servers.items()}
    weir = scene.weir(config)
    for name in servers:  # without a certificate neither name opens anything
        context = pki.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose clients hear of it within the handshake
        with pytest.raises(ssl.SSLError):
            scene.client(weir, context=context, name=f"{name}.example")
    for host in ("b", "a"):
        if version == 1:
            client = scene.client(weir, context=pki.context("me"), name="a.example")
            assert client.ask(host=f"{host}.example").body == host.encode()
        else:
            client = Http2(weir.address, context=pki.context("me"), name="a.example")
            scene.clients.append(client)
            stream = client.ask("GET", "/", authority=f"{host}.example")
            assert bytes(stream.body) == host.encode()
        assert "CN=me.example" in servers[host].requests[-1].get("X-Client-Cert-Subject")
