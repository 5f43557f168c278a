"""Who is here: one live session a minion, by the key that its connection proved; sending, losing and cutting it.

A ROUTER cannot close the connection of one peer. Cutting a session means: it is forgotten, its name (the id and the
generation of its key) is not accepted any more, nothing is sent to it and what it sends is dropped unread. The TCP
connection stays until the peer goes; the same key does not get another one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import zmq

from master import __version__
from master.bus import Bus
from master.door import Rate, metadata
from master.keys import Keys
from master.store import queries
from master.store.store import Store
from master.wire import Receiver
from protocol import WIRE_VERSION, codec
from protocol.errors import DecodeError, StoreError
from protocol.link import PATIENCE
from protocol.messages import (
    TO_MASTER,
    Acknowledge,
    BlobRequest,
    Facts,
    Heartbeat,
    HeartbeatEcho,
    Hello,
    Report,
    ToMinion,
    Welcome,
)
from protocol.names import MinionId

log = logging.getLogger("stackmaster.sessions")

GREETINGS = 1.0
"""Sessions that one minion may begin a second, ten at once: each costs a write and what waits for it is sent again."""

BAR = 60.0
"""Seconds that a minion stays out after it was cut off."""


@dataclass(slots=True)
class Session:
    """One minion's live session. `heard` is monotonic seconds, `since` seconds since the epoch."""

    minion: MinionId
    user: str
    routing: bytes
    hello: Hello
    since: float
    heard: float
    rival: tuple[bytes, float] | None = None
    unsent_ack: int = 0
    pending_blobs: int = 0


@dataclass(slots=True)
class Handlers:
    """Who is told of what. `here` gets each session once it stands, `gone` a minion that is not here any more.

    `report` also gets the size of the message in bytes; while `admits` is false nothing is read from anyone.
    """

    here: Callable[[Session], None]
    gone: Callable[[MinionId], None]
    heartbeat: Callable[[Session, Heartbeat], None]
    report: Callable[[Session, Report, int], None]
    facts: Callable[[Session, Facts], None]
    blob: Callable[[Session, BlobRequest], None]
    admits: Callable[[], bool]


@dataclass(slots=True)
class Counters:
    """What was dropped: frames of connections without an accepted key, unreadable ones, ones out of a session; events
    of minions that raised too many."""

    strangers: int = 0
    bad: int = 0
    stray: int = 0
    events: int = 0


