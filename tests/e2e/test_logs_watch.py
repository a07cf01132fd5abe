"""Logs that a running weir watches: what nginx wrote is counted, once, whatever becomes of its files."""
import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

import message
from client import Client
from ports import reserve_port
from test_check import check
from waiting import LIMIT_S, eventually
from weir import BINARIES, make_config, run_command

SERVER = """
        location / { return 200 "nginx\\n"; }
        location /gone { return 404; }
        location /login { return 401; }
        location /broken { return 500; }
"""
PLAIN = '$connection $connection_requests $request_method $request_uri $status $request_length'  # the fixture's
FORMAT = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" ' \
         '"$http_user_agent"'


def watch(scene, source, rules=None, listener=None, **options):
    """weir with one source `edge`, and its files open."""
    path = source.get("path")
    logs = {"sources": {"edge": source}, **({"rules": rules} if rules else {}), **options.pop("logs", {})}
    config = make_config([scene.server()], listener=listener, logs=logs)
    weir = scene.weir(config, **options)
    if path and path != "-" and os.path.exists(path):
        eventually(lambda: figures(weir)["files"] >= 1, "the log is open")
    weir.baseline = (weir.live(), weir.count_fds())
    return weir


def figures(weir, name="edge"):
    return next(s for s in weir.get("/api/v1/logs")["sources"] if s["name"] == name)


def summary(weir, window="all", top=10):
    return weir.get(f"/api/v1/logs/edge/summary?window={window}&top={top}")


def wait_records(weir, count):
    eventually(lambda: summary(weir)["figures"]["records"] >= count,
               lambda: f"{count} records: {summary(weir)['figures']['records']}, {figures(weir)}")
    found = summary(weir)
    assert found["figures"]["records"] == count
    assert found["malformed"]["count"] == 0, found["malformed"]
    return found


def stamp(seconds_ago=0):
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(time.time() - seconds_ago))


def line(path="/", status=200, client="192.0.2.1", seconds_ago=0, more=""):
    return f'{client} - - [{stamp(seconds_ago)}] "GET {path} HTTP/1.1" {status} 10 "-" "test/1"{more}\n'


def append(path, *lines):
    with open(path, "a") as file:
        file.write("".join(lines))


class Load:
    """Requests to nginx until it is stopped, at most `count`; ab counts what was answered."""

    def __init__(self, nginx, count):
        self.process = subprocess.Popen(["ab", "-q", "-k", "-c", "4", "-t", "120", "-n", str(count),
                                         f"http://{nginx.address}/"], stdout=subprocess.PIPE, text=True)

    def finish(self):
        out, _ = self.process.communicate(timeout=90)
        assert "Failed requests:        0" in out, out
        return int(next(row for row in out.splitlines() if row.startswith("Complete requests:")).split()[-1])


def count_lines(directory):
    total = 0
    for path in glob.glob(os.path.join(directory, "access.log*")):
        with open(path, "rb") as file:
            total += file.read().count(b"\n")
    return total


def rename(nginx, number):
    os.rename(nginx.access_log, f"{nginx.access_log}.{number}")
    nginx.process.send_signal(signal.SIGUSR1)
    eventually(lambda: os.path.exists(nginx.access_log), "nginx has opened its log anew")


def copy_and_truncate(nginx, number):
    shutil.copyfile(nginx.access_log, f"{nginx.access_log}.{number}")
    os.truncate(nginx.access_log, 0)


def rotate_under_load(scene, rotate, rotations, requests, log_format="plain"):
    """No two lines are equal, so that no file begins as another does."""
    nginx = scene.nginx(server=SERVER, log_format=log_format)
    weir = watch(scene, {"path": nginx.access_log, "format": PLAIN})
    load = Load(nginx, requests)
    for number in range(rotations):
        rotate(nginx, number)
        # Bounded by what was written, not by a time: so many rotations happen while requests go on.
        eventually(lambda: os.path.getsize(nginx.access_log) or load.process.poll() is not None, "records go on")
    done = load.finish()
    nginx.close()  # what it buffers is written
    return weir, nginx, done


