"""Samples to learn from: customers as there are, and some that somebody invents."""

from __future__ import annotations

import random

from identity.facts import Cause, Facts
from identity.observations import Observation

WORDS = (
    ["nguyễn", "trần", "lê", "phạm"],
    ["văn", "thị", "minh", "ngọc", "thu"],
    ["lan", "hùng", "tú", "hoa", "my", "dũng", "khánh", "trang", "long", "phúc"],
)


def customers(count: int, seed: int = 7) -> Facts:
    """Four observations each of people of whom some share a number, and whose names are written in two ways."""
    rng, facts = random.Random(seed), Facts()
    for number in range(count):
        name = " ".join(rng.choice(some) for some in WORDS)
        phone = ("phone", f"+8490{number - (rng.random() < 0.1):07d}")
        mailbox = ("email", f"p{number}@x.vn")
        born = f"19{rng.randrange(60, 99)}-0{rng.randrange(1, 9)}-1{rng.randrange(9)}"
        for identifiers, attributes in (
            ((phone,), {"name": name}),
            ((mailbox, phone), {"name": name.split()[-1], "birthday": born}),
            ((mailbox,), {"name": " ".join(reversed(name.split())), "birthday": born}),
            ((("user_id", f"u{number}"),), {"name": name, "birthday": born}),
        ):
            observation = Observation(identifiers, attributes, number + 1, "web")
            facts.observe(observation.anchor, observation, Cause(f"m-{number}", "t"))
    return facts


def invented(count: int, seed: int = 9) -> Facts:
    """Customers whom somebody invents, each once: nobody is one of the others."""
    rng, facts = random.Random(seed), Facts()
    for number in range(count):
        name = " ".join(rng.choice(some) for some in WORDS)
        said = {"name": name, "birthday": f"19{rng.randrange(60, 99)}-0{rng.randrange(1, 9)}-1{rng.randrange(9)}"}
        observation = Observation((("phone", f"+8491{rng.randrange(10**7):07d}"),), said, number + 1, "web")
        facts.observe(observation.anchor, observation, Cause(f"i-{number}", "t"))
    return facts


def families(count: int, seed: int = 5) -> Facts:
    """Families who have a number, a street and a family name in common, each member once."""
    rng, facts = random.Random(seed), Facts()
    for number in range(count):
        shared = {"street": f"{rng.randrange(900)} le loi", "province": "ha noi"}
        family = rng.choice(WORDS[0])
        for _ in range(rng.randrange(2, 5)):
            said = {
                "name": " ".join((family, rng.choice(WORDS[1]), rng.choice(WORDS[2]))),
                "birthday": f"19{rng.randrange(60, 99)}-0{rng.randrange(1, 9)}-1{rng.randrange(9)}",
            }
            observation = Observation((("phone", f"+8492{number:07d}"),), said | shared, number + 1, "web")
            facts.observe(observation.anchor, observation, Cause(f"f-{number}", "t"))
    return facts


def both(one: Facts, other: Facts) -> Facts:
    """The facts of both."""
    facts = Facts()
    for some in (one, other):
        for anchor, observation in some.observations.items():
            facts.observe(anchor, observation, some.causes[anchor])
    return facts
