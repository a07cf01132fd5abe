"""Objects of the configuration, each written by itself: every verb of every kind, what is refused and how, and that an edit holds."""
import json
import os
import re
import subprocess

import pytest

import broken
import message
from client import Client
from tls import Pki
from weir import listen_at_free_port

POOLS = "/api/v1/config/pools"
MANUAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "api.md")


def serve(scene, name):
    return scene.server([broken.serve(lambda request: message.response(200, ("Server-Name", name)))]).address


def ask(weir, method, path, body=None, *fields, status=200):
    response = weir.ask_admin(method, path, *fields, body=body)
    assert response.status == status, f"{method} {path}: {response.status} {response.text}"
    return response


def who_answers(weir, path="/"):
    client = Client(weir.address)
    try:
        return client.ask("GET", path).get("Server-Name")
    finally:
        client.close()


@pytest.fixture
def weir(scene, tmp_path):
    one = serve(scene, "one")
    return scene.proxy({"name": "one", "address": one}, pools={"other": {"servers": [{"name": "two", "address": serve(scene, "two")}]}},
                       listener={"bind": listen_at_free_port(), "routes": [{"name": "rest", "pool": "web"}]}, state=str(tmp_path / "state"))


def config(weir):
    return weir.get("/api/v1/config")


def servers(weir, pool):
    return [server["name"] for server in weir.get(f"/api/v1/pools/{pool}/servers")["servers"]]


def test_a_pool_comes_changes_and_goes(weir):
    made = ask(weir, "POST", POOLS, {"name": "a/b c", "servers": ["127.0.0.1:1"]}, status=201)
    assert made.get("Location") == POOLS + "/a%2Fb%20c"
    assert json.loads(made.body)["pools"]["added"][0]["name"] == "a/b c"
    assert made.get("ETag") == ask(weir, "GET", "/api/v1/config").get("ETag")
    taken = ask(weir, "POST", POOLS, {"name": "a/b c", "servers": ["127.0.0.1:1"]}, status=409)
    assert "already" in json.loads(taken.body)["detail"]
    where = made.get("Location")
    ask(weir, "PATCH", where, {"idle_connections": 7, "timeouts": {"connect": "2s"}}, ("Content-Type", "application/merge-patch+json"))
    assert config(weir)["pools"]["a/b c"]["idle_connections"] == 7
    ask(weir, "PATCH", where, {"idle_connections": None})
    assert config(weir)["pools"]["a/b c"]["idle_connections"] == 256
    assert config(weir)["pools"]["a/b c"]["timeouts"]["connect"] == "2s"
    assert ask(weir, "PUT", where, {"servers": ["127.0.0.1:2", "127.0.0.1:3"]}).get("Location") is None
    assert servers(weir, "a%2Fb%20c") == ["127.0.0.1:2", "127.0.0.1:3"]
    ask(weir, "DELETE", where)
    ask(weir, "DELETE", where, status=404)
    ask(weir, "PATCH", where, {"idle_connections": 7}, status=404)
    assert ask(weir, "PUT", where, {"servers": ["127.0.0.1:2"]}, status=201).get("Location") == where


def test_traffic_follows_an_edit_of_servers(scene, weir):
    servers_of_web = POOLS + "/web/servers"
    three = serve(scene, "three")
    assert who_answers(weir) == "one"
    made = ask(weir, "POST", servers_of_web, {"name": "three", "address": three}, status=201)
    assert made.get("Location") == servers_of_web + "/three"
    assert servers(weir, "web") == ["one", "three"]
    ask(weir, "DELETE", servers_of_web + "/one")
    assert {who_answers(weir) for _ in range(8)} == {"three"}
    ask(weir, "PUT", servers_of_web + "/three", {"address": serve(scene, "four")})
    assert {who_answers(weir) for _ in range(8)} == {"four"}
    ask(weir, "PATCH", servers_of_web + "/three", {"weight": 3})
    assert weir.servers()["three"]["weight"] == 3
    unnamed = ask(weir, "POST", servers_of_web, json.dumps(three).encode(), status=201).get("Location")
    ask(weir, "PATCH", unnamed, {"weight": 2})
    assert servers(weir, "web") == ["three", three]


