"""What became of a job: changes, step results, terminal states."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from protocol import codec
from protocol.data import Data

ChangeKind = Literal["create", "change", "remove", "restart", "run"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between what a host is and what it should be.

    `subject` names the thing (`/etc/ceph/ceph.conf`, `package ceph-mon`, `unit ceph-mon@mon1.service`), `aspect` the
    side of it (`content`, `mode`, `enabled`, `running`, …). `old` and `new` are values as far as they can be told,
    `diff` a unified diff. `details` holds what only doing it can tell (exit status, output); it is empty in a dry run.
    """

    kind: ChangeKind
    subject: str
    aspect: str = ""
    old: Data = None
    new: Data = None
    diff: str = ""
    details: Data = None

    def foretold(self) -> tuple[str, str, str]:
        """What a dry run promises of it: kind, subject and aspect."""
        return self.kind, self.subject, self.aspect


@dataclass(frozen=True, slots=True)
class Foretold:
    """A change that an earlier step of a dry run promises for this minion; `values` is a digest of what it becomes."""

    kind: ChangeKind
    subject: str
    aspect: str
    values: bytes


def foretold(change: Change) -> Foretold:
    """The promise of `change`, which must be scrubbed: both sides digest what is shown."""
    values = hashlib.sha256(codec.pack([change.new, change.diff])).digest()[:16]
    return Foretold(change.kind, change.subject, change.aspect, values)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one chunk came to.

    `result` is True (as wanted), False (failed) or None (a dry run: it would change). `ran` is False when the state
    was not called (requisites). Times are seconds; `started` since the epoch. `number` counts calls from 0. With
    `skip_req` the state asks that nobody act on its changes.
    """

    KIND: ClassVar[str] = "step-result"

    tag: str
    function: str
    id: str
    name: str
    sls: str
    result: bool | None
    comment: str
    changes: tuple[Change, ...] = ()
    ran: bool = True
    started: float = 0.0
    duration: float = 0.0
    number: int = 0
    warnings: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    skip_req: bool = False


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Chunk `index` of `total` begins; `started` in seconds since the epoch."""

    KIND: ClassVar[str] = "step-started"

    index: int
    tag: str
    function: str
    id: str
    name: str
    total: int
    started: float


@dataclass(frozen=True, slots=True)
class StepEnded:
    """Chunk `index` has its result."""

    KIND: ClassVar[str] = "step-ended"

    index: int
    result: StepResult


Progress = StepStarted | StepEnded
"""What an apply streams while it works."""


class JobState(StrEnum):
    """Where one minion is with a job. The last six are terminal: each targeted minion ends in exactly one."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    LOST = "lost"

    @property
    def terminal(self) -> bool:
        """Whether nothing more is to come."""
        return self not in (JobState.PENDING, JobState.ACCEPTED, JobState.RUNNING)
