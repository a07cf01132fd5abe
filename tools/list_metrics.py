#!/usr/bin/python3
"""Usage: tools/list_metrics.py WEIR

Writes docs/metrics.md: every metric of a weir whose configuration has all that is counted, as /metrics describes it."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

HEAD = """# Metrics

Every metric of `GET /metrics`, in Prometheus' text format or in OpenMetrics ([api.md](api.md)), as a weir with every kind of thing in its
configuration has them. Some are there only where what they count is in the configuration: a split, a mirror, a log that is watched. Labels
are names of the configuration (`listener`, `route`, `pool`, `server`), or words of weir's own: those of `end` are in [reasons.md](reasons.md). This page is made by
`make docs` of what weir says there.

## Alerts and a dashboard
Prometheus scrapes each weir's admin address, as job `weir`, and takes the rules that ship with it (in `share/weir` of the prefix; in `dist` of the sources):

```yaml
rule_files: [/usr/local/share/weir/prometheus/weir.rules.yml]
scrape_configs:
  - job_name: weir
    static_configs: [{targets: ["10.0.0.2:9091", "10.0.0.3:9091"]}]
```
Where the admin address asks for a token, `authorization: {credentials_file: FILE}` gives one of the role `view`. Alerts are `critical` where clients see it, or soon
will, and `warning` where somebody should look by daylight; each says in a sentence what is wrong, and in another where to look. Bounds that differ from service to service
(5 % of a route's exchanges that fail, 1 s until one answer in a hundred of a pool begins) stand in the file: keep a copy of it with yours.

`share/weir/grafana/weir.json` is a dashboard: import it in Grafana (Dashboards, New, Import) and choose the Prometheus. It has listeners, routes, pools,
servers, splits, workers and logs, of one weir or of all, for the pools and routes chosen at its top.

## Native histograms
A Prometheus that keeps them (`--enable-feature=native-histograms`) asks for Protocol Buffers, and is given each histogram with classic and with
native buckets: of schema 8, whose buckets are 0.27 % wide. weir's own are up to 1.6 % wide and not theirs, and all of one counts in the native bucket that its middle
lies in; so `histogram_quantile()` is at most 1.1 % off what was measured, which is whole microseconds, up to 71 minutes. What took less than one counts as zero, what took longer
as those 71. There are no empty ones: a histogram has as many native buckets as there are different durations in it, some hundred mostly. Their names have no ending:
`histogram_quantile(0.99, sum(rate(weir_exchange_duration_seconds[5m])))`.

Such a Prometheus leaves the classic buckets out unless told to take both, which it can be from 2.45 on (`scrape_classic_histograms: true` in the job; in 3.x
`always_scrape_classic_histograms`). The alerts and the dashboard above take whichever there are.

## The list

| metric | type | labels | meaning |
|---|---|---|---|
"""
PATIENCE_S = 60
USERS = "alice:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"
# What is there only once it has been counted: by these requests.
REQUESTS = [("/", "gzip"), ("/", "identity"), ("/m", "gzip"), ("/s", "gzip"), ("/g", "gzip")]
AWAITED = ["weir_route_responses_total", "weir_server_responses_total", "weir_compressed_responses_total", "weir_uncompressed_responses_total",
           "weir_traced_exchanges_total", "weir_auth_requests_total"]


def configuration(folder):
    """Nothing listens but at paths within `folder`, and for datagrams, which have none, at a port that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nowhere = f"unix:{folder}/nowhere"
    for name, text in (("log", ""), ("servers", ""), ("users", USERS)):
        with open(f"{folder}/{name}", "w") as file:
            file.write(text)
    return {
        "listeners": {
            "web": {"bind": f"unix:{folder}/web", "rate": "100/s", "compress": True, "routes": [
                {"name": "mirrored", "path": "/m", "pool": "web", "mirror": {"pool": "other"}},
                {"name": "divided", "path": "/s", "split": "ab"},
                {"name": "guarded", "path": "/g", "pool": "web", "auth": {"basic": f"{folder}/users"}},
                {"name": "rest", "pool": "web"}]},
            "answers": {"bind": f"unix:{folder}/answers", "respond": {"body": "weir " * 1000}},
            "bytes": {"bind": f"unix:{folder}/bytes", "protocol": "tcp", "pool": "other"},
            "datagrams": {"bind": f"127.0.0.1:{port}", "protocol": "udp", "pool": "far"}},
        "pools": {
            "web": {"servers": {"a": f"unix:{folder}/answers"}, "retry": {"hedge": {}}, "rate": "100/s", "health": {"tcp": {}},
                    "concurrency": {"adaptive": {}}},
            "other": {"servers": {"b": nowhere}},
            "far": {"servers": {"c": "127.0.0.1:9"}},
            "safe": {"servers": {"d": "127.0.0.1:9"}, "tls": {"verify": "off"}},
            "found": {"servers": [f"file:{folder}/servers"]}},
        "splits": {"ab": {"unit": "client", "guard": {"errors": 1},
                          "variants": {"a": {"weight": 50, "pool": "web"}, "b": {"weight": 50, "pool": "other"}}}},
        "logs": {"sources": {"edge": {"path": f"{folder}/log"}}, "rules": [{"name": "many", "when": "rate(status==401) by client > 30/m"}]},
        "tracing": {"endpoint": "http://127.0.0.1:9/v1/traces", "sample": 1},
        "access_log": {"syslog": nowhere},
        "admin": {"bind": f"unix:{folder}/admin"}}


def ask(path, target, coding="identity"):
    with socket.socket(socket.AF_UNIX) as there:
        there.settimeout(PATIENCE_S)
        there.connect(path)
        connection = http.client.HTTPConnection("weir")
        connection.sock = there
        connection.request("GET", target, headers={"Accept-Encoding": coding})
        return connection.getresponse().read()


def ask_in_time(path, weir, *request):
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask(path, *request)
        except OSError:
            if weir.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.01)


