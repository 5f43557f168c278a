"""Jobs by themselves: what waits, what is remembered in memory only, what a full disk does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.blobs import Blobs
from master.compiler.secretwords import SecretWords
from master.intake import Intake
from master.inventory import Inventory
from master.jobs import Jobs
from master.orders import ARGUMENT_WORDS, JobRequest
from master.sessions import Session, Sessions
from master.store import jobrows
from master.store.store import Store, Transaction
from master.vault import Vault
from protocol.data import Data
from protocol.errors import InputError, StoreError
from protocol.identity import generate
from protocol.messages import Hello, JobUpdate, Report
from protocol.names import JobId, MinionId
from protocol.results import JobState
from protocol.secrets import Secret
from states import registry

IDENTITY = generate()

OSD1, OSD2 = MinionId("osd1"), MinionId("osd2")
CANARY = "c4n4ry-0123456789"


@dataclass
class Wire:
    """Sessions that take everything, or nothing."""

    heartbeat: float = 0.1
    open: bool = True
    sent: list[bytes] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    cuts: list[str] = field(default_factory=list)

    def send_raw(self, minion: MinionId, raw: bytes) -> bool:
        self.sent += [raw] if self.open else []
        return self.open

    def get(self, minion: str) -> None:
        return None

    def acknowledge(self, session: Session, number: int) -> None:
        self.acknowledged.append(number)

    def count_bad(self, session: Session, reason: str) -> None:
        raise AssertionError(reason)

    def cut(self, minion: MinionId, reason: str) -> None:
        self.cuts.append(reason)


@dataclass
class House:
    """The parts that a job needs."""

    store: Store
    wire: Wire
    jobs: Jobs
    intake: Intake
    session: Session
    number: int = 0

    async def report(self, job: str, state: JobState, value: Data = None) -> None:
        """The minion tells of the job."""
        self.number += 1
        self.intake.received(self.session, Report(self.number, (JobUpdate(job, state, 1.0, "", value),)), 100)
        await self.store.write(lambda tx: None)


def run(path: Path, use: Callable[[House], Awaitable[None]], minions: Sequence[MinionId] = (OSD1,)) -> None:
    """Use the parts within a loop."""

    async def expand(target: str, kind: str) -> list[MinionId]:
        return list(minions)

    async def compile(minion: MinionId, request: JobRequest) -> Any:
        raise AssertionError("nothing is compiled here")

    async def within() -> None:
        store = Store(path / "db")
        store.open()
        blobs = Blobs(path / "blobs")
        blobs.open()
        wire = Wire()
        sessions = cast(Sessions, wire)
        inventory = cast(Inventory, SimpleNamespace(expand=expand))
        jobs = Jobs(store, sessions, inventory, blobs, IDENTITY, compile, SecretWords(ARGUMENT_WORDS))
        session = Session(OSD1, "osd1/1", b"", Hello(1, "", "", "", 0), 0.0, 0.0)
        await jobs.resume()
        try:
            await use(House(store, wire, jobs, Intake(store, sessions, jobs), session))
        finally:
            blobs.close()
            await store.close()

    asyncio.run(within())


@pytest.fixture
def secret_function(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a function whose value must not be stored."""
    ordinary = registry.find_function("test.ping")
    monkeypatch.setitem(registry._functions, "masterjobs.reveal", replace(ordinary, secret=True))
    return "masterjobs.reveal"


def test_who_waits_gets_what_the_store_must_not_have(tmp_path: Path, secret_function: str) -> None:
    async def use(house: House) -> None:
        job = await house.jobs.start(JobRequest("*", function=secret_function))
        waiting = asyncio.ensure_future(house.jobs.wait(job))
        await house.report(job, JobState.SUCCEEDED, Secret(CANARY))
        outcome = (await asyncio.wait_for(waiting, 5)).minions[OSD1]
        assert (outcome.state, outcome.value) == (JobState.SUCCEEDED, CANARY)
        # who asks later too, while it is remembered
        again = (await house.jobs.wait(job)).minions[OSD1]
        assert again.value == CANARY
        (stored,) = await house.store.read(lambda rows: jobrows.minions(rows, job))
        assert stored.value == "***"

    run(tmp_path, use)
    assert CANARY.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


