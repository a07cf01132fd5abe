"""Servers that weir asks whether they are well, and what becomes of those that are not."""
import datetime
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import broken
import message
from ports import reserve_port
from waiting import eventually
from weir import run_command

# On a busy machine a server that is well takes its time, too.
CHECK = {"http": {"path": "/healthz"}, "interval": "1s", "changing_interval": "100ms", "timeout": "1s",
         "rise": 2, "fall": 3}
DRIP = b"HTTP/1.1 200 OK\r\nX-Drip: " + b"d" * 100000


def check(**values):
    return {**CHECK, **values}


def http_check(**values):
    return check(http={"path": "/healthz", **values})


class Patient:
    """A server that says of itself how it is; checks of it end their connection."""

    def __init__(self, scene, name):
        self.name = name
        self.status = 200
        self.server = scene.server([broken.serve(self.answer)])

    def answer(self, request):
        if request.target == "/healthz":
            return message.response(self.status)
        return message.response(body=self.name.encode())

    @property
    def checks(self):
        return sum(request.target == "/healthz" for request in list(self.server.requests))

    @property
    def conf(self):
        return {"name": self.name, "address": self.server.address}


def wait_state(weir, server, state, pool="web"):
    return eventually(lambda: (s := weir.servers(pool)[server])["state"] == state and s,
                      lambda: f"{server} being {state}: {weir.servers(pool)[server]}")


def ask_names(client, count):
    return {client.ask().text for _ in range(count)}


def wait_available(weir, count):
    """Workers are told of a change at once, or some milliseconds after the one before."""
    eventually(lambda: weir.get("/api/v1/pools/web")["available"] == count, f"{count} servers that may be chosen")


def test_a_server_whose_checks_fail_gets_nothing_until_they_pass_again(scene):
    patients = [Patient(scene, name) for name in ("a", "b")]
    weir = scene.proxy(*[patient.conf for patient in patients],
                       pool={"balance": "round_robin", "health": CHECK})
    client = scene.client(weir)
    eventually(lambda: all(s["check"]["last"] == "passed" for s in weir.servers().values()), "both being well")
    assert ask_names(client, 4) == {"a", "b"}
    patients[0].status = 503
    down = wait_state(weir, "a", "down")
    assert down["health_reason"] == "check_failed"
    assert down["health_detail"] == "GET /healthz was answered with status 503, and 3 checks on end failed"
    assert down["check"]["status"] == 503
    wait_available(weir, 1)
    assert ask_names(client, 10) == {"b"}
    weir.wait_metric(1, "weir_pool_servers", pool="web", state="down")
    weir.wait_metric(1, "weir_pool_servers", pool="web", state="up")
    assert [weir.metric("weir_server_up", pool="web", server=name) for name in "ab"] == [0, 1]
    assert weir.metric("weir_pool_health_changes_total", pool="web", reason="check_failed") == 1
    assert weir.metric("weir_pool_checks_total", pool="web", result="failed") >= 3
    patients[0].status = 204
    up = wait_state(weir, "a", "up")
    assert up["health_reason"] == "check_passed" and up["health_detail"] is None
    assert up["check"]["passed_on_end"] >= 2
    eventually(lambda: client.ask().text == "a", "the server that is well again being asked")
    weir.wait_event("server_state", 4)
    told = [(e["state"], e["reason"], e.get("detail")) for e in weir.events("server_state") if e["server"] == "a"]
    assert told == [("up", "check_passed", None), ("down", "check_failed", down["health_detail"]),
                    ("up", "check_passed", None)]


def processes_of(nginx):
    pids = [nginx.process.pid]
    with open(f"/proc/{pids[0]}/task/{pids[0]}/children") as file:
        return pids + [int(pid) for pid in file.read().split()]


def seconds_of(event):
    return datetime.datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def test_a_server_that_hangs_is_out_before_any_request_is_lost_to_it_and_back_when_it_goes_on(scene):
    hung = scene.nginx()
    good = Patient(scene, "good")
    weir = scene.proxy({"name": "hung", "address": hung.address}, good.conf,
                       pool={"balance": "round_robin", "health": check(http={"path": "/"})})
    eventually(lambda: weir.servers()["hung"]["check"]["last"] == "passed", "a check that passed")
    stopped_at = time.time()
    for pid in processes_of(hung):
        os.kill(pid, signal.SIGSTOP)
    try:
        down = wait_state(weir, "hung", "down")
        assert down["health_detail"] == "no answer to GET / within 1000 ms, and 3 checks on end failed"
        # Not before so many could have failed; how soon at the latest is tested on a virtual clock.
        events = eventually(lambda: [e for e in weir.events("server_state") if e["state"] == "down"], "its line")
        assert seconds_of(events[0]) - stopped_at >= 2 * 0.9
        wait_available(weir, 1)
        client = scene.client(weir)
        for _ in range(24):
            assert client.ask().text == "good"
    finally:
        for pid in processes_of(hung):
            os.kill(pid, signal.SIGCONT)
    wait_state(weir, "hung", "up")


