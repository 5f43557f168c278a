"""A gate: something measured must hold, so many samples in a row, before a time is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from master.jobs import JobOutcome, JobRequest
from master.runs.machine import Setting
from master.runs.shapes import (
    CancelJob,
    Effect,
    JobEnded,
    JobStarted,
    Key,
    Refused,
    StepEvent,
    StepOutcome,
    Tell,
)
from protocol.errors import InputError, NoTargetError, StackmasterError
from protocol.expression import Expression
from protocol.names import JobId
from protocol.results import JobState

if TYPE_CHECKING:
    from protocol.data import Data

SAMPLE: Final = 60.0
"""Seconds that one sample may take at most: one that hangs is taken anew."""


Doubt = Callable[[str, "Data"], str]
"""Why a minion's value does not do; empty when it does."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a gate waits for: no `doubt` in `samples` samples in a row, and for `hold` seconds on end.

    `interval`, `timeout` and `hold` are in seconds.
    """

    text: str
    doubt: Doubt
    samples: int = 1
    interval: float = 1.0
    timeout: float = 300.0
    any_minion: bool = False
    hold: float = 0.0


@dataclass(slots=True)
class GateStep:
    """Calls `request` again and again until `terms` hold on all targeted minions (or any of them)."""

    setting: Setting
    request: JobRequest
    terms: Terms
    outcome: StepOutcome | None = None
    wake: float | None = None
    _until: float = 0.0
    _taken: float = 0.0
    _asking: Key | None = None
    _job: JobId | None = None
    _jobs: list[JobId] = field(default_factory=list)
    _held: int = 0
    _since: float = 0.0
    _reason: str = "no sample yet"
    _values: dict[str, Data] = field(default_factory=dict)

    def begin(self, now: float) -> list[Effect]:
        """Take the first sample."""
        self._until = now + self.terms.timeout
        return self._sample(now)

    def handle(self, event: StepEvent, now: float) -> list[Effect]:
        """A sample came, or it is time for the next one, or the time is over."""
        effects: list[Effect] = []
        match event:
            case JobStarted(key, job) if key == self._asking:
                self._job = job
                self._jobs = [*self._jobs[-9:], job]
                return []
            case JobEnded(key, outcome) if key == self._asking:
                effects = self._sampled(key, outcome, now)
            case Refused(key, error) if key == self._asking:
                effects = self._refused(key, error, now)
        if self.outcome is None and now >= self._until:
            return [*effects, *self._give_up()]
        if self.outcome is None and self._asking is None and self.wake is not None and now >= self.wake:
            return [*effects, *self._sample(now)]
        return effects

    def stop(self, now: float) -> list[Effect]:
        """End at once."""
        self.outcome = StepOutcome(False, f"cancelled while it waited: {self._reason}", jobs=tuple(self._jobs))
        return self._abandon()

    # --- within -----------------------------------------------------------------------------------------------

    def _sample(self, now: float) -> list[Effect]:
        self._asking, self._job, self._taken = self.setting.key(), None, now
        self.wake = self._until
        limit = min(SAMPLE, max(self._until - now, 1.0))
        return [self.setting.start(self._asking, replace(self.request, timeout=limit))]

    def _sampled(self, key: Key, outcome: JobOutcome, now: float) -> list[Effect]:
        reasons = self._reasons(outcome)
        self._values = {minion: ended.value for minion, ended in outcome.minions.items()}
        held = not reasons or (self.terms.any_minion and len(reasons) < len(outcome.minions))
        return self._counted(key, "" if held else "; ".join(reasons[:3]), now)

    def _counted(self, key: Key, reason: str, now: float) -> list[Effect]:
        """One more sample that held (no reason), or the first of a new row."""
        self._asking = None
        self._held = 0 if reason else self._held + 1
        if self._held == 1:
            self._since = self._taken
        if self._held >= self.terms.samples and self._taken - self._since >= self.terms.hold:
            times = f" in {self._held} samples" if self._held > 1 else ""
            self.outcome = StepOutcome(
                True, f"{self.terms.text}: holds{times}", jobs=tuple(self._jobs), values=self._values
            )
            self.wake = None
            return []
        self.wake = min(self._until, max(now, self._taken + self.terms.interval))
        told = reason or self._holding()
        if told == self._reason:
            return []
        self._reason = told
        return [Tell(key.step, "waiting", {"reason": told})]

    def _holding(self) -> str:
        if self._held < self.terms.samples:
            return f"holds, sample {self._held} of {self.terms.samples}"
        return f"holds, and has to for {self.terms.hold:g} s"

    def _reasons(self, outcome: JobOutcome) -> list[str]:
        """Why the condition does not hold, for each minion where it does not."""
        found = []
        for minion, ended in sorted(outcome.minions.items()):
            if ended.state is not JobState.SUCCEEDED:
                found.append(f"{minion}: {ended.state.value} {ended.reason}".strip())
                continue
            doubt = self.terms.doubt(minion, ended.value)
            if doubt:
                found.append(f"{minion}: {doubt}")
        return found

    def _refused(self, key: Key, error: StackmasterError, now: float) -> list[Effect]:
        if isinstance(error, InputError | NoTargetError):  # waiting mends no mistake
            place = f"\nat {error.where}" if str(error.where) else ""
            self.outcome = StepOutcome(False, f"{error.message}{place}\n{error.help}".strip(), values={})
            return []
        return self._counted(key, error.message, now)

    def _give_up(self) -> list[Effect]:
        comment = f"waited {self.terms.timeout:g} s for {self.terms.text}\nlast: {self._reason}"
        self.outcome = StepOutcome(False, comment, jobs=tuple(self._jobs), values={})
        return self._abandon()

    def _abandon(self) -> list[Effect]:
        self._asking, self.wake = None, None
        return [CancelJob(self._job)] if self._job is not None else []


def unless(condition: Expression) -> Doubt:
    """The doubt that a condition on the value leaves; a value that is no mapping is called `value`."""

    def doubt(_: str, value: Data) -> str:
        measured: Data = value if isinstance(value, Mapping) else {"value": value}
        return "" if _holds(condition, measured) else condition.explain(measured)

    return doubt


def _holds(condition: Expression, value: Data) -> bool:
    """Whether a condition is true; one that cannot be decided is not (and `explain` says why)."""
    try:
        return condition.holds(value)
    except StackmasterError:
        return False
