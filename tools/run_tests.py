#!/usr/bin/python3
"""Builds what is to be tested, runs it and adds it up: tools/run_tests.py unit|e2e|test|check|fuzz|soak.

A line per suite with its time, failures in full, the ten slowest tests, and last `N passed, N failed`. A crash,
a time-out, a skipped test and a program without tests are failures. Run with Debian's python only.
"""
import argparse
import concurrent.futures
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3"
JOBS = int(os.environ.get("JOBS") or os.cpu_count())

BUILD_SECONDS = 900
CHECK_SECONDS = 600
BESIDE_SECONDS = SOAK_TIDY_SECONDS = 3600
UNIT_SECONDS = 120
E2E_SECONDS = 2700
SOAK_E2E_SECONDS = 4 * 3600
FUZZ_SMOKE_SECONDS = 3
FUZZ_SMOKE_RUNS = 20000  # at most, from the same seed each time: what is found once is found again
PYTHON_CACHE = os.path.join(ROOT, "build", "pycache")  # of compiled tests; none is among the sources
E2E_WORKERS = 3 * JOBS  # they wait for each other's processes, timers and peers more than they compute

# What end-to-end tests run besides weir itself.
E2E_PROGRAMS = ["tests/unit/profile/flame_page", "tests/unit/stack/unwind_recording"]

NICE = ["nice", "-n", "19"]  # for what takes only the time that all else leaves

TIMED_OUT = -1000  # in place of an exit status; no signal has this number

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
# cmocka catches SIGSEGV and then only says so; the sanitizer's own report has the stack.
UNIT_ENV = {"ASAN_OPTIONS": SANITIZER_ENV["ASAN_OPTIONS"] + ":handle_segv=2:handle_sigbus=2:handle_abort=2"}

# These let children crash on purpose: the signals are theirs.
OWN_SIGNALS = {"crash_crash_test"}


def unit_env(command):
    return SANITIZER_ENV if os.path.basename(command[0]) in OWN_SIGNALS else UNIT_ENV


class Suite:
    """The outcome of one group of tests."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failures = []  # (test, text)
        self.seconds_by_test = []  # (seconds, test)
        self.started = time.monotonic()

    def add_pass(self, test, seconds=None):
        self.passed += 1
        if seconds is not None:
            self.seconds_by_test.append((seconds, test))

    def add_failure(self, test, text, seconds=None):
        self.failures.append((test, text.strip()))
        if seconds is not None:
            self.seconds_by_test.append((seconds, test))

    def add(self, test, ok, text, seconds=None):
        if ok:
            self.add_pass(test, seconds)
        else:
            self.add_failure(test, text, seconds)


RUNNING = set()


def run(command, seconds, env=None):
    """Runs a command in its own process group; returns (status, output). Ends the whole group at the time limit."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **SANITIZER_ENV, **(env or {})},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", start_new_session=True)
    RUNNING.add(process)
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        end_group(process)
        output = drain(process)
        return TIMED_OUT, f"{output}\n{command[0]} was ended after {seconds} s"
    except BaseException:
        end_group(process)
        raise
    finally:
        RUNNING.discard(process)


def end_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def drain(process):
    """What the ended process wrote; not waiting for a stray child that left its group and keeps the pipe open."""
    try:
        return process.communicate(timeout=5)[0]
    except subprocess.TimeoutExpired as expired:
        return (expired.output or b"").decode(errors="replace")


def fixed_addresses():
    """TSan and ASan of this age cannot place their shadow where the kernel randomizes more than 28 bits."""
    try:
        with open("/proc/sys/vm/mmap_rnd_bits") as file:
            if int(file.read()) <= 28:
                return []
    except (OSError, ValueError):
        pass
    prefix = ["setarch", os.uname().machine, "-R"]
    works = shutil.which("setarch") and subprocess.run(prefix + ["true"], capture_output=True).returncode == 0
    return prefix if works else []


