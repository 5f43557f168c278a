"""A job from its request to one terminal state for each of its minions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from master.applycalls import as_apply
from master.blobs import Blobs
from master.compiler.secretwords import SecretWords
from master.customcalls import CustomCalls
from master.dispatch import Dispatch
from master.inventory import Inventory
from master.orders import (
    Compile,
    JobRequest,
    Prepared,
    prepare_apply,
    prepare_call,
    request_data,
    request_from,
    returns_secret,
    secrets_of,
)
from master.sessions import Session, Sessions
from master.store import jobrows, queries
from master.store.jobrows import JobRow, NewJob
from master.store.store import Store, Transaction
from master.vault import Vault
from protocol import codec, command
from protocol.command import Call, Cancel, Order
from protocol.data import Data
from protocol.errors import InputError, StackmasterError, StoreError
from protocol.identity import Identity
from protocol.names import JobId, MinionId, new_job_id
from protocol.results import JobState, StepResult
from protocol.secrets import Scrubber, literals

__all__ = ["JobOutcome", "JobRequest", "Jobs", "Live", "MinionOutcome"]

log = logging.getLogger("stackmaster.jobs")

SEQUENCE_BLOCK: Final = 1000
"""Sequence numbers reserved in the database at once, before the first of them is sealed."""

CANCEL_PATIENCE: Final = 30.0
"""Seconds that a minion has to confirm a cancel."""

REMEMBERED: Final = 256
"""Ended jobs whose secret values stay in memory for who waits."""


@dataclass(frozen=True, slots=True)
class MinionOutcome:
    """How a job ended on one minion; `value` may hold Secrets."""

    state: JobState
    reason: str
    value: Data
    steps: tuple[StepResult, ...]


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended, by minion."""

    job: JobId
    minions: Mapping[str, MinionOutcome]


class Live:
    """A job that goes on.

    `values` are those that the store must not have; `spent` how many bytes of results it has of each minion;
    `cancelling` until when each minion that was told to stop has to confirm it, and `until` when the job may go on
    (both in monotonic seconds: what somebody does to the clock of this host neither ends nor prolongs anything);
    `unstored`: its end is not in the database yet.
    """

    def __init__(self, job: JobId, request: JobRequest, deadline: float, states: dict[MinionId, JobState]) -> None:
        self.job = job
        self.request = request
        self.until = time.monotonic() + deadline - time.time()
        self.unstored = False
        self.states = states
        self.open = sum(not state.terminal for state in states.values())
        self.scrubber = Scrubber()
        self.secret = request.kind == "call" and returns_secret(request.function)
        self.values: dict[MinionId, Data] = {}
        self.spent: dict[MinionId, float] = {}
        self.cancelling: dict[MinionId, float] = {}
        self.cancelled_by = "somebody"
        self.done = asyncio.Event()

    def ordered(self, order: Order) -> None:
        """What the minions are told: of code of the tree, the pillar's secrets are hidden and the rest may be told."""
        self.secret = self.secret and not (isinstance(order, Call) and order.custom is not None)

    def open_minions(self) -> list[MinionId]:
        """The minions from which more is to come."""
        return [minion for minion, state in self.states.items() if not state.terminal]


