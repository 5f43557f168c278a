"""Salt's small helpers for data, text and versions, as `salt.utils` gives them to custom code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import total_ordering
from typing import Any

# --- text ---------------------------------------------------------------------------------------------------------


def to_str(value: Any, encoding: str = "utf-8", errors: str = "strict", **_options: Any) -> str:
    """Text, from text or bytes. Raises TypeError."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(encoding or "utf-8", errors)
    raise TypeError(f"expected text or bytes, not {type(value).__name__}")


def to_bytes(value: Any, encoding: str = "utf-8", errors: str = "strict") -> bytes:
    """Bytes, from text or bytes. Raises TypeError."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str):
        return value.encode(encoding or "utf-8", errors)
    raise TypeError(f"expected text or bytes, not {type(value).__name__}")


def to_num(text: Any) -> Any:
    """The number that `text` writes, else `text` itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


def is_hex(text: Any) -> bool:
    """Whether `text` writes a number in hexadecimal."""
    return isinstance(text, str) and re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", text) is not None


# --- data ---------------------------------------------------------------------------------------------------------


def is_true(value: Any = None) -> bool:
    """Whether `value` means yes: a number above 0, or the text `true`."""
    value = to_num(value) if isinstance(value, str) else value
    return value.lower() == "true" if isinstance(value, str) else bool(value and value > 0)


def is_list(value: Any) -> bool:
    """Whether `value` is a list."""
    return isinstance(value, list)


def is_iter(value: Any, ignore: Any = (str, bytes)) -> bool:
    """Whether `value` can be iterated over, text left out."""
    return isinstance(value, Iterable) and not isinstance(value, ignore)


def traverse_dict(data: Any, key: str, default: Any = None, delimiter: str = ":") -> Any:
    """What mappings within `data` hold at the path `key`, else `default`."""
    for step in str(key).split(delimiter):
        if not isinstance(data, Mapping) or step not in data:
            return default
        data = data[step]
    return data


def traverse_dict_and_list(data: Any, key: str, default: Any = None, delimiter: str = ":") -> Any:
    """What mappings and lists within `data` hold at the path `key`, else `default`."""
    for step in str(key).split(delimiter):
        if isinstance(data, Mapping):
            number = int(step) if step.isdigit() else None
            if step not in data and number not in data:
                return default
            data = data[step] if step in data else data[number]
        elif isinstance(data, Sequence) and not isinstance(data, str | bytes):
            data = _in_list(data, step, default)
            if data is default:
                return default
        else:
            return default
    return data


def _in_list(data: Sequence[Any], step: str, default: Any) -> Any:
    if step.isdigit():
        return data[int(step)] if int(step) < len(data) else default
    return next((item[step] for item in data if isinstance(item, Mapping) and step in item), default)


def is_dictlist(data: Any) -> bool:
    """Whether `data` is a list of mappings with one key each."""
    return isinstance(data, list) and all(isinstance(item, dict) and len(item) == 1 for item in data)


def repack_dictlist(data: Any, **_options: Any) -> dict[Any, Any]:
    """A list of mappings and names as one mapping."""
    packed: dict[Any, Any] = {}
    for item in data if isinstance(data, list) else []:
        packed.update(item if isinstance(item, Mapping) else {item: None})
    return packed


def compare_dicts(old: Mapping[Any, Any] | None = None, new: Mapping[Any, Any] | None = None) -> dict[Any, Any]:
    """Every key whose value differs: `{key: {'old': …, 'new': …}}`; what is missing is empty text."""
    old, new = old or {}, new or {}
    keys = [*old, *(key for key in new if key not in old)]
    return {
        key: {"old": old.get(key, ""), "new": new.get(key, "")}
        for key in keys
        if key not in old or key not in new or old[key] != new[key]
    }


def compare_lists(old: Sequence[Any] | None = None, new: Sequence[Any] | None = None) -> dict[str, list[Any]]:
    """What each of two lists has and the other lacks."""
    old, new = old or [], new or []
    added, gone = [item for item in new if item not in old], [item for item in old if item not in new]
    return {key: items for key, items in (("new", added), ("old", gone)) if items}


