"""What each call of the API does about jobs, runs and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from master.api.calls import Parts
from master.api.roles import Caller
from master.api.table import Argument, Call, Emit
from master.jobs import JobRequest
from master.store import jobrows, kept, queries
from master.store.jobrows import JobRow, MinionRow
from protocol.data import Data
from protocol.errors import InputError
from protocol.names import RunId

LONGEST_JOB = 7 * 86400.0
"""Seconds that a job may be given."""

MOST_SHOWN = 2 * 1024 * 1024
"""Bytes of the steps and values that one answer tells whole (as JSON they are more); beyond it of each minion only
failures are told, and values are cut."""

MOST_OF_FAILURE = 4_000
"""Bytes of one failed step's result when not all are told whole."""


class WorkCalls:
    """The calls about jobs, runs and events."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # --- jobs ---------------------------------------------------------------------------------------------------

    async def jobs_start(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Begin a job."""
        if args["kind"] not in ("call", "apply"):
            raise InputError(f"a job is a call or an apply, not {args['kind']!r}")
        job = await self._parts.jobs.start(JobRequest(**args, user=who.user))
        minions = await self._parts.store.read(lambda rows: jobrows.minions(rows, job))
        return {"job": job, "minions": [minion.minion for minion in minions]}

    async def jobs_list(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """The newest jobs."""
        store = self._parts.store
        rows = await store.read(lambda reader: jobrows.jobs(reader, args["limit"]))
        counts = await store.read(lambda reader: [jobrows.state_counts(reader, row.job) for row in rows])
        return {"jobs": [{**_job_data(row), "states": states} for row, states in zip(rows, counts, strict=True)]}

    async def jobs_show(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """One job with what each minion came to."""
        row = await self.job_named(args["job"])
        store = self._parts.store
        minions = await store.read(lambda rows: jobrows.minions(rows, row.job))
        of_steps, of_values = await store.read(lambda rows: jobrows.results_size(rows, row.job))
        shortened = of_steps + of_values > MOST_SHOWN
        if not shortened:
            steps = await store.read(lambda rows: jobrows.steps(rows, row.job))
        else:
            steps = await store.read(lambda rows: jobrows.failures(rows, row.job, MOST_OF_FAILURE, MOST_SHOWN // 3))
            each = max(MOST_SHOWN // 3 // len(minions), 64)
            minions = [replace(each_one, value=kept.fitting(each_one.value, each)) for each_one in minions]
        told = {minion: [jobrows.step_data(step) for step in results] for minion, results in steps.items()}
        return {
            **_job_data(row),
            "states": dict(Counter(minion.state.value for minion in minions)),
            "shortened": shortened,
            "minions": {minion.minion: _minion_data(minion, told.get(minion.minion, [])) for minion in minions},
        }

    async def jobs_watch(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Every event of a job from its beginning to its end."""
        row = await self.job_named(args["job"])
        end = f"job/{row.job}/ended"
        last = self._parts.store.last_seq if row.ended is not None else None
        follower = self._parts.bus.follow(f"job/{row.job}/*", row.first_event - 1)
        try:
            while (event := await follower.next(last)) is not None:
                await emit(event)
                if event.tag == end:
                    return {"states": event.data["states"]}
        finally:
            self._parts.bus.leave(follower)
        minions = await self._parts.store.read(lambda rows: jobrows.minions(rows, row.job))
        return {"states": {minion.minion: minion.state.value for minion in minions}}

    async def jobs_cancel(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """End a job."""
        row = await self.job_named(args["job"])
        return {"job": row.job, "minions": list(await self._parts.jobs.cancel(row.job, who.user, args["minions"]))}

    async def job_named(self, name: str) -> JobRow:
        """The job with this id, or the only one whose id begins or ends so. Raises InputError."""
        found = await self._parts.store.read(lambda rows: jobrows.named(rows, name)) if len(name) >= 4 else []
        exact = [job for job in found if job == name] or found
        if len(exact) != 1:
            many = f"several jobs have {name!r} in their id" if exact else f"there is no job {name!r}"
            raise InputError(many, help="`stackmaster jobs ls` lists them; give more of the id")
        row = await self._parts.store.read(lambda rows: jobrows.job(rows, exact[0]))
        if row is None:
            raise InputError(f"there is no job {name!r}")
        return row

    # --- runs ---------------------------------------------------------------------------------------------------

    async def runs_start(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Begin a run."""
        run = await self._parts.runs.start(args["sls"], args["pillar"], args["test"], args["environment"], who.user)
        return {"run": run}

    async def runs_list(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """The newest runs."""
        return {"runs": await self._parts.runs.list(args["limit"])}

    async def runs_show(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """One run with its steps."""
        return await self._parts.runs.show(await self.run_named(args["run"]))

    async def runs_watch(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Every event of a run and of its jobs, from its beginning to its end."""
        run = await self.run_named(args["run"])
        row = await self._parts.store.read(lambda rows: queries.run(rows, run))
        assert row is not None
        attempt = (await self._parts.runs.show(run))["attempt"]
        last = self._parts.store.last_seq if row.ended is not None else None
        follower = self._parts.bus.follow("*", row.first_event - 1)
        prefix = f"run/{run}/"
        try:
            while (event := await follower.next(last)) is not None:
                if event.tag.startswith(prefix) or event.cause.startswith(run):
                    await emit(event)
                if event.tag == f"{prefix}ended" and event.data.get("attempt", 1) == attempt:
                    return event.data
        finally:
            self._parts.bus.leave(follower)
        return {"state": row.state}

    async def run_named(self, name: str) -> RunId:
        """The run with this id, or the only one whose id begins or ends so. Raises InputError."""
        found = await self._parts.store.read(lambda rows: queries.named_runs(rows, name)) if len(name) >= 4 else []
        exact = [run for run in found if run == name] or found
        if len(exact) != 1:
            many = f"several runs have {name!r} in their id" if exact else f"there is no run {name!r}"
            raise InputError(many, help="`stackmaster runs ls` lists them; give more of the id")
        return exact[0]

    async def runs_cancel(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """End a run."""
        run = await self.run_named(args["run"])
        await self._parts.runs.cancel(run, who.user, args["force"])
        return {"run": run}

    async def runs_pause(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Begin nothing more of a run."""
        run = await self.run_named(args["run"])
        await self._parts.runs.going(run).pause(who.user)
        return {"run": run}

    async def runs_resume(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Let a paused run go on."""
        run = await self.run_named(args["run"])
        await self._parts.runs.going(run).resume(who.user)
        return {"run": run}

    async def runs_retry(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Do again what failed of an ended run."""
        run = await self.run_named(args["run"])
        await self._parts.runs.retry(run, args["failed"], who.user)
        return {"run": run}

    async def runs_skip(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Count a step as done."""
        run = await self.run_named(args["run"])
        await self._parts.runs.going(run).skip(args["step"], who.user)
        return {"run": run, "step": args["step"]}

    async def runs_decide(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Approve or deny a step that waits for it."""
        run = await self.run_named(args["run"])
        granted = args["granted"]
        step = await self._parts.runs.going(run).decide(args["step"], granted, args["comment"], who.user)
        return {"run": run, "step": step, "granted": granted}

    # --- events -------------------------------------------------------------------------------------------------

    async def events_tail(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Events as they come, or from a sequence number on."""
        async for event in self._parts.bus.events(args["pattern"], args["since"]):
            await emit(event)
        return {}

    async def audit_show(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """The newest records of the audit, and the first one of all that does not hold."""
        store = self._parts.store
        broken = await store.read(queries.first_broken_audit)
        return {"records": await store.read(lambda rows: queries.audit(rows, args["limit"])), "broken": broken}


def _job_data(row: JobRow) -> dict[str, Data]:
    return {
        "job": row.job, **row.request, "user": row.user, "cause": row.cause, "created": row.created,
        "deadline": row.deadline, "ended": row.ended,
    }  # fmt: skip


def _minion_data(row: MinionRow, steps: list[dict[str, Data]]) -> dict[str, Data]:
    return {"state": row.state.value, "reason": row.reason, "value": row.value, "at": row.changed, "steps": steps}


def work_calls(parts: Parts) -> list[Call]:
    """The calls of this module."""
    calls = WorkCalls(parts)
    job, run = {"job": Argument("str")}, {"run": Argument("str")}
    limit = {"limit": Argument("int", 20, least=1, most=1000)}
    apply = {
        "sls": Argument("strings", ()), "environment": Argument("str", "base"), "pillar": Argument("mapping", {}),
        "test": Argument("bool", False),
    }  # fmt: skip
    start = {
        "target": Argument("str"), "target_kind": Argument("str", "compound"), "kind": Argument("str", "call"),
        "function": Argument("str", ""), "args": Argument("list", ()), "kwargs": Argument("mapping", {}), **apply,
        "timeout": Argument("float", 3600.0, least=0.1, most=LONGEST_JOB),
    }  # fmt: skip
    decision = {
        **run, "step": Argument("str", ""), "granted": Argument("bool"), "comment": Argument("str", ""),
    }  # fmt: skip
    tail = {"pattern": Argument("str", "*"), "since": Argument("int", None, least=0, most=2**62)}
    return [
        Call("jobs.start", "operate", calls.jobs_start, start, 300.0),
        Call("jobs.list", "read", calls.jobs_list, limit),
        Call("jobs.show", "read", calls.jobs_show, job),
        Call("jobs.watch", "read", calls.jobs_watch, job, stream=True),
        Call("jobs.cancel", "operate", calls.jobs_cancel, {**job, "minions": Argument("strings", None)}),
        Call("runs.start", "operate", calls.runs_start, apply, 300.0),
        Call("runs.list", "read", calls.runs_list, limit),
        Call("runs.show", "read", calls.runs_show, run),
        Call("runs.watch", "read", calls.runs_watch, run, stream=True),
        Call("runs.cancel", "operate", calls.runs_cancel, {**run, "force": Argument("bool", False)}),
        Call("runs.pause", "operate", calls.runs_pause, run),
        Call("runs.resume", "operate", calls.runs_resume, run),
        Call("runs.retry", "operate", calls.runs_retry, {**run, "failed": Argument("bool", False)}, 120.0),
        Call("runs.skip", "operate", calls.runs_skip, {**run, "step": Argument("str")}),
        Call("runs.decide", "operate", calls.runs_decide, decision),
        Call("audit.show", "admin", calls.audit_show, limit, 120.0),
        Call("events.tail", "read", calls.events_tail, tail, stream=True),
    ]
