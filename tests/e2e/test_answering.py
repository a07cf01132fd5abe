"""Listeners that answer by themselves: without any server behind them, or for what no route takes."""
import json

import pytest

from weir import listen_at_free_port, run_command


def alone(scene, **listener):
    return scene.weir({"listeners": {"web": {"bind": listen_at_free_port(), **listener}},
                       "admin": {"bind": listen_at_free_port()}, "workers": 1})


def test_a_listener_needs_no_pool_to_answer(scene):
    weir = alone(scene, respond={"status": 410, "body": "gone\n"})
    client = scene.client(weir)
    for target in ("/", "/x?y"):
        response = client.ask("GET", target)
        assert (response.status, response.text) == (410, "gone\n")
    assert client.ask("HEAD", "/").body == b""
    assert weir.get("/api/v1/pools")["pools"] == []
    assert weir.get("/api/v1/routes")["routes"][0]["name"] == "respond"
    assert weir.ask_admin("GET", "/metrics").status == 200


def test_a_listener_needs_no_pool_to_redirect(scene):
    weir = alone(scene, redirect="https")
    response = scene.client(weir).ask("GET", "/a?b")
    assert response.status == 301 and response.get("Location").endswith("/a?b")


def test_what_no_route_takes_is_answered(scene):
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "api", "path_prefix": "/api/", "pool": "web"}],
                                                 "respond": "not here\n"})
    client = scene.client(weir)
    assert client.ask("GET", "/api/x").text == "ok"
    response = client.ask("GET", "/other")
    assert (response.status, response.text) == (200, "not here\n")
    answer = weir.ask_admin("POST", "/api/v1/explain", body={"url": "/other"})
    assert json.loads(answer.body)["answer"]["status"] == 200


def test_a_weir_without_servers_takes_some_by_reload(scene):
    weir = alone(scene, respond="none\n")
    client = scene.client(weir)
    assert client.ask("GET", "/").text == "none\n"
    config = json.loads(json.dumps(weir.config))
    del config["listeners"]["web"]["respond"]
    config["listeners"]["web"]["pool"] = "web"
    config["pools"] = {"web": {"servers": [scene.server().address]}}
    assert weir.put_config(config).status == 200
    assert client.ask("GET", "/").text == "ok"
    assert weir.put_config(weir.config).status == 200
    assert client.ask("GET", "/").text == "none\n"
    weir.wait_retired()


@pytest.mark.parametrize("listener, fault", [
    ({"respond": "x", "pool": "web"}, "either a pool for everything or answers everything itself"),
    ({"respond": "x", "redirect": "https"}, "what no route takes has one answer"),
    ({"respond": "x", "protocol": "tcp"}, "a tcp listener does not respond"),
    ({}, "a listener needs a pool or routes"),
    ({"pool": "web"}, 'there is no "web" under "pools"'),
])
def test_mistakes_are_named(tmp_path, listener, fault):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:1", **listener}}}))
    done = run_command("check", str(path))
    assert done.returncode == 78 and fault in done.stderr, done.stderr
