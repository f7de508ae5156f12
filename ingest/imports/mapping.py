"""A mapping: how a file is laid out, and what each of its columns means. Guessed, shown, edited, saved under a name.

kind = "customers"
[columns]
"Họ tên" = "name"
"SĐT" = "phone"
"Ngày sinh" = {field = "birthday", order = "dmy"}
"Hạng" = "traits.hang"
"STT" = "skip"
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError, model_validator

from cdp.errors import InvalidError
from cdp.records import encode
from ingest.imports.cells import Decimals, Order
from ingest.imports.fields import FIELDS, Kind, Type, is_field

Format = Literal["", "csv", "xlsx", "jsonl", "parquet"]
MOST_COLUMNS = 500


class Closed(BaseModel):
    """A misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Closed):
    """What a column means."""

    field: str = Field(
        max_length=200, description="A field (see the guide), `traits.NAME`, `properties.NAME`, or `skip`."
    )
    type: Type | Literal[""] = Field("", description="How the cells are read, where the field does not say.")
    order: Order = Field("", description="Of dates such as 01/02/2024: `dmy` or `mdy`.")
    decimal: Decimals = Field("", description="Of amounts such as 1.850: the sign before the fraction.")


def _column(given: Any) -> Any:
    return {"field": given} if isinstance(given, str) else given


class Mapping(Closed):
    """How a file is read. What is left out is guessed."""

    kind: Kind | Literal[""] = Field("", description="What the rows are.")
    columns: dict[Annotated[str, Field(max_length=500)], Annotated[Column, BeforeValidator(_column)]] = Field(
        {}, max_length=MOST_COLUMNS, description="By the column's name: its field, or an object that says more."
    )
    event: str = Field("", max_length=500, description="Events: the name of each, where no column says it.")
    currency: str = Field("", pattern=r"^([A-Z]{3})?$", description="Of amounts, where no column says it.")
    timezone: str = Field("", max_length=64, description="Of times without one: `+07:00` or `Asia/Ho_Chi_Minh`.")
    format: Format = Field("", description="What kind of file.")
    encoding: str = Field("", max_length=40, description="CSV: how letters are written, for example `utf-8`.")
    delimiter: str = Field("", max_length=1, description="CSV: what stands between cells.")
    sheet: str = Field("", max_length=100, description="XLSX: the sheet.")
    header: StrictInt | None = Field(
        None, ge=0, le=1_000, description="The row that names the columns; 0 when none does. Guessed if absent."
    )

    @model_validator(mode="after")
    def _fields_exist(self) -> Mapping:
        for name, column in self.columns.items():
            if not is_field(column.field, self.kind):
                known = ", ".join(FIELDS[self.kind]) if self.kind else "see the guide"
                raise ValueError(
                    f"columns.{name}: there is no field {column.field!r}; choose among {known}, traits.NAME, "
                    "properties.NAME, skip"
                )
        return self

    def digest(self) -> str:
        """The same for the same reading of the same file."""
        return blake2b(encode(self.model_dump()), digest_size=16).hexdigest()


def read_mapping(body: Any, path: str = "mapping") -> Mapping:
    """A mapping from what JSON or TOML hold. Raises `InvalidError`."""
    try:
        return Mapping.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([path, *(str(part) for part in first["loc"])])
        raise InvalidError(first["msg"].removeprefix("Value error, "), path=place) from None
