"""How right people are on a stream of customer events whose truth is known.

    python -m tests.load.attribution FOLDER … [--json]

A FOLDER holds `events.jsonl` (Segment-spec events in the order of their arrival) and `truth.csv` (`messageId`,
`person_id`, `kind`, `pii`; `_noise` is nobody). What events say of people goes through the record linker, one by one;
then every event is given to somebody: what describes a person to that person, else to the owner of its account, else to
whom its device had signed in within half an hour, before or after, or to the only person whom the device ever knew.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from identity.attributes import attributes
from identity.evaluation import Evaluation, evaluate
from identity.identifiers import Identifiers, Value, scalar
from identity.matching.linker import Linker
from identity.matching.readings import observed
from identity.matching.records import Values
from identity.matching.schema import CUSTOMERS

NOBODY = "_noise"
SESSION = 1_800.0  # seconds between a sign-in and what the same device did before or after
SHARED = 300.0  # ... of a device that many use, and only before
DESCRIBES = {place for place, field in enumerate(CUSTOMERS) if field.kind != "device" and field.name != "user_id"}

Event = dict[str, Any]
Moments = list[tuple[float, str]]  # when somebody was known at a device, and who


def main() -> None:
    """Resolve every stream, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    found = [line for folder in arguments.folders for line in figures(folder)]
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for line in found:
            print("  ".join(f"{name} {value}" for name, value in line.items()))


def figures(folder: Path) -> list[dict[str, Any]]:
    """How right people are in both views."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as stream:
        truth = {row["messageId"]: row for row in csv.DictReader(stream) if row["person_id"] != NOBODY}
    everybody = {message: row["person_id"] for message, row in truth.items()}
    described = {message: person for message, person in everybody.items() if truth[message]["pii"] == "1"}
    reader = Reader()
    said = {event["messageId"]: values for event in events if (values := reader.values(event)) is not None}
    linker: Linker[Values] = Linker(CUSTOMERS)
    started = time.process_time()
    for event in events:
        if (values := said.get(event["messageId"])) is not None:
            linker.add(_key(values), values)
    seconds = time.process_time() - started
    linker.refit()
    lines = []
    for view in ("likely", "sure"):
        clusters = linker.clusters(sure=view == "sure")
        person_of = {record: str(number) for number, cluster in enumerate(clusters) for record in cluster}
        whose = Attribution(linker, reader, events, {message: person_of[_key(one)] for message, one in said.items()})
        found = whose.everything()
        lines.append(
            {
                "stream": folder.name,
                "view": view,
                **_line("described", evaluate(found, described)),
                "all_b_cubed": round(evaluate(found, everybody).b_cubed.f1, 4),
                "observations": len(linker),
                "observations/s": round(len(linker) / seconds),
            }
        )
    return lines


def _key(values: Values) -> Values:
    """An observation is its content; empty text, which no value is, makes it sortable."""
    return tuple(value or "" for value in values)


def _line(name: str, result: Evaluation) -> dict[str, Any]:
    return {
        f"{name}_precision": round(result.pairwise.precision, 4),
        f"{name}_recall": round(result.pairwise.recall, 4),
        f"{name}_b_cubed": round(result.b_cubed.f1, 4),
        "worst_profile": result.worst,
        "people_mixed_up": round(result.mixed, 4),
    }


class Reader:
    """Reads what events say of people."""

    def __init__(self) -> None:
        self._identifiers = Identifiers()

    def values(self, event: Event) -> Values | None:
        """What an event says; None when it describes nobody."""
        context = event.get("context", {})
        traits = event.get("traits") or context.get("traits") or {}
        if not traits:
            return None
        given = [("phone", traits.get("phone")), ("email", traits.get("email")), ("user_id", event.get("userId"))]
        given += [(one["type"], one["id"]) for one in context.get("externalIds", [])]
        devices = [("anonymous_id", event.get("anonymousId")), ("device_id", context.get("device", {}).get("id"))]
        values = observed(self._read(given), attributes(traits), self._read(devices))
        return values if any(values[place] for place in DESCRIBES) else None

    def account(self, event: Event) -> Value | None:
        """The account of an event, if it names one."""
        return self._identifiers.read("user_id", scalar(event.get("userId")))

    def _read(self, given: list[tuple[str, Any]]) -> list[Value]:
        return [value for name, raw in given if (value := self._identifiers.read(name, scalar(raw)))]


class Attribution:
    """Whose every event of a stream is, when it is known whose those are that describe somebody."""

    def __init__(self, linker: Linker[Values], reader: Reader, events: list[Event], known: Mapping[str, str]) -> None:
        self._generic = set(linker.generic_values)
        self._reader = reader
        distinct = {event["messageId"]: event for event in events}
        self._events = sorted(distinct.values(), key=lambda event: event["timestamp"])
        owners: dict[Value, Counter[str]] = defaultdict(Counter)
        for event in self._events:
            if (person := known.get(event["messageId"])) and (account := self._account(event)):
                owners[account][person] += 1
        self._owner = {account: people.most_common(1)[0][0] for account, people in owners.items()}
        self._known: dict[str, str] = {}
        self._browsers: dict[str, Moments] = defaultdict(list)
        self._devices: dict[str, Moments] = defaultdict(list)
        for event in self._events:
            self._remember(event, known.get(event["messageId"]) or self._by_account(event))

    def everything(self) -> dict[str, str]:
        """Whose each event is, by message id; what is nobody's is its browser's."""
        return {event["messageId"]: self._whose(event) for event in self._events}

    def _remember(self, event: Event, person: str | None) -> None:
        if person is None:
            return
        self._known[event["messageId"]] = person
        moment = (_moment(event), person)
        for browser in filter(None, {event.get("anonymousId"), event.get("previousId")}):
            self._browsers[browser].append(moment)
        device = _device(event)
        if device and ("device_id", device) not in self._generic:
            self._devices[device].append(moment)

    def _account(self, event: Event) -> Value | None:
        account = self._reader.account(event)
        return None if account in self._generic else account

    def _by_account(self, event: Event) -> str | None:
        account = self._account(event)
        return None if account is None else self._owner.get(account, f"account {account[1]}")

    def _whose(self, event: Event) -> str:
        browser = event.get("anonymousId")
        shared = ("anonymous_id", browser) in self._generic
        found = self._known.get(event["messageId"]) or self._by_browser(event, shared=shared)
        if found is None and not shared:
            people = {person for _, person in self._devices.get(_device(event), ())}
            found = people.pop() if len(people) == 1 else None
        return found or (event["messageId"] if shared else f"browser {browser}")

    def _by_browser(self, event: Event, *, shared: bool) -> str | None:
        moments = self._browsers.get(event.get("anonymousId", ""), [])
        if moments and not shared and len({person for _, person in moments}) == 1:
            return moments[0][1]
        now = _moment(event)
        place = bisect_right(moments, (now, "\uffff"))
        if place < len(moments) and moments[place][0] - now <= (SHARED if shared else SESSION):
            return moments[place][1]
        if place and not shared and now - moments[place - 1][0] <= SESSION:
            return moments[place - 1][1]
        return None


def _device(event: Event) -> str:
    return event.get("context", {}).get("device", {}).get("id") or ""


def _moment(event: Event) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


if __name__ == "__main__":
    main()
