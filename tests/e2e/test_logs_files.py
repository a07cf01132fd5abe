"""weir logs: statistics of real nginx logs, counted a second time by Python."""
import collections
import contextlib
import datetime
import gzip
import http.client
import json
import os
import random
import re
import signal
import subprocess

import pytest

from waiting import LIMIT_S, eventually
from weir import BINARIES, run_command

LINE = re.compile(r'(\S+) - \S+ \[[^]]*\] "(\S+) (\S+) [^"]*" (\d+) (\d+) "([^"]*)" "([^"]*)"')
SERVER = """
        location / { return 200 "nginx\\n"; }
        location /gone { return 404; }
        location /broken { return 500; }
"""


def logs(*arguments, code=0, input=None):
    done = run_command("logs", *arguments, input=input)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def log(scene):
    """The log of a real nginx after 240 requests."""
    nginx = scene.nginx(server=SERVER, log_format="combined")
    connection = http.client.HTTPConnection(nginx.address)
    for number in range(240):
        path = ["/", f"/users/{number}", "/gone", f"/broken?n={number}"][number % 4]
        connection.request("GET" if number % 3 else "POST", path, headers={"User-Agent": f"curl/7.{number % 5}"})
        connection.getresponse().read()
    connection.close()
    path = nginx.access_log
    eventually(lambda: open(path).read().count("\n") == 240, "nginx's log")
    return path


def counted(path):
    return [LINE.match(line).groups() for line in open(path)]


def test_figures_are_those_of_an_independent_count(log):
    found = json.loads(logs("stats", log, "--json").stdout)
    lines = counted(log)
    assert found["all"]["records"] == len(lines) == 240
    assert found["all"]["bytes"] == sum(int(line[4]) for line in lines)
    assert found["all"]["statuses"] == dict(collections.Counter(line[3] for line in lines))
    assert found["all"]["methods"] == dict(collections.Counter(line[1] for line in lines))
    assert {entry["key"]: entry["count"] for entry in found["all"]["top"]["path"]} == {
        "/": 60, "/users/{n}": 60, "/gone": 60, "/broken": 60}
    assert found["all"]["top"]["agent"] == [{"key": "curl", "count": 240, "error": 0, "share": 1}]
    assert found["all"]["clients"]["value"] == pytest.approx(1, abs=0.01)
    assert found["malformed"]["count"] == 0


def test_a_filter_takes_what_it_says(log):
    found = json.loads(logs("stats", log, "--json", "--where", 'status>=500 && path~"^/broken"').stdout)
    assert found["all"]["statuses"] == {"500": 60}
    assert len(logs("grep", log, "--where", "status==404").stdout.splitlines()) == 60


def test_packed_files_and_standard_input_give_the_same(log, tmp_path):
    plain = logs("stats", log, "--json").stdout
    packed = str(tmp_path / "access.log.gz")
    with gzip.open(packed, "wb") as file:
        file.write(open(log, "rb").read())
    assert logs("stats", packed, "--json").stdout == plain
    assert logs("stats", "-", "--json", input=open(log).read()).stdout == plain


def test_a_cut_packed_file_is_told(log, tmp_path):
    packed = str(tmp_path / "cut.gz")
    with open(packed, "wb") as file:
        file.write(gzip.compress(open(log, "rb").read())[:-20])
    assert "was it cut off?" in logs("stats", packed, code=66).stderr


def test_a_damaged_file_among_others_leaves_the_report(log, tmp_path):
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(gzip.compress(b"x" * 100)[:-9])
    done = logs("stats", "--json", str(damaged), "/nowhere", log, code=66)
    assert json.loads(done.stdout)["all"]["records"] == 240
    assert "damaged.gz" in done.stderr and "cannot open /nowhere" in done.stderr and "2 of 3 files" in done.stderr


LINE_OF = '203.0.113.9 - - [12/Mar/2026:10:00:01 +0000] "%s" 500 7 "-" "%s"%s\n'


