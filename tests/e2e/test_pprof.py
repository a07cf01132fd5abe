"""/debug/pprof/: what `go tool pprof` reads of a weir at work."""
import contextlib
import json
import os
import re
import shutil
import subprocess

import pytest

from ab import Load
from waiting import LIMIT_S, Stopwatch, eventually
from weir import make_config

GO = shutil.which("go", path=os.environ["PATH"] + ":/usr/lib/go/bin")


def pprof(*arguments, tmp_path):
    environment = {**os.environ, "PPROF_TMPDIR": str(tmp_path), "HOME": str(tmp_path), "GOFLAGS": "-mod=mod"}
    # Of itself it waits for half a profile's time and five seconds more, which is little where a sanitized weir names a profile's
    # functions on a busy machine.
    return subprocess.run([GO, "tool", "pprof", "-timeout=50", *arguments], capture_output=True, text=True, timeout=60,
                          env=environment)


@pytest.fixture
def weir(scene, tmp_path):
    """Its log source keeps megabytes: a sample for every half of one finds some of it."""
    nginx = scene.nginx(logs=False)
    return scene.proxy(nginx, build="release", logs={"sources": {"edge": {"path": str(tmp_path / "none.log")}}})


def url(weir, path):
    return "http://%s:%d/debug/pprof/%s" % (*weir.admin_address, path)


def with_labels(tags):
    wanted = {"listener": "web", "pool": "web", "phase": "answer", "worker": "0"}
    return tags if all(re.search(rf" {label}: Total .*\n(?:.+\n)*?.* {value}$", tags.stdout, re.M)
                       for label, value in wanted.items()) else None


def test_a_cpu_profile_names_functions_files_and_labels(weir, tmp_path):
    with Load(weir):
        top = pprof("-top", "-nodecount=2000", "-nodefraction=0", url(weir, "profile?seconds=2&hz=499"), tmp_path=tmp_path)
        # Samples are chance: on a busy machine one profile may miss what is short.
        tags = eventually(lambda: with_labels(pprof("-tags", url(weir, "profile?seconds=1&hz=499"), tmp_path=tmp_path)), "all labels")
        lines = pprof("-top", "-lines", "-nodecount=2000", "-nodefraction=0", url(weir, "profile?seconds=1&hz=499"), tmp_path=tmp_path)
    assert "File: weir" in top.stdout and "Type: cpu" in top.stdout, top.stderr
    for function in ("loop_turn", "exchange_advance", "loop_run|run"):
        assert re.search(rf" (?:{function})$", top.stdout, re.M), top.stdout
    assert re.search(r"loop\.c:\d+", lines.stdout)
    assert re.search(r"thread: Total.*\n(.*\n)*.*weir/0", tags.stdout)


def test_a_sleeping_thread_has_its_whole_stack(weir):
    """What earlier calls have left below its frames is not taken for callers."""
    for _ in range(5):
        text = weir.ask_admin("GET", "/debug/pprof/goroutine?debug=2").text
        # By what it runs: a thread that has just begun has the name of the one that began it.
        main = next((block for block in text.split("\n\n") if "run_command" in block), "")
        assert re.search(r"epoll_wait(?s:.*)loop_turn(?s:.*)\brun\b(?s:.*)run_command(?s:.*)__libc_start", main), text
        # The compiler may have made two functions of it.
        turns = len(re.findall(r"(?:^loop_turn\(.*\n\t.*\n)+", text, re.M))
        assert turns == text.count("epoll_wait("), text
        assert "vsnprintf" not in text, text


def test_stacks_reach_from_the_kernel_to_the_threads_start(weir):
    with Load(weir):
        response = weir.ask_admin("GET", "/debug/pprof/profile?seconds=2&hz=499&form=folded")
    stacks = [line.rsplit(" ", 1)[0].split(";") for line in response.text.splitlines()]
    worker = [stack for stack in stacks if "loop_turn" in stack]
    assert len(worker) > 20
    # Whole ones begin where the thread does.
    roots = ("__clone3", "clone3", "start_thread", "_start")
    lines = [line.rsplit(" ", 1) for line in response.text.splitlines()]
    cut = [(stack, int(value)) for stack, value in lines if stack.split(";")[0] not in roots]
    assert sum(value for _, value in cut) <= 0.01 * sum(int(value) for _, value in lines), cut
    assert any("tcp_sendmsg" in stack for stack in stacks) or os.geteuid() != 0