def test_what_the_operator_says_of_a_server_is_no_edit(weir):
    before = config(weir), ask(weir, "GET", "/api/v1/config").get("ETag")
    weir.patch_server("web", "one", weight=5)
    assert (config(weir), ask(weir, "GET", "/api/v1/config").get("ETag")) == before


def test_routes_and_listeners(weir):
    listener, = config(weir)["listeners"]
    name = listener["name"] if isinstance(listener, dict) else listener
    routes = f"/api/v1/config/listeners/{name}/routes"
    made = ask(weir, "POST", routes, {"name": "b", "path_prefix": "/b", "pool": "other"}, status=201)
    assert made.get("Location") == routes + "/b"
    assert (who_answers(weir, "/b"), who_answers(weir, "/")) == ("two", "one")
    ask(weir, "PATCH", routes + "/b", {"path_prefix": "/c"})
    assert (who_answers(weir, "/b"), who_answers(weir, "/c")) == ("one", "two")
    ask(weir, "PUT", routes + "/b", {"path_prefix": "/d", "pool": "other"})
    assert who_answers(weir, "/d") == "two"
    ask(weir, "DELETE", routes + "/b")
    assert who_answers(weir, "/d") == "one"
    more = ask(weir, "POST", "/api/v1/config/listeners", {"name": "more", "bind": listen_at_free_port(), "pool": "other"}, status=201)
    ask(weir, "PATCH", more.get("Location"), {"maintenance": True})
    ask(weir, "PUT", more.get("Location"), {"bind": listen_at_free_port(), "pool": "web"})
    ask(weir, "DELETE", more.get("Location"))
    ask(weir, "DELETE", f"/api/v1/config/listeners/{name}", status=400)


def test_splits(weir):
    variants = {"old": {"pool": "web", "weight": 90}, "new": {"pool": "other", "weight": 10}}
    where = ask(weir, "POST", "/api/v1/config/splits", {"name": "s", "unit": "client", "variants": variants}, status=201).get("Location")
    ask(weir, "PATCH", where, {"variants": {"new": {"weight": 50}, "old": {"weight": 50}}})
    assert {v["name"]: v["weight"] for v in weir.get("/api/v1/splits")["splits"][0]["variants"]} == {"old": 50, "new": 50}
    ask(weir, "PUT", where, {"unit": "client", "variants": variants})
    refused = ask(weir, "DELETE", POOLS + "/other", status=400)
    assert "other" in json.loads(refused.body)["detail"]
    ask(weir, "DELETE", where)
    ask(weir, "DELETE", POOLS + "/other")


def test_lists_of_the_gate(weir):
    gate = "/api/v1/config/gate"
    ask(weir, "DELETE", gate, status=404)
    made = ask(weir, "POST", gate + "/deny", b'"192.0.2.0/24"', status=201)
    assert made.get("Location") == gate + "/deny/192.0.2.0%2F24"
    assert weir.get(made.get("Location")) == "192.0.2.0/24"
    assert ask(weir, "GET", made.get("Location")).get("ETag") == made.get("ETag")
    for absent in ("/deny/192.0.3.0%2F24", "/deny/192.0.2.0", "/allow/192.0.2.0%2F24", "/deny/x"):
        said = ask(weir, "GET", gate + absent, status=404)
        assert said.get("Content-Type") == "application/problem+json" and "says nothing of" in json.loads(said.body)["detail"]
    ask(weir, "POST", gate + "/deny", b'"192.0.2.0/24"', status=409)
    ask(weir, "POST", gate + "/allow", b'"127.0.0.0/8"', status=201)
    ask(weir, "POST", gate + "/deny", b'"all of them"', status=400)
    assert config(weir)["gate"]["deny"] == ["192.0.2.0/24"]
    ask(weir, "PATCH", gate, {"connections": 1000})
    ask(weir, "DELETE", made.get("Location"))
    ask(weir, "DELETE", made.get("Location"), status=404)
    ask(weir, "PUT", gate, {"deny": ["198.51.100.0/24"]})
    assert config(weir)["gate"]["deny"] == ["198.51.100.0/24"] and config(weir)["gate"]["connections"] == 0
    ask(weir, "DELETE", gate)
    assert who_answers(weir) == "one"


