"""One writer thread that commits what many ask for in one transaction, and readers beside it (SQLite in WAL mode)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from master.store import kept, schema
from master.store.room import Room
from protocol.data import Data
from protocol.errors import StackmasterError, StoreError, Where

T = TypeVar("T")

MOST_QUEUED = 20_000
"""Writes that may wait for the writer; more are refused, and whoever reads from the network should stop before."""

MOST_AT_ONCE = 2_000
"""Writes in one transaction: a bound for what a failing one makes the others repeat."""


MOST_VALUES = 5_000
"""Values in one statement (SQLite allows 32,766)."""


_FAULTS = (
    sqlite3.Error, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, MemoryError,
)  # fmt: skip
"""What a write may fail of by itself; it alone is refused then."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `seq` orders all events, `at` is seconds since the epoch, `cause` a job or run; `size`
    the bytes that its data has when packed."""

    seq: int
    tag: str
    data: Mapping[str, Data]
    at: float
    cause: str = ""
    size: int = field(default=0, compare=False)


class Transaction:
    """What a write gets: SQL statements and events, all of them committed or none.

    `most`: bytes that one value, request, result or event may have; longer ones are cut.
    """

    def __init__(self, connection: sqlite3.Connection, next_seq: int, most: int = kept.MOST_KEPT) -> None:
        self._connection = connection
        self.most = most
        self._rows: list[tuple[int, str, bytes, float, str]] = []
        self.events: list[Event] = []
        self.next_seq = next_seq

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(sql, values)

    def insert(self, into: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows: `into` is `table (column, …)`, perhaps with what to do on conflict behind it.

        Many rows go with one statement: each statement lets go of the interpreter's lock and must get it back.
        """
        if not rows:
            return
        into, _, conflict = into.partition(" ON ")
        one = f"({', '.join('?' * len(rows[0]))})"
        most = MOST_VALUES // len(rows[0])
        for at in range(0, len(rows), most):
            some = rows[at : at + most]
            sql = f"INSERT INTO {into} VALUES {', '.join([one] * len(some))}" + (f" ON {conflict}" if conflict else "")
            self._connection.execute(sql, [value for row in some for value in row])

    def event(self, tag: str, data: Mapping[str, Data], at: float, cause: str = "") -> int:
        """Store an event; it is told to followers after the commit. Gives its sequence number."""
        packed = kept.pack(data, self.most)
        event = Event(self.next_seq, tag, data, at, cause, len(packed))
        self.next_seq += 1
        self._rows.append((event.seq, tag, packed, at, cause))
        self.events.append(event)
        return event.seq

    def flush(self) -> None:
        """Write the events that were gathered; the store does it before it commits."""
        self.insert("events (seq, tag, data, at, cause)", self._rows)


Write = Callable[[Transaction], T]
"""Changes the database and gives a result. It may be run a second time when another one of its batch failed, so
it changes nothing but the database."""

Read = Callable[[sqlite3.Connection], T]


class _Queued(Generic[T]):
    __slots__ = ("error", "future", "result", "write")

    def __init__(self, write: Write[T], future: asyncio.Future[T]) -> None:
        self.write = write
        self.future = future
        self.result: T | None = None
        self.error: StackmasterError | None = None


