"""What each call of the API does about plans that are kept, and about rollbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from master.api.calls import Parts
from master.api.roles import Caller
from master.api.table import Argument, Call, Emit
from master.api.work import LONGEST_JOB, WorkCalls
from master.jobs import JobRequest
from master.store import jobrows
from protocol.data import Data
from protocol.names import JobId


class PlanCalls:
    """The calls about plans."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def start(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Begin the dry run of a plan."""
        job = await self._parts.plans.start(JobRequest(**args, kind="apply", user=who.user))
        minions = await self._parts.store.read(lambda rows: jobrows.minions(rows, job))
        return {"job": job, "minions": [minion.minion for minion in minions]}

    async def keep(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """The plan that a dry run came to."""
        return {"plan": await self._parts.plans.keep(JobId(args["job"]))}

    async def apply(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Apply a plan: the events of a dry run of it, then its job, or what moved."""

        async def begun(job: JobId) -> None:
            row = await self._parts.store.read(lambda rows: jobrows.job(rows, job))
            assert row is not None
            follower = self._parts.bus.follow(f"job/{job}/*", row.first_event - 1)
            try:
                while (event := await follower.next()) is not None:
                    await emit(event)
                    if event.tag == f"job/{job}/ended":
                        return
            finally:
                self._parts.bus.leave(follower)

        found = await self._parts.plans.apply(args["plan"], who.user, begun)
        if isinstance(found, list):
            return {"moved": [each.told() for each in found]}
        return {"job": found}


class RollbackCalls:
    """The calls about rollbacks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._work = WorkCalls(parts)

    async def job(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Begin the rollback of a job."""
        row = await self._work.job_named(args["job"])
        what = f"job {row.job}"
        return {"job": await self._parts.rollbacks.start(what, [row.job], who.user, test=args["test"])}

    async def run(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Begin the rollback of all jobs of a run."""
        run = await self._work.run_named(args["run"])
        jobs = await self._parts.store.read(lambda rows: jobrows.of_run(rows, run))
        return {"job": await self._parts.rollbacks.start(f"run {run}", jobs, who.user, test=args["test"])}


def plan_calls(parts: Parts) -> list[Call]:
    """The calls of this module."""
    calls, rollbacks = PlanCalls(parts), RollbackCalls(parts)
    test = {"test": Argument("bool", True)}
    start = {
        "target": Argument("str"), "target_kind": Argument("str", "compound"), "sls": Argument("strings", ()),
        "environment": Argument("str", "base"), "pillar": Argument("mapping", {}),
        "timeout": Argument("float", 3600.0, least=0.1, most=LONGEST_JOB),
    }  # fmt: skip
    return [
        Call("plans.start", "operate", calls.start, start, 300.0),
        Call("plans.keep", "operate", calls.keep, {"job": Argument("str")}, 60.0),
        Call("jobs.rollback", "operate", rollbacks.job, {"job": Argument("str"), **test}, 60.0),
        Call("runs.rollback", "operate", rollbacks.run, {"run": Argument("str"), **test}, 60.0),
        Call("plans.apply", "operate", calls.apply, {"plan": Argument("mapping")}, stream=True),
    ]
