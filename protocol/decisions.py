"""What may be decided of one chunk before it is called, and the result of one that is not."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.assignment import Chunk
from protocol.results import StepResult


@dataclass(frozen=True, slots=True)
class Call:
    """Call the state; `remark` is added to its comment."""

    remark: str = ""


@dataclass(frozen=True, slots=True)
class CallWatch:
    """Call the state; when that by itself changes nothing, do what its watch function plans. `changed` are the
    positions of the watched chunks that changed."""

    changed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    """Do not call the state; its result is `result` and `comment`."""

    comment: str
    result: bool | None = True
    ran: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """Do not call the state: it has failed, because of its requisites."""

    comment: str


@dataclass(frozen=True, slots=True)
class Pretest:
    """Plan the state as a dry run, for the sake of one that has it as `prereq`; nothing of it is reported."""


@dataclass(frozen=True, slots=True)
class Listen:
    """All else is over: do what the watch function of the chunk plans, as `listener_<id>`. `changed` as above."""

    changed: tuple[int, ...]


Decision = Call | CallWatch | Skip | Fail | Pretest | Listen


def not_called(chunk: Chunk, decision: Skip | Fail, now: float) -> StepResult:
    """The result of a chunk that was decided without calling it; `now` in seconds since the epoch."""
    return StepResult(
        tag=chunk.tag,
        function=chunk.function,
        id=chunk.id,
        name=chunk.name,
        sls=chunk.sls,
        result=False if isinstance(decision, Fail) else decision.result,
        comment=decision.comment,
        ran=isinstance(decision, Skip) and decision.ran,
        started=now,
        file=chunk.file,
        line=chunk.line,
    )
