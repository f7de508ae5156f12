"""What a new observation costs the live graph, by rules and by evidence: CPU µs of the process and of the Valkey.

    python -m tests.load.graph [--people 2000] [--json]

Invented customers say three things each: a telephone, a mailbox, an account, with names written in several ways and
now and then a slip; some share a telephone with a relative. All is new, in random order, in batches of 200: what an
event costs that repeats something known is measured by `tests.load.resolver`. Both graphs grow in turns, so that noise
meets them alike: where the machine is busy, quote the ratio. In the end each is what looking at everything at once
gives, or this fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from cdp.state import EmbeddedValkey, Outbox
from cdp.testing import FrozenClock
from identity.cluster import partition
from identity.facts import Cause, Facts
from identity.graph import Graph
from identity.learnt import learn_model
from identity.observations import Anchor, Observation
from identity.policy import Policy
from identity.testing import live
from tests.load.census import slip

BATCH, STEPS = 200, 4
NAMES = (
    ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh", "Phan", "Vũ", "Võ", "Đặng", "Bùi", "Đỗ", "Hồ", "Ngô"),
    ("Văn", "Thị", "Minh", "Ngọc", "Thu", "Đức", "Thanh", "Quốc", "Hữu", "Kim"),
    ("Lan", "Hùng", "Tú", "Hoa", "My", "Dũng", "Khánh", "Trang", "Long", "Phúc", "An", "Bình", "Chi", "Duy", "Giang"),
)
SHARED, SLIPS = 0.1, 0.1  # how many share a telephone with somebody, and names with a slip

Figures = dict[str, list[float]]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=2_000, help="how many customers")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cdp-graph-"))
    try:
        figures = asyncio.run(run(folder, arguments.people))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=1) if arguments.json else table(figures))


async def run(folder: Path, people: int) -> Figures:
    """Grow a graph by rules and one by evidence → the cost of each step, and the bytes of an observation."""
    content = customers(people)
    server = EmbeddedValkey(folder)
    client = await server.start()
    model = learn_model(content, Policy())
    graphs = {
        name: Graph(client, f"{name}:", policy, FrozenClock(), partitions=4)
        for name, policy in (("rules", Policy()), ("evidence", Policy().by(model)))
    }
    figures: Figures = {name: [] for name in graphs}
    items = list(content.items())
    size = len(items) // STEPS
    for step in range(STEPS):
        for name, graph in graphs.items():
            figures[name].append(await _cost(client, graph, items[step * size : (step + 1) * size]))
    for name, graph in graphs.items():
        known = dict(items[: STEPS * size])
        at_once = partition(known, graph.policy).clusters
        assert await live(client, f"{name}:") == frozenset(map(frozenset, at_once)), f"{name}: not what all at once is"
    await server.stop(client)
    return figures


async def _cost(client: Redis, graph: Graph, items: Sequence[tuple[Anchor, Observation]]) -> float:
    """CPU µs an observation, ours and the Valkey's."""
    outbox = Outbox(client, f"{graph.where.prefix.decode()}outbox")
    begun = time.process_time() + await _served(client)
    for start in range(0, len(items), BATCH):
        facts = Facts()
        for anchor, observation in items[start : start + BATCH]:
            facts.observe(anchor, observation, Cause())
        await graph.add(facts, outbox)
    return (time.process_time() + await _served(client) - begun) * 1e6 / len(items)


async def _served(client: Redis) -> float:
    info: dict[str, Any] = await client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


def customers(count: int, *, seed: int = 1) -> dict[Anchor, Observation]:
    """What so many customers say, in random order: three observations each."""
    chance, made = random.Random(seed), list[Observation]()
    for number in range(count):
        name = " ".join(chance.choice(some) for some in NAMES)
        phone = ("phone", _phone(number - (chance.random() < SHARED)))
        mailbox = ("email", f"{number}@example.com")
        born = f"19{chance.randrange(60, 100)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}"
        short = name.split()[-1]
        spelt = slip(name, chance) if chance.random() < SLIPS else name
        made += [
            Observation((phone,), {"name": spelt}),
            Observation((mailbox, phone), {"name": short, "birthday": born}),
            Observation((("user_id", f"u{number}"), mailbox), {"name": name}),
        ]
    chance.shuffle(made)
    return {observation.anchor: observation for observation in made}


def _phone(number: int) -> str:
    return f"+8490{(number * 7_919 + 1_234_567) % 10**7:07d}"


def table(figures: Mapping[str, Sequence[float]]) -> str:
    """The figures for people."""
    lines = ["CPU µs a new observation, ours and the Valkey's, in each quarter of the growth"]
    lines += [f"{name:10} {' '.join(f'{cost:>8,.0f}' for cost in costs)}" for name, costs in figures.items()]
    ratios = (b / a for a, b in zip(figures["rules"], figures["evidence"], strict=True))
    return "\n".join([*lines, f"{'ratio':10} {' '.join(f'{ratio:>8.1f}' for ratio in ratios)}"])


if __name__ == "__main__":
    main()
