"""Events to those who follow them: each follower at its own pace, none of them in another's way, none loses any.

A follower reads from the store until it has caught up, then takes events as they come. One that falls behind by more
than its queue holds goes back to reading from the store, so that what is kept for it in memory stays bounded.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

from master.store import queries
from master.store.store import Event, Store
from protocol.data import Data
from protocol.errors import StoreError
from protocol.names import event_tag

log = logging.getLogger("stackmaster.bus")

QUEUE = 2_000
"""Events kept in memory for one follower."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of these events."""

PAGE = 500
"""Events read from the store at once."""

__all__ = ["Bus", "Event", "Follower"]


class Follower:
    """The events from a cursor on whose tag matches a pattern (`*` matches across `/` too).

    `cursor` is the sequence number of the last event taken: another follower can go on from there.
    """

    def __init__(self, store: Store, pattern: str, cursor: int) -> None:
        self._store = store
        self._matches = re.compile(fnmatch.translate(pattern)).match
        self._ready: deque[Event] = deque()
        self._position = cursor
        self._bytes = 0
        self._live = False
        self._wake = asyncio.Event()
        self.cursor = cursor

    def offer(self, event: Event) -> None:
        """An event was committed; what is not taken now is read from the store later."""
        if not self._live or event.seq <= self._position:
            return
        if len(self._ready) >= QUEUE or self._bytes >= MOST_BYTES:
            self._live = False
            return
        self._position = event.seq
        if self._matches(event.tag) is not None:
            self._ready.append(event)
            self._bytes += event.size
            self._wake.set()

    async def next(self, until: int | None = None) -> Event | None:
        """The next event that matches; waits until there is one.

        With `until` it is None once every event up to that sequence number was looked at.
        """
        while not self._ready:
            if until is not None and self._position >= until:
                return None
            if self._live:
                self._wake.clear()
                await self._wake.wait()
            else:
                await self._catch_up()
        event = self._ready.popleft()
        self._bytes -= event.size
        self.cursor = event.seq
        return event

    async def _catch_up(self) -> None:
        after = self._position
        page = await self._store.read(lambda rows: queries.events(rows, after, PAGE))
        if page:
            self._position = page[-1].seq
            self._ready.extend(event for event in page if self._matches(event.tag) is not None)
            self._bytes = sum(event.size for event in self._ready)
        else:
            self._live = self._store.last_seq <= self._position


class Bus:
    """Tells every follower of every committed event."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._followers: set[Follower] = set()
        store.on_events = self._deliver

    def follow(self, pattern: str = "*", since: int | None = None) -> Follower:
        """A follower of the events after `since` (a sequence number; None: from now on). Close it with `leave`."""
        follower = Follower(self._store, pattern, self._store.last_seq if since is None else since)
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """The follower wants no more."""
        self._followers.discard(follower)

    async def events(self, pattern: str = "*", since: int | None = None) -> AsyncIterator[Event]:
        """`follow` as an iterator without end."""
        follower = self.follow(pattern, since)
        try:
            while (event := await follower.next()) is not None:
                yield event
        finally:
            self.leave(follower)

    async def publish(self, tag: str, data: Mapping[str, Data], cause: str = "") -> Event:
        """Store an event (its data already scrubbed) and tell it. Raises InputError for a tag that is none."""
        event_tag(tag)
        at = time.time()
        seq = await self._store.write(lambda tx: tx.event(tag, data, at, cause))
        return Event(seq, tag, data, at, cause)

    def tell(self, tag: str, data: Mapping[str, Data], cause: str = "") -> None:
        """`publish` without waiting; a failure is logged."""
        event_tag(tag)
        at = time.time()
        try:
            future = self._store.submit(lambda tx: tx.event(tag, data, at, cause))
        except StoreError as error:
            log.error("the event %s is lost: %s", tag, error)
            return
        future.add_done_callback(lambda done: _log_failure(tag, done))

    def _deliver(self, events: Sequence[Event]) -> None:
        for event in events:
            for follower in self._followers:
                follower.offer(event)


def _log_failure(tag: str, done: asyncio.Future[int]) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        log.error("the event %s is lost: %s", tag, error)
