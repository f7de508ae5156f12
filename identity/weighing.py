"""Observations → people, by evidence. Pure, like the rules: a function of the set of observations.

What only the whole knows comes first: which values are generic, and who holds a blocking key. Then

1. two observations *meet* when they share a key that is not too common
2. they are *linked* when what speaks for one person is at least the low link; so a component is found
3. within a component what was decided by hand, aliases, and types the model does not know join first
4. the rest is joined the nearest first, by what both clusters say as wholes, unless a limit or a denial forbids it

A component too large to look at every pair is taken apart by raising the link. The highest joins by single links; what
is still too large then is joined by hand alone. The two views are one list of joins: the surer is its beginning.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from heapq import heapify, heappop, heappush
from itertools import combinations, product
from math import ceil, floor, inf
from typing import Final

from identity.evidence import BLOCK, NAME_ALONE, Evidence
from identity.forest import ANY, Forest, Tree
from identity.generic import generic_values
from identity.identifiers import Value
from identity.links import EVIDENCE, Clustering, Content, Link, Refusal, holders_of, links
from identity.matching.limits import Limits
from identity.matching.profiles import Profiles
from identity.matching.records import Values
from identity.matching.scoring import bits as odds
from identity.matching.scoring import probability
from identity.observations import DAY, Anchor
from identity.policy import ACCOUNT, ALIASED, ALL, ASSERTED, NOTHING, Policy
from identity.ties import NO_TIES, Ties

HOUSEHOLD: Final = "their names, birthdays or cards have nothing in common, and a household may share what they share"
NAMED: Final = "nothing but a name speaks for it, which others may have"
NAMESAKES: Final = "others have this name, and nothing but the name speaks for it"
CEILING: Final = 1  # the rank of the highest link; above it are those by evidence, below what was asserted
TOLD: Final = frozenset(("phone", "email"))  # kinds of what is told, perhaps for somebody else, rather than shown
EXACT = 10_000  # a probability is rounded down to such a part


class Weighed:
    """A `Whole` whose links are evidence: who holds what, what is generic, and what pairs weigh."""

    def __init__(
        self,
        content: Content,
        policy: Policy,
        ties: Ties = NO_TIES,
        *,
        generic: Container[Value] | None = None,
        holding: Callable[[Value], Collection[Anchor]] | None = None,
    ) -> None:
        """`generic` and `holding` say what only the whole knows, where `content` is not all of it.

        `holding` may leave out observations of a blocking key that too many have.
        """
        assert policy.evidence is not None, "the policy has no model"
        self.content = content
        self.policy = policy
        self.evidence = evidence = policy.evidence
        self.ranks: Sequence[int] = _ranks(evidence.limits)
        self.ties = ties
        self.generic = generic_values(content, policy) if generic is None else generic
        self._holding = holding or _Index(content, evidence, policy).__getitem__
        self.values = _Said(content, policy, evidence, self.generic).__getitem__
        self._blocks: dict[Anchor, frozenset[Value]] = {}
        self._names: dict[Value, Counter[str]] = {}
        self._sorted: dict[Value, list[Anchor]] = {}
        self._sayings: dict[Anchor, Anchor] = {}
        self._days: dict[Value, dict[Anchor, list[Anchor]]] = {}
        self._met: dict[Anchor, set[Anchor]] = {}
        self._near: dict[tuple[Anchor, int], list[Anchor]] = {}

    def most_together(self, rank: int) -> int:
        """How many observations a component of a rank may have."""
        most = self.policy.component_limit
        return min(most, self.evidence.limits.component) if rank > CEILING else most

    def size(self, part: Collection[Anchor]) -> int:
        """How many different things they say."""
        return len({self._saying(anchor) for anchor in part})

    def bar(self, rank: int) -> float:
        """How many bits a link of a rank has at least."""
        limits = self.evidence.limits
        if rank == ALL:
            return limits.link
        return limits.ceiling - limits.step * (rank - CEILING) if rank >= CEILING else inf

    def weigh(self, one: Anchor, other: Anchor) -> float:
        """What speaks for one person, in bits."""
        return self.evidence.weigh(one, other, self.values(one), self.values(other))

    def meets(self, anchor: Anchor) -> set[Anchor]:
        """The observations that share a key which is not too common.

        Everybody with one person's value meets the first few of them, in the order of anchors.
        """
        return {one for one in self._candidates(anchor) if self._meet(anchor, one)}

    def _candidates(self, anchor: Anchor) -> set[Anchor]:
        """The same by every key that the others may have, whatever is generic."""
        known = self._met.get(anchor)
        if known is None:
            found = set[Anchor]().union(*(partners for _, partners in self._partners(anchor))) - {anchor}
            known = self._met[anchor] = {one for one in found if one in self.content}
        return known

    def _partners(self, anchor: Anchor) -> Iterator[tuple[Value, Collection[Anchor]]]:
        """What an observation is found by, and whom that may bring together with it."""
        limits = self.evidence.limits
        for value in self.evidence.owned(self.values(anchor)):
            holders = self.holders(value)
            is_first = bisect_left(holders, anchor) < limits.representatives
            yield value, holders if is_first else holders[: limits.representatives]
        for key in self.blocks(anchor):
            if len(holding := self._holding(key)) <= limits.bucket:
                yield key, holding

    def _meet(self, anchor: Anchor, other: Anchor) -> bool:
        """Whether the other one of two observations that may meet says what they meet by."""
        return self._tells_all(other) or any(
            other in partners and self._says(other, key) for key, partners in self._partners(anchor)
        )

    def names(self, value: Value) -> Counter[str]:
        """The names that are given with a value, and how often."""
        known = self._names.get(value)
        if known is None:
            read, holders = self.evidence.name, self.holders(value)
            found = (read(self.values(anchor)) for anchor in holders if anchor in self.content)
            known = self._names[value] = Counter(name for name in found if name)
        return known

    def blocks(self, anchor: Anchor) -> frozenset[Value]:
        """The blocking keys of what an observation says, but for its identifiers."""
        known = self._blocks.get(anchor)
        if known is None:
            if self._tells_all(anchor):
                known = self.evidence.keys(anchor, self.content[anchor])
            else:
                known = frozenset(self.evidence.blocks(self.values(anchor)))
            self._blocks[anchor] = known
        return known

    def _tells_all(self, anchor: Anchor) -> bool:
        """Whether nothing that an observation says is left out."""
        return self.values(anchor) is self.evidence.read(anchor, self.content[anchor]).single

    def _says(self, anchor: Anchor, key: Value) -> bool:
        """Whether a key that an observation may have is one of what it says."""
        return key in (self.blocks(anchor) if key[0] == BLOCK else self.evidence.owned(self.values(anchor)))

    def neighbours(self, anchor: Anchor, rank: int) -> Iterator[Anchor]:
        """The observations that a link of this rank or stronger could join to one."""
        known = self._near.get((anchor, rank))
        if known is None:
            found = dict.fromkeys(other for other in self._beside(anchor, rank) if other in self.content)
            known = self._near[anchor, rank] = list(found)
        return iter(known)

    def _beside(self, anchor: Anchor, rank: int) -> Iterator[Anchor]:
        if rank >= ASSERTED:
            yield from self.ties.joined.get(anchor, ())
        if rank < CEILING:
            return
        for value in self.content[anchor].identifiers:
            yield from self._named(value)
        yield from self._again(anchor)
        least = self.bar(rank)
        others = {other: self.values(other) for other in self._candidates(anchor)}
        near = self.evidence.near(anchor, self.values(anchor), others)
        yield from (other for other, bits in near.items() if bits >= least and self._meet(anchor, other))

    def _named(self, value: Value) -> Iterator[Anchor]:
        """What shares a value that joins without being weighed: of a type that the model lacks, or by an alias."""
        name, text = value
        if value in self.generic or not links(value, self.policy):
            return
        if name != ALIASED and name not in self.evidence.types:
            yield from self._holding(value)
        if name in (ACCOUNT, ALIASED):
            other = (ALIASED if name == ACCOUNT else ACCOUNT), text
            if other not in self.generic:
                yield from self._holding(other)

    def _again(self, anchor: Anchor) -> Iterator[Anchor]:
        """The observations that say the same on other days: of the first all, of the others the first."""
        if len(identifiers := self.content[anchor].identifiers) == 1:
            same = self._same(identifiers[0]).get(self._saying(anchor), [])
            yield from same[1:] if same[:1] == [anchor] else same[:1]

    def _same(self, value: Value) -> Mapping[Anchor, list[Anchor]]:
        """The holders of a value that say nothing else but on which day, by what they say, in order."""
        known = self._days.get(value)
        if known is None:
            known = self._days[value] = defaultdict(list)
            for anchor in self.holders(value):
                if anchor in self.content and len(self.content[anchor].identifiers) == 1:
                    known[self._saying(anchor)].append(anchor)
        return known

    def _saying(self, anchor: Anchor) -> Anchor:
        """What an observation says, on whatever day it says so. Of a generic value each is for itself."""
        one = self.content[anchor]
        if DAY not in one.attributes or one.identifiers[0] in self.generic or self._is_tied(anchor):
            return anchor
        known = self._sayings.get(anchor)
        if known is None:
            known = self._sayings[anchor] = one.on_any_day
        return known

    def _is_tied(self, anchor: Anchor) -> bool:
        return anchor in self.ties.joined or bool(self.ties.marks(anchor, ()))

    def holders(self, key: Value) -> list[Anchor]:
        """Who has a value or a blocking key, in order; of a key that too many have perhaps not all."""
        known = self._sorted.get(key)
        if known is None:
            known = self._sorted[key] = sorted(self._holding(key))
        return known

    def cluster(self, part: Collection[Anchor], rank: int) -> Clustering:
        """The people of one whole component, by links of this rank or stronger."""
        if len(part) == 1:
            return Clustering([list(part)], [], [], [list(part)])
        again = self._repeats(part) if rank >= CEILING else {}
        found = self._cluster([anchor for anchor in part if anchor not in again], rank)
        return _with_repeats(found, again, self.content) if again else found

    def _repeats(self, part: Iterable[Anchor]) -> dict[Anchor, Anchor]:
        """The observations that only say again on another day what one of the others says, and which that is."""
        first: dict[Anchor, Anchor] = {}
        said = ((anchor, first.setdefault(self._saying(anchor), anchor)) for anchor in sorted(part))
        return {anchor: one for anchor, one in said if anchor != one}

    def _cluster(self, part: Collection[Anchor], rank: int) -> Clustering:
        content = {anchor: self.content[anchor] for anchor in sorted(part)}
        forest = Forest(content, self.policy, self.ties, self.generic)
        if rank >= ASSERTED:
            forest.join_asserted()
        if rank >= CEILING:
            forest.join_aliases()
            forest.join_values(ALL, self.evidence.types)
            _Growth(forest, self).grow(by_chain=len(part) > self.evidence.limits.component, rank=rank)
        return Clustering(forest.groups, forest.links, forest.refusals, _groups(content, forest.links, self.evidence))


class _Said(dict[Anchor, Values]):
    """What observations say, without what is generic and what the settings block."""

    def __init__(self, content: Content, policy: Policy, evidence: Evidence, generic: Container[Value]) -> None:
        self._content = content
        self._evidence = evidence
        self._generic = generic
        self._blocks = policy.identifiers.blocks

    def __missing__(self, anchor: Anchor) -> Values:
        reading = self._evidence.read(anchor, self._content[anchor])
        hidden = {value for value in reading.owned if value in self._generic or self._blocks(value)}
        known = None if hidden else reading.single
        if known is None:
            known = reading.values(self._evidence.schema, hidden)
        self[anchor] = known
        return known


class _Index(dict[Value, list[Anchor]]):
    """Who holds which identifier and which blocking key."""

    def __init__(self, content: Content, evidence: Evidence, policy: Policy) -> None:
        super().__init__(holders_of(content, policy))
        for anchor, observation in content.items():
            for key in evidence.keys(anchor, observation):
                self.setdefault(key, []).append(anchor)

    def __missing__(self, key: Value) -> list[Anchor]:
        return []


def _ranks(limits: Limits) -> list[int]:
    """How far links may be weak, as `Policy.ranks`: from the low link by steps to the highest, by hand, none."""
    steps = ceil((limits.ceiling - limits.link) / limits.step)
    return [ALL, *range(steps, CEILING - 1, -1), ASSERTED, NOTHING]


def _with_repeats(found: Clustering, again: Mapping[Anchor, Anchor], content: Content) -> Clustering:
    """The clusters with the observations that say again what one of theirs says."""
    repeats: dict[Anchor, list[Anchor]] = defaultdict(list)
    for anchor, one in again.items():
        repeats[one].append(anchor)

    def whole(groups: Iterable[Iterable[Anchor]]) -> list[list[Anchor]]:
        return sorted(sorted({*group, *(other for one in group for other in repeats.get(one, ()))}) for group in groups)

    links = [Link(one, anchor, *content[anchor].identifiers[0]) for anchor, one in again.items()]
    return found._replace(clusters=whole(found.clusters), links=[*found.links, *links], sure=whole(found.sure))


def _groups(content: Content, links: Iterable[Link], evidence: Evidence) -> list[list[Anchor]]:
    """The clusters of the surer view."""
    group_of = {anchor: [anchor] for anchor in content}
    for link in links:
        if link.rule == EVIDENCE and link.probability < evidence.views.sure:
            continue
        mine, theirs = group_of[link.left], group_of[link.right]
        mine += theirs
        group_of.update(dict.fromkeys(theirs, mine))
    return sorted(sorted(group) for group in {id(group): group for group in group_of.values()}.values())


class _Growth:
    """A component's clusters on their way."""

    def __init__(self, forest: Forest, whole: Weighed) -> None:
        self._forest = forest
        self._whole = whole
        self._evidence = whole.evidence
        self._surest = inf

    def grow(self, *, by_chain: bool, rank: int) -> None:
        """Join what the evidence says is one person."""
        if by_chain:
            self._chain(rank)
        elif not self._is_one():
            self._agglomerate()
        self._keep_refusals()

    # --- every pair looked at

    def _is_one(self) -> bool:
        """Join all when every pair is surely one person and nothing forbids it."""
        trees, sure = self._forest.trees, self._evidence.sure
        if len(trees) == 1:
            return True
        anchors = [anchor for tree in trees for anchor in tree.anchors]
        pairs = [(-self._whole.weigh(left, right), left, right) for left, right in combinations(sorted(anchors), 2)]
        if any(-minus < sure for minus, _, _ in pairs) or not self._forest.fit(trees):
            return False
        values, evidence = self._whole.values, self._evidence
        if any(evidence.is_doubtful(values(left), values(right)) for _, left, right in pairs):
            return False
        for minus, left, right in sorted(pairs):
            if self._forest.tree_of(left) is not self._forest.tree_of(right):
                self._join(-minus, left, right)
        return True

    def _agglomerate(self) -> None:
        trees, said = dict(enumerate(self._forest.trees)), dict[tuple[int, int], Profiles]()
        near = {pair: self._nearness(trees, pair, said) for pair in combinations(trees, 2)}
        waiting = [(-bits, pair) for pair, bits in near.items() if bits >= self._evidence.likely]
        heapify(waiting)
        while waiting:
            minus, pair = heappop(waiting)
            bits = -minus
            if near.get(pair) != bits:
                continue  # something else by now
            one, other = pair
            left, right = self._closest(trees[one], trees[other])
            conflict = self._forest.conflict(trees[one], trees[other], ANY) or self._contradiction(said[pair])
            if reason := conflict or self._ambiguity(trees, pair, said[pair]):
                self._refuse(left, right, reason, bits)
                continue
            trees[one] = self._join(bits, left, right)
            del trees[other], near[pair], said[pair]
            for third in trees:
                if third != one:
                    kept, gone = _ordered(one, third), _ordered(other, third)
                    mine, theirs = said.pop(kept, None), said.pop(gone, None)
                    said[kept] = mine.also(theirs) if mine and theirs else self._said(trees[kept[0]], trees[kept[1]])
                    del near[gone]
                    near[kept] = self._nearness(trees, kept, said)
                    if near[kept] >= self._evidence.likely:
                        heappush(waiting, (-near[kept], kept))

    def _contradiction(self, said: Profiles) -> str:
        """Why two clusters may be a household rather than one person."""
        return HOUSEHOLD if self._evidence.contradicts(said.pattern) else ""

    def _ambiguity(self, trees: Mapping[int, Tree], pair: tuple[int, int], said: Profiles) -> str:
        """Why a name is not enough to tell whose it is: somebody else who was looked at has it, too."""
        if not self._evidence.is_name_alone(said.pattern):
            return ""
        if said.bits < NAME_ALONE:
            return NAMED
        alike = self._evidence.alike
        names = self._named(trees[pair[0]]) | self._named(trees[pair[1]])
        others = (name for number, tree in trees.items() if number not in pair for name in self._named(tree))
        return NAMESAKES if any(alike(name, one) for name in others for one in names) else ""

    def _nearness(
        self, trees: Mapping[int, Tree], pair: tuple[int, int], said: dict[tuple[int, int], Profiles]
    ) -> float:
        """What speaks for two clusters being one person, in bits; what they say as wholes is kept in `said`."""
        one, other = trees[pair[0]], trees[pair[1]]
        if len(one.anchors) == len(other.anchors) == 1:
            bits = self._whole.weigh(one.anchors[0], other.anchors[0])
            if bits < self._evidence.likely:
                return bits
        both = said.get(pair)
        if both is None:
            both = said[pair] = self._said(one, other)
        if both.bits >= self._evidence.likely and (shared := self._evidence.identified(both.pattern)):
            return min(both.bits, self._claim(one, other, shared))
        return both.bits

    def _claim(self, one: Tree, other: Tree, shared: Iterable[int]) -> float:
        """How likely it is, in bits, that who has no name is the one among a value's users whom the other names.

        `shared` are the fields of values that both have, and nothing else speaks for them.
        """
        fields = self._evidence.schema.fields
        mine, theirs = self._named(one), self._named(other)
        claims = [
            self._claim_to((fields[place].name, text), mine | theirs, told=fields[place].kind in TOLD)
            for place in shared
            for text in self._texts(one, place) & self._texts(other, place)
        ]
        return max(claims, default=inf)

    def _claim_to(self, value: Value, names: Collection[str], *, told: bool) -> float:
        """The share of those who give a name with a value whose name may be one of these; of none the most frequent."""
        given = self._whole.names(value)
        users, alike = given.total(), self._evidence.alike
        shares = [sum(given[name] for name in given if alike(name, one)) for one in (given if not names else ())]
        share = max(shares, default=sum(given[name] for name in given if any(alike(name, one) for one in names)))
        if share in (0, users):
            return inf if share == users and not (told and users == 1) else -inf
        return odds(share / (users + 1))

    def _named(self, tree: Tree) -> set[str]:
        return {name for anchor in tree.anchors if (name := self._evidence.name(self._whole.values(anchor)))}

    def _texts(self, tree: Tree, place: int) -> set[str]:
        return {text for anchor in tree.anchors if (text := self._whole.values(anchor)[place])}

    def _said(self, one: Tree, other: Tree) -> Profiles:
        """What two clusters say of one person."""
        values, compare = self._whole.values, self._evidence.compare
        return reduce(Profiles.also, (compare(a, b, values(a), values(b)) for a in one.anchors for b in other.anchors))

    def _closest(self, one: Tree, other: Tree) -> tuple[Anchor, Anchor]:
        """The two observations that speak most for it."""
        pairs = product(sorted(one.anchors), sorted(other.anchors))
        return max(pairs, key=lambda pair: self._whole.weigh(*pair))

    # --- too many to look at every pair

    def _chain(self, rank: int) -> None:
        for minus, left, right in sorted(set(self._strongest(max(self._whole.bar(rank), self._evidence.likely)))):
            mine, theirs = self._forest.tree_of(left), self._forest.tree_of(right)
            if mine is theirs:
                continue
            if reason := self._forest.conflict(mine, theirs, ANY):
                self._refuse(left, right, reason, -minus)
            else:
                self._join(-minus, left, right)

    def _strongest(self, least: float) -> Iterator[tuple[float, Anchor, Anchor]]:
        """The links within the component: their bits negated, and the observations in order."""
        members = {anchor for tree in self._forest.trees for anchor in tree.anchors}
        for one in members:
            for other in self._whole.meets(one) & members:
                if one < other and (weight := self._whole.weigh(one, other)) >= least:
                    yield -weight, one, other

    def _join(self, bits: float, left: Anchor, right: Anchor) -> Tree:
        self._surest = min(self._surest, bits)
        link = Link(
            left,
            right,
            EVIDENCE,
            self._words(left, right),
            _rounded(self._surest),
            self._evidence.model.version,
        )
        return self._forest.unite(self._forest.tree_of(left), self._forest.tree_of(right), link)

    def _refuse(self, left: Anchor, right: Anchor, reason: str, bits: float) -> None:
        refusal = Refusal(left, right, EVIDENCE, self._words(left, right), reason, _rounded(bits))
        self._forest.refusals.append(refusal)

    def _keep_refusals(self) -> None:
        """Only those whose two sides are apart in the end, one for any two clusters."""
        kept: dict[frozenset[int], Refusal] = {}
        for refusal in self._forest.refused:
            sides = frozenset({id(self._forest.tree_of(refusal.left)), id(self._forest.tree_of(refusal.right))})
            kept.setdefault(sides, refusal)
        self._forest.refusals[:] = kept.values()

    def _words(self, left: Anchor, right: Anchor) -> str:
        return self._evidence.words(self._whole.values(left), self._whole.values(right))


def _rounded(bits: float) -> float:
    """Bits → probability, rounded down."""
    return floor(probability(bits) * EXACT) / EXACT


def _ordered(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)
