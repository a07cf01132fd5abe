"""A thread whose loop does not turn is named, with its stack, in log, API and metrics, and systemd hears nothing while it stands."""
import contextlib
import ctypes
import os

import pytest

from test_systemd import Listener
from waiting import eventually

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WAIT_FOR_THREADS = 0x40000000  # __WALL
libc = ctypes.CDLL(None, use_errno=True)


def ptrace(request, thread):
    if libc.ptrace(request, thread, ctypes.c_void_p(0), ctypes.c_void_p(0)) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


@contextlib.contextmanager
def held(thread):
    """It stands still, as a debugger would have it, and the process's other threads go on."""
    ptrace(PTRACE_SEIZE, thread)
    ptrace(PTRACE_INTERRUPT, thread)
    assert os.waitpid(thread, WAIT_FOR_THREADS)[0] == thread
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH, thread)


def workers(weir):
    return {w["worker"]: w for w in weir.get("/api/v1/workers")["workers"]}


def stuck(weir, worker, event="worker_stuck"):
    """The first message of that: on a busy machine others may be named before."""
    return eventually(lambda: [said for said in weir.events(event) if said["worker"] == worker], f"{event} of {worker}")[0]


@pytest.mark.parametrize("build", ["asan", "release"])
def test_a_worker_that_stands_is_named_with_its_stack(scene, build):
    weir = scene.proxy(scene.server(), build=build, workers=2, profile={"stalls": "200ms"})
    thread = workers(weir)["1"]["thread"]
    with held(thread):
        said = stuck(weir, "1")
        assert int(said["thread"]) == thread and int(said["stuck_ms"]) >= 200
        assert "loop_turn < " in said["stack"]
        now = workers(weir)["1"]
        assert now["stalls"] >= 1 and now["stalled_seconds"] >= 0.2
        assert now["last_stall"]["stack"].startswith(said["stack"]) and now["last_stall"]["time"]
        assert weir.metric("weir_worker_stalls_total", worker="1") == now["stalls"]
        assert weir.metric("weir_worker_stalled_seconds", worker="1") >= 0.2
    assert int(stuck(weir, "1", "worker_turns")["stuck_ms"]) >= 200
    assert workers(weir)["1"]["longest_stall_seconds"] >= 0.2
    assert weir.metric("weir_worker_stall_seconds_total", worker="1") >= 0.2


def test_the_control_thread_is_watched_too(scene):
    weir = scene.proxy(scene.server(), profile={"stalls": "200ms"})
    with held(weir.pid):
        assert int(stuck(weir, "control")["thread"]) == weir.pid
        assert scene.client(weir).ask().status == 200
    stuck(weir, "control", "worker_turns")


def test_workers_that_have_nothing_to_do_are_well(scene):
    weir = scene.proxy(scene.server(), workers=2, profile={"stalls": "100ms"})
    before = workers(weir)
    eventually(lambda: all(w["turns"] >= before[name]["turns"] + 5 for name, w in workers(weir).items()),
               "each was asked a few times and turned")
    assert before["control"]["client_connections"] is None and before["0"]["client_connections"] == 0
    assert scene.client(weir).ask().status == 200


def test_systemd_hears_nothing_while_a_worker_stands(scene, tmp_path, monkeypatch):
    listener = Listener(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    weir = scene.proxy(scene.server(), workers=2, profile={"stalls": "100ms"})
    weir.expected_errors.add("watchdog_silent")
    listener.wait("WATCHDOG=1")
    with held(workers(weir)["0"]["thread"]):
        assert int(weir.wait_event("watchdog_silent")["watchdog_ms"]) == 200
        assert stuck(weir, "0")
        listener.read()
        listener.lines.clear()
        listener.socket.settimeout(0.5)
        assert "WATCHDOG=1" not in listener.read()
    listener.socket.settimeout(0.05)
    listener.wait("WATCHDOG=1")
