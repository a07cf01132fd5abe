"""What a route makes of a request, and where it sends it: rewriting, header rules, redirects, splits, mirrors, pins, sticky
sessions, egress, tiers and hash tables. Servers answer with their name and what they were sent."""
import collections
import json
import socket

import pytest

import broken
import message
from dns import AAAA, A, NameServer
from waiting import LIMIT_S, eventually


def echo(scene, name):
    """A server that answers with its name and the request as it came."""
    def answer(request):
        body = json.dumps({"server": name, "method": request.method, "target": request.target,
                           "fields": request.fields, "body": request.body.decode()})
        return message.response(body=body.encode())
    return scene.server([broken.serve(answer)])


def ask(client, target="/", *fields, method="GET", **options):
    response = client.ask(method, target, *fields, **options)
    assert response.status == 200, (response.status, response.text)
    seen = json.loads(response.body)
    seen["response"] = response
    return seen


def fields_of(seen, name):
    return [value for known, value in seen["fields"] if known.lower() == name.lower()]


def proxy(scene, routes, pools=("web",), top=None, pool_options=None, **listener):
    """pools: names; each has one echoing server of that name, or those that pool_options gives it."""
    made = {}
    for name in pools:
        options = dict((pool_options or {}).get(name, {}))
        if "servers" not in options:
            options["servers"] = [{"name": name, "address": echo(scene, name).address}]
        made[name] = options
    return scene.proxy(scene.server(), listener={"routes": routes, **listener}, pools=made, **(top or {}))


# rewriting and header rules


@pytest.mark.parametrize("rewrite, target, becomes", [
    ({"strip_prefix": "/v1"}, "/v1/x?q=1", "/x?q=1"),
    ({"strip_prefix": "/v1"}, "/v2/x", "/v2/x"),
    ({"add_prefix": "/api"}, "/x", "/api/x"),
    ({"regex": "^/u/([0-9]+)", "to": "/users/$1"}, "/u/17/y?z", "/users/17/y?z"),
])
def test_the_server_sees_the_rewritten_target_and_the_record_the_other(scene, rewrite, target, becomes):
    weir = proxy(scene, [{"name": "r", "pool": "web", "rewrite": rewrite}])
    seen = ask(scene.client(weir), target)
    assert seen["target"] == becomes
    assert weir.exchange()["target"] == target


def test_header_rules_work_on_both_sides(scene):
    rules = {"set": {"X-Client": "{client} {arg:q} {header:X-In}", "X-Twice": "one"}, "add": {"X-More": "b"},
             "remove": ["X-Secret"]}
    weir = proxy(scene, [{"name": "r", "pool": "web", "request_headers": rules,
                          "response_headers": {"set": {"X-Frame-Options": "DENY"}, "add": {"Vary": "X"},
                                               "remove": ["content-type"]}}])
    seen = ask(scene.client(weir), "/?q=7", ("X-In", "in"), ("X-Secret", "s"), ("x-twice", "a"), ("X-Twice", "b"),
               ("X-More", "a"))
    assert fields_of(seen, "x-client") == ["127.0.0.1 7 in"]
    assert fields_of(seen, "x-twice") == ["one"]
    assert fields_of(seen, "x-more") == ["a", "b"]
    assert fields_of(seen, "x-secret") == []
    assert seen["response"].get("X-Frame-Options") == "DENY" and seen["response"].get("Vary") == "X"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_made_from_the_request(scene, status):
    weir = proxy(scene, [{"name": "r", "redirect": {"to": "https://{host}/new{target}", "status": status},
                          "response_headers": {"set": {"X-Why": "moved"}}}])
    response = scene.client(weir).ask("GET", "/old?q=1", host="Example.com:8080")
    assert response.status == status and response.get("Location") == "https://example.com/new/old?q=1"
    assert response.get("X-Why") == "moved" and response.body == b""
    record = weir.exchange()
    assert record["status"] == status and record["end"] == "ok" and record["is_local_reply"]