def test_a_guess_is_said_and_a_filter_that_asks_for_more(tmp_path):
    path = tmp_path / "access.log"
    path.write_text(LINE_OF % ("GET / HTTP/1.1", "curl", " 513802") * 20)
    assert "$http_user_agent\" $further" in logs("paths", str(path)).stderr
    assert logs("paths", str(path), "--quiet").stderr == ""
    done = logs("grep", str(path), "--where", "request_time>500")
    assert done.stdout == "" and "do not say request_time" in done.stderr


def test_lines_that_windows_ended_and_quotes_behind_backslashes_are_read(tmp_path):
    path = tmp_path / "access.log"
    path.write_bytes((LINE_OF % ("M-SEARCH /a HTTP/1.1", 'my \\"odd\\" agent', "") * 4).replace("\n", "\r\n").encode())
    found = json.loads(logs("stats", str(path), "--json").stdout)
    assert (found["all"]["records"], found["all"]["bytes"], found["malformed"]["count"]) == (4, 28, 0)


def test_nothing_in_a_log_steers_a_terminal(tmp_path):
    path = tmp_path / "access.log"
    path.write_bytes((LINE_OF % ("GET /\x1b]0;owned\x07\u009b31m\u00e4 HTTP/1.1", "\x1b[2J", "")).encode())
    for command in ("errors", "paths", "stats", "slow"):
        done = logs(command, str(path))
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.stdout + done.stderr), command
    assert "/\\x1b]0;owned\\x07\\xc2\\x9b31m\u00e4\n" in logs("errors", str(path)).stdout
    assert json.loads(logs("errors", str(path), "--json").stdout)[0]["key"] == "/\x1b]0;owned\x07\u009b31m\u00e4"
    assert "\x1b" in logs("grep", str(path), "--where", "status==500").stdout  # a file gets what was there
    wrong = tmp_path / "wrong.log"
    wrong.write_bytes(b"\x1b[31m no log\n" * 3)
    assert "\x1b" not in logs("stats", str(wrong), code=66).stderr


def test_json_is_found_as_it_was_written_and_a_cut_record_is_one(tmp_path):
    records = ['{"status": 200, "path": "/%d", "deep": {"a": [1, "}"]}}' % number for number in range(201)]
    records[100] = records[100][:-6]
    path = tmp_path / "log.json"
    path.write_text("\n".join(records) + "\n")
    found = json.loads(logs("stats", str(path), "--json").stdout)
    assert (found["all"]["records"], found["malformed"]["count"]) == (200, 1)
    assert logs("grep", str(path), "--where", 'path=="/7"').stdout == records[7] + "\n"


def test_a_hole_at_the_beginning_is_passed_over(tmp_path):
    path = tmp_path / "access.log"
    path.write_bytes(bytes(1000000) + (LINE_OF % ("GET / HTTP/1.1", "curl", "")).encode())
    found = json.loads(logs("stats", str(path), "--json").stdout)
    assert (found["all"]["records"], found["malformed"]["count"]) == (1, 0)


def test_a_long_path_evades_no_expression(tmp_path):
    path = tmp_path / "access.log"
    path.write_text(LINE_OF % ("GET /" + "a" * 1400 + " HTTP/1.1", "curl", "") +
                    LINE_OF % ("GET /" + "a" * 60 + "! HTTP/1.1", "curl", ""))
    for where, count in (('path~"^/([^?%]|%..)*$"', 2), ('path!~"^/([^?%]|%..)*$"', 0)):
        assert logs("grep", str(path), "--where", where).stdout.count("\n") == count
    for where in ('path~"^/(a+)+[^!]$"', '!(path~"^/(a+)+[^!a]$")'):
        done = logs("grep", str(path), "--where", where)
        assert "gave up on" in done.stderr


def test_a_file_is_followed_without_a_weir(tmp_path):
    path = tmp_path / "access.log"
    path.write_text(LINE_OF % ("GET /before HTTP/1.1", "curl", ""))
    process = subprocess.Popen([BINARIES["release"], "logs", "follow", str(path), "--where", "path~now"],
                               stdout=subprocess.PIPE)
    os.set_blocking(process.stdout.fileno(), False)
    seen = b""

    def is_shown():
        nonlocal seen
        with open(path, "a") as file:
            file.write(LINE_OF % ("GET /now\x1b HTTP/1.1", "curl", ""))
        with contextlib.suppress(BlockingIOError):
            seen += os.read(process.stdout.fileno(), 65536)
        return b"\n" in seen
    eventually(is_shown, "a line")
    path.rename(tmp_path / "access.log.1")
    seen = b""
    eventually(is_shown, "a line after the rotation")
    assert b"203.0.113.9" in seen and b"/before" not in seen and b"\x1b" not in seen
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 0
    process.stdout.close()


