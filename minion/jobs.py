"""Which job starts when, waits, is cut off or refused: decided without I/O.

accept -> fetching -> queued -> running -> (process gone) ended
A state apply runs alone among applies, in the order they came; calls run beside it, a few at once. Each job has
a deadline from its acceptance on; at the deadline or on a cancel its whole process group is killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from protocol.command import Apply, Call, Order
from protocol.names import JobId
from protocol.results import JobState

MOST_JOBS = 200
"""Jobs that a minion holds at once; more are refused."""


class Phase(StrEnum):
    """Where an accepted job is."""

    FETCHING = "fetching"
    QUEUED = "queued"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Start:
    """Start the job's process."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the job's whole process group."""

    job: JobId


@dataclass(frozen=True, slots=True)
class End:
    """The job has no process (any more) and no terminal record yet: it ends like this."""

    job: JobId
    state: JobState
    reason: str


Effect = Start | Kill | End


@dataclass(slots=True)
class Job:
    """One accepted job. `verdict` is set once it is being killed, and is what it then ends as."""

    job: JobId
    order: Order
    deadline: float
    phase: Phase = Phase.FETCHING
    missing: set[str] = field(default_factory=set)
    needed: frozenset[str] = frozenset()
    verdict: tuple[JobState, str] | None = None


class JobBook:
    """The jobs of one minion. `now` is monotonic seconds everywhere."""

    def __init__(self, parallel_calls: int) -> None:
        self._parallel_calls = parallel_calls
        self._jobs: dict[JobId, Job] = {}

    def __contains__(self, job: JobId) -> bool:
        return job in self._jobs

    @property
    def jobs(self) -> Iterable[Job]:
        """Every job accepted and not yet ended, in order of acceptance."""
        return self._jobs.values()

    @property
    def full(self) -> bool:
        """Whether another job must be refused."""
        return len(self._jobs) >= MOST_JOBS

    def accept(self, job: JobId, order: Order, timeout: float, now: float) -> None:
        """Take a job on; it waits until `fetched` says that its content is here."""
        self._jobs[job] = Job(job, order, now + timeout)

    def adopt(self, job: JobId, order: Order, timeout: float, now: float) -> None:
        """Take back a job whose process outlived the daemon."""
        self._jobs[job] = Job(job, order, now + timeout, Phase.RUNNING)

    def needs(self, job: JobId, digests: Iterable[str], needed: Iterable[str] = ()) -> list[Effect]:
        """The content the job still lacks, of all that is `needed`; none left means that it can be queued."""
        entry = self._jobs.get(job)
        if entry is None or entry.phase is not Phase.FETCHING:
            return []
        entry.needed = frozenset(needed)
        entry.missing = set(digests)
        if entry.missing:
            return []
        entry.phase = Phase.QUEUED
        return self._start_next()

    def gone(self, job: JobId) -> list[Effect]:
        """The job's process is gone (or never came to be)."""
        entry = self._jobs.pop(job, None)
        if entry is None:
            return []
        died = "interrupted: its process ended without a result; a call is not repeated"
        if isinstance(entry.order, Apply):
            died = "its process ended without a result; applying again goes on from what is true now"
        state, reason = entry.verdict or (JobState.FAILED, died)
        return [End(job, state, reason), *self._start_next()]

    def cancel(self, job: JobId) -> list[Effect]:
        """A cancel came: a running job is killed, a waiting one just ends."""
        return self._stop(job, JobState.CANCELLED, "cancelled")

    def fail(self, job: JobId, reason: str) -> list[Effect]:
        """The job cannot be done (its content is not to be had)."""
        return self._stop(job, JobState.FAILED, reason)

    def tick(self, now: float) -> list[Effect]:
        """End what is over its deadline."""
        effects: list[Effect] = []
        for entry in [e for e in self._jobs.values() if now >= e.deadline and e.verdict is None]:
            waited = f"not done within its deadline; it was {entry.phase.value}"
            effects += self._stop(entry.job, JobState.TIMED_OUT, waited)
        return effects

    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        return min((e.deadline for e in self._jobs.values() if e.verdict is None), default=None)

    def position(self, job: JobId) -> int:
        """How many applies go before this one; 0 when it is its turn."""
        ahead = 0
        for entry in self._jobs.values():
            if entry.job == job:
                break
            ahead += isinstance(entry.order, Apply)
        return ahead

    def _stop(self, job: JobId, state: JobState, reason: str) -> list[Effect]:
        entry = self._jobs.get(job)
        if entry is None or entry.verdict is not None:
            return []
        entry.verdict = (state, reason)
        return [Kill(job)] if entry.phase is Phase.RUNNING else self.gone(job)

    def _start_next(self) -> list[Effect]:
        effects: list[Effect] = []
        running = [e for e in self._jobs.values() if e.phase is Phase.RUNNING]
        applying = any(isinstance(e.order, Apply) for e in running)
        calls = sum(isinstance(e.order, Call) for e in running)
        for entry in self._jobs.values():
            if isinstance(entry.order, Apply):
                turn = not applying and self.position(entry.job) == 0
            else:
                turn = calls < self._parallel_calls
            if entry.phase is Phase.QUEUED and turn:
                entry.phase = Phase.RUNNING
                applying = applying or isinstance(entry.order, Apply)
                calls += isinstance(entry.order, Call)
                effects.append(Start(entry.job))
        return effects
