"""TLS towards servers: who is believed to be one, what is said of those who are not, and that what is sent and answered
arrives whole or visibly cut."""
import hashlib
import json
import random
import socket
import ssl
import subprocess
import threading

import pytest

import broken
import message
from dns import NameServer
from ports import reserve_port
from tls import Pki
from waiting import eventually
from weir import make_config, run_command

NAME = "s.example"
BUILDS = pytest.mark.parametrize("build", ["asan", "release"])


@pytest.fixture
def pki(tmp_path):
    pki = Pki(tmp_path)
    pki.make("s", NAME)
    return pki


def pool(pki, **more):
    return {"tls": {"ca": pki.ca, "name": NAME, **more}}


def versions(context, version):
    context.minimum_version = context.maximum_version = version
    return context


def secure_server(scene, pki, *scripts, name="s", context=None, **options):
    return scene.server(*scripts, tls=context or pki.server_context(name), **options)


def proxy(scene, pki, *servers, build="asan", tls=None, pool_more=None, **config):
    return scene.proxy(*servers, build=build, pool={**pool(pki, **(tls or {})), **(pool_more or {})}, **config)


def handshakes(weir, result):
    return weir.metric("weir_pool_tls_handshakes_total", pool="web", result=result)


def end_with_tls(connection):
    """A FIN, and before it TLS's own word for the end."""
    connection.half_close()


# who is believed


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_go_to_servers_by_tls(scene, pki, version):
    asked = []
    context = versions(pki.server_context("s"), version)
    context.set_alpn_protocols(["http/1.1"])
    context.sni_callback = lambda tls, name, context: asked.append(name)
    server = secure_server(scene, pki, context=context)
    weir = proxy(scene, pki, server)
    client = scene.client(weir)
    for _ in range(3):
        assert client.ask().status == 200
    tls = server.connections[0].sock.tls
    assert (len(server.connections), tls.selected_alpn_protocol(), asked) == (1, "http/1.1", [NAME])
    assert tls.version() == version.name.replace("_", ".")
    assert handshakes(weir, "full") == 1
    assert {record["end"] for record in weir.wait_records(3)} == {"ok"}


def test_a_servers_own_name_is_what_is_expected_of_it(scene, pki):
    server = secure_server(scene, pki)
    weir = scene.proxy({"name": NAME, "address": server.address}, pool={"tls": {"ca": pki.ca}})
    assert scene.client(weir).ask().status == 200


def test_a_server_without_a_name_goes_by_its_address(scene, pki):
    pki.make("ip", "IP:127.0.0.1")
    server = secure_server(scene, pki, name="ip")
    weir = scene.proxy({"name": "one", "address": server.address}, pool={"tls": {"ca": pki.ca}})
    assert scene.client(weir).ask().status == 200
    assert server.connections[0].sock.tls.server_hostname is None  # an address is no name to ask for


def test_a_certificate_that_is_the_servers_own_may_be_named_as_ca(scene, pki):
    pki.make("own", NAME, issuer=None)
    weir = scene.proxy(secure_server(scene, pki, name="own"), pool={"tls": {"ca": pki.path("own.pem"), "name": NAME}})
    assert scene.client(weir).ask().status == 200


def untrusted(pki):
    other = Pki(pki.directory + "/other")
    other.make("s", NAME)
    return other.server_context("s")


def expired(pki):
    pki.make_expired("old", NAME)
    return pki.server_context("old")


def misnamed(pki):
    pki.make("b", "b.example", "*.c.example", "IP:10.0.0.7")
    return pki.server_context("b")


def self_signed(pki):
    pki.make("own", NAME, issuer=None)
    return pki.server_context("own")


