"""What a route makes of a request: conditions beyond host and path, rewriting, header rules, redirects, fixed answers,
and one server for everything while something is looked into."""
import json

import pytest

import broken
import message
from echo import ask, conf, echo_nginx, echo_pool, echo_server, proxy
from ports import reserve_port
from refusal import check_refused, with_route
from scene import Scene
from test_check import check
from waiting import eventually

# which one

ROUTES = [
    {"name": "rest"},
    {"name": "get", "path_prefix": "/a", "method": ["GET", "HEAD"]},
    {"name": "beta", "path_prefix": "/a", "headers": {"X-Env": "beta"}},
    {"name": "beta-get", "path_prefix": "/a", "headers": {"X-Env": "beta"}, "method": ["GET"]},
    {"name": "beta-two", "path_prefix": "/a", "headers": {"X-Env": "beta", "X-Two": "*"}},
    {"name": "any", "path": "/any", "headers": {"X-Env": "*"}},
    {"name": "not-beta", "path": "/not", "headers": {"X-Env": "!beta"}},
    {"name": "none", "path": "/none", "headers": {"X-Env": "!*"}},
    {"name": "arg", "path": "/q", "query": {"v": "2"}},
    {"name": "arg-any", "path": "/q-any", "query": {"v": "*"}},
    {"name": "arg-not", "path": "/q-not", "query": {"v": "!2"}},
    {"name": "arg-none", "path": "/q-none", "query": {"v": "!*"}},
    {"name": "office", "path": "/client", "client": ["127.0.0.8/29", "192.0.2.0/24"]},
    {"name": "number", "path_regex": "^/[0-9]+$"},
    {"name": "number-prefix", "path_prefix": "/12"},
    {"name": "number-exact", "path": "/123"},
    {"name": "host", "host": "api.test", "headers": {"X-Env": "beta"}},
]
BETA, TWO = ("X-Env", "beta"), ("X-Two", "2")
CASES = [
    ("GET", "/a", [], "get"),
    ("HEAD", "/a", [], "get"),
    ("POST", "/a", [], "rest"),
    ("get", "/a", [], "rest"),
    ("POST", "/a", [BETA], "beta"),
    ("GET", "/a", [BETA], "beta-get"),
    ("GET", "/a", [BETA, TWO], "beta-get"),
    ("PUT", "/a/b", [BETA, TWO], "beta-two"),
    ("GET", "/a", [("x-env", "beta")], "beta-get"),
    ("POST", "/a", [("X-Env", "Beta")], "rest"),
    ("POST", "/a", [("X-Env", "prod"), BETA], "beta"),
    ("POST", "/a", [("X-Env", "prod, beta")], "beta"),
    ("POST", "/a", [BETA, ("Connection", "X-Env")], "rest"),
    ("GET", "/not", [("X-Env", "prod"), BETA], "rest"),
    ("GET", "/not", [BETA, ("Connection", "X-Env")], "not-beta"),
    ("GET", "/none", [("Connection", "x-env"), BETA], "none"),
    ("GET", "/q?v=1&%76=%32", [], "arg"),
    ("GET", "/q-none?%76", [], "rest"),
    ("GET", "/any", [("X-Env", "x")], "any"),
    ("POST", "/any", [], "rest"),
    ("GET", "/not", [], "not-beta"),
    ("GET", "/not", [("X-Env", "prod")], "not-beta"),
    ("GET", "/not", [BETA], "rest"),
    ("GET", "/none", [], "none"),
    ("GET", "/none", [BETA], "rest"),
    ("GET", "/q?v=2", [], "arg"),
    ("GET", "/q?a=b&v=2&c", [], "arg"),
    ("GET", "/q?v=22", [], "rest"),
    ("GET", "/q?V=2", [], "rest"),
    ("GET", "/q", [], "rest"),
    ("GET", "/q-any?v=", [], "arg-any"),
    ("GET", "/q-any?w", [], "rest"),
    ("GET", "/q-not?v=3", [], "arg-not"),
    ("GET", "/q-not", [], "arg-not"),
    ("GET", "/q-not?v=2", [], "rest"),
    ("GET", "/q-none", [], "arg-none"),
    ("GET", "/q-none?v", [], "rest"),
    ("GET", "/17", [], "number"),
    ("GET", "/17?x=y", [], "number"),
    ("GET", "/17x", [], "rest"),
    ("GET", "/1200", [], "number-prefix"),
    ("GET", "/123", [], "number-exact"),
]


