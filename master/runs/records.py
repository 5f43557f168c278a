"""Runs as they are stored and shown: the first and last entries of a journal, each step's latest news, summaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from master.runs import journal
from master.runs.sealed import SEALED
from master.store import queries
from master.store.keyring import Rows
from master.store.queries import RunRow
from master.store.store import Transaction
from protocol.errors import StackmasterError
from protocol.names import JobId, RunId

if TYPE_CHECKING:
    from protocol.data import Data


def told(step: str, what: str, data: Mapping[str, Data], now: float) -> dict[str, Data]:
    """What was told of a step."""
    return {"what": "told", "step": step, "state": what, "data": data, "at": now}


def begun(entries: Sequence[Mapping[str, Data]]) -> float:
    """When the run began, in seconds since the epoch."""
    return float(cast(float, entries[0]["now"]))


def events(entries: Sequence[Mapping[str, Data]]) -> Iterator[tuple[float, journal.Stored]]:
    """The events that a run took in, with their times. Raises StoreError."""
    return (journal.read(entry) for entry in entries if "kind" in entry)


def announced(what: str, data: Mapping[str, Data]) -> dict[str, Data]:
    """What a person did to the run."""
    return {"what": what, "data": data}


def attempts(entries: Sequence[Mapping[str, Data]]) -> int:
    """How often a run was begun: 1, and once more for each retry."""
    return 1 + sum(entry.get("what") == "retried" for entry in entries)


def end(tx: Transaction, run: RunId, state: str, now: float, *, keep: bool = False) -> None:
    """The run is over: told and stored. What it was made of may hold secrets and goes, unless a retry may need it."""
    entries = [(number, entry) for number, _, entry in queries.journal(tx, run)]
    steps = _latest(entry for _, entry in entries)
    told = {step: {"result": news.get("result"), "comment": news.get("comment", "")} for step, news in steps.items()}
    attempt = attempts([entry for _, entry in entries])
    tx.event(f"run/{run}/ended", {"state": state, "steps": cast("Data", told), "attempt": attempt}, now, run)
    queries.end_run(tx, run, state, now)
    if not keep:
        queries.forget_journal(tx, run, [number for number, entry in entries if entry.get("what") in SEALED])


def broken(tx: Transaction, row: RunRow, error: StackmasterError, now: float) -> None:
    """A run that cannot be taken up after a restart has failed; nobody can know whether its cleanup ran."""
    declared = cast(Sequence[Mapping[str, Any]], row.request.get("steps") or ())
    cleanup = ", ".join(str(step["id"]) for step in declared if step.get("cleanup"))
    reason = f"the master restarted, and: {error.message}"
    reason += f"; do its cleanup by hand: {cleanup}" if cleanup else ""
    data: dict[str, Data] = {"reason": reason, "help": error.help}
    queries.append_journal(tx, row.run, now, {"what": "broken", **data})
    end(tx, row.run, "failed", now)


def job_caused_by(rows: Rows, cause: str) -> JobId | None:
    """The job that was started for a cause, if it was."""
    row = rows.execute("SELECT job FROM jobs WHERE cause = ? ORDER BY job LIMIT 1", (cause,)).fetchone()
    return None if row is None else JobId(row[0])


def summary(row: RunRow) -> dict[str, Data]:
    """A run in a list."""
    return {
        "run": row.run, "sls": row.request.get("sls"), "test": row.request.get("test"), "state": row.state,
        "user": row.user, "began": row.created, "ended": row.ended,
    }  # fmt: skip


def shown(row: RunRow, entries: Sequence[Mapping[str, Data]]) -> dict[str, Data]:
    """A run with its steps, each with its latest news."""
    latest = _latest(iter(entries))
    steps: list[Data] = []
    declared = cast(Sequence[Mapping[str, Any]], row.request.get("steps") or ())
    for step in declared:
        steps.append({"state": "waiting", **step, **latest.pop(str(step["id"]), {})})
    steps += [{"id": id, **news} for id, news in latest.items()]
    reason = next((entry["reason"] for entry in entries if entry.get("what") == "broken"), "")
    return {
        **summary(row), "environment": row.request.get("environment"), "steps": steps, "reason": reason,
        "attempt": attempts(entries),
    }  # fmt: skip


def _latest(entries: Iterator[Mapping[str, Data]]) -> dict[str, dict[str, Data]]:
    """What was last told of each step; `state` is running, or how it ended."""
    latest: dict[str, dict[str, Data]] = {}
    for entry in entries:
        if entry.get("what") == "retried":
            again = cast("Mapping[str, Any]", entry["data"])["steps"]
            for step in again:
                latest.pop(str(step), None)
        if entry.get("what") != "told":
            continue
        news = latest.setdefault(str(entry["step"]), {})
        data = cast("Mapping[str, Data]", entry["data"])
        if entry["state"] in ("baseline", "decided"):
            news[str(entry["state"])] = data
            continue
        news.update(data)
        if entry["state"] == "ended":
            news["state"] = "ended"
            news.pop("reason", None)
        else:
            news["state"] = "running"
            news.setdefault("began", entry["at"])
    return latest