def test_fixed_answers(scene):
    weir = proxy(scene, [{"name": "ping", "path": "/ping", "respond": "pong\n"},
                         {"name": "none", "path": "/none", "respond": {"status": 204}},
                         {"name": "down", "respond": {"status": 503, "body": "{}", "content_type": "application/json"}}])
    client = scene.client(weir)
    assert client.ask("GET", "/ping").body == b"pong\n"
    client.send(message.request("HEAD", "/ping"))
    head = client.read("HEAD")
    assert head.status == 200 and head.get("Content-Length") == "5"
    empty = client.ask("GET", "/none")
    assert empty.status == 204 and empty.get("Content-Length") is None
    assert client.ask("POST", "/else", body=b"x" * 1000).get("Content-Type") == "application/json"


def test_routes_go_by_method_header_query_and_expression(scene):
    routes = [{"name": "rest", "pool": "rest"},
              {"name": "get", "path_prefix": "/a", "method": ["GET"], "pool": "get"},
              {"name": "beta", "path_prefix": "/a", "headers": {"X-Env": "beta"}, "pool": "beta"},
              {"name": "two", "query": {"v": "2"}, "pool": "two"},
              {"name": "number", "path_regex": "^/u/[0-9]+$", "pool": "number"},
              {"name": "outside", "path": "/outside", "client": ["192.0.2.0/24"], "pool": "two"}]
    weir = proxy(scene, routes, pools=["rest", "get", "beta", "two", "number"])
    client = scene.client(weir)
    assert ask(client, "/a")["server"] == "get"
    assert ask(client, "/a", ("X-Env", "beta"), method="POST", body=b"")["server"] == "beta"
    assert ask(client, "/x?v=2")["server"] == "two"
    assert ask(client, "/u/17")["server"] == "number"
    assert ask(client, "/u/x")["server"] == "rest"
    assert ask(client, "/outside")["server"] == "rest"


def test_debug_sends_everything_to_one_address(scene):
    other = echo(scene, "other")
    weir = proxy(scene, [{"name": "r", "pool": "web", "debug": {"upstream": other.address}}])
    assert ask(scene.client(weir))["server"] == "other"
    assert weir.exchange()["pool"] == "debug:web/r"


# splits


def split(weights, **options):
    return {"checkout": {"unit": "header:X-User-Id", "salt": "s1", **options,
                         "variants": {name: {"weight": weight, "pool": name} for name, weight in weights.items()}}}


SPLIT_ROUTES = [{"name": "shop", "path_prefix": "/shop", "split": "checkout"}, {"name": "rest", "pool": "a"}]


def variants_of(scene, weir, units):
    client = scene.client(weir)
    return {unit: ask(client, "/shop", ("X-User-Id", str(unit)))["server"] for unit in units}


def test_a_split_is_sticky_and_fair_and_says_so(scene):
    weir = proxy(scene, SPLIT_ROUTES, pools=["a", "b"], top={"splits": split({"a": 90, "b": 10}, response_header=True)})
    chosen = variants_of(scene, weir, range(600))
    assert variants_of(scene, weir, range(600)) == chosen
    count = collections.Counter(chosen.values())
    assert 30 <= count["b"] <= 95  # 60 expected, standard deviation 7.3
    user = next(unit for unit, variant in chosen.items() if variant == "b")
    seen = ask(scene.client(weir), "/shop", ("X-User-Id", str(user)), ("Weir-Split", "checkout=a"))
    assert fields_of(seen, "weir-split") == ["checkout=b"]
    assert seen["response"].get("Weir-Split") == "checkout=b"
    assert fields_of(ask(scene.client(weir), "/other", ("Weir-Split", "x")), "weir-split") == []
    assert weir.exchange(variant="checkout=b")["variant"] == "checkout=b"
    weir.wait_metric(1201, "weir_split_exchanges_total")
    report = weir.get("/api/v1/splits/checkout/report")
    shares = {variant["name"]: variant for variant in report["variants"]}
    assert shares["a"]["exchanges"] + shares["b"]["exchanges"] == 1201 and not report["sample_ratio"]["is_alarm"]
    assert shares["b"]["error_share"]["low"] == 0 and shares["b"]["error_share"]["high"] < 0.1
    assert weir.metric("weir_split_exchanges_total", variant="b") == shares["b"]["exchanges"]


