"""The closed table of calls: names, argument types, who may make them and how long they may take.

Nothing is reachable that is not in a table, and no argument reaches a handler unchecked.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from master.api.roles import Access, Caller
from master.store.store import Event
from protocol.data import Data
from protocol.errors import ArgumentError

Emit = Callable[[Event], Awaitable[None]]
Handler = Callable[[Caller, Mapping[str, Any], Emit], Awaitable[Mapping[str, Data]]]

_REQUIRED = object()

DEEPEST = 20
"""Nesting of arguments: a command to a minion puts them a few levels deeper, within the bounds of the wire."""

MOST_ITEMS = 50_000
"""Items of one list or mapping among the arguments."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: `kind` is str, int, float, bool, `strings`, `list` or `mapping`; `least` a bound for numbers."""

    kind: str
    default: Any = _REQUIRED
    least: float = -math.inf
    most: float = math.inf

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is _REQUIRED

    def check(self, call: str, name: str, value: Any) -> Any:
        """The value as the handler gets it. Raises ArgumentError."""
        checked = _CHECKS[self.kind](value)
        if checked is None:
            raise ArgumentError(f"{call}: the argument {name!r} must be {_NAMES[self.kind]}")
        if self.kind in ("int", "float") and not self.least <= checked <= self.most:
            raise ArgumentError(f"{call}: the argument {name!r} must be from {self.least:g} to {self.most:g}")
        return checked


def bounded(call: str, value: Any, depth: int = DEEPEST) -> None:
    """Check that arguments can be stored and sent: nesting, items, numbers of 64 bits, whole characters.

    Raises ArgumentError.
    """
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ArgumentError(f"{call}: a text is no Unicode: it holds half a character")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ArgumentError(f"{call}: a whole number of more than 64 bits", help="write it as a string")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise ArgumentError(f"{call}: arguments nested deeper than {DEEPEST}")
        if len(value) > MOST_ITEMS:
            raise ArgumentError(f"{call}: a list or mapping of {len(value)} items", help=f"at most {MOST_ITEMS}")
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            bounded(call, item, depth - 1)


def _number(value: Any) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else None


def _strings(value: Any) -> tuple[str, ...] | None:
    fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return tuple(value) if fits else None


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "str": lambda value: value if isinstance(value, str) else None,
    "int": lambda value: value if isinstance(value, int) and not isinstance(value, bool) else None,
    "float": _number,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "strings": _strings,
    "list": lambda value: tuple(value) if isinstance(value, list) else None,
    "mapping": lambda value: value if isinstance(value, dict) else None,
}
_NAMES = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "strings": "a list of strings",
    "list": "a list",
    "mapping": "a mapping",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `deadline` in seconds; a stream has none, it goes on until it ends or the client leaves."""

    name: str
    access: Access
    handler: Handler
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    deadline: float = 30.0
    stream: bool = False


class Table:
    """Every call there is."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._calls = {call.name: call for call in calls}

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    def find(self, name: object) -> Call:
        """The call `name`. Raises ArgumentError when there is none."""
        found = self._calls.get(name) if isinstance(name, str) else None
        if found is None:
            close = difflib.get_close_matches(str(name)[:100], self._calls, n=1)
            help = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(self._calls))}"
            raise ArgumentError(f"there is no call {str(name)[:100]!r}", help=help)
        return found

    @staticmethod
    def arguments(call: Call, given: object) -> dict[str, Any]:
        """The arguments of a call, checked, with defaults. Raises ArgumentError."""
        if not isinstance(given, dict):
            raise ArgumentError(f"{call.name}: the arguments must be a mapping")
        bounded(call.name, given)
        unknown = given.keys() - call.arguments.keys()
        if unknown:
            takes = ", ".join(call.arguments) or "none"
            raise ArgumentError(f"{call.name} has no argument {min(unknown)[:100]!r}", help=f"it takes {takes}")
        checked: dict[str, Any] = {}
        for name, argument in call.arguments.items():
            if given.get(name) is not None:
                checked[name] = argument.check(call.name, name, given[name])
            elif argument.required:
                raise ArgumentError(f"{call.name} needs the argument {name!r}")
            else:
                checked[name] = argument.default
        return checked