@pytest.mark.parametrize("log_format", ["plain", "plain buffer=32k flush=1s"])
def test_no_record_is_lost_or_doubled_over_rotations(scene, log_format):
    weir, nginx, done = rotate_under_load(scene, rename, 12, 40000, log_format)
    assert count_lines(nginx.directory) == done
    found = wait_records(weir, done)
    assert found["figures"]["statuses"] == {"200": done}
    eventually(lambda: figures(weir)["lag_bytes"] == 0, "nothing is left to read")


@pytest.mark.soak
def test_no_record_is_lost_or_doubled_over_a_thousand_rotations(scene):
    weir, nginx, done = rotate_under_load(scene, rename, 1000, 300000)
    assert count_lines(nginx.directory) == done
    wait_records(weir, done)
    assert figures(weir)["rotations"] >= 900, "most happened while requests went on"


def test_what_stays_in_copied_and_truncated_files_is_counted_once(scene):
    """What comes between the copy and the truncation is lost by the tool itself; weir may have seen it before."""
    weir, nginx, done = rotate_under_load(scene, copy_and_truncate, 6, 20000)
    stayed = count_lines(nginx.directory)
    eventually(lambda: figures(weir)["lag_bytes"] == 0 and figures(weir)["records"] >= stayed, "all is read")
    assert stayed <= summary(weir)["figures"]["records"] <= done


def test_logrotate_is_followed(scene):
    nginx = scene.nginx(server=SERVER, log_format="combined")
    weir = watch(scene, {"path": nginx.access_log})
    config = os.path.join(nginx.directory, "logrotate.conf")
    with open(config, "w") as file:
        file.write(f"{nginx.access_log} {{\n rotate 20\n nocreate\n missingok\n compress\n delaycompress\n"
                   f" su root root\n postrotate\n kill -USR1 {nginx.process.pid}\n endscript\n}}\n")
    os.chmod(config, 0o644)
    load = Load(nginx, 20000)
    for _ in range(5):
        before = figures(weir)["records"]
        subprocess.run(["/usr/sbin/logrotate", "-f", "-s", config + ".state", config], check=True)
        eventually(lambda: figures(weir)["records"] > before or load.process.poll() is not None, "records go on")
    done = load.finish()
    nginx.close()
    wait_records(weir, done)


def test_a_deleted_log_is_read_to_its_end(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path})
    with open(path, "a") as held:
        os.unlink(path)
        held.write(line() * 3)
        held.flush()
        wait_records(weir, 4)
        append(path, line() * 2)
    wait_records(weir, 6)


def test_a_line_counts_when_it_is_whole(scene, tmp_path):
    path = str(tmp_path / "access.log")
    whole = line("/a" * 200)
    append(path, whole, whole[:100])
    weir = watch(scene, {"path": path})
    wait_records(weir, 1)
    append(path, whole[100:150])
    append(path, whole[150:])
    wait_records(weir, 2)


# Restarts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_goes_on_where_it_was(scene, tmp_path, number):
    nginx = scene.nginx(server=SERVER, log_format="combined")
    state = str(tmp_path / "state")
    load = Load(nginx, 30000)
    for turn in range(4):
        weir = watch(scene, {"path": nginx.access_log}, logs={"state": state}, is_checked=number == signal.SIGTERM)
        seen = figures(weir)["records"]
        eventually(lambda: figures(weir)["records"] > seen or load.process.poll() is not None, "records come")
        if turn == 1:
            eventually(lambda: os.path.exists(f"{state}/edge.logs"), "a checkpoint")
        if turn == 2:
            rename(nginx, turn)
        if turn < 3:
            weir.is_ending = True
            weir.process.send_signal(number)
            weir.process.wait()
    done = load.finish()
    found = wait_records(weir, done)
    assert found["figures"]["statuses"] == {"200": done}


def test_a_damaged_checkpoint_is_put_aside_and_said(scene, tmp_path):
    path, state = str(tmp_path / "access.log"), tmp_path / "state"
    append(path, line() * 5)
    state.mkdir()
    (state / "edge.logs").write_bytes(b"weir log state of another planet")
    weir = watch(scene, {"path": path}, logs={"state": str(state)})
    assert "damaged" in weir.wait_event("log_state_refused")["error"]
    assert (state / "edge.logs.bad").read_bytes().startswith(b"weir log state")
    wait_records(weir, 5)


