"""What a run's journal keeps sealed: the assignment it is made of, and what steps gave in secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from master.jobs import JobOutcome
from master.vault import Vault
from protocol import codec
from protocol.errors import DecodeError, StoreError
from protocol.names import JobId, RunId
from protocol.secrets import literals

if TYPE_CHECKING:
    from protocol.data import Data

SEALED = frozenset({"assignment", "values"})
"""The entries that go when the run has succeeded, or cannot be retried."""


class Sealed:
    """Seals and opens the entries of one run."""

    def __init__(self, vault: Vault, run: RunId) -> None:
        self._vault = vault
        self._run = run

    def beginning(self, assignment: bytes, now: float) -> dict[str, Data]:
        """The first entry: what the run is made of, and when it begins."""
        return {"what": "assignment", "now": now, "sealed": self._vault.seal(assignment, f"run {self._run}")}

    def values(self, outcome: JobOutcome) -> dict[str, Data] | None:
        """The entry with what minions gave in secret; None when nothing is."""
        found = {minion: ended.value for minion, ended in outcome.minions.items() if literals(ended.value)}
        if not found:
            return None
        sealed = self._vault.seal(codec.pack(found), f"run {self._run} job {outcome.job}")
        return {"what": "values", "job": outcome.job, "sealed": sealed}

    def assignment(self, entries: Sequence[Mapping[str, Data]]) -> bytes:
        """The assignment a run is made of. Raises StoreError."""
        if not entries or entries[0].get("what") != "assignment":
            raise StoreError("the journal of a run has no beginning")
        return self._vault.open(cast(bytes, entries[0]["sealed"]), f"run {self._run}")

    def with_values(self, outcome: JobOutcome, entries: Iterable[Mapping[str, Data]]) -> JobOutcome:
        """A job's outcome with the secret values that the journal has of it. Raises StoreError."""
        for entry in entries:
            if entry.get("what") == "values" and entry.get("job") == outcome.job:
                return self._completed(outcome, cast(bytes, entry["sealed"]), outcome.job)
        return outcome

    def _completed(self, outcome: JobOutcome, sealed: bytes, job: JobId) -> JobOutcome:
        try:
            values = codec.unpack(self._vault.open(sealed, f"run {self._run} job {job}"))
        except DecodeError as error:
            raise StoreError(f"the journal of a run is damaged: {error.message}") from None
        kept = values if isinstance(values, Mapping) else {}
        minions = {
            minion: replace(ended, value=kept[minion]) if minion in kept else ended
            for minion, ended in outcome.minions.items()
        }
        return JobOutcome(job, minions)
