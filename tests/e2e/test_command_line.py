"""The commands, their options and exit codes, and the messages on stderr."""
import contextlib
import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import jsonschema
import pytest
import yaml

from ports import reserve_port
from waiting import LIMIT_S, eventually
from weir import BINARIES, listen_at_free_port, parse_line, run_command

USAGE, SYSTEM, CONFIG = 64, 71, 78
COMMANDS = ["run", "demo", "check", "explain", "split", "schema", "perf", "flame", "leaks", "postmortem", "dump", "doctor",
            "version"]

EXAMPLE = """
listeners:
  web: {bind: ":18999", timeouts: {header: 10s}, limits: {head: 64KiB, headers: 128}, trust: [10.0.0.0/8],
        gate: {deny: [192.0.2.0/24], connections_per_client: 200},
        routes: [{name: api, host: api.example.com, path_prefix: /v1/, pool: api}, {name: rest, pool: web}]}
  db: {bind: ":15432", protocol: tcp, pool: db}   # `pool:` alone is one route for everything
pools:
  web: {balance: least_request, host: keep, timeouts: {connect: 2s},
        servers: ["10.0.0.1:80", {name: big, address: "10.0.0.2:80", weight: 3, max_connections: 500}]}
  api: {balance: {method: hash, key: "header:X-User"}, servers: ["10.0.0.3:80"]}
  db: {servers: ["10.0.0.4:5432"]}
"""


@pytest.mark.parametrize("word", ["-v", "-V", "--version", "version"])
def test_the_version_is_said_by_whatever_word(word):
    done = run_command(word)
    assert done.returncode == 0 and done.stdout.startswith("weir "), done.stderr


@pytest.mark.parametrize("command", ["tail", "events", "events --follow", "flame --seconds 1 -o -", "top --once", "why last",
                                     "maintenance", "reload", "upgrade", "audit", "logs follow edge"])
def test_what_answers_and_is_no_weir_is_told(command, scene):
    other = scene.server()  # whose answer to everything is "ok"
    done = run_command(*command.split(), "--admin", other.address)
    assert (done.returncode, done.stdout) == (76, ""), done.stderr
    assert "it is no weir that answers at %s: what comes is not " % other.address in done.stderr


def test_what_top_cannot_sort_by_is_wrong_usage():
    for options in (["--sort", "size"], ["--view", "pools", "--sort", "state"]):
        done = run_command("top", "--once", *options)
        assert (done.returncode, done.stdout) == (USAGE, "") and "nothing is sorted by" in done.stderr


