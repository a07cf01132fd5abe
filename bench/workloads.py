"""What is measured: the workloads, the tools that make them, and the rounds."""

import json
import re
import statistics

import proxies
from stage import Trouble

ATTEMPTS_MAX = 5
IDLE_CONNECTIONS, IDLE_TLS_CONNECTIONS = 9000, 3000
PROBE_RATE = 2000


class Measure:
    """The figure by which a workload's proxies are compared; less is better for all of them."""

    def __init__(self, key, title, digits):
        self.key, self.title, self.digits = key, title, digits

    def show(self, value):
        return "-" if value is None else f"{value:,.{self.digits}f}"


CPU_PER_MILLION = Measure("cpu_per_million", "CPU seconds per million requests", 2)
CPU_PER_GB = Measure("cpu_per_gb", "CPU seconds per GB", 4)
LATENCY = Measure("p50_us", "median latency, µs", 1)
IDLE_BYTES = Measure("bytes_per_connection", "bytes per idle connection", 0)
START_MIB = Measure("pss_mib", "MiB of PSS after start", 1)


class Workload:
    """`target` is weir's ratio to the better of its peers, `limit` a bound in the measure's own unit."""

    def __init__(self, name, label, title, measure, load, *, protocol="http", connections=0, size=100,
                 close=False, pool="", target=None, limit=None, is_secure=False, is_h2=False, reuse=False, is_websocket=False,
                 responses=0, without=()):
        self.name, self.label, self.title, self.measure, self.load = name, label, title, measure, load
        self.protocol, self.connections, self.size, self.close = protocol, connections, size, close
        self.pool = pool
        self.is_secure, self.is_h2, self.reuse, self.is_websocket = is_secure, is_h2, reuse, is_websocket
        self.responses = responses
        self.without = without  # proxies that cannot do it
        self.target, self.limit = target, limit

    @property
    def is_loaded(self):
        """Whether the load is as much as the proxy can take, so that its rate says something."""
        return self.load in ("wrk", "pingpong", "iperf3", "h2load", "datagrams")


WORKLOADS = [
    Workload("small", "small, keep-alive", "small keep-alive, 64 connections, 100 B", CPU_PER_MILLION, "wrk",
             connections=64, target=0.86),
    Workload("pipelined", "small, pipelined", "as small, weir with pipeline: 4 towards the origin", CPU_PER_MILLION,
             "wrk", connections=64, pool="pipeline: 4, ", target=0.66),
    Workload("close", "connection per request", "connection per request, 32 at a time, 100 B",
             CPU_PER_MILLION, "wrk", connections=32, close=True, target=0.73),
    Workload("64k", "64 KiB bodies", "64 KiB bodies, 32 connections", CPU_PER_MILLION, "wrk", connections=32,
             size=65536, target=0.90),
    Workload("1m", "1 MiB bodies", "1 MiB bodies, 8 connections", CPU_PER_MILLION, "wrk", connections=8,
             size=1048576, target=0.62),
    Workload("tcp-small", "TCP, small", "TCP, 64 connections, 100 B to and fro", CPU_PER_MILLION, "pingpong",
             protocol="tcp", connections=64, target=0.97),
    Workload("tcp-bulk", "TCP, bulk", "TCP, one bulk stream", CPU_PER_GB, "iperf3", protocol="tcp",
             target=0.65),
    Workload("udp-once", "UDP, an answer each", "UDP, a session for each datagram of 100 B and its answer, 64 at a time", CPU_PER_MILLION,
             "datagrams", protocol="udp", connections=64, responses=1, without=("haproxy",)),
    Workload("udp-kept", "UDP, sessions", "UDP, 64 sessions, 100 B to and fro", CPU_PER_MILLION, "datagrams", protocol="udp",
             connections=64, without=("haproxy",)),
    Workload("tls-small", "TLS, small", "TLS 1.3, small keep-alive, 64 connections, 100 B", CPU_PER_MILLION, "wrk",
             connections=64, is_secure=True, target=0.85),
    Workload("tls-full", "TLS, full handshakes", "TLS 1.3, a full handshake and a request of 100 B each, one at a time", CPU_PER_MILLION,
             "s_time", is_secure=True, target=0.97),
    Workload("tls-resumed", "TLS, resumed", "as tls-full, sessions resumed", CPU_PER_MILLION, "s_time", is_secure=True, reuse=True,
             target=0.90),
    Workload("tls-64k", "TLS, 64 KiB", "TLS 1.3, 64 KiB bodies, 32 connections", CPU_PER_MILLION, "wrk", connections=32, size=65536,
             is_secure=True, target=0.85),
    Workload("tls-1m", "TLS, 1 MiB", "TLS 1.3, 1 MiB bodies, 8 connections", CPU_PER_MILLION, "wrk", connections=8, size=1048576,
             is_secure=True, target=0.75),
    Workload("h2-tls", "HTTP/2 over TLS", "HTTP/2 over TLS 1.3, 10 streams on 32 connections, 100 B", CPU_PER_MILLION, "h2load",
             connections=32, is_secure=True, is_h2=True, target=0.80),
    Workload("h2c", "HTTP/2", "HTTP/2 without TLS, 10 streams on 32 connections, 100 B", CPU_PER_MILLION, "h2load", connections=32,
             is_h2=True),
    Workload("websocket", "WebSocket, small", "WebSockets, 64 connections, 100 B to and fro", CPU_PER_MILLION, "pingpong",
             connections=64, is_websocket=True),
    Workload("latency", "low load", f"latency at {PROBE_RATE:,} requests a second", LATENCY, "probe"),
    Workload("idle", "idle connections", f"{IDLE_CONNECTIONS:,} idle keep-alive connections", IDLE_BYTES,
             "idle", limit=300),
    Workload("tls-idle", "idle TLS connections", f"{IDLE_TLS_CONNECTIONS:,} idle keep-alive connections, TLS 1.3", IDLE_BYTES,
             "idle", is_secure=True),
    Workload("start", "memory", "resident set after start", START_MIB, "start", limit=4),
]


