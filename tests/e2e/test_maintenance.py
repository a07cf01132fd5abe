"""Out for maintenance: who is served all the same, what the others are told, and that one word switches it, for good."""
import json

import pytest

from http2 import Http2
from tls import Pki
from waiting import eventually
from weir import run_command

AWAY = {"enabled": True, "allow": ["127.0.0.8/29", "192.0.2.0/24"], "retry_after": "90s"}


def switch(weir, **values):
    response = weir.ask_admin("PATCH", "/api/v1/maintenance", body=values)
    return response


def command(weir, *words):
    return run_command("maintenance", *words, "--admin", "%s:%d" % weir.admin_address)


def state(weir):
    return {(entry["listener"], entry["route"]): entry["enabled"]
            for entry in weir.get("/api/v1/maintenance")["maintenance"]}


def test_only_those_who_are_named_pass(scene):
    weir = scene.proxy(scene.server(), listener={"maintenance": AWAY})
    response = scene.client(weir).ask("GET", "/")
    assert response.status == 503 and response.get("Retry-After") == "90" and "Reason: maintenance" in response.text
    assert scene.client(weir, source="127.0.0.9").ask("GET", "/").status == 200
    eventually(lambda: weir.metric("weir_exchanges_total", listener="web", end="maintenance") == 1, "it is counted")
    assert weir.metric("weir_maintenance") == 1
    assert weir.exchange(end="maintenance")["status"] == 503
    assert weir.events("maintenance")[0] | {"listener": "web", "state": "begun"} == weir.events("maintenance")[0]


def test_it_says_what_it_is_told_to(scene):
    weir = scene.proxy(scene.server(), listener={"maintenance": {**AWAY, "status": 599, "retry_after": "off",
                                                                 "page": {"html": "<p>{status} {reason} {path}</p>"}},
                                                 "errors": {"default": "not this"}})
    client = scene.client(weir)
    response = client.ask("GET", "/<i>")
    assert response.status == 599 and response.get("Retry-After") is None
    assert response.text == "<p>599 maintenance /&lt;i&gt;</p>" or response.text.startswith("<p>599 maintenance /%3")
    head = client.ask("HEAD", "/")
    assert head.status == 599 and head.body == b""


def test_without_a_page_of_its_own_it_has_the_one_of_its_status(scene):
    weir = scene.proxy(scene.server(), listener={"maintenance": True, "errors": {"503": "come back\n"}})
    assert scene.client(weir).ask("GET", "/").text == "come back\n"


def test_a_route_is_out_and_the_others_are_not(scene):
    routes = [{"name": "shop", "path_prefix": "/shop", "pool": "web", "maintenance": AWAY}, {"name": "rest", "pool": "web"}]
    weir = scene.proxy(scene.server(), listener={"routes": routes})
    client = scene.client(weir)
    assert [client.ask("GET", target).status for target in ("/shop", "/", "/shop/x")] == [503, 200, 503]
    assert state(weir) == {("web", None): False, ("web", "shop"): True}


def test_what_no_route_takes_is_out_too(scene):
    routes = [{"name": "shop", "path_prefix": "/shop", "pool": "web", "maintenance": {"enabled": False}}]
    weir = scene.proxy(scene.server(), listener={"routes": routes, "maintenance": AWAY})
    assert command(weir).stdout.splitlines() == ["web        out for maintenance", "web  shop  out with its listener"]
    assert scene.client(weir).ask("GET", "/shop").status == 503
    assert scene.client(weir).ask("GET", "/other").status == 503
    assert scene.client(weir, source="127.0.0.9").ask("GET", "/other").status == 404


def test_who_is_meant_counts_and_not_the_proxy_between(scene):
    weir = scene.proxy(scene.server(), listener={"maintenance": AWAY, "trust": ["127.0.0.1"]})
    client = scene.client(weir)
    assert client.ask("GET", "/", ("X-Forwarded-For", "192.0.2.7")).status == 200
    assert client.ask("GET", "/", ("X-Forwarded-For", "198.51.100.7")).status == 503


def test_explain_tells_it(scene):
    weir = scene.proxy(scene.server(), listener={"maintenance": {**AWAY, "status": 500}})
    answer = weir.ask_admin("POST", "/api/v1/explain", body={"url": "/"})
    told = json.loads(answer.body)
    assert told["answer"]["end"] == "maintenance" and told["answer"]["status"] == 500
    answer = weir.ask_admin("POST", "/api/v1/explain", body={"url": "/", "client": "192.0.2.7"})
    assert json.loads(answer.body)["answer"] is None


