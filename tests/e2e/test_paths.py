"""One path for all: what a gate judges is what the server gets, and nothing that a server reads as a guarded path
passes by its gate."""
import json

import pytest

from echo import ask, echo_pool, proxy
from scene import Scene
from waiting import eventually
from weir import run_command

# nginx decodes, merges and resolves before it looks for a location.
NGINX = """
        location / { return 200 "outer $request_uri"; }
        location /admin/ { return 200 "inner $request_uri"; }
        location = /admin { return 200 "inner $request_uri"; }
"""
EVERYBODY = {"deny": ["0.0.0.0/0", "::/0"]}
GATED = [{"name": "admin", "path_prefix": "/admin/", "pool": "web", "gate": EVERYBODY},
         {"name": "admin-itself", "path": "/admin", "pool": "web", "gate": EVERYBODY},
         {"name": "rest", "pool": "web"}]
DENIED = ["/admin/", "/admin/x", "/%61dmin/", "/%61%64%6D%69%6e/", "//admin/", "/./admin/", "/%2e/admin/", "/x/../admin/",
          "/x/%2e%2e/admin/", "/x/.%2E//admin/", "///x//../admin//", "/admin", "/admin/..//admin", "/x/../admin?a=/../",
          "/admin/x/..", "http://h.test//admin/", "http://h.test/x/%2e%2e/admin/"]
CANONICAL = {"/admin": "/admin", "/admin/x": "/admin/x", "/admin/..//admin": "/admin", "/x/../admin?a=/../": "/admin?a=/../"}
REFUSED = ["/admin%2f", "/%2fadmin/", "/x%2f..%2fadmin/", "/%2e%2e%2fadmin/", "/x/..%5cadmin/", "/x\\..\\admin/",
           "/admin%00", "/admin/%00", "/../admin/", "/%2e%2e/admin/", "/x/../../admin/", "/..;/admin/", "/x/..;a=b/admin/",
           "/;x/admin/", "/%gadmin/", "/admin/%", "/%2/admin/", "/%u0061dmin/", "http://h.test/../admin/"]
SERVED = [("/", "/"), ("/adminx/", "/adminx/"), ("/%252e%252e/admin/", "/%252e%252e/admin/"), ("/ADMIN/", "/ADMIN/"),
          ("/%2561dmin/", "/%2561dmin/"), ("/admin%3f", "/admin%3F"), ("/x/..admin/", "/x/..admin/"),
          ("/.../admin/", "/.../admin/"), ("/caf%c3%a9/{a|b}", "/caf%C3%A9/%7Ba%7Cb%7D"), ("/a//b/../c/.?q=//%61", "/a/c/?q=//%61"),
          ("/a;b=c/;d", "/a;b=c/;d"), ("//evil.test/", "/evil.test/"), ("/a%20b%2B", "/a%20b%2B")]


@pytest.fixture(scope="module")
def gated(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("paths"))
    yield scene, scene.proxy(scene.nginx(server=NGINX), listener={"routes": GATED})
    scene.finish()


def wait_record(weir, end, target):
    eventually(lambda: any(record["target"] == target for record in weir.exchanges(end=end, limit=1000)),
               f"a record of {target}")


@pytest.mark.parametrize("target", DENIED)
def test_a_gate_on_a_path_holds_however_it_is_written(gated, target):
    scene, weir = gated
    client = scene.client(weir)
    assert client.ask("GET", target).status == 403
    wait_record(weir, "gate_denied", CANONICAL.get(target, "/admin/"))
    client.close()


