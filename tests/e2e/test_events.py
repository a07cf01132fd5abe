"""What happened to a running weir, as a list, as a stream, and in the log: the same words, the same time."""
import json
import socket
import subprocess
import threading

import pytest

from ports import reserve_port
from waiting import LIMIT_S, eventually
from weir import BINARIES, listen_at_free_port, run_command


def events(weir, **filters):
    query = "&".join(f"{key}={value}" for key, value in filters.items())
    return weir.get(f"/api/v1/events?{query}")["events"]


def wait_event(weir, name, count=1):
    return eventually(lambda: (found := events(weir, name=name)) and len(found) >= count and found, f"{name} {count} times")[0]


def mark(weir, name):
    response = weir.ask_admin("POST", "/api/v1/events", body={"name": name})
    assert response.status == 200, response.text
    return json.loads(response.body)["events"][0]


class Stream:
    """Server-sent events, as a browser reads them."""

    def __init__(self, weir, *fields, path="/api/v1/events"):
        self.socket = socket.create_connection(weir.admin_address, LIMIT_S)
        head = "".join(f"{name}: {value}\r\n" for name, value in
                       (("Host", "%s:%d" % weir.admin_address), ("Accept", "text/event-stream"), *fields))
        self.socket.sendall(f"GET {path} HTTP/1.0\r\n{head}\r\n".encode())
        self.file = self.socket.makefile()
        assert " 200 " in self.file.readline()
        self.kind = next(line for line in self.file if line.lower().startswith("content-type"))
        for line in self.file:
            if line == "\n":
                break

    def read(self):
        """(id, kind, data) of the next."""
        found = {}
        for line in self.file:
            if line == "\n" and "data" in found:
                return int(found["id"]), found["event"], json.loads(found["data"])
            key, _, value = line.rstrip("\n").partition(": ")
            found[key] = value
        raise AssertionError("the stream has ended")

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def streams():
    made = []

    def begin(*arguments, **options):
        made.append(Stream(*arguments, **options))
        return made[-1]
    yield begin
    for stream in made:
        stream.close()


def test_a_change_of_state_is_in_log_api_stream_and_metric_alike(scene, streams):
    weir = scene.proxy({"name": "gone", "address": f"127.0.0.1:{reserve_port()}"}, scene.server(),
                       pool={"ejection": {"connect_failures": 1}})
    stream = streams(weir, path="/api/v1/events/stream?name=server_state&after=0")
    client = scene.client(weir)

    def is_ejected():
        client.ask()
        return weir.servers()["gone"]["state"] == "ejected"
    eventually(is_ejected, "it is ejected")
    event = wait_event(weir, "server_state")
    assert event["fields"]["server"] == "gone" and event["fields"]["state"] == "ejected"
    assert event["fields"]["reason"] == weir.servers()["gone"]["health_reason"] == "connect_failures"
    message = weir.wait_event("server_state")
    assert message["time"] == event["time"] and message["level"] == event["level"] == "warn"
    assert {key: message[key] for key in event["fields"]} == event["fields"]
    number, kind, data = stream.read()
    assert (number, kind, data) == (event["id"], "server_state", event)
    assert weir.metric("weir_events_total") >= event["id"]
    assert weir.metric("weir_server_up", server="gone") == 0


def test_markers_are_kept_and_streamed_to_who_comes_again(scene, streams):
    weir = scene.proxy(scene.server())
    first = streams(weir)
    assert "text/event-stream" in first.kind
    ids = [mark(weir, f"deploy v{number}")["id"] for number in range(5)]
    assert ids == list(range(ids[0], ids[0] + 5))
    seen = [first.read() for _ in range(2)]
    assert [data["fields"]["name"] for _, _, data in seen] == ["deploy v0", "deploy v1"]
    again = streams(weir, ("Last-Event-ID", seen[-1][0]))
    assert [again.read()[0] for _ in range(3)] == ids[2:]
    assert [event["id"] for event in events(weir, name="marker")] == ids[::-1]
    assert [event["id"] for event in events(weir, after=ids[3], name="marker")] == ids[4:]
    assert len(events(weir, limit=2)) == 2
    assert weir.wait_event("marker", 5)["name"] == "deploy v4"


def test_who_comes_from_the_weir_before_hears_what_this_one_says(scene, streams):
    """Numbers begin anew with each start, and a browser's next stream still names its last one."""
    weir = scene.proxy(scene.server())
    stream = streams(weir, ("Last-Event-ID", 100_000), path="/api/v1/events/stream?name=marker")
    marked = mark(weir, "deploy")
    assert stream.read()[0] == marked["id"]