def metrics(folder, weir):
    """Once all that is awaited has been counted."""
    end = time.monotonic() + PATIENCE_S
    for request in REQUESTS:
        ask_in_time(os.path.join(folder, "web"), weir, *request)
    while True:
        text = ask_in_time(os.path.join(folder, "admin"), weir, "/metrics").decode()
        missing = [name for name in AWAITED if f"# HELP {name} " not in text]
        if not missing:
            return text
        if time.monotonic() > end:
            raise OSError(f"nothing is counted by {', '.join(missing)}")
        time.sleep(0.01)


def rows(text):
    found = {}
    for name, meaning in re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE):
        found[name] = {"meaning": meaning, "labels": []}
    for name, kind in re.findall(r"^# TYPE (\S+) (.*)$", text, re.MULTILINE):
        found[name]["kind"] = kind
    for sample, labels in re.findall(r"^(\w+)\{(.*)\} \S+$", text, re.MULTILINE):
        name = sample if sample in found else re.sub(r"_(bucket|sum|count)$", "", sample)
        for label in re.findall(r"(\w+)=\"", labels):
            if label not in found[name]["labels"] and label not in ("le", "quantile"):
                found[name]["labels"].append(label)
    return found


def told_by(program):
    """What /metrics of such a weir says."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weir.json")
        with open(path, "w") as file:
            json.dump(configuration(folder), file)
        with open(os.path.join(folder, "messages"), "w+") as messages:
            weir = subprocess.Popen([program, "run", path], stderr=messages, stdout=messages)
            try:
                return metrics(folder, weir)
            except OSError as error:
                messages.seek(0)
                sys.exit(f"tools/list_metrics.py: {program} does not answer: {error}\n{messages.read()}")
            finally:
                weir.send_signal(signal.SIGKILL)
                weir.wait()


def main(program):
    lines = [f"| `{name}` | {row['kind']} | {', '.join(f'`{label}`' for label in row['labels'])} | {row['meaning']} |\n"
             for name, row in sorted(rows(told_by(program)).items())]
    sys.stdout.write(HEAD + "".join(lines))


if __name__ == "__main__":
    main(sys.argv[1])