@pytest.mark.parametrize("target", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(gated, target):
    scene, weir = gated
    client = scene.client(weir)
    response = client.ask("GET", target)
    assert response.status == 400 and "path" in response.text
    wait_record(weir, "bad_path", target.removeprefix("http://h.test"))
    client.close()


@pytest.mark.parametrize("target, forwarded", SERVED)
def test_the_server_gets_what_was_judged(gated, target, forwarded):
    scene, weir = gated
    client = scene.client(weir)
    response = client.ask("GET", target)
    assert (response.status, response.text) == (200, f"outer {forwarded}")
    wait_record(weir, "ok", forwarded)
    client.close()


def test_explain_tells_the_path_that_traffic_has(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:0", "routes": GATED}},
                                "pools": {"web": {"servers": ["127.0.0.1:1"]}}}))

    def explain(url):
        done = run_command("explain", "-c", str(path), "--json", url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    told = explain("/x/%2e%2e//%61dmin/?%61")
    assert told["request"]["target"] == "/admin/?%61"
    assert told["route"]["name"] == "admin" and told["answer"]["end"] == "gate_denied"
    told = explain("/x%2fadmin/")
    assert told["route"] is None and told["answer"]["status"] == 400 and "%2F" in told["answer"]["why"]
    assert explain("/a//b")["target"] == "/a/b"


def test_split_keys_and_templates_see_that_path_too(scene):
    weir = proxy(scene, [{"name": "go", "path_prefix": "/go/", "redirect": "https://new.test{target}"},
                         {"name": "rest", "pool": "hashed"}],
                 {"hashed": echo_pool(scene, "a", "b", "c", "d", balance={"method": "hash", "key": "path"})})
    client = scene.client(weir)
    assert client.ask("GET", "/go//%61/../%7e?q=//").get("Location") == "https://new.test/go/~?q=//"
    for target in ("/page/17", "/another", "/the/third", "/4"):
        written = ["/" + target, "/." + target, "/x/.." + target, "".join(f"%{ord(c):02x}" if c.isalnum() else c for c in target)]
        assert {ask(client, other).server for other in written} == {ask(client, target).server}


# rewriting


@pytest.mark.parametrize("rewrite, target, forwarded", [
    ({"strip_prefix": "/static", "add_prefix": "/public/"}, "/static/a", "/public/a"),
    ({"strip_prefix": "/static", "add_prefix": "/public/"}, "/static../private", None),
    ({"strip_prefix": "/static", "add_prefix": "/public/"}, "/static%2e%2e/private", None),
    ({"strip_prefix": "/static", "add_prefix": "/public/"}, "/static/../private", "/public/private"),
    ({"strip_prefix": "/static"}, "/static.", None),
    ({"regex": "^/u/(.*)$", "to": "/users//$1"}, "/u/7", "/users/7"),
    ({"regex": "^/u/(.*)x$", "to": "/users/$1"}, "/u/..x", None),
])
def test_a_rewritten_path_is_canonical_and_stays_in_its_place(scene, rewrite, target, forwarded):
    weir = proxy(scene, [{"name": "all", "pool": "web", "rewrite": rewrite}], {"web": echo_pool(scene, "a")})
    client = scene.client(weir)
    if forwarded:
        assert ask(client, target).target == forwarded
        return
    assert client.ask("GET", target).status == 400
    assert weir.exchange(status=400)["end"] == "rewrite_bad_path"
    told = weir.ask_admin("POST", "/api/v1/explain", body={"url": target})
    assert json.loads(told.text)["answer"]["end"] == "rewrite_bad_path"


# paths: {…}


@pytest.mark.parametrize("paths, target, forwarded", [
    ({"form": "as_sent"}, "/%61//../\\%2f%00%zz", "/%61//../\\%2f%00%zz"),
    ({"encoded_slash": "keep"}, "/group%2fproject", "/group%2Fproject"),
    ({"encoded_slash": "keep"}, "/x%2f..%2fadmin", None),
    ({"encoded_slash": "decode"}, "/x%2f..%2fy", "/y"),
    ({"keep_backslash": True}, "/a\\b", "/a%5Cb"),
    ({"keep_nul": True}, "/a%00", "/a%00"),
    ({"keep_empty_segments": True}, "//a//b/./", "//a//b/"),
    ({"stay_at_root": True}, "/../a", "/a"),
    ({"refuse_dot_segments": True}, "/a/./b", None),
    ({"refuse_parameters": True}, "/a;b", None),
])
def test_a_listener_says_how_paths_are_read(scene, paths, target, forwarded):
    weir = proxy(scene, [{"name": "all", "pool": "web"}], {"web": echo_pool(scene, "a")}, listener={"paths": paths})
    client = scene.client(weir)
    if forwarded:
        assert ask(client, target).target == forwarded
    else:
        assert client.ask("GET", target).status == 400


@pytest.mark.parametrize("route, paths, says", [
    ({"path_prefix": "/%61dmin/"}, {}, 'their canonical form, which is "/admin/"'),
    ({"path": "/a//b"}, {}, '"/a/b"'),
    ({"path": "/straße"}, {}, '"/stra%C3%9Fe"'),
    ({"path_prefix": "/a/../"}, {}, '"/"'),
    ({"path": "/a%2fb"}, {}, "an encoded slash"),
    ({"rewrite": {"add_prefix": "/a/../b"}}, {}, '"/b"'),
    ({"path": "/a%2fb"}, {"encoded_slash": "keep"}, '"/a%2Fb"'),
    ({"path": "/a%2Fb"}, {"encoded_slash": "keep"}, None),
    ({"path": "/%61"}, {"form": "as_sent"}, None),
    ({"path_prefix": "/a/."}, {}, None),
])
def test_a_route_that_no_path_can_have_is_a_fault(tmp_path, route, paths, says):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({
        "listeners": {"web": {"bind": "127.0.0.1:8080", "paths": paths, "routes": [{"name": "x", "pool": "web", **route}]}},
        "pools": {"web": {"servers": ["127.0.0.1:1"]}}}, ensure_ascii=False))
    done = run_command("check", "-c", str(path))
    assert (done.returncode == 0) == (says is None), done.stderr
    assert says is None or says in done.stderr
