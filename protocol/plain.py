"""Whatever a program hands over as data that can be packed, sent and shown: bounded in depth and in text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from protocol.data import Data
from protocol.secrets import Secret

DEEPEST = 20
"""Nesting kept; deeper (or circular) data is named, not kept."""

_INT64 = 2**63
_UINT64 = 2**64


def plain(value: object, longest: int | None = None, depth: int = DEEPEST) -> Data:
    """`value` as plain data: dates, paths and other objects as text, integers beyond 64 bits and NaN as text, text
    without lone surrogates. Strings longer than `longest` characters are cut and say so."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, longest)
    if isinstance(value, bytes):
        return value if longest is None else value[:longest]
    if isinstance(value, int):
        return value if -_INT64 <= value < _UINT64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth == 0:
        return f"<{type(value).__name__} nested too deep>"
    if isinstance(value, Mapping):
        return {str(_text(str(key), longest)): plain(item, longest, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, longest, depth - 1) for item in value]
    return _text(str(value), longest)


def simplified(message: Any, longest: int) -> Any:
    """A dataclass (a message, a result) with every field made plain and cut, its types kept."""
    changes: dict[str, Any] = {}
    for field in fields(message):
        value = getattr(message, field.name)
        if is_dataclass(value):
            changes[field.name] = simplified(value, longest)
        elif isinstance(value, tuple):
            changes[field.name] = tuple(
                simplified(item, longest) if is_dataclass(item) else plain(item, longest) for item in value
            )
        elif isinstance(value, str) and type(value) not in (str, Secret):
            continue
        else:
            changes[field.name] = plain(value, longest)
    return replace(message, **changes)


def _text(text: str, longest: int | None) -> str:
    secret = isinstance(text, Secret)
    raw = text[:]
    if any("\ud800" <= character <= "\udfff" for character in raw):
        raw = raw.encode("utf-8", "surrogateescape" if _escaped(raw) else "replace").decode("utf-8", "replace")
    if longest is not None and len(raw) > longest:
        raw = f"{raw[:longest]}\n[{len(raw) - longest} more characters are left out]"
    return Secret(raw) if secret else raw


def _escaped(text: str) -> bool:
    """Whether all its surrogates stand for bytes that were no UTF-8 (PEP 383)."""
    return all("\udc80" <= c <= "\udcff" for c in text if "\ud800" <= c <= "\udfff")
