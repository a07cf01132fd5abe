"""weir explain: where a request would go and why, by the file alone and by a running weir, which must agree with what
then happens to a real request."""
import json
import os
import socket

import pytest

import broken
import message
from ports import reserve_port
from tls import Pki
from weir import make_config, run_command

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
USAGE, DATA, UNAVAILABLE, PROTOCOL, NO_PERMISSION, CONFIG = 64, 65, 69, 76, 77, 78
PROBLEM = ("Content-Type", "application/problem+json")
LISTENER = {"routes": [
    {"name": "beta", "path_prefix": "/v1/", "headers": {"X-Env": "beta"}, "pool": "canary"},
    {"name": "api", "host": "example.com", "path_prefix": "/v1/", "split": "checkout"},
    {"name": "moved", "path": "/old", "redirect": {"to": "https://new.example/", "status": 301}},
    {"name": "files", "path_prefix": "/files/", "pool": "web"}]}


def make(servers=("127.0.0.1:1", "127.0.0.1:2"), canary="127.0.0.1:3", **top):
    config = make_config(servers, listener={**LISTENER}, pools={"canary": {"servers": [canary]}}, **top)
    del config["listeners"]["web"]["bind"]
    config["listeners"]["web"]["bind"] = f"127.0.0.1:{reserve_port()}"
    config["splits"] = {"checkout": {"unit": "header:X-User-Id", "variants": {
        "a": {"weight": 50, "pool": "web"}, "b": {"weight": 50, "pool": "canary"}}}}
    return config


def write(tmp_path, config):
    path = tmp_path / "explained.yaml"
    path.write_text(json.dumps(config))
    return str(path)


