"""The driver of orchestrations on a real store: what is told and kept, cancelling, and a crash at any point."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from master.bus import Bus
from master.jobs import JobOutcome, JobRequest, Jobs, MinionOutcome
from master.runs.driver import Runs
from master.store import queries
from master.store.store import Event, Store, Transaction
from master.vault import Vault
from protocol import codec
from protocol.assignment import Assignment, Chunk
from protocol.errors import InputError, SlsError
from protocol.identity import generate
from protocol.names import JobId, RunId
from protocol.results import JobState
from protocol.secrets import Secret
from tests.unit.runs_bench import chunk, ended

PATIENCE = 20.0
Answer = Callable[[JobRequest], Mapping[str, MinionOutcome]]


class FakeJobs:
    """Jobs that live on when the master's runs crash; what they came to is what `answer` says once released."""

    def __init__(self, store: Store, answer: Answer) -> None:
        self.store = store
        self.answer = answer
        self.requests: dict[JobId, JobRequest] = {}
        self.number = 0
        self.held: set[str] = set()
        self.cancelled: set[JobId] = set()
        self.wake = asyncio.Event()

    async def start(self, request: JobRequest) -> JobId:
        self.number += 1
        job = JobId(f"{self.number:020d}-abcdef")
        row = (job, time.time(), 0.0, request.user, request.cause, codec.pack({}))
        sql = "INSERT INTO jobs (job, created, deadline, user, cause, request) VALUES (?, ?, ?, ?, ?, ?)"

        def write(tx: Transaction) -> None:
            tx.execute(sql, row)
            self.requests[job] = request

        await self.store.write(write)
        return job

    async def wait(self, job: JobId) -> JobOutcome:
        request = self.requests[job]
        while request.function in self.held and job not in self.cancelled:
            self.wake.clear()
            await self.wake.wait()
        if job in self.cancelled:
            return JobOutcome(job, {"m1": ended(JobState.CANCELLED)})
        return JobOutcome(job, self.answer(request))

    async def cancel(self, job: JobId, user: str) -> None:
        self.cancelled.add(job)
        self.wake.set()

    def release(self, function: str) -> None:
        self.held.discard(function)
        self.wake.set()


class House:
    """A store, a bus, fake jobs, and Runs that can be thrown away and made anew."""

    def __init__(self, folder: Path, chunks: list[Chunk], answer: Answer) -> None:
        self.chunks = chunks
        self.vault = Vault(generate())
        self.store = Store(folder / "db")
        self.store.open()
        self.bus = Bus(self.store)
        self.jobs = FakeJobs(self.store, answer)
        self.runs = self.made()

    def made(self, store: Store | None = None) -> Runs:
        return Runs(
            cast(Jobs, self.jobs), self.bus, store or self.store, self.compile, self.expand, self.vault,
            accepted=lambda: ["m1", "m2"], present=lambda: ["m1"], grains=lambda id: {"rack": f"r-{id}"},
        )  # fmt: skip

    async def compile(self, sls: tuple[str, ...], pillar: Mapping[str, Any], environment: str) -> Assignment:
        return Assignment("master", tuple(self.chunks), environment, secrets=("hidden-literal",))

    async def expand(self, target: str, kind: str) -> list[str]:
        return ["m1", "m2"]

    async def start(self, test: bool = False) -> RunId:
        return await self.runs.start(("deploy",), {}, test, "base", "root")

    async def events(self) -> list[Event]:
        follower = self.bus.follow("*", 0)
        found = []
        while (event := await follower.next(self.store.last_seq)) is not None:
            found.append(event)
        self.bus.leave(follower)
        return found

    async def ended(self, run: RunId) -> str:
        return await asyncio.wait_for(self.runs.wait(run), PATIENCE)


def good(request: JobRequest) -> Mapping[str, MinionOutcome]:
    ids = request.target.split(",") if request.target_kind == "list" else ["m1"]
    return {id: MinionOutcome(JobState.SUCCEEDED, "", {"value": request.function}, ()) for id in ids}


def call(id: str, function: str = "test.ping", **more: Any) -> Chunk:
    return chunk("salt.function", id, name=function, tgt="*", **more)


def driven(
    tmp_path: Path, chunks: list[Chunk], play: Callable[[House], Awaitable[None]], answer: Answer = good
) -> None:
    async def whole() -> None:
        house = House(tmp_path, chunks, answer)
        try:
            await asyncio.wait_for(play(house), 60)
        finally:
            await house.runs.close()
            await house.store.close()

    asyncio.run(whole())


