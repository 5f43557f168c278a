"""The driver when persons steer: retries over restarts with what was secret, cleanup over a crash at any write."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from master.jobs import JobRequest, MinionOutcome
from master.store import queries
from master.store.store import Store
from protocol.assignment import Chunk
from protocol.errors import InputError, RefusedError, StackmasterError
from protocol.names import RunId
from protocol.results import JobState
from protocol.secrets import Secret
from tests.unit.runs_bench import chunk
from tests.unit.test_runs_driver import PATIENCE, Answer, Crashing, House, call, driven, good, until


def failing(cause: str) -> Answer:
    """The job of this step and number fails; the others give something secret."""

    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        if request.cause.endswith(cause):
            return {"m1": MinionOutcome(JobState.FAILED, "broken", None, ())}
        return {"m1": MinionOutcome(JobState.SUCCEEDED, "", {"key": Secret("given-secret")}, ())}

    return answer


CHUNKS = [
    call("keys"),
    call("work", "test.version", kwarg={"k": "${steps.keys.*.key}"}, require=[0]),
    call("undo", "test.true", options={"cleanup": True}),
]


def test_a_failed_run_is_retried_also_after_a_restart_with_what_was_secret(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await house.start()
        assert await house.ended(run) == "failed"
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"given-secret" not in files, "what is kept for a retry is sealed"
        await house.runs.close()
        house.runs = house.made()
        await house.runs.resume()
        await house.runs.retry(run, False, "ann")
        with pytest.raises(RefusedError, match="goes on"):
            await house.runs.retry(run, False, "ann")
        assert await house.ended(run) == "succeeded"
        functions = [request.function for request in house.jobs.requests.values()]
        assert functions == ["test.ping", "test.version", "test.true", "test.version", "test.true"]
        used = list(house.jobs.requests.values())[3].kwargs["k"]
        assert isinstance(used, Secret) and used.reveal() == "given-secret"
        shown: Any = await house.runs.show(run)
        assert (shown["attempt"], [step["result"] for step in shown["steps"]]) == (2, [True, True, True])
        entries = await house.store.read(lambda rows: queries.journal(rows, run))
        assert not [entry for _, _, entry in entries if "sealed" in entry]
        with pytest.raises(RefusedError, match="nothing of the run"):
            await house.runs.retry(run, False, "ann")

    driven(tmp_path, CHUNKS, play, failing("/work/2"))


def test_what_cannot_be_retried_is_refused(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        with pytest.raises(InputError, match="no run"):
            await house.runs.retry(RunId("00000000000000000001-abcdef"), False, "ann")
        dry = await house.start(test=True)
        assert await house.ended(dry) == "failed"
        with pytest.raises(RefusedError, match="start it again"):
            await house.runs.retry(dry, False, "ann")
        entries = await house.store.read(lambda rows: queries.journal(rows, dry))
        assert not [entry for _, _, entry in entries if "sealed" in entry]

    driven(tmp_path, [call("a")], play, failing("/a/1"))


def test_wishes_that_fit_no_more_are_refused_and_change_nothing(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        house.jobs.held = {"test.ping", "test.true"}
        run = await house.start()
        await until(lambda: house.jobs.requests)
        live = house.runs.going(run)
        with pytest.raises(RefusedError, match="not paused"):
            await live.resume("ann")
        with pytest.raises(RefusedError, match="no step 'undo' to skip"):
            await live.skip("undo", "ann")
        with pytest.raises(RefusedError, match="no step waits"):
            await live.decide("", True, "", "ann")
        await house.runs.cancel(run, "ann")
        await until(lambda: len(house.jobs.requests) == 2)
        for wish in (live.pause("ann"), live.skip("work", "ann"), house.runs.cancel(run, "ann")):
            with pytest.raises(RefusedError):
                await wish
        house.jobs.release("test.true")
        assert await house.ended(run) == "cancelled"
        with pytest.raises(InputError):
            await live.pause("ann") if run in house.runs._live else house.runs.going(run)

    driven(tmp_path, CHUNKS, play)


def test_a_batch_by_domain_asks_for_the_grain(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await house.start()
        assert await house.ended(run) == "succeeded"
        assert [request.target for request in house.jobs.requests.values()] == ["m1", "m2"]

    driven(tmp_path, [call("a", batch="grain:rack")], play)


def crash_chunks() -> list[Chunk]:
    return [
        chunk("gate.baseline", "same", tgt="*", function="test.ping", same="value"),
        call("undo", "test.true", require=[2], options={"cleanup": True}),
        call("a", "test.version"),
        call("b", "test.version", batch=1, require=[2]),
    ]


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("number", range(1, 16, 2))
def test_after_a_crash_the_cleanup_runs_exactly_once(tmp_path: Path, number: int, committed: bool) -> None:
    async def play(house: House) -> None:
        crashing = Crashing(house.store, number, committed)
        first = house.made(cast(Store, crashing))
        begin = asyncio.create_task(first.start(("deploy",), {}, False, "base", "root"))
        await asyncio.wait_for(crashing.crashed.wait(), PATIENCE)
        begin.cancel()
        await first.close()
        await house.store.write(lambda tx: None)
        await house.runs.resume()
        runs = await house.runs.list(5)
        if not runs:
            assert (number, committed) == (1, False)
            return
        assert await house.ended(cast(RunId, runs[0]["run"])) == "succeeded"
        asked = list(house.jobs.requests.values())
        assert [request.function for request in asked].count("test.true") == 1
        assert asked[-1].function in ("test.true", "test.ping")
        assert len({request.cause for request in asked}) == len(asked) == 6

    driven(tmp_path, crash_chunks(), play, good)


def test_a_run_that_cannot_be_taken_up_names_the_cleanup_that_is_left(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        house.jobs.held = {"test.ping"}
        run = await house.start()
        await until(lambda: house.jobs.requests)
        await house.runs.close()
        await house.store.write(lambda tx: tx.execute("DELETE FROM journal WHERE run = ? AND number = 1", (run,)))
        house.runs = house.made()
        await house.runs.resume()
        shown: Any = await house.runs.show(run)
        assert (shown["state"], shown["reason"].endswith("do its cleanup by hand: undo")) == ("failed", True)
        with pytest.raises(StackmasterError, match="no beginning"):
            await house.runs.retry(run, False, "ann")

    driven(tmp_path, CHUNKS, play)
