"""The values of conditions: how they are compared, reached, shown and handed to the functions of the language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeGuard

from protocol import regexes
from protocol.data import Data
from protocol.errors import ExpressionError
from protocol.secrets import MASK, Secret

MAX_STEPS: Final = 1_000_000
"""Values that one evaluation may look at."""
MAX_TEXT: Final = 10_000
"""Characters of a text that `matches` looks at."""
MAX_SHOWN: Final = 120
"""Characters of a value in an explanation."""
LARGEST: Final = 2**63


@dataclass(slots=True)
class Scope:
    """The data of one evaluation, and how much work is left."""

    data: Data
    left: int = MAX_STEPS

    def step(self, count: int = 1) -> None:
        """Count work. Raises ExpressionError when there was too much."""
        self.left -= count
        if self.left < 0:
            raise ExpressionError(f"the condition looks at more than {MAX_STEPS} values", help="ask for less data")


class UnfitError(Exception):
    """A function was given a value that it does not take."""


def shown(value: Data) -> str:
    """A value for the eye: secrets masked, cut at MAX_SHOWN."""
    if isinstance(value, Secret):
        return MASK
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        text = f"a mapping of {len(value)}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(item) for item in value[:20]) + (", …]" if len(value) > 20 else "]")
    else:
        text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def kind(value: Data) -> str:
    """What sort of value it is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str | bytes):
        return "a text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def same(scope: Scope, left: Data, right: Data) -> bool:
    """Equality of data: truth values are no numbers, 1 is 1.0, lists and mappings by what they hold."""
    scope.step()
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(scope, left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(same(scope, a, b) for a, b in zip(left, right, strict=True))
    return left == right


def member(scope: Scope, item: Data, container: Data, source: str) -> bool:
    """Whether `item` is in a list, a key of a mapping or a part of a text. Raises ExpressionError."""
    if isinstance(container, str) and isinstance(item, str):
        scope.step(len(container) // 100)
        return item in container
    if isinstance(container, Mapping):
        return isinstance(item, str) and item in container
    if isinstance(container, list | tuple):
        return any(same(scope, item, member) for member in container)
    raise ExpressionError(f"{source} is {kind(container)}: nothing can be in it", path=source)


def inside(scope: Scope, outer: Data, key: Data, source: str) -> Data:
    """What lies under a key or index. Raises ExpressionError naming `source` when nothing does."""
    scope.step()
    if isinstance(outer, Mapping) and isinstance(key, str):
        if key in outer:
            return outer[key]
    elif isinstance(outer, list | tuple) and _is_index(key) and -len(outer) <= key < len(outer):
        found: Data = outer[key]
        return found
    raise ExpressionError(f"{source} is missing", path=source, help="default(path, value) allows for that")


def is_number(value: Data) -> bool:
    """Whether it is a number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Data, source: str) -> int | float:
    """The value as a number. Raises ExpressionError naming `source`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"{source} is {kind(value)}, not a number", path=source)
    return value


def _is_index(key: Data) -> TypeGuard[int]:
    return isinstance(key, int) and not isinstance(key, bool)


def _list(value: Data) -> Sequence[Data]:
    if not isinstance(value, list | tuple):
        raise UnfitError(f"needs a list, not {kind(value)}")
    return value


def _text(value: Data) -> str:
    if not isinstance(value, str):
        raise UnfitError(f"needs a text, not {kind(value)}")
    return value


def _len(scope: Scope, value: Data) -> Data:
    if not isinstance(value, str | list | tuple | Mapping):
        raise UnfitError(f"needs a list, mapping or text, not {kind(value)}")
    return len(value)


def _sum(scope: Scope, value: Data) -> Data:
    scope.step(len(_list(value)))
    total: int | float = 0
    for item in _list(value):
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise UnfitError(f"needs a list of numbers, and one of them is {kind(item)}")
        total += item
    if not abs(total) < LARGEST:
        raise UnfitError("is too large")
    return total


def _any(scope: Scope, value: Data) -> Data:
    scope.step(len(_list(value)))
    return any(_list(value))


def _all(scope: Scope, value: Data) -> Data:
    scope.step(len(_list(value)))
    return all(_list(value))


def _lower(scope: Scope, value: Data) -> Data:
    scope.step(len(_text(value)) // 100)
    return type(value)(_text(value).lower()) if isinstance(value, Secret) else _text(value).lower()


def _matches(scope: Scope, value: Data, pattern: Data) -> Data:
    text = _text(value)
    if len(text) > MAX_TEXT:
        raise UnfitError(f"looks at texts of at most {MAX_TEXT} characters")
    scope.step(len(text))
    return regexes.compile_safe(_text(pattern)).fullmatch(text) is not None


ARGUMENTS: Final[Mapping[str, int]] = {
    "len": 1,
    "any": 1,
    "all": 1,
    "sum": 1,
    "lower": 1,
    "matches": 2,
    "has": 1,
    "default": 2,
}
"""The functions of the language and how many arguments each takes."""

FUNCTIONS: Final[Mapping[str, Callable[..., Data]]] = {
    "len": _len,
    "any": _any,
    "all": _all,
    "sum": _sum,
    "lower": _lower,
    "matches": _matches,
}
