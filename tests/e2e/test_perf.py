"""weir perf: other processes, of which the truth is known, and a unit's cgroup made by hand."""
import contextlib
import fcntl
import json
import math
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import termios

import pytest

from waiting import LIMIT_S, Stopwatch, eventually
from weir import BINARIES, run_command

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = {"optimised": ["-O2", "-fomit-frame-pointer"], "not optimised": ["-O0"]}


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("perf")
    made = {}
    for name, flags in FLAGS.items():
        made[name] = str(directory / name.replace(" ", "_"))
        subprocess.run(["cc", *flags, "-g", "-Wno-deprecated-declarations", "-o", made[name],
                        os.path.join(HERE, "perf_load.c"), "-lcrypto"], check=True)
    return made


class Load:
    def __init__(self, program, *arguments):
        self.process = subprocess.Popen([program, "60", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(LIMIT_S)
        with self.process.stdout as out:
            self.cpu_ns = {name.decode(): int(value) for name, value in (line.split() for line in out)}


def perf(*arguments, code=0, seconds=40):
    done = run_command("perf", "--quiet", *arguments, build="release", seconds=seconds)
    assert done.returncode == code, done.stderr
    return done


def folded(pid, *options):
    out = perf("--pid", str(pid), "--form", "folded", "--hz", "997", *options).stdout
    return [(line.rsplit(" ", 1)[0].split(";"), int(line.rsplit(" ", 1)[1])) for line in out.splitlines()]


def cpu_ns(pid):
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])


@pytest.mark.serial
@pytest.mark.parametrize("name", FLAGS)
def test_the_parts_of_a_known_load_are_seen(programs, name):
    with Load(programs[name]) as load:
        before = cpu_ns(load.pid)
        with Stopwatch() as watch:
            stacks = folded(load.pid, "--seconds", "5")
        used = cpu_ns(load.pid) - before
    total = sum(value for _, value in stacks)
    samples = total * 997 / 1e9
    for part, part_ns in load.cpu_ns.items():
        share = part_ns / sum(load.cpu_ns.values())
        seen = sum(value for stack, value in stacks if f"work_{part}" in stack)
        # Samples are drawn by chance: one in a thousand million runs is out by more than six standard deviations.
        bound = 6 * math.sqrt(share * (1 - share) / samples)
        assert bound < 0.1 and abs(seen / total - share) <= bound, f"{part}: {seen / total:.3f}, truth {share:.3f}"
        called = sum(value for stack, value in stacks if f"work_{part}" in stack
                     and stack[stack.index(f"work_{part}") - 1] == f"call_{part}" and "main" in stack)
        assert called >= 0.99 * seen
    print(f"samples stand for {total / 1e9:.3f} s of {used / 1e9:.3f} s")
    # The window is a part of what was measured around it, the smaller the busier the machine.
    assert 0.8 * used * 3 / watch.seconds <= total <= 1.05 * used


@pytest.mark.serial
@pytest.mark.parametrize("name", FLAGS)
def test_callers_of_leaves_in_libraries_are_right(programs, name):
    """What a function of the C library or of libcrypto was called by is known: each is called in one place."""
    with Load(programs[name], "libraries") as load:
        stacks = folded(load.pid, "--seconds", "3")
    total = right = 0
    for stack, value in stacks:
        leaf = " ".join(stack[-4:])
        for pattern, caller in ((r"memcpy|memmove", "call_copy"), (r"memchr", "call_search"), (r"sha256", "call_hash")):
            if re.search(pattern, leaf, re.I):
                total += value
                right += value * (caller in stack and "main" in stack)
    assert total > 1e8
    print(f"{100 * right / total:.2f} % of the leaves have their caller")
    assert right >= 0.99 * total


def test_figures_are_those_of_the_process(programs):
    with Load(programs["optimised"]) as load:
        process, = json.loads(perf("--pid", str(load.pid), "--seconds", "2", "--form", "json").stdout)
        with open(f"/proc/{load.pid}/statm") as file:
            resident = int(file.read().split()[1]) * 4096
        descriptors = len(os.listdir(f"/proc/{load.pid}/fd"))
    assert process["pid"] == load.pid
    series = {(s["group"], s["name"]): s["values"] for s in process["series"]}
    assert all(len(values) == 2 for values in series.values())
    assert series[("CPU", "CPU")][-1] > 1
    assert series[("memory", "resident")][-1] == pytest.approx(resident, rel=0.2)
    assert series[("descriptors", "descriptors")][-1] == descriptors
    assert [row["name"] for row in process["tables"]["Threads"]] == ["optimised"]
    assert {row["memory"] for row in process["tables"]["Memory by mapping"]} >= {"heap", "stack", "text"}