STOP = """
import json, os, signal, sys, time, urllib.request
url, name, *pids = sys.argv[1:]
began = time.monotonic()
for pid in pids:
    os.kill(int(pid), signal.SIGSTOP)
while True:
    with urllib.request.urlopen(url) as answer:
        if any(s["name"] == name and s["state"] == "down" for s in json.load(answer)["servers"]):
            break
    time.sleep(0.005)
print(time.monotonic() - began)
"""


@pytest.mark.soak
@pytest.mark.serial
def test_a_server_that_hangs_is_out_in_time_by_another_process_clock(scene):
    """Within interval x fall + timeout, however it lies to the check before; half a second is for asking, and for a busy machine."""
    hung, good = scene.nginx(), Patient(scene, "good")
    weir = scene.proxy({"name": "hung", "address": hung.address}, good.conf, build="release",
                       pool={"health": {"http": {"path": "/"}, "interval": "1s", "changing_interval": "1s", "timeout": "1s",
                                        "fall": 3, "rise": 1}})
    took = []
    for _ in range(10):
        eventually(lambda: weir.servers()["hung"]["state"] == "up" and weir.servers()["hung"]["check"]["last"] == "passed",
                   "a check that passed")
        try:
            done = subprocess.run([sys.executable, "-c", STOP, "http://%s:%d/api/v1/pools/web/servers" % weir.admin_address,
                                   "hung", *map(str, processes_of(hung))], capture_output=True, text=True, timeout=60)
        finally:
            for pid in processes_of(hung):
                os.kill(pid, signal.SIGCONT)
        took.append(float(done.stdout))
    print("out after", " ".join(f"{seconds:.2f}" for seconds in took), "s")
    assert max(took) <= 1 * 3 + 1 + 0.5


def drip(connection):
    """One byte after the other, for as long as somebody listens."""
    broken.receive(connection)
    for at in range(len(DRIP)):
        connection.send(DRIP[at:at + 1])
        if connection.server.stopping.wait(0.005):
            return


def send_a_gigabyte(connection):
    broken.receive(connection)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    for _ in range(1024):
        connection.send(b"x" * (1 << 20))


def send_chunks_without_end(connection):
    broken.receive(connection)
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1 << 20):
        connection.send(b"1;" + b"e" * 1000 + b"\r\nx\r\n")


@pytest.mark.parametrize("script, health, words", [
    ([broken.send(b"220 smtp\r\n"), broken.stall], http_check(), "the server spoke before it was asked|not correct HTTP"),
    ([drip], http_check(), "was not whole within 1000 ms"),
    ([send_a_gigabyte], http_check(body="ok"), 'does not have "ok" in as much of it as is looked at'),
    ([send_chunks_without_end], http_check(body="ok", body_limit="1KiB"), 'does not have "ok"'),
    ([broken.receive, broken.send(message.response(body=b"not well"))], http_check(body="ok"),
     'the answer\'s body does not have "ok"'),
    ([broken.receive, broken.reset], http_check(), "the server reset the connection"),
    ([broken.receive, broken.close], http_check(), "the server closed without an answer"),
    ([broken.receive, broken.send(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10000), broken.stall], http_check(),
     "head is over 16 KiB or 128 fields"),
    ([broken.receive, broken.stall], http_check(), "no answer to GET /healthz within 1000 ms"),
    ([broken.stall], check(http=None, tcp={"send": "PING\r\n", "answer": "+PONG"}), 'no word that has "+PONG"'),
], ids=["early", "drip", "gigabyte", "chunks", "wrong_body", "reset", "closed", "head", "silent", "tcp"])
def test_whatever_a_server_answers_a_check_is_bounded_and_its_reason_says_what_was_seen(scene, script, health, words):
    hostile = scene.server(script)
    good = Patient(scene, "good")
    weir = scene.proxy({"name": "hostile", "address": hostile.address}, good.conf,
                       pool={"health": {key: value for key, value in health.items() if value}})
    down = wait_state(weir, "hostile", "down")
    eventually(lambda: any(word in str(weir.servers()["hostile"]["check"]["detail"]) for word in words.split("|")),
               lambda: f"{words}: {weir.servers()['hostile']['check']}")
    assert down["health_reason"] == "check_failed"
    assert weir.rss_bytes() < 600 << 20  # under a sanitizer; nothing of the gigabyte is kept


