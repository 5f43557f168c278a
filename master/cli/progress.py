"""What a person should see of jobs and runs, built from their events alone: no clock, no terminal, no master."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from master.cli.client import Event

Tone = Literal["good", "bad", "changed", "warn", "dim"]
TERMINAL: Final = frozenset({"succeeded", "failed", "refused", "cancelled", "timed out", "lost"})
BAD: Final = frozenset({"failed", "refused", "timed out", "lost"})


@dataclass(frozen=True, slots=True)
class Notice:
    """One line worth telling when it happens; `at` in seconds since the epoch. `routine` ones only with -v."""

    at: float
    subject: str
    text: str
    tone: Tone = "dim"
    routine: bool = False


@dataclass(slots=True)
class Step:
    """One finished chunk on one minion, as the API tells it."""

    index: int
    result: Mapping[str, Any]

    @property
    def outcome(self) -> bool | None:
        """True, False, or None for a dry run that would change something."""
        given = self.result.get("result")
        return given if given is None or isinstance(given, bool) else None

    @property
    def changes(self) -> list[Mapping[str, Any]]:
        """The changes made or foretold."""
        return list(self.result.get("changes") or [])

    @property
    def duration(self) -> float:
        """Seconds it took."""
        return float(self.result.get("duration") or 0.0)

    @property
    def title(self) -> str:
        """`file.managed /etc/ceph/ceph.conf`."""
        return title(self.result)

    @property
    def place(self) -> str:
        """`ceph/conf.sls:3`, as far as known."""
        line = self.result.get("line")
        file = str(self.result.get("file") or self.result.get("sls") or "")
        return f"{file}:{line}" if file and line else file


def title(step: Mapping[str, Any]) -> str:
    """The function of a step and what it is about."""
    about = str(step.get("name") or step.get("id") or "")
    return f"{step.get('function', '')} {about}".strip()


@dataclass(slots=True)
class Minion:
    """One minion within one job. `step` is what it does now, `since` when that began (seconds since the epoch)."""

    id: str
    state: str = "pending"
    reason: str = ""
    value: Any = None
    index: int = 0
    total: int = 0
    step: str = ""
    since: float = 0.0
    steps: list[Step] = field(default_factory=list)
    failed: list[Step] = field(default_factory=list)

    def add(self, step: Step) -> None:
        """A step has ended."""
        self.steps.append(step)
        if step.outcome is False:
            self.failed.append(step)

    @property
    def terminal(self) -> bool:
        """Whether nothing more is to come from it."""
        return self.state in TERMINAL

    @property
    def changed(self) -> list[Step]:
        """Its steps that changed, or would change, something."""
        return [step for step in self.steps if step.outcome is not False and (step.changes or step.outcome is None)]


@dataclass(slots=True)
class Job:
    """One job and its minions; times in seconds since the epoch, 0 when not known yet.

    `sample` is a gate's look at something: one of many, not worth a line.
    """

    id: str
    kind: str = "call"
    function: str = ""
    sls: tuple[str, ...] = ()
    target: str = ""
    test: bool = False
    begun: float = 0.0
    ended: float = 0.0
    sample: bool = False
    minions: dict[str, Minion] = field(default_factory=dict)

    def minion(self, id: str) -> Minion:
        """The minion `id` in this job, made known when it is new."""
        return self.minions.setdefault(id, Minion(id))

    def counts(self) -> dict[str, int]:
        """How many minions are in each state."""
        counted: dict[str, int] = {}
        for minion in self.minions.values():
            counted[minion.state] = counted.get(minion.state, 0) + 1
        return counted


@dataclass(slots=True)
class RunStep:
    """One step of an orchestration.

    `state` is waiting, running, succeeded, failed, would (a dry run: something would be done), skipped (not needed) or
    blocked (not run, because something it needs has failed).
    """

    id: str
    function: str = ""
    state: str = "waiting"
    reason: str = ""
    comment: str = ""
    job: str = ""
    jobs: tuple[str, ...] = ()
    minions: Mapping[str, Any] = field(default_factory=dict)
    begun: float = 0.0
    duration: float = 0.0
    require: tuple[str, ...] = ()
    changes: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class Run:
    """One orchestration; `state` is running, paused, succeeded, failed or cancelled."""

    id: str
    sls: tuple[str, ...] = ()
    test: bool = False
    state: str = "running"
    begun: float = 0.0
    ended: float = 0.0
    steps: dict[str, RunStep] = field(default_factory=dict)

    def step(self, id: str) -> RunStep:
        """The step `id`, made known when it is new."""
        return self.steps.setdefault(id, RunStep(id))


@dataclass(slots=True)
class Progress:
    """Everything seen so far of one job, or of one run and its jobs."""

    jobs: dict[str, Job] = field(default_factory=dict)
    run: Run | None = None
    now: float = 0.0

    def feed(self, event: Event) -> list[Notice]:
        """Take one event in; gives what is worth a line of its own. Events of other kinds change nothing."""
        self.now = max(self.now, event.at)
        parts = event.tag.split("/")
        if parts[0] == "job" and len(parts) >= 3:
            return list(self._job(self.jobs.setdefault(parts[1], Job(parts[1])), parts[2:], event))
        if parts[0] == "run" and len(parts) >= 3:
            self.run = self.run or Run(parts[1])
            return list(self._run(self.run, parts[2:], event))
        return []

    # --- jobs -------------------------------------------------------------------------------------------------

    def _job(self, job: Job, rest: list[str], event: Event) -> Iterator[Notice]:
        data = event.data
        if rest == ["new"]:
            job.kind = str(data.get("kind") or "call")
            job.function = str(data.get("function") or "")
            job.sls = tuple(map(str, data.get("sls") or ()))
            job.target = str(data.get("target") or "")
            job.test = bool(data.get("test"))
            job.begun = event.at
            job.sample = self._is_sample(str(data.get("cause") or ""))
            for id in data.get("minions") or ():
                job.minion(str(id))
        elif rest == ["ended"]:
            job.ended = event.at
            if job.sample:
                self.jobs.pop(job.id, None)
            for id, state in (data.get("states") or {}).items():
                job.minion(str(id)).state = str(state)
        elif len(rest) >= 3 and rest[0] == "minion":
            yield from self._minion(job, job.minion(rest[1]), rest[2:], event)

    def _is_sample(self, cause: str) -> bool:
        """Whether a job with this cause (`run/step/number`) is a gate's."""
        step = cause.split("/")[1] if cause.count("/") >= 2 else ""
        known = self.run.steps.get(step) if self.run is not None else None
        return known is not None and known.function in ("gate.until", "gate.baseline")

    def _minion(self, job: Job, minion: Minion, rest: list[str], event: Event) -> Iterator[Notice]:
        data = event.data
        if rest == ["state"]:
            minion.state = str(data.get("state") or minion.state)
            minion.reason = str(data.get("reason") or "")
            minion.value = data.get("value", minion.value)
            if minion.terminal:
                minion.step = ""
            if not job.sample:
                yield _state_notice(minion, event.at)
        elif rest == ["step", "started"]:
            minion.state = "running"
            minion.index = int(data.get("index") or 0)
            minion.total = int(data.get("total") or 0)
            minion.step = title(data)
            minion.since = event.at
        elif rest == ["step", "ended"]:
            step = Step(int(data.get("index") or 0), data.get("result") or {})
            minion.add(step)
            minion.step = ""
            yield _step_notice(job, minion, step, event.at)

    # --- runs -------------------------------------------------------------------------------------------------

    def _run(self, run: Run, rest: list[str], event: Event) -> Iterator[Notice]:
        data = event.data
        if rest == ["new"]:
            sls = data.get("sls") or ()
            run.sls = (sls,) if isinstance(sls, str) else tuple(map(str, sls))
            run.test = bool(data.get("test"))
            run.begun = event.at
            for declared in data.get("steps") or ():
                step = run.step(str(declared.get("id")))
                step.function = str(declared.get("function") or "")
                step.require = tuple(map(str, declared.get("require") or ()))
        elif rest == ["ended"]:
            run.state = str(data.get("state") or "failed")
            run.ended = event.at
            yield Notice(event.at, "run", run.state, "good" if run.state == "succeeded" else "bad")
        elif len(rest) == 1:
            yield from self._run_steered(run, rest[0], event)
        elif len(rest) == 3 and rest[0] == "step":
            yield from self._run_step(run.step(rest[1]), rest[2], event)

    def _run_steered(self, run: Run, what: str, event: Event) -> Iterator[Notice]:
        """What a person did to the run."""
        run.state = "paused" if what == "paused" else "running"
        if what == "retried":
            run.ended = 0.0
            for name in map(str, event.data.get("steps") or ()):
                known = run.step(name)
                run.steps[name] = RunStep(name, function=known.function, require=known.require)
        yield Notice(event.at, "run", f"{what} by {event.data.get('user') or 'somebody'}", "warn")

    def _run_step(self, step: RunStep, what: str, event: Event) -> Iterator[Notice]:
        data = event.data
        if what == "started":
            step.state = "running"
            step.begun = step.begun or event.at
            step.function = str(data.get("function") or step.function)
            step.job = str(data.get("job") or step.job)
            yield Notice(event.at, step.id, f"started {step.function}".strip(), routine=step.job != "")
        elif what == "waiting":
            step.state = "running"
            step.begun = step.begun or event.at
            step.reason = str(data.get("reason") or "")
            yield Notice(event.at, step.id, f"waits: {step.reason}", "warn")
        elif what == "decided":
            word = "approved" if data.get("granted") else "denied"
            yield Notice(event.at, step.id, f"{word} by {data.get('user')}", "warn")
        elif what == "ended":
            step.comment = str(data.get("comment") or "")
            step.reason = ""
            step.job = str(data.get("job") or step.job)
            step.jobs = tuple(map(str, data.get("jobs") or ([step.job] if step.job else ())))
            step.minions = data.get("minions") or {}
            step.changes = tuple(data.get("changes") or ())
            step.duration = float(data.get("duration") or 0.0)
            step.state = _run_step_state(data)
            yield Notice(event.at, step.id, f"{step.state}: {step.comment}", _TONES.get(step.state, "dim"))


