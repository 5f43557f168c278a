"""The store: what is written together, what fails alone, and the order in which events are told."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from master.store import history, queries, store
from master.store.schema import VERSION
from master.store.store import Event, Store, Transaction
from protocol.errors import RefusedError, StoreError


def run(path: Path, use: Callable[[Store], Awaitable[None]]) -> None:
    """Use a store in `path` within a loop."""

    async def within() -> None:
        opened = Store(path / "db")
        opened.open()
        try:
            await use(opened)
        finally:
            await opened.close()

    asyncio.run(within())


def test_the_database_is_for_its_owner_only(tmp_path: Path) -> None:
    async def use(opened: Store) -> None:
        await opened.write(lambda tx: tx.event("a", {}, 1.0))

    run(tmp_path, use)
    assert [stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()] == [0o600]


def test_writes_that_wait_are_committed_together_in_order(tmp_path: Path) -> None:
    told: list[list[int]] = []

    async def use(opened: Store) -> None:
        opened.on_events = lambda events: told.append([event.seq for event in events])
        futures = [opened.submit(lambda tx: tx.event("a", {}, 1.0)) for _ in range(500)]
        assert await asyncio.gather(*futures) == list(range(1, 501))

    run(tmp_path, use)
    assert [seq for batch in told for seq in batch] == list(range(1, 501))
    assert len(told) < 50


def test_a_write_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    told: list[Event] = []

    def fails(tx: Transaction) -> None:
        tx.event("lost", {}, 1.0)
        raise RefusedError("no")

    def breaks(tx: Transaction) -> None:
        tx.execute("INSERT INTO nowhere VALUES (1)")

    async def use(opened: Store) -> None:
        opened.on_events = told.extend
        futures: list[asyncio.Future[Any]] = [
            opened.submit(lambda tx: tx.event("first", {}, 1.0)),
            opened.submit(fails),
            opened.submit(breaks),
            opened.submit(lambda tx: tx.event("last", {}, 1.0)),
        ]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(result) for result in results] == [int, RefusedError, StoreError, int]

    run(tmp_path, use)
    assert [(event.seq, event.tag) for event in told] == [(1, "first"), (2, "last")]


def test_sequence_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    async def use(opened: Store) -> None:
        await opened.write(lambda tx: tx.event("a", {}, 1.0))

    run(tmp_path, use)
    run(tmp_path, use)
    rows = sqlite3.connect(tmp_path / "db").execute("SELECT seq FROM events").fetchall()
    assert rows == [(1,), (2,)]


def test_counters_never_give_a_number_twice(tmp_path: Path) -> None:
    taken: list[int] = []

    async def use(opened: Store) -> None:
        taken.append(await opened.write(lambda tx: queries.take_block(tx, "sequence", 100)))

    for _ in range(3):
        run(tmp_path, use)
    assert taken == [1, 101, 201]


def test_what_waits_for_the_writer_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_QUEUED", 0)

    async def use(opened: Store) -> None:
        with pytest.raises(StoreError, match="behind"):
            opened.submit(lambda tx: None)

    run(tmp_path, use)


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()

    async def use(opened: Store) -> None:
        raise AssertionError("it was opened")

    with pytest.raises(StoreError, match="version"):
        run(tmp_path, use)


def test_a_damaged_database_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"not a database" * 100)

    async def use(opened: Store) -> None:
        raise AssertionError("it was opened")

    with pytest.raises(StoreError, match="cannot be opened") as raised:
        run(tmp_path, use)
    assert raised.value.where.file == str(tmp_path / "db")


def test_the_audit_shows_what_was_changed_or_removed(tmp_path: Path) -> None:
    def tamper(sql: str) -> int | None:
        connection = sqlite3.connect(":memory:")
        sqlite3.connect(tmp_path / "db").backup(connection)
        connection.execute(sql)
        return queries.first_broken_audit(connection)

    async def use(opened: Store) -> None:
        def five(tx: Transaction) -> None:
            for number in range(5):
                queries.append_audit(tx, number, "root", "status", {"n": number}, "allowed")

        await opened.write(five)

    run(tmp_path, use)
    assert tamper("SELECT 1") is None
    assert tamper("UPDATE audit SET user = 'bob' WHERE number = 3") == 3
    assert tamper("DELETE FROM audit WHERE number = 3") == 4
    assert tamper("DELETE FROM audit WHERE number < 3") is None


def test_what_is_old_goes_and_the_newest_number_stays(tmp_path: Path) -> None:
    async def use(opened: Store) -> None:
        await opened.write(lambda tx: [tx.event("a", {}, at) for at in (10.0, 20.0, 30.0)])
        await opened.write(lambda tx: history.forget(tx, 25.0, 1000))
        assert [event.at for event in await opened.read(lambda rows: queries.events(rows, 0, 10))] == [30.0]
        await opened.write(lambda tx: history.forget(tx, 99.0, 1000))
        assert [event.seq for event in await opened.read(lambda rows: queries.events(rows, 0, 10))] == [3]

    run(tmp_path, use)