async def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_a_run_is_told_and_kept(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await house.start()
        assert await house.ended(run) == "succeeded", await house.runs.show(run)
        tags = [event.tag for event in await house.events()]
        assert tags == [
            f"run/{run}/new",
            f"run/{run}/step/a-b/started",
            f"run/{run}/step/a-b/started",
            f"run/{run}/step/a-b/ended",
            f"run/{run}/ended",
        ]
        shown: Any = await house.runs.show(run)
        assert (shown["state"], shown["user"], shown["sls"]) == ("succeeded", "root", ["deploy"])
        (step,) = shown["steps"]
        assert (step["id"], step["state"], step["result"]) == ("a-b", "ended", True)
        assert [one["run"] for one in await house.runs.list(5)] == [run]
        assert house.runs.running == 0

    driven(tmp_path, [call("a b")], play)


def test_mistakes_are_found_before_anything_is_done(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        for wrong in (
            call("x", "test.pnig"),
            chunk("gate.until", "x", tgt="*", function="test.ping", condition="n >="),
            chunk("salt.runner", "x", name="test.slep"),
            chunk("salt.state", "x", tgt="*", sls=["a"], batch="many"),
            call("x", options={"onlyif": "true"}),
        ):
            house.chunks = [call("first"), wrong]
            with pytest.raises(SlsError) as caught:
                await house.start()
            assert str(caught.value.where) == "s.sls:1, step x"
        assert house.jobs.requests == {}
        with pytest.raises(InputError):
            await house.runs.start((), {}, False, "base", "root")

    driven(tmp_path, [], play)


def test_secrets_are_in_no_event(tmp_path: Path) -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        state = JobState.FAILED if request.function == "test.version" else JobState.SUCCEEDED
        reason = "failed with given-secret and hidden-literal"
        return {"m1": MinionOutcome(state, reason, {"k": Secret("given-secret")}, ())}

    async def play(house: House) -> None:
        run = await house.start()
        await house.ended(run)
        told = repr([event.data for event in await house.events()]) + repr(await house.runs.show(run))
        assert "given-secret" not in told
        assert "hidden-literal" not in told
        assert "***" in told

    driven(tmp_path, [call("a"), call("b", "test.version")], play, answer)


def test_a_cancelled_run_cancels_its_jobs(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        house.jobs.held = {"test.ping"}
        run = await house.start()
        await until(lambda: house.jobs.requests)
        await house.runs.cancel(run, "root")
        assert await house.ended(run) == "cancelled"
        assert len(house.jobs.cancelled) == 1
        with pytest.raises(InputError):
            await house.runs.cancel(run, "root")

    driven(tmp_path, [call("a"), call("b")], play)


def test_events_and_runners_reach_their_steps(tmp_path: Path) -> None:
    chunks = [
        chunk("salt.wait_for_event", "w", name="custom/go", id_list="x", options={"parallel": True}),
        chunk("salt.runner", "send", name="event.send", tag="custom/go", data={"id": "x"}),
        chunk("salt.runner", "down", name="manage.down"),
        chunk("salt.runner", "forbidden", name="event.send", tag="job/x/ended"),
    ]

    async def play(house: House) -> None:
        run = await house.start()
        assert await house.ended(run) == "failed"
        shown: Any = await house.runs.show(run)
        assert [step["result"] for step in shown["steps"]] == [True, True, True, False]
        assert "the master's own" in shown["steps"][3]["comment"]

    driven(tmp_path, chunks, play)


def test_a_run_can_be_part_of_another(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        outer = house.chunks
        run = await house.start()
        house.chunks = [call("inner")]
        assert await house.ended(run) == "succeeded"
        assert len(await house.runs.list(5)) == 2
        house.chunks = outer

    driven(tmp_path, [chunk("salt.runner", "nested", name="state.orchestrate", mods="inner")], play)


def test_there_is_an_end_to_runs_within_runs(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await house.start()
        assert await house.ended(run) == "failed"
        assert await house.runs.start(("x",), {}, True, "base", "root")

    driven(tmp_path, [chunk("salt.runner", "again", name="state.orchestrate", mods="again")], play)


# --- a crash at any point -------------------------------------------------------------------------------------


class Crashing:
    """A store whose writes stop for ever at the `number`-th one, before or after its commit."""

    def __init__(self, store: Store, number: int, committed: bool) -> None:
        self._store = store
        self._left = number
        self._committed = committed
        self.crashed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, write: Any) -> Coroutine[Any, Any, Any]:
        return self._write(write)

    async def _write(self, write: Any) -> Any:
        self._left -= 1
        if self._left > 0:
            return await self._store.write(write)
        if self._left == 0 and self._committed:
            await self._store.write(write)
        self.crashed.set()
        return await asyncio.Future()


def crash_chunks() -> list[Chunk]:
    return [
        call("a"),
        chunk("salt.state", "batch", tgt="*", sls=["x"], batch=1, require=[0]),
        chunk("salt.state", "beside", tgt="*", sls=["y"], require=[0]),
        call("c", "test.version", kwarg={"v": "${steps.a.*.value}"}, require=[1]),
        call("d", "test.true"),
    ]


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("number", range(1, 16))
def test_after_a_crash_the_run_goes_on_and_no_job_begins_twice(tmp_path: Path, number: int, committed: bool) -> None:
    async def play(house: House) -> None:
        crashing = Crashing(house.store, number, committed)
        first = house.made(cast(Store, crashing))
        begin = asyncio.create_task(first.start(("deploy",), {}, False, "base", "root"))
        ends = asyncio.create_task(crashing.crashed.wait())
        await asyncio.wait({ends}, timeout=PATIENCE)
        assert crashing.crashed.is_set(), "the run made fewer writes: lower the range"
        begin.cancel()
        await first.close()
        await house.store.write(lambda tx: None)  # what was queued before the crash is committed by now
        await house.runs.resume()
        runs = await house.runs.list(5)
        if not runs:
            assert (number, committed) == (1, False)
            return
        run = cast(RunId, runs[0]["run"])
        assert await house.ended(run) == "succeeded"
        causes = [request.cause for request in house.jobs.requests.values()]
        assert len(causes) == len(set(causes)) == 6
        assert [event.tag for event in await house.events()].count(f"run/{run}/ended") == 1
        (used,) = [one for one in house.jobs.requests.values() if one.function == "test.version"]
        assert used.kwargs == {"v": "test.ping"}

    driven(tmp_path, crash_chunks(), play)


SECRET_CHUNKS = [call("keys"), call("hold", "test.version"), call("use", "test.true", arg=["${steps.keys.*.key}"])]


def secretive(lost: list[bool]) -> Answer:
    """Minions whose answer is secret, and of which the store tells only the mask once it is lost."""

    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        value: Any = "***" if lost[0] else {"key": Secret("given-secret")}
        return {"m1": MinionOutcome(JobState.SUCCEEDED, "", value, ())}

    return answer


def test_what_steps_gave_in_secret_survives_a_restart_sealed_and_goes_with_the_run(tmp_path: Path) -> None:
    lost = [False]

    async def play(house: House) -> None:
        house.jobs.held = {"test.version"}
        run = await house.start()
        await until(lambda: len(house.jobs.requests) == 2)
        await house.runs.close()
        lost[0] = True
        house.runs = house.made()
        await house.runs.resume()
        house.jobs.release("test.version")
        assert await house.ended(run) == "succeeded"
        used = list(house.jobs.requests.values())[-1].args
        assert used == ("given-secret",) and isinstance(used[0], Secret)
        entries = await house.store.read(lambda rows: queries.journal(rows, run))
        assert not [entry for _, _, entry in entries if "sealed" in entry]
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"given-secret" not in files

    driven(tmp_path, SECRET_CHUNKS, play, secretive(lost))


def test_a_secret_that_was_lost_is_named_and_not_guessed(tmp_path: Path) -> None:
    lost = [False]

    async def play(house: House) -> None:
        house.jobs.held = {"test.ping"}
        run = await house.start()
        await until(lambda: len(house.jobs.requests) == 1)
        await house.runs.close()
        lost[0] = True
        house.runs = house.made()
        await house.runs.resume()
        house.jobs.release("test.ping")
        assert await house.ended(run) == "failed"
        shown: Any = await house.runs.show(run)
        assert "secret and was not kept" in shown["steps"][2]["comment"]
        assert len(house.jobs.requests) == 2

    driven(tmp_path, SECRET_CHUNKS, play, secretive(lost))


def test_a_journal_that_cannot_be_read_fails_its_run_and_no_other(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        house.jobs.held = {"test.ping"}
        broken, fine = await house.start(), await house.start()
        await until(lambda: len(house.jobs.requests) == 2)
        await house.runs.close()
        await house.store.write(lambda tx: tx.execute("DELETE FROM journal WHERE run = ? AND number = 1", (broken,)))
        house.runs = house.made()
        await house.runs.resume()
        house.jobs.release("test.ping")
        assert await house.ended(fine) == "succeeded"
        shown: Any = await house.runs.show(broken)
        assert (shown["state"], "no beginning" in shown["reason"]) == ("failed", True)

    driven(tmp_path, [call("a")], play)