_TONES: Final[Mapping[str, Tone]] = {
    "succeeded": "good", "failed": "bad", "refused": "bad", "timed out": "bad", "lost": "bad", "cancelled": "warn",
    "would": "changed", "blocked": "warn",
}  # fmt: skip


def _run_step_state(data: Mapping[str, Any]) -> str:
    result = data.get("result")
    if result is None:
        return "would"
    if data.get("ran") is False:
        return "skipped" if result else "blocked"
    return "succeeded" if result else "failed"


def _state_notice(minion: Minion, at: float) -> Notice:
    text = minion.state + (f": {minion.reason}" if minion.reason else "")
    return Notice(at, minion.id, text, _TONES.get(minion.state, "dim"), routine=minion.state not in BAD)


def _step_notice(job: Job, minion: Minion, step: Step, at: float) -> Notice:
    place = f"{step.index + 1}/{minion.total} {step.title}" if minion.total else step.title
    seconds = f" ({step.duration:.1f} s)"
    if step.outcome is False:
        comment = str(step.result.get("comment") or "failed").strip().split("\n")[0]
        return Notice(at, minion.id, f"{place} FAILED: {comment}{seconds}", "bad")
    if step.changes or step.outcome is None:
        word = "would change" if job.test or step.outcome is None else "changed"
        return Notice(at, minion.id, f"{place} {word}{seconds}", "changed", routine=job.test)
    return Notice(at, minion.id, f"{place} as wanted{seconds}", routine=True)