def expect_route(weir, name):
    """The latest exchange went by it; its record comes a moment after its response."""
    eventually(lambda: weir.exchange()["route"] == name, lambda: f"route {name}: {weir.exchange()}")


@pytest.fixture(scope="module", params=[1, -1], ids=["in order", "reversed"])
def routed(request, tmp_path_factory):
    """Routes that each lead to a pool of the same one server and say their name in a field."""
    scene = Scene(tmp_path_factory.mktemp("routes"))
    routes = [{**route, "pool": "web", "request_headers": {"set": {"X-Route": route["name"]}}} for route in ROUTES]
    yield scene, proxy(scene, routes[::request.param], {"web": echo_pool(scene, "web")})
    scene.finish()


@pytest.mark.parametrize("method, target, fields, name", CASES)
def test_conditions_decide_and_the_more_specific_wins(routed, method, target, fields, name):
    scene, weir = routed
    client = scene.client(weir)
    client.send(message.request(method, target, *fields))
    response = client.read(method)
    if method != "HEAD":
        seen = dict(json.loads(response.body)["fields"])
        assert seen["X-Route"] == name
    expect_route(weir, name)
    client.close()


@pytest.mark.parametrize("source, name", [("127.0.0.7", "rest"), ("127.0.0.8", "office"), ("127.0.0.15", "office"),
                                          ("127.0.0.16", "rest")])
def test_a_route_goes_by_the_clients_address(routed, source, name):
    scene, weir = routed
    client = scene.client(weir, source=source)
    assert ask(client, "/client").get("X-Route") == name
    client.close()


def test_a_host_with_conditions_that_do_not_hold_leaves_it_to_the_others(routed):
    scene, weir = routed
    client = scene.client(weir)
    assert ask(client, "/", BETA, host="api.test").get("X-Route") == "host"
    assert ask(client, "/", host="api.test").get("X-Route") == "rest"
    client.close()


@pytest.mark.parametrize("trust, name", [(["127.0.0.0/8"], "inside"), ([], "rest")])
def test_behind_a_trusted_peer_it_is_the_forwarded_address(scene, trust, name):
    weir = proxy(scene, [{"name": "inside", "client": ["10.0.0.0/8"], "pool": "web"}, {"name": "rest", "pool": "web"}],
                 {"web": echo_pool(scene, "web")}, listener={"trust": trust})
    ask(scene.client(weir), "/", ("X-Forwarded-For", "10.1.2.3"))
    expect_route(weir, name)


def test_of_two_expressions_the_first_in_the_file_wins(scene):
    for first, second in (("^/a", "b$"), ("b$", "^/a")):
        weir = proxy(scene, [{"name": "first", "path_regex": first, "pool": "web"},
                             {"name": "second", "path_regex": second, "pool": "web"}], {"web": echo_pool(scene, "web")})
        ask(scene.client(weir), "/a/b")
        expect_route(weir, "first")


def test_an_expression_that_would_search_for_ever_is_refused(scene):
    weir = proxy(scene, [{"name": "bomb", "path_regex": "^(/?a+)+$", "pool": "web"}, {"name": "rest", "pool": "web"}],
                 {"web": echo_pool(scene, "web")})
    assert scene.client(weir).ask("GET", "/" + "a" * 5000 + "!").status == 414
    assert weir.exchange()["end"] == "route_undecided"


# rewriting


@pytest.mark.parametrize("rewrite, target, becomes", [
    ({"strip_prefix": "/v1"}, "/v1", "/"),
    ({"strip_prefix": "/v1/"}, "/v1/x", "/x"),
    ({"strip_prefix": "/v1"}, "/v1?a=/v1", "/?a=/v1"),
    ({"strip_prefix": "/v1"}, "/V1/x", "/V1/x"),
    ({"strip_prefix": "/v1", "add_prefix": "/api"}, "/v1/x%20y?z", "/api/x%20y?z"),
    ({"add_prefix": "/api/"}, "/x", "/api/x"),
    ({"regex": "^/(\\w+)/(\\w+)", "to": "/$2/$1$$$0"}, "/a/b/c?d=e", "/b/a$/a/b/c?d=e"),
    ({"regex": "x+", "to": ""}, "/axxbx", "/abx"),
    ({"regex": "^/u/([0-9]+)", "to": "/users/$1"}, "/v/17", "/v/17"),
    ({"regex": "^/(.*)$", "to": "/a b?c#$1"}, "/z?q=1", "/a%20b%3Fc%23z?q=1"),
])
def test_the_path_is_rewritten_and_the_query_stays(scene, rewrite, target, becomes):
    weir = proxy(scene, [{"pool": "web", "rewrite": rewrite}], {"web": echo_pool(scene, "web")})
    client = scene.client(weir)
    for method, body in (("GET", None), ("POST", b"hello")):
        seen = ask(client, target, method=method, body=body)
        assert (seen.method, seen.target, seen.body) == (method, becomes, (body or b"").decode())
    assert {record["target"] for record in weir.wait_records(2)} == {target}