def brief(text, limit=4):
    """Why a test failed, for the output's end, which may be all that is kept: what pytest marks, else the last lines."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("stat::")]
    marked = [line[1:].strip() for line in lines if line.startswith("E  ")]
    return marked[:limit] or lines[-limit:]


class Report:
    """Prints suites as they finish and the sum at the end."""

    def __init__(self):
        self.suites = []
        self.lock = threading.Lock()

    def add(self, suite):
        seconds = time.monotonic() - suite.started
        with self.lock:
            print(f"{suite.name:<28} {suite.passed:>5} passed {len(suite.failures):>4} failed {seconds:>8.1f} s")
            for test, text in suite.failures:
                print(f"\n--- FAILED {suite.name}: {test}")
                print(text + "\n")
            sys.stdout.flush()
            self.suites.append(suite)
        return not suite.failures

    def finish(self):
        slowest = sorted(((seconds, f"{suite.name}: {test}") for suite in self.suites
                          for seconds, test in suite.seconds_by_test), reverse=True)[:10]
        if slowest:
            print("\nslowest:")
            for seconds, test in slowest:
                print(f"{seconds:>9.2f} s  {test}")
        passed = sum(suite.passed for suite in self.suites)
        failed = sum(len(suite.failures) for suite in self.suites)
        if failed:
            print("\nfailed:")
            for suite in self.suites:
                for test, text in suite.failures:
                    print(f"  {suite.name}: {test}")
                    for line in brief(text):
                        print(f"      {line[:200]}")
        print(f"\n{passed} passed, {failed} failed")
        sys.stdout.flush()
        return 0 if passed and not failed else 1


REPORT = Report()


def build(kind, *targets, is_counted=False, prefix=()):
    """Builds build/<kind>; a failure is a failed test, a success counts only where warnings are the question."""
    suite = Suite(f"build {kind}")
    status, output = run([*prefix, "tools/build.sh", kind, *targets], BESIDE_SECONDS if prefix else BUILD_SECONDS)
    if status:
        suite.add_failure("build", output)
    elif is_counted:
        suite.add_pass("build")
    return REPORT.add(suite)


def check(name, command, seconds=CHECK_SECONDS):
    """One check that is one test: passes if the command exits with 0."""
    suite = Suite(name)
    status, output = run(command, seconds)
    suite.add(name, status == 0, output)
    return REPORT.add(suite)


# Unit tests


def run_unit_program(test):
    """Runs one cmocka program; returns (name, cases as (case, failure or None, seconds), failure or None)."""
    name = test["name"].split(":")[-1].strip()
    with tempfile.TemporaryDirectory(prefix="weir-unit-") as directory:
        env = {**unit_env(test["cmd"]), "CMOCKA_MESSAGE_OUTPUT": "XML", "CMOCKA_XML_FILE": os.path.join(directory, "%g.xml")}
        begun = time.monotonic()
        status, output = run(PREFIX + test["cmd"], UNIT_SECONDS, env)
        took = time.monotonic() - begun
        cases = []
        for path in sorted(glob.glob(os.path.join(directory, "*.xml"))):
            try:
                cases += read_cmocka_xml(path)
            except ElementTree.ParseError:
                return name, cases, f"{output}\nno readable result: the program ended in the middle of a group"
    # A test with a clock of its own is timed by that clock, and may say a day.
    cases = [(case, failure, min(seconds, took)) for case, failure, seconds in cases]
    failed_cases = [case for case in cases if case[1] is not None]
    if status == TIMED_OUT:
        return name, cases, output
    if status and not failed_cases:
        if not cases:  # It died before it could write results: once more, saying what it runs.
            output = run(PREFIX + test["cmd"], UNIT_SECONDS, unit_env(test["cmd"]))[1]
        return name, cases, f"{output}\n{describe_status(status)}"
    if not cases:
        return name, cases, f"{output}\nthe program ran no test"
    if failed_cases and output.strip():
        case, failure, seconds = failed_cases[-1]
        cases[cases.index(failed_cases[-1])] = (case, f"{failure}\n{output.strip()}", seconds)
    return name, cases, None


def describe_status(status):
    return f"ended by signal {-status}" if status < 0 else f"exit status {status} although no test failed"


def read_cmocka_xml(path):
    with open(path, errors="replace") as file:
        text = re.sub(r"[^\t\n\x20-\ufffd]", "?", file.read())
    cases = []
    for case in ElementTree.fromstring(text).iter("testcase"):
        failure = None
        for kind in ("failure", "error", "skipped"):
            element = case.find(kind)
            if element is not None:
                failure = (element.text or "").strip() or kind
        cases.append((case.get("name"), failure, float(case.get("time") or 0)))
    return cases


def run_unit_tests(kind):
    suite = Suite(f"unit ({kind})")
    with open(os.path.join(ROOT, "build", kind, "meson-info", "intro-tests.json")) as file:
        tests = json.load(file)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as executor:
        for name, cases, failure in executor.map(run_unit_program, tests):
            for case, case_failure, seconds in cases:
                suite.add(f"{name}: {case}", case_failure is None, case_failure or "", seconds)
            if failure is not None:
                suite.add_failure(name, failure)
    if not tests:
        suite.add_failure("unit tests", "there are none")
    return REPORT.add(suite)


# End-to-end tests


def run_e2e_tests(name, marker, seconds, binaries, workers):
    """One pytest run over tests/e2e. Returns the number of tests that it ran."""
    suite = Suite(name)
    result = os.path.join(ROOT, "build", name.replace(" ", "-").replace("(", "").replace(")", "") + ".xml")
    with contextlib.suppress(FileNotFoundError):
        os.remove(result)
    env = {f"WEIR_{kind.upper()}": os.path.join(ROOT, binary) for kind, binary in binaries.items()}
    env.update(PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=PYTHON_CACHE)
    if workers:
        # Each worker reads all tests, and what that takes most of is pytest's rewriting of their assertions: once is enough.
        run([PYTHON, "-m", "pytest", "tests/e2e", "-q", "--collect-only"], CHECK_SECONDS, env)
    parallel = ["-n", str(workers)] if workers else ["-p", "no:xdist"]
    status, output = run(PREFIX + [PYTHON, "-m", "pytest", "tests/e2e", "-q", "-m", marker, "-rs", f"--junitxml={result}"]
                         + ([] if "soak" in name else ["--timeout=120"]) + parallel, seconds, env)
    count = read_junit_xml(result, suite) if os.path.exists(result) else 0
    if status not in (0, 5) and not suite.failures:  # 5: nothing was selected
        suite.add_failure("pytest", output)
    if count or suite.failures:
        REPORT.add(suite)
    return count + len(suite.failures)


def read_junit_xml(path, suite):
    count = 0
    for case in ElementTree.parse(path).iter("testcase"):
        count += 1
        test = f"{(case.get('classname') or '').split('.')[-1]}::{case.get('name')}"
        seconds = float(case.get("time") or 0)
        texts = []
        for kind in ("failure", "error", "skipped"):
            for element in case.findall(kind):
                texts.append(f"{kind}: {element.get('message') or ''}\n{element.text or ''}")
        if texts:
            texts += [element.text or "" for kind in ("system-out", "system-err") for element in case.findall(kind)]
        suite.add(test, not texts, "\n".join(texts), seconds)
    return count


def run_all_e2e_tests(name="e2e", release="build/release/weir", asan="build/asan/weir", seconds=E2E_SECONDS):
    binaries = {"release": release, "asan": asan}
    count = run_e2e_tests(name, "not soak and not serial", seconds, binaries, E2E_WORKERS)
    count += run_e2e_tests(f"{name} (serial)", "serial and not soak", seconds, binaries, 0)
    if not count:
        suite = Suite(name)
        suite.add_failure("end-to-end tests", "there are none")
        REPORT.add(suite)


# Fuzzing


def run_fuzzer(program, seconds, found_root, options):
    """Runs one fuzzer for a while from the committed inputs; new inputs go below found_root."""
    parser = os.path.basename(program)[:-len("_fuzz")]
    found = os.path.join(found_root, parser, "")
    artifacts = f"build/fuzz/artifacts/{parser}/"
    for directory in (found, os.path.join(ROOT, artifacts)):
        os.makedirs(directory, exist_ok=True)
    seeds = [directory for directory in [f"fuzz/corpus/{parser}"] if os.path.isdir(os.path.join(ROOT, directory))]
    command = PREFIX + [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536",
                        "-print_final_stats=1", f"-artifact_prefix={artifacts}", *options, found, *seeds]
    status, output = run(command, seconds * 3 + 120)
    return parser, status == 0, "\n".join(output.splitlines()[-60:])


def run_fuzzers_briefly():
    """From the committed inputs alone, whatever longer runs have found here."""
    with tempfile.TemporaryDirectory(prefix="weir-fuzz-") as found_root:
        run_fuzzers(FUZZ_SMOKE_SECONDS, found_root, ["-seed=1", f"-runs={FUZZ_SMOKE_RUNS}"])


def run_fuzzers(seconds, found_root=os.path.join(ROOT, "build/fuzz/corpus"), options=()):
    suite = Suite(f"fuzz ({seconds} s each)")
    programs = sorted(path for path in glob.glob(os.path.join(ROOT, "build/fuzz/fuzz/*_fuzz")) if os.path.isfile(path))
    with concurrent.futures.ThreadPoolExecutor(JOBS) as executor:
        for parser, ok, output in executor.map(lambda program: run_fuzzer(program, seconds, found_root, options), programs):
            suite.add(parser, ok, output)
    if not programs:
        suite.add_failure("fuzzers", "there are none")
    return REPORT.add(suite)


# What is run for which word


def check_docs():
    """The generated manual pages in docs/ are what this binary would generate."""
    if not os.path.exists(os.path.join(ROOT, "tools/generate_docs.sh")):
        return
    check("generated docs", ["bash", "-c", """
        rm -rf build/docs && mkdir -p build/docs && bash tools/generate_docs.sh build/release/weir build/docs || exit 1
        count=0
        for page in build/docs/*; do
            diff -u "docs/${page##*/}" "$page" || { echo "docs/${page##*/} is stale; run \\`make docs\\`"; exit 1; }
            count=$((count + 1))
        done
        [ -e "$page" ] || { echo "tools/generate_docs.sh wrote nothing"; exit 1; }"""])


def do_unit(_arguments):
    if build("asan"):
        run_unit_tests("asan")


def do_e2e(_arguments):
    if build("release") and build("asan", "weir", *E2E_PROGRAMS):
        run_all_e2e_tests()


def do_test(_arguments):
    is_release_built = build("release")
    is_asan_built = build("asan")
    if is_asan_built:
        run_unit_tests("asan")
    if is_release_built and is_asan_built:
        run_all_e2e_tests()


def check_beside():
    """What computes, while tests run, which mostly wait. Returns whether there are fuzzers."""
    check("clang-tidy", [*NICE, PYTHON, "tools/run_tidy.py"], BESIDE_SECONDS)
    return build("fuzz", is_counted=True, prefix=NICE)


def do_check(_arguments):
    check("format", [PYTHON, "tools/check_format.py"])
    check("layers", [PYTHON, "tools/check_layers.py"])
    check("layers (self-test)", [PYTHON, "tools/check_layers.py", "--self-test"])
    check("include circles", [PYTHON, "tools/print_includes.py"])
    check("include circles (self-test)", [PYTHON, "tools/print_includes.py", "--self-test"])
    check("strings", [PYTHON, "tools/check_strings.py"])
    check("strings (self-test)", [PYTHON, "tools/check_strings.py", "--self-test"])
    is_release_built = build("release", is_counted=True)
    is_asan_built = build("asan", "all", "benches", is_counted=True)  # linked for speed by `make bench`: here that takes a minute
    has_fuzzers = []
    beside = threading.Thread(target=lambda: has_fuzzers.append(check_beside()), daemon=True)
    beside.start()
    check("hardening (self-test)", [PYTHON, "tools/check_hardening.py", "--self-test"])
    if is_release_built:
        check("hardening", [PYTHON, "tools/check_hardening.py", "build/release/weir"])
        check_docs()
    if is_asan_built:
        run_unit_tests("asan")
    if is_release_built and is_asan_built:
        run_all_e2e_tests()
    beside.join()
    if has_fuzzers == [True]:
        run_fuzzers_briefly()
    print("\nLarger than the style aims for:")
    print(run([PYTHON, "tools/print_sizes.py", "--brief"], CHECK_SECONDS)[1], end="")
    print("\nIncludes, the most first:")
    print(run([PYTHON, "tools/print_includes.py"], CHECK_SECONDS)[1], end="")


def do_fuzz(arguments):
    if build("fuzz"):
        run_fuzzers(arguments.fuzz_seconds)


def do_soak(arguments):
    is_release_built = build("release")
    is_asan_built = build("asan")
    if is_asan_built:
        check("clang-tidy (thorough)", [PYTHON, "tools/run_tidy.py", "--thorough"], SOAK_TIDY_SECONDS)
    if build("plain"):
        run_unit_tests("plain")
    if build("tsan"):
        run_unit_tests("tsan")
        run_all_e2e_tests("e2e (tsan)", "build/tsan/weir", "build/tsan/weir", 2 * E2E_SECONDS)
    if is_release_built and is_asan_built:
        run_e2e_tests("e2e (soak)", "soak", SOAK_E2E_SECONDS,
                      {"release": "build/release/weir", "asan": "build/asan/weir"}, 0)
    if build("fuzz"):
        run_fuzzers(arguments.fuzz_seconds)


def main():
    words = {"unit": do_unit, "e2e": do_e2e, "test": do_test, "check": do_check, "fuzz": do_fuzz, "soak": do_soak}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=words)
    parser.add_argument("--fuzz-seconds", type=int, default=60, help="for each fuzzer")
    arguments = parser.parse_args()
    try:
        words[arguments.what](arguments)
    finally:
        for process in list(RUNNING):
            end_group(process)
    return REPORT.finish()


PREFIX = fixed_addresses()

if __name__ == "__main__":
    sys.exit(main())