def test_every_object_is_read_as_it_is_written(weir):
    whole = config(weir)
    etag = ask(weir, "GET", "/api/v1/config").get("ETag")
    web = ask(weir, "GET", POOLS + "/web")
    assert json.loads(web.body) == {"name": "web", **whole["pools"]["web"]} and web.get("ETag") == etag
    assert weir.get(POOLS) == whole["pools"]
    assert weir.get(POOLS + "/web/servers") == whole["pools"]["web"]["servers"]
    one = weir.get(POOLS + "/web/servers/one")
    assert one == whole["pools"]["web"]["servers"][0]
    listeners = weir.get("/api/v1/config/listeners")
    name = listeners[0]["name"]
    assert weir.get(f"/api/v1/config/listeners/{name}") == listeners[0]
    assert weir.get(f"/api/v1/config/listeners/{name}/routes/rest") == listeners[0]["routes"][0]
    ask(weir, "PUT", POOLS + "/web/servers/one", {**one, "weight": 4})
    assert weir.get(POOLS + "/web/servers/one") == {**one, "weight": 4}
    for path in ("/pools/none", "/pools/web/servers/none", "/gate", "/gate/deny", "/logs", "/logs/rules", "/splits/none",
                 f"/listeners/{name}/routes/none", f"/listeners/{name}/tls/certificates"):
        said = ask(weir, "GET", "/api/v1/config" + path, status=404)
        assert said.get("Content-Type") == "application/problem+json" and "says nothing of" in json.loads(said.body)["detail"]
    assert ask(weir, "GET", POOLS + "/" + "x" * 9000, status=404)


def test_secrets_are_shown_to_nobody(scene):
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")}, pools={"web": {
        "servers": ["127.0.0.1:1"], "sticky": {"cookie": "c", "secrets": ["a-secret-of-32-bytes-or-even-more"]}}})
    shown = ask(weir, "GET", POOLS + "/web").body
    assert json.loads(shown)["sticky"]["secrets"] == "***" and b"a-secret" not in shown


