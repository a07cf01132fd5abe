"""The audit trail: who changed what, from where, and what came of it; in memory, in files, and for `weir audit`."""
import fcntl
import json
import os
import signal
import socket

import pytest

import message
from client import Client
from waiting import eventually
from weir import listen_at_free_port, make_config, run_command

TOKENS = {"view": "token-of-whoever-looks", "operate": "token-of-whoever-is-on-call", "admin": "token-of-whoever-decides"}
SERVER = "/api/v1/pools/web/servers/one"


def make(scene, **config):
    tokens = [{"name": f"the-{role}", "role": role, "token": token} for role, token in TOKENS.items()]
    return make_config([{"name": "one", "address": scene.server().address}],
                       admin={"bind": listen_at_free_port(), "token": "the-single-one", "tokens": tokens}, **config)


@pytest.fixture
def weir(scene):
    return scene.weir(make(scene))


@pytest.fixture
def kept(scene, tmp_path):
    return scene.weir(make(scene, state=str(tmp_path / "state")))


def ask(weir, role, method, path, *fields, body=None):
    return weir.ask_admin(method, path, ("Authorization", f"Bearer {TOKENS.get(role, role)}"), *fields, body=body)


def trail(weir, query=""):
    return weir.get("/api/v1/audit/trail" + query)["entries"]


def in_file(weir):
    """What is in the file, the newest last; each is a line of JSON."""
    with open(os.path.join(weir.config["state"], "audit.log")) as file:
        return [json.loads(line) for line in file]


def test_a_change_is_noted_with_who_what_and_outcome(weir):
    assert trail(weir) == []
    assert ask(weir, "operate", "PATCH", SERVER, body={"admin": "drain"}).status == 200
    assert ask(weir, "operate", "PATCH", SERVER, body={"admin": "darin"}).status == 400
    changed = {**weir.config, "timeouts": {"drain": "7s"}}
    assert ask(weir, "admin", "PUT", "/api/v1/config", body=changed).status == 200
    put, failed, patched = trail(weir)
    assert {key: patched[key] for key in ("id", "who", "by", "what", "detail", "outcome", "status")} == {
        "id": 1, "who": "the-operate", "by": "token", "what": f"PATCH {SERVER}", "detail": '{"admin": "drain"}',
        "outcome": "done", "status": 200}
    assert patched["peer"].startswith("127.0.0.1:") and patched["from_generation"] == patched["to_generation"] == 1
    assert (failed["outcome"], failed["status"]) == ("failed", 400) and "drain" in failed["detail"]
    assert (put["who"], put["from_generation"], put["to_generation"], put["detail"]) == ("the-admin", 1, 2, None)
    assert trail(weir, "?limit=1") == [put] and trail(weir, "?after=2") == [put]
    assert weir.ask_admin("GET", "/api/v1/audit/trail?limit=513").status == 400


def test_a_change_is_found_again_by_the_ids_that_its_request_showed(weir):
    trace = "0af7651916cd43dd8448eb211c80319c"
    ids = ("X-Request-Id", "deploy-42"), ("traceparent", f"00-{trace}-b7ad6b7169203331-01")
    useless = ("X-Request-Id", 'no"id'), ("traceparent", "none")
    assert ask(weir, "operate", "PATCH", SERVER, *ids, body={"weight": 7}).status == 200
    assert ask(weir, "operate", "POST", "/api/v1/events", *ids, body={"name": "deploy v42"}).status == 200
    assert ask(weir, "operate", "PATCH", SERVER, *useless, body={"weight": 8}).status == 200
    bad, _, good = trail(weir)
    assert (good["request_id"], good["trace_id"]) == ("deploy-42", trace)
    assert (bad["request_id"], bad["trace_id"]) == (None, None)
    for name in ("server_changed", "change", "marker"):
        event = weir.wait_event(name)
        assert (event["request_id"], event["trace_id"]) == ("deploy-42", trace), event


def test_what_only_looks_is_not_noted(weir):
    for path in ("/api/v1/stats", "/api/v1/config", "/metrics", "/", "/api/v1/audit/trail"):
        assert ask(weir, "view", "GET", path).status == 200
    assert ask(weir, "view", "POST", "/api/v1/explain", body={"url": "http://a/"}).status == 200
    assert weir.ask_admin("POST", "/nonsense").status == 404
    assert trail(weir) == []


