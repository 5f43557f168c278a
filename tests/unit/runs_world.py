"""A run whose master may crash between any two entries of its journal, while its jobs go on: all in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from master.jobs import JobOutcome, JobRequest, MinionOutcome
from master.runs import journal, records
from master.runs.engine import Engine
from master.runs.naming import names
from master.runs.replay import Open, replay
from master.runs.shapes import (
    Announce,
    CancelJob,
    Decided,
    Effect,
    Expand,
    Expanded,
    Finished,
    JobEnded,
    JobStarted,
    Key,
    RunEvent,
    StartJob,
    Tell,
    Tick,
)
from protocol.assignment import Chunk
from protocol.names import JobId

MINIONS = ("m1", "m2", "m3")
Answer = Callable[[JobRequest], Mapping[str, MinionOutcome]]


class Crash(Exception):
    """The master is gone."""


@dataclass
class World:
    """`answer` says what jobs come to. `crash(number, written)` whether the master crashes after it wrote the journal's
    entry of that number (`written` False: before it)."""

    chunks: Sequence[Chunk]
    answer: Answer
    crash: Callable[[int, bool], bool]
    now: float = 1000.0
    journal: list[Mapping[str, Any]] = field(default_factory=list)
    requests: dict[JobId, JobRequest] = field(default_factory=dict)
    known: dict[str, JobId] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    crashes: int = 0
    pending: list[RunEvent] = field(default_factory=list)

    def begin(self) -> World:
        """A new run."""
        self.engine = self._engine()
        self.journal.append({"what": "assignment", "now": self.now})
        self._carry_out(self.engine.begin(self.now))
        return self

    def _engine(self) -> Engine:
        return Engine("run", self.chunks, names(self.chunks), test=False, user="u")

    def hear(self, event: RunEvent) -> None:
        """Take an event in as the driver does: decide, write, carry out; or crash on the way and begin again."""
        before = len(self.journal)
        effects = self.engine.handle(event, self.now)
        try:
            self._may_crash(before, False)
            if not isinstance(event, Tick) or effects:
                self.journal.append(journal.entry(event, self.now))
            for effect in effects:
                if isinstance(effect, Announce):
                    self.journal.append(records.announced(effect.what, effect.data))
                if isinstance(effect, Tell):
                    self.journal.append(records.told(self.engine.name(effect.step), effect.what, effect.data, self.now))
            self.ended += [effect.state for effect in effects if isinstance(effect, Finished)]
            self._may_crash(before, True)
        except Crash:
            self.crashes += 1
            self._restart(event)
            return
        self._carry_out(effects)

    def _may_crash(self, number: int, written: bool) -> None:
        if self.crash(number, written):
            raise Crash

    def _restart(self, lost: RunEvent) -> None:
        """A new master: what was under way in the old one is gone, the jobs are not."""
        self.pending.clear()
        self.engine = self._engine()
        open = asyncio.run(replay(self.engine, self.journal, self._outcome))
        for key, effect in open.effects.items():
            self._again(key, effect, open)

    async def _outcome(self, job: JobId) -> JobOutcome:
        return JobOutcome(job, self.answer(self.requests[job]))

    def _again(self, key: Key, effect: Effect, open: Open) -> None:
        if not isinstance(effect, StartJob):
            self._carry_out([effect])
            return
        job = open.started.get(key) or self.known.get(effect.request.cause)
        if job is None:
            self._carry_out([effect])
            return
        self.pending += [] if key in open.started else [JobStarted(key, job)]
        self.pending.append(JobEnded(key, JobOutcome(job, self.answer(self.requests[job]))))

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case StartJob(key, request):
                    assert request.cause not in self.known, f"{request.cause} began twice"
                    job = self.known[request.cause] = JobId(f"{len(self.requests):020d}-abcdef")
                    self.requests[job] = request
                    self.pending += [JobStarted(key, job), JobEnded(key, JobOutcome(job, self.answer(request)))]
                case Expand(key, target, _, _):
                    minions = MINIONS if target == "*" else tuple(target.split(","))
                    self.pending.append(Expanded(key, minions, tuple(f"d-{minion}" for minion in minions)))
                case CancelJob() | Tell() | Announce() | Finished():
                    pass
                case _:
                    raise AssertionError(f"this world knows no {effect}")

    def settle(self, random: Random, most: int = 600) -> World:
        """Let things happen in any order until the run has ended."""
        for _ in range(most):
            if self.engine.state != "running":
                return self
            if self.pending:
                self.hear(self._next(random))
                continue
            waiting = [one for one in self.engine.approvals().values() if one.key is not None]
            if waiting and waiting[0].key is not None:
                self.hear(Decided(waiting[0].key, "ann", True))
            elif self.engine.wake is not None:
                self.now = max(self.now, self.engine.wake)
                self.hear(Tick())
            else:
                return self
        raise AssertionError("the run does not end")

    def _next(self, random: Random) -> RunEvent:
        """One of what is pending; the start of a job comes before its end."""
        at = random.randrange(len(self.pending))
        event = self.pending[at]
        if isinstance(event, JobEnded):
            starts = [place for place, one in enumerate(self.pending) if isinstance(one, JobStarted)]
            at = next((place for place in starts if self.pending[place].key == event.key), at)  # type: ignore[union-attr]
        return self.pending.pop(at)

    def begun(self, name: str) -> int:
        """How many jobs were started for the SLS `name`."""
        return sum(request.sls == (name,) for request in self.requests.values())