def test_logs_and_their_rules(scene, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("")
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")}, state=str(tmp_path / "state"))
    logs = "/api/v1/config/logs"
    dry = ask(weir, "POST", logs + "/sources?dry_run=true", {"name": "edge", "path": str(log)})
    assert json.loads(dry.body)["sources"]["added"][0]["name"] == "edge" and "logs" not in config(weir)
    made = ask(weir, "POST", logs + "/sources", {"name": "edge", "path": str(log)}, status=201)
    assert made.get("Location") == logs + "/sources/edge"
    assert json.loads(made.body)["needs_restart"] == []
    ask(weir, "POST", logs + "/sources", {"name": "edge", "path": str(log)}, status=409)
    ask(weir, "PATCH", logs + "/sources/edge", {"from": "end"})
    assert weir.get(logs + "/sources")["edge"]["from"] == "end"
    condition = "rate(status==401) by client > 30/m"
    rule = ask(weir, "POST", logs + "/rules", {"name": "guessing", "when": condition}, status=201)
    ask(weir, "PATCH", rule.get("Location"), {"dry": False, "do": {"for": "5m"}}, ("If-Match", rule.get("ETag")))
    ask(weir, "PATCH", rule.get("Location"), {"dry": True}, ("If-Match", rule.get("ETag")), status=412)
    shown = weir.get(rule.get("Location"))
    assert (shown["dry"], shown["do"]["for"], shown["when"]) == (False, "5m", condition)
    unnamed = ask(weir, "POST", logs + "/rules", {"when": "rate(status==403) by client > 9/m"}, status=201).get("Location")
    assert weir.get(unnamed)["when"] == "rate(status==403) by client > 9/m" and len(weir.get(logs + "/rules")) == 2
    wrong = ask(weir, "PUT", rule.get("Location"), {"when": "rate(nothing) by client > 30/m"}, status=400)
    assert json.loads(wrong.body)["errors"][0]["pointer"] == "#/when"
    used = ask(weir, "PATCH", rule.get("Location"), {"source": "other"}, status=400)
    assert "other" in json.loads(used.body)["detail"]
    last = ask(weir, "DELETE", logs + "/sources/edge", status=400)
    assert "must have" in json.loads(last.body)["detail"]
    ask(weir, "DELETE", unnamed)
    trail = weir.get("/api/v1/audit/trail?limit=1")["entries"][0]
    assert trail["what"].startswith("DELETE " + logs + "/rules/") and trail["outcome"] == "done"
    assert [source["name"] for source in weir.get("/api/v1/logs")["sources"]] == ["edge"]
    weir.kill_unchecked()
    again = scene.start_again(weir)
    assert [source["name"] for source in again.get("/api/v1/logs")["sources"]] == ["edge"]
    assert [rule["name"] for rule in again.get("/api/v1/rules")["rules"]] == ["guessing"]
    ask(again, "DELETE", logs)
    ask(again, "GET", logs, status=404)


def test_certificates_of_a_listener_by_the_paths_of_their_files(scene, tmp_path):
    pki = Pki(tmp_path)
    one, two, three = (pki.make(name, f"{name}.example") for name in ("one", "two", "three"))
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")}, state=str(tmp_path / "state"),
                       listener={"bind": listen_at_free_port(), "tls": {"certificates": [one]}})
    at = f"/api/v1/config/listeners/{config(weir)['listeners'][0]['name']}/tls/certificates"
    made = ask(weir, "POST", at, two, status=201)
    assert made.get("Location") == at + "/" + two["cert"].replace("/", "%2F")
    assert [c["cert"] for c in weir.get(at)] == [one["cert"], two["cert"]]
    assert weir.get(made.get("Location"))["key"] == two["key"]
    client = scene.client(weir, context=pki.context(), name="two.example")
    assert client.sock.tls.getpeercert()["serialNumber"] == pki.serial("two")
    ask(weir, "POST", at, two, status=409)
    gone = ask(weir, "POST", at, {"cert": str(tmp_path / "none.pem"), "key": two["key"]}, status=400)
    assert "none.pem" in json.loads(gone.body)["detail"]
    other = ask(weir, "PUT", made.get("Location"), three, status=400)
    assert "by its `cert`" in json.loads(other.body)["detail"]
    ask(weir, "PATCH", made.get("Location"), {"key": three["key"]}, status=400)
    ask(weir, "POST", at, {"key": two["key"]}, status=400)
    ask(weir, "DELETE", made.get("Location"))
    assert [c["cert"] for c in weir.get(at)] == [one["cert"]]
    assert b"PRIVATE" not in ask(weir, "GET", at).body


def test_a_dry_run_of_a_server_says_who_would_have_its_traffic(scene):
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")}, {"name": "two", "address": serve(scene, "two"), "weight": 3})
    where = "/api/v1/pools/web/servers/two"
    said = json.loads(ask(weir, "PATCH", where + "?dry_run=true", {"admin": "drain"}).body)
    assert said["dry_run"] and not said["is_same"] and said["available"] == 1 and not said["panic"]
    assert said["changed"] == [{"key": "admin", "before": "enabled", "after": "drain"}]
    assert said["shares"] == [{"server": "one", "before": 25, "after": 100}, {"server": "two", "before": 75, "after": 0}]
    said = json.loads(ask(weir, "PATCH", where + "?dry_run=true", {"weight": 1}).body)
    assert said["changed"] == [{"key": "weight", "before": "3", "after": "1"}] and said["shares"][0]["after"] == 50
    assert json.loads(ask(weir, "PATCH", where + "?dry_run=true", {"weight": 3}).body)["is_same"]
    both = json.loads(ask(weir, "PATCH", "/api/v1/pools/web/servers/one?dry_run=true", {"admin": "maintenance", "weight": 0}).body)
    assert {key["key"] for key in both["changed"]} == {"admin", "weight"} and both["available"] == 1
    ask(weir, "PATCH", where + "?dry_run=maybe", {"weight": 1}, status=400)
    ask(weir, "PATCH", where + "?dry_run=true", {"wieght": 1}, status=400)
    assert {s["name"]: (s["admin"], s["weight"]) for s in weir.get("/api/v1/pools/web/servers")["servers"]} == {
        "one": ("enabled", 1), "two": ("enabled", 3)}
    assert not weir.get("/api/v1/events?name=server_changed")["events"]
    ask(weir, "PATCH", where + "?dry_run=false", {"admin": "drain"})
    assert weir.servers()["two"]["admin"] == "drain"


