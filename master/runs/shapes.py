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
    """The minions that an Expand means, sorted; empty when it means nobody."""

    key: Key
    minions: tuple[str, ...]


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
    """A person wants the run to stop."""

    user: str


StepEvent = JobStarted | JobEnded | Refused | Expanded | EventSeen | RunnerEnded | Tick
RunEvent = StepEvent | Cancelled

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
    """Say whom a target means; answered by Expanded or Refused."""

    key: Key
    target: str
    kind: str


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
    """Tell what became of a step: `what` is started, waiting or ended; `data` as in the event of that name."""

    step: int
    what: Literal["started", "waiting", "ended"]
    data: Mapping[str, Data]


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over."""

    state: RunState


Effect = StartJob | CancelJob | Expand | Listen | Unlisten | StartRunner | CancelRunner | Tell | Finished

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
