"""Who may pass by what they show: names with passwords, and tokens."""
import base64
import json
import os
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import broken
import echo
import message
from http2 import Http2
from test_access_log import read_lines
from test_http2_websockets import grant
from test_upgrade import ASK, SWITCH, echo as tunnel_echo
from weir import run_command
from waiting import eventually

# Of "secret", at the least cost that there is.
QUICK = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
YESCRYPT = "$y$j75$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01"


def basic(name, password="secret"):
    return "Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def bearer(token):
    return "Authorization", f"Bearer {token}"


def wait_at_least(weir, count, name, **labels):
    eventually(lambda: weir.metric(name, **labels) >= count, f"{name}{labels} at {count} or more")


def replace(path, text):
    """By rename, as tools do."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    beside.rename(path)


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"# who may pass\nalice:{QUICK}\nbob:{YESCRYPT}\n")
    return path


def guarded(scene, auth, **config):
    """weir before an echo, whose listener asks."""
    return scene.proxy(echo.echo_server(scene, "s"), listener={"auth": auth, **config.pop("listener", {})}, **config)


# Names and passwords


def test_who_shows_nothing_or_something_wrong_is_asked(scene, users):
    weir = guarded(scene, {"basic": str(users), "realm": "the cellar"})
    client = scene.client(weir)
    for fields in ([], [basic("alice", "Secret")], [basic("nobody")], [("Authorization", "Basic !!!")],
                   [("Authorization", "Digest x")], [bearer("a.b.c")]):
        answer = client.ask("GET", "/", *fields)
        assert answer.status == 401
        assert answer.get("WWW-Authenticate") == 'Basic realm="the cellar", charset="UTF-8"'
    assert client.ask("GET", "/", basic("alice"), basic("alice")).status == 400
    assert client.ask("GET", "/", basic("alice")).status == 200  # the connection goes on
    for outcome, count in {"required": 3, "failed": 3, "passed": 1, "denied": 0}.items():
        weir.wait_metric(count, "weir_auth_requests_total", listener="web", route="default", outcome=outcome)
    assert {record["end"] for record in weir.wait_records(6, status=401)} == {"auth_required", "auth_failed"}


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_servers_are_told_who_it_is_and_nothing_that_clients_say_of_it(scene, users, name):
    weir = guarded(scene, {"basic": str(users)})
    for forged in ([], [("X-User", "root")], [("x-uSer", "root"), ("X-User", "root")], [("X_User", "root")],
                   [("Connection", "X-User")], [("Connection", "close, x-user"), ("X-User", "root")]):
        seen = echo.ask(scene.client(weir), "/", basic(name), *forged)
        assert seen.get("X-User") == name
        assert not seen.all("X_User") and not seen.all("Authorization")


def test_a_trailer_that_the_route_lets_pass_is_still_no_word_of_weirs(scene, users):
    server = scene.server()
    weir = scene.proxy(server, listener={"auth": {"basic": str(users)}, "routes": [
        {"name": "all", "pool": "web", "request_trailers": ["X-User", "X_User", "X-Sum"]}]})
    client = scene.client(weir)
    client.send(message.render("POST / HTTP/1.1", [
        ("Host", "h"), basic("bob"), ("Transfer-Encoding", "chunked")]) +
        message.chunked(b"x", trailers=[("X_User", "root"), ("X-User", "root"), ("X-Sum", "1")]))
    assert client.read().status == 200
    request = server.wait_requests(1)[0]
    assert request.get("X-User") == "bob"
    assert [name.lower() for name, _ in request.trailers] == ["x-sum"]


def test_a_trailer_is_no_word_of_weirs_after_another_configuration_either(scene, users):
    begun, goes_on = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", b"cd"
    server = scene.server([broken.receive_head, broken.send(begun), broken.receive_body, broken.send(goes_on)])
    weir = scene.proxy(server, listener={"auth": {"basic": str(users)}, "routes": [
        {"name": "all", "pool": "web", "request_trailers": ["X-User", "X_User", "X-Sum"]}]})
    client = scene.client(weir)
    client.send(message.render("POST / HTTP/1.1", [("Host", "h"), basic("bob"), ("Transfer-Encoding", "chunked")]) + b"1\r\nx\r\n")
    assert client.read_exactly(12) == b"HTTP/1.1 200"
    web = weir.config["listeners"]["web"]
    new = {"name": "new", "path": "/new", "respond": "new", "auth": "none"}
    weir.reload({**weir.config, "listeners": {"web": {**web, "routes": [new, *web["routes"]]}}})
    other = scene.client(weir)
    eventually(lambda: other.ask("GET", "/new").status == 200, "the worker with the other configuration")
    client.send(message.chunked(trailers=[("X_User", "root"), ("X-User", "root"), ("X-Sum", "1")]))
    client.read_until(b"cd", 1024, "the rest")
    assert [name.lower() for name, _ in server.requests[0].trailers] == ["x-sum"]


def test_the_identity_is_no_clients_on_the_whole_listener(scene, users):
    weir = scene.proxy(echo.echo_server(scene, "s"), listener={"routes": [
        {"name": "open", "path_prefix": "/open", "pool": "web"},
        {"name": "closed", "pool": "web", "auth": {"basic": str(users), "header": "X-Who"}}]})
    assert echo.ask(scene.client(weir), "/open", ("X-Who", "root"), ("X-User", "root")).fields.count(("X-Who", "root")) == 0
    assert echo.ask(scene.client(weir), "/", basic("bob")).get("X-Who") == "bob"


def test_what_was_shown_goes_on_only_where_it_is_told_to(scene, users):
    weir = guarded(scene, {"basic": str(users), "pass": True, "header": ""})
    seen = echo.ask(scene.client(weir), "/", basic("alice"))
    assert seen.get("Authorization") == basic("alice")[1] and seen.get("X-User") is None


def test_a_route_may_ask_nobody_or_others(scene, users, tmp_path):
    other = tmp_path / "other"
    other.write_text(f"carol:{QUICK}\n")
    weir = guarded(scene, {"basic": str(users)}, listener={"routes": [
        {"name": "health", "path": "/healthz", "respond": "ok", "auth": "none"},
        {"name": "admin", "path_prefix": "/admin", "pool": "web", "auth": {"basic": str(other)}},
        {"name": "one", "path_prefix": "/one", "pool": "web", "auth": {"basic": str(users), "allow": ["bob"]}},
        {"name": "told", "path": "/told", "respond": "told"},
        {"name": "rest", "path_prefix": "/rest", "pool": "web"}]})
    client = scene.client(weir)

    def status(target, *fields):
        return client.ask("GET", target, *fields).status
    assert status("/healthz") == 200
    assert [status("/told"), status("/told", basic("alice"))] == [401, 200]
    assert [status("/admin/x", basic("alice")), status("/admin/x", basic("carol"))] == [401, 200]
    assert [status("/one", basic("alice")), status("/one", basic("bob"))] == [403, 200]
    assert [status("/rest"), status("/rest", basic("bob"))] == [401, 200]
    # No spelling of a path gets around it, and who may not pass does not learn which paths there are.
    for target in ("/healthz/../admin/x", "/rest/../admin/x", "/%61dmin/x", "/./admin/x", "/admin/x"):
        assert [status(target), status(target, basic("alice")), status(target, basic("carol"))] == [401, 401, 200], target
    assert [status("/nothing"), status("/nothing", basic("alice"))] == [401, 404]
    weir.wait_metric(1, "weir_auth_requests_total", route="one", outcome="denied")


def test_a_listener_that_redirects_to_https_asks_nobody(scene, users):
    weir = scene.proxy(scene.server(), listener={"redirect": "https", "auth": {"basic": str(users)},
                                                 "routes": [{"name": "a", "path": "/a", "pool": "web"}]})
    client = scene.client(weir)
    assert client.ask("GET", "/").status == 301
    assert client.ask("GET", "/a").status == 401


def test_the_gate_is_asked_before(scene, users):
    weir = guarded(scene, {"basic": str(users)}, listener={"routes": [
        {"name": "all", "pool": "web", "gate": {"deny": ["127.0.0.1"]}}]})
    answer = scene.client(weir).ask()
    assert answer.status == 403 and not answer.has("WWW-Authenticate")


def test_who_it_is_stands_in_templates_rates_and_the_log(scene, users):
    path = os.path.join(str(scene.directory), "access.log")
    weir = guarded(scene, {"basic": str(users)}, access_log={"path": path, "format": "json"},
                   listener={"routes": [{"name": "all", "pool": "web", "rate": {"requests": "2/d", "key": "{user}"},
                                         "request_headers": {"set": {"X-Greeting": "hello {user}"}},
                                         "response_headers": {"set": {"X-You": "{user}"}}}]})
    client = scene.client(weir)
    answer = client.ask("GET", "/", basic("alice"))
    assert answer.get("X-You") == "alice" and '"hello alice"' in answer.text
    assert [client.ask("GET", "/", basic("alice")).status for _ in range(2)] == [200, 429]
    assert client.ask("GET", "/", basic("bob")).status == 200
    assert client.ask("GET", "/").status == 401
    assert [json.loads(line)["user"] for line in read_lines(path, 5)] == ["alice"] * 3 + ["bob", ""]


def test_a_listeners_rate_by_user_waits_until_that_is_known(scene, users):
    weir = guarded(scene, {"basic": str(users)}, listener={"rate": {"requests": "2/d", "key": "{user}"}})
    client = scene.client(weir)
    assert [client.ask("GET", "/", basic("bob", "wrong")).status for _ in range(3)] == [401] * 3
    assert [client.ask("GET", "/", basic("bob")).status for _ in range(3)] == [200, 200, 429]
    assert client.ask("GET", "/", basic("alice")).status == 200


def test_http2_is_asked_as_well(scene, users):
    weir = guarded(scene, {"basic": str(users)})
    client = Http2(weir.address)
    scene.clients.append(client)
    refused = client.ask("GET", "/")
    assert refused.status == 401
    name, value = basic("alice")
    answer = client.ask("GET", "/", (name.lower(), value), ("x-user", "root"))
    assert answer.status == 200 and b"alice" in answer.body and b"root" not in answer.body


def test_a_routes_rate_bounds_guesses_unless_it_is_to_know_who_it_is(scene, users):
    weir = guarded(scene, {"basic": str(users)}, listener={"routes": [
        {"name": "user", "path": "/user", "pool": "web", "rate": {"requests": "2/d", "key": "{user}"}},
        {"name": "all", "pool": "web", "rate": "2/d"}]})
    client = scene.client(weir)
    assert [client.ask("GET", "/", basic("bob", f"wrong{n}")).status for n in range(4)] == [401, 401, 429, 429]
    weir.wait_metric(2, "weir_auth_passwords_total", result="wrong")
    assert client.ask("GET", "/", basic("bob")).status == 429
    assert [client.ask("GET", "/user", basic("bob", "wrong")).status for _ in range(3)] == [401] * 3
    assert [client.ask("GET", "/user", basic("bob")).status for _ in range(3)] == [200, 200, 429]
    assert weir.metric("weir_auth_passwords_total", result="wrong") == 5
    other = scene.client(weir, source="127.0.0.2")
    # It is taken once, though what the request leads to is asked for twice.
    assert [other.ask("GET", "/", basic("bob")).status for _ in range(3)] == [200, 200, 429]


def test_a_browser_asks_without_what_shows_who_it_is(scene, users):
    server = scene.server()
    weir = scene.proxy(server, listener={"auth": {"basic": str(users)}, "cors": "https://app.example"})
    client = scene.client(weir)
    origin, asks = ("Origin", "https://app.example"), ("Access-Control-Request-Method", "PUT")
    preflight = client.ask("OPTIONS", "/", origin, asks, ("Access-Control-Request-Headers", "authorization"))
    assert (preflight.status, preflight.get("Access-Control-Allow-Origin")) == (204, origin[1])
    # The answer that asks for a password is one that the page may read; OPTIONS that is none is asked as well.
    refused = client.ask("GET", "/", origin)
    assert (refused.status, refused.get("Access-Control-Allow-Origin")) == (401, origin[1])
    assert client.ask("OPTIONS", "/", origin).status == 401
    assert server.requests == []
    assert client.ask("GET", "/", origin, basic("alice")).status == 200


def test_a_mirror_is_told_what_the_server_is_told(scene, users):
    server, shadow = scene.server(), scene.server()
    weir = scene.proxy(server, pools={"shadow": {"servers": [shadow.address]}},
                       listener={"auth": {"basic": str(users)}, "routes": [{"name": "all", "pool": "web", "mirror": "shadow"}]})
    client = scene.client(weir)
    assert client.ask("GET", "/refused", basic("alice", "wrong"), ("X-User", "root")).status == 401
    assert client.ask("GET", "/", basic("alice"), ("X-User", "root"), ("X_User", "root")).status == 200
    weir.wait_metric(1, "weir_mirror_copies_total", end="ok")
    for request in (server.requests[0], shadow.wait_requests(1)[0]):
        assert (request.target, request.get("X-User")) == ("/", "alice")
        assert not request.has("Authorization") and not request.has("X_User")
    assert len(shadow.requests) == 1


def test_a_websocket_over_http2_opens_for_those_who_may_pass(scene, users):
    server = scene.server([broken.receive, grant, tunnel_echo])
    weir = scene.proxy(server, listener={"auth": {"basic": str(users)}})
    client = Http2(weir.address)
    scene.clients.append(client)
    client.until(lambda: client.h2.remote_settings.max_header_list_size, "the first settings")

    def ask(*more):
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(number, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"),
                                        (":authority", "h"), ("sec-websocket-version", "13"), *more])
        client.flush()
        stream = client.streams[number]
        client.until(lambda: stream.headers or stream.reset is not None, "an answer")
        return number, stream
    assert ask()[1].status == 401
    name, value = basic("alice")
    number, stream = ask((name.lower(), value), ("x-user", "root"))
    assert stream.status == 200
    client.send_body(number, b"hello", ends=False)
    client.until(lambda: len(stream.body) >= 5, "the echo")
    request = server.requests[0]
    assert request.get("X-User") == "alice" and not request.has("Authorization")


@pytest.mark.parametrize("way", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_knows_what_to_do(scene, users, way):
    weir = guarded(scene, {"basic": str(users)})
    common = ["curl", "-sS", "--max-time", "30", way, "-o", "/dev/null", "-w", "%{http_code}"]
    url = "http://%s:%d/" % weir.address
    assert subprocess.run([*common, url], capture_output=True, check=True).stdout == b"401"
    assert subprocess.run([*common, "-u", "bob:secret", url], capture_output=True, check=True).stdout == b"200"


def test_a_websocket_opens_for_those_who_may_pass(scene, users):
    server = scene.server([broken.receive, broken.send(SWITCH), tunnel_echo])
    weir = scene.proxy(server, listener={"auth": {"basic": str(users)}})
    client = scene.client(weir)
    assert client.ask("GET", "/chat", *ASK).status == 401
    client = scene.client(weir)
    assert client.ask("GET", "/chat", *ASK, basic("alice")).status == 101
    client.send(b"hello")
    assert client.read_exactly(5) == b"hello"
    client.close()


def test_a_body_waits_until_its_sender_is_known(scene, users):
    weir = guarded(scene, {"basic": str(users)})
    body = b"x" * 300000
    assert echo.ask(scene.client(weir), "/", basic("bob"), method="POST", body=body).body == body.decode()
    refused = scene.client(weir)
    refused.send(message.request("POST", "/", basic("bob", "wrong"), body=b"y"))
    assert refused.read().status == 401


# The file of users


def test_the_file_is_replaced_while_weir_runs_and_a_mistake_keeps_the_old(scene, users):
    weir = guarded(scene, {"basic": str(users)}, workers=2)
    client = scene.client(weir)
    assert client.ask("GET", "/", basic("bob")).status == 200
    replace(users, f"alice:{QUICK}\nbob:plain\n")
    event = weir.wait_event("users_refused")
    assert f"{users}:2: user \"bob\": " in event["error"] and "in the clear" in event["error"]
    assert client.ask("GET", "/", basic("bob")).status == 200
    replace(users, f"alice:{QUICK}\n")
    assert weir.wait_event("users_changed")["users"] == "1"
    eventually(lambda: client.ask("GET", "/", basic("bob")).status == 401, "bob, who is in the file no more, refused")
    assert client.ask("GET", "/", basic("alice")).status == 200
    weir.wait_metric(1, "weir_auth_file_changes_total", result="applied")
    weir.wait_metric(1, "weir_auth_file_changes_total", result="refused")


def test_another_password_ends_what_was_remembered_of_the_old_one(scene, users):
    weir = guarded(scene, {"basic": {"users": str(users), "keep": "1h"}})
    client = scene.client(weir)
    assert client.ask("GET", "/", basic("alice")).status == 200
    weir.wait_metric(1, "weir_auth_passwords_total", result="right")
    assert client.ask("GET", "/", basic("alice")).status == 200
    weir.wait_metric(1, "weir_auth_passwords_total", result="right")  # it was remembered
    made = subprocess.run(["htpasswd", "-nbBC", "4", "alice", "other"], capture_output=True, text=True, check=True).stdout
    replace(users, made.strip() + "\n")
    eventually(lambda: client.ask("GET", "/", basic("alice", "other")).status == 200, "the new password")
    assert client.ask("GET", "/", basic("alice")).status == 401


def test_nothing_is_lost_while_the_file_changes_under_load(scene, users):
    weir = guarded(scene, {"basic": str(users)}, workers=2)
    clients = [scene.client(weir) for _ in range(4)]
    for turn in range(10):
        replace(users, f"alice:{QUICK}\nbob:{YESCRYPT}\nu{turn}:{QUICK}\n")
        for _ in range(10):
            for client in clients:
                client.send(message.request("GET", "/", basic("alice" if turn % 2 else "bob")))
            for client in clients:
                assert client.read().status == 200
    weir.wait_event("users_changed")


@pytest.mark.parametrize("line, says", [
    ("bob:secret", "in the clear"), ("bob:$apr1$a$b", "MD5"), ("bob:{SHA}x", "SHA-1"), ("bob", "no colon"), ("", "no user")])
def test_a_file_that_would_guard_nothing_is_a_mistake_of_the_configuration(tmp_path, line, says):
    users = tmp_path / "users"
    users.write_text(line + "\n")
    path = tmp_path / "weir.yaml"
    path.write_text(f"listeners:\n  web: {{bind: '127.0.0.1:1', pool: web,\n    auth: {{basic: {users}}}}}\n"
                    "pools: {web: {servers: ['127.0.0.1:2']}}\n")
    done = run_command("check", "-c", str(path))
    said = done.stderr + done.stdout
    assert done.returncode == 78 and "weir.yaml:3:" in said and says in said and "secret" not in said


# Hashes take long


def slow(tmp_path, cost):
    made = subprocess.run(["htpasswd", "-nbBC", str(cost), "carol", "right"], capture_output=True, text=True,
                          check=True).stdout.strip()
    path = tmp_path / "slow"
    path.write_text(f"{made}\nalice:{QUICK}\n")
    return path


def test_a_flood_of_wrong_passwords_is_bounded_and_those_who_are_known_pass(scene, tmp_path):
    weir = guarded(scene, {"basic": str(slow(tmp_path, 12))})
    known = scene.client(weir)
    assert known.ask("GET", "/", basic("alice")).status == 200
    flood = [scene.client(weir, source=f"127.0.0.{n // 5 + 2}") for n in range(150)]
    for n, client in enumerate(flood):
        client.send(message.request("GET", "/", basic("carol", f"wrong{n}")))
    # Of each client four may wait, of all 64.
    for end, status in (("auth_client_limit", 429), ("auth_busy", 503)):
        assert weir.wait_records(1, status=status)[0]["end"] == end
        wait_at_least(weir, 1, "weir_auth_passwords_total", result=end.removeprefix("auth_"))
    assert known.ask("GET", "/", basic("alice")).status == 200
    assert weir.metric("weir_auth_passwords_waiting") <= 68
    for client in flood:
        client.reset()
    weir.wait_live(exchanges=0)
    eventually(lambda: weir.metric("weir_auth_passwords_waiting") == 0, "nobody waiting")


def test_who_goes_away_while_the_hash_is_made_leaves_nothing(scene, tmp_path):
    weir = guarded(scene, {"basic": str(slow(tmp_path, 12))})
    clients = [scene.client(weir, source=f"127.0.0.{n // 4 + 2}") for n in range(16)]
    for client in clients:
        client.send(message.request("GET", "/", basic("carol", "wrong")))
    wait_at_least(weir, 2, "weir_auth_passwords_waiting")
    for client in clients:
        client.reset()
    weir.wait_live(exchanges=0)
    wait_at_least(weir, 1, "weir_auth_passwords_total", result="taken_back")
    eventually(lambda: weir.metric("weir_auth_passwords_waiting") == 0, "nobody waiting")
    assert "client_abort" in {record["end"] for record in weir.wait_records(16)}


def test_weir_ends_while_hashes_are_made(scene, tmp_path):
    weir = guarded(scene, {"basic": str(slow(tmp_path, 13))}, timeouts={"drain": "100ms"})
    clients = [scene.client(weir) for _ in range(4)]
    for client in clients:
        client.send(message.request("GET", "/", basic("carol", "wrong")))
    wait_at_least(weir, 2, "weir_auth_passwords_waiting")
    weir.terminate()
    weir.wait_exit()


def test_an_unknown_name_takes_the_same_work_as_a_wrong_password(scene, users):
    weir = guarded(scene, {"basic": str(users)})
    client = scene.client(weir)
    for n, name in enumerate(["alice", "nobody", "bob", "somebody"], 1):
        assert client.ask("GET", "/", basic(name, "wrong")).status == 401
        weir.wait_metric(n, "weir_auth_passwords_total", result="wrong")


# Tokens


def make_keys(kind):
    """A private key, and the file's text that a token of it is verified by."""
    if kind.startswith("HS"):
        secret = "0123456789abcdef" * 4
        return secret, json.dumps({"keys": [{"kty": "oct", "k": base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")}]})
    key = {"RS": lambda: rsa.generate_private_key(65537, 2048), "PS": lambda: rsa.generate_private_key(65537, 2048),
           "ES": lambda: ec.generate_private_key({"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}[kind]()),
           "Ed": ed25519.Ed25519PrivateKey.generate}[kind[:2]]()
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key, pem.decode()


ALGORITHMS = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
              "EdDSA"]


def claims(**more):
    return {"sub": "bob", "exp": int(time.time()) + 300, **more}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_each_algorithm_is_taken_and_one_of_another_key_is_not(scene, tmp_path, algorithm):
    key, text = make_keys(algorithm)
    other = "fedcba9876543210" * 4 if algorithm.startswith("HS") else make_keys(algorithm)[0]
    path = tmp_path / "keys"
    path.write_text(text)
    weir = guarded(scene, {"jwt": str(path)})
    seen = echo.ask(scene.client(weir), "/", bearer(jwt.encode(claims(), key, algorithm)), ("X-User", "root"))
    assert seen.get("X-User") == "bob" and not seen.all("Authorization")
    client = scene.client(weir)
    for _ in range(2):  # also where it is remembered
        assert client.ask("GET", "/", bearer(jwt.encode(claims(), key, algorithm))).status == 200
    answer = client.ask("GET", "/", bearer(jwt.encode(claims(), other, algorithm)))
    assert answer.status == 401
    assert answer.get("WWW-Authenticate") == ('Bearer realm="restricted", error="invalid_token", '
                                              'error_description="its signature is wrong"')


@pytest.fixture
def tokens(scene, tmp_path):
    """weir that asks for tokens of a key, and what signs them."""
    key, text = make_keys("ES256")
    path = tmp_path / "keys"
    path.write_text(text)

    def open_weir(**conf):
        return guarded(scene, {"jwt": {"keys": str(path), **conf}})
    open_weir.sign = lambda **more: bearer(jwt.encode(claims(**more), key, "ES256"))
    open_weir.path = path
    return open_weir


def test_a_token_must_be_what_the_configuration_asks_for(scene, tokens):
    weir = tokens(issuer="https://issuer", audience=["api", "web"], leeway="10s")
    client = scene.client(weir)
    now = int(time.time())
    good = {"iss": "https://issuer", "aud": "api"}
    assert client.ask("GET", "/", tokens.sign(**good)).status == 200
    for wrong, says in (({"iss": "https://other"}, "issuer"), ({"aud": "x"}, "audience"), ({"exp": now - 60}, "expired"),
                        ({"nbf": now + 600}, "not valid yet"), ({"iat": now + 600}, "future")):
        answer = client.ask("GET", "/", tokens.sign(**{**good, **wrong}))
        assert answer.status == 401 and says in answer.get("WWW-Authenticate")
    answer = client.ask("GET", "/", bearer(jwt.encode(claims(**good), None, "none")))
    assert answer.status == 401
    answer = client.ask("GET", "/")
    assert answer.get("WWW-Authenticate") == 'Bearer realm="restricted"'  # RFC 6750 3.1: no error where nothing came


def test_claims_become_headers_that_clients_cannot_forge(scene, tokens):
    weir = tokens(claims={"email": "X-Email", "groups": "X-Groups"})
    seen = echo.ask(scene.client(weir), "/", tokens.sign(email="b@example.test", groups=["a", "b"]), ("X-Groups", "root"))
    assert (seen.get("X-Email"), seen.get("X-Groups"), seen.get("X-User")) == ("b@example.test", "a,b", "bob")
    seen = echo.ask(scene.client(weir), "/", tokens.sign(), ("X-Email", "root@example.test"), ("X_Groups", "root"))
    assert not seen.all("X-Email") and not seen.all("X-Groups") and not seen.all("X_Groups")
    assert scene.client(weir).ask("GET", "/", tokens.sign(email="a\r\nX-User: root")).status == 401


def test_a_claim_that_is_required_is_answered_with_403(scene, tokens):
    weir = tokens(require={"scope": "admin"})
    client = scene.client(weir)
    assert client.ask("GET", "/", tokens.sign(scope="read admin")).status == 200
    answer = client.ask("GET", "/", tokens.sign(scope="read"))
    assert answer.status == 403 and 'error="insufficient_scope"' in answer.get("WWW-Authenticate")
    assert weir.wait_records(1, status=403)[0]["end"] == "auth_denied"


def test_other_keys_are_taken_while_weir_runs(scene, tokens):
    weir = tokens()
    client = scene.client(weir)
    old = tokens.sign()
    assert client.ask("GET", "/", old).status == 200
    key, text = make_keys("RS256")
    replace(tokens.path, text)
    assert weir.wait_event("keys_changed")["keys"] == "1"
    eventually(lambda: client.ask("GET", "/", old).status == 401, "a token of the old key refused")
    assert client.ask("GET", "/", bearer(jwt.encode(claims(), key, "RS256"))).status == 200
    replace(tokens.path, "{")
    assert "not correct JSON" in weir.wait_event("keys_refused")["error"]
    assert client.ask("GET", "/", bearer(jwt.encode(claims(), key, "RS256"))).status == 200


def test_either_is_enough_where_both_are_asked_for(scene, users, tokens):
    weir = guarded(scene, {"basic": str(users), "jwt": str(tokens.path)})
    client = scene.client(weir)
    assert client.ask("GET", "/", basic("alice")).status == 200
    assert client.ask("GET", "/", tokens.sign()).status == 200
    asked = client.ask("GET", "/")
    assert [value.split()[0] for value in asked.all("WWW-Authenticate")] == ["Basic", "Bearer"]


# What is told of it


def test_explain_says_that_it_would_be_asked(scene, users):
    weir = guarded(scene, {"basic": str(users), "realm": "r"}, listener={"routes": [
        {"name": "open", "path": "/open", "pool": "web", "auth": "none"}, {"name": "all", "pool": "web"}]})

    def explain(target):
        told = weir.ask_admin("POST", "/api/v1/explain", body={"url": f"http://h.test{target}"})
        assert told.status == 200, told.text
        return json.loads(told.text)
    told = explain("/x")
    assert told["auth"] == {"place": "listener", "ways": ["basic"], "realm": "r"} and told["server"]["name"]
    assert explain("/open")["auth"] is None


def test_grpc_is_told_in_its_own_words(scene, users):
    weir = guarded(scene, {"basic": str(users)})
    client = Http2(weir.address)
    scene.clients.append(client)
    answer = client.ask("POST", "/a.B/C", ("content-type", "application/grpc"), ("te", "trailers"), body=b"")
    assert answer.headers["grpc-status"] == "16"
