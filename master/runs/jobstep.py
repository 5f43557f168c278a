"""A step that is a job on minions: at once on all of them, or a sliding window of so many at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from master.jobs import JobOutcome, JobRequest, MinionOutcome
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
)
from master.runs.verdicts import Expectations
from protocol.errors import NoTargetError, SlsError, StackmasterError
from protocol.names import JobId

if TYPE_CHECKING:
    from protocol.data import Data

Conclude = Callable[[Mapping[str, MinionOutcome], tuple[str, ...]], StepOutcome]
"""Judges what the minions came to; the second argument are those that were not begun."""


@dataclass(slots=True)
class JobStep:
    """`request` on its target, judged by `conclude`. `window` (N or "N%") at a time, `subset` of them only.

    In a window each minion has a job of its own; as soon as more have failed than are allowed, no further one begins.
    """

    setting: Setting
    request: JobRequest
    expected: Expectations
    conclude: Conclude
    window: int | str | None = None
    subset: int | str | None = None
    outcome: StepOutcome | None = None
    wake: float | None = None
    _open: dict[Key, JobId | None] = field(default_factory=dict)
    _jobs: list[JobId] = field(default_factory=list)
    _waiting: list[str] = field(default_factory=list)
    _left_out: tuple[str, ...] = ()
    _size: int = 1
    _minions: dict[str, MinionOutcome] = field(default_factory=dict)
    _stopping: bool = False

    def begin(self, now: float) -> list[Effect]:
        """Ask whom it is for, where that matters; else start the job."""
        key = self.setting.key()
        self._open[key] = None
        if self.window is None and self.subset is None:
            return [self.setting.start(key, self.request)]
        return [Expand(key, self.request.target, self.request.target_kind)]

    def handle(self, event: StepEvent, now: float) -> list[Effect]:
        """A job began or ended, or could not begin."""
        match event:
            case JobStarted(key, job) if key in self._open:
                self._open[key] = job
                self._jobs.append(job)
                said = {"function": _what(self.request), "job": job, "jobs": list(self._jobs)}
                stop: list[Effect] = [CancelJob(job)] if self._stopping else []
                return [Tell(key.step, "started", said), *stop]
            case JobEnded(key, outcome) if key in self._open:
                del self._open[key]
                return self._ended(outcome)
            case Expanded(key, minions) if key in self._open:
                del self._open[key]
                return self._expanded(list(minions))
            case Refused(key, error) if key in self._open:
                del self._open[key]
                return self._refused(error)
        return []

    def stop(self, now: float) -> list[Effect]:
        """Cancel what goes on; the outcome comes with the ends of the jobs."""
        self._stopping = True
        self._left_out = (*self._left_out, *self._waiting)
        self._waiting.clear()
        self._conclude()
        return [CancelJob(job) for job in self._open.values() if job is not None]

    # --- within -----------------------------------------------------------------------------------------------

    def _expanded(self, minions: list[str]) -> list[Effect]:
        if self._stopping:
            self._left_out = tuple(minions)
            self._conclude()
            return []
        if not minions:
            return self._refused(NoTargetError(f"the target {self.request.target!r} matches nobody"))
        if self.subset is not None:
            minions = minions[: size_of(self.subset, len(minions))]
        if self.window is None:
            return self._start(",".join(minions))
        self._waiting = minions
        self._size = size_of(self.window, len(minions))
        return self._fill()

    def _fill(self) -> list[Effect]:
        """Begin on as many waiting minions as the window allows, unless too many have failed."""
        bad = len(self.expected.counted(self._minions))
        if self._waiting and (bad > self.expected.allow_fail or self.expected.silent(self._minions)):
            self._left_out = (*self._left_out, *self._waiting)
            self._waiting.clear()
        effects: list[Effect] = []
        while self._waiting and len(self._open) < self._size:
            effects += self._start(self._waiting.pop(0))
        self._conclude()
        return effects

    def _start(self, minions: str) -> list[Effect]:
        key = self.setting.key()
        self._open[key] = None
        return [self.setting.start(key, replace(self.request, target=minions, target_kind="list"))]

    def _ended(self, outcome: JobOutcome) -> list[Effect]:
        self._minions.update(outcome.minions)
        return self._fill()

    def _refused(self, error: StackmasterError) -> list[Effect]:
        self._left_out = (*self._left_out, *self._waiting)
        self._waiting.clear()
        if isinstance(error, NoTargetError) and self.expected.expect_minions is False:
            self.outcome = StepOutcome(True, "The target matches nobody; nobody was expected.", values={})
        else:
            self.outcome = failure(error, self._minions, tuple(self._jobs))
        return [CancelJob(job) for job in self._open.values() if job is not None]

    def _conclude(self) -> None:
        if self._open or self._waiting or self.outcome is not None:
            return
        ended = self.conclude(self._minions, self._left_out)
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


def size_of(given: int | str, of: int) -> int:
    """`N` or `N%` of a number, at least 1 and at most all."""
    text = str(given).strip()
    count = int(text[:-1]) * of // 100 if text.endswith("%") else int(text)
    return min(max(count, 1), max(of, 1))


def check_size(what: str, given: Data) -> int | str | None:
    """The argument `what` (batch, subset) as N or "N%". Raises SlsError."""
    if given is None:
        return None
    text = str(given).strip()
    digits = text.removesuffix("%")
    if isinstance(given, bool) or not digits.isdigit() or int(digits) < 1:
        raise SlsError(f"{what!r} must be a number or a percentage, not {text!r}", help=f"{what}: 3, or {what}: 25%")
    return text
