"""weir top: the dashboard in a terminal."""
import json
import signal

import pytest

import broken
import message
from ports import reserve_port
from terminal import Terminal
from waiting import eventually
from weir import BINARIES, run_command

USAGE, UNAVAILABLE = 64, 69
UP, DOWN, ENTER, LEFT = "\x1b[A", "\x1b[B", "\r", "\x1b[D"


@pytest.fixture
def tops():
    made = []

    def open_top(weir, *arguments, columns=160, rows=24, **environment):
        made.append(Terminal([BINARIES["asan"], "top", "--admin", "%s:%d" % weir.admin_address, *arguments],
                             columns, rows, **environment))
        return made[-1]
    yield open_top
    for top in made:
        top.close()


def make(scene, **options):
    server = scene.server([broken.serve(lambda request: message.response(int(request.target[1:4])))])
    return scene.proxy({"name": "alpha", "address": server.address}, {"name": "beta", "address": f"127.0.0.2:{reserve_port()}"},
                       listener={"routes": [{"name": "api", "path_prefix": "/5", "pool": "web"},
                                            {"name": "rest", "pool": "web"}]}, **options)


def state_of(weir, server):
    return weir.servers()[server]["admin"], weir.servers()[server]["weight"]


def test_it_shows_the_tables_and_goes_into_them(scene, tops):
    weir = make(scene)
    top = tops(weir)
    shown = top.wait("> alpha")
    assert "2 servers" in shown and "beta" in shown and weir.stats()["version"] in shown.splitlines()[0]
    top.type("1")
    top.wait("> web .*\n")
    top.type(ENTER)
    top.wait("2 routes of web")
    top.wait("> api")
    top.type(DOWN)
    top.wait("> rest")
    top.type(LEFT)
    top.wait("1 listeners")
    top.type("3" + ENTER)
    top.wait("2 servers of web")
    top.type("q")
    assert top.wait_end() == 0


def test_its_figures_are_those_of_the_api(scene, tops):
    weir = make(scene)
    client = scene.client(weir)

    def is_counted():
        client.ask("GET", "/200")
        done = run_command("top", "--once", "--view", "listeners", "--admin", "%s:%d" % weir.admin_address)
        return done.stdout.splitlines()[1].split()[1] != "0.0"
    eventually(is_counted, "requests of the last ten seconds")
    done = run_command("top", "--once", "--json", "--view", "server", "--sort", "name", "--admin",
                       "%s:%d" % weir.admin_address)
    known = json.loads(done.stdout)
    api = weir.get("/api/v1/traffic?kind=server&sort=name&limit=100")
    assert [row["name"] for row in known["rows"]] == [row["name"] for row in api["rows"]] == ["alpha", "beta"]
    assert known["rows"][0].keys() == api["rows"][0].keys() and known["total"] == api["total"]
    lines = run_command("top", "--once", "--admin", "%s:%d" % weir.admin_address).stdout.splitlines()
    assert lines[0].split()[:3] == ["servers", "pool", "state"] and [line.split()[0] for line in lines[1:]] == ["alpha", "beta"]


def test_a_server_is_drained_and_brought_back(scene, tops):
    weir = make(scene, admin={"token": "secret"} | {"bind": f"127.0.0.1:{reserve_port()}"})
    top = tops(weir, "--token", "secret")
    top.wait("> alpha +web +up")
    top.type("d")
    top.wait("> alpha +web +draining")
    assert state_of(weir, "alpha") == ("drain", 1)
    top.wait("u takes it back")
    top.type("u")
    top.wait_gone("draining")
    assert state_of(weir, "alpha") == ("enabled", 1)
    top.type(DOWN)
    top.wait("> beta")
    top.type("m")
    top.wait("> beta +web +maintenance")
    top.type("b")
    top.wait_gone("> beta +web +maintenance")
    top.type("w7" + ENTER)
    eventually(lambda: state_of(weir, "beta") == ("enabled", 7), "the weight")
    top.type("wx" + ENTER)
    top.wait("a weight is a number")
    top.type("u")
    eventually(lambda: state_of(weir, "beta") == ("enabled", 1), "as before")
    top.type("1d")
    top.wait("choose a server first")


