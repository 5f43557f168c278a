"""What goes into an orchestration's deciders and what comes out: events and effects, and how a step ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from master.jobs import JobOutcome, JobRequest, MinionOutcome
from protocol.errors import StackmasterError
from protocol.names import JobId
from protocol.results import Change

if TYPE_CHECKING:
    from protocol.data import Data

RunState = Literal["running", "succeeded", "failed", "cancelled"]


class Key(NamedTuple):
    """Whose effect it was: the step's position, and the number of the effect within the run."""

    step: int
    number: int


# --- events: what happened ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobStarted:
    """The job of a StartJob goes on under this id."""

    key: Key
    job: JobId


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job of a StartJob is over on every minion."""

    key: Key
    outcome: JobOutcome


@dataclass(frozen=True, slots=True)
class Refused:
    """What an effect asked for could not be begun."""

    key: Key
    error: StackmasterError


@dataclass(frozen=True, slots=True)
class Expanded:
    """The minions that an Expand means, sorted; empty when it means nobody. `domains` are their failure domains, in
    the same order; "" where a minion has no such grain. Empty when none were asked for."""

    key: Key
    minions: tuple[str, ...]
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventSeen:
    """An event that a Listen asked for."""

    key: Key
    tag: str
    data: Mapping[str, Data]


@dataclass(frozen=True, slots=True)
class RunnerEnded:
    """A runner is over."""

    key: Key
    result: bool
    comment: str
    value: Data


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person wants the run to stop; with `force` its cleanup too."""

    user: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Paused:
    """A person wants nothing more to begin."""

    user: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person lets a paused run go on."""

    user: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A person wants the step at a position to count as done."""

    user: str
    step: int


@dataclass(frozen=True, slots=True)
class Retried:
    """A person wants what failed of an ended run done again; with `failed` only on the minions that failed."""

    user: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """A person approved of what waits for it, or denied it."""

    key: Key
    user: str
    granted: bool
    comment: str = ""


StepEvent = JobStarted | JobEnded | Refused | Expanded | EventSeen | RunnerEnded | Tick | Decided
Wish = Cancelled | Paused | Resumed | Skipped | Retried
"""What persons want of a run as a whole."""

RunEvent = StepEvent | Wish

# --- effects: what to do --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartJob:
    """Start a job; answered by JobStarted and JobEnded, or Refused."""

    key: Key
    request: JobRequest


@dataclass(frozen=True, slots=True)
class CancelJob:
    """End a job; its JobEnded still comes."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Expand:
    """Say whom a target means; answered by Expanded or Refused. With `domain` also each one's value of that grain."""

    key: Key
    target: str
    kind: str
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Listen:
    """Give the events from now on whose tag matches `pattern`, as EventSeen, until Unlisten."""

    key: Key
    pattern: str


@dataclass(frozen=True, slots=True)
class Unlisten:
    """No more events for this Listen."""

    key: Key


@dataclass(frozen=True, slots=True)
class StartRunner:
    """Do something on the master, in at most `timeout` seconds; answered by RunnerEnded."""

    key: Key
    name: str
    args: tuple[Data, ...]
    kwargs: Mapping[str, Data]
    timeout: float


@dataclass(frozen=True, slots=True)
class CancelRunner:
    """Stop a runner; no RunnerEnded comes."""

    key: Key


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell what became of a step: `what` is the last part of the event's tag, `data` its data."""

    step: int
    what: Literal["started", "waiting", "ended", "baseline", "decided"]
    data: Mapping[str, Data]


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell what a person did to the run."""

    what: Literal["paused", "resumed", "cancelling", "retried"]
    data: Mapping[str, Data]


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over."""

    state: RunState


Effect = StartJob | CancelJob | Expand | Listen | Unlisten | StartRunner | CancelRunner | Tell | Announce | Finished

# --- how a step ended -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended: `result` as in a StepResult (None: a dry run, something would be done).

    `values` is what later steps may refer to, by minion; None when a dry run cannot tell. It may hold Secrets and is
    never stored.
    """

    result: bool | None
    comment: str
    changes: tuple[Change, ...] = ()
    minions: Mapping[str, MinionOutcome] = field(default_factory=dict)
    jobs: tuple[JobId, ...] = ()
    values: Mapping[str, Data] | None = field(default_factory=dict)
