"""weir doctor: what it finds on this host, on a fake one, and held against a configuration."""
import json
import os
import re
import subprocess

import pytest

from tls import Pki
from weir import BINARIES, ROOT, environment, make_config, run_command

WARNINGS, FAILURES, USAGE, OUTPUT, CONFIG = 1, 2, 64, 74, 78
VERDICTS = ["ok", "note", "warn", "fail"]
SECONDS = 20
WIDTH = 100
IPV4 = "proc/sys/net/ipv4/"


@pytest.fixture
def host(tmp_path):
    """A host of which nothing can be read, until write() gives it files."""
    root = tmp_path / "host"
    root.mkdir()
    return root


def write(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def diagnose(*arguments):
    """The exit code and the findings by id."""
    done = run_command("doctor", "--json", *arguments, seconds=SECONDS)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    return done.returncode, report["worst"], report["findings"]


def finding(findings, name):
    return next(f for f in findings if f["id"] == name)


def save_config(tmp_path, config):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(config))
    return str(path)


# This host

def test_every_finding_has_id_group_verdict_sentence_and_why():
    code, worst, findings = diagnose()
    assert len(findings) > 40
    for f in findings:
        assert list(f) == ["id", "group", "subject", "verdict", "sentence", "why", "remedy"]
        assert re.fullmatch(r"[a-z0-9_]+", f["id"]) and f["verdict"] in VERDICTS
        assert f["sentence"] and f["why"].endswith(".") and f["remedy"] != ""
    assert worst == max((f["verdict"] for f in findings), key=VERDICTS.index)
    assert code == {"ok": 0, "note": 0, "warn": WARNINGS, "fail": FAILURES}[worst]
    names = [(f["id"], f["subject"]) for f in findings]
    assert len(set(names)) == len(names)


def test_the_text_has_what_the_json_has():
    _, _, findings = diagnose()
    done = run_command("doctor", seconds=SECONDS)
    lines = done.stdout.splitlines()
    labels = {match[1] for line in lines if (match := re.match(r"  (?:ok|note|warn|fail) +([a-z0-9_]+) ", line))}
    assert labels == {f["id"] for f in findings}
    assert {f["group"] for f in findings} == {line for line in lines if re.match(r"\S", line)} - {lines[-1]}
    assert re.fullmatch(r"\d+ to mend, \d+ to look at, \d+ to know, \d+ in order", lines[-1])


def test_the_text_is_narrow_but_for_commands():
    done = run_command("doctor", seconds=SECONDS)
    assert [line for line in done.stdout.splitlines() if len(line) > WIDTH and not line.lstrip().startswith("$ ")] == []


def test_the_manual_has_every_check():
    _, _, findings = diagnose()
    with open(os.path.join(ROOT, "docs", "doctor.md"), encoding="utf-8") as file:
        documented = set(re.findall(r"^\| `([a-z0-9_]+)` ", file.read().split("## The checks")[1], re.M))
    assert documented == {f["id"] for f in findings}


# Another one

def test_of_a_host_that_cannot_be_read_nothing_is_said_to_be_in_order(host):
    code, worst, findings = diagnose("--root", str(host))
    assert (code, worst) == (0, "note")
    assert {f["verdict"] for f in findings} == {"note"}


@pytest.mark.parametrize("value, code, verdict", [("4096", 0, "ok"), ("2048", 0, "note"), ("128", WARNINGS, "warn")])
def test_the_exit_code_tells_notes_from_warnings(host, value, code, verdict):
    write(host, "proc/sys/net/core/somaxconn", value)
    found, _, findings = diagnose("--root", str(host))
    assert (found, finding(findings, "somaxconn")["verdict"]) == (code, verdict)


def test_failures_have_an_exit_code_of_their_own_and_come_first(host):
    write(host, "proc/sys/net/core/somaxconn", "128")
    write(host, "proc/sys/fs/file-nr", "999 0 1000")
    code, worst, findings = diagnose("--root", str(host))
    assert (code, worst, findings[0]["id"]) == (FAILURES, "fail", "file_max")


def test_files_cannot_steer_the_terminal(host):
    write(host, "proc/sys/kernel/core_pattern", "|/x \x1b]0;owned\x07\x9b2J\u202e")
    write(host, "proc/sys/net/ipv4/tcp_congestion_control", "\x1b[31m")
    for arguments in ([], ["--json"]):
        done = run_command("doctor", "--root", str(host), *arguments, seconds=SECONDS)
        assert set(done.stdout) <= {"\n", *map(chr, range(0x20, 0x7f))}