def explain(path, *arguments, url="/v1/x"):
    """The explanation by the file."""
    done = run_command("explain", "-c", path, "--json", *arguments, url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lines_of(*arguments):
    """The story as {"route": "api  host exact, ..."}."""
    done = run_command("explain", *arguments)
    assert done.returncode == 0, done.stderr
    return dict(line.split(None, 1) for line in done.stdout.splitlines())


def refuse(code, *arguments):
    done = run_command("explain", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("weir explain: ") and len(done.stderr.splitlines()) <= 2
    return done.stderr


# By the file


def test_the_file_alone_says_route_pool_and_server(tmp_path):
    told = explain(write(tmp_path, make()), "--header", "X-Env: beta", url="http://other.example/v1/x?q=1")
    assert told["listener"] == "web"
    assert told["request"] == {"method": "GET", "host": "other.example", "target": "/v1/x?q=1", "client": "127.0.0.1"}
    assert told["route"]["name"] == "beta"
    assert told["pool"] == "canary"
    assert told["server"]["address"] == "127.0.0.1:3"
    assert told["split"] is None and told["answer"] is None


def test_nothing_is_bound_or_written_by_the_file_alone(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = make(access_log={"path": str(tmp_path / "access.log")})
        config["listeners"]["web"]["bind"] = "127.0.0.1:%d" % taken.getsockname()[1]
        assert explain(write(tmp_path, config))["route"] is None
    assert not os.path.exists(tmp_path / "access.log")


def test_the_split_names_its_unit_and_place(tmp_path):
    path = write(tmp_path, make())
    told = explain(path, "--header", "X-User-Id: u42", url="http://example.com/v1/x")
    assert told["split"]["name"] == "checkout" and told["split"]["by"] == "unit" and told["split"]["unit"] == "u42"
    assert told["pool"] == {"a": "web", "b": "canary"}[told["split"]["variant"]]
    told = explain(path, "--client", "192.0.2.7", url="http://example.com/v1/x")
    assert told["split"]["by"] == "client" and told["split"]["unit"] == "192.0.2.7"


def test_the_story_has_a_decision_a_line(tmp_path):
    path = write(tmp_path, make())
    story = lines_of("-c", path, "--header", "X-Env: prod", "--header", "X-User-Id: u42", "http://example.com/v1/x")
    assert list(story) == ["listener", "route", "split", "pool", "server", "retry"]
    assert story["retry"].startswith("up to 3 attempts") and "after connect, reset; " in story["retry"]
    assert story["route"].startswith("api") and "host exact, path prefix" in story["route"]
    assert story["split"].startswith("checkout = ") and 'unit "u42"' in story["split"]
    story = lines_of("-c", path, "--header", "X-Env: prod", "/files/x")
    assert story["route"].startswith("files")
    story = lines_of("-c", path, "--header", "X-Env: prod", "/v1/x")
    assert "passed over: " in story["route"] and "beta (" in story["route"]
    assert story["answer"].startswith("404")
    assert lines_of("-c", path, "/old")["answer"].startswith("301")


def test_header_values_cannot_steer_the_terminal(tmp_path):
    done = run_command("explain", "-c", write(tmp_path, make()), "--header", "X-Env: \x1b[2J", "/v1/x")
    assert "\x1b" not in done.stdout + done.stderr


def test_what_the_url_begins_with_says_which_listener(tmp_path):
    pki = Pki(tmp_path)
    pki.make("a", "a.example")
    config = make()
    config["listeners"]["secure"] = {"bind": f"127.0.0.1:{reserve_port()}", "pool": "canary", "tls": {
        "certificates": [{"cert": pki.path("a.pem"), "key": pki.path("a.key")}]}}
    path = write(tmp_path, config)
    for url, listener in ("https://a.example/", "secure"), ("http://a.example/", "web"), ("/", "web"), ("https://a.example?x", "secure"):
        assert explain(path, url=url)["listener"] == listener, url
    assert 'listener "web" speaks plain HTTP; write the URL with http://' in refuse(DATA, "-c", path, "--listener", "web", "https://a.example/")
    assert 'there is no listener "secrue"; did you mean "secure"?' in refuse(DATA, "-c", path, "--listener", "secrue", "/")
    assert 'listener "secure" speaks TLS; write the URL with https://' in refuse(DATA, "-c", path, "--listener", "secure", "http://a.example/")


def test_what_is_made_of_the_scheme_is_made_of_the_listeners(tmp_path):
    pki = Pki(tmp_path)
    pki.make("a", "a.example")
    config = make()
    route = {"name": "moved", "path": "/old", "redirect": {"to": "{scheme}://new.example/", "status": 301}}
    tls = {"certificates": [{"cert": pki.path("a.pem"), "key": pki.path("a.key")}]}
    config["listeners"] = {name: {"bind": f"127.0.0.1:{reserve_port()}", "routes": [route], **more}
                           for name, more in (("plain", {}), ("secure", {"tls": tls}))}
    path = write(tmp_path, config)
    for scheme in "http", "https":
        assert f"{scheme}://new.example/" in json.dumps(explain(path, url=f"{scheme}://a.example/old")["answer"])


@pytest.mark.parametrize("arguments", [["nonsense"], ["https://example.com/"], ["--client", "300.1.1.1", "/"],
                                       ["--header", "no colon", "/"], ["--listener", "none", "/"], ["/a b"],
                                       ["--method", "", "/"], ["/" + "a" * 9000]],
                         ids=lambda arguments: " ".join(arguments)[:40])
def test_what_is_no_request_exits_with_65(arguments, tmp_path):
    refuse(DATA, "-c", write(tmp_path, make()), *arguments)


@pytest.mark.parametrize("arguments", [[], ["/"], ["--unknown", "/"], ["-c"], ["--live", "/", "leftover"],
                                       ["-c", "weir.yaml"], ["--live", "/", *["--header", "a: b"] * 101],
                                       ["--admin", "nonsense", "/"], ["--live", "--token", "two words", "/"]],
                         ids=lambda arguments: " ".join(arguments)[:40])
def test_wrong_usage_exits_with_64(arguments):
    done = run_command("explain", *arguments)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr


def test_mistakes_in_the_file_are_those_of_check(tmp_path):
    config = make()
    config["pools"]["web"]["balanse"] = "random"
    path = write(tmp_path, config)
    done = run_command("explain", "-c", path, "/")
    assert done.returncode == CONFIG
    assert done.stderr == run_command("check", path).stderr


# By a running weir


def test_live_is_what_then_happens(scene):
    servers = [scene.server(), scene.server(), scene.server()]
    config = make([server.address for server in servers[:2]], servers[2].address)
    weir = scene.weir(config)
    path = os.path.join(str(scene.directory), "weir-0.yaml")
    client = scene.client(weir)
    for user in range(8):
        told = explain(path, "--live", "--header", f"X-User-Id: {user}", url="http://example.com/v1/x")
        client.ask("GET", "/v1/x", ("X-User-Id", str(user)), host="example.com")
        record = weir.wait_records(user + 1)[0]
        assert record["pool"] == told["pool"]
        assert record["route"] == told["route"]["name"] == "api"


ADMISSION = [
    ("CONNECT", "h.test:80", [], 405),
    ("GET", "/", [("Via", "1.1 weir")] * 16, 508),
    ("GET", "/", [("Via", "1.1 weir")] * 15, 200),
    ("POST", "/", [("Content-Length", "1025")], 413),
    ("GET", "/x%2f", [], 400),
    ("GET", "/", [("Expect", "miracles")], 417),
    ("POST", "/", [("Transfer-Encoding", "gzip, chunked")], 501),
    ("POST", "/", [("Content-Length", "1"), ("Content-Length", "1")], 400),
    ("GET", "/", [("X-A", "a")] * 25, 431),
    ("GET", "/", [("X-A", "a" * 1100)], 431),
    ("GET", "/gated", [], 403),
    ("GET", "/gone", [], 404),
    ("GET", "/secret", [("X-Role", "user"), ("X-Role", "admin")], 403),
    ("GET", "/secret", [("X-Role", "admin"), ("Connection", "X-Role")], 200),
    ("GET", "/secret?%64ebug=1", [], 403),
]


@pytest.mark.parametrize("method, target, fields, status", ADMISSION)
def test_whom_traffic_refuses_explain_refuses_as_well(scene, method, target, fields, status):
    nobody = {"deny": ["0.0.0.0/0"]}
    weir = scene.proxy(scene.server(), listener={
        "limits": {"body": "1KiB", "head": "1KiB", "headers": 20},
        "routes": [{"name": "gated", "path": "/gated", "pool": "web", "gate": nobody},
                   {"name": "role", "path": "/secret", "headers": {"X-Role": "admin"}, "pool": "web", "gate": nobody},
                   {"name": "debug", "path": "/secret", "query": {"debug": "1"}, "pool": "web", "gate": nobody},
                   {"name": "gone", "path": "/gone", "respond": {"status": 404}},
                   {"name": "rest", "pool": "web"}]})
    client = scene.client(weir)
    client.send(message.request(method, target, *fields, host="h.test"))
    assert client.read(method).status == status
    record = weir.wait_records(1)[0]
    url = f"http://{target}/" if method == "CONNECT" else f"http://h.test{target}"
    told = weir.ask_admin("POST", "/api/v1/explain", body={
        "method": method, "url": url, "headers": [f"{name}: {value}" for name, value in fields]})
    assert told.status == 200, told.text
    told = json.loads(told.text)
    answer = told["answer"] or {"status": 200, "end": "ok"}
    assert (answer["status"], answer["end"]) == (status, record["end"])
    assert (told["route"] or {"name": ""})["name"] == (record["route"] or "")


def test_live_and_the_file_agree(scene):
    weir = scene.weir(make())
    path = os.path.join(str(scene.directory), "weir-0.yaml")
    for arguments in (["--header", "X-Env: beta"], ["--client", "192.0.2.9"], ["--method", "POST"]):
        asked = explain(path, "--live", *arguments)
        alone = explain(path, *arguments)
        for key in ("listener", "request", "route", "considered", "split", "pool", "answer", "target", "method"):
            assert asked[key] == alone[key], key
    assert weir.exchanges() == []  # nothing was sent or counted


def test_live_knows_who_is_out(scene):
    weir = scene.weir(make())
    path = os.path.join(str(scene.directory), "weir-0.yaml")
    weir.patch_server("canary", "127.0.0.1:3", admin="maintenance")
    beta = ["--header", "X-Env: beta"]
    assert explain(path, "--live", *beta)["server"]["name"] is None
    assert lines_of("-c", path, "--live", *beta, "/v1/x")["server"].startswith("-")
    assert explain(path, *beta)["server"]["name"] == "127.0.0.1:3"


def test_a_token_comes_from_the_file_an_option_or_the_environment(scene, monkeypatch):
    config = make()
    config["admin"]["token"] = "secret"
    scene.weir(config)
    path, admin = os.path.join(str(scene.directory), "weir-0.yaml"), config["admin"]["bind"]
    assert explain(path, "--live")
    assert "wants a token" in refuse(NO_PERMISSION, "--admin", admin, "/v1/x")
    assert "refuses this token" in refuse(NO_PERMISSION, "--admin", admin, "--token", "wrong", "/v1/x")
    assert run_command("explain", "--admin", admin, "--token", "secret", "/v1/x").returncode == 0
    monkeypatch.setenv("WEIR_TOKEN", "secret")
    assert run_command("explain", "--admin", admin, "/v1/x").returncode == 0


def test_a_unix_socket_is_asked_as_well(scene, tmp_path):
    config = make()
    config["admin"]["bind"] = f"unix:{tmp_path}/admin"
    scene.weir(config)
    done = run_command("explain", "--admin", f"unix:{tmp_path}/admin", "/old")
    assert (done.returncode, done.stderr) == (0, "")
    assert explain(os.path.join(str(scene.directory), "weir-0.yaml"), "--live", url="/old")["answer"]["status"] == 301


def test_an_address_for_all_means_this_machine(scene):
    config = make()
    port = config["admin"]["bind"].rsplit(":", 1)[1]
    scene.weir(config)
    for admin in (f":{port}", f"0.0.0.0:{port}", f"localhost:{port}"):
        assert run_command("explain", "--admin", admin, "/old").returncode == 0


def test_weirs_own_words_refuse_a_wrong_request(scene):
    config = make()
    scene.weir(config)
    assert '"none"' in refuse(DATA, "--admin", config["admin"]["bind"], "--listener", "none", "/")


# When it is not weir, or nobody


def test_nobody_there_exits_with_69_and_a_remedy(tmp_path):
    address = f"127.0.0.1:{reserve_port()}"
    error = refuse(UNAVAILABLE, "--admin", address, "/")
    assert f"nothing answers at {address}: is weir running?" in error and "--admin" in error
    assert "nothing answers" in refuse(UNAVAILABLE, "--admin", f"unix:{tmp_path}/none", "/")


@pytest.mark.parametrize("answer, code", [
    (b"220 mail.example ESMTP\r\n", PROTOCOL),
    (message.response(404, ("Content-Type", "text/html"), reason="Not Found"), PROTOCOL),
    (message.response(301, ("Location", "http://127.0.0.1:1/"), reason="Moved"), PROTOCOL),
    (message.response(200, body=b"<html>"), PROTOCOL),
    (message.response(200, ("Content-Type", "application/json"), body=b"[" * 5000), PROTOCOL),
    (message.response(503, PROBLEM, body=b'{"detail": "later\\u001b[2J"}'), UNAVAILABLE),
    (message.response(403, PROBLEM, body=b'{"detail": "not you"}'), NO_PERMISSION),
    (message.response(500, PROBLEM, body=b"{"), PROTOCOL),
    (JSON_HEAD + b"Content-Length: 100\r\n\r\nshort", UNAVAILABLE),
    (JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", PROTOCOL),
    (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20000, PROTOCOL),
    (b"", UNAVAILABLE),
], ids=range(12))
def test_what_is_no_answer_of_weirs_is_said_in_one_line(answer, code, scene):
    server = scene.server([broken.receive, broken.send(answer), broken.close])
    error = refuse(code, "--admin", server.address, "/")
    assert "\x1b" not in error


def test_an_answer_without_end_is_bounded(scene):
    piece = b"[" * (1 << 20)

    def pour(connection):
        for _ in range(64):
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    server = scene.server([broken.receive, broken.send(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"), pour])
    assert "32 MiB" in refuse(UNAVAILABLE, "--admin", server.address, "/")


def test_an_answer_that_never_comes_is_given_up(scene):
    server = scene.server([broken.receive, broken.stall])
    assert "within 5 s" in refuse(UNAVAILABLE, "--admin", server.address, "/")


@pytest.mark.parametrize("form", ["chunked", "interim", "close-delimited", "byte by byte"])
def test_every_framing_of_an_answer_is_read(form, scene):
    body = json.dumps({"listener": "web", "route": None}).encode()
    whole = message.response(200, ("Content-Type", "application/json"), body=body)
    answer = {"chunked": JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + message.chunked(body[:5], body[5:]),
              "interim": b"HTTP/1.1 103 Early Hints\r\n\r\n" + whole,
              "close-delimited": JSON_HEAD + b"\r\n" + body}.get(form, whole)
    send = broken.send_pieces(answer) if form == "byte by byte" else broken.send(answer)
    server = scene.server([broken.receive, send, broken.close])
    assert lines_of("--admin", server.address, "/")["route"].endswith("none takes it")
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/api/v1/explain")
    assert json.loads(request.body) == {"url": "/", "headers": []}
    assert request.get("Host") == server.address and request.get("Content-Type") == "application/json"
