"""Tokens with names and roles: what each may do, signing a browser in, and tokens that change while weir runs."""
import json
import re

import pytest

import message
from client import Client
from weir import listen_at_free_port, run_command

ROLES = ["none", "view", "operate", "admin"]
TOKENS = {"view": "token-of-whoever-looks", "operate": "token-of-whoever-is-on-call", "admin": "token-of-whoever-decides"}
SERVER = "/api/v1/pools/web/servers/one"


@pytest.fixture
def files(tmp_path):
    """Where the tokens are."""
    for role, token in TOKENS.items():
        (tmp_path / f"{role}.token").write_text(token + "\n")
    return tmp_path


def start(scene, files, **admin):
    tokens = [{"name": f"the-{role}", "role": role, "token": f"file:{files}/{role}.token"} for role in TOKENS]
    return scene.proxy({"name": "one", "address": scene.server().address},
                       admin={"bind": listen_at_free_port(), "token": "the-single-one", "tokens": tokens, **admin})


@pytest.fixture
def weir(scene, files):
    return start(scene, files)


def send(weir, method, path, *fields, body=None):
    """A request with these fields and no other."""
    if body is not None:
        fields += (("Content-Type", "application/json"),)
        body = json.dumps(body).encode()
    client = Client(weir.admin_address)
    try:
        return client.ask(method, path, ("Connection", "close"), *fields, body=body, host="%s:%d" % weir.admin_address)
    finally:
        client.close()


def ask(weir, role, method, path, *fields, body=None):
    shown = [("Authorization", f"Bearer {TOKENS[role]}")] if role in TOKENS else []
    return send(weir, method, path, *shown, *fields, body=body)


def problem_of(response, status):
    assert response.status == status, response.text
    assert response.get("Content-Type") == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == status and (status == 400 or problem["detail"].endswith("."))
    return problem["detail"]


def test_every_operation_takes_the_role_that_its_row_says(weir):
    paths = weir.get("/api/v1/openapi.json")["paths"]
    driven = dict.fromkeys(ROLES, 0)
    for path, operations in paths.items():
        for method, operation in operations.items():
            needed = operation["x-weir-role"]
            driven[needed] += 1
            # A parameter that no operation has: who may go on is told so, and nothing happens.
            target = re.sub(r"{\w+}", "1", path) + "?no_such_parameter=1"
            for role in ROLES:
                is_allowed = ROLES.index(role) >= ROLES.index(needed)
                wanted = 400 if is_allowed else 401 if role == "none" else 403
                detail = problem_of(ask(weir, role, method.upper(), target), wanted)
                assert ("no_such_parameter" in detail) == is_allowed, (role, method, path, detail)
                if wanted == 403:
                    assert f'"the-{role}" has the role {role}, and this takes {needed}' in detail, detail
    assert all(driven.values()) and sum(driven.values()) > 50


def test_what_is_refused_does_not_happen(weir):
    assert problem_of(ask(weir, "view", "PATCH", SERVER, body={"admin": "drain"}), 403)
    assert problem_of(ask(weir, "none", "PATCH", SERVER, body={"admin": "drain"}), 401)
    assert weir.servers()["one"]["admin"] == "enabled"
    assert ask(weir, "operate", "PATCH", SERVER, body={"admin": "drain"}).status == 200
    assert weir.servers()["one"]["admin"] == "drain"
    generation = ask(weir, "view", "GET", "/api/v1/config").get("ETag")
    changed = {**json.loads(json.dumps(weir.config)), "timeouts": {"drain": "7s"}}
    problem_of(ask(weir, "operate", "PUT", "/api/v1/config", body=changed), 403)
    assert ask(weir, "view", "GET", "/api/v1/config").get("ETag") == generation
    assert ask(weir, "admin", "PUT", "/api/v1/config", body=changed).status == 200
    assert ask(weir, "view", "GET", "/api/v1/config").get("ETag") != generation


