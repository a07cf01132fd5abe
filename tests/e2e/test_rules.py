"""The rules for Prometheus that ship with weir: each alert fires, and is quiet, when it should, and reads metrics that there are."""
import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from prometheus import FEATURES, Prometheus
from waiting import eventually
from weir import BINARIES, ROOT

sys.path.insert(0, os.path.join(ROOT, "tools"))
import list_metrics  # noqa: E402

RULES = os.path.join(ROOT, "dist", "prometheus", "weir.rules.yml")
DAY_S = 86400
HALF_HOUR = "x30"


def count_up(per_minute):
    return f"0+{per_minute}{HALF_HOUR}"


def constant(value):
    return f"{value}+0{HALF_HOUR}"


def burst(series):
    """A counter of `series` that goes up once, shortly before it is looked at."""
    return {series: "0+0x28 1 1"}


def buckets(fast, slow):
    """Of answers that begin within 100 ms, and within 5 s, each minute."""
    name = "weir_server_first_byte_seconds"
    labels = 'pool="web",server="a"'
    return {f'{name}_bucket{{{labels},le="0.1"}}': count_up(fast), f'{name}_bucket{{{labels},le="5"}}': count_up(fast + slow),
            f'{name}_bucket{{{labels},le="+Inf"}}': count_up(fast + slow), f"weir_server_attempts_total{{{labels}}}": count_up(fast + slow)}


def route(requests, errors):
    labels = '{listener="web",route="shop"}'
    return {f"weir_route_exchanges_total{labels}": count_up(requests), f"weir_route_errors_total{labels}": count_up(errors)}


def servers(up, warming, ejected, down, draining=0):
    states = {"up": up, "warming": warming, "ejected": ejected, "down": down, "draining": draining, "maintenance": 0}
    return {f'weir_pool_servers{{pool="web",state="{state}"}}': constant(count) for state, count in states.items()}


def ends_in(days):
    return {"weir_tls_certificate_end_timestamp_seconds": constant(int(30 * 60 + days * DAY_S))}


def log_lines(records, malformed):
    return {'weir_log_records_total{source="edge"}': count_up(records), 'weir_log_malformed_total{source="edge"}': count_up(malformed)}


def one(series, bad, good):
    return {series: constant(bad)}, {series: constant(good)}


def counter(series):
    """It fires soon after the first time."""
    return burst(series), {series: constant(7)}


def lasting(series):
    """It fires when it goes on; not after one time."""
    return {series: count_up(3)}, burst(series)


# What there is after half an hour when the alert fires, and when it does not.
CASES = {
    "WeirDown": one('up{job="weir"}', 0, 1),
    "WeirRestarting": ({'process_start_time_seconds{job="weir"}': "0+60x30"}, {'process_start_time_seconds{job="weir"}': "5+0x20 900+0x10"}),
    "WeirPoolWithoutServer": (servers(0, 0, 1, 2), servers(0, 1, 1, 2)),
    "WeirPoolPanic": one('weir_pool_panic{pool="web"}', 1, 0),
    "WeirServersDown": (servers(2, 0, 1, 0), servers(2, 1, 0, 0, draining=1)),
    "WeirRouteErrors": (route(100, 6), route(100, 4)),
    "WeirPoolSlow": (buckets(90, 10), buckets(1000, 1)),
    "WeirQueueFull": counter('weir_pool_queue_full_total{pool="web"}'),
    "WeirQueueStanding": ({'weir_pool_queue_length{pool="web"}': constant(1)}, {'weir_pool_queue_length{pool="web"}': "0 9 " * 15}),
    "WeirRetryBudgetExhausted": lasting('weir_pool_retries_denied_total{pool="web"}'),
    "WeirSplitRolledBack": counter('weir_split_guard_moves_total{split="ab",move="rollback"}'),
    "WeirOverloaded": counter('weir_overload_refused_total{cause="lag"}'),
    "WeirMemoryNearBound": one('weir_overloaded_workers{cause="memory"}', 1, 0),
    "WeirDescriptorsNearBound": tuple({'process_open_fds{job="weir"}': constant(count), 'process_max_fds{job="weir"}': constant(1000)}
                                      for count in (900, 800)),
    "WeirConnectionsRefused": lasting('weir_connections_refused_total{listener="web",reason="connection_limit"}'),
    "WeirWorkerStalled": one('weir_worker_stalled_seconds{worker="0"}', 6, 0),
    "WeirWorkerStallsOften": ({'weir_worker_stalls_total{worker="0"}': count_up(1)}, burst('weir_worker_stalls_total{worker="0"}')),
    "WeirCertificateEndsSoon": (ends_in(10), ends_in(15)),
    "WeirCertificateEndsNow": (ends_in(2), ends_in(4)),
    "WeirCertificateRefused": counter('weir_tls_certificate_changes_total{result="refused"}'),
    "WeirCertificateOrderFailed": counter('weir_acme_orders_total{result="failed"}'),
    "WeirReloadRefused": counter('weir_reloads_total{result="refused"}'),
    "WeirConfigurationFileRefused": one("weir_reload_applied", 0, 1),
    "WeirGateFileRefused": counter('weir_gate_file_changes_total{result="refused"}'),
    "WeirAuthFileRefused": counter('weir_auth_file_changes_total{result="refused"}'),
    "WeirAuthKeysUnreachable": one("weir_auth_key_sources_failing", 1, 0),
    "WeirServersUnfound": one('weir_source_stale_seconds{kind="name",source="app.internal"}', 400, 0),
    "WeirLogBehind": one('weir_log_lag_seconds{source="edge"}', 90, 2),
    "WeirLogMalformed": (log_lines(10, 20), log_lines(20, 10)),
    "WeirAccessLogUnreachable": one("weir_access_log_reached", 0, 1),
    "WeirAccessLogDropped": counter("weir_access_log_dropped_total"),
    "WeirAuditLost": counter("weir_audit_lost_total"),
    "WeirSeriesRefused": counter("weir_series_refused_total"),
    "WeirBug": counter('weir_bug_total{place="exchange"}'),
    "WeirSystemCallRefused": counter("weir_system_calls_refused_total"),
}
# What it does not mean, beside the ordinary.
QUIET = {
    "WeirRouteErrors": [route(1, 1)],  # a request a minute says nothing of a route
    "WeirPoolSlow": [buckets(0, 1)],
    "WeirCertificateEndsSoon": [{"weir_tls_certificate_end_timestamp_seconds": constant(0)}],  # there is none
    "WeirCertificateEndsNow": [{"weir_tls_certificate_end_timestamp_seconds": constant(0)}],
    "WeirReloadRefused": [burst('weir_reloads_total{result="applied"}')],
    "WeirSplitRolledBack": [burst('weir_split_guard_moves_total{split="ab",move="step"}')],
    "WeirConnectionsRefused": [{'weir_connections_refused_total{listener="web",reason="gate_denied"}': count_up(3)}],
    "WeirMemoryNearBound": [{'weir_overloaded_workers{cause="lag"}': constant(1)}],
}