def test_grpc_and_http2_over_tls(scene, tmp_path):
    pki = Pki(tmp_path)
    weir = scene.proxy(scene.server(), listener={"maintenance": AWAY, "tls": {"certificates": [pki.make("site", "site.example")]}})
    client = Http2(weir.address, pki.context(), "site.example")
    scene.clients.append(client)
    stream = client.ask("GET", "/")
    assert stream.status == 503 and stream.headers["retry-after"] == "90"
    stream = client.ask("POST", "/", ("content-type", "application/grpc"), ("te", "trailers"), body=b"")
    assert stream.status == 200 and stream.headers["grpc-status"] == "14"


def test_one_word_switches_it_and_back(scene):
    weir = scene.proxy(scene.server(), listener={"maintenance": {"enabled": False, "allow": ["127.0.0.9"]}})
    client = scene.client(weir)
    for _ in range(2):
        for enabled, status in [(True, 503), (False, 200)]:
            response = switch(weir, enabled=enabled)
            assert response.status == 200, response.text
            outcome = json.loads(response.body)
            assert [item["name"] for item in outcome["listeners"]["changed"]] == ["web"]
            assert client.ask("GET", "/").status == status
            assert state(weir) == {("web", None): enabled}
    assert weir.get("/api/v1/config")["listeners"][0]["maintenance"]["allow"] == ["127.0.0.9/32"]
    eventually(lambda: [e["state"] for e in weir.events("maintenance")] == ["begun", "ended"] * 2, "each is said")
    told = [e["event"] for e in weir.get("/api/v1/events")["events"]]
    assert told.count("maintenance") == 4


def test_a_listener_that_says_nothing_of_it_can_be_switched_too(scene):
    weir = scene.proxy(scene.server())
    assert switch(weir, enabled=True, listener="web").status == 200
    assert scene.client(weir).ask("GET", "/").status == 503


def test_a_route_is_switched_by_its_name(scene):
    routes = [{"name": "a", "path": "/a", "pool": "web"}, {"path": "/b", "pool": "web"}]
    weir = scene.proxy(scene.server(), listener={"routes": routes})
    client = scene.client(weir)
    assert switch(weir, enabled=True, listener="web", route="web").status == 200
    assert [client.ask("GET", target).status for target in ("/a", "/b")] == [200, 503]
    assert switch(weir, enabled=True, listener="web", route="a").status == 200
    assert switch(weir, enabled=False, listener="web", route="web").status == 200
    assert [client.ask("GET", target).status for target in ("/a", "/b")] == [503, 200]


def test_the_command_does_it(scene):
    weir = scene.proxy(scene.server())
    assert command(weir).stdout.split() == ["web", "served"]
    done = command(weir, "on")
    assert done.returncode == 0 and "listener web: maintenance" in done.stdout, done.stdout + done.stderr
    assert scene.client(weir).ask("GET", "/").status == 503
    assert "out for maintenance" in command(weir).stdout
    assert command(weir, "off", "web", "--dry-run").returncode == 0
    assert scene.client(weir).ask("GET", "/").status == 503
    assert command(weir, "off", "web").returncode == 0
    assert scene.client(weir).ask("GET", "/").status == 200
    assert command(weir, "on", "nobody").returncode == 65
    assert command(weir, "on", "web", "none").returncode == 65
    assert command(weir, "up").returncode == 64


def test_it_outlives_the_process_where_generations_are_kept(scene):
    weir = scene.proxy(scene.server(), state=str(scene.directory / "state"))
    assert switch(weir, enabled=True).status == 200
    kept = weir.get("/api/v1/config/generations")["generations"]
    assert [entry["by"] for entry in kept] == ["api", "start"]
    weir.terminate()
    weir.wait_exit()
    again = scene.start_again(weir)
    assert scene.client(again).ask("GET", "/").status == 503
    assert switch(again, enabled=False).status == 200
    assert scene.client(again).ask("GET", "/").status == 200


@pytest.mark.parametrize("switches", [1, 2])
def test_an_edit_that_waits_to_be_read_outlives_the_switch(scene, switches):
    """It is no part of what was switched, and the next start does not take it for something that is known."""
    weir = scene.proxy(scene.server(), state=str(scene.directory / "state"))
    config = json.loads(json.dumps(weir.config))
    config["listeners"]["web"]["limits"] = {"body": "7B"}
    weir.write_file(config)
    for number in range(switches):
        assert switch(weir, enabled=number == 0).status == 200
    assert weir.get("/api/v1/config")["listeners"][0]["limits"]["body"] != "7"
    weir.terminate()
    weir.wait_exit()
    again = scene.start_again(weir)
    passed_over, = again.events("generation_passed_over")
    assert (passed_over["generation"], passed_over["by"]) == (str(1 + switches), "api")
    shown = again.get("/api/v1/config")["listeners"][0]
    assert shown["limits"]["body"] == "7" and scene.client(again).ask("GET", "/").status == 200


