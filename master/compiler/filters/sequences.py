"""Filters on lists: sets, combinations, flattening, counting, comparing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from master.compiler.filters.text import to_num


def unique(values: Iterable[Any], *_ignored: Any) -> list[Any]:
    """Each value once, in order."""
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def sequence(value: Any) -> Any:
    """`value` when it is a list or mapping, else a list of it."""
    return value if isinstance(value, list | tuple | set | Mapping) else [value]


def is_iter(value: Any) -> bool:
    """Whether it can be gone through, and is no text."""
    return isinstance(value, Iterable) and not isinstance(value, str)


def flatten(values: Any, levels: int | None = None, preserve_nulls: bool = False, depth: int = 0) -> list[Any]:
    """One list of the items of lists within lists, down to `levels`; nulls only with `preserve_nulls`."""
    if depth > 100:
        raise RecursionError("a list that holds itself cannot be flattened")
    flat: list[Any] = []
    for value in values:
        if not preserve_nulls and (value is None or value in ("None", "null")):
            continue
        if is_iter(value) and (levels is None or levels >= 1):
            flat += flatten(value, None if levels is None else levels - 1, preserve_nulls, depth + 1)
        else:
            flat.append(value)
    return flat


def average(values: Any) -> float:
    """The mean of a list of numbers; of one number, itself."""
    return float(values) if isinstance(values, int | float) else float(sum(values) / len(values))


def difference(first: Iterable[Any], second: Sequence[Any]) -> list[Any]:
    """What of `first` is not in `second`."""
    return unique(item for item in first if item not in second)


def symmetric_difference(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
    """What is in one of them only."""
    return unique(itertools.chain(difference(first, second), difference(second, first)))


def exactly_n_true(values: Iterable[Any], amount: int = 1) -> bool:
    """Whether as many of `values` as `amount` are true."""
    return sum(1 for value in values if value) == amount


def compare_lists(old: Sequence[Any], new: Sequence[Any]) -> dict[str, list[Any]]:
    """What only `new` has, and what only `old` has."""
    changed = {"new": [item for item in new if item not in old], "old": [item for item in old if item not in new]}
    return {name: items for name, items in changed.items() if items}


def mysql_to_dict(lines: Iterable[str], key: str) -> dict[Any, Any]:
    """The rows of a table as mysql prints it, by their column `key`."""
    rows: dict[Any, Any] = {}
    headers: list[str] = []
    for line in lines:
        if not line or line.startswith("+"):
            continue
        cells = [cell.strip() for cell in line.split("|")][1:-1]
        if headers:
            row = dict(zip(headers, map(to_num, cells), strict=False))
            rows[row[key]] = row
        else:
            headers = cells
    return rows


def _listing(call: Callable[..., Iterable[Any]]) -> Callable[..., list[Any]]:
    """A bounded list of what `call` gives: an endless or enormous one is an error, not a full memory."""

    def listed(*values: Any, **options: Any) -> list[Any]:
        made = list(itertools.islice(call(*values, **options), MOST + 1))
        if len(made) > MOST:
            raise ValueError(f"more than {MOST} combinations")
        return made

    return listed


MOST: Final = 100_000
"""Items that one filter may make of a list."""

FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "unique": unique,
    "sequence": sequence,
    "flatten": flatten,
    "difference": difference,
    "intersect": lambda first, second: unique(item for item in first if item in second),
    "union": lambda first, second: unique(itertools.chain(first, second)),
    "symmetric_difference": symmetric_difference,
    "combinations": _listing(itertools.combinations),
    "combinations_with_replacement": _listing(itertools.combinations_with_replacement),
    "permutations": _listing(itertools.permutations),
    "product": _listing(itertools.product),
    "compress": _listing(itertools.compress),
    "zip": _listing(lambda *values: zip(*values, strict=False)),
    "zip_longest": _listing(itertools.zip_longest),
    "avg": average,
    "min": lambda values: min(values),
    "max": lambda values: max(values),
    "is_list": lambda value: isinstance(value, list),
    "is_iter": is_iter,
    "exactly_n_true": exactly_n_true,
    "exactly_one_true": exactly_n_true,
    "compare_lists": compare_lists,
    "sorted_ignorecase": lambda values: sorted(values, key=lambda value: value.lower()),
    "mysql_to_dict": mysql_to_dict,
}
"""By the name that a template uses."""
