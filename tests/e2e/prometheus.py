"""Debian's Prometheus, with storage for exemplars, on loopback: what it has scraped, by its own API."""
import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request

from ports import reserve_port
from waiting import LIMIT_S, eventually


# With the second it keeps native histograms, and their classic buckets no longer.
FEATURES = ("exemplar-storage", "exemplar-storage,native-histograms")


class Prometheus:
    """It scrapes each of `targets`, addresses, five times a second."""

    def __init__(self, directory, *targets, features=FEATURES[0]):
        assert shutil.which("prometheus"), "the package prometheus is missing: tools/setup.sh test"
        self.directory = os.path.join(directory, "prometheus")
        os.mkdir(self.directory)
        self.port = reserve_port()
        config = {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                  "scrape_configs": [{"job_name": "weir", "static_configs": [{"targets": targets}]}]}
        with open(self.path("prometheus.yml"), "w") as file:
            json.dump(config, file)  # which is YAML
        with open(self.path("log"), "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={self.path('prometheus.yml')}", f"--storage.tsdb.path={self.path('data')}",
                 f"--web.listen-address=127.0.0.1:{self.port}", f"--enable-feature={features}", "--log.level=warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self.is_ready, lambda: f"Prometheus serves: {self.text()}")

    def path(self, name):
        return os.path.join(self.directory, name)

    def text(self):
        with open(self.path("log")) as file:
            return file.read()

    def is_ready(self):
        assert self.process.poll() is None, self.text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=LIMIT_S) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path, **query):
        address = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=LIMIT_S) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def exemplars(self, query, start, end):
        """[(labels of the series, exemplar)] of a time in seconds since 1970."""
        found = self.ask("/api/v1/query_exemplars", query=query, start=start, end=end)
        return [(series["seriesLabels"], exemplar) for series in found for exemplar in series["exemplars"]]

    def value(self, query):
        """Of the one series that it leads to, now; None: there is none."""
        found = self.ask("/api/v1/query", query=query)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def scrape_error(self):
        """What it complains of at its only target; "": nothing. None: it has not scraped yet."""
        target, = self.ask("/api/v1/targets")["activeTargets"] or [None]
        return target["lastError"] if target and target["health"] != "unknown" else None

    def close(self):
        self.process.kill()
        self.process.wait()
