"""Carries out what the engines of runs say: jobs, timers, events, the journal; takes runs up after a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from master.bus import Bus
from master.jobs import JobOutcome, Jobs
from master.runs import journal, records, runners, steps
from master.runs.batches import domain_of
from master.runs.engine import Engine
from master.runs.live import Live
from master.runs.naming import declared, names
from master.runs.replay import Open, replay
from master.runs.sealed import Sealed
from master.runs.shapes import (
    Announce,
    CancelJob,
    CancelRunner,
    Effect,
    EventSeen,
    Expand,
    Expanded,
    Finished,
    JobEnded,
    JobStarted,
    Key,
    Listen,
    Refused,
    Retried,
    RunEvent,
    RunnerEnded,
    StartJob,
    StartRunner,
    Tell,
    Tick,
    Unlisten,
)
from master.store import queries
from master.store.store import Store, Transaction
from master.vault import Vault
from protocol.assignment import Assignment, decode_assignment
from protocol.errors import InputError, RefusedError, StackmasterError
from protocol.names import JobId, RunId, new_job_id
from protocol.secrets import Scrubber, literals

if TYPE_CHECKING:
    from protocol.data import Data

log = logging.getLogger("stackmaster.runs")

MOST_RUNS: Final = 50
"""Runs that may go on at once, nested ones included."""

Compile = Callable[[tuple[str, ...], Mapping[str, "Data"], str], Awaitable[Assignment]]
"""Compiles an orchestration: SLS names, pillar laid over, environment. Raises SlsError."""

ExpandTarget = Callable[[str, str], Awaitable[Sequence[str]]]
"""The accepted minions that a target and its kind mean. Raises TargetError, NoTargetError."""


class Runs:
    """The orchestrations of this master. `present` are the minions here, `accepted` all that may come, `grains` what
    is known of one."""

    def __init__(
        self, jobs: Jobs, bus: Bus, store: Store, compile: Compile, expand: ExpandTarget, vault: Vault,
        *, accepted: Callable[[], Collection[str]], present: Callable[[], Collection[str]],
        grains: Callable[[str], Mapping[str, Data]],
    ) -> None:  # fmt: skip
        self._jobs = jobs
        self._bus = bus
        self._store = store
        self._compile = compile
        self._expand = expand
        self._vault = vault
        self._accepted = accepted
        self._present = present
        self._grains = grains
        self._reviving: set[RunId] = set()
        self._live: dict[RunId, Live] = {}
        self._drivers: set[asyncio.Task[None]] = set()

    # --- what the API calls -------------------------------------------------------------------------------------

    async def start(
        self, sls: tuple[str, ...], pillar: Mapping[str, Data], test: bool, environment: str, user: str
    ) -> RunId:
        """Compile an orchestration, check all of it, and begin. Raises SlsError, ArgumentError, RefusedError."""
        if len(self._live) >= MOST_RUNS:
            raise RefusedError(f"{MOST_RUNS} runs go on already", help="`stackmaster runs ls`; wait or cancel one")
        if not sls:
            raise InputError("an orchestration needs the name of an SLS", help="stackmaster run ceph.deploy")
        assignment = await self._compile(sls, pillar, environment)
        steps.check(assignment.chunks)
        now = time.time()
        run = RunId(str(new_job_id(now)))
        live = self._make(run, assignment, test, user, literals(pillar))
        request: dict[str, Data] = {
            "sls": list(sls), "environment": environment, "test": test,
            "steps": declared(assignment.chunks, names(assignment.chunks)),
        }  # fmt: skip
        encoded = assignment.encoded()

        def write(tx: Transaction) -> None:
            first = tx.event(f"run/{run}/new", {**request, "user": user}, now, run)
            queries.insert_run(tx, run, now, user, request, first)
            queries.append_journal(tx, run, now, Sealed(self._vault, run).beginning(encoded, now))

        await self._store.write(write)
        self._live[run] = live
        self._drive(live, live.engine.begin(now))
        return run

    async def cancel(self, run: RunId, user: str, force: bool = False) -> None:
        """Stop a run (see Live.cancel). Raises InputError when it does not go on, RefusedError."""
        await self.going(run).cancel(user, force)

    def going(self, run: RunId) -> Live:
        """The run, which goes on. Raises InputError when it does not."""
        live = self._live.get(run)
        if live is None:
            raise InputError(f"the run {run} does not go on", help=f"`stackmaster runs show {run}`")
        return live

    async def retry(self, run: RunId, failed: bool, user: str) -> None:
        """Do again what failed of an ended run, and what needs it; with `failed` only where it failed.

        Raises InputError, RefusedError, StoreError.
        """
        row = await self._store.read(lambda rows: queries.run(rows, run))
        if row is None:
            raise InputError(f"there is no run {run}", help="`stackmaster runs ls` lists them")
        if row.ended is None or run in self._reviving:
            raise RefusedError(f"the run {run} goes on", help=f"`stackmaster runs cancel {run}` ends it")
        if row.state == "succeeded" or row.request.get("test"):
            raise RefusedError(f"nothing of the run {run} failed", help="start it again with `stackmaster run`")
        if len(self._live) >= MOST_RUNS:
            raise RefusedError(f"{MOST_RUNS} runs go on already", help="`stackmaster runs ls`; wait or cancel one")
        self._reviving.add(run)
        try:
            live, _ = await self._replayed(row, await self._entries(run))
            event, now = Retried(user, failed), time.time()
            effects = live.engine.handle(event, now)
            await self._write(live, event, now, effects)
            self._live[run] = live
        finally:
            self._reviving.discard(run)
        self._drive(live, effects, written=True)

    async def wait(self, run: RunId) -> str:
        """The state in which a run ended. Raises InputError when there is no such run."""
        live = self._live.get(run)
        if live is not None:
            await live.done.wait()
        row = await self._store.read(lambda rows: queries.run(rows, run))
        if row is None:
            raise InputError(f"there is no run {run}", help="`stackmaster runs ls` lists them")
        return row.state

    async def show(self, run: RunId) -> Mapping[str, Data]:
        """One run with its steps. Raises InputError."""
        row = await self._store.read(lambda rows: queries.run(rows, run))
        if row is None:
            raise InputError(f"there is no run {run}", help="`stackmaster runs ls` lists them")
        return records.shown(row, await self._entries(run))

    async def list(self, limit: int) -> list[Mapping[str, Data]]:
        """The newest runs, newest first."""
        rows = await self._store.read(lambda rows: queries.runs(rows, limit))
        return [records.summary(row) for row in rows]

    @property
    def running(self) -> int:
        """How many go on."""
        return len(self._live)

    # --- begin, restart, end ------------------------------------------------------------------------------------

    async def resume(self) -> None:
        """Take up the runs that had not ended when the master stopped. Raises StoreError."""
        for row in await self._store.read(queries.unended_runs):
            try:
                await self._resume(row, await self._entries(row.run))
            except StackmasterError as error:
                log.error("the run %s cannot be taken up: %s", row.run, error)
                await self._store.write(partial(records.broken, row=row, error=error, now=time.time()))

    async def _entries(self, run: RunId) -> Sequence[Mapping[str, Data]]:
        return [entry for _, _, entry in await self._store.read(partial(queries.journal, run=run))]

    async def _replayed(self, row: queries.RunRow, entries: Sequence[Mapping[str, Data]]) -> tuple[Live, Open]:
        """A run as its journal has it, and what was asked for and not yet answered. Raises StoreError, InputError."""
        sealed = Sealed(self._vault, row.run)
        assignment = decode_assignment(sealed.assignment(entries))
        live = self._make(row.run, assignment, bool(row.request.get("test")), row.user, set())

        async def outcome(job: JobId) -> JobOutcome:
            ended = sealed.with_values(await self._jobs.wait(job), entries)
            live.learn(ended)
            return ended

        return live, await replay(live.engine, entries, outcome)

    async def _resume(self, row: queries.RunRow, entries: Sequence[Mapping[str, Data]]) -> None:
        """Replay the journal, then do again what was asked for and not yet answered."""
        live, open = await self._replayed(row, entries)
        self._live[row.run] = live
        effects: list[Effect] = [CancelJob(job) for job in open.cancels]
        for key, effect in open.effects.items():
            if isinstance(effect, StartJob):
                told = key in open.started
                known = open.started.get(key) or await self._store.read(
                    partial(records.job_caused_by, cause=effect.request.cause)
                )
                self._task(live, key, self._job(live, effect, known, told))
            elif isinstance(effect, StartRunner) and effect.name not in runners.REPEATABLE:
                error = StackmasterError("the master restarted while it ran", help="look whether it was done")
                await live.inbox.put(Refused(key, error))
            else:
                effects.append(effect)
        self._drive(live, effects)

    async def close(self) -> None:
        """Let go of all runs as they are; a new master takes them up."""
        tasks = [*self._drivers, *(task for live in self._live.values() for task in (*live.tasks.values(), *live.side))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _make(self, run: RunId, assignment: Assignment, test: bool, user: str, secrets: set[str]) -> Live:
        chunks = assignment.chunks
        engine = Engine(run, chunks, names(chunks), test=test, user=user)
        return Live(run, engine, user, Scrubber({*assignment.secrets, *secrets}))

    def _drive(self, live: Live, effects: Sequence[Effect], *, written: bool = False) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._loop(live, effects, written), name=f"run {live.run}")
        self._drivers.add(task)
        task.add_done_callback(self._driven)

    def _driven(self, task: asyncio.Task[None]) -> None:
        self._drivers.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical(
                "%s stopped; it is taken up when the master restarts", task.get_name(), exc_info=task.exception()
            )

    async def _loop(self, live: Live, effects: Sequence[Effect], written: bool) -> None:
        """Carry out the first effects (told first unless `written`), then hear events until the run has ended."""
        if not written:
            await self._write(live, None, time.time(), effects)
        self._carry_out(live, effects)
        while live.engine.state == "running":
            wake = live.engine.wake
            try:
                event = await asyncio.wait_for(live.inbox.get(), None if wake is None else max(wake - time.time(), 0.0))
            except TimeoutError:
                event = Tick()
            now = time.time()
            if isinstance(event, JobEnded):
                live.learn(event.outcome)
            effects = live.engine.handle(event, now)
            await self._write(live, event, now, effects)
            self._carry_out(live, effects)
        del self._live[live.run]
        for task in (*live.tasks.values(), *live.side):
            task.cancel()
        live.done.set()

    # --- effects ------------------------------------------------------------------------------------------------

    async def _write(self, live: Live, event: RunEvent | None, now: float, effects: Sequence[Effect]) -> None:
        """The journal and the events of the run, in one transaction, before anything is done."""
        tells = [effect for effect in effects if isinstance(effect, Tell)]
        finished = next((effect for effect in effects if isinstance(effect, Finished)), None)
        if isinstance(event, Tick) and not effects:
            return
        values = Sealed(self._vault, live.run).values(event.outcome) if isinstance(event, JobEnded) else None

        def write(tx: Transaction) -> None:
            if values is not None:
                queries.append_journal(tx, live.run, now, values)
            if event is not None:
                queries.append_journal(tx, live.run, now, journal.entry(event, now))
            for effect in effects:
                if isinstance(effect, Announce):
                    self._announce(tx, live, effect, now)
            for tell in tells:
                step = live.engine.name(tell.step)
                data = cast("Mapping[str, Data]", live.scrubber.data(tell.data))
                tx.event(f"run/{live.run}/step/{step}/{tell.what}", data, now, live.run)
                queries.append_journal(tx, live.run, now, records.told(step, tell.what, data, now))
            if finished is not None:
                keep = finished.state != "succeeded" and not live.engine.test
                records.end(tx, live.run, finished.state, now, keep=keep)

        await self._store.write(write)

    def _announce(self, tx: Transaction, live: Live, effect: Announce, now: float) -> None:
        """Tell and keep what a person did to the run; also its state, which that may have changed."""
        tx.event(f"run/{live.run}/{effect.what}", effect.data, now, live.run)
        queries.append_journal(tx, live.run, now, records.announced(effect.what, effect.data))
        queries.run_goes_on(tx, live.run, "paused" if effect.what == "paused" else "running")

    def _carry_out(self, live: Live, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case StartJob(key, _):
                    self._task(live, key, self._job(live, effect, None))
                case Expand(key, _, _, _):
                    self._task(live, key, self._expanded(live, effect))
                case Listen(key, pattern):
                    self._task(live, key, self._listen(live, key, pattern, self._store.last_seq))
                case StartRunner(key, _):
                    self._task(live, key, self._runner(live, effect))
                case Unlisten(key) | CancelRunner(key):
                    task = live.tasks.pop(key, None)
                    if task is not None:
                        task.cancel()
                case CancelJob(job):
                    task = asyncio.get_running_loop().create_task(self._cancel_job(live, job))
                    live.side.add(task)
                    task.add_done_callback(live.side.discard)

    def _task(self, live: Live, key: Key, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except StackmasterError as error:
                await live.inbox.put(Refused(key, error))

        def ended(task: asyncio.Task[None]) -> None:
            live.tasks.pop(key, None)
            if not task.cancelled() and (fault := task.exception()) is not None:
                log.error("a step of run %s failed within the master", live.run, exc_info=fault)
                error = StackmasterError(f"internal: {type(fault).__name__}", help="the master's log tells more")
                again = asyncio.get_running_loop().create_task(live.inbox.put(Refused(key, error)))
                live.side.add(again)
                again.add_done_callback(live.side.discard)

        task = asyncio.get_running_loop().create_task(guarded())
        live.tasks[key] = task
        task.add_done_callback(ended)

    async def _job(self, live: Live, effect: StartJob, known: JobId | None, told: bool = False) -> None:
        """Start the job, or take up the one that is `known`; tell of its start (unless `told`) and of its end."""
        job = known or await self._jobs.start(effect.request)
        if not told:
            await live.inbox.put(JobStarted(effect.key, job))
        await live.inbox.put(JobEnded(effect.key, await self._jobs.wait(job)))

    async def _expanded(self, live: Live, effect: Expand) -> None:
        minions = tuple(map(str, await self._expand(effect.target, effect.kind)))
        domains = tuple(domain_of(self._grains(minion), effect.domain) for minion in minions) if effect.domain else ()
        await live.inbox.put(Expanded(effect.key, minions, domains))

    async def _listen(self, live: Live, key: Key, pattern: str, since: int) -> None:
        async for event in self._bus.events(pattern, since):
            await live.inbox.put(EventSeen(key, event.tag, event.data))

    async def _runner(self, live: Live, effect: StartRunner) -> None:
        hands = runners.Hands(self._bus, self._accepted, self._present, self._nested(live))
        try:
            ended = await asyncio.wait_for(runners.run(effect.name, effect.kwargs, hands, live.run), effect.timeout)
        except TimeoutError:
            ended = (False, f"{effect.name} was not done within {effect.timeout:g} s", None)
        await live.inbox.put(RunnerEnded(effect.key, *ended))

    def _nested(self, live: Live) -> runners.Nested:
        async def nested(
            sls: tuple[str, ...], pillar: Mapping[str, Data], test: bool, environment: str
        ) -> tuple[RunId, str]:
            run = await self.start(sls, pillar, test, environment, live.user)
            return run, await self.wait(run)

        return nested

    async def _cancel_job(self, live: Live, job: JobId) -> None:
        try:
            await self._jobs.cancel(job, live.user)
        except InputError:
            return  # it has ended by itself meanwhile
