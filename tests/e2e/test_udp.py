"""Listeners for datagrams: sessions, servers that are gone or silent, bounds, and every way in which weir changes under them."""
import json
import os
import socket
import struct

import pytest

from datagrams import DatagramLoad, UdpClient, UdpServer
from dns import A, NameServer, encode_name
from dnsmasq import Dnsmasq
from test_binary_upgrade import make_config
from tls import Pki
from waiting import eventually
from weir import listen_at_free_port, run_command


@pytest.fixture
def udp(scene):
    return Udp(scene)


class Udp:
    def __init__(self, scene):
        self.scene = scene

    def server(self, name, **options):
        server = UdpServer(name, **options)
        self.scene.servers.append(server)
        return server

    def config(self, *servers, listener=None, pool=None, workers=1, **settings):
        front = {"udp": {"responses": 1, "idle": "5s", **settings}, **(listener or {})}
        return make_config(servers, listener=front, pool=pool, protocol="udp", workers=workers)

    def weir(self, *servers, build="asan", top=None, **options):
        return self.scene.weir({**self.config(*servers, **options), **(top or {})}, build=build)

    def client(self, weir, listener="web"):
        address = weir if isinstance(weir, tuple) else weir.bind_of(listener)
        client = UdpClient(address)
        self.scene.clients.append(client)
        return client


def test_each_question_is_answered_and_put_down(udp, tmp_path):
    path = os.path.join(str(tmp_path), "access.log")
    log = {"path": path, "format": "$server_protocol $weir_end $request_length $bytes_sent $weir_datagrams_in "
                                   "$weir_datagrams_out $weir_pool $upstream_addr"}
    server = udp.server("one")
    weir = udp.weir(server, top={"access_log": log})
    client = udp.client(weir)
    assert client.ask(b"hello") == b"one:hello"
    record = weir.exchange(end="ok")
    assert (record["protocol"], record["bytes_in"], record["bytes_out"]) == ("udp", 5, 9)
    assert (record["datagrams_in"], record["datagrams_out"]) == (1, 1)
    assert record["why"].startswith("The session was over after")
    weir.wait_live(tunnels=0, client_connections=0)
    listener = weir.get("/api/v1/listeners")["listeners"][0]
    assert (listener["protocol"], listener["datagrams_in"], listener["datagrams_out"]) == ("udp", 1, 1)
    weir.wait_metric(1, "weir_datagrams_received_total", listener="web")
    weir.terminate()
    assert weir.wait_exit() == 0
    with open(path) as file:
        assert file.read() == f"UDP ok 5 9 1 1 web {server.address}\n"


@pytest.mark.parametrize("build", ["asan", "release"])
@pytest.mark.parametrize("balance", ["round_robin", "least_connections", {"method": "hash", "key": "client"}])
def test_every_client_gets_its_own_answers(udp, build, balance):
    weir = udp.weir(udp.server("one"), udp.server("two"), build=build, workers=2, pool={"balance": balance})
    with DatagramLoad(weir.bind_of(), new=3, kept=3) as load:
        load.wait_more(300)
    assert not load.faults, load.faults
    weir.wait_live(tunnels=0, client_connections=0)
    assert weir.metric("weir_datagrams_dropped_total", listener="web", reason="client") == 0


def test_a_port_of_many_answers_is_one_session(udp):
    weir = udp.weir(udp.server("one", answer=lambda data: [b"%d" % i for i in range(int(data))]), responses=0, idle="300ms")
    client = udp.client(weir)
    client.send(b"100")
    assert [client.receive() for _ in range(100)] == [b"%d" % i for i in range(100)]
    assert weir.live()["tunnels"] == 1
    client.send(b"3")
    assert [client.receive() for _ in range(3)] == [b"0", b"1", b"2"]
    record = weir.exchange(end="idle_timeout")
    assert (record["datagrams_in"], record["datagrams_out"]) == (2, 103)


def test_datagrams_pass_whole_whatever_their_size(udp):
    weir = udp.weir(udp.server("one", answer=lambda data: [data]), responses=0, idle="500ms")
    client = udp.client(weir)
    for size in (0, 1, 511, 512, 513, 1472, 1473, 9000, 65507):
        data = os.urandom(size)
        assert client.ask(data) == data


def test_a_server_whose_port_is_closed_costs_no_answer(udp):
    gone = udp.server("gone")
    weir = udp.weir(gone, udp.server("one"), pool={"balance": "round_robin"})
    with DatagramLoad(weir.bind_of()) as load:
        load.wait_more()
        gone.close()
        eventually(lambda: weir.servers()[gone.address]["state"] == "ejected" or load.faults, "the server is out")
        load.wait_more()
        gone.open()
        count = len(gone.received)
        eventually(lambda: len(gone.received) > count or load.faults, "the server is back")
    # What it had taken and not answered when it went was acted on, for all that weir knows.
    assert len(load.faults) <= 4, load.faults


