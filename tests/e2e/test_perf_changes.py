"""weir perf: processes that change while they are watched, code that is made at run time, and files that others chose."""
import contextlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import textwrap

import pytest

from waiting import LIMIT_S, eventually
from weir import BINARIES

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    directory = tmp_path_factory.mktemp("perf_changes")

    def build(name, *flags):
        path = str(directory / name)
        if not os.path.exists(path):
            subprocess.run(["cc", "-O2", "-g", *flags, "-o", path, os.path.join(HERE, "perf_change.c"), "-lpthread", "-ldl"],
                           check=True)
        return path
    return build


class Target:
    def __init__(self, *command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        assert self.process.stdout.readline() == b"ready\n"
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(LIMIT_S)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def tell(self):
        self.process.stdin.write(b"now\n")
        self.process.stdin.flush()

    def cpu_ns(self):
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 10**9 // os.sysconf("SC_CLK_TCK")

    def uses(self, ns=200_000_000):
        """Until it has used so much CPU time more."""
        until = self.cpu_ns() + ns
        eventually(lambda: self.cpu_ns() >= until, "it works on", seconds=60)


class Perf:
    """A watch that goes on until it is ended, so that no test depends on how fast the machine is."""

    def __init__(self, target, *options, form="folded", build="release"):
        self.process = subprocess.Popen([BINARIES[build], "perf", "--quiet", "--pid", str(target.pid), "--seconds", "600",
                                         "--form", form, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        eventually(self.is_sampling, "it samples", seconds=60)

    def is_sampling(self):
        assert self.process.poll() is None, self.process.stderr.read()
        found = []
        for fd in os.listdir(f"/proc/{self.process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(f"/proc/{self.process.pid}/fd/{fd}"))
        return "anon_inode:[perf_event]" in found

    def end(self, interrupts=True):
        """(what it wrote, what it said)"""
        if interrupts:
            self.process.send_signal(signal.SIGINT)
        out, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said
        return out, said


def stacks_of(out):
    return [(line.rsplit(" ", 1)[0].split(";"), int(line.rsplit(" ", 1)[1])) for line in out.splitlines()]


def seen(stacks, *names):
    """ns of the stacks in which these functions call each other, the outermost first."""
    return sum(value for stack, value in stacks if any(tuple(stack[i:i + len(names)]) == names for i in range(len(stack))))


def test_a_process_that_becomes_another_program_has_the_names_of_each(built):
    """Both are at the same addresses."""
    first, second = built("first", "-no-pie"), built("second", "-no-pie", "-DWORK=second_work")
    with Target(first, "exec", second) as target:
        watch = Perf(target, "--hz", "499")
        target.uses()
        before_ns = target.cpu_ns()
        target.tell()
        assert target.process.stdout.readline() == b"ready\n"
        target.uses(400_000_000)
        out, said = watch.end()
    stacks = stacks_of(out)
    assert seen(stacks, "main", "first_work") > 0 and seen(stacks, "main", "second_work") > 0
    # What the first had used before: the names of one do not pass to the other.
    assert seen(stacks, "first_work") <= before_ns + 100_000_000
    assert "became another program (execve) 1 time" in said


def test_a_library_that_is_loaded_meanwhile_has_its_names(built):
    library = built("library.so", "-shared", "-fPIC", "-DLIBRARY", "-DWORK=library_work", "-fomit-frame-pointer")
    with Target(built("first", "-no-pie"), "library", library) as target:
        watch = Perf(target, "--hz", "499")
        target.uses()
        target.tell()
        target.uses(400_000_000)
        out, _ = watch.end()
    stacks = stacks_of(out)
    assert seen(stacks, "main", "first_work") > 0
    called = seen(stacks, "call_library", "library_entry", "library_work")
    assert called > 0 and called >= 0.9 * seen(stacks, "library_work")
    bare = sum(value for stack, value in stacks if any("[library.so]" in frame for frame in stack))
    assert bare <= 0.1 * called


def test_threads_that_live_shortly_are_seen(built):
    with Target(built("first", "-no-pie"), "threads", "20") as target:
        watch = Perf(target, "--hz", "199")
        before_ns = target.cpu_ns()
        target.uses(1_000_000_000)
        used_ns = target.cpu_ns() - before_ns
        out, said = watch.end()
    found = seen(stacks_of(out), "first_work")
    print(f"{found / 1e9:.2f} s of {used_ns / 1e9:.2f} s", said)
    assert found >= 0.4 * used_ns


def test_cpu_time_without_a_sample_is_said(built):
    """They end before the first sample of theirs is due."""
    with Target(built("first", "-no-pie"), "threads", "2") as target:
        watch = Perf(target, "--hz", "19", form="text")
        target.uses(1_000_000_000)
        out, _ = watch.end()
    found = re.search(r"note: samples stand for ([0-9.]+) s of ([0-9.]+) s of CPU time; unseen are threads", out)
    # The watch counts from its own first look at the process to its last, not quite what was used here.
    assert found and float(found[1]) < 0.5 * float(found[2]) and float(found[2]) >= 0.5, out


@pytest.mark.parametrize("form", ["text", "folded", "json", "html"])
def test_a_process_that_ends_is_said_to_and_keeps_its_names(built, form):
    with Target(built("first", "-no-pie"), "end") as target:
        watch = Perf(target, form=form)
        target.uses()
        target.tell()
        out, said = watch.end(interrupts=False)
    assert re.search(rf"process {target.pid} ended [0-9]+\.[0-9] s after the watch began", out + said)
    assert "first_work" in out or form == "json"
    if form == "json":
        assert json.loads(out)[0]["ended_after_seconds"] > 0
    assert not re.search(r"\bnan\b", out.lower()) or form == "html"  # a word of the page's script


def test_a_process_that_ends_at_once_gives_no_strange_figures(built):
    """Before it was looked at a second time there is nothing to make a rate of."""
    for form in ("text", "json"):
        with Target(built("first", "-no-pie"), "end") as target:
            target.tell()
            done = subprocess.run([BINARIES["release"], "perf", "--quiet", "--pid", str(target.pid), "--form", form],
                                  capture_output=True, text=True, timeout=60)
            assert "nan" not in (done.stdout + done.stderr).lower()
            if done.returncode == 0:
                assert "ended" in done.stdout
            else:
                assert re.search("no process|ended|cannot read", done.stderr)


def elf_of(frames):
    """An ELF file with one segment of code and this .eh_frame."""
    names = b"\0.eh_frame\0.shstrtab\0"
    code = b"\x90" * 4096
    frames_at = 8192
    names_at = frames_at + len(frames)
    sections_at = (names_at + len(names) + 7) // 8 * 8
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, sections_at, 0, 64, 56, 1, 64, 3, 2)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 4096, 4096, 4096, 4096, 4096, 4096)
    sections = bytes(64) + struct.pack("<IIQQQQIIQQ", 1, 1, 2, frames_at, frames_at, len(frames), 0, 0, 8, 0)
    sections += struct.pack("<IIQQQQIIQQ", 11, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    file = (header + segment).ljust(4096, b"\0") + code + frames + names
    return file.ljust(sections_at, b"\0") + sections


def expensive_frames():
    """One CIE of a million instructions that do nothing, and as many functions as fit that refer to it."""
    cie = b"\0\0\0\0\1zR\0\1\x78\x10\1\x1b\x0c\7\x08" + bytes(1_000_000)
    frames = bytearray(struct.pack("<I", len(cie)) + cie)
    for number in range(42_000):
        frames += struct.pack("<IIiII", 16, len(frames) + 4, number, 1, 0)
    return bytes(frames)


MAPS = """
import mmap, sys
kept = []
for path in sys.argv[1:]:
    file = open(path, "rb")
    kept.append(mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC, offset=4096))
print("ready", flush=True)
while True:
    sum(range(10000))
"""


def test_a_file_that_is_made_to_take_long_does_not(tmp_path):
    path = tmp_path / "hostile"
    path.write_bytes(elf_of(expensive_frames()))
    with Target(sys.executable, "-c", MAPS, str(path)) as target:
        watch = Perf(target)  # it samples once all tables are made
        target.uses()
        out, _ = watch.end()
    assert stacks_of(out)


def test_an_interrupt_ends_it_whatever_is_mapped(tmp_path):
    """Many such files: it ends between two of them, and says why there is no profile."""
    frames = expensive_frames()
    paths = []
    for number in range(40):
        paths.append(str(tmp_path / f"hostile{number}"))
        with open(paths[-1], "wb") as file:
            file.write(elf_of(frames))
    with Target(sys.executable, "-c", MAPS, *paths) as target:
        watch = subprocess.Popen([BINARIES["asan"], "perf", "--quiet", "--pid", str(target.pid), "--seconds", "600"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with open(f"/proc/{watch.pid}/comm"):
            eventually(lambda: len(os.listdir(f"/proc/{watch.pid}/task")) > 1, "it reads tables", seconds=60)
        watch.send_signal(signal.SIGINT)
        out, said = watch.communicate(timeout=60)
    assert watch.returncode == 0 and "process" in out, said


NODE = """
function hotInner(n) { let x = 0; for (let i = 0; i < n; i++) x = (x * 31 + i) | 0; return x; }
function hotOuter(n) { let y = 0; for (let i = 0; i < 50; i++) y ^= hotInner(n); return y; }
let sum = 0;
for (let i = 0; i < 2000; i++) sum ^= hotOuter(500);
console.log("ready");
for (;;) sum ^= hotOuter(20000);
"""


@pytest.mark.parametrize("is_named", [True, False])
def test_code_that_v8_made_has_its_names_or_it_is_said_why_not(tmp_path, is_named):
    node = shutil.which("node")
    assert node, "nodejs is among the packages of tests"
    script = tmp_path / "hot.js"
    script.write_text(NODE)
    log = [f"--logfile={tmp_path}/v8.log", "--no-logfile-per-isolate"]  # else it is left where the tests are run
    options = ["--perf-basic-prof", "--interpreted-frames-native-stack", *log] if is_named else []
    with Target(node, *options, "--no-turbo-inlining", str(script)) as target:
        watch = Perf(target)
        target.uses(500_000_000)
        out, said = watch.end()
        path = f"/tmp/perf-{target.pid}.map"
        assert os.path.exists(path) == is_named
    if is_named:
        os.unlink(path)
        stacks = stacks_of(out)
        named = sum(value for stack, value in stacks if "hotInner" in stack[-1] or "hotInner" in stack[-2])
        called = sum(value for stack, value in stacks if any("hotInner" in b and "hotOuter" in a
                                                            for a, b in zip(stack, stack[1:])))
        total = sum(value for _, value in stacks)
        print(f"{100 * named / total:.1f} % named, {100 * called / total:.1f} % with their caller")
        assert named >= 0.6 * total and called >= 0.9 * named
        assert "has no names" not in said
    else:
        assert "hotInner" not in out and "--perf-basic-prof" in said


GO = """
package main

import "fmt"

var sink uint64

//go:noinline
func inner(n uint64) {
	x := sink
	for i := uint64(0); i < n; i++ {
		x = x*6364136223846793005 + i
	}
	sink = x
}

//go:noinline
func outer(n uint64, depth int) {
	if depth > 0 {
		outer(n, depth-1)
	} else {
		inner(n)
	}
	sink++
}

func main() {
	fmt.Println("ready")
	for i := 0; ; i++ {
		done := make(chan bool)
		go func() { outer(100000, 20); done <- true }()
		<-done
	}
}
"""


def test_a_stack_of_go_ends_where_its_goroutine_does(tmp_path):
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/lib/go/bin")
    (tmp_path / "main.go").write_text(textwrap.dedent(GO))
    subprocess.run([go, "build", "-o", "load", "main.go"], cwd=tmp_path, check=True, timeout=110,
                   env={**os.environ, "GOFLAGS": "-mod=mod", "GOCACHE": str(tmp_path / "cache"), "CGO_ENABLED": "0"})
    with Target(str(tmp_path / "load")) as target:
        watch = Perf(target, "--hz", "499")
        target.uses(500_000_000)
        out, _ = watch.end()
    # The caller of a leaf that makes no frame is passed over: a chain of frame pointers does not know it, nor does perf's.
    whole = [["main.main.func1"] + ["main.outer"] * callers + ["main.inner"] for callers in (20, 21)]
    of_work = [(stack, value) for stack, value in stacks_of(out) if "main.inner" in stack]
    total = sum(value for _, value in of_work)
    right = sum(value for stack, value in of_work if [frame for frame in stack if frame.startswith("main.")] in whole
                and stack[0] in ("runtime.goexit", "runtime.goexit.abi0", "main.main.func1"))
    print(f"{100 * right / total:.1f} % of the stacks are whole and end at goexit")
    assert total > 0 and right >= 0.9 * total