NOT_ACCEPTED = {
    "unknown CA": (untrusted, 'the certificate of ADDRESS was issued by "ca.example", which is not in CA'),
    "expired": (expired, "the certificate of ADDRESS expired on 2021-02-03"),
    "another's name": (misnamed, "the certificate of ADDRESS is for b.example, *.c.example, 10.0.0.7, not for s.example; if "
                                 "it is the right one, say so as `tls: {name: …}`"),
    "signed by itself": (self_signed, "the certificate of ADDRESS is signed by itself, which is not in CA"),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("what", NOT_ACCEPTED)
def test_a_server_that_is_not_who_it_should_be_gets_no_request(scene, pki, what, version):
    make, sentence = NOT_ACCEPTED[what]
    server = secure_server(scene, pki, context=versions(make(pki), version))
    weir = proxy(scene, pki, server)
    sentence = sentence.replace("ADDRESS", server.address).replace("CA", pki.ca)
    response = scene.client(weir).ask("GET", "/", ("X-Request-Id", "who-asks"))
    assert response.status == 502
    assert f"The server's certificate is not accepted: {sentence}." in response.text
    assert server.requests == []
    record = weir.wait_records(1)[0]
    assert record["end"] == "server_certificate" and record["attempts"][0]["end"] == "server_certificate"
    event = weir.wait_event("server_tls_failed")
    assert (event["pool"], event["reason"], event["detail"]) == ("web", "server_certificate", sentence)
    assert event["request_id"] == "who-asks"
    assert weir.servers()[server.address]["tls_failure"] == sentence
    assert handshakes(weir, "failed") == 1 and handshakes(weir, "full") == 0


@pytest.mark.parametrize("what", ["unknown CA", "expired", "another's name", "signed by itself"])
def test_verification_is_off_only_where_that_is_said(scene, pki, what):
    server = secure_server(scene, pki, context=NOT_ACCEPTED[what][0](pki))
    weir = scene.proxy(server, pool={"tls": {"verify": "off"}})
    assert scene.client(weir).ask().status == 200


def test_the_systems_cas_are_asked_where_none_is_named(scene, pki):
    server = secure_server(scene, pki)
    weir = scene.proxy(server, pool={"tls": {"name": NAME}})
    assert 'issued by "ca.example", which is none of the system\'s CAs' in scene.client(weir).ask().text


# what else goes wrong


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_of_weirs_is_shown_to_servers_that_want_one(scene, pki, version):
    pki.make("me", "me.example")
    context = versions(pki.server_context("s", client_ca=pki.ca), version)
    server = secure_server(scene, pki, context=context)
    mine = {"certificate": {"cert": pki.path("me.pem"), "key": pki.path("me.key")}}
    weir = proxy(scene, pki, server, tls=mine)
    assert scene.client(weir).ask().status == 200
    assert server.connections[0].sock.tls.getpeercert()["subject"] == ((("commonName", "me.example"),),)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_refuses_weir_is_one_that_cannot_be_connected_to(scene, pki, version, method):
    """In TLS 1.3 its alert comes when weir's side of the handshake is over and the request is sent."""
    context = versions(pki.server_context("s", client_ca=pki.ca), version)
    server = secure_server(scene, pki, context=context)
    weir = proxy(scene, pki, server)
    response = scene.client(weir).ask(method, body=b"x" if method == "POST" else None)
    assert response.status == 502, response.text
    eventually(lambda: server.connections[0].tls_error, "the server's own error")
    record = weir.wait_records(1)[0]
    # What the system does to an alert whose connection was closed with unread bytes is its own affair.
    assert record["end"] in ("server_tls_failed", "server_reset"), response.text
    if record["end"] == "server_tls_failed":
        assert "alert" in response.text


def test_a_server_that_speaks_plain_http_is_told_apart(scene, pki):
    def answer_plainly(connection):
        assert connection.fill()
        connection.take(len(connection.buffer))
        connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    server = scene.server([answer_plainly, broken.half_close, broken.wait_end])
    weir = proxy(scene, pki, server)
    response = scene.client(weir).ask()
    assert response.status == 502
    assert f"{server.address} answers in plain HTTP; leave `tls` out" in response.text
    assert weir.wait_records(1)[0]["end"] == "server_not_tls"


def test_a_server_that_says_something_else_is_told_apart(scene, pki):
    server = scene.server([broken.send(b"220 mail ready\r\n"), broken.wait_end])
    weir = proxy(scene, pki, server)
    assert f"what {server.address} says is no TLS" in scene.client(weir).ask().text
    assert weir.wait_records(1)[0]["end"] == "server_not_tls"


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x03\x00\x7a\x02", b"\x16\x03\x03"])
def test_a_handshake_that_does_not_go_on_is_given_up(scene, pki, first):
    server = scene.server([broken.send(first), broken.wait_end] if first else [broken.wait_end])
    weir = proxy(scene, pki, server, pool_more={"timeouts": {"connect": "300ms"}})
    response = scene.client(weir).ask()
    assert response.status == 504 and "The TLS handshake with the server took too long" in response.text
    assert weir.wait_records(1)[0]["end"] == "server_tls_timeout"
    assert handshakes(weir, "failed") == 1


@pytest.mark.parametrize("end", [broken.close, broken.reset])
def test_a_server_that_goes_in_the_middle_of_a_handshake(scene, pki, end):
    server = scene.server([broken.receive_bytes(100), end])
    weir = proxy(scene, pki, server)
    response = scene.client(weir).ask()
    assert f"{server.address} closed the connection in the middle of the handshake" in response.text
    assert weir.wait_records(1)[0]["end"] == "server_tls_failed"


def test_an_alert_is_told(scene, pki):
    context = versions(pki.server_context("s"), ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-SHA")  # which nobody should speak any more
    server = secure_server(scene, pki, context=context)
    weir = proxy(scene, pki, server)
    assert f'{server.address} ended it with the alert "handshake failure"' in scene.client(weir).ask().text


@BUILDS
def test_a_failed_handshake_leaves_the_request_to_another_server(scene, pki, build):
    """Of a POST, too: nothing of it was sent."""
    bad, good = secure_server(scene, pki, context=expired(pki)), secure_server(scene, pki)
    weir = proxy(scene, pki, bad, good, build=build, pool_more={"balance": "round_robin"})
    client = scene.client(weir)
    for _ in range(4):
        assert client.ask("POST", "/", body=b"once").status == 200
    assert len(good.wait_requests(4)) == 4 and bad.requests == []
    ends = [[attempt["end"] for attempt in record["attempts"]] for record in weir.wait_records(4)]
    assert ["server_certificate", "ok"] in ends


def test_failed_handshakes_eject_a_server(scene, pki):
    bad = secure_server(scene, pki, context=expired(pki))
    weir = proxy(scene, pki, bad)
    client = scene.client(weir)
    for _ in range(3):
        assert client.ask().status == 502
    eventually(lambda: weir.servers()[bad.address]["health"] == "ejected", "its ejection")
    assert weir.servers()[bad.address]["health_reason"] == "connect_failures"


# whole or cut


@BUILDS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bodies_arrive_whole_both_ways(scene, pki, build, version):
    size = 20 << 20
    body, answer = random.Random(1).randbytes(size), random.Random(2).randbytes(size)
    server = secure_server(scene, pki, [broken.receive, broken.send(message.response(200, body=answer))],
                           context=versions(pki.server_context("s"), version))
    weir = proxy(scene, pki, server, build=build)
    client = scene.client(weir)
    sender = threading.Thread(target=client.send, args=(message.request("POST", "/", body=body),))
    sender.start()
    response = client.read("POST")
    sender.join()
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(answer).digest()
    assert hashlib.sha256(server.wait_requests(1)[0].body).digest() == hashlib.sha256(body).digest()


@BUILDS
def test_tls_in_and_tls_out(scene, pki, build):
    size = 5 << 20
    body, answer = random.Random(3).randbytes(size), random.Random(4).randbytes(size)
    server = secure_server(scene, pki, [broken.receive, broken.send(message.response(200, body=answer))])
    front = {"tls": {"certificates": [pki.make("a", "a.example")]}}
    weir = proxy(scene, pki, server, build=build, listener=front)
    client = scene.client(weir, context=pki.context(), name="a.example")
    sender = threading.Thread(target=client.send, args=(message.request("POST", "/", body=body),))
    sender.start()
    response = client.read("POST")
    sender.join()
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(answer).digest()
    assert hashlib.sha256(server.wait_requests(1)[0].body).digest() == hashlib.sha256(body).digest()


CLOSE_DELIMITED = b"HTTP/1.1 200 OK\r\n\r\nall that"


def test_a_response_that_its_end_delimits_is_whole_if_tls_says_so(scene, pki):
    server = secure_server(scene, pki, [broken.receive, broken.send(CLOSE_DELIMITED), end_with_tls])
    weir = proxy(scene, pki, server)
    assert scene.client(weir).ask().body == b"all that"
    assert weir.wait_records(1)[0]["end"] == "ok"


@pytest.mark.parametrize("end", [broken.close, broken.reset])
def test_and_is_cut_if_it_does_not(scene, pki, end):
    """Who is between can send a FIN."""
    told = threading.Event()
    server = secure_server(scene, pki, [broken.receive, broken.send(CLOSE_DELIMITED), broken.wait_for(told), end])
    weir = proxy(scene, pki, server)
    client = scene.client(weir)
    client.send(message.request("GET", "/"))
    client.read_head()
    told.set()
    with pytest.raises((message.Ended, ConnectionResetError)):
        read_chunks(client)
    assert weir.wait_records(1)[0]["end"] == ("server_tls_cut" if end is broken.close else "server_reset")


def read_chunks(client):
    """To the last of them, which never comes."""
    while True:
        line = client.read_until(b"\r\n", 100, "a chunk")
        client.read_exactly(int(line, 16) + 2)
        if int(line, 16) == 0:
            return


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_response_that_says_how_long_it_is_needs_no_word_at_the_end(scene, pki, framing):
    whole = {"length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
             "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n"}[framing]
    server = secure_server(scene, pki, [broken.receive, broken.send(whole), broken.close])
    weir = proxy(scene, pki, server)
    client = scene.client(weir)
    for _ in range(3):
        assert client.ask().body == b"whole"
    assert {record["end"] for record in weir.wait_records(3)} == {"ok"}


def test_a_response_that_is_shorter_than_it_says_is_cut(scene, pki):
    server = secure_server(scene, pki, [broken.receive, broken.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"),
                                        broken.close])
    weir = proxy(scene, pki, server)
    client = scene.client(weir)
    client.send(message.request("GET", "/"))
    assert client.read_cut() is not None
    assert weir.wait_records(1)[0]["end"] == "server_tls_cut"


def test_an_idle_connection_that_a_server_cuts_is_replaced(scene, pki):
    """Without a close_notify, as most servers do it; for a POST, too, as it is seen to be gone."""
    server = secure_server(scene, pki, [broken.receive, broken.ok, broken.close], [broken.serve()])
    weir = proxy(scene, pki, server)
    client = scene.client(weir)
    assert client.ask().status == 200
    weir.wait_live(idle_server_connections=0)
    assert client.ask("POST", "/", body=b"x").status == 200
    assert len(server.connections) == 2


# sessions


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("end", [broken.close, end_with_tls])
def test_sessions_are_resumed(scene, pki, version, end):
    server = secure_server(scene, pki, [broken.receive, broken.send(message.response(200, ("Connection", "close"))), end,
                                        broken.wait_end],
                           context=versions(pki.server_context("s"), version))
    weir = proxy(scene, pki, server)
    client = scene.client(weir)
    for _ in range(4):
        assert client.ask().status == 200
    assert [connection.is_resumed for connection in server.connections] == [False, True, True, True]
    assert (handshakes(weir, "full"), handshakes(weir, "resumed")) == (1, 3)


def test_a_session_is_not_resumed_under_other_rules(scene, pki):
    """It was begun with a server that nobody has verified."""
    server = secure_server(scene, pki, [broken.receive, broken.send(message.response(200, ("Connection", "close"))),
                                        end_with_tls, broken.wait_end], context=expired(pki))
    weir = scene.proxy(server, pool={"tls": {"verify": "off"}})
    client = scene.client(weir)
    assert client.ask().status == 200
    weir.config["pools"]["web"].update(pool(pki))
    weir.reload(weir.config)
    assert "expired on 2021-02-03" in client.ask().text


def test_a_reload_closes_only_the_idle_connections_that_it_concerns(scene, pki):
    first, second = secure_server(scene, pki), secure_server(scene, pki)
    rules = {"tls": {"ca": pki.ca, "name": NAME}}
    weir = scene.proxy(first, pool=dict(rules), pools={"other": {"servers": [second.address], **rules}},
                       listener={"routes": [{"path": "/other", "pool": "other"}, {"pool": "web"}]})
    client = scene.client(weir)
    assert client.ask("GET", "/").status == client.ask("GET", "/other").status == 200
    copy = pki.path("copy.pem")
    with open(pki.ca) as file, open(copy, "w") as out:
        out.write(file.read())
    weir.config["pools"]["web"]["tls"] = {"ca": copy, "name": NAME, "verify": "off"}
    weir.config["pools"]["other"]["tls"] = {"ca": copy, "name": NAME}  # the same, elsewhere
    weir.reload(weir.config)
    weir.wait_live(idle_server_connections=1)
    assert client.ask("GET", "/").status == client.ask("GET", "/other").status == 200
    assert (len(first.connections), len(second.connections)) == (2, 1)


def test_a_pool_changes_to_tls_with_its_servers_kept(scene, pki):
    port = reserve_port()
    plain = scene.server(port=port)
    weir = scene.proxy(plain)
    client = scene.client(weir)
    assert client.ask().status == 200
    plain.close()
    secure_server(scene, pki, port=port)
    weir.config["pools"]["web"].update(pool(pki))
    weir.reload(weir.config)
    assert client.ask().status == 200
    assert handshakes(weir, "full") == 1


# other ways


def echo(connection):
    while connection.buffer or connection.fill():
        connection.send(connection.take(len(connection.buffer)))
    connection.half_close()


@BUILDS
def test_tcp_goes_out_by_tls(scene, pki, build):
    data = random.Random(5).randbytes(8 << 20)
    server = secure_server(scene, pki, [echo])
    weir = proxy(scene, pki, server, protocol="tcp", build=build)
    client = scene.client(weir)
    sender = threading.Thread(target=client.send, args=(data,))
    sender.start()
    assert hashlib.sha256(client.read_exactly(len(data))).digest() == hashlib.sha256(data).digest()
    sender.join()
    client.half_close()
    client.check_closed()
    assert weir.wait_records(1)[0]["end"] == "ok"
    assert handshakes(weir, "full") == 1


def test_tcp_goes_in_and_out_by_tls(scene, pki):
    server = secure_server(scene, pki, [echo])
    front = {"tls": {"certificates": [pki.make("a", "a.example")]}}
    weir = proxy(scene, pki, server, protocol="tcp", listener=front)
    client = scene.client(weir, context=pki.context(), name="a.example")
    for data in (b"hello", b"x" * 300000):
        client.send(data)
        assert client.read_exactly(len(data)) == data


def test_tcp_whose_server_is_cut_off_is_reset(scene, pki):
    server = secure_server(scene, pki, [broken.send(b"half"), broken.close])
    weir = proxy(scene, pki, server, protocol="tcp")
    client = scene.client(weir)
    client.check_reset()
    assert weir.wait_records(1)[0]["end"] == "server_tls_cut"


def test_tcp_tries_another_server_after_a_failed_handshake(scene, pki):
    bad, good = secure_server(scene, pki, context=expired(pki)), secure_server(scene, pki, [echo])
    weir = proxy(scene, pki, bad, good, protocol="tcp", pool_more={"balance": "round_robin"})
    for _ in range(2):
        client = scene.client(weir)
        client.send(b"hello")
        assert client.read_exactly(5) == b"hello"
    ends = [[attempt["end"] for attempt in record["attempts"]] for record in close_all(scene, weir, 2)]
    assert ["server_certificate", "ok"] in ends


def close_all(scene, weir, count):
    for client in scene.clients:
        client.half_close()
    return weir.wait_records(count)


def test_the_log_names_a_tcp_session_whose_handshake_fails_by_its_record(scene, pki):
    weir = proxy(scene, pki, secure_server(scene, pki, context=untrusted(pki)), protocol="tcp")
    scene.client(weir).check_closed()
    event = weir.wait_event("server_tls_failed")
    assert event["id"] == weir.wait_records(1)[0]["id"] and "request_id" not in event


def test_the_log_names_the_request_of_a_copy_whose_handshake_fails(scene, pki):
    shadow = secure_server(scene, pki, context=untrusted(pki))
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "r", "pool": "web", "mirror": {"pool": "shadow"}}]},
                       pools={"shadow": {"servers": [shadow.address], **pool(pki)}})
    assert scene.client(weir).ask("GET", "/", ("X-Request-Id", "the-original")).status == 200
    event = weir.wait_event("server_tls_failed")
    assert (event["pool"], event["request_id"]) == ("shadow", "the-original")


