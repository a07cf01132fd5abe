"""weir simulate: before and after, over made requests and over a real nginx's log."""
import http.client
import json
import re

import pytest

from waiting import eventually
from weir import run_command

BASE = {
    "listeners": {"web": {"bind": "127.0.0.1:0", "pool": "web"}},
    "pools": {"web": {"balance": "least_request",
                      "servers": [{"name": name, "address": f"127.0.0.1:{port}"} for port, name in enumerate("abcd", 1)]}},
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(BASE))
    return str(path)


def simulate(*arguments, code=0):
    result = run_command("simulate", *arguments)
    assert result.returncode == code, result.stderr
    return result


def side_by_side(*arguments):
    return json.loads(simulate("--json", *arguments).stdout)


def test_a_server_without_weight_gets_nothing_and_the_others_its_share(config):
    result = side_by_side("-c", config, "--rps", "1000", "--change", "pools.web.servers[b].weight=0")
    before = {server["name"]: server for server in result["before"]["servers"]}
    after = {server["name"]: server for server in result["after"]["servers"]}
    assert 20 < before["b"]["share_percent"] < 30
    assert "b" not in after and 30 < after["a"]["share_percent"] < 37
    assert result["before"]["requests"] == result["after"]["requests"] > 9000


def test_a_slow_server_hurts_blind_methods(config):
    result = side_by_side("-c", config, "--rps", "2400", "--slow", "a=3x",
                          "--change", "pools.web.balance=round_robin")
    assert result["after"]["wait_ms"]["p99"] > 10 * result["before"]["wait_ms"]["p99"]


def test_the_keys_that_move_are_told(config):
    result = side_by_side("-c", config, "--rps", "1000",
                          "--change", "pools.web.balance={method: hash, key: client}")
    assert result["remapped_share"] is None, "least_request has no keys"
    hashed = ["--change", "pools.web.balance={method: hash, key: client, table: rendezvous}"]
    result = side_by_side("-c", config, "--rps", "1000", *hashed)
    assert result["after"]["method"] == "hash"


def test_a_million_requests_and_the_same_again(config):
    arguments = ["-c", config, "--rps", "2500", "--seconds", "400", "--seed", "7",
                 "--change", "pools.web.balance=random"]
    first, second = side_by_side(*arguments), side_by_side(*arguments)
    assert first == second and first["before"]["requests"] > 990_000


def test_a_log_of_a_real_nginx_is_replayed(config, scene, tmp_path):
    nginx = scene.nginx(log_format="combined")
    connection = http.client.HTTPConnection(nginx.address)
    for number in range(50):
        connection.request("GET", f"/{number}")
        connection.getresponse().read()
    connection.close()
    eventually(lambda: open(nginx.access_log).read().count("\n") == 50, "nginx's log")
    result = side_by_side("-c", config, "--log", nginx.access_log, "--plot", str(tmp_path / "plot.svg"))
    assert result["before"]["requests"] == 50
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")


def test_text_says_both_sides(config):
    text = simulate("-c", config, "--rps", "100", "--change", "workers=2").stdout
    assert re.search(r"share, %\s+busy, %\s+most outstanding", text) and "change: workers=2" in text


@pytest.mark.parametrize("arguments, code, says", [
    ([], 64, "-c FILE"),
    (["-c", "{config}"], 64, "--log FILE, or --rps N"),
    (["-c", "{config}", "--rps", "x"], 64, "--rps x is no number"),
    (["-c", "{config}", "--rps", "1", "--pool", "nowhere"], 64, "no pool \"nowhere\""),
    (["-c", "{config}", "--rps", "1", "--change", "pools.wbe.x=1"], 78, "there is web"),
    (["-c", "{config}", "--rps", "1", "--change", "pools.web.balance=nothing"], 78, "nothing"),
    (["-c", "{config}", "--rps", "1", "--slow", "x"], 64, "write server=2x"),
    (["-c", "{config}", "--rps", "1", "--slow", "z=2x"], 64, "no such server"),
    (["-c", "{config}", "--log", "/nowhere"], 65, "cannot open /nowhere"),
    (["-c", "/nowhere.yaml", "--rps", "1"], 78, "/nowhere.yaml"),
])
def test_mistakes_are_told(config, arguments, code, says):
    result = simulate(*[word.replace("{config}", config) for word in arguments], code=code)
    assert says in result.stderr
