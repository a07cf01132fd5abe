"""weir logs why --follow: a real nginx, faults that are made in it, and each told as it comes."""
import os
import re
import signal
import subprocess
import threading

import pytest

import faulty
from waiting import LIMIT_S, eventually
from weir import BINARIES, environment, run_command

# Told by the access log with the error log's lines, by the error log alone, and as no fault at all.
SCENES = ["refused", "late", "half", "cuts", "app500", "denied", "wrong_password", "limited", "leave_while_waiting", "slow_head",
          "no_file", "distrust", "good"]


class Follower:
    """`weir logs why --follow` as it goes on."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([BINARIES["asan"], "logs", "why", "--follow", *arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        self.text = self.errors = ""
        self.readers = [threading.Thread(target=self.read, daemon=True), threading.Thread(target=self.read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()

    def read(self):
        for line in self.process.stdout:
            self.text += line

    def read_errors(self):
        for line in self.process.stderr:
            self.errors += line

    def stories(self):
        """Each begins with its time; what belongs to it is indented."""
        return re.findall(r"^\d{4}-\d\d-\d\dT.*\n(?:  .*\n)*", self.text, re.MULTILINE)

    def kinds_of(self, number):
        """What is told of a client."""
        mine = re.compile(rf"(?:of|client:) {re.escape(faulty.address_of(number))}\b")
        return {kind for story in self.stories() if mine.search(story)
                for kind in re.findall(r"^  (\w+) \((?:client|nginx|server|config|-)\): ", story, re.MULTILINE)}

    def wait(self, number, kinds):
        eventually(lambda: kinds <= self.kinds_of(number), lambda: f"{kinds} of {faulty.address_of(number)}: {self.text} {self.errors}")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(LIMIT_S)
        for reader in self.readers:
            reader.join(LIMIT_S)
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(name="nginx")
def fixture_nginx(scene):
    nginx = faulty.Faulty(scene)
    try:
        yield nginx
    finally:
        nginx.close()


def play(nginx, names):
    faulty.play(nginx, names)
    return {list(faulty.SCENES).index(name): set(faulty.SCENES[name][1].split()) for name in names}


def wait_ready(nginx, follower):
    """It looks at files from their ends: what comes from now on is told."""
    def is_told():
        faulty.get("app502/ready")(nginx, 200)
        return follower.kinds_of(200)
    eventually(is_told, lambda: f"the first fault: {follower.text} {follower.errors}")


def test_each_fault_is_told_as_it_comes(nginx):
    follower = Follower("--log-format", faulty.LOG_FORMAT, "--slow", "20s", nginx.access_log, nginx.error_log)
    try:
        wait_ready(nginx, follower)
        truth = play(nginx, SCENES)
        for number, kinds in truth.items():
            follower.wait(number, kinds)
        # Both logs are rotated: the new files are followed as well.
        for path in (nginx.access_log, nginx.error_log):
            os.rename(path, path + ".1")
        nginx.process.send_signal(signal.SIGUSR1)
        eventually(lambda: os.path.exists(nginx.access_log) and os.path.exists(nginx.error_log), "new logs")
        for number, kinds in play(nginx, ["nonsense", "dead"]).items():
            truth[number] = kinds
            follower.wait(number, kinds)
        assert follower.end() == 0
        for number, kinds in truth.items():
            assert follower.kinds_of(number) == kinds, (number, follower.text)
        # A story has the record's figures, the error log's line, and what to do.
        story, = [story for story in follower.stories() if f"of {faulty.address_of(list(faulty.SCENES).index('refused'))} got" in story]
        assert "got 502" in story and "attempt 1 at" in story and "error log: 20" in story and "  to do: " in story
    finally:
        follower.kill()


def test_only_what_is_asked_for_is_told(nginx):
    wanted = faulty.address_of(list(faulty.SCENES).index("cuts"))
    follower = Follower("--log-format", faulty.LOG_FORMAT, "--where", f"client=={wanted} || client=={faulty.address_of(200)}",
                        nginx.access_log, "--error-log", nginx.error_log)
    try:
        wait_ready(nginx, follower)
        play(nginx, ["refused", "denied", "cuts"])
        follower.wait(list(faulty.SCENES).index("cuts"), {"response_cut"})
        assert follower.end() == 0
        clients = set(re.findall(r"127\.0\.1\.\d+", follower.text))
        assert clients == {wanted, faulty.address_of(200)}
    finally:
        follower.kill()


@pytest.mark.parametrize("arguments, words", [
    (["why", "--follow", "--json", "x"], "leave out --json"),
    (["why", "--follow", "--since", "10m", "x"], "leave out --json, --since"),
    (["stats", "--follow", "x"], "--follow is of why"),
    (["why", "--follow", "-"], "standard input"),
    (["why", "--follow", "--where", "nonsense", "x"], "--where"),
])
def test_what_cannot_be_followed_is_said(arguments, words):
    done = run_command("logs", *arguments)
    assert done.returncode == 64 and words in done.stderr, done.stderr
