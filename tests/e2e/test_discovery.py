"""Servers that have to be found: names in pools, and files that list servers. The name server is the test's own; its
answers hold for no time, so that weir asks as often as it may, once a second."""
import contextlib
import itertools
import json
import os
import select
import signal
import socket
import threading
import urllib.parse

import pytest

import broken
import message
from client import Client
from dns import AAAA, NameServer
from echo import ask, describe
from ports import reserve_port
from waiting import LIMIT_S, eventually
from weir import Weir, make_config, run_command

NAME = "app.internal"
SERVFAIL = 2


class Found:
    """Servers on one port of several addresses of this host, and a name server that knows the name of some of them."""

    def __init__(self, scene):
        self.scene = scene
        self.port = reserve_port()
        self.dns = NameServer({}, ttl=0)
        scene.servers.append(self.dns)
        self.servers = {}

    @property
    def entry(self):
        return f"{NAME}:{self.port}"

    def start(self, *numbers, answer=None):
        """Servers at 127.0.0.<number>, which answer with that number for a name."""
        for number in numbers:
            host = f"127.0.0.{number}"
            script = [broken.serve(answer or (lambda request, host=host: describe(host, request)))]
            self.servers[number] = self.scene.server(script, port=self.port, host=host)

    def say(self, *numbers, name=NAME):
        self.dns.names[name] = [f"127.0.0.{number}" for number in numbers]

    def weir(self, *entries, pool=None, resolver=None, **options):
        config = make_config(entries or [self.entry], pool=pool, **options)
        config["resolver"] = {"servers": [self.dns.address], "timeout": "100ms", "attempts": 2, "min_ttl": "100ms",
                              **(resolver or {})}
        return self.scene.weir(config)

    def names(self, *numbers):
        return [f"{self.entry}@127.0.0.{number}" for number in numbers]


def servers_of(weir, pool="web"):
    return weir.get(f"/api/v1/pools/{pool}")["servers"]


def names_of(weir, pool="web"):
    return [server["name"] for server in servers_of(weir, pool)]


def wait_names(weir, names, pool="web"):
    eventually(lambda: names_of(weir, pool) == names, lambda: f"{names} are there: {names_of(weir, pool)}")


def source(weir, kind="dns"):
    sources = [row for row in weir.get("/api/v1/sources")["sources"] if row["kind"] == kind]
    assert len(sources) == 1, sources
    return sources[0]


@pytest.fixture
def found(scene):
    return Found(scene)


def test_a_name_is_a_server_at_each_of_its_addresses(scene, found):
    found.start(2, 3)
    found.say(3, 2)
    weir = found.weir(pool={"balance": "round_robin"}, workers=2)
    assert names_of(weir) == found.names(2, 3), "before anything is served"
    assert [server["address"] for server in servers_of(weir)] == [f"127.0.0.{n}:{found.port}" for n in (2, 3)]
    client = scene.client(weir)
    assert {ask(client).server for _ in range(4)} == {"127.0.0.2", "127.0.0.3"}
    row = source(weir)
    assert (row["source"], row["pools"], row["addresses"]) == (found.entry, ["web"], ["127.0.0.2", "127.0.0.3"])
    assert row["stale_ms"] is None and row["reason"] is None and not row["cut"]
    assert weir.metric("weir_source_servers", source=found.entry, kind="dns") == 2
    assert AAAA not in [kind for _, kind in found.dns.questions], "it has addresses of IPv4"
    assert weir.exchange()["attempts"][-1]["server"] in found.names(2, 3)


def test_what_else_is_said_of_a_name_holds_for_each_of_its_servers(scene, found):
    found.start(2, 3)
    found.say(2, 3)
    fixed = scene.server([broken.serve(lambda request: describe("fixed", request))])
    weir = found.weir({"name": "app", "address": found.entry, "weight": 7, "max_connections": 9},
                      {"name": "fixed", "address": fixed.address})
    servers = {server["name"]: server for server in servers_of(weir)}
    assert set(servers) == {"app@127.0.0.2", "app@127.0.0.3", "fixed"}
    for name in ("app@127.0.0.2", "app@127.0.0.3"):
        assert (servers[name]["weight"], servers[name]["max_connections"]) == (7, 9)
    assert servers["fixed"]["weight"] == 1


