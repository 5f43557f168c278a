"""One chunk's state called: its conditions, its slots, its plan, the deeds, retries, and what goes wrong."""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from protocol.assignment import Chunk
from protocol.data import Data
from protocol.errors import ArgumentError, StackmasterError, StateError
from protocol.requisites import Call, CallWatch, Decision, Listen
from protocol.results import Change, Foretold
from protocol.results import foretold as promise_of
from protocol.secrets import UNKNOWN
from protocol.target import Subject, parse
from states import conditions, registry, slots
from states.context import Context
from states.contract import Action, DeedError, Done, NoDifferenceError, Plan
from states.host.files import NOT_SHOWN

TRACE_LENGTH: Final = 4000
"""Characters kept of the end of a traceback."""

NOT_MET: Final = "Failed to meet global state conditions. State not called."

Planner = Callable[[], Plan]


@dataclass(frozen=True, slots=True)
class Habits:
    """How this host applies, whatever it is told: Salt's minion options of these names.

    failhard    the first failed state ends the run, unless it says `failhard: false` itself
    parallel    states with `parallel` that may run at once
    conditions  `*`, a family or a state -> compound targets of which one must mean this host, or it is not called
    """

    failhard: bool = False
    parallel: int = 16
    conditions: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


_NO_PATH: Final = frozenset(("mounted", "unmounted", "moved", "times"))
"""Aspects of a path that are not what lies there."""


