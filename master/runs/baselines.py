"""The values that the gates of a run compare with: asked for when the run begins, before its first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from master.jobs import JobOutcome
from master.runs.baseline import baseline, taken
from master.runs.gate import SAMPLE
from master.runs.machine import Setting
from master.runs.shapes import CancelJob, Effect, JobEnded, JobStarted, Key, Refused, StepEvent, Tell
from protocol.assignment import Chunk
from protocol.names import JobId

if TYPE_CHECKING:
    from protocol.data import Data


class Baselines:
    """The baselines of the gates among `steps`; a dry run takes none.

    `values` are those taken, by position and minion; `faults` say why one cannot be taken; `open` is who is asked.
    """

    def __init__(self, steps: Sequence[Chunk], test: bool) -> None:
        self._gates = {at: one for at, one in enumerate(steps) if one.function == "gate.baseline" and not test}
        self.values: dict[int, dict[str, Data]] = {}
        self.faults: dict[int, str] = {}
        self.open: dict[Key, JobId | None] = {}

    def take(self, setting: Callable[[int], Setting]) -> list[Effect]:
        """Ask for those that are not known yet."""
        self.faults.clear()
        effects: list[Effect] = []
        for at, chunk in self._gates.items():
            if at not in self.values:
                one = setting(at)
                key = one.key()
                self.open[key] = None
                effects.append(one.start(key, one.call(chunk.args, str(chunk.args.get("function")), SAMPLE)))
        return effects

    def hear(self, event: StepEvent) -> list[Effect]:
        """An answer came."""
        match event:
            case JobStarted(key, job) if key in self.open:
                self.open[key] = job
            case Refused(key, error) if key in self.open:
                del self.open[key]
                self.faults[key.step] = error.message
            case JobEnded(key, outcome) if key in self.open:
                del self.open[key]
                return self._ended(key, outcome)
        return []

    def stop(self) -> list[Effect]:
        """Wait for none of them any more."""
        jobs = [job for job in self.open.values() if job is not None]
        self.open.clear()
        return [CancelJob(job) for job in jobs]

    def waits_for(self, key: Key) -> bool:
        """Whether an answer is still waited for."""
        return key in self.open

    def _ended(self, key: Key, outcome: JobOutcome) -> list[Effect]:
        values, missing = taken(outcome)
        if missing or not values:
            self.faults[key.step] = missing or "no minion answered"
            return []
        self.values[key.step] = values
        compared = baseline(self._gates[key.step].args)
        kept: Mapping[str, Data] = {minion: compared.kept(value) for minion, value in values.items()}
        return [Tell(key.step, "baseline", {"values": cast("Data", kept)})]
