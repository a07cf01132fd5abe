"""The admin API: its endpoints, its faults, who may use it, and changes that take effect at once."""
import base64
import contextlib
import json
import os
import re
import socket
import stat
import threading

import jsonschema
import pytest

import broken
import message
from client import Client
from waiting import eventually
from weir import listen_at_free_port, make_config, run_command

GETS = ["/", "/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/stats", "/api/v1/listeners",
        "/api/v1/routes", "/api/v1/pools", "/api/v1/pools/web", "/api/v1/pools/web/servers",
        "/api/v1/pools/web/servers/one", "/api/v1/exchanges"]


@pytest.fixture
def weir(scene):
    server = scene.server()
    weir = scene.proxy({"name": "one", "address": server.address, "weight": 2, "max_connections": 7},
                       {"name": "two", "address": scene.server().address})
    scene.client(weir).ask()
    weir.wait_records(1)
    return weir


def check_problem(response, status):
    assert response.status == status, response.text
    assert response.get("Content-Type") == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == status
    assert problem["title"]
    assert len(problem["detail"]) > 10
    return problem


# Endpoints


@pytest.mark.parametrize("path", GETS)
def test_every_endpoint_answers(weir, path):
    response = weir.ask_admin("GET", path)
    assert response.status == 200
    assert response.body
    assert response.get("Cache-Control") == "no-store"
    head = weir.ask_admin("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.get("Content-Type") == response.get("Content-Type")


def test_openapi_lists_every_path_and_is_correct(weir):
    document = weir.get("/api/v1/openapi.json")
    assert document["openapi"].startswith("3.")
    paths = document["paths"]
    for path in GETS:
        template = path.replace("/pools/web", "/pools/{pool}").replace("/servers/one", "/servers/{server}")
        assert "get" in paths[template], template
    assert "patch" in paths["/api/v1/pools/{pool}/servers/{server}"]
    assert "get" in paths["/api/v1/exchanges/{id}"]
    for path, operations in paths.items():
        named = set(re.findall(r"{(\w+)}", path))
        for operation in operations.values():
            declared = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert declared == named, path
    check_references(document, document)


def check_references(node, document):
    if isinstance(node, dict):
        if "$ref" in node:
            target = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
        for value in node.values():
            check_references(value, document)
    elif isinstance(node, list):
        for value in node:
            check_references(value, document)


@pytest.mark.parametrize("path", [path for path in GETS if path.startswith("/api/") and "openapi" not in path])
def test_answers_are_what_openapi_says(weir, path):
    document = weir.get("/api/v1/openapi.json")
    template = path.replace("/pools/web", "/pools/{pool}").replace("/servers/one", "/servers/{server}")
    content = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **content["schema"],
              "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(weir.get(path))


def test_a_pool_is_shown_as_it_is(weir):
    pool, = weir.get("/api/v1/pools")["pools"]
    assert pool["name"] == "web"
    one = weir.servers()["one"]
    assert one in pool["servers"]
    assert (one["weight"], one["max_connections"], one["admin"], one["state"]) == (2, 7, "enabled", "up")
    assert weir.get("/api/v1/pools/web/servers/one")["name"] == "one"
    listener, = weir.get("/api/v1/listeners")["listeners"]
    assert (listener["name"], listener["protocol"]) == ("web", "http")
    assert listener["bind"] == "%s:%d" % weir.address
    route, = weir.get("/api/v1/routes")["routes"]
    assert (route["listener"], route["pool"]) == ("web", "web")


def test_stats_count_what_is_live(scene, weir):
    live = weir.live()
    assert set(live) >= {"exchanges", "tunnels", "client_connections", "server_connections",
                         "idle_server_connections", "blocks", "timers"}
    assert (live["exchanges"], live["client_connections"], live["server_connections"]) == (0, 1, 1)
    memory = weir.stats()["memory"]
    assert 0 < memory["used"] < memory["limit"]


def test_one_connection_serves_many_requests(weir):
    client = Client(weir.admin_address)
    for path in GETS:
        client.send(message.request("GET", path, host="%s:%d" % weir.admin_address))
    for _ in GETS:
        assert client.read().status == 200
    client.close()


def test_a_server_name_is_percent_decoded(scene):
    weir = scene.proxy({"name": "a/b c", "address": scene.server().address})
    assert weir.get("/api/v1/pools/web/servers/a%2Fb%20c")["name"] == "a/b c"


# Faults


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/nonsense", 404), ("GET", "/api/v1/nonsense", 404), ("GET", "/api/v1/pools/nonsense", 404),
    ("GET", "/api/v1/pools/web/servers/nonsense", 404), ("PATCH", "/api/v1/pools/nonsense/servers/one", 404),
    ("GET", "/api/v1/pools/", 404), ("GET", "//api/v1/pools", 404), ("GET", "/api/v1/pools?x=1", 400),
    ("GET", "/api/v1/pools/%zz", 400), ("GET", "/api/v1/pools/%00", 400),
    ("POST", "/api/v1/pools", 405), ("DELETE", "/api/v1/pools/web/servers/one", 405), ("PATCH", "/healthz", 405),
    ("PUT", "/api/v1/stats", 405),
])
def test_faults_are_problems(weir, method, path, status):
    response = weir.ask_admin(method, path, body={"admin": "drain"} if method == "PATCH" else None)
    check_problem(response, status)
    if status == 405:
        assert "GET" in response.get("Allow")


