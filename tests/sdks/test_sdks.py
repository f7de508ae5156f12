"""Official SDKs, unchanged, against the real product: what each is told is stored once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx
import pytest

from tests.sdks.gate import Fault, Forward, Gate, Reply, break_down, cut, lose, opened
from tests.sdks.sdks import ANSWER, BREAK, SDKS, Sdk
from tests.sdks.stage import MOST_BYTES, SPENT, Occupation, Pages, Play, Stage, Troupe, basic, write_key
from tests.sdks.story import order, story
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Case(NamedTuple):
    """What happens on the way of an event: its first request is answered `status` (0: not at all)."""

    status: int
    fault: Callable[[Stage, str], Fault] | None = None
    narrow: bool = False
    source: Mapping[str, Any] = {}
    filling: int = 0


def spend(stage: Stage, source: str) -> None:
    """Use up what a key may bring, for some seconds."""
    batch = [{"type": "track", "event": SPENT, "userId": "spender"}] * 6
    httpx.post(f"{stage.product.collector_url}/v1/batch", json={"batch": batch}, auth=(write_key(source), ""))


def spent(stage: Stage, source: str) -> Fault:
    """Somebody else uses up what the key may bring, right before."""

    def fault(forward: Forward) -> Reply:
        spend(stage, source)
        return forward()

    return fault


def disabled(stage: Stage, source: str) -> Fault:
    """The source is disabled, right before."""

    def fault(forward: Forward) -> Reply:
        stage.put_source(source, enabled=False)
        return until(lambda: reply if (reply := forward()).status == 401 else None)

    return fault


PASSING = {
    "broken": Case(500, lambda *_: break_down),
    "cut": Case(0, lambda *_: cut),
    "unanswered": Case(0, lambda *_: lose),
    "overloaded": Case(503, narrow=True),
    "limited": Case(429, spent, source={"limit": {"events_per_second": 2, "burst": 1}}),
}
FINAL = {
    "too-large": Case(400, narrow=True, filling=MOST_BYTES),
    "disabled": Case(401, disabled),
}
CASES = {"told": Case(200), **PASSING, **FINAL}


def cases_of(sdk: Sdk) -> list[str]:
    """What is tried with an SDK."""
    passing = [name for name, case in PASSING.items() if (ANSWER if case.status else BREAK) in sdk.repeats]
    return ["told", *passing, *(FINAL if ANSWER in sdk.repeats else ())]


def every(cases: Any, *, but: frozenset[str] = frozenset()) -> Any:
    """Parametrizes a test by SDK and case."""
    pairs = [(name, case) for name, sdk in SDKS.items() for case in cases_of(sdk) if case in cases]
    return pytest.mark.parametrize(
        "play",
        [pytest.param(pair, id=" ".join(pair), marks=marks(SDKS[pair[0]])) for pair in pairs if pair[0] not in but],
        indirect=True,
    )


def marks(sdk: Sdk) -> list[pytest.MarkDecorator]:
    """What it needs."""
    return [pytest.mark.browser] if sdk.in_browser else []


class Season(NamedTuple):
    """A troupe, and the plays that it performs."""

    troupe: Troupe
    plays: dict[tuple[str, str], Play]


class Seasons:
    """Has each troupe perform all that is asked of it in this run, from when it is first asked for."""

    def __init__(self, request: pytest.FixtureRequest, stage: Stage, gates: ExitStack) -> None:
        self._request = request
        self._stage = stage
        self._gates = gates
        self._seasons: dict[str, Season] = {}

    def of(self, sdk: Sdk) -> Season:
        """The season of the troupe that performs with this SDK."""
        if sdk.troupe not in self._seasons:
            self._seasons[sdk.troupe] = self._begun(sdk.troupe)
        return self._seasons[sdk.troupe]

    def _begun(self, name: str) -> Season:
        troupe: Troupe = self._request.getfixturevalue(name)
        asked = [item.callspec.params.get("play") for item in self._request.session.items if hasattr(item, "callspec")]
        wanted = [pair for pair in asked if pair and SDKS[pair[0]].troupe == name]
        wanted.sort(key=lambda pair: pair[1] != "overloaded")  # first, so that the overload is over soon
        overloaded = sum(case == "overloaded" for _, case in wanted)
        occupation = self._occupied(overloaded) if overloaded else None
        plays = {pair: self._play(*pair, occupation) for pair in wanted}
        troupe.perform(plays.values())
        return Season(troupe, plays)

    def _occupied(self, count: int) -> Occupation:
        occupation = Occupation(self._stage.narrow_url, until_turned_away=count)
        self._gates.callback(occupation.close)
        return occupation

    def _play(self, name: str, case: str, occupation: Occupation | None) -> Play:
        sdk, at, source = SDKS[name], CASES[case], f"{name}-{case}"
        self._stage.put_source(source, **at.source)
        url = self._stage.narrow_url if at.narrow else self._stage.product.collector_url
        faults = [at.fault(self._stage, source)] if at.fault else []
        if case == "overloaded" and occupation:
            faults = [occupation.fault]
        calls = story(source, without=sdk.lacks) if case == "told" else order(source, filling=at.filling)
        return Play(source, sdk, self._gates.enter_context(opened(Gate(url, faults))), calls)


@pytest.fixture(scope="module")
def seasons(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Seasons]:
    """All troupes."""
    with ExitStack() as gates:
        yield Seasons(request, stage, gates)


@pytest.fixture
def play(request: pytest.FixtureRequest, seasons: Seasons) -> Play:
    """A play that is being performed, or was."""
    sdk, case = request.param
    return seasons.of(SDKS[sdk]).plays[sdk, case]


@pytest.fixture
def status(request: pytest.FixtureRequest) -> int:
    """What the play's first request is answered."""
    return CASES[request.node.callspec.params["play"][1]].status


