"""A step that is a job on minions: at once on all of them, or a sliding window of so many at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from master.jobs import JobRequest, MinionOutcome
from master.runs.batches import Batches, Plan, planned, size_of
from master.runs.machine import Setting
from master.runs.shapes import (
    CancelJob,
    Effect,
    Expand,
    Expanded,
    JobEnded,
    JobStarted,
    Key,
    Refused,
    StepEvent,
    StepOutcome,
    Tell,
    Tick,
)
from master.runs.verdicts import Expectations
from protocol.errors import NoTargetError, StackmasterError
from protocol.names import JobId

if TYPE_CHECKING:
    pass

Conclude = Callable[[Mapping[str, MinionOutcome], tuple[str, ...]], StepOutcome]
"""Judges what the minions came to; the second argument are those that were not begun."""


@dataclass(slots=True)
class JobStep:
    """`request` on its target, judged by `conclude`, in `batches` if there are any, on a `subset` (N or "N%") only.

    In a window each minion has a job of its own, in failure domains each domain has one; as soon as more have failed
    than are allowed, no further one begins. `request.timeout` is for the whole step.
    """

    setting: Setting
    request: JobRequest
    expected: Expectations
    conclude: Conclude
    batches: Batches | None = None
    subset: int | str | None = None
    outcome: StepOutcome | None = None
    wake: float | None = None
    _open: dict[Key, JobId | None] = field(default_factory=dict)
    _jobs: list[JobId] = field(default_factory=list)
    _plan: Plan = field(default_factory=Plan)
    _left_out: tuple[str, ...] = ()
    _why: str = ""
    _minions: dict[str, MinionOutcome] = field(default_factory=dict)
    _until: float = 0.0
    _stopping: bool = False

    def begin(self, now: float) -> list[Effect]:
        """Ask whom it is for, where that matters; else start the job."""
        self._until = now + self.request.timeout
        key = self.setting.key()
        self._open[key] = None
        if self.batches is None and self.subset is None and not self.setting.done:
            return [self.setting.start(key, self.request)]
        domain = self.batches.domain if self.batches is not None else ""
        return [Expand(key, self.request.target, self.request.target_kind, domain)]

    def handle(self, event: StepEvent, now: float) -> list[Effect]:
        """A job began or ended, or could not begin; or a pause is over."""
        match event:
            case JobStarted(key, job) if key in self._open:
                self._open[key] = job
                self._jobs.append(job)
                said = {"function": _what(self.request), "job": job, "jobs": list(self._jobs)}
                stop: list[Effect] = [CancelJob(job)] if self._stopping else []
                return [Tell(key.step, "started", said), *stop]
            case JobEnded(key, outcome) if key in self._open:
                del self._open[key]
                self._minions.update(outcome.minions)
                return self._fill(now)
            case Expanded() if event.key in self._open:
                del self._open[event.key]
                return self._expanded(event, now)
            case Refused(key, error) if key in self._open:
                del self._open[key]
                return self._refused(error)
            case Tick() if self._plan.waiting:
                return self._fill(now)
        return []

    def stop(self, now: float) -> list[Effect]:
        """Cancel what goes on; the outcome comes with the ends of the jobs."""
        self._stopping = True
        self._leave_out("")
        self._conclude()
        return [CancelJob(job) for job in self._open.values() if job is not None]

    # --- within -----------------------------------------------------------------------------------------------

    def _expanded(self, event: Expanded, now: float) -> list[Effect]:
        minions = list(event.minions)
        if self._stopping:
            self._left_out = tuple(minions)
            self._conclude()
            return []
        if not minions:
            return self._refused(NoTargetError(f"the target {self.request.target!r} matches nobody"))
        if self.subset is not None:
            minions = minions[: size_of(self.subset, len(minions))]
        domains = dict(zip(event.minions, event.domains, strict=False))
        domains = {minion: domains[minion] for minion in minions if minion in domains}
        done = self.setting.done
        self._minions = {minion: done[minion] for minion in minions if minion in done}
        rest = [minion for minion in minions if minion not in done]
        if self.batches is None:
            self._plan = Plan([tuple(rest)] if rest else [], 1, {}, len(minions))
            return self._fill(now)
        try:
            self._plan = planned(self.batches, rest, domains, len(minions))
        except StackmasterError as error:
            return self._refused(error)
        return self._fill(now)

    def _fill(self, now: float) -> list[Effect]:
        """Begin on as many waiting minions as the batches allow, unless too many have failed or the time is over."""
        if self._plan.waiting:
            why = self._plan.stops(self.batches, self.expected, self._minions) if self.batches is not None else ""
            if not why and now >= self._until:
                why = f"the step was not done in {self.request.timeout:g} s"
            if why:
                self._leave_out(why)
        effects: list[Effect] = []
        while self._plan.waiting and len(self._open) < self._plan.size and not self.setting.paused():
            effects += self._start(self._plan.waiting.pop(0), now)
        self.wake = self._until if self._plan.waiting else None
        self._conclude()
        return effects

    def _leave_out(self, why: str) -> None:
        self._left_out = (*self._left_out, *(minion for batch in self._plan.waiting for minion in batch))
        self._why = self._why or why
        self._plan.waiting.clear()
        self.wake = None

    def _start(self, minions: tuple[str, ...], now: float) -> list[Effect]:
        key = self.setting.key()
        self._open[key] = None
        limit = self.request.timeout if self.batches is None else max(self._until - now, 1.0)
        target = ",".join(minions)
        return [self.setting.start(key, replace(self.request, target=target, target_kind="list", timeout=limit))]

    def _refused(self, error: StackmasterError) -> list[Effect]:
        self._leave_out("")
        if isinstance(error, NoTargetError) and self.expected.expect_minions is False:
            self.outcome = StepOutcome(True, "The target matches nobody; nobody was expected.", values={})
        else:
            self.outcome = failure(error, self._minions, tuple(self._jobs))
        return [CancelJob(job) for job in self._open.values() if job is not None]

    def _conclude(self) -> None:
        if self._open or self._plan.waiting or self.outcome is not None:
            return
        ended = self.conclude(self._minions, self._left_out)
        if self._why and not ended.result:
            ended = replace(ended, comment=f"{ended.comment}\n{self._why}")
        if self._stopping:
            ended = replace(ended, result=False, comment=f"cancelled; {ended.comment}")
        self.outcome = replace(ended, minions=self._minions, jobs=tuple(self._jobs))


def _what(request: JobRequest) -> str:
    return request.function or " ".join(["apply", *(request.sls or ("highstate",))])


def failure(
    error: StackmasterError, minions: Mapping[str, MinionOutcome] | None = None, jobs: tuple[JobId, ...] = ()
) -> StepOutcome:
    """The outcome of a step that an error ended: what, where, and what to do."""
    place = str(error.where)
    lines = [error.message, *([f"at {place}"] if place else []), *([error.help] if error.help else [])]
    return StepOutcome(False, "\n".join(lines), minions=minions or {}, jobs=jobs, values={})
