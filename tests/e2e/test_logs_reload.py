"""Other logs and rules while weir runs: by a reload and by the API's objects. What stays goes on where it is, what has a mistake is
refused as a whole."""
import contextlib
import copy
import json
import os
import socket
import threading

import pytest

import message
from ports import reserve_port
from test_logs_watch import FORMAT, Stream, append, figures, line, rule, summary, wait_records, watch
from test_objects import ask
from waiting import eventually
from weir import make_config

LOGS = "/api/v1/config/logs"
OTHER_FORMAT = FORMAT.replace("$http_user_agent", "$tail")  # fits the same lines
RELOADS = 100


def with_logs(weir, **logs):
    """Its configuration with that for `logs:`; nothing: without."""
    config = copy.deepcopy(weir.config)
    config.pop("logs", None)
    return {**config, "logs": logs} if logs else config


def names(weir):
    return [source["name"] for source in weir.get("/api/v1/logs")["sources"]]


def series(weir):
    """The sources that metrics name."""
    return {sample.split('source="')[1].split('"')[0] for sample in weir.metrics() if sample.startswith("weir_log_records_total{")}


def denied(weir):
    return [(denial["who"], denial["rule"]) for denial in weir.get("/api/v1/denials")["denials"]]


class Writer:
    """Lines of a log, each in two pieces, until it is ended; now and then the log is rotated."""

    def __init__(self, path):
        self.path = path
        self.count = 0
        self.is_ending = threading.Event()
        self.is_written = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.is_ending.is_set():
            if self.count % 500 == 499:
                os.rename(self.path, f"{self.path}.{self.count}")
            text = line(f"/{self.count}")
            with open(self.path, "a") as file:
                file.write(text[:40])
                file.flush()
                file.write(text[40:])
            self.count += 1
            self.is_ending.wait(0.001)

    def end(self):
        self.is_ending.set()
        self.thread.join()
        return self.count


