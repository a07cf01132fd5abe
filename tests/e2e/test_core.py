"""Crashes: the summary, the core file and what can be told from it; the same of a living weir."""
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess

import pytest

import broken
import message
from waiting import eventually
from weir import BINARIES, make_config, run_command

TOKEN = "TOKENCANARY-4e2d0a7c-admin"
KEY = "STICKYCANARY-91b3c5f7-key-of-cookies"
PAYLOAD = b"PAYLOADCANARY-5a6b7c8d"
NOT_WEIRS = 65


def read_pattern():
    with open("/proc/sys/kernel/core_pattern") as file:
        return file.read().strip()


def can_leave_cores():
    return read_pattern()[:1] not in ("", "/", "|") and resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


needs_cores = pytest.mark.skipif(not can_leave_cores(), reason="the host keeps core files for itself")


class Patient:
    """weir with secrets and a request in flight, and a directory for what it leaves behind."""

    def __init__(self, scene, directory, binary=None, **core):
        self.dir = os.path.join(str(directory), "cores")
        os.makedirs(self.dir)
        self.server = scene.server([broken.receive, broken.wait_end], [broken.serve()])
        config = make_config([self.server], pool={"sticky": {"cookie": "weir", "secrets": [KEY]}},
                             core={"dir": self.dir, **core})
        config["admin"]["token"] = TOKEN
        self.weir = scene.weir(config, build=binary or "release", is_checked=False)
        self.waiting = scene.client(self.weir)
        self.waiting.send(message.request("POST", "/waits/for/ever", body=PAYLOAD * 40))
        self.server.wait_requests(1)
        client = scene.client(self.weir)
        assert client.ask(target="/was-answered").status == 200
        self.weir.wait_live(exchanges=1)  # asks with the token

    def is_waiting(self):
        """Every thread sleeps: in epoll_wait(), or for the next message to write."""
        def state_of(task):
            with open(f"/proc/{self.weir.pid}/task/{task}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0]
        return all(state_of(task) == "S" for task in os.listdir(f"/proc/{self.weir.pid}/task"))

    def crash(self, signal_number=signal.SIGSEGV):
        eventually(self.is_waiting, "every thread waiting")
        os.kill(self.weir.pid, signal_number)
        assert self.weir.wait_exit() == -signal_number
        return self.core()

    def core(self):
        names = [name for name in os.listdir(self.dir) if name.startswith("core")]
        assert len(names) == 1, os.listdir(self.dir)
        return os.path.join(self.dir, names[0])

    def summary(self):
        with open(os.path.join(self.dir, f"crash.{self.weir.pid}.txt")) as file:
            return file.read()


def contains(path, *canaries):
    with open(path, "rb") as file:
        data = file.read()
    return [canary for canary in canaries if (canary if isinstance(canary, bytes) else canary.encode()) in data]


def debug(core, *commands, binary=None):
    """What gdb prints."""
    arguments = [argument for command in commands for argument in ("-ex", command)]
    done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", *arguments,
                           binary or BINARIES["release"], core], capture_output=True, text=True, timeout=60)
    return done.stdout


@needs_cores
def test_a_lean_core_has_no_secrets_and_no_payload(scene, tmp_path):
    core = Patient(scene, tmp_path).crash()
    # The first bytes of a target and the addresses are in the records; the rest is not.
    assert contains(core, TOKEN, TOKEN[:16], TOKEN[8:], KEY, KEY[:16], KEY[12:], PAYLOAD) == []
    assert os.stat(core).st_size < 64 << 20


@needs_cores
def test_a_full_core_has_secrets_and_payload(scene, tmp_path):
    core = Patient(scene, tmp_path, contents="full").crash()
    assert contains(core, TOKEN, KEY, PAYLOAD) == [TOKEN, KEY, PAYLOAD]


@needs_cores
def test_gdb_shows_stacks_and_variables_of_a_lean_core(scene, tmp_path):
    core = Patient(scene, tmp_path).crash()
    told = debug(core, "thread apply all bt", "thread 1", "frame function loop_turn", "print l->fd_count",
                 "print *events@1")
    assert re.search(r"#\d+ .*\bloop_run \(", told) and re.search(r"#\d+ .*\bepoll_wait \(", told), told
    assert re.search(r"\$1 = [1-9]", told) and "$2 = {{events = " in told, told


@needs_cores
def test_the_core_shows_the_thread_where_it_was_not_the_handler(scene, tmp_path):
    core = Patient(scene, tmp_path).crash(signal.SIGFPE)
    told = debug(core, "bt", "print $_siginfo.si_signo")
    assert "on_fault" not in told and f"$1 = {int(signal.SIGFPE)}" in told, told


