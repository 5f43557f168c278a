"""An orchestration's course, without I/O: events in, effects out; what may start, what it came to, what is told.

A step that names requisites starts as soon as they are met. A step that names none keeps its place in the file: it
starts when all before it have ended, save those that say `parallel: true` and have begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from master.runs import steps
from master.runs.jobstep import failure
from master.runs.machine import Machine, Setting, number
from master.runs.outputs import Outputs
from master.runs.shapes import (
    Cancelled,
    Effect,
    Finished,
    Key,
    RunEvent,
    RunState,
    StepEvent,
    StepOutcome,
    Tell,
    Tick,
)
from master.runs.verdicts import told
from protocol.assignment import Chunk
from protocol.errors import StackmasterError
from protocol.order import ORDERING
from protocol.requisites import Decision, Fail, Pretest, Skip, Walk, not_called
from protocol.results import Change, Foretold, StepResult, foretold

if TYPE_CHECKING:
    from protocol.data import Data

_RETRY_INTERVAL: Final = 30.0
_RETRY_ATTEMPTS: Final = 2


@dataclass(slots=True)
class _Active:
    """A step under way; `attempt` counts from 1, `again` is when the next attempt begins."""

    chunk: Chunk
    setting: Setting
    machine: Machine
    begun: float
    pretest: bool
    attempt: int = 1
    again: float | None = None
    args: Mapping[str, Data] = field(default_factory=dict)


class Engine:
    """The run called `run` over the `chunks` of its assignment, whose steps are called `names`.

    `test` is a dry run. Times are seconds since the epoch. Raises SlsError when the chunks' order cannot be kept.
    """

    def __init__(self, run: str, chunks: Sequence[Chunk], names: Sequence[str], *, test: bool, user: str) -> None:
        self._chunks = tuple(chunks)
        self._names = tuple(names)
        self._test = test
        self._user = user
        self._run = run
        self._walk = Walk(chunks, test=test)
        self._active: dict[int, _Active] = {}
        self._ended: set[int] = set()
        self._outputs = Outputs()
        self._numbers = 0
        self._pending = False
        self._foretold: dict[str, dict[Foretold, None]] = {}
        self._failed = False
        self._cancelled = False
        self.state: RunState = "running"

    # --- what the driver calls --------------------------------------------------------------------------------

    def begin(self, now: float) -> list[Effect]:
        """Start what may start."""
        return self._advance(now)

    def handle(self, event: RunEvent, now: float) -> list[Effect]:
        """Take one event in; gives what is to be done, in order."""
        if self.state != "running":
            return []
        if isinstance(event, Cancelled):
            return [*self._cancel(event, now), *self._advance(now)]
        effects: list[Effect] = []
        for position in self._concerned(event):
            effects += self._hear(position, event, now)
        return [*effects, *self._advance(now)]

    @property
    def wake(self) -> float | None:
        """When a Tick is wanted next; None when only other events matter."""
        times = [time for one in self._active.values() for time in (one.machine.wake, one.again) if time is not None]
        return min(times, default=None)

    def name(self, position: int) -> str:
        """The step's name at a position, listeners included."""
        if position < len(self._names):
            return self._names[position]
        return f"listener_{self._names[position % len(self._names)]}" if self._names else f"listener_{position}"

    def replaying(self, goes_on: bool) -> None:
        """A replay of the journal of an earlier master begins or ends."""
        self._outputs.replay(goes_on)

    # --- within -----------------------------------------------------------------------------------------------

    def _concerned(self, event: StepEvent) -> list[int]:
        if isinstance(event, Tick):
            return list(self._active)
        return [event.key.step] if event.key.step in self._active else []

    def _hear(self, position: int, event: StepEvent, now: float) -> list[Effect]:
        active = self._active[position]
        if active.again is not None:
            return self._try_again(position, active, now) if now >= active.again else []
        return [*active.machine.handle(event, now), *self._settle(position, active, now)]

    def _settle(self, position: int, active: _Active, now: float) -> list[Effect]:
        """When the step has ended: another attempt, or its result to the walk and to those who watch."""
        outcome = active.machine.outcome
        if outcome is None:
            return []
        outcome = steps.forgiven(active.chunk, active.setting, outcome)
        retry = active.chunk.options.get("retry")
        if outcome.result is False and retry and not (self._test or self._cancelled or active.pretest):
            attempts, interval = _retry(retry)
            if active.attempt < attempts:
                active.again = now + interval
                reason = f"attempt {active.attempt} of {attempts} failed: {outcome.comment.splitlines()[0]}"
                return [Tell(position, "waiting", {"reason": reason})]
        del self._active[position]
        return self._end(position, active, outcome, now)

    def _try_again(self, position: int, active: _Active, now: float) -> list[Effect]:
        active.again = None
        active.attempt += 1
        active.machine = steps.machine(active.chunk, active.args, active.setting)
        return [*active.machine.begin(now), *self._settle(position, active, now)]

    def _end(self, position: int, active: _Active, outcome: StepOutcome, now: float) -> list[Effect]:
        result = _result(active, outcome, now)
        if active.pretest:
            self._walk.tested(position, result)
            return []
        self._walk.finished(position, result)
        self._ended.add(position)
        self._failed = self._failed or outcome.result is False
        if self._test and outcome.changes:
            self._pending = True
            self._remember(outcome)
        self._outputs.put(self.name(position), outcome.values)
        return [Tell(position, "ended", _ended(outcome, now - active.begun))]

    def _remember(self, outcome: StepOutcome) -> None:
        """What this step of a dry run foretells is not foretold again by later ones."""
        for minion, ended in outcome.minions.items():
            promises = self._foretold.setdefault(minion, {})
            promises.update((foretold(change), None) for step in ended.steps for change in step.changes)

    def _promises(self) -> dict[str, tuple[Foretold, ...]]:
        return {minion: tuple(promises) for minion, promises in self._foretold.items()}

    def _advance(self, now: float) -> list[Effect]:
        """Start everything that may start, until nothing more may; tell the end of the run when it is there."""
        effects: list[Effect] = []
        while not self._cancelled:
            startable = next(self._startable(), None)
            if startable is None:
                break
            effects += self._start(*startable, now)
        if not self._active and (self._cancelled or self._walk.done):
            self.state = "cancelled" if self._cancelled else "failed" if self._failed else "succeeded"
            effects.append(Finished(self.state))
        return effects

    def _startable(self) -> Iterator[tuple[int, Decision]]:
        for position, decision in self._walk.ready():
            if position >= len(self._chunks) or isinstance(decision, Pretest) or self._may_start(position):
                yield position, decision

    def _may_start(self, position: int) -> bool:
        return _ordered(self._chunks[position]) or all(self._passed(before) for before in range(position))

    def _passed(self, position: int) -> bool:
        """Whether a step holds up no step behind it any more."""
        if position in self._ended:
            return True
        return position in self._active and self._chunks[position].options.get("parallel") is True

    def _start(self, position: int, decision: Decision, now: float) -> list[Effect]:
        chunk = self._walk.chunk(position)
        if isinstance(decision, Skip | Fail):
            return self._not_called(position, chunk, decision, now)
        self._walk.started(position)
        pretest = isinstance(decision, Pretest)
        setting = Setting(
            lambda: self._key(position), self._test or pretest, self._pending, self._promises(), self._user,
            f"{self._run}/{self.name(position)}",
        )  # fmt: skip
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
        return self._chunks[position % len(self._chunks)]

    def _resolved(self, chunk: Chunk) -> dict[str, Data]:
        return {name: self._outputs.resolve(value) for name, value in chunk.args.items()}

    def _key(self, position: int) -> Key:
        self._numbers += 1
        return Key(position, self._numbers)

    def _not_called(self, position: int, chunk: Chunk, decision: Skip | Fail, now: float) -> list[Effect]:
        result = not_called(chunk, decision, now)
        self._walk.finished(position, result)
        self._ended.add(position)
        self._failed = self._failed or result.result is False
        data: dict[str, Data] = {
            "result": result.result,
            "comment": result.comment,
            "ran": result.ran,
            "minions": {},
            "duration": 0.0,
        }
        return [Tell(position, "ended", data)]

    def _cancel(self, event: Cancelled, now: float) -> list[Effect]:
        """Stop what goes on and begin nothing more."""
        self._cancelled = True
        effects: list[Effect] = []
        for position, active in list(self._active.items()):
            if active.again is not None:
                active.again = None
                del self._active[position]
                effects += self._end(position, active, StepOutcome(False, "cancelled between attempts"), now)
                continue
            effects += active.machine.stop(now)
            effects += self._settle(position, active, now)
        return effects


