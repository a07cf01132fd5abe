"""A file that does not answer, as on a disk that is gone: weir goes on, and still ends when it is told to."""
import os
import signal
import subprocess

import pytest

from tls import Pki
from waiting import LIMIT_S, eventually
from weir import make_config

EX_IOERR = 74
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hung_disk.c")


def has_jobs(pid):
    """Somebody works on what was asked."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as file:
            if file.read() == "weir-jobs\n":
                return True
    return False


def test_weir_ends_although_its_configuration_does_not_answer(scene):
    weir = scene.proxy(scene.server())
    os.unlink(weir.path)
    os.mkfifo(weir.path)  # nobody writes: who opens it waits
    weir.process.send_signal(signal.SIGHUP)
    eventually(lambda: has_jobs(weir.pid), "a thread that reads it")
    client = scene.client(weir)
    assert client.ask("GET", "/").status == 200
    assert weir.stats()
    client.close()
    weir.is_checked = False
    weir.process.send_signal(signal.SIGTERM)
    assert weir.process.wait(LIMIT_S) == EX_IOERR, weir.log
    said = weir.wait_event("ended_waiting")
    assert "does not answer" in said["reason"] and said["thread"] == "weir-jobs"


def hung_config(thread, scene, pki, directory):
    """One with which the thread has something to do."""
    server = scene.server()
    if thread == "weir-acme":
        pki.make("ca", "ca.example")
        return make_config([server], listener={"tls": {"certificates": [{"acme": ["a.example"]}]}}, state=str(directory / "state"),
                           acme={"directory": "https://127.0.0.1:1/dir", "terms_agreed": True, "ca": pki.ca})
    if thread == "weir-keys":
        return make_config([server], listener={"auth": {"jwt": {"keys": "https://127.0.0.1:1/keys", "ca": pki.ca}}})
    return make_config([server], access_log={"path": str(directory / "access.log")})


@pytest.mark.parametrize("thread", ["weir-acme", "weir-keys", "access-log"])
def test_weir_ends_although_a_thread_does_not(scene, tmp_path, monkeypatch, thread):
    """And says which one."""
    hang, library = tmp_path / "hang", tmp_path / "hung_disk.so"
    subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    config = hung_config(thread, scene, Pki(tmp_path), tmp_path)
    if thread != "access-log":
        hang.touch()
    with monkeypatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(library))
        environment.setenv("WEIR_HANG", str(hang))
        environment.setenv("WEIR_HANG_THREAD", thread)
        # The sanitizer's library comes second: what hangs here never gets to it.
        environment.setenv("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1:verify_asan_link_order=0")
        weir = scene.weir(config)
    hang.touch()
    if thread == "access-log":
        assert scene.client(weir).ask("GET", "/").status == 200
    eventually(lambda: os.path.exists(f"{hang}.hung"), "a thread that hangs")
    assert weir.stats()
    weir.is_checked = False
    weir.process.send_signal(signal.SIGTERM)
    assert weir.process.wait(LIMIT_S) == EX_IOERR, weir.log
    assert weir.wait_event("ended_waiting")["thread"] == thread
