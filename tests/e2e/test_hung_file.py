"""A file that does not answer, as on a disk that is gone: weir goes on, and still ends when it is told to."""
import os
import signal

from waiting import LIMIT_S, eventually

EX_IOERR = 74


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
    assert "does not answer" in weir.wait_event("ended_waiting")["reason"]