def test_a_target_that_gets_too_long_is_refused(scene):
    weir = proxy(scene, [{"pool": "web", "rewrite": {"regex": "a", "to": "$0" * 10 + "/" * 2000}}],
                 {"web": echo_pool(scene, "web")}, listener={"limits": {"head": "64KiB"}})
    response = scene.client(weir).ask("GET", "/a" + "b" * 64000)
    assert response.status == 414 and "rewrite_too_long" in response.text
    assert weir.exchange()["end"] == "rewrite_too_long"


def test_options_of_the_server_as_a_whole_is_left_alone(scene):
    weir = proxy(scene, [{"pool": "web", "rewrite": {"add_prefix": "/api"}}], {"web": echo_pool(scene, "web")})
    assert ask(scene.client(weir), "*", method="OPTIONS").target == "*"


def test_a_target_in_absolute_form_is_rewritten_like_any_other(scene):
    weir = proxy(scene, [{"pool": "web", "rewrite": {"strip_prefix": "/v1"}}], {"web": echo_pool(scene, "web")})
    seen = ask(scene.client(weir), "http://shop.test/v1/x?y", host="other.test")
    assert seen.target == "/x?y" and seen.get("Host") == "shop.test"


# header rules


def test_templates_are_filled_in_from_the_request(scene):
    template = "{client}{host}{path}{query}{target}{method}{scheme}{header:X-In}{cookie:sid}{arg:a}|{{}}"
    weir = proxy(scene, [{"pool": "web", "request_headers": {"set": {"X-All": template, "X-Id": "{request_id}"}},
                          "response_headers": {"set": {"X-Back": template, "X-Back-Id": "{request_id}"}}}],
                 {"web": echo_pool(scene, "web")})
    seen = ask(scene.client(weir), "/p?a=1&b", ("X-In", "in"), ("Cookie", "x=y; sid=7"), method="DELETE", host="A.test:80")
    filled = "127.0.0.1a.test/pa=1&b/p?a=1&bDELETEhttpin71|{}"
    assert seen.get("X-All") == seen.response.get("X-Back") == filled
    assert seen.get("X-Id") == seen.response.get("X-Back-Id") == weir.exchange()["request_id"]


def test_a_field_whose_sources_are_missing_is_left_out(scene):
    """An empty one would be another statement. What came under its name goes all the same."""
    rules = {"set": {"X-Lack": "[{header:X-No}{cookie:no}{arg:no}]", "X-Some": "[{header:X-No}{method}]", "X-Empty": ""},
             "add": {"X-Add": "{header:X-No}"}}
    weir = proxy(scene, [{"pool": "web", "request_headers": rules,
                          "response_headers": {"set": {"Access-Control-Allow-Origin": "{header:Origin}"}}}],
                 {"web": echo_pool(scene, "web")})
    client = scene.client(weir)
    seen = ask(client, "/", ("X-Lack", "client"), ("X-Add", "client"))
    assert not seen.all("X-Lack") and seen.all("X-Add") == ["client"]
    assert seen.get("X-Some") == "[GET]" and seen.all("X-Empty") == [""]
    assert not seen.response.has("Access-Control-Allow-Origin")
    assert ask(client, "/", ("Origin", "http://a.test")).response.get("Access-Control-Allow-Origin") == "http://a.test"


def test_all_fields_of_a_name_are_one_value(scene):
    rules = {"set": {"X-All": "{header:X-In}"}}
    weir = proxy(scene, [{"pool": "web", "request_headers": rules}], {"web": echo_pool(scene, "web")})
    assert ask(scene.client(weir), "/", ("X-In", "a"), ("x-in", "b, c")).get("X-All") == "a, b, c"


