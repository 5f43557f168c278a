"""What the database keeps of data that others made: cut to what can be read back, and read without trust."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Final

from protocol import codec, limits
from protocol.data import Data
from protocol.errors import DecodeError
from protocol.results import Change, StepResult

MOST_KEPT: Final = 2 * 1024 * 1024
"""Bytes of one value, event, request or result; half of what is read back at all."""

MOST_WHEN_FULL: Final = 64 * 1024
"""The same on a full disk, where a transaction must fit into what the log has."""

DEEPEST: Final = limits.MAX_DEPTH - 8
"""Nesting kept; an event puts what it tells a few levels deeper."""

_CUTS: Final = ((256 * 1024, 10_000), (16 * 1024, 1_000), (1024, 100), (64, 10), (8, 2))
"""Characters of one text and items of one list or mapping that are left, from mild to harsh."""

UNREADABLE: Final = "unreadable"
"""The only key of what is told in place of a damaged record."""


def pack(data: Data, most: int = MOST_KEPT) -> bytes:
    """`data` packed in at most `most` bytes (from 64 on), cut as far as that needs; it can be read back always."""
    if _fits(data, DEEPEST):
        try:
            raw = codec.pack(data)
        except (OverflowError, UnicodeEncodeError):
            raw = None
        if raw is not None and len(raw) <= most:
            return raw
    for text, items in _CUTS:
        raw = codec.pack(cut(data, text, items))
        if len(raw) <= most:
            return raw
    return codec.pack({"shortened": True})


def fitting(data: Data, most: int) -> Data:
    """`data`, cut to about at most `most` bytes."""
    return unpack(pack(data, most)) if data is not None else None


def unpack(raw: bytes) -> Data:
    """What was packed; a mapping with the key UNREADABLE when it is damaged."""
    try:
        return codec.unpack(raw)
    except DecodeError as error:
        return {UNREADABLE: error.message}


def mapping(raw: bytes) -> Mapping[str, Data]:
    """`unpack` of what always was a mapping."""
    data = unpack(raw)
    return data if isinstance(data, Mapping) else {UNREADABLE: f"a {type(data).__name__} in place of a mapping"}


def cut(data: Data, text: int, items: int, depth: int = DEEPEST) -> Data:
    """`data` with texts of at most `text` characters, lists and mappings of at most `items`, numbers that fit."""
    if isinstance(data, str):
        whole = data[:].encode("utf-8", "replace").decode()
        return whole if len(whole) <= text else f"{whole[:text]} [{len(whole) - text} more characters are left out]"
    if isinstance(data, bytes):
        return data[:text]
    if isinstance(data, Mapping):
        if depth == 0:
            return "[nested too deep]"
        some = list(data.items())[:items]
        return {str(cut(key, text, items)): cut(item, text, items, depth - 1) for key, item in some}
    if isinstance(data, list | tuple):
        if depth == 0:
            return "[nested too deep]"
        left = [cut(item, text, items, depth - 1) for item in data[:items]]
        return left if len(data) <= items else [*left, f"[{len(data) - items} more are left out]"]
    if isinstance(data, int) and not -(2**63) <= data < 2**64:
        return str(data) if abs(data) < 10**1000 else "[a number too large]"
    return data


def shortened(result: StepResult, most: int = MOST_KEPT) -> StepResult:
    """A step's result in about at most `most` bytes: what became of it stays, texts and changes are cut."""
    if size(result) <= most:
        return result
    for text, items in _CUTS:
        less = _shorter(result, text, items)
        if size(less) <= most:
            return less
    return dataclasses.replace(_shorter(result, 8, 2), changes=())


def size(result: StepResult) -> float:
    """Bytes of a result when packed; infinite when it cannot be."""
    if not all(_fits([c.old, c.new, c.details], DEEPEST - 4) for c in result.changes):
        return math.inf
    try:
        return len(codec.encode(result))
    except (OverflowError, UnicodeEncodeError):
        return math.inf


def _shorter(result: StepResult, text: int, items: int) -> StepResult:
    def one(value: str) -> str:
        return str(cut(value, text, items))

    def change(each: Change) -> Change:
        old, new, details = (cut(value, text, items, DEEPEST - 5) for value in (each.old, each.new, each.details))
        return Change(each.kind, one(each.subject), one(each.aspect), old, new, one(each.diff), details)

    left = len(result.changes) - items
    more = (f"the results are too long to keep: {left} changes are left out",) if left > 0 else ()
    return dataclasses.replace(
        result,
        tag=one(result.tag), function=one(result.function), id=one(result.id), name=one(result.name),
        sls=one(result.sls), comment=one(result.comment), file=one(result.file),
        changes=tuple(change(each) for each in result.changes[:items]),
        warnings=(*(one(warning) for warning in result.warnings[:items]), *more),
    )  # fmt: skip


def _fits(data: Data, depth: int) -> bool:
    """Whether nesting, items and numbers are within what can be read back."""
    if isinstance(data, Mapping):
        return depth > 0 and len(data) < limits.MAX_ITEMS and all(_fits(item, depth - 1) for item in data.values())
    if isinstance(data, list | tuple):
        return depth > 0 and len(data) < limits.MAX_ITEMS and all(_fits(item, depth - 1) for item in data)
    return True
