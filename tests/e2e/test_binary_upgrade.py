"""Another binary in a running weir's place: nothing that goes on is lost, and whatever is wrong with the new one, the old one
goes on."""
import json
import os
import shutil
import signal
import stat
import subprocess
import threading

import pytest

import broken
import message
from client import Client
from ports import reserve_port
from test_reload_stress import serve
from test_upgrade import ASK
from waiting import LIMIT_S, eventually
from weir import BINARIES, Weir, make_config, run_command


class Load:
    """Requests on connections that are kept, and on new ones, without a pause; every one must be answered."""

    def __init__(self, address, kept=3, new=3):
        self.address = address
        self.faults = []
        self.count = 0
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(job,)) for job in [self.keep] * kept + [self.renew] * new]

    def run(self, job):
        try:
            job()
        except Exception as error:
            self.faults.append(f"{job.__name__} after {self.count}: {error!r}")

    def ask(self, client, *fields):
        response = client.ask("GET", "/", *fields)
        assert response.status == 200, response.status
        with self.lock:
            self.count += 1
        return response

    def keep(self):
        client = Client(self.address)
        while not self.ended.is_set():
            if (self.ask(client).get("Connection") or "").lower() == "close":
                client.close()
                client = Client(self.address)
        client.close()

    def renew(self):
        while not self.ended.is_set():
            client = Client(self.address)
            self.ask(client, ("Connection", "close"))
            client.close()

    def wait_more(self, count=50):
        """So many are answered from now on."""
        wanted = self.count + count
        eventually(lambda: self.count >= wanted or self.faults, f"{count} answers more")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def open_websockets(scene, weir, count):
    clients = [scene.client(weir) for _ in range(count)]
    for client in clients:
        client.send(message.request("GET", "/ws", *ASK))
    for client in clients:
        assert client.read_head().status == 101
    return clients


def check_websockets(clients):
    for client in clients:
        client.send(b"still there")
    for client in clients:
        assert client.read_exactly(11) == b"still there"


def upgrade_under_load(scene, build, upgrades, websockets):
    config = make_config([scene.server([serve]) for _ in range(2)], workers=2, timeouts={"drain": "600s"},
                         listener={"routes": [{"name": "all", "pool": "web", "upgrade": ["websocket"]}]})
    weir = scene.weir(config, build=build)
    clients = open_websockets(scene, weir, websockets)
    with Load(weir.address) as load:
        for number in range(upgrades):
            weir.upgrade()
            load.wait_more()
            if number % 4 == 3:
                check_websockets(clients)
    assert not load.faults, load.faults
    check_websockets(clients)
    print(f"{load.count} requests over {upgrades} upgrades")
    # The first has the tunnels; those in between have nothing to wait for.
    for process in weir.predecessors[1:]:
        assert process.wait(LIMIT_S) == 0
    assert weir.predecessors[0].poll() is None
    eventually(lambda: [seen["tunnels"] for seen in weir.stats()["predecessors"]] == [websockets], "the tunnels are seen")
    for client in clients:
        client.close()
    weir.wait_alone()
    eventually(lambda: weir.stats()["predecessors"] == [], "no predecessor is known any more")


@pytest.mark.parametrize("build", ["asan", "release"])
def test_upgrades_under_load_lose_nothing(scene, build):
    upgrade_under_load(scene, build, 6, 30)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_twenty_upgrades_under_load_with_a_thousand_websockets_lose_nothing(scene):
    upgrade_under_load(scene, "release", 20, 1000)


def test_many_upgrades_leak_no_descriptor_and_no_process(scene):
    weir = scene.proxy(scene.server(), build="release", workers=2)
    for _ in range(20):
        weir.upgrade()
        client = scene.client(weir)
        assert client.ask().status == 200
        client.close()
    weir.wait_alone()
    weir.wait_live(client_connections=0)
    assert children_of(weir) == []  # what else may be left is looked for at the end of every test


def children_of(weir):
    with open(f"/proc/{weir.pid}/task/{weir.pid}/children") as file:
        return file.read().split()


def test_a_signal_does_it_too(scene):
    weir = scene.proxy(scene.server(), build="release")
    weir.process.send_signal(signal.SIGUSR2)
    weir.follow(int(weir.wait_event("upgraded")["successor"]))
    assert scene.client(weir).ask().status == 200
    weir.wait_alone()


