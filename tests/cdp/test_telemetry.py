"""Tests of what the product tells about itself."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from cdp.settings import TelemetrySettings
from cdp.telemetry import MASK, configure, exposition, gauge, redact, without_password


@pytest.mark.parametrize(
    "key", ["token", "admin_token", "password", "Authorization", "client_secret", "write_key", "api_key", "cookie"]
)
def test_values_under_secret_keys_are_masked(key: str) -> None:
    """Whatever sounds like a secret is not printed."""
    assert redact(None, "info", {key: "s3cret"}) == {key: MASK}


@pytest.mark.parametrize("key", ["segment", "key", "role", "monkey", "keys"])
def test_other_values_are_printed(key: str) -> None:
    """A definition's key is no secret."""
    assert redact(None, "info", {key: "vip"}) == {key: "vip"}


def test_passwords_in_addresses_are_masked() -> None:
    """A DSN may be printed, its password not."""
    assert without_password("clickhouse://ann:pa55@db:8123/cdp") == f"clickhouse://ann:{MASK}@db:8123/cdp"
    assert without_password("redis://:pa55@db") == f"redis://:{MASK}@db"
    assert without_password("kafka://a:9092,b:9092") == "kafka://a:9092,b:9092"


def test_lines_of_libraries_come_out_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """With JSON, our lines and a library's are one JSON object each, with level, logger and time, on stderr."""
    configure(TelemetrySettings(log_format="json"))
    structlog.get_logger("cdp.x").info("thing.done", token="s3cret", count=2)
    logging.getLogger("library").warning("odd %s", "thing", extra={"password": "s3cret"})
    logging.getLogger("uvicorn.error").info("Started server process")

    out, err = capsys.readouterr()
    ours, library = (json.loads(line) for line in err.splitlines())
    assert out == ""
    assert (ours["event"], ours["count"], ours["token"], ours["level"]) == ("thing.done", 2, MASK, "info")
    assert (library["event"], library["logger"], library["password"]) == ("odd thing", "library", MASK)


def test_exceptions_are_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """A logged exception carries its traceback, in JSON and on a console."""
    for form in ("json", "console"):
        configure(TelemetrySettings(log_format=form))
        try:
            raise ValueError("odd")
        except ValueError:
            structlog.get_logger("cdp.x").exception("thing.failed")
        assert "ValueError: odd" in capsys.readouterr().err


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """Less severe lines than the level are not printed."""
    configure(TelemetrySettings(log_level="error", log_format="json"))
    structlog.get_logger("cdp.x").warning("thing.odd")

    assert capsys.readouterr().err == ""


def test_figures_are_in_prometheus_format() -> None:
    """A family becomes its HELP, its TYPE and a line a sample."""
    text = exposition([gauge("cdp_things", "Things.", ["kind"], [(["a"], 1), (['b"'], 2.5)])]).decode()

    assert "# HELP cdp_things Things.\n# TYPE cdp_things gauge\n" in text
    assert 'cdp_things{kind="a"} 1.0\n' in text
    assert 'cdp_things{kind="b\\""} 2.5\n' in text
    assert "process_resident_memory_bytes" in text
