"""Bad input: nothing is answered 500, nothing is lost, each event is stored or kept aside with its reason."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest

from ingest.testing import Client, set_aside, stored
from tests.ingest.corpus import CORPUS, Case


def test_corpus_is_large_and_its_names_are_unique() -> None:
    """A case is found by its name."""
    assert len(CORPUS) >= 150
    assert len({case.name for case in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("case", CORPUS, ids=[case.name for case in CORPUS])
async def test_case(case: Case, client: Client, log: Any) -> None:
    """What must become of the case, becomes of it; and the log holds exactly what the answer says."""
    reply = await client.post(case.path, case.body, case.headers)
    expected = case.expect

    assert expected.status == reply.status, reply.body[:500]
    kept, aside = await stored(log), await set_aside(log)
    answer = reply.json()
    if expected.status != 200:
        assert {"success": False, "code": expected.code} == {name: answer[name] for name in ("success", "code")}
        assert answer["message"]
        assert (kept, aside) == ([], [])
        return
    assert answer["success"] is True
    assert expected.accepted == len(kept)
    assert expected.codes == tuple(event.code for event in aside)
    assert expected.codes == tuple(result["code"] for result in answer.get("results", ()))
    assert all(event.reason for event in aside)


@pytest.mark.parametrize("case", CORPUS, ids=[case.name for case in CORPUS])
async def test_what_is_stored_can_be_read_by_everyone(case: Case, client: Client, log: Any) -> None:
    """An accepted event is valid UTF-8 and decodes, whole; its ids are text and its parts are objects."""
    await client.post(case.path, case.body, case.headers)

    for one in await stored(log):
        raw = bytes(one.event.body)
        body = msgspec.json.decode(raw)
        assert body.keys() == orjson.loads(raw).keys()
        assert one.event.id
        assert body.get("userId") or body.get("anonymousId")
        for name in ("userId", "anonymousId", "messageId", "event"):
            assert isinstance(body.get(name), str | None)
        for name in ("properties", "traits", "context"):
            assert isinstance(body.get(name), dict | None)