def test_raising_a_weight_moves_users_one_way_only(scene):
    small = proxy(scene, SPLIT_ROUTES, pools=["a", "b"], top={"splits": split({"a": 90, "b": 10})})
    large = proxy(scene, SPLIT_ROUTES, pools=["a", "b"], top={"splits": split({"a": 80, "b": 20})})
    before, after = variants_of(scene, small, range(400)), variants_of(scene, large, range(400))
    moved = {(before[unit], after[unit]) for unit in before if before[unit] != after[unit]}
    assert moved == {("a", "b")}


@pytest.mark.parametrize("block, wins", [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
def test_an_override_counts_only_from_where_it_may(scene, block, wins):
    options = {"override": {"header": "X-Variant", "from": [block]}}
    weir = proxy(scene, SPLIT_ROUTES, pools=["a", "b"], top={"splits": split({"a": 99.99, "b": 0.01}, **options)})
    assert ask(scene.client(weir), "/shop", ("X-User-Id", "u"), ("X-Variant", "b"))["server"] == ("b" if wins else "a")
    weir.wait_metric(1 if wins else 0, "weir_split_overrides_total", variant="b")
    weir.wait_metric(0 if wins else 1, "weir_split_exchanges_total")


# mirrors


def test_a_copy_arrives_as_the_original_was_sent(scene):
    weir = proxy(scene, [{"name": "r", "pool": "web", "mirror": {"pool": "shadow"}, "rewrite": {"add_prefix": "/p"}}],
                 pools=["web", "shadow"])
    shadow = scene.servers[-2]
    client = scene.client(weir)
    for body in (None, b"hello"):
        seen = ask(client, "/x?y", ("X-A", "1"), method="POST" if body else "GET", body=body)
        copy = eventually(lambda: shadow.requests[-1:] and shadow.requests[-1], "the copy")
        eventually(lambda: (shadow.requests[-1].target, shadow.requests[-1].body) == ("/p/x?y", body or b""), "the copy")
        copy = shadow.requests[-1]
        assert copy.get("X-A") == "1" and copy.get("X-Request-Id") == fields_of(seen, "x-request-id")[0]
    weir.wait_metric(2, "weir_mirror_copies_total", end="ok")
    weir.wait_metric(2, "weir_mirror_compared_total", status="same")


@pytest.mark.parametrize("host, says", [("keep", "www.test"), ("server", "localhost"), ("fixed.test", "fixed.test")])
def test_a_copy_to_a_unix_server_has_the_host_that_an_original_would_have(scene, tmp_path, host, says):
    path, seen = str(tmp_path / "shadow.sock"), []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    weir = proxy(scene, [{"name": "r", "pool": "web", "mirror": "shadow"}, {"name": "s", "path": "/direct", "pool": "shadow"}],
                 pools=["web", "shadow"], pool_options={"shadow": {"host": host, "servers": [{"name": "shadow", "address": f"unix:{path}"}]}})
    client = scene.client(weir)
    for target in ("/copied", "/direct"):
        client.send(message.request("GET", target, host="www.test"))
        if target == "/copied":
            assert client.read().status == 200
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(LIMIT_S)
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        seen.append([line[6:] for line in head.decode().split("\r\n") if line.startswith("Host: ")])
    assert client.read().status == 200
    listener.close()
    assert seen == [[says], [says]]


@pytest.mark.parametrize("script, end", [
    ([broken.receive, broken.reset], "server_reset"),
    ([broken.receive, broken.close], "server_closed"),
    ([broken.receive, broken.send(b"garbage\r\n\r\n")], "bad_response"),
    ([broken.serve(lambda request: message.response(500))], "ok"),
])
def test_a_copy_that_fails_harms_nobody(scene, script, end):
    shadow = scene.server(script)
    weir = proxy(scene, [{"name": "r", "pool": "web", "mirror": "shadow"}], pools=["web", "shadow"],
                 pool_options={"shadow": {"servers": [shadow.address]}})
    assert ask(scene.client(weir))["server"] == "web"
    weir.wait_metric(1, "weir_mirror_copies_total", end=end)
    if end == "ok":
        weir.wait_metric(1, "weir_mirror_compared_total", status="differs")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mirror_that_never_answers_costs_nothing_but_its_bound(scene, workers):
    """However many workers there are: connections come until each has had one."""
    shadow = scene.server([broken.stall])
    weir = proxy(scene, [{"name": "r", "pool": "web", "mirror": {"pool": "shadow", "in_flight": 3}}],
                 pools=["web", "shadow"], pool_options={"shadow": {"servers": [shadow.address]}}, top={"workers": workers})
    asked = 0
    while asked < 10 * workers or not all(row["client_connections"] for row in weir.get("/api/v1/workers")["workers"][:workers]):
        ask(scene.client(weir))
        asked += 1
    weir.wait_metric(asked - 3, "weir_mirror_skipped_total", reason="busy")
    shadow.close()
    eventually(lambda: weir.metric("weir_mirror_copies_total") == 3, "all copies being over")


def test_bodies_over_the_limit_are_not_copied(scene):
    weir = proxy(scene, [{"name": "r", "pool": "web", "mirror": {"pool": "shadow", "body": "1KiB"}}],
                 pools=["web", "shadow"])
    ask(scene.client(weir), method="POST", body=b"x" * 1025)
    weir.wait_metric(1, "weir_mirror_skipped_total", reason="body")
    ask(scene.client(weir), method="POST", body=b"x" * 1024)
    weir.wait_metric(1, "weir_mirror_copies_total", end="ok")


# by hand


def two_servers(scene):
    return {"web": {"servers": [{"name": name, "address": echo(scene, name).address} for name in ("one", "two")]}}


def test_a_pin_names_the_server_where_it_is_allowed(scene):
    weir = proxy(scene, [{"name": "r", "pool": "web"}], pool_options=two_servers(scene), pin={"token": "0123456789abcdef"})
    client = scene.client(weir)
    for name in ("one", "two", "two", "one"):
        seen = ask(client, "/", ("Weir-Pin", f"web/{name}"), ("Weir-Pin-Token", "0123456789abcdef"))
        assert seen["server"] == name
        assert not fields_of(seen, "weir-pin") and not fields_of(seen, "weir-pin-token")
    assert {record["attempts"][0]["reason"] for record in weir.wait_records(4)} == {"pinned"}
    weir.patch_server("web", "one", admin="maintenance")
    assert ask(client, "/", ("Weir-Pin", "web/one"), ("Weir-Pin-Token", "0123456789abcdef"))["server"] == "one"
    for token in ("0123456789abcdeX", "", "0123456789abcdef0"):
        seen = ask(client, "/", ("Weir-Pin", "web/one"), ("Weir-Pin-Token", token))
        assert seen["server"] == "two" and not fields_of(seen, "weir-pin")


@pytest.mark.parametrize("pin", ["web/three", "nowhere/one", "web", "/", "web/"])
def test_a_pin_to_nowhere_is_told(scene, pin):
    weir = proxy(scene, [{"name": "r", "pool": "web"}], pool_options=two_servers(scene), pin={"from": ["127.0.0.0/8"]})
    response = scene.client(weir).ask("GET", "/", ("Weir-Pin", pin))
    assert response.status == 400 and "Weir-Pin" in response.text
    assert weir.exchange()["end"] == "pin_unknown"


def test_there_is_no_other_server_for_a_pin(scene):
    servers = two_servers(scene)
    servers["web"]["servers"].append({"name": "dead", "address": "127.0.0.1:1"})
    weir = proxy(scene, [{"name": "r", "pool": "web"}], pool_options=servers, pin={"from": ["127.0.0.0/8"]})
    response = scene.client(weir).ask("GET", "/", ("Weir-Pin", "web/dead"))
    assert response.status == 502 and '"dead"' in response.text
    assert weir.exchange()["attempt_count"] == 1


# sticky sessions


def sticky_proxy(scene, **sticky):
    options = two_servers(scene)
    options["web"]["sticky"] = {"secrets": ["0123456789abcdef0123"], **sticky}
    options["web"]["balance"] = "round_robin"
    return proxy(scene, [{"name": "r", "pool": "web"}], pool_options=options, top={"workers": 1})


def cookie_of(response):
    return response.get("Set-Cookie").split(";")[0].split("=")[1]


def test_a_cookie_keeps_a_client_with_its_server(scene):
    weir = sticky_proxy(scene, max_age="8h", same_site="strict")
    client = scene.client(weir)
    first = ask(client)
    line = first["response"].get("Set-Cookie")
    assert "HttpOnly" in line and "SameSite=Strict" in line and "Max-Age=28800" in line and "Path=/" in line
    assert first["server"] not in line and "127.0.0.1" not in line
    name = line.split("=")[0]
    for _ in range(6):
        again = ask(client, "/", ("Cookie", f"a=b; {name}={cookie_of(first['response'])}"))
        assert again["server"] == first["server"] and not again["response"].has("Set-Cookie")
    assert sum(record["attempts"][0]["reason"] == "sticky" for record in weir.wait_records(7)) == 6
    forged = {ask(client, "/", ("Cookie", f"{name}={'0' * 32}"))["server"] for _ in range(4)}
    assert forged == {"one", "two"}


def test_a_stale_cookie_before_the_good_one_moves_nobody(scene):
    weir = sticky_proxy(scene)
    client = scene.client(weir)
    first = ask(client)
    name = first["response"].get("Set-Cookie").split("=")[0]
    good = cookie_of(first["response"])
    for line in (f"{name}={'0' * 32}; {name}={good}", f"{name}=stale; a=b; {name}={good}", f"{name}={good}; {name}=x"):
        for _ in range(4):
            again = ask(client, "/", ("Cookie", line))
            assert again["server"] == first["server"] and not again["response"].has("Set-Cookie")
    for _ in range(4):
        again = ask(client, "/", ("Cookie", f"{name}=stale"), ("Cookie", f"{name}={good}"))
        assert again["server"] == first["server"] and not again["response"].has("Set-Cookie")


def test_a_draining_server_keeps_its_own_and_takes_nobody_new(scene):
    weir = sticky_proxy(scene)
    client = scene.client(weir)
    first = ask(client)
    name = first["response"].get("Set-Cookie").split("=")[0]
    cookie = ("Cookie", f"{name}={cookie_of(first['response'])}")
    other = "two" if first["server"] == "one" else "one"
    weir.patch_server("web", first["server"], admin="drain")
    assert all(ask(client, "/", cookie)["server"] == first["server"] for _ in range(4))
    assert all(ask(client)["server"] == other for _ in range(4))
    weir.patch_server("web", first["server"], admin="maintenance")
    moved = ask(client, "/", cookie)
    assert moved["server"] == other and moved["response"].has("Set-Cookie")


def test_rotated_secrets_are_accepted_and_renewed(scene):
    servers = two_servers(scene)["web"]["servers"]
    def weir_with(*secrets):
        pool = {"web": {"servers": servers, "sticky": {"secrets": list(secrets)}}}
        return proxy(scene, [{"name": "r", "pool": "web"}], pool_options=pool)
    old = ask(scene.client(weir_with("old-old-old-old-old")))
    name = old["response"].get("Set-Cookie").split("=")[0]
    both = weir_with("new-new-new-new-new", "old-old-old-old-old")
    seen = ask(scene.client(both), "/", ("Cookie", f"{name}={cookie_of(old['response'])}"))
    assert seen["server"] == old["server"]
    assert cookie_of(seen["response"]) != cookie_of(old["response"])


# egress


def egress_proxy(scene, allow, names=None, ignored=(), timeout=None, **pool):
    """timeout: of a question; long where each is answered."""
    timeout = timeout or ("1s" if None in (names or {}).values() else "20s")
    server = echo(scene, "out")
    name_server = NameServer({name: addresses for name, addresses in (names or {}).items()}, ignored=ignored)
    scene.servers.append(name_server)
    sources = {"kind": "egress", "balance": "round_robin", "servers": ["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"], **pool}
    weir = proxy(scene, [{"name": "out", "egress": {"pool": "out", "allow": [text.format(port=server.port) for text in allow]}}],
                 pools=["out"], pool_options={"out": sources},
                 top={"workers": 1, "resolver": {"servers": [name_server.address], "timeout": timeout, "attempts": 1}})
    return weir, server, name_server


def test_a_name_leads_out_by_each_address_in_turn(scene):
    weir, server, names = egress_proxy(scene, ["api.example.com:{port}", "127.0.0.0/8:{port}"],
                                       {"api.example.com": ["127.0.0.1"]})
    client = scene.client(weir)
    for _ in range(6):
        seen = ask(client, "/x", ("X-Egress-Host", f"API.example.com:{server.port}"), ("X-Egress-Scheme", "http"))
        assert not fields_of(seen, "x-egress-host") and not fields_of(seen, "x-egress-scheme")
        assert fields_of(seen, "host") == [f"api.example.com:{server.port}"]
    sources = {connection.sock.getpeername()[0] for connection in server.connections}
    assert sources == {"127.0.0.2", "127.0.0.3", "127.0.0.4"}
    assert len(server.connections) == 3, "connections are used again for the same target"
    assert len([1 for name, _ in names.questions]) <= 2, "the answer is kept"


@pytest.mark.parametrize("ignored, mixed", [([AAAA], []), ([AAAA], ["::1"]), ([], ["::1"])])
def test_a_family_that_is_never_answered_holds_nobody(scene, ignored, mixed):
    """Longer than a connection may take, were it waited for."""
    weir, server, names = egress_proxy(scene, ["api.example.com:{port}", "127.0.0.0/8:{port}"],
                                       {"api.example.com": ["127.0.0.1", *mixed]}, ignored=ignored, timeout="60s")
    client = scene.client(weir)
    for _ in range(3):
        assert ask(client, "/", ("X-Egress-Host", f"api.example.com:{server.port}"))["server"] == "out"
    assert ("api.example.com", A) in names.questions


def test_a_family_that_the_pool_cannot_leave_by_does_not_stand_for_the_other(scene):
    weir, server, _ = egress_proxy(scene, ["six.example.com:{port}"], {"six.example.com": ["::1"]})
    response = scene.client(weir).ask("GET", "/", ("X-Egress-Host", f"six.example.com:{server.port}"))
    assert response.status == 502 and "egress_unresolved" in response.text and "no IPv4 address" in response.text
    assert not server.connections


def test_a_name_that_was_never_answered_is_asked_for_again(scene):
    """What was not answered in one family is not kept against the other, nor for long."""
    weir, server, names = egress_proxy(scene, ["late.example.com:{port}", "127.0.0.0/8:{port}"], {"late.example.com": None})
    client = scene.client(weir)
    assert client.ask("GET", "/", ("X-Egress-Host", f"late.example.com:{server.port}")).status == 502
    names.names["late.example.com"] = ["127.0.0.1"]
    eventually(lambda: client.ask("GET", "/", ("X-Egress-Host", f"late.example.com:{server.port}")).status == 200,
                       "it is asked for again")


@pytest.mark.parametrize("target, status, end", [
    ("127.0.0.1:{port}", 403, "egress_denied"),
    ("other.example.com:{port}", 403, "egress_denied"),
    ("inner.example.com:{port}", 403, "egress_denied"),
    ("api.example.com:1", 403, "egress_denied"),
    ("gone.example.com:{port}", 502, "egress_unresolved"),
    ("silent.example.com:{port}", 502, "egress_unresolved"),
    ("http://api.example.com", 400, "egress_bad_target"),
    ("", 400, "egress_bad_target"),
])
def test_what_is_not_allowed_is_told(scene, target, status, end):
    allow = [f"{name}.example.com:{{port}}" for name in ("api", "inner", "gone", "silent")]
    weir, server, _ = egress_proxy(scene, allow, {"inner.example.com": ["127.0.0.1"], "silent.example.com": None})
    response = scene.client(weir).ask("GET", "/", ("X-Egress-Host", target.format(port=server.port)))
    assert response.status == status and end in response.text
    assert weir.exchange()["end"] == end and not server.connections


def test_the_second_address_is_asked_when_the_first_refuses(scene):
    weir, server, _ = egress_proxy(scene, ["two.example.com:{port}", "127.0.0.0/8:{port}"],
                                   {"two.example.com": ["127.0.0.99", "127.0.0.1"]})
    seen = ask(scene.client(weir), "/", ("X-Egress-Host", f"two.example.com:{server.port}"))
    assert seen["server"] == "out"
    assert weir.exchange()["attempt_count"] == 2
    assert all(source["state"] == "up" for source in weir.servers("out").values())


def test_without_an_egress_route_the_fields_are_nobodys_business(scene):
    weir = proxy(scene, [{"name": "r", "pool": "web"}])
    seen = ask(scene.client(weir), "/", ("X-Egress-Host", "a.b"), ("X-Egress-Scheme", "https"))
    assert fields_of(seen, "x-egress-host") == ["a.b"] and fields_of(seen, "x-egress-scheme") == ["https"]


# who may be chosen


def test_the_second_tier_steps_in_when_the_first_is_gone(scene):
    servers = [{"name": "first", "address": echo(scene, "first").address},
               {"name": "second", "address": echo(scene, "second").address, "tier": 2}]
    weir = proxy(scene, [{"name": "r", "pool": "web"}], pool_options={"web": {"servers": servers}})
    client = scene.client(weir)
    assert {ask(client)["server"] for _ in range(10)} == {"first"}
    weir.patch_server("web", "first", admin="drain")
    assert {ask(client)["server"] for _ in range(5)} == {"second"}
    weir.patch_server("web", "first", admin="enabled")
    assert {ask(client)["server"] for _ in range(5)} == {"first"}


def test_without_weight_a_server_gets_nothing(scene):
    weir = proxy(scene, [{"name": "r", "pool": "web"}], pool_options=two_servers(scene))
    client = scene.client(weir)
    weir.patch_server("web", "one", weight=0)
    assert {ask(client)["server"] for _ in range(10)} == {"two"}


@pytest.mark.parametrize("table", ["maglev", "ring", "rendezvous", "mod"])
def test_keys_come_back_to_a_server_that_was_out(scene, table):
    servers = [{"name": name, "address": echo(scene, name).address} for name in "abcd"]
    balance = {"method": "hash", "key": "{cookie:sid}|{arg:q}", "table": table}
    weir = proxy(scene, [{"name": "r", "pool": "web"}], pool_options={"web": {"servers": servers, "balance": balance}})
    client = scene.client(weir)

    def homes():
        return {key: ask(client, f"/?q={key}", ("Cookie", "x=1; sid=s"))["server"] for key in range(60)}

    before = homes()
    assert len(set(before.values())) == 4
    weir.patch_server("web", "b", admin="drain")
    without = homes()
    assert "b" not in without.values()
    if table != "mod":
        assert all(without[key] == before[key] for key in before if before[key] != "b")
    weir.patch_server("web", "b", admin="enabled")
    assert homes() == before


# asking


def test_explain_says_what_would_happen(scene):
    weir = proxy(scene, [{"name": "beta", "path_prefix": "/v1/", "headers": {"X-Env": "beta"}, "pool": "b"},
                         {"name": "v1", "path_prefix": "/v1/", "pool": "a", "rewrite": {"strip_prefix": "/v1"}},
                         {"name": "shop", "path": "/shop", "split": "checkout"},
                         {"name": "old", "path": "/old", "redirect": "/new"}],
                 pools=["a", "b"], top={"splits": split({"a": 50, "b": 50})})

    def explain(url, *headers):
        response = weir.ask_admin("POST", "/api/v1/explain", body={"url": url, "headers": list(headers)})
        assert response.status == 200, response.text
        return json.loads(response.body)

    found = explain("http://x.test/v1/y?q", "X-Env: prod")
    assert found["route"]["name"] == "v1" and found["target"] == "/y?q" and found["server"]["name"] == "a"
    assert found["considered"] == [{"route": "beta", "why": 'header x-env is "prod", not "beta"'}]
    found = explain("/shop", "X-User-Id: 7")
    real = ask(scene.client(weir), "/shop", ("X-User-Id", "7"))["server"]
    assert found["split"]["variant"] == real and found["split"]["by"] == "unit" and found["pool"] == real
    assert explain("/old")["answer"]["status"] == 302
    assert explain("/nowhere")["answer"]["end"] == "no_route"
    assert weir.ask_admin("POST", "/api/v1/explain", body={"url": "nothing"}).status == 400


# what a review found


def test_a_body_over_the_limit_leaves_the_queue(scene):
    """Who is refused while it waits must not have a turn any more."""
    held = broken.Server([broken.receive, broken.wait_end])
    scene.servers.append(held)
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "r", "pool": "one"}], "limits": {"body": "1KiB"}},
                       pools={"one": {"servers": [{"address": held.address, "max_connections": 1}]}})
    first, second = scene.client(weir), scene.client(weir)
    first.send(message.request("GET", "/first"))
    held.wait_requests(1)
    second.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + b"x" * 4096 + b"\r\n")
    assert second.read("POST").status == 413
    first.reset()
    weir.wait_live(exchanges=0)
    assert weir.exchange(end="body_too_large")["status"] == 413


