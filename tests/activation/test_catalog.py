"""Connectors from outside."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from structlog.testing import capture_logs

from activation import catalog
from activation.connectors.file import File
from cdp.errors import InvalidError


class Acme(File):
    """A connector of another package."""

    name = "acme"


class Fraud(File):
    """Calls itself like one of ours."""

    name = "webhook"


def test_packages_add_connectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point adds one; one that cannot be loaded is left out and said; ours are never replaced."""
    here = "tests.activation.test_catalog"
    points = [
        EntryPoint(name, value, "cdp.connectors")
        for name, value in (("a", f"{here}:Acme"), ("b", f"{here}:Fraud"), ("c", f"{here}:Missing"), ("d", "no.such:X"))
    ]
    monkeypatch.setattr(catalog, "entry_points", lambda group: points)
    with capture_logs() as logs:
        found = catalog.connectors.__wrapped__()

    assert set(found) == {"webhook", "file", "kafka", "acme"}
    assert type(found["webhook"]) is not Fraud
    assert [line["entry_point"] for line in logs] == [f"{here}:Missing", "no.such:X"]


def test_an_unknown_connector_names_the_known_ones() -> None:
    """The error helps."""
    with pytest.raises(InvalidError, match="file, kafka, webhook"):
        catalog.connector_named("pigeon")
