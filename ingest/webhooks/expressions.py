"""The path language of mappings: where a value stands in a payload, and what is made of it.

    customer.email                       names, [0], [-1], ["odd name"], [*] for each, [name='email'] for the first such
    @   $body.id   $header.x-topic       the item at hand, the whole payload, what stands beside it
    email ?? customer.email ?? 'none'    the first that says something
    [first_name, last_name] | join(' ')  a list, and a function of `ingest.webhooks.functions`

An expression that was read can be asked of any JSON value and never raises: what is not there is None. What says
nothing is None, "", [] and {}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from cdp.errors import InvalidError
from ingest.webhooks.functions import FUNCTIONS, scalar_text

# What expressions are asked of: roots by name. `item` is the one that bare paths begin at.
Scope = Mapping[str, Any]
Expression = Callable[[Scope], Any]
Step = Callable[[Any], Any]

LONGEST = 1_000
DEEPEST = 20
REMEMBERED = 4_096

TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'[^']*'|"[^"]*") |
    (?P<number>-?[0-9]{1,15}(?:\.[0-9]{1,15})?) |
    (?P<name>[^\W\d][\w-]*) |
    (?P<sign>\?\?|[@$.\[\](),|=*])
    )""",
    re.VERBOSE,
)
CONSTANTS = {"true": True, "false": False, "null": None}


class ExpressionError(InvalidError):
    """The text is no expression."""

    code = "invalid_expression"


class Token(NamedTuple):
    """A piece of an expression: its kind (`text`, `number`, `name`, `sign`, `end`), what it says, where it stands."""

    kind: str
    value: str
    place: int


@lru_cache(REMEMBERED)
def expression(text: str) -> Expression:
    """Read an expression. Raises `ExpressionError`, which says where it is wrong."""
    if len(text) > LONGEST:
        raise ExpressionError(f"An expression may have {LONGEST} characters; this one has {len(text)}.")
    reader = _Reader(text)
    found = reader.expression()
    if reader.at.kind != "end":
        raise reader.wrong("a function after `|`, `??`, or the end")
    return found


def says_something(value: Any) -> bool:
    """Whether a value is worth writing down. 0 and false are."""
    return value is not None and value != "" and value != [] and value != {}


