"""Two weirs of one user at the same port: the newcomer is started first, then the old one is stopped, and nothing is lost."""
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

import broken
import message
from client import Client
from test_binary_upgrade import Load
from waiting import eventually
from weir import BINARIES, Weir, listen_at_free_port, make_config, run_command


def beside(weir, **changes):
    """The same configuration for another weir, with an admin address of its own."""
    return {**json.loads(json.dumps(weir.config)), "admin": {"bind": listen_at_free_port()}, **changes}


@pytest.mark.parametrize("build", ["asan", "release"])
@pytest.mark.parametrize("workers", [(1, 1), (2, 3), (3, 1)])
def test_a_stop_beside_a_starting_one_loses_nothing(scene, build, workers):
    old = scene.proxy(scene.server(), build=build, workers=workers[0])
    with Load(old.address) as load:
        load.wait_more()
        for number in range(3):
            new = scene.weir(beside(old, workers=workers[(number + 1) % 2]), build=build)
            shared = new.wait_event("port_shared")
            assert shared["bind"] == "%s:%d" % old.address and "gets its part of the connections" in shared["note"]
            new.baseline = None  # which has the load in it
            load.wait_more()
            old.terminate()
            assert old.wait_exit() == 0
            load.wait_more()
            old = new
    assert not load.faults, load.faults


def test_a_newcomer_that_stops_loses_nothing_either(scene):
    old = scene.proxy(scene.server(), build="release", workers=2)
    with Load(old.address) as load:
        for _ in range(3):
            new = scene.weir(beside(old, workers=3), build="release")
            load.wait_more()
            new.terminate()
            assert new.wait_exit() == 0
            load.wait_more()
    assert not load.faults, load.faults


def test_the_admin_address_goes_to_who_stays(scene):
    go = threading.Event()
    server = scene.server([broken.receive, broken.wait_for(go), broken.ok, broken.wait_end])
    old = scene.proxy(server, build="release", timeouts={"drain": "300s"})
    client = scene.client(old)
    client.send(message.request())
    server.wait_requests(1)
    new = Weir(scene.directory, old.config, name="beside", build="release")
    scene.weirs.append(new)
    new.wait_event("ready")
    assert len(new.events("port_shared")) == 2
    old.terminate()
    old.wait_event("draining")
    # Who drains answers no new question: whoever asks whether traffic may come asks the other one.
    for _ in range(20):
        assert new.ask_admin("GET", "/readyz").status == 200
        assert new.stats()["draining"] is False
    go.set()
    assert client.read().status == 200
    assert old.wait_exit() == 0


def test_one_that_gives_the_port_up_by_a_reload_harms_nobody(scene):
    old = scene.proxy(scene.server(), build="release", workers=2, listeners={
        "other": {"bind": listen_at_free_port(), "pool": "web"}})
    new = scene.weir(beside(old), build="release")
    without = json.loads(json.dumps(new.config))
    del without["listeners"]["web"]
    with Load(old.address, kept=0) as load:
        load.wait_more()
        new.reload(without)
        load.wait_more(200)
        for _ in range(3):  # and it is shared anew, also while what was given up is not forgotten yet
            new.reload({**without, "listeners": beside(old)["listeners"]})
            new.reload(without)
        new.reload({**without, "listeners": beside(old)["listeners"]})
        new.wait_event("port_shared", 2 + 4)
        load.wait_more(200)
        old.terminate()
        assert old.wait_exit() == 0
        load.wait_more(200)
    assert not load.faults, load.faults


# who does not share


def refused(scene, config, *words):
    path = os.path.join(str(scene.directory), "refused.yaml")
    with open(path, "w") as file:
        json.dump(config, file)
    done = run_command("run", "-c", path, build="release")
    assert done.returncode == 71, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("is_open", [False, True])
def test_another_programs_port_is_refused(scene, is_open):
    with socket.socket() as other:
        if is_open:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = make_config([scene.server()], listener={"bind": "%s:%d" % other.getsockname()})
        refused(scene, config, "another program listens there: stop it or choose another port")


