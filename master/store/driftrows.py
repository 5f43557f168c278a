"""Drift in the database: what the last look at each minion came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from master.driftrules import Found, Standing
from master.store.keyring import Rows
from protocol import codec
from protocol.data import Data

_COLUMNS = "state, reason, steps, checked, since, job"


@dataclass(frozen=True, slots=True)
class DriftRow:
    """What was found, when it was looked last, since when it is so (seconds since the epoch), and the job's id."""

    found: Found
    checked: float
    since: float
    job: str

    def told(self, *, steps: bool = False) -> dict[str, Data]:
        """As the API tells it; `steps`: with each of them."""
        short: dict[str, Data] = {
            "state": self.found.standing, "reason": self.found.reason, "changes": self.found.changes,
            "checked": self.checked, "since": self.since, "job": self.job,
        }  # fmt: skip
        return {**short, "steps": [dict(step) for step in self.found.steps]} if steps else short


def save(rows: Rows, minion: str, row: DriftRow) -> None:
    """Keep what was found, instead of what was found before."""
    rows.execute(
        f"INSERT OR REPLACE INTO drift (minion, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (minion, row.found.standing, row.found.reason, codec.pack(list(row.found.steps)), row.checked, row.since,
         row.job),
    )  # fmt: skip


def row(rows: Rows, minion: str) -> DriftRow | None:
    """What was found of one minion."""
    found = rows.execute(f"SELECT {_COLUMNS} FROM drift WHERE minion = ?", (minion,)).fetchone()
    return None if found is None else _row(found)


def all_rows(rows: Rows) -> dict[str, DriftRow]:
    """What was found of each minion."""
    return {minion: _row(found) for minion, *found in rows.execute(f"SELECT minion, {_COLUMNS} FROM drift")}


def _row(found: Any) -> DriftRow:
    state, reason, steps, checked, since, job = found
    told = cast("list[dict[str, Data]]", codec.unpack(steps))
    return DriftRow(Found(cast(Standing, state), reason, told), checked, since, job)