def test_a_checkpoint_that_is_too_large_or_no_file_keeps_nothing_from_starting(scene, tmp_path):
    path, state = str(tmp_path / "access.log"), tmp_path / "state"
    append(path, line() * 5)
    state.mkdir()
    with open(state / "edge.logs", "wb") as file:
        file.truncate(1 << 30)
    weir = watch(scene, {"path": path}, logs={"state": str(state)})
    assert "bytes" in weir.wait_event("log_state_refused")["error"]
    wait_records(weir, 5)
    weir.terminate()
    weir.wait_exit()
    os.remove(state / "edge.logs.bad")
    with contextlib.suppress(FileNotFoundError):
        os.remove(state / "edge.logs")
    os.mkfifo(state / "edge.logs")
    weir = watch(scene, {"path": path}, logs={"state": str(state)})
    assert "no regular file" in weir.wait_event("log_state_refused")["error"]
    wait_records(weir, 5)


def test_what_a_rules_expression_cannot_tell_is_counted(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, "")
    weir = watch(scene, {"path": path}, [{"name": "hard", "when": 'rate(path~"^/(a+)+[^!]$") by client > 5/m'}])
    append(path, line("/" + "a" * 60 + "!"))
    eventually(lambda: figures(weir)["undecided"] == 1, "it is counted")
    weir.wait_metric(1, "weir_log_undecided_total", source="edge")


def test_reading_may_begin_at_the_end(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line() * 5)
    weir = watch(scene, {"path": path, "from": "end"})
    append(path, line() * 2)
    wait_records(weir, 2)


# Where records come from


def test_syslog_by_udp_and_by_a_unix_socket(scene, tmp_path):
    port, unix = reserve_port(), str(tmp_path / "log.sock")
    sources = {"udp": {"syslog": f"127.0.0.1:{port}"}, "unix": {"syslog": f"unix:{unix}"}}
    weir = scene.weir(make_config([scene.server()], logs={"sources": sources}))
    eventually(lambda: all(figures(weir, name)["files"] for name in sources), "the sockets")
    weir.baseline = (weir.live(), weir.count_fds())
    nginx = scene.nginx(server=f"access_log syslog:server=127.0.0.1:{port} combined;"
                               f"access_log syslog:server=unix:{unix},nohostname combined;" + SERVER)
    for number, target in enumerate(["/", "/gone", "/broken"] * 10, 1):
        client = scene.client(("127.0.0.1", nginx.port))  # nginx closes after a 500
        client.ask("GET", target)
        client.close()
        if number % 5 == 0:  # a unix socket holds ten datagrams (net.unix.max_dgram_qlen); nginx drops what is over
            eventually(lambda: figures(weir, "unix")["records"] == number, lambda: f"{number}: {figures(weir, 'unix')}")
    for name in sources:
        eventually(lambda: figures(weir, name)["records"] == 30, lambda: f"30 records: {figures(weir, name)}")
        found = weir.get(f"/api/v1/logs/{name}/summary")
        assert found["figures"]["statuses"] == {"200": 10, "404": 10, "500": 10}
        assert figures(weir, name)["foreign"] == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rubbish:
        rubbish.sendto(b"\xff\x00 hello", ("127.0.0.1", port))
    eventually(lambda: figures(weir, "udp")["foreign"] == 1, "what is no syslog is counted")


@pytest.mark.parametrize("form", ["combined", "json"])
def test_a_weir_watches_what_another_sends(scene, form):
    port = reserve_port()
    watching = scene.weir(make_config([scene.server()], logs={"sources": {"far": {"syslog": f"127.0.0.1:{port}", "format": form}}}))
    eventually(lambda: figures(watching, "far")["files"], "the socket")
    watching.baseline = (watching.live(), watching.count_fds())
    sending = scene.weir(make_config([scene.server()], access_log={"syslog": f"127.0.0.1:{port}", "format": form}))
    client = scene.client(sending)
    for _ in range(20):
        assert client.ask("GET", "/a?b=%22").status == 200
    client.close()
    eventually(lambda: figures(watching, "far")["records"] == 20, lambda: f"20 records: {figures(watching, 'far')}")
    assert figures(watching, "far")["foreign"] == figures(watching, "far")["malformed"] == 0
    found = watching.get("/api/v1/logs/far/summary")["figures"]
    assert found["statuses"] == {"200": 20}
    assert [row["key"] for row in found["top"]["path"]] == ["/a"]