def test_what_is_refused_is_noted_and_bounded(weir):
    assert ask(weir, "view", "PATCH", SERVER, body={"admin": "drain"}).status == 403
    assert ask(weir, "a-wrong-token", "GET", "/api/v1/stats").status == 401
    wrong, refused = trail(weir)
    assert (refused["who"], refused["outcome"], refused["status"]) == ("the-view", "refused", 403)
    assert "has the role view" in refused["detail"]
    assert (wrong["who"], wrong["by"], wrong["what"], wrong["status"]) == (None, "nothing", "GET /api/v1/stats", 401)
    for _ in range(200):
        ask(weir, "a-wrong-token", "GET", "/api/v1/stats")
    assert len(trail(weir, "?limit=512")) < 100
    # A change is noted however many were refused.
    assert ask(weir, "operate", "PATCH", SERVER, body={"weight": 7}).status == 200
    assert trail(weir)[0]["detail"] == '{"weight": 7}'


def test_whoever_has_no_token_pushes_nothing_out(weir):
    """Signing in and out is open to all who reach the address: what they try is a refusal among others."""
    assert ask(weir, "operate", "PATCH", SERVER, body={"weight": 7}).status == 200
    client, host = Client(weir.admin_address), "%s:%d" % weir.admin_address
    json_type = ("Content-Type", "application/json")
    for _ in range(300):
        assert client.ask("DELETE", "/api/v1/session", host=host).status == 200
        assert client.ask("POST", "/api/v1/session", json_type, body=b"{}", host=host).status == 400
    client.close()
    entries = trail(weir, "?limit=512")
    assert entries[-1]["detail"] == '{"weight": 7}' and len(entries) < 40
    assert {entry["outcome"] for entry in entries[:-1]} == {"refused"}


def test_what_is_mistaken_for_a_secret_is_not_quoted(weir):
    token = TOKENS["admin"]
    for body in (json.dumps(token).encode(), json.dumps({"token": [token]}).encode()):
        response = weir.ask_admin("POST", "/api/v1/session", ("Content-Type", "application/json"), body=body)
        assert response.status == 400
    for tokens in (token, [token], {"ops": token}):
        config = {**weir.config, "admin": {**weir.config["admin"], "tokens": tokens}}
        assert ask(weir, "the-single-one", "PUT", "/api/v1/config", body=config).status == 400
    assert token not in json.dumps(trail(weir)) + weir.log


def test_a_change_is_noted_although_its_author_has_gone(weir):
    config = json.dumps({**weir.config, "timeouts": {"drain": "7s"}}).encode()
    with socket.create_connection(weir.admin_address) as sock:
        sock.sendall(message.request("PUT", "/api/v1/config", ("Content-Type", "application/json"),
                                     ("Authorization", "Bearer the-single-one"), body=config, host="%s:%d" % weir.admin_address))
        sock.shutdown(socket.SHUT_WR)
    entry = eventually(lambda: trail(weir), "an entry")[0]
    assert (entry["what"], entry["who"]) == ("PUT /api/v1/config", "token")
    assert entry["outcome"] in ("done", "unanswered")


def test_signing_in_is_noted_without_the_token(weir):
    response = weir.ask_admin("POST", "/api/v1/session", body={"token": TOKENS["operate"]})
    cookie = response.get("Set-Cookie").split(";")[0]
    client = Client(weir.admin_address)
    assert client.ask("PATCH", SERVER, ("Cookie", cookie), ("X-Weir-Page", "1"), ("Content-Type", "application/json"),
                      body=b'{"admin": "drain"}', host="%s:%d" % weir.admin_address).status == 200
    client.close()
    patched, signed_in = trail(weir)
    assert signed_in["what"] == "POST /api/v1/session" and '"name": "the-operate"' in signed_in["detail"]
    assert (patched["who"], patched["by"]) == ("the-operate", "session")
    text = json.dumps(trail(weir)) + weir.log
    assert not any(token in text for token in TOKENS.values()) and cookie not in text


def test_changes_are_events_too(weir):
    assert ask(weir, "operate", "PATCH", SERVER, body={"admin": "drain"}).status == 200
    assert ask(weir, "admin", "PUT", "/api/v1/config?dry_run=true", body=weir.config).status == 200
    event = eventually(lambda: weir.get("/api/v1/events?name=change")["events"], "the event")[0]
    assert event["fields"]["who"] == "the-operate" and event["fields"]["what"] == f"PATCH {SERVER}"
    assert len(weir.get("/api/v1/events?name=change")["events"]) == 1  # a question of what would change is none
    assert weir.wait_event("change")["outcome"] == "done"


