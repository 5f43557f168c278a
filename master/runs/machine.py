"""What every kind of step is to the engine: a small machine that is begun, hears events, and has an outcome at last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from master.jobs import JobRequest, MinionOutcome
from master.runs.shapes import Effect, Key, StartJob, StepEvent, StepOutcome
from protocol.results import Foretold

if TYPE_CHECKING:
    from protocol.data import Data


class Machine(Protocol):
    """One step under way. `now` is in seconds since the epoch throughout."""

    outcome: StepOutcome | None
    """How it ended; None while it goes on."""

    wake: float | None
    """When it wants to hear a Tick; None when only other events matter."""

    def begin(self, now: float) -> list[Effect]:
        """Start."""
        ...

    def handle(self, event: StepEvent, now: float) -> list[Effect]:
        """Something happened that it asked for, or time has passed."""
        ...

    def stop(self, now: float) -> list[Effect]:
        """The run is cancelled: end soon, with an outcome."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What a machine must know of its run.

    `key` gives a new key for an effect of this step. `test` is a dry run, `pending` that an earlier step of it
    foretells changes, and `foretold` which ones, by minion. `cause` (run and step) and `user` go into each job. While
    `paused` no further minion of a batch begins. `done` are the minions on which an earlier attempt of the run
    succeeded and that are not asked again. `was` is what a gate compares with, by minion.
    """

    key: Callable[[], Key]
    test: bool
    pending: bool
    foretold: Mapping[str, tuple[Foretold, ...]]
    user: str
    cause: str
    paused: Callable[[], bool] = lambda: False
    done: Mapping[str, MinionOutcome] = field(default_factory=dict)
    was: Mapping[str, Data] = field(default_factory=dict)

    def start(self, key: Key, request: JobRequest) -> StartJob:
        """The effect that starts a job, whose cause names the run, the step and the effect."""
        return StartJob(key, replace(request, cause=f"{self.cause}/{key.number}", user=self.user))

    def call(self, args: Mapping[str, Data], function: str, timeout: float) -> JobRequest:
        """The request that calls `function` on the targets that the arguments of a step name."""
        target, kind = target_of(args)
        arg = args.get("arg")
        given = arg if isinstance(arg, list | tuple) else [] if arg is None else [arg]
        kwarg = args.get("kwarg")
        return JobRequest(
            target, kind, "call", function, tuple(given), kwarg if isinstance(kwarg, Mapping) else {},
            timeout=timeout,
        )  # fmt: skip


def target_of(args: Mapping[str, Data]) -> tuple[str, str]:
    """The target expression and its kind in the arguments of a step; a list of ids is the kind `list`."""
    target, kind = args.get("tgt", ""), str(args.get("tgt_type") or "compound")
    if isinstance(target, list | tuple):
        return ",".join(map(str, target)), "list"
    return str(target), kind


def texts(value: Data) -> tuple[str, ...]:
    """One name, `a,b`, or a list of names."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return tuple(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, bytes) else ()


def number(value: Data, default: float) -> float:
    """A number among the arguments of a step, or `default`."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
