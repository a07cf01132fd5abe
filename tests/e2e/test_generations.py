"""Configurations that came into force are kept: an edit by the API survives kill -9, and any can come back."""
import copy
import json
import os
import re
import threading

import pytest

import message
from weir import make_config, run_command

TOKEN = "token-that-nobody-sees"


def path_of(weir):
    return weir.process.args[-1]


def put(weir, text, *fields, query=""):
    body = text if isinstance(text, bytes) else json.dumps(text).encode()
    return weir.ask_admin("PUT", "/api/v1/config" + query, *fields, body=body)


def etag(response):
    return response.get("ETag")


def config(weir, *words):
    return run_command("config", *words, "--admin", "%s:%d" % weir.admin_address, "--token", TOKEN)


def history(weir):
    """(number, by) of each, the newest first."""
    done = config(weir, "history", "--json")
    assert done.returncode == 0, done.stderr
    return [(entry["generation"], entry["by"]) for entry in json.loads(done.stdout)["generations"]]


def kept_file(scene, number):
    folder = os.path.join(str(scene.directory), "state")
    name, = [name for name in os.listdir(folder) if name.startswith(f"{number}-")]
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


@pytest.fixture
def kept(scene):
    """weir that keeps what was in force, and the same with another address for its server."""
    server = scene.server()
    top = {"state": os.path.join(str(scene.directory), "state"), "timeouts": {"drain": "2s"}}
    config = make_config([server], **top)
    config["admin"]["token"] = TOKEN
    weir = scene.weir(config)
    edited = copy.deepcopy(config)
    edited["pools"]["web"]["servers"] = [{"name": "edited", "address": server.address}]
    return weir, edited


def test_an_edit_survives_kill_and_restart_until_the_file_changes(scene, kept):
    weir, edited = kept
    text = b"# by hand\n" + json.dumps(edited, indent=3).encode() + b"\n"
    assert put(weir, text).status == 200
    weir.kill_unchecked()
    again = scene.start_again(weir)
    assert list(again.servers()) == ["edited"]
    assert again.events("generation_used")[0]["by"] == "api"
    assert history(again) == [(2, "api"), (1, "start")]
    assert kept_file(scene, 2) == text
    again.kill_unchecked()

    with open(path_of(weir), "a") as file:
        file.write("\n# changed\n")
    third = scene.start_again(weir)
    assert list(third.servers()) != ["edited"]
    assert third.events("generation_passed_over")[0]["generation"] == "2"
    assert history(third) == [(3, "start"), (2, "api"), (1, "start")]
    assert third.get("/api/v1/config/generations")["generations"][0]["in_force"]
    third.kill_unchecked()
    assert history(scene.start_again(weir)) == [(3, "start"), (2, "api"), (1, "start")]


def test_a_killed_process_leaves_one_whole_configuration_or_the_other(scene, kept):
    """Wherever it is killed: what it had answered for is there, and nothing half is."""
    weir, edited = kept
    for number in range(4):
        edited["pools"]["web"]["servers"][0]["weight"] = 10 + number
        answered = []
        thread = threading.Thread(target=lambda: answered.append(try_put(weir, edited)))
        thread.start()
        if number % 2:
            thread.join()
        weir.kill_unchecked()
        thread.join()
        weir = scene.start_again(weir)
        weights = [server["weight"] for server in weir.servers().values()]
        if answered == [200]:
            assert weights == [10 + number]
        assert not weir.events("generation_unusable")
        numbers = [number for number, _ in history(weir)]
        assert numbers == sorted(set(numbers), reverse=True)


def try_put(weir, text):
    try:
        return put(weir, text).status
    except (OSError, message.Ended):
        return None


