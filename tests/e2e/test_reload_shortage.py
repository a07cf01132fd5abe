"""Wherever memory runs out while another configuration is read, built and put in force, the one before stays, the answer says why,
and nothing is lost: of the allocations of a whole reload one fails, then another, each at its turn."""
import json
import mmap
import os
import random
import re
import struct
import subprocess

import pytest

import message
from client import Client
from tls import Pki
from weir import listen_at_free_port, make_config

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "memory_shortage.c")
LAYOUT = struct.Struct("<QQQ")  # as in memory_shortage.c
NEVER = 1 << 62
SAMPLES = 60  # of each way
HASH = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"


class Shortage:
    def __init__(self, directory, monkeypatch):
        self.monkeypatch = monkeypatch
        self.path = os.path.join(str(directory), "shortage")
        self.library = os.path.join(str(directory), "memory_shortage.so")
        with open(self.path, "wb") as file:
            file.write(bytes(LAYOUT.size))
        subprocess.run(["cc", "-O1", "-g", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fno-builtin",
                        "-o", self.library, SOURCE], check=True)
        with open(self.path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), LAYOUT.size)

    def preload(self, start):
        with self.monkeypatch.context() as environment:
            environment.setenv("LD_PRELOAD", self.library)
            environment.setenv("WEIR_SHORTAGE", self.path)
            # The sanitizer's library comes second: what fails here never gets to it.
            environment.setenv("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1:verify_asan_link_order=0")
            return start()

    def begin(self, at):
        """From now on; the first field last."""
        struct.pack_into("<QQ", self.shared, 8, 0, 0)
        struct.pack_into("<Q", self.shared, 0, at)

    def has_counted(self, at):
        """So many there were, or more, of which that one has failed."""
        return LAYOUT.unpack_from(self.shared)[1] >= at

    def end(self):
        """How many there were, and how many of them failed."""
        struct.pack_into("<Q", self.shared, 0, 0)
        return LAYOUT.unpack_from(self.shared)[1:]


def configurations(server, directory):
    """Two that differ in every part: whichever comes next, something of each kind is made and something goes."""
    pki = Pki(directory)
    users = directory / "users"
    users.write_text(f"alice:{HASH}\n")
    denied = directory / "denied.txt"
    denied.write_text("192.0.2.0/24\n198.51.100.7\n")
    first = make_config([server], pools={
        "ring": {"servers": [{"name": f"s{n}", "address": server.address, "weight": n + 1} for n in range(3)],
                 "balance": {"method": "hash", "key": "path"}, "sticky": {"cookie": "w", "secrets": ["s" * 20]}}})
    first["listeners"]["web"].pop("pool", None)
    first["listeners"]["web"].update({
        "gate": {"deny_files": [str(denied)]},
        "routes": [{"name": "split", "path_prefix": "/split", "split": "checkout"},
                   {"name": "inner", "path_prefix": "/inner", "pool": "ring", "auth": {"basic": str(users)},
                    "cors": {"origins": ["https://app.example.com"]}},
                   {"name": "rest", "pool": "web", "errors": {"502": {"html": "<p>{status}</p>"}}}]})
    first["listeners"]["secure"] = {"bind": listen_at_free_port(), "pool": "web",
                                    "tls": {"certificates": [pki.make("one", "one.example.org")], "hsts": "1h"}}
    first["splits"] = {"checkout": {"unit": "header:X-User", "salt": "s", "variants": {
        "a": {"weight": 50, "pool": "web"}, "b": {"weight": 50, "pool": "ring"}}}}
    second = json.loads(json.dumps(first))
    second["listeners"]["other"] = {**second["listeners"].pop("secure"), "bind": listen_at_free_port()}
    second["listeners"]["other"]["tls"]["certificates"] = [pki.make("two", "two.example.org")]
    second["listeners"]["web"]["routes"].insert(0, {"name": "more", "path": "/more", "pool": "more", "mirror": "web"})
    second["pools"]["more"] = {"servers": [server.address], "tls": {"ca": pki.ca, "name": "one.example.org"}}
    second["pools"]["ring"]["servers"].pop()
    second["splits"]["checkout"]["salt"] = "t"
    return [first, second]


def generation(weir):
    return int(re.match(r'"(\d+)', weir.ask_admin("GET", "/api/v1/config").get("ETag"))[1])


def is_served(weir):
    client = Client(weir.bind_of("web"))
    try:
        client.send(message.request("GET", "/"))
        return client.read().status == 200
    finally:
        client.close()


class Reloads:
    def __init__(self, scene, shortage, directory):
        self.shortage = shortage
        self.directory = directory
        self.configs = configurations(scene.server(), directory)
        self.weir = shortage.preload(lambda: scene.weir(self.configs[0]))
        self.seen, self.wrong = set(), []  # what answers said; those that do not say why

    def by_text(self, config):
        return self.weir.put_config(config)

    def by_file(self, config):
        """Of two files."""
        part = self.directory / "part.yaml"
        rest = {key: value for key, value in config.items() if key != "pools"}
        part.write_text(json.dumps({"pools": config["pools"]}))
        self.weir.write_file({"include": [str(self.directory / "pa*.yaml")], **rest})
        return self.weir.ask_admin("POST", "/api/v1/reload")

    def ask(self, way, config):
        """The response; None: there was no memory for one."""
        try:
            return way(config)
        except (message.Ended, ConnectionError):
            return None

    def step(self, way, at):
        """One with its at-th allocation failing: how many there were."""
        before = generation(self.weir)
        config = self.configs[before % 2]  # not the one in force: that is the first in generation 1
        self.shortage.begin(at)
        response = self.ask(way, config)
        count, failed = self.shortage.end()
        assert self.weir.process.poll() is None, self.weir.log[-20000:]
        after = generation(self.weir)
        assert is_served(self.weir)
        if response and response.status == 200:
            assert after == before + 1
        elif response:
            assert failed and after == before
            if "memory" not in response.text.lower():
                self.wrong.append(f"{at}: {response.status} {response.text}")
            self.seen.add(json.loads(response.body).get("detail", response.text))
        else:
            assert failed and after in (before, before + 1)
        return count

    def count(self, way):
        return self.step(way, NEVER)

    def finish(self):
        self.weir.config = self.configs[0]
        self.weir.reload(self.configs[0])
        self.weir.wait_retired()
        self.weir.baseline = None  # the two configurations listen at different places
        self.weir.expected_errors |= {"servers_not_changed"}
        assert self.seen and not self.wrong, self.wrong
        print("\n".join(sorted(self.seen)))


@pytest.fixture
def reloads(scene, tmp_path, monkeypatch):
    return Reloads(scene, Shortage(tmp_path, monkeypatch), tmp_path)


def walk(reloads, choose):
    for way in (reloads.by_text, reloads.by_file):
        for _ in range(4):  # both ways round, twice: what is made once has been made
            count = reloads.count(way)
        print(f"{way.__name__}: {count} allocations", flush=True)
        for at in choose(int(count * 1.1)):
            reloads.step(way, at)
    reloads.finish()


def test_the_old_configuration_stays_wherever_memory_runs_out(reloads):
    pick = random.Random(1)
    walk(reloads, lambda count: sorted(pick.sample(range(1, count), min(SAMPLES, count - 1))))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_each_allocation_of_a_reload_may_fail(reloads):
    walk(reloads, lambda count: range(1, count))