def test_a_secret_inside_an_ordinary_value_is_for_who_waits_only(tmp_path: Path) -> None:
    async def use(house: House) -> None:
        job = await house.jobs.start(JobRequest("*", function="test.echo", args=("x",)))
        value: Mapping[str, Data] = {"user": "admin", "key": Secret(CANARY)}
        await house.report(job, JobState.SUCCEEDED, value)
        assert (await house.jobs.wait(job)).minions[OSD1].value == value
        (stored,) = await house.store.read(lambda rows: jobrows.minions(rows, job))
        assert stored.value == {"user": "admin", "key": "***"}

    run(tmp_path, use)


def test_waiting_for_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    async def use(house: House) -> None:
        with pytest.raises(InputError):
            await house.jobs.wait(JobId("no-such-job"))
        with pytest.raises(InputError):
            await house.jobs.cancel(JobId("no-such-job"), "root")

    run(tmp_path, use)


def test_an_end_that_was_not_stored_is_told_after_a_restart(tmp_path: Path) -> None:
    started: list[JobId] = []

    async def crash(house: House) -> None:
        started.append(await house.jobs.start(JobRequest("*", function="test.ping")))
        # the state is stored, and the master dies before it has noticed that this was the last one
        await house.store.write(lambda tx: jobrows.advance(tx, started[0], OSD1, JobState.SUCCEEDED, "", True, 1.0, ""))

    async def use(house: House) -> None:
        outcome = await asyncio.wait_for(house.jobs.wait(started[0]), 5)
        assert outcome.minions[OSD1].state is JobState.SUCCEEDED
        row = await house.store.read(lambda rows: jobrows.job(rows, started[0]))
        assert row is not None
        assert row.ended is not None
        assert await house.store.read(lambda rows: jobrows.commands(rows, started[0])) == []

    run(tmp_path, crash)
    run(tmp_path, use)


def test_many_jobs_at_once_have_numbers_of_their_own_in_the_order_of_their_commits(tmp_path: Path) -> None:
    async def use(house: House) -> None:
        requests = [house.jobs.start(JobRequest("*", function="test.ping")) for _ in range(1200)]
        jobs = await asyncio.gather(*requests)
        kept = [await house.store.read(lambda rows, job=job: jobrows.commands(rows, job)) for job in jobs]  # type: ignore[misc]
        sequences = [sequence for ((_, sequence, _),) in kept]
        assert len(set(sequences)) == 1200
        vault = Vault(IDENTITY)
        commands = sorted(
            (sequence, vault.open(sealed, f"{job}/{minion}"))
            for job, ((minion, sequence, sealed),) in zip(jobs, kept, strict=True)
        )
        assert house.wire.sent == [raw for _, raw in commands]

    run(tmp_path, use)


def test_only_who_was_told_to_stop_is_taken_for_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("master.jobs.CANCEL_PATIENCE", 0.0)

    async def use(house: House) -> None:
        job = await house.jobs.start(JobRequest("*", function="test.ping"))
        assert await house.jobs.cancel(job, "root", [OSD1]) == [OSD1]
        await house.jobs.tick()
        states = {m.minion: m.state for m in await house.store.read(lambda rows: jobrows.minions(rows, job))}
        assert states == {OSD1: JobState.CANCELLED, OSD2: JobState.PENDING}
        with pytest.raises(InputError):
            await house.jobs.cancel(job, "root", [OSD1])

    run(tmp_path, use, [OSD1, OSD2])


def test_all_who_are_silent_are_lost_at_the_deadline(tmp_path: Path) -> None:
    async def use(house: House) -> None:
        job = await house.jobs.start(JobRequest("*", function="test.ping", timeout=0.001))
        await house.report(job, JobState.RUNNING)
        await house.jobs.tick()
        states = {m.minion: m.state for m in await house.store.read(lambda rows: jobrows.minions(rows, job))}
        assert states == {OSD1: JobState.RUNNING, OSD2: JobState.LOST}
        await asyncio.sleep(house.wire.heartbeat)
        await house.jobs.tick()
        outcome = await asyncio.wait_for(house.jobs.wait(job), 5)
        assert {minion: ended.state for minion, ended in outcome.minions.items()} == {
            OSD1: JobState.TIMED_OUT,
            OSD2: JobState.LOST,
        }

    run(tmp_path, use, [OSD1, OSD2])