def test_a_hundred_reloads_count_every_line_once(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path}, rules=[rule()])
    beside = str(tmp_path / "beside.log")
    append(beside, line("/beside"))
    writer = Writer(path)
    for number in range(RELOADS):
        before = writer.count
        edge = {"path": path, "format": [FORMAT, OTHER_FORMAT][number // 2 % 2]}
        sources = {"edge": edge, **({"beside": beside} if number % 3 else {})}
        weir.reload(with_logs(weir, sources=sources, rules=[rule(do={"gate": "deny", "for": f"{number + 1}m"})]))
        eventually(lambda: writer.count > before, "lines come between reloads")
    written = writer.end()
    found = wait_records(weir, written + 1)
    assert found["malformed"]["count"] == 0
    weir.wait_metric(written + 1, "weir_log_records_total", source="edge")
    weir.wait_metric(written // 500, "weir_log_rotations_total", source="edge")


WAYS = ["objects", "put", "post", "signal"]


def put_source(weir, way, name, source, sources):
    """The source as it is to be; None: none. sources: all of them, then."""
    if way != "objects":
        weir.reload(with_logs(weir, **({"sources": sources} if sources else {})), way)
    elif source is None and not sources:
        ask(weir, "DELETE", LOGS)
    elif source is None:
        ask(weir, "DELETE", f"{LOGS}/sources/{name}")
    elif name in names(weir):
        ask(weir, "PUT", f"{LOGS}/sources/{name}", source)
    else:
        ask(weir, "POST", LOGS + "/sources", {"name": name, **source}, status=201)


@pytest.mark.parametrize("way", WAYS)
def test_a_source_comes_changes_and_goes(scene, tmp_path, way):
    paths = {name: str(tmp_path / f"{name}.log") for name in ("edge", "app")}
    append(paths["edge"], line("/a"), line("/b", 502))
    append(paths["app"], '{"status": 500, "path": "/j"}\n' * 3)
    weir = scene.weir(make_config([scene.server()]))
    assert names(weir) == [] and series(weir) == set()
    edge, app = {"path": paths["edge"]}, {"path": paths["app"], "format": "json"}

    put_source(weir, way, "edge", edge, {"edge": edge})
    wait_records(weir, 2)
    assert names(weir) == ["edge"] and series(weir) == {"edge"}
    put_source(weir, way, "app", app, {"edge": edge, "app": app})
    eventually(lambda: figures(weir, "app")["records"] == 3, "the other is read")
    assert series(weir) == {"edge", "app"} and summary(weir)["figures"]["records"] == 2

    # Another format: what was counted stays, and reading goes on where it was.
    edge = {**edge, "format": "json"}
    put_source(weir, way, "edge", edge, {"edge": edge, "app": app})
    append(paths["edge"], '{"status": 200, "path": "/c"}\n')
    wait_records(weir, 3)
    assert figures(weir, "app")["records"] == 3
    # Another path: likewise, from its start.
    edge = {"path": str(tmp_path / "new.log")}
    append(edge["path"], line("/d") * 2)
    put_source(weir, way, "edge", edge, {"edge": edge, "app": app})
    wait_records(weir, 5)
    assert {entry["key"] for entry in weir.get("/api/v1/logs/edge/top?by=path")["top"]} == {"/a", "/b", "/c", "/d"}
    assert figures(weir)["path"] == edge["path"]

    stream = Stream(scene, weir)
    stream.wait("summary")
    put_source(weir, way, "edge", None, {"app": app})
    assert names(weir) == ["app"] and series(weir) == {"app"}
    assert weir.ask_admin("GET", "/api/v1/logs/edge/summary").status == 404
    stream.client.sock.settimeout(None)
    with contextlib.suppress(ConnectionError):
        while data := stream.client.sock.recv(65536):
            stream.bytes += data
            if data.endswith(b"0\r\n\r\n"):
                break
    assert stream.bytes.endswith(b"0\r\n\r\n"), "the stream has come to its end"
    stream.client.close()
    put_source(weir, way, "app", None, {})
    assert names(weir) == [] and series(weir) == set()
    assert not [sample for sample in weir.metrics() if sample.startswith(("weir_log_", "weir_denials"))]


def test_a_reload_says_what_of_the_logs_changes_and_that_no_restart_is_needed(scene, tmp_path):
    paths = [str(tmp_path / f"{number}.log") for number in range(3)]
    weir = scene.weir(make_config([scene.server()], logs={"sources": {"edge": paths[0], "old": paths[1]}, "rules": [rule()]}))
    wanted = with_logs(weir, sources={"edge": {"path": paths[0], "from": "end"}, "new": paths[2]}, rules=[rule(dry=False)])
    for query in ("?dry_run=true", ""):
        said = json.loads(weir.put_config(wanted, query).body)
        assert said["needs_restart"] == []
        assert [item["name"] for item in said["sources"]["added"]] == ["new"]
        assert [item["name"] for item in said["sources"]["removed"]] == ["old"]
        assert [(item["name"], item["keys"]) for item in said["sources"]["changed"]] == [("edge", ["from"])]
        assert said["settings"] == ["logs"]
    assert names(weir) == ["edge", "new"]
    assert not weir.events("restart_needed")


def test_a_path_becomes_a_pattern_and_no_line_is_read_twice(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(str(tmp_path / "access.log.1"), line() * 100)  # rotated before weir came: not its own
    append(path, line() * 5)
    weir = watch(scene, {"path": path})
    wait_records(weir, 5)
    append(str(tmp_path / "access-two.log"), line() * 2)
    weir.reload(with_logs(weir, sources={"edge": str(tmp_path / "access*.log")}))
    wait_records(weir, 7)
    append(path, line())
    wait_records(weir, 8)
    weir.reload(with_logs(weir))


def test_from_the_end_holds_for_files_that_another_path_brings(scene, tmp_path):
    path, other = str(tmp_path / "access.log"), str(tmp_path / "other.log")
    append(path, line())
    append(other, line() * 500)
    weir = watch(scene, {"path": path, "from": "end"})
    heard = []

    def is_heard(name):
        """What is written before its end was looked for is not read."""
        heard.append(append(name, line()))
        return figures(weir)["records"] > records
    records = 0
    eventually(lambda: is_heard(path), "it is read")
    append(str(tmp_path / "other.log.1"), line() * 300)  # rotated, and nobody's
    for pattern in (other, str(tmp_path / "*.log")):
        weir.reload(with_logs(weir, sources={"edge": {"path": pattern, "from": "end"}}))
        records = figures(weir)["records"]
        eventually(lambda: is_heard(other), "it is read")
    assert figures(weir)["records"] <= len(heard)
    weir.reload(with_logs(weir))


# Rules


def test_who_is_denied_stays_so_unless_the_rule_goes(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line())
    brute = rule(dry=False, do={"gate": "deny", "for": "1h"})
    other = {"name": "other", "when": "rate(status==403) by client > 2/m", "dry": False, "do": {"for": "1h"}}
    weir = watch(scene, {"path": path}, rules=[brute, other])
    append(path, line(status=401, client="192.0.2.8") * 6, line(status=403, client="192.0.2.9") * 3)
    both = {("192.0.2.8", "brute"), ("192.0.2.9", "other")}
    eventually(lambda: set(denied(weir)) == both, "both are denied")
    sources = {"edge": {"path": path}}
    changed = {**brute, "when": "rate(status==401) by client > 1000/m", "do": {"for": "1s"}, "dry": True}
    weir.reload(with_logs(weir, sources=sources, rules=[other, changed]))
    assert set(denied(weir)) == both
    # From another log, which is gone by then: its name is still told.
    weir.reload(with_logs(weir, sources={"new": {"path": path, "from": "end"}}, rules=[other, changed]))
    assert set(denied(weir)) == both
    assert {denial["source"] for denial in weir.get("/api/v1/denials")["denials"]} == {"edge"}
    weir.reload(with_logs(weir, sources={"new": {"path": path, "from": "end"}}, rules=[changed]))
    assert denied(weir) == [("192.0.2.8", "brute")]
    assert weir.wait_event("denials_ended")["rule"] == "other"
    said, = weir.get("/api/v1/rules")["rules"]
    assert (said["name"], said["is_dry"]) == ("brute", True)
    assert [event["source"] for event in said["latest"]] == ["edge"]
    weir.reload(with_logs(weir))
    assert denied(weir) == []


def test_a_rule_that_was_dry_acts_with_the_next_record(scene, tmp_path):
    """What it has counted it has not forgotten, nor does it wait until it would have spoken again."""
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path}, rules=[rule(do={"for": "1h"})])
    append(path, line(status=401, client="192.0.2.8") * 6)
    eventually(lambda: weir.get("/api/v1/rules")["rules"][0]["events"] == 1, "it has been seen")
    assert denied(weir) == []
    ask(weir, "PATCH", LOGS + "/rules/brute", {"dry": False})
    append(path, line(status=401, client="192.0.2.8"))
    eventually(lambda: denied(weir) == [("192.0.2.8", "brute")], "it is denied")
    assert weir.get("/api/v1/denials")["denials"][0]["records"] == 7


def test_a_rule_comes_and_counts_from_then_on(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line(status=401) * 50)
    weir = watch(scene, {"path": path})
    wait_records(weir, 50)
    ask(weir, "POST", LOGS + "/rules", rule(dry=False, do={"for": "1h"}), status=201)
    append(path, line(status=401) * 5)
    wait_records(weir, 55)
    assert denied(weir) == []
    append(path, line(status=401))
    eventually(lambda: denied(weir) == [("192.0.2.1", "brute")], "it is denied")


# Mistakes


@contextlib.contextmanager
def taken_port():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    yield sock.getsockname()[1]
    sock.close()


@pytest.mark.parametrize("kind", ["folder", "file for a folder", "nginx_conf", "address", "state", "format"])
def test_a_mistake_refuses_the_whole_and_the_old_goes_on(scene, tmp_path, kind):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path})
    wait_records(weir, 1)
    with taken_port() as port:
        bad, words = {
            "folder": ({"path": str(tmp_path / "none" / "a.log")}, ["path", f"no folder {tmp_path}/none", "make it"]),
            "file for a folder": ({"path": path + "/a.log"}, ["path", f"{path} is no folder"]),
            "nginx_conf": ({"path": path, "format": {"nginx_conf": str(tmp_path / "none.conf")}}, ["none.conf"]),
            "address": ({"syslog": f"127.0.0.1:{port}"}, [f"127.0.0.1:{port}", "in use"]),
            "state": ({"path": path}, [str(tmp_path / "none")]),
            "format": ({"path": path, "format": "$a$b"}, ["$b"]),
        }[kind]
        logs = {"sources": {"edge": {"path": path}, "bad": bad}}
        if kind == "state":
            logs["state"] = str(tmp_path / "none" / "state")
        wanted = {**with_logs(weir, **logs), "gate": {"deny": ["192.0.2.77"]}}
        for query in ("?dry_run=true", ""):
            refused = weir.put_config(wanted, query)
            assert refused.status == (400 if kind == "format" else 409), refused.text
            detail = json.loads(refused.body)["detail"]
            assert all(word in detail for word in words), detail
            assert kind in ("format", "state") or 'log source "bad"' in detail
        if kind != "state":
            refused = ask(weir, "POST", LOGS + "/sources", {"name": "bad", **bad}, status=400 if kind == "format" else 409)
            assert all(word in refused.text for word in words), refused.text
    assert names(weir) == ["edge"] and "gate" not in weir.get("/api/v1/config") and weir.metric("weir_config_generation") == 1
    append(path, line())
    wait_records(weir, 2)