def test_a_port_that_opens_is_enough_for_a_tcp_check(scene):
    server = scene.server([broken.stall])
    port = reserve_port()
    weir = scene.proxy({"name": "open", "address": server.address}, {"name": "shut", "address": f"127.0.0.1:{port}"},
                       pool={"health": {"tcp": {}, "interval": "1s", "timeout": "1s"}})
    assert wait_state(weir, "shut", "down")["health_detail"] == "the connection was refused"
    eventually(lambda: weir.servers()["open"]["check"]["last"] == "passed", "the other passing")
    late = scene.server(port=port)
    wait_state(weir, "shut", "up")
    assert late.connections


def test_another_port_or_address_can_be_asked(scene):
    serves, well, ill = scene.server(), Patient(scene, "well"), Patient(scene, "ill")
    ill.status = 500
    weir = scene.proxy({"name": "a", "address": serves.address},
                       {"name": "b", "address": serves.address, "health_address": ill.server.address},
                       pool={"health": check(port=well.server.port)})
    wait_state(weir, "b", "down")
    eventually(lambda: weir.servers()["a"]["check"]["last"] == "passed", "the check of the other port")
    assert well.checks and not any(request.target == "/healthz" for request in serves.requests)


def test_a_reload_keeps_what_is_known_of_servers_that_stay_and_ends_the_checks_of_those_that_go(scene):
    patients = [Patient(scene, name) for name in ("a", "b", "c")]
    patients[0].status = 503
    weir = scene.proxy(*[patient.conf for patient in patients], pool={"health": CHECK})
    since = wait_state(weir, "a", "down")
    config = {**weir.config}
    pool = config["pools"]["web"]
    hung = scene.server([broken.stall])
    weir.reload({**config, "pools": {"web": {**pool, "servers": [patients[0].conf, patients[1].conf,
                                                                 {"name": "hung", "address": hung.address}],
                                             "health": check(fall=5)}}})
    kept = weir.servers()["a"]
    assert kept["state"] == "down" and kept["health_ms"] >= since["health_ms"]
    weir.wait_retired()
    gone_at = patients[2].checks
    wait_state(weir, "hung", "down")  # another server's checks go on meanwhile
    assert patients[2].checks == gone_at
    # Without checks nobody is down, and the check of the hung server, which is under way, ends with them.
    weir.reload({**config, "pools": {"web": {**pool, "servers": [patients[0].conf, patients[1].conf],
                                             "health": CHECK}}})
    weir.reload({**config, "pools": {"web": {"servers": [patients[0].conf, patients[1].conf]}}})
    states = weir.servers()
    assert states["a"]["state"] == "up" and states["a"]["health_reason"] == "checks_ended"
    weir.wait_retired()


def test_the_operators_word_stands_beside_health(scene):
    patients = [Patient(scene, name) for name in ("a", "b")]
    weir = scene.proxy(*[patient.conf for patient in patients], pool={"health": CHECK})
    weir.patch_server("web", "a", admin="maintenance")
    patients[0].status = 503
    eventually(lambda: weir.servers()["a"]["health"] == "down", "the check of a server in maintenance")
    assert weir.servers()["a"]["state"] == "maintenance"
    weir.patch_server("web", "a", admin="enabled")
    assert weir.servers()["a"]["state"] == "down"
    wait_available(weir, 1)
    assert ask_names(scene.client(weir), 6) == {"b"}


