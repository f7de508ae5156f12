"""Payloads → events, as a mapping says. Pure: the same payload always makes the same events, byte for byte, so that
what a platform sends again is known again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from collections.abc import Mapping as Dict
from typing import Any, NamedTuple

import msgspec

from ingest.webhooks.expressions import Expression, Scope, elements, expression, says_something
from ingest.webhooks.functions import scalar_text
from ingest.webhooks.mapping import Fields, Mapping, Rule, Test
from ingest.webhooks.payloads import Payload
from ingest.webhooks.templates import Shape, Text, shape, text, within

UNNAMED = "Webhook"
# A messageId may have 500 characters; of a longer one the hash stands for it.
LONGEST_ID = 200
NOTHING: Expression = lambda scope: None  # noqa: E731 - a value of the type Expression
SAYS_NOTHING: dict[str, Any] = {}

_encode = msgspec.json.Encoder(order="deterministic").encode


class Item(NamedTuple):
    """A part of a payload that becomes events of its own, and the scope in which it is looked at."""

    value: Any
    scope: Scope


class Made(NamedTuple):
    """What a part of a payload became: an event, or None where it is ignored; `rule` is the number of the rule that
    fitted (-1: none did)."""

    event: dict[str, Any] | None
    rule: int


class Parts(NamedTuple):
    """Where the parts of an event stand, read."""

    message_id: Text
    timestamp: Expression
    user_id: Expression
    anonymous_id: Expression
    ids: tuple[tuple[str, Text], ...]
    traits: tuple[Shape, ...]
    context: tuple[Shape, ...]
    properties: Shape | None


class ReadRule(NamedTuple):
    """A rule, read."""

    tests: tuple[tuple[Expression, frozenset[str] | bool], ...]
    each: Expression | None
    type: str
    name: Text | None
    group_id: Expression
    previous_id: Expression
    parts: Parts

    def fits(self, scope: Scope) -> bool:
        """Whether a payload is of this kind."""
        return all(_holds(wanted, test(scope)) for test, wanted in self.tests)


def holds(when: Dict[str, Test], scope: Scope) -> bool:
    """Whether all that is asked for holds."""
    return all(_holds(_wanted(wanted), expression(test)(scope)) for test, wanted in when.items())


class Maker:
    """Makes events by one mapping."""

    def __init__(self, mapping: Mapping, preset: str = "") -> None:
        """Raises `ExpressionError`, never for a mapping that was validated."""
        self._topic = _expression(mapping.topic)
        self._each = expression(mapping.each) if mapping.each else None
        self._rules = [_read(rule, mapping) for rule in mapping.events]
        self._parts = _parts(mapping, None)
        self._ignores = mapping.unmatched == "ignore"
        self._library = {"name": f"webhook/{preset}" if preset else "webhook"}

    def items(self, payload: Payload, source: str) -> list[Item]:
        """The parts of a payload, in order. One that has not the list that is expected is a part as a whole."""
        scope = {**payload.scope(source), "place": 0}
        if self._each is None:
            return [Item(payload.body, scope)]
        if payload.body == []:
            return []
        listed = [value for value in elements(self._each(scope)) if says_something(value)]
        if not listed:
            return [Item(payload.body, scope)]
        return [Item(value, {**within(scope, value), "place": place}) for place, value in enumerate(listed)]

    def rule_of(self, item: Item) -> int:
        """The number of the first rule that fits; -1 for none."""
        return next((number for number, rule in enumerate(self._rules) if rule.fits(item.scope)), -1)

    def made(self, item: Item) -> Iterator[Made]:
        """The events of a part."""
        number = self.rule_of(item)
        if number < 0:
            yield Made(None if self._ignores else self._unmatched(item), number)
            return
        rule = self._rules[number]
        if rule.type == "ignore":
            yield Made(None, number)
        elif rule.each is None:
            yield Made(self._event(rule, item.scope, 0), number)
        else:
            for place, element in enumerate(elements(rule.each(item.scope))):
                yield Made(self._event(rule, within(item.scope, element), place), number)

    def _event(self, rule: ReadRule, scope: Scope, place: int) -> dict[str, Any]:
        topic = scalar_text(self._topic(scope))
        name = (rule.name(scope) if rule.name else None) or topic or UNNAMED
        named = {"track": {"event": name}, "page": {"name": name}, "screen": {"name": name}}.get(rule.type, {})
        own = {
            "groupId": _id(rule.group_id(scope)),
            "previousId": _id(rule.previous_id(scope)),
        }
        properties = rule.parts.properties(scope) if rule.parts.properties else None
        head = {"type": rule.type, **named}
        return self._whole(head, own, rule.parts, scope, properties, suffix=f"#{place}" if place else "")

    def _unmatched(self, item: Item) -> dict[str, Any]:
        """An event that holds all of the payload."""
        name = scalar_text(self._topic(item.scope)) or UNNAMED
        whole = item.value if isinstance(item.value, dict) else {"payload": item.value}
        return self._whole({"type": "track", "event": name}, {}, self._parts, item.scope, whole)

    def _whole(
        self,
        head: Dict[str, Any],
        own: Dict[str, Any],
        parts: Parts,
        scope: Scope,
        properties: Any,
        *,
        suffix: str = "",
    ) -> dict[str, Any]:
        traits = _together(parts.traits, scope)
        context = _together(parts.context, scope)
        context["externalIds"] = [
            {"id": said.strip(), "type": kind, "collection": "users", "encoding": "none"}
            for kind, written in parts.ids
            if (said := written(scope)) and said.strip()
        ]
        in_traits = head["type"] in ("identify", "group")
        event = {
            **head,
            "messageId": _message_id(parts.message_id(scope), [head, scope.get("item"), scope.get("place")]) + suffix,
            "timestamp": parts.timestamp(scope),
            "userId": _id(parts.user_id(scope)),
            "anonymousId": _id(parts.anonymous_id(scope)),
            **own,
            "traits": traits if in_traits else None,
            "context": {**context, "traits": SAYS_NOTHING if in_traits else traits, "library": self._library},
            "properties": properties if isinstance(properties, dict) else None,
        }
        event["context"] = {name: value for name, value in event["context"].items() if says_something(value)}
        return {name: value for name, value in event.items() if says_something(value)}


def _read(rule: Rule, mapping: Mapping) -> ReadRule:
    return ReadRule(
        tests=tuple((expression(test), _wanted(wanted)) for test, wanted in rule.when.items()),
        each=expression(rule.each) if rule.each else None,
        type=rule.type,
        name=text(rule.event) if rule.event else None,
        group_id=_expression(rule.group_id),
        previous_id=_expression(rule.previous_id),
        parts=_parts(mapping, rule),
    )


def _parts(mapping: Fields, rule: Fields | None) -> Parts:
    """Where the parts stand by a rule, else by the mapping around it."""

    def own(name: str) -> Any:
        said = getattr(rule, name) if rule else None
        return getattr(mapping, name) if said is None else said

    both = (mapping, rule) if rule else (mapping,)
    ids = {kind: written for fields in both for kind, written in (fields.ids or {}).items()}
    message_id, properties = own("message_id"), own("properties")
    return Parts(
        message_id=text(message_id) if message_id else NOTHING,
        timestamp=_expression(own("timestamp")),
        user_id=_expression(own("user_id")),
        anonymous_id=_expression(own("anonymous_id")),
        ids=tuple((kind, text(written)) for kind, said in ids.items() for written in _several(said)),
        traits=tuple(shape(fields.traits) for fields in both if fields.traits is not None),
        context=tuple(shape(fields.context) for fields in both if fields.context is not None),
        properties=None if properties is None else shape(properties),
    )


def _expression(given: str | None) -> Expression:
    return expression(given) if given else NOTHING


def _wanted(test: Test) -> frozenset[str] | bool:
    if isinstance(test, bool):
        return test
    return frozenset(map(scalar_text, test if isinstance(test, list) else [test]))


def _holds(wanted: frozenset[str] | bool, value: Any) -> bool:
    if isinstance(wanted, bool):
        return says_something(value) is wanted
    return scalar_text(value) in wanted


def _together(shapes: tuple[Shape, ...], scope: Scope) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in shapes:
        value = one(scope)
        found |= value if isinstance(value, dict) else {}
    return found


def _several(said: str | list[str]) -> list[str]:
    return said if isinstance(said, list) else [said]


def _id(value: Any) -> str | None:
    return scalar_text(value).strip() or None


def _message_id(said: str | None, sent: list[Any]) -> str:
    """The platform's own id of the event, else one made of what it sent: the same whenever it sends the same."""
    if said:
        return said if len(said) <= LONGEST_ID else _digest(said.encode(errors="replace"))
    return _digest(_encode(sent))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
