"""Methods and request targets of all forms (RFC 9112 3.2)."""
import pytest

import broken


@pytest.mark.parametrize("target, path, host", [
    ("http://other.test/path?query", "/path?query", "other.test"),
    ("http://other.test:8080/", "/", "other.test:8080"),
    ("http://other.test", "/", "other.test"),
    ("http://other.test?a=b", "/?a=b", "other.test"),
    ("http://other.test:81?", "/?", "other.test:81"),
    ("HTTP://Other.Test/x", "/x", "Other.Test"),
    ("https://other.test/secure", "/secure", "other.test"),
    ("http://[::1]:81/v6", "/v6", "[::1]:81"),
])
def test_the_absolute_form_names_the_host_whatever_host_says(relay, target, path, host):
    client = relay.open(broken.receive, broken.ok)
    assert client.ask("GET", target, host="ignored.test").status == 200
    request = relay.wait_requests()[0]
    assert request.target == path
    assert request.get("Host") == host


def test_options_of_the_server_as_a_whole(relay):
    client = relay.open(broken.serve())
    assert client.ask("OPTIONS", "*").status == 200
    assert client.ask("OPTIONS", "http://other.test", host="x.test").status == 200
    requests = relay.wait_requests(2)
    assert [request.target for request in requests] == ["*", "*"]
    assert requests[1].get("Host") == "other.test"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_counts_down_and_is_answered_at_0(scene, method):
    server = scene.server()
    client = scene.client(scene.proxy(server))
    secrets = [("Cookie", "a=secret"), ("Authorization", "Basic c2VjcmV0")]
    response = client.ask(method, "/a?b", ("Max-Forwards", "0"), ("X-A", "1"), *secrets)
    assert response.status == 200 and server.requests == []
    if method == "TRACE":
        assert response.get("Content-Type") == "message/http"
        assert response.text.startswith("TRACE /a?b HTTP/1.1\r\n") and "X-A: 1\r\n" in response.text
        assert "ecret" not in response.text and "c2VjcmV0" not in response.text
    else:
        assert "GET" in response.get("Allow") and response.body == b""
    assert client.ask(method, "/", ("Max-Forwards", "7"), ("Max-Forwards", "3")).status == 200
    assert client.ask(method, "/", ("Max-Forwards", "many")).status == 200
    assert client.ask(method, "/").status == 200
    assert [request.all("Max-Forwards") for request in server.requests] == [["2"], ["many"], []]


def test_max_forwards_of_other_methods_is_nobodys_business(scene):
    server = scene.server()
    assert scene.client(scene.proxy(server)).ask("GET", "/", ("Max-Forwards", "0")).status == 200
    assert server.requests[0].get("Max-Forwards") == "0"


def test_connect_is_not_served(scene):
    server = scene.server()
    weir = scene.proxy(server)
    client = scene.client(weir)
    client.send(b"CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n")
    response = client.read()
    assert response.status == 405
    assert "GET" in response.get("Allow") and "CONNECT" not in response.get("Allow")
    assert server.connections == []
    assert weir.exchange(status=405)["end"] == "method_not_allowed"


@pytest.mark.parametrize("target", [
    "/", "/?", "/?a=b&c=d?e", "/;p=1", "/a:b@c", "/~!$&'()*+,;=", "/[bracket]", "/%2520%20?%61//..", "/" + "x" * 8000,
])
def test_a_canonical_target_is_passed_on_byte_for_byte(scene, target):
    server = scene.server()
    assert scene.client(scene.proxy(server)).ask("GET", target).status == 200
    assert server.requests[0].target == target


@pytest.mark.parametrize("target", [
    "//", "//double//slashes", "/a/../b/./c", "/%2e%2e/%2F%00", "/..", "/%zz",
    "/[bracket]|pipe^caret`tick{brace}\\back\"quote<angle>",
])
def test_every_target_is_passed_on_byte_for_byte_where_the_listener_says_so(scene, target):
    server = scene.server()
    weir = scene.proxy(server, listener={"paths": {"form": "as_sent"}})
    assert scene.client(weir).ask("GET", target).status == 200
    assert server.requests[0].target == target


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT", "TRACE", "OPTIONS", "PROPFIND", "M-SEARCH", "get", "X" * 32])
def test_methods_are_passed_on_as_they_are(scene, method):
    server = scene.server()
    client = scene.client(scene.proxy(server))
    assert client.ask(method, "/x").status == 200
    assert server.requests[0].method == method
