"""Trees of nodes → one ClickHouse query that answers all of them for the given profiles in one pass.

    anchors of the profiles ─┬─ traits ─► the value that the rule chooses ─► a column for each condition ───┐
                             └─ events ─► one for each kind, window, property and test                     ├─► answers
                                          └─► a figure ─► a column for each condition on a figure, and `due`┘

What two segments both need (a condition, a figure, a property, a window) is computed once. The query is built as
a sqlglot tree; whatever a definition says (values, names, paths, lengths) is a bound parameter. `evaluate.py` says what
it must answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.expressions import Expr

from cdp.traits import NULL, USUAL, Rule, Rules
from cdp.views import MAPS, SURE, View
from segments.evaluate import windows
from segments.expressions import (
    Parameters,
    array,
    at_path,
    both,
    call,
    column,
    each,
    either,
    equal,
    millionths,
    number_literal,
    opposite,
    parameter,
    text_literal,
)
from segments.nodes import (
    All,
    AnyOf,
    Count,
    Events,
    Measured,
    Node,
    Not,
    Path,
    Predicate,
    PropertyIs,
    Sum,
    TraitIs,
    conditions,
)
from segments.operators import OPERATORS

Windows = Sequence[tuple[Events, tuple[int, ...]]]

NEVER = 2**62
SAMPLE = 20
STATED, COUNTED, MEASURED = "stated", "counted", "measured"
NO_RULES: Rules = {}


# With many parameters the client sends a form, of whose fields ClickHouse takes up to 128 KiB each.
LARGEST_FIELD = 120_000


class Plan(NamedTuple):
    """A query and what is bound to it. It also wants `now` (ms) and, unless it is over everyone, `profiles`.

    Its rows are (profile_id, holds, due): `holds` answers each node in turn with 1 or 0; `due` is the moment at which
    time alone may change an answer, with 0 or NEVER for none. A profile without anchors has no row.
    """

    sql: str
    parameters: Mapping[str, Any]

    @property
    def fits(self) -> bool:
        """Whether a ClickHouse server takes it, however it is set up."""
        return max(len(self.sql), *(len(str(value).encode()) for value in self.parameters.values())) <= LARGEST_FIELD


def compile_nodes(nodes: Sequence[Node], rules: Rules = NO_RULES, *, view: View = SURE, pretty: bool = False) -> Plan:
    """The query over the profiles `{profiles: Array(UUID)}` of a view; `pretty` is for people."""
    compiler = Compiler(rules, view=view)
    return Plan(compiler.query(nodes).sql("clickhouse", pretty=pretty), compiler.parameters.values)


def compile_preview(nodes: Sequence[Node], rules: Rules = NO_RULES, *, view: View = SURE, pretty: bool = False) -> Plan:
    """The query over everyone: one row of (people, how many meet each node, up to SAMPLE who meet the first)."""
    compiler = Compiler(rules, view=view, everyone=True)
    answers = compiler.query(nodes).subquery("answers")
    meets_first = call("arrayElement", column("holds"), number_literal(1))
    sample = exp.CombinedParameterizedAgg(
        this="groupArrayIf", expressions=[number_literal(SAMPLE)], params=[column("profile_id"), meets_first]
    )
    query = exp.select(call("count"), call("sumForEach", column("holds")), sample).from_(answers)
    return Plan(query.sql("clickhouse", pretty=pretty), compiler.parameters.values)


class Compiler:
    """Turns nodes into expressions, and collects on the way the columns that these stand on."""

    def __init__(self, rules: Rules = NO_RULES, *, view: View = SURE, everyone: bool = False) -> None:
        self.parameters = Parameters()
        self._rules = rules
        self._map = MAPS[view]
        self._everyone = everyone
        self._stated = Columns()  # of a profile, from its traits
        self._noted = Columns()  # of each event
        self._measured = Columns()  # of a profile, from its events
        self._reconciled = Columns()  # of a profile, from those of its traits whose values are counted
        self._trait_names: list[str] = []  # of the others
        self._counted_names: list[str] = []

    def query(self, nodes: Sequence[Node]) -> exp.Select:
        """The query that answers these nodes."""
        answers = [self.visit(node) for node in nodes]
        kinds = windows(nodes)
        due = self._due(kinds) if kinds else call("toInt64", number_literal(0))
        query = exp.select("profile_id", exp.alias_(array(answers), "holds"), exp.alias_(due, "due"))
        query = query.with_("anchors", as_=self._anchors())
        sources = [self._events(nodes).subquery(MEASURED)] if kinds else []
        sources += [self._traits().subquery(STATED)] if self._stated else []
        sources += [self._counted().subquery(COUNTED)] if self._reconciled else []
        query = query.from_(sources[0])
        for source in sources[1:]:
            query = query.join(source, using="profile_id", join_type="inner")
        return query

    def visit(self, node: Node) -> Expr:
        """Whether the node holds, as an expression over the columns of its conditions."""
        match node:
            case All(parts):
                return both(*(self.visit(part) for part in parts))
            case AnyOf(parts):
                return either(*(self.visit(part) for part in parts))
            case Not(part):
                return opposite(self.visit(part))
            case TraitIs(path, test):
                columns, table = self._place(path[0])
                return columns.add("holds", node, lambda: self._passes(test, self._trait(path)), table)
            case Measured():
                return self._measured.add("holds", node, lambda: self._bounded(node), MEASURED)

    def _passes(self, test: Predicate, raw: Expr) -> Expr:
        return OPERATORS[test.operator].sql(raw, test.given, self.parameters)

    def _rule(self, name: str) -> Rule:
        return self._rules.get(name, USUAL)

    def _place(self, name: str) -> tuple[Columns, str]:
        """Where a trait's columns are."""
        is_counted = self._rule(name).name == "most_frequent"
        return (self._reconciled, COUNTED) if is_counted else (self._stated, STATED)

    def _trait(self, path: Path) -> Expr:
        return self._place(path[0])[0].add("trait", path, lambda: self._chosen_value(*path))

    def _chosen_value(self, name: str, *rest: str) -> Expr:
        names = self._counted_names if self._place(name)[1] == COUNTED else self._trait_names
        if name not in names:
            names.append(name)
        is_it = equal(column("name"), self.parameters.bind("String", name))
        chosen = call("argMaxIf", column("value"), self._standing(self._rule(name)), is_it)
        return at_path(chosen, rest, self.parameters)

    def _standing(self, rule: Rule) -> Expr:
        """How high a value stands under the rule (`cdp.traits.standing`): what matters more lies in higher bits."""
        if rule.name == "most_recent":
            return column("rank")
        if rule.name == "most_frequent":
            return call("tuple", column("verified"), column("times"), column("rank"))
        proven = exp.Add(this=_at_bit(column("verified"), 127), expression=column("rank"))
        if rule.name == "most_recent_verified":
            return proven
        trusted = call("indexOf", self.parameters.bind("Array(String)", list(rule.sources[::-1])), column("source"))
        return exp.Add(this=_at_bit(trusted, 112), expression=proven)

    def _property(self, path: Path) -> Expr:
        return self._noted.add("property", path, lambda: at_path(column("properties"), path, self.parameters))

    def _bounded(self, node: Measured) -> Expr:
        kind = "UInt64" if isinstance(node.figure, Count) else "Int128"
        figure = self._measured.add("figure", node.figure, lambda: self._figure(node.figure))
        parts: list[Expr] = []
        if node.low is not None:
            parts.append(exp.GTE(this=figure, expression=self.parameters.bind(kind, node.low)))
        if node.high is not None:
            parts.append(exp.LTE(this=figure, expression=self.parameters.bind(kind, node.high)))
        return both(*parts)

    def _figure(self, figure: Count | Sum) -> Expr:
        chosen = self._chosen(figure.events)
        if isinstance(figure, Count):
            return call("countIf", chosen)
        amount = self._noted.add("amount", figure.of, lambda: millionths(self._property(figure.of)))
        return call("sumIf", call("toInt128", amount), chosen)

    def _chosen(self, events: Events) -> Expr:
        """Whether an event is among those meant (`evaluate.counts`)."""
        return both(self._is_kind(events), self._in_window(events.within), *map(self._has, events.where))

    def _is_kind(self, events: Events) -> Expr:
        return self._noted.add("is", (events.type, events.name), lambda: self._kind(events))

    def _kind(self, events: Events) -> Expr:
        parts = [equal(column("type"), self.parameters.bind("String", events.type))]
        if events.name is not None:
            parts.append(equal(column("name"), self.parameters.bind("String", events.name)))
        return both(*parts)

    def _in_window(self, within: int | None) -> Expr:
        past = exp.LTE(this=column("moment"), expression=now())
        if within is None:
            return self._noted.add("past", None, lambda: past)
        recent = exp.GT(this=column("moment"), expression=self._ago(within))
        return self._noted.add("recent", within, lambda: both(recent, past))

    def _ago(self, length: int) -> Expr:
        return exp.Sub(this=now(), expression=self.parameters.bind("Int64", length))

    def _has(self, wanted: PropertyIs) -> Expr:
        return self._noted.add("passes", wanted, lambda: self._passes(wanted.test, self._property(wanted.path)))

    def _due(self, kinds: Windows) -> Expr:
        """When the first event leaves one of the windows that look at its kind, or begins to count (`next_change`)."""
        turn = self._noted.add("turn", None, lambda: self._turn(kinds))
        is_one = exp.GT(this=turn, expression=number_literal(0))  # none for an anchor without events
        return self._measured.add("due", None, lambda: call("minIf", turn, is_one), MEASURED)

    def _turn(self, kinds: Windows) -> Expr:
        widths = call("arrayConcat", *(self._widths(events, lengths) for events, lengths in kinds))
        later = each("width", exp.Add(this=column("moment"), expression=column("width")))
        coming = each("turn", exp.GT(this=column("turn"), expression=now()))
        turns = call("arrayFilter", coming, call("arrayMap", later, widths))
        return call("arrayMin", call("arrayPushBack", turns, number_literal(NEVER)))

    def _widths(self, events: Events, lengths: Sequence[int]) -> Expr:
        return call("if", self._is_kind(events), self.parameters.bind("Array(Int64)", list(lengths)), array([]))

    def _anchors(self) -> exp.Select:
        present = call("argMax", column("present"), column("version"))
        anchors = exp.select("profile_id", "anchor_id").from_(self._map).group_by("profile_id", "anchor_id")
        anchors = anchors.having(equal(present, number_literal(1)))
        if self._everyone:
            return anchors
        return anchors.where(exp.In(this=column("profile_id"), field=parameter("profiles", "Array(UUID)")))

    def _traits(self) -> exp.Select:
        names = self.parameters.bind("Array(String)", self._trait_names)
        rows = exp.select("anchor_id", "name", "source", "verified", "rank", "value").from_("trait_values")
        return self._per_profile(rows.where(exp.In(this=column("name"), field=names)), self._stated)

    def _counted(self) -> exp.Select:
        """Traits whose values are counted: every statement since what takes it back, per profile, proof and value."""
        names = self.parameters.bind("Array(String)", self._counted_names)
        rows = exp.select("anchor_id", "name", "value", "verified", "rank").from_("statements")
        rows = self._of_anchors(rows.where(exp.In(this=column("name"), field=names)))
        taken_back = exp.Window(
            this=call("maxIf", column("rank"), equal(column("value"), text_literal(NULL))),
            partition_by=[column(name) for name in ("profile_id", "name", "verified")],
        )
        said = exp.select("profile_id", "name", "value", "verified", exp.alias_(column("rank"), "place"))
        said = said.select(exp.alias_(taken_back, "taken_back")).from_(rows.subquery("facts"))
        said = said.join("anchors", using="anchor_id", join_type="inner")
        times = call("countIf", exp.GT(this=column("place"), expression=column("taken_back")))
        values = exp.select("profile_id", "name", "value", "verified", exp.alias_(times, "times"))
        values = values.select(exp.alias_(call("max", column("place")), "rank")).from_(said.subquery("said"))
        values = values.group_by("profile_id", "name", "verified", "value")
        everyone = exp.select("profile_id").distinct().from_("anchors").subquery("people")
        chosen = exp.select("profile_id", *self._reconciled.aliased).from_(values.subquery("values"))
        return chosen.join(everyone, using="profile_id", join_type="right").group_by("profile_id")

    def _events(self, nodes: Sequence[Node]) -> exp.Select:
        moment = exp.alias_(call("toUnixTimestamp64Milli", column("at")), "moment")
        rows = exp.select("anchor_id", moment, *self._noted.aliased).from_("events")
        rows = rows.where(either(*(self._kind(events) for events, _ in windows(nodes))))
        if (longest := _longest_window(nodes)) is not None:
            oldest = call("fromUnixTimestamp64Milli", self._ago(longest))
            rows = rows.where(exp.GT(this=column("at"), expression=oldest))
        return self._per_profile(rows, self._measured)

    def _per_profile(self, rows: exp.Select, columns: Columns) -> exp.Select:
        joined = exp.select("profile_id", *columns.aliased).from_(self._of_anchors(rows).subquery("facts"))
        # From the right, so that a profile of which nothing is known is there too: no figure counts an empty row.
        return joined.join("anchors", using="anchor_id", join_type="right").group_by("profile_id")

    def _of_anchors(self, rows: exp.Select) -> exp.Select:
        if self._everyone:
            return rows
        anchors = exp.select("anchor_id").from_("anchors")
        return rows.where(exp.In(this=column("anchor_id"), query=anchors.subquery()))