def test_a_handshake_that_takes_too_long_ends_a_tcp_session(scene, pki):
    weir = proxy(scene, pki, scene.server([broken.wait_end]), protocol="tcp",
                 pool_more={"timeouts": {"connect": "300ms"}})
    scene.client(weir).check_closed()
    assert weir.wait_records(1)[0]["end"] == "server_tls_timeout"


def test_a_web_socket_goes_to_a_server_by_tls(scene, pki):
    switch = message.response(101, ("Connection", "Upgrade"), ("Upgrade", "websocket"), body=None,
                              reason="Switching Protocols")
    server = secure_server(scene, pki, [broken.receive, broken.send(switch + b"first"), echo])
    weir = proxy(scene, pki, server)
    client = scene.client(weir)
    client.send(message.request("GET", "/chat", ("Connection", "Upgrade"), ("Upgrade", "websocket")))
    assert client.read().status == 101
    assert client.read_exactly(5) == b"first"
    for data in (b"hello", b"x" * 300000):
        client.send(data)
        assert client.read_exactly(len(data)) == data


def test_copies_go_by_tls(scene, pki):
    shadow = secure_server(scene, pki)
    routes = [{"name": "r", "pool": "web", "mirror": {"pool": "shadow"}}]
    weir = scene.proxy(scene.server(), listener={"routes": routes},
                       pools={"shadow": {"servers": [shadow.address], **pool(pki)}})
    assert scene.client(weir).ask("POST", "/", body=b"copied").status == 200
    assert shadow.wait_requests(1)[0].body == b"copied"
    weir.wait_metric(1, "weir_mirror_copies_total", end="ok")