@needs_cores
def test_the_summary_names_signal_stack_and_exchanges(scene, tmp_path):
    patient = Patient(scene, tmp_path)
    patient.crash()
    summary = patient.summary()
    assert summary in patient.weir.log + "\n"
    assert re.search(r"^weir \S+ crashed: SIGSEGV \(invalid memory reference\): sent by a process", summary)
    assert f"process: {patient.weir.pid}" in summary
    assert re.search(r"^ +#1 0x[0-9a-f]{16} weir\+0x[0-9a-f]+$", summary, re.M)
    assert re.search(r" rip 0x[0-9a-f]{16} | pc 0x", summary)
    live = re.search(r"^  id=\w+ state=(\w+) age_ms=[\d.]+ listener=web pool=web server=(\S+) attempts=1 "
                     r'request="POST /waits/for/ever"$', summary, re.M)
    assert live and live.groups() == ("answer", patient.server.address), summary
    assert re.search(r'^  id=\w+ status=200 end=ok .* request="GET /was-answered"$', summary, re.M), summary
    assert summary.endswith("end of the summary\n")


@needs_cores
@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS])
def test_every_fault_is_told_of_and_cores(scene, tmp_path, number):
    patient = Patient(scene, tmp_path)
    patient.crash(number)
    assert f"crashed: {number.name} (" in patient.summary()


def check_told(told, patient, has_symbols=True):
    assert told["pid"] == patient.weir.pid and told["note"] is None
    assert {"weir/0"} <= {thread["name"] for thread in told["threads"]}
    assert all(thread["registers"] and thread["stack"] for thread in told["threads"])
    # The C library's functions have no frame: their callers are found all the same, up to the thread's start.
    waiting = next(thread for thread in told["threads"] if thread["name"] == "weir/0")
    names = [(frame["function"] or "").split(" at ")[0] for frame in waiting["stack"]]
    assert (names[1] == "loop_turn" and "run" in names[2:4]) if has_symbols else not any(names[1:3]), names
    assert names[0] == "epoll_wait" and names[-1] in ("clone3", "__clone3"), names
    assert not has_symbols or " at loop.c:" in waiting["stack"][1]["function"]
    worker, = told["workers"]
    assert worker["live"]["exchanges"] == 1
    exchange, = worker["exchanges"]
    assert exchange["state"] == "answer" and exchange["record"]["target"] == "/waits/for/ever"
    assert exchange["record"]["attempts"][0]["server"] == patient.server.address
    assert [record["target"] for record in worker["records"]] == ["/was-answered"]
    assert told["config"]["admin"]["token"] == "***"
    assert told["config"]["pools"]["web"]["sticky"]["secrets"] == "***"
    assert told["config"]["core"]["dir"] == patient.dir


def postmortem(*arguments):
    done = run_command("postmortem", *arguments, "--json", build="release")
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


@needs_cores
def test_postmortem_tells_exchanges_records_and_configuration(scene, tmp_path):
    patient = Patient(scene, tmp_path)
    core = patient.crash()
    code, told, _ = postmortem(core)
    assert code == 0
    assert told["signal"]["name"] == "SIGSEGV"
    check_told(told, patient)
    text = run_command("postmortem", core, build="release").stdout
    assert "/waits/for/ever" in text and '"token": "***"' in text and "ended by SIGSEGV" in text


@needs_cores
def test_postmortem_needs_no_symbols(scene, tmp_path, monkeypatch):
    bare = os.path.join(str(tmp_path), "weir-stripped")
    subprocess.run(["strip", "-o", bare, BINARIES["release"]], check=True)
    monkeypatch.setitem(BINARIES, "stripped", bare)
    patient = Patient(scene, tmp_path, binary="stripped")
    core = patient.crash()
    done = run_command("postmortem", core, "--json", build="stripped")
    assert done.returncode == 0
    check_told(json.loads(done.stdout), patient, has_symbols=False)


@needs_cores
def test_a_core_of_another_build_is_refused_with_a_sentence(scene, tmp_path):
    core = Patient(scene, tmp_path).crash()
    with open(core, "r+b") as file:
        data = file.read()
        at = data.index(b"weir anchor 5c1f")
        file.seek(at + 28)  # its layout
        file.write(b"\xff\0\0\0")
    code, told, said = postmortem(core)
    assert code == NOT_WEIRS and told["threads"] and told["workers"] == []
    assert "lays its memory out in another way" in said and "use that build" in said


@needs_cores
def test_a_core_that_is_cut_off_still_tells_what_it_has(scene, tmp_path):
    core = Patient(scene, tmp_path).crash()
    os.truncate(core, 40000)
    code, told, said = postmortem(core)
    assert code == NOT_WEIRS and told["signal"]["name"] == "SIGSEGV" and "nothing of weir's own" in said


def test_what_is_no_core_is_named(tmp_path):
    path = os.path.join(str(tmp_path), "text")
    with open(path, "w") as file:
        file.write("no core\n")
    code, told, said = postmortem(path)
    assert (code, told) == (NOT_WEIRS, None) and "it is no ELF file" in said
    code, told, said = postmortem(BINARIES["release"])
    assert (code, told) == (NOT_WEIRS, None) and "no core file" in said
    code, told, said = postmortem(os.path.join(str(tmp_path), "absent"))
    assert (code, told) == (NOT_WEIRS, None) and "No such file" in said


@contextlib.contextmanager
def answering(patient, scene):
    """weir goes on afterwards as if nothing had been."""
    yield
    client = scene.client(patient.weir)
    assert client.ask(target="/again").status == 200
    patient.weir.wait_live(exchanges=1)
    assert patient.weir.process.poll() is None


