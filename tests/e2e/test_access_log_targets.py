"""The access log to syslog and to journald: sockets of the test's own take it, are slow, full, or gone."""
import json
import os
import re
import signal
import socket
import threading

import pytest

from journal import fields_of
from ports import reserve_port
from test_binary_upgrade import Load
from waiting import LIMIT_S, eventually
from weir import make_config, run_command

SYSLOG = re.compile(r"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S+) (\S+) (\d+) access - (.*)", re.DOTALL)
GONE = "access_log_unreachable"


class Datagrams:
    """Takes datagrams, at a path or a port of UDP, when asked for them."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(LIMIT_S)

    def take(self):
        return self.socket.recv(1 << 20)

    def take_all(self):
        """What is there now."""
        taken = []
        self.socket.setblocking(False)
        try:
            while True:
                taken.append(self.socket.recv(1 << 20))
        except BlockingIOError:
            self.socket.settimeout(LIMIT_S)
        return taken

    def close(self):
        self.socket.close()


class Frames:
    """Takes frames of RFC 6587 over TCP, from any number of connections."""

    def __init__(self, port=None):
        self.listening = socket.create_server(("127.0.0.1", port or reserve_port()))
        self.port = self.listening.getsockname()[1]
        self.messages, self.connections = [], []
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                connection, _ = self.listening.accept()
                self.connections.append(connection)
                threading.Thread(target=self.read, args=(connection,), daemon=True).start()
        except OSError:
            pass  # closed

    def read(self, connection):
        data = b""
        try:
            while piece := connection.recv(65536):
                data += piece
                while match := re.match(rb"([1-9]\d*) ", data):
                    end = match.end() + int(match[1])
                    if len(data) < end:
                        break
                    with self.lock:
                        self.messages.append(data[match.end():end])
                    data = data[end:]
        except OSError:
            pass

    def targets(self):
        with self.lock:
            return [parse(message)["line"] for message in self.messages]

    def close(self):
        """A thread that waits in a system call keeps what is only closed."""
        for sock in [self.listening, *self.connections]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is over already
            sock.close()


def parse(message):
    match = SYSLOG.fullmatch(message.decode())
    assert match, message
    return dict(zip(("priority", "time", "host", "tag", "pid", "line"), match.groups()))


@pytest.fixture
def opened():
    things = []
    yield lambda thing: things.append(thing) or thing
    for thing in things:
        thing.close()


def proxy(scene, target, format="$request_uri", **options):
    build = options.pop("build", "asan")
    buffer = {"buffer": options.pop("buffer")} if "buffer" in options else {}
    weir = scene.proxy(scene.server(), build=build, access_log={**target, "format": format, **buffer}, **options)
    weir.expected_errors.add(GONE)  # what takes the log ends before weir does
    return weir


def ask(scene, weir, *targets):
    client = scene.client(weir)
    for target in targets:
        assert client.ask("GET", target).status == 200
    client.close()


def said_of(weir):
    return weir.get("/api/v1/stats")["access_log"]


def check_privileges(weir):
    privileges = weir.get("/api/v1/stats")["privileges"]
    assert privileges["seccomp"]
    assert weir.metric("weir_system_calls_refused_total") == 0


def test_a_unix_socket_of_syslog_gets_a_datagram_a_line(scene, opened):
    path = os.path.join(str(scene.directory), "log")
    syslog = opened(Datagrams(path))
    weir = proxy(scene, {"syslog": f"unix:{path}"}, build="release")
    ask(scene, weir, "/a?<13>=%0a")
    got = parse(syslog.take())
    assert (got["priority"], got["tag"], got["pid"], got["line"]) == ("190", "weir", str(weir.pid), "/a?<13>=%0a")
    assert got["host"] == socket.gethostname()
    assert said_of(weir)["to"] == f"unix:{path}" and said_of(weir)["reached"]
    assert weir.metric("weir_access_log_reached") == 1
    check_privileges(weir)


def test_syslog_over_udp_says_what_it_was_told_to(scene, opened):
    port = reserve_port()
    syslog = opened(Datagrams(("127.0.0.1", port)))
    weir = proxy(scene, {"syslog": {"server": f"127.0.0.1:{port}", "facility": "local0", "severity": "notice",
                                    "tag": "edge"}}, format="json")
    ask(scene, weir, "/a")
    got = parse(syslog.take())
    assert (got["priority"], got["tag"]) == ("133", "edge")
    assert json.loads(got["line"])["target"] == "/a"


def test_syslog_over_tcp_counts_octets(scene, opened):
    syslog = opened(Frames())
    weir = proxy(scene, {"syslog": {"server": f"127.0.0.1:{syslog.port}", "transport": "tcp"}}, build="release")
    targets = [f"/{'x' * number}" for number in range(0, 3000, 100)]
    ask(scene, weir, *targets)
    eventually(lambda: syslog.targets() == targets, syslog.targets)
    check_privileges(weir)
    weir.terminate()
    assert weir.wait_exit() == 0


def test_journald_gets_the_line_and_fields(scene, opened):
    path = os.path.join(str(scene.directory), "journal")
    journal = opened(Datagrams(path))
    weir = proxy(scene, {"journald": path}, format="$request_uri $http_x", build="release")
    client = scene.client(weir)
    assert client.ask("GET", "/a", ("X", "a\tWEIR_STATUS=500"), ("X-Request-Id", "mine")).status == 200
    got = fields_of(journal.take())
    exchange = weir.exchange()
    assert got["MESSAGE"] == "/a a\\x09WEIR_STATUS=500"
    assert got == {"MESSAGE": got["MESSAGE"], "SYSLOG_IDENTIFIER": "weir", "PRIORITY": "6", "WEIR_EVENT": "access",
                   "WEIR_ID": exchange["id"], "WEIR_REQUEST_ID": "mine", "WEIR_CLIENT": "127.0.0.1", "WEIR_STATUS": "200",
                   "WEIR_END": "ok", "WEIR_LISTENER": got["WEIR_LISTENER"], "WEIR_ROUTE": got["WEIR_ROUTE"],
                   "WEIR_POOL": "web", "WEIR_SERVER": got["WEIR_SERVER"]}
    check_privileges(weir)


def test_lines_wait_for_one_that_is_not_there_yet(scene, opened):
    path = os.path.join(str(scene.directory), "log")
    weir = proxy(scene, {"syslog": f"unix:{path}"})
    ask(scene, weir, "/1", "/2")
    said = weir.wait_event(GONE)
    assert said["to"] == f"unix:{path}" and said["error"] == "No such file or directory"
    assert not said_of(weir)["reached"] and weir.metric("weir_access_log_reached") == 0
    syslog = opened(Datagrams(path))
    assert [parse(syslog.take())["line"] for _ in range(2)] == ["/1", "/2"]
    assert weir.wait_event("access_log_reached")["dropped"] == "0"
    # It is restarted.
    syslog.close()
    os.unlink(path)
    ask(scene, weir, "/3")
    weir.wait_event(GONE, 2)
    syslog = opened(Datagrams(path))
    assert parse(syslog.take())["line"] == "/3"
    assert weir.metric("weir_access_log_dropped_total") == 0


def test_who_is_never_there_costs_counted_lines_and_no_request(scene):
    path = os.path.join(str(scene.directory), "log")
    weir = proxy(scene, {"journald": path}, buffer="64KiB")
    target = "/" + "x" * 3000
    # An outbox and a ring are full of these.
    ask(scene, weir, *[target] * 300)
    eventually(lambda: weir.metric("weir_access_log_dropped_total") > 0, "lines dropped and counted")
    assert int(weir.wait_event("access_log_dropped")["count"]) > 0
    weir.terminate()
    assert weir.wait_exit() == 0
    assert sum(int(said["count"]) for said in weir.events("access_log_dropped")) == 300


def test_a_full_one_gets_the_rest_when_it_takes_again(scene, opened):
    path = os.path.join(str(scene.directory), "log")
    syslog = opened(Datagrams(path))  # takes nothing: ten datagrams fit, or what the system says
    weir = proxy(scene, {"syslog": f"unix:{path}"})
    targets = [f"/{number}" for number in range(400)]
    ask(scene, weir, *targets)
    assert [parse(syslog.take())["line"] for _ in targets] == targets
    assert weir.metric("weir_access_log_dropped_total") == 0


def test_udp_that_is_refused_is_said_and_goes_on(scene, opened):
    port = reserve_port()
    weir = proxy(scene, {"syslog": f"127.0.0.1:{port}"})

    def is_said():
        ask(scene, weir, "/lost")
        return weir.events(GONE)
    eventually(is_said, "it is refused")
    syslog = opened(Datagrams(("127.0.0.1", port)))
    ask(scene, weir, "/kept")
    lines = []
    while "/kept" not in lines:
        lines.append(parse(syslog.take())["line"])
    assert weir.metric("weir_access_log_dropped_total") >= 1


def test_over_tcp_a_restart_of_the_server_loses_nothing(scene, opened):
    syslog = opened(Frames())
    weir = proxy(scene, {"syslog": {"server": f"127.0.0.1:{syslog.port}", "transport": "tcp"}})
    ask(scene, weir, "/1")
    eventually(lambda: syslog.targets() == ["/1"], syslog.targets)
    syslog.close()
    weir.wait_event(GONE)
    ask(scene, weir, "/2", "/3")
    again = opened(Frames(syslog.port))
    eventually(lambda: again.targets() == ["/2", "/3"], again.targets)
    weir.wait_event("access_log_reached")
    assert weir.metric("weir_access_log_dropped_total") == 0


def test_over_tcp_one_that_reads_nothing_blocks_nobody(scene, opened):
    listening = opened(socket.create_server(("127.0.0.1", reserve_port())))
    weir = proxy(scene, {"syslog": {"server": f"127.0.0.1:{listening.getsockname()[1]}", "transport": "tcp"}},
                 format="$request_uri$request_uri$request_uri$request_uri", buffer="64KiB", build="release")
    target = "/" + "x" * 4000

    def has_dropped():
        ask(scene, weir, *[target] * 200)
        return weir.metric("weir_access_log_dropped_total")
    eventually(has_dropped, "it is full, and lines are dropped and counted")
    weir.wait_event("access_log_dropped")
    weir.terminate()
    assert weir.wait_exit() == 0


def test_a_reload_keeps_the_connection(scene, opened):
    syslog = opened(Frames())
    weir = proxy(scene, {"syslog": {"server": f"127.0.0.1:{syslog.port}", "transport": "tcp"}})
    ask(scene, weir, "/1")
    weir.process.send_signal(signal.SIGHUP)
    weir.wait_event("reloaded")
    weir.process.send_signal(signal.SIGUSR1)
    weir.wait_event("logs_reopened")
    ask(scene, weir, "/2")
    eventually(lambda: syslog.targets() == ["/1", "/2"], syslog.targets)
    assert len(syslog.connections) == 1


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_an_upgrade_loses_no_line(scene, opened, kind):
    if kind == "tcp":
        syslog = opened(Frames())
        target = {"server": f"127.0.0.1:{syslog.port}", "transport": "tcp"}
    else:
        path = os.path.join(str(scene.directory), "log")
        datagrams, lines = opened(Datagrams(path)), []
        target = f"unix:{path}"

        def read():
            while not lines or lines[-1] != b"end":
                lines.append(datagrams.take())
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
    weir = proxy(scene, {"syslog": target}, build="release", workers=2)
    with Load(weir.address) as load:
        for _ in range(2):
            weir.upgrade()
            load.wait_more()
    assert not load.faults, load.faults
    weir.wait_alone()
    weir.terminate()
    assert weir.wait_exit() == 0
    if kind == "tcp":
        eventually(lambda: len(syslog.targets()) == load.count, lambda: (len(syslog.targets()), load.count))
    else:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", path)
        reader.join(LIMIT_S)
        assert len(lines) - 1 == load.count


MISTAKES = [
    ({}, "it is not said where lines go"),
    ({"path": "x", "journald": {}}, "lines go to one place"),
    ("journald", "write {journald: {}}"),
    ("unix:/dev/log", "write {syslog: unix:/dev/log}"),
    ({"syslog": {"server": "unix:/dev/log", "transport": "tcp"}}, "leave it out"),
    ({"syslog": {"server": "127.0.0.1:514", "tag": "a b"}}, "a tag has no spaces"),
    ({"syslog": {"server": "127.0.0.1:514", "facility": "local8"}}, "local"),
    ({"journald": "run/journal"}, "begin it with /"),
]


@pytest.mark.parametrize("log, sentence", MISTAKES)
def test_mistakes_are_named(tmp_path, log, sentence):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(make_config(["127.0.0.1:1"], access_log=log)))
    done = run_command("check", "-c", str(path))
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr, done.stdout + done.stderr


def test_a_check_says_that_nobody_is_there(tmp_path):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(make_config(["127.0.0.1:1"], access_log={"syslog": "unix:/nowhere/log"})))
    done = run_command("check", "-c", str(path))
    assert "there is no socket /nowhere/log" in done.stdout + done.stderr
