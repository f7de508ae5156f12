"""Tests that the reference tells everything and nothing else."""

from __future__ import annotations

import re

import pytest

from cdp.openapi import operations
from cdp.settings import Settings
from tests.docs import reference


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_is_current(name: str) -> None:
    """`make docs` would change nothing."""
    written = (reference.FOLDER / name).read_text(encoding="utf-8")

    assert written == reference.PAGES[name](), f"docs/reference/{name} is not current: run `make docs`"


def test_every_setting_is_there_and_has_its_sentence() -> None:
    """Counted another way: each leaf of the tree is one row with a description that ends as a sentence does."""
    leaves = [
        (f"CDP_{room.upper()}__{name.upper()}", field.description)
        for room, tree in Settings.model_fields.items()
        if hasattr(tree.default, "model_dump")
        for name, field in type(tree.default).model_fields.items()
    ]
    page = reference.settings_page()

    assert len(leaves) > 30
    for variable, sentence in leaves:
        assert f"| `{variable}` |" in page
        assert sentence, variable
        assert sentence.endswith("."), variable


def test_every_command_has_help_for_itself_and_its_options() -> None:
    """Nothing has to be guessed from `--help`."""
    for path, command in reference.command_tree():
        assert command.help, path
        for parameter in command.params:
            assert getattr(parameter, "help", ""), f"{path} {parameter.name}"


def test_every_command_speaks_json() -> None:
    """What is printed for people can be had as JSON."""
    for path, command in reference.command_tree():
        assert any("--json" in parameter.opts for parameter in command.params), path


def test_the_document_of_the_whole_product_is_complete() -> None:
    """Each operation of each wing has a described tag, a summary, a sentence, an id, and described parameters."""
    document = reference.openapi()
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(ids) == len(set(ids))
    for path, method, operation in operations(document):
        where = f"{method.upper()} {path}"
        assert operation.get("tags"), where
        assert all(tags[tag] for tag in operation["tags"]), where
        assert operation.get("summary"), where
        assert operation.get("description"), where
        assert not path.startswith("/api/") or operation.get("security"), where
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), f"{where} {parameter['name']}"


def test_the_routes_of_the_design_are_there() -> None:
    """What scripts rely on by name."""
    paths = set(reference.openapi()["paths"])
    plain = {re.sub(r"{[^}]*}", "{}", path) for path in paths}

    for path in (
        "/api/v1/profiles/{}:{}",
        "/api/v1/profiles/{}:{}/explain",
        "/api/v1/identity/merge",
        "/api/v1/identity/split",
        "/api/v1/identity/simulate",
        "/api/v1/identity/review",
        "/api/v1/segments/{}",
        "/api/v1/segments/{}/members",
        "/api/v1/segments/{}/changes",
        "/api/v1/segments/schema",
        "/api/v1/sources/{}",
        "/api/v1/destinations/{}",
        "/api/v1/syncs/{}",
        "/api/v1/keys/{}",
        "/api/v1/quarantine",
        "/api/v1/events",
        "/api/v1/status",
        "/api/v1/tail",
        "/healthz",
        "/readyz",
        "/metrics",
    ):
        assert path in plain, path