def egress(scene, pki, names, allow, **tls):
    server = NameServer(names)
    scene.servers.append(server)
    route = {"name": "out", "egress": {"pool": "out", "allow": allow}}
    rules = {"tls": {"ca": pki.ca, **tls}} if pki else {}
    return scene.proxy(scene.server(), listener={"routes": [route]}, resolver={"servers": [server.address]},
                       pools={"out": {"kind": "egress", "servers": ["127.0.0.2:0"], **rules}})


def leave(weir, client, host, scheme="https"):
    return client.ask("GET", "/", ("X-Egress-Host", host), ("X-Egress-Scheme", scheme))


def test_egress_speaks_https_and_verifies_the_name_that_was_asked_for(scene, pki):
    server = secure_server(scene, pki)
    weir = egress(scene, pki, {NAME: ["127.0.0.1"], "other.example": ["127.0.0.1"]},
                  [f"{NAME}:1-65535", "other.example:1-65535", "127.0.0.0/8:1-65535"])
    client = scene.client(weir)
    for _ in range(2):
        assert leave(weir, client, f"{NAME}:{server.port}").status == 200
    assert len(server.connections) == 1 and server.requests[0].get("Host") == f"{NAME}:{server.port}"
    # The same address under another name has to prove that name.
    response = leave(weir, client, f"other.example:{server.port}")
    assert response.status == 502 and "is for s.example, not for other.example" in response.text
    response = leave(weir, client, f"127.0.0.1:{server.port}")
    assert response.status == 502 and "not for 127.0.0.1" in response.text
    assert weir.exchange(end="server_certificate")["attempts"][0]["end"] == "server_certificate"
    assert len(server.requests) == 2


