"""Metrics: correct exposition, and numbers that agree with what happened."""
import os
import subprocess
import time

import pytest

import broken
import message
from ports import reserve_port
from prometheus import FEATURES, Prometheus
from waiting import eventually


def test_promtool_has_nothing_to_say(scene):
    weir = scene.proxy(scene.server(), listener={"routes": [{"name": 'odd "name"\\', "pool": "web"}]}, workers=2)
    client = scene.client(weir)
    for _ in range(5):
        client.ask()
    client.send(b"nonsense\r\n\r\n")
    weir.wait_records(6)
    response = weir.ask_admin("GET", "/metrics")
    assert response.get("Content-Type").startswith("text/plain; version=0.0.4")
    done = subprocess.run(["promtool", "check", "metrics"], input=response.body, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_openmetrics_is_given_on_request(scene):
    weir = scene.proxy(scene.server())
    response = weir.ask_admin("GET", "/metrics", ("Accept", "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"))
    assert response.get("Content-Type").startswith("application/openmetrics-text; version=1.0.0")
    assert response.text.endswith("# EOF\n")


def test_counters_agree_with_what_happened(scene):
    server = scene.server([broken.serve(lambda request: message.response(int(request.target[1:]), body=b"x" * 1000))])
    weir = scene.proxy({"name": "one", "address": server.address})
    client = scene.client(weir)
    for target in ("/200", "/200", "/301", "/404", "/500"):
        client.ask("GET", target)
    weir.wait_records(5)
    weir.wait_metric(5, "weir_exchanges_total", end="ok", listener="web")
    for kind, count in (("2xx", 2), ("3xx", 1), ("4xx", 1), ("5xx", 1)):
        weir.wait_metric(count, "weir_responses_total", listener="web", **{"class": kind})
    weir.wait_metric(1, "weir_connections_accepted_total", listener="web")
    weir.wait_metric(5, "weir_server_attempts_total", pool="web", server="one")
    weir.wait_metric(1, "weir_server_connects_total", server="one")
    weir.wait_metric(4, "weir_server_reuses_total", server="one")
    weir.wait_metric(5, "weir_exchange_duration_seconds_count", listener="web")
    assert 5000 < weir.metric("weir_sent_bytes_total") < 7000
    weir.wait_metric(1, "weir_client_connections")
    weir.wait_metric(1, "weir_idle_server_connections")


def test_failures_are_counted_for_the_server_that_failed(scene):
    weir = scene.proxy({"name": "dead", "address": f"127.0.0.1:{reserve_port()}"})
    scene.client(weir).ask()
    weir.wait_records(1)
    weir.wait_metric(1, "weir_server_failures_total", server="dead")


def test_what_clients_send_never_becomes_a_label(scene):
    weir = scene.proxy(scene.server())
    client = scene.client(weir)
    client.ask("GET", "/very-secret-path", ("X-Request-Id", "very-secret-id"), host="very-secret.test")
    assert "very-secret" not in weir.ask_admin("GET", "/metrics").text
    before = len(weir.metrics())
    for number in range(50):
        client.ask(f"METHOD{number}", f"/{number}", host=f"h{number}.test")
    text = weir.ask_admin("GET", "/metrics").text
    assert "METHOD" not in text and "h7.test" not in text and '"/7"' not in text
    # What is rare has a series once it has happened, whoever comes; of fifty names there would be fifty.
    assert len(weir.metrics()) < before + 10


def test_the_process_is_told_as_every_exporter_tells_it(scene):
    weir = scene.proxy(scene.server())
    stats = weir.get("/api/v1/stats")
    assert weir.metric("weir_build_info", version=stats["version"]) == 1
    assert weir.metric("process_max_fds") == stats["descriptors"]["limit"]
    assert 10 < weir.metric("process_open_fds") <= stats["descriptors"]["open"] + 2
    assert weir.metric("process_virtual_memory_bytes") > weir.metric("process_resident_memory_bytes") > 1 << 20
    with open("/proc/uptime") as uptime, open(f"/proc/{weir.pid}/stat") as stat:
        age = float(uptime.read().split()[0]) - int(stat.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    assert abs(time.time() - age - weir.metric("process_start_time_seconds")) < 30
    assert weir.metric("process_cpu_seconds_total") > 0


def test_each_worker_says_what_it_uses(scene):
    weir = scene.proxy(scene.server(), workers=2)
    client = scene.client(weir)
    for _ in range(5):
        assert client.ask().status == 200
    weir.wait_records(5)
    workers = {w["worker"]: w for w in weir.get("/api/v1/workers")["workers"]}
    assert set(workers) == {"0", "1", "control"}
    samples = weir.metrics()
    for name, told in workers.items():
        with open(f"/proc/{weir.pid}/task/{told['thread']}/schedstat") as file:
            cpu, wait = (int(number) / 1e9 for number in file.read().split()[:2])
        for metric, key, truth in (("cpu", "cpu_seconds", cpu), ("wait", "wait_seconds", wait)):
            assert 0 <= told[key] <= samples[f'weir_worker_{metric}_seconds_total{{worker="{name}"}}'] <= truth + 0.01
        assert samples[f'weir_worker_cpu_seconds_total{{worker="{name}"}}'] > 0
        assert samples[f'weir_worker_buffer_bytes{{worker="{name}"}}'] >= 0
        has_traffic = f'weir_worker_slab_bytes{{worker="{name}"}}' in samples
        assert has_traffic == (name != "control") == (told["slab_bytes"] is not None)
        assert has_traffic == (f'weir_worker_lag_seconds{{worker="{name}"}}' in samples)
    used = sum(w["slab_bytes"] for w in workers.values() if w["slab_bytes"] is not None)
    assert used > 0 and used == weir.metric("weir_worker_slab_bytes")  # who has a client's connection has a page for it


NATIVE = ("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
          "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


def test_protobuf_is_given_on_request(scene):
    weir = scene.proxy(scene.server())
    response = weir.ask_admin("GET", "/metrics", NATIVE)
    assert response.get("Content-Type") == \
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
    assert b"weir_exchange_duration_seconds" in response.body
    less = NATIVE[1].replace("delimited,", "delimited;q=0.7,")
    assert weir.ask_admin("GET", "/metrics", ("Accept", less)).text.endswith("# EOF\n")


def test_quantiles_of_native_histograms_agree_with_the_truth(scene, tmp_path):
    """What Prometheus computes of them is within 1.1 % of the durations that the records have."""
    delays = [0.002 * 1.25 ** n for n in range(21)]
    server = scene.server([broken.serve(lambda request: (time.sleep(delays[int(request.target[1:])]), message.response(200))[1])])
    weir = scene.proxy(server)
    prometheus = Prometheus(tmp_path, "%s:%d" % weir.admin_address, features=FEATURES[1])
    try:
        client = scene.client(weir)
        for number in range(len(delays)):
            assert client.ask("GET", f"/{number}").status == 200
        weir.wait_records(len(delays))
        truth = sorted(record["total_ms"] / 1e3 for record in weir.exchanges(limit=1000))
        assert len(truth) == len(delays)
        series = 'weir_exchange_duration_seconds{listener="web"}'
        eventually(lambda: prometheus.value(f"histogram_count({series})") == len(truth),
                   lambda: f"all scraped: {prometheus.scrape_error()}")
        assert prometheus.scrape_error() == ""
        assert prometheus.value(f"histogram_sum({series})") == pytest.approx(sum(truth), rel=0.001)
        for rank, value in enumerate(truth):
            q = (rank + 0.5) / len(truth)
            assert prometheus.value(f"histogram_quantile({q}, {series})") == pytest.approx(value, rel=0.011), rank
        assert prometheus.value('weir_responses_total{class="2xx",listener="web"}') == len(truth)
    finally:
        prometheus.close()
