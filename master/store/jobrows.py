"""Jobs in the database: what was asked, where each minion is with it, and the events that tell of every change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from master.store import kept
from master.store.keyring import Rows
from master.store.queries import ids_named
from master.store.store import Transaction
from protocol import codec
from protocol.data import Data
from protocol.errors import DecodeError
from protocol.names import JobId, MinionId
from protocol.results import Change, JobState, StepEnded, StepResult, StepStarted

_BEFORE = {
    JobState.ACCEPTED: "('pending')",
    JobState.RUNNING: "('pending', 'accepted')",
}
_OPEN = "('pending', 'accepted', 'running')"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job about to be stored. `request` is what was asked, scrubbed; `sealed` each minion's signed command as the
    vault sealed it; `grants` the contents each minion may fetch for it. Times are seconds since the epoch."""

    job: JobId
    created: float
    deadline: float
    user: str
    cause: str
    request: Mapping[str, Data]
    sequence: int
    sealed: Mapping[MinionId, bytes]
    grants: Mapping[MinionId, Iterable[str]]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A stored job; `ended` is None while it goes on, `first_event` the sequence number of its first event."""

    job: JobId
    created: float
    deadline: float
    ended: float | None
    user: str
    cause: str
    request: Mapping[str, Data]
    first_event: int


@dataclass(frozen=True, slots=True)
class MinionRow:
    """Where one minion is with a job; `value` is what its function returned, scrubbed."""

    minion: MinionId
    state: JobState
    reason: str
    value: Data
    changed: float


def insert(tx: Transaction, new: NewJob) -> None:
    """Store a new job with its commands and grants, and tell of it."""
    told = {**new.request, "minions": list(new.sealed), "user": new.user, "cause": new.cause}
    first = tx.event(f"job/{new.job}/new", told, new.created, new.cause)
    row = (new.job, new.created, new.deadline, new.user, new.cause, kept.pack(new.request, tx.most), first)
    tx.insert("jobs (job, created, deadline, user, cause, request, first_event)", [row])
    minions = [(new.job, minion, "pending", "", new.created) for minion in new.sealed]
    tx.insert("job_minions (job, minion, state, reason, changed)", minions)
    add_commands(tx, new.job, new.sequence, new.sealed)
    rows = [(minion, digest, new.job) for minion, digests in new.grants.items() for digest in digests]
    tx.insert("grants (minion, digest, job) ON CONFLICT DO NOTHING", rows)


def add_commands(tx: Transaction, job: JobId, sequence: int, sealed: Mapping[MinionId, bytes]) -> None:
    """Keep signed commands until the job has ended."""
    rows = [(minion, sequence, job, raw) for minion, raw in sealed.items()]
    tx.insert("commands (minion, sequence, job, sealed)", rows)


def advance(
    tx: Transaction, job: JobId, minion: MinionId, state: JobState, reason: str, value: Data, at: float, cause: str
) -> bool:
    """Bring a minion to `state` unless it is there or further already; `end` is to follow the last one's end.

    `reason` and `value` are scrubbed. Gives whether something changed.
    """
    before = _BEFORE.get(state, _OPEN)
    packed = kept.pack(value, tx.most) if value is not None else None
    changed = tx.execute(
        f"UPDATE job_minions SET state = ?, reason = ?, value = ?, changed = ? "
        f"WHERE job = ? AND minion = ? AND state IN {before}",
        (state.value, reason, packed, at, job, minion),
    ).rowcount
    if not changed:
        return False
    told: dict[str, Data] = {"state": state.value, "reason": reason}
    if value is not None:
        told["value"] = value
    tx.event(f"job/{job}/minion/{minion}/state", told, at, cause)
    return True


def end(tx: Transaction, job: JobId, at: float, cause: str) -> None:
    """Every minion is done: tell how, and let go of the commands and grants. Once for a job, again does nothing."""
    if not tx.execute("UPDATE jobs SET ended = ? WHERE job = ? AND ended IS NULL", (at, job)).rowcount:
        return
    states = tx.execute("SELECT minion, state FROM job_minions WHERE job = ?", (job,)).fetchall()
    tx.event(f"job/{job}/ended", {"states": dict(states)}, at, cause)
    tx.execute("DELETE FROM commands WHERE job = ?", (job,))
    tx.execute("DELETE FROM grants WHERE job = ?", (job,))


def step_started(tx: Transaction, job: JobId, minion: MinionId, step: StepStarted, at: float, cause: str) -> bool:
    """Tell that a step began, once."""
    sql = "INSERT OR IGNORE INTO steps (job, minion, position) VALUES (?, ?, ?)"
    if not tx.execute(sql, (job, minion, step.index)).rowcount:
        return False
    told: dict[str, Data] = {
        "index": step.index, "tag": step.tag, "id": step.id, "function": step.function, "name": step.name,
        "total": step.total,
    }  # fmt: skip
    tx.event(f"job/{job}/minion/{minion}/step/started", told, at, cause)
    return True


def step_ended(tx: Transaction, job: JobId, minion: MinionId, step: StepEnded, at: float, cause: str) -> bool:
    """Store a step's result (scrubbed; cut when it is too long to keep) and tell of it, once."""
    result = kept.shortened(step.result, tx.most)
    changed = tx.execute(
        "INSERT INTO steps (job, minion, position, result) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET result = excluded.result WHERE result IS NULL",
        (job, minion, step.index, codec.encode(result)),
    ).rowcount
    if not changed:
        return False
    told: dict[str, Data] = {"index": step.index, "result": step_data(result)}
    tx.event(f"job/{job}/minion/{minion}/step/ended", told, at, cause)
    return True