def test_whoever_asks_is_told_who_he_is(weir):
    def who(response):
        assert response.status == 200, response.text
        return json.loads(response.body)
    assert who(ask(weir, "none", "GET", "/api/v1/session")) == \
        {"name": None, "role": "none", "by": "nothing", "has_tokens": True}
    assert who(ask(weir, "operate", "GET", "/api/v1/session")) == \
        {"name": "the-operate", "role": "operate", "by": "token", "has_tokens": True}
    assert who(send(weir, "GET", "/api/v1/session", ("Authorization", "Bearer the-single-one"))) == \
        {"name": "token", "role": "admin", "by": "token", "has_tokens": True}
    problem_of(send(weir, "GET", "/api/v1/session", ("Authorization", "Bearer not-any-of-them")), 401)


def test_looking_may_be_open_to_this_machine(scene, files):
    weir = start(scene, files, anonymous="view")
    assert ask(weir, "none", "GET", "/api/v1/stats").status == 200
    assert "role operate is needed" in problem_of(ask(weir, "none", "PATCH", SERVER, body={"admin": "drain"}), 401)
    assert ask(weir, "operate", "PATCH", SERVER, body={"admin": "drain"}).status == 200
    client = Client(weir.admin_address)
    assert client.ask("GET", "/api/v1/stats", host="evil.test").status == 403
    client.close()


# Tokens that change


def test_a_reload_reads_the_files_of_tokens_again(weir, files):
    cookie = sign_in(weir, "view")
    kept = sign_in(weir, "operate")
    (files / "view.token").write_text("another-token-to-look")
    assert ask(weir, "view", "GET", "/api/v1/stats").status == 200
    reloaded = ask(weir, "operate", "POST", "/api/v1/reload")
    assert reloaded.status == 200 and json.loads(reloaded.body)["needs_restart"] == []
    problem_of(ask(weir, "view", "GET", "/api/v1/stats"), 401)
    assert send(weir, "GET", "/api/v1/stats", ("Authorization", "Bearer another-token-to-look")).status == 200
    # Who had signed in with the old one is no longer.
    problem_of(send(weir, "GET", "/api/v1/stats", ("Cookie", cookie)), 401)
    assert send(weir, "GET", "/api/v1/stats", ("Cookie", kept)).status == 200
    (files / "view.token").unlink()
    refused = ask(weir, "operate", "POST", "/api/v1/reload")
    assert refused.status == 400 and "view.token" in refused.text
    assert send(weir, "GET", "/api/v1/stats", ("Authorization", "Bearer another-token-to-look")).status == 200


def test_tokens_are_shown_nowhere(weir):
    for path in ("/", "/api/v1/config", "/api/v1/stats", "/api/v1/session", "/metrics", "/api/v1/openapi.json"):
        text = ask(weir, "view", "GET", path).text
        assert not any(token in text for token in TOKENS.values()), path
    assert not any(token in weir.log for token in TOKENS.values())


@pytest.mark.parametrize("role, code", [("view", 77), ("operate", 0)])
def test_a_command_does_what_its_token_may(weir, role, code):
    done = run_command("events", "--mark", "deploy v42", "--admin", "%s:%d" % weir.admin_address, "--token", TOKENS[role])
    assert done.returncode == code, done.stderr
    assert code == 0 or "has the role view, and this takes operate" in done.stderr


# Sessions of browsers


def sign_in(weir, role, *fields):
    response = send(weir, "POST", "/api/v1/session", *fields, body={"token": TOKENS[role]})
    assert response.status == 200, response.text
    assert json.loads(response.body) == {"name": f"the-{role}", "role": role, "by": "session", "has_tokens": True}
    cookie, *attributes = response.get("Set-Cookie").split("; ")
    assert {"Path=/", "HttpOnly", "SameSite=Strict"} <= set(attributes)
    assert ("Secure" in attributes) == any(value.startswith("https://") for _, value in fields)
    assert re.fullmatch("weir_session=[0-9a-f]{64}", cookie)
    return cookie


def test_a_browser_is_signed_in_and_out(weir):
    cookie = sign_in(weir, "operate")
    assert send(weir, "GET", "/api/v1/stats", ("Cookie", f"theme=dark; {cookie}; x=y")).status == 200
    problem_of(send(weir, "PUT", "/api/v1/config", ("Cookie", cookie), ("X-Weir-Page", "1"), body={}), 403)
    out = send(weir, "DELETE", "/api/v1/session", ("Cookie", cookie), ("X-Weir-Page", "1"))
    assert out.status == 200 and "weir_session=; " in out.get("Set-Cookie") and "Max-Age=0" in out.get("Set-Cookie")
    assert json.loads(out.body)["role"] == "none"
    problem_of(send(weir, "GET", "/api/v1/stats", ("Cookie", cookie)), 401)


