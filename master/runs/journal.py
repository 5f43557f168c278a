"""The journal of a run: what it was made of, and every event it took in, so that a new master can replay it.

Outcomes of jobs are not copied: they are read again from the jobs themselves, what was secret in them from sealed
entries beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from master.runs.shapes import (
    Cancelled,
    Decided,
    EventSeen,
    Expanded,
    JobEnded,
    JobStarted,
    Key,
    Paused,
    Refused,
    Resumed,
    Retried,
    RunEvent,
    RunnerEnded,
    Skipped,
    Tick,
    Wish,
)
from protocol.errors import NoTargetError, StackmasterError, StoreError
from protocol.names import JobId

if TYPE_CHECKING:
    from protocol.data import Data


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A JobEnded as the journal has it: by the job's id."""

    key: Key
    job: JobId


Stored = RunEvent | EndedJob


def entry(event: RunEvent, now: float) -> dict[str, Data]:
    """An event, taken in at `now`, as the journal keeps it."""
    kept: dict[str, Data] = {"now": now, "kind": type(event).__name__}
    if not isinstance(event, Tick | Wish):
        kept["key"] = list(event.key)
    match event:
        case JobStarted(_, job):
            kept["job"] = job
        case JobEnded(_, outcome):
            kept["job"] = outcome.job
        case Refused(_, error):
            kept |= {"nobody": isinstance(error, NoTargetError), "message": error.message, "help": error.help}
        case Expanded(_, minions, domains):
            kept |= {"minions": list(minions), "domains": list(domains)}
        case EventSeen(_, tag, data):
            kept |= {"tag": tag, "data": data}
        case RunnerEnded(_, result, comment, value):
            kept |= {"result": result, "comment": comment, "value": value}
        case Decided(_, user, granted, comment):
            kept |= {"user": user, "granted": granted, "comment": comment}
        case Cancelled(user, force):
            kept |= {"user": user, "force": force}
        case Paused(user) | Resumed(user):
            kept["user"] = user
        case Skipped(user, step):
            kept |= {"user": user, "step": step}
        case Retried(user, failed):
            kept |= {"user": user, "failed": failed}
    return kept


def read(kept: Mapping[str, Data]) -> tuple[float, Stored]:
    """The time and the event in an entry. Raises StoreError when it is none of ours."""
    fields = cast(Mapping[str, Any], kept)
    try:
        now = float(fields["now"])
        kind = fields["kind"]
        if kind == "Tick":
            return now, Tick()
        if "key" not in fields:
            return now, _wish(kind, fields)
        return now, _keyed(kind, Key(*cast(Sequence[int], fields["key"])), fields)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the journal of a run is damaged: {error!r}") from None


def _wish(kind: str, fields: Mapping[str, Any]) -> Wish:
    user = fields["user"]
    match kind:
        case "Cancelled":
            return Cancelled(user, fields.get("force") is True)
        case "Paused":
            return Paused(user)
        case "Resumed":
            return Resumed(user)
        case "Skipped":
            return Skipped(user, int(fields["step"]))
        case "Retried":
            return Retried(user, fields["failed"] is True)
    raise ValueError(kind)


def _keyed(kind: str, key: Key, fields: Mapping[str, Any]) -> Stored:
    match kind:
        case "JobStarted":
            return JobStarted(key, JobId(fields["job"]))
        case "JobEnded":
            return EndedJob(key, JobId(fields["job"]))
        case "Refused":
            error = NoTargetError if fields["nobody"] else StackmasterError
            return Refused(key, error(fields["message"], help=fields["help"]))
        case "Expanded":
            return Expanded(key, tuple(fields["minions"]), tuple(fields.get("domains") or ()))
        case "EventSeen":
            return EventSeen(key, fields["tag"], fields["data"])
        case "RunnerEnded":
            return RunnerEnded(key, fields["result"], fields["comment"], fields["value"])
        case "Decided":
            return Decided(key, fields["user"], fields["granted"] is True, fields["comment"])
    raise ValueError(kind)
