"""Every message that crosses the wire outside a signed command: one small frozen class each.

Enrolment (port 4505): Enrol -> Enrolment. Session (port 4506), minion to master: Hello, Heartbeat, Report, Facts,
BlobRequest. Master to minion: Welcome, HeartbeatEcho, Acknowledge, BlobPart, and Sealed (protocol.command).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocol import codec
from protocol.command import Sealed
from protocol.data import Data
from protocol.results import JobState, StepEnded, StepStarted


@dataclass(frozen=True, slots=True)
class Enrol:
    """A stranger asks to be a minion. `signature` is over `enrolment_statement` and proves the signing key."""

    KIND: ClassVar[str] = "enrol"

    wire: int
    minion: str
    signing: bytes
    curve: str
    token: str
    version: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The master's answer: `state` is accepted, pending, rejected or refused; `message` says what to do next."""

    KIND: ClassVar[str] = "enrolment"

    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Hello:
    """A session begins. `high_water` is the sequence of the newest command this minion has journaled."""

    KIND: ClassVar[str] = "hello"

    wire: int
    version: str
    boot_id: str
    machine_id: str
    high_water: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """The session stands. `heartbeat` is the interval in seconds; `window` how many Reports may be unacknowledged."""

    KIND: ClassVar[str] = "welcome"

    wire: int
    version: str
    heartbeat: float
    window: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The minion is there; `jobs` are those it is working on."""

    KIND: ClassVar[str] = "heartbeat"

    number: int
    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeartbeatEcho:
    """The master heard heartbeat `number`."""

    KIND: ClassVar[str] = "heartbeat-echo"

    number: int


@dataclass(frozen=True, slots=True)
class Facts:
    """The minion's grains, whole; sent after Welcome and whenever they changed."""

    KIND: ClassVar[str] = "facts"

    grains: Mapping[str, Data]


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A job reached `state` on this minion. For a call that ended `value` is what it returned."""

    KIND: ClassVar[str] = "job-update"

    job: str
    state: JobState
    at: float
    reason: str = ""
    value: Data = None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A step of a job began or ended."""

    KIND: ClassVar[str] = "job-progress"

    job: str
    progress: StepStarted | StepEnded


@dataclass(frozen=True, slots=True)
class EventRaised:
    """The minion tells of something; the master puts `minion/<id>/` before `tag`."""

    KIND: ClassVar[str] = "event-raised"

    tag: str
    data: Mapping[str, Data]
    at: float


Record = JobUpdate | JobProgress | EventRaised


@dataclass(frozen=True, slots=True)
class Report:
    """Records in the order in which they came about; `number` grows by one in a session."""

    KIND: ClassVar[str] = "report"

    number: int
    records: tuple[JobUpdate | JobProgress | EventRaised, ...]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Every Report up to `number` is committed; the minion may forget them."""

    KIND: ClassVar[str] = "acknowledge"

    number: int


@dataclass(frozen=True, slots=True)
class BlobRequest:
    """Send `length` bytes of the blob `digest` from `offset`; it must belong to a job of this minion."""

    KIND: ClassVar[str] = "blob-request"

    digest: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class BlobPart:
    """Bytes of a blob from `offset`; `size` is the whole blob's, or -1 when it is not to be had."""

    KIND: ClassVar[str] = "blob-part"

    digest: str
    offset: int
    size: int
    content: bytes


TO_DOOR = codec.table(Enrol)
FROM_DOOR = codec.table(Enrolment)
ToMaster = Hello | Heartbeat | Facts | Report | BlobRequest
ToMinion = Welcome | HeartbeatEcho | Acknowledge | BlobPart | Sealed
TO_MASTER: Mapping[str, type[ToMaster]] = codec.table(Hello, Heartbeat, Facts, Report, BlobRequest)
TO_MINION: Mapping[str, type[ToMinion]] = codec.table(Welcome, HeartbeatEcho, Acknowledge, BlobPart, Sealed)


def enrolment_statement(minion: str, signing: bytes, curve: str) -> bytes:
    """What an Enrol signs: that this signing key wants this id on this CURVE key."""
    return codec.pack(["stackmaster enrolment v1", minion, signing, curve])
