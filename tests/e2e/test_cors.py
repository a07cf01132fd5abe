"""CORS in one line: what browsers are told of other sites' pages, in place of what servers say, and preflights answered."""
import json

import pytest

import broken
import message
from http2 import Http2
from tls import Pki
from weir import run_command

APP = "https://app.example"
ORIGIN = ("Origin", APP)
ASKS = ("Access-Control-Request-Method", "PUT")


def said(response):
    return {name.lower(): value for name, value in response.fields if name.lower().startswith("access-control-")}


def talkative(*fields):
    """A server with words of its own."""
    return [broken.serve(lambda request: message.response(200, *fields, body=b"ok"))]


def cors(scene, rule=APP, server=None, **listener):
    server = server or scene.server()
    return server, scene.proxy(server, listener={"cors": rule, **listener})


def test_a_page_of_that_origin_may_read_the_answer(scene):
    _, weir = cors(scene)
    client = scene.client(weir)
    response = client.ask("GET", "/", ORIGIN)
    assert response.status == 200 and said(response) == {"access-control-allow-origin": APP}
    assert response.get("Vary") == "Origin"
    for other in [("Origin", "https://evil.example"), ("Origin", "null"), ("X-Nothing", "x")]:
        response = client.ask("GET", "/", other)
        assert response.status == 200 and said(response) == {} and response.get("Vary") == "Origin"
    response = client.ask("GET", "/", ORIGIN, ORIGIN)
    assert said(response) == {}


def test_a_preflight_is_answered_and_no_server_sees_it(scene):
    server, weir = cors(scene, {"origins": [APP], "credentials": True, "expose": ["X-Total"], "max_age": "1h"})
    client = scene.client(weir)
    response = client.ask("OPTIONS", "/x", ORIGIN, ASKS, ("Access-Control-Request-Headers", "x-one, authorization"))
    assert response.status == 204 and response.body == b""
    assert said(response) == {"access-control-allow-origin": APP, "access-control-allow-credentials": "true",
                              "access-control-expose-headers": "X-Total", "access-control-max-age": "3600",
                              "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
                              "access-control-allow-headers": "x-one, authorization"}
    response = client.ask("OPTIONS", "/x", ("Origin", "https://evil.example"), ASKS)
    assert response.status == 204 and said(response) == {}
    assert server.requests == []
    # OPTIONS that is no preflight is a request like any other.
    assert client.ask("OPTIONS", "/x", ORIGIN).status == 200
    assert [request.method for request in server.requests] == ["OPTIONS"]
    assert said(client.ask("GET", "/", ORIGIN))["access-control-expose-headers"] == "X-Total"


@pytest.mark.parametrize("headers", ["x-one\x00", 'x", "y', "x:y", "<x>", "x" * 1025])
def test_what_is_asked_is_said_again_only_if_it_is_names(scene, headers):
    _, weir = cors(scene)
    client = scene.client(weir)
    client.send(message.request("OPTIONS", "/", ORIGIN, ASKS, ("Access-Control-Request-Headers", "@")).replace(
        b"@", headers.encode()))
    response = client.read("OPTIONS")
    assert "access-control-allow-headers" not in said(response)
    assert response.status in (204, 400)


def test_the_servers_own_words_are_replaced(scene):
    server = scene.server(talkative(("Access-Control-Allow-Origin", "*"), ("access-control-allow-credentials", "true"),
                                    ("Access-Control-Expose-Headers", "X-A"), ("Vary", "Accept, Origin")))
    _, weir = cors(scene, server=server)
    response = scene.client(weir).ask("GET", "/", ORIGIN)
    assert said(response) == {"access-control-allow-origin": APP}
    assert [value for name, value in response.fields if name.lower().startswith("access-control-")] == [APP]
    assert [value for name, value in response.fields if name.lower() == "vary"] == ["Accept, Origin"]
    assert said(scene.client(weir).ask("GET", "/")) == {}


def test_without_cors_servers_speak_for_themselves(scene):
    server = scene.server(talkative(("Access-Control-Allow-Origin", "*")))
    weir = scene.proxy(server)
    client = scene.client(weir)
    assert said(client.ask("GET", "/", ORIGIN)) == {"access-control-allow-origin": "*"}
    assert said(client.ask("OPTIONS", "/", ORIGIN, ASKS)) == {"access-control-allow-origin": "*"}


def test_any_origin_is_a_star_and_needs_no_vary(scene):
    _, weir = cors(scene, "*")
    response = scene.client(weir).ask("GET", "/", ORIGIN)
    assert said(response) == {"access-control-allow-origin": "*"} and response.get("Vary") is None


