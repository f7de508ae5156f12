"""Tests that what the pages tell people to type is there, and that what they point at exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cdp.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
# What is quick and harmless enough to be run as it stands.
QUICK = ("make help", "cdp --help", "cdp version")


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command in the page's shell blocks."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield words


TYPED = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}: {' '.join(words)}") for page in PAGES for words in commands(page)
]


@pytest.mark.parametrize("words", TYPED)
def test_what_the_pages_tell_to_type_exists(words: list[str]) -> None:
    """A make target is in the Makefile; a command, its arguments and its options are understood by `cdp`."""
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert [word for word in rest if "=" not in word and word not in targets] == []
    elif Path(program).name == "cdp":
        assert understood(rest)


def understood(words: list[str]) -> bool:
    """Whether the command line parses the words; nothing is run."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("cdp", [*words] or ["--help"], resilient_parsing=not words)
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, words, parent=context)
    return True


@pytest.mark.parametrize("line", QUICK)
def test_quick_commands_run(line: str) -> None:
    """They end well, and print something."""
    program, *rest = line.split()
    program = str(Path(sys.executable).parent / "cdp") if program == "cdp" else program
    done = subprocess.run([program, *rest], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_make_help_tells_every_target() -> None:
    """Each target that people call has its sentence."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony

    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in phony[1].split():
        assert re.search(rf"^  make {target} +[A-Z].{{5,}}", told, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file of this repository."""
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]

    assert broken == []


def test_settings_in_pages_exist() -> None:
    """A CDP_… variable that a page names is a setting."""
    known = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    known += "CDP_URL CDP_TOKEN"
    for page in PAGES:
        for variable in re.findall(r"\bCDP_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")):
            assert re.search(rf"\b{variable}", known), f"{page.relative_to(ROOT)}: {variable}"
