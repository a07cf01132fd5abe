"""What commands show on a terminal: names that others chose do not steer it."""
import json
import os
import pty
import shutil
import subprocess

import pytest

from waiting import LIMIT_S, eventually
from weir import BINARIES, make_config, run_command

STEER = "\x1b]0;owned\x07\x1b[31m"


def shown(*arguments):
    """All that a command writes, to a terminal as its stdout and stderr."""
    terminal, side = pty.openpty()
    command = subprocess.Popen([BINARIES["asan"], *arguments], stdin=subprocess.DEVNULL, stdout=side, stderr=side)
    os.close(side)
    written = b""
    try:
        while data := os.read(terminal, 65536):
            written += data
    except OSError:  # EIO: it has ended
        pass
    os.close(terminal)
    command.wait(LIMIT_S)
    return written


def assert_told(written, name=b"owned"):
    """The name is there, and nothing of it raw."""
    assert name in written, written
    for raw in [b"\x1b]", b"\x07", b"\x1b[31m"]:
        assert raw not in written, written


@pytest.mark.parametrize("arguments", [["/" + STEER], ["--header", "X-Env: " + STEER, "/x"], ["--method", STEER, "/x"],
                                       ["--listener", STEER, "/x"], ["--client", STEER, "/x"]])
def test_explain_shows_what_it_is_asked_harmlessly(tmp_path, arguments):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(make_config(["127.0.0.1:9"], listener={"address": "127.0.0.1:8080"})))
    written = shown("explain", "-c", str(path), *arguments)
    assert written and b"\x1b" not in written and b"\x07" not in written, written


def test_perf_shows_a_programs_name_harmlessly(tmp_path):
    program = str(tmp_path / ("a" + STEER[:10] + "b"))
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        eventually(lambda: os.readlink(f"/proc/{process.pid}/exe") == program, "the program runs")
        written = shown("perf", "--pid", str(process.pid), "--seconds", "1")
        process.kill()
    assert_told(written, b"]0;own")


@pytest.mark.parametrize("text", [b"", b"\x7fELF\x1b]0;owned\x07" * 100])
def test_postmortem_shows_a_files_name_harmlessly(tmp_path, text):
    path = tmp_path / ("core" + STEER)
    path.write_bytes(text)
    assert_told(shown("postmortem", str(path)))
    assert_told(shown("postmortem", str(path) + ".none"))


@pytest.mark.parametrize("value, address", [("203.0.113.7:4711", "203.0.113.7"), ("[2001:db8::7]:4711", "2001:db8::7")])
def test_a_port_behind_a_forwarded_address_is_not_a_part_of_it(tmp_path, value, address):
    """Load balancers that add the client's port to X-Forwarded-For, and those that do not, count one client."""
    log = tmp_path / "access.log"
    log.write_text("".join(f'10.0.0.1 - - [12/Mar/2026:10:00:01 +0000] "GET / HTTP/1.1" 200 1 "-" "curl" "{each}"\n'
                           for each in [value, address, value]))
    assert run_command("logs", "ips", str(log), "--field", "xff").stdout.split() == ["3", address]