def test_the_command_says_who_has_taken_over(scene):
    weir = scene.proxy(scene.server(), build="release")
    before = weir.pid
    done = run_command("upgrade", "-c", weir.path, build="release")
    assert done.returncode == 0, done.stderr
    weir.follow(int(done.stdout.split()[1]))
    assert str(before) in done.stdout and weir.pid != before
    done = run_command("upgrade", "-c", weir.path, "--json", build="release")
    outcome = json.loads(done.stdout)
    assert outcome["predecessor"] == weir.pid
    weir.follow(outcome["pid"])


# who does not come to take over


class Replaceable:
    """weir from a copy of its binary that can be replaced."""

    def __init__(self, scene, **config):
        self.path = os.path.join(str(scene.directory), "weir")
        shutil.copy(BINARIES["release"], self.path)
        self.weir = scene.weir(make_config([scene.server()], **config), binary=self.path)
        self.scene = scene

    def replace(self, content):
        with open(self.path + ".new", "wb") as file:
            file.write(content)
        os.chmod(self.path + ".new", stat.S_IRWXU)
        os.replace(self.path + ".new", self.path)

    def check_refused(self, *words, children=0):
        """`weir upgrade` fails, says why, and nothing has changed."""
        weir = self.weir
        client = self.scene.client(weir)
        client.ask()
        weir.expected_errors.add("upgrade_failed")
        count = len(weir.events("upgrade_failed"))
        done = run_command("upgrade", "--admin", "%s:%d" % weir.admin_address, build="release")
        assert done.returncode == 70, (done.returncode, done.stderr)
        event = weir.wait_event("upgrade_failed", count + 1)
        for word in words:
            assert word in done.stderr and word in event["reason"], (done.stderr, event)
        assert len(weir.events("upgrade_failed")) == count + 1
        assert client.ask().status == 200
        assert self.scene.client(weir).ask().status == 200
        assert weir.stats()["draining"] is False
        assert len(children_of(weir)) == children
        client.close()


@pytest.mark.parametrize("content, words", [
    (b"not a program", ["Exec format error"]),
    (b"\x7fELF" + bytes(5000), ["cannot be started"]),
    (b"#!/bin/sh\nexit 3\n", ["exited with code 3"]),
    (b"#!/bin/sh\nkill -SEGV $$\n", ["signal 11"]),
    (b"#!/bin/sh\nexec sleep 1000\n", ["not ready within 4000 ms"]),
    (b"#!/bin/bash\neval \"exec $WEIR_UPGRADE_FD>&-\"\nexec sleep 1000\n", ["closed its channel"]),
], ids=["garbage", "half a binary", "exits", "dies", "hangs", "another program"])
def test_a_new_binary_that_is_none_leaves_the_old_one_serving(scene, content, words):
    replaceable = Replaceable(scene, timeouts={"upgrade": "4s" if words[0].startswith("not ready") else "20s"})
    replaceable.replace(content)
    replaceable.check_refused(*words)
    replaceable.check_refused(*words)  # and once more
    with open(BINARIES["release"], "rb") as file:
        replaceable.replace(file.read())
    replaceable.weir.upgrade()
    assert scene.client(replaceable.weir).ask().status == 200


def test_a_binary_that_is_not_there_leaves_the_old_one_serving(scene):
    replaceable = Replaceable(scene)
    os.unlink(replaceable.path)
    replaceable.check_refused("cannot be started", "No such file")


def test_a_configuration_with_mistakes_is_refused_with_each_of_them(scene):
    replaceable = Replaceable(scene)
    replaceable.weir.write_file("listeners: {web: {bind: nowhere, pool: web}}\npools: {web: {serverz: []}}\n")
    replaceable.check_refused("serverz", "nowhere", ":1:", ":2:")


def test_an_address_that_is_taken_by_another_program_is_refused(scene):
    replaceable = Replaceable(scene)
    config = json.loads(json.dumps(replaceable.weir.config))
    config["listeners"]["more"] = {"bind": scene.server().address, "pool": "web"}
    replaceable.weir.write_file(config)
    replaceable.check_refused("another program listens there", "more")


