"""Secrets as a type that prints as `***`, and the scrubber that every egress passes through."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Final, Self
from urllib.parse import quote

from protocol.data import Data

MASK: Final = "***"

UNKNOWN: Final = "unknown-until-applied"
"""What a dry run gives for a value that only an earlier step's real run can tell."""

_CEPHX = re.compile(r"(?<![A-Za-z0-9+/])AQ[A-Za-z0-9+/]{36}==")
"""A cephx key: 28 bytes in base64, of which the first is type 1."""

_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
_PEM_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY-----")
_PEM_LONGEST = 16 * 1024
"""Characters of a private key in PEM at most (RFC 7468); behind a beginning without an end so much is hidden."""

_SHORTEST = 6
"""A literal shorter than this is not searched for in text: it would blot out innocent words."""


class Secret(str):
    """A string that must not be seen: `str()`, `repr()` and formatting give `***`; `reveal()` gives the value."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Also of a Secret: its value is taken, not the mask that `str()` gives."""
        return super().__new__(cls, value[:])

    def reveal(self) -> str:
        """The value itself, for the place that must use it."""
        return self[:]

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __add__(self, other: str) -> Secret:
        return Secret(self[:] + other[:])

    def __radd__(self, other: str) -> Secret:
        return Secret(other[:] + self[:])


def reveal(value: Data) -> Data:
    """A copy of `value` in which every Secret is an ordinary string."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [reveal(item) for item in value]
    return value


def literals(value: Data) -> set[str]:
    """The literal text of every Secret inside `value`."""
    if isinstance(value, Secret):
        return {value.reveal()}
    if isinstance(value, Mapping):
        return set().union(*(literals(item) for item in value.values())) if value else set()
    if isinstance(value, list | tuple):
        return set().union(*(literals(item) for item in value)) if value else set()
    return set()


class Scrubber:
    """Replaces the literal values it was given, and what always looks like a secret, by `***`."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Learn more literal values; a multi-line value is also hidden line by line, and each as it looks when it is
        escaped (JSON, Python, URL) or in base64."""
        before = len(self._values)
        for value in values:
            for part in {value, value.strip(), *value.splitlines()}:
                if len(part.strip()) >= _SHORTEST:
                    self._values.update(_forms(part))
        if len(self._values) != before:
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        if "PRIVATE KEY-----" in text:
            text = _without_private_keys(text)
        return _CEPHX.sub(MASK, text) if "AQ" in text else text

    def data(self, value: Data) -> Data:
        """`value` without secrets, keys of mappings included."""
        if isinstance(value, Secret):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "replace")).encode()
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value


def _forms(literal: str) -> set[str]:
    """`literal` and the ways in which it may turn up in other texts."""
    raw = literal[:]
    try:
        coded = raw.encode("utf-8")
    except UnicodeEncodeError:
        return {raw}
    in_base64 = base64.b64encode(coded).decode("ascii").rstrip("=")
    forms = {raw, json.dumps(raw)[1:-1], repr(raw)[1:-1], quote(raw, safe=""), in_base64, coded.hex()}
    return {form for form in forms if len(form) >= _SHORTEST}


def _without_private_keys(text: str) -> str:
    """`text` in which each private key in PEM is masked; in linear time, whatever the text is."""
    kept: list[str] = []
    at = 0
    while (begin := _PEM_BEGIN.search(text, at)) is not None:
        end = _PEM_END.search(text, begin.end(), begin.end() + _PEM_LONGEST)
        kept += [text[at : begin.start()], MASK]
        at = end.end() if end is not None else min(len(text), begin.end() + _PEM_LONGEST)
    return "".join([*kept, text[at:]])
