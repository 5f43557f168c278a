"""Who gets in: the ZAP handler that libzmq asks about every connection, and the door where strangers enrol.

ZAP is RFC 27 of ZeroMQ (https://rfc.zeromq.org/spec/27/). The handler is bound before the sockets that need it, and
these let nobody in without an answer from it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import zmq
from zmq.utils import z85

from master.keys import Keys
from master.wire import Receiver
from protocol import codec, limits
from protocol.errors import DecodeError, StoreError
from protocol.messages import TO_DOOR, Enrol, Enrolment

log = logging.getLogger("stackmaster.door")

ENROL = "enrol"
SESSION = "session"
_ZAP = "inproc://zeromq.zap.01"

MOST_ADDRESSES = 4096
"""Addresses whose rate is remembered."""

MOST_WAITING = 1000
"""Enrolments being decided at once; more are dropped, and ask again."""


class Rate:
    """A token bucket for each key and one for all: `each` and `total` a second, bursts of ten seconds' worth."""

    def __init__(self, each: float, total: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._each = each
        self._total = total
        self._clock = clock
        self._all = (total * 10, clock())
        self._keys: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, key: str, cost: float = 1.0) -> bool:
        """Whether one more of `key`, which counts as `cost`, is within bounds; it is counted when it is."""
        now = self._clock()
        whole = _fill(self._all, self._total, now)
        own = _fill(self._keys.get(key, (self._each * 10, now)), self._each, now)
        if whole < cost or own < cost:
            return False
        self._all = (whole - cost, now)
        self._keys[key] = (own - cost, now)
        self._keys.move_to_end(key)
        if len(self._keys) > MOST_ADDRESSES:
            self._keys.popitem(last=False)
        return True


def _fill(bucket: tuple[float, float], rate: float, now: float) -> float:
    level, since = bucket
    return min(rate * 10, level + (now - since) * rate)


class Gate:
    """The ZAP handler. `banned` tells whether a session name is kept out for now."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], keys: Keys, rate: Rate, banned: Callable[[str], bool]
    ) -> None:
        self._keys = keys
        self._rate = rate
        self._banned = banned
        socket = context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(_ZAP)
        self._receiver = Receiver(socket, self._asked)

    def start(self) -> None:
        """Answer from now on."""
        self._receiver.start()

    def close(self) -> None:
        """Answer no more: nobody gets in from here on."""
        self._receiver.close()

    def _asked(self, frames: list[zmq.Frame]) -> None:
        parts = [frame.bytes for frame in frames]
        if len(parts) < 8 or parts[1] != b"" or parts[2] != b"1.0":
            log.error("a ZAP request that is none")
            return
        _sender, _, _version, request, domain, address, _socket_id, mechanism, *credentials = parts
        status, user = b"400", ""
        if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == 32:
            status, user = self._judge(
                domain.decode("ascii", "replace"), address.decode("ascii", "replace"), credentials[0]
            )
        text = b"OK" if status == b"200" else b"not now" if status == b"300" else b"not accepted"
        self._receiver.send([parts[0], b"", b"1.0", request, status, text, user.encode("ascii"), b""])

    def _judge(self, domain: str, address: str, key: bytes) -> tuple[bytes, str]:
        """Status and User-Id for one connection."""
        curve = z85.encode(key).decode("ascii")
        if domain == SESSION:
            user = self._keys.user_of(curve)
            if user is None:
                return b"400", ""
            return (b"300", "") if self._banned(user) else (b"200", user)
        if domain == ENROL:
            return (b"200", key.hex()) if self._rate.allows(address) else (b"300", "")
        return b"400", ""


class Door:
    """The enrolment socket: one kind of message, tiny, seldom."""

    def __init__(self, socket: zmq.Socket[bytes], keys: Keys, rate: Rate) -> None:
        self._keys = keys
        self._rate = rate
        self._receiver = Receiver(socket, self._received)
        self._deciding: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Take enrolments from now on."""
        self._receiver.start()

    def close(self) -> None:
        """Take no more."""
        for task in self._deciding:
            task.cancel()
        self._receiver.close()

    def _received(self, frames: list[zmq.Frame]) -> None:
        if len(frames) != 2 or len(self._deciding) >= MOST_WAITING:
            return
        connection, address = metadata(frames[1], "User-Id"), metadata(frames[1], "Peer-Address")
        if not connection or not self._rate.allows(address):
            return
        try:
            request = codec.decode(frames[1].bytes, TO_DOOR, limit=limits.MAX_ENROL_MESSAGE)
        except DecodeError as error:
            log.debug("a bad enrolment from %s: %s", address, error)
            return
        task = asyncio.get_running_loop().create_task(self._decide(frames[0].bytes, request, connection, address))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    async def _decide(self, routing: bytes, request: Enrol, connection: str, address: str) -> None:
        curve = z85.encode(bytes.fromhex(connection)).decode("ascii")
        try:
            answer = await self._keys.enrol(request, curve, address)
        except StoreError as error:
            log.error("an enrolment could not be stored: %s", error)
            answer = Enrolment("refused", "the master cannot store it now; try again")
        try:
            self._receiver.send([routing, codec.encode(answer)])
        except zmq.Again:
            log.debug("an answer to %s is dropped: it does not read", address)


def metadata(frame: zmq.Frame, name: str) -> str:
    """What libzmq knows of a frame's connection (`User-Id`, `Peer-Address`); empty when it knows nothing."""
    try:
        value = frame.get(name)
    except zmq.ZMQError:
        return ""
    return value if isinstance(value, str) else ""
