"""Paths into nested data and Salt's ways of merging two trees of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def traverse(data: Any, path: Any, default: Any = None, delimiter: str = ":") -> Any:
    """What lies at `path` (`a:b:0`) in mappings and lists; `default` when there is nothing.

    A list of mappings is also searched for the first that has the key, as Salt does.
    """
    place = data
    for step in str(path).split(delimiter):
        if isinstance(place, Mapping):
            place = place.get(step, place.get(_number(step), _MISSING))
        elif isinstance(place, list | tuple):
            place = _from_list(place, step)
        else:
            return default
        if place is _MISSING:
            return default
    return place


def update(place: dict[Any, Any], above: Mapping[Any, Any], *, lists: bool = False) -> dict[Any, Any]:
    """`place` itself, with `above` merged into it as by `merged`."""
    for key, value in above.items():
        place[key] = merged(place[key], value, lists=lists) if key in place else value
    return place


def merged(below: Any, above: Any, *, lists: bool = False) -> Any:
    """`above` on `below`: mappings deeply, the rest replaced (with `lists`, unseen items appended)."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        whole = dict(below)
        for key, value in above.items():
            whole[key] = merged(below[key], value, lists=lists) if key in below else value
        return whole
    if lists and isinstance(below, list) and isinstance(above, list):
        return [*below, *(item for item in above if item not in below)]
    return above


def combined(below: Mapping[Any, Any], above: Mapping[Any, Any], strategy: str, *, lists: bool = False) -> Any:
    """`above` on `below` by one of Salt's strategies for pillar sources (salt/utils/dictupdate.py).

    smart, recurse and none are `merged`; overwrite replaces each top-level key, and so does aggregate for data without
    the marks of Salt's yamlex; list puts the two values of a key into a list (Salt drops keys that only `above` has).
    """
    if strategy in ("overwrite", "aggregate"):
        return {**below, **above}
    if strategy == "list":
        return {**below, **{key: [below[key], value] if key in below else value for key, value in above.items()}}
    return merged(below, above, lists=lists)


_MISSING = object()


def _from_list(place: list[Any] | tuple[Any, ...], step: str) -> Any:
    number = _number(step)
    if isinstance(number, int):
        return place[number] if -len(place) <= number < len(place) else _MISSING
    return next((item[step] for item in place if isinstance(item, Mapping) and step in item), _MISSING)


def _number(step: str) -> Any:
    return int(step) if step.removeprefix("-").isdecimal() else step