# Held against a configuration

def test_a_listener_within_the_local_ports_is_warned_of(host, tmp_path):
    write(host, IPV4 + "ip_local_port_range", "32768 60999")
    write(host, IPV4 + "ip_local_reserved_ports", "50000")
    config = make_config(["127.0.0.1:1"])
    config["listeners"]["web"]["bind"] = "127.0.0.1:40000"
    config["admin"]["bind"] = "127.0.0.1:40001"
    code, _, findings = diagnose("--root", str(host), "-c", save_config(tmp_path, config))
    found = finding(findings, "reserved_ports")
    assert (code, found["verdict"]) == (WARNINGS, "warn")
    assert found["sentence"].endswith(": 40000,40001")
    assert found["remedy"] == "sysctl -w net.ipv4.ip_local_reserved_ports=50000,40000,40001"


def test_a_server_with_more_connections_than_ports_fails(host, tmp_path):
    write(host, IPV4 + "ip_local_port_range", "60000 60999")
    config = make_config([{"name": "big", "address": "127.0.0.1:1", "max_connections": 5000}])
    code, _, findings = diagnose("--root", str(host), "--config", save_config(tmp_path, config))
    assert (code, finding(findings, "port_range")["verdict"]) == (FAILURES, "fail")
    assert "server big" in finding(findings, "port_range")["sentence"]


def test_connections_are_held_against_the_pool_with_the_fewest_servers_and_the_limit_of_files(host, tmp_path):
    write(host, IPV4 + "ip_local_port_range", "10000 59999")
    write(host, "proc/self/limits", "Max open files            1024  65536  files\n")
    config = make_config(["127.0.0.1:1"], limits={"connections": 60000})
    _, _, findings = diagnose("--root", str(host), "-c", save_config(tmp_path, config))
    assert "pool web (servers: 1) can have 50000" in finding(findings, "port_range")["sentence"]
    assert finding(findings, "open_files")["verdict"] == "fail"


def test_room_is_looked_for_where_the_access_log_goes(tmp_path):
    config = make_config(["127.0.0.1:1"], access_log={"path": str(tmp_path / "not" / "yet" / "access.log")})
    _, _, findings = diagnose("-c", save_config(tmp_path, config))
    found = finding(findings, "disk_room")
    assert found["sentence"].startswith("logs: ")
    assert found["subject"] == str(tmp_path)[:len(found["subject"])] and len(found["subject"]) > 10


def test_ipv6_that_is_off_fails_only_with_addresses_of_it(host, tmp_path):
    write(host, "proc/sys/net/ipv6/conf/all/disable_ipv6", "1")
    for server, verdict in (("127.0.0.1:1", "note"), ("[::1]:1", "fail")):
        config = make_config([server])
        config["listeners"]["web"]["bind"] = ":18999"
        _, _, findings = diagnose("--root", str(host), "-c", save_config(tmp_path, config))
        assert finding(findings, "ipv6")["verdict"] == verdict


def test_a_wrong_configuration_is_told_as_such(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("listeners: 5\n")
    done = run_command("doctor", "-c", str(path))
    assert (done.returncode, done.stdout) == (CONFIG, "")
    assert "wrong.yaml:1:12" in done.stderr


# Usage

@pytest.mark.parametrize("arguments", [["--frobnicate"], ["host"], ["-c"]])
def test_wrong_usage(arguments):
    done = run_command("doctor", *arguments)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "Try: weir doctor --help" in done.stderr


def test_help():
    done = run_command("doctor", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run_command("help", "doctor").stdout


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_output_that_is_refused(arguments):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([BINARIES["asan"], "doctor", *arguments], stdout=full, stderr=subprocess.DEVNULL,
                              timeout=SECONDS, env=environment())
    assert done.returncode == OUTPUT


def test_certificates_of_the_configuration_are_looked_at(tmp_path):
    pki = Pki(tmp_path)
    pairs = [pki.make("a", "a.example", days=3), pki.make("b", "b.example", days=300)]
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(make_config(["127.0.0.1:1"], listener={"tls": {"certificates": pairs}})))
    _, _, findings = diagnose("-c", str(path))
    found = [f for f in findings if f["id"] == "certificate_days"]
    assert [(f["verdict"], f["subject"]) for f in found] == [("warn", pairs[0]["cert"][:95])]
    assert re.search(r"ends on \d{4}-\d\d-\d\d, in [23] days", found[0]["sentence"])