def test_a_silent_server_is_found_out(udp):
    silent = udp.server("silent", answer=lambda data: [])
    weir = udp.weir(silent, udp.server("one"), pool={"balance": "round_robin"}, idle="200ms")
    client = UdpClient(weir.bind_of(), seconds=1)
    udp.scene.clients.append(client)

    def is_out():
        try:
            client.ask(b"?")
        except TimeoutError:
            pass
        return weir.servers()[silent.address]["state"] == "ejected"
    eventually(is_out, "the silent server is out")
    assert weir.exchange(end="first_byte_timeout", limit=1)["origin"] == "server"


def test_who_is_not_let_in_hears_nothing(udp):
    server = udp.server("one")
    weir = udp.weir(server, listener={"gate": {"deny": ["127.0.0.1"]}})
    client = udp.client(weir)
    client.send(b"?")
    weir.wait_metric(1, "weir_connections_refused_total", listener="web", reason="gate_denied")
    assert client.is_silent() and not server.received


def test_sessions_have_a_rate(udp):
    server = udp.server("one")
    weir = udp.weir(server, listener={"rate": "3/h"})
    clients = [udp.client(weir) for _ in range(5)]
    for client in clients:
        client.send(b"?")
    weir.wait_metric(2, "weir_connections_refused_total", listener="web", reason="rate_limited")
    server.wait_received(3)
    assert len(server.received) == 3


def test_a_flood_of_ports_is_bounded(udp):
    """And who comes after it is served: those of the flood are silent."""
    server = udp.server("one", answer=lambda data: [b"yes"] if data == b"!" else [])
    weir = udp.weir(server, sessions=50, idle="60s", top={"timeouts": {"drain": "100ms"}})
    flood = [udp.client(weir) for _ in range(80)]
    for client in flood:
        client.send(b"?")
    weir.wait_metric(30, "weir_connections_refused_total", listener="web", reason="connection_limit")
    assert weir.live()["tunnels"] == 50
    client = udp.client(weir)
    eventually(lambda: (client.send(b"!") or not client.is_silent()), "an answer")
    assert weir.live()["tunnels"] <= 50
    assert weir.exchange(end="displaced")["origin"] == "weir"
    weir.terminate()
    assert weir.wait_exit() == 0


def test_an_answer_comes_from_the_address_that_was_asked(udp):
    port = listen_at_free_port().rsplit(":", 1)[1]
    for bind, host in ((f"0.0.0.0:{port}", "127.0.0.7"), (f":{port}", "127.0.0.8"), (f":{port}", "::1")):
        weir = udp.weir(udp.server("one"), listener={"bind": bind})
        assert udp.client((host, int(port))).ask(b"hello") == b"one:hello"
        weir.terminate()
        assert weir.wait_exit() == 0


def test_tcp_and_udp_share_a_port_number(udp, scene):
    bind = listen_at_free_port()
    config = udp.config(udp.server("one"), listener={"bind": bind})
    tcp = scene.server()
    config["listeners"]["tcp"] = {"bind": bind, "protocol": "tcp", "pool": "tcp"}
    config["pools"]["tcp"] = {"servers": [tcp.address]}
    weir = scene.weir(config)
    assert udp.client(weir).ask(b"hello") == b"one:hello"
    assert scene.client(weir, "tcp").ask("GET", "/").status == 200


@pytest.mark.parametrize("build", ["asan", "release"])
def test_reloads_lose_nothing(udp, build):
    one, two = udp.server("one"), udp.server("two")
    weir = udp.weir(one, build=build, workers=2)
    config = weir.config
    with DatagramLoad(weir.bind_of()) as load:
        for addresses in ([one.address, two.address], [two.address], [one.address]):
            load.wait_more()
            config = json.loads(json.dumps(config))
            config["pools"]["web"]["servers"] = addresses
            weir.reload(config)
        # Another name at the same place: another listener, and the same sockets.
        load.wait_more()
        config["listeners"] = {"renamed": config["listeners"]["web"]}
        weir.reload(config)
        load.wait_more()
    assert not load.faults, load.faults
    weir.wait_retired()


def test_listeners_come_move_and_go(udp):
    server = udp.server("one")
    weir = udp.weir(server, workers=2)
    first = weir.bind_of()
    config = json.loads(json.dumps(weir.config))
    config["listeners"]["more"] = {**config["listeners"]["web"], "bind": listen_at_free_port()}
    weir.reload(config)
    assert udp.client(weir, "more").ask(b"a") == b"one:a"
    config["listeners"]["web"]["bind"] = listen_at_free_port()
    server.held.set()
    asked = udp.client(first)
    asked.send(b"before")
    server.wait_received(2)
    weir.reload(config)
    late = udp.client(first)
    late.send(b"after")  # nobody is there any more
    server.held.clear()
    assert asked.receive() == b"one:before"
    assert udp.client(weir).ask(b"b") == b"one:b"
    weir.wait_retired()
    with pytest.raises(ConnectionRefusedError):
        for _ in range(2):
            late.ask(b"closed")
    del config["listeners"]["more"]
    weir.reload(config)
    weir.wait_retired()
    assert b"after" not in server.received