def test_rollback_is_byte_for_byte(scene, kept):
    weir, edited = kept
    first = kept_file(scene, 1)
    with open(path_of(weir), "rb") as file:
        assert file.read() == first
    assert put(weir, edited).status == 200
    done = config(weir, "rollback", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "In force as generation 3:"
    assert "  - server web/edited" in done.stdout.splitlines()
    assert kept_file(scene, 3) == first
    assert history(weir) == [(3, "rollback"), (2, "api"), (1, "start")]
    weir.kill_unchecked()
    again = scene.start_again(weir)
    assert list(again.servers()) != ["edited"] and history(again)[0] == (3, "rollback")
    missing = config(again, "rollback", "77")
    assert missing.returncode == 65 and "77" in missing.stderr, missing.stderr


def test_history_and_differences_show_no_secret(scene, kept):
    weir, edited = kept
    edited["admin"]["tokens"] = [{"name": "other", "role": "view", "token": "another-secret-token"}]
    assert put(weir, edited).status == 200
    done = config(weir, "history")
    assert re.search(r"^ *2  \S+Z  api +in force$", done.stdout, re.M), done.stdout
    difference = config(weir, "diff")
    assert difference.returncode == 0, difference.stderr
    assert difference.stdout.startswith("What generation 2 changes of generation 1:\n")
    assert "  + server web/edited" in difference.stdout.splitlines()
    assert "  ~ settings: admin" in difference.stdout.splitlines()
    back = config(weir, "diff", "2", "1")
    assert back.stdout.startswith("What generation 1 changes of generation 2:\n")
    assert config(weir, "diff", "2", "2").stdout == "What generation 2 changes of generation 2: nothing.\n"
    absent = config(weir, "diff", "1", "9")
    assert (absent.returncode, absent.stdout) == (65, "") and absent.stderr.startswith("weir config: Generation 9 is not kept")
    assert "  - server web/edited" in back.stdout.splitlines()
    shown = weir.get("/api/v1/config/generations/2")
    assert shown["admin"]["token"] == shown["admin"]["tokens"][0]["token"] == "***"
    for text in (done.stdout, difference.stdout, json.dumps(shown), weir.log):
        assert TOKEN not in text and "another-secret" not in text
    for name in os.listdir(os.path.join(str(scene.directory), "state")):
        assert os.stat(os.path.join(str(scene.directory), "state", name)).st_mode & 0o777 == 0o600
    assert weir.ask_admin("GET", "/api/v1/config/generations/9").status == 404
    assert weir.ask_admin("GET", "/api/v1/config/generations/x").status == 400


def test_what_answers_show_is_no_secret_to_send_back(kept):
    weir, edited = kept
    response = put(weir, weir.get("/api/v1/config"))
    assert response.status == 400 and "***" in response.text
    assert history(weir) == [(1, "start")]


def test_of_two_edits_of_the_same_one_fails(kept):
    weir, edited = kept
    other = copy.deepcopy(edited)
    other["pools"]["web"]["servers"][0]["name"] = "other"
    tag = etag(weir.ask_admin("GET", "/api/v1/config"))
    assert tag == '"1"'
    statuses = []
    threads = [threading.Thread(target=lambda text=text: statuses.append(put(weir, text, ("If-Match", tag)).status))
               for text in (edited, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 412]
    assert etag(weir.ask_admin("GET", "/api/v1/config")) == '"2"'
    assert put(weir, edited, ("If-Match", 'W/"2"')).status == 412
    assert etag(put(weir, edited, ("If-Match", '"1", "2"'))) == '"3"'
    assert put(weir, other, ("If-Match", "*")).status == 200


def test_a_folder_that_takes_nothing_refuses_the_edit(scene, kept):
    weir, edited = kept
    folder = os.path.join(str(scene.directory), "state")
    os.rename(folder, folder + ".old")
    for name in os.listdir(folder + ".old"):
        os.remove(os.path.join(folder + ".old", name))
    os.rmdir(folder + ".old")
    response = put(weir, edited)
    assert response.status == 500 and "state" in response.text
    assert list(weir.servers()) != ["edited"]


def test_without_a_folder_nothing_is_kept(scene):
    weir = scene.proxy(scene.server())
    done = run_command("config", "history", "--admin", "%s:%d" % weir.admin_address)
    assert done.returncode == 65 and "state" in done.stderr, done.stderr
    assert re.fullmatch(r'"1-[0-9a-f]+"', etag(weir.ask_admin("GET", "/api/v1/config")))