def test_addresses_come_in_every_form(log):
    assert logs("ips", log).stdout == "         240  127.0.0.1\n"
    assert logs("ips", log, "--format", "txt").stdout == "127.0.0.1\n"
    assert "deny:" in logs("ips", log, "--format", "weir").stdout
    assert logs("ips", log, "--group", "/24,/64", "--format", "nginx-deny").stdout == "deny 127.0.0.0/24;\n"
    assert json.loads(logs("ips", log, "--json").stdout) == [{"address": "127.0.0.1", "count": 240, "error": 0}]
    assert logs("ips", log, "--format", "csv").stdout == "address,count,error\n127.0.0.1,240,0\n"
    assert "127.0.0.0/8" in logs("ips", log, "--group", "/8", "--format", "nft").stdout
    assert logs("ips", log, "--min", "241").stdout == ""


def test_the_format_comes_out_of_nginx_conf(scene, tmp_path):
    path = tmp_path / "nginx.conf"
    log = tmp_path / "odd.log"
    path.write_text(f"http {{ log_format odd '$status|$remote_addr|$request_time|\"$request\"'; access_log {log} odd; }}")
    log.write_text('200|10.0.0.1|0.250|"GET /a HTTP/1.1"\n503|10.0.0.2|1.500|"GET /b HTTP/1.1"\n')
    found = json.loads(logs("stats", str(log), "--nginx-conf", str(path), "--json").stdout)
    assert found["all"]["statuses"] == {"200": 1, "503": 1}
    slow = logs("slow", str(log), "--nginx-conf", str(path)).stdout.splitlines()
    assert slow[0].split()[0] == "1.500" and "/b" in slow[0]
    first = json.loads(logs("slow", str(log), "--nginx-conf", str(path), "--format", "json").stdout)[0]
    assert first == {"request_s": 1.5, "record": '503|10.0.0.2|1.500|"GET /b HTTP/1.1"'}


@pytest.mark.parametrize("text", [
    '{"status":200,"path":"/a"}\n{"status":404,"path":"/b"}\n',
    '[{"status":200,"path":"/a"},\n{"status":404,"path":"/b"}]',
    '{"status":200,"path":"/a","deep":{"a":[1,2,{"b":"}"}]}}{"status":404,"path":"/b"}',
])
def test_json_is_told_by_itself(tmp_path, text):
    path = tmp_path / "log.json"
    path.write_text(text)
    found = json.loads(logs("stats", str(path), "--json").stdout)
    assert found["all"]["statuses"] == {"200": 1, "404": 1}


def test_rubbish_is_counted_and_shown(log):
    with open(log, "ab") as file:
        file.write(b"rubbish \xff\x00 line\n" + b"x" * 100000 + b"\n")
    found = logs("stats", log)
    assert "2 lines are no records" in found.stdout and "rubbish" in found.stdout


@pytest.mark.parametrize("command", ["stats", "ips", "slow", "errors", "paths", "grep", "follow"])
def test_each_has_help(command):
    assert logs(command, "--help").stdout.startswith("Usage: weir logs")


