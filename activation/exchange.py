"""One exchange with a destination: build, carry, interpret. A connector that errs harms the members concerned only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from activation.connector import Batch, Omitted
from activation.destinations import Destination
from activation.outcomes import Dropped, Failed, Outcome, Retry
from activation.requests import Reply, Request
from activation.transports.base import Transport
from cdp.errors import MisconfiguredError, PermanentError, TransientError

log = structlog.get_logger(__name__)

# A request, or the outcome of members that no request can carry; and the members' positions in the batch.
Built = tuple[Request | Outcome, tuple[int, ...]]


def build(destination: Destination, batch: Batch) -> list[Built]:
    """Every member of the batch, in a request or with an outcome."""
    connector = destination.connector
    everyone = range(len(batch.changes))
    try:
        return _matched(connector.build(destination.settings, batch), everyone)
    except Exception as error:
        if len(everyone) > 1:  # one that cannot be built must not harm its neighbours
            return [built for place in everyone for built in _alone(destination, batch, place)]
        log.error("build.failed", connector=connector.name, reason=type(error).__name__)
        return [(Failed(f"{connector.name} cannot build it: {type(error).__name__}"), tuple(everyone))]


async def carry(
    destination: Destination, transport: Transport[Any], request: Request
) -> tuple[list[Outcome], Reply | None]:
    """What became of each member of the request, and the reply if there was one."""
    everyone = len(request.members)
    try:
        reply = await transport.send(request)
    except PermanentError as error:
        return [Failed(error.message)] * everyone, None
    except (TransientError, MisconfiguredError) as error:
        return [Retry(error.message)] * everyone, None
    return _interpreted(destination, request, reply), reply


def _interpreted(destination: Destination, request: Request, reply: Reply) -> list[Outcome]:
    connector = destination.connector
    try:
        outcomes = list(connector.interpret(destination.settings, request, reply))
        if len(outcomes) != len(request.members):
            raise ValueError("an outcome for each member is needed")
    except Exception as error:
        log.error("interpret.failed", connector=connector.name, reason=type(error).__name__)
        return [Retry(f"{connector.name} cannot read the reply: {type(error).__name__}")] * len(request.members)
    return outcomes


def _alone(destination: Destination, batch: Batch, place: int) -> list[Built]:
    return [(item, (place,)) for item, _ in build(destination, batch._replace(changes=[batch.changes[place]]))]


def _matched(items: Iterable[Request | Omitted], everyone: Sequence[int]) -> list[Built]:
    matched: list[Built] = [
        (Dropped(item.reason), (item.member,)) if isinstance(item, Omitted) else (item, item.members) for item in items
    ]
    covered = {place for _, places in matched for place in places}
    if forgotten := tuple(place for place in everyone if place not in covered):
        matched.append((Failed("the connector built nothing for it"), forgotten))
    return matched
