"""The session with the master for real: one socket at a time, opened, greeted, kept up and rebuilt as the link says."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence

import zmq

from minion.config import SESSION_PORT
from protocol import codec, sockets
from protocol.errors import PeerError
from protocol.identity import Identity, PublicIdentity
from protocol.link import Action, Link, LinkState
from protocol.messages import TO_MINION, Heartbeat, Hello, ToMaster, ToMinion, Welcome
from protocol.notify import notify

log = logging.getLogger("stackminion.session")

MOST_AT_ONCE = 256
"""Messages taken from the socket before the rest of the loop has its turn."""


class Session:
    """`greet` makes the Hello of a new session, `jobs` names what is being worked on."""

    def __init__(
        self,
        identity: Identity,
        master: PublicIdentity,
        addresses: Sequence[str],
        greet: Callable[[], Hello],
        jobs: Callable[[], tuple[str, ...]],
    ) -> None:
        self._identity = identity
        self._master = master
        self._addresses = list(addresses)
        self._greet = greet
        self._jobs = jobs
        self._context = sockets.context()
        self._link = Link()
        self._beats = 0
        self.socket: zmq.Socket[bytes] | None = None

    @property
    def deadline(self) -> float:
        """When `tick` has something to do (monotonic seconds)."""
        return self._link.deadline()

    @property
    def up(self) -> bool:
        """Whether the master has welcomed us."""
        return self._link.state is LinkState.UP

    def tick(self, now: float) -> None:
        """What time alone brings: opening, beating, giving up."""
        for action in self._link.tick(now):
            if action is Action.OPEN:
                self._open(now)
            elif action is Action.CLOSE:
                log.warning("no word from the master; trying again")
                notify("STATUS=looking for the master")
                self.close()
            else:
                self._beats += 1
                self.send(Heartbeat(self._beats, self._jobs()))

    def welcomed(self, welcome: Welcome) -> None:
        """The master's Welcome was taken: the session stands."""
        log.info("connected to master %s", self._master.fingerprint)
        notify("STATUS=connected")
        self._link.welcomed(time.monotonic(), welcome.heartbeat)

    def rebuild(self) -> None:
        """This connection is of no use: close it and begin anew after a pause."""
        self._link.broken(time.monotonic())
        self.close()

    def send(self, message: ToMaster) -> None:
        """Send when there is a way; a blocked one is rebuilt."""
        if self.socket is None:
            return
        try:
            self.socket.send(codec.encode(message), zmq.DONTWAIT)
        except zmq.Again:
            log.warning("the way to the master is blocked; building a new session")
            self.rebuild()

    def receive(self) -> Iterator[ToMinion]:
        """What the master sent since; what is no message of ours is told in the log and left out."""
        for _ in range(MOST_AT_ONCE):
            if self.socket is None:
                return
            try:
                raw = self.socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            self._link.heard(time.monotonic())
            try:
                yield codec.decode(raw, TO_MINION)
            except PeerError as error:
                log.error("a message of the master was refused: %s", error)

    def close(self) -> None:
        """Let the socket go."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def end(self) -> None:
        """Let everything go."""
        self.close()
        self._context.term()

    def _open(self, now: float) -> None:
        address = self._addresses.pop(0)
        self._addresses.append(address)
        endpoint = sockets.endpoint(address, SESSION_PORT)
        try:
            self.socket = sockets.connecting(self._context, self._identity, self._master.curve, endpoint)
        except zmq.ZMQError as error:
            log.error("%s cannot be connected: %s", endpoint, error)
            self._link.broken(now)
            return
        self.send(self._greet())
