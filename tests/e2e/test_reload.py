"""Another configuration while weir runs: by SIGHUP, by PUT and by POST. What both have goes on, what is wrong is refused
as a whole."""
import copy
import json
import signal
import socket
import threading

import pytest

import broken
import echo
import message
from client import Client
from dns import NameServer
from echo import ask, echo_server
from ports import reserve_port
from test_gate import try_to_pass
from test_upgrade import ASK, SWITCH
from waiting import LIMIT_S, eventually
from weir import listen_at_free_port, make_config

WAYS = ["signal", "put", "post"]


def changed(config, path, value):
    """A copy with one value put in: `path` is names with dots; None takes it out."""
    result = copy.deepcopy(config)
    *parents, last = path.split(".")
    at = result
    for name in parents:
        at = at.setdefault(name, {})
    if value is None:
        del at[last]
    else:
        at[last] = value
    return result


def tunnel_echo(connection):
    while connection.buffer or connection.fill():
        connection.send(connection.take(len(connection.buffer)))


# Which configuration is in force


def test_whether_the_file_is_in_force_is_a_gauge_with_its_time(scene):
    weir = scene.proxy(scene.server())
    started = weir.metric("weir_reload_timestamp_seconds")
    assert weir.metric("weir_reload_applied") == 1 and started > 1.7e9
    good = weir.config
    weir.write_file({**good, "workers": "many"})
    for query, expected in (("?dry_run=true", 1), ("", 0)):  # what is only asked decides nothing
        assert weir.ask_admin("POST", "/api/v1/reload" + query).status == 400
        assert weir.metric("weir_reload_applied") == expected
    assert weir.metric("weir_reload_timestamp_seconds") >= started
    weir.reload({**good, "gate": {"deny": ["192.0.2.0/24"]}})  # sent, not the file's: that would still be refused
    assert weir.metric("weir_reload_applied") == 0
    weir.reload(good, "signal")
    weir.wait_metric(1, "weir_reload_applied")


@pytest.mark.parametrize("way", WAYS)
def test_the_next_request_goes_by_the_new_configuration(scene, way):
    one, two = echo_server(scene, "one"), echo_server(scene, "two")
    weir = scene.proxy(one, workers=2)
    client = scene.client(weir)
    assert ask(client).server == "one"
    weir.reload(changed(weir.config, "pools.web.servers", [two.address]), way)
    assert ask(client).server == "two", "the same connection"
    assert ask(scene.client(weir)).server == "two"
    assert weir.metric("weir_config_generation") == 2
    weir.wait_retired()
    assert one.wait_end_of(0) == "eof"


MISTAKES = '''listeners:
  web:
    bind: "127.0.0.1:99999"
    pool: nobody
pools:
  web:
    servers: ["127.0.0.1:1"]
    balnce: ring
    timeouts:
      connect: soon
'''


@pytest.mark.parametrize("way", WAYS)
def test_a_mistake_refuses_all_and_every_mistake_has_its_place(scene, way):
    weir = scene.proxy(echo_server(scene, "one"))
    client = scene.client(weir)
    assert ask(client).server == "one"
    weir.write_file(MISTAKES)
    if way == "signal":
        weir.expected_errors.add("reload_failed")
        weir.process.send_signal(signal.SIGHUP)
        weir.wait_event("reload_failed", 4)  # one for each
        said = {"status": 400, "generation": 1,
                "detail": "\n".join(event["error"] for event in weir.events("reload_failed"))}
    elif way == "post":
        response = weir.ask_admin("POST", "/api/v1/reload")
        assert response.status == 400
        said = json.loads(response.body)
    else:
        response = weir.put_config(MISTAKES.encode())
        assert response.status == 400
        said = json.loads(response.body)
    for place in (":3:", ":8:", ":10:"):
        assert place in said["detail"], said["detail"]
    assert (said["status"], said["generation"]) == (400, 1)
    assert ask(client).server == "one" and ask(scene.client(weir)).server == "one"
    assert weir.metric("weir_config_generation") == 1
    assert weir.metric("weir_reloads_total", result="refused") == 1
    assert weir.metric("weir_config_retiring") == 0


