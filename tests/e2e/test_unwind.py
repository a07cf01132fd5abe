"""Sample by sample: the stacks that weir unwinds, and those that perf makes of the same bytes with libdw."""
import os
import re
import subprocess

import pytest

from test_perf import FLAGS, Load, programs
from weir import BINARIES

__all__ = ["programs"]  # a fixture
pytestmark = pytest.mark.serial
UNWIND = os.path.join(os.path.dirname(BINARIES["asan"]), "tests", "unit", "stack", "unwind_recording")


def record(load, path, seconds=3):
    subprocess.run(["perf", "record", "-q", "-e", "task-clock:u", "-F", "997", "--call-graph", "dwarf,16384", "-p",
                    str(load.pid), "-o", path, "--", "sleep", str(seconds)], check=True, capture_output=True, timeout=60)


def of_perf(path):
    """{(thread, ns): addresses, the leaf first}"""
    out = subprocess.run(["perf", "script", "-i", path, "--ns", "--no-inline", "-F", "tid,time,ip"], check=True,
                         capture_output=True, text=True, timeout=300).stdout
    stacks, current = {}, None
    for line in out.splitlines():
        head = re.match(r"\s*(\d+) +(\d+)\.(\d{9}):\s*$", line)
        if head:
            current = stacks.setdefault((int(head[1]), int(head[2]) * 10**9 + int(head[3])), [])
        elif line.strip():
            current.append(int(line.split()[0], 16))
    return stacks


def of_weir(path, load, *options):
    out = subprocess.run([UNWIND, path, str(load.pid), *options], check=True, capture_output=True, text=True,
                         timeout=60).stdout
    stacks = {}
    for line in out.splitlines():
        thread, time_ns, *addresses = line.split()
        stacks[int(thread), int(time_ns)] = [int(address, 16) for address in addresses]
    return stacks


def agreement(ours, theirs):
    """Of direct callers, and of whole stacks. A return address may be given as the call before it: one less."""
    def same(a, b):
        return 0 <= a - b <= 1
    both = [key for key, stack in theirs.items() if len(stack) > 1]
    assert len(both) > 300 and set(both) <= set(ours)  # on a busy machine there are fewer: the load gets less time
    callers = sum(len(ours[key]) > 1 and same(ours[key][1], theirs[key][1]) for key in both)
    whole = sum(len(ours[key]) >= len(theirs[key]) and all(map(same, ours[key], theirs[key])) for key in both)
    return callers / len(both), whole / len(both)


@pytest.mark.parametrize("mode", ["own", "libraries"])
@pytest.mark.parametrize("name", FLAGS)
def test_direct_callers_are_those_that_perf_finds(programs, tmp_path, name, mode):
    path = str(tmp_path / "perf.data")
    with Load(programs[name], mode) as load:
        record(load, path)
        ours, simple = of_weir(path, load), of_weir(path, load, "frame-pointers")
    theirs = of_perf(path)
    callers, whole = agreement(ours, theirs)
    by_frame_pointers, _ = agreement(simple, theirs)
    print(f"{len(theirs)} samples: {100 * callers:.2f} % of the callers, {100 * whole:.2f} % of the stacks; "
          f"by frame pointers {100 * by_frame_pointers:.2f} %")
    assert callers >= 0.99
    # That the comparison can fail is shown by the simple way, wherever there are no frame pointers.
    if name == "optimised":
        assert by_frame_pointers < 0.9