def test_the_format_is_read_out_of_nginx_conf(scene, tmp_path):
    conf, log = tmp_path / "nginx.conf", str(tmp_path / "tight.log")
    (tmp_path / "formats.conf").write_text(
        "log_format tight '$status|$request_method|$request_uri|$remote_addr|'\n  '$request_time';")
    conf.write_text(f"http {{ include formats.conf; server {{ access_log {log} tight; }} }}")
    append(log, "404|GET|/nothing|192.0.2.7|0.250\n" * 4)
    weir = watch(scene, {"path": log, "format": {"nginx_conf": str(conf)}})
    found = wait_records(weir, 4)["figures"]
    assert found["statuses"] == {"404": 4}
    assert found["request_ms"]["p50"] == pytest.approx(250, rel=0.011)
    assert found["top"]["client"][0]["key"] == "192.0.2.7"


def test_json_records(scene, tmp_path):
    path = str(tmp_path / "access.log")
    record = {"remote_addr": "192.0.2.1", "status": 502, "request_method": "GET", "request_uri": "/a?b=\"c\"",
              "request_time": "1.5", "upstream_addr": "10.0.0.1:80", "nested": {"status": 1, "list": [1, 2]}}
    append(path, *[json.dumps(record) + "\n"] * 3)
    weir = watch(scene, {"path": path, "format": "json"})
    found = wait_records(weir, 3)["figures"]
    assert found["statuses"] == {"502": 3}
    assert found["top"]["upstream"][0] == {"key": "10.0.0.1:80", "count": 3, "error": 0, "share": 1}


def test_malformed_lines_are_counted_and_shown(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line(), "rubbish \u0001 line\n", line())
    weir = watch(scene, {"path": path})
    eventually(lambda: summary(weir)["figures"]["records"] == 2, "two records")
    assert summary(weir)["malformed"] == {"count": 1, "samples": ["rubbish \u0001 line"]}
    weir.wait_metric(1, "weir_log_malformed_total", source="edge")
    weir.wait_metric(0, "weir_log_lag_bytes", source="edge")


# The API


def test_windows_hold_what_is_recent(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line(seconds_ago=7200), line(seconds_ago=1000) * 2, line(seconds_ago=120) * 3, line() * 4)
    weir = watch(scene, {"path": path})
    wait_records(weir, 10)
    for window, count in {"1m": 4, "5m": 7, "1h": 9, "all": 10}.items():
        assert summary(weir, window)["figures"]["records"] == count, window
    series = weir.get("/api/v1/logs/edge/series")
    assert (len(series["records"]), sum(series["records"])) == (60, 9)


def test_the_top_of_each_dimension(scene, tmp_path):
    path = str(tmp_path / "access.log")
    for number in range(5):
        append(path, line(f"/users/{number}/x", client=f"192.0.2.{number}") * (number + 1))
    weir = watch(scene, {"path": path})
    wait_records(weir, 15)
    top = weir.get("/api/v1/logs/edge/top?by=client&n=2")
    assert [(entry["key"], entry["count"]) for entry in top["top"]] == [("192.0.2.4", 5), ("192.0.2.3", 4)]
    assert weir.get("/api/v1/logs/edge/top?by=network")["top"][0] == {"key": "192.0.2.0/24", "count": 15, "error": 0,
                                                                      "share": 1}
    assert weir.get("/api/v1/logs/edge/top?by=path")["top"][0]["key"] == "/users/{n}/x"
    assert weir.get("/api/v1/logs/edge/top?by=error_path")["top"] == []


