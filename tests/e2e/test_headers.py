"""Fields on their way: what is passed on, what is dropped, what weir adds."""
import re

import pytest

import broken
import message


def ask_through(scene, *fields, listener=None, pool=None, host="example.test", version="1.1", source=None):
    """What the server was asked."""
    server = scene.server()
    weir = scene.proxy(server, listener=listener, pool=pool)
    client = scene.client(weir, source=source)
    assert client.ask("GET", "/", *fields, host=host, version=version).status == 200
    return server.requests[0]


# Hop by hop


def test_fields_of_the_clients_connection_are_not_passed_on(relay):
    client = relay.open(broken.receive, broken.ok)
    client.ask("GET", "/", ("Connection", "keep-alive, X-Private"), ("Connection", "x-second"), ("X-Private", "1"),
               ("X-Second", "2"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "trailers"),
               ("X-Public", "3"))
    request = relay.wait_requests()[0]
    for name in ("X-Private", "X-Second", "Keep-Alive", "Proxy-Connection"):
        assert not request.has(name), name
    assert not {"x-private", "x-second"} & set(request.options())
    assert request.get("X-Public") == "3"


def test_fields_of_the_servers_connection_are_not_passed_on(relay):
    answer = message.response(200, ("Connection", "keep-alive, X-Private"), ("X-Private", "1"),
                              ("Keep-Alive", "timeout=5, max=100"), ("Proxy-Connection", "keep-alive"),
                              ("Upgrade", "h2c"), ("X-Public", "3"))
    client = relay.open(broken.receive, broken.send(answer), broken.serve())
    response = client.ask()
    for name in ("X-Private", "Keep-Alive", "Proxy-Connection", "Upgrade"):
        assert not response.has(name), name
    assert "x-private" not in response.options()
    assert response.get("X-Public") == "3"


def test_what_connection_names_cannot_remove_what_weir_adds(relay):
    client = relay.open(broken.receive, broken.ok)
    client.ask("GET", "/", ("Connection", "X-Forwarded-For, X-Request-Id, Forwarded"))
    request = relay.wait_requests()[0]
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert request.get("X-Request-Id")


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding"])
def test_framing_cannot_be_named_in_connection(scene, name):
    server = scene.server()
    client = scene.client(scene.proxy(server))
    fields = [("Connection", name)]
    if name == "Transfer-Encoding":
        client.send(message.request("POST", "/", *fields, ("Transfer-Encoding", "chunked")) + message.chunked(b"x"))
    else:
        client.send(message.request("POST", "/", *fields, body=b"x"))
    assert client.read().status == 400
    assert server.requests == []


# End to end


def test_other_fields_pass_unchanged_and_in_order(relay):
    sent = [("Accept", "text/html"), ("X-Twice", "a"), ("aCCept-Language", "de"), ("X-Twice", "b"), ("X-Empty", ""),
            ("X-Quoted", '"a, b"; c="d"'), ("X-Bytes", "caf\xe9 \xff"), ("Cookie", "a=b; c=d"), ("X-Tab", "a\tb"),
            ("Authorization", "Basic eDp5"), ("X" * 100, "y" * 5000)]
    answered = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Empty", ""), ("eTaG", '"x"'), ("Date", "today"),
                ("Server", "broken/1"), ("X-Bytes", "\xe9"), ("Cache-Control", "no-store")]
    client = relay.open(broken.receive, broken.send(message.response(200, *answered)))
    response = client.ask("GET", "/", *sent)
    request = relay.wait_requests()[0]
    assert [field for field in request.fields if field in sent] == sent
    assert [field for field in response.fields if field in answered] == answered


def test_white_space_around_values_is_of_no_meaning(relay):
    client = relay.open(broken.receive, broken.send(b"HTTP/1.1 200 OK\r\nX-A: \t a b \t\r\nContent-Length:2\r\n\r\nok"))
    client.send(b"GET / HTTP/1.1\r\nHost:example.test\r\nX-A:a b\t \r\n\r\n")
    assert client.read().get("X-A") == "a b"
    request = relay.wait_requests()[0]
    assert request.get("X-A") == "a b" and request.get("Host") == "example.test"


def test_the_server_is_spoken_to_in_1_1_and_its_version_is_not_shown(relay):
    client = relay.open(broken.receive, broken.send(message.response(version="1.0")))
    assert client.ask(version="1.0").version == "1.1"
    assert relay.wait_requests()[0].version == "1.1"


def test_an_answer_of_weir_says_nothing_of_the_servers_fields(scene):
    server = scene.server([broken.receive, broken.send(b"HTTP/1.1 200 OK\r\nX-Secret: 1\r\nbroken\r\n\r\n")])
    response = scene.client(scene.proxy(server)).ask()
    assert response.status == 502
    assert not response.has("X-Secret") and "X-Secret" not in response.text


DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] [A-Z][a-z]{2} [0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT")


def test_a_response_without_date_gets_one(relay):
    client = relay.open(broken.receive, broken.send(message.response()),
                        broken.receive, broken.send(message.response(200, ("Date", "today"))))
    assert DATE.fullmatch(client.ask().get("Date"))
    assert client.ask().all("Date") == ["today"]


# Forwarding


def test_the_client_is_named_to_the_server(scene):
    request = ask_through(scene)
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert request.get("X-Forwarded-Proto") == "http"
    assert request.get("X-Forwarded-Host") == "example.test"
    assert re.fullmatch(r'for=127\.0\.0\.1;host="?example\.test"?;proto=http', request.get("Forwarded"))


CLAIMS = [("X-Forwarded-For", "192.0.2.1, 198.51.100.2"), ("X-Forwarded-Proto", "https"),
          ("X-Forwarded-Host", "claimed.test"), ("Forwarded", "for=192.0.2.1;proto=https")]


def test_what_an_untrusted_client_claims_is_replaced(scene):
    request = ask_through(scene, *CLAIMS)
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert request.get("X-Forwarded-Proto") == "http"
    assert request.get("X-Forwarded-Host") == "example.test"
    assert "192.0.2.1" not in request.get("Forwarded")
    assert b"claimed" not in request.raw_head


def test_what_a_trusted_peer_says_is_kept_and_added_to(scene):
    request = ask_through(scene, *CLAIMS, listener={"trust": ["127.0.0.0/8"]})
    assert request.get("X-Forwarded-For") == "192.0.2.1, 198.51.100.2, 127.0.0.1"
    assert request.get("X-Forwarded-Proto") == "https"
    assert request.get("X-Forwarded-Host") == "claimed.test"
    assert request.get("Forwarded") == ('for=192.0.2.1;host="claimed.test";proto=https, for=198.51.100.2, '
                                        'for=127.0.0.1;host="claimed.test";proto=https')


def test_forwarded_alone_is_told_in_both_forms(scene):
    request = ask_through(scene, ("Forwarded", 'for="[2001:db8::7]:4711";proto=https;host=claimed.test'),
                          listener={"trust": ["127.0.0.1"]})
    assert request.get("X-Forwarded-For") == "2001:db8::7, 127.0.0.1"
    assert request.get("X-Forwarded-Proto") == "https"
    assert request.get("X-Forwarded-Host") == "claimed.test"
    assert request.get("Forwarded") == ('for="[2001:db8::7]";host="claimed.test";proto=https, '
                                        'for=127.0.0.1;host="claimed.test";proto=https')


def test_forwarding_fields_of_other_names_pass_from_trusted_peers_only(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"trust": ["127.0.0.2/32"]})
    claims = [("X-Forwarded-Port", "443"), ("X-Forwarded-Prefix", "/a"), ("X-Real-IP", "192.0.2.1"),
              ("X-Forwarded-Ssl", "on")]
    for source in ("127.0.0.1", "127.0.0.2"):
        scene.client(weir, source=source).ask("GET", "/", *claims)
    for name, value in claims:
        assert not server.requests[0].has(name), name
        assert server.requests[1].get(name) == value


@pytest.mark.parametrize("claim, client", [
    ("203.0.113.7:4711", "203.0.113.7"), ("[2001:db8::7]:4711", "2001:db8::7"), ("[2001:db8::7]", "2001:db8::7")])
def test_a_client_may_be_named_with_port_and_brackets(scene, claim, client):
    """The gate, the record and the routes' conditions take it for who it is."""
    block = "203.0.113.0/24" if "." in client else "2001:db8::/32"
    routes = {"his": {"path": "/his", "client": [block], "pool": "web"},
              "gated": {"path": "/gated", "gate": {"deny": [block]}, "pool": "web"}}
    weir = scene.proxy(scene.server(), listener={"trust": ["127.0.0.1"], "routes": routes})
    for path, status in (("/his", 200), ("/gated", 403)):
        asker = scene.client(weir)
        assert asker.ask("GET", path, ("X-Forwarded-For", claim)).status == status
    assert {record["client"] for record in weir.wait_records(2)} == {client}


@pytest.mark.parametrize("policy, status", [(None, 200), ("drop", 200), ("keep", 200), ("refuse", 400)])
def test_names_with_underscores(scene, policy, status):
    server = scene.server()
    weir = scene.proxy(server, listener={"fields": {"underscore": policy}} if policy else None)
    response = scene.client(weir).ask("GET", "/", ("X_Role", "admin"), ("X_Forwarded_For", "192.0.2.1"),
                                      ("X.Forwarded.For", "192.0.2.1"), ("X-Role", "user"))
    assert response.status == status
    if status == 400:
        assert "underscore" in response.text and server.requests == []
        return
    request = server.requests[0]
    assert request.has("X_Role") == (policy == "keep")
    assert not request.has("X_Forwarded_For") and not request.has("X.Forwarded.For")
    assert request.get("X-Role") == "user"


