"""Conditions on data, for gates and rules: `osdmap.num_up_osds >= 3 and health.status in ['HEALTH_OK', 'HEALTH_WARN']`.

    comparisons    == != < <= > >=   in   not in        (numbers with numbers, text with text)
    and or not, parentheses, + - * /
    literals       7  2.5  'text'  "text"  true  false  null  [1, 'a']
    paths          a.b.c   a["x y"]   a[0]   a[-1]
    functions      len(x)  any(list)  all(list)  sum(list)  lower(text)
                   matches(text, 'regular expression')  the whole text; expressions that may take for ever are refused
                   has(path)  default(path, value)      for what may be missing

Only data is reached: no attributes, no calls but these. Length, depth and work are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocol import regexes
from protocol.data import Data
from protocol.errors import ExpressionError, InputError, Where
from protocol.expressiontree import Arithmetic, Both, Comparison, Constant, Function, Inside, Items, Name, Node, Not
from protocol.expressionvalues import ARGUMENTS, Scope

MAX_LENGTH: Final = 4096
"""Characters of a condition."""
MAX_DEPTH: Final = 40
"""Parts within parts."""
MAX_LINKS: Final = 200
"""Sums, products and steps of paths in one condition."""

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+\.[0-9]+|[0-9]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<text>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<sign>[=!<>]=|[-+*/<>()\[\],.])|(?P<end>$))"
)
_WORDS: Final = {"true": True, "false": False, "null": None}
_RESERVED: Final = ("and", "or", "not", "in")
_COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=", "in")
_ESCAPES: Final = {"n": "\n", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that was read."""

    text: str
    root: Node

    def evaluate(self, data: Data) -> Data:
        """What it comes to on `data`. Raises ExpressionError, whose `path` says what is missing or unfit."""
        return self.root.value(Scope(data))

    def holds(self, data: Data) -> bool:
        """Whether it is true on `data` (not false, null, 0 or empty). Raises ExpressionError."""
        return bool(self.evaluate(data))

    def explain(self, data: Data) -> str:
        """Why it holds on `data` or not: the parts that decide, `osdmap.num_up_osds is 2, wanted >= 3`.

        Never raises: what cannot be decided is said.
        """
        try:
            return self.root.told(Scope(data))
        except ExpressionError as error:
            return error.message


