"""`cdp profile`: people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cdp.cli.command import Limit, asks, group
from cdp.cli.connection import Service
from cdp.cli.output import Output, text_of

app = group("profile", "People: who they are, and why they are one person.", default="show")
PATH = "/api/v1/profiles"
RULES = "/api/v1/traits"
# What is shown of the parts that have more columns than a terminal.
COLUMNS = {
    "events": ["at", "source", "type", "name", "properties", "message_id"],
    "links": ["rule", "value", "probability", "left", "right"],
    "deliveries": ["at", "destination", "segment", "action", "outcome", "reason"],
    "sure": ["profile_id", "identifiers", "segments"],
    "traits": ["trait", "value", "source", "at", "verified", "rule"],
    "values": ["trait", "value", "source", "verified", "times", "last_at", "counts", "message_id"],
}
Identifier = Annotated[
    str, typer.Argument(metavar="TYPE:VALUE", help="For example user_id:lan, email:lan@example.com, profile_id:0b1f….")
]
Trait = Annotated[str, typer.Argument(metavar="TRAIT", help="The trait, as events name it.")]


@asks(app.command("show"))
def show(
    service: Service,
    out: Output,
    *,
    identifier: Identifier,
    include: Annotated[
        str | None, typer.Option(help="Also these, comma-separated: events, values, links, deliveries, anchors.")
    ] = None,
) -> None:
    """Show a person: traits and who said them, what they bought. `cdp profile TYPE:VALUE` does the same."""
    answer = service.get(_path(identifier), include=include)
    if out.as_json:
        out.document(answer)
        return
    shown = _shown(answer)
    out.record({name: value for name, value in shown.items() if value is not None and not _tabular(value)})
    for name, value in shown.items():
        if _tabular(value):
            out.say(f"\n{name}")
            out.table(value, COLUMNS.get(name) or list(value[0]), empty="")


@asks(app.command("explain"))
def explain(
    service: Service,
    out: Output,
    *,
    identifier: Identifier,
    to: Annotated[
        str | None, typer.Option(metavar="TYPE:VALUE", help="Only the links that lead to this identifier.")
    ] = None,
) -> None:
    """Say why it is one person: the links between observations, in the order in which they lead on."""
    answer = service.get(f"{_path(identifier)}/explain", to=to)
    if out.as_json:
        out.document(answer)
        return
    out.say(f"{answer['profile_id']}, {len(answer['observations'])} observations")
    for number, step in enumerate(answer["steps"], 1):
        out.say(f"{number:>3}. {step}")
    if not answer["steps"]:
        out.say("One observation: nothing had to be linked.")


@asks(app.command("household"))
def household(service: Service, out: Output, *, identifier: Identifier) -> None:
    """Say who may live with a person: who has in common what a household has. It merges nobody."""
    answer = service.get(f"{_path(identifier)}/household")
    if out.as_json:
        out.document(answer)
        return
    out.table(answer["members"], ["profile_id", "probability", "because"], empty="Nobody that is known.")


@asks(app.command("rules"))
def rules(service: Service, out: Output, *, limit: Limit = 100) -> None:
    """List the rules that say which value of a trait counts, where several were said."""
    found = service.pages(RULES, limit=limit)
    out.table(found, ["name", "rule", "sources", "updated_at"], empty="Every trait has most_recent_verified.")


@asks(app.command("rule"))
def rule(
    service: Service,
    out: Output,
    *,
    trait: Trait,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RULE]",
            help="most_recent_verified, most_recent, most_frequent or source_priority; without it, the rule is shown.",
        ),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="For source_priority: a source's key; repeat, the most trusted first.")
    ] = None,
) -> None:
    """Say which value of a trait counts. Profiles and segments follow at once."""
    if name is None:
        out.record(service.get(_rule(trait)))
        return
    body = {"rule": name, "sources": source or []}
    out.done(service.put(_rule(trait), body), f"{trait}: {name} counts.")


@asks(app.command("unrule"))
def unrule(service: Service, out: Output, *, trait: Trait) -> None:
    """Take the rule of a trait back: the usual one, most_recent_verified, counts again."""
    out.done(service.delete(_rule(trait)), f"{trait}: most_recent_verified counts.")


def _path(identifier: str) -> str:
    return f"{PATH}/{quote(identifier, safe=':@')}"


def _rule(trait: str) -> str:
    return f"{RULES}/{quote(trait)}"


def _shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    """A profile as people read it: each trait beside where it comes from, what is computed line by line."""
    shown = dict(answer)
    origins, computed = shown.pop("provenance", {}), shown.pop("computed", None) or {}
    traits = shown.pop("traits", {})
    values = shown.pop("values", None) or {}
    shown |= {name: _money(value) for name, value in computed.items() if value not in (None, {}, 0)}
    shown["traits"] = [
        {"trait": name, "value": text_of(value), **origins.get(name, {})} for name, value in traits.items()
    ]
    shown["sure"] = [
        part | {"identifiers": ", ".join("{type}:{value}".format(**one) for one in part["identifiers"])}
        for part in shown.pop("sure", [])
    ]
    shown["values"] = [{"trait": name, **one} for name, said in values.items() for one in said]
    return {name: value for name, value in shown.items() if value != [] or name == "segments"}


def _money(value: Any) -> Any:
    """Amounts by currency in a line; points for RFM as they are usually written."""
    if not isinstance(value, dict):
        return value
    if "recency" in value:
        points = f"R{value['recency']} F{value['frequency']} M{value['monetary'] or '-'}"
        return f"{points} (last order {value['days']} days ago)"
    return ", ".join(f"{amount:,.10g} {currency}" for currency, amount in value.items())


def _tabular(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
