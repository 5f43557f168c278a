"""Regular expressions from people: compiled within bounds, and refused when matching one could take for ever.

Python's engine backtracks: `(a+)+$` on 40 characters takes hours. `compile_safe` refuses what can be exponential: a
group that is repeated without bound and itself holds a repetition or a choice. It also bounds how many repetitions
without bound there are, since each can multiply the time by the length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from protocol.errors import InputError

MAX_PATTERN: Final = 4096
"""Characters of a pattern."""
MAX_OPEN: Final = 8
"""Repetitions without bound in one pattern."""
BOUNDED: Final = 64
"""A repetition up to this often counts as one with a bound."""

_TOKEN: Final = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[:=!<a-zA-Z-]*(?:P?<\w+>)?|[()|]|[*+?][?+]?|\{(\d*)(,?)(\d*)\}[?+]?|.",
    re.DOTALL,
)


@dataclass(slots=True)
class _Group:
    repeats: bool = False
    chooses: bool = False


def compile_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """`pattern` compiled. Raises InputError when it is too long or no regular expression."""
    if len(pattern) > MAX_PATTERN:
        raise InputError(f"a regular expression of {len(pattern)} characters", help=f"at most {MAX_PATTERN} are taken")
    try:
        return _compiled(pattern, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"{pattern[:80]!r} is no regular expression: {error}") from None


def compile_safe(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """As `compile_pattern`; raises InputError also for a pattern whose matching may take for ever."""
    compiled = compile_pattern(pattern, flags)
    open_repeats = 0
    groups = [_Group()]
    closed: _Group | None = None
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text[0] in "*+?{" and (text[0] != "{" or token[1] or token[3]):
            without_bound = _without_bound(token)
            open_repeats += without_bound
            if without_bound and closed is not None and (closed.repeats or closed.chooses):
                raise InputError(
                    f"matching {pattern[:80]!r} may take for ever",
                    help="do not repeat a group that holds a repetition or a choice",
                )
            groups[-1].repeats = True
            closed = None
            continue
        closed = None
        if text[0] == "(":
            groups.append(_Group())
        elif text == ")" and len(groups) > 1:
            closed = groups.pop()
            groups[-1].repeats |= closed.repeats
            groups[-1].chooses |= closed.chooses
        elif text == "|":
            groups[-1].chooses = True
    if open_repeats > MAX_OPEN:
        raise InputError(
            f"{open_repeats} repetitions without bound in one regular expression", help=f"at most {MAX_OPEN} are taken"
        )
    return compiled


def _without_bound(token: re.Match[str]) -> bool:
    if token[0][0] in "*+":
        return True
    if token[0][0] == "?":
        return False
    most = token[3] if token[2] else token[1]
    return not most or int(most[:9]) > BOUNDED


@lru_cache(maxsize=1024)
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    return re.compile(pattern, flags)
