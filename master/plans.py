"""Plans that are kept: made by a dry run, and applied later exactly as they were made, or refused."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from master import planned
from master.blobs import KEPT, Blobs
from master.jobs import JobOutcome, Jobs
from master.orders import JobRequest, Prepared, request_data
from master.planned import Kept, Moved
from master.vault import Vault
from protocol import limits
from protocol.assignment import decode_assignment, digest
from protocol.command import Apply, Order
from protocol.data import Data
from protocol.errors import NoTargetError, RefusedError, Where
from protocol.names import JobId, MinionId
from protocol.results import JobState
from protocol.secrets import Scrubber

MOST_BEGUN: Final = 64
"""Dry runs remembered, whose plan nobody took yet; the oldest goes first."""

MOST_NAMED: Final = 10
"""Minions named in an error; the rest is counted."""

Expand = Callable[[str, str], Awaitable[list[MinionId]]]
Begun = Callable[[JobId], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Making:
    """A dry run that is to become a plan."""

    request: JobRequest
    kept: Mapping[str, Kept]
    created: float


class Plans:
    """Makes and applies plans. `expand` gives the minions that a target of a kind means."""

    def __init__(self, jobs: Jobs, blobs: Blobs, vault: Vault, expand: Expand) -> None:
        self._jobs = jobs
        self._blobs = blobs
        self._vault = vault
        self._expand = expand
        self._making: OrderedDict[JobId, _Making] = OrderedDict()

    async def start(self, request: JobRequest) -> JobId:
        """Begin the dry run of a plan; `keep` gives the plan once it has ended. Raises what `Jobs.start` raises."""
        request = replace(request, kind="apply", test=True)
        prepared = await self._jobs.prepare(request)
        created = time.time()
        kept: dict[str, Kept] = {}
        contents: dict[str, bytes] = {}
        for minion, order in prepared.orders.items():
            raw = _assignment(order, prepared)
            sealed = self._vault.seal(raw, _purpose(minion, digest(raw)))
            kept[minion] = Kept(digest(raw), digest(sealed))
            contents[digest(sealed)] = sealed
        await self._blobs.put(contents)
        job = await self._jobs.begin(request, prepared)
        self._making[job] = _Making(request, kept, created)
        if len(self._making) > MOST_BEGUN:
            self._making.popitem(last=False)
        return job

    async def keep(self, job: JobId) -> dict[str, Any]:
        """The plan that the dry run `job` came to, as JSON takes it. Raises RefusedError, StoreError."""
        making = self._making.get(job)
        if making is None:
            raise RefusedError(f"the job {job} is no plan in the making", help="`stackmaster plan … --out FILE` again")
        outcome = await self._jobs.wait(job)
        bad = [name for name, minion in outcome.minions.items() if minion.state is not JobState.SUCCEEDED]
        if bad:
            raise RefusedError(f"there is no plan: the dry run did not succeed on {_names(bad)}")
        self._making.pop(job, None)
        asked = request_data(making.request, Scrubber())
        head: dict[str, Data] = {
            "created": making.created, "expires": making.created + KEPT, "user": making.request.user, "job": job,
            **{key: asked[key] for key in ("target", "target_kind", "sls", "environment", "pillar", "timeout")},
        }  # fmt: skip
        steps = {name: planned.steps_of(minion.steps) for name, minion in outcome.minions.items()}
        return planned.document(head, making.kept, steps, self._vault)

    async def apply(self, plan: Mapping[str, Any], user: str, begun: Begun) -> JobId | list[Moved]:
        """Apply `plan` if a dry run of its assignments foretells now what it foretold then; else what moved.

        `begun` is told the job of that dry run, once it was begun, and awaited. Raises RefusedError (an edited or old
        plan, a target that means others now, contents that are gone), StoreError.
        """
        planned.check(plan, self._vault, time.time())
        await self._same_minions(plan)
        request = JobRequest(
            plan["target"], plan["target_kind"], kind="apply", sls=tuple(plan["sls"]), environment=plan["environment"],
            pillar=plan["pillar"], test=True, timeout=plan["timeout"], user=user,
        )  # fmt: skip
        dry = await self._prepared(plan, test=True, timeout=request.timeout)
        job = await self._jobs.begin(request, dry)
        await begun(job)
        found = _moved(plan, await self._jobs.wait(job))
        if found:
            return found
        wet = await self._prepared(plan, test=False, timeout=request.timeout)
        return await self._jobs.begin(replace(request, test=False), wet)

    async def _same_minions(self, plan: Mapping[str, Any]) -> None:
        """Raises RefusedError when the target means others than it did."""
        try:
            meant = await self._expand(plan["target"], plan["target_kind"])
        except NoTargetError:
            meant = []
        joined, left = planned.membership(plan["minions"], meant)
        told = [f"{_names(joined)} joined" if joined else "", f"{_names(left)} left" if left else ""]
        if joined or left:
            raise RefusedError(
                f"the target {plan['target']!r} means other minions than it did: {', '.join(filter(None, told))}",
                help="make a new plan",
            )

    async def _prepared(self, plan: Mapping[str, Any], *, test: bool, timeout: float) -> Prepared:
        """The orders of the plan's assignments. Raises RefusedError."""
        orders: dict[str, Order] = {}
        contents: dict[str, bytes] = {}
        grants: dict[MinionId, frozenset[str]] = {}
        secrets: set[str] = set()
        for minion, part in plan["minions"].items():
            raw = await asyncio.to_thread(self._opened, minion, part)
            assignment = decode_assignment(raw)
            inline = raw if len(raw) <= limits.INLINE_ASSIGNMENT else None
            orders[minion] = Apply(part["assignment"], inline, test, False, timeout)
            wanted = {ref.digest for ref in assignment.blobs()}
            lacking = self._blobs.lacking(wanted)
            if lacking:
                raise self._gone(minion)
            if inline is None:
                contents[part["assignment"]] = raw
                wanted.add(part["assignment"])
            grants[MinionId(minion)] = frozenset(wanted)
            secrets.update(assignment.secrets)
        return Prepared(orders, contents, grants, frozenset(secrets))

    def _opened(self, minion: str, part: Mapping[str, str]) -> bytes:
        if self._blobs.lacking({part["sealed"]}):
            raise self._gone(minion)
        return self._vault.open(self._blobs.path(part["sealed"]).read_bytes(), _purpose(minion, part["assignment"]))

    @staticmethod
    def _gone(minion: str) -> RefusedError:
        return RefusedError(
            "the master does not keep the contents of this plan any more",
            where=Where(minion=minion),
            help="make a new plan",
        )


def _assignment(order: Order, prepared: Prepared) -> bytes:
    """The encoded assignment of an apply."""
    assert isinstance(order, Apply)
    raw = order.inline if order.inline is not None else prepared.contents[order.digest]
    assert isinstance(raw, bytes)
    return raw


def _purpose(minion: str, assignment: str) -> str:
    return f"plan/{minion}/{assignment}"


def _moved(plan: Mapping[str, Any], outcome: JobOutcome) -> list[Moved]:
    """What differs between a plan and the outcome of a dry run of it."""
    found: list[Moved] = []
    for name, part in plan["minions"].items():
        minion = outcome.minions[name]
        if minion.state in (JobState.SUCCEEDED, JobState.FAILED):
            was = plan["foretold"][part["foretold"]]
            found += planned.moved(name, was, planned.steps_of(minion.steps))
        if minion.state is not JobState.SUCCEEDED:
            now = f"{minion.state}: {minion.reason}" if minion.reason else str(minion.state)
            found.append(Moved(name, "", "the dry run", "state", str(JobState.SUCCEEDED), now))
    return found


def _names(minions: list[str]) -> str:
    more = len(minions) - MOST_NAMED
    return ", ".join(minions[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
