"""What the store keeps can be read back, whatever came; what is damaged in it is told, and stops nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from master.orders import request_from
from master.store import jobrows, kept, queries
from master.store.store import Store, Transaction
from protocol import codec
from protocol.data import Data
from protocol.errors import StoreError
from protocol.names import JobId, MinionId
from protocol.results import Change, JobState, StepEnded, StepResult

JOB, OSD1 = JobId("00001795156521647686-eaabd3"), MinionId("osd1")


def nested(depth: int) -> Data:
    value: Data = 1
    for _ in range(depth):
        value = {"a": value}
    return value


HUGE: list[Data] = [
    nested(40),
    nested(900),
    {"x": b"\xff" * 5_000_000},
    {"x": "é" * 5_000_000},
    {"x": 2**70, "y": -(2**64), "z": 10**3000},
    {"x": "\ud800", "\udfff": 1},
    {"x": [{"y": "z" * 100}] * 90_000},
    [[1] * 1000] * 1000,
    {str(number): "x" * 3000 for number in range(3000)},
    {"x": [0] * 200_000},
]


@pytest.mark.parametrize("data", HUGE, ids=range(len(HUGE)))
def test_whatever_is_too_much_is_cut_until_it_can_be_read_back(data: Data) -> None:
    raw = kept.pack(data)
    assert len(raw) <= kept.MOST_KEPT
    assert codec.unpack(raw) == kept.unpack(raw)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
       st.integers(64, 4096))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_every_size_is_held(data: Data, most: int) -> None:
    raw = kept.pack(data, most)
    assert len(raw) <= most
    codec.unpack(raw)


def test_what_fits_is_kept_as_it_is() -> None:
    data: Data = {"a": [1, 2.5, None, True, "x" * 1_000_000, b"\xff"], "b": nested(20)}
    assert kept.unpack(kept.pack(data)) == data


def step(**more: Any) -> StepResult:
    return StepResult("tag", "file.managed", "/a", "/a", "a", True, "done", **more)


@pytest.mark.parametrize(
    "changes",
    [
        (Change("change", "/a", diff="x" * 5_000_000),),
        tuple(Change("change", f"/{number}", details={"n": number}) for number in range(90_000)),
        (Change("run", "x", details=nested(60)),),
        (Change("run", "x", details={"out": b"\xff" * 5_000_000}),),
    ],
    ids=["long", "many", "deep", "bytes"],
)
def test_a_result_that_is_too_long_keeps_what_became_of_it(changes: tuple[Change, ...]) -> None:
    less = kept.shortened(step(changes=changes))
    assert kept.size(less) <= kept.MOST_KEPT
    assert (less.tag, less.function, less.id, less.result) == ("tag", "file.managed", "/a", True)
    assert less.changes
    assert codec.decode(codec.encode(less), codec.table(StepResult)) == less


def in_store(path: Path, use: Any) -> None:
    async def within() -> None:
        opened = Store(path / "db")
        opened.open()
        try:
            await use(opened)
        finally:
            await opened.close()

    asyncio.run(within())


def new_job(request: Mapping[str, Data]) -> jobrows.NewJob:
    return jobrows.NewJob(JOB, 1.0, 2.0, "root", "", request, 1, {OSD1: b"sealed"}, {})


def test_a_job_whose_request_and_results_are_absurd_can_be_listed_shown_and_followed(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        await store.write(lambda tx: jobrows.insert(tx, new_job({"kwargs": nested(40), "args": [2**80]})))
        many = tuple(Change("change", f"/{number}") for number in range(90_000))
        ended = StepEnded(0, step(changes=many))
        await store.write(lambda tx: jobrows.step_ended(tx, JOB, OSD1, ended, 1.0, ""))
        value = {"x": b"\xff" * 4_000_000}
        await store.write(lambda tx: jobrows.advance(tx, JOB, OSD1, JobState.SUCCEEDED, "", value, 1.0, ""))
        assert len(await store.read(lambda rows: jobrows.jobs(rows, 10))) == 1
        assert len(await store.read(jobrows.unended)) == 1
        assert (await store.read(lambda rows: jobrows.minions(rows, JOB)))[0].state is JobState.SUCCEEDED
        assert (await store.read(lambda rows: jobrows.steps(rows, JOB)))["osd1"][0].result is True
        events = await store.read(lambda rows: queries.events(rows, 0, 100))
        assert [event.tag.rpartition("/")[2] for event in events] == ["new", "ended", "state"]
        told = events[1].data["result"]
        assert isinstance(told, Mapping) and told["tag"] == "tag"

    in_store(tmp_path, use)


def damage(tx: Transaction, table: str, column: str) -> None:
    tx.execute(f"UPDATE {table} SET {column} = x'c1'")


def test_damaged_records_are_told_and_stop_nobody(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        await store.write(lambda tx: jobrows.insert(tx, new_job({})))
        await store.write(lambda tx: jobrows.step_ended(tx, JOB, OSD1, StepEnded(0, step()), 1.0, ""))
        await store.write(lambda tx: queries.save_grains(tx, "osd1", b"\x81\xa1a\x01"))
        for table, column in (("jobs", "request"), ("events", "data"), ("steps", "result"), ("minions", "grains")):
            await store.write(partial(damage, table=table, column=column))
        [job] = await store.read(jobrows.unended)
        assert kept.UNREADABLE in job.request
        assert request_from(job.request, "root", "").kind == "call"
        assert all(kept.UNREADABLE in event.data for event in await store.read(lambda r: queries.events(r, 0, 10)))
        [result] = (await store.read(lambda rows: jobrows.steps(rows, JOB)))["osd1"]
        assert result.result is False and kept.UNREADABLE in result.comment
        assert len(await store.read(queries.minions)) == 1

    in_store(tmp_path, use)


@pytest.mark.parametrize("fault", [OverflowError("too large"), RecursionError(), ZeroDivisionError(), MemoryError()])
def test_a_write_fails_alone_whatever_it_fails_of(tmp_path: Path, fault: Exception) -> None:
    def fails(tx: Transaction) -> None:
        raise fault

    async def use(store: Store) -> None:
        bad, good = store.submit(fails), store.submit(lambda tx: tx.event("a", {}, 1.0))
        with pytest.raises(StoreError):
            await bad
        assert await good == 1
        too_large = store.submit(lambda tx: tx.execute("SELECT ?", (2**80,)))
        with pytest.raises(StoreError):
            await too_large
        assert await store.write(lambda tx: tx.event("a", {}, 1.0)) == 2

    in_store(tmp_path, use)


class _Unforeseen(BaseException):
    """What no list of faults has."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_writer_that_died(tmp_path: Path) -> None:
    def dies(tx: Transaction) -> None:
        raise _Unforeseen

    async def use(store: Store) -> None:
        failed = asyncio.Event()
        store.on_failed = failed.set
        first, second = store.submit(dies), store.submit(lambda tx: tx.event("a", {}, 1.0))
        for future in (first, second):
            with pytest.raises(StoreError, match="writer failed"):
                await asyncio.wait_for(future, 5.0)
        await asyncio.wait_for(failed.wait(), 5.0)
        with pytest.raises(StoreError):
            store.submit(lambda tx: tx.event("a", {}, 1.0))

    in_store(tmp_path, use)


def test_a_damaged_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    in_store(tmp_path, lambda store: store.write(lambda tx: tx.event("a", {}, 1.0)))
    (tmp_path / "db").write_bytes(b"no database at all" * 1000)

    async def use() -> None:
        with pytest.raises(StoreError) as raised:
            Store(tmp_path / "db").open()
        assert "stackmaster store check" in raised.value.help

    asyncio.run(use())
