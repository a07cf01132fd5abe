#!/usr/bin/python3
"""How long a flame graph of 100,000 nodes takes until it is painted: bench/flame_bench.py [RUNS]

400 stacks of 250 frames in a window so large that every one of them is drawn; headless Chromium, without a GPU.
"""
import html
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FLAME_PAGE = os.path.join(ROOT, "build", "check", "tests", "unit", "profile", "flame_page")
FIGURES = ("parse_ms", "build_ms", "drawn_ms", "painted_ms")


def make_page(directory):
    stacks = os.path.join(directory, "stacks.folded")
    page = os.path.join(directory, "page.html")
    with open(stacks, "w") as file:
        for column in range(400):
            names = [f"c{column}"] + [f"lib{row % 7}.so`function_{(column * 31 + row) % 997}" for row in range(249)]
            file.write(";".join(names) + " 1000 10\n")
    with open(page, "w") as file:
        subprocess.run([FLAME_PAGE, "bench", stacks], stdout=file, check=True)
    return page


def measure(page, directory):
    done = subprocess.run(
        ["/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1900,5200",
         f"--user-data-dir={directory}/chromium", "--timeout=5000", "--dump-dom", f"file://{page}"],
        capture_output=True, text=True, timeout=60)
    return json.loads(html.unescape(re.search(r'data-figures="([^"]*)"', done.stdout)[1]))


def main():
    subprocess.run([os.path.join(ROOT, "tools", "build.sh"), "check", "tests/unit/profile/flame_page"], check=True)
    with tempfile.TemporaryDirectory() as directory:
        page = make_page(directory)
        runs = [measure(page, directory) for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)]
    print(f"{runs[0]['nodes'][0]} nodes, {runs[0]['frames'][0]} frames drawn, {len(runs)} runs")
    for name in FIGURES:
        values = [run[name] for run in runs if name in run]
        print(f"{name:12} median {statistics.median(values):6.0f}   {min(values):.0f} to {max(values):.0f}")


if __name__ == "__main__":
    main()
