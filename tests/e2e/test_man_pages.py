"""A manual page for each command: as `man` shows it, without anything that mandoc minds."""
import os
import re
import subprocess

import pytest

from weir import ROOT, run_command

FOLDER = os.path.join(ROOT, "docs", "man")
COMMANDS = re.findall(r"^  ([a-z]+) ", run_command("--help", build="release").stdout, re.MULTILINE)
PAGES = ["weir.8"] + [f"weir-{command}.8" for command in COMMANDS]


def shown(page):
    """As a terminal would have it, without bold and underlines (a letter, a backspace, a letter)."""
    done = subprocess.run(["mandoc", "-T", "ascii", os.path.join(FOLDER, page)], capture_output=True, text=True, check=True)
    return re.sub(".\b", "", done.stdout)


def test_there_is_one_for_each_command_and_no_other():
    assert sorted(os.listdir(FOLDER)) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_correct(page):
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(FOLDER, page)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_has_what_help_has(command):
    told = run_command(command, "--help", build="release").stdout
    text = re.sub(r"\s+", " ", shown(f"weir-{command}.8"))
    assert f"weir-{command} - " in text
    for option in re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", told, re.MULTILINE):
        assert option in text, option
    for line in told.split("\n\n", 1)[0].removeprefix("Usage: ").splitlines():
        assert line.strip() in text, line


def test_weirs_own_page_names_every_command():
    text = shown("weir.8")
    assert all(f"weir-{command}(8)" in text for command in COMMANDS)
