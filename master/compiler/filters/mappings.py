"""Filters on mappings and nested data: paths into it, changes at a path, entries, comparisons, queries."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from master.compiler.merge import traverse
from protocol.errors import SlsError


def _place(mapping: dict[Any, Any], keys: str, delimiter: str) -> tuple[dict[Any, Any], str]:
    """The mapping that holds the last of the `keys`, made on the way where there is none; and that key."""
    *steps, last = str(keys).split(delimiter)
    place = mapping
    for step in steps:
        if not isinstance(place.get(step), Mapping):
            place[step] = {}
        place = place[step]
    return place, last


def set_value(mapping: dict[Any, Any], keys: str, value: Any, delimiter: str = ":", **_old: Any) -> dict[Any, Any]:
    """`mapping` itself, in which `value` now lies at the path `keys`."""
    place, last = _place(mapping, keys, delimiter)
    place[last] = value
    return mapping


def _changing(verb: str, empty: Callable[[], Any]) -> Callable[..., dict[Any, Any]]:
    """A filter that calls the method `verb` of what lies at a path, which is `empty` when there is nothing."""

    def change(mapping: dict[Any, Any], keys: str, value: Any, delimiter: str = ":", **_old: Any) -> dict[Any, Any]:
        place, last = _place(mapping, keys, delimiter)
        if place.get(last) is None:
            place[last] = empty()
        if not isinstance(place[last], type(empty())):
            kind = type(place[last]).__name__
            raise SlsError(f"{verb}_dict_key_value: at {keys!r} is a value of type {kind}")
        getattr(place[last], verb)(value)
        return mapping

    return change


def compare_dicts(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> dict[Any, dict[str, Any]]:
    """Each key whose value differs, with its `old` and `new` value, empty where it is not."""
    keys = [*old, *(key for key in new if key not in old)]
    absent = object()
    return {
        key: {"old": old.get(key, ""), "new": new.get(key, "")}
        for key in keys
        if old.get(key, absent) != new.get(key, absent)
    }


def to_entries(data: Any) -> list[dict[str, Any]]:
    """A mapping or list as `[{key: …, value: …}, …]`."""
    if not isinstance(data, Mapping | list):
        raise SlsError("to_entries takes a mapping or a list")
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data)
    return [{"key": key, "value": value} for key, value in pairs]


def from_entries(entries: Any) -> dict[Any, Any]:
    """The mapping of `[{key: …, value: …}, …]`; `name` does for `key`, in any case."""
    made: dict[Any, Any] = {}
    for entry in entries:
        words = {str(key).lower(): value for key, value in entry.items()}
        key = words.get("key") or words.get("name")
        if key:
            made[key] = words.get("value")
    return made


def json_query(data: Any, query: str) -> Any:
    """What a JMESPath `query` finds. Raises SlsError when the library jmespath is not installed."""
    try:
        jmespath = importlib.import_module("jmespath")
    except ImportError:
        help = "apt install python3-jmespath on the master"
        raise SlsError("json_query needs the Python library jmespath", help=help) from None
    return jmespath.search(query, data)


def _as_given(data: Any, *_encoding: Any, **_options: Any) -> Any:
    return data


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "traverse": traverse,
    "set_dict_key_value": set_value,
    "update_dict_key_value": _changing("update", dict),
    "append_dict_key_value": _changing("append", list),
    "extend_dict_key_value": _changing("extend", list),
    "compare_dicts": compare_dicts,
    "to_entries": to_entries,
    "from_entries": from_entries,
    "json_query": json_query,
    "json_encode_dict": _as_given,
    "json_encode_list": _as_given,
    "json_decode_dict": _as_given,
    "json_decode_list": _as_given,
}
"""By the name that a template uses; json_encode and json_decode of Python 2's time change nothing in Python 3."""