def test_what_stays_keeps_what_is_known_of_it(scene, found):
    found.start(2, 3, 4)
    found.say(2, 3)
    weir = found.weir()
    etag = weir.ask_admin("GET", "/api/v1/config").get("etag")
    client = scene.client(weir)
    for _ in range(6):
        ask(client)
    kept, gone = found.names(3)[0], found.names(2)[0]
    weir.patch_server("web", kept, weight=5)
    attempts = {server["name"]: server["attempts"] for server in servers_of(weir)}
    found.say(3, 4)
    wait_names(weir, found.names(3, 4))
    servers = {server["name"]: server for server in servers_of(weir)}
    assert servers[kept]["weight"] == 5 and servers[kept]["attempts"] == attempts[kept]
    assert servers[found.names(4)[0]]["weight"] == 1
    event = weir.wait_event("servers_changed")
    assert (event["pool"], event["servers"], event["added"], event["removed"]) == ("web", "2", "1", "1")
    assert weir.metric("weir_config_generation") == 1, "it is the same configuration"
    assert weir.ask_admin("GET", "/api/v1/config").get("etag") == etag
    assert weir.get("/api/v1/config")["pools"]["web"]["servers"][0]["address"] == found.entry
    weir.wait_retired()
    assert not any(gone in sample for sample in weir.metrics()), "nothing is left of it"


