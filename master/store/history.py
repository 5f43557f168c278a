"""Which history goes when it is too old, too much, or in the way on a full disk: the oldest first, in small steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from master.store.keyring import Rows

STEP: Final = 4 * 1024 * 1024
"""Bytes of content forgotten in one transaction, so that nobody waits long for the writer."""

_PAGE: Final = 5_000
"""Rows of one table looked at in one step."""

_ROW: Final = 100
"""Bytes that a row costs beside its content, about."""


def forget(rows: Rows, before: float = math.inf, most: float = STEP, *, ongoing: bool = False) -> int:
    """Forget jobs and runs that ended before `before` (seconds since the epoch), and events and audit records of then.

    About `most` bytes of each kind go; gives how many rows did, 0 when nothing is left to go. The newest event and
    audit record stay, so that numbers are not given twice, and so do the events since the oldest job or run that
    goes on began, unless `ongoing` gives them up too.
    """
    kept = math.inf if ongoing else _first_of_ongoing(rows)
    gone = _jobs(rows, before, most)
    gone += _runs(rows, before, most)
    gone += _numbered(rows, "events", "seq", "length(data) + length(tag)", before, kept, most)
    return gone + _numbered(rows, "audit", "number", "length(arguments)", before, math.inf, most)


def _first_of_ongoing(rows: Rows) -> float:
    firsts = [
        rows.execute(f"SELECT min(first_event) FROM {table} WHERE ended IS NULL").fetchone()[0]
        for table in ("jobs", "runs")
    ]
    return min((first for first in firsts if first is not None), default=math.inf)


def _numbered(rows: Rows, table: str, number: str, size: str, before: float, kept: float, most: float) -> int:
    """Rows of a table that is numbered in the order of time."""
    newest = rows.execute(f"SELECT coalesce(max({number}), 0) FROM {table}").fetchone()[0]
    bound = min(kept, newest)
    found = rows.execute(
        f"SELECT {number}, {size} FROM {table} WHERE {number} < ? AND at < ? ORDER BY {number} LIMIT {_PAGE}",
        (bound, before),
    )
    last, _ = _upto(found, most)
    if last is None:
        return 0
    return int(rows.execute(f"DELETE FROM {table} WHERE {number} <= ? AND at < ?", (*last, before)).rowcount)


def _upto(found: Iterable[tuple[Any, ...]], most: float) -> tuple[tuple[Any, ...] | None, float]:
    """The key of the last of `found` (key columns, then bytes) that `most` bytes have room for, and what is left."""
    last: tuple[Any, ...] | None = None
    for *key, size in found:
        if most <= 0:
            break
        last = tuple(key)
        most -= _ROW + (size or 0)
    return last, most


def _jobs(rows: Rows, before: float, most: float) -> int:
    gone = 0
    for (job,) in rows.execute("SELECT job FROM jobs WHERE ended < ? ORDER BY job LIMIT 100", (before,)).fetchall():
        for table, key, size in (("steps", "minion, position", "result"), ("job_minions", "minion", "value")):
            found = rows.execute(f"SELECT {key}, length({size}) FROM {table} WHERE job = ? ORDER BY {key}", (job,))
            last, most = _upto(found, most)
            if last is not None:
                marks = ", ".join("?" * len(last))
                sql = f"DELETE FROM {table} WHERE job = ? AND ({key}) <= ({marks})"
                gone += rows.execute(sql, (job, *last)).rowcount
            if most <= 0:
                return gone
        for table in ("commands", "grants", "jobs"):
            gone += rows.execute(f"DELETE FROM {table} WHERE job = ?", (job,)).rowcount
    return gone


def _runs(rows: Rows, before: float, most: float) -> int:
    gone = 0
    for (run,) in rows.execute("SELECT run FROM runs WHERE ended < ? ORDER BY run LIMIT 100", (before,)).fetchall():
        sql = "SELECT number, length(entry) FROM journal WHERE run = ? ORDER BY number"
        last, most = _upto(rows.execute(sql, (run,)), most)
        if last is not None:
            gone += rows.execute("DELETE FROM journal WHERE run = ? AND number <= ?", (run, *last)).rowcount
        if most <= 0:
            return gone
        gone += rows.execute("DELETE FROM runs WHERE run = ?", (run,)).rowcount
    return gone