def test_egress_verifies_by_the_systems_cas_where_nothing_is_said(scene, pki):
    server = secure_server(scene, pki)
    weir = egress(scene, None, {NAME: ["127.0.0.1"]}, [f"{NAME}:1-65535", "127.0.0.0/8:1-65535"])
    response = leave(weir, scene.client(weir), f"{NAME}:{server.port}")
    assert response.status == 502 and "none of the system's CAs" in response.text


def test_egress_speaks_plainly_beside_it(scene, pki):
    server = scene.server()
    weir = egress(scene, pki, {NAME: ["127.0.0.1"]}, [f"{NAME}:1-65535", "127.0.0.0/8:1-65535"])
    client = scene.client(weir)
    assert leave(weir, client, f"{NAME}:{server.port}", "http").status == 200


# other peoples' servers


NGINX = """
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols {protocol};
        ssl_session_cache none;
        location / {{ return 200 "$ssl_protocol $ssl_server_name $ssl_session_reused $connection_requests\\n"; }}
        location /files/ {{ alias {directory}/files/; }}
"""


@BUILDS
@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_nginx_is_served_from_by_tls(scene, pki, build, protocol):
    port = reserve_port()
    directory = str(scene.directory) + "/nginx-0"
    nginx = scene.nginx(keepalive_requests=3, server=NGINX.format(
        port=port, cert=pki.path("s.pem"), key=pki.path("s.key"), protocol=protocol, directory=directory))
    weir = proxy(scene, pki, f"127.0.0.1:{port}", build=build)
    client = scene.client(weir)
    answers = [client.ask().text.split() for _ in range(9)]
    assert [answer[:2] for answer in answers] == [[protocol, NAME]] * 9
    assert [int(answer[3]) for answer in answers] == [1, 2, 3] * 3
    assert [answer[2] for answer in answers] == ["."] * 3 + ["r"] * 6
    data = random.Random(6).randbytes(20 << 20)
    nginx.write("large", data)
    assert hashlib.sha256(client.ask("GET", "/files/large").body).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssls_own_server_is_served_from(scene, pki, version):
    port = reserve_port()
    with subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", pki.path("s.pem"), "-key",
                           pki.path("s.key"), "-www", version], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            def is_listening():
                with socket.socket() as probe:
                    return probe.connect_ex(("127.0.0.1", port)) == 0
            eventually(is_listening, "s_server listens")
            weir = proxy(scene, pki, f"127.0.0.1:{port}")
            client = scene.client(weir)
            pages = [client.ask("GET", "/").text for _ in range(3)]
            assert ["New" if "New, TLS" in page else "Reused" if "Reused, TLS" in page else page for page in pages] == \
                ["New", "Reused", "Reused"]
            assert {record["end"] for record in weir.wait_records(3)} == {"ok"}
        finally:
            process.kill()


