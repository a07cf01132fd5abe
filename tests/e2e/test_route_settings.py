"""What a route says in place of its listener and its pool: time-outs, bounds; and several hosts, schemes."""
import json

import pytest

import broken
import message
from weir import run_command

ROUTES = [{"name": "own", "path_prefix": "/own", "pool": "web", "timeouts": {"first_byte": "200ms"},
           "limits": {"body": "10B"}},
          {"name": "rest", "pool": "web"}]


def routed(scene, server, routes, **listener):
    return scene.proxy(server, listener={"routes": routes, **listener})


def test_a_time_out_of_a_route_goes_before_its_pools(scene):
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy(server, listener={"routes": ROUTES}, pool={"timeouts": {"first_byte": "60s"}})
    response = scene.client(weir).ask("GET", "/own")
    assert response.status == 504 and "first_byte_timeout" in response.text


def test_a_bound_of_a_route_goes_before_its_listeners(scene):
    weir = routed(scene, scene.server(), ROUTES, limits={"body": "100B"})
    client = scene.client(weir)
    for target, size, status in [("/own", 10, 200), ("/rest", 100, 200), ("/own", 11, 413)]:
        client.send(message.request("POST", target, body=b"x" * size))
        response = client.read()
        assert response.status == status, (target, size, response.text)
    assert "(10 bytes are allowed)" in response.text
    client = scene.client(weir)
    client.send(message.request("POST", "/rest", body=b"x" * 101))
    response = client.read()
    assert response.status == 413 and "(100 bytes are allowed)" in response.text


def test_a_bound_of_a_route_holds_for_chunks(scene):
    weir = routed(scene, scene.server(), [{"name": "wide", "path": "/wide", "pool": "web", "limits": {"body": "off"}},
                                          {"name": "rest", "pool": "web"}], limits={"body": "4B"})
    chunks = b"8\r\n12345678\r\n0\r\n\r\n"
    client = scene.client(weir)
    client.send(message.request("POST", "/wide", ("Transfer-Encoding", "chunked")) + chunks)
    assert client.read().status == 200
    client = scene.client(weir)
    client.send(message.request("POST", "/rest", ("Transfer-Encoding", "chunked")) + chunks)
    assert client.read().status == 413


def test_a_route_has_several_hosts(scene):
    routes = [{"name": "shops", "host": ["shop.example", "*.shops.example"], "respond": "a shop"},
              {"name": "blog", "host": "blog.example", "respond": "the blog"}, {"name": "rest", "respond": "neither"}]
    weir = routed(scene, scene.server(), routes)
    client = scene.client(weir)
    for host, answer in [("shop.example", "a shop"), ("a.shops.example", "a shop"), ("blog.example", "the blog"),
                         ("shops.example", "neither"), ("SHOP.example:80", "a shop")]:
        client.send(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
        assert client.read().text == answer, host
    conf = {route["name"]: route["conf"] for route in weir.get("/api/v1/routes")["routes"]}
    assert conf["shops"]["host"] == ["shop.example", "*.shops.example"] and conf["rest"].get("host", []) == []


def test_a_scheme_is_a_condition_and_is_explained(scene):
    routes = [{"name": "secure", "scheme": "https", "respond": "by TLS"}, {"name": "plain", "respond": "plain"}]
    weir = routed(scene, scene.server(), routes)
    assert scene.client(weir).ask("GET", "/").text == "plain"
    done = run_command("explain", "-c", weir.path, "--json", "http://any.example/")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["route"]["name"] == "plain"
    assert [step["why"] for step in told["considered"]] == ["the scheme is http, not https"]


@pytest.mark.parametrize("route, fault", [
    ({"timeouts": {"first_bite": "5s"}}, 'did you mean "first_byte"?'),
    ({"timeouts": {"total": "0s"}}, "must be from 1ms to 24h, or off"),
    ({"limits": {}}, 'add "body"'),
    ({"host": ["a.example", "b:80"]}, "routes go by host alone"),
    ({"scheme": "tcp"}, "known here: any, http, https"),
])
def test_mistakes_are_named(tmp_path, route, fault):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:1", "routes": [{"pool": "web", **route}]}},
                                "pools": {"web": {"servers": ["127.0.0.1:2"]}}}))
    done = run_command("check", str(path))
    assert done.returncode == 78 and fault in done.stderr, done.stderr
