"""The grammar of compound targets: operators and terms to a tree, as Python evaluates what Salt makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from protocol.errors import TargetError, Where
from protocol.targettree import AllOf, AnyOf, Node, Not, Term

OPERATORS: Final = ("and", "or", "not", "(", ")")
MAX_NESTING: Final = 50
"""Parentheses and nodegroups within each other."""


@dataclass(frozen=True, slots=True)
class Token:
    """An operator, or a term with its `node`."""

    text: str
    column: int
    node: Node | None = None


class Parser:
    """Parses `tokens` as Salt does, which prints them as True, False and operators and has Python evaluate the line.

    So `( )` is nobody, and a parenthesis behind a term is a call, on which the evaluation breaks when it comes there
    (nobody, whatever stands around it). `strict` refuses both. Raises TargetError.
    """

    def __init__(self, tokens: list[Token], *, strict: bool) -> None:
        self._left = list(reversed(tokens))
        self._strict = strict

    def whole(self) -> Node:
        """The tree of all tokens."""
        node = self._either(0)
        if self._left:
            token = self._left[-1]
            help = "put 'and' or 'or' between two terms"
            raise _wrong(f"{token.text!r} is not expected here", token.column, help)
        return node

    def _next(self) -> str:
        return self._left[-1].text if self._left and self._left[-1].node is None else ""

    def _either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._next() == "or":
            self._left.pop()
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self._next() == "and":
            self._left.pop()
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self, depth: int) -> Node:
        if not self._left:
            raise _wrong("the expression ends where a term is expected", 0, "add a term, or leave the last word out")
        token = self._left.pop()
        if token.node is None and token.text == "not":
            if self._next() == "and" and len(self._left) > 1 and self._left[-2].text == "not":
                raise _wrong("'not not' is not allowed", token.column, "leave both out")
            return Not(self._one(depth))
        node = token.node
        if node is None and token.text == "(":
            node = self._inner(token, depth)
        if node is None:
            raise _wrong(f"{token.text!r} is not expected here", token.column, "a term belongs before it")
        while self._next() == "(":
            node = self._called(self._left.pop(), depth)
        return node

    def _inner(self, opening: Token, depth: int) -> Node:
        if depth >= MAX_NESTING:
            raise _wrong(f"nested deeper than {MAX_NESTING}", opening.column)
        if self._next() == ")":
            if self._strict:
                raise _wrong("')' is not expected here", self._left[-1].column, "leave the empty parentheses out")
            self._left.pop()
            return AnyOf(())
        inner = self._either(depth + 1)
        if self._next() != ")":
            if self._left:
                token = self._left[-1]
                help = "put 'and' or 'or' between two terms"
                raise _wrong(f"{token.text!r} is not expected here", token.column, help)
            raise _wrong("this parenthesis is not closed", opening.column, "add ')' with a space before it")
        self._left.pop()
        return inner

    def _called(self, opening: Token, depth: int) -> Node:
        if self._strict:
            help = "put 'and' or 'or' between two terms"
            raise _wrong(f"{opening.text!r} is not expected here", opening.column, help)
        self._inner(opening, depth)
        return Term("( … )", "glob", lambda subject: False, broken=True)


def shape(node: Node) -> Any:
    """What a tree means, apart from parentheses that change nothing."""
    match node:
        case Term():
            return node.text
        case Not():
            return "not", shape(node.inner)
        case AllOf() | AnyOf():
            kind = type(node)
            parts: list[Any] = []
            for part in node.parts:
                found = shape(part)
                same = isinstance(part, kind) and isinstance(found, tuple)
                parts += found[1:] if same else [found]
            return (kind.__name__, *parts)


def _wrong(message: str, column: int, help: str = "") -> TargetError:
    return TargetError(message, where=Where(file="target", line=1, column=column), help=help)