# the configuration


def check(scene, config):
    path = scene.directory / "checked.json"
    path.write_text(json.dumps(config, indent=1))
    done = run_command("check", str(path))
    return done.returncode, done.stderr + done.stdout


def test_mistakes_are_told_with_their_place(scene, pki):
    pki.make("me", "me.example")
    pki.make("you", "you.example")
    mine = {"cert": pki.path("me.pem"), "key": pki.path("me.key")}
    cases = [
        ({"ca": "/nowhere.pem"}, "cannot open /nowhere.pem: No such file"),
        ({"ca": pki.path("me.key")}, "me.key has no certificate; it should have those of the CAs"),
        ({"certificate": {**mine, "key": pki.path("you.key")}}, "does not belong to the certificate in"),
        ({"certificate": {"cert": mine["cert"]}}, 'certificate lacks "key"'),
        ({"name": "a b"}, '"a b" is neither a host\'s name nor an address'),
        ({"verify": "maybe"}, "verify"),
    ]
    for tls, sentence in cases:
        code, said = check(scene, make_config(["127.0.0.1:1"], pool={"tls": tls}))
        assert code == 78 and sentence in said and "checked.json:" in said, said
        assert "PRIVATE" not in said
    code, said = check(scene, make_config(["unix:/tmp/x"], pool={"tls": {"ca": pki.ca}}))
    assert code == 78 and "a unix socket has no name that a certificate could be verified by" in said, said


