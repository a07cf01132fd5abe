"""TLS towards clients: who is let in, what is served under which name, and what is said to those who come otherwise."""
import hashlib
import json
import random
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

import broken
import message
from tls import Pki
from weir import make_config, run_command


@pytest.fixture
def pki(tmp_path):
    return Pki(tmp_path)


def secure(pki, *pairs, **more):
    return {"tls": {"certificates": list(pairs), **more}}


def connect(scene, weir, pki, name="a.example", context=None, listener=None, **options):
    return scene.client(weir, listener=listener, context=context or pki.context(), name=name, **options)


def proxy(scene, pki, *servers, build="asan", listener=None, tls=None, **config):
    front = {**secure(pki, pki.make("a", "a.example"), **(tls or {})), **(listener or {})}
    return scene.proxy(*(servers or [scene.server()]), build=build, listener=front, **config)


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def resolve(weir, name="a.example"):
    host, port = weir.address
    return f"https://{name}:{port}", ["--resolve", f"{name}:{port}:{host}"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_over_tls_are_served(scene, pki, version):
    weir = proxy(scene, pki)
    context = pki.context()
    context.maximum_version = version
    client = connect(scene, weir, pki, context=context)
    for _ in range(3):
        assert client.ask().status == 200
    record = weir.wait_records(3)[0]
    assert record["is_tls"] and record["end"] == "ok"


def test_the_server_is_told_that_it_was_https(scene, pki):
    server = scene.server([broken.receive, broken.ok])
    weir = proxy(scene, pki, server)
    connect(scene, weir, pki).ask()
    request = server.wait_requests(1)[0]
    assert request.get("X-Forwarded-Proto") == "https"


def test_curl_verifies_and_agrees_on_http_1_1(scene, pki):
    weir = proxy(scene, pki, listener={"http2": {"enabled": False}})
    url, options = resolve(weir)
    code, out, err = curl("--cacert", pki.ca, *options, "-w", " %{http_version} %{ssl_verify_result}", url + "/")
    assert (code, out) == (0, "ok 1.1 0"), err


def test_a_name_leads_to_its_certificate(scene, pki):
    pairs = [pki.make("a", "a.example"), pki.make("w", "*.w.example"), pki.make("x", "x.w.example"),
             pki.make("r", "a.example", key="rsa")]
    weir = scene.proxy(scene.server(), listener=secure(pki, *pairs))
    for name, file in (("a.example", "a"), ("A.Example", "a"), ("y.w.example", "w"), ("x.w.example", "x")):
        client = connect(scene, weir, pki, name=name)
        assert client.sock.tls.getpeercert()["serialNumber"] == pki.serial(file)
        client.close()
    context = pki.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    client = connect(scene, weir, pki, context=context)
    assert client.sock.tls.getpeercert()["serialNumber"] == pki.serial("r")


def test_a_name_that_nobody_has_is_refused_with_an_alert(scene, pki):
    weir = proxy(scene, pki)
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        connect(scene, weir, pki, name="b.example")
    message = weir.wait_event("connection_unopened")
    assert message["reason"] == "tls_unknown_name"
    weir.wait_metric(1, "weir_exchanges_total", end="tls_unknown_name")


def test_or_served_with_the_first_where_that_is_wanted(scene, pki):
    weir = proxy(scene, pki, tls={"unknown_name": "first"})
    context = pki.context()
    context.check_hostname = False
    assert connect(scene, weir, pki, name="b.example", context=context).ask().status == 200


def test_old_versions_are_refused(scene, pki):
    weir = proxy(scene, pki, tls={"profile": "modern"})
    context = pki.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        connect(scene, weir, pki, context=context)
    assert connect(scene, weir, pki).ask().status == 200


def test_http_2_alone_is_refused_with_an_alert_where_it_is_off(scene, pki):
    weir = proxy(scene, pki, listener={"http2": {"enabled": False}})
    context = pki.context()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(scene, weir, pki, context=context)
    assert weir.wait_event("connection_unopened")["detail"] == "no application protocol"


def test_plain_http_on_a_tls_port_is_told_so_in_plain_http(scene, pki):
    weir = proxy(scene, pki)
    client = scene.client(weir)
    response = client.ask()
    assert response.status == 400 and b"https" in response.body
    assert weir.exchange(status=400)["end"] == "plain_on_tls"


def test_what_is_neither_is_closed(scene, pki):
    weir = proxy(scene, pki)
    client = scene.client(weir)
    client.send(b"\x05\x01\x00")
    client.check_gone()
    assert weir.wait_event("connection_unopened")["reason"] == "not_tls"


def test_tls_on_a_plain_port_is_recorded_as_such(scene, pki):
    weir = scene.proxy(scene.server())
    with pytest.raises(ssl.SSLError):
        connect(scene, weir, pki)
    assert weir.exchange(status=400)["end"] == "bad_request"


def test_a_handshake_that_does_not_come_is_not_waited_for(scene, pki):
    weir = proxy(scene, pki, listener={"timeouts": {"header": "200ms"}})
    for start in (b"", b"\x16\x03\x01"):
        client = scene.client(weir)
        client.send(b"\x16" if not start else start)
        client.check_gone()
    weir.wait_metric(2, "weir_exchanges_total", end="header_timeout")
    weir.wait_live(client_connections=0)


@pytest.mark.parametrize("build", ["asan", "release"])
def test_bodies_arrive_whole_both_ways(scene, pki, build):
    size = 20_000_000
    body = random.Random(1).randbytes(size)
    server = scene.server([broken.receive, broken.send(message.response(200, body=body))])
    weir = proxy(scene, pki, server, build=build)
    client = connect(scene, weir, pki)
    sender = threading.Thread(target=client.send, args=(message.request("POST", "/", body=body),))
    sender.start()
    response = client.read("POST")
    sender.join()
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(body).digest()
    assert hashlib.sha256(server.wait_requests(1)[0].body).digest() == hashlib.sha256(body).digest()


def test_a_client_that_is_cut_off_is_not_one_that_has_ended(scene, pki):
    """A FIN that no close_notify came before could be an attacker's."""
    server = scene.server([broken.receive, broken.ok])
    weir = proxy(scene, pki, server)
    client = connect(scene, weir, pki)
    client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nabc")
    weir.wait_live(exchanges=1)
    client.sock.sock.shutdown(socket.SHUT_WR)
    assert weir.wait_records(1)[0]["end"] == "client_abort"


def test_a_response_that_its_end_delimits_ends_by_close_notify(scene, pki):
    steps = [broken.receive, broken.send(b"HTTP/1.1 200 OK\r\n\r\nall of it"), broken.close]
    server = scene.server(steps)
    weir = proxy(scene, pki, server)
    client = connect(scene, weir, pki)
    client.send(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
    assert client.read_to_end().endswith(b"all of it")


def test_tcp_over_tls_is_passed_on_plain(scene, pki):
    def echo(connection):
        while connection.buffer or connection.fill():
            connection.send(connection.take(len(connection.buffer)))

    weir = proxy(scene, pki, scene.server([echo]), protocol="tcp")
    client = connect(scene, weir, pki)
    for data in (b"hello", b"x" * 100000):
        client.send(data)
        assert client.read_exactly(len(data)) == data
    client.half_close()
    client.check_closed()
    record = weir.wait_records(1)[0]
    assert record["is_tls"] and record["end"] == "ok"


def test_tcp_refuses_what_is_no_tls(scene, pki):
    weir = proxy(scene, pki, protocol="tcp")
    client = scene.client(weir)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    client.check_gone()
    assert weir.wait_records(1)[0]["end"] == "plain_on_tls"


def test_a_session_is_resumed_on_any_worker(scene, pki):
    weir = proxy(scene, pki, workers=2)
    host, port = weir.address
    done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "a.example", "-tls1_2",
                           "-reconnect"], input="", capture_output=True, text=True, timeout=60)
    assert done.stdout.count("Reused, TLSv1.2") == 5, done.stdout