def test_the_top_paths_of_errors(scene, tmp_path):
    """As `weir logs errors` says of the same file, in each window, and after a restart."""
    path, state, hostile = str(tmp_path / "access.log"), str(tmp_path / "state"), "/<img%20src=x>\xff\xfe\\x1b[2J"
    with open(path, "wb") as file:
        for row in [line("/fine") * 9, line("/gone", 404) * 7, line("/login", 499) * 6, line("/users/7/x", 503) * 3, line("/users/8/x", 500) * 2,
                    line("/login", 502, seconds_ago=7200) * 4, line(hostile, 504)]:
            file.write(row.encode("latin-1"))
    of_file = json.loads(run_command("logs", "errors", path, "--json").stdout)
    assert [(entry["key"], entry["count"]) for entry in of_file[:2]] == [("/users/{n}/x", 5), ("/login", 4)] and len(of_file) == 3

    def errors(weir, window="all"):
        found = weir.get(f"/api/v1/logs/edge/top?by=error_path&window={window}")
        assert (found["by"], found["missing_at_most"]) == ("error_path", 0)
        assert summary(weir, window)["figures"]["top"]["error_path"] == found["top"]
        return [(entry["key"], entry["count"], entry["error"]) for entry in found["top"]]

    expected = [(entry["key"], entry["count"], 0) for entry in of_file]
    for turn in range(2):
        weir = watch(scene, {"path": path}, logs={"state": state})
        wait_records(weir, 32)
        assert errors(weir) == expected, turn
        assert errors(weir, "1h") == [expected[0], expected[2]], turn
        weir.terminate()
        weir.wait_exit()
        assert os.path.exists(f"{state}/edge.logs")


@pytest.mark.parametrize("path,status,words", [
    ("/api/v1/logs/other/summary", 404, "no log source \"other\""),
    ("/api/v1/logs/edge/summary?window=2m", 400, "1m, 5m, 1h and all"),
    ("/api/v1/logs/edge/summary?top=0", 400, "1 to 1000"),
    ("/api/v1/logs/edge/top?by=colour", 400, "variant and error_path"),
    ("/api/v1/logs/edge/stream?where=status%3E", 400, "where"),
])
def test_what_the_api_does_not_know(scene, tmp_path, path, status, words):
    weir = watch(scene, {"path": str(tmp_path / "access.log")})
    response = weir.ask_admin("GET", path)
    assert response.status == status
    assert words in json.loads(response.body)["detail"]


class Stream:
    """Server-sent events, as they come."""

    def __init__(self, scene, weir, query=""):
        self.client = scene.client(weir.admin_address)
        self.client.send(message.request("GET", "/api/v1/logs/edge/stream" + query,
                                         host="%s:%d" % weir.admin_address))
        head = self.client.read_head()
        assert head.status == 200 and head.get("Content-Type") == "text/event-stream"
        self.bytes = b""

    def wait(self, kind, condition=lambda data: True):
        def found():
            self.client.sock.settimeout(0.05)
            try:
                data = self.client.sock.recv(65536)
                assert data, "the stream ended"
                self.bytes += data
            except TimeoutError:
                pass
            events = [self.parse(chunk) for chunk in self.bytes.decode().split("event: ")[1:]]
            return [data for name, data in events if name == kind and data is not None and condition(data)]
        return eventually(found, lambda: f"{kind}: {self.bytes!r}")

    @staticmethod
    def parse(chunk):
        name, _, rest = chunk.partition("\n")
        try:
            return name, json.loads(rest.split("data: ", 1)[1].split("\n", 1)[0])
        except (IndexError, ValueError):
            return name, None


def test_records_are_streamed_as_they_come(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path})
    stream = Stream(scene, weir, "?where=status%3E%3D500")
    stream.wait("summary")
    append(path, line("/fine"), line("/a\\\"b", 502, client="2001:db8::1"))
    record, = stream.wait("record")
    assert (record["status"], record["client"], record["method"]) == (502, "2001:db8::1", "GET")
    stream.wait("summary", lambda data: data["records"] == 2 and data["errors"] == 1)
    stream.client.close()
    again = Stream(scene, weir)
    again.wait("summary")


def test_a_slow_viewer_costs_a_bounded_amount(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path})
    stream = Stream(scene, weir)
    stream.wait("summary")
    append(path, line("/x" * 500) * 20000)
    wait_records(weir, 20001)
    stream.wait("summary", lambda data: data["missed"] > 10000)


# Rules


def rule(**options):
    return {"name": "brute", "when": "rate(status==401) by client > 5/m", **options}


def outcomes(weir):
    return [event["outcome"] for event in weir.get("/api/v1/rules")["rules"][0]["latest"]]


