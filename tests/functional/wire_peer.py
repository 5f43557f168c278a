"""A minion of few lines for tests of the real master: real CURVE, real signatures; honest, or not, as told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import zmq

from protocol import WIRE_VERSION, codec, command, limits, sockets
from protocol.assignment import Assignment, decode_assignment
from protocol.command import Apply, Call, Cancel, Header, Order, Sealed
from protocol.data import Data
from protocol.identity import Identity, PublicIdentity, generate
from protocol.messages import (
    FROM_DOOR,
    TO_MINION,
    Acknowledge,
    BlobPart,
    BlobRequest,
    Enrol,
    Enrolment,
    Facts,
    Heartbeat,
    HeartbeatEcho,
    Hello,
    JobProgress,
    JobUpdate,
    Record,
    Report,
    ToMaster,
    ToMinion,
    Welcome,
    enrolment_statement,
)
from protocol.results import Change, JobState, StepEnded, StepResult, StepStarted

PATIENCE = 15.0


def enrol_request(identity: Identity, minion: str, secret: str = "") -> Enrol:
    """What an honest host sends to the door."""
    public = identity.public
    signature = identity.sign(enrolment_statement(minion, public.signing, public.curve))
    return Enrol(WIRE_VERSION, minion, public.signing, public.curve, secret, "0-test", signature)


def knock(
    context: zmq.Context[zmq.Socket[bytes]],
    identity: Identity,
    master: PublicIdentity,
    port: int,
    raw: bytes,
    patience: float = PATIENCE,
) -> Enrolment | None:
    """Send `raw` to the door over a connection of `identity`; the answer, or None within `patience` seconds."""
    with sockets.connecting(context, identity, master.curve, f"tcp://127.0.0.1:{port}") as socket:
        socket.send(raw)
        if not socket.poll(int(patience * 1000)):
            return None
        return codec.decode(socket.recv(), FROM_DOOR, limit=limits.MAX_ENROL_MESSAGE)


@dataclass
class WirePeer:
    """One minion; `answer` gives what a called function returns. It keeps all that it heard."""

    minion: str
    master: PublicIdentity
    port: int
    identity: Identity = field(default_factory=generate)
    boot_id: str = "boot-1"
    machine_id: str = ""
    answer: Callable[[Call], Data] = lambda call: True
    silent: bool = False
    heard: list[ToMinion] = field(default_factory=list)
    orders: list[tuple[Header, Order]] = field(default_factory=list)
    acknowledged: int = 0
    high_water: int = 0
    _number: int = 0
    _beats: int = 0
    _beaten: float = 0.0

    def __post_init__(self) -> None:
        self.context = sockets.context()
        self.machine_id = self.machine_id or f"machine-{self.minion}"

    def __enter__(self) -> WirePeer:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.context.destroy(linger=0)

    def enrol(self, door: int, secret: str = "", patience: float = PATIENCE) -> Enrolment | None:
        """Ask the door."""
        raw = codec.encode(enrol_request(self.identity, self.minion, secret))
        return knock(self.context, self.identity, self.master, door, raw, patience)

    def connect(self) -> None:
        """Open a session, without waiting for the Welcome."""
        self.socket = sockets.connecting(self.context, self.identity, self.master.curve, f"tcp://127.0.0.1:{self.port}")
        self._number = self.acknowledged = 0
        self.send(Hello(WIRE_VERSION, "0-test", self.boot_id, self.machine_id, self.high_water))

    def join(self, grains: dict[str, Data] | None = None) -> None:
        """Open a session, wait for the Welcome, tell the grains."""
        self.connect()
        self.until(lambda: any(isinstance(message, Welcome) for message in self.heard), "Welcome")
        self.send(Facts({"os": "Debian", **(grains or {})}))

    def leave(self) -> None:
        """Close the session's connection."""
        self.socket.close(linger=0)

    def send(self, message: ToMaster) -> None:
        """Send a message."""
        self.socket.send(codec.encode(message))

    def report(self, *records: Record) -> int:
        """Send a Report; gives its number."""
        self._number += 1
        self.send(Report(self._number, records))
        return self._number

    def until(self, condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Work until `condition` holds. Raises AssertionError after `patience` seconds."""
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"{self.minion} waited {patience:.0f} s for {what}; heard {self.heard[-5:]}"
            self.work(0.05)

    def work(self, seconds: float) -> None:
        """Beat, and take what comes within so many seconds."""
        if not self.silent and time.monotonic() - self._beaten > 0.1 and self._welcomed():
            self._beaten = time.monotonic()
            self._beats += 1
            self.send(Heartbeat(self._beats, ()))
        if self.socket.poll(int(seconds * 1000)):
            self._take(codec.decode(self.socket.recv(), TO_MINION))

    def _welcomed(self) -> bool:
        return any(isinstance(message, Welcome) for message in self.heard)

    def _take(self, message: ToMinion) -> None:
        if not isinstance(message, HeartbeatEcho):
            self.heard.append(message)
        if isinstance(message, Acknowledge):
            self.acknowledged = message.number
        elif isinstance(message, Sealed):
            header, order = command.unseal(self.master, self.minion, message, time.time())
            self.orders.append((header, order))
            if isinstance(order, Cancel):
                self.ended(order.job, JobState.CANCELLED)
                return
            self.high_water = max(self.high_water, header.sequence)
            self.obey(header.job, order)

    def obey(self, job: str, order: Order) -> None:
        """What an honest minion does with an order; a test may replace it."""
        if isinstance(order, Call):
            self.ended(job, JobState.SUCCEEDED, self.answer(order))
        elif isinstance(order, Apply):
            self.apply(job, self.fetched(order), order)

    def ended(self, job: str, state: JobState, value: Data = None, reason: str = "") -> int:
        """Report a job's state."""
        return self.report(JobUpdate(job, state, time.time(), reason, value))

    def fetched(self, order: Apply) -> Assignment:
        """The assignment of an order, fetched when it is not inside."""
        raw = order.inline if order.inline is not None else self.fetch(order.digest)
        return decode_assignment(raw)

    def fetch(self, digest: str) -> bytes:
        """A content, part by part."""
        content = b""
        while True:
            part = self.ask(BlobRequest(digest, len(content), limits.BLOB_CHUNK))
            assert part.size >= 0, "the master does not give this content"
            content += part.content
            if len(content) >= part.size:
                return content

    def ask(self, request: BlobRequest) -> BlobPart:
        """Ask for a part and wait for it."""
        before = len(self._parts())
        self.send(request)
        self.until(lambda: len(self._parts()) > before, "a part of a blob")
        return self._parts()[-1]

    def _parts(self) -> list[BlobPart]:
        return [message for message in self.heard if isinstance(message, BlobPart)]

    def apply(self, job: str, assignment: Assignment, order: Apply) -> None:
        """Tell that every chunk was applied with one change."""
        self.report(JobUpdate(job, JobState.RUNNING, time.time()))
        total = len(assignment.chunks)
        for index, chunk in enumerate(assignment.chunks):
            now = time.time()
            begun = StepStarted(index, chunk.tag, chunk.function, chunk.id, chunk.name, total, now)
            change = Change("create", chunk.name, new="as wanted")
            result = StepResult(
                chunk.tag, chunk.function, chunk.id, chunk.name, chunk.sls, None if order.test else True, "done",
                (change,), True, now, 0.01, index,
            )  # fmt: skip
            self.report(JobProgress(job, begun), JobProgress(job, StepEnded(index, result)))
        self.ended(job, JobState.SUCCEEDED)