class Store:
    """The database in `path`, used from one event loop. `on_events` gets each batch's events after its commit;
    `on_failed` is called when the writer ended by a fault: nothing is written any more, the process should end.
    `reserve`: bytes of disk held back, to be able to go on when it is full; `on_full` is told when it becomes so and
    when it is no more.
    """

    def __init__(
        self, path: Path, on_events: Callable[[Sequence[Event]], None] = lambda events: None, reserve: int = 0
    ) -> None:
        self._path = path
        self._room = Room(path, reserve)
        self.on_full: Callable[[bool], None] = lambda full: None
        self.on_events = on_events
        self.on_failed: Callable[[], None] = lambda: None
        self._queue: deque[_Queued[Any]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-read")
        self._local = threading.local()
        self._writer = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._opened: list[sqlite3.Connection] = []
        self._next_seq = 1
        self._batch: list[_Queued[Any]] = []
        self._wants_room = False

    def open(self) -> None:
        """Open or make the database (0600) and start the writer. Raises StoreError."""
        self._loop = asyncio.get_running_loop()
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            self._room.open()
            self._connection = self._connect()
            schema.prepare(self._connection, str(self._path))
            row = self._connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        except (sqlite3.Error, OSError) as error:
            for connection in self._opened:
                connection.close()
            raise StoreError(
                f"the database cannot be opened: {error}",
                where=Where(file=str(self._path)),
                help="`stackmaster store check` tells what is damaged, with --repair it keeps what can be read",
            ) from None
        self._next_seq = int(row[0]) + 1
        self._writer.start()

    @property
    def backlog(self) -> int:
        """How many writes wait for the writer."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether the disk is full: the oldest history is forgotten to go on."""
        return self._room.full

    async def look_for_room(self) -> None:
        """See whether the disk has space again; to be called about once a minute."""
        was = self._room.full
        await self._loop.run_in_executor(self._readers, self._room.hold)
        if was != self._room.full:
            self.on_full(self._room.full)

    @property
    def last_seq(self) -> int:
        """The sequence number of the newest event stored."""
        return self._next_seq - 1

    def submit(self, write: Write[T]) -> asyncio.Future[T]:
        """Queue a write; the future is done after its commit. Raises StoreError when the queue is full or closed."""
        if self._closing or len(self._queue) >= MOST_QUEUED:
            reason = "closed" if self._closing else f"behind by {len(self._queue)} writes"
            raise StoreError(f"the database is {reason}")
        future: asyncio.Future[T] = self._loop.create_future()
        with self._wake:
            self._queue.append(_Queued(write, future))
            self._wake.notify()
        return future

    async def write(self, write: Write[T]) -> T:
        """Run a write and wait for its commit. Raises StoreError, or what the write raises."""
        return await self.submit(write)

    async def read(self, read: Read[T]) -> T:
        """Run a query beside the writer, on what was committed. Raises StoreError."""
        return await self._loop.run_in_executor(self._readers, self._read, read)

    async def close(self) -> None:
        """Commit what is queued, then close. At most 5 s."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await self._loop.run_in_executor(None, self._writer.join, 5.0)
        await self._loop.run_in_executor(None, self._readers.shutdown)
        for connection in self._opened:
            connection.close()

    # --- readers ----------------------------------------------------------------------------------------------

    def _read(self, read: Read[T]) -> T:
        try:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
            return read(connection)
        except sqlite3.Error as error:
            raise StoreError(f"the database cannot be read: {error}", where=Where(file=str(self._path))) from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10.0, isolation_level=None, check_same_thread=False)
        self._opened.append(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute("PRAGMA wal_autocheckpoint = 512")
        return connection

    # --- the writer thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        orderly = False
        try:
            self._work()
            orderly = True
        finally:
            if not orderly:
                self._closing = True
                self._loop.call_soon_threadsafe(self._give_up)

    def _give_up(self) -> None:
        """On the loop: the writer is dead, so nobody waits for it any more."""
        queued, self._queue = list(self._queue), deque()
        for one in queued + self._batch:
            if not one.future.done():
                one.future.set_exception(StoreError("the database's writer failed"))
        self.on_failed()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._closing:
                    self._wake.wait()
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_AT_ONCE))]
            self._batch = batch
            if not batch:
                return
            events = self._commit(batch)
            if events is None and self._wants_room:
                events = self._commit(batch) if self._make_room() else None
            if events is None:
                events = [event for one in batch for event in self._commit([one]) or []]
            self._loop.call_soon_threadsafe(self._settle, batch, events)

    def _commit(self, batch: list[_Queued[Any]]) -> list[Event] | None:
        """Run the writes in one transaction; their events, or None when all of it was taken back."""
        most = kept.MOST_WHEN_FULL if self._room.full else kept.MOST_KEPT
        transaction = Transaction(self._connection, self._next_seq, most)
        alone = len(batch) == 1
        self._wants_room = False
        try:
            self._room.settle(self._connection)
            self._connection.execute("BEGIN IMMEDIATE")
            for one in batch:
                one.error = None
                one.result = one.write(transaction)
            transaction.flush()
            self._connection.execute("COMMIT")
        except StackmasterError as error:
            self._take_back()
            batch[0].error = error if alone else None
            return None
        except _FAULTS as error:
            self._take_back()
            self._wants_room = isinstance(error, sqlite3.Error) and self._room.lacks(error)
            if alone:
                batch[0].error = StoreError(f"the database refused a write: {error}", where=Where(str(self._path)))
            return None
        self._next_seq = transaction.next_seq
        return transaction.events

    def _make_room(self) -> bool:
        was = self._room.full
        made = self._room.make(self._connection)
        if not was:
            self._loop.call_soon_threadsafe(self.on_full, True)
        return made

    def _take_back(self) -> None:
        """Undo what was not committed; SQLite did so itself after some errors, a full disk among them."""
        if self._connection.in_transaction:
            self._connection.rollback()

    def _settle(self, batch: list[_Queued[Any]], events: list[Event]) -> None:
        """On the loop: tell the events in their order, then wake who waits."""
        if events:
            self.on_events(events)
        for one in batch:
            if one.future.done():
                continue
            if one.error is not None:
                one.future.set_exception(one.error)
            else:
                one.future.set_result(one.result)
