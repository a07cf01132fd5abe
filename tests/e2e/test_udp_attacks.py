"""Listeners for datagrams under attack: floods of sources, servers that answer late or not at all, and too few descriptors."""
import os
import resource

import pytest

from datagrams import UdpClient
from test_udp import Udp
from waiting import eventually


@pytest.fixture
def udp(scene):
    return Udp(scene)


def descriptors(weir):
    return len(os.listdir(f"/proc/{weir.pid}/fd"))


def flood(weir, count):
    """Each from a port of its own, of which nobody awaits anything."""
    for _ in range(count):
        client = UdpClient(weir.bind_of())
        client.send(b"?")
        client.close()


def wait_answer(udp, weir, question, answer):
    """As clients do it: they ask again."""
    client = UdpClient(weir.bind_of(), seconds=1)
    udp.scene.clients.append(client)

    def is_answered():
        try:
            return client.ask(question) == answer
        except TimeoutError:
            return False
    eventually(is_answered, "an answer")


def test_what_a_flood_took_comes_back(udp):
    server = udp.server("one", answer=lambda data: [b"yes"] if data == b"!" else [])
    weir = udp.weir(server, workers=2, sessions=100, idle="1s", pool={"ejection": False})
    wait_answer(udp, weir, b"!", b"yes")
    weir.wait_live(tunnels=0)
    before = descriptors(weir)
    for _ in range(10):
        flood(weir, 200)
        assert weir.live()["tunnels"] <= 100
    weir.wait_live(tunnels=0, client_connections=0)
    eventually(lambda: descriptors(weir) <= before, lambda: f"{before} descriptors: {descriptors(weir)}")
    wait_answer(udp, weir, b"!", b"yes")


def test_a_late_answer_reaches_nobody_and_ends_no_session(udp):
    server = udp.server("one")
    weir = udp.weir(server, idle="3s", pool={"ejection": False})
    server.held.set()
    late, other = udp.client(weir), udp.client(weir)
    late.send(b"late")
    server.wait_received(1)
    assert weir.exchange(end="first_byte_timeout")["origin"] == "server"
    weir.wait_live(tunnels=0)
    other.send(b"other")
    server.wait_received(2)
    server.held.clear()
    assert other.receive() == b"one:other"
    weir.wait_metric(1, "weir_datagrams_dropped_total", listener="web", reason="unasked")
    assert late.is_silent()
    assert late.ask(b"again") == b"one:again"


def test_a_storm_of_refusals_ends_with_the_servers_return(udp):
    server = udp.server("one")
    weir = udp.weir(server, workers=2)
    server.close()
    flood(weir, 500)
    weir.wait_live(tunnels=0)
    server.open()
    wait_answer(udp, weir, b"hello", b"one:hello")


def test_without_descriptors_sessions_are_refused_and_come_back(udp, tmp_path):
    path = tmp_path / "access.log"
    server = udp.server("one")
    weir = udp.weir(server, top={"access_log": {"path": str(path), "format": "$weir_end"}}, pool={"ejection": False})
    assert udp.client(weir).ask(b"hello") == b"one:hello"
    eventually(lambda: path.read_text() == "ok\n", "the line of the first")
    soft, hard = resource.prlimit(weir.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (3, hard))  # it has more: none is left
    flood(weir, 10)
    eventually(lambda: path.read_text().count("no_descriptors\n") == 10, lambda: f"their lines: {path.read_text()}")
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert udp.client(weir).ask(b"again") == b"one:again"
    assert weir.servers()[server.address]["health"] != "ejected" and len(server.received) == 2
