"""Health checks over UDP: questions of DNS, of name servers that are this test's own and Debian's, and other datagrams."""
import json
import os
import signal

import pytest

from dns import NameServer
from dnsmasq import Dnsmasq
from test_binary_upgrade import make_config
from test_udp import Udp, addresses_in, question
from waiting import eventually
from weir import run_command

TIMES = {"interval": "1s", "changing_interval": "100ms", "timeout": "1s", "fall": 1, "rise": 1}
CHECK = {"dns": "app.internal", **TIMES}


@pytest.fixture
def udp(scene):
    return Udp(scene)


def wait_state(weir, address, state, detail=""):
    def reached():
        server = weir.servers()[address]
        return server["health"] == state and detail in (server["health_detail"] or "")
    eventually(reached, lambda: f"{state} for {detail!r}: {weir.servers()[address]}")


def test_what_a_name_server_answers_is_how_it_is(udp):
    dns = NameServer({"app.internal": ["10.0.0.1"]})
    udp.scene.servers.append(dns)
    weir = udp.weir(dns, pool={"health": CHECK})
    for answer, words in ((2, "A app.internal was answered with SERVFAIL"), (5, "A app.internal was answered with REFUSED"),
                          (None, "no answer to A app.internal within 1000 ms")):
        wait_state(weir, dns.address, "up")
        dns.names["app.internal"] = answer
        wait_state(weir, dns.address, "down", words)
        dns.names["app.internal"] = []  # NXDOMAIN is an answer like any other
    wait_state(weir, dns.address, "up")
    assert set(dns.questions) == {("app.internal", 1)}
    assert udp.client(weir).ask(question("app.internal", 7))[:2] == b"\0\7"


def test_what_is_asked_and_expected_can_be_said(udp):
    dns = NameServer({"app.internal": ["::1"]})
    udp.scene.servers.append(dns)
    weir = udp.weir(dns, pool={"health": {**CHECK, "dns": {"name": "app.internal.", "type": "AAAA", "rcodes": ["NOERROR"]}}})
    wait_state(weir, dns.address, "up")
    assert set(dns.questions) == {("app.internal", 28)}
    dns.names["app.internal"] = []
    wait_state(weir, dns.address, "down", "AAAA app.internal. was answered with NXDOMAIN")


def test_answers_to_other_questions_are_none(udp):
    def answer(data):
        reply = data[:2] + b"\x81\x80" + data[4:]
        return [b"", data, b"\0\0" + reply[2:], reply.replace(b"app", b"abb")] + ([reply] if is_well else [])
    is_well = True
    server = udp.server("one", answer=answer)
    weir = udp.weir(server, pool={"health": CHECK})
    wait_state(weir, server.address, "up")
    is_well = False
    wait_state(weir, server.address, "down", "4 datagrams came that are none, the last because it is of another question")


def test_a_hung_name_server_gets_no_questions_and_is_back(udp, tmp_path):
    for number in (1, 2):
        os.makedirs(tmp_path / str(number))
    servers = [Dnsmasq(tmp_path / str(number), app="10.0.0.1") for number in (1, 2)]
    hung, well = servers
    try:
        weir = udp.weir(*servers, pool={"health": {**CHECK, "fall": 2}, "ejection": False})
        for server in servers:
            wait_state(weir, server.address, "up")
        hung.process.send_signal(signal.SIGSTOP)
        wait_state(weir, hung.address, "down", "no answer to A app.internal")
        for number in range(20):
            assert addresses_in(udp.client(weir).ask(question("app.internal", number))) == ["10.0.0.1"]
        hung.process.send_signal(signal.SIGCONT)
        wait_state(weir, hung.address, "up")
        well.close()
        wait_state(weir, well.address, "down", "nobody has the server's port")
        assert addresses_in(udp.client(weir).ask(question("app.internal", 1))) == ["10.0.0.1"]
    finally:
        for server in servers:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
                server.close()


def test_another_datagram_can_be_the_question(udp):
    state = b"ok"
    server = udp.server("one", answer=lambda data: [b"state=" + state] if data == b"status\n" else [data])
    asked = udp.server("two", answer=server.answer)
    weir = udp.weir({"name": "one", "address": server.address, "health_address": asked.address},
                    pool={"health": {"udp": {"send": "status\n", "answer": "=ok"}, **TIMES}})
    wait_state(weir, "one", "up")
    state = b"busy"
    wait_state(weir, "one", "down", 'what the server answers does not have "=ok"')
    assert udp.client(weir).ask(b"hello") == b"hello" and b"hello" not in asked.received


@pytest.mark.parametrize("pool, words", [
    ({"tls": {}}, "a check over UDP is asked plain, and the servers of this pool speak TLS"),
    ({"servers": ["unix:/run/dns.sock"]}, "a unix socket is not asked by a check over UDP"),
    ({"health": {"dns": {"name": "app..internal"}}}, '"app..internal" cannot be asked for: a label of it is empty')])
def test_what_cannot_be_asked_is_refused_in_a_sentence(tmp_path, pool, words):
    config = make_config(["127.0.0.1:1"], pool={"health": CHECK, **pool})
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(config))
    done = run_command("check", "-c", str(path))
    assert done.returncode != 0 and words in done.stderr, done.stderr
