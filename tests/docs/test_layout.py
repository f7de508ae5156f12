"""Tests that each thing is where a newcomer looks for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSES = ("cdp", "ingest", "identity", "segments", "activation")
WINGS = HOUSES[1:]
MODULES = sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py"))
FORBIDDEN = {"manager", "helper", "helpers", "util", "utils", "common", "processor", "data", "impl", "misc", "core"}


@pytest.mark.parametrize("wing", WINGS)
def test_wings_have_the_same_door(wing: str) -> None:
    """Know one, know all: service.py, routes (a file, or a folder of them) and testing.py."""
    for door in ("service.py", "routes", "testing.py"):
        assert any((ROOT / wing).glob(f"{door}*")), f"{wing}/{door}"


def test_nobody_waits_by_what_may_swallow_a_cancellation() -> None:
    """Python 3.11's `asyncio.wait_for` loses a cancellation that comes with the result: `asyncio.timeout` does not."""
    assert not [path for path in MODULES if "asyncio.wait_for(" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_say_what_they_are(module: Path) -> None:
    """Each begins with a sentence, and is named by a noun of its own."""
    tree = ast.parse(module.read_text(encoding="utf-8"))

    assert ast.get_docstring(tree) or not tree.body, "a module begins with what it is"
    assert module.stem not in FORBIDDEN


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_says_nothing(module: Path) -> None:
    """No class or function is a manager, a helper, a processor."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for word in ("manager", "helper", "processor", "impl"):
                assert word not in node.name.lower(), f"{node.name} in line {node.lineno}"


def test_every_test_states_a_truth() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


def test_decisions_are_numbered_without_gaps() -> None:
    """A decision's number comes first and never changes."""
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))

    assert numbers == list(range(1, len(numbers) + 1))


def test_what_a_founder_looks_for_is_there() -> None:
    """The files that every good repository has."""
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", ".ci/run", "pyproject.toml"):
        assert (ROOT / name).stat().st_size > 100, name


def test_locks_name_no_registry() -> None:
    """The locked requirements pin and hash, and leave it to each machine where packages come from."""
    for name in ("run.txt", "dev.txt"):
        lines = (ROOT / "deploy/requirements" / name).read_text(encoding="utf-8").splitlines()
        assert sum("==" in line for line in lines) > 40
        assert not [line for line in lines if "://" in line or line.startswith("-")]
        assert all("==" in line or "--hash=sha256:" in line for line in lines)