def rules():
    with open(RULES) as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDED = [rule["expr"] for rule in rules() if "record" in rule]


def run_promtool(folder, *arguments):
    return subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True)


def case(alert, series, is_firing):
    """Of promtool's: the series that Prometheus itself keeps of alerts that fire."""
    firing = f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if is_firing else []
    return {"interval": "1m", "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": firing, "eval_time": "30m", "exp_samples": samples}]}


def run_cases(folder, cases):
    path = folder / "test.yml"
    path.write_text(json.dumps({"rule_files": [RULES], "evaluation_interval": "1m", "tests": cases}))  # which is YAML
    return run_promtool(folder, "test", "rules", str(path))


def test_promtool_takes_the_rules(tmp_path):
    done = run_promtool(tmp_path, "check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_cases_for_every_alert_and_each_says_what_to_do():
    assert [rule["alert"] for rule in ALERTS] == list(CASES)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("warning", "critical")
        for text in rule["annotations"]["summary"], rule["annotations"]["description"]:
            assert text.endswith("."), text


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_only_then(alert, tmp_path):
    firing, quiet = CASES[alert]
    cases = [case(alert, firing, True)] + [case(alert, series, False) for series in [quiet, {}, *QUIET.get(alert, [])]]
    done = run_cases(tmp_path, cases)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_is_wrong_is_found(tmp_path):
    firing, quiet = CASES["WeirBug"]
    assert run_cases(tmp_path, [case("WeirBug", quiet, True)]).returncode == 1
    assert run_cases(tmp_path, [case("WeirBug", firing, False)]).returncode == 1


def test_an_alert_is_told_in_sentences_with_names_and_figures(tmp_path):
    whole = case("WeirRouteErrors", route(100, 6), True)
    whole["alert_rule_test"] = [{"eval_time": "30m", "alertname": "WeirRouteErrors", "exp_alerts": [{
        "exp_labels": {"listener": "web", "route": "shop", "severity": "critical"},
        "exp_annotations": {"summary": "6% of what the route shop of web was asked failed.",
                            "description": next(rule["annotations"]["description"] for rule in ALERTS if rule["alert"] == "WeirRouteErrors")}}]}]
    done = run_cases(tmp_path, [whole])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("features", FEATURES)
def test_what_is_recorded_is_there_of_either_kind_of_histogram(scene, tmp_path, features):
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": "all", "pool": "web"}]})
    client = scene.client(weir)
    prometheus = Prometheus(tmp_path, "%s:%d" % weir.admin_address, features=features)

    def missing():
        assert client.ask("GET", "/").status == 200
        return [expression for expression in RECORDED if prometheus.value(expression) is None]
    try:
        eventually(lambda: missing() == [], lambda: f"values of {missing()}")
    finally:
        prometheus.close()


def names_in(expression):
    return set(re.findall(r"\b((?:weir|process)_\w+)", expression))


def test_every_metric_of_the_rules_is_one_that_a_weir_has():
    known = {name: row["kind"] for name, row in list_metrics.rows(list_metrics.told_by(BINARIES["asan"])).items()}
    for rule in rules():
        for name in names_in(rule["expr"]):
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert name in known or known.get(base) == "histogram", f"{name} in {rule.get('alert') or rule['record']}"