def test_what_cannot_be_bound_refuses_all(scene):
    weir = scene.proxy(echo_server(scene, "one"))
    other = scene.server()
    config = changed(weir.config, "listeners.more", {"bind": other.address, "pool": "web"})
    config["pools"]["web"]["servers"] = [other.address]
    response = weir.put_config(config)
    assert response.status == 409 and "another program listens there" in response.text
    assert ask(scene.client(weir)).server == "one"
    assert weir.metric("weir_config_retiring") == 0


def test_a_dry_run_changes_nothing(scene):
    weir = scene.proxy(echo_server(scene, "one"))
    client = scene.client(weir)
    ask(client)
    config = changed(weir.config, "listeners.more", {"bind": listen_at_free_port(), "pool": "web"})
    config["pools"]["web"]["servers"] = [echo_server(scene, "two").address]
    fds = weir.count_fds()
    for _ in range(20):
        response = weir.put_config(config, "?dry_run=true")
        assert response.status == 200 and json.loads(response.body)["dry_run"] is True
        assert json.loads(response.body)["generation"] == 1
    assert ask(client).server == "one"
    assert [listener["name"] for listener in weir.get("/api/v1/config")["listeners"]] == ["web"]
    assert weir.metric("weir_config_generation") == 1 and weir.metric("weir_config_retiring") == 0
    eventually(lambda: weir.count_fds() == fds, "no descriptor is left")
    with pytest.raises(ConnectionRefusedError):
        Client(("127.0.0.1", int(config["listeners"]["more"]["bind"].rsplit(":", 1)[1])))


def test_what_needs_a_restart_is_told_until_there_was_one(scene):
    weir = scene.proxy(echo_server(scene, "one"))
    config = changed(changed(weir.config, "workers", 2), "limits", {"memory": "100MiB"})
    for query in ("?dry_run=true", "", "", "?dry_run=true"):
        response = weir.put_config(config, query)
        assert json.loads(response.body)["needs_restart"] == ["limits", "workers"], query
    response = weir.put_config(weir.config)
    assert json.loads(response.body)["needs_restart"] == []
    weir.wait_event("restart_needed", 2)  # messages have a thread of their own
    assert [event["changed"] for event in weir.events("restart_needed")] == ["limits,workers"] * 2


def test_a_body_over_its_limit_is_413(scene):
    weir = scene.proxy(echo_server(scene, "one"))
    padding = b"#" + b"x" * (4 << 20) + b"\n"
    assert weir.put_config(padding + json.dumps(weir.config).encode()).status == 413
    assert weir.put_config(b"").status == 400
    large = b"#" + b"x" * (3 << 20) + b"\n" + json.dumps(weir.config).encode()
    assert weir.put_config(large).status == 200