def test_reloads_and_the_operators_word_are_events(scene):
    weir = scene.proxy({"name": "one", "address": scene.server().address})
    assert wait_event(weir, "ready")["fields"]["pid"] == str(weir.pid)
    weir.patch_server("web", "one", admin="drain")
    assert wait_event(weir, "server_changed")["fields"]["server"] == "one"
    weir.reload({**weir.config, "timeouts": {"drain": "7s"}})
    wait_event(weir, "reloaded")
    times = [event["at"] for event in events(weir)]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 201}, {"nam": "x"}, {"name": 7, "more": 1}])
def test_a_bad_marker_is_refused(scene, body):
    weir = scene.proxy(scene.server())
    assert weir.ask_admin("POST", "/api/v1/events", body=body).status == 400
    assert not events(weir, name="marker")


@pytest.mark.parametrize("query", ["after=x", "limit=0", "limit=513", "name=nonsense", "odd=1"])
def test_a_bad_question_is_refused(scene, query):
    weir = scene.proxy(scene.server())
    assert weir.ask_admin("GET", f"/api/v1/events?{query}").status == 400


def test_hostile_names_stay_texts(scene):
    weir = scene.proxy(scene.server())
    name = 'a"b\\c=d e=f\n\x1b[31m<script>'
    assert mark(weir, name)["fields"] == {"name": name}
    shown = run_command("events", "--admin", "%s:%d" % weir.admin_address)
    assert shown.returncode == 0 and "\x1b" not in shown.stdout and "<script>" in shown.stdout


def test_the_command_notes_and_shows(scene):
    weir = scene.proxy(scene.server())
    admin = "%s:%d" % weir.admin_address
    assert run_command("events", "--admin", admin, "--mark", "deploy v42").returncode == 0
    lines = run_command("events", "--admin", admin).stdout.splitlines()
    assert "ready" in lines[0] and lines[-1].endswith("marker  name: deploy v42")
    assert run_command("events", "--admin", admin, "--mark", "x" * 300).returncode == 65


def test_what_is_no_longer_kept_is_said_by_its_number(scene):
    weir = scene.proxy(scene.server())
    admin = "%s:%d" % weir.admin_address
    lines = [json.loads(line) for line in run_command("events", "--json", "--admin", admin).stdout.splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1)) and not any("omitted" in line for line in lines)
    for number in range(520):
        mark(weir, f"n{number}")
    lines = [json.loads(line) for line in run_command("events", "--json", "--admin", admin).stdout.splitlines()]
    assert len(lines) == 513 and lines[0] == {"omitted": lines[1]["id"] - 1, "before": lines[1]["id"]} and lines[0]["omitted"] >= 8
    assert "omitted" not in run_command("events", "--json", "--admin", admin, "--mark", "one more").stdout
    shown = run_command("events", "--admin", admin).stdout.splitlines()
    assert shown[0] == f"({lines[0]['omitted'] + 1} before this are not kept any more)" and len(shown) == 513


class Follower:
    """`weir events --follow`, and what it has printed."""

    def __init__(self, weir, *arguments):
        self.process = subprocess.Popen(
            [BINARIES["asan"], "events", "--follow", "--admin", "%s:%d" % weir.admin_address, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")))
        self.reader.start()

    def wait(self, part):
        return eventually(lambda: [line for line in self.lines if part in line], lambda: f"{part} in {self.lines}")

    def finish(self):
        """Once weir has gone: its exit code, and what it complained of."""
        code = self.process.wait(LIMIT_S)
        self.reader.join(LIMIT_S)
        self.process.stdout.close()
        with self.process.stderr as errors:
            return code, errors.read()


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_the_command_goes_on_with_what_comes(scene, arguments):
    weir = scene.proxy(scene.server())
    mark(weir, "before")
    follower = Follower(weir, *arguments)
    try:
        follower.wait("before")  # it begins with what is kept
        mark(weir, "deploy v42")
        line, = follower.wait("deploy v42")
        if arguments:
            event = json.loads(line)
            assert event == wait_event(weir, "marker") and event["fields"] == {"name": "deploy v42"}
        else:
            assert line.endswith("marker  name: deploy v42\n")
        assert [line for line in follower.lines if "before" in line] == follower.lines[-2:-1]
    finally:
        weir.terminate()
        assert weir.wait_exit() == 0
        code, errors = follower.finish()
    assert code in (0, 69), errors


def test_following_is_refused_without_a_token_and_beside_a_note(scene):
    weir = scene.proxy(scene.server(), admin={"bind": listen_at_free_port(), "token": "secret"})
    admin = "%s:%d" % weir.admin_address
    refused = run_command("events", "--follow", "--admin", admin)
    assert refused.returncode == 77 and "wants a token" in refused.stderr
    assert run_command("events", "--follow", "--mark", "x", "--admin", admin, "--token", "secret").returncode == 64
