"""The guard of a split: it ramps a variant, takes what is worse back, and is not forgotten by reloads and restarts."""
import copy
import json
import os
import re

import pytest

import broken
import message
from waiting import eventually
from weir import make_config, run_command


def guarded(scene, second, weight=50, **guard):
    config = make_config([scene.server().address], listener={"routes": [{"name": "all", "split": "checkout"}]},
                         pools={"canary": {"servers": [second]}})
    config["splits"] = {"checkout": {"unit": "header:X-User-Id", "guard": guard, "variants": {
        "a": {"weight": 100 - weight, "pool": "web"}, "b": {"weight": weight, "pool": "canary"}}}}
    config["state"] = os.path.join(str(scene.directory), "state")
    return config


def failing(scene):
    return scene.server([broken.serve(lambda request: message.response(500, reason="Internal Server Error"))]).address


def guard_of(weir):
    return weir.get("/api/v1/splits")["splits"][0]["guard"]


def weights_of(weir):
    return [v["weight"] for v in weir.get("/api/v1/splits")["splits"][0]["variants"]]


def visit(scene, weir, count, first=0):
    client = scene.client(weir)
    return [client.ask("GET", "/", ("X-User-Id", str(first + user))).status for user in range(count)]


def patch(weir, **what):
    return weir.ask_admin("PATCH", "/api/v1/splits/checkout", body=what)


def kept(config):
    """The weight that is on disk; None: nothing is yet."""
    try:
        with open(os.path.join(config["state"], "split-guards.json"), encoding="utf-8") as file:
            return json.load(file)["splits"]["checkout"]["weight"]
    except FileNotFoundError:
        return None


def split(scene, *arguments, name="weir-0.yaml", code=0):
    done = run_command("split", *arguments, "-c", os.path.join(str(scene.directory), name))
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def rolled_back(scene):
    """weir whose guard has found out that `b` fails."""
    weir = scene.weir(guarded(scene, failing(scene), errors=1, ramp=[60, 100]))
    assert 500 in visit(scene, weir, 200)
    eventually(lambda: guard_of(weir)["state"] == "rolled_back", lambda: f"rolled back: {guard_of(weir)}")
    return weir


def test_a_failing_variant_is_rolled_back_and_weir_says_by_what(scene, rolled_back):
    weir = rolled_back
    assert weights_of(weir) == [100, 0]
    guard = guard_of(weir)
    assert guard["variant"] == "b" and guard["by"] == "errors"
    assert re.match(r"the error share of b is 100\.00 points larger than of a \(.*\); allowed: 1\.00 points$",
                    guard["reason"])
    assert set(visit(scene, weir, 100)) == {200}
    event, = weir.get("/api/v1/events?name=split_guard")["events"]
    assert event["level"] == "warn"
    assert event["fields"] == {"split": "checkout", "variant": "b", "move": "rollback", "weight": "0.00",
                               "state": "rolled_back", "by": "errors", "reason": guard["reason"]}
    weir.wait_metric(1, "weir_split_guard_moves_total", split="checkout", move="rollback")
    assert weir.metric("weir_split_guard_weight_ratio", split="checkout") == 0
    report = split(scene, "report", "checkout")
    assert re.search(r"^guard of b +rolled_back at 0\.00 %$", report, re.M) and guard["reason"] in report
    assert weir.get("/api/v1/splits/checkout/report")["guard"] == guard
    variant = weir.get("/api/v1/splits")["splits"][0]["variants"][1]
    assert (variant["weight"], variant["configured_weight"]) == (0, 50)