def test_options_tells_the_methods(weir):
    response = weir.ask_admin("OPTIONS", "/api/v1/pools/web/servers/one")
    assert response.status in (200, 204)
    assert {"GET", "HEAD", "PATCH", "OPTIONS"} <= {method.strip() for method in response.get("Allow").split(",")}


@pytest.mark.parametrize("body, word", [
    (b"", ""), (b"nonsense", ""), (b"[]", ""), (b"{", ""), (b'{"admin": "drain"', ""), (b'{"admin": "drain"}}', ""),
    (b'{"admin": "darin"}', "drain"), (b'{"admn": "drain"}', "admin"), (b'{"admin": 1}', "admin"),
    (b'{"weight": 10001}', "weight"), (b'{"weight": -1}', "weight"), (b'{"weight": 1000000}', "weight"),
    (b'{"weight": "5"}', "weight"), (b'{"weight": 1.5}', "weight"), (b'{"weight": null}', "weight"),
    (b'{"address": "127.0.0.1:1"}', "address"), (b'{"state": "up"}', "state"), (b'{"weight": 1, "weight": 2}', "weight"),
    (b'{"admin": "drain",}', ""), (b"{'admin': 'drain'}", ""), (b'{"admin": "drain" /* */}', ""), (b"\xff\xfe", ""),
    (b"[" * 10000, ""), (b'{"admin": "' + b"x" * 100000 + b'"}', ""),
], ids=range(24))
def test_a_bad_change_is_refused_and_changes_nothing(weir, body, word):
    before = weir.servers()["one"]
    response = weir.ask_admin("PATCH", "/api/v1/pools/web/servers/one", ("Content-Type", "application/json"), body=body)
    assert response.status in (400, 413, 422)
    assert word in check_problem(response, response.status)["detail"]
    after = weir.servers()["one"]
    assert (after["admin"], after["weight"]) == (before["admin"], before["weight"])


def test_a_change_names_the_place_of_its_mistake(weir):
    response = weir.ask_admin("PATCH", "/api/v1/pools/web/servers/one", ("Content-Type", "application/json"),
                              body=b'{\n  "weight": "5"}')
    assert ":2:13" in check_problem(response, 400)["detail"]


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"x" * 70000,
                                  b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"])
def test_bad_http_is_refused_here_too(weir, data):
    client = Client(weir.admin_address)
    client.send(data)
    assert client.read().status in (400, 414, 431, 505)
    client.check_gone()
    client.close()
    assert weir.ask_admin("GET", "/healthz").status == 200


# Changes


def counts(scene, weir, number=40):
    client = scene.client(weir)
    before = {name: server["attempts"] for name, server in weir.servers().items()}
    for _ in range(number):
        assert client.ask().status == 200
    client.close()
    return {name: server["attempts"] - before[name] for name, server in weir.servers().items()}


