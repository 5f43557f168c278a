"""An orchestration's course, without I/O: events in, effects out; what may start, what it came to, what is told.

A step that names requisites starts as soon as they are met. A step that names none keeps its place in the file: it
starts when all before it have ended, save those that say `parallel: true` and have begun. When nothing more is to be
done, or the run is cancelled, the cleanup steps run, one after the other, whatever happened before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from master.jobs import MinionOutcome
from master.runs import steps
from master.runs.approval import ApprovalStep
from master.runs.backoff import retry
from master.runs.baselines import Baselines
from master.runs.course import again, course
from master.runs.jobstep import failure
from master.runs.machine import Machine, Setting
from master.runs.outputs import Outputs
from master.runs.shapes import (
    Announce,
    Cancelled,
    Effect,
    Finished,
    Key,
    Paused,
    Resumed,
    Retried,
    RunEvent,
    RunState,
    Skipped,
    StepEvent,
    StepOutcome,
    Tell,
    Tick,
)
from master.runs.telling import ended, result_of, untold
from protocol.assignment import Chunk
from protocol.errors import StackmasterError
from protocol.order import ORDERING
from protocol.requisites import Decision, Fail, Pretest, Skip, Walk, not_called
from protocol.results import Foretold, JobState, StepResult, foretold

if TYPE_CHECKING:
    from protocol.data import Data


@dataclass(slots=True)
class _Active:
    """A step under way; `attempt` counts from 1, `again` is when the next attempt begins, `skipped` who skips it."""

    chunk: Chunk
    setting: Setting
    machine: Machine
    begun: float
    pretest: bool
    attempt: int = 1
    again: float | None = None
    args: Mapping[str, Data] = field(default_factory=dict)
    skipped: str = ""


class Engine:
    """The run called `run` over the `chunks` of its assignment, whose steps are called `names`.

    `test` is a dry run. Times are seconds since the epoch. Raises SlsError when the chunks' order cannot be kept.
    """

    def __init__(self, run: str, chunks: Sequence[Chunk], names: Sequence[str], *, test: bool, user: str) -> None:
        self._course = course(chunks, names)
        self._chunks = self._course.steps
        self._names = self._course.names
        self.test = test
        self._user = user
        self._run = run
        self._walk = Walk(self._chunks, test=test)
        self._active: dict[int, _Active] = {}
        self._results: dict[int, StepResult] = {}
        self._done: dict[int, Mapping[str, MinionOutcome]] = {}
        self._outputs = Outputs()
        self._numbers = 0
        self._pending = False
        self._foretold: dict[str, dict[Foretold, None]] = {}
        self._failed = False
        self._cancelled = False
        self._only_failed = False
        self._left = list(self._course.cleanup)
        self._baselines = Baselines(self._chunks, test)
        self.paused = False
        self.cleaning = False
        self.state: RunState = "running"

    # --- what the driver calls --------------------------------------------------------------------------------

    def begin(self, now: float) -> list[Effect]:
        """Start what may start; first of all take the values that gates compare with."""
        return [*self._baselines.take(self._setting), *self._advance(now)]

    def handle(self, event: RunEvent, now: float) -> list[Effect]:
        """Take one event in; gives what is to be done, in order."""
        if self.state != "running":
            return self._retry(event, now) if isinstance(event, Retried) else []
        effects: list[Effect] = []
        match event:
            case Cancelled():
                effects = self._cancel(event, now)
            case Paused(user) if not (self.paused or self.cleaning or self._cancelled):
                self.paused = True
                effects = [Announce("paused", {"user": user})]
            case Resumed(user) if self.paused:
                effects = [Announce("resumed", {"user": user}), *self._go_on(now)]
            case Skipped():
                effects = self._skip(event, now)
            case Paused() | Resumed() | Retried():
                return []
            case _:
                effects = [*self._baselines.hear(event), *self._heard(event, now)]
        return [*effects, *self._advance(now)]

    @property
    def wake(self) -> float | None:
        """When a Tick is wanted next; None when only other events matter."""
        times = [one.machine.wake for one in self._active.values() if one.again is None]
        times += [] if self.paused else [one.again for one in self._active.values()]
        return min((time for time in times if time is not None), default=None)

    @property
    def stopping(self) -> bool:
        """Whether the run is cancelled already, or at its cleanup: only force cancels that."""
        return self._cancelled or self.cleaning

    def name(self, position: int) -> str:
        """The step's name at a position, listeners and cleanup included."""
        if position < 0:
            return self._course.cleanup_names[position]
        if position < len(self._names):
            return self._names[position]
        return f"listener_{self._names[position % len(self._names)]}" if self._names else f"listener_{position}"

    def skippable(self, name: str) -> int | None:
        """The position of a step that may be skipped now; None when it has ended, or is a cleanup step, or unknown."""
        position = self._names.index(name) if name in self._names else -1
        return position if position >= 0 and position not in self._results else None

    def approvals(self) -> dict[str, ApprovalStep]:
        """The steps that wait for an approval now, by name."""
        active = {self.name(at): one.machine for at, one in self._active.items() if not one.skipped}
        return {name: one for name, one in active.items() if isinstance(one, ApprovalStep) and one.outcome is None}

    def waits_for(self, key: Key) -> bool:
        """Whether the answer to an effect still matters to anybody."""
        return key.step in self._active or self._baselines.waits_for(key)

    def replaying(self, goes_on: bool) -> None:
        """A replay of the journal of an earlier master begins or ends."""
        self._outputs.replay(goes_on)

    # --- within -----------------------------------------------------------------------------------------------

    def _heard(self, event: StepEvent, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for position in self._concerned(event):
            effects += self._hear(position, event, now)
        return effects

    def _concerned(self, event: StepEvent) -> list[int]:
        if isinstance(event, Tick):
            return list(self._active)
        return [event.key.step] if event.key.step in self._active else []

    def _hear(self, position: int, event: StepEvent, now: float) -> list[Effect]:
        active = self._active[position]
        if active.again is not None:
            return self._try_again(position, active, now) if now >= active.again and not self.paused else []
        return [*active.machine.handle(event, now), *self._settle(position, active, now)]

    def _settle(self, position: int, active: _Active, now: float) -> list[Effect]:
        """When the step has ended: another attempt, or its result to the walk and to those who watch."""
        outcome = active.machine.outcome
        if outcome is None:
            return []
        outcome = steps.forgiven(active.chunk, active.setting, outcome)
        if active.skipped:
            outcome = replace(outcome, result=True, comment=f"skipped by {active.skipped}; {outcome.comment}")
        option = active.chunk.options.get("retry")
        stopped = self._cancelled and position >= 0
        if outcome.result is False and option and not (self.test or stopped or active.pretest):
            terms = retry(option)
            if active.attempt < terms.attempts:
                active.again = now + terms.wait(active.attempt, active.setting.cause)
                said = (outcome.comment.splitlines() or ["no reason given"])[0]
                reason = f"attempt {active.attempt} of {terms.attempts} failed: {said}"
                return [Tell(position, "waiting", {"reason": reason})]
        del self._active[position]
        return self._end(position, active, outcome, now)

    def _try_again(self, position: int, active: _Active, now: float) -> list[Effect]:
        active.again = None
        active.attempt += 1
        active.machine = steps.machine(active.chunk, active.args, active.setting)
        return [*active.machine.begin(now), *self._settle(position, active, now)]

    def _end(self, position: int, active: _Active, outcome: StepOutcome, now: float) -> list[Effect]:
        result = result_of(active.chunk, outcome, active.begun, now)
        if active.pretest:
            self._walk.tested(position, result)
            return []
        self._finish(position, result)
        self._done[position] = {} if outcome.result else outcome.minions
        if self.test and outcome.changes:
            self._pending = True
            self._remember(outcome)
        self._outputs.put(self.name(position), outcome.values)
        return [Tell(position, "ended", ended(outcome, now - active.begun))]

    def _remember(self, outcome: StepOutcome) -> None:
        """What this step of a dry run foretells is not foretold again by later ones."""
        for minion, its in outcome.minions.items():
            promises = self._foretold.setdefault(minion, {})
            promises.update((foretold(change), None) for step in its.steps for change in step.changes)

    def _promises(self) -> dict[str, tuple[Foretold, ...]]:
        return {minion: tuple(promises) for minion, promises in self._foretold.items()}

    def _finish(self, position: int, result: StepResult) -> None:
        if position >= 0:
            self._walk.finished(position, result)
            self._results[position] = result
        self._failed = self._failed or result.result is False

    @property
    def _halted(self) -> bool:
        """Whether no further step of the course begins."""
        return self._cancelled or bool(self._baselines.faults)

    def _advance(self, now: float) -> list[Effect]:
        """Start everything that may start, until nothing more may; tell the end of the run when it is there."""
        effects: list[Effect] = []
        if self._baselines.open and not self._cancelled:
            return effects
        effects += self._without_baseline(now)
        while not (self._halted or self.paused or self.cleaning):
            startable = next(self._startable(), None)
            if startable is None:
                break
            effects += self._start(*startable, now)
        if self._active or self.paused or not (self._halted or self.cleaning or self._walk.done):
            return effects
        self.cleaning = True
        while self._left and not self._active:
            effects += self._begin(self._left[0], self._course.cleanup[self._left.pop(0)], False, now)
        if not self._active:
            self.cleaning = False
            self.state = "cancelled" if self._cancelled else "failed" if self._failed else "succeeded"
            effects.append(Finished(self.state))
        return effects

    def _without_baseline(self, now: float) -> list[Effect]:
        """The gates of which nobody knows how it was: they have failed, and no step begins."""
        effects: list[Effect] = []
        for position, reason in self._baselines.faults.items():
            if position not in self._results:
                comment = f"how it is when the run begins is not known: {reason}"
                effects += self._not_called(position, self._chunks[position], Skip(comment, False, True), now)
        return effects

    def _startable(self) -> Iterator[tuple[int, Decision]]:
        for position, decision in self._walk.ready():
            if position >= len(self._chunks) or isinstance(decision, Pretest) or self._may_start(position):
                yield position, decision

    def _may_start(self, position: int) -> bool:
        return _ordered(self._chunks[position]) or all(self._passed(before) for before in range(position))

    def _passed(self, position: int) -> bool:
        """Whether a step holds up no step behind it any more."""
        if position in self._results:
            return True
        return position in self._active and self._chunks[position].options.get("parallel") is True

    def _start(self, position: int, decision: Decision, now: float) -> list[Effect]:
        chunk = self._walk.chunk(position)
        if isinstance(decision, Skip | Fail):
            return self._not_called(position, chunk, decision, now)
        self._walk.started(position)
        return self._begin(position, chunk, isinstance(decision, Pretest), now)

    def _setting(self, position: int, pretest: bool = False) -> Setting:
        whole = position < 0 or position in self._course.undone or not self._only_failed
        done = {} if whole else self._done.get(position, {})
        return Setting(
            lambda: self._key(position), self.test or pretest, self._pending, self._promises(), self._user,
            f"{self._run}/{self.name(position)}", lambda: self.paused,
            {minion: ended for minion, ended in done.items() if ended.state is JobState.SUCCEEDED},
            self._baselines.values.get(position, {}),
        )  # fmt: skip

    def _begin(self, position: int, chunk: Chunk, pretest: bool, now: float) -> list[Effect]:
        setting = self._setting(position, pretest)
        try:
            args = self._resolved(chunk)
            machine = steps.machine(self._called(position), args, setting)
        except StackmasterError as error:
            machine, args = steps.Ended(failure(error)), {}
        active = self._active[position] = _Active(self._called(position), setting, machine, now, pretest, args=args)
        tell = [] if pretest else [Tell(position, "started", {"function": chunk.function})]
        return [*tell, *machine.begin(now), *self._settle(position, active, now)]

    def _called(self, position: int) -> Chunk:
        """The chunk itself, also for its listener."""
        if position < 0:
            return self._course.cleanup[position]
        return self._chunks[position % len(self._chunks)]

    def _resolved(self, chunk: Chunk) -> dict[str, Data]:
        return {name: self._outputs.resolve(value) for name, value in chunk.args.items()}

    def _key(self, position: int) -> Key:
        self._numbers += 1
        return Key(position, self._numbers)

    def _not_called(self, position: int, chunk: Chunk, decision: Skip | Fail, now: float) -> list[Effect]:
        result = not_called(chunk, decision, now)
        self._finish(position, result)
        return [Tell(position, "ended", untold(result, result.comment))]

    # --- what persons want --------------------------------------------------------------------------------------

    def _cancel(self, event: Cancelled, now: float) -> list[Effect]:
        """Stop what goes on and begin nothing more but the cleanup; with force not even that."""
        if self.stopping and not event.force:
            return []
        self._cancelled, self.paused = True, False
        effects: list[Effect] = [Announce("cancelling", {"user": event.user, "force": event.force})]
        effects += self._baselines.stop()
        if event.force:
            for position in self._left:
                result = result_of(self._course.cleanup[position], StepOutcome(False, "not run"), now, now)
                self._finish(position, result)
                comment = f"not run: {event.user} cancelled the run with force"
                effects.append(Tell(position, "ended", untold(result, comment)))
            self._left.clear()
        for position in list(self._active):
            effects += self._stop(position, "cancelled between attempts", now)
        return effects

    def _stop(self, position: int, comment: str, now: float) -> list[Effect]:
        """End a step that goes on, or that waits for its next attempt."""
        active = self._active[position]
        if active.again is None:
            return [*active.machine.stop(now), *self._settle(position, active, now)]
        del self._active[position]
        return self._end(position, active, StepOutcome(bool(active.skipped), comment), now)

    def _skip(self, event: Skipped, now: float) -> list[Effect]:
        """Count a step as done that has not ended."""
        position, comment = event.step, f"skipped by {event.user}"
        if not 0 <= position < len(self._chunks) or position in self._results or self.stopping:
            return []
        if position in self._active and not self._active[position].pretest:
            self._active[position].skipped = event.user
            return self._stop(position, comment, now)
        if position in self._active:
            return []
        return self._not_called(position, self._chunks[position], Skip(comment), now)

    def _go_on(self, now: float) -> list[Effect]:
        self.paused = False
        return self._heard(Tick(), now)

    def _retry(self, event: Retried, now: float) -> list[Effect]:
        """Do again what failed, was not reached or was undone, and what needs that; the rest stays as it is."""
        size = len(self._chunks)
        redo = again(self._chunks, self._results, self._course.undone)
        kept = {
            at: result
            for at, result in self._results.items()
            if at % max(size, 1) not in redo and result.result is not False
        }
        self._walk = Walk(self._chunks, test=self.test)
        for at, result in kept.items():
            self._walk.resumed(at, result)
        self._results = kept
        self._failed = self._cancelled = self.cleaning = False
        self._only_failed = event.failed
        self._left = list(self._course.cleanup)
        self.state = "running"
        names: list[Data] = [self.name(at) for at in [*sorted(redo), *self._left]]
        data: dict[str, Data] = {"user": event.user, "failed": event.failed, "steps": names}
        return [Announce("retried", data), *self._baselines.take(self._setting), *self._advance(now)]


def _ordered(chunk: Chunk) -> bool:
    """Whether a step says itself what it waits for."""
    return any(requisite.kind in ORDERING for requisite in chunk.requisites)