def test_a_unix_path_is_not_shared(scene):
    path = os.path.join(str(scene.directory), "web.sock")
    weir = scene.proxy(scene.server(), build="release", listener={"bind": f"unix:{path}"})
    refused(scene, beside(weir), "another program listens there: stop it or choose another path")
    assert os.path.exists(path)


def test_the_folder_of_configurations_is_not_shared(scene):
    weir = scene.proxy(scene.server(), build="release", state=os.path.join(str(scene.directory), "state"))
    refused(scene, beside(weir), "is in use by another weir")


NOBODY = 65534
as_another_user = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@as_another_user
def test_another_users_weir_is_refused(scene, tmp_path):
    weir = scene.proxy(scene.server(), build="release")
    directory = "/tmp/weir-e2e-%d" % os.getpid()
    os.makedirs(directory, mode=0o755)
    try:
        binary, path = os.path.join(directory, "weir"), os.path.join(directory, "weir.json")
        shutil.copy(BINARIES["release"], binary)
        with open(path, "w") as file:
            json.dump(beside(weir), file)
        done = subprocess.run(["setpriv", f"--reuid={NOBODY}", "--clear-groups", binary, "run", "-c", path],
                              capture_output=True, text=True, timeout=30, cwd="/")
        assert done.returncode == 71 and "another program listens there" in done.stderr, done.stderr
    finally:
        shutil.rmtree(directory)


SQUATTER = """
import os, socket, sys
os.setuid(%d)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind("\\0" + sys.argv[1])
s.listen()
print("ready", flush=True)
while True:
    c, _ = s.accept()
    c.send(b"1 - " + sys.argv[2].encode() + b"\\n")
    c.close()
""" % NOBODY


@as_another_user
def test_a_name_that_another_user_has_taken_is_not_believed(scene):
    """Whatever listens there: the sockets of a newcomer come from its own user's weir or from nowhere."""
    config = make_config([scene.server()])
    bind = config["listeners"]["web"]["bind"]
    squatter = subprocess.Popen([sys.executable, "-c", SQUATTER, f"weir/{os.geteuid()}/{bind}/0", bind],
                                stdout=subprocess.PIPE, text=True)
    try:
        assert squatter.stdout.readline() == "ready\n"
        old = scene.weir(config, build="release")
        new = scene.weir(beside(old), build="release")
        assert new.wait_event("port_shared")["bind"] == bind
        old.terminate()
        assert old.wait_exit() == 0
        assert scene.client(new).ask().status == 200
    finally:
        squatter.kill()
        squatter.wait()
        squatter.stdout.close()


def test_another_user_is_given_nothing(scene):
    """Nor is anybody who asks for what there is not; and the weir that is asked goes on."""
    weir = scene.proxy(scene.server(), build="release")
    bind = "%s:%d" % weir.address
    code = """
import os, socket, sys
if os.geteuid() == 0: os.setuid(%d)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect("\\0" + sys.argv[1])
data, fds, _, _ = socket.recv_fds(s, 4096, 64)
print(len(data), len(fds))
""" % NOBODY
    done = subprocess.run([sys.executable, "-c", code, f"weir/{os.geteuid()}/{bind}/0"], capture_output=True, text=True)
    expected = "0 0\n" if os.geteuid() == 0 else "%d 1\n" % len(f"1 - {bind}\n")
    assert done.stdout == expected, (done.stdout, done.stderr)
    for _ in range(100):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
            asker.connect(f"\0weir/{os.geteuid()}/{bind}/0")
    assert scene.client(weir).ask().status == 200


def test_two_that_share_both_take_connections(scene):
    old = scene.proxy(scene.server(), build="release")
    new = scene.weir(beside(old), build="release")

    def both():
        client = Client(old.address)
        assert client.ask().status == 200
        client.close()
        return all(weir.stats()["totals"]["connections"] for weir in (old, new))
    eventually(both, "both have taken some")