def test_renegotiation_is_refused(scene, pki):
    weir = proxy(scene, pki)
    host, port = weir.address
    done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "a.example", "-tls1_2"],
                          input="R\n", capture_output=True, text=True, timeout=60)
    assert "no renegotiation" in done.stderr + done.stdout


def test_clients_without_a_certificate_stay_out(scene, pki):
    weir = proxy(scene, pki, tls={"client": pki.ca})
    pki.make("me", "me.example")
    context = pki.context("me")
    assert connect(scene, weir, pki, context=context).ask().status == 200
    other = Pki(scene.directory / "other")
    other.make("them", "them.example")
    stranger = pki.context()
    stranger.load_cert_chain(other.path("them.pem"), other.path("them.key"))
    pki.make_expired("late", "late.example")
    for context, alert in ((pki.context(), "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"), (stranger, "UNKNOWN_CA"),
                           (pki.context("late"), "CERTIFICATE_EXPIRED")):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError, match=alert):
            connect(scene, weir, pki, context=context)


def test_a_reload_serves_the_new_certificate_and_open_connections_go_on(scene, pki):
    weir = proxy(scene, pki)
    before = connect(scene, weir, pki)
    assert before.ask().status == 200
    old = pki.serial("a")
    pki.make("a", "a.example")
    weir.reload(weir.config)
    after = connect(scene, weir, pki)
    assert after.sock.tls.getpeercert()["serialNumber"] == pki.serial("a") != old
    assert before.ask().status == 200 and after.ask().status == 200