@pytest.mark.parametrize("yaml, words", [
    ("health: {}", "a check needs http, tcp, grpc, dns or udp"),
    ("health: {http: {path: healthz}}", "begin it with a slash"),
    ("ejection: {latency: 1}", "half of all servers are slower than the median; write 3"),
    ("health: {tcp: {}, interval: 1s, timeout: 2s}", "let timeout be at most the interval"),
    ("health: {http: {path: /, status: [42]}}", "write 204, 2xx or 200-399"),
])
def test_bad_settings_are_explained_with_place_and_remedy(tmp_path, yaml, words):
    path = tmp_path / "weir.yaml"
    path.write_text("listeners: {web: {bind: ':18999', pool: web}}\n"
                    f"pools:\n  web:\n    servers: ['127.0.0.1:1']\n    {yaml}\n")
    done = run_command("check", "-c", str(path), build="release")
    assert done.returncode == 78
    assert f"{path}:5:" in done.stderr and words in done.stderr


class Sick(Patient):
    """Every `every`-th answer is an error; 0: none is. Checks are answered as a Patient does."""

    def __init__(self, scene, name, every=0, status=503):
        super().__init__(scene, name)
        self.every, self.error, self.count = every, status, 0

    def answer(self, request):
        if request.target == "/healthz":
            return super().answer(request)
        self.count += 1
        if self.every and self.count % self.every == 0:
            return message.response(self.error)
        return super().answer(request)


def sick_proxy(scene, *servers, **ejection):
    return scene.proxy(*[server.conf for server in servers],
                       pool={"balance": "round_robin", "retry": {"attempts": 1},
                             "ejection": {"min": "60s", "max": "60s", **ejection}})


def ask_until(client, condition, what, every=1):
    """Request after request, with a look at the condition after every so many; their statuses."""
    statuses = []

    def asked():
        statuses.extend(client.ask().status for _ in range(every))
        return condition()
    eventually(asked, what)
    return statuses


def ejected(weir):
    return {name: server for name, server in weir.servers().items() if server["state"] == "ejected"}


def test_a_server_that_answers_nothing_but_503_is_out_soon_and_the_others_go_on(scene):
    sick, well = Sick(scene, "sick", every=1), Sick(scene, "well")
    weir = sick_proxy(scene, sick, well)
    client = scene.client(weir)
    ask_until(client, lambda: ejected(weir), "the sick server being ejected")
    server = ejected(weir)["sick"]
    assert server["health_reason"] == "gateway_errors" and server["ejected_ms"] > 0
    assert " answers of 502 to 504 or that broke off on end" in server["health_detail"]
    assert sick.count >= 5
    wait_available(weir, 1)
    assert {client.ask().status for _ in range(10)} == {200}
    assert weir.metric("weir_pool_health_changes_total", pool="web", reason="gateway_errors") == 1
    event = weir.wait_event("server_state")
    eventually(lambda: any(e["state"] == "ejected" and e["reason"] == "gateway_errors" and
                           e["detail"] == server["health_detail"] for e in weir.events("server_state")),
               lambda: f"its line: {event}")


def test_one_of_ten_that_fails_half_of_its_requests_is_ejected(scene):
    servers = [Sick(scene, f"s{number}", every=2 if number == 3 else 0, status=500) for number in range(10)]
    # What is counted fades within some ten seconds: on a slow machine few come within them, and most of the time is its own here.
    weir = sick_proxy(scene, *servers, attempts=5)
    ask_until(scene.client(weir), lambda: ejected(weir), "the sick server being ejected", every=20)
    server = ejected(weir)["s3"]
    assert server["health_reason"] == "failure_share"
    assert "of its attempts failed, and 0 % at the others' median" in server["health_detail"]


class Slow(Sick):
    def answer(self, request):
        threading.Event().wait(0.1)  # a slow server, not a wait for anything
        return super().answer(request)


def test_one_that_is_slower_than_the_others_is_ejected_if_that_is_asked_for(scene):
    servers = [Sick(scene, "a"), Sick(scene, "b"), Slow(scene, "slow")]
    weir = sick_proxy(scene, *servers, latency=5, attempts=5)
    ask_until(scene.client(weir), lambda: ejected(weir), "the slow server being ejected")
    server = ejected(weir)["slow"]
    assert server["health_reason"] == "latency"
    assert re.fullmatch(r"its answers take \d+ ms, and \d+\.\d ms at the others' median", server["health_detail"])
    assert weir.metric("weir_pool_health_changes_total", pool="web", reason="latency") == 1


@pytest.mark.parametrize("every", [1, 2])
def test_if_all_fail_alike_nobody_is_ejected(scene, every):
    servers = [Sick(scene, f"s{number}", every=every, status=503) for number in range(4)]
    weir = sick_proxy(scene, *servers)
    client = scene.client(weir)
    for _ in range(400):
        assert client.ask().status in (200, 503)
    eventually(lambda: weir.get("/api/v1/pools/web")["available"] == 4, "all being there")
    assert not ejected(weir)
    assert not weir.metric("weir_pool_health_changes_total", reason="gateway_errors")
    assert not weir.metric("weir_pool_health_changes_total", reason="failure_share")