@pytest.mark.parametrize("path,kind,function", [
    ("heap", "inuse_space", "main|start_thread|run"), ("allocs", "alloc_space", "."),
    ("goroutine", "goroutine", "loop_turn|epoll_wait"), ("threadcreate", "threads", "epoll_wait"),
    ("block?seconds=1", "delay", "epoll_wait|schedule"), ("wall?seconds=1", "wall", "epoll_wait|schedule"),
])
def test_every_profile_is_read_by_pprof(weir, tmp_path, path, kind, function):
    with Load(weir):
        done = pprof("-top", "-nodecount=2000", "-nodefraction=0", url(weir, path), tmp_path=tmp_path)
    assert f"Type: {kind}" in done.stdout, done.stderr + done.stdout
    assert re.search(function, done.stdout), done.stdout


def test_a_lock_that_nobody_waits_for_gives_an_empty_profile(weir, tmp_path):
    done = pprof("-top", url(weir, "mutex?seconds=1"), tmp_path=tmp_path)
    assert "Type: delay" in done.stdout, done.stderr


def test_what_is_live_is_told_in_text(scene, weir):
    scene.client(weir).ask()
    text = weir.ask_admin("GET", "/debug/pprof/goroutine?debug=1").text
    assert text.startswith("goroutine profile: total ")
    assert "epoll_wait" in text and "client connections" in text and "server connections" in text
    text = weir.ask_admin("GET", "/debug/pprof/goroutine?debug=2").text
    assert re.search(r"^thread \d+ \[weir/0, sleeping\]:\n(?:.+\n)*?loop_turn", text, re.M), text


@pytest.mark.parametrize("path,status,words", [
    ("profile?seconds=0", 400, "seconds=0"), ("profile?seconds=x", 400, "seconds=x"),
    ("profile?seconds=100000", 400, "600"), ("profile?seconds=1&hz=0", 400, "1 to 10000"),
    ("trace?seconds=1", 501, "/debug/trace"),
])
def test_faults_are_told_in_the_way_that_pprof_prints(weir, tmp_path, path, status, words):
    response = weir.ask_admin("GET", f"/debug/pprof/{path}")
    assert (response.status, response.get("X-Go-Pprof")) == (status, "1")
    assert response.get("Content-Type").startswith("text/plain")
    assert words in response.text
    assert words in pprof("-top", url(weir, path), tmp_path=tmp_path).stderr


def test_the_index_leads_to_each(weir):
    page = weir.ask_admin("GET", "/debug/pprof/").text
    for path in re.findall(r'href="(/debug/pprof/[a-z]+)', page):
        if not path.endswith(("profile", "wall", "block", "mutex")):
            assert weir.ask_admin("GET", path).status == 200, path


def test_the_command_line_and_symbols(weir):
    assert weir.ask_admin("GET", "/debug/pprof/cmdline").text.split("\0")[1:3] == ["run", "-c"]
    assert weir.ask_admin("GET", "/debug/pprof/symbol").text == "num_symbols: 1\n"
    text = weir.ask_admin("GET", "/debug/pprof/goroutine?debug=1").text
    address, name = re.search(r"^#\t(0x[0-9a-f]+)\t(loop_turn)", text, re.M).groups()
    response = weir.ask_admin("POST", "/debug/pprof/symbol", ("Content-Type", "text/plain"), body=address.encode())
    assert f"{address} {name}" in response.text


def test_windows_that_overlap_have_their_own_samples(weir, tmp_path):
    windows = ((1, 99), (2, 199), (3, 99))
    with Load(weir):
        processes = [subprocess.Popen(["curl", "-s", "-o", str(tmp_path / f"{n}.pb.gz"),
                                       url(weir, f"profile?seconds={n}&hz={hz}")])
                     for n, hz in windows]
        for process in processes:
            assert process.wait(LIMIT_S) == 0
    for n, hz in windows:
        text = pprof("-raw", str(tmp_path / f"{n}.pb.gz"), tmp_path=tmp_path).stdout
        assert float(re.search(r"Duration: ([0-9.]+)", text)[1]) >= n, text  # by how much more is the machine's
        assert int(re.search(r"^Period: (\d+)", text, re.M)[1]) == 10**9 // hz, text


