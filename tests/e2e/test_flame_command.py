"""`weir flame`: a running weir's CPU time as a page, now and of the last hour."""
import time

import pytest

from ab import Load
from waiting import eventually
from weir import run_command


def flame(weir, *arguments):
    return run_command("flame", "--admin", "%s:%d" % weir.admin_address, *arguments, build="release", seconds=60)


@pytest.fixture
def weir(scene):
    return scene.proxy(scene.nginx(logs=False), build="release")


def test_a_page_of_what_is_going_on(weir, tmp_path):
    page = tmp_path / "now.html"
    with Load(weir):
        done = flame(weir, "--seconds", "1", "-o", str(page))
    assert done.returncode == 0, done.stderr
    assert "now.html is written" in done.stderr
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "loop_turn" in text and "exchange_advance" in text
    assert "http://" not in text.replace("http://www.w3.org", "")


@pytest.mark.parametrize("arguments,code,says", [
    (["--seconds", "0"], 64, "--seconds 0 is no number from 0.001 to 600"),
    (["--diff", "14:00"], 64, "--diff needs --at"),
    (["--at", "14:00", "--seconds", "1"], 64, "one of them"),
    (["now"], 64, 'one word too many: "now"'),
    (["--at", "14:00"], 65, "set `profile: {continuous: true}`"),
    (["--seconds", "0.1", "-o", "/nowhere/x.html"], 74, "cannot write /nowhere/x.html: No such file or directory"),
])
def test_a_mistake_is_told(weir, arguments, code, says):
    done = flame(weir, *arguments)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert done.stdout == ""


def minute(offset_s=0):
    return time.strftime("%H:%M", time.localtime(time.time() + offset_s))


def test_the_last_hour_is_kept_if_wanted(scene):
    weir = scene.proxy(scene.nginx(logs=False), build="release", profile={"continuous": True, "hz": 99})
    weir.baseline = None  # what samples is at work until the end
    refused = flame(weir, "--at", "25:00")
    assert refused.returncode == 65 and "minutes of a day, such as 14:03" in refused.stderr
    early = flame(weir, "--at", minute())
    assert early.returncode == 65 and "first comes after ten seconds" in early.stderr
    with Load(weir):
        # A window takes ten seconds, and the minute may change meanwhile.
        def page():
            for at in (minute(), minute(-60)):
                done = flame(weir, "--at", at, "-o", "-")
                if done.returncode == 0:
                    return at, done.stdout
            return None
        at, text = eventually(page, "a kept profile", seconds=30)
    assert "loop_turn" in text
    compared = flame(weir, "--at", at, "--diff", at, "-o", "-")
    assert compared.returncode == 0 and "loop_turn" in compared.stdout
    other = flame(weir, "--at", minute(3600 * 3))
    assert other.returncode == 65 and "there are those of" in other.stderr
