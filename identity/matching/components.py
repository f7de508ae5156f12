"""Records that hang together by links, in components small enough to be looked at whole.

Two records are linked when what speaks for one person is at least `Limits.link`. In a component that is too large the
bar is raised, step by step, until the pieces fit: a record's component is the largest that fits, at the lowest bar. At
the ceiling a piece is left as it is, however large: all of it hangs together by the strongest evidence. Components
depend on the links alone, never on who came first. Those above the lowest bar are the alarm that something joins what
should not hang together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic

from identity.matching.limits import Limits
from identity.matching.records import K


class Component(Generic[K]):
    """Records to be decided together, and the bar above which they hang together. Newcomers are put at the end."""

    __slots__ = ("bar", "members")

    def __init__(self, members: list[K], bar: float) -> None:
        self.members = members
        self.bar = bar


class Components(Generic[K]):
    """All links, and the components they make. `changed` and `gone` say which are new, or not there any more."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._links: dict[K, dict[K, float]] = {}
        self._of: dict[K, Component[K]] = {}
        self.changed: dict[Component[K], None] = {}
        self.gone: dict[Component[K], None] = {}

    def __iter__(self) -> Iterator[Component[K]]:
        return iter(dict.fromkeys(self._of.values()))

    def __contains__(self, record: K) -> bool:
        return record in self._of

    def of(self, record: K) -> Component[K]:
        """The component of a record."""
        return self._of[record]

    def links(self, record: K) -> Mapping[K, float]:
        """Whom a record is linked to, and how strongly."""
        return self._links[record]

    def add(self, record: K, links: Mapping[K, float]) -> None:
        """Put a record in, with its links to those that are in."""
        self._links[record] = dict(links)
        if not links:
            self._place(Component([record], self._limits.link))
            return
        for other, weight in links.items():
            self._links[other][record] = weight
        near = {self._of[other] for other in links}
        bar = next(iter(near)).bar
        if self._extends(near, bar, links):
            self._extend(record, near)
        else:
            self._arrange([record, *(one for component in near for one in component.members)])

    def remove(self, record: K) -> None:
        """Take a record out, with its links."""
        others = self._links.pop(record)
        for other in others:
            del self._links[other][record]
        left = self._of.pop(record)
        self._drop(left)
        self._arrange([one for one in left.members if one != record] + list(others))

    def link(self, links: Iterable[tuple[K, K, float]]) -> None:
        """Add links between records that are in, or change their weights."""
        self._rearrange([(left, right, weight) for left, right, weight in links])

    def unlink(self, pairs: Iterable[tuple[K, K]]) -> None:
        """Take links away."""
        self._rearrange([(left, right, None) for left, right in pairs])

    def _rearrange(self, links: Iterable[tuple[K, K, float | None]]) -> None:
        touched: dict[Component[K], None] = {}
        for left, right, weight in links:
            for one, other in ((left, right), (right, left)):
                touched[self._of[one]] = None
                if weight is None:
                    del self._links[one][other]
                else:
                    self._links[one][other] = weight
        self._arrange([one for component in touched for one in component.members])

    def _extends(self, near: set[Component[K]], bar: float, links: Mapping[K, float]) -> bool:
        """Whether a newcomer only makes one component of those that it is linked to."""
        if min(links.values()) < bar or (len(near) > 1 and any(component.bar != bar for component in near)):
            return False
        if bar >= self._limits.ceiling:
            return True
        return bar == self._limits.link and sum([len(one.members) for one in near]) < self._limits.component

    def _extend(self, record: K, near: set[Component[K]]) -> None:
        first, *others = near
        if others:
            first, *others = sorted(near, key=lambda one: (-len(one.members), one.members[0]))
        for other in others:
            self._drop(other)
            first.members += other.members
            self._of.update(dict.fromkeys(other.members, first))
        first.members.append(record)
        self._of[record] = first
        self.changed[first] = None

    def _arrange(self, records: list[K]) -> None:
        """Find the components of these records anew, and of all that a component of theirs held before."""
        done: set[K] = set()
        for start in records:  # grows while it is walked
            if start in done or start not in self._links:
                continue
            members, bar = self._fitting(start)
            done |= members
            before = dict.fromkeys(self._of[one] for one in members if one in self._of)
            if len(before) == 1 and self._same(next(iter(before)), members, bar):
                continue
            for component in before:
                self._drop(component)
                records += component.members
            self._place(Component(sorted(members), bar))

    def _fitting(self, start: K) -> tuple[set[K], float]:
        """The largest component of a record that fits, and its bar."""
        bar = self._limits.link
        while True:
            final = bar >= self._limits.ceiling
            found, open_ends = {start}, [start]
            while open_ends and (final or len(found) <= self._limits.component):
                for other, weight in self._links[open_ends.pop()].items():
                    if weight >= bar and other not in found:
                        found.add(other)
                        open_ends.append(other)
            if final or len(found) <= self._limits.component:
                return found, bar
            bar = min(bar + self._limits.step, self._limits.ceiling)

    def _same(self, component: Component[K], members: set[K], bar: float) -> bool:
        return component.bar == bar and len(component.members) == len(members) and members.issuperset(component.members)

    def _place(self, component: Component[K]) -> None:
        self._of.update(dict.fromkeys(component.members, component))
        self.changed[component] = None

    def _drop(self, component: Component[K]) -> None:
        self.changed.pop(component, None)
        self.gone[component] = None
