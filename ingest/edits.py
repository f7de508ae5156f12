"""Edits of events that were set aside: small changes that can be done to thousands alike. Pure.

A path names a place in an event: `properties.total`, `properties.products[].price` (of each item), `products[0].price`,
`properties["a.b"]` (a name with dots in it).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ITEMS = "[]"
Step = str | int
STEP = re.compile(r"\.?(?P<name>[^.\[\]\"]+)|\[\"(?P<quoted>[^\"]+)\"\]|\[(?P<number>\d{0,6})\]")
DEEPEST = 20
NOTHING: Any = object()


def steps(path: str) -> list[Step]:
    """The steps of a path: names, numbers, and `[]` for each item. Raises `ValueError`."""
    found: list[Step] = []
    at = 0
    while at < len(path):
        step = STEP.match(path, at)
        if step is None or (at == 0 and path.startswith(".")):
            raise ValueError(f"no path from character {at} on: write it as in properties.products[].price")
        at = step.end()
        if step["number"] is not None:
            found.append(int(step["number"]) if step["number"] else ITEMS)
        else:
            found.append(step["name"] or step["quoted"])
    if not found or len(found) > DEEPEST or not isinstance(found[0], str) or found[0] == ITEMS:
        raise ValueError("a path begins with a name, and is not empty")
    return found


def _checked(path: str) -> str:
    steps(path)
    return path


PathText = Annotated[str, Field(max_length=500), AfterValidator(_checked)]


class Edit(BaseModel):
    """One edit."""

    model_config = ConfigDict(extra="forbid")


class Set(Edit):
    """Give a place a value; objects on the way are made."""

    op: Literal["set"]
    path: PathText = Field(description="Where.")
    value: Any = Field(description="What.")


class Remove(Edit):
    """Take a value away."""

    op: Literal["remove"]
    path: PathText = Field(description="Where.")


class Rename(Edit):
    """Move a value to another place, unless there is one already."""

    op: Literal["rename"]
    path: PathText = Field(description="Where it is.")
    to: PathText = Field(description="Where it should be; through the same lists as `path`.")


class Convert(Edit):
    """Make a value another type, where that loses nothing: `"5"` → 5. What cannot be converted stays."""

    op: Literal["convert"]
    path: PathText = Field(description="Where.")
    to: Literal["number", "integer", "string", "boolean"] = Field(description="The type it should have.")


class Merge(Edit):
    """Merge an object into the event, as JSON Merge Patch (RFC 7396) says: null removes."""

    op: Literal["merge"]
    value: dict[str, Any] = Field(description="The patch.")


AnyEdit = Annotated[Set | Remove | Rename | Convert | Merge, Field(discriminator="op")]


def edited(event: Mapping[str, Any], edits: Sequence[AnyEdit]) -> dict[str, Any]:
    """The event after all edits, one after the other; the given one stays as it is."""
    result: Any = copy.deepcopy(dict(event))
    for edit in edits:
        result = _apply(result, edit)
    return dict(result)


def _apply(event: Any, edit: AnyEdit) -> Any:
    match edit:
        case Set():
            _change(event, steps(edit.path), lambda _: copy.deepcopy(edit.value), make=True)
        case Remove():
            _change(event, steps(edit.path), lambda _: NOTHING)
        case Convert():
            _change(event, steps(edit.path), lambda value: _converted(value, edit.to))
        case Rename():
            _rename(event, steps(edit.path), steps(edit.to))
        case Merge():
            return _merged(event, edit.value)
    return event


def _holders(value: Any, path: Sequence[Step], *, make: bool = False) -> Iterator[Any]:
    """Every object or list in which the last step of a path is taken."""
    if len(path) == 1:
        yield value
        return
    step, rest = path[0], path[1:]
    if step == ITEMS:
        for inner in value if isinstance(value, list) else ():
            yield from _holders(inner, rest, make=make)
        return
    inner = _get(value, step)
    if inner is NOTHING and make and isinstance(value, dict) and rest[0] != ITEMS and not isinstance(rest[0], int):
        inner = value[step] = {}
    if inner is not NOTHING:
        yield from _holders(inner, rest, make=make)


def _change(event: Any, path: Sequence[Step], change: Callable[[Any], Any], *, make: bool = False) -> None:
    for holder in _holders(event, path, make=make):
        for step in _last(holder, path[-1]):
            value = _get(holder, step)
            if value is not NOTHING or make:
                _put(holder, step, change(value))


def _last(holder: Any, step: Step) -> list[Step]:
    """The steps that a last step stands for, from behind, so that items can go."""
    if step == ITEMS:
        return [*range(len(holder))][::-1] if isinstance(holder, list) else []
    return [step]


def _rename(event: Any, path: Sequence[Step], to: Sequence[Step]) -> None:
    """Through lists item by item: the steps up to the last `[]` are the same in both."""
    if path == to:
        return
    deep = max((number for number, step in enumerate(path) if step == ITEMS), default=-1) + 1
    if list(path[:deep]) != list(to[:deep]) or ITEMS in to[deep:] or deep == len(path):
        return
    roots = [event] if not deep else [item for holder in _holders(event, path[:deep]) for item in _items(holder)]
    for root in roots:
        for holder in _holders(root, path[deep:]):
            value = _get(holder, path[-1])
            taken = any(_get(other, to[-1]) is not NOTHING for other in _holders(root, to[deep:]))
            if value is not NOTHING and not taken and _set(root, to[deep:], value):
                _put(holder, path[-1], NOTHING)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _set(root: Any, path: Sequence[Step], value: Any) -> bool:
    done = False
    for holder in _holders(root, path, make=True):
        done = _put(holder, path[-1], value) or done
    return done


def _get(value: Any, step: Step) -> Any:
    if isinstance(step, str) and isinstance(value, dict):
        return value.get(step, NOTHING)
    if isinstance(step, int) and isinstance(value, list) and step < len(value):
        return value[step]
    return NOTHING


def _put(holder: Any, step: Step, value: Any) -> bool:
    """Put a value, or take it away; False where the holder has no such place."""
    if isinstance(step, str) and isinstance(holder, dict):
        if value is NOTHING:
            holder.pop(step, None)
        else:
            holder[step] = value
        return True
    if isinstance(step, int) and isinstance(holder, list) and step < len(holder):
        if value is NOTHING:
            del holder[step]
        else:
            holder[step] = value
        return True
    return False


NUMBER = re.compile(r"-?(0|[1-9]\d{0,300})(\.\d{1,300})?([eE][+-]?\d{1,2})?")
INTEGER = re.compile(r"-?(0|[1-9]\d{0,300})")
BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _converted(value: Any, to: str) -> Any:
    text = value.strip() if isinstance(value, str) else None
    match to:
        case "number" | "integer" if text is not None:
            if INTEGER.fullmatch(text):
                return int(text)
            number = float(text) if NUMBER.fullmatch(text) else None
            if number is None or abs(number) == float("inf"):
                return value
            if to == "number":
                return number
            return int(number) if number.is_integer() else value
        case "integer" if isinstance(value, float) and value.is_integer():
            return int(value)
        case "string" if isinstance(value, bool):
            return "true" if value else "false"
        case "string" if isinstance(value, int | float):
            return str(value)
        case "boolean" if isinstance(value, str | int) and not isinstance(value, bool):
            return BOOLEANS.get(str(value).strip().lower(), value)
    return value


def _merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(value) if isinstance(value, dict) else {}
    for name, inner in patch.items():
        if inner is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), inner)
    return result