def test_help_lists_every_command():
    done = run_command("--help")
    assert done.returncode == 0
    assert len({line.index(line.split()[1], 2 + len(line.split()[0])) for line in done.stdout.splitlines() if line.startswith("  ")}) == 1
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command):
    done = run_command(command, "--help")
    assert done.returncode == 0
    assert f"weir {command}" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_its_own(command):
    done = run_command("help", command)
    assert (done.returncode, done.stdout) == (0, run_command(command, "--help").stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistyped_option_gets_a_suggestion(command):
    done = run_command(command, "--hlep")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr == f"weir {command}: unknown option --hlep; did you mean --help?\nTry: weir {command} --help\n"


def test_the_manual_and_bash_know_every_command_and_option():
    page, script = run_command("help", "--markdown").stdout, run_command("help", "--bash").stdout
    for command in COMMANDS:
        assert f"## weir {command}\n" in page and f"'{command} '*)" in script
    assert "  --against-running " in page and " --against-running" in script
    typed = "COMP_WORDS=(weir logs follow --wh); COMP_CWORD=3; _weir; echo ${COMPREPLY[@]}"
    assert subprocess.run(["bash", "-c", script + typed], capture_output=True, text=True, check=True).stdout == "--where\n"


def test_help_of_an_unknown_command_gets_a_suggestion():
    done = run_command("help", "chekc")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert '"check"' in done.stderr


def test_version_is_one_line():
    done = run_command("version")
    assert done.returncode == 0
    assert done.stdout.startswith("weir ") and done.stdout.count("\n") == 1
    assert run_command("--version").stdout == done.stdout


def test_without_a_command_the_usage_goes_to_stderr():
    done = run_command()
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "run" in done.stderr


def test_an_unknown_command_gets_a_suggestion():
    done = run_command("chekc")
    assert done.returncode == USAGE
    assert '"check"' in done.stderr


@pytest.mark.parametrize("arguments", [
    ["run"],
    ["run", "--listen", "127.0.0.1:18080"],
    ["run", "--to", "127.0.0.1:18080"],
    ["run", "--listen", "nonsense", "--to", "127.0.0.1:18080"],
    ["run", "--listen", "127.0.0.1:99999", "--to", "127.0.0.1:18080"],
    ["run", "--listen", "127.0.0.1:18080", "--to", "127.0.0.1"],
    ["run", "-c", "weir.yaml", "--listen", "127.0.0.1:18080"],
    ["run", "-c", "weir.yaml", "--tcp"],
    ["run", "-c"],
    ["run", "--unknown"],
    ["run", "--listen", "127.0.0.1:18080", "--to", "127.0.0.1:18081", "leftover"],
    ["run", "-c", "weir.yaml", "leftover"],
    ["run", "weir.yaml", "leftover"],
    ["check"],
    ["check", "-c", "weir.yaml", "leftover"],
    ["version", "leftover"],
    ["schema", "--unknown"],
    ["demo", "--unknown"],
], ids=lambda arguments: " ".join(arguments))
def test_wrong_usage_exits_with_64_and_a_word(arguments):
    done = run_command(*arguments)
    assert done.returncode == USAGE
    assert done.stderr.strip()
    assert done.stdout == ""


def test_a_file_needs_no_option(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text("listeners: {}\n")
    ways = [run_command("run", *words) for words in (["-c", str(path)], [str(path)], ["--", str(path)])]
    assert {done.returncode for done in ways} == {78}
    assert len({done.stderr for done in ways}) == 1 and f"{path}:1:" in ways[0].stderr


@pytest.mark.parametrize("arguments, named", [
    (["--workers", "65"], "--workers 65"),
    (["--workers", "many"], "--workers many"),
    (["--workers", "007"], "--workers 007"),
    (["--admin", "0.0.0.0:9091"], "--admin 0.0.0.0:9091"),
    (["--to", "127.0.0.1:1"], "--to 127.0.0.1:1"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_wrong_value_is_named_with_its_option(arguments, named):
    done = run_command("run", "--listen", "127.0.0.1:18080", "--to", "127.0.0.1:1", *arguments)
    assert done.returncode == USAGE
    assert done.stderr.startswith(f"weir run: {named}")
    assert ".json" not in done.stderr


def test_a_missing_file_exits_with_78_and_names_it():
    for command in ("run", "check"):
        done = run_command(command, "-c", "/nowhere/weir.yaml")
        assert done.returncode == CONFIG
        assert "/nowhere/weir.yaml" in done.stderr


def test_an_address_in_use_exits_with_71_and_names_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        done = run_command("run", "--listen", address, "--to", "127.0.0.1:1")
        assert done.returncode == SYSTEM
        assert address in done.stderr


def test_an_admin_address_in_use_exits_with_71_before_anything_is_accepted():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        done = run_command("run", "--listen", f"127.0.0.1:{reserve_port()}", "--to", "127.0.0.1:1", "--admin", address)
        assert done.returncode == SYSTEM
        assert address in done.stderr
        assert "event=ready" not in done.stderr


def test_run_without_a_file_proxies_http(scene):
    servers = [scene.server(), scene.server()]
    port = reserve_port()
    weir = scene.weir(arguments=["run", "--listen", f"127.0.0.1:{port}", "--to", servers[0].address, "--to",
                                 servers[1].address])
    client = scene.client(("127.0.0.1", port))
    for _ in range(40):
        assert client.ask().text == "ok"
    assert all(server.requests for server in servers)
    assert weir.events("listening")[0]["bind"] == f"127.0.0.1:{port}"


def test_run_with_tcp_passes_bytes(scene):
    port = reserve_port()
    server = scene.server([lambda connection: connection.send(connection.read_exactly(4)[::-1])])
    scene.weir(arguments=["run", "--listen", f"127.0.0.1:{port}", "--to", server.address, "--tcp"])
    client = scene.client(("127.0.0.1", port))
    client.send(b"\0\r\n\xff")
    assert client.read_to_end() == b"\xff\n\r\0"


def test_messages_are_key_value_lines_and_ready_is_the_last_of_the_start(scene):
    weir = scene.proxy(scene.server())
    lines = [parse_line(line) for line in weir.lines]
    assert all(line and {"time", "level", "event"} <= line.keys() for line in lines)
    events = [line["event"] for line in lines]
    assert events.index("starting") < events.index("listening") < events.index("ready")
    starting = weir.events("starting")[0]
    assert int(starting["descriptors"]) >= 1024 and int(starting["connections"]) > 0


def test_it_listens_when_it_says_ready(scene):
    for _ in range(5):
        weir = scene.proxy(scene.server())
        assert scene.client(weir).ask().status == 200


def test_check_accepts_the_example(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(EXAMPLE)
    done = run_command("check", "-c", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert str(path) in done.stdout


def test_check_takes_the_file_without_an_option(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(EXAMPLE)
    assert run_command("check", str(path)).stdout == run_command("check", "-c", str(path)).stdout != ""


def test_check_accepts_json(tmp_path):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(yaml.safe_load(EXAMPLE)))
    assert run_command("check", "-c", str(path)).returncode == 0


def test_the_schema_is_a_schema_and_accepts_the_example():
    done = run_command("schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(EXAMPLE))


@pytest.mark.parametrize("text", [
    EXAMPLE.replace("weight: 3", "wieght: 3"),
    EXAMPLE.replace("protocol: tcp", "protocol: sctp"),
    EXAMPLE.replace("weight: 3", "weight: 10001"),
    EXAMPLE.replace("pools:", "pool:"),
    EXAMPLE.replace("headers: 128", "headers: many"),
])
def test_the_schema_refuses_what_check_refuses(text, tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(text)
    assert run_command("check", "-c", str(path)).returncode == CONFIG
    schema = json.loads(run_command("schema").stdout)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))


def demo_log():
    """What weir has read of the log of the demo's servers, in figures."""
    return json.load(urllib.request.urlopen("http://127.0.0.1:9091/api/v1/logs/servers/summary?window=all", timeout=LIMIT_S))["figures"]


@pytest.mark.serial
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_works_and_ends_with_one_signal(scene, end):
    weir = scene.weir(arguments=["demo"])
    answers = {urllib.request.urlopen("http://127.0.0.1:18999/", timeout=LIMIT_S).read() for _ in range(60)}
    assert len(answers) >= 3  # each of the three servers says who it is
    pools = json.load(urllib.request.urlopen("http://127.0.0.1:9091/api/v1/pools", timeout=LIMIT_S))
    assert [pool["name"] for pool in pools["pools"]] == ["demo", "fresh"]
    # Its own traffic is on its way, and the dashboard's address comes before all else that it says.
    eventually(lambda: any(exchange["target"].startswith("/shop/") for exchange in json.load(urllib.request.urlopen(
        "http://127.0.0.1:9091/api/v1/exchanges?limit=1000", timeout=LIMIT_S))["exchanges"]), "the demo's traffic")
    # The log of its servers is watched: no line is foreign or malformed, and it has a client for each user, paths, times and faults.
    urllib.request.urlopen("http://127.0.0.1:18999/%22quoted%22", timeout=LIMIT_S).read()
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen("http://127.0.0.1:18999/broken", timeout=LIMIT_S)
    eventually(lambda: {"200", "444"} <= set(demo_log()["statuses"]) and demo_log()["clients"]["value"] > 3, "the demo's log")
    figures = demo_log()
    assert {"demo-1", "demo-2", "demo-3"} <= {top["key"] for top in figures["top"]["host"]}
    assert figures["request_ms"] and figures["top"]["path"]
    source, = json.load(urllib.request.urlopen("http://127.0.0.1:9091/api/v1/logs", timeout=LIMIT_S))["sources"]
    assert (source["name"], source["foreign"], source["malformed"]) == ("servers", 0, 0)
    assert weir.log.index("http://127.0.0.1:9091/ in a browser") < weir.log.index("curl")
    eventually(lambda: "curl" in weir.log, "the demo's hints")
    weir.is_checked = False  # the hints are no key=value lines
    second = run_command("demo")
    assert second.returncode == 69 and "something listens on 127.0.0.1:18999 already" in second.stderr
    weir.process.send_signal(end)
    assert weir.wait_exit() == 0


@pytest.mark.parametrize("option", ["--listen", "--admin"])
def test_a_refused_start_leaves_alone_what_is_at_its_path(option, tmp_path):
    path = tmp_path / "precious"
    path.write_text("kept")
    addresses = {"--listen": listen_at_free_port(), option: f"unix:{path}"}
    arguments = [word for pair in addresses.items() for word in pair]
    done = subprocess.run([BINARIES["asan"], "run", *arguments, "--to", "127.0.0.1:9"], capture_output=True,
                          text=True, timeout=LIMIT_S)
    assert done.returncode == 71
    assert "in the way" in done.stderr
    assert path.read_text() == "kept"


def test_a_second_start_does_not_take_the_first_ones_socket_away(tmp_path):
    command = [BINARIES["asan"], "run", "--listen", f"unix:{tmp_path}/s", "--to", "127.0.0.1:9"]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in first.stderr:
            if "event=ready" in line:
                break
        assert subprocess.run(command, capture_output=True, timeout=LIMIT_S).returncode == 71
        assert (tmp_path / "s").is_socket()
    finally:
        first.terminate()
        first.communicate(timeout=LIMIT_S)
    assert first.returncode == 0
    assert not (tmp_path / "s").exists()


def test_a_second_listen_is_refused_and_not_swallowed():
    done = subprocess.run([BINARIES["asan"], "run", "--listen", ":1", "--listen", ":2", "--to", "127.0.0.1:9"],
                          capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 64
    assert "--listen" in done.stderr