class Tools:
    """The programs that a bench calls, on whichever host."""

    def __init__(self, directory):
        self.origin, self.probe, self.pingpong, self.datagrams, self.idle = (
            f"{directory}/bench-{name}" for name in ("origin", "probe", "pingpong", "datagrams", "idle"))
        self.wrk, self.iperf3 = "/usr/bin/wrk", "/usr/bin/iperf3"
        self.h2load, self.openssl = "/usr/bin/h2load", "/usr/bin/openssl"


class Running:
    """A proxy (or, as "direct", the origin itself) that is up and listens."""

    def __init__(self, name, pid, port):
        self.name, self.pid, self.port = name, pid, port


class Bench:
    """Runs one workload on a stage; `say` prints a line of progress."""

    def __init__(self, stage, tools, proxy_list, options, say):
        self.stage, self.tools, self.proxies, self.options, self.say = stage, tools, proxy_list, options, say
        self.certificate = None
        self.origin_port = stage.origin.host.free_ports(address=stage.origin.address, count=1)[0]
        ports = stage.proxy.host.free_ports(address=stage.proxy.address, count=2 * len(proxy_list) + 1)[1:]
        self.ports = {proxy.name: ports[2 * i:2 * i + 2] for i, proxy in enumerate(proxy_list)}

    def run(self, workload):
        """{proxy name: [round, ...]}, each round a dict of figures."""
        origin = self.start_origin(workload)
        try:
            if workload.load in ("idle", "start"):
                return self.run_apart(workload)
            return self.run_interleaved(workload)
        finally:
            self.stage.origin.host.stop(pid=origin)

    # Starting and stopping.

    def start_origin(self, workload):
        role, port = self.stage.origin, self.origin_port
        if workload.load == "iperf3":
            argv = [self.tools.iperf3, "-s", "-B", role.address, "-p", str(port)]
        elif workload.protocol == "udp":
            argv = [self.tools.datagrams, "--echo", f"{role.address}:{port}"]
        else:
            echo = ["--websocket"] if workload.is_websocket else ["--echo"] if workload.protocol == "tcp" else []
            argv = [self.tools.origin, *echo, f"{role.address}:{port}"]
        pid = role.host.start(argv=argv, cpu=role.cpu)
        role.host.wait_listening(pid=pid, port=port, is_udp=workload.protocol == "udp")
        return pid

    def start_proxy(self, proxy, workload):
        role, ports = self.stage.proxy, self.ports[proxy.name]
        wiring = proxies.Wiring(workload.protocol, role.address, ports,
                                f"{self.stage.origin.address}:{self.origin_port}", role.host.facts,
                                self.options.peers, workload.pool,
                                self.make_certificate(role) if workload.is_secure else None, workload.is_h2, workload.is_websocket, workload.responses)
        path = role.host.write(name=f"{proxy.name}.conf", text=proxy.config(wiring))
        pid = role.host.start(argv=proxy.argv(path), cpu=role.cpu)
        role.host.wait_listening(pid=pid, port=ports[0], is_udp=workload.protocol == "udp")
        running = Running(proxy.name, pid, ports[0])
        if workload.protocol == "http" and (workload.is_secure or not workload.is_h2) and not workload.is_websocket:
            self.check_answer(running, workload)
        return running

    def make_certificate(self, role):
        """One for all proxies, on their host: ECDSA P-256."""
        if not self.certificate:
            path = role.host.write(name="bench.pem", text="")
            role.host.run(argv=[self.tools.openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                                "-subj", "/CN=bench", "-keyout", f"{path}.key", "-out", path], cpu=role.cpu, timeout_s=30)
            self.certificate = path
        return self.certificate

    def check_answer(self, running, workload):
        got = self.stage.load.host.fetch(address=self.stage.proxy.address, port=running.port,
                                         path=f"/{workload.size}", is_secure=workload.is_secure)
        if workload.is_secure:
            self.say(f"    {running.name}: {got['cipher']}")
        if (got["status"], got["bytes"]) != (200, workload.size):
            raise Trouble(f"{running.name} answers a GET of {workload.size} bytes with status "
                          f"{got['status']} and {got['bytes']} bytes; there is no use in measuring that")

    def stop_proxy(self, running):
        if running.name != "direct":
            self.stage.proxy.host.stop(pid=running.pid)

    # Rounds.

    def run_interleaved(self, workload):
        """All proxies are up and take turns: A B C, C B A, A B C."""
        running, rounds = [], {}
        try:
            for proxy in self.proxies:
                if proxy.name in workload.without:
                    continue
                running.append(self.start_proxy(proxy, workload))
            if workload.load == "probe" and self.stage.kind == "local":
                running.append(Running("direct", None, self.origin_port))
            for one in running:
                self.load(one, workload, 1)
            for number in range(self.options.rounds):
                for one in running if number % 2 == 0 else reversed(running):
                    figures = self.measure_undisturbed(one, workload, number + 1)
                    rounds.setdefault(one.name, []).append(figures)
        finally:
            for one in running:
                self.stop_proxy(one)
        return rounds

    def measure_undisturbed(self, one, workload, number):
        """Rounds in which something else used the proxy's core are thrown away, and said so, a bounded number
        of times; then the least disturbed one stands, marked."""
        tried = []
        for _ in range(ATTEMPTS_MAX):
            figures = self.measure(one, workload)
            self.say_round(one, workload, number, figures)
            if figures.get("foreign_s", 0) <= self.options.max_foreign:
                return {**figures, "thrown_away": len(tried)}
            tried.append(figures)
            self.say(f"      thrown away: core {self.stage.proxy.cpu} was busy with something else "
                     f"for {figures['foreign_s']:.2f} s")
        best = min(tried, key=lambda figures: figures["foreign_s"])
        self.say(f"      {ATTEMPTS_MAX} rounds were disturbed; the least disturbed one is kept, and marked")
        return {**best, "thrown_away": len(tried) - 1, "is_disturbed": True}

    def measure(self, one, workload):
        if one.name == "direct":
            return self.load(one, workload, self.options.seconds)
        host, cpu = self.stage.proxy.host, self.stage.proxy.cpu
        before = host.sample(pid=one.pid, cpu=cpu)
        figures = self.load(one, workload, self.options.seconds)
        after = host.sample(pid=one.pid, cpu=cpu)
        took, on_cpu, idle, busy = (after[key] - before[key] for key in ("now", "on_cpu", "idle", "busy"))
        figures["cpu_s"] = on_cpu
        figures["busy"] = on_cpu / figures["seconds"]
        # Two counts of other work, each wrong in its own way: what was not idle includes the switches to and
        # from idle; the sampled one has the noise of a 4 ms tick. What both see did happen.
        figures["foreign_s"] = max(0.0, min(took - idle - on_cpu, busy - on_cpu))
        if "bytes" in figures:
            figures["cpu_per_gb"] = on_cpu / (figures["bytes"] / 1e9)
        else:
            figures["cpu_per_million"] = on_cpu / figures["requests"] * 1e6
        return figures

    def run_apart(self, workload):
        """Memory: each proxy alone, freshly started, as often as there are rounds."""
        rounds = {}
        for number in range(self.options.rounds):
            for proxy in self.proxies if number % 2 == 0 else reversed(self.proxies):
                one = self.start_proxy(proxy, workload)
                try:
                    figures = self.measure_idle(one, workload) if workload.load == "idle" else self.measure_start(one)
                finally:
                    self.stop_proxy(one)
                rounds.setdefault(one.name, []).append(figures)
                self.say_round(one, workload, number + 1, figures)
        return rounds

    def measure_start(self, one):
        self.stage.load.host.pause(seconds=1)
        return {"pss_mib": self.stage.proxy.host.memory(pid=one.pid)["pss"] / 2**20}

    def measure_idle(self, one, workload):
        """What the program's own memory grows by while many clients are connected and quiet."""
        load, proxy = self.stage.load, self.stage.proxy
        descriptors = min(load.host.facts["descriptors"], proxy.host.facts["descriptors"] // 2)
        secure = ["--tls"] if workload.is_secure else []
        count = min(IDLE_TLS_CONNECTIONS if workload.is_secure else IDLE_CONNECTIONS, descriptors - 200)
        # The first requests make what every later one uses too.
        self.load(one, Workload("warm", "", "", CPU_PER_MILLION, "wrk", connections=16, is_secure=workload.is_secure), 1)
        load.host.pause(seconds=1)
        before = proxy.host.memory(pid=one.pid)["anonymous"]
        pid = load.host.start(argv=[self.tools.idle, self.target(one), "/100", "--connections", str(count), *secure],
                              cpu=load.cpu)
        try:
            load.host.first_line(pid=pid, timeout_s=60)
            load.host.pause(seconds=1)
            after = proxy.host.memory(pid=one.pid)["anonymous"]
            still_open = json.loads(load.host.finish(pid=pid, timeout_s=20))["open"]
        finally:
            load.host.stop(pid=pid)
        if still_open != count:
            raise Trouble(f"{one.name} closed {count - still_open} of {count} idle connections")
        return {"connections": count, "bytes_per_connection": (after - before) / count}

    # Loads: each returns at least {"seconds"} and what it counted.

    def target(self, one):
        role = self.stage.origin if one.name == "direct" else self.stage.proxy
        return f"{role.address}:{one.port}"

    def load(self, one, workload, seconds):
        make = {"wrk": self.load_wrk, "pingpong": self.load_pingpong, "iperf3": self.load_iperf3,
                "probe": self.load_probe, "h2load": self.load_h2load, "s_time": self.load_s_time,
                "datagrams": self.load_datagrams}[workload.load]
        return make(one, workload, seconds)

    def run_load(self, argv, seconds):
        role = self.stage.load
        return role.host.run(argv=argv, cpu=role.cpu, timeout_s=2 * seconds + 15)["out"]

    def load_wrk(self, one, workload, seconds):
        close = ["-H", "Connection: close"] if workload.close else []
        argv = [self.tools.wrk, "-t", str(self.options.load_threads), "-c", str(workload.connections),
                "-d", f"{seconds}s", "--latency", *close, f"{self.scheme(workload)}://{self.target(one)}/{workload.size}"]
        return parse_wrk(self.run_load(argv, seconds))

    @staticmethod
    def scheme(workload):
        return "https" if workload.is_secure else "http"

    def load_h2load(self, one, workload, seconds):
        argv = [self.tools.h2load, "-c", str(workload.connections), "-m", "10", "-t", str(self.options.load_threads), "-D", str(seconds),
                f"{self.scheme(workload)}://{self.target(one)}/{workload.size}"]
        return parse_h2load(self.run_load(argv, seconds), seconds)

    def load_s_time(self, one, workload, seconds):
        """A connection after the other: what it costs, not how many there could be."""
        argv = [self.tools.openssl, "s_time", "-connect", self.target(one), "-reuse" if workload.reuse else "-new", "-time", str(seconds),
                "-tls1_3", "-www", f"/{workload.size}"]
        return parse_s_time(self.run_load(argv, seconds), workload.reuse)

    def load_pingpong(self, one, workload, seconds):
        argv = [self.tools.pingpong, self.target(one), "--connections", str(workload.connections),
                "--bytes", str(workload.size), "--seconds", str(seconds), *(["--websocket"] if workload.is_websocket else [])]
        figures = json.loads(self.run_load(argv, seconds))
        return {"requests": figures["requests"], "seconds": figures["seconds"], "errors": 0,
                "p50_us": figures["latency_us"]["p50"], "p99_us": figures["latency_us"]["p99"]}

    def load_datagrams(self, one, workload, seconds):
        argv = [self.tools.datagrams, self.target(one), "--sockets", str(workload.connections), "--bytes", str(workload.size),
                "--seconds", str(seconds)]
        figures = json.loads(self.run_load(argv, seconds))
        return {"requests": figures["requests"], "seconds": figures["seconds"], "errors": figures["lost"],
                "p50_us": figures["latency_us"]["p50"], "p99_us": figures["latency_us"]["p99"]}

    def load_iperf3(self, one, _, seconds):
        address, port = self.target(one).split(":")
        out = self.run_load([self.tools.iperf3, "-c", address, "-p", port, "-t", str(seconds), "-J"], seconds)
        received = json.loads(out)["end"]["sum_received"]
        return {"bytes": received["bytes"], "seconds": received["seconds"], "errors": 0,
                "gbit_per_s": received["bits_per_second"] / 1e9}

    def load_probe(self, one, workload, seconds):
        argv = [self.tools.probe, self.target(one), f"/{workload.size}", "--rate", str(PROBE_RATE),
                "--seconds", str(seconds)]
        figures = json.loads(self.run_load(argv, seconds))
        latency = figures["latency_us"]
        return {"requests": figures["requests"], "seconds": seconds, "errors": 0, "p50_us": latency["p50"],
                "p90_us": latency["p90"], "p99_us": latency["p99"], "max_us": latency["max"],
                "oversleep_p99_us": figures["oversleep_us"]["p99"]}

    def say_round(self, one, workload, number, figures):
        words = [f"{workload.measure.show(figures.get(workload.measure.key)):>9} {workload.measure.title}"]
        if "cpu_s" in figures:
            words.append(f"busy {figures['busy']:4.0%}")
        if "requests" in figures and workload.is_loaded:
            words.append(f"{figures['requests'] / figures['seconds']:,.0f}/s")
        if "gbit_per_s" in figures:
            words.append(f"{figures['gbit_per_s']:.1f} Gbit/s")
        if "p50_us" in figures:
            words.append(f"p50 {figures['p50_us']:,.0f} µs, p99 {figures['p99_us']:,.0f} µs")
        if figures.get("errors"):
            words.append(f"{figures['errors']} ERRORS")
        self.say(f"    round {number}  {one.name:<8}" + "  ".join(words))


WRK_UNITS_US = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


def parse_wrk(text):
    def quantile(percent):
        found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
        return float(found[1]) * WRK_UNITS_US[found[2]]

    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", text)
    if not total or int(total[1]) == 0:
        raise Trouble(f"wrk completed no request: {text.strip()}")
    errors = 0
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    if failed:
        errors += sum(int(number) for number in failed.groups())
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if refused:
        errors += int(refused[1])
    return {"requests": int(total[1]), "seconds": float(total[2]) * WRK_UNITS_US[total[3]] / 1e6,
            "errors": errors, "p50_us": quantile(50), "p99_us": quantile(99)}


def parse_h2load(text, seconds):
    done = re.search(r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text, re.MULTILINE)
    if not done or int(done[2]) == 0:
        raise Trouble(f"h2load completed no request: {text.strip()}")
    return {"requests": int(done[1]), "seconds": seconds, "errors": int(done[1]) - int(done[2])}


def parse_s_time(text, is_resumed):
    """It prints a letter a connection: "r" for one that was resumed."""
    total = re.search(r"(\d+) connections in (\d+) real seconds", text)
    if not total or int(total[1]) == 0:
        raise Trouble(f"openssl s_time completed no connection: {text.strip()}")
    letters = re.search(r"^[rt*]+$", text, re.MULTILINE)
    resumed = letters[0].count("r") if letters else 0
    wrong = int(total[1]) - resumed if is_resumed else resumed
    return {"requests": int(total[1]), "seconds": int(total[2]), "errors": wrong if wrong > 1 else 0}


def median(rounds, key):
    values = [figures[key] for figures in rounds if figures.get(key) is not None]
    return statistics.median(values) if values else None


def ratio(workload, results):
    """weir's median over the better of its peers' medians; None if either was not measured."""
    medians = {name: median(rounds, workload.measure.key) for name, rounds in results.items()
               if name != "direct"}
    peers = [value for name, value in medians.items() if name != "weir" and value]
    return medians["weir"] / min(peers) if peers and medians.get("weir") is not None else None


def verdict(workload, results):
    """(what was to be reached, what was, whether), the last two None where there is nothing to judge."""
    if workload.limit is not None:
        value = median(results.get("weir", []), workload.measure.key)
        wanted = f"≤ {workload.limit} {'B' if workload.measure is IDLE_BYTES else 'MiB'}"
        return wanted, value, None if value is None else value <= workload.limit
    if workload.target is None:
        return "", None, None
    value = ratio(workload, results)
    is_met = None if value is None else round(value, 2) <= workload.target
    return f"≤ {workload.target:.2f} ×", value, is_met
