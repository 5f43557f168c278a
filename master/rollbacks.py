"""Rollbacks: jobs that put back what jobs changed, on the minions that they changed, from what those kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from master.jobs import JobRequest, Jobs
from master.orders import Prepared
from master.store import jobrows
from master.store.store import Store
from protocol.assignment import Assignment, Chunk, digest
from protocol.command import Apply
from protocol.errors import InputError, NoTargetError, RefusedError
from protocol.names import JobId, MinionId

TIMEOUT: Final = 3600.0
"""Seconds that a rollback may take."""

Expand = Callable[[str, str], Awaitable[Iterable[MinionId]]]


class Rollbacks:
    """Begins rollbacks. `expand` gives the minions that a target of a kind means."""

    def __init__(self, jobs: Jobs, store: Store, expand: Expand) -> None:
        self._jobs = jobs
        self._store = store
        self._expand = expand

    async def start(self, what: str, jobs: Sequence[JobId], user: str, *, test: bool) -> JobId:
        """Begin the rollback of `jobs` (oldest first), told as `what`; `test`: only foretell it.

        Raises InputError when they changed nothing, RefusedError when one goes on or a minion is gone, StoreError.
        """
        changed: dict[str, list[str]] = {}
        for job in jobs:
            for minion in await self._changed(job):
                changed.setdefault(minion, []).append(job)
        if not changed:
            raise InputError(f"{what} changed nothing", help="`stackmaster jobs ls --all` lists what did")
        target = ",".join(sorted(changed))
        try:
            here = {str(minion) for minion in await self._expand(target, "list")}
        except NoTargetError:
            here = set()
        if gone := sorted(changed.keys() - here):
            raise RefusedError(f"{what} changed minions that are not accepted any more: {', '.join(gone)}")
        orders = {minion: _order(minion, what, ids, test=test) for minion, ids in changed.items()}
        request = JobRequest(
            target, "list", kind="apply", sls=(f"rollback of {what}",), test=test, timeout=TIMEOUT, user=user
        )
        grants = {MinionId(minion): frozenset[str]() for minion in orders}
        return await self._jobs.begin(request, Prepared(dict(orders), grants=grants))

    async def _changed(self, job: JobId) -> list[str]:
        """The minions that an apply changed. Raises RefusedError."""
        row = await self._store.read(lambda rows: jobrows.job(rows, job))
        if row is None or row.request.get("kind") != "apply" or row.request.get("test"):
            return []
        if row.ended is None:
            raise RefusedError(f"the job {job} goes on", help=f"stackmaster jobs cancel {job[-6:]}")
        steps = await self._store.read(lambda rows: jobrows.steps(rows, job))
        return [minion for minion, results in steps.items() if any(result.changes for result in results)]


def _order(minion: str, what: str, jobs: list[str], *, test: bool) -> Apply:
    chunk = Chunk("rollback", "jobs", what, what, "rollback", {"jobs": list(jobs)})
    raw = Assignment(minion, (chunk,)).encoded()
    return Apply(digest(raw), raw, test, False, TIMEOUT)