def test_response_fields_are_removed_then_set_then_added(scene):
    server = echo_server(scene, "web", ("Server", "s/1"), ("X-Secret", "1"), ("x-secret", "2"), ("X-Kept", "kept"),
                         ("Vary", "A"), ("X-Set", "old"), ("x-set", "older"))
    rules = {"remove": ["Server", "x-SECRET"], "set": {"X-Set": "new"}, "add": {"Vary": "B"}}
    weir = proxy(scene, [{"pool": "web", "response_headers": rules}], {"web": {"servers": [server.address]}})
    response = ask(scene.client(weir)).response
    assert not response.has("Server") and not response.has("X-Secret")
    assert (response.get("X-Set"), response.all("Vary"), response.get("X-Kept")) == ("new", ["A", "B"], "kept")


def test_rules_for_requests_hold_on_every_attempt_once(scene):
    servers = conf({"good": echo_server(scene, "good")}) + [{"name": "dead", "address": f"127.0.0.1:{reserve_port()}"}]
    rules = {"add": {"X-More": "b"}, "set": {"X-One": "{header:X-One}!"}}
    weir = proxy(scene, [{"pool": "web", "request_headers": rules}],
                 {"web": {"servers": servers, "balance": "round_robin"}})
    client = scene.client(weir)
    for _ in range(4):
        seen = ask(client, "/", ("X-More", "a"), ("X-One", "1"))
        assert seen.all("X-More") == ["a", "b"] and seen.get("X-One") == "1!"
    assert any(record["attempt_count"] == 2 for record in weir.wait_records(4))


def test_a_body_passes_unharmed_through_header_rules(scene):
    rules = {"set": {"X-A": "1"}, "remove": ["Content-Type"]}
    weir = proxy(scene, [{"pool": "web", "request_headers": rules, "response_headers": rules}],
                 {"web": echo_pool(scene, "web")})
    client = scene.client(weir)
    client.send(message.request("POST", "/", ("Transfer-Encoding", "chunked")) + message.chunked(b"one", b"two" * 1000))
    response = client.read("POST")
    assert json.loads(response.body)["body"] == "one" + "two" * 1000
    assert ask(client, "/", method="PUT", body=b"x" * 10000).body == "x" * 10000


# redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "BREW"])
def test_a_redirect_has_its_status_and_no_body(scene, status, method):
    weir = proxy(scene, [{"name": "moved", "redirect": {"to": "https://new.test{target}", "status": status}}],
                 {"web": echo_pool(scene, "web")})
    client = scene.client(weir)
    for number in range(2):
        client.send(message.request(method, f"/x?n={number}"))
        response = client.read(method)
        assert (response.status, response.get("Location")) == (status, f"https://new.test/x?n={number}")
        assert response.body == b"" and response.get("X-Request-Id") and response.get("Date")
    assert {record["route"] for record in weir.wait_records(2, status=status)} == {"moved"}
    weir.wait_metric(2, "weir_route_exchanges_total", route="moved")


@pytest.mark.parametrize("to, location", [
    ("https://{host}{target}", "https://shop.test/a/b?c=d"),
    ("{scheme}://{host}:8443{path}?from={method}&{query}", "http://shop.test:8443/a/b?from=GET&c=d"),
    ("/login?next={path}&user={cookie:user}&lang={header:Accept-Language}&c={arg:c}",
     "/login?next=/a/b&user=u1&lang=de&c=d"),
])
def test_a_location_is_made_from_the_request(scene, to, location):
    weir = proxy(scene, [{"name": "moved", "redirect": to}], {"web": echo_pool(scene, "web")})
    response = scene.client(weir).ask("GET", "/a/b?c=d", ("Cookie", "user=u1"), ("Accept-Language", "de"),
                                      host="Shop.TEST:8080")
    assert response.status == 302 and response.get("Location") == location


def test_a_redirect_without_the_host_that_it_is_made_from_is_refused(scene):
    weir = proxy(scene, [{"name": "moved", "path": "/a", "redirect": "https://{host}{target}"},
                         {"name": "own", "redirect": "https://new.test{target}"}], {"web": echo_pool(scene, "web")})
    for path, status in (("/a", 400), ("/b", 302)):
        client = scene.client(weir)
        client.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        response = client.read()
        assert response.status == status
        assert status != 400 or "redirect" in response.text
    asked = scene.client(weir).ask("GET", "/a", host="h.test")
    assert asked.get("Location") == "https://h.test/a"