def health(weir, name):
    return weir.servers("web")[name]


@pytest.mark.parametrize("check", [{"http": {"path": "/healthz"}}, {"tcp": {}}], ids=["http", "tcp"])
def test_checks_speak_tls_by_the_pools_rules(scene, pki, check):
    pki.make_expired("old", NAME)
    good = secure_server(scene, pki, [broken.serve(lambda request: message.response(200))])
    bad = secure_server(scene, pki, [broken.serve(lambda request: message.response(200))], name="old")
    servers = [{"name": "good", "address": good.address}, {"name": "bad", "address": bad.address}]
    weir = proxy(scene, pki, *servers,
                 pool_more={"health": {**check, "interval": "1s", "timeout": "1s", "fall": 1, "rise": 1}})
    eventually(lambda: health(weir, "bad")["state"] == "down", lambda: health(weir, "bad"))
    assert "expired" in health(weir, "bad")["health_detail"], health(weir, "bad")
    eventually(lambda: health(weir, "good")["check"]["last"] == "passed", lambda: health(weir, "good"))
    assert health(weir, "good")["state"] == "up"
    assert {scene.client(weir).ask().status for _ in range(4)} == {200}


def test_a_server_that_is_mute_in_its_handshake_is_down(scene, pki):
    mute = scene.server(*[[broken.wait_end]] * 40)
    weir = proxy(scene, pki, {"name": "mute", "address": mute.address},
                 pool_more={"health": {"http": "/", "interval": "1s", "timeout": "1s", "fall": 1}})
    words = "the TLS handshake was not over within 1000 ms"
    eventually(lambda: words in (health(weir, "mute")["check"]["detail"] or ""), lambda: health(weir, "mute"))
    assert health(weir, "mute")["state"] == "down"


