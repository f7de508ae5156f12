"""`GET /v1/click`: records a click on a link in an ad or an e-mail, and leads on to where the source allows.

    link ─► target allowed? ─┬─► record, for a second at most ─► 302
                             └─► 400, a page without any link

Where a link leads is decided by the hosts that sources name (`redirect_hosts`), never by the link (`ingest.targets`).
Whoever clicked is led on whatever becomes of the event; one that is lost is counted and logged.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from cdp.errors import CdpError
from ingest.answers import Answer
from ingest.browser.id_cookie import known_id
from ingest.doors.door import Hall, Request
from ingest.keys import WriteKeyError
from ingest.metrics import FIGURES
from ingest.source import Source
from ingest.sources import click, pixel
from ingest.targets import target_of

log = structlog.get_logger(__name__)

# Seconds that a person who clicked waits for the log. After that the event has until the log's own timeout.
PATIENCE = 1.0
# Events at once that go on being written when the person has gone on.
MOST_LATE = 1_000

NOT_KEPT = ((b"cache-control", b"no-store, private, max-age=0"), (b"x-robots-tag", b"noindex, nofollow"))
# The page that is led to learns where the person came from, but never more than the host.
ONWARD = (*NOT_KEPT, (b"referrer-policy", b"strict-origin-when-cross-origin"))
TEXT = (
    "This link was not followed: the address that it leads to is not one that its sender allows.\n"
    "Liên kết này không được mở: địa chỉ đích không nằm trong danh sách được phép.\n"
)
REFUSED = Answer(
    400,
    TEXT.encode(),
    (
        *NOT_KEPT,
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'"),
        (b"referrer-policy", b"no-referrer"),
    ),
)


class ClickDoor:
    """Leads on, and takes note of it."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._late: set[asyncio.Task[Any]] = set()

    async def answer(self, request: Request) -> Answer:
        """The way on, or the page of a refused target. HEAD, by which scanners look at links, records nothing."""
        parameters = pixel.parameters_of(request.scope["query_string"])
        source, trouble = self._source(request)
        target = self._target(request, source)
        if target is None:
            FIGURES.refused["target_not_allowed"] += 1
            return REFUSED
        if request.scope["method"] == "HEAD":
            return _onward(click.handed_on(target, parameters))
        if source is None:
            _lost("", trouble)
            return _onward(click.handed_on(target, parameters))
        return await self._recorded(request, source, parameters, target)

    def turned_away(self, request: Request) -> Answer:
        """The way on for a click that there is no room to record: it is counted, and lost."""
        parameters = pixel.parameters_of(request.scope["query_string"])
        source, _ = self._source(request)
        target = self._target(request, source)
        if target is None:
            return REFUSED
        if request.scope["method"] != "HEAD":
            _lost(source.key if source else "", "overloaded")
        return _onward(click.handed_on(target, parameters))

    def _source(self, request: Request) -> tuple[Source | None, str]:
        """Whose link it is, or why nobody's."""
        try:
            return self._hall.sources.of(request.parameter("writeKey")), ""
        except WriteKeyError as error:
            return None, error.code

    def _target(self, request: Request, source: Source | None) -> str | None:
        """Where the click leads; None for nowhere. Mails outlive write keys: then any source may have allowed it."""
        asked = click.asked_target(request.scope["query_string"])
        sources = self._hall.sources.all() if source is None else [source]
        return target_of(asked, (host for one in sources for host in one.body.redirect_hosts))

    async def _recorded(self, request: Request, source: Source, parameters: pixel.Parameters, target: str) -> Answer:
        known = known_id(request.header(b"cookie"), source.key) if source.body.id_cookie else ""
        try:
            event = click.click_of(parameters, target, known)
            anonymous_id = click.passed_id(event, parameters)
            pixel.seen_by(event, request.header)
            opened = pixel.opened(event)
        except CdpError as error:
            _lost(source.key, error.code)
            return _onward(click.handed_on(target, parameters))
        receipt = request.receipt(source, self._hall.platform.clock.now())
        task = asyncio.create_task(self._hall.intake.take(source, opened, receipt))
        task.add_done_callback(lambda done: self._done(done, source))
        self._late.add(task)
        await asyncio.wait({task}, timeout=PATIENCE)
        if not task.done() and len(self._late) > MOST_LATE:
            self._late.discard(task)
            task.cancel()
        return _onward(click.handed_on(target, parameters, anonymous_id))

    def _done(self, task: asyncio.Task[Any], source: Source) -> None:
        """Count an event that was not written after all."""
        self._late.discard(task)
        if task.cancelled():
            _lost(source.key, "overloaded")
        elif (error := task.exception()) is not None:
            _lost(source.key, error.code if isinstance(error, CdpError) else "internal")


def _onward(target: str) -> Answer:
    return Answer(302, b"", ((b"location", target.encode("ascii")), *ONWARD))


def _lost(source: str, reason: str) -> None:
    FIGURES.unrecorded[reason] += 1
    log.warning("click.unrecorded", source=source, reason=reason)