def stringify(data: Iterable[Any]) -> list[str]:
    """Every item as text."""
    return [item if isinstance(item, str) else to_str(item) if isinstance(item, bytes) else str(item) for item in data]


def decode(data: Any, *_args: Any, **_options: Any) -> Any:
    """A copy of `data` in which all bytes are text."""
    return _converted(data, lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else value)


def encode(data: Any, *_args: Any, **_options: Any) -> Any:
    """A copy of `data` in which all text is bytes."""
    return _converted(data, lambda value: value.encode() if isinstance(value, str) else value)


def _converted(data: Any, convert: Callable[[Any], Any]) -> Any:
    if isinstance(data, Mapping):
        return {_converted(key, convert): _converted(value, convert) for key, value in data.items()}
    if isinstance(data, list):
        return [_converted(item, convert) for item in data]
    return convert(data)


def update(dest: Any, upd: Any, recursive_update: bool = True, merge_lists: bool = False) -> Any:
    """`upd` merged into `dest`, which is given back."""
    if not isinstance(dest, dict) or not isinstance(upd, Mapping):
        raise TypeError("Cannot update using non-dict types in dictupdate.update()")
    for key, value in upd.items():
        own = dest.get(key)
        if recursive_update and isinstance(own, dict) and isinstance(value, Mapping):
            update(own, value, True, merge_lists)
        elif merge_lists and isinstance(own, list) and isinstance(value, list):
            dest[key] = own + [item for item in value if item not in own]
        else:
            dest[key] = value
    return dest


def merge(obj_a: Any, obj_b: Any, *_args: Any, merge_lists: bool = False, **_options: Any) -> Any:
    """`obj_b` merged onto a copy of `obj_a`."""
    return update(deepcopy(obj_a), obj_b, True, merge_lists)


def deep_diff(old: Mapping[Any, Any], new: Mapping[Any, Any], ignore: Iterable[str] = ()) -> dict[str, Any]:
    """`{'old': …, 'new': …}` of what two trees of mappings do not share; empty when they are the same."""
    ignored = set(ignore)
    gone: dict[Any, Any] = {}
    added: dict[Any, Any] = {}
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if key in ignored or (key in old and key in new and before == after):
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            within = deep_diff(before, after, ignored)
            for side, kept in (("old", gone), ("new", added)):
                if side in within:
                    kept[key] = within[side]
            continue
        if key in old:
            gone[key] = before
        if key in new:
            added[key] = after
    return {side: found for side, found in (("old", gone), ("new", added)) if found}


# --- versions -----------------------------------------------------------------------------------------------------


@total_ordering
class LooseVersion:
    """A version as its numbers and words, numbers before words where they meet."""

    def __init__(self, text: Any = "") -> None:
        self.vstring = str(text)
        self.version = [int(part) if part.isdigit() else part for part in re.findall(r"\d+|[a-z]+", self.vstring)]
        self._key = [(0, part, "") if isinstance(part, int) else (1, 0, part) for part in self.version]

    def __eq__(self, other: object) -> bool:
        return self._key == _version(other)._key

    def __lt__(self, other: object) -> bool:
        return self._key < _version(other)._key

    def __hash__(self) -> int:
        return hash(self.vstring)

    def __str__(self) -> str:
        return self.vstring


def _version(value: object) -> LooseVersion:
    return value if isinstance(value, LooseVersion) else LooseVersion(value)


def version_cmp(pkg1: Any, pkg2: Any, ignore_epoch: bool = False) -> int:
    """-1, 0 or 1 as the first version is older than, the same as or newer than the second."""
    one, two = LooseVersion(pkg1), LooseVersion(pkg2)
    return (one > two) - (one < two)


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def compare_versions(ver1: Any = "", oper: str = "==", ver2: Any = "", **_options: Any) -> bool:
    """Whether two versions stand in the relation `oper`."""
    return _OPERATORS[oper](LooseVersion(ver1), LooseVersion(ver2))