def descriptors(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def test_descriptors_that_came_are_named_by_kind(scene):
    server = scene.server()
    weir = scene.proxy(server, build="release")
    command = subprocess.Popen([BINARIES["release"], "perf", "--quiet", "--pid", str(weir.pid), "--seconds", "2", "--form",
                                "json"], stdout=subprocess.PIPE)
    eventually(lambda: "anon_inode:[perf_event]" in descriptors(command.pid), "it samples: it has looked before")
    clients = [scene.client(weir) for _ in range(7)]
    for client in clients:
        assert client.ask().status == 200
    process, = json.loads(command.communicate(timeout=LIMIT_S)[0])
    rows = {row["descriptors"]: row for row in process["tables"]["Descriptors by kind"]}
    sockets = rows["socket"]
    assert int(sockets["more than at first"]) >= 7  # the clients' and those to the server
    assert rows["eventpoll"]["more than at first"] == "+0"


def test_what_is_around_a_process_is_told(programs):
    with Load(programs["optimised"]) as load, socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as one, server.accept()[0] as two:
            command = subprocess.Popen([BINARIES["release"], "perf", "--quiet", "--pid", str(load.pid), "--seconds", "2",
                                        "--form", "json"], stdout=subprocess.PIPE)
            sent = 0
            while command.poll() is None and sent < 1 << 28:
                one.sendall(bytes(65536))
                sent += 65536
                for _ in range(65536 // 4096):
                    two.recv(4096, socket.MSG_WAITALL)
            process, = json.loads(command.communicate(timeout=LIMIT_S)[0])
    series = {(s["group"], s["name"]): s["values"] for s in process["series"]}
    assert max(series[("network namespace, a second", "loopback")]) > 65536
    with open("/proc/pressure/cpu") as file:  # the kernel's own
        assert file.read().startswith("some ")
    assert all(0 <= value <= 105 for value in series[("some task waits (PSI)", "for a CPU")])


def screens(pid, seconds):
    """What `weir perf` paints on a terminal of 30 lines of 100 columns, screen by screen, and what it prints after."""
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    command = subprocess.Popen([BINARIES["release"], "perf", "--pid", str(pid), "--seconds", str(seconds)], stdin=side,
                               stdout=subprocess.PIPE, stderr=side, text=True)
    os.close(side)
    painted = b""
    try:
        while data := os.read(terminal, 65536):
            painted += data
    except OSError:  # EIO: it has ended
        pass
    os.close(terminal)
    printed = command.communicate(timeout=LIMIT_S)[0]
    assert command.returncode == 0, painted
    return painted.decode().replace("\r\n", "\n").split("\x1b[J"), printed


def test_a_terminal_shows_it_live(programs):
    with Load(programs["optimised"]) as load:
        painted, printed = screens(load.pid, 3)
    assert len(painted) == 6  # before the first second, three of them, taken away, nothing after
    shown = painted[3]
    lines = [line.removesuffix("\x1b[K") for line in shown.split("\n")]
    assert len(lines) <= 30 and all(len(line) <= 100 for line in lines[1:])
    assert re.search(r"optimised, process \d+: 3 of 3 s", shown)
    cpu = float(re.search(r"CPU +([0-9.]+) %", shown)[1])
    assert cpu > 1
    thread = re.search(rf"{load.pid}  optimised +[RS] +([0-9.]+) ", shown)
    assert float(thread[1]) == pytest.approx(cpu, abs=1)
    assert re.search(r"^ +[0-9.]+  work_seventy", shown, re.M), shown
    # Every screen is painted over the one before, and the last is taken away.
    assert painted[2].startswith(f"\x1b[{painted[1].count(chr(10))}A")
    assert painted[4] == f"\x1b[{len(lines) - 1}A" and painted[5] == ""
    assert printed.startswith("optimised, process") and "CPU time by function" in printed


def test_text_tells_where_a_process_sleeps(scene):
    nginx = scene.nginx(logs=False)
    text = perf("--pid", str(nginx.process.pid), "--seconds", "1").stdout
    assert re.search(r"Time off the CPU.*\n +[0-9.]+ %  .*epoll_wait < .* < ngx_process_events_and_timers", text), text


def test_a_report_is_one_page(programs, tmp_path):
    page = tmp_path / "report.html"
    with Load(programs["optimised"]) as load:
        perf("--pid", str(load.pid), "--seconds", "2", "--output", str(page))
    text = page.read_text()
    assert "call_seventy" in text and "context switches" in text
    assert not re.search(r'(?:src|href)="?https?:', text)


def test_pprof_reads_what_it_writes(programs, tmp_path):
    profile = tmp_path / "p.pb.gz"
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/lib/go/bin")
    with Load(programs["optimised"]) as load:

        def top():
            perf("--pid", str(load.pid), "--seconds", "1", "--hz", "499", "--output", str(profile))
            done = subprocess.run([go, "tool", "pprof", "-top", "-lines", str(profile)], capture_output=True, text=True,
                                  timeout=60)
            assert done.returncode == 0, done.stderr
            return done.stdout
        # In a second that it got no core in there is nothing to be seen.
        shown = eventually(lambda: (text := top()) and "Total samples = 0 " not in text and text, "a second with samples")
    assert re.search(r"work_seventy .*perf_load\.c:\d+", shown), shown


def test_time_off_the_cpu_is_where_a_process_sleeps(scene):
    nginx = scene.nginx(logs=False)
    stacks = folded(nginx.process.pid, "--seconds", "1", "--off-cpu")
    slept = sum(value for stack, value in stacks if "epoll_wait" in stack)
    assert slept >= 0.9 * sum(value for _, value in stacks) > 0.5e9


def test_a_stripped_program_is_named_by_addresses_and_said(programs, tmp_path):
    stripped = str(tmp_path / "stripped")
    subprocess.run(["strip", "-o", stripped, programs["optimised"]], check=True)
    with Load(stripped) as load:
        stacks = folded(load.pid, "--seconds", "1")
    assert any(re.fullmatch(r"0x[0-9a-f]+_\[stripped\]", frame) for stack, _ in stacks for frame in stack)


def test_a_program_that_was_replaced_still_has_its_names_for_root(programs, tmp_path):
    copy = str(tmp_path / "copy")
    shutil.copy(programs["optimised"], copy)
    with Load(copy) as load:
        os.unlink(copy)
        stacks = folded(load.pid, "--seconds", "1")
    assert any("work_seventy" in stack for stack, _ in stacks)


def mount_of_cgroup2():
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if rest.split()[0] == "cgroup2":
                return fields.split()[4]
    return None


def test_a_unit_is_all_of_its_processes(programs):
    mount = mount_of_cgroup2()
    assert mount, "no cgroup2 is mounted here"
    group = os.path.join(mount, f"weir-test-{os.getpid()}.service")
    os.mkdir(group)
    try:
        with Load(programs["optimised"]) as one, Load(programs["not optimised"]) as two:
            for load in (one, two):
                with open(os.path.join(group, "cgroup.procs"), "w") as file:
                    file.write(str(load.pid))
            unit = os.path.basename(group)
            found = json.loads(perf("--unit", unit, "--seconds", "1", "--form", "json").stdout)
            assert {process["pid"] for process in found} == {one.pid, two.pid}
            rows = {row["unit"]: row["value"] for row in found[0]["tables"]["Unit"]}
            assert rows["name"] == unit and rows["cgroup"] == group and "Unit" not in found[1]["tables"]
            assert float(re.match(r"[0-9.]+", rows["CPU time"])[0]) > 0
            text = perf("--unit", unit, "--seconds", "1").stdout
            assert unit in text and "state of the unit: systemd does not run here" in text
            stacks = perf("--unit", unit.removesuffix(".service"), "--seconds", "1", "--form", "folded").stdout
            assert "work_seventy" in stacks
    finally:
        eventually(lambda: not open(os.path.join(group, "cgroup.procs")).read(), "the group is empty")
        os.rmdir(group)


@pytest.mark.parametrize("arguments,code,words", [
    (["--pid", "999999999"], 66, "no process"), (["--pid", "0"], 64, "1 to"), ([], 64, "--pid N"),
    (["--unit", "no-such-unit"], 66, "no such unit"), (["--pid", "1", "--form", "svg"], 64, "flame"),
    (["--pid", "1", "--seconds", "0"], 64, "--seconds"), (["--pid", "1", "--output", "n.xyz"], 64, "ends like none of"),
    (["--pid", "1", "--off-cpu"], 64, "--form pprof, flame or folded"),
])
def test_what_it_cannot_do_is_told(arguments, code, words):
    done = subprocess.run([BINARIES["release"], "perf", *arguments], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
