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


TWO_POOLS = {
    "listeners": {"web": {"bind": "127.0.0.1:0", "routes": [
        {"name": "api", "path_prefix": "/api/", "pool": "api"}, {"name": "rest", "pool": "web"}]},
        "other": {"bind": "127.0.0.2:0", "pool": "api"}},
    "pools": {"web": {"servers": ["127.0.0.1:1"]},
              "api": {"servers": [{"name": "a", "address": "127.0.0.1:2"}, {"name": "b", "address": "127.0.0.1:3"}]}},
}


def write_log(path, count, answer):
    """One record each hundredth of a second; answer(number): path, status, upstream address, upstream status."""
    with open(path, "w") as log:
        for number in range(count):
            target, status, upstream, upstream_status = answer(number)
            minutes, seconds = divmod(number // 100, 60)
            log.write(json.dumps({
                "time_iso8601": f"2026-03-12T10:{minutes:02}:{seconds:02}+00:00", "remote_addr": "192.0.2.7",
                "request_method": "GET", "request_uri": target, "host": "h", "status": str(status),
                "upstream_addr": upstream, "upstream_status": upstream_status, "request_time": "0.020",
                "upstream_response_time": "0.010"}) + "\n")
    return str(path)


@pytest.fixture
def two_pools(tmp_path):
    path = tmp_path / "two.json"
    path.write_text(json.dumps(TWO_POOLS))
    return str(path)


def test_a_logs_requests_go_through_the_routes_first(two_pools, tmp_path):
    paths = ["/api/x", "/", "/%61pi/y", "/apis"]
    log = write_log(tmp_path / "log", 4000, lambda number: (paths[number % 4], 200, "127.0.0.1:2", "200"))
    arguments = ["-c", two_pools, "--pool", "api", "--log", log]
    result = side_by_side(*arguments)
    assert (result["before"]["requests"], result["elsewhere"]) == (2000, 2000)
    result = side_by_side(*arguments, "--change", "listeners.web.routes[1].pool=api")
    assert [result[side]["requests"] for side in ("before", "after")] == [2000, 4000]
    for further in (["--no-routes"], ["--listener", "other"]):
        assert side_by_side(*arguments, *further)["before"]["requests"] == 4000
    text = simulate(*arguments).stdout
    assert "2000 requests of the log go elsewhere by the routes" in text


def test_a_log_that_goes_elsewhere_is_told(two_pools, tmp_path):
    log = write_log(tmp_path / "log", 10, lambda number: ("/", 200, "-", "-"))
    result = simulate("-c", two_pools, "--pool", "api", "--log", log, code=65)
    assert 'listener "web" sends none of the log\'s requests to pool "api"' in result.stderr
    assert "--no-routes" in result.stderr
    result = simulate("-c", two_pools, "--pool", "api", "--log", log, "--listener", "nobody", code=64)
    assert 'no listener "nobody"' in result.stderr


def test_who_fails_in_the_log_fails_in_the_simulation(two_pools, tmp_path):
    def answer(number):
        is_failing = number % 20 == 0
        return "/api/", 502 if is_failing else 200, f"127.0.0.1:{2 + number % 2}", "503" if is_failing else "200"
    log = write_log(tmp_path / "log", 20000, answer)
    result = side_by_side("-c", two_pools, "--pool", "api", "--log", log, "--change", "pools.api.servers[a].weight=0")
    before = {server["name"]: server for server in result["before"]["servers"]}
    assert 800 < before["a"]["failed"] < 1200 and before["b"]["failed"] == 0
    assert result["before"]["failed"] == before["a"]["failed"]
    assert result["after"]["failed"] == 0, "the one that fails is out"


def test_a_time_beyond_the_histogram_is_told_as_at_least(config):
    arguments = ["-c", config, "--rps", "3", "--service-ms", "1800000"]
    response = side_by_side(*arguments)["before"]["response_ms"]
    assert "p99" in response["at_least"] and "p50" not in response["at_least"]
    assert response["p50"] < response["p99"] == 4_261_412.864
    assert re.search(r"response +p99, ms +>= 4261412\.86", simulate(*arguments).stdout)


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
    (["-c", "{config}", "--rps", "1", "--no-routes"], 64, "--log FILE"),
    (["-c", "/nowhere.yaml", "--rps", "1"], 78, "/nowhere.yaml"),
])
def test_mistakes_are_told(config, arguments, code, says):
    result = simulate(*[word.replace("{config}", config) for word in arguments], code=code)
    assert says in result.stderr