def test_one_upgrade_at_a_time(scene):
    replaceable = Replaceable(scene)
    weir = replaceable.weir
    replaceable.replace(b"#!/bin/sh\nexec sleep 1000\n")
    weir.process.send_signal(signal.SIGUSR2)
    successor = int(weir.wait_event("upgrading")["successor"])
    replaceable.check_refused("already", children=1)
    # Meanwhile nothing that the new one reads may change.
    refused = weir.put_config(weir.config)
    assert refused.status == 503
    assert "an upgrade" in refused.text and "in at most 30 s (timeouts: upgrade)" in refused.text, refused.text
    os.kill(successor, signal.SIGKILL)
    assert "signal 9" in weir.wait_event("upgrade_failed", 2)["reason"]
    assert weir.put_config(weir.config).status == 200


def test_who_drains_is_not_taken_over_from(scene):
    server = scene.server([broken.receive, broken.wait_end])
    weir = scene.proxy(server, build="release", timeouts={"drain": "300s"})
    client = scene.client(weir)
    client.send(message.request())
    server.wait_requests(1)
    weir.terminate()
    weir.wait_event("draining")
    response = weir.ask_admin("POST", "/api/v1/upgrade")
    assert response.status == 409 and "draining" in response.text
    weir.expected_errors.add("upgrade_failed")
    client.close()


def test_a_stop_ends_a_new_one_that_is_not_ready(scene):
    replaceable = Replaceable(scene)
    weir = replaceable.weir
    replaceable.replace(b"#!/bin/sh\nexec sleep 1000\n")
    weir.process.send_signal(signal.SIGUSR2)
    successor = int(weir.wait_event("upgrading")["successor"])
    weir.terminate()
    assert weir.wait_exit() == 0
    assert not os.path.exists(f"/proc/{successor}")


# what goes to the new one


def test_listeners_come_and_go_with_the_new_ones_configuration(scene):
    weir = scene.proxy(scene.server(), build="release",
                       listeners={"old": {"bind": f"127.0.0.1:{reserve_port()}", "pool": "web"}})
    old = weir.bind_of("old")
    config = json.loads(json.dumps(weir.config))
    del config["listeners"]["old"]
    config["listeners"]["new"] = {"bind": f"127.0.0.1:{reserve_port()}", "pool": "web"}
    weir.write_file(config)
    weir.upgrade()
    weir.config = config
    assert scene.client(weir, "new").ask().status == 200
    assert weir.wait_event("socket_unused")["bind"] == "%s:%d" % old
    weir.wait_alone()
    with pytest.raises(ConnectionRefusedError):
        Client(old)


@pytest.mark.parametrize("before, after", [(3, 1), (1, 3), (2, 3)])
def test_another_number_of_workers_takes_all_sockets(scene, before, after):
    weir = scene.proxy(scene.server(), build="release", workers=before)
    with Load(weir.address, kept=1, new=2) as load:
        for workers in (after, before, after):
            weir.write_file({**weir.config, "workers": workers})
            weir.upgrade()
            load.wait_more(100)
    assert not load.faults, load.faults
    assert weir.stats()["workers"] == after
    weir.wait_alone()
    weir.baseline = None  # another number of workers has another number of descriptors


def test_unix_sockets_stay_in_their_place(scene):
    directory = str(scene.directory)
    path, admin = os.path.join(directory, "web.sock"), os.path.join(directory, "admin.sock")
    config = make_config([scene.server()], listener={"bind": f"unix:{path}"})
    config["admin"]["bind"] = f"unix:{admin}"
    weir = Weir(scene.directory, config, build="release")
    scene.weirs.append(weir)
    weir.wait_event("ready")
    inodes = [os.stat(path).st_ino, os.stat(admin).st_ino]
    for _ in range(2):
        done = run_command("upgrade", "-c", weir.path, build="release")
        assert done.returncode == 0, done.stderr
        weir.follow(int(done.stdout.split()[1]))
        weir.wait_alone()
    assert inodes == [os.stat(path).st_ino, os.stat(admin).st_ino]
    weir.terminate()
    assert weir.wait_exit() == 0
    assert not os.path.exists(path) and not os.path.exists(admin)


