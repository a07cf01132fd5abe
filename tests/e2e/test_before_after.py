"""What an event has changed: routes and servers before it and after it, from real exchanges."""
import json

import broken
import message
from waiting import eventually
from weir import run_command

COUNT = 200


def events_command(weir, *arguments, code=0):
    done = run_command("events", *arguments, "--admin", "%s:%d" % weir.admin_address)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def visit(scene, weir, count):
    """So many more, counted everywhere."""
    before = weir.metric("weir_route_exchanges_total"), weir.servers()
    client = scene.client(weir)
    for _ in range(count):
        client.ask("GET", "/")
    weir.wait_metric(before[0] + count, "weir_route_exchanges_total")
    attempts = sum(server["attempts"] for server in before[1].values()) + count
    eventually(lambda: sum(server["attempts"] for server in weir.servers().values()) == attempts, "all attempts counted")


def mark(weir, name):
    response = weir.ask_admin("POST", "/api/v1/events", body={"name": name})
    assert response.status == 200, response.text
    return json.loads(response.body)["events"][0]["id"]


def test_a_deploy_that_breaks_a_route_is_told_from_one_that_does_not(scene):
    is_broken = []
    server = scene.server([broken.serve(lambda request: message.response(500 if is_broken else 200, body=b"x"))])
    weir = scene.proxy(server)
    visit(scene, weir, COUNT)
    fine = mark(weir, "deploy v41")
    lines = [json.loads(line) for line in events_command(weir, "--json").splitlines()]
    assert (lines[-1]["id"], lines[-1]["fields"]) == (fine, {"name": "deploy v41"})  # as the manual has it: tail -1
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    visit(scene, weir, COUNT)
    is_broken.append(True)
    bad = mark(weir, "deploy v42")
    visit(scene, weir, COUNT)

    report = weir.get(f"/api/v1/events/{bad}/report")
    assert (report["event"], report["name"], report["is_over"]) == (bad, "marker", False)
    assert report["flame"] is None and "profile" in report["profile"]
    assert report["total"] == 2 and report["left_off"] == 0
    assert {row["kind"] for row in report["rows"]} == {"route", "server"}
    for row in report["rows"]:
        assert (row["before"]["requests"], row["after"]["requests"]) == (2 * COUNT, COUNT)
        assert (row["before"]["errors"], row["after"]["errors"]) == (0, COUNT)
        assert row["error_difference"]["value"] == 1 and row["error_difference"]["low"] > 0.5
        assert "more errors" in row["changes"]
        difference = row["p50_difference_ms"]
        assert row["before"]["p95_ms"] > 0 and difference["low"] <= difference["value"] <= difference["high"]
        assert row["p99_difference_ms"]["high"] is None  # two hundred are too few for that
    report = weir.get(f"/api/v1/events/{fine}/report?kind=route")
    row, = report["rows"]
    assert row["kind"] == "route" and row["before"]["requests"] == COUNT
    assert (row["after"]["requests"], row["after"]["errors"]) == (2 * COUNT, COUNT)

    told = events_command(weir, "report", str(bad))
    assert told.startswith(f"event {bad}, marker, 20") and "more errors" in told
    assert json.loads(events_command(weir, "report", str(bad), "--json"))["event"] == bad


def test_a_change_of_a_server_is_watched_too(scene):
    server = scene.server()
    weir = scene.proxy(server)
    visit(scene, weir, 20)
    name, = weir.servers()
    weir.patch_server("web", name, weight=5)
    event = eventually(lambda: weir.get("/api/v1/events?name=server_changed")["events"], "the event")[0]["id"]
    report = weir.get(f"/api/v1/events/{event}/report")
    assert report["name"] == "server_changed" and report["rows"][0]["before"]["requests"] == 20
    assert report["rows"][0]["after"]["requests"] == 0 and report["rows"][0]["error_difference"]["value"] is None
    assert "fewer errors" not in report["rows"][0]["changes"]


def test_what_is_not_watched_is_said(scene):
    weir = scene.proxy(scene.server())
    ready = weir.get("/api/v1/events?name=ready")["events"][0]["id"]
    assert weir.ask_admin("GET", f"/api/v1/events/{ready}/report").status == 409
    for path, status in [("999999/report", 404), ("x/report", 404), (f"{ready}/report?limit=0", 400),
                         (f"{ready}/report?kind=pool", 400)]:
        assert weir.ask_admin("GET", f"/api/v1/events/{path}").status == status
    first = mark(weir, "first")
    assert weir.get(f"/api/v1/events/{first}/report")["rows"] == []
    assert "There were no requests." in events_command(weir, "report", str(first))
    for number in range(8):
        mark(weir, f"deploy {number}")
    assert weir.ask_admin("GET", f"/api/v1/events/{first}/report").status == 409
    assert "not watched" in events_command(weir, "report", str(first), code=65)
    events_command(weir, "report", code=64)
    events_command(weir, "repotr", "1", code=64)
    events_command(weir, "report", "1", "2", code=64)
