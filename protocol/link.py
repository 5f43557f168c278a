"""The minion's end of a session as a pure state machine: when to open, greet, beat, and give up on a connection.

    closed --open--> greeting --Welcome--> up
    greeting --no Welcome in 3 intervals--> closed
    up --nothing heard for 3 intervals--> closed
    closed --back-off (jittered, at most 30 s)--> greeting

Events in (`tick`, `heard`, `welcomed`), actions out; it has no clock and no socket. It never ends by itself: a
minion does not exit for lack of a master.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum

PATIENCE = 3
"""Intervals without a word from the master after which the link is rebuilt."""

SHORTEST = 0.1
LONGEST = 300.0
"""Heartbeat intervals that a master may set, in seconds."""

SLOWEST_RETRY = 30.0
"""Seconds between attempts at most."""


class LinkState(StrEnum):
    """Where the link is."""

    CLOSED = "closed"
    GREETING = "greeting"
    UP = "up"


class Action(StrEnum):
    """What the agent is to do now."""

    OPEN = "open"
    CLOSE = "close"
    BEAT = "beat"


@dataclass(slots=True)
class Link:
    """`interval` is the heartbeat's, in seconds; the master's Welcome may change it. `now` is monotonic seconds."""

    interval: float = 5.0
    rng: random.Random = field(default_factory=random.Random)
    state: LinkState = LinkState.CLOSED
    _due: float = 0.0
    _heard: float = 0.0
    _beat: float = 0.0
    _failures: int = 0

    def tick(self, now: float) -> list[Action]:
        """What time alone brings."""
        if self.state is LinkState.CLOSED:
            if now < self._due:
                return []
            self.state = LinkState.GREETING
            self._heard = now
            return [Action.OPEN]
        if now >= self._heard + PATIENCE * self.interval:
            return [self._close(now)]
        if self.state is LinkState.UP and now >= self._beat:
            self._beat = now + self.interval
            return [Action.BEAT]
        return []

    def heard(self, now: float) -> None:
        """Any message of the master arrived."""
        self._heard = now

    def welcomed(self, now: float, interval: float) -> None:
        """The master's Welcome arrived: the session stands."""
        self.state = LinkState.UP
        self.interval = interval = min(max(interval, SHORTEST), LONGEST)
        self._heard = now
        self._beat = now + interval * self.rng.uniform(0.2, 1.0)
        self._failures = 0

    def broken(self, now: float) -> Action:
        """The session is known to be useless (refused, garbage): rebuild it."""
        return self._close(now)

    def deadline(self) -> float:
        """The monotonic second at which `tick` has something to do."""
        if self.state is LinkState.CLOSED:
            return self._due
        patience = self._heard + PATIENCE * self.interval
        return min(patience, self._beat) if self.state is LinkState.UP else patience

    def _close(self, now: float) -> Action:
        self._failures += 1
        ceiling = min(SLOWEST_RETRY, 0.5 * 2 ** min(self._failures, 8))
        self._due = now + self.rng.uniform(0.1, ceiling)
        self.state = LinkState.CLOSED
        return Action.CLOSE
