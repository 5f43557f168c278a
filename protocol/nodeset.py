"""Node sets: `osd[1-40]`, `rack[1-2]-node[001-120,130]`, `osd[1-9/2]`; how they are told from globs, and expanded.

A bracket is a numeric range list when it holds digits, ',', '-' and '/' only, has at least one ',' or '-', and some
number of two digits or more, or a step. So `osd[1-40]` means 40 nodes (as a glob it would mean osd0 to osd4), while
`web0[13]` and `web[!3]` keep their meaning as globs; for `web[1-3]` and `web[1,3]` both readings agree. Leading zeros
of a range's first number give the width. The notation is ClusterShell's, https://clustershell.readthedocs.io.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocol.errors import TargetError

MAX_NODES: Final = 100_000
"""Names that one node set may expand to."""

_BRACKET: Final = re.compile(r"\[([0-9][0-9,/-]*)\]")
_RANGE: Final = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?(?:/([0-9]{1,9}))?")
_WILDCARDS: Final = "*?[]"


@dataclass(frozen=True, slots=True)
class _Span:
    """`first` to `last` in steps of `step`, written with at least `width` digits (0: no leading zeros)."""

    first: int
    last: int
    step: int
    width: int

    def holds(self, digits: str) -> bool:
        number = int(digits)
        if not self.first <= number <= self.last or (number - self.first) % self.step:
            return False
        return digits == f"{number:0{self.width}d}"

    def names(self) -> Iterator[str]:
        return (f"{number:0{self.width}d}" for number in range(self.first, self.last + 1, self.step))

    def __len__(self) -> int:
        return len(range(self.first, self.last + 1, self.step))


@dataclass(frozen=True, slots=True)
class NodeSet:
    """Names with numbers counted up in brackets; between the brackets a glob."""

    text: str
    pattern: re.Pattern[str]
    spans: tuple[tuple[_Span, ...], ...]

    def matches(self, name: str) -> bool:
        """Whether `name` is among them."""
        found = self.pattern.fullmatch(name)
        if found is None:
            return False
        return all(
            any(span.holds(digits) for span in spans) for digits, spans in zip(found.groups(), self.spans, strict=True)
        )

    def expand(self) -> list[str]:
        """Every name, in order. Raises TargetError when they are too many, or when wildcards leave them open."""
        literal = _BRACKET.split(self.text)[::2]
        if any(character in part for part in literal for character in _WILDCARDS):
            raise TargetError(f"{self.text!r} cannot be counted up: it holds a wildcard")
        count = 1
        for spans in self.spans:
            count *= sum(map(len, spans))
        if count > MAX_NODES:
            raise TargetError(f"{self.text!r} means {count} nodes", help=f"at most {MAX_NODES} are taken")
        choices = [[name for span in spans for name in span.names()] for spans in self.spans]
        return [
            literal[0] + "".join(number + after for number, after in zip(numbers, literal[1:], strict=True))
            for numbers in itertools.product(*choices)
        ]


def is_nodeset(text: str) -> bool:
    """Whether some bracket of `text` is a numeric range list (see the module's sentence)."""
    return any(_numeric(content) for content in _BRACKET.findall(text))


def parse(text: str) -> NodeSet:
    """`text` as a node set. Raises TargetError when a range is wrong or stands beside a wildcard."""
    pattern, spans, end = "", [], 0
    for bracket in _BRACKET.finditer(text):
        if not _numeric(bracket[1]):
            continue
        before, after = text[: bracket.start()][-1:], text[bracket.end() :][:1]
        if (before and before in _WILDCARDS) or (after and after in _WILDCARDS):
            raise TargetError(
                f"{bracket[0]} in {text!r} stands beside a wildcard, so that its numbers cannot be told apart",
                help="put something between them",
            )
        pattern += _glob(text[end : bracket.start()]) + "([0-9]+)"
        spans.append(tuple(_span(text, part) for part in bracket[1].split(",")))
        end = bracket.end()
    return NodeSet(text, re.compile(pattern + _glob(text[end:]), re.DOTALL), tuple(spans))


def _numeric(content: str) -> bool:
    counted = any(len(number) > 1 for number in re.split("[,/-]", content)) or "/" in content
    return counted and ("," in content or "-" in content)


def _glob(text: str) -> str:
    return fnmatch.translate(text).removeprefix("(?s:").removesuffix(r")\Z") if text else ""


def _span(text: str, part: str) -> _Span:
    found = _RANGE.fullmatch(part)
    if found is None:
        raise TargetError(f"{part!r} in {text!r} is no number and no range", help="write 7, 1-40, 001-120 or 1-9/2")
    first, last, step = found[1], found[2] or found[1], int(found[3] or 1)
    if int(last) < int(first):
        raise TargetError(f"the range {part} in {text!r} runs backwards", help=f"write {last}-{first}")
    if step == 0:
        raise TargetError(f"the range {part} in {text!r} has a step of 0", help="leave the step out, or use 1")
    width = len(first) if first.startswith("0") and len(first) > 1 else 0
    if width and len(last) != width and (last.startswith("0") or len(last) < width):
        raise TargetError(f"the ends of {part} in {text!r} have different widths", help="write as many digits in both")
    if not width and last.startswith("0") and len(last) > 1:
        raise TargetError(f"the ends of {part} in {text!r} have different widths", help="write as many digits in both")
    return _Span(int(first), int(last), step, width)
