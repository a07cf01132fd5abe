"""A configuration that stands in several files, and takes what is secret from the environment or from files."""
import json
import os

import pytest

import message
from ports import reserve_port
from weir import Weir, run_command

TOKEN = "token-of-the-environment"
OTHER = "another-token-from-a-file"


class Files:
    """weir.yaml and what it includes, in a folder of their own."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.path = os.path.join(self.folder, "weir.yaml")
        os.makedirs(os.path.join(self.folder, "conf.d"))

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def remove(self, name):
        os.unlink(os.path.join(self.folder, name))


def pool(name, server):
    return f"pools:\n  {name}: {{servers: [\"{server.address}\"]}}\n"


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "files")


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("WEIR_TEST_TOKEN", TOKEN)
    return monkeypatch


def start(scene, files, *servers, token=TOKEN):
    """weir with a pool in a file of its own for each server; the first one is where everything goes."""
    listen, admin = reserve_port(), reserve_port()
    files.write("weir.yaml", f"""include: conf.d/*.yaml
state: {files.folder}/state
listeners:
  web:
    bind: "127.0.0.1:{listen}"
    routes: [{{name: one, path: /one, pool: pool0}}, {{name: rest, pool: "${{WEIR_TEST_POOL:-pool0}}"}}]
admin: {{bind: "127.0.0.1:{admin}", token: "${{WEIR_TEST_TOKEN}}"}}
""")
    for number, server in enumerate(servers):
        files.write(f"conf.d/{number}.yaml", pool(f"pool{number}", server))
    weir = Weir(scene.directory, None, arguments=["run", "-c", files.path])
    weir.config = {"listeners": {"web": {"bind": f"127.0.0.1:{listen}"}},
                   "admin": {"bind": f"127.0.0.1:{admin}", "token": token}}
    scene.weirs.append(weir)
    return weir.wait_ready()


def pools(weir):
    return sorted(name for name in json.loads(weir.ask_admin("GET", "/api/v1/config").body)["pools"])


def command(weir, *arguments):
    return run_command(*arguments, "--admin", "%s:%d" % weir.admin_address, "--token", TOKEN)


def test_files_and_variables_come_together(scene, files, environment):
    server = scene.server()
    weir = start(scene, files, server, scene.server())
    assert pools(weir) == ["pool0", "pool1"]
    client = scene.client(weir)
    client.send(message.request("GET", "/"))
    assert client.read().status == 200
    shown = weir.ask_admin("GET", "/api/v1/config").body
    assert TOKEN.encode() not in shown and b"include" not in shown
    assert TOKEN not in weir.log


def test_what_is_kept_has_the_files_and_the_names_of_variables(scene, files, environment):
    first, second = scene.server(), scene.server()
    weir = start(scene, files, first)
    files.write("conf.d/1.yaml", pool("pool1", second))
    done = command(weir, "reload")
    assert done.returncode == 0 and "+ pool pool1" in done.stdout, done.stderr + done.stdout
    files.remove("conf.d/1.yaml")
    assert command(weir, "reload").returncode == 0
    assert pools(weir) == ["pool0"]
    done = command(weir, "config", "rollback", "2")
    assert done.returncode == 0, done.stderr
    assert pools(weir) == ["pool0", "pool1"]
    for name in os.listdir(os.path.join(files.folder, "state")):
        with open(os.path.join(files.folder, "state", name)) as file:
            text = file.read()
        assert TOKEN not in text
        assert name == "audit.log" or "${WEIR_TEST_TOKEN}" in text
    # It holds until one of the files changes.
    files.write("conf.d/9.yaml", "# nothing\n")
    assert command(weir, "reload").returncode == 0
    assert pools(weir) == ["pool0"]


def test_a_mistake_in_an_included_file_changes_nothing(scene, files, environment):
    weir = start(scene, files, scene.server())
    files.write("conf.d/broken.yaml", "pools:\n  pool0: {servers: []}\n  other: {serves: []}\n")
    done = command(weir, "reload")
    assert done.returncode == 78 and pools(weir) == ["pool0"]
    place = os.path.join(files.folder, "conf.d/broken.yaml")
    assert f'{place}:2:3: "pool0" is given twice: here and at {files.folder}/conf.d/0.yaml:2' in done.stderr, done.stderr
    assert f'{place}:3:11: unknown key "serves" in pool; did you mean "servers"?' in done.stderr, done.stderr


def test_what_is_put_includes_nothing(scene, files, environment):
    weir = start(scene, files, scene.server())
    with open(files.path, "rb") as file:
        answer = weir.ask_admin("PUT", "/api/v1/config", body=file.read())
    assert answer.status == 400
    assert "request:1:1: what is sent cannot include files" in json.loads(answer.body)["detail"]
    assert pools(weir) == ["pool0"]


def test_a_check_against_the_running_one_sends_all_files(scene, files, environment):
    weir = start(scene, files, scene.server())
    files.write("conf.d/1.yaml", pool("pool1", scene.server()))
    done = command(weir, "check", files.path, "--against-running")
    assert done.returncode == 0 and "+ pool pool1" in done.stdout, done.stdout + done.stderr
    assert pools(weir) == ["pool0"]


def test_a_secret_comes_from_a_file(scene, files, environment):
    files.write("token", OTHER + "\n")
    environment.setenv("WEIR_TEST_TOKEN", "file:/etc/passwd")  # a value is no name
    weir = start(scene, files, scene.server(), token="file:/etc/passwd")
    assert pools(weir) == ["pool0"]
    environment.setenv("WEIR_TEST_FOLDER", files.folder)
    with open(files.path) as file:
        text = file.read()
    files.write("weir.yaml", text.replace("${WEIR_TEST_TOKEN}", "file:${WEIR_TEST_FOLDER}/token"))
    other = Weir(scene.directory, None, arguments=["check", "-c", files.path], is_checked=False)
    assert other.wait_exit() == 0, other.log
    files.remove("token")
    done = run_command("check", files.path)
    assert done.returncode == 78
    assert f'"token": cannot open {files.folder}/token: No such file or directory' in done.stderr, done.stderr


def test_who_asks_weir_needs_no_more_than_the_token(scene, files, environment):
    environment.setenv("WEIR_TEST_POOL", "pool1")
    weir = start(scene, files, scene.server(), scene.server())
    with open(files.path) as file:
        text = file.read()
    files.write("weir.yaml", text.replace("${WEIR_TEST_POOL:-pool0}", "${WEIR_TEST_POOL}"))
    environment.delenv("WEIR_TEST_POOL")
    done = run_command("reload", "-c", files.path)
    assert done.returncode == 0, done.stderr
    environment.delenv("WEIR_TEST_TOKEN")
    done = run_command("reload", "-c", files.path)
    assert done.returncode == 78
    assert f"{files.path}:7:" in done.stderr and "the environment has no variable WEIR_TEST_TOKEN" in done.stderr


@pytest.mark.parametrize("kind", ["again", "anchor"])
def test_a_text_with_faults_that_leave_it_readable_is_refused_as_a_whole(scene, kind):
    weir = scene.proxy(scene.server())
    text = json.dumps(weir.config, indent=1)
    text = text[:-1] + ', "workers": 1, "workers": 1}' if kind == "again" else text[:-1] + ', "workers": &a 1}'
    answer = weir.ask_admin("PUT", "/api/v1/config", body=b"# as YAML\n" + text.encode())
    assert answer.status == 400, answer.body
    assert len(weir.servers()) == 1
