"""`cdp demo`: a shop's fortnight through the real collector, three segments, a file, and what to look at."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cdp import credentials
from cdp.cli.command import asks
from cdp.cli.connection import Service
from cdp.cli.output import Output
from cdp.clock import SystemClock
from cdp.demo.definitions import DESTINATION, DESTINATION_KEY, SEGMENTS, SYNCS
from cdp.demo.replay import replay
from cdp.demo.shop import Event, Shop
from cdp.errors import InvalidError, TransientError
from cdp.settings import Settings

SETTLE_SECONDS = 120.0

WriteKey = Annotated[
    str | None, typer.Option("--write-key", envvar="CDP_WRITE_KEY", help="Source to send as; else that of `cdp up`.")
]
Collector = Annotated[str | None, typer.Option(help="Address of the collector, where it is not that of the API.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    asks(app.command("demo"))(demo)


def demo(
    service: Service,
    out: Output,
    *,
    people: Annotated[int, typer.Option(min=10, max=100_000, help="Customers of the shop.")] = 500,
    seed: Annotated[int, typer.Option(help="Another number, another shop.")] = 1,
    write_key: WriteKey = None,
    collector: Collector = None,
) -> None:
    """Send a Vietnamese shop's fortnight to the running product, define three segments, and say what to look at."""
    key = write_key or credentials.read(Settings.load().data_dir).write_key
    if not key:
        raise InvalidError("No write key is known here: give one with --write-key or CDP_WRITE_KEY.")
    _define(service)
    shop = Shop(people, seed=seed, now=SystemClock().now())
    events = shop.fortnight()
    quarantined = _send(collector or service.url, key, events, quiet=out.as_json)
    sizes = _settled(service)
    someone = _someone(events)
    answer = {"events": len(events), "quarantined": quarantined, "segments": sizes, "look_at": someone}
    out.done(answer, _words(len(events), sizes, someone))


def _define(service: Service) -> None:
    for key, body in SEGMENTS.items():
        service.put(f"/api/v1/segments/{key}", body)
    service.put(f"/api/v1/destinations/{DESTINATION_KEY}", DESTINATION)
    for key, body in SYNCS.items():
        service.put(f"/api/v1/syncs/{key}", body)


def _send(url: str, key: str, events: list[Event], *, quiet: bool) -> int:
    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TextColumn("events"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("events", total=len(events))
        return replay(url, key, events, sent=lambda count: progress.advance(task, count))


def _settled(service: Service) -> dict[str, int]:
    """Wait until nothing is under way, then count the members. Raises `TransientError` when that takes too long."""
    end = time.monotonic() + SETTLE_SECONDS
    while any(consumer["messages"] for consumer in service.get("/api/v1/status")["consumers"]):
        if time.monotonic() > end:
            raise TransientError("The events are stored, but still being worked on; `cdp status` shows how far.")
        time.sleep(0.3)
    segments: list[dict[str, Any]] = service.get("/api/v1/segments", limit=500)["items"]
    return {segment["key"]: segment["members"] for segment in segments if segment["key"] in SEGMENTS}


def _someone(events: list[Event]) -> str:
    """Somebody worth looking at: who ordered most often under an account."""
    orders = [str(event["userId"]) for event in events if event.get("event") == "Order Completed" and "userId" in event]
    return f"user_id:{max(sorted(set(orders)), key=orders.count)}"


def _words(count: int, sizes: dict[str, int], someone: str) -> str:
    hints = {
        f"cdp profile {someone}": "one person: identifiers, traits, segments",
        f"cdp profile explain {someone}": "why all of that is one person",
        "cdp segment members vip": "who is in",
        "cdp segment changes cart-abandoned": "who came and went, and when",
        f"cdp destination deliveries {DESTINATION_KEY}": "what the file destination was told",
        str(Settings.load().data_dir / "exports" / "demo-vip.jsonl"): "and what it holds",
        "cdp tail": "events as they arrive",
    }
    width = max(map(len, hints))
    lines = [f"{count} events sent. Who is in now:", ""]
    lines += [f"  {sizes.get(key, 0):>5}  {body['name']}" for key, body in SEGMENTS.items()]
    lines += ["", "Look at"]
    lines += [f"  {hint:<{width}}  {meaning}" for hint, meaning in hints.items()]
    return "\n".join(lines)
