"""`weir reload` and `weir check --against-running`: what a changed file changes, and what is refused."""
import copy
import json

import pytest

import message
from weir import listen_at_free_port, run_command


def path_of(weir):
    return weir.process.args[-1]


def write(weir, config):
    with open(path_of(weir), "w") as file:
        json.dump(config, file, indent=1)


def command(weir, name, *arguments):
    return run_command(name, *arguments, "--admin", "%s:%d" % weir.admin_address)


def lines(done):
    return [line.strip() for line in done.stdout.splitlines()[1:]]


@pytest.fixture
def pair(scene):
    """weir before a server, and the configuration with another one in its place."""
    servers = [scene.server(), scene.server()]
    weir = scene.proxy(servers[0], pool={"balance": {"method": "hash", "key": "path"}})
    changed = copy.deepcopy(weir.config)
    changed["pools"]["web"]["servers"] = [servers[1].address]
    changed["timeouts"] = {"drain": "7s"}
    changed["workers"] = 2
    return weir, changed, servers


CHANGES = ["keys of pool web: 100.0 % move", "hold only after a restart: workers", "~ settings: timeouts, workers"]


def expected(servers):
    return sorted(CHANGES + [f"+ server web/{servers[1].address}", f"- server web/{servers[0].address}"])


def test_a_changed_file_is_put_in_force_and_what_changed_is_said(scene, pair):
    weir, changed, servers = pair
    write(weir, changed)
    done = command(weir, "reload")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "In force as generation 2:"
    assert sorted(lines(done)) == expected(servers)
    assert list(weir.servers()) == [servers[1].address]
    client = scene.client(weir)
    client.send(message.request("GET", "/"))
    assert client.read().status == 200
    again = command(weir, "reload")
    assert again.stdout.splitlines() == ["In force as generation 3: nothing in the configuration "
                                         "changes; files that it names are read again.",
                                         "  hold only after a restart: workers"]


def test_a_dry_run_and_a_check_against_it_change_nothing(scene, pair):
    weir, changed, servers = pair
    write(weir, changed)
    scene.warm(weir)
    wanted = sorted(expected(servers) + ["idle connections to servers that go: 1"])
    for done in (command(weir, "reload", "--dry-run"), command(weir, "check", path_of(weir), "--against-running")):
        assert done.returncode == 0, done.stderr
        assert sorted(line for line in lines(done) if "generation" not in line) == wanted
        assert "stays in force" in done.stdout
    assert list(weir.servers()) == [servers[0].address]
    answer = json.loads(command(weir, "reload", "--dry-run", "--json").stdout)
    assert answer["generation"] == 1 and answer["dry_run"] and not answer["is_same"]
    assert [item["in"] for item in answer["servers"]["added"]] == ["web"]
    assert answer["moved_keys"] == [{"pool": "web", "share": 1}]


def test_every_mistake_is_named_with_its_place(pair):
    weir, changed, servers = pair
    path = path_of(weir)
    with open(path, "w") as file:
        file.write("listeners: {web: {bind: ':1', pool: wbe}}\npools: {web: {servers: ['127.0.0.1:1'], balanse: x}}\n")
    done = command(weir, "reload")
    assert done.returncode == 78 and not done.stdout
    assert f"{path}:1:37: " in done.stderr and f"{path}:2:41: " in done.stderr, done.stderr
    assert list(weir.servers()) == [servers[0].address]
    assert command(weir, "check", path, "--against-running").returncode == 78


def test_an_address_that_is_taken_refuses_the_whole(pair):
    weir, changed, servers = pair
    changed["listeners"]["taken"] = {"bind": servers[0].address, "pool": "web"}
    write(weir, changed)
    done = command(weir, "reload")
    assert done.returncode == 78 and servers[0].address in done.stderr, done.stderr
    assert list(weir.servers()) == [servers[0].address]


def test_nobody_answers(tmp_path):
    done = run_command("reload", "--admin", "127.0.0.1:1")
    assert done.returncode == 69 and "127.0.0.1:1" in done.stderr


def test_without_a_file_there_is_none_to_read_again(scene):
    admin = listen_at_free_port()
    weir = scene.weir(arguments=["run", "--listen", listen_at_free_port(), "--to", "127.0.0.1:1", "--admin", admin])
    done = run_command("reload", "--admin", admin)
    assert done.returncode == 78 and "without a configuration file" in done.stderr, done.stderr
    weir.terminate()
    assert weir.wait_exit() == 0