@every(["told"])
def test_every_call_is_stored_once(play: Play, stage: Stage, seasons: Seasons) -> None:
    """Each call that an SDK has arrives with its ids, names, content and time, by settings and preflights of ours."""
    failures = seasons.of(play.sdk).troupe.failures()[play.name]
    if play.sdk.leaves:
        seasons.of(play.sdk).troupe.leave(play)

    assert failures == []
    stage.assert_stored(play)
    assert set(play.gate.statuses) == {200}
    assert {passage.status for passage in play.gate.passages} <= {200, 204}


@every(PASSING)
def test_what_passes_loses_and_doubles_nothing(play: Play, stage: Stage, status: int) -> None:
    """An SDK whose first request fails sends again, and its event is stored once."""
    stage.assert_stored(play)
    assert play.gate.statuses[0] == status
    assert play.gate.statuses[-1] == 200


@every(FINAL)
def test_what_is_refused_is_not_sent_for_ever(play: Play, stage: Stage, seasons: Seasons, status: int) -> None:
    """An SDK takes the collector's 400 and 401 for final: nothing is stored, and nothing is sent again."""
    seasons.of(play.sdk).troupe.failures()
    refused = until(lambda: [each for each in play.gate.statuses if each != 503])
    assert set(refused) == {status}
    assert len(refused) == 1 or (play.sdk.insists and status != 400)
    assert stage.stored(play) == []


@pytest.mark.browser
def test_a_page_may_read_when_to_come_back(stage: Stage, pages: Pages) -> None:
    """With every header that SDKs send: preflights allow them, and scripts are told Retry-After of a 429 and a 503."""
    stage.put_source("a-page", **PASSING["limited"].source)
    sent = {
        "Authorization": basic(write_key("a-page")),
        "Content-Type": "application/json;charset=UTF-8",
        "X-Retry-Count": "1",
        "AnonymousId": "YQ==",
        "SentAt": "2026-11-21T08:30:00.000Z",
        "X-Write-Key": write_key("a-page"),
    }
    url = f"{stage.product.collector_url}/v1/batch"
    assert pages.fetch(url, {**sent, "Authorization": basic("unknown")}) == (401, None)
    spend(stage, "a-page")
    status, seconds = pages.fetch(url, sent)
    assert (status, seconds is not None and seconds.isdigit()) == (429, True)

    occupation = Occupation(stage.narrow_url, until_turned_away=1)
    assert pages.fetch(f"{stage.narrow_url}/v1/batch", sent) == (503, "1")
    occupation.close()