def test_many_at_once_are_one_after_another(scene):
    servers = {name: echo_server(scene, name) for name in "abcdefgh"}
    weir = scene.proxy(servers["a"], workers=2)
    statuses = []

    def put(name):
        config = changed(weir.config, "pools.web.servers", [servers[name].address])
        config["listeners"][name] = {"bind": listen_at_free_port(), "pool": "web"}
        for number in range(10):
            statuses.append(weir.put_config(config, "?dry_run=true" if number % 3 == 2 else "").status)
    threads = [threading.Thread(target=put, args=(name,)) for name in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 80 and set(statuses) <= {200, 409, 503} and statuses.count(200) >= 40, statuses
    for name, server in servers.items():
        weir.reload(changed(weir.config, "pools.web.servers", [server.address]))
        assert ask(scene.client(weir)).server == name
    weir.wait_retired()


def test_without_a_file_it_says_so(scene, tmp_path):
    server = echo_server(scene, "one")
    weir = scene.weir(arguments=["run", "--listen", listen_at_free_port(), "--to", server.address])
    weir.process.send_signal(signal.SIGHUP)
    assert "without a configuration file" in weir.wait_event("reload_impossible")["reason"]


@pytest.mark.parametrize("is_patient", [True, False])
def test_sigterm_in_the_middle_of_reloads(scene, is_patient):
    """Whatever the moment: it ends cleanly, and nothing is left (the sanitizer would tell)."""
    servers = [echo_server(scene, name) for name in ("one", "two")]
    weir = scene.proxy(servers[0], workers=2, timeouts={"drain": "5s"})
    configs = [changed(changed(weir.config, "pools.web.servers", [server.address]), "listeners.web.bind",
                       listen_at_free_port()) for server in servers]
    is_over = threading.Event()

    def put():
        while not is_over.is_set():
            for config in configs:
                try:
                    weir.put_config(config)
                except (OSError, message.Ended, message.Malformed):
                    return
    threads = [threading.Thread(target=put) for _ in range(3)]
    for thread in threads:
        thread.start()
    weir.wait_event("reloaded", 6)
    weir.terminate()
    if not is_patient:
        weir.process.send_signal(signal.SIGTERM)
    assert weir.wait_exit() == 0
    is_over.set()
    for thread in threads:
        thread.join()


# What is kept


def port_of(server):
    """The peer's port as the server sees it, of its latest connection."""
    return server.connections[-1].sock.getpeername()[1]


@pytest.mark.parametrize("way", WAYS)
def test_a_kept_server_keeps_its_connections(scene, way):
    kept, other = echo_server(scene, "kept"), echo_server(scene, "other")
    weir = scene.proxy({"name": "kept", "address": kept.address}, workers=2)
    client = scene.client(weir)
    ask(client)
    port = port_of(kept)
    for number in range(12):
        config = changed(weir.config, "pools.web.timeouts", {"connect": f"{number + 1}s"})
        config["pools"]["web"]["balance"] = ["round_robin", "peak_ewma", "least_request"][number % 3]
        config["pools"]["more"] = {"servers": [other.address]}
        config["pools"]["web"]["servers"] = [{"name": "kept", "address": kept.address, "weight": number + 1}]
        if number % 2:
            config["pools"]["web"]["servers"].append({"name": "idle", "address": other.address, "tier": 2})
        weir.reload(config, way)
        assert ask(client).server == "kept"
    assert len(kept.connections) == 1 and port_of(kept) == port
    weir.wait_retired()


def test_idle_connections_are_kept_whenever_they_come_back(scene):
    """Exchanges end while the configuration changes, on several workers."""
    kept = echo_server(scene, "kept")
    weir = scene.proxy(kept, workers=2, pool={"idle_connections": 64})
    clients = [scene.client(weir) for _ in range(8)]
    for client in clients:
        ask(client)
    count, is_over = None, threading.Event()

    def work(client):
        while not is_over.is_set():
            ask(client)
    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        weir.wait_event("ready")
        count = len(kept.connections)
        for number in range(40):
            weir.reload(changed(weir.config, "pools.web.timeouts", {"connect": f"{number % 9 + 1}s"}))
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    # Exchanges side by side may have needed some more, but not anew with each reload.
    assert len(kept.connections) <= max(count, len(clients)) + len(clients)


def test_the_operators_word_and_weights_set_by_hand_stay(scene):
    names = ["one", "two", "three"]
    servers = {name: echo_server(scene, name) for name in names}
    conf = echo.conf(servers, weight=10)
    weir = scene.proxy(*conf, pool={"balance": "round_robin"})
    weir.patch_server("web", "one", admin="drain")
    weir.patch_server("web", "two", weight=77)
    for number in range(3):
        weir.reload(changed(weir.config, "pools.web.timeouts", {"connect": f"{number + 1}s"}), WAYS[number])
        state = weir.servers()
        assert state["one"]["state"] == "draining" and state["two"]["weight"] == 77 and state["three"]["weight"] == 10
    client = scene.client(weir)
    assert {ask(client).server for _ in range(30)} == {"two", "three"}
    other = copy.deepcopy(conf)
    other[1]["weight"] = 20
    weir.reload(changed(weir.config, "pools.web.servers", other))
    assert weir.servers()["two"]["weight"] == 20, "the file's own value has changed"
    weir.reload(changed(weir.config, "pools.web.servers", conf))
    assert weir.servers()["two"]["weight"] == 10
    assert weir.servers()["one"]["state"] == "draining"


def test_an_ejection_stays(scene):
    dead = f"127.0.0.1:{reserve_port()}"
    weir = scene.proxy({"name": "dead", "address": dead}, {"name": "good", "address": scene.server().address},
                       pool={"balance": "round_robin"})
    client = scene.client(weir)

    def survives():
        """An ejection ends of itself: what is looked at must have come soon after it."""
        eventually(lambda: client.ask().status == 200 and weir.servers()["dead"]["state"] == "ejected", "an ejection")
        before = weir.metric("weir_server_attempts_total", server="dead")
        weir.reload(changed(weir.config, "pools.web.timeouts", {"connect": f"{int(before) % 50 + 1}s"}))
        return weir.servers()["dead"]["state"] == "ejected"
    eventually(survives, "an ejection that a reload lets stand", LIMIT_S * 2)


def test_reordering_changes_nothing(scene):
    servers = {name: echo_server(scene, name) for name in ("one", "two", "three", "four")}
    routes = [{"name": "a", "path_prefix": "/a", "pool": "web"}, {"name": "b", "pool": "web"}]
    weir = scene.proxy(*echo.conf(servers), listener={"routes": routes},
                       pool={"balance": {"method": "hash", "key": "{header:X-Key}", "table": "ring"}, "sticky": {"cookie": "w", "secrets": ["s" * 20]}},
                       listeners={"more": {"bind": listen_at_free_port(), "pool": "web"}})
    client = scene.client(weir)
    seen = {key: ask(client, "/a", ("X-Key", str(key))) for key in range(40)}
    chosen = {key: one.server for key, one in seen.items()}
    connections = {name: len(server.connections) for name, server in servers.items()}
    config = copy.deepcopy(weir.config)
    for part in ("listeners", "pools"):
        config[part] = dict(reversed(config[part].items()))
    config["pools"]["web"] = dict(reversed(config["pools"]["web"].items()))
    config["pools"]["web"]["servers"].reverse()
    weir.reload(dict(reversed(config.items())))
    weir.config["listeners"] = dict(reversed(weir.config["listeners"].items()))
    assert {key: ask(client, "/a", ("X-Key", str(key))).server for key in chosen} == chosen
    for one in seen.values():
        cookie = one.response.get("Set-Cookie").split(";")[0]
        assert ask(client, "/a", ("X-Key", "else"), ("Cookie", cookie)).server == one.server
    assert {name: len(server.connections) for name, server in servers.items()} == connections
    weir.wait_retired()


# What goes


def test_a_removed_servers_last_response_is_whole_and_its_record_has_its_name(scene):
    half, rest = threading.Event(), threading.Event()
    body = b"x" * 300000
    old = scene.server([broken.receive, broken.send(message.response(200, body=body)[:1000]),
                        lambda connection: half.set(), broken.wait_for(rest),
                        broken.send(message.response(200, body=body)[1000:]), broken.wait_end])
    new = echo_server(scene, "new")
    weir = scene.proxy({"name": "old", "address": old.address}, workers=2)
    slow, other = scene.client(weir), scene.client(weir)
    slow.send(message.request("GET", "/long"))
    slow.read_until(b"\r\n\r\n", 10000, "a head")
    weir.reload(changed(weir.config, "pools.web.servers", [{"name": "new", "address": new.address}]))
    assert ask(other).server == "new"
    assert weir.metric("weir_config_retiring") > 0
    assert set(weir.servers()) == {"new"}
    rest.set()
    assert slow.read_exactly(len(body)) == body
    record = weir.exchange(pool="web", server="old")
    attempt, = record["attempts"]
    assert (record["end"], attempt["server"], record["pool"]) == ("ok", "old", "web")
    weir.wait_retired()
    assert weir.exchange(pool="web", min_ms=0) and [
        known for known in weir.exchanges(pool="web") if known["id"] == record["id"]] == [record]
    assert old.wait_end_of(0) == "eof"


def test_a_response_whose_head_comes_after_the_reload_is_whole_and_holds_nothing(scene):
    go, rest = threading.Event(), threading.Event()
    body = b"y" * 100000
    slow = scene.server([broken.receive, broken.wait_for(go), broken.send(message.response(200, body=body)[:500]),
                         broken.wait_for(rest), broken.send(message.response(200, body=body)[500:])])
    weir = scene.proxy(slow, workers=2)
    client = scene.client(weir)
    client.send(message.request("GET", "/late"))
    slow.wait_requests(1)
    weir.reload(changed(weir.config, "pools.web.timeouts", {"connect": "3s"}))
    assert weir.metric("weir_config_retiring") == 1
    go.set()
    client.read_until(b"\r\n\r\n", 10000, "a head")
    weir.wait_event("reloaded")
    rest.set()
    assert client.read_exactly(len(body)) == body
    weir.wait_retired()


def test_a_pool_that_goes_and_comes_back_is_a_new_one(scene):
    server = echo_server(scene, "one")
    weir = scene.proxy(server)
    with_more = changed(weir.config, "pools.more", {"servers": [server.address]})
    with_more["listeners"]["web"]["pool"] = "more"
    without = weir.config
    client = scene.client(weir)
    for config in [with_more, without] * 5:
        weir.reload(config)
        assert ask(client).server == "one"
    weir.wait_retired()


# Listeners


class Visitors:
    """New connections as fast as they come, each with one request; what became of them."""

    def __init__(self, address, count=3):
        self.address = address
        self.ended = threading.Event()
        self.passed = self.refused = 0
        self.faults = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def visit(self):
        try:
            client = Client(self.address)
        except ConnectionRefusedError:
            return "refused"
        try:
            response = client.ask("GET", "/", ("Connection", "close"))
            return "passed" if response.status == 200 else f"status {response.status}"
        except (message.Ended, OSError) as error:
            return f"fault: {error!r}"
        finally:
            client.close()

    def run(self):
        while not self.ended.is_set():
            result = self.visit()
            with self.lock:
                if result == "passed":
                    self.passed += 1
                elif result == "refused":
                    self.refused += 1
                else:
                    self.faults.append(result)

    def wait_more(self, count=30):
        goal = self.passed + count
        eventually(lambda: self.passed >= goal, f"{count} more visitors")

    def finish(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("build", ["release", "asan"])
def test_listeners_come_go_and_change_names_under_load(scene, build):
    server = scene.server()
    weir = scene.proxy(server, workers=2, build=build)
    first = weir.config
    renamed = copy.deepcopy(first)
    renamed["listeners"] = {"other": first["listeners"]["web"], "more": {"bind": listen_at_free_port(), "pool": "web"}}
    visitors = Visitors(weir.address)
    try:
        for number in range(20):
            weir.reload(renamed if number % 2 == 0 else first)
            visitors.wait_more()
            if number % 2 == 0:
                assert scene.client(weir, "more").ask().status == 200
    finally:
        visitors.finish()
    assert not visitors.faults and not visitors.refused, (visitors.faults[:5], len(visitors.faults), visitors.refused)
    weir.wait_retired()


@pytest.mark.parametrize("build", ["release", "asan"])
def test_who_had_connected_to_a_listener_that_moves_is_served(scene, build):
    """There nobody listens any more afterwards, but nobody is reset."""
    weir = scene.proxy(scene.server(), workers=2, build=build)
    first = weir.config
    moved = changed(first, "listeners.web.bind", listen_at_free_port())
    visitors = Visitors(weir.address)
    try:
        for number in range(12):
            visitors.wait_more()
            weir.reload(moved)
            assert scene.client(weir).ask().status == 200
            weir.reload(first)
    finally:
        visitors.finish()
    assert not visitors.faults, (visitors.faults[:5], len(visitors.faults), visitors.passed, visitors.refused)
    weir.wait_retired()


def test_a_listener_that_leaves_again_at_once_lets_handshakes_end_as_well(scene):
    """For a moment a new one is not answered there, but not refused either, since the sockets are still open."""
    weir = scene.proxy(scene.server(), workers=2)
    first, address = weir.config, weir.address
    moved = changed(first, "listeners.web.bind", listen_at_free_port())

    def leaves_slowly():
        for config in (moved, first, moved):
            weir.reload(config)
        try:
            socket.create_connection(address, 0.2).close()
        except ConnectionRefusedError:  # as it would be on a machine so busy that the moment has passed
            weir.reload(first)
            return False
        except TimeoutError:
            return True
    eventually(leaves_slowly, "a listener that goes in its own time")
    weir.wait_retired()


def test_two_listeners_trade_places(scene):
    pools = {"one": {"servers": [echo_server(scene, "one").address]}, "two": {"servers": [echo_server(scene, "two").address]}}
    weir = scene.proxy("127.0.0.1:1", workers=2, pools=pools, listener={"pool": "one"},
                       listeners={"more": {"bind": listen_at_free_port(), "pool": "two"}})
    web, more = weir.bind_of("web"), weir.bind_of("more")
    config = copy.deepcopy(weir.config)
    binds = [config["listeners"][name]["bind"] for name in ("web", "more")]
    config["listeners"]["web"]["bind"], config["listeners"]["more"]["bind"] = reversed(binds)
    assert (ask(scene.client(web)).server, ask(scene.client(more)).server) == ("one", "two")
    weir.reload(config)
    eventually(lambda: (ask(scene.client(web)).server, ask(scene.client(more)).server) == ("two", "one"), "they have traded")


def test_a_listener_widens_and_narrows_its_address(scene):
    """From one address to all of them at the same port, and back."""
    weir = scene.proxy(echo_server(scene, "one"), workers=2)
    port = weir.address[1]
    for bind, other in ((f"0.0.0.0:{port}", True), (f"127.0.0.1:{port}", False), (f":{port}", True),
                        (f"127.0.0.1:{port}", False)):
        weir.reload(changed(weir.config, "listeners.web.bind", bind))
        assert ask(scene.client(("127.0.0.1", port))).server == "one"
        if other:
            assert ask(scene.client(("127.0.0.2", port))).server == "one"
        else:
            eventually(lambda: is_refused(("127.0.0.2", port)), "the other addresses are free again")


def is_refused(address):
    try:
        Client(address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_unix_socket_comes_and_goes(scene, tmp_path):
    weir = scene.proxy(echo_server(scene, "one"), workers=2)
    path = tmp_path / "web.sock"
    first = weir.config
    for _ in range(3):
        weir.reload(changed(first, "listeners.local", {"bind": f"unix:{path}", "pool": "web"}))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(LIMIT_S)
            sock.connect(str(path))
            sock.sendall(message.request("GET", "/", ("Connection", "close")))
            data = b""
            while piece := sock.recv(65536):
                data += piece
        assert data.startswith(b"HTTP/1.1 200")
        weir.reload(first)
        assert not path.exists()
    weir.wait_retired()


def test_a_listener_of_a_name_becomes_tcp_and_http_again(scene):
    server = echo_server(scene, "one")
    tunnel = scene.server([tunnel_echo])
    weir = scene.proxy(server, workers=2, pools={"raw": {"servers": [tunnel.address]}})
    first = weir.config
    as_tcp = changed(changed(first, "listeners.web.protocol", "tcp"), "listeners.web.pool", "raw")
    kept = scene.client(weir)
    assert ask(kept).server == "one"
    for _ in range(3):
        weir.reload(as_tcp)
        raw = scene.client(weir)
        raw.send(b"not http\0")
        assert raw.read_exactly(9) == b"not http\0"
        weir.reload(first)
        assert ask(scene.client(weir)).server == "one"
        raw.send(b"still")
        assert raw.read_exactly(5) == b"still", "what had begun goes on"
        raw.close()
    kept.check_closed()  # its listener is gone, and it was idle
    weir.wait_retired()


def test_a_pool_changes_its_kind(scene):
    server = echo_server(scene, "out")
    weir = scene.proxy(server, workers=2)
    config = changed(weir.config, "pools.web", {"kind": "egress", "servers": ["127.0.0.2:0"]})
    config["listeners"]["web"] = {"bind": weir.config["listeners"]["web"]["bind"], "routes": [
        {"name": "out", "egress": {"pool": "web", "allow": [f"127.0.0.0/8:{server.port}"]}}]}
    first = weir.config
    client = scene.client(weir)
    for _ in range(3):
        assert ask(client).server == "out"
        weir.reload(config)
        assert ask(client, "/", ("X-Egress-Host", server.address), ("X-Egress-Scheme", "http")).server == "out"
        assert server.connections[-1].sock.getpeername()[0] == "127.0.0.2"
        weir.reload(first)
    weir.wait_retired()


# What a request asks


def test_routes_splits_stickiness_gates_and_mirrors_hold_for_the_next_request(scene):
    servers = {name: echo_server(scene, name) for name in ("one", "two", "shadow")}
    pools = {name: {"servers": [server.address]} for name, server in servers.items()}
    weir = scene.proxy("127.0.0.1:1", workers=2, pools=pools, listener={"routes": [{"name": "r", "pool": "one"}]})
    first = weir.config
    client = scene.client(weir)

    def with_routes(*routes, **top):
        return {**changed(first, "listeners.web.routes", list(routes)), **top}
    assert ask(client).server == "one"
    weir.reload(with_routes({"name": "r", "pool": "one"}, {"name": "s", "path_prefix": "/s", "pool": "two"}))
    assert (ask(client, "/s").server, ask(client, "/r").server) == ("two", "one")

    split = {"checkout": {"unit": "header:X-User-Id", "salt": "s", "response_header": True,
                          "variants": {"a": {"weight": 0, "pool": "one"}, "b": {"weight": 100, "pool": "two"}}}}
    weir.reload(with_routes({"name": "r", "split": "checkout"}, splits=split))
    seen = ask(client, "/", ("X-User-Id", "7"))
    assert (seen.server, seen.response.get("Weir-Split")) == ("two", "checkout=b")

    sticky = copy.deepcopy(with_routes({"name": "r", "pool": "one"}))
    sticky["pools"]["one"]["sticky"] = {"cookie": "w", "secrets": ["s" * 20]}
    weir.reload(sticky)
    assert ask(client).response.get("Set-Cookie").startswith("w=")

    weir.reload(with_routes({"name": "r", "pool": "one", "gate": {"deny": ["127.0.0.0/8"]}}))
    assert client.ask().status == 403

    weir.reload(with_routes({"name": "r", "pool": "one", "mirror": "shadow", "rewrite": {"add_prefix": "/p"}}))
    client = scene.client(weir)
    assert ask(client, "/m").target == "/p/m"
    assert servers["shadow"].wait_requests(1)[0].target == "/p/m"

    weir.reload(changed(first, "gate", {"deny": ["127.0.0.1"]}))
    assert ask(client).server == "one", "who is in is in"
    assert try_to_pass(scene, weir) is None
    weir.reload(first)
    assert ask(scene.client(weir)).server == "one"
    weir.wait_retired()


def test_egress_comes_with_a_reload(scene):
    server = echo_server(scene, "out")
    names = NameServer({"api.example.com": ["127.0.0.1"]})
    scene.servers.append(names)
    weir = scene.proxy(server, workers=2, resolver={"servers": [names.address], "attempts": 1})
    first = weir.config

    def allowing(*allowed):
        config = changed(first, "pools.out", {"kind": "egress", "servers": ["127.0.0.2:0"]})
        config["listeners"]["web"] = {"bind": first["listeners"]["web"]["bind"], "routes": [
            {"name": "out", "egress": {"pool": "out", "allow": list(allowed)}}]}
        return config
    out = (("X-Egress-Host", f"api.example.com:{server.port}"), ("X-Egress-Scheme", "http"))
    client = scene.client(weir)
    ask(client)
    for _ in range(3):
        weir.reload(allowing(f"api.example.com:{server.port}", f"127.0.0.0/8:{server.port}"))
        assert ask(client, "/", *out).server == "out"
        weir.reload(allowing(f"else.example.com:{server.port}"))
        assert client.ask("GET", "/", *out).status == 403
    weir.reload(first)
    assert ask(client).server == "out"
    weir.wait_retired()


def test_open_ends_are_counted_as_they_were_let_in(scene):
    """connections_per_client from off to 10 and back, with connections, tunnels and sessions open all the while."""
    server = scene.server([broken.receive, broken.send(SWITCH), tunnel_echo])
    raw = scene.server([tunnel_echo])
    weir = scene.proxy(server, workers=2, pools={"raw": {"servers": [raw.address]}},
                       listeners={"raw": {"bind": listen_at_free_port(), "protocol": "tcp", "pool": "raw"}})
    off = weir.config
    on = changed(off, "gate", {"connections_per_client": 10})

    def open_some(count):
        ends = []
        for number in range(count):
            client = scene.client(weir, "raw" if number % 2 else "web")
            if number % 2:
                client.send(b"x")
                assert client.read_exactly(1) == b"x"
            else:
                assert client.ask("GET", "/", *ASK).status == 101
            ends.append(client)
        return ends

    def close(ends):
        for client in ends:
            client.close()
        weir.wait_live(tunnels=0, client_connections=0)
    for _ in range(3):
        uncounted = open_some(16)
        weir.reload(on)
        counted = open_some(10)
        scene.client(weir, "raw").check_gone()
        weir.reload(off)
        more = open_some(6)
        close(uncounted + counted + more)
        weir.reload(on)
        close(open_some(10))
        weir.reload(off)
    weir.wait_retired()


# What goes on for long


def test_streams_tunnels_and_sessions_go_on_over_100_reloads(scene):
    events = threading.Event()

    def stream(connection):
        connection.send(message.response(200, ("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked"),
                                         body=None))
        while not connection.server.stopping.is_set():
            connection.send(message.chunked(b"data: 1\n\n")[:-5])
            if events.wait(0.02):
                connection.send(b"0\r\n\r\n")
                return
    sse = scene.server([broken.receive, stream])
    sockets = scene.server([broken.receive, broken.send(SWITCH), tunnel_echo])
    raw = scene.server([tunnel_echo])
    servers = [scene.server(), scene.server()]
    weir = scene.proxy(servers[0], workers=2, listener={"routes": [
        {"name": "web", "pool": "web"}, {"name": "sse", "path": "/sse", "pool": "sse"},
        {"name": "ws", "path": "/ws", "pool": "ws", "upgrade": ["websocket"]}]},
        pools={"sse": {"servers": [sse.address]}, "ws": {"servers": [sockets.address]}, "raw": {"servers": [raw.address]}},
        listeners={"raw": {"bind": listen_at_free_port(), "protocol": "tcp", "pool": "raw"}})
    listening, socket_client, session = scene.client(weir), scene.client(weir), scene.client(weir, "raw")
    listening.send(message.request("GET", "/sse"))
    listening.read_until(b"data: 1\n\n", 100000, "an event")
    assert socket_client.ask("GET", "/ws", *ASK).status == 101
    session.send(b"a")
    assert session.read_exactly(1) == b"a"
    plain = scene.client(weir)
    for number in range(100):
        config = changed(weir.config, "pools.web.servers", [servers[number % 2].address])
        config["pools"]["ws"]["timeouts"] = {"connect": f"{number % 9 + 1}s"}
        config["pools"]["sse"]["timeouts"] = {"connect": f"{number % 9 + 1}s"}
        weir.reload(config)
        assert plain.ask().status == 200
        if number % 10 == 0:
            for client in (socket_client, session):
                client.send(b"%d" % number)
                assert client.read_exactly(len(str(number))) == b"%d" % number
            listening.read_until(b"data: 1\n\n", 100000, "an event")
    # What the three began with has only its counters left.
    eventually(lambda: weir.metric("weir_config_retiring") <= 1, lambda: weir.metric("weir_config_retiring"))
    events.set()
    listening.read_until(b"\r\n0\r\n\r\n", 10000000, "the end")
    socket_client.close()
    session.close()
    weir.wait_retired()
    assert weir.metric("weir_config_generation") == 101