@pytest.mark.parametrize("admin, state", [("drain", "draining"), ("maintenance", "maintenance")])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_is_taken_out_and_put_back_at_once(scene, admin, state, workers):
    weir = scene.proxy({"name": "one", "address": scene.server().address},
                       {"name": "two", "address": scene.server().address}, workers=workers)
    assert all(counts(scene, weir).values())
    weir.patch_server("web", "one", admin=admin)
    assert (weir.servers()["one"]["admin"], weir.servers()["one"]["state"]) == (admin, state)
    assert counts(scene, weir) == {"one": 0, "two": 40}
    weir.patch_server("web", "one", admin="enabled")
    assert weir.servers()["one"]["state"] == "up"
    assert all(counts(scene, weir).values())


def test_draining_lets_what_is_going_on_end(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.wait_end])
    weir = scene.proxy({"name": "one", "address": server.address})
    client = scene.client(weir)
    client.send(message.request())
    server.wait_requests(1)
    weir.patch_server("web", "one", admin="drain")
    go.set()
    assert client.read().status == 200
    weir.wait_live(server_connections=0)
    assert client.ask().status == 503
    assert weir.exchange(status=503)["end"] == "no_server"


def test_idle_connections_of_a_drained_server_are_closed(scene):
    server = scene.server()
    weir = scene.proxy({"name": "one", "address": server.address})
    scene.warm(weir, 3)
    weir.patch_server("web", "one", admin="drain")
    weir.wait_live(idle_server_connections=0, server_connections=0)


def test_a_weight_takes_effect_at_once(scene):
    weir = scene.proxy({"name": "one", "address": scene.server().address},
                       {"name": "two", "address": scene.server().address}, pool={"balance": "round_robin"})
    assert counts(scene, weir) == {"one": 20, "two": 20}
    response = weir.patch_server("web", "one", weight=3)
    if response.status == 200:
        assert json.loads(response.body)["weight"] == 3
    assert counts(scene, weir) == {"one": 30, "two": 10}
    weir.patch_server("web", "one", weight=1, admin="enabled")
    assert counts(scene, weir) == {"one": 20, "two": 20}


def test_a_change_is_logged(weir):
    weir.patch_server("web", "one", admin="drain")
    assert weir.wait_event("server_changed")["server"] == "one"


def test_many_changes_under_traffic_lose_nothing(scene):
    weir = scene.proxy(*[{"name": f"s{number}", "address": scene.server().address} for number in range(3)], workers=2)
    results = []

    def run():
        client = scene.client(weir)
        results.extend(client.ask().status for _ in range(300))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        weir.patch_server("web", f"s{number % 3}", admin="drain", weight=number + 1)
        weir.patch_server("web", f"s{number % 3}", admin="enabled")
    for thread in threads:
        thread.join()
    assert results == [200] * 900


# Who may use it


def test_a_token_is_asked_for(scene):
    weir = scene.proxy(scene.server(), admin={"bind": listen_at_free_port(), "token": "s3cret-token"})

    def ask(value, path="/api/v1/stats"):
        client = Client(weir.admin_address)
        client.send(message.request("GET", path, *([("Authorization", value)] if value else []), ("Connection", "close")))
        response = client.read()
        client.close()
        return response

    refused = ask(None)
    check_problem(refused, 401)
    assert "Bearer" in " ".join(refused.all("WWW-Authenticate"))
    assert ask("Bearer s3cret-token").status == 200
    assert ask("bearer s3cret-token").status == 200
    assert ask("Basic " + base64.b64encode(b"anyone:s3cret-token").decode()).status == 200
    for wrong in ("Bearer s3cret-toke", "Bearer s3cret-token2", "Bearer ", "Bearer", "s3cret-token", "Basic !!!",
                  "Basic " + base64.b64encode(b"s3cret-token:x").decode(), "Basic " + base64.b64encode(b"").decode(),
                  "Digest s3cret-token"):
        assert ask(wrong).status == 401, wrong
    assert ask(None, "/metrics").status == 401
    assert ask(None, "/healthz").status == 200  # a health check needs no secrets
    assert ask(None, "/readyz").status == 200