@pytest.mark.parametrize("vary", ["Origin", "*", "Accept, origin"])
def test_any_origin_may_read_what_a_server_says_to_vary(scene, vary):
    _, weir = cors(scene, {"origins": "*", "expose": ["X-Total"]}, server=scene.server(talkative(("Vary", vary))))
    response = scene.client(weir).ask("GET", "/", ORIGIN)
    assert said(response) == {"access-control-allow-origin": "*", "access-control-expose-headers": "X-Total"}
    assert [value for name, value in response.fields if name.lower() == "vary"] == [vary]


def test_weirs_own_answers_say_it_too(scene):
    routes = [{"name": "here", "path": "/here", "respond": "me"}, {"name": "there", "path": "/there", "redirect": "/here"}]
    weir = scene.proxy(scene.server(), listener={"routes": routes, "cors": APP})
    client = scene.client(weir)
    for target, status in [("/here", 200), ("/there", 302), ("/none", 404)]:
        response = client.ask("GET", target, ORIGIN)
        assert response.status == status and said(response) == {"access-control-allow-origin": APP}


def test_a_preflight_is_for_the_route_of_the_request_that_it_asks_about(scene):
    routes = [{"name": "write", "path": "/x", "method": ["PUT"], "pool": "web",
               "cors": {"origins": [APP], "methods": ["PUT"], "headers": ["X-One"]}},
              {"name": "rest", "pool": "web"}]
    server = scene.server()
    weir = scene.proxy(server, listener={"routes": routes})
    client = scene.client(weir)
    response = client.ask("OPTIONS", "/x", ORIGIN, ASKS, ("Access-Control-Request-Headers", "x-two"))
    assert response.status == 204
    assert said(response)["access-control-allow-methods"] == "PUT" and said(response)["access-control-allow-headers"] == "X-One"
    assert client.ask("OPTIONS", "/x", ORIGIN, ("Access-Control-Request-Method", "POST")).status == 200
    assert len(server.requests) == 1
    answer = weir.ask_admin("POST", "/api/v1/explain", body={"method": "OPTIONS", "url": "/x", "headers": [
        f"Origin: {APP}", "Access-Control-Request-Method: PUT"]})
    told = json.loads(answer.body)
    assert told["route"]["name"] == "write" and "preflight" in told["answer"]["why"]


def test_the_route_goes_before_its_listener(scene):
    routes = [{"name": "own", "path": "/own", "pool": "web", "cors": "https://own.example"}, {"name": "rest", "pool": "web"}]
    weir = scene.proxy(scene.server(), listener={"routes": routes, "cors": APP})
    client = scene.client(weir)
    assert said(client.ask("GET", "/own", ORIGIN)) == {}
    assert said(client.ask("GET", "/", ORIGIN)) == {"access-control-allow-origin": APP}


def test_gate_and_maintenance_go_before(scene):
    routes = [{"name": "inside", "path": "/in", "pool": "web", "gate": {"allow": ["192.0.2.0/24"]}},
              {"name": "out", "path": "/out", "pool": "web", "maintenance": True}]
    weir = scene.proxy(scene.server(), listener={"routes": routes, "cors": APP})
    client = scene.client(weir)
    assert client.ask("OPTIONS", "/in", ORIGIN, ASKS).status == 403
    assert client.ask("OPTIONS", "/out", ORIGIN, ASKS).status == 503


def test_compression_and_cors_both_say_what_varies(scene):
    server = scene.server([broken.serve(lambda request: message.response(200, ("Content-Type", "text/html"), body=b"x" * 5000))])
    _, weir = cors(scene, server=server, compress=True)
    response = scene.client(weir).ask("GET", "/", ORIGIN, ("Accept-Encoding", "gzip"))
    vary = ", ".join(value for name, value in response.fields if name.lower() == "vary")
    assert response.get("Content-Encoding") == "gzip" and sorted(vary.lower().split(", ")) == ["accept-encoding", "origin"]


def test_http2_over_tls(scene, tmp_path):
    pki = Pki(tmp_path)
    _, weir = cors(scene, tls={"certificates": [pki.make("site", "site.example")]})
    client = Http2(weir.address, pki.context(), "site.example")
    scene.clients.append(client)
    stream = client.ask("OPTIONS", "/", ("origin", APP), ("access-control-request-method", "PUT"))
    assert stream.status == 204 and stream.headers["access-control-allow-origin"] == APP
    stream = client.ask("GET", "/", ("origin", APP))
    assert stream.status == 200 and stream.headers["access-control-allow-origin"] == APP and stream.headers["vary"] == "Origin"


@pytest.mark.parametrize("rule, fault", [
    ({"origins": "*", "credentials": True}, "any page could read what the client alone may see"),
    ("https://app.example/", "write one like https://app.example.com"),
    ({"origin": "https://app.example"}, 'did you mean "origins"?'),
])
def test_mistakes_are_named(tmp_path, rule, fault):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:1", "pool": "web", "cors": rule}},
                                "pools": {"web": {"servers": ["127.0.0.1:2"]}}}))
    done = run_command("check", str(path))
    assert done.returncode == 78 and fault in done.stderr, done.stderr