@dataclass(slots=True)
class Sessions:
    """The sessions of all minions on one ROUTER. `heartbeat` in seconds; see MasterSettings for the other bounds."""

    keys: Keys
    bus: Bus
    store: Store
    heartbeat: float
    window: int
    most_bad: int
    counters: Counters = field(default_factory=Counters)
    _greetings: Rate = field(default_factory=lambda: Rate(GREETINGS, 1e6))
    _sessions: dict[MinionId, Session] = field(default_factory=dict)
    _lost: set[MinionId] = field(default_factory=set)
    _barred: dict[str, float] = field(default_factory=dict)
    _bad: dict[str, int] = field(default_factory=dict)
    _unacknowledged: list[Session] = field(default_factory=list)
    _receiver: Receiver | None = None
    _handlers: Handlers | None = None

    def start(self, socket: zmq.Socket[bytes], handlers: Handlers) -> None:
        """Take sessions on `socket` from now on."""
        self._handlers = handlers
        self.keys.on_removed(lambda minion: self.cut(minion, "its key is not accepted any more"))
        self._receiver = Receiver(socket, self._received, handlers.admits)
        self._receiver.start()

    def close(self) -> None:
        """Take and send nothing more."""
        if self._receiver is not None:
            self._receiver.close()

    # --- answers ------------------------------------------------------------------------------------------------

    def get(self, minion: str) -> Session | None:
        """The live session of a minion."""
        return self._sessions.get(MinionId(minion))

    @property
    def connected(self) -> Iterable[MinionId]:
        """The minions that are here."""
        return self._sessions.keys()

    def __len__(self) -> int:
        return len(self._sessions)

    def barred(self, user: str) -> bool:
        """Whether a session name is kept out for now."""
        until = self._barred.get(user)
        if until is None:
            return False
        if time.monotonic() < until:
            return True
        del self._barred[user]
        return False

    # --- sending ------------------------------------------------------------------------------------------------

    def send(self, minion: MinionId, message: ToMinion) -> bool:
        """Send a message; False when the minion is not here or does not take more now."""
        return self.send_raw(minion, codec.encode(message))

    def send_raw(self, minion: MinionId, message: bytes) -> bool:
        """`send` for a message that is encoded already."""
        session = self._sessions.get(minion)
        return session is not None and self._send(session, message)

    def _send(self, session: Session, message: bytes) -> bool:
        assert self._receiver is not None
        try:
            if self._receiver.send([session.routing, message]):
                return True
        except zmq.Again:
            return False
        self._forget(session, "its connection is gone")
        return False

    def acknowledge(self, session: Session, number: int) -> None:
        """Tell a minion that its Reports up to `number` are committed: soon, one message for many of them."""
        if not self._unacknowledged:
            asyncio.get_running_loop().call_soon(self._acknowledge_all)
        session.unsent_ack = number
        self._unacknowledged.append(session)

    def _acknowledge_all(self) -> None:
        sessions, self._unacknowledged = self._unacknowledged, []
        for session in sessions:
            if session.unsent_ack:
                self._acknowledge(session)

    def _acknowledge(self, session: Session) -> None:
        """What a minion does not take now it is told again with its next heartbeat."""
        if self._sessions.get(session.minion) is session:
            message = codec.encode(Acknowledge(session.unsent_ack))
            if self._send(session, message):
                session.unsent_ack = 0

    # --- losing and cutting -------------------------------------------------------------------------------------

    def cut(self, minion: MinionId, reason: str) -> None:
        """End a minion's session at once."""
        session = self._sessions.get(minion)
        if session is not None:
            self._forget(session, reason)

    def sweep(self) -> None:
        """Lose those who were not heard for three intervals; to be called about twice an interval.

        Who could not be heard because nothing was read (`admits`) is not lost for that.
        """
        if self._handlers is not None and not self._handlers.admits():
            for session in self._sessions.values():
                session.heard = time.monotonic()
        limit = time.monotonic() - PATIENCE * self.heartbeat
        for session in [session for session in self._sessions.values() if session.heard < limit]:
            self._forget(session, f"not heard for {PATIENCE} heartbeats")
        self._bad = {user: count - 1 for user, count in self._bad.items() if count > 1}

    def _forget(self, session: Session, reason: str) -> None:
        if self._sessions.get(session.minion) is not session:
            return
        del self._sessions[session.minion]
        self._lost.add(session.minion)
        log.info("minion %s lost: %s", session.minion, reason)
        self.bus.tell(f"minion/{session.minion}/lost", {"reason": reason})
        self._save(session)
        if self._handlers is not None:
            self._handlers.gone(session.minion)

    def _bar(self, minion: MinionId, user: str, what: str, reason: str) -> None:
        self._barred[user] = time.monotonic() + BAR
        self._bad.pop(user, None)
        self.bus.tell(f"minion/{minion}/{what}", {"reason": reason})
        log.warning("minion %s is kept out for %.0f s: %s", minion, BAR, reason)
        self.cut(minion, reason)

    def _save(self, session: Session) -> None:
        hello, at = session.hello, time.time()
        if session.minion not in self.keys:
            return
        values = (session.minion, hello.version[:40], hello.boot_id[:64], hello.machine_id[:64], at)
        try:
            done = self.store.submit(lambda tx: queries.save_presence(tx, *values))
        except StoreError as error:
            log.error("presence of %s is not kept: %s", session.minion, error)
            return
        done.add_done_callback(_log_failure)

    # --- receiving ----------------------------------------------------------------------------------------------

    def _received(self, frames: list[zmq.Frame]) -> None:
        user = metadata(frames[-1], "User-Id")
        minion = self.keys.minion_of(user)
        if minion is None or self.barred(user):
            self.counters.strangers += 1
            return
        if len(frames) != 2:
            self._count_bad(minion, user, f"{len(frames) - 1} frames instead of one")
            return
        raw = frames[1].bytes
        try:
            message = codec.decode(raw, TO_MASTER)
        except DecodeError as error:
            self._count_bad(minion, user, str(error))
            return
        self._handle(minion, user, frames[0].bytes, message, len(raw))

    def _handle(self, minion: MinionId, user: str, routing: bytes, message: Any, size: int) -> None:
        session = self._sessions.get(minion)
        own = session is not None and session.routing == routing and session.user == user
        if isinstance(message, Hello):
            self._greeted(minion, user, routing, message, session)
            return
        if session is None or not own:
            self.counters.stray += 1
            if session is not None:
                self._suspect(session, routing)
            return
        session.heard = time.monotonic()
        self._dispatch(session, message, size)

    def _dispatch(self, session: Session, message: Any, size: int) -> None:
        handlers = self._handlers
        assert handlers is not None
        if isinstance(message, Heartbeat):
            self._send(session, codec.encode(HeartbeatEcho(message.number)))
            if session.unsent_ack:
                self._acknowledge(session)
            handlers.heartbeat(session, message)
        elif isinstance(message, Report):
            handlers.report(session, message, size)
        elif isinstance(message, BlobRequest):
            handlers.blob(session, message)
        elif isinstance(message, Facts):
            handlers.facts(session, message)

    def _greeted(self, minion: MinionId, user: str, routing: bytes, hello: Hello, old: Session | None) -> None:
        if hello.wire != WIRE_VERSION:
            reason = f"it speaks wire version {hello.wire}, this master {WIRE_VERSION}"
            self._bar(minion, user, "refused", reason)
            return
        if old is not None and old.routing == routing:
            self.count_bad(old, "a second greeting in one session")
            return
        if len(routing) != 5 or routing[0] != 0:
            # an id that the peer chose could be one that another peer had: what is sent there would reach the wrong one
            self._count_bad(minion, user, "a routing id of its own choice")
            return
        if not self._greetings.allows(minion):
            self._count_bad(minion, user, "sessions begun too often")
            return
        now = time.monotonic()
        session = Session(minion, user, routing, hello, time.time(), now)
        if old is not None and (old.hello.machine_id, old.hello.boot_id) != (hello.machine_id, hello.boot_id):
            session.rival = (old.routing, now + PATIENCE * self.heartbeat)
        self._sessions[minion] = session
        welcome = Welcome(WIRE_VERSION, __version__, self.heartbeat, self.window)
        if not self._send(session, codec.encode(welcome)):
            return
        if old is None:
            what = "back" if minion in self._lost else "connected"
            self._lost.discard(minion)
            self.bus.tell(f"minion/{minion}/{what}", {"version": hello.version[:40]})
        self._save(session)
        assert self._handlers is not None
        self._handlers.here(session)

    def _suspect(self, session: Session, routing: bytes) -> None:
        """A message on another connection with the same key: when that one was replaced and still lives on another
        machine, two machines have one key."""
        if session.rival is None or session.rival[0] != routing or time.monotonic() > session.rival[1]:
            return
        reason = "two machines use this key; give one of them its own: delete its identity file and let it join again"
        self._bar(session.minion, session.user, "conflict", reason)

    def count_bad(self, session: Session, reason: str) -> None:
        """A message that an honest minion does not send; too many of them cut the session."""
        self._count_bad(session.minion, session.user, reason)

    def _count_bad(self, minion: MinionId, user: str, reason: str) -> None:
        self.counters.bad += 1
        count = self._bad[user] = self._bad.get(user, 0) + 1
        log.debug("a bad message of %s: %s", minion, reason)
        if count >= self.most_bad:
            self._bar(minion, user, "cut", f"{count} messages that cannot be accepted, the last one: {reason}")


def _log_failure(done: Any) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        log.error("a minion's presence is not kept: %s", error)