def test_redirects_and_fixed_answers_have_the_routes_response_fields(scene):
    rules = {"set": {"X-Path": "{path}", "Content-Type": "text/x"}, "add": {"X-Path": "more"}, "remove": ["Date"]}
    weir = proxy(scene, [{"name": "moved", "path": "/old", "redirect": "/new", "response_headers": rules},
                         {"name": "fixed", "respond": "body", "response_headers": rules}],
                 {"web": echo_pool(scene, "web")})
    client = scene.client(weir)
    for target in ("/old", "/fixed"):
        response = client.ask("GET", target)
        assert response.all("X-Path") == [target, "more"] and response.get("Content-Type") == "text/x"
        assert not response.has("Date")
    assert response.body == b"body"


# fixed answers


@pytest.mark.parametrize("respond, status, body, kind", [
    ("pong\n", 200, b"pong\n", "text/plain; charset=utf-8"),
    ({"body": ""}, 200, b"", "text/plain; charset=utf-8"),
    ({"status": 204}, 204, b"", None),
    ({"status": 304}, 304, b"", None),
    ({"status": 404}, 404, b"", None),
    ({"status": 599, "body": "{}", "content_type": "application/json"}, 599, b"{}", "application/json"),
    ({"body": "ä" * 30000}, 200, "ä".encode() * 30000, "text/plain; charset=utf-8"),
], ids=["short", "empty", "204", "304", "no body", "all", "long"])
def test_a_fixed_answer_is_as_configured_and_head_has_its_length_only(scene, respond, status, body, kind):
    weir = proxy(scene, [{"name": "fixed", "respond": respond}], {"web": echo_pool(scene, "web")})
    client = scene.client(weir)
    response = client.ask()
    assert (response.status, response.body, response.get("Content-Type")) == (status, body, kind)
    client.send(message.request("HEAD", "/"))
    head = client.read("HEAD")
    assert (head.status, head.get("Content-Type")) == (status, kind)
    assert head.get("Content-Length") == response.get("Content-Length")
    assert client.ask().body == body, "the connection goes on"
    assert all(record["end"] == "ok" and record["is_local_reply"] for record in weir.wait_records(3))


@pytest.mark.parametrize("action", [{"respond": "ok"}, {"redirect": "/new"}])
def test_who_answers_before_the_body_has_come_says_that_it_closes(scene, action):
    weir = proxy(scene, [{"name": "early", **action}], {"web": echo_pool(scene, "web")})
    client = scene.client(weir)
    client.send(message.request("POST", "/", ("Content-Length", "1000000")))
    response = client.read("POST")
    assert response.status in (200, 302) and response.options() == ["close"]
    client.send(b"x" * 100000)
    client.half_close()
    client.check_gone()


def test_requests_sent_at_once_get_their_answers_in_order(scene):
    weir = proxy(scene, [{"name": "one", "path": "/1", "respond": "one"}, {"name": "two", "path": "/2", "redirect": "/x"},
                         {"name": "rest", "pool": "web"}], {"web": echo_pool(scene, "web")})
    client = scene.client(weir)
    client.send(b"".join(message.request("GET", target) for target in ("/1", "/2", "/3", "/1")))
    assert [client.read().status for _ in range(4)] == [200, 302, 200, 200]


# one server for everything


def test_debug_goes_before_pool_and_split_and_leaves_no_trace_of_them(scene):
    debug = {"upstream": echo_server(scene, "debugged").address}
    pools = {"a": echo_pool(scene, "a"), "b": echo_pool(scene, "b")}
    split = {"unit": "client", "variants": {"a": {"weight": 0, "pool": "a"}, "b": {"weight": 100, "pool": "b"}}}
    weir = proxy(scene, [{"name": "pooled", "path": "/pool", "pool": "a", "debug": debug},
                         {"name": "split", "path": "/split", "split": "half", "debug": debug},
                         {"name": "alone", "path": "/alone", "debug": debug}, {"name": "rest", "pool": "a"}], pools,
                 splits={"half": split})
    client = scene.client(weir)
    for target in ("/pool", "/split", "/alone"):
        assert ask(client, target).server == "debugged"
    assert ask(client, "/else").server == "a"
    assert [record["pool"] for record in weir.wait_records(4)] == ["a", "debug:web/alone", "debug:web/split", "debug:web/pooled"]


def test_nginx_gets_the_rewritten_request(scene):
    nginx = echo_nginx(scene, "n1")
    weir = proxy(scene, [{"pool": "web", "rewrite": {"regex": "^/u/([0-9]+)", "to": "/users/$1"}}],
                 {"web": {"servers": [nginx.address]}})
    assert scene.client(weir).ask("GET", "/u/17/y?z", host="shop.test").text == "GET|/users/17/y?z|shop.test|127.0.0.1|"
    assert nginx.log_lines(1)[0][3] == "/users/17/y?z"


