"""Settings: variables win over the file, the file over the defaults; what is wrong is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from cdp.errors import MisconfiguredError
from cdp.settings import Settings


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CDP_… of the surroundings reaches these tests."""
    for name in [name for name in os.environ if name.startswith("CDP_")]:
        monkeypatch.delenv(name)


def fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str | None]]:
    """Every field of the tree with its description."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}", field.description


def test_the_defaults_are_embedded_and_local() -> None:
    """Without any setting, everything runs in ./cdp-data and listens on this machine only."""
    settings = Settings.load()

    assert settings.data_dir == Path("cdp-data")
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8000)
    assert (settings.log.url, settings.state.url, settings.warehouse.dsn) == ("sqlite:", "embedded:", "chdb:")
    assert settings.bootstrap.write_key is None


def test_a_variable_sets_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """CDP_<ROOM>__<FIELD> is the field; lists are JSON."""
    monkeypatch.setenv("CDP_DATA_DIR", "/srv/cdp")
    monkeypatch.setenv("CDP_HTTP__PORT", "9000")
    monkeypatch.setenv("CDP_HTTP__TRUSTED_PROXIES", '["10.0.0.0/8"]')
    monkeypatch.setenv("CDP_BOOTSTRAP__ADMIN_TOKEN", "cdp_secret")
    settings = Settings.load()

    assert settings.data_dir == Path("/srv/cdp")
    assert settings.http.port == 9000
    assert settings.http.trusted_proxies == ("10.0.0.0/8",)
    assert settings.bootstrap.admin_token is not None
    assert settings.bootstrap.admin_token.get_secret_value() == "cdp_secret"


def test_arguments_win_over_variables_and_variables_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest word counts, field by field."""
    file = tmp_path / "cdp.toml"
    file.write_text('[http]\nhost = "file"\nport = 1\n[log]\npartitions = 7\n')
    monkeypatch.setenv("CDP_CONFIG", str(file))
    monkeypatch.setenv("CDP_HTTP__PORT", "2")
    settings = Settings.load()

    assert (settings.http.host, settings.http.port, settings.log.partitions) == ("file", 2, 7)
    assert Settings.load(log={"partitions": 9}).log.partitions == 9


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """CDP_CONFIG must lead to a file."""
    monkeypatch.setenv("CDP_CONFIG", "/nowhere/cdp.toml")

    with pytest.raises(MisconfiguredError, match=r"/nowhere/cdp\.toml"):
        Settings.load()


def test_every_wrong_field_is_named_as_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator reads which variables to correct, all at once."""
    monkeypatch.setenv("CDP_HTTP__PORT", "many")
    monkeypatch.setenv("CDP_LOG__PARTITIONS", "0")
    monkeypatch.setenv("CDP_LOG__PARTITION", "4")

    with pytest.raises(MisconfiguredError) as wrong:
        Settings.load()

    lines = str(wrong.value).splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == [
        "CDP_HTTP__PORT",
        "CDP_LOG__PARTITION",
        "CDP_LOG__PARTITIONS",
    ]


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing the settings shows no key and no token."""
    monkeypatch.setenv("CDP_BOOTSTRAP__WRITE_KEY", "wk_secret")

    assert "wk_secret" not in repr(Settings.load())


def test_the_tree_is_frozen() -> None:
    """Nobody changes a setting while the product runs."""
    settings = Settings.load()

    with pytest.raises(ValidationError):
        settings.http.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.http = settings.http  # type: ignore[misc]


def test_every_field_says_what_it_is() -> None:
    """A setting without its sentence cannot be documented."""
    described = dict(fields(Settings))

    assert len(described) > 30
    assert [name for name, description in described.items() if not (description or "").endswith(".")] == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"likely": 0.4}, "CDP_IDENTITY__LIKELY"),
        ({"sure": 1}, "CDP_IDENTITY__SURE"),
        ({"likely": 0.8, "sure": 0.7}, "CDP_IDENTITY__SURE: Value error, must not be below likely"),
        ({"likely": 0.97}, "CDP_IDENTITY__SURE: Value error, must not be below likely"),
        ({"accounts": 0}, "CDP_IDENTITY__ACCOUNTS"),
    ],
)
def test_what_is_sure_is_likely(wrong: dict[str, float], named: str) -> None:
    """The surer view is at least as sure as the other, and neither is a coin's toss or beyond doubt."""
    with pytest.raises(MisconfiguredError) as refused:
        Settings.load(identity=wrong)

    assert named in refused.value.message
