"""Wherever memory runs out while one object of the configuration is edited, an older configuration comes back, certificates are read
again or a pool is found other servers: what was in force stays, the answer says why, and what failed can be done again at once."""
import json
import os
import random
import shutil

import pytest

import message
from test_reload_shortage import NEVER, Shortage, generation, is_served
from tls import Pki
from waiting import eventually
from weir import listen_at_free_port, make_config

SAMPLES = 25  # of each way
CONFIG = "/api/v1/config"


class Changes:
    def __init__(self, scene, shortage, directory):
        self.scene = scene
        self.shortage = shortage
        self.seen, self.wrong = set(), []  # what answers said; those that do not say why
        server, other = scene.server(), scene.server()
        self.pki = Pki(directory)
        self.pairs = [self.pki.make(name, "one.example.org") for name in ("first", "second")]
        self.shown = str(directory / "shown.pem")  # both parts in one file: whoever looks sees both of one, or of the other
        self.show(0)
        self.lists = [f"{server.address}\n", f"{server.address}\n{other.address} name=b\n"]
        self.list = str(directory / "list.servers")
        self.write_list(0)
        config = make_config([server], state=str(directory / "state"), pools={"found": {"servers": [f"file:{self.list}"]}},
                             listener={"routes": [{"name": "rest", "pool": "web"}]}, listeners={"secure": {
                                 "bind": listen_at_free_port(), "pool": "found", "tls": {"certificates": [
                                     {"cert": self.shown, "key": self.shown}]}}})
        self.weir = shortage.preload(lambda: scene.weir(config))
        self.weir.expected_errors.add("servers_not_changed")  # it is done later

    # ways; each has another effect than the one before it

    def config(self):
        return self.weir.get(CONFIG)

    def by_object(self):
        """A pool is made, or taken out again."""
        if "more" in self.config()["pools"]:
            return "DELETE", f"{CONFIG}/pools/more", None
        return "POST", f"{CONFIG}/pools", {"name": "more", "servers": ["127.0.0.1:1", {"address": "127.0.0.1:2", "weight": 3}]}

    def by_patch(self):
        idle = self.config()["pools"]["web"]["idle_connections"]
        return "PATCH", f"{CONFIG}/pools/web", {"idle_connections": 7 if idle != 7 else 9, "timeouts": {"connect": "2s"}}

    def by_put(self):
        listener = next(listener for listener in self.config()["listeners"] if listener["name"] == "web")
        if len(listener["routes"]) > 1:
            return "DELETE", f"{CONFIG}/listeners/web/routes/more", None
        return "PUT", f"{CONFIG}/listeners/web/routes/more", {"path": "/more", "pool": "web"}

    def by_rollback(self):
        return "POST", f"{CONFIG}/rollback", {"generation": generation(self.weir) - 1}

    # steps: one with its at-th allocation failing; how many there were

    def ask(self, method, path, body):
        """The response; None: there was no memory for one."""
        try:
            return self.weir.ask_admin(method, path, body=body)
        except (message.Ended, ConnectionError):
            return None

    def step(self, way, at):
        before, (method, path, body) = generation(self.weir), way()
        self.shortage.begin(at)
        response = self.ask(method, path, body)
        count, failed = self.shortage.end()
        self.look()
        after = generation(self.weir)
        if response and response.status < 300:
            assert after == before + 1
        elif response:
            assert failed and after == before, response.text
            self.note(at, response)
        else:
            assert failed and after in (before, before + 1)
        return count

    def look(self):
        assert self.weir.process.poll() is None, self.weir.log[-20000:]
        assert is_served(self.weir)

    def note(self, at, response):
        if "memory" not in response.text.lower():
            self.wrong.append(f"{at}: {response.status} {response.text}")
        self.seen.add(json.loads(response.body).get("detail", response.text))

    def show(self, number):
        with open(self.shown + ".new", "w", encoding="utf-8") as file:
            for part in ("key", "cert"):
                with open(self.pairs[number][part], encoding="utf-8") as source:
                    shutil.copyfileobj(source, file)
        os.rename(self.shown + ".new", self.shown)
        self.number = number

    def step_certificates(self, at):
        """Read again: the other one is there, and is served as soon as there is memory for it."""
        self.shortage.begin(at)
        self.show(1 - self.number)
        response = self.ask("POST", "/api/v1/certificates/reload", None)
        count, failed = self.shortage.end()
        self.look()
        if response and response.status != 200:
            assert failed, response.text
            self.seen.add(json.loads(response.body).get("detail", response.text))  # in OpenSSL's words, some of which are of other things
        if not response or response.status != 200:
            assert self.ask("POST", "/api/v1/certificates/reload", None).status == 200
        wanted = self.pki.serial(("first", "second")[self.number])
        client = self.scene.client(self.weir, "secure", context=self.pki.context(), name="one.example.org")
        assert client.sock.tls.getpeercert()["serialNumber"] == wanted
        client.close()
        return count

    def write_list(self, number):
        with open(self.list + ".new", "w", encoding="utf-8") as file:
            file.write(self.lists[number])
        os.rename(self.list + ".new", self.list)

    def found(self):
        return sorted(server["name"] for server in self.weir.get("/api/v1/pools/found/servers")["servers"])

    def step_found(self, at):
        """A file lists others: they are picked as soon as there is memory for them."""
        number, said = 2 - len(self.found()), len(self.weir.events("servers_changed"))
        self.shortage.begin(at)
        self.write_list(number)
        # Nothing is asked meanwhile: that would need memory, too.
        eventually(lambda: self.shortage.has_counted(at) or len(self.weir.events("servers_changed")) > said, "they are found")
        count, _ = self.shortage.end()
        eventually(lambda: len(self.found()) == number + 1, lambda: f"{at}: {self.found()}")
        self.look()
        return count

    def finish(self):
        self.weir.wait_retired()
        print("\n".join(sorted(self.seen)))


@pytest.fixture
def changes(scene, tmp_path, monkeypatch):
    return Changes(scene, Shortage(tmp_path, monkeypatch), tmp_path)


def steps_of(changes):
    for way in (changes.by_object, changes.by_patch, changes.by_put, changes.by_rollback):
        yield way.__name__, lambda at, way=way: changes.step(way, at)
    yield "certificates", changes.step_certificates
    yield "found", changes.step_found


def walk(changes, choose):
    for name, step in steps_of(changes):
        count = max(step(NEVER) for _ in range(4))  # what is made once has been made
        print(f"{name}: {count} allocations", flush=True)
        for at in choose(int(count * 1.1) + 1):
            step(at)
    assert changes.seen
    changes.finish()


def test_what_was_in_force_stays_wherever_memory_runs_out(changes):
    pick = random.Random(1)
    walk(changes, lambda count: sorted(pick.sample(range(1, count), min(SAMPLES, count // 5))))


def test_certificates_that_were_not_read_are_not_said_to_be(changes):
    """The first allocations of a reading: of its list, and of what is to be served."""
    for at in range(1, 41):
        changes.step_certificates(at)
    changes.finish()


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_each_allocation_of_a_change_may_fail(changes):
    walk(changes, lambda count: range(1, count))
    assert not changes.wrong, changes.wrong