def test_a_full_disk_stops_neither_the_master_nor_its_memory(tmp_path: Path) -> None:
    async def use(house: House) -> None:
        job = await house.jobs.start(JobRequest("*", function="test.ping"))
        await house.store.write(lambda tx: _bound_pages(tx, 1))
        with pytest.raises(StoreError, match="full"):
            await house.jobs.start(JobRequest("*", function="test.echo", args=("x" * 100_000,)))
        with pytest.raises(StoreError):
            await house.report(job, JobState.SUCCEEDED, "y" * 100_000)
            await house.store.write(lambda tx: tx.event("more", {"x": "x" * 100_000}, 1.0))
        assert house.wire.acknowledged == []
        assert house.wire.cuts == ["its reports cannot be stored now"]
        assert house.jobs.running == 1
        await house.store.write(lambda tx: _bound_pages(tx, 100_000))
        await house.report(job, JobState.SUCCEEDED, "y" * 100_000)
        assert (await asyncio.wait_for(house.jobs.wait(job), 5)).minions[OSD1].state is JobState.SUCCEEDED

    run(tmp_path, use)


def _bound_pages(tx: Transaction, most: int) -> None:
    tx.execute(f"PRAGMA max_page_count = {most}").fetchone()


@pytest.mark.parametrize("step", [86_400.0, -86_400.0])
def test_a_clock_that_is_set_neither_ends_nor_prolongs_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    clock = time.time

    async def use(house: House) -> None:
        long = await house.jobs.start(JobRequest("*", function="test.ping", timeout=600.0))
        short = await house.jobs.start(JobRequest("*", function="test.ping", timeout=0.001))
        monkeypatch.setattr("master.jobs.time.time", lambda: clock() + step)
        async with asyncio.timeout(5.0):
            while house.jobs.live(short) is not None:
                await house.jobs.tick()
                await house.store.write(lambda tx: None)
        outcome = await house.jobs.wait(short)
        assert outcome.minions[OSD1].state is JobState.LOST
        [waits] = await house.store.read(lambda rows: jobrows.minions(rows, long))
        assert waits.state is JobState.PENDING

    run(tmp_path, use)


def test_who_gives_up_while_a_job_is_stored_leaves_none_that_nobody_drives(tmp_path: Path) -> None:
    async def use(house: House) -> None:
        held = threading.Event()
        slow = house.store.submit(lambda tx: held.wait(10.0))
        starting = asyncio.ensure_future(house.jobs.start(JobRequest("*", function="test.ping")))
        while house.jobs.running == 0:
            held.set()
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await slow
        [row] = await _unended(house)
        assert house.jobs.live(row.job) is not None
        assert len(house.wire.sent) == 1

    run(tmp_path, use)


async def _unended(house: House) -> list[jobrows.JobRow]:
    async with asyncio.timeout(5.0):
        while True:
            rows = await house.store.read(jobrows.unended)
            if rows and house.wire.sent:
                return rows


def test_an_end_that_cannot_be_stored_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(tx: Transaction, job: JobId, at: float, cause: str) -> None:
        raise StoreError("not now")

    async def use(house: House) -> None:
        job = await house.jobs.start(JobRequest("*", function="test.ping"))
        with monkeypatch.context() as patch:
            patch.setattr(jobrows, "end", refuses)
            await house.report(job, JobState.SUCCEEDED, True)
            outcome = await asyncio.wait_for(house.jobs.wait(job), 5)
            assert outcome.minions[OSD1].state is JobState.SUCCEEDED
            await house.store.write(lambda tx: None)
        assert len(await house.store.read(jobrows.unended)) == 1
        while house.jobs.running:
            await house.jobs.tick()
            await house.store.write(lambda tx: None)
        assert await house.store.read(jobrows.unended) == []

    run(tmp_path, use)
