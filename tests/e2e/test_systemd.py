"""weir as a service: what it tells systemd, and the unit that comes with it."""
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import message
from waiting import LIMIT_S, eventually
from weir import BINARIES, ROOT, Weir, listen_at_free_port, make_config

UNIT = os.path.join(ROOT, "dist", "weir.service")


class Listener:
    """A NOTIFY_SOCKET of the test's own."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0", 1))
        self.socket.settimeout(0.05)
        self.lines = []

    def read(self):
        try:
            while True:
                self.lines += self.socket.recv(4096).decode().split("\n")
        except TimeoutError:
            return self.lines

    def wait(self, pattern, count=1):
        return eventually(lambda: [line for line in self.read() if re.fullmatch(pattern, line)][count - 1:],
                          lambda: f"{pattern}: {self.lines}")[0]


@pytest.fixture
def started(scene, tmp_path, monkeypatch):
    def start(name, watchdog_us=None, **config):
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        if watchdog_us:
            monkeypatch.setenv("WATCHDOG_USEC", str(watchdog_us))
        return scene.proxy(scene.server(), **config)
    return start


@pytest.mark.parametrize("name", ["path", "abstract"])
def test_it_says_when_it_is_ready_and_when_it_stops(started, scene, tmp_path, name):
    address = str(tmp_path / "notify") if name == "path" else f"@weir-test-{os.getpid()}-{tmp_path.name}"
    listener = Listener(address)
    weir = started(address)
    listener.wait("READY=1")
    listener.wait(f"MAINPID={weir.pid}")
    assert scene.client(weir).ask().status == 200
    weir.terminate()
    listener.wait("STOPPING=1")
    assert weir.wait_exit() == 0


def test_its_status_has_true_figures(started, scene, tmp_path):
    listener = Listener(str(tmp_path / "notify"))
    weir = started(str(tmp_path / "notify"))
    client = scene.client(weir)
    for _ in range(20):
        client.ask()
    line = listener.wait(r"STATUS=1 listener, \d+ requests/s, 1 connections, 1 of 1 servers up")
    assert 1 <= int(re.search(r"(\d+) requests/s", line)[1]) <= 40
    client.close()


def test_the_watchdog_hears_of_a_weir_that_turns(started, tmp_path):
    listener = Listener(str(tmp_path / "notify"))
    started(str(tmp_path / "notify"), watchdog_us=200000)
    listener.wait("WATCHDOG=1", count=5)


def test_a_weir_that_stands_still_says_nothing(started, tmp_path):
    listener = Listener(str(tmp_path / "notify"))
    weir = started(str(tmp_path / "notify"), watchdog_us=200000)
    weir.expected_errors.add("watchdog_silent")  # which a busy machine may look like
    listener.wait("WATCHDOG=1", count=2)
    weir.process.send_signal(signal.SIGSTOP)
    try:
        with open(f"/proc/{weir.pid}/stat") as file:
            eventually(lambda: file.seek(0) == 0 and file.read().rsplit(")", 1)[1].split()[0] == "T", "it stands")
        listener.read()
        listener.lines.clear()
        listener.socket.settimeout(0.5)
        assert listener.read() == []
    finally:
        weir.process.send_signal(signal.SIGCONT)
    listener.socket.settimeout(0.05)
    listener.wait("WATCHDOG=1")


def test_a_socket_that_is_not_there_is_said_and_harms_nothing(started, scene, tmp_path):
    weir = started(str(tmp_path / "nobody"))
    assert "nobody" in weir.wait_event("notify_failed")["error"]
    assert scene.client(weir).ask().status == 200


def test_without_a_socket_nothing_is_said(scene, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    weir = scene.proxy(scene.server())
    assert scene.client(weir).ask().status == 200
    assert weir.events("notify_failed") == []


def analyze(*arguments):
    binary = shutil.which("systemd-analyze")
    assert binary, "systemd-analyze is missing: tools/packages/test.txt has the package systemd"
    return subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=LIMIT_S)


def test_the_unit_is_correct(tmp_path):
    # The program and its manual need not be installed here.
    with open(UNIT) as file:
        text = file.read().replace("/usr/local/bin/weir", "/bin/true").replace("file:///usr/local/share/doc",
                                                                            "file:///usr/share/doc")
    unit = tmp_path / "weir.service"
    unit.write_text(text)
    done = analyze("verify", "--man=no", str(unit))
    assert done.returncode == 0 and not [line for line in done.stderr.splitlines() if "weir.service" in line], done.stderr


def test_the_unit_exposes_little(capsys):
    done = analyze("security", "--offline=true", "--no-pager", UNIT)
    figure = re.search(r"Overall exposure level for weir\.service: ([0-9.]+)", done.stdout)
    assert figure, done.stdout + done.stderr
    with capsys.disabled():
        print(f"\nsystemd-analyze security of dist/weir.service: {figure[1]} of 10")
    assert float(figure[1]) <= 2.0


def unit_value(key):
    with open(UNIT) as file:
        return re.findall(rf"^{key}=(.*)$", file.read(), re.MULTILINE)


def test_the_manuals_install_line_makes_a_file_that_the_unit_may_read_and_others_may_not():
    with open(os.path.join(ROOT, "docs", "systemd.md")) as file:
        line = re.search(r"^install .*/etc/weir/weir.yaml$", file.read(), re.MULTILINE)[0].split()
    mode = int(line[line.index("-m") + 1], 8)
    group = line[line.index("-g") + 1]
    assert [group] == unit_value("Group") and unit_value("DynamicUser") == []
    assert mode & 0o040 and not mode & 0o007


def test_the_units_user_is_made_by_what_comes_with_it():
    with open(os.path.join(ROOT, "dist", "weir.sysusers")) as file:
        made = [line.split()[1] for line in file if line.startswith("u ")]
    assert made == unit_value("User") == unit_value("Group")


def test_a_reload_fails_with_the_files_mistakes_before_weir_is_asked():
    check, ask = unit_value("ExecReload")
    assert [check] == unit_value("ExecStartPre") and check.endswith("check -c /etc/weir/weir.yaml")
    assert ask.split()[1:] == ["-HUP", "$MAINPID"]


def test_after_an_upgrade_systemd_hears_the_new_process_alone(started, scene, tmp_path):
    listener = Listener(str(tmp_path / "notify"))
    weir = started(str(tmp_path / "notify"), watchdog_us=2000000)  # few enough for the queue of a listener that is busy
    listener.wait("WATCHDOG=1")
    first = weir.pid
    listener.lines.clear()
    weir.upgrade()
    listener.wait(f"MAINPID={weir.pid}")
    listener.wait("READY=1")
    # In this order: of a process that is not the main one systemd hears nothing.
    lines = listener.read()
    assert lines.index(f"MAINPID={weir.pid}") < lines.index("READY=1"), lines
    assert "STOPPING=1" not in lines and f"MAINPID={first}" not in lines, lines
    weir.wait_alone()
    listener.lines.clear()
    listener.wait("WATCHDOG=1", count=3)
    listener.wait(r"STATUS=1 listener, .*")
    weir.terminate()
    listener.wait("STOPPING=1")


# socket activation


class Activated:
    """weir as systemd starts it when a socket unit has opened its sockets."""

    def __init__(self, scene, config, sockets, names=None, pid="$$", **options):
        self.path = os.path.join(str(scene.directory), "activated.sh")
        env = f"LISTEN_PID={pid} LISTEN_FDS={len(sockets)}" + (f" LISTEN_FDNAMES={names}" if names else "")
        moves = "".join(f" {3 + number}<&{sock.fileno()}" for number, sock in enumerate(sockets))
        with open(self.path, "w") as file:
            file.write(f"#!/bin/bash\nexport {env}\nexec {BINARIES['release']} \"$@\"{moves}\n")
        os.chmod(self.path, 0o755)
        for sock in sockets:
            sock.set_inheritable(True)
        # Numbers that bash may move aside are not in the way of 3, 4, …: the sockets have high ones.
        self.weir = Weir(scene.directory, config, binary=self.path, close_fds=False, **options)
        scene.weirs.append(self.weir)


def activation_socket(address=("127.0.0.1", 0)):
    low = socket.socket()
    low.bind(address)
    low.listen()
    high = fcntl.fcntl(low.fileno(), fcntl.F_DUPFD, 100)
    low.close()
    return socket.socket(fileno=high)


def test_sockets_of_systemd_are_taken_by_their_address(scene):
    """Whoever connects before weir has started waits, and is served."""
    web, admin, other = activation_socket(), activation_socket(), activation_socket()
    config = make_config([scene.server()], listener={"bind": "%s:%d" % web.getsockname()}, workers=2)
    config["admin"]["bind"] = "%s:%d" % admin.getsockname()
    early = scene.client(web.getsockname())
    early.send(message.request())
    weir = Activated(scene, config, [other, admin, web], names="spare:admin:web").weir
    weir.wait_event("ready")
    for sock in (web, admin, other):
        sock.close()
    assert early.read().status == 200
    assert weir.wait_event("socket_unused")["bind"]
    assert weir.stats()["workers"] == 2
    assert weir.events("port_shared") == []
    # They go on to whoever takes over.
    weir.upgrade()
    assert scene.client(weir).ask().status == 200
    weir.wait_alone()


def test_a_unix_path_of_systemd_stays_when_weir_ends(scene):
    path = os.path.join(str(scene.directory), "web.sock")
    low = socket.socket(socket.AF_UNIX)
    low.bind(path)
    low.listen()
    web = socket.socket(fileno=fcntl.fcntl(low.fileno(), fcntl.F_DUPFD, 100))
    low.close()
    config = make_config([scene.server()], listener={"bind": f"unix:{path}"})
    weir = Activated(scene, config, [web]).weir
    weir.wait_event("ready")
    weir.upgrade()
    weir.wait_alone()
    weir.terminate()
    assert weir.wait_exit() == 0
    assert os.path.exists(path)
    web.close()


class Store(Listener):
    """systemd's store of descriptors: by name."""

    def __init__(self, name):
        super().__init__(name)
        self.kept = {}

    def read(self):
        try:
            while True:
                data, fds, _, _ = socket.recv_fds(self.socket, 4096, 100)
                lines = data.decode().split("\n")
                self.lines += lines
                name = [line[len("FDNAME="):] for line in lines if line.startswith("FDNAME=")]
                if "FDSTORE=1" in lines:
                    self.kept.setdefault(name[0], []).extend(fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds)
                if "FDSTOREREMOVE=1" in lines:
                    for fd in self.kept.pop(name[0]):
                        os.close(fd)
                for fd in fds:
                    os.close(fd)
        except TimeoutError:
            return self.lines

    def names(self):
        self.read()
        return sorted(self.kept)

    def take(self):
        self.read()
        return [socket.socket(fileno=fd) for fds in self.kept.values() for fd in fds]