def test_a_rule_is_dry_by_default(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line(status=401) * 5)
    weir = watch(scene, {"path": path}, rules=[rule()])
    wait_records(weir, 5)
    assert outcomes(weir) == []
    append(path, line(status=401) * 5)
    eventually(lambda: outcomes(weir) == ["dry"], lambda: f"dry: {outcomes(weir)}")
    event = weir.get("/api/v1/rules")["rules"][0]["latest"][0]
    assert (event["who"], event["records"], event["source"]) == ("192.0.2.1", 6, "edge")
    assert weir.get("/api/v1/denials")["denials"] == []
    assert weir.wait_event("log_rule")["outcome"] == "dry"


@pytest.mark.parametrize("who", ["the peer", "whom a trusted peer names"])
def test_a_rule_denies_for_a_while_and_may_be_revoked(scene, tmp_path, who):
    path = str(tmp_path / "access.log")
    append(path, line())
    listener = {"trust": ["127.0.0.1"]} if who != "the peer" else None
    address = "127.0.0.1" if who == "the peer" else "192.0.2.9"
    weir = watch(scene, {"path": path}, rules=[rule(dry=False, do={"gate": "deny", "for": "1h"})], listener=listener)

    def passes():
        client = scene.client(weir)
        try:
            return client.ask("GET", "/", ("X-Forwarded-For", address)).status == 200
        except (ConnectionError, message.Ended):
            return False
        finally:
            client.close()

    assert passes()
    append(path, line(status=401, client=address) * 6)
    eventually(lambda: not passes(), "it is denied")
    denial, = weir.get("/api/v1/denials")["denials"]
    assert (denial["who"], denial["rule"], denial["source"], denial["records"]) == (address, "brute", "edge", 6)
    assert weir.get(f"/api/v1/denials/{denial['id']}") == weir.get("/api/v1/denials/" + address) == denial
    for absent in ("99", "192.0.2.77", address + "%2F24", "-1"):
        said = weir.ask_admin("GET", "/api/v1/denials/" + absent)
        assert said.status == 404 and said.get("Content-Type") == "application/problem+json"
    assert weir.ask_admin("DELETE", f"/api/v1/denials/{denial['id']}").status == 204
    assert passes()
    assert weir.ask_admin("DELETE", f"/api/v1/denials/{denial['id']}").status == 404


def test_a_denial_expires(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path}, rules=[rule(dry=False, do={"gate": "deny", "for": "1s"})])
    append(path, line(status=401) * 6)
    weir.wait_event("log_rule")
    weir.wait_event("denials_ended")
    assert weir.get("/api/v1/denials")["denials"] == []


@pytest.mark.parametrize("options,listener", [({"allow": ["192.0.2.0/28"]}, None), ({}, {"trust": ["192.0.2.1"]})])
def test_a_rule_never_touches_who_is_allowed_or_trusted(scene, tmp_path, options, listener):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path}, rules=[rule(dry=False, **options)], listener=listener)
    append(path, line(status=401) * 6)
    eventually(lambda: outcomes(weir) == ["allow_listed"], lambda: f"{outcomes(weir)}")
    assert weir.get("/api/v1/denials")["denials"] == []


def test_a_rule_by_network(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line())
    weir = watch(scene, {"path": path}, rules=[
        {"when": 'rate(path~"^/wp-" && status==404) by network >= 3/10s', "dry": False}])
    append(path, *[line(f"/wp-{n}", 404, client=f"198.51.100.{n}") for n in range(3)])
    eventually(lambda: weir.get("/api/v1/denials")["denials"], "the network is denied")
    assert weir.get("/api/v1/denials")["denials"][0]["who"] == "198.51.100.0/24"


def test_old_records_deny_nobody(scene, tmp_path):
    path = str(tmp_path / "access.log")
    append(path, line(status=401, seconds_ago=300) * 100, line())
    weir = watch(scene, {"path": path}, rules=[rule(dry=False)])
    wait_records(weir, 101)
    assert outcomes(weir) == []


# Health


