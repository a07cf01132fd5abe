"""weir itself: started with a configuration, asked through its API, and at its end looked at closely."""
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import threading
import urllib.parse

import message
from client import Client
from ports import reserve_port
from waiting import LIMIT_S, eventually

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARIES = {kind: os.environ.get(f"WEIR_{kind.upper()}") or os.path.join(ROOT, "build", kind, "weir")
            for kind in ("release", "asan")}
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|runtime error:")
PAIR = re.compile(r'([a-z_0-9]+)=("(?:[^"\\]|\\.)*"|[^ "]*)(?: |\Z)')


@functools.cache
def is_sanitized(build):
    """Then it is slower and larger than weir is. Looked for once: these are some 40 MB."""
    with open(BINARIES[build], "rb") as file:
        binary = file.read()
    return b"__asan_init" in binary or b"__tsan_init" in binary


def environment():
    return {**SANITIZER_ENV, **os.environ}


def run_command(*arguments, build="asan", input=None, seconds=LIMIT_S):
    """A command that ends of itself: its exit code, stdout and stderr."""
    done = subprocess.run([BINARIES[build], *arguments], input=input, capture_output=True, text=True, timeout=seconds,
                          env=environment())
    assert not REPORT.search(done.stderr), done.stderr
    return done


def parse_line(line):
    """A message as a dict; None if it is not one."""
    pairs, at = {}, 0
    while at < len(line):
        match = PAIR.match(line, at)
        if not match:
            return None
        value = match[2]
        if value.startswith('"'):
            value = json.loads(re.sub(r"\\(?:x([0-9a-f]{2})|.)", lambda m: f"\\u00{m[1]}" if m[1] else m[0], value))
        pairs[match[1]] = value
        at = match.end()
    return pairs if "event" in pairs else None


