"""`user`: root's weir becomes another user before it does anything else, and can do for good what it has to: bind low ports, read its
files again, be looked at, and start a newer weir."""
import glob
import grp
import json
import os
import pwd
import random
import shutil
import subprocess
import tempfile

import pytest

from client import Client
from message import request
from ports import reserve_port
from weir import BINARIES, LIMIT_S, Weir, environment, run_command

NOBODY = pwd.getpwnam("nobody")
DAEMONS = grp.getgrnam("daemon").gr_gid
LOW_PORTS = 1 << 10  # CAP_NET_BIND_SERVICE
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def folder():
    """That everybody may look into, unlike pytest's own."""
    path = tempfile.mkdtemp(prefix="weir-user-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


def low():
    """A port that only root may bind, at an address that nobody else has."""
    return f"127.{random.randrange(64, 128)}.{random.randrange(256)}.{random.randrange(1, 255)}:81"


def config_of(*binds, **more):
    return {"admin": {"bind": f"127.0.0.1:{reserve_port()}"}, "workers": 2, **more,
            "listeners": {f"l{i}": {"bind": bind, "respond": {"status": 200}} for i, bind in enumerate(binds)}}


def tasks(pid):
    """/proc/PID/status of each thread."""
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        with open(path) as file:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def check_tasks(pid, group=NOBODY.pw_gid):
    count = 0
    for task in tasks(pid):
        assert set(task["Uid"].split()) == {str(NOBODY.pw_uid)}, task
        assert set(task["Gid"].split()) == {str(group)}, task
        assert "0" not in task["Groups"].split(), task
        for kind in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb"):
            assert int(task[kind], 16) == LOW_PORTS, task
        assert task["NoNewPrivs"] == "1", task
        count += 1
    assert count > 2  # the control thread and two workers


def ask(bind):
    host, port = bind.rsplit(":", 1)
    client = Client((host, int(port)))
    client.send(request("GET", "/"))
    assert client.read().status == 200
    client.close()


@only_root
def test_roots_weir_becomes_another_and_can_do_what_it_has_to(folder):
    first, second = low(), low()
    binary = shutil.copy(BINARIES["asan"], folder)  # which others may execute
    state = os.path.join(folder, "state")
    os.mkdir(state, 0o700)
    os.chown(state, NOBODY.pw_uid, NOBODY.pw_gid)
    config = config_of(first, user="nobody:daemon", state=state)
    weir = Weir(folder, config, binary=binary)
    try:
        weir.wait_ready()
        assert weir.wait_event("user_changed")["capabilities"] == "net_bind_service"
        check_tasks(weir.pid, DAEMONS)
        ask(first)
        assert weir.stats()["privileges"].items() >= {"user_id": NOBODY.pw_uid, "group_id": DAEMONS, "may_gain": False,
                                                      "capabilities": "net_bind_service"}.items()
        assert os.stat(f"/proc/{weir.pid}/mem").st_uid == NOBODY.pw_uid  # else its own profiles are refused
        assert {os.stat(path).st_uid for path in glob.glob(state + "/*")} == {NOBODY.pw_uid}
        config["listeners"]["more"] = {**config["listeners"]["l0"], "bind": second}
        weir.reload(config, way="signal")
        ask(second)
        weir.upgrade()
        check_tasks(weir.pid, DAEMONS)
        ask(first)
        ask(second)
        weir.wait_alone()
        outcome = weir.put_config({**config, "user": "root"})
        assert outcome.status == 200 and json.loads(outcome.body)["needs_restart"] == ["user"]
        weir.upgrade()
        check_tasks(weir.pid, DAEMONS)
        assert weir.wait_event("user_not_changed")["wanted"] == "root"
        weir.wait_alone()
        weir.baseline = (weir.live(), weir.count_fds())  # another listener has other sockets
    finally:
        weir.finish()


def reach(path, mode=0o755, user=0):
    os.mkdir(path, mode)
    os.chmod(path, mode)
    os.chown(path, user, -1)
    return path


@only_root
def test_a_folder_that_the_user_cannot_write_to_is_found_out_while_roots_weir_goes_on(folder):
    bind = low()
    config = config_of(bind, state=reach(os.path.join(folder, "state")))
    weir = Weir(folder, config, binary=shutil.copy(BINARIES["asan"], folder))
    try:
        weir.wait_ready()
        weir.write_file({**config, "user": "nobody"})
        weir.expected_errors.add("upgrade_failed")
        refusal = weir.ask_admin("POST", "/api/v1/upgrade")
        assert refusal.status == 409 and "state" in refusal.text and "Permission denied" in refusal.text
        ask(bind)
        os.chown(config["state"], NOBODY.pw_uid, -1)
        weir.upgrade()
        check_tasks(weir.pid)
        ask(bind)
        assert not glob.glob(config["state"] + "/.new-*")
    finally:
        weir.finish()


@only_root
def test_who_is_named_by_the_api_is_who_it_is_after_a_restart(folder):
    config = config_of(low(), state=reach(os.path.join(folder, "state"), 0o700, NOBODY.pw_uid))
    binary = shutil.copy(BINARIES["asan"], folder)
    weir = Weir(folder, config, binary=binary)
    try:
        weir.wait_ready()
        assert weir.put_config({**config, "user": "nobody"}).status == 200
    finally:
        weir.finish()
    # Only root can read what root has kept: as at each start, it is found out now.
    kept = max(glob.glob(config["state"] + "/*-api-*"))
    done = run_command("run", "-c", weir.path)
    assert done.returncode == 78 and "as the user that it names" in done.stderr and "Permission denied" in done.stderr
    os.chown(kept, NOBODY.pw_uid, -1)
    again = Weir(folder, config, name="again", binary=binary)
    try:
        again.wait_ready()
        check_tasks(again.pid)
    finally:
        again.finish()


@only_root
@pytest.mark.parametrize("kept", ["weir.yaml", "secret"])
def test_what_the_user_cannot_read_is_found_out_at_the_start(folder, kept):
    config = config_of(low(), user="nobody")
    config["admin"]["token"] = f"file:{folder}/secret"
    for name, text in (("weir.yaml", json.dumps(config)), ("secret", "0123456789abcdef0123456789abcdef")):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
        os.chmod(file.name, 0o600 if name == kept else 0o644)
    done = run_command("run", "-c", os.path.join(folder, "weir.yaml"))
    assert done.returncode == 78
    assert kept in done.stderr and "Permission denied" in done.stderr


@pytest.mark.parametrize("user, words", [
    ("no-such-user", "no-such-user cannot be found"),
    ("nobody:no-such-group", "the group no-such-group cannot be found"),
    ("root", "root, who keeps every right"),
    (":nogroup", "is no name"),
    ("nobody:", "is no name"),
])
def test_who_it_cannot_become_is_said(folder, user, words):
    done = run_command("run", "--listen", low(), "--to", "127.0.0.1:9", "--user", user)
    assert done.returncode == 77
    assert words in done.stderr


@only_root
@pytest.mark.parametrize("user", ["daemon", "nobody:daemon"])
def test_who_is_not_root_becomes_nobody_else(folder, user):
    binary = shutil.copy(BINARIES["asan"], folder)
    done = subprocess.run([binary, "run", "--listen", f"127.0.0.1:{reserve_port()}", "--to", "127.0.0.1:9", "--user", user],
                          capture_output=True, text=True, timeout=LIMIT_S, env=environment(), user="nobody", group="nogroup",
                          extra_groups=[])
    assert done.returncode == 77
    assert f"only root can become {user}:" in done.stderr