def test_nothing_runs_when_nobody_asks(weir):
    def threads():
        names = []
        for task in os.listdir(f"/proc/{weir.pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                with open(f"/proc/{weir.pid}/task/{task}/comm") as file:
                    names.append(file.read().strip())
        return names
    assert "weir-perf" not in threads()
    weir.ask_admin("GET", "/debug/pprof/profile?seconds=1")
    eventually(lambda: "weir-perf" not in threads(), "the sampler's thread has ended")


def test_a_profile_that_nobody_waits_for_any_more_is_given_up_quietly(scene, weir):
    client = scene.client(weir.admin_address)
    client.send(b"GET /debug/pprof/profile?seconds=1 HTTP/1.1\r\nHost: %s:%d\r\n\r\n"
                % (weir.admin_address[0].encode(), weir.admin_address[1]))
    client.close()
    assert weir.ask_admin("GET", "/debug/pprof/profile?seconds=1").status == 200
    json.dumps(weir.stats())
    weir.is_checked = False


def test_profiles_are_guarded_as_the_rest_is(scene):
    weir = scene.weir(make_config([scene.server()]))
    assert weir.ask_admin("GET", "/debug/pprof/cmdline", host="example.com").status == 403


@pytest.fixture
def refused(scene, tmp_path, monkeypatch):
    """A weir whose kernel lets it open no perf event, as in most containers."""
    library = str(tmp_path / "no_perf_events.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "no_perf_events.c")
    subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
    with monkeypatch.context() as environment:
        environment.setenv("LD_PRELOAD", library)
        return scene.proxy(scene.nginx(logs=False), build="release")


def traffic_cpu_seconds(weir):
    """CPU time of the threads that serve: neither the one that samples nor the one that finds the names later."""
    total = 0
    for task in os.listdir(f"/proc/{weir.pid}/task"):
        try:
            with open(f"/proc/{weir.pid}/task/{task}/stat") as file:
                name, fields = re.fullmatch(r"\d+ \((.*)\) (.*)\n", file.read()).groups()
        except (FileNotFoundError, ProcessLookupError):  # the one that sampled has ended
            continue
        if re.fullmatch(r"weir(/\d+)?", name):
            total += sum(int(field) for field in fields.split()[11:13])
    return total / os.sysconf("SC_CLK_TCK")


def test_without_perf_events_timers_sample(refused):
    with Load(refused):
        before = traffic_cpu_seconds(refused)
        with Stopwatch() as watch:
            response = refused.ask_admin("GET", "/debug/pprof/profile?seconds=3&hz=100&form=folded")
        spent = traffic_cpu_seconds(refused) - before
    stacks = [line.rsplit(" ", 1) for line in response.text.splitlines()]
    total_s = sum(int(value) for _, value in stacks) / 1e9
    whole_s = sum(int(value) for stack, value in stacks if stack.split(";")[0] in ("__clone3", "clone3", "_start")) / 1e9
    worker_s = sum(int(value) for stack, value in stacks if ";loop_turn;" in stack and "exchange_advance" in stack) / 1e9
    # What expired late stands for as much as it was late: the sum is the CPU time, up to what was spent around it.
    assert 0.8 * spent * 3 / watch.seconds <= total_s <= 1.1 * spent
    assert total_s - whole_s <= max(0.01 * total_s, 0.02) and worker_s > 0.1 * total_s
    # Others than the CPU's are not to be had, which is said as pprof shows it.
    other = refused.ask_admin("GET", "/debug/pprof/block?seconds=0.2")
    assert other.status == 500 and other.get("X-Go-Pprof") == "1" and "does not let us sample" in other.text
    # And it may be asked again, and stops as it should.
    assert refused.ask_admin("GET", "/debug/pprof/profile?seconds=0.2").status == 200