class Load:
    """Clients that ask without a pause until they are told to stop."""

    def __init__(self, weir, count=4):
        self.weir = weir
        self.stopping = threading.Event()
        self.failures = []
        self.answered = [0] * count
        self.threads = [threading.Thread(target=self.run, args=[n], daemon=True) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, n):
        client = Client(self.weir.address)
        try:
            while not self.stopping.is_set():
                response = client.ask("POST" if self.answered[n] % 3 == 0 else "GET", "/")
                if response.status != 200:
                    self.failures.append((response.status, response.text))
                self.answered[n] += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(repr(error))
        finally:
            client.close()

    def wait_more(self, count=20):
        """Each client has as many more answers."""
        before = list(self.answered)
        eventually(lambda: self.failures or all(now >= then + count for now, then in zip(self.answered, before)),
                   "all go on")

    def finish(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(LIMIT_S)
        assert not self.failures, self.failures[:5]


def test_a_name_grows_and_shrinks_under_load_without_a_failed_request(scene, found):
    found.start(2, 3, 4, 5, 6)
    found.say(2, 3)
    weir = found.weir(workers=2)
    load = Load(weir)
    for numbers in ([2, 3, 4, 5, 6], [6], [2, 4, 6], [3, 5]):
        load.wait_more()
        found.say(*numbers)
        wait_names(weir, found.names(*numbers))
    load.wait_more()
    load.finish()
    weir.wait_retired()


def test_the_last_response_of_a_server_that_goes_is_whole(scene, found):
    release = threading.Event()
    body = b"x" * 100000
    found.servers[2] = scene.server([broken.receive, broken.send(message.response(body=body)[:-50000]),
                                     broken.wait_for(release), broken.send(body[-50000:]), broken.wait_end],
                                    port=found.port, host="127.0.0.2")
    found.start(3)
    found.say(2)
    weir = found.weir()
    client = scene.client(weir)
    client.send(message.request("GET", "/"))
    found.servers[2].wait_requests(1)
    found.say(3)
    wait_names(weir, found.names(3))
    assert ask(scene.client(weir)).server == "127.0.0.3"
    release.set()
    assert client.read().body == body
    weir.wait_retired()


def test_who_cannot_be_asked_takes_no_server_away(scene, found):
    found.start(2)
    found.say(2)
    weir = found.weir()
    client = scene.client(weir)
    for answer in (SERVFAIL, None):
        found.dns.names[NAME] = answer
        eventually(lambda: source(weir)["stale_ms"] is not None, "it is stale")
        row = source(weir)
        assert row["addresses"] == ["127.0.0.2"] and row["reason"].startswith("the name servers")
        assert weir.metric("weir_source_stale_seconds", source=found.entry, kind="dns") >= 0
        assert ask(client).server == "127.0.0.2" and names_of(weir) == found.names(2)
        found.say(2)
        eventually(lambda: source(weir)["stale_ms"] is None, "it is not any more")
    eventually(lambda: len(weir.events("source_stale")) == 2 and len(weir.events("source_back")) == 2, "both are said")
    assert weir.events("source_stale")[0]["kept"] == "1"
    names = [event["event"] for event in weir.get("/api/v1/events")["events"]]
    assert "source_stale" in names and "source_back" in names


def test_the_doctor_says_what_is_stale_and_why(found, tmp_path):
    def say():
        done = run_command("doctor", "--json", "-c", weir.path, seconds=LIMIT_S)
        findings = json.loads(done.stdout)["findings"]
        return [(f["verdict"], f["subject"], f["sentence"]) for f in findings if f["id"] == "stale_sources"]
    found.say(2)
    weir = found.weir()
    wait_names(weir, found.names(2))
    assert say() == [("ok", None, "all 1 answer")]
    found.dns.names[NAME] = SERVFAIL
    eventually(lambda: source(weir)["stale_ms"] is not None, "it is stale")
    (verdict, subject, sentence), = say()
    assert (verdict, subject) == ("warn", found.entry)
    assert sentence.startswith("stale for ") and sentence.endswith("; 1 servers from before are used")
    weir.terminate()
    weir.wait_exit()
    (verdict, subject, sentence), = say()
    assert (verdict, subject) == ("note", None) and sentence.startswith("not known: ")


def test_that_there_is_nobody_is_believed_after_a_while(scene, found):
    found.start(2)
    found.say(2)
    weir = found.weir(resolver={"empty_after": "2s"})
    client = scene.client(weir)
    found.say()
    weir.wait_event("source_empty")
    assert ask(client).server == "127.0.0.2", "not at once"
    wait_names(weir, [])
    weir.wait_event("source_gone")
    assert client.ask().status == 503
    found.say(2)
    wait_names(weir, found.names(2))
    assert ask(client).server == "127.0.0.2"


def test_a_start_without_an_answer_goes_on_and_says_so(scene, found):
    found.start(2)
    found.dns.names[NAME] = None
    weir = found.weir(resolver={"timeout": "2s"})
    assert weir.events("source_unanswered")[0]["source"] == found.entry
    assert names_of(weir) == [] and scene.client(weir).ask().status == 503
    found.say(2)
    wait_names(weir, found.names(2))
    assert ask(scene.client(weir)).server == "127.0.0.2"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_waits_for_names_can_be_stopped(scene, found, sign):
    """By its own hand, and not by the kernel's, which does nothing for the first process of a container."""
    found.dns.names[NAME] = None
    config = make_config([found.entry])
    config["resolver"] = {"servers": [found.dns.address], "timeout": "60s"}
    weir = Weir(scene.directory, config, name="early")
    scene.weirs.append(weir)
    eventually(lambda: found.dns.questions, "it is asked for")
    weir.process.send_signal(sign)
    assert weir.process.wait(LIMIT_S) == 0
    eventually(lambda: weir.events("stopped"), "it is said")
    assert not weir.events("ready") and not weir.events("source_unanswered")


def test_what_goes_while_weir_drains_is_freed(scene, found):
    release = threading.Event()
    found.servers[2] = scene.server([broken.receive, broken.wait_for(release), broken.send(message.response(body=b"late")),
                                     broken.wait_end], port=found.port, host="127.0.0.2")
    found.start(3)
    found.say(2)
    weir = found.weir()
    client = scene.client(weir)
    client.send(message.request("GET", "/"))
    found.servers[2].wait_requests(1)
    found.say(2, 3)
    wait_names(weir, found.names(2, 3))
    weir.process.send_signal(signal.SIGTERM)
    weir.wait_event("draining")
    found.say(2)
    wait_names(weir, found.names(2))
    weir.wait_retired()
    assert not any(found.names(3)[0] in sample for sample in weir.metrics())
    release.set()
    assert client.read().body == b"late"
    assert weir.process.wait(LIMIT_S) == 0


def test_a_name_with_addresses_of_ipv6_alone_has_those(scene, found):
    found.dns.names[NAME] = ["::1"]
    six = scene.server([broken.serve(lambda request: describe("six", request))], port=found.port, host="::1")
    assert six.port == found.port
    weir = found.weir()
    assert names_of(weir) == [f"{found.entry}@::1"]
    assert ask(scene.client(weir)).server == "six"
    assert servers_of(weir)[0]["address"] == f"[::1]:{found.port}"


def test_an_answer_that_is_too_long_for_udp_comes_by_tcp_and_a_name_has_its_bound(scene, found):
    found.dns.names[NAME] = [f"127.1.{n // 200}.{1 + n % 200}" for n in range(300)]
    weir = found.weir()
    assert len(servers_of(weir)) == 300 and found.dns.by_tcp > 0
    found.dns.names[NAME] = [f"127.1.{n // 200}.{1 + n % 200}" for n in range(1001)]
    event = weir.wait_event("source_cut")
    assert (event["found"], event["used"]) == ("1001", "1000")
    eventually(lambda: len(servers_of(weir)) == 1000, "as many as are used")
    assert source(weir)["cut"]
    found.say(2)
    wait_names(weir, found.names(2))
    weir.wait_retired()


@pytest.mark.parametrize("family, numbers", [("ipv6_first", []), ("ipv6", []), ("ipv4", [2])])
def test_which_addresses_are_taken_can_be_said(scene, found, family, numbers):
    found.start(2)
    found.dns.names[NAME] = ["127.0.0.2", "::1"]
    weir = found.weir(resolver={"family": family})
    assert names_of(weir) == (found.names(2) if numbers else [f"{found.entry}@::1"])


def test_a_configuration_with_a_new_name_comes_into_force_with_its_servers(scene, found):
    found.start(2, 3)
    found.say(2)
    found.say(3, name="other.internal")
    weir = found.weir()
    load = Load(weir)
    load.wait_more()
    config = json.loads(json.dumps(weir.config))
    config["pools"]["web"]["servers"] = [f"other.internal:{found.port}"]
    weir.reload(config)
    assert names_of(weir) == [f"other.internal:{found.port}@127.0.0.3"]
    load.wait_more()
    load.finish()
    assert weir.metric("weir_config_generation") == 2
    assert [row["source"] for row in weir.get("/api/v1/sources")["sources"]] == [f"other.internal:{found.port}"]
    weir.wait_retired()


def test_a_configuration_whose_name_has_no_answer_comes_into_force_all_the_same(scene, found):
    found.start(2)
    found.say(2)
    found.dns.names["away.internal"] = None
    weir = found.weir(resolver={"timeout": "2s"})
    config = json.loads(json.dumps(weir.config))
    config["pools"]["away"] = {"servers": [f"away.internal:{found.port}"]}
    weir.reload(config)
    assert names_of(weir, "away") == [] and ask(scene.client(weir)).server == "127.0.0.2"
    found.dns.names["away.internal"] = ["127.0.0.2"]
    wait_names(weir, [f"away.internal:{found.port}@127.0.0.2"], "away")


def with_name(weir, name, found):
    config = json.loads(json.dumps(weir.config))
    config["pools"]["away"] = {"servers": [f"{name}:{found.port}"]}
    return config


@pytest.mark.parametrize("way", ["put", "signal", "file"])
def test_a_configuration_that_waits_for_names_does_not_come_into_force_over_a_later_one(scene, found, way):
    found.start(2)
    found.say(2)
    weir = found.weir(resolver={"timeout": "2s"})
    weir.expected_errors.add("reload_failed")

    def first_waits(name):
        """While it waits for a name that nobody answers, another is put in force; what becomes of it."""
        found.dns.names[name] = None
        answers, before = [], len(weir.events("reloaded"))
        put = threading.Thread(target=lambda: answers.append(weir.put_config(with_name(weir, name, found))))
        if way == "put":
            put.start()
        else:
            weir.write_file(with_name(weir, name, found))
            weir.process.send_signal(signal.SIGHUP)
        eventually(lambda: name in [asked for asked, _ in found.dns.questions], lambda: f"{name} is asked for")
        weir.reload(weir.config, "post" if way == "file" else "put")
        if way == "put":
            put.join()
            return answers[0]
        eventually(lambda: weir.events("reload_failed") or len(weir.events("reloaded")) == before + 2,
                   "it is over")
        return weir.events("reload_failed")
    # On a machine that takes seconds for the second the first has waited long enough before that.
    seen = next((seen for number in range(5) if is_refused(seen := first_waits(f"n{number}.internal"))), None)
    assert seen, "the first was never refused"
    assert weir.metric("weir_reload_applied") == (way != "signal")
    assert [pool["name"] for pool in weir.get("/api/v1/pools")["pools"]] == ["web"]
    assert ask(scene.client(weir)).server == "127.0.0.2"


def is_refused(seen):
    if isinstance(seen, list):
        return any("asked for later is in force already" in event["error"] for event in seen)
    return seen.status == 409 and "asked for later is in force already" in seen.text


def test_so_many_configurations_wait_for_names_and_no_more(scene, found):
    found.start(2)
    found.say(2)
    weir = found.weir(resolver={"timeout": "2s"})
    names = itertools.count()

    def is_one_refused():
        """A handful at once, and one after the other until one is answered: what waits for a name does so for seconds."""
        name = f"n{next(names)}.internal"
        found.dns.names[name] = None
        put = message.request("PUT", "/api/v1/config", ("Content-Type", "application/json"),
                              body=json.dumps(with_name(weir, name, found)).encode(),
                              host=weir.config["admin"]["bind"])
        with contextlib.ExitStack() as stack:
            clients = []

            def is_one_answered():
                client = stack.enter_context(contextlib.closing(Client(weir.admin_address)))
                client.send(put)
                clients.append(client)
                sockets = [client.sock for client in clients]
                return len(clients) == 100 or (len(clients) > 40 and select.select(sockets, [], [], 0)[0])
            eventually(is_one_answered, "one is answered")
            answers = [client.read() for client in clients]
        assert {answer.status for answer in answers} <= {200, 409, 503}
        return any("64 configurations wait" in answer.text for answer in answers)
    eventually(is_one_refused, "one is refused")
    weir.reload(weir.config)
    assert ask(scene.client(weir)).server == "127.0.0.2"


def test_pins_cookies_and_explain_know_the_servers_of_now(scene, found):
    found.start(2, 3)
    found.say(2)
    weir = found.weir(pool={"balance": "round_robin", "sticky": {"cookie": "at", "secrets": ["a secret of this test, long enough for weir"]}},
                      listener={"pin": {"from": ["127.0.0.0/8"]}}, workers=2)
    client = scene.client(weir)
    ask(client)
    found.say(2, 3)
    wait_names(weir, found.names(2, 3))
    pinned = ask(client, "/", ("Weir-Pin", f"web/{found.names(3)[0]}"))
    assert pinned.server == "127.0.0.3"
    sought = (ask(client) for _ in range(100))
    cookie = next(seen for seen in sought if seen.server == "127.0.0.3").response.get("set-cookie").split(";")[0]
    assert all(ask(client, "/", ("Cookie", cookie)).server == "127.0.0.3" for _ in range(5))
    explained = json.loads(weir.ask_admin("POST", "/api/v1/explain", body={"url": "http://web/"}).body)
    assert [server["name"] for server in explained["servers"]] == found.names(2, 3), explained
    found.say(2)
    wait_names(weir, found.names(2))
    assert client.ask("GET", "/", ("Weir-Pin", f"web/{found.names(3)[0]}")).status != 200
    assert ask(client, "/", ("Cookie", cookie)).server == "127.0.0.2"


def test_servers_that_are_found_are_checked(scene, found):
    found.start(2, 3)
    found.say(2)
    weir = found.weir(pool={"health": {"http": {"path": "/"}, "interval": "1s", "timeout": "1s"}})

    def all_passed():
        return all(server["check"]["last"] == "passed" for server in servers_of(weir))
    eventually(all_passed, "the first was asked")
    found.say(2, 3)
    wait_names(weir, found.names(2, 3))
    eventually(all_passed, "both were asked")
    found.say(3)
    wait_names(weir, found.names(3))
    weir.wait_retired()


def test_the_host_that_a_server_is_sent_is_the_name(scene, found):
    found.start(2)
    found.say(2)
    weir = found.weir(pool={"host": "server"})
    assert ask(scene.client(weir)).get("host") == found.entry


def test_a_service_says_ports_weights_and_tiers(scene, found):
    found.start(2, 3)
    found.say(2, name="one.internal")
    found.say(3, name="two.internal")
    other = scene.server([broken.serve(lambda request: describe("other", request))])
    found.dns.names["three.internal"] = ["127.0.0.1"]
    service = found.dns.services["_http._tcp.app.internal"] = [
        (10, 3, found.port, "one.internal"), (10, 1, found.port, "two.internal"), (20, 0, other.port, "three.internal")]
    weir = found.weir("srv:_http._tcp.app.internal", pool={"host": "server"})
    entry = "srv:_http._tcp.app.internal"
    names = {f"{entry}@127.0.0.2:{found.port}": (3, 1), f"{entry}@127.0.0.3:{found.port}": (1, 1),
             f"{entry}@{other.address}": (1, 2)}
    assert {server["name"]: (server["weight"], server["tier"]) for server in servers_of(weir)} == names
    seen = ask(scene.client(weir))
    assert seen.server in ("127.0.0.2", "127.0.0.3") and seen.get("host") == "app.internal"
    del service[:2]
    wait_names(weir, [f"{entry}@{other.address}"])
    assert ask(scene.client(weir)).server == "other"
    found.dns.names["three.internal"] = SERVFAIL
    eventually(lambda: source(weir, "srv")["stale_ms"] is not None, "its target cannot be asked for")
    assert names_of(weir) == [f"{entry}@{other.address}"]
    found.dns.names["three.internal"] = ["127.0.0.1"]
    eventually(lambda: source(weir, "srv")["stale_ms"] is None, "it can again")


# Files


def write(path, *lines):
    """As editors and programs do it: a new file in the old one's place."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    os.rename(path + ".new", path)


def test_a_file_is_read_when_it_changes(scene, tmp_path):
    servers = [scene.server([broken.serve(lambda request, n=n: describe(str(n), request))]) for n in range(3)]
    path = str(tmp_path / "app.servers")
    write(path, "# ours", servers[0].address, f"{servers[1].address} name=one weight=3")
    weir = scene.weir(make_config([f"file:{path}"], pool={"balance": "round_robin"}))
    assert sorted(names_of(weir)) == sorted([servers[0].address, "one"])
    assert {server["name"]: server["weight"] for server in servers_of(weir)}["one"] == 3
    write(path, servers[2].address)
    wait_names(weir, [servers[2].address])
    assert ask(scene.client(weir)).server == "2"
    assert weir.metric("weir_config_generation") == 1
    write(path, servers[2].address, "nonsense")
    row = eventually(lambda: source(weir, "file")["reason"] and source(weir, "file"), "it is refused")
    assert "line 2" in row["reason"] and row["addresses"] == [servers[2].address]
    os.unlink(path)
    eventually(lambda: "No such file" in source(weir, "file")["reason"], "it is not there")
    assert names_of(weir) == [servers[2].address]
    write(path, servers[0].address)
    wait_names(weir, [servers[0].address])


# Docker


class Docker:
    """Its API, as far as weir asks it: the containers that a filter takes, on a unix socket."""

    def __init__(self, path):
        self.path = path
        self.containers = []
        self.status = "200 OK"
        self.questions = []
        self.faults = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(LIMIT_S)
                question = b""
                while b"\r\n\r\n" not in question:
                    more = sock.recv(4096)
                    if not more:
                        break
                    question += more
                self.questions.append(question.decode())
                body = json.dumps(self.containers)
                for piece in (f"HTTP/1.0 {self.status}\r\nContent-Type: application/json\r\n\r\n", body[:10], body[10:]):
                    sock.sendall(piece.encode())

    def add(self, name, server, address="127.0.0.1", **labels):
        self.containers.append({
            "Id": name * 4, "Names": ["/" + name], "State": "running", "Status": "Up 2 minutes",
            "Labels": {"app": "web", **{f"weir.{key}": str(value) for key, value in labels.items()}},
            "Ports": [{"PrivatePort": server.port, "Type": "tcp"}],
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": address, "GlobalIPv6Address": ""}}}})

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(LIMIT_S)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def test_containers_with_a_label_are_servers(scene, tmp_path):
    docker = Docker(str(tmp_path / "d.sock"))
    scene.servers.append(docker)
    servers = [scene.server([broken.serve(lambda request, n=n: describe(str(n), request))]) for n in range(2)]
    docker.add("app-1", servers[0], weight=4)
    entry = f"docker:app=web@{docker.path}"
    weir = scene.weir(make_config([entry]))
    assert [(server["name"], server["weight"]) for server in servers_of(weir)] == [("app-1", 4)]
    assert ask(scene.client(weir)).server == "0"
    path = docker.questions[0].split(" ")[1]
    assert json.loads(urllib.parse.parse_qs(path.partition("?")[2])["filters"][0]) == {"label": ["app=web"]}
    docker.containers.clear()
    docker.add("app-2", servers[1])
    docker.add("app-3", servers[0], port="http")
    wait_names(weir, ["app-2"])
    skipped = weir.wait_event("source_skips")
    assert (skipped["one"], skipped["containers"]) == ("app-3", "1") and "weir.port" in skipped["reason"]
    docker.status = "500 Internal Server Error"
    eventually(lambda: (source(weir, "docker")["reason"] or "").startswith("Docker answers"), "it fails")
    assert ask(scene.client(weir)).server == "1"
    docker.close()
    eventually(lambda: "cannot be reached" in (source(weir, "docker")["reason"] or ""), "it is away")
    assert names_of(weir) == ["app-2"]


# Configurations


@pytest.mark.parametrize("entry, said", [
    ("app.internal", "has no port"),
    ("app..internal:80", "is not an address"),
    ("file:servers", "has no absolute path"),
    ("srv:app.internal", "is no service"),
    ("docker:app = web", "is no label of containers"),
    ("docker:app=web@docker.sock", "has no absolute path behind the @"),
    ("http://app.internal:80", "is a URL"),
])
def test_what_is_no_name_is_refused(tmp_path, entry, said):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(make_config([entry])))
    done = run_command("check", "-c", str(path))
    assert done.returncode == 78 and said in done.stderr, done.stderr


def test_a_check_says_where_names_lead_to_now(found, tmp_path):
    found.say(2, 3)
    path = tmp_path / "weir.yaml"

    def check():
        config = make_config([found.entry, f"away.internal:{found.port}"])
        config["resolver"] = {"servers": [found.dns.address], "timeout": "100ms", "attempts": 1}
        path.write_text(json.dumps(config))
        return run_command("check", "-c", str(path))
    for answer, said in (([], "the name does not exist or has no"), (SERVFAIL, "the name servers gave no usable answer"),
                         (None, "the name servers did not answer in time")):
        found.dns.names["away.internal"] = answer
        done = check()
        assert done.returncode == 0, done.stderr
        assert f"{found.entry} is 127.0.0.2, 127.0.0.3 now" in done.stdout
        assert f"away.internal:{found.port} leads to no server now: {said}" in done.stdout, done.stdout
        assert not done.stderr