def test_checks_may_be_plain_on_a_port_of_their_own(scene, pki):
    plain = scene.server([broken.serve(lambda request: message.response(200))])
    secure = secure_server(scene, pki)
    weir = proxy(scene, pki, {"name": "s", "address": secure.address},
                 pool_more={"health": {"http": {"path": "/"}, "port": int(plain.address.rsplit(":", 1)[1]), "tls": False,
                                       "interval": "1s", "timeout": "1s"}})
    eventually(lambda: health(weir, "s")["check"]["last"] == "passed", lambda: health(weir, "s"))


def test_checks_that_would_be_spoken_plain_to_a_tls_port_are_a_mistake(scene, pki):
    for health, is_mistake in (({"http": {"path": "/"}, "tls": False}, True), ({"tcp": {}, "tls": False}, False),
                               ({"http": {"path": "/"}}, False), ({"http": {"path": "/"}, "tls": False, "port": 81}, False)):
        code, said = check(scene, make_config(["127.0.0.1:1"], pool={"tls": {"ca": pki.ca}, "health": health}))
        assert ("checks are to be spoken plain" in said) == is_mistake and code == (78 if is_mistake else 0), said


def test_what_is_doubtful_is_a_warning(scene, pki):
    code, said = check(scene, make_config(["127.0.0.1:1"], pool={"tls": {"verify": "off"}}))
    assert code == 0 and "servers are not verified" in said, said
    pki.make_expired("old", "me.example")
    old = {"cert": pki.path("old.pem"), "key": pki.path("old.key")}
    code, said = check(scene, make_config(["127.0.0.1:1"], pool={"tls": {"ca": pki.ca, "certificate": old}}))
    assert code == 0 and "expired on 2021-02-03" in said and "servers that ask for it refuse it" in said, said


def test_a_reload_with_a_mistake_changes_nothing(scene, pki):
    server = secure_server(scene, pki)
    weir = proxy(scene, pki, server)
    client = scene.client(weir)
    assert client.ask().status == 200
    good = weir.config["pools"]["web"]["tls"]
    weir.config["pools"]["web"]["tls"] = {"ca": "/nowhere.pem"}
    assert weir.put_config(weir.config).status == 400
    weir.config["pools"]["web"]["tls"] = good
    assert client.ask().status == 200 and len(server.connections) == 1
