"""weir split: the splits of a running weir, and how their variants do, from real exchanges."""
import json
import os
import re
import signal

import pytest

import broken
import message
from ports import reserve_port
from waiting import eventually
from weir import make_config, run_command

USAGE, DATA, UNAVAILABLE, NO_PERMISSION, CONFIG = 64, 65, 69, 77, 78


def split_over(first, second, name="checkout", **admin):
    config = make_config([first], listener={"routes": [{"name": "all", "split": name}]},
                         pools={"canary": {"servers": [second]}})
    config["splits"] = {name: {"unit": "header:X-User-Id", "variants": {
        "a": {"weight": 50, "pool": "web"}, "b": {"weight": 50, "pool": "canary"}}}}
    config["admin"].update(admin)
    return config


@pytest.fixture
def weir(scene):
    """weir with a split of which `b` answers 500 to everything."""
    failing = scene.server([broken.serve(lambda request: message.response(500, reason="Internal Server Error"))])
    return scene.weir(split_over(scene.server().address, failing.address))


def file_of(scene):
    return os.path.join(str(scene.directory), "weir-0.yaml")


def ask_many(scene, weir, count):
    client = scene.client(weir)
    for user in range(count):
        client.ask("GET", "/", ("X-User-Id", str(user)))
    eventually(lambda: sum(v["exchanges"] for v in weir.get("/api/v1/splits")["splits"][0]["variants"]) == count,
               "all exchanges counted")


def split(*arguments, code=0):
    done = run_command("split", *arguments)
    assert done.returncode == code, done.stderr
    assert (done.stdout == "") == (code != 0)
    return done.stdout if code == 0 else done.stderr


def test_list_names_splits_and_variants(scene, weir):
    ask_many(scene, weir, 20)
    listed = split("list", "-c", file_of(scene))
    rows = [line.split() for line in listed.splitlines()]
    assert rows[0] == ["split", "unit", "variant", "weight", "pool", "exchanges"]
    assert rows[1][:6] == ["checkout", "header:X-User-Id", "a", "50.00", "%", "web"]
    assert rows[2][:4] == ["b", "50.00", "%", "canary"]
    assert int(rows[1][-1]) + int(rows[2][-1]) == 20
    assert json.loads(split("list", "-c", file_of(scene), "--json")) == weir.get("/api/v1/splits")


def test_a_report_says_that_the_failing_variant_fails(scene, weir):
    ask_many(scene, weir, 200)
    report = split("report", "-c", file_of(scene), "checkout")
    assert report.startswith("split checkout, since 20")
    assert re.search(r"^b +significantly more errors than a: \+100\.00 \(.*, however often one looks$", report, re.M)
    assert re.search(r"^a +what the others are compared with$", report, re.M)
    assert re.search(r"^shares +as the weights say", report, re.M)
    figures = json.loads(split("report", "-c", file_of(scene), "checkout", "--json"))
    assert figures["split"] == "checkout"
    first, second = figures["variants"]
    assert first["exchanges"] + second["exchanges"] == 200
    assert (first["errors"], second["errors"]) == (0, second["exchanges"])
    assert f" {second['exchanges']}  " in report


def test_requests_of_few_users_are_seen_to_be_that(scene, weir):
    client = scene.client(weir)
    for user in range(8):
        for _ in range(25):
            client.ask("GET", "/", ("X-User-Id", f"user-{user}"))
    eventually(lambda: sum(v["exchanges"] for v in weir.get("/api/v1/splits/checkout/report")["variants"]) == 200,
               "all exchanges counted")
    ratio = weir.get("/api/v1/splits/checkout/report")["sample_ratio"]
    assert ratio["design_effect"] > 20 and not ratio["is_alarm"] and not ratio["is_alarm_always"]
    report = split("report", "-c", file_of(scene), "checkout")
    assert re.search(r"^shares +as the weights say \(p .*, design effect \d+\.\d\)$", report, re.M)