def test_a_switch_of_what_was_put_outlives_the_process_too(scene):
    weir = scene.proxy(scene.server(), state=str(scene.directory / "state"))
    config = json.loads(json.dumps(weir.config))
    config["listeners"]["web"]["limits"] = {"body": "7B"}
    assert weir.put_config(config).status == 200
    assert switch(weir, enabled=True).status == 200
    weir.terminate()
    weir.wait_exit()
    again = scene.start_again(weir)
    assert again.get("/api/v1/config")["listeners"][0]["limits"]["body"] == "7"
    assert scene.client(again).ask("GET", "/").status == 503


def test_what_was_put_is_what_is_changed(scene):
    weir = scene.proxy(scene.server(), state=str(scene.directory / "state"))
    config = json.loads(json.dumps(weir.config))
    config["listeners"]["web"]["limits"] = {"body": "7B"}
    assert weir.put_config(config).status == 200
    assert switch(weir, enabled=True).status == 200
    shown = weir.get("/api/v1/config")["listeners"][0]
    assert shown["limits"]["body"] == "7" and shown["maintenance"]["enabled"] is True


def test_edits_of_the_file_do_not_come_in_by_that(scene):
    weir = scene.proxy(scene.server())
    config = json.loads(json.dumps(weir.config))
    config["listeners"]["web"]["limits"] = {"body": "7B"}
    weir.write_file(config)
    response = switch(weir, enabled=True)
    assert response.status == 400 and "does not say what is in force" in response.text
    assert scene.client(weir).ask("GET", "/").status == 200
    assert weir.ask_admin("POST", "/api/v1/reload").status == 200
    assert switch(weir, enabled=True).status == 200
    assert scene.client(weir).ask("GET", "/").status == 503


def test_who_is_refused_a_switch_is_told_where_by_keys_alone(scene):
    """Lines of the configuration may have secrets in them."""
    page = scene.directory / "away.html"
    page.write_text("<p>away</p>")
    weir = scene.proxy(scene.server(), listener={"maintenance": {"enabled": False, "page": {"file": str(page)}}},
                       state=str(scene.directory / "state"))
    page.unlink()
    response = switch(weir, enabled=True)
    told = json.loads(response.body)
    fault, = told["errors"]
    assert response.status == 400 and fault["elsewhere"] == "/listeners/web/maintenance/page/file", response.text
    assert told["detail"] == f"the configuration's {fault['elsewhere']}: {fault['detail']}"
    assert scene.client(weir).ask("GET", "/").status == 200


def test_what_is_wrong_with_the_file_is_told_without_its_lines(scene):
    """Two keys of one name are a mistake of a line that has the token."""
    weir = scene.proxy(scene.server())
    with open(weir.path, "w", encoding="utf-8") as file:
        file.write('{"admin": {"token": "administer-0123456789", "token": "another-0123456789"}}')
    for response in (switch(weir, enabled=True), weir.ask_admin("PATCH", "/api/v1/config/pools/web", body={"idle_connections": 5})):
        assert response.status == 400 and "token" in response.text, response.text
        assert "0123456789" not in response.text


@pytest.mark.parametrize("body, status, fault", [
    ({"enabled": True, "listener": "none"}, 404, 'no HTTP listener'),
    ({"enabled": True, "listener": "web", "route": "none"}, 404, 'has no route'),
    ({"enabled": True, "route": "x"}, 400, "name its `listener` too"),
    ({"listener": "web"}, 400, "enabled"),
    ({"enabled": "yes"}, 400, "enabled"),
])
def test_mistakes_of_the_word_are_named(scene, body, status, fault):
    weir = scene.proxy(scene.server())
    response = switch(weir, **body)
    assert response.status == status and fault in response.text, response.text


@pytest.mark.parametrize("listener, fault", [
    ({"maintenance": {"enabled": True, "status": 200}}, "status"),
    ({"maintenance": {"allow": ["127.0.0.1"]}}, 'add "enabled"'),
    ({"maintenance": {"enabled": True, "page": {"file": "/nowhere/x.html"}}}, "cannot open"),
    ({"maintenance": True, "protocol": "tcp"}, "a tcp listener passes bytes"),
])
def test_mistakes_of_the_file_are_named(tmp_path, listener, fault):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:1", "pool": "web", **listener}},
                                "pools": {"web": {"servers": ["127.0.0.1:2"]}}}))
    done = run_command("check", str(path))
    assert done.returncode == 78 and fault in done.stderr, done.stderr