class Jobs:
    """The jobs of this master."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        inventory: Inventory,
        blobs: Blobs,
        identity: Identity,
        compile: Compile,
        words: SecretWords,
        custom: CustomCalls | None = None,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._inventory = inventory
        self._blobs = blobs
        self._identity = identity
        self._vault = Vault(identity)
        self._compile = compile
        self._words = words
        self._custom = custom
        self._dispatch = Dispatch(sessions.send_raw)
        self._live: dict[JobId, Live] = {}
        self._ended: OrderedDict[JobId, Live] = OrderedDict()
        self._sequence = 0
        self._block_end = 0
        self._reserving = asyncio.Lock()
        self._beginning: set[asyncio.Future[None]] = set()

    # --- the contract -------------------------------------------------------------------------------------------

    async def start(self, request: JobRequest) -> JobId:
        """Begin a job: nothing is sent to anyone unless everything is right for everyone.

        Raises TargetError, NoTargetError, ArgumentError, SlsError, StateError or StoreError.
        """
        request = as_apply(request)
        return await self.begin(request, await self.prepare(request))

    async def prepare(self, request: JobRequest) -> Prepared:
        """The orders that `request` comes to, checked and compiled for every minion it means. Raises as `start`."""
        minions = await self._inventory.expand(request.target, request.target_kind)
        if request.kind == "apply":
            return await prepare_apply(request, minions, self._compile)
        if self._custom is not None and self._custom.wanted(request.function):
            return await self._custom.prepare(request, minions, self._words)
        return prepare_call(request, minions, self._words)

    async def begin(self, request: JobRequest, prepared: Prepared) -> JobId:
        """Store the job of these orders and send them. Raises StateError or StoreError."""
        await self._blobs.put(prepared.contents)
        await self._reserve()
        # from here to the queued write nothing may wait: sequence numbers reach the store in their order
        now = time.time()
        job = new_job_id(now)
        live = Live(
            job, request, now + request.timeout, dict.fromkeys(map(MinionId, prepared.orders), JobState.PENDING)
        )
        live.scrubber.add(prepared.secrets)
        live.ordered(next(iter(prepared.orders.values())))
        sequence = self._next_sequence()
        commands = self._signed(live, prepared, sequence, now)
        new = self._new_job(live, prepared, sequence, now, self._kept(job, commands))
        self._live[job] = live
        # what is queued will be written: whoever gives up waiting leaves no job behind that nobody drives
        begun = asyncio.ensure_future(self._begun(new, prepared, sequence, commands))
        self._beginning.add(begun)
        begun.add_done_callback(self._beginning.discard)
        await asyncio.shield(begun)
        return job

    async def _begun(self, new: NewJob, prepared: Prepared, sequence: int, commands: Mapping[MinionId, bytes]) -> None:
        """Store a job, then send its commands. Raises StoreError."""
        try:
            await self._store.write(lambda tx: jobrows.insert(tx, new))
        except StackmasterError:
            del self._live[new.job]
            raise
        for minion, digests in prepared.grants.items():
            self._blobs.grant(minion, new.job, digests)
        for minion, raw in commands.items():
            self._dispatch.add(minion, sequence, new.job, raw)

    async def wait(self, job: JobId) -> JobOutcome:
        """How the job ended, once each of its minions has. Raises InputError when there is no such job."""
        live = self._live.get(job)
        if live is not None:
            await live.done.wait()
        live = live or self._ended.get(job)
        rows = await self._store.read(lambda rows: jobrows.minions(rows, job))
        steps = await self._store.read(lambda rows: jobrows.steps(rows, job))
        if not rows:
            raise InputError(f"there is no job {job}", help="`stackmaster jobs ls` lists them")
        kept = live.values if live is not None else {}
        outcomes: dict[str, MinionOutcome] = {
            row.minion: MinionOutcome(row.state, row.reason, kept.get(row.minion, row.value), steps.get(row.minion, ()))
            for row in rows
        }
        return JobOutcome(job, outcomes)

    async def cancel(self, job: JobId, user: str, minions: Iterable[str] | None = None) -> list[MinionId]:
        """End the job where it goes on (only on `minions`, if given); gives the minions concerned.

        A minion that never got the command is done at once, the others confirm. Raises InputError, StoreError.
        """
        live = self._live.get(job)
        if live is None:
            raise InputError(f"there is no job {job} that goes on", help="`stackmaster jobs ls` lists them")
        asked = set(minions) if minions is not None else None
        chosen = [minion for minion in live.open_minions() if asked is None or minion in asked]
        if not chosen:
            raise InputError("the job goes on on none of these minions")
        live.cancelled_by = user
        unsent = [m for m in chosen if live.states[m] is JobState.PENDING and not self._dispatch.sent(m, job)]
        await self._end_here(live, unsent, JobState.CANCELLED, f"cancelled by {user} before it was sent")
        rest = [minion for minion in chosen if minion not in unsent and not live.states[minion].terminal]
        if rest:
            live.cancelling |= dict.fromkeys(rest, time.monotonic() + CANCEL_PATIENCE)
            await self._order_cancel(live, rest)
        return chosen

    @property
    def running(self) -> int:
        """How many jobs go on."""
        return len(self._live)

    # --- what comes from minions --------------------------------------------------------------------------------

    def live(self, job: str) -> Live | None:
        """The job, while it goes on."""
        return self._live.get(JobId(job))

    def advanced(self, live: Live, minion: MinionId, state: JobState, value: Data) -> None:
        """The store holds the new state of a minion; `value` is kept when the store has not all of it."""
        if live.states[minion].terminal:
            return
        live.states[minion] = state
        self._dispatch.taken(minion, live.job, ended=state.terminal)
        if not state.terminal:
            return
        if value is not None and (live.secret or literals(value)):
            live.values[minion] = value
        self._blobs.revoke(minion, live.job)
        live.open -= 1
        if live.open == 0:
            self._end(live)

    def _end(self, live: Live) -> None:
        """Every minion is done; the job has ended once that is stored too, which a crash only delays."""
        live.unstored = False
        at, cause = time.time(), live.request.cause
        try:
            done = self._store.submit(lambda tx: jobrows.end(tx, live.job, at, cause))
        except StoreError as error:
            self._over(live, error)
            return
        done.add_done_callback(lambda future: self._over(live, None if future.cancelled() else future.exception()))

    def _over(self, live: Live, error: BaseException | None) -> None:
        live.done.set()
        if error is not None:
            log.error("the end of job %s is not stored yet: %s", live.job, error)
            live.unstored = True
            return
        self._live.pop(live.job, None)
        if live.values:
            self._ended[live.job] = live
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def here(self, session: Session) -> None:
        """A minion began a session: it learns what waits for it."""
        self._dispatch.connected(session.minion, session.hello.high_water)

    def heard(self, minion: MinionId) -> None:
        """A minion is there: send what it could not take before."""
        self._dispatch.flush(minion)

    async def forget(self, minion: MinionId) -> None:
        """The minion's key is not accepted any more: nothing of its jobs is to come. Raises StoreError."""
        self._dispatch.forget(minion)
        self._blobs.forget(minion)
        for live in list(self._live.values()):
            if not live.states.get(minion, JobState.LOST).terminal:
                await self._end_here(live, [minion], JobState.LOST, "its key is not accepted any more")

    # --- time ---------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """End what is over its deadline; to be called about twice a second. Raises StoreError."""
        now = time.monotonic()
        grace = self._sessions.heartbeat
        for live in list(self._live.values()):
            silent = [m for m, until in live.cancelling.items() if now >= until and not live.states[m].terminal]
            why = f"cancelled by {live.cancelled_by}; the minion did not confirm it"
            await self._end_here(live, silent, JobState.CANCELLED, why)
            if now >= live.until:
                await self._overdue(live, now >= live.until + grace)
            if live.unstored:
                self._end(live)

    async def _overdue(self, live: Live, all_of_them: bool) -> None:
        """Those that never took the job are lost; the others had a moment to tell of their own deadline."""
        open = live.open_minions()
        pending = [minion for minion in open if live.states[minion] is JobState.PENDING]
        for here, why in ((True, "it did not take the command"), (False, "it was not connected")):
            those = [minion for minion in pending if (self._sessions.get(minion) is not None) is here]
            await self._end_here(live, those, JobState.LOST, f"{why} within {live.request.timeout:g} s")
        rest = [minion for minion in open if minion not in pending]
        if rest and all_of_them:
            await self._order_cancel(live, rest)
            why = f"not done within {live.request.timeout:g} s"
            await self._end_here(live, rest, JobState.TIMED_OUT, why)

    # --- restart ------------------------------------------------------------------------------------------------

    async def resume(self) -> None:
        """Go on with the jobs that had not ended when the master stopped. Raises StoreError."""
        for row in await self._store.read(jobrows.unended):
            await self._resume(row)
        grants: dict[tuple[MinionId, JobId], set[str]] = {}
        for minion, digest, job in await self._store.read(queries.grants):
            grants.setdefault((minion, JobId(job)), set()).add(digest)
        for (minion, of), digests in grants.items():
            live = self._live.get(of)
            if live is not None and not live.states[minion].terminal:
                self._blobs.grant(minion, of, frozenset(digests))
        for live in [live for live in self._live.values() if live.open == 0]:
            self._end(live)

    async def _resume(self, row: JobRow) -> None:
        minions = await self._store.read(lambda rows: jobrows.minions(rows, row.job))
        kept = await self._store.read(lambda rows: jobrows.commands(rows, row.job))
        states = {minion.minion: minion.state for minion in minions}
        live = Live(row.job, request_from(row.request, row.user, row.cause), row.deadline, states)
        self._live[row.job] = live
        for minion, sequence, sealed in kept:
            try:
                raw = self._vault.open(sealed, f"{row.job}/{minion}")
            except StoreError as error:
                log.error("job %s on %s: %s", row.job, minion, error)
                await self._end_here(live, [minion] if minion in live.open_minions() else [], JobState.LOST, str(error))
                continue
            order, secrets = await asyncio.to_thread(secrets_of, raw, self._blobs)
            live.scrubber.add(secrets)
            live.ordered(order)
            if live.states[minion].terminal:
                continue
            if isinstance(order, Cancel):
                live.cancelling[minion] = time.monotonic() + CANCEL_PATIENCE
                self._dispatch.add(minion, sequence, row.job, raw, cancel=True)
            elif states[minion] is JobState.PENDING:
                self._dispatch.add(minion, sequence, row.job, raw)

    # --- within -------------------------------------------------------------------------------------------------

    def _signed(self, live: Live, prepared: Prepared, sequence: int, now: float) -> dict[MinionId, bytes]:
        """Each minion's signed command, as it travels."""
        timeout = live.request.timeout
        sealed = command.seal(self._identity, live.job, sequence, prepared.orders, now, timeout)
        return {MinionId(minion): codec.encode(one) for minion, one in sealed.items()}

    def _kept(self, job: JobId, commands: Mapping[MinionId, bytes]) -> dict[MinionId, bytes]:
        """The commands as the database keeps them: they may hold secrets, so only this master can open them."""
        return {minion: self._vault.seal(raw, f"{job}/{minion}") for minion, raw in commands.items()}

    def _new_job(
        self, live: Live, prepared: Prepared, sequence: int, now: float, kept: Mapping[MinionId, bytes]
    ) -> NewJob:
        request = live.request
        return NewJob(
            job=live.job,
            created=now,
            deadline=now + live.request.timeout,
            user=request.user,
            cause=request.cause,
            request=request_data(request, live.scrubber),
            sequence=sequence,
            sealed=kept,
            grants=prepared.grants,
        )

    async def _end_here(self, live: Live, minions: Sequence[MinionId], state: JobState, reason: str) -> None:
        """The master itself ends the job on some minions."""
        at = time.time()

        def write(tx: Transaction) -> list[MinionId]:
            cause = live.request.cause
            return [m for m in minions if jobrows.advance(tx, live.job, m, state, reason, None, at, cause)]

        if minions:
            for minion in await self._store.write(write):
                self.advanced(live, minion, state, None)

    async def _order_cancel(self, live: Live, minions: Sequence[MinionId]) -> None:
        await self._reserve()
        now = time.time()
        sequence = self._next_sequence()
        orders = {str(minion): Cancel(live.job) for minion in minions}
        lifetime = max(60.0, live.until - time.monotonic())
        sealed = command.seal(self._identity, new_job_id(now), sequence, orders, now, lifetime)
        raw = {MinionId(minion): codec.encode(one) for minion, one in sealed.items()}
        kept = self._kept(live.job, raw)
        await self._store.write(lambda tx: jobrows.add_commands(tx, live.job, sequence, kept))
        for minion, message in raw.items():
            self._dispatch.add(minion, sequence, live.job, message, cancel=True)

    async def _reserve(self) -> None:
        async with self._reserving:
            if self._sequence + 1 >= self._block_end:
                first = await self._store.write(lambda tx: queries.take_block(tx, "sequence", SEQUENCE_BLOCK))
                self._sequence, self._block_end = first - 1, first + SEQUENCE_BLOCK

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence
