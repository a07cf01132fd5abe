"""What a weir that has started keeps of what only its start needed."""
import re

from waiting import eventually

UNUSED = ("libnghttp2.so", "libssl.so", "libcrypt.so", "libyaml-0.so")  # the start has looked at them, and a plain weir does not again


def resident(pid):
    """KiB of each library's program that count for the process."""
    kib, name = {}, None
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            if head := re.match(r"[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \S+ *(.*)", line):
                name = head[2].rsplit("/", 1)[-1] if head[1] == "r-xp" else None
            elif name and line.startswith("Rss:"):
                kib[name] = int(line.split()[1])
    return kib


def test_libraries_that_only_the_start_needed_count_no_more(scene):
    weir = scene.proxy(scene.server(), build="release")
    assert scene.client(weir).ask().status == 200

    def left():
        return [kib for name, kib in resident(weir.pid).items() if name.startswith(UNUSED)]

    eventually(lambda: left() == [0] * len(UNUSED), lambda: f"nothing of those is left: {resident(weir.pid)}")