def test_upstreams_that_fail_in_the_log_are_ejected(scene, tmp_path):
    path = str(tmp_path / "access.log")
    one, two = scene.server(), scene.server()
    source = {"path": path, "health": {"pool": "web", "over": "1s", "attempts": 10},
              "format": FORMAT + ' "$upstream_addr" "$upstream_status" "$upstream_response_time"'}
    weir = scene.weir(make_config([{"name": "one", "address": one.address}, {"name": "two", "address": two.address}],
                                  logs={"sources": {"edge": source}}))
    append(path, *[line(more=f' "{one.address}, {two.address}" "502, 200" "0.001, 0.002"')] * 20)
    eventually(lambda: weir.servers()["one"]["state"] == "ejected", lambda: f"one is ejected: {weir.servers()['one']}")
    assert weir.servers()["two"]["state"] != "ejected"
    assert weir.wait_event("upstream_fails")["server"] == "one"
    weir.is_checked = False  # a file is open that was not there at the start
    weir.baseline = None


# Mistakes


@pytest.mark.parametrize("logs,words", [
    ("{sources: {edge: {path: access.log}}}", "where weir is started"),
    ("{sources: {edge: {path: /a, syslog: '127.0.0.1:5'}}}", "either a path or a syslog"),
    ("{sources: {edge: {path: '/var/*/access.log'}}}", "last part"),
    ("{sources: {edge: {path: /a, format: combind}}}", "combind"),
    ("{sources: {edge: {path: /a, format: auto}}}", "told"),
    ("{sources: {edge: /a}, rules: [{when: 'rate(status==401) by clint > 3/m'}]}", "by client or by network"),
    ("{sources: {edge: /a}, rules: [{when: 'rate(status==) by client > 3/m'}]}", "column"),
    ("{sources: {edge: /a}, rules: [{when: 'rate(status==401) by client > 3/x'}]}", "30/m"),
    ("{sources: {edge: /a}, rules: [{when: 'rate(status==401) by client > 3/m', source: ede}]}", "no source \"ede\""),
    ("{sources: {edge: {path: /a, health: nowhere}}}", "nowhere"),
])
def test_a_mistake_in_logs_is_told(tmp_path, logs, words):
    text = f"listeners: {{web: {{bind: '127.0.0.1:18999', pool: web}}}}\npools: {{web: {{servers: ['127.0.0.1:1']}}}}\nlogs: {logs}\n"
    faults = check(tmp_path, text)
    assert any(words in fault.sentence for fault in faults), [fault.sentence for fault in faults]


class Follower:
    """`weir logs follow`, whose lines are read as they come."""

    def __init__(self, weir, *options):
        self.process = subprocess.Popen([BINARIES["release"], "logs", "follow", "edge", "--admin",
                                         "%s:%d" % weir.admin_address, *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.bytes = b""

    def lines(self):
        with contextlib.suppress(BlockingIOError):
            self.bytes += os.read(self.process.stdout.fileno(), 65536)
        return self.bytes[:self.bytes.rfind(b"\n") + 1].decode().splitlines()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(LIMIT_S)
        self.process.stdout.close()
        self.process.stderr.close()


def test_a_log_is_followed_in_a_terminal(scene, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("")
    weir = watch(scene, {"path": str(log)})
    every, some = Follower(weir), Follower(weir, "--where", "status>=500", "--json")

    def is_shown():
        append(str(log), line("/first"))
        return every.lines()
    eventually(is_shown, "a line")
    append(str(log), line("/fine"), line("/failed", 502, client="192.0.2.77"), line("/fine"))
    shown = eventually(lambda: (found := [text for text in every.lines() if "/failed" in text]) and found, "the failure")
    assert shown[0].split()[1:] == ["192.0.2.77", "502", "GET", "/failed"]

    def filtered():
        append(str(log), line("/broken", 500))
        return some.lines()
    eventually(filtered, "a failure as JSON")
    records = [json.loads(text) for text in some.lines()]
    assert all(record["status"] >= 500 for record in records)
    for follower in (every, some):
        follower.end()
    refused = run_command("logs", "follow", "nobody", "--admin", "%s:%d" % weir.admin_address)
    assert refused.returncode == 65 and "nobody" in refused.stderr


def test_a_format_that_fits_no_line_is_told(scene, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("")
    weir = watch(scene, {"path": str(log)})
    append(str(log), *['{"status": 200}\n'] * 120)
    told = weir.wait_event("log_format_mismatch")
    assert told["source"] == "edge" and "set the source's `format:` to json" in told["error"]
    eventually(lambda: figures(weir)["malformed"] == 120, "each line is counted")
