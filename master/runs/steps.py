"""How each kind of step turns its arguments into a machine, what of it is checked before a run, and its dry run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from master.jobs import JobRequest, MinionOutcome
from master.runs.approval import PATIENCE, ApprovalStep
from master.runs.backoff import check_retry
from master.runs.baseline import baseline
from master.runs.batches import Batches, batches_of, check_size
from master.runs.course import check_course
from master.runs.gate import Doubt, GateStep, Terms, unless
from master.runs.jobstep import JobStep
from master.runs.machine import Machine, Setting, number, target_of, texts
from master.runs.shapes import Effect, StepEvent, StepOutcome
from master.runs.verdicts import changes, expectations, judge
from master.runs.waiting import EventStep, Runner, RunnerStep
from protocol import expression
from protocol.assignment import Chunk
from protocol.errors import ArgumentError, InputError, SlsError, Where
from protocol.results import Change, JobState
from states import registry

if TYPE_CHECKING:
    from protocol.data import Data

JOB_TIMEOUT: Final = 3600.0
"""Seconds for a job of a step that sets no timeout."""

RUNNERS: Final[Mapping[str, tuple[str, ...]]] = {
    "test.sleep": ("seconds",),
    "event.send": ("tag", "data"),
    "manage.up": (),
    "manage.down": (),
    "state.orchestrate": ("mods", "pillar", "saltenv", "test"),
}
"""The closed set of runners and their arguments."""

_ALIASES: Final = {"state.orch": "state.orchestrate", "state.sls": "state.orchestrate"}
_OPTIONS: Final = frozenset(
    {"failhard", "parallel", "order", "retry", "aggregate", "no_log", "saltenv", "timeout", "cleanup", "on_failure"}
)


@dataclass(slots=True)
class Ended:
    """A machine that has ended before it began."""

    outcome: StepOutcome | None
    wake: float | None = None

    def begin(self, now: float) -> list[Effect]:
        """Nothing to do."""
        return []

    def handle(self, event: StepEvent, now: float) -> list[Effect]:
        """Nothing to hear."""
        return []

    def stop(self, now: float) -> list[Effect]:
        """Nothing to stop."""
        return []


def check(chunks: Sequence[Chunk]) -> None:
    """Check of every step what can be checked before anything is done. Raises SlsError with its place."""
    for chunk in chunks:
        try:
            _check(chunk)
            check_course(chunks, chunk)
        except InputError as error:
            where = Where(chunk.file or chunk.sls, chunk.line, step=chunk.id)
            raise SlsError(error.message, where=where, help=error.help) from None


def _check(chunk: Chunk) -> None:
    strange = sorted(chunk.options.keys() - _OPTIONS)
    if strange:
        raise ArgumentError(f"a step of an orchestration takes no {strange[0]!r}", help="use requisites or a gate")
    if chunk.function == "salt.function":
        registry.find_function(chunk.name)
    elif chunk.function == "gate.until":
        registry.find_function(str(chunk.args.get("function")))
        expression.parse(_condition(chunk.args))
    elif chunk.function == "gate.baseline":
        registry.find_function(str(chunk.args.get("function")))
        baseline(chunk.args)
        _check_known_at_once(chunk)
    elif chunk.function == "salt.runner":
        runner(chunk.name, chunk.args)
    elif chunk.function == "salt.parallel_runners":
        parallel(chunk.args)
    check_retry(chunk.options.get("retry"))
    check_size("subset", chunk.args.get("subset"))
    batches_of(chunk.args)


def _check_known_at_once(chunk: Chunk) -> None:
    """The arguments of a baseline are needed before any step has given anything."""
    if "${steps." in repr(dict(chunk.args)):
        help = "its values are taken when the run begins; name target and arguments as they are"
        raise ArgumentError("a gate.baseline cannot use what steps gave", help=help)


def machine(chunk: Chunk, args: Mapping[str, Data], setting: Setting) -> Machine:
    """The machine for one step with its resolved `args`. Raises InputError."""
    builders: dict[str, Callable[[Chunk, Mapping[str, Data], Setting], Machine]] = {
        "salt.state": _state,
        "salt.function": _function,
        "salt.wait_for_event": _event,
        "salt.runner": lambda chunk, args, setting: _runners(chunk, {"": runner(chunk.name, args)}, setting),
        "salt.parallel_runners": lambda chunk, args, setting: _runners(chunk, parallel(args), setting),
        "gate.until": lambda chunk, args, setting: _gate(args, setting),
        "gate.baseline": lambda chunk, args, setting: _baseline(args, setting),
        "approve.wait": _approval,
    }
    build = builders.get(chunk.function)
    if build is None:
        raise ArgumentError(
            f"there is no orchestration state {chunk.function!r}", help=f"there is {', '.join(builders)}"
        )
    return build(chunk, args, setting)


# --- salt.state -----------------------------------------------------------------------------------------------


def _state(chunk: Chunk, args: Mapping[str, Data], setting: Setting) -> Machine:
    expected = expectations(args)
    test = setting.test or args.get("test") is True
    target, kind = target_of(args)
    pillar = args.get("pillar")
    request = JobRequest(
        target, kind, "apply", sls=texts(args.get("sls")), environment=str(args.get("saltenv") or "base"),
        pillar=pillar if isinstance(pillar, Mapping) else {}, test=test, pending=test and setting.pending,
        foretold=setting.foretold if test else {},
        timeout=number(args.get("timeout"), JOB_TIMEOUT),
    )  # fmt: skip

    def conclude(minions: Mapping[str, MinionOutcome], left_out: tuple[str, ...]) -> StepOutcome:
        good, comment = judge(expected, minions, left_out)
        found = changes(minions)
        if good and test and found:
            return StepOutcome(None, f"would change {len(found)} of {len(minions)} minions", found, values=_of(minions))
        return StepOutcome(good, comment, found, values=_of(minions))

    return JobStep(
        setting, request, expected, conclude, _batches(args, setting), check_size("subset", args.get("subset"))
    )


def _batches(args: Mapping[str, Data], setting: Setting) -> Batches | None:
    """The batches of a step; a dry run needs none."""
    return None if setting.test else batches_of(args)


def _of(minions: Mapping[str, MinionOutcome]) -> dict[str, Data]:
    """What later steps can refer to of an apply: the states of each minion by id."""
    return {
        minion: {
            step.id: {"result": step.result, "comment": step.comment, "changed": bool(step.changes)}
            for step in ended.steps
        }
        for minion, ended in minions.items()
    }


# --- salt.function --------------------------------------------------------------------------------------------


def _function(chunk: Chunk, args: Mapping[str, Data], setting: Setting) -> Machine:
    expected = expectations(args)
    reads = registry.find_function(chunk.name).access == "reads"
    request = setting.call(args, chunk.name, number(args.get("timeout"), JOB_TIMEOUT))
    run = Change("run", f"{chunk.name} on {request.target}")
    if setting.test and not reads:
        return Ended(StepOutcome(None, f"would run {chunk.name} on {request.target}", (run,), values=None))

    def conclude(minions: Mapping[str, MinionOutcome], left_out: tuple[str, ...]) -> StepOutcome:
        good, comment = judge(expected, minions, left_out)
        values = {minion: ended.value for minion, ended in minions.items() if ended.state is JobState.SUCCEEDED}
        return StepOutcome(good, comment, () if reads or not values else (run,), values=values)

    return JobStep(setting, request, expected, conclude, _batches(args, setting))


def forgiven(chunk: Chunk, setting: Setting, outcome: StepOutcome) -> StepOutcome:
    """`outcome`, save that a read which fails in a dry run after foretold changes does not count as a failure."""
    if not (setting.test and setting.pending and chunk.function == "salt.function" and outcome.result is False):
        return outcome
    comment = f"cannot be read before the steps before it are done: {outcome.comment}"
    return replace(outcome, result=True, comment=comment, changes=(), values=None)


# --- the others -----------------------------------------------------------------------------------------------


def _gate(args: Mapping[str, Data], setting: Setting) -> Machine:
    text = _condition(args)
    return _gated(args, setting, _terms(args, text, unless(expression.parse(text))), f"would wait until {text}")


def _baseline(args: Mapping[str, Data], setting: Setting) -> Machine:
    compared = baseline(args)

    def doubt(minion: str, value: Data) -> str:
        if minion not in setting.was:
            return "it was not there when the run began"
        return compared.culprits(setting.was[minion], value)

    told = f"would wait until no worse than when the run began: {compared.text}"
    return _gated(args, setting, _terms(args, f"no worse than when the run began: {compared.text}", doubt), told)


def _gated(args: Mapping[str, Data], setting: Setting, terms: Terms, told: str) -> Machine:
    request = setting.call(args, str(args.get("function")), terms.timeout)
    if setting.test:
        return Ended(StepOutcome(None, f"{told} ({terms.timeout:g} s at most)", values=None))
    return GateStep(setting, request, terms)


def _terms(args: Mapping[str, Data], text: str, doubt: Doubt) -> Terms:
    return Terms(
        text,
        doubt,
        samples=max(1, int(number(args.get("samples"), 1))),
        interval=max(0.05, number(args.get("interval"), 1.0)),
        timeout=number(args.get("timeout"), 300.0),
        any_minion=args.get("any_minion") is True,
        hold=max(0.0, number(args.get("hold"), 0.0)),
    )


def _approval(chunk: Chunk, args: Mapping[str, Data], setting: Setting) -> Machine:
    message, timeout = str(args.get("message") or chunk.id), number(args.get("timeout"), PATIENCE)
    if setting.test:
        comment = f"would wait for approval: {message} ({timeout:g} s at most)"
        return Ended(StepOutcome(None, comment, values=None))
    return ApprovalStep(setting, message, texts(args.get("by")), timeout)


def _condition(args: Mapping[str, Data]) -> str:
    condition = args.get("condition")
    if not isinstance(condition, str) or not condition.strip():
        raise ArgumentError("'condition' must be an expression", help='for example: health == "HEALTH_OK"')
    return condition.strip()


def _event(chunk: Chunk, args: Mapping[str, Data], setting: Setting) -> Machine:
    ids = texts(args.get("id_list"))
    timeout = number(args.get("timeout"), 300.0)
    if setting.test:
        comment = f"would wait for the event {chunk.name} from {', '.join(ids)} ({timeout:g} s at most)"
        return Ended(StepOutcome(None, comment, values=None))
    return EventStep(setting, chunk.name, ids, str(args.get("event_id") or "id"), timeout)


def _runners(chunk: Chunk, runners: Mapping[str, Runner], setting: Setting) -> Machine:
    if setting.test:
        names = ", ".join(one.name for one in runners.values())
        found = tuple(Change("run", one.name) for one in runners.values())
        return Ended(StepOutcome(None, f"would run {names} on the master", found, values=None))
    return RunnerStep(setting, runners, number(chunk.options.get("timeout"), JOB_TIMEOUT))


def runner(name: str, args: Mapping[str, Data]) -> Runner:
    """The runner that a salt.runner step means; arguments beside arg and kwarg are its own. Raises ArgumentError."""
    name = _ALIASES.get(name, name)
    known = RUNNERS.get(name)
    if known is None:
        raise ArgumentError(f"there is no runner {name!r}", help=f"there is {', '.join(RUNNERS)}")
    arg, kwarg = args.get("arg"), args.get("kwarg")
    given = list(arg) if isinstance(arg, list | tuple) else [] if arg is None else [arg]
    more = {key: value for key, value in args.items() if key not in ("arg", "kwarg", "name")}
    kwargs = {**more, **(kwarg if isinstance(kwarg, Mapping) else {})}
    strange = sorted(kwargs.keys() - set(known))
    if strange or len(given) > len(known):
        what = repr(strange[0]) if strange else f"{len(given)} arguments"
        raise ArgumentError(f"the runner {name} does not take {what}", help=f"it takes {', '.join(known) or 'nothing'}")
    return Runner(name, (), {**dict(zip(known, given, strict=False)), **kwargs})


def parallel(args: Mapping[str, Data]) -> dict[str, Runner]:
    """The runners of a salt.parallel_runners step by label. Raises ArgumentError."""
    given = args.get("runners")
    pairs: list[tuple[str, Data]] = []
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, list | tuple):
        pairs = [(key, one) for item in given if isinstance(item, Mapping) for key, one in item.items()]
    found: dict[str, Runner] = {}
    for label, body in pairs:
        parts = _merged(body)
        found[label] = runner(str(parts.pop("name", label)), parts)
    if not found:
        raise ArgumentError("'runners' names no runner", help="runners: {label: [{name: state.orchestrate}, …]}")
    return found


def _merged(body: Data) -> dict[str, Data]:
    """A mapping, or a list of mappings as SLS writes arguments, as one mapping."""
    if isinstance(body, Mapping):
        return dict(body)
    merged: dict[str, Data] = {}
    for item in body if isinstance(body, list | tuple) else ():
        if isinstance(item, Mapping):
            merged.update(item)
    return merged
