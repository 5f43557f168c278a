"""When each minion is looked at for drift, and what one look says against the look before it; no clock, no I/O."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from protocol import codec, settings
from protocol.data import Data
from protocol.errors import ConfigError

SHORTEST: Final = 1.0
"""Seconds of the shortest interval."""

MOST_TOLD: Final = 256 * 1024
"""Bytes (about) of the steps of one finding; beyond it the diffs are left out."""

Standing = Literal["clean", "drifted", "failed"]

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)")


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """What `drift:` in the master's settings may say; spans are like 90, 90s, 30m, 2h or 1d.

    interval     span from one look at a minion to the next
    target       the minions that are looked at; target_kind: how it is written
    sls          the SLS that they should keep to; empty: the highstate
    environment  of the SLS
    jitter       span over which the minions are spread within an interval; empty: the whole interval
    timeout      span that one look may take
    """

    interval: str = ""
    target: str = "*"
    target_kind: str = "compound"
    sls: tuple[str, ...] = ()
    environment: str = "base"
    jitter: str = ""
    timeout: str = "10m"


@dataclass(frozen=True, slots=True)
class DriftRule:
    """`DriftSettings` with spans in seconds."""

    interval: float
    jitter: float
    timeout: float
    target: str
    target_kind: str
    sls: tuple[str, ...]
    environment: str


@dataclass(frozen=True, slots=True)
class Found:
    """What one look at a minion said: `steps` are what a dry run foretells, `reason` why it failed."""

    standing: Standing
    reason: str = ""
    steps: Sequence[Mapping[str, Data]] = ()

    @property
    def changes(self) -> int:
        """How many changes would be made."""
        return sum(len(changes) for changes in (step["changes"] for step in self.steps) if isinstance(changes, list))


def rule_of(given: Mapping[str, Any]) -> DriftRule | None:
    """The rule in the settings, None when nothing is said. Raises ConfigError."""
    if not given:
        return None
    said = settings.build(DriftSettings, given, "drift")
    interval = _seconds("interval", said.interval)
    if interval < SHORTEST:
        raise ConfigError(f"'drift': the interval must be {SHORTEST:g} s or more", help="write interval: 30m")
    jitter = _seconds("jitter", said.jitter) if said.jitter else interval
    if jitter > interval:
        raise ConfigError("'drift': the jitter is longer than the interval", help="leave it out to spread evenly")
    timeout = _seconds("timeout", said.timeout)
    if not timeout:
        raise ConfigError("'drift': the timeout must be more than 0")
    return DriftRule(interval, jitter, timeout, said.target, said.target_kind, said.sls, said.environment)


def _seconds(key: str, text: str) -> float:
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"'drift': {key} {text!r} is no span of time", help="write 90s, 30m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2]]


def turn(rule: DriftRule, minion: str, now: float) -> float:
    """When the latest turn of `minion` began, in seconds since the epoch.

    Its place within the interval is made of its id: it is the same after a restart, and another for each minion.
    """
    place = _share(minion) * rule.jitter
    return math.floor((now - place) / rule.interval) * rule.interval + place


@functools.lru_cache(maxsize=65_536)
def _share(minion: str) -> float:
    """A number from 0 to below 1, made of the id."""
    return int.from_bytes(hashlib.sha256(minion.encode()).digest()[:6]) / 2**48


def due(rule: DriftRule, minions: Iterable[str], looked: Mapping[str, float], begun: float, now: float) -> list[str]:
    """Those of `minions` whose turn it is, the longest overdue first.

    `looked` is when each was looked at last; one that never was waits for its first turn after `begun`. A minion
    that was away at its turn is due as soon as it is here.
    """
    turns = {minion: turn(rule, minion, now) for minion in minions}
    waiting = [minion for minion, at in turns.items() if looked.get(minion, begun) < at]
    return sorted(waiting, key=lambda minion: (turns[minion], minion))


def differs(before: Found | None, now: Found) -> bool:
    """Whether a finding is news: a first one that is clean is not."""
    if before is None:
        return now.standing != "clean"
    return before.standing != now.standing or list(before.steps) != list(now.steps)


def bounded(found: Found) -> Found:
    """The finding without its diffs when they are too long to be kept."""
    if len(codec.pack(list(found.steps))) <= MOST_TOLD:
        return found
    short: list[Mapping[str, Data]] = []
    for step in found.steps:
        changes = step["changes"]
        assert isinstance(changes, list)
        kept: list[Data] = [
            {**each, "old": None, "new": None, "diff": ""} for each in changes if isinstance(each, Mapping)
        ]
        short.append({**step, "changes": kept})
    return Found(found.standing, found.reason, short)