def step_data(result: StepResult) -> dict[str, Data]:
    """A step's result as the API tells it."""
    return {
        "tag": result.tag, "function": result.function, "id": result.id, "name": result.name, "sls": result.sls,
        "result": result.result, "comment": result.comment, "changes": [_change_data(c) for c in result.changes],
        "ran": result.ran, "started": result.started, "duration": result.duration, "number": result.number,
        "warnings": list(result.warnings), "file": result.file, "line": result.line,
    }  # fmt: skip


def _change_data(change: Change) -> dict[str, Data]:
    return {
        "kind": change.kind, "subject": change.subject, "aspect": change.aspect, "old": change.old, "new": change.new,
        "diff": change.diff, "details": change.details,
    }  # fmt: skip


# --- reading --------------------------------------------------------------------------------------------------

_JOB = "job, created, deadline, ended, user, cause, request, first_event"
_RESULTS = codec.table(StepResult)


def _job_row(row: Sequence[Any]) -> JobRow:
    job, created, deadline, ended, user, cause, request, first = row
    return JobRow(JobId(job), created, deadline, ended, user, cause, kept.mapping(request), first)


def job(rows: Rows, job: JobId) -> JobRow | None:
    """One job."""
    row = rows.execute(f"SELECT {_JOB} FROM jobs WHERE job = ?", (job,)).fetchone()
    return None if row is None else _job_row(row)


def jobs(rows: Rows, limit: int) -> list[JobRow]:
    """The newest jobs, newest first."""
    return [_job_row(row) for row in rows.execute(f"SELECT {_JOB} FROM jobs ORDER BY job DESC LIMIT ?", (limit,))]


def unended(rows: Rows) -> list[JobRow]:
    """The jobs that go on, oldest first."""
    return [_job_row(row) for row in rows.execute(f"SELECT {_JOB} FROM jobs WHERE ended IS NULL ORDER BY job")]


def named(rows: Rows, part: str) -> list[JobId]:
    """The jobs whose id begins or ends with `part`; at most three, to tell a unique one."""
    return [JobId(found) for found in ids_named(rows, "jobs", "job", part)]


def of_run(rows: Rows, run: str) -> list[JobId]:
    """The jobs that a run started, oldest first."""
    found = rows.execute("SELECT job FROM jobs WHERE substr(cause, 1, ?) = ? ORDER BY job", (len(run), run))
    return [JobId(row[0]) for row in found]


def minions(rows: Rows, job: JobId) -> list[MinionRow]:
    """Where each minion is with a job."""
    found = rows.execute(
        "SELECT minion, state, reason, value, changed FROM job_minions WHERE job = ? ORDER BY minion", (job,)
    )
    return [
        MinionRow(MinionId(minion), JobState(state), reason, None if value is None else kept.unpack(value), changed)
        for minion, state, reason, value, changed in found
    ]


def steps(rows: Rows, job: JobId) -> dict[str, tuple[StepResult, ...]]:
    """The results of a job's steps by minion, in order."""
    found = rows.execute(
        "SELECT minion, result FROM steps WHERE job = ? AND result IS NOT NULL ORDER BY minion, position", (job,)
    )
    gathered: dict[str, list[StepResult]] = {}
    for minion, raw in found:
        gathered.setdefault(minion, []).append(_result(raw))
    return {minion: tuple(results) for minion, results in gathered.items()}


def results_size(rows: Rows, job: JobId) -> tuple[int, int]:
    """Bytes of all steps' results and of all minions' values of a job."""
    queries = (
        "SELECT coalesce(sum(length(result)), 0) FROM steps WHERE job = ?",
        "SELECT coalesce(sum(length(value)), 0) FROM job_minions WHERE job = ?",
    )
    steps, values = (int(rows.execute(sql, (job,)).fetchone()[0]) for sql in queries)
    return steps, values


def failures(rows: Rows, job: JobId, each: int, most: int) -> dict[str, tuple[StepResult, ...]]:
    """As `steps`, only those that failed: cut to `each` bytes, and no more than `most` in all."""
    found = rows.execute(
        "SELECT minion, result FROM steps WHERE job = ? AND result IS NOT NULL ORDER BY minion, position", (job,)
    )
    gathered: dict[str, list[StepResult]] = {}
    for minion, raw in found:
        result = _result(raw)
        if result.result is not False:
            continue
        result = kept.shortened(result, each)
        most -= int(kept.size(result))
        if most < 0:
            break
        gathered.setdefault(minion, []).append(result)
    return {minion: tuple(results) for minion, results in gathered.items()}


def _result(raw: bytes) -> StepResult:
    """A step's result; of a damaged one, that it failed and why nobody can tell more."""
    try:
        return codec.decode(raw, _RESULTS)
    except DecodeError as error:
        return StepResult("", "", "", "", "", False, f"{kept.UNREADABLE}: {error.message}")


def commands(rows: Rows, job: JobId) -> list[tuple[MinionId, int, bytes]]:
    """The signed commands of a job that are kept: minion, sequence, message."""
    found = rows.execute("SELECT minion, sequence, sealed FROM commands WHERE job = ? ORDER BY sequence", (job,))
    return [(MinionId(minion), sequence, sealed) for minion, sequence, sealed in found]


def state_counts(rows: Rows, job: JobId) -> dict[str, int]:
    """How many minions of a job are in each state."""
    return dict(rows.execute("SELECT state, count(*) FROM job_minions WHERE job = ? GROUP BY state", (job,)))