def test_the_token_is_shown_nowhere(scene):
    weir = scene.proxy(scene.server(), admin={"bind": listen_at_free_port(), "token": "s3cret-token"})
    for path in GETS:
        assert "s3cret" not in weir.ask_admin("GET", path.replace("/one", "/nothing")).text
    assert "s3cret" not in weir.log


@pytest.mark.parametrize("bind", ["0.0.0.0:9091", ":9091", "[::]:9091", "192.0.2.1:9091"])
def test_a_public_address_without_a_token_is_refused(tmp_path, bind):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(make_config(["127.0.0.1:1"], admin={"bind": bind})))
    for command in ("check", "run"):
        done = run_command(command, "-c", str(path))
        assert done.returncode == 78
        assert "token" in done.stderr


@pytest.mark.parametrize("host", ["evil.test", "evil.test:{port}", "127.0.0.1.evil.test:{port}", "127.0.0.1:1", ""])
def test_another_host_is_refused_without_a_token(weir, host):
    response = weir.ask_admin("GET", "/api/v1/stats", host=host.format(port=weir.admin_address[1]) or " ")
    assert response.status in (400, 403, 421)


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "LOCALHOST:{port}"])
def test_its_own_names_are_accepted(weir, host):
    assert weir.ask_admin("GET", "/api/v1/stats", host=host.format(port=weir.admin_address[1])).status == 200


def test_health_is_told_to_any_host(weir):
    assert weir.ask_admin("GET", "/healthz", host="10.1.2.3").status == 200


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "https://127.0.0.1.evil.test", "http://localhost:1",
                                    "http://127.0.0.1"])
@pytest.mark.parametrize("token", [None, "s3cret-token"])
def test_writes_of_a_foreign_origin_are_refused(scene, origin, token):
    admin = {"bind": listen_at_free_port(), **({"token": token} if token else {})}
    weir = scene.proxy({"name": "one", "address": scene.server().address}, admin=admin)
    response = weir.ask_admin("PATCH", "/api/v1/pools/web/servers/one", ("Origin", origin), body={"admin": "drain"})
    check_problem(response, 403)
    assert weir.servers()["one"]["admin"] == "enabled"


def test_writes_of_its_own_pages_are_accepted(weir):
    origin = "http://%s:%d" % weir.admin_address
    response = weir.ask_admin("PATCH", "/api/v1/pools/web/servers/one", ("Origin", origin), body={"weight": 4})
    assert response.status == 200
    assert weir.servers()["one"]["weight"] == 4


def test_nobody_is_invited_across_origins(weir):
    response = weir.ask_admin("GET", "/api/v1/stats", ("Origin", "http://evil.test"))
    assert not response.has("Access-Control-Allow-Origin")


def test_a_unix_socket_serves_it_as_well(scene, tmp_path):
    path = str(tmp_path / "admin.sock")
    weir = scene.weir(make_config([scene.server()], admin={"bind": f"unix:{path}"}))
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o007 == 0  # not for everybody
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        wire = message.Wire(sock)
        wire.send(message.request("GET", "/api/v1/pools", host="anything"))
        assert message.read_response(wire).status == 200
    weir.terminate()
    assert weir.wait_exit() == 0
    assert not os.path.exists(path)


def crowd_of_admin(scene, weir, number, data, *sources):
    """`number` connections from each of the addresses, each with these bytes; kept until the test ends."""
    clients = []
    for source in sources:
        for _ in range(number):
            clients.append(Client(weir.admin_address, source=source))
            clients[-1].send(data)
    scene.clients += clients
    return clients


def ask_from(weir, source, path):
    client = Client(weir.admin_address, source=source)
    try:
        return client.ask("GET", path, host="%s:%d" % weir.admin_address)
    finally:
        client.close()


def test_clients_that_send_one_byte_each_lock_nobody_out(scene, weir):
    crowd_of_admin(scene, weir, 130, b"G", "127.0.0.2", "127.0.0.3", "127.0.0.4")
    assert ask_from(weir, "127.0.0.5", "/healthz").status == 200
    assert ask_from(weir, "127.0.0.4", "/api/v1/stats").status == 200
    assert weir.ask_admin("PATCH", "/api/v1/pools/web/servers/one", body={"weight": 2}).status == 200