def test_what_was_rolled_back_stays_so_until_somebody_says_otherwise(scene, rolled_back):
    weir = rolled_back
    reason = guard_of(weir)["reason"]
    config = copy.deepcopy(weir.config)
    config["splits"]["checkout"]["response_header"] = True
    config["splits"]["checkout"]["guard"]["step_requests"] = 10
    weir.reload(config)
    assert weights_of(weir) == [100, 0] and set(visit(scene, weir, 50)) == {200}
    weir.terminate()
    weir.wait_exit()
    again = scene.weir(config)
    assert weights_of(again) == [100, 0]
    assert guard_of(again)["state"] == "rolled_back" and guard_of(again)["reason"] == reason
    assert set(visit(scene, again, 50)) == {200}
    assert "ramping at 50.00 %" in split(scene, "resume", "checkout", name="weir-1.yaml")
    assert weights_of(again) == [50, 50] and 500 in visit(scene, again, 50)
    # Another weight in the file is another beginning.
    assert patch(again, guard="back").status == 200
    config = copy.deepcopy(config)
    variants = config["splits"]["checkout"]["variants"]
    variants["a"]["weight"], variants["b"]["weight"] = 90, 10
    again.reload(config)
    assert weights_of(again) == [90, 10] and guard_of(again)["state"] == "ramping"


def test_a_healthy_variant_gets_all_steps(scene):
    weir = scene.weir(guarded(scene, scene.server().address, weight=0, errors=50, p99="10s", ramp=[20, 100],
                              step_time="1s", step_requests=5))
    users = iter(range(0, 1000000, 20))

    def is_there():
        visit(scene, weir, 20, next(users))
        return weights_of(weir) == [0, 100]

    eventually(is_there, lambda: f"all steps: {guard_of(weir)}")
    assert guard_of(weir)["state"] == "watching" and guard_of(weir)["reason"] is None
    steps = [event["fields"]["weight"] for event in weir.get("/api/v1/events?name=split_guard")["events"]]
    assert steps == ["100.00", "20.00"]
    weir.wait_metric(2, "weir_split_guard_moves_total", split="checkout", move="step")


def test_a_person_pauses_the_guard(scene):
    config = guarded(scene, failing(scene), weight=50, errors=1)
    weir = scene.weir(config)
    assert "paused at 50.00 %" in split(scene, "pause", "checkout")
    assert 500 in visit(scene, weir, 200)
    assert "paused at 80.00 %" in split(scene, "weight", "checkout", "80")
    assert weights_of(weir) == [20, 80] and guard_of(weir)["state"] == "paused"
    eventually(lambda: kept(config) == 8000, "kept as it is")
    weir.kill_unchecked()
    again = scene.weir(config)
    assert weights_of(again) == [20, 80] and guard_of(again)["state"] == "paused"
    assert "watching at 80.00 %" in split(scene, "resume", "checkout", name="weir-1.yaml")

    users = iter(range(0, 1000000, 50))  # others each time: the same ones tell no more, however often they come

    def is_back():
        visit(scene, again, 50, next(users))
        return guard_of(again)["state"] == "rolled_back"

    eventually(is_back, lambda: f"rolled back: {guard_of(again)}")


def test_what_cannot_be_is_said(scene):
    config = guarded(scene, scene.server().address, errors=1)
    config["splits"]["plain"] = {"unit": "client", "variants": {"a": {"weight": 100, "pool": "web"}}}
    weir = scene.weir(config)
    assert weir.get("/api/v1/splits")["splits"][1]["guard"]["state"] is None
    for path, body, status, word in [
            ("checkout", {}, 400, "changes nothing"), ("checkout", {"guard": "stop"}, 400, "stop"),
            ("checkout", {"weight": "101"}, 400, "percentage"), ("checkout", {"weight": 5, "guard": "resume"}, 409, "pauses"),
            ("plain", {"guard": "pause"}, 409, "no guard"), ("none", {"guard": "pause"}, 404, "none")]:
        response = weir.ask_admin("PATCH", f"/api/v1/splits/{path}", body=body)
        assert response.status == status and word in response.text, response.text
    assert weights_of(weir) == [50, 50] and guard_of(weir)["state"] == "watching"
    assert "percentage" in split(scene, "weight", "checkout", "many", code=65)
    assert "how much" in split(scene, "weight", "checkout", code=64)
