"""weir's own messages as JSON and in journald's protocol: a socket of the test's own is journald."""
import json
import os
import socket

import pytest

from journal import fields_of
from waiting import LIMIT_S, eventually
from weir import Weir, make_config


def objects(weir):
    return [json.loads(line) for line in list(weir.lines)]


@pytest.fixture
def started(scene, tmp_path):
    running = []

    def start(**config):
        weir = Weir(tmp_path, make_config([scene.server()], **config), is_checked=False)
        running.append(weir)
        return weir
    yield start
    for weir in running:
        weir.kill()


def test_each_message_is_an_object_in_a_line_of_its_own(started, scene):
    weir = started(messages="json")
    ready = eventually(lambda: [m for m in objects(weir) if m["event"] == "ready"], lambda: weir.log)[0]
    assert ready["level"] == "info" and ready["pid"] == str(weir.pid) and ready["time"].endswith("Z")
    hostile = 'a "quoted" \\ value, event=forged {"x": 1}, ä'
    answer = weir.ask_admin("POST", "/api/v1/events", body={"name": hostile})
    assert answer.status in (200, 201, 204), answer.text
    noted = eventually(lambda: [m for m in objects(weir) if m["event"] == "marker"], lambda: weir.log)[0]
    assert noted["name"] == hostile
    weir.terminate()
    assert weir.wait_exit() == 0
    assert objects(weir)[-1]["event"] == "stopped"
    assert all(set(m) >= {"time", "level", "event"} for m in objects(weir))


class Journal:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(LIMIT_S)

    def wait(self, event):
        while True:
            fields = fields_of(self.socket.recv(1 << 20))
            if fields["WEIR_EVENT"] == event:
                return fields


def test_journald_gets_each_message_with_its_fields(started, tmp_path):
    journal = Journal(str(tmp_path / "journal"))
    weir = started(messages={"form": "journald", "journal": str(tmp_path / "journal")})
    ready = journal.wait("ready")
    assert ready == {"SYSLOG_IDENTIFIER": "weir", "PRIORITY": "6", "WEIR_EVENT": "ready", "WEIR_PID": str(weir.pid),
                     "MESSAGE": f"ready pid={weir.pid}"}
    weir.terminate()
    assert journal.wait("stopped")["WEIR_PID"] == str(weir.pid)
    assert weir.wait_exit() == 0 and weir.lines == []


def test_without_journald_messages_go_to_stderr(started, tmp_path):
    weir = started(messages={"form": "journald", "journal": str(tmp_path / "nobody")})
    assert weir.wait_event("ready")["pid"] == str(weir.pid)
    assert not os.path.exists(tmp_path / "nobody")