class Columns:
    """Columns of one SELECT: what is asked for twice is one column."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, Hashable], str] = {}
        self._kinds: Counter[str] = Counter()
        self.aliased: list[Expr] = []

    def __bool__(self) -> bool:
        return bool(self.aliased)

    def add(self, kind: str, of: Hashable, build: Callable[[], Expr], table: str | None = None) -> Expr:
        """The column of a kind that is about this, built when it is new."""
        if (name := self._names.get((kind, of))) is None:
            name = self._names[kind, of] = f"{kind}_{self._kinds[kind]}"
            self._kinds[kind] += 1
            self.aliased.append(exp.alias_(build(), name, copy=False))
        return column(name, table)


def _longest_window(nodes: Sequence[Node]) -> int | None:
    """The window beyond which no event needs to be read; None when one has no end."""
    leaves = [leaf for node in nodes for leaf in conditions(node) if isinstance(leaf, Measured)]
    lengths = [leaf.figure.events.within for leaf in leaves]
    return max((length for length in lengths if length is not None), default=0) if None not in lengths else None


def _at_bit(number: Expr, bit: int) -> Expr:
    return call("bitShiftLeft", call("toUInt128", number), number_literal(bit))


def now() -> Expr:
    """The moment that is asked about."""
    return parameter("now", "Int64")
