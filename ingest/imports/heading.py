"""Where a sheet names its columns: below titles, on two rows with merged cells, or nowhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cdp.forms.emails import is_address
from ingest.imports.cells import amount, text, written_time
from ingest.imports.contacts import telephone
from ingest.imports.fields import EMPTY_NAMES, KINDS, SHORT, fold, names_of

NAMES = {name for kind in KINDS for name, _ in names_of(kind)} | {name for kind in KINDS for name in SHORT[kind]}
# Rows below each other that a heading may have.
FILLED = 0.5


class Heading(NamedTuple):
    """The columns' names; `first` and `last` are the rows that the heading takes, 0 where there is none."""

    names: list[str]
    first: int
    last: int


def heading_of(records: Sequence[tuple[int, Sequence[Any]]], told: int | None = None, kind: str = "") -> Heading:
    """The heading among the first records. `told` is the row that people say it is in; 0: there is none."""
    width = max(len(_trimmed(cells)) for _, cells in records)
    place = _told(records, told) if told is not None else _found(records, width)
    if place is None:
        return Heading([""] * _width((), records), 0, 0)
    above = records[place - 1][1] if place else ()
    number, cells = records[place]
    width = _width(cells, records[place + 1 :])
    below = records[place + 1][1] if place + 1 < len(records) else ()
    if told is None and _continues(cells, below):
        return Heading(_joined(cells, below, width), number, records[place + 1][0])
    if told is None and place and _spans(above, cells):
        return Heading(_joined(above, cells, width), records[place - 1][0], number)
    return Heading(_padded(cells, width), number, number)


def known(cell: Any) -> bool:
    """Whether a cell is what people call a column."""
    folded = fold(text(cell)) if isinstance(cell, str) else ""
    return bool(folded) and (folded in NAMES or folded in EMPTY_NAMES)


def _width(cells: Sequence[Any], records: Sequence[tuple[int, Sequence[Any]]]) -> int:
    """How many columns there are: those that are named, and those beyond that half of the rows fill."""
    lengths = sorted(len(_trimmed(row)) for _, row in records)
    return max(len(_trimmed(cells)), lengths[len(lengths) // 2] if lengths else 0)


def _told(records: Sequence[tuple[int, Sequence[Any]]], row: int) -> int | None:
    return next((place for place, (number, _) in enumerate(records) if number == row), None)


def _found(records: Sequence[tuple[int, Sequence[Any]]], width: int) -> int | None:
    """The row with most known names, the first of equals; without any, the first full row of mere words."""
    scores = [sum(map(known, cells)) for _, cells in records]
    if max(scores) > (1 if width > 2 else 0):
        return scores.index(max(scores))
    for place, (_, cells) in enumerate(records):
        filled = [cell for cell in cells if text(cell)]
        if len(filled) >= max(1, width * FILLED):
            return place if all(_is_word(cell) for cell in filled) and len(records) > 1 else None
    return None


def _is_word(cell: Any) -> bool:
    written = text(cell)
    said = amount(written) is not None or written_time(written, "dmy") is not None
    return (
        isinstance(cell, str)
        and not said
        and not is_address(written)
        and not telephone(written, "VN")
        and len(written) < 100
    )


def _continues(cells: Sequence[Any], below: Sequence[Any]) -> bool:
    """Whether the row below names what stands under merged cells: words only, and some where this row has gaps."""
    filled = [cell for cell in below if text(cell)]
    if not filled or not all(_is_word(cell) for cell in filled):
        return False
    gaps = [place for place, cell in enumerate(_padded(cells, len(below))) if not cell]
    under = [place for place in gaps if place < len(below) and text(below[place])]
    return bool(under) and sum(known(cell) for cell in filled) >= 1 and any(known(below[place]) for place in under)


def _spans(above: Sequence[Any], cells: Sequence[Any]) -> bool:
    """Whether the row above holds groups of columns: at least two words, none of them a title over everything."""
    filled = [place for place, cell in enumerate(above) if text(cell)]
    if len(filled) < 2 or not all(_is_word(above[place]) for place in filled):
        return False
    return any(place >= len(cells) or not text(cells[place]) for place in filled) or len(filled) < len(_trimmed(cells))


def _joined(upper: Sequence[Any], lower: Sequence[Any], width: int) -> list[str]:
    """Names on two rows as one: the lower one, with the group before it where alone it would not be clear."""
    groups, names, group = _padded(upper, width), _padded(lower, width), ""
    joined = []
    for above, below in zip(groups, names, strict=True):
        group = above or group
        if not below:
            joined.append(above)
        elif names.count(below) > 1 or (group and known(f"{below} {group}") and not _says_enough(below)):
            joined.append(f"{below} {group}")
        else:
            joined.append(below)
    return joined


def _says_enough(name: str) -> bool:
    """Whether a name needs no group beside it: `Mã` alone may be anything."""
    return known(name) and len(fold(name).split()) > 1


def _trimmed(cells: Sequence[Any]) -> Sequence[Any]:
    """Without the empty cells at the end."""
    end = len(cells)
    while end and not text(cells[end - 1]):
        end -= 1
    return cells[:end]


def _padded(cells: Sequence[Any], width: int) -> list[str]:
    names = [" ".join(text(cell).split()) for cell in cells[:width]]
    return names + [""] * (width - len(names))
