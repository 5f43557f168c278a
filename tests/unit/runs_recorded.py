"""Recorded journals: a run as JSON, and the decisions that the engine takes when it hears the same events again."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from master.jobs import JobOutcome, MinionOutcome
from master.runs import journal
from master.runs.engine import Engine
from master.runs.naming import names
from master.runs.shapes import Effect, JobEnded
from protocol.assignment import Chunk, Requisite
from protocol.names import JobId
from protocol.results import Change, JobState, StepResult

FOLDER = Path(__file__).with_name("journals")


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    assert value is None or isinstance(value, str | int | float | bool), type(value)
    return value


def told(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """Effects as JSON has them."""
    return [{"effect": type(effect).__name__, **plain(effect)} for effect in effects]


def kept_outcome(outcome: JobOutcome) -> dict[str, Any]:
    """How a job ended, as a recording keeps it: what the engine looks at."""
    return {
        minion: {
            "state": ended.state.value, "reason": ended.reason, "value": plain(ended.value),
            "steps": [
                {
                    "function": one.function, "id": one.id, "name": one.name, "result": one.result,
                    "comment": one.comment, "ran": one.ran,
                    "changes": [[change.kind, change.subject, change.aspect] for change in one.changes],
                }
                for one in ended.steps
            ],
        }
        for minion, ended in outcome.minions.items()
    }  # fmt: skip


def _step(kept: Mapping[str, Any]) -> StepResult:
    changes = tuple(Change(kind, subject, aspect) for kind, subject, aspect in kept["changes"])
    return StepResult(
        "", kept["function"], kept["id"], kept["name"], "", kept["result"], kept["comment"], changes, kept["ran"]
    )


def outcome_of(recorded: Mapping[str, Any], job: JobId) -> JobOutcome:
    """How a job of a recording ended."""
    minions = {
        minion: MinionOutcome(
            JobState(kept["state"]), kept["reason"], kept["value"], tuple(map(_step, kept["steps"]))
        )
        for minion, kept in recorded["outcomes"][job].items()
    }  # fmt: skip
    return JobOutcome(job, minions)


def chunks_of(recorded: Mapping[str, Any]) -> list[Chunk]:
    """The steps of a recording."""
    found = []
    for kept in recorded["chunks"]:
        requisites = tuple(Requisite(one["kind"], tuple(one["targets"])) for one in kept["requisites"])
        trial_needs = tuple(kept["trial_needs"])
        found.append(Chunk(**{**kept, "requisites": requisites, "trial_needs": trial_needs, "sources": {}}))
    return found


def engine_of(recorded: Mapping[str, Any]) -> Engine:
    """A new engine for the run of a recording."""
    chunks = chunks_of(recorded)
    return Engine(recorded["run"], chunks, names(chunks), test=recorded["test"], user=recorded["user"])


def decisions(recorded: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """What a new engine decides at the beginning, and after each event of the recording."""
    engine = engine_of(recorded)
    yield told(engine.begin(recorded["began"]))
    for entry in recorded["events"]:
        now, stored = journal.read(entry)
        event = (
            JobEnded(stored.key, outcome_of(recorded, stored.job)) if isinstance(stored, journal.EndedJob) else stored
        )
        yield told(engine.handle(event, now))


def load(path: Path) -> dict[str, Any]:
    """A recording."""
    found = json.loads(path.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def save(path: Path, recorded: Mapping[str, Any]) -> None:
    """Write a recording, with the decisions that are taken now."""
    whole = {**recorded, "decisions": list(decisions(recorded))}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
