"""Every setting, in one frozen tree: `CDP_…` variables, a TOML file, or the defaults below.

A variable is `CDP_<ROOM>__<FIELD>`; `CDP_CONFIG` names a TOML file with the same tree. Variables win over the file.
Each field's description is its documentation; `docs/reference/settings.md` is checked against this file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from cdp.errors import MisconfiguredError


class Room(BaseModel):
    """One branch of the tree: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(Room):
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    public_url: str | None = Field(
        None,
        description="The address browsers reach this service by, when a proxy stands in front "
        "(for example https://cdp.shop.vn). Told to SDKs by the settings endpoints.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Proxies whose X-Forwarded-For is believed, as addresses or CIDR blocks."
    )


class LogSettings(Room):
    url: str = Field(
        "sqlite:",
        description="`sqlite:` (a file in the data folder), `sqlite:///path`, or `kafka://host:port[,host:port]`.",
    )
    partitions: int = Field(4, ge=1, le=1000, description="Partitions of each new topic; fixed once a topic exists.")
    replication: int = Field(1, ge=1, description="Replicas of each new Kafka topic; 3 in production.")
    retention_hours: float = Field(168, gt=0, description="Age after which consumed events leave the log.")
    retention_bytes: int = Field(
        8_000_000_000,
        gt=0,
        description="Size above which the embedded log drops its oldest events.",
    )
    timeout_seconds: float = Field(
        10,
        gt=0,
        description="Longest wait for a durable append before the sender is told to retry.",
    )
    topic_prefix: str = Field(
        "", description="Put before each topic's name, so that several installations share a Kafka."
    )


class StateSettings(Room):
    url: str = Field(
        "embedded:",
        description="`embedded:` (a Valkey started in the data folder) or `redis://…`, `rediss://…`, `unix://…`.",
    )
    prefix: str = Field("cdp:", description="Put before each key.")


class WarehouseSettings(Room):
    dsn: str = Field(
        "chdb:",
        description="`chdb:` (ClickHouse in-process, in the data folder), `chdb:///path`, or "
        "`clickhouse://user:password@host:port/database` (`clickhouses://` for TLS).",
    )
    database: str = Field("cdp", description="Database, when the DSN names none.")
    handles: int = Field(3, ge=1, le=64, description="Queries that may run at the same time.")


class BootstrapSettings(Room):
    write_key: SecretStr | None = Field(
        None,
        description="Write key of the first source; made and printed at first start when unset.",
    )
    admin_token: SecretStr | None = Field(
        None, description="Token with every scope; made and printed at first start when unset."
    )


class CollectorSettings(Room):
    max_body_bytes: int = Field(
        5_000_000, ge=1_000, description="Largest request body, after gunzip as well as before."
    )
    max_event_bytes: int = Field(512_000, ge=100, description="Largest single event; a larger one is quarantined.")
    max_batch_events: int = Field(
        5_000,
        ge=1,
        description="Most events in one request; the rest are quarantined, and beyond twice as many it is refused.",
    )
    max_depth: int = Field(32, ge=2, le=500, description="Deepest nesting of one event.")
    max_keys: int = Field(1_000, ge=5, description="Most object keys in one event, all levels together.")
    max_id_chars: int = Field(500, ge=36, description="Longest userId, anonymousId or messageId.")
    max_name_chars: int = Field(500, ge=16, description="Longest event name.")
    max_in_flight: int = Field(
        1_000,
        ge=1,
        description="Requests worked on at once; more are answered 503 with Retry-After.",
    )
    body_timeout_seconds: float = Field(
        30, gt=0, description="Longest wait for the whole of a request's body before it is answered 408."
    )
    limit_events_per_second: float | None = Field(
        None,
        gt=0,
        description="Events that each write key may bring a second, where its source sets no `limit`; more are "
        "answered 429. No limit when unset.",
    )
    limit_burst: int | None = Field(
        None, ge=1, description="Most events at once under that limit; ten seconds' worth when unset."
    )


class EnrichmentSettings(Room):
    geo_file: Path | None = Field(
        None,
        description="A file of MaxMind's format (`.mmdb`; country or city) by which addresses are looked up for "
        "`context.location`. Read anew when it changes.",
    )


LimitPeriod = Literal["day", "week", "month"]
Count = Annotated[int, Field(ge=1, le=10_000)]


