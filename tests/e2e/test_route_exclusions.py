"""What a route leaves to others: `not`."""
import json

import pytest

from weir import run_command

ROUTES = [{"name": "site", "host": "*.example.com", "pool": "web",
           "not": {"path_prefix": "/admin/", "path": ["/login", "/logout"], "host": "old.example.com", "method": "DELETE",
                   "client": ["127.0.0.8/29"]}},
          {"name": "rest", "respond": "rest"}]


@pytest.mark.parametrize("method, target, host, source, is_taken, why", [
    ("GET", "/", "www.example.com", None, True, None),
    ("GET", "/admin", "www.example.com", None, True, None),
    ("GET", "/admin/x", "www.example.com", None, False, "path_prefix"),
    ("GET", "/x/../admin/", "www.example.com", None, False, "path_prefix"),
    ("GET", "/%61dmin/", "www.example.com", None, False, "path_prefix"),
    ("GET", "/login?x", "www.example.com", None, False, "path"),
    ("GET", "/", "OLD.example.com:80", None, False, "host"),
    ("DELETE", "/", "www.example.com", None, False, "method"),
    ("GET", "/", "www.example.com", "127.0.0.9", False, "client"),
])
def test_a_route_leaves_to_others_what_it_says(scene, method, target, host, source, is_taken, why):
    weir = scene.proxy(scene.server(), listener={"routes": ROUTES})
    client = scene.client(weir, source=source)
    client.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert client.read(method).text == ("ok" if is_taken else "rest")
    asked = {"method": method, "url": f"http://{host}{target}", "client": source or "127.0.0.1"}
    told = json.loads(weir.ask_admin("POST", "/api/v1/explain", body=asked).body)
    assert told["route"]["name"] == ("site" if is_taken else "rest")
    if why:
        assert told["considered"] == [{"route": "site", "why": f"its `not` leaves out this {why}"}]


def check(tmp_path, *routes):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:1", "routes": list(routes)}},
                                "pools": {"web": {"servers": ["127.0.0.1:2"]}}}))
    return run_command("check", str(path))


@pytest.mark.parametrize("route, fault", [
    ({"path_prefix": "/admin/x", "not": {"path_prefix": "/admin/"}}, "leaves out all of its path_prefix"),
    ({"method": ["POST"], "not": {"method": ["POST", "PUT"]}}, "leaves out all of its method"),
    ({"host": "a.example.com", "not": {"host": "*.example.com"}}, "leaves out all of its host"),
    ({"host": "a.example.com.", "not": {"host": "*.EXAMPLE.com."}}, "leaves out all of its host"),
])
def test_a_route_that_can_never_be_taken_is_told(tmp_path, route, fault):
    done = check(tmp_path, {"name": "r", "pool": "web", **route}, {"name": "rest", "pool": "web"})
    assert done.returncode == 0 and fault in done.stderr + done.stdout, done.stderr


@pytest.mark.parametrize("route, fault", [
    ({"not": {}}, "it leaves nothing out"),
    ({"not": {"path": "admin"}}, "begin it with a slash"),
    ({"not": {"path": "/a/../b"}}, "/a/../b"),
    ({"not": {"host": "a:80"}}, "routes go by host alone"),
    ({"not": {"method": "delete"}}, "write it in capitals"),
    ({"not": {"method": ["DELETE", "D LETE"]}}, "cannot be a method"),
    ({"not": {"path_prefx": "/"}}, 'did you mean "path_prefix"?'),
])
def test_mistakes_are_named(tmp_path, route, fault):
    done = check(tmp_path, {"name": "r", "pool": "web", **route})
    assert done.returncode == 78 and fault in done.stderr, done.stderr
