"""Drift: each minion is looked at by a dry run in its turn; what it came to is kept, and told when it is news."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from master import driftrules, planned
from master.driftrules import DriftRule, Found
from master.jobs import JobRequest, Jobs, MinionOutcome
from master.store import driftrows
from master.store.driftrows import DriftRow
from master.store.store import Store, Transaction
from protocol.data import Data
from protocol.errors import NoTargetError, StackmasterError, StoreError
from protocol.names import JobId, MinionId
from protocol.results import JobState

log = logging.getLogger("stackmaster.drift")

USER: Final = "drift"
"""Who asks, in the list of jobs."""

MOST_AT_ONCE: Final = 8
"""Minions looked at at once."""

MOST_REASON: Final = 2_000
"""Characters of why a look failed."""

Expand = Callable[[str, str], Awaitable[Iterable[MinionId]]]


class Drift:
    """Looks at the minions as `rule` says. `connected` gives those that could answer."""

    def __init__(
        self,
        rule: DriftRule,
        jobs: Jobs,
        store: Store,
        expand: Expand,
        connected: Callable[[], Iterable[MinionId]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rule = rule
        self._jobs = jobs
        self._store = store
        self._expand = expand
        self._connected = connected
        self._clock = clock
        self._begun = clock()
        self._looked: dict[str, float] = {}
        self._busy: dict[MinionId, asyncio.Task[None]] = {}

    async def load(self) -> None:
        """Remember when each minion was looked at last. Raises StoreError."""
        self._looked = {minion: row.checked for minion, row in (await self._store.read(driftrows.all_rows)).items()}

    def forget(self, minion: MinionId) -> None:
        """The minion's key is not accepted any more."""
        self._looked.pop(minion, None)

    async def close(self) -> None:
        """Look no more."""
        for task in self._busy.values():
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def tick(self) -> None:
        """Begin the looks whose turn it is; to be called about once a second. Raises TargetError, SlsError."""
        now = self._clock()
        free = [minion for minion in self._connected() if minion not in self._busy]
        waiting = driftrules.due(self._rule, free, self._looked, self._begun, now)
        if not waiting or len(self._busy) >= MOST_AT_ONCE:
            return
        meant = await self._meant()
        for name in waiting:
            minion = MinionId(name)
            if minion in meant and len(self._busy) >= MOST_AT_ONCE:
                continue
            self._looked[minion] = now
            if minion in meant:
                task = asyncio.get_running_loop().create_task(self._look(minion))
                self._busy[minion] = task
                task.add_done_callback(lambda done, minion=minion: self._done(minion, done))  # type: ignore[misc]

    def _done(self, minion: MinionId, task: asyncio.Task[None]) -> None:
        self._busy.pop(minion, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("the look at %s for drift failed: %s", minion, error, exc_info=error)

    async def _meant(self) -> set[MinionId]:
        try:
            return set(await self._expand(self._rule.target, self._rule.target_kind))
        except NoTargetError:
            return set()

    async def _look(self, minion: MinionId) -> None:
        """Make a dry run and keep what it came to."""
        rule = self._rule
        request = JobRequest(
            minion, "list", kind="apply", sls=rule.sls, environment=rule.environment, test=True, timeout=rule.timeout,
            user=USER,
        )  # fmt: skip
        job = JobId("")
        try:
            job = await self._jobs.start(request)
            outcome = (await self._jobs.wait(job)).minions[minion]
        except StoreError:
            raise
        except StackmasterError as error:
            found: Found | None = Found("failed", str(error)[:MOST_REASON])
        else:
            found = _found(outcome)
        if found is None:
            log.info("%s could not be looked at for drift: %s", minion, outcome.reason or outcome.state)
            return
        await self._keep(minion, job, driftrules.bounded(found))

    async def _keep(self, minion: MinionId, job: JobId, found: Found) -> None:
        at = self._clock()

        def write(tx: Transaction) -> None:
            before = driftrows.row(tx, minion)
            news = driftrules.differs(before.found if before is not None else None, found)
            since = before.since if before is not None and not news else at
            driftrows.save(tx, minion, DriftRow(found, at, since, job))
            if news:
                was = before.found.standing if before is not None else None
                tx.event(f"minion/{minion}/drift", _told(found, was, job), at, job)

        await self._store.write(write)


def _found(outcome: MinionOutcome) -> Found | None:
    """What a dry run says of drift; None when it did not come to its end."""
    steps = planned.steps_of(outcome.steps)
    if outcome.state is JobState.FAILED:
        failed = [step.comment for step in outcome.steps if step.result is False]
        return Found("failed", (outcome.reason or next(iter(failed), ""))[:MOST_REASON], steps)
    if outcome.state is not JobState.SUCCEEDED:
        return None
    return Found("drifted" if steps else "clean", "", steps)


def _told(found: Found, was: str | None, job: JobId) -> Mapping[str, Data]:
    return {
        "state": found.standing, "was": was, "reason": found.reason, "changes": found.changes,
        "steps": [dict(step) for step in found.steps], "job": job,
    }  # fmt: skip
