"""Tests of the presets: each recorded payload becomes its events, only when its platform signed it, and once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdp import clock as clock_of
from cdp.testing import FrozenClock
from ingest.sources.segment import moment_text
from ingest.testing import Client, set_aside, stored
from ingest.webhooks.presets import presets
from tests.ingest.webhooks.conftest import Define, Graph
from tests.ingest.webhooks.senders import PATH, Case, cases

PAGES = Path(__file__).parents[3] / "docs" / "how-to" / "webhooks"
ALL = cases()
ONE_EACH = list({one.preset: one for one in reversed(ALL)}.values())
every_case = pytest.mark.parametrize("case", ALL, ids=[f"{one.preset}: {one.name}" for one in ALL])
every_preset = pytest.mark.parametrize("case", ONE_EACH, ids=[one.preset for one in ONE_EACH])


def ready(case: Case, graph: Graph) -> None:
    """Let the platform know what it announced."""
    if case.fetched:
        graph.nodes[case.fetched["id"]] = case.fetched


def lies_in(expected: Any, found: Any) -> bool:
    """Whether all that is expected is there; lists are compared place by place."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(lies_in(part, found.get(name)) for name, part in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and all(map(lies_in, expected, found)) and len(expected) == len(found)
    return type(expected) is type(found) and expected == found


def ids_of(event: dict[str, Any]) -> dict[str, Any]:
    """The external ids by type; several of one type as a list."""
    found: dict[str, Any] = {}
    for one in event.get("context", {}).get("externalIds", []):
        assert (one["collection"], one["encoding"]) == ("users", "none")
        known = found.get(one["type"])
        found[one["type"]] = one["id"] if known is None else [known, one["id"]]
    return found


def test_each_preset_has_cases_and_a_page() -> None:
    """There is a recorded payload and a how-to page for each preset, and no other."""
    assert presets().keys() == {one.preset for one in ALL}
    assert presets().keys() == {page.stem for page in PAGES.glob("*.md")} - {"README"}
    for name, preset in presets().items():
        assert preset.follows in (page := (PAGES / f"{name}.md").read_text(encoding="utf-8"))
        assert preset.unverified in page


@every_case
async def test_a_payload_becomes_its_events(
    case: Case, define: Define, sender: Client, graph: Graph, log: Any, clock: FrozenClock
) -> None:
    """Types, names, ids, properties and times are those of the Segment spec; what is nobody's is kept aside.

    Sent again later and signed anew, it makes the same events byte for byte, each with its messageId.
    """
    ready(case, graph)
    await define(case.preset)
    first = await deliver(sender, case, clock)
    wanted = [one for one in case.events if one]
    good = [one for one in wanted if "code" not in one]
    bodies = [one.event.body for one in await stored(log)]
    accepted = [json.loads(one) for one in bodies]
    aside = [json.loads(one.body) for one in await set_aside(log)]

    assert (len(good), len(wanted) - len(good)) == (len(accepted), len(aside))
    assert [one["code"] for one in wanted if "code" in one] == [one["code"] for one in first["results"]]
    assert (len(good), len(case.events) - len(wanted)) == (first["accepted"], first["ignored"])
    for expected in wanted:
        among = aside if "code" in expected else accepted
        assert any(_fits(expected, one) for one in among), f"nothing like {expected} among {among}"

    clock.advance(90_000)
    await deliver(sender, case, clock)
    again = [one.event.body for one in await stored(log)]
    assert all(again.count(one) == 2 for one in bodies)
    assert len({one["messageId"] for one in accepted}) == len(accepted)


async def deliver(sender: Client, case: Case, clock: FrozenClock) -> Any:
    """Send it now, and see it taken."""
    sent = case.sent(clock.now())
    reply = await sender.ask("POST", sent.path, sent.headers, [sent.body])
    assert reply.status == 200, reply.body
    return reply.json()


def _fits(expected: dict[str, Any], event: dict[str, Any]) -> bool:
    wanted = {name: value for name, value in expected.items() if name not in ("ids", "code", "timestamp")}
    on_time = "timestamp" not in expected or _moment(expected) == _moment(event)
    return on_time and lies_in(wanted, event) and ("ids" not in expected or expected["ids"] == ids_of(event))


def _moment(event: dict[str, Any]) -> int:
    text = moment_text(event["timestamp"])
    assert text
    return clock_of.from_text(text)


@every_preset
async def test_a_wrong_signature_stores_nothing(
    case: Case, define: Define, sender: Client, graph: Graph, log: Any, clock: FrozenClock
) -> None:
    """A changed body, a wrong secret, no signature: 401 each, and nothing on the log."""
    ready(case, graph)
    await define(case.preset)
    sent = case.sent(clock.now())
    by_token = bool(sent.query)
    signed = {name for name in sent.headers if name not in case.headers}

    replies = [await sender.ask("POST", PATH, case.headers, [sent.body])]
    if by_token:
        replies.append(await sender.ask("POST", f"{PATH}?token=wrong", sent.headers, [sent.body]))
    else:
        replies.append(await sender.ask("POST", sent.path, sent.headers, [sent.body.replace(b"1", b"2")]))
        forged = {name: value[:-3] + "AA=" if name in signed else value for name, value in sent.headers.items()}
        replies.append(await sender.ask("POST", sent.path, forged, [sent.body]))

    assert [401] * len(replies) == [reply.status for reply in replies]
    codes = {reply.json()["code"] for reply in replies}
    assert codes <= {"missing_signature", "invalid_signature", "stale_timestamp"}
    assert (await stored(log), await set_aside(log)) == ([], [])


@every_preset
async def test_a_stale_request_is_refused_where_the_platform_signs_its_moment(
    case: Case, define: Define, sender: Client, graph: Graph, log: Any, clock: FrozenClock
) -> None:
    """Beyond the tolerance, 401 `stale_timestamp`; platforms without one may come as late as they like."""
    ready(case, graph)
    await define(case.preset)
    late, early = case.sent(clock.now() - 301_000), case.sent(clock.now() + 301_000)
    strict = bool(presets()[case.preset].signature.tolerance_seconds)

    for sent in (late, early):
        reply = await sender.ask("POST", sent.path, sent.headers, [sent.body])
        assert reply.status == (401 if strict else 200), reply.body
        assert not strict or reply.json()["code"] == "stale_timestamp"
    assert strict is (await stored(log) + await set_aside(log) == [])