def test_an_edit_by_the_api_goes_to_the_new_one_and_numbers_go_on(scene):
    state = os.path.join(str(scene.directory), "state")
    weir = scene.proxy(scene.server(), build="release", state=state)
    edited = json.loads(json.dumps(weir.config))
    edited["timeouts"] = {"drain": "77s"}
    assert weir.put_config(edited).status == 200
    for _ in range(3):
        weir.upgrade()
        assert weir.get("/api/v1/config")["timeouts"]["drain"] == "1m17s"
    weir.wait_alone()
    response = weir.ask_admin("POST", "/api/v1/config/rollback", body={"generation": 1})
    assert response.status == 200, response.text
    numbers = [kept["generation"] for kept in weir.get("/api/v1/config/generations")["generations"]]
    assert numbers == sorted(set(numbers), reverse=True) and len(numbers) == 3
    weir.upgrade()
    assert weir.get("/api/v1/config")["timeouts"]["drain"] == "30s"


def test_no_line_of_the_access_log_is_lost(scene):
    path = os.path.join(str(scene.directory), "access.log")
    weir = scene.proxy(scene.server(), build="release", workers=2, access_log={"path": path, "format": "json"})
    with Load(weir.address) as load:
        for _ in range(4):
            weir.upgrade()
            load.wait_more()
    assert not load.faults, load.faults
    weir.wait_alone()
    weir.terminate()
    assert weir.wait_exit() == 0
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    assert [line["status"] for line in lines] == [200] * load.count


def test_who_still_drains_opens_its_access_log_anew_with_the_new_one(scene):
    path = os.path.join(str(scene.directory), "access.log")
    weir = scene.proxy(scene.server([serve]), build="release", access_log={"path": path, "format": "json"},
                       listener={"routes": [{"name": "all", "pool": "web", "upgrade": ["websocket"]}]})
    websocket = open_websockets(scene, weir, 1)[0]
    weir.upgrade()
    os.rename(path, path + ".1")
    weir.process.send_signal(signal.SIGUSR1)
    eventually(lambda: os.path.exists(path), "the file is there again")
    holders = [weir.pid, weir.predecessors[0].pid]

    def has_new(pid):
        files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
                 if os.path.islink(f"/proc/{pid}/fd/{fd}")]
        return path in files and path + ".1" not in files
    eventually(lambda: all(has_new(pid) for pid in holders), "both have the new file")
    websocket.close()
    weir.wait_alone()
    with open(path) as file:
        assert [json.loads(line)["status"] for line in file] == [101]


def test_watched_logs_are_read_on_from_where_they_were(scene):
    directory = str(scene.directory)
    path = os.path.join(directory, "nginx.log")
    line = '127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'
    ended, written = threading.Event(), []

    def write():
        with open(path, "a") as file:
            while not ended.wait(0.002):
                file.write(line)
                file.flush()
                written.append(1)
    open(path, "w").close()
    weir = scene.proxy(scene.server(), build="release",
                       logs={"state": os.path.join(directory, "logs"), "sources": {
                           "n": {"path": path, "format": "combined", "from": "start"}}})
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            count = len(written)
            weir.upgrade()
            eventually(lambda count=count: len(written) > count + 20, "lines")
    finally:
        ended.set()
        writer.join()

    def seen():
        return weir.get("/api/v1/logs/n/summary?window=all")["figures"]["records"]
    eventually(lambda: seen() >= len(written), lambda: f"{len(written)}: {seen()}")
    assert seen() == len(written)


def test_connections_that_were_idle_may_ask_once_more(scene):
    """Whoever has one does not meet a closed connection at the moment of the upgrade, but is told."""
    weir = scene.proxy(scene.server(), build="release", timeouts={"drain": "300s"})
    clients = [scene.client(weir) for _ in range(10)]
    for client in clients:
        client.ask()
    weir.upgrade()
    for client in clients:
        response = client.ask()
        assert response.status == 200 and "close" in response.options()
        client.check_closed()
    weir.wait_alone()


def test_idle_connections_do_not_keep_the_old_one(scene):
    weir = scene.proxy(scene.server(), build="release", timeouts={"drain": "300s"})
    client = scene.client(weir)
    client.ask()
    weir.upgrade()
    client.check_closed()
    weir.wait_alone()


def test_tunnels_are_cut_at_the_bound_and_not_before(scene):
    weir = scene.proxy(scene.server([serve]), build="release", timeouts={"drain": "2s"},
                       listener={"routes": [{"name": "all", "pool": "web", "upgrade": ["websocket"]}]})
    clients = open_websockets(scene, weir, 5)
    weir.upgrade()
    check_websockets(clients)
    seen = weir.stats()["predecessors"]
    assert [one["pid"] for one in seen] == [weir.predecessors[0].pid]
    for client in clients:
        client.check_gone()
    weir.wait_alone()