def test_a_rule_may_be_made_from_what_it_replaces(scene):
    rules = {"set": {"X-User": "was {header:X-User}", "X-Seen": "{header:X-Gone}"}, "remove": ["X-Gone"]}
    weir = proxy(scene, [{"name": "r", "pool": "web", "request_headers": rules}])
    seen = ask(scene.client(weir), "/", ("X-User", "bob"), ("X-Gone", "g"))
    assert fields_of(seen, "x-user") == ["was bob"] and fields_of(seen, "x-seen") == ["g"]
    assert fields_of(seen, "x-gone") == []


def test_a_long_target_is_redirected_too(scene):
    weir = proxy(scene, [{"name": "r", "redirect": "https://{host}{target}"}])
    target = "/" + "a" * 30000
    assert scene.client(weir).ask("GET", target, host="a.test").get("Location") == "https://a.test" + target


def test_egress_keys_choose_the_address_to_leave_by(scene):
    weir, server, _ = egress_proxy(scene, ["127.0.0.0/8:{port}"], balance={"method": "hash", "key": "header:X-Key"})
    for number in range(30):
        ask(scene.client(weir), "/", ("X-Egress-Host", f"127.0.0.1:{server.port}"), ("X-Key", str(number)))
    assert {connection.sock.getpeername()[0] for connection in server.connections} == {"127.0.0.2", "127.0.0.3",
                                                                                       "127.0.0.4"}