def test_durations_are_compared_and_overrides_left_out(scene):
    config = split_over(scene.server().address, scene.server().address)
    config["splits"]["checkout"]["override"] = {"header": "X-Variant", "from": ["127.0.0.0/8"]}
    weir = scene.weir(config)
    ask_many(scene, weir, 60)
    client = scene.client(weir)
    for _ in range(10):
        client.ask("GET", "/", ("X-Variant", "b"))
    eventually(lambda: sum(v["overrides"] for v in weir.get("/api/v1/splits")["splits"][0]["variants"]) == 10,
               "overrides counted")
    figures = weir.get("/api/v1/splits/checkout/report")
    assert sum(v["exchanges"] for v in figures["variants"]) == 60
    against = figures["variants"][1]["against_first"]
    assert against["p50_difference_ms"]["low"] <= against["p50_difference_ms"]["value"]
    report = split("report", "-c", file_of(scene), "checkout")
    for name in ("p50", "p95", "p99"):
        assert re.search(rf"^ +\D.* {name}.* ms$", report, re.M)


def reload(scene, weir, count):
    with open(file_of(scene), "w", encoding="utf-8") as file:
        json.dump(weir.config, file)
    weir.process.send_signal(signal.SIGHUP)
    weir.wait_event("reloaded", count)


def test_counts_begin_anew_when_units_are_dealt_anew(scene, weir):
    def counted():
        return sum(v["exchanges"] for v in weir.get("/api/v1/splits/checkout/report")["variants"])

    ask_many(scene, weir, 30)
    checkout = weir.config["splits"]["checkout"]
    checkout["response_header"] = True
    reload(scene, weir, 1)
    assert counted() == 30
    scene.client(weir).ask("GET", "/", ("X-User-Id", "ann"))
    eventually(lambda: counted() == 31, "both configurations counted in one book")
    checkout["variants"]["a"]["weight"], checkout["variants"]["b"]["weight"] = 60, 40
    reload(scene, weir, 2)
    assert counted() == 0
    scene.client(weir).ask("GET", "/", ("X-User-Id", "ann"))
    eventually(lambda: counted() == 1, "counted by the new weights")
    assert sum(v["exchanges"] for v in weir.get("/api/v1/splits")["splits"][0]["variants"]) == 32


def test_a_report_of_nothing_has_dashes(scene, weir):
    report = split("report", "-c", file_of(scene), "checkout")
    assert re.search(r"^b .* - +-$", report, re.M)
    assert re.search(r"^b +nothing to compare with a yet$", report, re.M)
    assert "nan" not in report and "null" not in report


def test_an_unknown_split_exits_with_65_and_weirs_words(scene, weir):
    assert '"chekout"' in split("report", "-c", file_of(scene), "chekout", code=DATA)
    assert '" x/../y%"' in split("report", "-c", file_of(scene), " x/../y%", code=DATA)


def test_a_name_with_every_kind_of_letter_is_found(scene):
    name = "straße 100%/a?b"
    scene.weir(split_over("127.0.0.1:1", "127.0.0.1:2", name=name))
    assert split("report", "-c", file_of(scene), name).startswith(f"split {name}, since ")


def test_a_weir_without_splits_says_so(scene):
    weir = scene.proxy(scene.server())
    assert split("list", "--admin", weir.config["admin"]["bind"]) == "There are no splits.\n"


def test_a_token_is_asked_for(scene):
    config = split_over("127.0.0.1:1", "127.0.0.1:2", token="secret")
    scene.weir(config)
    admin = config["admin"]["bind"]
    assert split("list", "-c", file_of(scene))
    assert split("list", "--admin", admin, "--token", "secret")
    assert "token" in split("list", "--admin", admin, code=NO_PERMISSION)


def test_nobody_there_exits_with_69():
    assert "is weir running?" in split("list", "--admin", f"127.0.0.1:{reserve_port()}", code=UNAVAILABLE)


def test_a_file_without_the_api_exits_with_78(tmp_path):
    config = split_over("127.0.0.1:1", "127.0.0.1:2")
    del config["admin"]
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(config))
    assert "`admin:`" in split("list", "-c", str(path), code=CONFIG)
    assert "/nowhere" in split("list", "-c", "/nowhere", code=CONFIG)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["report"], ["report", ""], ["report", "a", "b"],
                                       ["list", "leftover"], ["list", "--unknown"], ["report", "a" * 300]],
                         ids=lambda arguments: " ".join(arguments)[:20])
def test_wrong_usage_exits_with_64(arguments):
    assert "split" in split(*arguments, code=USAGE)