def test_failures_of_a_server_and_search(scene, tops):
    weir = make(scene)
    scene.client(weir).ask("GET", "/503")
    weir.exchange(failed="true")
    top = tops(weir)
    top.wait("> alpha")
    top.type("/alp" + ENTER)
    top.wait('1 servers with "alp"')
    top.wait_gone("beta")
    top.type(ENTER)
    top.wait("what failed of late of server alpha")
    top.wait("/503 .* 503 after ")
    top.type(LEFT)
    top.wait('with "alp"')
    top.type("/" + ENTER + "n")
    top.wait("2 servers, by name")


@pytest.mark.parametrize("columns, rows", [(1, 1), (5, 2), (20, 3), (300, 100), (80, 4)])
def test_it_survives_any_size(scene, tops, columns, rows):
    weir = make(scene)
    top = tops(weir, columns=columns, rows=rows)
    top.wait("w")
    top.resize(120, 30)
    top.wait("alpha")
    top.resize(columns, rows)
    top.type(DOWN + DOWN + UP + "q")
    assert top.wait_end() == 0


def test_a_lost_connection_is_said_and_it_comes_back(scene, tops):
    weir = make(scene)
    top = tops(weir)
    top.wait("> alpha")
    config = weir.config
    weir.finish()
    scene.weirs.remove(weir)
    top.wait("no answer, trying again: ")
    assert "alpha" in top.text  # what was known stays
    scene.weir(config)
    top.wait_gone("no answer")
    top.wait("> alpha")


def test_it_needs_a_weir_and_a_terminal(scene, tops):
    weir = make(scene)
    done = run_command("top", "--admin", "%s:%d" % weir.admin_address)
    assert done.returncode == USAGE and "--once" in done.stderr
    dumb = tops(weir, TERM="dumb")
    assert dumb.process.wait(30) == USAGE
    done = run_command("top", "--once", "--admin", f"127.0.0.1:{reserve_port()}")
    assert done.returncode == UNAVAILABLE
    assert run_command("top", "--view", "nonsense").returncode == USAGE
    assert run_command("top", "--json").returncode == USAGE


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_leave_the_terminal_as_it_was(scene, tops, ending):
    top = tops(make(scene))
    top.wait("> alpha")
    top.process.send_signal(ending)
    assert top.wait_end() == 0


def test_names_do_not_steer_the_terminal(scene, tops):
    # No name of a configuration may hold such bytes, so one stands in for weir that says it has.
    server = scene.server([broken.serve(lambda request: message.response(
        200, ("Content-Type", "application/json"), body=json.dumps(
            {"seconds": 10, "total": 1, "rows": [{"name": "a\x1b]0;owned\x07b\x9b31m", "of": "p\x1b[2J", "requests": 1, "errors": 1,
                                                  "server": {"state": "\x1b[1m", "health_reason": "x\ny"}}],
             "version": "\x1b[5m", "live": {}}).encode()))])
    fake = type("Fake", (), {"admin_address": ("127.0.0.1", int(server.address.rsplit(":", 1)[1]))})
    top = tops(fake)
    top.wait("> a.*owned.*b")  # the screen refuses whatever steers it
    assert "\x07" not in top.text and b"\x1b]" not in top.screen.sent
    top.type("q")
    assert top.wait_end() == 0


def test_without_colors_there_are_none(scene, tops):
    weir = make(scene)
    weir.patch_server("web", "beta", admin="maintenance")
    plain, colored = tops(weir, NO_COLOR="1"), tops(weir)
    for top in plain, colored:
        top.wait("maintenance")
    eventually(lambda: b"\x1b[31m" in colored.screen.sent, "red")
    assert b"\x1b[31m" not in plain.screen.sent
