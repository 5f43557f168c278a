"""Signed commands: what the master orders, sealed once a job for all its minions, opened and checked by each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from protocol import WIRE_VERSION, codec, merkle
from protocol.assignment import Custom
from protocol.data import Data
from protocol.errors import DecodeError, InputError, RefusedCommand, SignatureError
from protocol.names import JobId, job_id
from protocol.results import Foretold

CLOCK_SKEW = 30.0
"""Seconds by which a minion's clock may be behind the master's before a fresh command is refused."""


class Signer(Protocol):
    """What seals commands: an Identity."""

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature."""
        ...


class Verifier(Protocol):
    """What checks them: the pinned PublicIdentity of the master."""

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raises SignatureError."""
        ...


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply an assignment named by `digest`; `inline` holds it when it is small, else it is fetched as a blob.

    `test`: dry run. `pending`: an earlier step of the same dry run foretells changes, and `foretold` which ones on
    this minion. `timeout`: seconds.
    """

    KIND: ClassVar[str] = "apply"

    digest: str
    inline: bytes | None
    test: bool
    pending: bool
    timeout: float
    foretold: tuple[Foretold, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """Call an execution function; `timeout` in seconds. `secrets` are literals to hide in what comes back.

    `custom` is the code of the master's state tree, when the function is part of it or is to synchronise it.
    """

    KIND: ClassVar[str] = "call"

    function: str
    args: tuple[Data, ...]
    kwargs: Mapping[str, Data]
    timeout: float
    secrets: tuple[str, ...] = ()
    custom: Custom | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the job `job`: its whole process group."""

    KIND: ClassVar[str] = "cancel"

    job: str


Order = Apply | Call | Cancel
ORDERS: Mapping[str, type[Order]] = codec.table(Apply, Call, Cancel)


@dataclass(frozen=True, slots=True)
class Header:
    """What is signed once a job. Times are seconds since the epoch; `sequence` grows with every job of a master."""

    KIND: ClassVar[str] = "header"

    wire: int
    job: str
    sequence: int
    not_before: float
    not_after: float
    root: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """One minion's signed command: header and signature (the same for all), payload and path (its own)."""

    KIND: ClassVar[str] = "command"

    header: bytes
    signature: bytes
    payload: bytes
    path: tuple[bytes, ...] = field(default=())


_HEADERS = codec.table(Header)
_CONTEXT = b"stackmaster command v1\0"
"""Signed in front of the header, so that a signature made for something else is never a command (domain separation)."""


def seal(
    signer: Signer, job: str, sequence: int, orders: Mapping[str, Order], now: float, lifetime: float
) -> dict[str, Sealed]:
    """The sealed command of each minion in `orders`, valid from `now` for `lifetime` seconds; one signature in all."""
    minions = list(orders)
    payloads = [codec.encode(orders[minion]) for minion in minions]
    root, paths = merkle.tree([merkle.leaf(m, p) for m, p in zip(minions, payloads, strict=True)])
    header = codec.encode(Header(WIRE_VERSION, job, sequence, now, now + lifetime, root))
    signature = signer.sign(_CONTEXT + header)
    return {
        minion: Sealed(header, signature, payload, path)
        for minion, payload, path in zip(minions, payloads, paths, strict=True)
    }


def unseal(verifier: Verifier, minion: str, sealed: Sealed, now: float) -> tuple[Header, Order]:
    """The header and order of `sealed` for `minion`, once everything about it holds.

    Raises SignatureError (forged, changed, for another minion) or DecodeError; RefusedCommand for one that is the
    master's and this minion's, but of another wire version or outside its time.
    """
    verifier.verify(sealed.signature, _CONTEXT + sealed.header)
    header = codec.decode(sealed.header, _HEADERS)
    job = _job(header)
    if merkle.root_from(merkle.leaf(minion, sealed.payload), sealed.path) != header.root:
        raise SignatureError("the command is not for this minion, or its content was changed")
    if header.wire != WIRE_VERSION:
        message = f"the command speaks wire version {header.wire}, this minion {WIRE_VERSION}"
        raise RefusedCommand(job, message, help="upgrade the older of the two")
    if now + CLOCK_SKEW < header.not_before:
        future = header.not_before - now
        raise RefusedCommand(job, f"by this minion's clock the command is {future:.0f} s early", help="check clocks")
    if now > header.not_after:
        past = now - header.not_after
        raise RefusedCommand(job, f"by this minion's clock the command expired {past:.0f} s ago", help="check clocks")
    return header, codec.decode(sealed.payload, ORDERS)


def _job(header: Header) -> JobId:
    """The job's id, which becomes the name of a folder. Raises DecodeError."""
    try:
        return job_id(header.job)
    except InputError as error:
        raise DecodeError(error.message) from None
