"""Steps that touch no minion: waiting for events, and runners on the master, alone or several at once."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from master.runs.machine import Setting
from master.runs.shapes import (
    CancelRunner,
    Effect,
    EventSeen,
    Key,
    Listen,
    Refused,
    RunnerEnded,
    StartRunner,
    StepEvent,
    StepOutcome,
    Tell,
    Unlisten,
)
from protocol.results import Change

if TYPE_CHECKING:
    from protocol.data import Data


@dataclass(slots=True)
class EventStep:
    """Waits until an event matching `pattern` came from each of `ids`: their `part` of the data names them.

    An event `minion/<id>/…` without that field counts for its minion.
    """

    setting: Setting
    pattern: str
    ids: tuple[str, ...]
    part: str
    timeout: float
    outcome: StepOutcome | None = None
    wake: float | None = None
    _key: Key | None = None
    _missing: list[str] = field(default_factory=list)
    _seen: dict[str, Data] = field(default_factory=dict)

    def begin(self, now: float) -> list[Effect]:
        """Listen."""
        self._key = self.setting.key()
        self._missing = list(self.ids)
        self.wake = now + self.timeout
        return [Listen(self._key, self.pattern), self._waits()]

    def handle(self, event: StepEvent, now: float) -> list[Effect]:
        """An event came, or the time is over."""
        if self._key is None or self.outcome is not None:
            return []
        if isinstance(event, EventSeen) and event.key == self._key:
            return self._heard(event)
        if self.wake is not None and now >= self.wake:
            comment = f"no event {self.pattern} from {', '.join(self._missing)} in {self.timeout:g} s"
            return self._end(StepOutcome(False, comment, values=dict(self._seen)))
        return []

    def stop(self, now: float) -> list[Effect]:
        """End at once."""
        return self._end(StepOutcome(False, "cancelled while it waited for events", values={}))

    def _heard(self, event: EventSeen) -> list[Effect]:
        who = _who(event, self.part)
        matching = [id for id in self._missing if fnmatch.fnmatchcase(who, id)]
        if not matching:
            return []
        for id in matching:
            self._missing.remove(id)
            self._seen[who] = event.data
        if self._missing:
            return [self._waits()]
        return self._end(StepOutcome(True, f"All events seen: {', '.join(self.ids)}", values=dict(self._seen)))

    def _waits(self) -> Tell:
        assert self._key is not None
        reason = f"event {self.pattern} from {', '.join(self._missing)}"
        return Tell(self._key.step, "waiting", {"reason": reason})

    def _end(self, outcome: StepOutcome) -> list[Effect]:
        self.outcome, self.wake = outcome, None
        return [Unlisten(self._key)] if self._key is not None else []


def _who(event: EventSeen, part: str) -> str:
    if part in event.data:
        return str(event.data[part])
    parts = event.tag.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "minion" else ""


@dataclass(frozen=True, slots=True)
class Runner:
    """One thing to do on the master."""

    name: str
    args: tuple[Data, ...] = ()
    kwargs: Mapping[str, Data] = field(default_factory=dict)


@dataclass(slots=True)
class RunnerStep:
    """Runs all of `runners` at the same time (label to runner) and succeeds when all of them do."""

    setting: Setting
    runners: Mapping[str, Runner]
    timeout: float
    outcome: StepOutcome | None = None
    wake: float | None = None
    _open: dict[Key, str] = field(default_factory=dict)
    _ended: dict[str, RunnerEnded] = field(default_factory=dict)

    def begin(self, now: float) -> list[Effect]:
        """Start them."""
        effects: list[Effect] = []
        for label, runner in self.runners.items():
            key = self.setting.key()
            self._open[key] = label
            effects.append(StartRunner(key, runner.name, runner.args, runner.kwargs, self.timeout))
        return effects

    def handle(self, event: StepEvent, now: float) -> list[Effect]:
        """One of them ended."""
        if isinstance(event, Refused) and event.key in self._open:
            help = f" ({event.error.help})" if event.error.help else ""
            event = RunnerEnded(event.key, False, event.error.message + help, None)
        if isinstance(event, RunnerEnded) and event.key in self._open:
            self._ended[self._open.pop(event.key)] = event
            if not self._open:
                self.outcome = self._conclude()
        return []

    def stop(self, now: float) -> list[Effect]:
        """End at once."""
        self.outcome = StepOutcome(False, "cancelled", values={})
        return [CancelRunner(key) for key in self._open]

    def _conclude(self) -> StepOutcome:
        failed = [label for label, ended in self._ended.items() if not ended.result]
        several = len(self.runners) > 1
        lines = [f"{label}: {ended.comment}" if several else ended.comment for label, ended in self._ended.items()]
        values = {label: ended.value for label, ended in self._ended.items()}
        changes = tuple(Change("run", self.runners[label].name) for label in self._ended if label not in failed)
        return StepOutcome(
            not failed, "\n".join(lines), changes, values={"master": values if several else _one(values)}
        )


def _one(values: Mapping[str, Data]) -> Data:
    return next(iter(values.values()), None)