def test_a_stop_lets_those_before_have_their_time(scene):
    """systemd ends what is left of a unit with its main process."""
    weir = scene.proxy(scene.server([serve]), build="release", timeouts={"drain": "300s"},
                       listener={"routes": [{"name": "all", "pool": "web", "upgrade": ["websocket"]}]})
    websocket = open_websockets(scene, weir, 1)[0]
    weir.upgrade()
    eventually(lambda: weir.stats()["predecessors"][0]["tunnels"] == 1, "what the old one says of itself")
    weir.terminate()
    weir.wait_event("draining", 2)
    check_websockets([websocket])
    assert weir.process.poll() is None
    websocket.close()
    assert weir.wait_exit() == 0


@pytest.mark.serial
def test_only_run_can_be_taken_over_from(scene):
    process = subprocess.Popen([BINARIES["release"], "demo"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "event=ready" in line:
                process.send_signal(signal.SIGUSR2)
            if "signal_ignored" in line:
                break
        assert "signal_ignored" in lines[-1], lines
    finally:
        process.terminate()
        process.wait(LIMIT_S)
        process.stderr.close()


# What is known of servers


def test_who_is_out_stays_out_and_who_is_well_is_not_doubted(scene):
    """Nobody is asked who is known not to answer; and a server is down once as many checks on end have failed as before."""
    good, sick = scene.server(), scene.server([broken.serve(lambda request: message.response(503))])
    gone = f"127.0.0.1:{reserve_port()}"
    checks = {"http": {"path": "/"}, "interval": "1s", "changing_interval": "100ms", "timeout": "1s", "rise": 2,
              "fall": 3}
    config = make_config([{"name": "good", "address": good.address}, {"name": "gone", "address": gone}], workers=2,
                         pool={"ejection": {"min": "600s", "max": "1200s"}, "balance": "round_robin"},
                         pools={"checked": {"health": checks, "servers": [{"name": "good", "address": good.address},
                                                                         {"name": "sick", "address": sick.address}]}})
    weir = scene.weir(config)
    client = scene.client(weir)
    eventually(lambda: client.ask().status == 200 and weir.servers()["gone"]["state"] == "ejected", "the ejection")
    eventually(lambda: weir.servers("checked")["sick"]["state"] == "down" and
               weir.servers("checked")["good"]["state"] == "up", "what checks say")
    before = weir.servers()["gone"]
    client.close()
    weir.upgrade()
    taken = weir.wait_event("health_taken_over")
    assert int(taken["servers"]) == 3 and taken["left_out"] == "0"
    client = scene.client(weir)
    for _ in range(20):
        assert client.ask().status == 200
    after = weir.servers()["gone"]
    assert after["state"] == "ejected" and after["attempts"] == 0
    assert after["health_reason"] == before["health_reason"] and after["health_detail"] == before["health_detail"]
    assert after["health_ms"] >= before["health_ms"] and after["ejected_ms"] <= before["ejected_ms"]
    assert weir.servers("checked")["sick"]["state"] == "down"
    states = [(s["pool"], s["server"], s["was"], s["state"], s["reason"]) for s in weir.events("server_state")]
    assert ("web", "gone", "unknown", "ejected", "connect_failures") in states
    assert ("checked", "sick", "unknown", "down", "check_failed") in states
    weir.wait_alone()


def test_another_address_under_the_same_name_begins_anew(scene):
    good, gone = scene.server(), f"127.0.0.1:{reserve_port()}"
    config = make_config([{"name": "good", "address": good.address}, {"name": "gone", "address": gone}],
                         pool={"ejection": {"min": "600s", "max": "1200s"}, "balance": "round_robin"})
    weir = scene.weir(config)
    client = scene.client(weir)
    eventually(lambda: client.ask().status == 200 and weir.servers()["gone"]["state"] == "ejected", "the ejection")
    client.close()
    config["pools"]["web"]["servers"][1]["address"] = scene.server().address
    weir.write_file(config)
    weir.upgrade()
    assert weir.wait_event("health_taken_over")["left_out"] == "1"
    assert weir.servers()["gone"]["state"] == "up"
    weir.wait_alone()