class IdentitySettings(Room):
    default_region: str = Field(
        "VN",
        min_length=2,
        max_length=2,
        description="Region of phone numbers without a country code; also decides whether `01/02/1990` is in January.",
    )
    user_ids_per_profile: int = Field(
        1,
        ge=1,
        description="Most account ids one profile may hold unless linked by hand or by alias.",
    )
    identifiers_per_profile: int = Field(
        5,
        ge=1,
        description="Most values of any other type that evidence of that type may join into one profile.",
    )
    limits: dict[str, Count] = Field(
        {}, description='The same for single types, for example `{"email": 3, "loyalty_card": 1}`.'
    )
    limits_within: dict[str, Count] = Field(
        {},
        description="Most values of a type that evidence may bring into one profile within one `limit_period`, by the "
        "events' own time. What is said again in another period then counts as another observation.",
    )
    limit_period: LimitPeriod = Field("week", description="The period of `limits_within`: days, weeks, months of UTC.")
    priorities: tuple[str, ...] = Field(
        (),
        description="Identifier types that link before all others, the strongest first. The usual order is user_id, "
        "crm_id, loyalty_card, email, phone, and any other by name.",
    )
    evidence: bool = Field(
        True,
        description="Make people by evidence, once there is enough to learn from: how likely two observations are one "
        "person by all that they say, names and addresses included. False: by shared identifiers alone.",
    )
    learn_from: int = Field(
        2_000, ge=500, description="How many distinct observations there must be before people are made by evidence."
    )
    likely: float = Field(
        0.5,
        ge=0.5,
        lt=1,
        description="How probable it must be that observations are one person's to count as one profile, where people "
        "are made by evidence: profiles, analytics, consent.",
    )
    sure: float = Field(
        0.95,
        ge=0.5,
        lt=1,
        validate_default=True,
        description="The same to act on it: segments whose view is `sure`, and what destinations get. Not below "
        "`likely`; between the two are the possible matches.",
    )
    accounts: int = Field(
        3,
        ge=1,
        description="Most account ids that evidence may bring into one profile: people have second ones.",
    )
    observations_per_value: int = Field(
        200,
        ge=10,
        description="Distinct observations above which a shared value is generic and links nothing.",
    )
    component_limit: int = Field(
        1_000,
        ge=50,
        description="Most observations looked at together; beyond it nothing more is joined.",
    )
    session_minutes: int = Field(
        30,
        ge=1,
        description="Length of the slice of anonymous activity of one person; fixed once there are events.",
    )
    blocked_values: tuple[str, ...] = Field(
        (),
        description="More values that identify nobody, as regular expressions over the normalised value: of every "
        "type, or of one that is named in front (`phone:\\+8428.*`).",
    )
    dedupe_days: float = Field(
        7,
        gt=0,
        le=365,
        description="How long, at least, a source's messageId is remembered: its repeats are dropped, and another "
        "event under it is quarantined. An id takes about 40 bytes of the state.",
    )

    @field_validator("sure")
    @classmethod
    def _surer(cls, sure: float, known: ValidationInfo) -> float:
        if sure < known.data.get("likely", sure):
            raise ValueError("must not be below likely")
        return sure


Days = Annotated[int, Field(ge=0)]
Step = Annotated[float, Field(ge=0)]
USUAL_AMOUNTS: dict[str, tuple[Step, Step, Step, Step]] = {
    "VND": (500_000, 2_000_000, 5_000_000, 10_000_000),
    "USD": (20, 80, 200, 400),
    "EUR": (20, 80, 200, 400),
}


class ProfileSettings(Room):
    cache_seconds: float = Field(
        600,
        ge=0,
        description="How long a profile is kept as it was read, unless something new is stored about it; 0: never.",
    )
    rfm_recency_days: tuple[Days, Days, Days, Days] = Field(
        (30, 60, 90, 180),
        description="RFM, recency: days since the last order up to which there are 5, 4, 3 and 2 points; 1 beyond.",
    )
    rfm_frequency: tuple[Count, Count, Count, Count] = Field(
        (2, 3, 5, 10), description="RFM, frequency: orders from which there are 2, 3, 4 and 5 points; 1 below."
    )
    rfm_monetary: dict[str, tuple[Step, Step, Step, Step]] = Field(
        USUAL_AMOUNTS,
        description="RFM, monetary: by currency the amounts paid from which there are 2, 3, 4 and 5 points; 1 below.",
    )