MISTAKES = {
    "no file": ({"cert": "/nowhere.pem"}, r"cannot open /nowhere\.pem: No such file"),
    "another's key": ({"key": "b.key"}, r"the key in .*b\.key does not belong to the certificate in .*a\.pem"),
    "no certificate": ({"cert": "a.key"}, r"\S*a\.key has no certificate; it should begin with"),
    "no key": ({"key": "a.pem"}, r"\S*a\.pem has no private key; it should begin with"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_with_its_place_before_anything_changes(scene, pki, what):
    wrong, sentence = MISTAKES[what]
    good = pki.make("a", "a.example")
    pki.make("b", "b.example")
    bad = {**good, **{key: name if name.startswith("/") else pki.path(name) for key, name in wrong.items()}}
    config = make_config(["127.0.0.1:1"], listener=secure(pki, bad))
    path = scene.directory / "bad.json"
    path.write_text(json.dumps(config, indent=1))
    done = run_command("check", str(path))
    assert done.returncode == 78
    assert re.search(r"bad\.json:\d+:\d+: " + sentence, done.stderr + done.stdout), done.stderr + done.stdout
    weir = proxy(scene, pki)
    weir.config["listeners"]["web"].update(secure(pki, bad))
    assert weir.put_config(weir.config).status == 400
    assert connect(scene, weir, pki).ask().status == 200


def test_an_end_that_is_near_is_a_warning(scene, pki):
    pair = pki.make("a", "a.example", days=3)
    path = scene.directory / "near.json"
    path.write_text(json.dumps(make_config(["127.0.0.1:1"], listener=secure(pki, pair))))
    done = run_command("check", str(path))
    assert done.returncode == 0
    assert "ends on" in done.stderr + done.stdout and "renew it now" in done.stderr + done.stdout


def test_an_end_that_is_near_is_in_the_log_and_in_the_metrics(scene, pki):
    pair = pki.make("a", "a.example", days=3)
    weir = scene.proxy(scene.server(), listener=secure(pki, pair, pki.make("b", "b.example", days=300)))
    event = weir.wait_event("certificate_ending")
    assert event["name"] == "a.example" and event["serial"].upper() == pki.serial("a").upper()
    end = weir.metric("weir_tls_certificate_end_timestamp_seconds")
    assert abs(end - time.time() - 3 * 86400) < 86400
    pki.make("a", "a.example", days=300)
    weir.reload(weir.config)
    assert weir.metric("weir_tls_certificate_end_timestamp_seconds") - time.time() > 100 * 86400
    assert len(weir.events("certificate_ending")) == 1


def test_many_handshakes_at_once_are_all_served(scene, pki):
    weir = proxy(scene, pki, build="release")
    statuses = []

    def come():
        client = connect(scene, weir, pki)
        statuses.append(client.ask().status)

    threads = [threading.Thread(target=come) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 60