def test_a_source_that_changes_is_refused_as_well(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path})
    refused = weir.put_config(with_logs(weir, sources={"edge": str(tmp_path / "none" / "a.log")}))
    assert refused.status == 409 and 'log source \\"edge\\"' in refused.text
    append(path, line())
    wait_records(weir, 2)
    # One whose folder goes while it is watched is in nobody's way.
    folder = tmp_path / "later"
    folder.mkdir()
    weir.reload(with_logs(weir, sources={"edge": path, "far": str(folder / "a.log")}))
    folder.rmdir()
    weir.reload(with_logs(weir, sources={"edge": path, "far": str(folder / "a.log")}, rules=[rule()]))
    weir.reload(with_logs(weir))


# Syslog


def send(port, *lines):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for text in lines:
            sock.sendto(b"<190>Oct 11 22:14:15 host nginx: " + text.strip().encode(), ("127.0.0.1", port))


def test_syslog_goes_from_one_source_to_another_and_its_format_changes(scene, tmp_path):
    one, two = reserve_port(), reserve_port()
    weir = scene.weir(make_config([scene.server()], logs={"sources": {"a": {"syslog": f"127.0.0.1:{one}"},
                                                                      "b": {"syslog": f"127.0.0.1:{two}"}}}))
    send(one, line("/one"))
    send(two, line("/two") * 1, line("/two"))
    eventually(lambda: (figures(weir, "a")["records"], figures(weir, "b")["records"]) == (1, 2), "both are heard")
    weir.reload(with_logs(weir, sources={"a": {"syslog": f"127.0.0.1:{two}"}, "b": {"syslog": f"127.0.0.1:{one}"}}))
    eventually(lambda: figures(weir, "a")["path"].endswith(str(two)), "they have changed places")
    heard = []

    def is_heard():
        """A datagram may come while the two change; then it is sent again."""
        send(two, line("/three"))
        heard.append(1)
        return figures(weir, "a")["records"] > 1
    eventually(is_heard, "it is heard at the other's address")
    unix = str(tmp_path / "log.sock")
    weir.reload(with_logs(weir, sources={"a": {"syslog": f"127.0.0.1:{two}", "format": "json"}, "c": {"syslog": "unix:" + unix}}))
    eventually(lambda: os.path.exists(unix), "a socket's file is there")
    records = figures(weir, "a")["records"]

    def is_json_heard():
        send(two, '{"status": 200}')
        return figures(weir, "a")["records"] > records
    eventually(is_json_heard, "the other format is read")
    weir.reload(with_logs(weir, sources={"a": {"syslog": f"127.0.0.1:{two}", "format": "json"}}))
    eventually(lambda: not os.path.exists(unix), "a socket's file is gone")