class SegmentSettings(Room):
    tick_seconds: float = Field(0.1, gt=0, description="How often timers that are due and recounts are looked for.")
    batch_profiles: int = Field(5_000, ge=1, description="Most profiles evaluated in one pass.")


class ActivationSettings(Room):
    timeout_seconds: float = Field(30, gt=0, description="Longest wait for a destination's answer.")
    retry_hours: float = Field(24, gt=0, description="How long a failing delivery is retried before it is set aside.")
    retry_base_seconds: float = Field(1, gt=0, description="First wait before a retry; doubles with jitter.")
    retry_max_seconds: float = Field(900, gt=0, description="Longest wait between two retries.")
    reconcile_hours: float = Field(
        24, gt=0, description="How often each destination's ledger is compared with the warehouse."
    )
    ports: tuple[int, ...] = Field((80, 443), description="Ports that destinations may be reached at over HTTP.")
    allow_private_addresses: bool = Field(
        False,
        description="Let destinations be at private and loopback addresses, and at any port. For tests and intranets.",
    )
    allow_any_path: bool = Field(False, description="Let file destinations write outside the data folder's `exports/`.")


class WebhookSettings(Room):
    graph_url: str = Field(
        "https://graph.facebook.com/v25.0",
        pattern=r"^(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)(/[^\s?#]*)?$",
        description="Meta's Graph API with its version, where the answers of lead ads are read.",
    )
    timeout_seconds: float = Field(
        10, gt=0, description="Longest wait for what a webhook only announced; then the platform is told to come again."
    )


class ImportSettings(Room):
    max_file_bytes: int = Field(2_000_000_000, ge=1_000, description="Largest file that is taken.")
    memory_bytes: int = Field(
        1_000_000_000, ge=200_000_000, description="Most memory that reading a file may take, in a process of its own."
    )
    waiting_events: int = Field(
        4_000, ge=1, description="Events not yet resolved above which an import waits, so that live ones do not."
    )
    keep_days: float = Field(7, gt=0, description="How long a file that nobody started to import is kept.")
    timezone: str = Field("+07:00", description="Where the times in files are from: `+07:00` or `Asia/Ho_Chi_Minh`.")


class VaultSettings(Room):
    master_key: SecretStr | None = Field(
        None,
        description="Key that the secrets in definitions (of sources, of destinations) are sealed under: 32 bytes in "
        "base64. Made, and kept in the data folder, when unset; with several machines give each the same.",
    )


class TelemetrySettings(Room):
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe line that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto` is console on a terminal and JSON elsewhere."
    )
    port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for /healthz, /readyz and /metrics of a role that serves no HTTP otherwise.",
    )


class Settings(BaseSettings):
    """The whole tree. Build it with `Settings.load()`."""

    model_config = SettingsConfigDict(env_prefix="CDP_", env_nested_delimiter="__", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("cdp-data"), description="Folder of everything embedded.")
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    state: StateSettings = StateSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    bootstrap: BootstrapSettings = BootstrapSettings()
    collector: CollectorSettings = CollectorSettings()
    enrichment: EnrichmentSettings = EnrichmentSettings()
    identity: IdentitySettings = IdentitySettings()
    profiles: ProfileSettings = ProfileSettings()
    segments: SegmentSettings = SegmentSettings()
    activation: ActivationSettings = ActivationSettings()
    webhooks: WebhookSettings = WebhookSettings()
    imports: ImportSettings = ImportSettings()
    vault: VaultSettings = VaultSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over variables, variables over the file that `CDP_CONFIG` names."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if file := os.environ.get("CDP_CONFIG"):
            if not Path(file).is_file():
                raise MisconfiguredError(f"CDP_CONFIG names {file}, which is not a file.")
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=file))
        return tuple(sources)

    @classmethod
    def load(cls, **overrides: object) -> Settings:
        """The settings in force. Raises `MisconfiguredError` with one line per wrong field."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            lines = (
                f"CDP_{'__'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
                for problem in error.errors()
            )
            raise MisconfiguredError("\n".join(lines)) from error