# mistakes

REFUSED = {
    "path and prefix": ("{pool: web, path: /a, «path_prefix: /b}", "path prefix"),
    "path and expression": ("{pool: web, path: /a, «path_regex: /b}", "regular expression"),
    "a path without slash": ("{pool: web, «path: a}", "slash"),
    "a path with a query": ("{pool: web, «path: '/a?b'}", "path alone"),
    "an unclosed group": ("{pool: web, «path_regex: '^/(a'}", "parenthes"),
    "a method in small letters": ("{pool: web, «method: [get]}", "capitals"),
    "a header's name with a space": ("{pool: web, headers: {«'X Y': a}}", '"X Y"'),
    "bad client": ("{pool: web, client: [«10.0.0.0/99]}", "10.0.0.0/99"),
    "bad host": ("{pool: web, «host: '*.*.test'}", "wildcard.*\\*\\.example.com"),
    "nowhere": ("«{name: x, path: /a}", "leads nowhere.*pool, split, redirect, respond"),
    "two places": ("«{pool: web, redirect: /a}", "several places"),
    "unknown split": ("{split: «hafl}", '"hafl".*"half"'),
    "debug beside a redirect": ("{name: x, redirect: /a, «debug: {upstream: '127.0.0.1:1'}}", "debug"),
    "a debug upstream without port": ("{name: x, debug: {upstream: «127.0.0.1}}", "127.0.0.1"),
    "status of a redirect": ("{name: x, redirect: {to: /a, «status: 304}}", "304.*301, 302, 303, 307 or 308"),
    "status of an answer": ("{name: x, respond: {status: «600}}", "600|599"),
    "a 204 with a body": ("{name: x, respond: {status: 204, «body: x}}", "204 has no body"),
    "unknown source": ("{name: x, redirect: «'{hots}/a'}", '"hots".*"host"'),
    "an open brace": ("{name: x, redirect: «'{host'}", "closed"),
    "a source without name": ("{name: x, redirect: «'{header:}'}", "header:NAME"),
    "line feed": ('{name: x, redirect: «"/a\\nX: y"}', "control character"),
    "rule for the host": ("{pool: web, request_headers: {set: {«Host: a}}}", "Host"),
    "rule for framing": ("{pool: web, response_headers: {set: {«content-length: '1'}}}", "content-length"),
    "rule with a bad name": ("{pool: web, request_headers: {add: {«'a:b': c}}}", '"a:b"'),
    "rewriting before a redirect": ("{name: x, redirect: /a, «rewrite: {add_prefix: /x}}", "no server"),
    "rewriting nothing": ("{pool: web, rewrite: «{}}", "says nothing"),
    "rewriting in two ways": ("{pool: web, rewrite: {strip_prefix: /a, «regex: b, to: c}}", "keep one"),
    "an expression without its text": ("{pool: web, rewrite: {«regex: a}}", "both"),
    "a group that is not there": ("{pool: web, rewrite: {regex: '^/(a)', «to: '/$2'}}", r"\$2"),
    "a prefix without slash": ("{pool: web, rewrite: {«add_prefix: api}}", "slash"),
    "a pool to leave by": ("«{pool: out}", "egress"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_in_a_route_is_named_with_its_place(name, tmp_path):
    route, sentence = REFUSED[name]
    check_refused(tmp_path, with_route(route), sentence)


def test_a_refused_route_is_not_run(tmp_path):
    assert "several places" in check(tmp_path, with_route("{pool: web, redirect: /a}"), command="run")[0].sentence


def test_an_upgrade_is_not_answered_by_a_redirect_with_101(scene):
    weir = proxy(scene, [{"name": "moved", "redirect": "/new"}], {"web": echo_pool(scene, "web")})
    response = scene.client(weir).ask("GET", "/", ("Connection", "upgrade"), ("Upgrade", "websocket"))
    assert response.status == 302


def test_what_the_server_says_of_itself_can_be_hidden_with_an_interim_response_before_it(scene):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    server = scene.server([broken.receive, broken.send(early + message.response(200, ("Server", "s/1")))])
    weir = proxy(scene, [{"pool": "web", "response_headers": {"remove": ["Server"], "set": {"X-A": "1"}}}],
                 {"web": {"servers": [server.address]}})
    response = scene.client(weir).ask()
    assert [interim.status for interim in response.interim] == [103]
    assert not response.has("Server") and response.get("X-A") == "1"
