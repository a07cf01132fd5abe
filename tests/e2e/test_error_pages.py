"""Pages of the configuration's in place of weir's own sentences: which one is taken, what stands on it, and that nothing of a
request is ever more than text there."""
import json

import pytest

import broken
import message
from http2 import Http2
from ports import reserve_port
from tls import Pki
from waiting import eventually
from weir import run_command

EVIL = "/<script>alert(1)</script>"
ROUTES = [{"name": "down", "path_prefix": "/down", "pool": "down",
           "errors": {"502": {"html": "<p>{status} {reason} at {path}</p>"}, "5xx": "class of the route"}},
          {"name": "api", "path_prefix": "/api/", "pool": "down",
           "errors": {"default": {"html": "<h1>{title}</h1>", "json": '{"code": {status}, "id": "{request_id}", "q": "{arg:q}"}'}}},
          {"name": "bare", "path_prefix": "/bare", "pool": "down"}]
ERRORS = {"404": "nothing at {path}\n", "4xx": "class of the listener", "default": "default of the listener: {detail}"}


def pages(scene, build="asan", routes=ROUTES, errors=ERRORS, **listener):
    closed = f"127.0.0.1:{reserve_port()}"
    return scene.proxy(scene.server(), build=build, listener={"routes": routes, "errors": errors, "faults": "id", **listener},
                       pools={"down": {"servers": [{"name": "secret-server", "address": closed}]}})


def over_http2(scene, weir, *tls):
    client = Http2(weir.address, *tls)
    scene.clients.append(client)
    return client


def test_the_status_goes_before_its_class_and_the_route_before_its_listener(scene):
    client = scene.client(pages(scene))
    for target, status, body in [("/none", 404, "nothing at /none\n"), ("/down", 502, "<p>502 connect_refused at /down</p>"),
                                 ("/bare", 502, "default of the listener: The server refused the connection.")]:
        response = client.ask("GET", target)
        assert (response.status, response.text) == (status, body)
        assert response.get("X-Content-Type-Options") == "nosniff" and response.get("Cache-Control") == "no-store"
        assert response.get("X-Request-Id")
    assert client.ask("GET", "/down").get("Content-Type") == "text/html; charset=utf-8"
    assert client.ask("GET", "/none").get("Content-Type") == "text/plain; charset=utf-8"
    client.send(b"GET / HTTP/3.0\r\nHost: a\r\n\r\n")
    response = client.read()
    assert response.status == 505 and response.text.startswith("default of the listener: ")


def test_a_head_that_cannot_be_read_has_its_page(scene):
    client = scene.client(pages(scene))
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nBad Field: x\r\n\r\n")
    assert client.read().text == "class of the listener"


@pytest.mark.parametrize("accept, kind", [("text/html", "text/html; charset=utf-8"), ("application/json", "application/json"),
                                          ("text/html;q=0.5, application/json", "application/json"),
                                          ("*/*", "text/html; charset=utf-8")])
def test_a_client_gets_the_form_that_it_prefers(scene, accept, kind):
    response = scene.client(pages(scene)).ask("GET", "/api/x?q=%22", ("Accept", accept), ("X-Request-Id", "of-mine"))
    assert (response.status, response.get("Content-Type")) == (502, kind)
    if kind == "application/json":
        assert json.loads(response.body) == {"code": 502, "id": "of-mine", "q": "%22"}
    else:
        assert response.text == "<h1>Bad Gateway</h1>"


@pytest.mark.parametrize("value", ['</p><script>alert(1)</script>', '" onload="x', "'&amp;<!--", "\xff\xfe", "a" * 5000])
def test_what_a_request_says_is_text(scene, value):
    errors = {"404": {"html": "<p title='x'>{path}|{header:X-Evil}|{cookie:c}|{arg:a}</p>",
                      "json": '{"h": "{header:X-Evil}", "c": "{cookie:c}"}'}}
    weir = pages(scene, errors=errors)
    client = scene.client(weir)
    sent = message.request("GET", "/none?a=" + "%3Cb%3E<b>", ("X-Evil", "@"), ("Cookie", "c=<i>")).replace(
        b"@", value.encode("latin-1"))
    client.send(sent)
    response = client.read()
    assert response.status == 404 and response.text.startswith("<p title='x'>/none|") and response.text.endswith("</p>")
    inside = response.text[len("<p title='x'>"):-len("</p>")]
    assert not set(inside) & set("<>\"'"), inside
    assert "%3Cb%3E&lt;b&gt;" in inside and len(inside) < 5000
    client.send(sent.replace(b"\r\n\r\n", b"\r\nAccept: application/json\r\n\r\n"))
    told = json.loads(client.read().body)
    assert told["c"] == "<i>" and told["h"][:1] in (value[0], "\ufffd")


