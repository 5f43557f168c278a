"""An engine on a bench: chunks made by hand, minions that answer as told, a clock that is moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from master.jobs import JobOutcome, JobRequest, MinionOutcome
from master.runs.engine import Engine
from master.runs.naming import names
from master.runs.shapes import (
    Announce,
    CancelJob,
    Effect,
    Expand,
    Expanded,
    Finished,
    JobEnded,
    JobStarted,
    Key,
    Refused,
    RunEvent,
    StartJob,
    Tell,
    Tick,
)
from protocol.assignment import Chunk, Requisite
from protocol.errors import StackmasterError
from protocol.names import JobId
from protocol.results import Change, JobState, StepResult

GOOD, BAD, LOST = JobState.SUCCEEDED, JobState.FAILED, JobState.LOST


def chunk(called: str, id: str, /, *, require: Sequence[int] = (), kind: str = "require", **args: Any) -> Chunk:
    """A step; `options` among the arguments are its options, `name` its name."""
    state, _, fun = called.partition(".")
    options = args.pop("options", {})
    name = args.pop("name", id)
    requisites = (Requisite(kind, tuple(require)),) if require else ()
    return Chunk(state, fun, id, name, "s", args, options, requisites, file="s.sls", line=1)


def ended(state: JobState = GOOD, value: Any = None, reason: str = "", changed: bool | None = False) -> MinionOutcome:
    """How one minion ended; `changed` None: a dry run that would change something."""
    changes = (Change("change", "/f"),) if changed is not False else ()
    result = None if changed is None else state is GOOD
    steps = (StepResult("t", "file.managed", "id", "/f", "s", result, "said", changes),)
    return MinionOutcome(state, reason, value, steps)


@dataclass
class Bench:
    """Runs an engine over `chunks`. `answer` gives what the minions of a request come to (by minion)."""

    chunks: Sequence[Chunk]
    answer: Callable[[JobRequest], Mapping[str, MinionOutcome] | StackmasterError]
    minions: tuple[str, ...] = ("m1", "m2", "m3")
    test: bool = False
    domains: Mapping[str, str] = field(default_factory=dict)
    now: float = 1000.0
    requests: list[JobRequest] = field(default_factory=list)
    open: dict[Key, StartJob] = field(default_factory=dict)
    tells: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    cancelled: list[JobId] = field(default_factory=list)
    others: list[Effect] = field(default_factory=list)
    said: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    state: str = "running"

    def __post_init__(self) -> None:
        self.engine = Engine("run", self.chunks, names(self.chunks), test=self.test, user="u")

    def begin(self) -> Bench:
        """Start; jobs stay open until `finish` or `settle`."""
        self.take(self.engine.begin(self.now))
        return self

    def take(self, effects: Sequence[Effect]) -> None:
        """Carry out effects as far as a bench does."""
        for effect in effects:
            match effect:
                case StartJob(key, request):
                    self.requests.append(request)
                    self.open[key] = effect
                    self.hear(JobStarted(key, JobId(f"job{key.number}")))
                case Expand(key, target, _, domain):
                    minions = self.minions if target == "*" else tuple(target.split(","))
                    domains = tuple(self.domains.get(minion, "") for minion in minions) if domain else ()
                    self.hear(Expanded(key, minions, domains))
                case Tell(step, what, data):
                    self.tells.append((self.engine.name(step), what, data))
                case CancelJob(job):
                    self.cancelled.append(job)
                case Announce(what, data):
                    self.said.append((what, data))
                    self.state = "running" if what == "retried" else self.state
                case Finished(state):
                    self.state = state
                case _:
                    self.others.append(effect)

    def hear(self, event: RunEvent) -> None:
        """Feed one event."""
        self.take(self.engine.handle(event, self.now))

    def finish(self, index: int = 0) -> None:
        """The open job at `index` ends as `answer` says."""
        key = list(self.open)[index]
        effect = self.open.pop(key)
        found = self.answer(effect.request)
        if isinstance(found, StackmasterError):
            self.hear(Refused(key, found))
        else:
            self.hear(JobEnded(key, JobOutcome(JobId(f"job{key.number}"), found)))

    def settle(self, steps: int = 200) -> Bench:
        """End jobs as they come, and let time pass when nothing else is to be done."""
        for _ in range(steps):
            if self.state != "running":
                return self
            if self.open:
                self.finish()
            elif self.engine.wake is not None:
                self.now = max(self.now, self.engine.wake)
                self.hear(Tick())
            else:
                return self
        raise AssertionError("the run does not end")

    def ends(self) -> dict[str, Any]:
        """The result of each step that has ended."""
        return {step: data["result"] for step, what, data in self.tells if what == "ended"}

    def comment(self, step: str) -> str:
        """What was said at the end of a step."""
        return str(next(data["comment"] for name, what, data in self.tells if (name, what) == (step, "ended")))

    def started(self) -> list[str]:
        """The steps in the order in which they were started."""
        return list(dict.fromkeys(step for step, what, _ in self.tells if what == "started"))


def all_good(request: JobRequest) -> Mapping[str, MinionOutcome]:
    """Every minion succeeds; a function gives its name, an apply changes something."""
    ids = request.target.split(",") if request.target_kind == "list" else ["m1", "m2", "m3"]
    if request.kind == "call":
        return {id: MinionOutcome(GOOD, "", {"name": request.function}, ()) for id in ids}
    return {id: ended(changed=None if request.test else True) for id in ids}
