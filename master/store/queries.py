"""What is kept beside keys and jobs: counters, minions' facts, runs and their journal, events, the audit, retention."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from master.store import kept
from master.store.keyring import Rows
from master.store.store import Event
from protocol import codec
from protocol.data import Data
from protocol.names import MinionId, RunId

MOST_ENTRY = 64 * 1024 * 1024
"""Bytes of one entry of a run's journal."""

# --- counters -------------------------------------------------------------------------------------------------


def take_block(rows: Rows, key: str, size: int) -> int:
    """Reserve `size` numbers of the counter `key`; gives the first. They are never given again."""
    row = rows.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    first = 1 if row is None else int(row[0])
    rows.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, first + size))
    return first


def ids_named(rows: Rows, table: str, column: str, part: str) -> list[str]:
    """The ids in `column` that begin or end with `part`, newest first; at most three, to tell a unique one."""
    escaped = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    found = rows.execute(
        f"SELECT {column} FROM {table} WHERE {column} LIKE ? ESCAPE '\\' OR {column} LIKE ? ESCAPE '\\' "
        f"ORDER BY {column} DESC LIMIT 3",
        (f"{escaped}%", f"%{escaped}"),
    )
    return [str(row[0]) for row in found]


# --- minions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MinionRow:
    """What a minion told of itself. `last_seen` in seconds since the epoch, 0 when never."""

    minion: MinionId
    grains: Mapping[str, Data]
    version: str
    boot_id: str
    machine_id: str
    last_seen: float


def minions(rows: Rows) -> list[MinionRow]:
    """Every minion that ever told something of itself."""
    found = rows.execute("SELECT minion, grains, version, boot_id, machine_id, last_seen FROM minions")
    return [
        MinionRow(MinionId(minion), kept.mapping(grains) if grains else {}, *rest) for minion, grains, *rest in found
    ]


def save_grains(rows: Rows, minion: str, grains: bytes) -> None:
    """Keep a minion's grains (packed)."""
    sql = "INSERT INTO minions (minion, grains) VALUES (?, ?) ON CONFLICT DO UPDATE SET grains = excluded.grains"
    rows.execute(sql, (minion, grains))


def save_presence(rows: Rows, minion: str, version: str, boot_id: str, machine_id: str, at: float) -> None:
    """Keep what a minion's greeting said and when it was last heard."""
    rows.execute(
        "INSERT INTO minions (minion, version, boot_id, machine_id, last_seen) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET version = excluded.version, boot_id = excluded.boot_id, "
        "machine_id = excluded.machine_id, last_seen = excluded.last_seen",
        (minion, version, boot_id, machine_id, at),
    )


# --- grants ---------------------------------------------------------------------------------------------------


def grants(rows: Rows) -> list[tuple[MinionId, str, str]]:
    """Every grant: minion, digest, job."""
    return [tuple(row) for row in rows.execute("SELECT minion, digest, job FROM grants")]


# --- runs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunRow:
    """An orchestration as stored; `state` is running, paused, succeeded, failed or cancelled."""

    run: RunId
    created: float
    ended: float | None
    state: str
    user: str
    request: Mapping[str, Data]
    first_event: int


_RUN = "run, created, ended, state, user, request, first_event"


def _run(row: Sequence[Any]) -> RunRow:
    run, created, ended, state, user, request, first = row
    return RunRow(RunId(run), created, ended, state, user, kept.mapping(request), first)


def insert_run(
    rows: Rows, run: RunId, created: float, user: str, request: Mapping[str, Data], first_event: int
) -> None:
    """Store a new run; `request` is scrubbed, `first_event` the sequence number of its first event."""
    values = (run, created, user, kept.pack(request), first_event)
    sql = "INSERT INTO runs (run, created, state, user, request, first_event) VALUES (?, ?, 'running', ?, ?, ?)"
    rows.execute(sql, values)


def end_run(rows: Rows, run: RunId, state: str, at: float) -> None:
    """The run is over."""
    rows.execute("UPDATE runs SET state = ?, ended = ? WHERE run = ?", (state, at, run))


def run_goes_on(rows: Rows, run: RunId, state: str) -> None:
    """The run goes on, perhaps after it had ended; `state` is running or paused."""
    rows.execute("UPDATE runs SET state = ?, ended = NULL WHERE run = ?", (state, run))


