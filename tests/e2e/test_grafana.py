"""The dashboard for Grafana that ships with weir: its questions are ones that Prometheus takes, of metrics and labels that there are."""
import json
import os
import re
import subprocess
import sys

import pytest

from prometheus import FEATURES, Prometheus
from waiting import eventually
from weir import BINARIES, ROOT

sys.path.insert(0, os.path.join(ROOT, "tools"))
import list_metrics  # noqa: E402

ROWS = ["Now", "Listeners", "Routes", "Pools", "Servers", "Splits", "Workers", "Logs"]
# Prometheus' own names, and those that it gives to what it scrapes.
ITS_METRICS = {"up", "ALERTS"}
ITS_LABELS = {"job", "instance", "le", "alertname", "alertstate"}
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")


def dashboard():
    with open(os.path.join(ROOT, "dist", "grafana", "weir.json")) as file:
        return json.load(file)


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def localized(expression):
    """With what Grafana puts in place of its variables."""
    return re.sub(r"\$(\w+)", ".*", expression.replace("$__rate_interval", "5m"))


def questions():
    """Those of panels, annotations and variables."""
    document = dashboard()
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [annotation["expr"] for annotation in document["annotations"]["list"]]
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            found.append(re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])[1])
    return [localized(expression) for expression in found]


@pytest.fixture(scope="module")
def known():
    """{metric: its row} of a living weir; of a histogram its series too."""
    found = list_metrics.rows(list_metrics.told_by(BINARIES["asan"]))
    series = {f"{name}_{end}": row for name, row in found.items() if row["kind"] == "histogram" for end in ("bucket", "count", "sum")}
    return found | series


def test_promtool_takes_every_question(tmp_path):
    path = tmp_path / "rules.yml"
    rules = [{"record": f"question:{number}", "expr": expression} for number, expression in enumerate(questions())]
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # which is YAML
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_every_metric_and_label_is_one_that_a_weir_has(known):
    for expression in questions():
        names = set(re.findall(r"\b(?:weir|process)_\w+", expression))
        assert names or ITS_METRICS & set(re.findall(r"\w+", expression)), expression
        assert names <= set(known), expression
        for name, selected in SELECTOR.findall(expression):
            labels = set(re.findall(r"(\w+)[=!]", selected)) - ITS_LABELS
            assert name in ITS_METRICS or labels <= set(known[name]["labels"]), expression
        told = {label for name in names for label in known[name]["labels"]} | ITS_LABELS
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in grouped.split(",")} <= told, expression


def test_a_legend_has_labels_that_its_question_keeps():
    for panel in panels():
        for target in panel["targets"]:
            kept = {label.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(",")} or {"instance"}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, target


def test_it_has_its_rows_and_variables_and_every_panel_says_what_it_shows():
    document = dashboard()
    assert [panel["title"] for panel in document["panels"] if panel["type"] == "row"] == ROWS
    assert {variable["name"] for variable in document["templating"]["list"]} == {"datasource", "job", "instance", "pool", "route"}
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        assert panel["title"] and panel["description"].endswith("."), panel
        assert panel["datasource"]["uid"] == "${datasource}" and panel["fieldConfig"]["defaults"]["unit"]
    places = [panel["gridPos"] for panel in document["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) == 23


@pytest.mark.parametrize("features", FEATURES)
def test_prometheus_answers_every_question_of_two_weirs_with_traffic(scene, tmp_path, features):
    """Series that match several others cannot be computed with: that is seen only when they are there."""
    routes = [{"name": "divided", "path": "/s", "split": "ab"}, {"name": "rest", "pool": "web"}]
    splits = {"ab": {"unit": "client", "variants": {"a": {"weight": 50, "pool": "web"}, "b": {"weight": 50, "pool": "other"}}}}
    weirs = [scene.proxy(scene.server(), scene.server(), listener={"routes": routes}, splits=splits,
                         pools={"other": {"servers": [scene.server().address]}}) for _ in range(2)]
    clients = [scene.client(weir) for weir in weirs]
    wanted = ("weir_route_exchanges_total", "weir_server_first_byte_seconds_bucket", "weir_split_exchanges_total", "process_open_fds")
    prometheus = Prometheus(tmp_path, *("%s:%d" % weir.admin_address for weir in weirs), features=features)

    def unanswered():
        """Of the questions that this traffic has an answer to; none may fail."""
        for client in clients:
            for target in "/", "/s":
                assert client.ask("GET", target).status == 200
        results = {question: prometheus.ask("/api/v1/query", query=question)["result"] for question in questions()}
        return [question for question, result in results.items()
                if not result and any(name in question for name in wanted) and "topk" not in question]
    try:
        eventually(lambda: unanswered() == [], lambda: f"answers of Prometheus to {unanswered()}")
        instances = {result["metric"]["instance"] for result in prometheus.ask("/api/v1/query", query="weir_build_info")["result"]}
        assert len(instances) == 2
    finally:
        prometheus.close()
