"""weir logs why: a real nginx, more than fifty faults that are made in it, and what its logs say of them."""
import gzip
import json
import re
import shutil

import pytest

import faulty
from waiting import eventually
from weir import make_config, run_command

FORMAT = ["--log-format", faulty.LOG_FORMAT]


@pytest.fixture(name="nginx")
def fixture_nginx(scene):
    nginx = faulty.Faulty(scene)
    try:
        yield nginx
    finally:
        nginx.close()


def why(*arguments):
    done = run_command("logs", "why", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(*arguments):
    return json.loads(why("--json", *FORMAT, *arguments))


def by_client(answer):
    """The kinds that are told of each client."""
    kinds = {}
    for fault in answer["faults"]:
        for client in fault["clients"]:
            kinds.setdefault(client["key"], set()).add(fault["fault"])
    return kinds


def judge(answer, is_right):
    """Scenes that are named right, and those that are not."""
    kinds = by_client(answer)
    wrong = []
    for number, (name, (_, truth)) in enumerate(faulty.SCENES.items()):
        named = kinds.get(faulty.address_of(number), set())
        if "slow_" not in truth:  # which a busy machine makes of what is not
            named = {kind for kind in named if not kind.startswith("slow_")}
        if not is_right(named, set(truth.split())):
            wrong.append((name, truth, named))
    return wrong


def test_faults_are_named_from_the_logs(nginx, tmp_path):
    faulty.play(nginx)
    nginx.finish()
    with open(nginx.error_log, errors="replace") as file:
        lines = file.read()
    whole = told("--top", "1000", "--slow", "2s", nginx.access_log, nginx.error_log)
    wrong = judge(whole, lambda named, truth: named == truth)
    assert len(wrong) <= len(faulty.SCENES) * 0.05, (wrong, lines[-20000:])
    for fault in whole["faults"]:
        assert fault["what"] and fault["remedy"] and fault["evidence"] and fault["first"] <= fault["last"], fault
        assert fault["record"] or fault["line"], fault
        assert fault["requests"] == fault["by_error_log"] + fault["by_access_log"]
    # The access log alone: right, or not told; a connection that failed is not told apart from a TLS that did, nor is a
    # request that was not taken from one that was not answered.
    alone = told("--top", "1000", "--slow", "2s", nginx.access_log)
    no_connection = {"connect_refused", "server_not_tls", "server_tls_failed", "server_certificate", "connect_failed"}
    no_connection_in_time = {"connect_timeout", "server_tls_timeout"}
    no_answer_in_time = {"first_byte_timeout", "send_timeout"}

    def is_honest(named, truth):
        return all(kind.startswith("unclear_") or kind in truth or
                   any(kind in alike and truth & alike for alike in [no_connection, no_connection_in_time, no_answer_in_time])
                   for kind in named)
    wrong_alone = judge(alone, is_honest)
    assert len(wrong_alone) <= len(faulty.SCENES) * 0.05, wrong_alone
    assert any(fault["wants"] for fault in alone["faults"] if fault["fault"].startswith("unclear_"))
    check_rotated(nginx, tmp_path, whole)
    check_one(nginx)


def check_rotated(nginx, tmp_path, whole):
    """Halves of both logs, packed, in the wrong order: the same is told."""
    halves = []
    for path in [nginx.access_log, nginx.error_log]:
        with open(path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        name = str(tmp_path / path.rsplit("/", 1)[1])
        with gzip.open(name + ".1.gz", "wb") as file:
            file.writelines(lines[:len(lines) // 2])
        with open(name, "wb") as file:
            file.writelines(lines[len(lines) // 2:])
        halves += [name, name + ".1.gz"]
    again = told("--top", "1000", "--slow", "2s", *halves)
    assert by_client(again) == by_client(whole)
    shutil.rmtree(tmp_path, ignore_errors=True)


def check_one(nginx):
    """One request by a filter: its attempts, its lines, the verdict."""
    number = list(faulty.SCENES).index("half")
    files = [nginx.access_log, "--error-log", nginx.error_log]
    story = why(*FORMAT, "--where", f"client=={faulty.address_of(number)}", *files)
    assert f"of {faulty.address_of(number)} got 200" in story
    assert re.search(r"attempt 1 at 127\.0\.0\.1:\d+: no connection, no answer, over after [\d.]+ s, noted as 502", story)
    assert re.search(r"attempt 2 at .*its answer began after", story)
    assert "error log: 20" in story and "(111: Connection refused)" in story
    assert "mended (server): an attempt at a server failed" in story
    one = told("--where", f"client=={faulty.address_of(number)}", *files)
    assert [request["fault"] for request in one["requests"]] == ["mended"]
    assert [(fault["fault"], fault["requests"], fault["attempts"]) for fault in one["faults"]] == [
        ("mended", 1, 0), ("connect_refused", 0, 1)], one


def test_what_cannot_be_read_is_said(tmp_path):
    access = tmp_path / "access.log"
    access.write_text('192.0.2.7 - - [12/Mar/2026:10:00:01 +0100] "GET /a HTTP/1.1" 502 7 "-" "\\x1b]0;x\\x07"\n' * 4)
    text = why(str(access))
    assert "4  unclear_502" in text and "what would tell: $upstream_addr, $upstream_status" in text
    error = tmp_path / "error.log"
    error.write_text('2026/03/12 10:00:01 [error] 8#8: *4 connect() failed (111: Connection refused) while connecting to '
                     'upstream, client: 192.0.2.7, server: _, request: "GET /a HTTP/1.1", upstream: "http://10.0.0.1:80/a", '
                     'host: "x", referrer: "\x1b]0;owned\x07"\nnonsense\n')
    text = why(str(access), str(error))
    assert "1  connect_refused" in text and "3  unclear_502" in text and "\x1b" not in text
    assert "from 2026-03-12T09:00:01Z" in text and "servers: 10.0.0.1:80 (1)" in text
    only = json.loads(why("--json", "--error-log", str(error)))
    assert [(fault["fault"], fault["requests"]) for fault in only["faults"]] == [("connect_refused", 1)]
    assert json.loads(why("--json", "--where", 'path=="/b"', str(access), str(error)))["faults"] == []
    missing = run_command("logs", "why", str(access), "--error-log", str(tmp_path / "none"))
    assert missing.returncode == 66 and "cannot open" in missing.stderr
    assert run_command("logs", "why").returncode == 64
    assert run_command("logs", "why", "--slow", "soon", str(access)).returncode == 64


# weir in nginx's place

PASSWORD = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

# Pools with more than their server.
POOLS = {
    "late": {"timeouts": {"first_byte": "1s"}},
    "paused": {"timeouts": {"response": "1s"}},
    "unread": {"timeouts": {"response": "1s"}},
    "backlog": {"timeouts": {"connect": "1s"}},
    "not_tls": {"tls": {"verify": "off"}},
    "tls_closes": {"tls": {"verify": "off"}},
    "tls_stalls": {"tls": {"verify": "off"}, "timeouts": {"connect": "1s"}},
}
# Routes with more than their pool.
ROUTES = {
    "small": {"limits": {"body": 10}},
    "denied": {"gate": {"deny": ["127.0.1.0/24"]}},
    "once": {"rate": {"requests": "1/m"}},
}
# How the exchange, or the attempt, ends by weir's own words.
ENDS = {
    "refused": "connect_refused", "backlog": "connect_timeout", "late": "first_byte_timeout", "paused": "response_timeout",
    "unread": "send_timeout", "closes": "server_closed", "resets": "server_reset", "breaks": "send_failed", "cuts": "response_cut",
    "cuts_chunks": "response_cut", "nonsense": "bad_response", "control": "bad_response", "fat": "response_head_too_large",
    "chunks": "bad_response_body", "app500": "500", "app502": "502", "app503": "503", "app504": "504", "half": "connect_refused",
    "dead": "no_server", "not_tls": "server_not_tls", "tls_closes": "server_tls_failed", "tls_stalls": "server_tls_timeout",
    "untrusted": "server_certificate", "leave_while_waiting": "client_abort", "leave_while_taking": "client_abort",
    "leave_while_sending": "client_abort", "slow_head": "header_timeout", "slow_body": "body_timeout",
    "take_nothing": "write_timeout", "large_body": "body_too_large", "long_uri": "target_too_long",
    "large_head": "head_too_large", "bad_request": "bad_request", "plain_on_tls": "plain_on_tls", "denied": "gate_denied",
    "no_password": "auth_required", "wrong_password": "auth_failed", "limited": "rate_limited", "good": "ok",
}


class Weir(faulty.Servers):
    """weir in front."""

    def __init__(self, scene, directory):
        super().__init__(scene, str(directory))
        users = directory / "users"
        users.write_text(f"ann:{PASSWORD}\n")
        servers = {**self.addresses, "once": self.addresses["good"], "small": self.addresses["good"]}
        pools = {name: {"servers": [address], **POOLS.get(name, {})} for name, address in servers.items()}
        pools["untrusted"]["tls"] = {"ca": self.pki.path("other.pem"), "name": "localhost"}
        pools["half"] = {"servers": [{"address": self.addresses["refused"], "weight": 1000}, self.addresses["good"]], "balance": "round_robin",
                         "retry": {"attempts": 3, "on": ["connect"]}}
        pools["dead"] = {"servers": [{"address": self.addresses["refused"], "weight": 0}]}
        routes = [{"name": name, "path_prefix": f"/{name}", "pool": name, **ROUTES.get(name, {})} for name in pools]
        routes += [{"name": "no", "path_prefix": "/denied", "respond": "x", **ROUTES["denied"]},
                   {"name": "secret", "path_prefix": "/secret", "respond": "x", "auth": {"basic": str(users)}}]
        pair = {"cert": self.pki.path("server.pem"), "key": self.pki.path("server.key")}
        listeners = {name: make_config([])["listeners"]["web"] for name in ["hasty", "tls"]}
        listeners["hasty"].update({"pool": "large", "timeouts": {"header": "1s", "body": "1s", "write": "1s"}})
        listeners["tls"].update({"pool": "good", "tls": {"certificates": [pair]}})
        self.weir = scene.proxy(self.addresses["good"], listener={"routes": routes}, listeners=listeners, pools=pools)
        self.ports = {"plain": self.weir.bind_of("web")[1],
                      **{name: self.weir.bind_of(name)[1] for name in listeners}}

    @property
    def traffic_pid(self):
        return self.weir.pid

    def records_of(self, number):
        return self.weir.exchanges(client=faulty.address_of(number))

    def wait_given_up(self, number):
        eventually(lambda: self.records_of(number), "weir gives up")

    def named(self, number):
        """By whatever `weir why` tells of it: how it ended, how its attempts did, what a server answered."""
        names = set()
        for record in self.records_of(number):
            names.add(record["end"])
            names.update(attempt.get("end") for attempt in record["attempts"])
            if record["end"] == "ok" and not record["is_local_reply"]:
                names.add(str(record["status"]))
        return names


def test_weir_names_the_same_faults_in_nginxs_place(scene, tmp_path):
    front = Weir(scene, tmp_path)
    faulty.play(front, set(ENDS))
    numbers = {name: number for number, name in enumerate(faulty.SCENES) if name in ENDS}
    for name, number in numbers.items():
        eventually(lambda: front.records_of(number), f"a record of {name}")
    wrong = [(name, end, front.named(numbers[name])) for name, end in ENDS.items()
             if end not in front.named(numbers[name])]
    assert not wrong, wrong
    record = front.records_of(numbers["refused"])[0]
    host, port = front.weir.admin_address
    done = run_command("why", "--admin", f"{host}:{port}", record["id"])
    assert done.returncode == 0 and "the server refused the connection" in done.stdout