def _ordered(chunk: Chunk) -> bool:
    """Whether a step says itself what it waits for."""
    return any(requisite.kind in ORDERING for requisite in chunk.requisites)


def _retry(option: Data) -> tuple[int, float]:
    """Attempts and the seconds between them, as in Salt's retry option."""
    given = option if isinstance(option, Mapping) else {}
    attempts = int(number(given.get("attempts"), _RETRY_ATTEMPTS))
    return max(attempts, 1), max(number(given.get("interval"), _RETRY_INTERVAL), 0.0)


def _result(active: _Active, outcome: StepOutcome, now: float) -> StepResult:
    chunk = active.chunk
    return StepResult(
        tag=chunk.tag, function=chunk.function, id=chunk.id, name=chunk.name, sls=chunk.sls, result=outcome.result,
        comment=outcome.comment, changes=outcome.changes, started=active.begun, duration=now - active.begun,
        file=chunk.file, line=chunk.line,
    )  # fmt: skip


def _ended(outcome: StepOutcome, duration: float) -> dict[str, Data]:
    jobs = list(outcome.jobs)
    return {
        "result": outcome.result,
        "comment": outcome.comment,
        "ran": True,
        "job": jobs[-1] if jobs else "",
        "jobs": jobs,
        "minions": told(outcome.minions),
        "changes": [_change(change) for change in outcome.changes],
        "duration": duration,
    }


def _change(change: Change) -> dict[str, Data]:
    return {"kind": change.kind, "subject": change.subject, "aspect": change.aspect}
