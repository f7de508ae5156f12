"""The ledger tells what the warehouse must know of identity beside who is whom: which values are generic."""

from __future__ import annotations

from cdp.records import IdentityChange, ValueJudged, decode_identity
from cdp.state import Outbox
from identity import ledger
from identity.facts import Cause, Facts
from identity.observations import Observation
from tests.identity.conftest import MakeGraph

HOTLINE = ("phone", "+842812345678")


def customer(number: int) -> Facts:
    """Somebody with an account and a name of their own, and the hotline's number."""
    facts = Facts()
    account = ("user_id", f"u{number}")
    one = Observation(tuple(sorted([account, HOTLINE])), {"name": f"Lê {'ABCDEFGHIJ'[number]}ng"}, 1, "pos")
    facts.observe(one.anchor, one, Cause(f"m{number}", f"t{number}"))
    return facts


async def told(outbox: Outbox) -> list[IdentityChange]:
    """What waits to be appended, which it then is."""
    waiting = await outbox.waiting()
    await outbox.drop(waiting)
    return [change for value in waiting for change in decode_identity(ledger.draft(value).value).changes]


async def test_a_value_is_judged_when_it_becomes_generic_and_when_all_is_made_again(
    make_graph: MakeGraph, outbox: Outbox
) -> None:
    """The step that makes it generic says so once, with the cause; a rebuild says it again, for a new warehouse."""
    graph = make_graph(limit=2)
    judged = []
    for number in range(6):
        await graph.add(customer(number), outbox)
        judged += [change for change in await told(outbox) if isinstance(change, ValueJudged)]
    await graph.add(customer(5), outbox, again=True)
    again = [change for change in await told(outbox) if isinstance(change, ValueJudged)]

    assert [(one.type, one.value, one.generic) for one in judged] == [(*HOTLINE, True)]
    assert judged[0].trace_id in {"t2", "t3"}
    assert [(one.type, one.value, one.generic) for one in again] == [(*HOTLINE, True)]
    assert again[0].version > judged[0].version