def test_signals_are_noted(kept):
    kept.process.send_signal(signal.SIGHUP)
    hup = eventually(lambda: trail(kept), "an entry")[0]
    assert (hup["what"], hup["by"], hup["outcome"], hup["status"]) == ("SIGHUP", "signal", "done", None)
    assert hup["peer"] == f"uid {os.getuid()}, pid {os.getpid()}"
    assert (hup["from_generation"], hup["to_generation"]) == (1, 2)
    kept.write_file("nonsense: 1\n")
    kept.expected_errors.add("reload_failed")
    kept.process.send_signal(signal.SIGHUP)
    failed = eventually(lambda: len(trail(kept)) == 2 and trail(kept), "another")[0]
    assert failed["outcome"] == "failed" and "nonsense" in failed["detail"]
    kept.terminate()
    assert kept.wait_exit() == 0
    last = in_file(kept)[-1]
    assert (last["what"], last["by"]) == ("SIGTERM", "signal")


def test_a_unix_socket_tells_user_and_process(scene, tmp_path):
    path = str(tmp_path / "admin.sock")
    weir = scene.weir(make_config([{"name": "one", "address": scene.server().address}], admin={"bind": f"unix:{path}"}))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        wire = message.Wire(sock)
        wire.send(message.request("PATCH", SERVER, ("Content-Type", "application/json"), body=b'{"weight": 3}', host="x"))
        assert message.read_response(wire).status == 200
        wire.send(message.request("GET", "/api/v1/audit/trail", host="x"))
        entry, = json.loads(message.read_response(wire).body)["entries"]
    assert entry["peer"] == f"uid {os.getuid()}, pid {os.getpid()}" and entry["who"] is None
    weir.terminate()
    assert weir.wait_exit() == 0


def test_the_file_has_all_and_outlives_the_process(kept):
    for weight in range(1, 6):
        assert ask(kept, "operate", "PATCH", SERVER, body={"weight": weight}).status == 200
    eventually(lambda: len(in_file(kept)) == 5, "five lines")
    assert in_file(kept) == trail(kept)[::-1]
    path = os.path.join(kept.config["state"], "audit.log")
    assert os.stat(path).st_mode & 0o777 == 0o600
    kept.terminate()
    assert kept.wait_exit() == 0
    assert [entry["detail"] for entry in in_file(kept)[:5]] == ['{"weight": %d}' % weight for weight in range(1, 6)]


def test_a_file_that_is_large_is_put_aside(kept):
    path = os.path.join(kept.config["state"], "audit.log")
    for number in range(6):
        with open(path, "a") as file:
            file.write("x" * (4 << 20) + "\n")
        inode = os.stat(path).st_ino
        assert ask(kept, "operate", "PATCH", SERVER, body={"weight": number + 1}).status == 200
        eventually(lambda inode=inode: os.path.exists(path + ".1") and os.stat(path + ".1").st_ino == inode, "it is put aside")
    names = sorted(name for name in os.listdir(kept.config["state"]) if name.startswith("audit"))
    assert names == ["audit.log.1", "audit.log.2", "audit.log.3", "audit.log.4"]
    assert '{\\"weight\\": 6}' in open(path + ".1").read()


def test_a_file_that_somebody_else_holds_keeps_nothing_waiting(kept):
    path = os.path.join(kept.config["state"], "audit.log")
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert ask(kept, "operate", "PATCH", SERVER, body={"weight": 5}).status == 200
        assert "busy" in kept.wait_event("audit_not_written")["error"]
        assert ask(kept, "admin", "POST", "/api/v1/reload").status == 200
    assert ask(kept, "operate", "PATCH", SERVER, body={"weight": 6}).status == 200
    eventually(lambda: any(entry["detail"] == '{"weight": 6}' for entry in in_file(kept)), "the next one")


def test_a_file_that_cannot_be_written_is_complained_of_and_stops_nothing(kept):
    path = os.path.join(kept.config["state"], "audit.log")
    os.mkdir(path)
    assert ask(kept, "operate", "PATCH", SERVER, body={"weight": 5}).status == 200
    assert "directory" in kept.wait_event("audit_not_written")["error"]
    assert kept.servers()["one"]["weight"] == 5 and trail(kept)[0]["detail"] == '{"weight": 5}'
    os.rmdir(path)


def test_the_command_shows_it(weir):
    assert ask(weir, "operate", "PATCH", SERVER, body={"admin": "drain"}).status == 200
    assert ask(weir, "view", "PATCH", SERVER, body={"admin": "drain"}).status == 403
    admin = "%s:%d" % weir.admin_address
    done = run_command("audit", "--admin", admin, "--token", TOKENS["view"])
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "done     the-operate (token, 127.0.0.1:" in first and first.endswith(f'PATCH {SERVER}  {{"admin": "drain"}}')
    assert "refused  the-view" in second
    assert json.loads(run_command("audit", "--admin", admin, "--token", TOKENS["view"], "--json").stdout)["entries"]
    assert run_command("audit", "--admin", admin).returncode == 77