def test_one_address_alone_leaves_room_for_the_others(scene, weir):
    half = message.request("POST", "/api/v1/explain", ("Content-Type", "application/json"), ("Content-Length", "10"),
                           host="%s:%d" % weir.admin_address)
    crowd_of_admin(scene, weir, 200, half, "127.0.0.2")
    assert ask_from(weir, "127.0.0.3", "/api/v1/stats").status == 200


def test_health_is_told_when_all_connections_are_in_the_midst_of_a_call(scene, weir):
    half = message.request("POST", "/api/v1/explain", ("Content-Type", "application/json"), ("Content-Length", "10"),
                           host="%s:%d" % weir.admin_address)
    crowd_of_admin(scene, weir, 128, half, "127.0.0.2", "127.0.0.3")
    crowd_of_admin(scene, weir, 40, b"G", "127.0.0.4")
    assert ask_from(weir, "127.0.0.5", "/healthz").status == 200
    assert ask_from(weir, "127.0.0.2", "/readyz").status == 200
    response = ask_from(weir, "127.0.0.5", "/api/v1/stats")
    check_problem(response, 503)
    assert "only health checks" in json.loads(response.body)["detail"]


@pytest.mark.parametrize("path", ["/debug/pprof/profile?seconds=600", "/debug/pprof/heap", "/debug/trace", "/debug/flame"])
@pytest.mark.parametrize("mode, dest", [("no-cors", "image"), ("navigate", "document"), ("navigate", "iframe")])
def test_pages_of_other_sites_start_nothing(weir, path, mode, dest):
    fields = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest))
    check_problem(weir.ask_admin("GET", path, *fields), 403)


def test_a_link_on_another_site_may_lead_to_what_is_only_looked_at(weir):
    fields = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
    assert weir.ask_admin("GET", "/api/v1/pools", *fields).status == 200
    check_problem(weir.ask_admin("GET", "/api/v1/pools", fields[0]), 403)


def threads_of(weir):
    names = []
    for thread in os.listdir(f"/proc/{weir.pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{weir.pid}/task/{thread}/comm") as file:
            names.append(file.read().strip())
    return names


@pytest.mark.parametrize("path", ["/debug/pprof/goroutine?seconds=300", "/debug/pprof/allocs?seconds=300",
                                  "/debug/pprof/profile?seconds=300", "/debug/pprof/wall?seconds=300",
                                  "/debug/trace?seconds=60"])
def test_a_stop_ends_what_is_asked_and_waits(scene, weir, path):
    asking = Client(weir.admin_address)
    asking.send(message.request("GET", path, host="%s:%d" % weir.admin_address))
    scene.clients.append(asking)
    if "profile" in path or "wall" in path:
        eventually(lambda: "weir-perf" in threads_of(weir), "the sampler's thread")
    elif "trace" not in path:
        eventually(lambda: "weir-jobs" in threads_of(weir), "the jobs' thread")
    assert weir.ask_admin("GET", "/healthz").status == 200  # behind it: the question has been taken
    weir.terminate()
    assert weir.wait_exit() == 0


def test_a_profile_ends_when_its_client_has_gone(weir):
    asking = Client(weir.admin_address)
    asking.send(message.request("GET", "/debug/pprof/profile?seconds=600", host="%s:%d" % weir.admin_address))
    eventually(lambda: "weir-perf" in threads_of(weir), "the sampler's thread")
    asking.close()
    eventually(lambda: "weir-perf" not in threads_of(weir), "the end of sampling")


def test_a_trace_ends_when_its_client_has_gone(weir):
    asking = Client(weir.admin_address)
    host = "%s:%d" % weir.admin_address
    asking.send(message.request("GET", "/debug/trace?seconds=60", host=host))
    eventually(lambda: weir.ask_admin("GET", "/debug/trace?seconds=0.001").status == 409, "the trace being taken")
    asking.close()
    eventually(lambda: weir.ask_admin("GET", "/debug/trace?seconds=0.001").status == 200, "another being possible")
