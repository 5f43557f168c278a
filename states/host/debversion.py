"""How Debian versions are ordered, and which of them a wish like `1.2*` or `>=1.2,<2` means."""

from __future__ import annotations

import fnmatch
import functools
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from protocol.errors import ArgumentError

_PARTS: Final = re.compile(r"(\D*)(\d*)")
_CLAUSE: Final = re.compile(r"(>=|<=|>|<|==|=|!=)?\s*([^\s<>=!]\S*)")
_COMPARE: Final[dict[str, Callable[[int, int], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "!=": operator.ne,
}


def compare(left: str, right: str) -> int:
    """-1, 0 or 1 as `left` is older than, equal to or newer than `right` (deb-version(7))."""
    (left_epoch, left_upstream, left_revision), (right_epoch, right_upstream, right_revision) = (
        _split(left),
        _split(right),
    )
    if left_epoch != right_epoch:
        return -1 if left_epoch < right_epoch else 1
    return _compare_part(left_upstream, right_upstream) or _compare_part(left_revision, right_revision)


key = functools.cmp_to_key(compare)
"""Sort key of versions, oldest first."""


@dataclass(frozen=True, slots=True)
class VersionWish:
    """What was asked of a version: `1.2-3`, `1.2*`, `>=1.2,<2`. Without its epoch when that is to be ignored."""

    text: str
    ignore_epoch: bool = False

    @property
    def exact(self) -> str | None:
        """The one version wanted, or None when several may do."""
        clauses = _clauses(self.text)
        one = clauses[0] if len(clauses) == 1 else ("!=", "")
        return one[1] if one[0] == "=" and not _is_pattern(one[1]) and not self.ignore_epoch else None

    def fits(self, version: str) -> bool:
        """Whether `version` is what was asked for."""
        if self.ignore_epoch:
            version = version.partition(":")[2] or version
        return all(_fits(operator_, wanted, version) for operator_, wanted in _clauses(self.text))

    def best(self, versions: Iterable[str]) -> str | None:
        """The newest of `versions` that fits."""
        return max(filter(self.fits, versions), key=key, default=None)


def parse_wish(text: str, *, ignore_epoch: bool = False) -> VersionWish:
    """The wish in `text`. Raises ArgumentError when it cannot be read."""
    wish = VersionWish(text.strip(), ignore_epoch)
    if not wish.text or not _clauses(wish.text):
        raise ArgumentError(f"{text!r} is not a version", help="like '1.2-3', '1.2*' or '>=1.2,<2'")
    return wish


@functools.lru_cache(maxsize=1000)
def _clauses(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause.strip())
        if match is None:
            raise ArgumentError(f"{text!r} is not a version", help="like '1.2-3', '1.2*' or '>=1.2,<2'")
        sign = match.group(1) or "="
        found.append(("=" if sign == "==" else sign, match.group(2)))
    return tuple(found)


def _fits(sign: str, wanted: str, version: str) -> bool:
    if sign in ("=", "!=") and _is_pattern(wanted):
        return fnmatch.fnmatchcase(version, wanted) is (sign == "=")
    if sign == "=":
        return version == wanted or compare(version, wanted) == 0
    return _COMPARE[sign](compare(version, wanted), 0)


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def _split(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon or not epoch.isdigit():
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch), upstream, revision


def _compare_part(left: str, right: str) -> int:
    pairs = zip_longest(_PARTS.findall(left), _PARTS.findall(right), fillvalue=("", ""))
    for (left_text, left_number), (right_text, right_number) in pairs:
        by_text = _compare_text(left_text, right_text)
        if by_text:
            return by_text
        difference = int(left_number or 0) - int(right_number or 0)
        if difference:
            return -1 if difference < 0 else 1
    return 0


def _compare_text(left: str, right: str) -> int:
    for one, other in zip_longest(left, right, fillvalue=""):
        difference = _weight(one) - _weight(other)
        if difference:
            return -1 if difference < 0 else 1
    return 0


def _weight(character: str) -> int:
    """`~` sorts before the end, the end before letters, letters before all else."""
    if character == "~":
        return -1
    if not character:
        return 0
    return ord(character) if character.isascii() and character.isalpha() else ord(character) + 256