def test_what_is_wrong_is_said_by_the_key_that_was_sent(weir):
    before = config(weir)

    def errors(method, path, body):
        response = ask(weir, method, path, body, status=400)
        assert response.get("Content-Type") == "application/problem+json"
        said = json.loads(response.body)
        assert (said["type"], said["title"], said["status"]) == ("about:blank", "Bad Request", 400)
        return said["errors"]

    error, = errors("PUT", POOLS + "/new", {"servers": [{"address": "127.0.0.1:1", "wieght": 3}]})
    assert error["pointer"] == "#/servers/0/wieght" and "weight" in error["remedy"] + error["detail"]
    error, = errors("PATCH", POOLS + "/web", {"idle_connections": -1})
    assert error["pointer"] == "#/idle_connections"
    error, = errors("PUT", POOLS + "/new", {})
    assert error["pointer"] == "#"
    error, = errors("DELETE", POOLS + "/web", None)
    assert error["elsewhere"].startswith("/listeners/") and "web" in error["detail"]
    assert config(weir) == before


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"3", b"true", b'"x"', b'{"name": 3}', b'{"name": null, "servers": []}',
                                  b'{"name": "", "servers": []}', b'{"a": 1, "a": 2}', b"[" * 10000, b"\xff\xfe", b'{"name": "x", "verb": "remove"}',
                                  b'{"name": "x", "servers": ["127.0.0.1:1"]}, "verb": "remove", "x": {}', b'{"name": "x\\u0000y", "servers": []}'])
def test_hostile_bodies_change_nothing(weir, body):
    before = config(weir), ask(weir, "GET", "/api/v1/config").get("ETag")
    for method, path in (("POST", POOLS), ("PUT", POOLS + "/web"), ("PATCH", POOLS + "/web"), ("POST", POOLS + "/web/servers")):
        response = weir.ask_admin(method, path, ("Content-Type", "application/json"), body=body)
        assert response.status == 400, f"{method} {path} {body[:50]}: {response.status} {response.text}"
        assert response.get("Content-Type") == "application/problem+json"
    assert (config(weir), ask(weir, "GET", "/api/v1/config").get("ETag")) == before


def test_too_large_a_body_and_another_name(weir):
    assert weir.ask_admin("PUT", POOLS + "/x", body=b" " * (1 << 20) + b"{}").status == 413
    said = ask(weir, "PUT", POOLS + "/x", {"name": "y", "servers": ["127.0.0.1:1"]}, status=400)
    assert "path" in json.loads(said.body)["detail"]
    ask(weir, "PUT", POOLS + "/x", {"name": "x", "servers": ["127.0.0.1:1"]}, status=201)
    ask(weir, "PUT", POOLS + "/nowhere/servers/x", {"address": "127.0.0.1:1"}, status=404)


def test_of_two_edits_with_one_etag_the_second_fails(weir):
    etag = ask(weir, "GET", "/api/v1/config").get("ETag")
    ask(weir, "PATCH", POOLS + "/web", {"idle_connections": 5}, ("If-Match", etag))
    ask(weir, "PATCH", POOLS + "/web", {"idle_connections": 6}, ("If-Match", etag), status=412)
    ask(weir, "DELETE", POOLS + "/other", None, ("If-Match", etag), status=412)
    assert config(weir)["pools"]["web"]["idle_connections"] == 5


def test_a_dry_run_says_what_would_change(weir):
    before = config(weir), ask(weir, "GET", "/api/v1/config").get("ETag")
    for method, path, body in (("POST", POOLS, {"name": "x", "servers": ["127.0.0.1:1"]}), ("PUT", POOLS + "/x", {"servers": ["127.0.0.1:1"]}),
                               ("PATCH", POOLS + "/web", {"idle_connections": 9}), ("DELETE", POOLS + "/other", None)):
        response = ask(weir, method, path + "?dry_run=true", body)
        said = json.loads(response.body)
        assert said["dry_run"] and not said["is_same"] and response.get("Location") is None
    assert said["pools"]["removed"][0]["name"] == "other"
    assert (config(weir), ask(weir, "GET", "/api/v1/config").get("ETag")) == before