def stored_name(weir, listener):
    return "weir-%s_%d" % weir.bind_of(listener)


def test_systemds_store_keeps_the_sockets_over_a_crash(scene, monkeypatch, tmp_path):
    store = Store(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("FDSTORE", "32")
    first = scene.proxy(scene.server(), build="release", workers=2)
    admin = "weir-%s_%d" % first.admin_address
    store.wait("READY=1")
    eventually(lambda: store.names() == sorted([stored_name(first, "web"), admin]), store.names)
    first.is_checked = False
    first.process.kill()
    first.process.wait()
    early = scene.client(first)  # nobody is there, and it waits
    early.send(message.request())
    second = Activated(scene, first.config, store.take()).weir
    second.wait_event("ready")
    assert early.read().status == 200
    early.close()


def test_what_is_no_longer_listened_at_leaves_the_store(scene, monkeypatch, tmp_path):
    store = Store(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("FDSTORE", "32")
    weir = scene.proxy(scene.server(), build="release", listeners={
        "other": {"bind": listen_at_free_port(), "pool": "web"}})
    eventually(lambda: stored_name(weir, "other") in store.names(), store.names)
    other = stored_name(weir, "other")
    config = {**weir.config, "listeners": {"web": weir.config["listeners"]["web"]}}
    weir.reload(config)
    eventually(lambda: other not in store.names(), store.names)
    # A start whose configuration has it no more takes it out as well.
    weir.reload({**config, "listeners": {**config["listeners"], "again": {"bind": listen_at_free_port(), "pool": "web"}}})
    eventually(lambda: stored_name(weir, "again") in store.names(), store.names)
    weir.write_file(config)
    weir.upgrade()
    eventually(lambda: stored_name(weir, "again") not in store.names(), store.names)
    weir.config = config
    weir.baseline = None  # it began with more listeners
    assert stored_name(weir, "web") in store.names()


def test_without_a_store_nothing_is_put_there(started, tmp_path):
    listener = Listener(str(tmp_path / "notify"))
    started(str(tmp_path / "notify"))
    listener.wait(r"STATUS=1 listener, .*")
    assert not [line for line in listener.lines if line.startswith("FD")]


def test_sockets_for_another_process_are_not_taken(scene):
    web = activation_socket()
    config = make_config([scene.server()], listener={"bind": "%s:%d" % web.getsockname()})
    weir = Activated(scene, config, [web], pid="1", is_checked=False).weir
    assert "another program listens there" in weir.wait_event("start_failed")["error"]
    web.close()


def test_what_is_no_listening_socket_is_said_and_left(scene):
    web = activation_socket()
    datagram = socket.socket(fileno=fcntl.fcntl(socket.socket(type=socket.SOCK_DGRAM).detach(), fcntl.F_DUPFD, 100))
    config = make_config([scene.server()], listener={"bind": "%s:%d" % web.getsockname()})
    weir = Activated(scene, config, [datagram, web], names="syslog:web").weir
    weir.wait_event("ready")
    event = weir.wait_event("socket_not_taken")
    assert event["name"] == "syslog" and "bound to no port" in event["reason"]
    web.close()
    datagram.close()
    assert scene.client(weir).ask().status == 200