def parse(text: str) -> Expression:
    """The condition in `text`. Raises InputError with the column in its `where`."""
    if len(text) > MAX_LENGTH:
        raise _wrong(f"a condition of {len(text)} characters", 0, f"at most {MAX_LENGTH} are taken")
    return Expression(text, _Parser(text).whole())


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Parser:
    """Recursive descent over the tokens, lowest binding first."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._index = 0
        self._depth = 0
        self._links = 0

    def whole(self) -> Node:
        node = self._either()
        if self._next.kind != "end":
            raise self._unexpected("and, or, or a comparison")
        return node

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _take(self, *texts: str) -> _Token | None:
        """The next token when it is one of these signs or words."""
        token = self._next
        if token.kind in ("sign", "name") and token.text in texts:
            self._index += 1
            return token
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            raise self._unexpected(repr(text))

    def _source(self, start: int) -> str:
        return self._text[start : self._tokens[self._index - 1].end]

    def _either(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _wrong(f"nested deeper than {MAX_DEPTH}", self._next.start)
        node = self._row("or", lambda: self._row("and", self._opposite))
        self._depth -= 1
        return node

    def _row(self, word: str, part: Callable[[], Node]) -> Node:
        start = self._next.start
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Both(self._source(start), tuple(parts), word == "and")

    def _opposite(self) -> Node:
        start, count = self._next.start, 0
        while self._take("not"):
            count += 1
        node = self._comparison()
        return Not(self._source(start), node) if count % 2 else node

    def _comparison(self) -> Node:
        start = self._next.start
        left = self._sum()
        operator = self._operator()
        if operator is None:
            return left
        right = self._sum()
        node = Comparison(self._source(start), left, operator, right)
        further = self._next.start
        if self._operator() is not None:
            raise _wrong("comparisons cannot be chained", further, "put 'and' between two of them")
        return node

    def _operator(self) -> str | None:
        token = self._take(*_COMPARISONS)
        if token is not None:
            return token.text
        if self._next.text == "not" and self._tokens[self._index + 1].text == "in" and self._next.kind == "name":
            self._index += 2
            return "not in"
        return None

    def _sum(self) -> Node:
        return self._reckoning(("+", "-"), lambda: self._reckoning(("*", "/"), self._negative))

    def _reckoning(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        start = self._next.start
        node = part()
        while sign := self._take(*signs):
            self._link(sign)
            right = part()
            node = Arithmetic(self._source(start), node, sign.text, right)
        return node

    def _link(self, sign: _Token) -> None:
        """Count a part that holds what comes before it, so that no tree is too deep to walk."""
        self._links += 1
        if self._links > MAX_LINKS:
            raise _wrong(f"more than {MAX_LINKS} sums, products and path steps", sign.start)

    def _negative(self) -> Node:
        start, count = self._next.start, 0
        while self._take("-"):
            count += 1
        node = self._path()
        if count % 2 == 0:
            return node
        if isinstance(node, Constant) and isinstance(node.constant, int | float):
            return Constant(self._source(start), -node.constant)
        return Arithmetic(self._source(start), None, "-", node)

    def _path(self) -> Node:
        start = self._next.start
        node = self._primary()
        while sign := self._take(".", "["):
            self._link(sign)
            if sign.text == ".":
                key = self._next
                if key.kind != "name":
                    raise self._unexpected("a key")
                self._index += 1
                node = Inside(self._source(start), node, Constant(key.text, key.text))
            else:
                inner = self._either()
                self._need("]")
                node = Inside(self._source(start), node, inner)
        return node

    def _primary(self) -> Node:
        token = self._next
        if token.kind == "end" or (token.kind == "name" and token.text in _RESERVED):
            raise self._unexpected("a value")
        self._index += 1
        if token.kind == "number":
            return Constant(token.text, _literal(token))
        if token.kind == "text":
            return Constant(token.text, _unquoted(token))
        if token.kind == "name":
            return self._named(token)
        if token.text == "(":
            inner = self._either()
            self._need(")")
            return inner
        if token.text == "[":
            parts = self._arguments("]")
            return Items(self._source(token.start), parts)
        self._index -= 1
        raise self._unexpected("a value")

    def _named(self, token: _Token) -> Node:
        if token.text in _WORDS:
            return Constant(token.text, _WORDS[token.text])
        if self._take("(") is None:
            return Name(token.text, token.text)
        if token.text not in ARGUMENTS:
            known = ", ".join(sorted(ARGUMENTS))
            raise _wrong(f"there is no function {token.text!r}", token.start, f"there are {known}")
        arguments = self._arguments(")")
        if len(arguments) != ARGUMENTS[token.text]:
            raise _wrong(f"{token.text} takes {ARGUMENTS[token.text]} arguments, not {len(arguments)}", token.start)
        if token.text in ("has", "default") and not isinstance(arguments[0], Name | Inside):
            raise _wrong(f"{token.text} takes a path as its first argument", token.start)
        if token.text == "matches" and isinstance(arguments[1], Constant):
            self._check_pattern(arguments[1], token.start)
        return Function(self._source(token.start), token.text, arguments)

    def _check_pattern(self, pattern: Constant, start: int) -> None:
        if not isinstance(pattern.constant, str):
            raise _wrong("matches takes a text as its second argument", start)
        try:
            regexes.compile_safe(pattern.constant)
        except InputError as error:
            raise _wrong(error.message, start, error.help) from None

    def _arguments(self, end: str) -> tuple[Node, ...]:
        parts: list[Node] = []
        while self._take(end) is None:
            if parts:
                self._need(",")
            parts.append(self._either())
        return tuple(parts)

    def _unexpected(self, wanted: str) -> InputError:
        token = self._next
        found = "the condition ends" if token.kind == "end" else f"{token.text[:40]!r} is found"
        return _wrong(f"{found} where {wanted} is expected", token.start)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while not tokens or tokens[-1].kind != "end":
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            position += len(text[position:]) - len(text[position:].lstrip())
            raise _wrong(f"{text[position : position + 20]!r} cannot be read", position, _hint(text[position]))
        kind = found.lastgroup
        tokens.append(_Token(kind, found[kind], found.start(kind), found.end()))
        position = found.end()
    return tokens


def _hint(character: str) -> str:
    if character in "'\"":
        return "the text is not closed on this line"
    if character == "=":
        return "equality is written =="
    return ""


def _literal(token: _Token) -> int | float:
    if len(token.text) > 18:
        raise _wrong("a number of more than 18 digits", token.start)
    return float(token.text) if "." in token.text else int(token.text)


def _unquoted(token: _Token) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), token.text[1:-1])


def _wrong(message: str, start: int, help: str = "") -> InputError:
    return InputError(message, where=Where(file="condition", line=1, column=start + 1), help=help)