def test_a_path_never_runs(scene):
    client = scene.client(pages(scene, errors={"404": {"html": "<p>{path}</p>"}}))
    client.send(b"GET " + EVIL.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    response = client.read()
    assert response.status in (400, 404) and b"<script" not in response.body


@pytest.mark.parametrize("detail, shown", [("id", "||"), ("full", "down|secret-server|")])
def test_names_are_for_who_may_know_them(scene, detail, shown):
    errors = {"5xx": "{pool}|{server}|{detail}"}
    weir = pages(scene, routes=[{"name": "all", "pool": "down"}], errors=errors, faults=detail)
    response = scene.client(weir).ask("GET", "/")
    assert response.text.startswith(shown)
    assert ("secret" in response.text) == (detail == "full")


def test_who_it_is_stands_there_once_that_is_known(scene, tmp_path):
    users = tmp_path / "users"
    users.write_text("alice:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
    weir = pages(scene, errors={"default": {"html": "<p>{status} {user}</p>", "json": '{"user": "{user}"}'}},
                 routes=[{"name": "down", "path": "/down", "pool": "down"}], auth={"basic": str(users)})
    client = scene.client(weir)
    alice = ("Authorization", "Basic YWxpY2U6c2VjcmV0")
    assert client.ask("GET", "/down").text == "<p>401 </p>"
    assert [client.ask("GET", target, alice).text for target in ("/down", "/none")] == ["<p>502 alice</p>", "<p>404 alice</p>"]
    assert json.loads(client.ask("GET", "/down", alice, ("Accept", "application/json")).body) == {"user": "alice"}


def test_head_has_the_length_and_no_body(scene):
    client = scene.client(pages(scene))
    whole = client.ask("GET", "/none")
    response = client.ask("HEAD", "/none")
    assert response.status == 404 and response.body == b""
    assert response.get("Content-Length") == str(len(whole.body))
    assert client.ask("GET", "/none").body == whole.body


def test_grpc_keeps_its_statuses(scene):
    stream = over_http2(scene, pages(scene)).ask("POST", "/down", ("content-type", "application/grpc"), ("te", "trailers"))
    assert stream.status == 200 and stream.headers["grpc-status"] == "14" and not stream.body


def test_http2_over_tls_has_the_same_pages(scene, tmp_path):
    pki = Pki(tmp_path)
    weir = pages(scene, tls={"certificates": [pki.make("site", "site.example")]})
    client = over_http2(scene, weir, pki.context(), "site.example")
    stream = client.ask("GET", "/none")
    assert stream.status == 404 and bytes(stream.body) == b"nothing at /none\n"
    assert stream.headers["content-type"] == "text/plain; charset=utf-8"
    head = client.ask("HEAD", "/none")
    assert head.status == 404 and not head.body


def test_a_file_is_read_with_the_configuration(scene, tmp_path):
    path = tmp_path / "404.html"
    large = "<p>{{path}}</p>" + "x" * 300000
    path.write_text(large.replace("{{path}}", "one"))
    weir = pages(scene, build="release", errors={"404": {"file": str(path)}})
    client = scene.client(weir)
    response = client.ask("GET", "/none")
    assert response.body == path.read_bytes() and response.get("Content-Type") == "text/html; charset=utf-8"
    path.write_text("<p>two of {path}</p>")
    assert client.ask("GET", "/none").body.startswith(b"<p>one")
    assert weir.ask_admin("POST", "/api/v1/reload").status == 200
    assert client.ask("GET", "/none").body == b"<p>two of /none</p>"
    path.unlink()
    refused = weir.ask_admin("POST", "/api/v1/reload")
    assert refused.status == 400 and "cannot open" in refused.text and "404.html" in refused.text
    assert client.ask("GET", "/none").body == b"<p>two of /none</p>"


def test_a_page_goes_on_while_its_configuration_goes(scene, tmp_path):
    path = tmp_path / "404.html"
    path.write_text("x" * 1000000)
    weir = pages(scene, errors={"404": {"file": str(path)}})
    client = scene.client(weir, receive_buffer=4096)
    client.send(message.request("GET", "/none"))
    client.read_head()
    path.write_text("y")
    assert weir.ask_admin("POST", "/api/v1/reload").status == 200
    assert client.read_exactly(1000000) == b"x" * 1000000
    assert client.ask("GET", "/none").body == b"y"


@pytest.mark.parametrize("errors, fault", [
    ({"404": {"file": "/nowhere/404.html"}}, "cannot open /nowhere/404.html: No such file"),
    ({"404": {"file": "/etc"}}, "name it .html, .txt or .json"),
    ({"404": {"html": "<a href='{path}'>"}}, "{path} stands within a tag"),
    ({"404": {"html": "<script>{arg:q}</script>"}}, "within a script"),
    ({"404": {"json": '{"path": {path}}'}}, "outside of a string"),
    ({"404": {"json": '{"path" "x"}'}}, "it is no JSON"),
    ({"404": {"text": "a", "html": "b"}}, "a page has one body"),
    ({"404": {}}, "the page says nothing"),
    ({"200": "x"}, 'no answer of weir\'s own to a fault has the status "200"'),
    ({"6xx": "x"}, "write a status like 404"),
    ({"404": {"txt": "x"}}, 'did you mean "text"?'),
])
def test_mistakes_are_named_with_their_place(tmp_path, errors, fault):
    config = {"listeners": {"web": {"bind": "127.0.0.1:1", "pool": "web", "errors": errors}},
              "pools": {"web": {"servers": ["127.0.0.1:2"]}}}
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(config))
    done = run_command("check", str(path))
    assert done.returncode == 78 and fault in done.stderr and "weir.json:1:" in done.stderr, done.stderr


def test_a_file_may_not_be_huge_or_no_file(tmp_path):
    huge = tmp_path / "huge.html"
    with open(huge, "wb") as file:
        file.truncate(1 << 31)
    folder = tmp_path / "folder.html"
    folder.mkdir()
    for path, fault in [(huge, "has more than 1024 KiB"), (folder, "is no file")]:
        config = {"listeners": {"web": {"bind": "127.0.0.1:1", "pool": "web", "errors": {"404": {"file": str(path)}}}},
                  "pools": {"web": {"servers": ["127.0.0.1:2"]}}}
        (tmp_path / "weir.json").write_text(json.dumps(config))
        done = run_command("check", str(tmp_path / "weir.json"))
        assert done.returncode == 78 and fault in done.stderr, done.stderr


def test_a_word_that_is_nearly_a_variable_is_noticed(tmp_path):
    config = {"listeners": {"web": {"bind": "127.0.0.1:1", "pool": "web", "errors": {"404": "{requestid}"}}},
              "pools": {"web": {"servers": ["127.0.0.1:2"]}}}
    (tmp_path / "weir.json").write_text(json.dumps(config))
    done = run_command("check", str(tmp_path / "weir.json"))
    assert done.returncode == 0 and "did you mean {request_id}?" in done.stderr + done.stdout


def failing(scene):
    """A server that answers with the status that is asked for."""
    def answer(request):
        body = b"" if request.method == "HEAD" else b"secrets of a stack trace"
        return message.response(int(request.target[1:4]), ("Set-Cookie", "a=b"), body=body)
    return scene.server([broken.serve(answer)])


@pytest.mark.parametrize("pool", [{}, {"retry": {"on": [503]}}])
def test_a_servers_own_answer_gives_way_where_that_is_said(scene, pool):
    errors = {"5xx": {"html": "<p>{status} {reason} {detail} {server}</p>", "intercept": True}, "404": "weir's own"}
    weir = scene.proxy(failing(scene), listener={"errors": errors, "faults": "id"}, pool=pool)
    client = scene.client(weir)
    for method in ("GET", "HEAD", "POST"):
        response = client.ask(method, "/503")
        assert response.status == 503 and response.get("Set-Cookie") is None
        text = "<p>503 server_answer The server answered with 503. </p>"
        assert response.text == ("" if method == "HEAD" else text) and response.get("Content-Length") == str(len(text))
    eventually(lambda: all(e["status"] == 503 and e["end"] == "ok" for e in weir.exchanges()), "they are recorded")
    assert client.ask("GET", "/404").text == "secrets of a stack trace"


def test_grpc_statuses_of_servers_are_left_alone(scene):
    weir = scene.proxy(failing(scene), listener={"errors": {"5xx": {"text": "x", "intercept": True}}})
    stream = over_http2(scene, weir).ask("POST", "/503", ("content-type", "application/grpc"), ("te", "trailers"))
    assert bytes(stream.body) == b"secrets of a stack trace"


def test_a_route_that_does_not_intercept_goes_before_its_listener(scene):
    errors = {"503": {"text": "of the listener", "intercept": True}}
    routes = [{"name": "own", "path": "/503/own", "pool": "web", "errors": {"5xx": "for weir's faults alone"}},
              {"name": "rest", "pool": "web"}]
    weir = scene.proxy(failing(scene), listener={"routes": routes, "errors": errors})
    client = scene.client(weir)
    assert client.ask("GET", "/503/own").text == "secrets of a stack trace"
    assert client.ask("GET", "/503").text == "of the listener"


@pytest.mark.parametrize("status", ["401", "4xx", "default"])
def test_answers_that_say_more_than_their_body_cannot_be_replaced(tmp_path, status):
    config = {"listeners": {"web": {"bind": "127.0.0.1:1", "pool": "web", "errors": {status: {"text": "x", "intercept": True}}}},
              "pools": {"web": {"servers": ["127.0.0.1:2"]}}}
    (tmp_path / "weir.json").write_text(json.dumps(config))
    done = run_command("check", str(tmp_path / "weir.json"))
    assert done.returncode == 78 and "says more than its body" in done.stderr, done.stderr