def _performed(context: Context, action: Action) -> Data:
    """Carry out the deed; what it finds is kept when the job keeps something. Raises what the deed raises."""
    change, keeper = action.change, context.keeper
    if keeper is None:
        return action.perform()
    is_path = change.subject.startswith("/") and change.kind != "run" and change.aspect not in _NO_PATH
    visible = change.diff not in ("", NOT_SHOWN) and context.scrubber.text(change.diff) == change.diff
    return keeper.around(context.path(change.subject) if is_path else None, change, visible, action.perform)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What calling a state came to; `skipped` by its own conditions; `skip_req`: nobody shall act on its changes."""

    result: bool | None
    comment: str
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    skipped: bool = False
    skip_req: bool = False


class Calling:
    """Calls the states of chunks with `context`, which it changes from call to call; one call at a time.

    `promised` is what earlier steps of the same dry run foretell; `wait` sleeps.
    """

    def __init__(
        self, context: Context, wait: Callable[[float], None], promised: frozenset[Foretold], habits: Habits
    ) -> None:
        self._context = context
        self._deadline = context.deadline
        self._wait = wait
        self._promised = promised
        self._habits = habits
        self._made: list[Change] = []

    def apart(self) -> Calling:
        """Another that calls beside this one, with a context of its own."""
        context = replace(self._context, deadline=self._deadline)
        return Calling(context, self._wait, self._promised, self._habits)

    def carry_out(self, chunk: Chunk, decision: Decision) -> tuple[Outcome, int]:
        """The outcome of a Call, CallWatch or Listen, and how many calls it took."""
        if isinstance(decision, Listen):
            return self._retried(chunk, lambda: self._plan_watch(chunk))
        outcome, calls = self._retried(chunk, lambda: self._plan(chunk))
        if isinstance(decision, Call) and decision.remark:
            outcome = replace(outcome, comment=outcome.comment + decision.remark)
        if isinstance(decision, CallWatch) and not outcome.changes and not outcome.skipped and self._watches(chunk):
            outcome, more = self._retried(chunk, lambda: self._plan_watch(chunk))
            calls += more
        return outcome, calls

    def foretell(self, chunk: Chunk) -> Outcome:
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

    def _retried(self, chunk: Chunk, planner: Planner) -> tuple[Outcome, int]:
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

    def _once(self, chunk: Chunk, planner: Planner) -> Outcome:
        self._prepare(chunk)
        reason = conditions.skip_reason(self._context, chunk)
        if reason is not None:
            outcome = Outcome(True, reason, skipped=True)
        elif not self._allowed(chunk):
            outcome = Outcome(None, NOT_MET)
        else:
            with _umask(chunk):
                outcome = self._expected(chunk, lambda: self._planned(planner()))
        passed = conditions.check(self._context, chunk)
        if passed is None:
            return outcome
        comment = conditions.CHECK_SUCCEEDED if passed else conditions.CHECK_FAILED
        return replace(outcome, result=passed, comment=comment)

    def _allowed(self, chunk: Chunk) -> bool:
        """Whether the conditions of this host for the state, if there are any, let it be called."""
        wanted: list[str] = []
        for name in ("*", chunk.state, chunk.function):
            given = self._habits.conditions.get(name, ())
            wanted += [given] if isinstance(given, str) else list(given)
        subject = Subject(self._context.minion, self._context.grains, {})
        return not wanted or any(parse(each, "compound", {}).matches(subject) for each in wanted)

    def _plan(self, chunk: Chunk) -> Plan:
        state = registry.find_state(chunk.function, self._context.custom)
        given = slots.filled(self._context, chunk.args)
        arguments = registry.check_arguments(chunk.function, state.signature, given)
        return state.call(self._context, self._name(chunk), **arguments)

    def _name(self, chunk: Chunk) -> str:
        """What the state is about; a slot as `name` is called first. Raises ArgumentError when it gives no text."""
        name = slots.evaluated(self._context, chunk.name)
        if not isinstance(name, str):
            raise ArgumentError(f"the slot {chunk.name[:60]!r} gives no text for a name")
        return name

    def _plan_watch(self, chunk: Chunk) -> Plan:
        state = registry.find_state(chunk.function, self._context.custom)
        if state.watch is None:
            raise ArgumentError(f"{chunk.function} has nothing that it does when another state changes")
        given = slots.filled(self._context, chunk.args)
        arguments = registry.check_arguments(chunk.function, state.signature, given)
        parameters = inspect.signature(state.watch).parameters
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            arguments = {key: value for key, value in arguments.items() if key in parameters}
        return state.watch(self._context, self._name(chunk), **arguments)

    def _watches(self, chunk: Chunk) -> bool:
        try:
            return registry.find_state(chunk.function, self._context.custom).watch is not None
        except (ArgumentError, StateError):
            return False

    def _planned(self, plan: Plan) -> Outcome:
        """What a plan comes to: foretold in a dry run, else performed."""
        if isinstance(plan, Done):
            return Outcome(plan.result, plan.comment, plan.made, plan.warnings, skip_req=plan.skip_req)
        if self._context.test and plan.actions:
            return self._told_once(plan)
        comment = plan.comment
        for action in plan.actions:
            try:
                details = _performed(self._context, action)
            except NoDifferenceError as said:
                comment = said.message
                continue
            except DeedError as error:
                self._made.append(replace(action.change, details=error.details))
                return replace(self._failed(_said(error)), warnings=plan.warnings)
            self._made.append(action.change if details is None else replace(action.change, details=details))
        return Outcome(True, comment, tuple(self._made), plan.warnings)

    def _told_once(self, plan: Plan) -> Outcome:
        """What a dry run says of a plan, without what an earlier step of it promises already."""
        changes = tuple(
            change for change in plan.changes if promise_of(shown(self._context, change)) not in self._promised
        )
        if not changes:
            return Outcome(True, "an earlier step of this dry run foretells it", (), plan.warnings)
        return Outcome(plan.promised, plan.foretold or _would(changes), changes, plan.warnings)

    # --- what goes wrong --------------------------------------------------------------------------------------

    def _guarded(self, chunk: Chunk, call: Callable[[], Outcome]) -> Outcome:
        """The outcome of `call`, whatever it raises."""
        self._made = []
        try:
            return self._expected(chunk, call)
        except Exception as error:  # noqa: BLE001 - the bug of one state is that state's result, not the job's end
            trace = self._context.scrubber.text(traceback.format_exc())[-TRACE_LENGTH:]
            return self._failed(f"An exception occurred in this state: {type(error).__name__}: {error}\n{trace}")

    def _expected(self, chunk: Chunk, call: Callable[[], Outcome]) -> Outcome:
        """The outcome of `call`, or of the error that says why the host or the arguments do not allow it."""
        try:
            return call()
        except (StateError, OSError, subprocess.SubprocessError) as error:
            reason = _said(error)
            return self._unknown(chunk, reason) if self._context.assumed() else self._failed(reason)
        except StackmasterError as error:
            return self._failed(_said(error))

    def _failed(self, comment: str) -> Outcome:
        return Outcome(False, comment, tuple(self._made))

    def _unknown(self, chunk: Chunk, reason: str) -> Outcome:
        told = f"cannot be foretold until earlier changes are made: {reason}"
        return Outcome(None, told, (Change("run", chunk.name, UNKNOWN, new=told),))


def shown(context: Context, change: Change) -> Change:
    """A change without the secrets that `context` knows."""
    text, data = context.scrubber.text, context.scrubber.data
    return replace(
        change,
        subject=text(change.subject),
        old=data(change.old),
        new=data(change.new),
        diff=text(change.diff),
        details=data(change.details),
    )


@contextlib.contextmanager
def _umask(chunk: Chunk) -> Iterator[None]:
    """The process's umask as the state's `umask` option says. Raises ArgumentError for one that is none."""
    given = chunk.options.get("umask")
    if given is None:
        yield
        return
    try:
        bits = int(str(given), 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o777:
        raise ArgumentError(f"{given!r} is not a umask", help="give it in octal, in quotes, like '022'")
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


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