def test_a_server_that_flaps_is_out_for_twice_as_long_each_time_and_never_more_than_allowed_are(scene):
    servers = [Sick(scene, "bad", every=1), Sick(scene, "worse", every=1), Sick(scene, "well"), Sick(scene, "good")]
    weir = sick_proxy(scene, *servers, min="100ms", max="20s", max_ejected=25)  # longer than either is in
    client = scene.client(weir)
    spans = []

    def seen():
        assert len(ejected(weir)) <= 1
        client.ask()
        events = weir.events("server_state")
        for server in ("bad", "worse"):
            mine = [e for e in events if e["server"] == server]
            spans[:] = [seconds_of(after) - seconds_of(before) for before, after in zip(mine, mine[1:])
                        if before["state"] == "ejected"]
            if len(spans) >= 4:
                return True
        return False

    eventually(seen, lambda: f"four ejections of one server: {weir.log}")
    for span, least in zip(spans, (0.1, 0.2, 0.4, 0.8)):
        assert span >= least - 0.002, spans  # lines have whole milliseconds
    assert weir.metric("weir_pool_ejections_denied_total", pool="web") > 0


def test_a_server_whose_answers_time_out_is_ejected(scene):
    hung, well = scene.server([broken.stall]), Sick(scene, "well")
    weir = scene.proxy({"name": "hung", "address": hung.address}, well.conf,
                       pool={"balance": "round_robin", "retry": {"attempts": 1}, "timeouts": {"first_byte": "100ms"},
                             "ejection": {"min": "60s", "max": "60s"}})
    client = scene.client(weir)
    statuses = ask_until(client, lambda: ejected(weir), "the hung server being ejected")
    assert ejected(weir)["hung"]["health_reason"] == "timeouts" and 504 in statuses
    wait_available(weir, 1)
    assert client.ask().text == "well"


def test_ejection_can_be_off(scene):
    sick, well = Sick(scene, "sick", every=1), Sick(scene, "well")
    weir = scene.proxy(sick.conf, well.conf, pool={"balance": "round_robin", "ejection": False})
    client = scene.client(weir)
    for _ in range(60):
        client.ask()
    assert not ejected(weir) and sick.count == 30


def test_a_server_that_is_killed_under_load_costs_no_request_that_can_be_repeated(scene):
    doomed, safe = scene.nginx(), [scene.nginx() for _ in range(2)]
    # All that are at the killed server at that moment may go on at once, whatever share of the load they are.
    weir = scene.proxy(*[server.address for server in (doomed, *safe)], build="release",
                       pool={"retry": {"budget": {"reserve": 100}}})
    clients = [scene.client(weir) for _ in range(16)]
    for turn in range(100):
        for client in clients:
            client.send(message.request())
        if turn == 50:
            doomed.process.kill()
        assert {client.read().status for client in clients} == {200}
    eventually(lambda: weir.servers()[doomed.address]["state"] == "ejected" or clients[0].ask().status != 200,
               "the killed server being ejected")
    assert weir.servers()[doomed.address]["health_reason"] in ("connect_failures", "ejection_over")


@pytest.mark.parametrize("when, status", [("try_all", 200), ("fail", 503)])
def test_if_no_server_is_well_all_are_tried_or_requests_are_refused(scene, when, status):
    patients = [Patient(scene, name) for name in ("a", "b")]
    for patient in patients:
        patient.status = 500
    weir = scene.proxy(*[patient.conf for patient in patients], pool={"health": CHECK, "when_all_down": when})
    for name in ("a", "b"):
        wait_state(weir, name, "down")
    tries = 2 if when == "try_all" else 0
    wait_available(weir, tries)
    client = scene.client(weir)
    assert {client.ask().status for _ in range(6)} == {status}
    assert weir.get("/api/v1/pools/web")["panic"] == (when == "try_all")
    assert weir.metric("weir_pool_panics_total", pool="web") == (when == "try_all")
    patients[0].status = 200
    wait_state(weir, "a", "up")
    wait_available(weir, 1)
    assert ask_names(client, 6) == {"a"}
    weir.wait_metric(0, "weir_pool_panic", pool="web")
