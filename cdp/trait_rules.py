"""The routes of rules about traits: which of the values that were said counts. What the rules mean: `cdp.traits`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from cdp.auth import Caller, platform, require
from cdp.clock import to_text
from cdp.errors import InvalidError
from cdp.service import Platform
from cdp.traits import MOST_SOURCES, TRAIT, USUAL, RuleName

EXAMPLE: dict[str, Any] = {"rule": "source_priority", "sources": ["crm", "pos"]}
SHOWN = {"name": "city", **EXAMPLE, "usual": False, "updated_at": "2026-11-21T08:30:00.000Z"}

Name = Annotated[
    str, Path(min_length=1, max_length=500, description="The trait, as events name it.", examples=["city"])
]
Opened = Annotated[Platform, Depends(platform)]
Reader = Annotated[Caller, Depends(require("profiles:read"))]
Writer = Annotated[Caller, Depends(require("profiles:write"))]


class RuleBody(BaseModel):
    """A rule. Of values that stand equally high the latest counts; null takes the trait back."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    rule: RuleName = Field(
        description="`most_recent_verified` (the usual rule): the latest of the values that were proven, else the "
        "latest. `most_recent`: the latest, proven or not. `most_frequent`: the value that most events said since it "
        "was last taken back. `source_priority`: the latest of the first source in `sources` that said anything. All "
        "but `most_recent` keep to what was proven where anything was."
    )
    sources: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        [],
        max_length=MOST_SOURCES,
        description="For `source_priority`: keys of sources, the most trusted first; all others come after them.",
    )


class RuleShown(RuleBody):
    """The rule of a trait. `usual`: nobody has set one."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"examples": [SHOWN]})

    name: str = Field(description="The trait.")
    usual: bool = Field(False, description="Whether this is the usual rule, because none is set.")
    updated_at: str | None = Field(None, description="When it was set.")


class RuleList(BaseModel):
    """A page of rules."""

    items: list[RuleShown]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


router = APIRouter(prefix="/api/v1/traits", tags=["profiles"])


@router.get("", summary="List the rules of traits")
async def list_rules(
    opened: Opened,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most rules to return.")] = 100,
    after: Annotated[str, Query(description="The cursor `next` of the page before.")] = "",
) -> RuleList:
    """The rules that were set, by trait. Every other trait has the usual one, `most_recent_verified`."""
    entries = [entry for entry in opened.registry.all(TRAIT) if entry.key > after]
    more = entries[limit - 1].key if len(entries) > limit else None
    return RuleList(items=[_shown(opened, entry.key) for entry in entries[:limit]], next=more)


@router.get("/{name:path}", summary="Read the rule of a trait")
async def get_rule(name: Name, opened: Opened, _: Reader) -> RuleShown:
    """The rule in force, set or usual."""
    return _shown(opened, name)


@router.put("/{name:path}", summary="Set the rule of a trait")
async def put_rule(name: Name, body: RuleBody, opened: Opened, caller: Writer) -> RuleShown:
    """From now on profiles, and the segments that ask for the trait, have the value that this rule chooses."""
    if len(set(body.sources)) < len(body.sources):
        raise InvalidError("Each source can stand once.", path="sources")
    if bool(body.sources) != (body.rule == "source_priority"):
        raise InvalidError("`sources` belongs to `source_priority`, and to no other rule.", path="sources")
    await opened.registry.put(TRAIT, name, body.model_dump(exclude_defaults=True), by=caller.key)
    return _shown(opened, name)


@router.delete("/{name:path}", status_code=204, summary="Take the rule of a trait back")
async def delete_rule(name: Name, opened: Opened, caller: Writer) -> None:
    """The trait has the usual rule again."""
    await opened.registry.delete(TRAIT, name, by=caller.key)


def _shown(opened: Platform, name: str) -> RuleShown:
    entry = opened.registry.find(TRAIT, name)
    if entry is None:
        return RuleShown(name=name, rule=USUAL.name, usual=True)
    return RuleShown(name=name, **entry.body, updated_at=to_text(entry.updated_at))