def test_conditions_do_not_see_what_is_dropped(scene):
    routes = {"secure": {"headers": {"X-Forwarded-Proto": "https"}, "respond": "secure"},
              "role": {"headers": {"X_Role": "admin"}, "respond": "admin"}, "rest": {"respond": "plain"}}
    weir = scene.proxy(scene.server(), listener={"routes": routes})
    client = scene.client(weir)
    assert client.ask("GET", "/", ("X-Forwarded-Proto", "https")).body == b"plain"
    assert client.ask("GET", "/", ("X_Role", "admin")).body == b"plain"


def test_a_long_host_does_not_break_forwarded(scene):
    host = "a" * 900 + ".test"
    request = ask_through(scene, host=host)
    assert request.get("Forwarded") == "for=127.0.0.1;proto=http"
    assert request.get("X-Forwarded-Host") == host


def test_several_forwarding_fields_of_a_trusted_peer_become_one(scene):
    request = ask_through(scene, ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.2"),
                          listener={"trust": ["127.0.0.1/32"]})
    assert request.get("X-Forwarded-For") == "192.0.2.1, 192.0.2.2, 127.0.0.1"


def test_trust_is_a_matter_of_the_peers_address(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"trust": ["127.0.0.2/32"]})
    for source in ("127.0.0.1", "127.0.0.2"):
        scene.client(weir, source=source).ask("GET", "/", *CLAIMS)
    assert server.requests[0].get("X-Forwarded-For") == "127.0.0.1"
    assert server.requests[1].get("X-Forwarded-For") == "192.0.2.1, 198.51.100.2, 127.0.0.2"


def test_a_record_names_the_client_behind_trusted_peers(scene):
    server = scene.server()
    weir = scene.proxy(server, listener={"trust": ["127.0.0.0/8", "198.51.100.0/24"]})
    scene.client(weir).ask("GET", "/", ("X-Forwarded-For", "203.0.113.9, 192.0.2.1, 198.51.100.2"))
    assert weir.exchange()["client"] == "192.0.2.1"


def test_weir_names_itself_in_via(scene):
    request = ask_through(scene, ("Via", "1.0 first, 1.1 second"))
    via = [element.strip() for element in request.get("Via").split(",")]
    assert via[:2] == ["1.0 first", "1.1 second"]
    assert via[2].startswith("1.1 ") and len(via) == 3


# Request ids


def test_a_request_without_an_id_gets_one(scene):
    server = scene.server()
    weir = scene.proxy(server)
    client = scene.client(weir)
    for _ in range(20):
        client.ask()
    ids = [request.get("X-Request-Id") for request in server.requests]
    assert len(set(ids)) == 20
    assert all(re.fullmatch("[0-9A-Za-z._-]{16,36}", made) for made in ids)
    assert weir.exchange(request_id=ids[7])["request_id"] == ids[7]


@pytest.mark.parametrize("given", ["abc", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "A.b_c-9", "x" * 36])
def test_a_safe_id_is_kept(scene, given):
    assert ask_through(scene, ("X-Request-Id", given)).get("X-Request-Id") == given


@pytest.mark.parametrize("given", ["", "x" * 37, "a b", "a;b", "<script>", "a\xe9", 'a"b', "a/b", "a,b"])
def test_an_unsafe_id_is_replaced(scene, given):
    request = ask_through(scene, ("X-Request-Id", given))
    assert re.fullmatch("[0-9A-Za-z._-]{16,36}", request.get("X-Request-Id"))


# Host


@pytest.mark.parametrize("policy", ["keep", "server", "fixed.test:81"])
def test_the_pools_policy_says_which_host_the_server_sees(relay, policy):
    client = relay.open(broken.receive, broken.ok, pool={"host": policy})
    client.ask("GET", "/", host="Example.Test:8080")
    request = relay.wait_requests()[0]
    wanted = {"keep": "Example.Test:8080", "server": relay.server.address}.get(policy, policy)
    assert request.get("Host") == wanted
    assert request.get("X-Forwarded-Host") == "Example.Test:8080"


def test_a_request_of_1_0_without_host_gets_one_for_the_server(scene):
    request = ask_through(scene, host=None, version="1.0")
    assert request.get("Host")


def test_an_empty_host_is_passed_on_or_replaced_but_there_is_one(scene):
    request = ask_through(scene, host="")
    assert request.has("Host")