def run(rows: Rows, run: RunId) -> RunRow | None:
    """One run."""
    row = rows.execute(f"SELECT {_RUN} FROM runs WHERE run = ?", (run,)).fetchone()
    return None if row is None else _run(row)


def runs(rows: Rows, limit: int) -> list[RunRow]:
    """The newest runs, newest first."""
    return [_run(row) for row in rows.execute(f"SELECT {_RUN} FROM runs ORDER BY run DESC LIMIT ?", (limit,))]


def named_runs(rows: Rows, part: str) -> list[RunId]:
    """The runs whose id begins or ends with `part`; at most three, to tell a unique one."""
    return [RunId(found) for found in ids_named(rows, "runs", "run", part)]


def unended_runs(rows: Rows) -> list[RunRow]:
    """The runs that go on, oldest first."""
    return [_run(row) for row in rows.execute(f"SELECT {_RUN} FROM runs WHERE ended IS NULL ORDER BY run")]


def append_journal(rows: Rows, run: RunId, at: float, entry: Mapping[str, Data]) -> int:
    """Add an entry to a run's journal; gives its number, from 1 on."""
    row = rows.execute("SELECT coalesce(max(number), 0) + 1 FROM journal WHERE run = ?", (run,)).fetchone()
    rows.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (run, row[0], at, codec.pack(entry)))
    return int(row[0])


def forget_journal(rows: Rows, run: RunId, numbers: Iterable[int]) -> None:
    """Remove entries of a run's journal."""
    for number in numbers:
        rows.execute("DELETE FROM journal WHERE run = ? AND number = ?", (run, number))


def journal(rows: Rows, run: RunId) -> list[tuple[int, float, Mapping[str, Data]]]:
    """A run's journal: number, time, entry."""
    found = rows.execute("SELECT number, at, entry FROM journal WHERE run = ? ORDER BY number", (run,))
    return [
        (number, at, cast(Mapping[str, Data], codec.unpack(entry, limit=MOST_ENTRY))) for number, at, entry in found
    ]


# --- events ---------------------------------------------------------------------------------------------------


MOST_READ = 8 * 1024 * 1024
"""Bytes of events read at once."""


def events(rows: Rows, after: int, most: int) -> list[Event]:
    """At most `most` events (and about MOST_READ bytes) with a sequence number above `after`, in order."""
    found = rows.execute(
        "SELECT seq, tag, data, at, cause FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, most)
    )
    read: list[Event] = []
    left = MOST_READ
    for seq, tag, data, at, cause in found:
        read.append(Event(seq, tag, kept.mapping(data), at, cause, len(data)))
        left -= len(data)
        if left <= 0:
            break
    return read


# --- audit ----------------------------------------------------------------------------------------------------


def append_audit(rows: Rows, at: float, user: str, call: str, arguments: Mapping[str, Data], outcome: str) -> None:
    """Add a record to the audit; `arguments` are scrubbed."""
    row = rows.execute("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    number, before = (1, b"") if row is None else (row[0] + 1, row[1])
    text = json.dumps(arguments, sort_keys=True, default=str)
    values = (number, float(at), user, call, text, outcome)
    rows.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, _chain(before, values)))


def audit(rows: Rows, limit: int) -> list[dict[str, Data]]:
    """The newest records of the audit, newest first."""
    names = ("number", "at", "user", "call", "arguments", "outcome")
    found = rows.execute(f"SELECT {', '.join(names)} FROM audit ORDER BY number DESC LIMIT ?", (limit,))
    return [dict(zip(names, row, strict=True)) for row in found]


def first_broken_audit(rows: Rows) -> int | None:
    """The number of the first audit record that was changed or comes after a missing one; None when all hold.

    What retention removed from the beginning is not missed.
    """
    before: bytes | None = None
    expected = 0
    for *values, chained in rows.execute(
        "SELECT number, at, user, call, arguments, outcome, hash FROM audit ORDER BY number"
    ):
        if before is not None and (values[0] != expected or _chain(before, values) != chained):
            return int(values[0])
        before, expected = chained, values[0] + 1
    return None


def _chain(before: bytes, values: Iterable[Any]) -> bytes:
    return hashlib.sha256(before + json.dumps(list(values)).encode()).digest()


# --- retention ------------------------------------------------------------------------------------------------


def size(rows: Rows) -> int:
    """Bytes that the database's content takes."""
    pages, free = (rows.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int((pages - free) * rows.execute("PRAGMA page_size").fetchone()[0])
