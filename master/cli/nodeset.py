"""Ids folded into node sets for the eye: osd1, osd2, osd3 are `osd[1-3]` (the notation of ClusterShell)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)


def fold(ids: Iterable[str]) -> str:
    """`ids` as one text: numbers at the last place of a name are folded, groups are joined by commas, in order."""
    names = set(ids)
    numbered = {name: match.groups() for name in names if (match := _NUMBERED.fullmatch(name))}
    padded = {(head, tail, len(digits)) for head, digits, tail in numbered.values() if _padded(digits)}
    groups: dict[tuple[str, str, int], list[int]] = {}
    for head, digits, tail in numbered.values():
        width = len(digits) if (head, tail, len(digits)) in padded else 0
        groups.setdefault((head, tail, width), []).append(int(digits))
    parts = [(name, name) for name in names - numbered.keys()]
    for (head, tail, width), numbers in groups.items():
        parts.append((head + tail, _group(head, tail, width, sorted(numbers))))
    return ",".join(text for _, text in sorted(parts))


def _padded(digits: str) -> bool:
    return digits.startswith("0") and len(digits) > 1


def _group(head: str, tail: str, width: int, numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"{head}{numbers[0]:0{width}d}{tail}"
    ranges: list[str] = []
    first = last = numbers[0]
    for number in [*numbers[1:], -1]:
        if number == last + 1:
            last = number
            continue
        ranges.append(f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}")
        first = last = number
    return f"{head}[{','.join(ranges)}]{tail}"


def short(ids: Iterable[str], width: int = 60) -> str:
    """`fold(ids)`, or how many there are when that is longer than `width`."""
    names = list(ids)
    folded = fold(names)
    return folded if len(folded) <= width else f"{folded[: width - 1]}… ({len(names)})"
