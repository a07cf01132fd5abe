"""`weir leaks`: what is lost is named, and what is not is not."""
import json
import os
import subprocess

import pytest

import message
from test_no_malloc import ask_all
from waiting import eventually
from weir import run_command

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "leak_planter.c")
WALKED = ["exchanges", "tunnels", "client_connections", "server_connections", "blocks", "timers"]
GET = message.request("GET", "/", host="example.test")

# As a bug would: taken, and lost sight of.
PLANT = {
    "exchanges": "call (void*)slab_get(&$w->exchanges)",
    "tunnels": "call (void*)slab_get(&$w->tunnels)",
    "client_connections": "call (void*)slab_get(&$w->clients)",
    "server_connections": "call (void*)slab_get(&((struct pool_worker*)((char*)$w->pools.next - "
                          "(unsigned long)&((struct pool_worker*)0)->link))->upstreams)",
    "blocks": "call (void*)block_get(&$w->loop.blocks, 1)",
    "timers": "call (void)timer_arm(&$w->loop.timers, &$x->timer, $w->loop.timers.now_ms + 600000)",
}


def leaks(weir, *arguments):
    return run_command("leaks", "--admin", "%s:%d" % weir.admin_address, *arguments, build="release", seconds=40)


def report(weir):
    done = leaks(weir, "--json")
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert (done.returncode == 1) == bool(found["leaks"])
    return found


def kind(found, name):
    return next(k for k in found["kinds"] if k["kind"] == name)


def within(weir, *commands):
    """gdb does that in it, once."""
    arguments = [argument for command in commands for argument in ("-ex", command)]
    done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", str(weir.pid), *arguments],
                          capture_output=True, text=True, timeout=60)
    assert "No symbol" not in done.stderr and "evaluation of the expression" not in done.stderr, done.stderr


@pytest.fixture
def sleepless(scene):
    """Looks often; the binary is the one whose functions a debugger can call."""
    return scene.proxy(scene.nginx(logs=False), build="asan", profile={"leaks": "100ms"})


@pytest.mark.parametrize("what", WALKED)
def test_what_is_lost_is_named(sleepless, scene, what):
    weir = sleepless
    client = scene.client(weir)
    client.send(GET)
    client.read()
    assert report(weir)["leaks"] == []
    weir.baseline = None
    weir.is_checked = False  # what is planted stays
    within(weir, "set $w = ((struct proxy*)anchor.proxy)->workers[0]",
           "set $x = (struct exchange*)slab_get(&$w->exchanges)" if what == "timers" else "print 1",
           "call (void)timer_init(&$x->timer, (void*)timer_init)" if what == "timers" else "print 1", PLANT[what])
    expected = {"exchanges", "timers"} if what == "timers" else {what}
    found = eventually(lambda: (r := report(weir))["leaks"] and r, "a leak")
    assert set(found["leaks"]) == expected
    assert kind(found, what)["lost"] == 1 and kind(found, what)["verdict"] == "lost"
    said = leaks(weir)
    assert said.returncode == 1 and said.stdout.startswith("It leaks: ") and what in said.stdout.splitlines()[0]
    eventually(lambda: what in {event["kind"] for event in weir.events("leak")}, "a message that names it")
    client.send(GET)  # and it goes on
    assert client.read().status == 200


@pytest.fixture
def plant(scene, tmp_path, monkeypatch):
    library = str(tmp_path / "leak_planter.so")
    subprocess.run(["cc", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-Wall", "-Wextra", "-Werror",
                    "-shared", "-fPIC", "-o", library, SOURCE], check=True)

    def start(what):
        with monkeypatch.context() as environment:
            environment.setenv("LD_PRELOAD", library)
            environment.setenv("WEIR_LEAK", what)
            weir = scene.proxy(scene.nginx(logs=False), build="release", profile={"leaks": "100ms"})
        weir.baseline = None
        return weir
    return start


def test_descriptors_that_nobody_closes_are_named(plant):
    weir = plant("descriptors")
    found = eventually(lambda: (r := report(weir))["leaks"] and r, "a leak", seconds=30)
    assert found["leaks"] == ["descriptors"]
    assert kind(found, "descriptors")["verdict"] == "leak"
    assert weir.wait_event("leak")["kind"] == "descriptors"


def test_memory_that_nobody_frees_is_named_with_who_took_it(plant):
    weir = plant("heap")
    found = eventually(lambda: (r := report(weir))["leaks"] and r, "a leak", seconds=30)
    assert found["leaks"] == ["heap_bytes"]
    assert "leak_bytes" in found["heap_sites"][0]["stack"]
    assert found["heap_sites"][0]["grown_bytes"] > 2 << 20
    # Each look judges anew, and on a busy machine one may be in doubt.
    shown = eventually(lambda: (s := leaks(weir)) and "It leaks: heap_bytes" in s.stdout and s, "a leak that is told", seconds=30)
    assert "leak_bytes" in shown.stdout


def test_work_as_usual_is_no_leak(scene):
    """A minute at one look a second would be 60: as many, faster, while connections come, go and break."""
    weir = scene.proxy(scene.nginx(logs=False), build="release", profile={"leaks": "100ms"})

    def busy():
        clients = [scene.client(weir) for _ in range(20)]
        for _ in range(5):
            ask_all(clients, message.request("GET", "/", host="example.test"))
        half = scene.client(weir)
        half.send(b"GET / HTTP/1.1\r\nHo")
        for client in [*clients, half]:
            client.close()
        found = report(weir)
        assert found["leaks"] == [], found
        assert all(kind(found, name)["lost"] == 0 for name in WALKED)
        return found["audits"] >= 60
    eventually(busy, "60 looks", seconds=30)
    assert weir.events("leak") == []
    said = leaks(weir)
    assert said.returncode == 0 and said.stdout.startswith("Nothing leaks, as far as ")


def test_faults_of_the_command_are_told():
    assert run_command("leaks", "now").returncode == 64
    done = run_command("leaks", "--admin", "127.0.0.1:1")
    assert done.returncode == 69 and "nothing answers at 127.0.0.1:1" in done.stderr
