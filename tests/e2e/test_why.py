"""weir why: the story of one exchange; weir tail: exchanges as they end."""
import json
import re
import signal
import subprocess
import threading
import time

import pytest

import broken
import message
from ports import reserve_port
from waiting import LIMIT_S, eventually
from weir import BINARIES, run_command

USAGE, DATA, UNAVAILABLE = 64, 65, 69
STEER = "\x1b]0;owned\x07"


def why(weir, *arguments):
    return run_command("why", "--admin", "%s:%d" % weir.admin_address, *arguments)


def told(weir, *arguments):
    done = why(weir, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(scene, servers=None, **options):
    """/dead leads to a server that refuses, everything else to one that answers what the path says."""
    server = scene.server([broken.serve(lambda request: message.response(int(request.target[1:4])))])
    return scene.proxy(*(servers or [server]), listener={"routes": [
        {"name": "dead", "host": "shop.example", "path_prefix": "/dead", "method": ["GET", "PUT"], "pool": "dead"},
        {"name": "rest", "pool": "web"}]},
        pools={"dead": {"servers": [{"name": name, "address": f"127.0.0.1:{reserve_port()}"} for name in ["d1", "d2"]],
                        "retry": {"attempts": 2, "on": ["connect"]}}}, **options)


def test_the_story_of_a_502_names_everybody(scene):
    weir = make(scene)
    client = scene.client(weir)
    client.send(message.request("GET", "/dead/x", ("X-Request-Id", "me-1"), host="shop.example"))
    assert client.read().status == 502
    record = weir.exchange(status=502)
    assert record["why"].startswith("The client got 502 from weir itself after ")
    story = told(weir, record["id"])
    assert record["id"] in story and f"127.0.0.1, port {client.port}, came to listener web with GET /dead/x" in story
    assert "its request id is me-1" in story
    assert "Route dead took it: host shop.example, a path that begins with /dead, method GET or PUT." in story
    attempts = [line for line in story.splitlines() if "Attempt " in line]
    assert len(attempts) == 2 and all(re.search(r"; it failed after [\d.]+ ms: the server refused the connection\.", line)
                                      for line in attempts), story
    for attempt, line in zip(record["attempts"], attempts):
        assert f"server {attempt['server']} (127.0.0.1:" in line and "of pool dead" in line
    assert "The client got 502 from weir itself" in story and "the server's doing" in story
    for name in ["last-502", "last-5xx", "last-failed", "last", "me-1"]:
        assert told(weir, name).splitlines()[0] == story.splitlines()[0]
    assert json.loads(told(weir, "--json", "last-502"))["id"] == record["id"]


def test_the_story_of_a_good_one_has_its_times(scene):
    weir = make(scene)
    client = scene.client(weir)
    client.ask("GET", "/201")
    client.ask("GET", "/202")
    record = weir.exchange(status=202)
    texts = [(part["at_ms"], part["text"]) for part in weir.get(f"/api/v1/exchanges/{record['id']}")["story"]]
    times = [at for at, _ in texts if at is not None]
    assert times == sorted(times) and times[0] == 0 and times[-1] == record["total_ms"]
    words = " ".join(text for _, text in texts)
    assert "Route rest took it: any host, any path." in words
    assert "the only one that could be used, on a connection that had been used before; it answered 202" in words
    assert "The client got 202 after " in words and words.count("it ended as it should") == 1
    story = told(weir, record["id"])
    assert "waiting for the answer" in story and "#" in story


def test_the_slowest_is_found(scene):
    slow = broken.serve(lambda request: message.response(200))
    gate = threading.Event()

    def wait(connection):
        if b"slow" in connection.request.target.encode():
            gate.wait(LIMIT_S)
    weir = scene.proxy(scene.server([broken.receive, wait, broken.ok, broken.receive, wait, broken.ok], [slow]))
    client = scene.client(weir)
    client.ask("GET", "/quick")
    weir.wait_records(1)  # its client may have had the answer before
    client.send(message.request("GET", "/slow"))
    eventually(lambda: weir.live()["exchanges"] == 1, "it waits")
    waits_since = time.monotonic()
    scene.client(weir).ask("GET", "/meanwhile")
    others_s = max(record["total_ms"] for record in weir.wait_records(2)) / 1000
    eventually(lambda: time.monotonic() - waits_since > others_s, "it has taken longer than the others")
    gate.set()
    client.read()
    weir.wait_records(3)
    assert weir.exchanges(order="slowest", limit=1)[0]["target"] == "/slow"
    assert "GET /slow " in told(weir, "slowest")
    slowest = [record["total_ms"] for record in weir.exchanges(order="slowest")]
    assert slowest == sorted(slowest, reverse=True) and len(slowest) == 3


def test_what_is_not_there_is_said_clearly(scene):
    weir = make(scene)
    never = why(weir, "0123456789abcdef")
    assert never.returncode == DATA and "this process has had none" in never.stderr
    for name in ["last-502", "slowest", "no-such-request"]:
        done = why(weir, name)
        assert done.returncode == DATA and len(done.stderr.splitlines()) == 1 and "kept" in done.stderr, done.stderr
    assert why(weir, "last-nonsense").returncode == USAGE
    assert why(weir).returncode == USAGE
    assert weir.ask_admin("GET", "/api/v1/exchanges?order=odd").status == 400


def test_what_is_no_longer_kept_says_how_long_it_would_be(scene):
    weir = scene.proxy(scene.nginx(), build="release")
    scene.client(weir).ask("GET", "/")
    ids = {weir.exchange()["id"]}
    host, port = weir.address

    def flood():
        subprocess.run(["ab", "-q", "-k", "-n", "6000", "-c", "8", f"http://{host}:{port}/"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    flood()
    # The very first may be one of those that are kept longer; of the flood most are not.
    ids.update(record["id"] for record in weir.wait_records(1000))
    flood()
    eventually(lambda: weir.metric("weir_exchanges_total", end="ok") == 12001, "all were counted")
    gone = [each for each in ids if weir.ask_admin("GET", f"/api/v1/exchanges/{each}").status == 404]
    assert gone
    done = why(weir, gone[0])
    assert done.returncode == DATA
    assert "no longer kept" in done.stderr and "4096" in done.stderr and "since weir began" in done.stderr, done.stderr


def test_failed_ones_outlast_a_flood(scene):
    weir = make(scene, servers=[scene.nginx()], build="release")
    client = scene.client(weir)
    for _ in range(1000):
        client.send(message.request("GET", "/dead", host="shop.example"))
        assert client.read().status in (502, 503)
    host, port = weir.address
    subprocess.run(["ab", "-q", "-k", "-n", "20000", "-c", "8", f"http://{host}:{port}/"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: weir.metric("weir_exchanges_total", end="ok") == 20000, "the flood is over")
    assert len({record["id"] for record in weir.exchanges(failed="true", limit=1000)}) == 1000
    assert "refused the connection" in told(weir, "last-failed") or "no server" in told(weir, "last-failed")


class Tail:
    def __init__(self, weir, *arguments):
        self.process = subprocess.Popen(
            [BINARIES["asan"], "tail", "--admin", "%s:%d" % weir.admin_address, *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")))
        self.reader.start()

    def wait(self, part):
        eventually(lambda: any(part in line for line in self.lines), lambda: f"{part} in {self.lines}")

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.reader.join(LIMIT_S)
        self.errors = self.process.stderr.read()
        self.process.stderr.close()
        self.process.stdout.close()
        self.process.wait(LIMIT_S)


@pytest.fixture
def tails():
    made = []

    def begin(weir, client, *arguments):
        """Follows already: what is asked until it is seen is not part of the test."""
        tail = Tail(weir, *arguments)
        made.append(tail)

        def is_on():
            client.ask("GET", "/299")
            return tail.lines
        eventually(is_on, "it follows")
        return tail
    yield begin
    for tail in made:
        if tail.process.poll() is None:
            tail.process.kill()
            tail.close()


def test_tail_shows_exchanges_as_they_end(scene, tails):
    weir = make(scene)
    client = scene.client(weir)
    tail = tails(weir, client)
    client.ask("GET", "/204")
    client.send(message.request("GET", "/dead/y", host="shop.example"))
    client.read()
    tail.wait("502  GET /dead/y")
    line = next(line for line in tail.lines if "/dead/y" in line)
    assert "dead > d" in line and "the server refused the connection" in line
    assert told(weir, line.split()[1]).startswith("exchange " + line.split()[1])
    tail.close()
    eventually(lambda: weir.live()["client_connections"] == 1, "nobody looks on any more")


def test_tail_takes_the_conditions_of_logs(scene, tails):
    weir = make(scene)
    client = scene.client(weir)
    tail = tails(weir, client, "--json", "--where",
                 'status==299 || (status>=400 && pool==web && path!~"^/405" && client in 127.0.0.0/8 && end==ok)')
    for target in ["/200", "/404", "/405", "/503"]:
        client.ask("GET", target)
    client.send(message.request("GET", "/dead/y", host="shop.example"))
    client.read()
    client.ask("GET", "/410")  # the last that it takes
    tail.wait("/410")
    records = [json.loads(line) for line in tail.lines]
    assert [record["target"] for record in records if record["status"] != 299] == ["/404", "/503", "/410"]


@pytest.mark.parametrize("where, part", [("status>", "column"), ("host==x", "do not say"), ("pol==web", "pol"),
                                         ('path~"("', "column")])
def test_tail_refuses_what_it_cannot_ask(scene, where, part):
    weir = make(scene)
    done = run_command("tail", "--admin", "%s:%d" % weir.admin_address, "--where", where)
    assert done.returncode == DATA and part in done.stderr, done.stderr


def test_tail_says_what_it_leaves_out(scene, tails):
    weir = make(scene, servers=[scene.nginx()], build="release")
    client = scene.client(weir)
    tail = tails(weir, client)
    host, port = weir.address
    subprocess.run(["ab", "-q", "-k", "-n", "20000", "-c", "8", f"http://{host}:{port}/"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    said = eventually(lambda: tail.process.stderr.readline(), "it says so")
    assert "came faster than they could be shown" in said


def test_stories_do_not_steer_a_terminal(scene):
    weir = make(scene)
    client = scene.client(weir)
    client.send(b"GET /200\xc2\x9b31m HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\x1bb\r\n\r\n")
    client.read()
    weir.wait_records(1)
    story = told(weir, "last")
    assert "\x1b" not in story and "\x9b" not in story
    assert STEER not in why(weir, STEER).stderr