@pytest.mark.parametrize("arguments, code, says", [
    (["stats"], 64, "no file is given"),
    (["nothing"], 64, 'what is "nothing"'),
    (["stats", "/nowhere"], 66, "cannot open /nowhere"),
    (["stats", "{log}", "--where", "status>=x"], 64, "column 9"),
    (["stats", "{log}", "--since", "5m", "--until", "10m"], 64, "--until is before --since: nothing lies between them"),
    (["stats", "{log}", "--where", "staus==401"], 64, 'there is no "staus"; did you mean "status"?'),
    (["stats", "{log}", "--log-format", "nothing"], 64, "is no format"),
    (["stats", "{log}", "--format", "csv"], 64, "txt, json; what a log looks like is said by --log-format"),
    (["ips", "{log}", "--format", "combined"], 64, "txt, json, csv, nft, nginx-deny, weir"),
    (["grep", "{log}", "--json"], 64, "--format json"),
    (["stats", "{log}", "--since", "yesterday"], 64, "is no moment"),
    (["grep", "{log}"], 64, "needs --where"),
    (["ips", "{log}", "--group", "24"], 64, "/24,/64"),
    (["ips", "{log}", "--field", "x"], 64, "xff:-1"),
])
def test_mistakes_are_told(tmp_path, arguments, code, says):
    log = tmp_path / "access.log"
    log.write_text('10.0.0.1 - - [12/Mar/2026:10:00:01 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n')
    done = logs(*[word.replace("{log}", str(log)) for word in arguments], code=code)
    assert says in done.stderr


@pytest.fixture(scope="module")
def hours(tmp_path_factory):
    """Three hours of a log in order of time, 4 MB, with clients, sizes and statuses drawn from a fixed seed."""
    path = tmp_path_factory.mktemp("hours") / "access.log"
    rng = random.Random(7)
    began = datetime.datetime(2026, 3, 12, 10, tzinfo=datetime.timezone.utc)
    rows, at = [], 0.0
    with open(path, "w") as file:
        while at < 3 * 3600:
            at += rng.expovariate(4)
            moment = began + datetime.timedelta(seconds=int(at))
            client = f"10.{int(rng.paretovariate(0.8)) % 250}.0.{rng.randint(1, 200)}"
            status, size = rng.choice([200] * 9 + [404, 500]), int(rng.lognormvariate(7, 2)) + 1
            agent = rng.choice(["curl/8.1", "Mozilla/5.0 (X11) Firefox/120.0"])
            file.write(f'{client} - - [{moment:%d/%b/%Y:%H:%M:%S} +0000] "GET /p/{rng.randint(1, 9)} HTTP/1.1" {status} '
                       f'{size} "-" "{agent}"\n')
            rows.append((moment, client, status, size))
    return str(path), rows


@pytest.mark.parametrize("since, until", [
    ("2026-03-12T11:00:00Z", None), (None, "2026-03-12T10:30:00Z"), ("2026-03-12T11:15:30Z", "2026-03-12T11:15:40Z"),
    ("2026-03-12T12:59:59Z", None), ("2026-03-12T09:00:00Z", "2026-03-12T20:00:00Z"), ("2026-03-12T20:00:00Z", None),
])
def test_a_stretch_of_time_is_what_lies_in_it(hours, since, until):
    path, rows = hours
    options = [*(["--since", since] if since else []), *(["--until", until] if until else [])]
    low, high = (datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None for text in (since, until))
    expected = collections.Counter(str(row[2]) for row in rows
                                   if (not low or row[0] >= low) and (not high or row[0] <= high))
    found = json.loads(logs("stats", path, "--json", *options).stdout)
    assert found["all"]["statuses"] == expected


def test_what_is_estimated_is_as_near_as_it_says(hours):
    """Distinct clients within 1 %, the most frequent in their exact order, quantiles within 1.1 %: counted again here."""
    path, rows = hours
    found = json.loads(logs("stats", path, "--json", "--top", "100").stdout)["all"]
    clients = collections.Counter(row[1] for row in rows)
    assert found["clients"]["value"] == pytest.approx(len(clients), rel=0.01)
    shown = [(entry["key"], entry["count"]) for entry in found["top"]["client"]][:100]
    assert [count for _, count in shown] == [count for _, count in clients.most_common(100)]
    assert all(clients[key] == count for key, count in shown)
    sizes = sorted(row[3] for row in rows)
    for name, share in (("p50", 0.50), ("p90", 0.90), ("p99", 0.99)):
        truth = sizes[min(len(sizes) - 1, int(share * len(sizes)))]
        assert found["size_bytes"][name] == pytest.approx(truth, rel=0.011), name