def test_a_session_leaves_a_server_that_is_taken_out(udp):
    one, two = udp.server("one"), udp.server("two")
    weir = udp.weir(one, responses=0, idle="500ms")
    client = udp.client(weir)
    assert client.ask(b"a") == b"one:a"
    config = json.loads(json.dumps(weir.config))
    config["pools"]["web"]["servers"] = [two.address]
    weir.reload(config)
    eventually(lambda: client.ask(b"b") == b"two:b", "the new server")
    assert weir.exchange(end="moved")["datagrams_in"] >= 1


@pytest.mark.parametrize("build", ["asan", "release"])
def test_an_upgrade_loses_nothing(udp, build):
    weir = udp.weir(udp.server("one"), udp.server("two"), build=build, workers=2)
    with DatagramLoad(weir.bind_of()) as load:
        for _ in range(2):
            load.wait_more()
            weir.upgrade()
            load.wait_more()
            weir.wait_alone()
    assert not load.faults, load.faults


def test_what_was_asked_of_the_old_process_is_answered_by_it(udp):
    server = udp.server("one")
    weir = udp.weir(server)
    server.held.set()
    client = udp.client(weir)
    client.send(b"before")
    server.wait_received(1)
    weir.upgrade()
    server.held.clear()
    assert client.receive() == b"one:before"
    assert udp.client(weir).ask(b"after") == b"one:after"
    weir.wait_alone()


def test_two_weirs_share_a_port(udp, scene):
    server = udp.server("one")
    old = udp.weir(server)
    with DatagramLoad(old.bind_of(), kept=0) as load:
        new = scene.weir({**json.loads(json.dumps(old.config)), "admin": {"bind": listen_at_free_port()}})
        assert new.wait_event("port_shared")["bind"] == "%s:%d" % old.bind_of()
        new.baseline = None
        load.wait_more()
        old.terminate()
        assert old.wait_exit() == 0
        load.wait_more()
    assert not load.faults, load.faults


def test_a_stop_answers_what_was_asked_and_closes_the_port(udp):
    server = udp.server("one")
    weir = udp.weir(server, workers=2)
    server.held.set()
    client = udp.client(weir)
    client.send(b"before")
    server.wait_received(1)
    weir.terminate()
    weir.wait_event("drain_begins")
    assert weir.process.poll() is None
    server.held.clear()
    assert client.receive() == b"one:before"
    assert weir.wait_exit() == 0
    with pytest.raises(ConnectionRefusedError):
        client.ask(b"after")


def test_tls_and_explanations_are_refused_in_a_sentence(udp, tmp_path):
    pki = Pki(tmp_path)
    pki.make("site", "localhost")
    config = udp.config("127.0.0.1:1")
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(config))
    done = run_command("explain", "-c", str(path), "--listener", "web", "/")
    assert done.returncode != 0 and "passes datagrams: there is no request to explain" in done.stderr
    config["listeners"]["web"]["tls"] = {"certificates": [{"cert": pki.path("site.pem"), "key": pki.path("site.key")}]}
    path.write_text(json.dumps(config))
    done = run_command("check", "-c", str(path))
    assert done.returncode != 0 and "TLS needs a connection" in done.stderr, done.stderr


def question(name, number):
    return struct.pack(">6H", number, 0x100, 1, 0, 0, 0) + encode_name(name) + struct.pack(">2H", A, 1)


def addresses_in(answer):
    count, = struct.unpack(">H", answer[6:8])
    return sorted(socket.inet_ntoa(answer[len(answer) - 16 * (i + 1) + 12:len(answer) - 16 * i]) for i in range(count))


def test_names_are_asked_of_a_name_server_behind_weir(udp):
    dns = NameServer({"app.internal": ["10.0.0.1"]})
    udp.scene.servers.append(dns)
    weir = udp.weir(dns)
    answer = udp.client(weir).ask(question("app.internal", 7))
    assert answer[:2] == b"\0\7" and addresses_in(answer) == ["10.0.0.1"]


def test_names_are_asked_of_dnsmasq_behind_weir(udp, tmp_path):
    for number in (1, 2):
        os.makedirs(tmp_path / str(number))
    servers = [Dnsmasq(tmp_path / str(number), app="10.0.0.1 10.0.0.2") for number in (1, 2)]
    try:
        weir = udp.weir(*servers, workers=2, pool={"health": {"tcp": {}}})
        for number in range(200):
            answer = udp.client(weir).ask(question("app.internal", number))
            assert answer[:2] == struct.pack(">H", number) and addresses_in(answer) == ["10.0.0.1", "10.0.0.2"]
        asked = [weir.metric("weir_server_attempts_total", server=server.address) for server in servers]
        assert sum(asked) >= 200 and min(asked) > 0, asked
        servers[0].close()
        for number in range(50):
            assert addresses_in(udp.client(weir).ask(question("app.internal", number))) == ["10.0.0.1", "10.0.0.2"]
    finally:
        for server in servers:
            if server.process.poll() is None:
                server.close()