class _Reader:
    """Reads by recursive descent: expression = alternatives {"|" call}; alternatives = operand {"??" operand}."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._depth = 0
        self.at = next(self._tokens)

    def expression(self) -> Expression:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(f"Nested deeper than {DEEPEST} levels: {self._text!r}.")
        found = self._alternatives()
        while self._takes("|"):
            found = self._call(found)
        self._depth -= 1
        return found

    def wrong(self, wanted: str) -> ExpressionError:
        there = f"found `{self.at.value}` at character {self.at.place + 1}" if self.at.value else "it ends"
        return ExpressionError(f"Expected {wanted}, but {there} of {self._text!r}.")

    def _alternatives(self) -> Expression:
        choices = [self._operand()]
        while self._takes("??"):
            choices.append(self._operand())
        return choices[0] if len(choices) == 1 else _first_of(choices)

    def _operand(self) -> Expression:
        token = self.at
        if token.kind == "text":
            return _constant(self._next().value[1:-1])
        if token.kind == "number":
            return _constant(_number(self._next().value))
        if token.kind == "name" and token.value in CONSTANTS:
            return _constant(CONSTANTS[self._next().value])
        if self._takes("("):
            found = self.expression()
            self._expect(")")
            return self._path(found)
        if self._takes("["):
            return _list_of(self._listed("]"))
        return self._path(self._root())

    def _root(self) -> Expression:
        if self._takes("@"):
            return _root("item")
        if self._takes("$"):
            return _root(self._name("the name of a root after `$`"))
        return _within(_root("item"), [_key(self._name("a path, a constant, `(` or `[`"))])

    def _path(self, start: Expression) -> Expression:
        steps: list[Step] = []
        while True:
            if self._takes("."):
                steps.append(_key(self._name("a name after `.`")))
            elif self._takes("["):
                if self._takes("*"):
                    self._expect("]")
                    return self._each(start, steps)
                steps.append(self._bracket())
            else:
                return _within(start, steps)

    def _each(self, start: Expression, steps: list[Step]) -> Expression:
        """`[*]`: what follows is asked of each element, and the answers make one list."""
        inner = self._path(_root("item"))
        return _spread(_within(start, steps), inner)

    def _bracket(self) -> Step:
        token = self._next()
        if token.kind == "number" and "." not in token.value:
            step = _at(int(token.value))
        elif token.kind == "text":
            step = _key(token.value[1:-1])
        elif token.kind == "name":
            self._expect("=")
            step = _fitting(token.value, self._literal())
        else:
            self.at = token
            raise self.wrong("a position, `*`, a quoted name or `name='value'` after `[`")
        self._expect("]")
        return step

    def _literal(self) -> str:
        token = self._next()
        if token.kind not in ("text", "number"):
            self.at = token
            raise self.wrong("a quoted text or a number")
        return token.value[1:-1] if token.kind == "text" else token.value

    def _call(self, value: Expression) -> Expression:
        place = self.at
        name = self._name("the name of a function")
        function = FUNCTIONS.get(name)
        if function is None:
            self.at = place
            raise self.wrong(f"one of the functions {', '.join(sorted(FUNCTIONS))}")
        arguments = self._listed(")") if self._takes("(") else []
        if not function.least <= len(arguments) <= function.most:
            counts = " or ".join(str(number) for number in sorted({function.least, function.most}))
            raise ExpressionError(f"`{name}` takes {counts} arguments, not {len(arguments)}: {self._text!r}.")
        return _applied(function.work, value, arguments)

    def _listed(self, end: str) -> list[Expression]:
        found: list[Expression] = []
        while not self._takes(end):
            if found:
                self._expect(",")
            found.append(self.expression())
        return found

    def _name(self, wanted: str) -> str:
        if self.at.kind != "name":
            raise self.wrong(wanted)
        return self._next().value

    def _next(self) -> Token:
        token = self.at
        if token.kind != "end":
            self.at = next(self._tokens)
        return token

    def _takes(self, sign: str) -> bool:
        if self.at.kind == "sign" and self.at.value == sign:
            self._next()
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise self.wrong(f"`{sign}`")


def _tokens(text: str) -> Iterator[Token]:
    place = 0
    while text[place:].strip():
        found = TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            at = len(text) - len(text[place:].lstrip())
            raise ExpressionError(f"`{text[at]}` at character {at + 1} of {text!r} belongs to no expression.")
        yield Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        place = found.end()
    yield Token("end", "", len(text))


# --- what expressions are made of -----------------------------------------------------------------


def _constant(value: Any) -> Expression:
    return lambda scope: value


def _root(name: str) -> Expression:
    return lambda scope: scope.get(name)


def _first_of(choices: Sequence[Expression]) -> Expression:
    def first(scope: Scope) -> Any:
        return next((value for choice in choices if says_something(value := choice(scope))), None)

    return first


def _list_of(members: Sequence[Expression]) -> Expression:
    return lambda scope: [value for member in members if says_something(value := member(scope))]


def _within(start: Expression, steps: Sequence[Step]) -> Expression:
    def follow(scope: Scope) -> Any:
        value = start(scope)
        for step in steps:
            if value is None:
                return None
            value = step(value)
        return value

    return follow if steps else start


def _spread(outer: Expression, inner: Expression) -> Expression:
    def spread(scope: Scope) -> list[Any]:
        answers: list[Any] = []
        for element in elements(outer(scope)):
            value = inner({"item": element})
            if isinstance(value, list):
                answers += value
            elif says_something(value):
                answers.append(value)
        return answers

    return spread


def _applied(work: Callable[..., Any], value: Expression, arguments: Sequence[Expression]) -> Expression:
    def apply(scope: Scope) -> Any:
        given = value(scope)
        return work(given, *(argument(scope) for argument in arguments)) if says_something(given) else None

    return apply


def _key(name: str) -> Step:
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _at(position: int) -> Step:
    def at(value: Any) -> Any:
        listed = elements(value)
        return listed[position] if -len(listed) <= position < len(listed) else None

    return at


def _fitting(name: str, wanted: str) -> Step:
    def fitting(value: Any) -> Any:
        listed = (one for one in elements(value) if isinstance(one, dict))
        return next((one for one in listed if scalar_text(one.get(name)) == wanted), None)

    return fitting


def elements(value: Any) -> list[Any]:
    """The elements of a list, or of what a form writes for one: an object whose names are numbers."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and value and all(isinstance(name, str) and name.isdecimal() for name in value):
        return list(value.values())
    return []


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)
