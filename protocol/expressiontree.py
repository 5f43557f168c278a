"""A condition that was read: what it comes to on data, and why; pure, with a bound on the work."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from protocol.data import Data
from protocol.errors import ExpressionError, InputError
from protocol.expressionvalues import (
    FUNCTIONS,
    LARGEST,
    Scope,
    UnfitError,
    inside,
    is_number,
    kind,
    member,
    number,
    same,
    shown,
)


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a condition; `source` is its text."""

    source: str

    def value(self, scope: Scope) -> Data:
        """What it comes to. Raises ExpressionError."""
        raise TypeError(f"{type(self).__name__} has no value")

    def told(self, scope: Scope) -> str:
        """Why it comes to that."""
        return f"{self.source} is {shown(self.value(scope))}"


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A literal."""

    constant: Data

    def value(self, scope: Scope) -> Data:
        return self.constant


@dataclass(frozen=True, slots=True)
class Items(Node):
    """A list of parts."""

    parts: tuple[Node, ...]

    def value(self, scope: Scope) -> Data:
        scope.step(len(self.parts))
        return [part.value(scope) for part in self.parts]


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A key of the data."""

    key: str

    def value(self, scope: Scope) -> Data:
        return inside(scope, scope.data, self.key, self.source)


@dataclass(frozen=True, slots=True)
class Inside(Node):
    """A key or index within another part."""

    outer: Node
    key: Node

    def value(self, scope: Scope) -> Data:
        outer = self.outer.value(scope)
        return inside(scope, outer, self.key.value(scope), self.source)


@dataclass(frozen=True, slots=True)
class Not(Node):
    """The opposite."""

    inner: Node

    def value(self, scope: Scope) -> Data:
        return not self.inner.value(scope)

    def told(self, scope: Scope) -> str:
        return f"{self.inner.told(scope)}, wanted the opposite"


@dataclass(frozen=True, slots=True)
class Both(Node):
    """`and` (all of the parts) or `or` (some of them)."""

    parts: tuple[Node, ...]
    every: bool

    def value(self, scope: Scope) -> Data:
        for part in self.parts:
            if bool(part.value(scope)) is not self.every:
                return not self.every
        return self.every

    def told(self, scope: Scope) -> str:
        """The parts that decide: those that fail, or when none does, those that hold."""
        outcome = self.value(scope)
        deciding = [part for part in self.parts if _decides(part, scope, bool(outcome))]
        return "; ".join(part.told(scope) for part in deciding)


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """Two parts held against each other."""

    left: Node
    operator: str
    right: Node

    def value(self, scope: Scope) -> Data:
        left, right = self.left.value(scope), self.right.value(scope)
        if self.operator in ("in", "not in"):
            return member(scope, left, right, self.right.source) is (self.operator == "in")
        if self.operator in ("==", "!="):
            return same(scope, left, right) is (self.operator == "==")
        numbers = is_number(left) and is_number(right)
        if not numbers and not (isinstance(left, str) and isinstance(right, str)):
            raise ExpressionError(
                f"{self.source}: {kind(left)} and {kind(right)} have no order",
                path=self.left.source,
                help="compare numbers with numbers, text with text",
            )
        return _ORDER[self.operator](left, right)

    def told(self, scope: Scope) -> str:
        wanted = shown(self.right.value(scope))
        if not isinstance(self.right, Constant):
            wanted = f"{self.right.source} ({wanted})"
        return f"{self.left.source} is {shown(self.left.value(scope))}, wanted {self.operator} {wanted}"


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """Two numbers reckoned together; with `left` None, the negative of `right`."""

    left: Node | None
    operator: str
    right: Node

    def value(self, scope: Scope) -> Data:
        scope.step()
        left = 0 if self.left is None else number(self.left.value(scope), self.left.source)
        right = number(self.right.value(scope), self.right.source)
        if self.operator == "/" and right == 0:
            raise ExpressionError(f"{self.source}: division by zero", path=self.right.source)
        try:
            result = _RECKON[self.operator](left, right)
        except OverflowError:
            result = math.inf
        if not abs(result) < LARGEST:
            raise ExpressionError(f"{self.source} is too large")
        return result


@dataclass(frozen=True, slots=True)
class Function(Node):
    """A function of the language."""

    name: str
    arguments: tuple[Node, ...]

    def value(self, scope: Scope) -> Data:
        if self.name in ("has", "default"):
            return self._optional(scope)
        values = [argument.value(scope) for argument in self.arguments]
        try:
            return FUNCTIONS[self.name](scope, *values)
        except (InputError, UnfitError) as error:
            raise ExpressionError(f"{self.source}: {error}", path=self.arguments[0].source) from None

    def _optional(self, scope: Scope) -> Data:
        try:
            found = self.arguments[0].value(scope)
        except ExpressionError as error:
            if not error.path:
                raise
            return False if self.name == "has" else self.arguments[1].value(scope)
        return True if self.name == "has" else found

    def told(self, scope: Scope) -> str:
        first = self.arguments[0]
        known = "" if self.name in ("has", "default") else f" ({first.source} is {shown(first.value(scope))})"
        return f"{self.source} is {shown(self.value(scope))}{known}"


def _decides(part: Node, scope: Scope, outcome: bool) -> bool:
    try:
        return bool(part.value(scope)) is outcome
    except ExpressionError:
        return False


_ORDER: Final[Mapping[str, Callable[..., bool]]] = {
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}
_RECKON: Final[Mapping[str, Callable[..., int | float]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
}
