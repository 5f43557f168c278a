"""When a failed step is tried again: attempts, intervals that may grow, and a jitter that each replay repeats."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from master.runs.machine import number
from protocol.errors import ArgumentError

if TYPE_CHECKING:
    from protocol.data import Data

INTERVAL: Final = 30.0
ATTEMPTS: Final = 2
"""Salt's defaults of `retry`."""

MOST_ATTEMPTS: Final = 100
LONGEST: Final = 300.0
"""Seconds between two attempts at most, when the interval grows and `max_interval` says nothing else."""

_KNOWN: Final = ("attempts", "interval", "splay", "backoff", "max_interval")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is tried, and how long is waited in between (seconds).

    The n-th wait is `interval * backoff ** (n - 1)`, at most `longest`; with a backoff above 1 it is then drawn between
    half of that and all of it, so that steps that failed together do not come back together. Up to `splay` is added.
    """

    attempts: int
    interval: float
    backoff: float
    longest: float
    splay: float

    def wait(self, attempt: int, seed: str) -> float:
        """Seconds after the failed `attempt` (from 1); `seed` names run and step: equal seeds give equal waits."""
        share = int.from_bytes(hashlib.sha256(f"{seed}/{attempt}".encode()).digest()[:8], "big") / 2**64
        if self.backoff == 1.0:
            return self.interval + share * self.splay
        grown = min(self.interval * self.backoff ** min(attempt - 1, 64), self.longest)
        return grown * (0.5 + share / 2) + share * self.splay


def retry(option: Data) -> Retry:
    """The `retry` option of a step: true, or a mapping. What is out of bounds is brought within."""
    given = option if isinstance(option, Mapping) else {}
    return Retry(
        attempts=min(max(int(number(given.get("attempts"), ATTEMPTS)), 1), MOST_ATTEMPTS),
        interval=max(number(given.get("interval"), INTERVAL), 0.0),
        backoff=min(max(number(given.get("backoff"), 1.0), 1.0), 10.0),
        longest=max(number(given.get("max_interval"), LONGEST), 0.0),
        splay=max(number(given.get("splay"), 0.0), 0.0),
    )


def check_retry(option: Data) -> None:
    """Refuse what means nothing for a step. Raises ArgumentError."""
    strange = sorted(option.keys() - set(_KNOWN)) if isinstance(option, Mapping) else []
    if strange:
        raise ArgumentError(f"'retry' of a step has no {strange[0]!r}", help=f"it takes {', '.join(_KNOWN)}")
