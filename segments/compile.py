"""Trees of nodes → one ClickHouse query that answers all of them for the given profiles in one pass.

    anchors of the profiles ─┬─ traits  ─► one column a trait
                             └─ events  ─► one column a property, test and window ─► one aggregate a figure
                                                                                 └─► when time may change an answer

What two segments both need (a figure, a property, a window) is computed once. The query is built as a sqlglot tree;
whatever a definition says (values, names, paths, lengths) is a bound parameter. `evaluate.py` says what it must answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.expressions import Expr

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
)
from segments.nodes import All, AnyOf, Count, Events, Measured, Node, Not, Path, Predicate, PropertyIs, Sum, TraitIs
from segments.operators import OPERATORS

Windows = Sequence[tuple[Events, tuple[int, ...]]]

NEVER = 2**62
SAMPLE = 20
NOW = parameter("now", "Int64")
MOMENT = column("moment")


class Plan(NamedTuple):
    """A query and what is bound to it. It also wants `now` (ms) and, unless it is over everyone, `profiles`.

    Its rows are (profile_id, holds, due): `holds` answers each node in turn with 1 or 0; `due` is the moment at which
    time alone may change an answer, with 0 or NEVER for none. A profile without anchors has no row.
    """

    sql: str
    parameters: Mapping[str, Any]


def compile_nodes(nodes: Sequence[Node]) -> Plan:
    """The query over the profiles `{profiles: Array(UUID)}`."""
    compiler = Compiler()
    return _plan(compiler.query(nodes), compiler.parameters)


def compile_preview(nodes: Sequence[Node]) -> Plan:
    """The query over everyone: one row of (people, how many meet each node, up to SAMPLE who meet the first)."""
    compiler = Compiler(everyone=True)
    answers = compiler.query(nodes).subquery("answers")
    meets_first = call("arrayElement", column("holds"), number_literal(1))
    sample = exp.CombinedParameterizedAgg(
        this="groupArrayIf", expressions=[number_literal(SAMPLE)], params=[column("profile_id"), meets_first]
    )
    query = exp.select(call("count"), call("sumForEach", column("holds")), sample).from_(answers)
    return _plan(query, compiler.parameters)


class Compiler:
    """Turns nodes into expressions, and collects on the way the columns that these stand on."""

    def __init__(self, *, everyone: bool = False) -> None:
        self.parameters = Parameters()
        self._everyone = everyone
        self._stated = Columns()  # of a profile, from its traits
        self._noted = Columns()  # of each event
        self._measured = Columns()  # of a profile, from its events
        self._trait_names: list[str] = []
        self._lengths: set[int | None] = set()

    def query(self, nodes: Sequence[Node]) -> exp.Select:
        """The query that answers these nodes."""
        answers = [self.visit(node) for node in nodes]
        due = self._due(windows(nodes)) if self._measured else call("toInt64", number_literal(0))
        query = (
            exp.select(exp.alias_(column("profile_id", "known"), "profile_id"))
            .select(exp.alias_(array(answers), "holds"), exp.alias_(due, "due"))
            .from_(exp.select("profile_id").from_("anchors").distinct().subquery("known"))
            .with_("anchors", as_=self._anchors())
        )
        if self._stated:
            query = query.join(self._traits().subquery("stated"), using="profile_id", join_type="left")
        if self._measured:
            query = query.join(self._events(windows(nodes)).subquery("measured"), using="profile_id", join_type="left")
        return query

    def visit(self, node: Node) -> Expr:
        """Whether the node holds, as an expression over a profile's columns."""
        match node:
            case All(parts):
                return both(*(self.visit(part) for part in parts))
            case AnyOf(parts):
                return either(*(self.visit(part) for part in parts))
            case Not(part):
                return opposite(self.visit(part))
            case TraitIs(path, test):
                return self._passes(test, self._trait(path))
            case Measured():
                return self._bounded(node)

    def _passes(self, test: Predicate, raw: Expr) -> Expr:
        return OPERATORS[test.operator].sql(raw, test.given, self.parameters)

    def _trait(self, path: Path) -> Expr:
        name, *rest = path
        if name not in self._trait_names:
            self._trait_names.append(name)
        is_it = equal(column("name"), self.parameters.bind("String", name))
        latest = call("argMaxIf", column("value"), column("rank"), is_it)
        return self._stated.add("trait", at_path(latest, tuple(rest), self.parameters), table="stated")

    def _bounded(self, node: Measured) -> Expr:
        kind = "UInt64" if isinstance(node.figure, Count) else "Int128"
        figure = self._figure(node.figure)
        parts: list[Expr] = []
        if node.low is not None:
            parts.append(exp.GTE(this=figure.copy(), expression=self.parameters.bind(kind, node.low)))
        if node.high is not None:
            parts.append(exp.LTE(this=figure.copy(), expression=self.parameters.bind(kind, node.high)))
        return both(*parts)

    def _figure(self, figure: Count | Sum) -> Expr:
        chosen = self._chosen(figure.events)
        if isinstance(figure, Count):
            return self._measured.add("figure", call("countIf", chosen), table="measured")
        amount = self._noted.add("amount", millionths(self._property(figure.of)))
        return self._measured.add("figure", call("sumIf", call("toInt128", amount), chosen), table="measured")

    def _chosen(self, events: Events) -> Expr:
        """Whether an event is among those meant (`evaluate.counts`)."""
        return both(self._is_kind(events), self._in_window(events.within), *map(self._has, events.where))

    def _is_kind(self, events: Events) -> Expr:
        return self._noted.add("is", self._kind(events))

    def _kind(self, events: Events) -> Expr:
        parts = [equal(column("type"), self.parameters.bind("String", events.type))]
        if events.name is not None:
            parts.append(equal(column("name"), self.parameters.bind("String", events.name)))
        return both(*parts)

    def _in_window(self, within: int | None) -> Expr:
        self._lengths.add(within)
        past = exp.LTE(this=MOMENT.copy(), expression=NOW.copy())
        if within is None:
            return self._noted.add("past", past)
        return self._noted.add("recent", both(exp.GT(this=MOMENT.copy(), expression=self._ago(within)), past))

    def _ago(self, length: int) -> Expr:
        return exp.Sub(this=NOW.copy(), expression=self.parameters.bind("Int64", length))

    def _has(self, wanted: PropertyIs) -> Expr:
        return self._noted.add("passes", self._passes(wanted.test, self._property(wanted.path)))

    def _property(self, path: Path) -> Expr:
        return self._noted.add("property", at_path(column("properties"), path, self.parameters))

    def _due(self, kinds: Windows) -> Expr:
        """When the first event leaves one of the windows that look at its kind, or begins to count (`next_change`)."""
        widths = [
            call("if", self._is_kind(events), self.parameters.bind("Array(Int64)", list(lengths)), array([]))
            for events, lengths in kinds
        ]
        turns = call(
            "arrayMap",
            each("width", exp.Add(this=MOMENT.copy(), expression=column("width"))),
            call("arrayConcat", *widths),
        )
        coming = call("arrayFilter", each("turn", exp.GT(this=column("turn"), expression=NOW.copy())), turns)
        next_turn = self._noted.add("turns", call("arrayMin", call("arrayPushBack", coming, number_literal(NEVER))))
        return self._measured.add("due", call("min", next_turn), table="measured")

    def _anchors(self) -> exp.Select:
        present = call("argMax", column("present"), column("version"))
        anchors = exp.select("profile_id", "anchor_id").from_("identity_map").group_by("profile_id", "anchor_id")
        anchors = anchors.having(equal(present, number_literal(1)))
        if self._everyone:
            return anchors
        return anchors.where(exp.In(this=column("profile_id"), field=parameter("profiles", "Array(UUID)")))

    def _traits(self) -> exp.Select:
        names = self.parameters.bind("Array(String)", self._trait_names)
        rows = exp.select("anchor_id", "name", "rank", "value").from_("traits")
        return self._per_profile(rows.where(exp.In(this=column("name"), field=names)), self._stated)

    def _events(self, kinds: Windows) -> exp.Select:
        moment = exp.alias_(call("toUnixTimestamp64Milli", column("at")), "moment")
        rows = exp.select("anchor_id", moment, *self._noted.aliased()).from_("events")
        rows = rows.where(either(*(self._kind(events) for events, _ in kinds)))
        if None not in self._lengths:  # every window has an end, so older events need not be read
            oldest = call("fromUnixTimestamp64Milli", self._ago(max(filter(None, self._lengths))))
            rows = rows.where(exp.GT(this=column("at"), expression=oldest))
        return self._per_profile(rows, self._measured)

    def _per_profile(self, rows: exp.Select, columns: Columns) -> exp.Select:
        if not self._everyone:
            anchors = exp.select("anchor_id").from_("anchors")
            rows = rows.where(exp.In(this=column("anchor_id"), query=anchors.subquery()))
        joined = exp.select("profile_id", *columns.aliased()).from_(rows.subquery("facts"))
        return joined.join("anchors", using="anchor_id", join_type="inner").group_by("profile_id")


class Columns:
    """Columns of one SELECT: an expression that occurs twice is one column."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._columns: list[Expr] = []
        self._kinds: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._columns)

    def add(self, kind: str, expression: Expr, *, table: str | None = None) -> Expr:
        """The column that holds the expression, as it is called from outside."""
        text = expression.sql("clickhouse")
        if text not in self._names:
            self._names[text] = f"{kind}_{self._kinds[kind]}"
            self._kinds[kind] += 1
            self._columns.append(exp.alias_(expression, self._names[text]))
        return column(self._names[text], table)

    def aliased(self) -> list[Expr]:
        """What to select."""
        return self._columns


def _plan(query: exp.Select, parameters: Parameters) -> Plan:
    return Plan(query.sql("clickhouse", pretty=True), parameters.values)