def test_a_living_weir_tells_the_same_and_goes_on(scene, tmp_path):
    patient = Patient(scene, tmp_path)
    with answering(patient, scene):
        code, told, said = postmortem("--pid", str(patient.weir.pid))
    assert code == 0 and told["signal"] is None
    check_told(told, patient)
    assert re.search(r"stood still for \d+\.\d ms", said)


def test_a_dump_is_a_core_that_gdb_and_postmortem_read(scene, tmp_path):
    patient = Patient(scene, tmp_path)
    core = os.path.join(str(tmp_path), "dumped")
    with answering(patient, scene):
        done = run_command("dump", "--pid", str(patient.weir.pid), "--output", core, build="release")
    assert done.returncode == 0 and re.search(r"it stood still for \d+\.\d ms$", done.stdout.strip())
    assert contains(core, TOKEN, KEY, PAYLOAD) == []
    told = debug(core, "thread apply all bt", "frame function loop_turn", "print l->fd_count")
    assert re.search(r"#\d+ .*\bloop_run \(", told) and re.search(r"\$1 = [1-9]", told), told
    code, told, _ = postmortem(core)
    assert code == 0
    check_told(told, patient)


def test_a_dump_does_not_overwrite(scene, tmp_path):
    patient = Patient(scene, tmp_path)
    path = os.path.join(str(tmp_path), "there")
    with open(path, "w") as file:
        file.write("kept")
    done = run_command("dump", "--pid", str(patient.weir.pid), "--output", path, build="release")
    assert done.returncode == 71 and "File exists" in done.stderr
    with open(path) as file:
        assert file.read() == "kept"


def test_a_dump_of_nobody_leaves_no_file(tmp_path):
    path = os.path.join(str(tmp_path), "core")
    done = run_command("dump", "--pid", "999999999", "--output", path, build="release")
    assert done.returncode == 71 and "no such process" in done.stderr
    assert not os.path.exists(path)


@needs_cores
def test_a_limit_below_unlimited_is_said_and_used(scene, tmp_path):
    # The limit is the test's own and so weir's: raising it again is what a hard limit forbids, so a child is asked.
    config = make_config([scene.server()], core={"dir": str(tmp_path)})
    shutil.copy(BINARIES["release"], tmp_path / "weir")
    with open(tmp_path / "weir.json", "w") as file:
        json.dump(config, file)
    process = subprocess.Popen(["prlimit", "--core=0:1000000", str(tmp_path / "weir"), "run", "-c",
                                str(tmp_path / "weir.json")], stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "event=ready" in line:
            break
    limits = resource.prlimit(process.pid, resource.RLIMIT_CORE)
    process.terminate()
    process.stderr.close()
    process.wait()
    assert limits == (1000000, 1000000)
    assert any("event=core_limited bytes=1000000" in line for line in lines), lines


def test_where_a_core_would_go_is_said(scene, tmp_path):
    weir = scene.proxy(scene.server(), build="release", core={"dir": str(tmp_path)})
    if can_leave_cores():
        enabled = weir.wait_event("core_enabled")
        assert enabled["contents"] == "lean" and enabled["path"].startswith(str(tmp_path) + "/")
    with open(f"/proc/{weir.pid}/coredump_filter") as file:
        assert int(file.read(), 16) == 0x11


def test_a_directory_that_is_not_there_is_said(scene, tmp_path):
    weir = scene.proxy(scene.server(), build="release", core={"dir": str(tmp_path / "absent")})
    warning = weir.wait_event("core_dir_unusable")
    assert "No such file" in warning["error"]


def test_a_crash_without_a_configuration_for_it_is_still_told(scene):
    weir = scene.weir(make_config([scene.server()]), build="release", is_checked=False)
    resource.prlimit(weir.pid, resource.RLIMIT_CORE, (0, resource.prlimit(weir.pid, resource.RLIMIT_CORE)[1]))
    os.kill(weir.pid, signal.SIGSEGV)
    assert weir.wait_exit() == -signal.SIGSEGV
    assert "crashed: SIGSEGV" in weir.log and "end of the summary" in weir.log
    assert not os.path.exists(f"crash.{weir.pid}.txt")


def test_a_tunnel_of_a_tcp_listener_is_told_of(scene):
    server = scene.server([broken.wait_end])
    weir = scene.proxy(server, build="release", protocol="tcp")
    client = scene.client(weir)
    client.send(b"anything")
    server.wait_connection(0)
    scene.client(weir).close()  # one that is over is not told of
    weir.wait_live(tunnels=1)

    def only_tunnel():
        """The other one may not have been accepted yet when it is closed."""
        code, told, _ = postmortem("--pid", str(weir.pid))
        assert code == 0
        exchanges = told["workers"][0]["exchanges"]
        return exchanges if len(exchanges) == 1 else None

    tunnel, = eventually(only_tunnel, "one tunnel")
    assert tunnel["state"] == "tunnel" and tunnel["record"]["protocol"] == "tcp"
    assert tunnel["record"]["attempts"][0]["server"] == server.address
