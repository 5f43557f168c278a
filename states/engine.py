"""Carries out an assignment on this host: each chunk in its turn is looked at, planned, performed, and told of."""

from __future__ import annotations

import inspect
import random
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from protocol.assignment import Assignment, Chunk
from protocol.errors import ArgumentError, StackmasterError, StateError
from protocol.requisites import CallWatch, Decision, Fail, Listen, Pretest, Skip, Walk, not_called
from protocol.results import Change, Foretold, Progress, StepEnded, StepResult, StepStarted
from protocol.results import foretold as promise_of
from protocol.secrets import UNKNOWN
from states import conditions, registry
from states.context import Context
from states.contract import DeedError, Done, NoDifferenceError, Plan

NOTHING_DONE: Final[Mapping[int, StepResult]] = MappingProxyType({})
TRACE_LENGTH: Final = 4000
"""Characters kept of the end of a traceback."""

Emit = Callable[[Progress], None]
Planner = Callable[[], Plan]


def apply(
    assignment: Assignment,
    context: Context,
    emit: Emit,
    *,
    test: bool = False,
    foretold: Sequence[Foretold] = (),
    done: Mapping[int, StepResult] = NOTHING_DONE,
    wait: Callable[[float], None] = time.sleep,
) -> list[StepResult]:
    """Make the host what `assignment` says (with `test`: only foretell) and give all results as they were finished.

    `emit` gets StepStarted when a state is called and StepEnded for every chunk, nothing with secrets in it.
    `foretold` is what earlier steps of the same dry run promise: it is not told again.
    `done` holds results by position from an earlier life of the same job: these chunks are not called again.
    `wait` sleeps between the attempts of a `retry`. Whatever a state raises becomes its result; what `emit` raises
    comes through.
    """
    context = replace(context, test=test, made={promise.subject for promise in foretold if promise.kind == "create"})
    if assignment.custom is not None:
        from states.custom.loader import load

        context.custom = load(assignment.custom, context)
    return _Engine(assignment, context, emit, wait, frozenset(foretold)).run(done)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What calling a state came to; `skipped` by its own conditions."""

    result: bool | None
    comment: str
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    skipped: bool = False


class _Engine:
    def __init__(
        self,
        assignment: Assignment,
        context: Context,
        emit: Emit,
        wait: Callable[[float], None],
        promised: frozenset[Foretold],
    ) -> None:
        self._chunks = assignment.chunks
        self._context = context
        self._deadline = context.deadline
        self._emit = emit
        self._wait = wait
        self._walk = Walk(assignment.chunks, test=context.test)
        self._made: list[Change] = []
        self._promised = promised
        context.scrubber.add(assignment.secrets)

    def run(self, done: Mapping[int, StepResult]) -> list[StepResult]:
        for position, result in done.items():
            self._walk.resumed(position, result)
            self._note(result)
        while (step := self._walk.next()) is not None:
            self._step(*step)
        return self._walk.results

    def _step(self, position: int, decision: Decision) -> None:
        shown = self._walk.chunk(position)
        started = time.time()
        if isinstance(decision, Skip | Fail):
            self._end(position, self._scrubbed(not_called(shown, decision, started)), 1)
            return
        chunk = self._chunks[position % len(self._chunks)]
        self._walk.started(position)
        if isinstance(decision, Pretest):
            self._walk.tested(position, self._result(shown, self._foretell(chunk), started))
            return
        text = self._context.scrubber.text
        names = (text(shown.tag), shown.function, text(shown.id), text(shown.name))
        self._emit(StepStarted(position, *names, len(self._chunks), started))
        outcome, calls = self._carry_out(chunk, decision)
        self._end(position, self._result(shown, outcome, started), calls)

    def _end(self, position: int, result: StepResult, calls: int) -> None:
        numbered = self._walk.finished(position, result, calls=calls)
        self._note(numbered)
        self._emit(StepEnded(position, numbered))

    def _note(self, result: StepResult) -> None:
        """In a dry run, what is foretold to change makes what comes later uncertain."""
        if not self._context.test:
            return
        if result.changes or result.result is None:
            self._context.pending = True
        for change in result.changes:
            if change.kind == "create":
                self._context.made.add(change.subject)
            elif change.kind == "remove":
                self._context.made.discard(change.subject)

    # --- calling a state --------------------------------------------------------------------------------------

    def _carry_out(self, chunk: Chunk, decision: Decision) -> tuple[_Outcome, int]:
        """The outcome of a Call, CallWatch or Listen, and how many calls it took."""
        if isinstance(decision, Listen):
            return self._retried(chunk, lambda: self._plan_watch(chunk))
        outcome, calls = self._retried(chunk, lambda: self._plan(chunk))
        if isinstance(decision, CallWatch) and not outcome.changes and not outcome.skipped and self._watches(chunk):
            outcome, more = self._retried(chunk, lambda: self._plan_watch(chunk))
            calls += more
        return outcome, calls

    def _foretell(self, chunk: Chunk) -> _Outcome:
        """What a dry run of `chunk` gives, for a prereq."""
        before = self._context.test
        self._context.test = True
        try:
            return self._guarded(chunk, lambda: self._once(chunk, lambda: self._plan(chunk)))
        finally:
            self._context.test = before

    def _prepare(self, chunk: Chunk) -> None:
        """Give the state its files and its own deadline. Raises ArgumentError for a timeout that is no time."""
        timeout = chunk.options.get("timeout")
        if timeout is None:
            timeout = self._deadline
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise ArgumentError(f"timeout must be seconds, not {timeout!r}", help="write a number like 30")
        self._context.deadline = float(timeout)
        self._context.sources = chunk.sources

    def _retried(self, chunk: Chunk, planner: Planner) -> tuple[_Outcome, int]:
        """Call until the result is as wanted or the attempts are used up; all their comments, the last result."""
        retry = conditions.retry(chunk.options.get("retry"))
        until = None if retry.deadline is None else time.monotonic() + retry.deadline
        told: list[str] = []
        for attempt in range(1, max(1, retry.attempts) + 1):
            outcome = self._guarded(chunk, lambda: self._once(chunk, planner))
            if self._context.test and "retry" in chunk.options:
                return replace(outcome, comment=f"{outcome.comment}  {retry.foretold}"), attempt
            pause = retry.interval + (random.uniform(0, retry.splay) if retry.splay else 0)
            late = until is not None and time.monotonic() + pause > until
            if outcome.result is retry.until or attempt >= retry.attempts or late:
                break
            said = f'with the following comment: "{outcome.comment}"'
            told.append(f'Attempt {attempt}: Returned a result of "{outcome.result}", {said}')
            self._wait(pause)
        return replace(outcome, comment="\n".join([*told, outcome.comment])), attempt

    def _once(self, chunk: Chunk, planner: Planner) -> _Outcome:
        self._prepare(chunk)
        reason = conditions.skip_reason(self._context, chunk)
        if reason is not None:
            outcome = _Outcome(True, reason, skipped=True)
        else:
            outcome = self._expected(chunk, lambda: self._planned(planner()))
        passed = conditions.check(self._context, chunk)
        if passed is None:
            return outcome
        comment = conditions.CHECK_SUCCEEDED if passed else conditions.CHECK_FAILED
        return replace(outcome, result=passed, comment=comment)

    def _plan(self, chunk: Chunk) -> Plan:
        state = registry.find_state(chunk.function, self._context.custom)
        arguments = registry.check_arguments(chunk.function, state.signature, chunk.args)
        return state.call(self._context, chunk.name, **arguments)

    def _plan_watch(self, chunk: Chunk) -> Plan:
        state = registry.find_state(chunk.function, self._context.custom)
        if state.watch is None:
            raise ArgumentError(f"{chunk.function} has nothing that it does when another state changes")
        arguments = registry.check_arguments(chunk.function, state.signature, chunk.args)
        parameters = inspect.signature(state.watch).parameters
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            arguments = {key: value for key, value in arguments.items() if key in parameters}
        return state.watch(self._context, chunk.name, **arguments)

    def _watches(self, chunk: Chunk) -> bool:
        try:
            return registry.find_state(chunk.function, self._context.custom).watch is not None
        except (ArgumentError, StateError):
            return False

    def _planned(self, plan: Plan) -> _Outcome:
        """What a plan comes to: foretold in a dry run, else performed."""
        if isinstance(plan, Done):
            return _Outcome(plan.result, plan.comment, plan.made, plan.warnings)
        if self._context.test and plan.actions:
            return self._told_once(plan)
        comment = plan.comment
        for action in plan.actions:
            try:
                details = action.perform()
            except NoDifferenceError as said:
                comment = said.message
                continue
            except DeedError as error:
                self._made.append(replace(action.change, details=error.details))
                return replace(self._failed(_said(error)), warnings=plan.warnings)
            self._made.append(action.change if details is None else replace(action.change, details=details))
        return _Outcome(True, comment, tuple(self._made), plan.warnings)

    def _told_once(self, plan: Plan) -> _Outcome:
        """What a dry run says of a plan, without what an earlier step of it promises already."""
        changes = tuple(change for change in plan.changes if promise_of(self._shown(change)) not in self._promised)
        if not changes:
            return _Outcome(True, "an earlier step of this dry run foretells it", (), plan.warnings)
        return _Outcome(plan.promised, plan.foretold or _would(changes), changes, plan.warnings)

    # --- what goes wrong --------------------------------------------------------------------------------------

    def _guarded(self, chunk: Chunk, call: Callable[[], _Outcome]) -> _Outcome:
        """The outcome of `call`, whatever it raises."""
        self._made = []
        try:
            return self._expected(chunk, call)
        except Exception as error:  # noqa: BLE001 - the bug of one state is that state's result, not the job's end
            trace = traceback.format_exc()[-TRACE_LENGTH:]
            return self._failed(f"An exception occurred in this state: {type(error).__name__}: {error}\n{trace}")

    def _expected(self, chunk: Chunk, call: Callable[[], _Outcome]) -> _Outcome:
        """The outcome of `call`, or of the error that says why the host or the arguments do not allow it."""
        try:
            return call()
        except (StateError, OSError, subprocess.SubprocessError) as error:
            reason = _said(error)
            return self._unknown(chunk, reason) if self._context.assumed() else self._failed(reason)
        except StackmasterError as error:
            return self._failed(_said(error))

    def _failed(self, comment: str) -> _Outcome:
        return _Outcome(False, comment, tuple(self._made))

    def _unknown(self, chunk: Chunk, reason: str) -> _Outcome:
        told = f"cannot be foretold until earlier changes are made: {reason}"
        return _Outcome(None, told, (Change("run", chunk.name, UNKNOWN, new=told),))

    # --- telling ----------------------------------------------------------------------------------------------

    def _result(self, chunk: Chunk, outcome: _Outcome, started: float) -> StepResult:
        return self._scrubbed(
            StepResult(
                tag=chunk.tag,
                function=chunk.function,
                id=chunk.id,
                name=chunk.name,
                sls=chunk.sls,
                result=outcome.result,
                comment=outcome.comment,
                changes=outcome.changes,
                started=started,
                duration=max(0.0, time.time() - started),
                warnings=outcome.warnings,
                file=chunk.file,
                line=chunk.line,
            )
        )

    def _scrubbed(self, result: StepResult) -> StepResult:
        text = self._context.scrubber.text
        return replace(
            result,
            tag=text(result.tag),
            id=text(result.id),
            name=text(result.name),
            comment=text(result.comment),
            warnings=tuple(map(text, result.warnings)),
            changes=tuple(map(self._shown, result.changes)),
        )

    def _shown(self, change: Change) -> Change:
        """A change without secrets."""
        text, data = self._context.scrubber.text, self._context.scrubber.data
        return replace(
            change,
            subject=text(change.subject),
            old=data(change.old),
            new=data(change.new),
            diff=text(change.diff),
            details=data(change.details),
        )


def _said(error: Exception) -> str:
    """An error as a comment: what happened and what to do."""
    if isinstance(error, StackmasterError):
        return f"{error.message} ({error.help})" if error.help else error.message
    return f"{type(error).__name__}: {error}"


_WOULD: Final = {"create": "be created", "change": "be changed", "remove": "be removed", "restart": "be restarted"}


def _would(changes: Sequence[Change]) -> str:
    """What a dry run says of changes that their state has no words for."""
    told = dict.fromkeys(f"{change.subject} would {_WOULD.get(change.kind, 'be run')}" for change in changes)
    return "\n".join(told)
