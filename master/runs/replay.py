"""Going through a run's journal again: the engine as it was, and what was asked for and not yet answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from master.jobs import JobOutcome
from master.runs import journal, records
from master.runs.engine import Engine
from master.runs.shapes import (
    CancelJob,
    CancelRunner,
    Effect,
    EventSeen,
    Expand,
    JobEnded,
    JobStarted,
    Key,
    Listen,
    RunEvent,
    StartJob,
    StartRunner,
    Tick,
    Unlisten,
    Wish,
)
from protocol.names import JobId

if TYPE_CHECKING:
    from protocol.data import Data

OutcomeOf = Callable[[JobId], Awaitable[JobOutcome]]
"""How a job that has ended did end."""


@dataclass(slots=True)
class Open:
    """What was asked for and not yet answered, the jobs known to have begun, and those that were to be cancelled."""

    effects: dict[Key, Effect] = field(default_factory=dict)
    started: dict[Key, JobId] = field(default_factory=dict)
    cancels: set[JobId] = field(default_factory=set)

    def answered(self, event: RunEvent) -> None:
        """An event of the journal."""
        if isinstance(event, JobStarted):
            self.started[event.key] = event.job
        elif not isinstance(event, Tick | Wish | EventSeen):
            self.effects.pop(event.key, None)

    def note(self, effects: Sequence[Effect]) -> None:
        """What the engine asked for then."""
        for effect in effects:
            match effect:
                case StartJob(key, _) | Expand(key, _, _) | Listen(key, _) | StartRunner(key, _):
                    self.effects[key] = effect
                case Unlisten(key) | CancelRunner(key):
                    self.effects.pop(key, None)
                case CancelJob(job):
                    self.cancels.add(job)


async def replay(engine: Engine, entries: Sequence[Mapping[str, Data]], outcome: OutcomeOf) -> Open:
    """Bring a new engine to where the journal ends. Raises StoreError for a journal that is damaged."""
    open = Open()
    engine.replaying(True)
    open.note(engine.begin(records.begun(entries)))
    for now, stored in records.events(entries):
        event = JobEnded(stored.key, await outcome(stored.job)) if isinstance(stored, journal.EndedJob) else stored
        open.answered(event)
        open.note(engine.handle(event, now))
    engine.replaying(False)
    open.effects = {key: effect for key, effect in open.effects.items() if engine.waits_for(key)}
    return open
