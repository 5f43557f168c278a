"""What is told of a step that has ended, and its result as requisites see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from master.runs.shapes import StepOutcome
from master.runs.verdicts import told
from protocol.assignment import Chunk
from protocol.results import Change, StepResult

if TYPE_CHECKING:
    from protocol.data import Data


def result_of(chunk: Chunk, outcome: StepOutcome, begun: float, now: float) -> StepResult:
    """The result of a step that began at `begun` and has ended `now`."""
    return StepResult(
        tag=chunk.tag, function=chunk.function, id=chunk.id, name=chunk.name, sls=chunk.sls, result=outcome.result,
        comment=outcome.comment, changes=outcome.changes, started=begun, duration=now - begun, file=chunk.file,
        line=chunk.line,
    )  # fmt: skip


def untold(result: StepResult, comment: str) -> dict[str, Data]:
    """What is told of a step that was not run."""
    return {"result": result.result, "comment": comment, "ran": result.ran, "minions": {}, "duration": 0.0}


def ended(outcome: StepOutcome, duration: float) -> dict[str, Data]:
    """What is told of a step that has ended; `duration` in seconds."""
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