@pytest.mark.parametrize("queries", [("", ""), ("?dry_run=true", "")])
def test_reloads_at_once_that_bring_the_same_address_are_all_taken(scene, queries):
    weir = scene.weir(make_config([scene.server()]))
    for _ in range(10):
        wanted = with_logs(weir, sources={"far": {"syslog": f"127.0.0.1:{reserve_port()}"}})
        answers = []
        threads = [threading.Thread(target=lambda query=query: answers.append(weir.put_config(wanted, query))) for query in queries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in answers] == [200] * len(queries), [answer.text for answer in answers if answer.status != 200]
    weir.reload(with_logs(weir))


def test_a_file_that_is_read_twice_at_once_and_brings_an_address_is_in_force(scene):
    weir = scene.weir(make_config([scene.server()]))
    for number in range(1, 11):
        weir.write_file(with_logs(weir, sources={"far": {"syslog": f"127.0.0.1:{reserve_port()}"}}))
        threads = [threading.Thread(target=weir.ask_admin, args=("POST", "/api/v1/reload")) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert weir.metric("weir_config_generation") == 2 * number + 1
        assert weir.metric("weir_reload_applied") == 1
    weir.reload(with_logs(weir))


# What is kept, and what it costs


def test_what_was_changed_holds_over_a_restart_and_a_source_that_comes_back_goes_on(scene, tmp_path):
    path, state = str(tmp_path / "access.log"), str(tmp_path / "logs")
    append(path, line() * 3)
    weir = watch(scene, {"path": path}, logs={"state": state})
    wait_records(weir, 3)
    other = str(tmp_path / "other.log")
    weir.reload(with_logs(weir, sources={"other": other}, state=state))
    append(path, line() * 2)
    eventually(lambda: os.path.exists(state + "/edge.logs"), "what was counted is kept")
    weir.reload(with_logs(weir, sources={"edge": path}, state=state))
    eventually(lambda: summary(weir)["figures"]["records"] == 5, lambda: f"{summary(weir)}")
    # Another folder takes all of it along.
    moved = str(tmp_path / "moved")
    weir.reload(with_logs(weir, sources={"edge": path}, state=moved))
    weir.terminate()
    assert weir.wait_exit() == 0 and os.path.exists(moved + "/edge.logs")
    append(path, line())
    again = scene.weir(weir.config)
    eventually(lambda: summary(again)["figures"]["records"] == 6, lambda: f"{summary(again)}")


def test_two_hundred_reloads_cost_no_memory(scene, tmp_path):
    """Each source has its own 30 MiB, and each rule its own: sources and rules come and go, and all of theirs goes with them."""
    path = str(tmp_path / "access.log")
    append(path, *[line(f"/{number}", 401, client=f"192.0.2.{number % 250}") for number in range(2000)])
    weir = watch(scene, {"path": path}, build="release")
    wait_records(weir, 2000)

    def reload(times):
        for number in range(times):
            name = f"far{number}"
            weir.reload(with_logs(weir, sources={"edge": path, name: path}, rules=[
                {"name": f"rule{number}", "when": "rate(status==401) by client > 2/m"}]))
            eventually(lambda: figures(weir, name)["records"] == 2000, "it is read")  # pylint: disable=cell-var-from-loop
            weir.reload(with_logs(weir, sources={"edge": path}))
        eventually(lambda: weir.count_fds() <= weir.baseline[1], "no descriptor is left")
        return weir.rss_bytes()

    before = reload(10)
    after = reload(100)
    assert after < before + (12 << 20), f"{before} bytes, then {after}"
    assert summary(weir)["figures"]["records"] == 2000