def test_an_edit_survives_kill(scene, weir):
    ask(weir, "POST", POOLS + "/web/servers", {"name": "three", "address": serve(scene, "three")}, status=201)
    ask(weir, "DELETE", POOLS + "/web/servers/one")
    weir.kill_unchecked()
    again = scene.start_again(weir)
    assert servers(again, "web") == ["three"] and who_answers(again) == "three"


def test_edits_without_a_folder_build_on_each_other(scene):
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")})
    ask(weir, "POST", POOLS, {"name": "x", "servers": ["127.0.0.1:1"]}, status=201)
    ask(weir, "POST", POOLS + "/x/servers", {"name": "two", "address": "127.0.0.1:2"}, status=201)
    ask(weir, "PATCH", POOLS + "/x", {"idle_connections": 5})
    ask(weir, "PATCH", POOLS + "/x", {"max_requests": 50})
    pool = config(weir)["pools"]["x"]
    assert (len(pool["servers"]), pool["idle_connections"], pool["max_requests"]) == (2, 5, 50)
    assert servers(weir, "x") == ["127.0.0.1:1", "two"]


def test_without_a_folder_the_file_must_say_what_is_in_force(scene):
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")})
    weir.write_file({**weir.config, "workers": 1, "gate": {"deny": ["192.0.2.0/24"]}})
    refused = ask(weir, "PATCH", POOLS + "/web", {"idle_connections": 5}, status=400)
    assert "does not say what is in force" in json.loads(refused.body)["detail"]
    assert config(weir)["pools"]["web"]["idle_connections"] == 256


def test_without_a_folder_changes_have_a_bound_until_the_file_is_read_again(scene):
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")})
    for number in range(1, 65):
        ask(weir, "PATCH", POOLS + "/web", {"idle_connections": number})
    refused = ask(weir, "PATCH", POOLS + "/web", {"idle_connections": 65}, status=409)
    assert "64 changes of the file" in json.loads(refused.body)["detail"]
    assert config(weir)["pools"]["web"]["idle_connections"] == 64
    ask(weir, "POST", "/api/v1/reload")
    ask(weir, "PATCH", POOLS + "/web", {"idle_connections": 65})
    assert config(weir)["pools"]["web"]["idle_connections"] == 65


def test_a_switch_after_an_edit_is_no_part_of_it(scene):
    page = scene.directory / "away.html"
    page.write_text("<p>away</p>")
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")},
                       listener={"maintenance": {"enabled": False, "page": {"file": str(page)}}})
    ask(weir, "PATCH", "/api/v1/config/listeners/web", {"limits": {"body": "1MiB"}})
    page.unlink()
    refused = ask(weir, "PATCH", "/api/v1/maintenance", {"enabled": True}, status=400)
    assert [error["elsewhere"] for error in json.loads(refused.body)["errors"]] == ["/listeners/web/maintenance/page/file"]


def test_who_may_only_operate_edits_nothing(scene):
    weir = scene.proxy({"name": "one", "address": serve(scene, "one")},
                       admin={"bind": listen_at_free_port(), "token": "administer-0123456789",
                              "tokens": [{"name": "o", "role": "operate", "token": "operate-it-0123456789"}]})
    operate = ("Authorization", "Bearer operate-it-0123456789")
    for method, path, body in (("PATCH", "/web", {"idle_connections": 5}), ("PUT", "/web", {"servers": []}), ("DELETE", "/web", None),
                               ("POST", "", {"name": "x", "servers": []})):
        ask(weir, method, POOLS + path, body, operate, status=403)
    ask(weir, "PATCH", POOLS + "/web", {"idle_connections": 5})
    assert config(weir)["pools"]["web"]["idle_connections"] == 5


def test_the_manuals_examples_work(weir):
    with open(MANUAL, encoding="utf-8") as file:
        section = file.read().split("## Changing one object\n")[1]
    lines = re.search(r"```sh\n(.*?)```", section, re.S)[1].replace("127.0.0.1:9091", "%s:%d" % weir.admin_address).splitlines()
    before = config(weir)
    for line in lines[1:]:
        done = subprocess.run(["bash", "-c", lines[0] + "\n" + line.replace("curl ", "curl -sS --fail-with-body ", 1)],
                              capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stdout} {done.stderr}"
    assert {**config(weir), "gate": None} == {**before, "gate": None} and len(lines) == 12