def test_a_target_that_cannot_be_reached_at_once_harms_no_address(scene):
    weir, server, _ = egress_proxy(scene, ["two.example.com:{port}", "0.0.0.0/0:{port}"],
                                   {"two.example.com": ["255.255.255.255", "127.0.0.1"]})
    for _ in range(5):
        assert ask(scene.client(weir), "/", ("X-Egress-Host", f"two.example.com:{server.port}"))["server"] == "out"
    assert all(source["state"] == "up" for source in weir.servers("out").values())


def test_a_pinned_request_does_not_wait_in_front_of_others(scene):
    held = broken.Server([broken.receive, broken.wait_end])
    scene.servers.append(held)
    servers = [{"name": "one", "address": held.address, "max_connections": 1}]
    weir = proxy(scene, [{"name": "r", "pool": "web"}], pool_options={"web": {"servers": servers}},
                 pin={"from": ["127.0.0.0/8"]})
    scene.client(weir).send(message.request("GET", "/held"))
    held.wait_requests(1)
    response = scene.client(weir).ask("GET", "/", ("Weir-Pin", "web/one"))
    assert response.status == 503 and weir.exchange(end="queue_full")["attempt_count"] == 0


def test_an_egress_pool_is_of_one_family(tmp_path):
    from weir import run_command
    path = tmp_path / "weir.yaml"
    path.write_text('listeners: {w: {bind: ":1", routes: [{name: o, egress: {pool: out, allow: ["a.b"]}}]}}\n'
                    'pools: {out: {kind: egress, servers: ["127.0.0.2:0", "[::1]:0"]}}\n')
    done = run_command("check", str(path))
    assert done.returncode == 78 and "both families" in done.stderr