class Successor:
    """A process that took over, and is no child of the test's: as subprocess.Popen has it."""

    def __init__(self, weir, pid):
        self.weir = weir
        self.pid = pid
        self.returncode = None

    def is_running(self):
        try:
            with open(f"/proc/{self.pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def poll(self):
        """Its last message stands for its exit code, which only its parent knows."""
        if self.returncode is None and not self.is_running():
            self.weir.wait_line("stopped", self.pid)
            self.returncode = 0
        return self.returncode

    def wait(self, seconds=LIMIT_S):
        eventually(lambda: self.poll() is not None, f"the end of {self.pid}", seconds)
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.is_running():
            self.send_signal(signal.SIGKILL)
            self.returncode = -signal.SIGKILL


@functools.cache
def described_messages():
    """The names of weir's messages that docs/messages.md has, and whether each is an event as well."""
    with open(os.path.join(ROOT, "docs", "messages.md")) as file:
        rows = re.findall(r"^\| (`.*?) \| (.*?) \|", file.read(), re.MULTILINE)
    return {name: "•" in level for names, level in rows for name in re.findall(r"`(\w+)`", names)}


class Weir:
    """A running weir. `config` is a dict (written as a file), or None if `arguments` say it all."""

    def __init__(self, directory, config=None, arguments=None, build="asan", nofile=None, name="weir",
                 is_checked=True, stdout=None, binary=None, close_fds=True):
        self.config = config
        self.predecessors = []  # processes that this one took over from
        self.is_checked = is_checked
        self.is_sanitized = is_sanitized(build)
        self.lines = []
        self.changed = threading.Condition()
        self.expected_errors = set()  # events which may be logged as errors
        self.baseline = None
        self.is_ending = False
        if config is not None:
            self.path = os.path.join(str(directory), f"{name}.yaml")
            self.write_file(config)
            arguments = ["run", "-c", self.path]
        command = [binary or BINARIES[build], *arguments]
        if nofile:
            soft, hard = nofile if isinstance(nofile, tuple) else (nofile, nofile)
            command = ["prlimit", f"--nofile={soft}:{hard}", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                                        env=environment(), close_fds=close_fds)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self.read_messages, daemon=True)
        self.reader.start()

    def read_messages(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    # its messages

    @property
    def log(self):
        return "\n".join(self.lines)

    def events(self, name):
        return [pairs for line in list(self.lines) if (pairs := parse_line(line)) and pairs["event"] == name]

    def wait_event(self, name, count=1):
        """The latest of `count` messages of that event."""
        def found():
            return len(self.events(name)) >= count or self.process.poll() is not None
        with self.changed:
            self.changed.wait_for(found, LIMIT_S)
        if self.process.poll() is not None:
            self.reader.join(LIMIT_S)
        events = self.events(name)
        assert len(events) >= count, f"no event={name} from weir (exit code {self.process.poll()}):\n{self.log}"
        return events[count - 1]

    def wait_line(self, event, pid):
        def found():
            return any(pairs.get("pid") == str(pid) for pairs in self.events(event))
        with self.changed:
            assert self.changed.wait_for(found, LIMIT_S), f"no event={event} of {pid}:\n{self.log}"

    # another process in its place

    def follow(self, pid):
        """That process has taken over."""
        self.predecessors.append(self.process)
        self.process = Successor(self, pid)
        self.pid = pid
        self.wait_line("ready", pid)

    def upgrade(self):
        response = self.ask_admin("POST", "/api/v1/upgrade")
        assert response.status == 200, f"{response.status} {response.text}"
        outcome = json.loads(response.body)
        assert outcome["predecessor"] == self.pid
        self.follow(outcome["pid"])

    def wait_alone(self):
        """Until all that it took over from have ended."""
        for process in self.predecessors:
            assert process.wait(LIMIT_S) == 0

    def wait_ready(self):
        self.wait_event("ready")
        if self.has_admin():
            self.baseline = (self.live(), self.count_fds())
        else:
            self.baseline = (None, self.count_fds())
        return self

    # another configuration

    def write_file(self, config):
        """As weir reads it at its next look: a dict, or text as it is."""
        with open(self.path, "w") as file:
            if isinstance(config, str):
                file.write(config)
            else:
                json.dump(config, file, indent=1)  # which is YAML too

    def put_config(self, config, query=""):
        """What the API says to it."""
        body = config if isinstance(config, bytes) else json.dumps(config, indent=1).encode()
        return self.ask_admin("PUT", "/api/v1/config" + query, ("Content-Type", "application/yaml"), body=body)

    def reload(self, config, way="put"):
        """Puts it in force, by the API or by the file and SIGHUP."""
        if way == "signal":
            count = len(self.events("reloaded"))
            self.write_file(config)
            self.process.send_signal(signal.SIGHUP)
            self.wait_event("reloaded", count + 1)
        elif way == "put":
            response = self.put_config(config)
            assert response.status == 200, f"{response.status} {response.text}"
        else:
            self.write_file(config)
            response = self.ask_admin("POST", "/api/v1/reload")
            assert response.status == 200, f"{response.status} {response.text}"
        self.config = config

    def wait_retired(self):
        """Until nothing is left of what older configurations had and this one has not."""
        self.wait_metric(0, "weir_config_retiring")

    # where it listens

    def bind_of(self, listener="web"):
        bind = self.config["listeners"][listener]["bind"]
        if bind.startswith("unix:"):
            return bind.removeprefix("unix:")
        host, port = bind.rsplit(":", 1)
        return host or "127.0.0.1", int(port)

    @property
    def address(self):
        return self.bind_of(next(iter(self.config["listeners"])))

    def has_admin(self):
        return bool(self.config and ":" in self.config.get("admin", {}).get("bind", "")
                    and not self.config["admin"]["bind"].startswith("unix:"))

    @property
    def admin_address(self):
        host, port = self.config["admin"]["bind"].rsplit(":", 1)
        return host, int(port)

    # its API

    def ask_admin(self, method, path, *fields, body=None, host=None):
        """A response of the admin address."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            if not any(name.lower() == "content-type" for name, _ in fields):
                fields += (("Content-Type", "application/json"),)
        token = self.config["admin"].get("token")
        if token and not any(name.lower() == "authorization" for name, _ in fields):
            fields += (("Authorization", f"Bearer {token}"),)
        client = Client(self.admin_address)
        try:
            client.send(message.request(method, path, ("Connection", "close"), *fields, body=body,
                                        host=host or "%s:%d" % self.admin_address))
            response = client.read(method)
            if method != "HEAD":
                client.check_closed()
            return response
        except (message.Ended, OSError) as error:
            error.add_note(f"weir's exit code: {self.process.poll()}; the end of its log:\n{self.log[-4000:]}")
            raise
        finally:
            client.close()

    def get(self, path):
        """A JSON document of the API."""
        response = self.ask_admin("GET", path)
        assert response.status == 200, f"{path}: {response.status} {response.text}"
        return json.loads(response.body)

    def patch_server(self, pool, server, **values):
        response = self.ask_admin("PATCH", f"/api/v1/pools/{pool}/servers/{urllib.parse.quote(server, safe='')}",
                                  body=values)
        assert response.status in (200, 204), f"{response.status} {response.text}"
        return response

    def servers(self, pool="web"):
        return {server["name"]: server for server in self.get(f"/api/v1/pools/{pool}/servers")["servers"]}

    def stats(self):
        return self.get("/api/v1/stats")

    def live(self):
        return self.stats()["live"]

    def wait_live(self, **expected):
        """Until these counters of what is live have these values."""
        def reached():
            live = self.live()
            return all(live[key] == value for key, value in expected.items())
        eventually(reached, lambda: f"{expected}: {self.live()}")

    def exchanges(self, **filters):
        return self.get("/api/v1/exchanges?" + urllib.parse.urlencode(filters))["exchanges"]

    def wait_records(self, count, **filters):
        """The records that match, once there are so many."""
        def enough():
            found = self.exchanges(limit=1000, **filters)
            return found if len(found) >= count else None
        return eventually(enough, f"{count} records of {filters}")

    def exchange(self, **filters):
        """The latest record that matches, once there is one."""
        return eventually(lambda: self.exchanges(**filters), f"a record of {filters}")[0]

    def metrics(self):
        """{name{labels}: value}"""
        response = self.ask_admin("GET", "/metrics")
        assert response.status == 200
        return dict((line.rsplit(" ", 1)[0], float(line.rsplit(" ", 1)[1])) for line in response.text.splitlines()
                    if line and not line.startswith("#"))

    def metric(self, name, **labels):
        """The sum of all samples of that name that have these labels."""
        total = 0
        for sample, value in self.metrics().items():
            base, _, rest = sample.partition("{")
            known = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', rest))
            if base == name and all(known.get(key) == wanted for key, wanted in labels.items()):
                total += value
        return total

    def wait_metric(self, count, name, **labels):
        eventually(lambda: self.metric(name, **labels) == count,
                   lambda: f"{name}{labels} at {count}: {self.metric(name, **labels)}")

    # what the system sees of it

    def fds(self):
        """What each leads to, for people."""
        found = {}
        for number in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found[int(number)] = os.readlink(f"/proc/{self.pid}/fd/{number}")
        return dict(sorted(found.items()))

    def count_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # its end

    def terminate(self):
        self.is_ending = True
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, seconds=LIMIT_S):
        """Its exit code."""
        code = self.process.wait(seconds)
        for process in self.predecessors:
            process.wait(seconds)
        self.reader.join(LIMIT_S)
        return code

    def check_idle(self):
        """Nothing is left of what has passed: all that is counted as live is as at the start, and there are no more
        descriptors than then, when a check of a server may have had one."""
        live, fds = self.baseline
        if live is not None:
            eventually(lambda: self.live() == live, lambda: f"live is {live} again: {self.live()}")
        eventually(lambda: self.count_fds() <= fds, lambda: f"{fds} descriptors again: {self.fds()}")

    def check_messages(self):
        assert not REPORT.search(self.log), self.log
        described = described_messages()
        for line in self.lines:
            pairs = parse_line(line)
            assert pairs and "time" in pairs and "level" in pairs, f"not a message: {line}"
            assert pairs["event"] in described, f"docs/messages.md does not know {pairs['event']}"
            assert pairs["level"] != "error" or pairs["event"] in self.expected_errors, line

    def check_no_bug(self):
        counts = {sample: value for sample, value in self.metrics().items() if sample.startswith("weir_bug_total{")}
        assert len(counts) > 5, f"bugs are not counted: {counts}"
        assert not any(counts.values()), counts

    def check_invariants(self):
        """All sums that always hold do: of what is counted nothing is lost, and nothing was given back twice."""
        def settled():
            found = self.get("/api/v1/invariants")
            assert found["holds"], "\n".join(found["broken"])
            return all(entry["verdict"] == "holds" for entry in found["sums"])
        eventually(settled, "a moment in which all sums can be told")

    def finish(self):
        """Ends it and checks all that must hold at the end of every test."""
        if self.process.poll() is None and self.is_checked and self.baseline and not self.is_ending:
            self.wait_alone()
            self.check_idle()
            if self.has_admin():
                self.check_no_bug()
                self.check_invariants()
        if self.process.poll() is None:
            self.terminate()
            self.wait_exit()
        if self.is_checked:
            for process in [self.process, *self.predecessors]:
                assert process.returncode == 0, f"exit code {process.returncode}:\n{self.log}"
            self.check_messages()

    def kill(self):
        for process in [self.process, *self.predecessors]:
            if process.returncode is None:
                process.kill()
                process.wait()
        self.reader.join(LIMIT_S)

    def kill_unchecked(self):
        """In the middle of things: what is asked of each at the end is not asked of it."""
        self.is_checked = False
        self.kill()


def listen_at_free_port():
    return f"127.0.0.1:{reserve_port()}"


def make_config(servers, listener=None, pool=None, protocol="http", **top):
    """One listener `web` in front of one pool `web`, one worker, and the API."""
    addresses = [server if isinstance(server, (str, dict)) else server.address for server in servers]
    front = {"bind": listen_at_free_port(), **(listener or {})}
    if protocol != "http":
        front["protocol"] = protocol
    else:
        front.setdefault("faults", "full")  # tests look at what went wrong
    if "routes" not in front:
        front.setdefault("pool", "web")
    config = {"listeners": {"web": front}, "pools": {"web": {"servers": addresses, **(pool or {})}},
              "admin": {"bind": listen_at_free_port()}, "workers": 1}
    for key, value in top.items():
        if key == "pools":
            config["pools"].update(value)
        elif key == "listeners":
            config["listeners"].update(value)
        else:
            config[key] = value
    return config