def test_the_cookie_is_for_tls_where_the_page_came_by_it(weir):
    sign_in(weir, "view", ("Origin", "https://%s:%d" % weir.admin_address))


def test_a_wrong_token_signs_nobody_in(weir):
    for token in ("wrong", TOKENS["view"][:-1], TOKENS["view"] + "x", f"file:{weir.path}", "***"):
        response = send(weir, "POST", "/api/v1/session", body={"token": token})
        problem_of(response, 401)
        assert not response.has("Set-Cookie")
    problem_of(send(weir, "POST", "/api/v1/session", body={"token": ""}), 400)
    problem_of(send(weir, "POST", "/api/v1/session", body={}), 400)
    assert weir.metric("weir_admin_sessions") == 0


@pytest.mark.parametrize("fields, status", [
    ([], 403), ([("X-Weir-Page", "1")], 200), ([("Origin", "http://{own}")], 200), ([("Origin", "http://evil.test")], 403),
    ([("Origin", "null"), ("X-Weir-Page", "1")], 403), ([("Sec-Fetch-Site", "same-site"), ("X-Weir-Page", "1")], 403)])
def test_a_session_writes_for_weirs_own_page_alone(weir, fields, status):
    cookie = sign_in(weir, "operate")
    fields = [(name, value.format(own="%s:%d" % weir.admin_address)) for name, value in fields]
    response = send(weir, "PATCH", SERVER, ("Cookie", cookie), *fields, body={"admin": "drain"})
    assert response.status == status, response.text
    assert weir.servers()["one"]["admin"] == ("drain" if status == 200 else "enabled")


def test_a_script_is_not_answered_with_a_question_for_a_password(weir):
    typed = send(weir, "GET", "/api/v1/stats", ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "none"))
    assert any(value.startswith("Basic") for value in typed.all("WWW-Authenticate"))
    script = send(weir, "GET", "/api/v1/stats", ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin"))
    assert script.all("WWW-Authenticate") == ['Bearer realm="weir"']


def test_sessions_are_bounded(weir):
    first = sign_in(weir, "view")
    second = sign_in(weir, "view")
    assert send(weir, "GET", "/api/v1/stats", ("Cookie", first)).status == 200
    for _ in range(63):
        sign_in(weir, "view")
    assert weir.metric("weir_admin_sessions") == 64
    problem_of(send(weir, "GET", "/api/v1/stats", ("Cookie", second)), 401)


def test_the_page_itself_needs_no_token(weir):
    page = send(weir, "GET", "/", ("Accept", "text/html"))
    assert page.status == 200 and "<title>weir</title>" in page.text
    assert send(weir, "GET", "/ui/dash.js").status == 200
    assert send(weir, "GET", "/").text.startswith("weir's admin API")


def open_stream(weir, *fields):
    client = Client(weir.admin_address)
    client.send(message.request("GET", "/api/v1/events/stream", *fields, host="%s:%d" % weir.admin_address))
    assert client.read_head().status == 200
    return client


def wait_end(client):
    """Whatever still comes, up to its end."""
    try:
        while client.sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    client.close()


def test_a_stream_ends_with_what_it_was_opened_by(weir, files):
    cookie = sign_in(weir, "view")
    by_token = open_stream(weir, ("Authorization", f"Bearer {TOKENS['view']}"))
    by_other = open_stream(weir, ("Authorization", f"Bearer {TOKENS['operate']}"))
    by_session = open_stream(weir, ("Cookie", cookie))
    assert send(weir, "DELETE", "/api/v1/session", ("Cookie", cookie), ("X-Weir-Page", "1")).status == 200
    wait_end(by_session)
    (files / "view.token").write_text("another-token-of-whoever-looks\n")
    assert ask(weir, "admin", "POST", "/api/v1/reload").status == 200
    wait_end(by_token)
    assert by_other.sock.recv(65536)  # the reload is an event
    by_other.close()
