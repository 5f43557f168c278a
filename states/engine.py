"""Carries out an assignment on this host: which chunk is called when, beside which others, and what is told of it."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from protocol.assignment import Assignment, Chunk, Custom
from protocol.data import Data
from protocol.errors import StateError
from protocol.requisites import Decision, Fail, Pretest, Skip, Walk, not_called
from protocol.results import Change, Foretold, Progress, StepEnded, StepResult, StepStarted
from protocol.secrets import MASK
from states import declarations
from states.calling import Calling, Habits, Outcome, shown
from states.context import Context
from states.host.grains import gather

__all__ = ["NOTHING_DONE", "Habits", "apply"]

NOTHING_DONE: Final[Mapping[int, StepResult]] = MappingProxyType({})

Emit = Callable[[Progress], None]
Raise = Callable[[str, Mapping[str, Data]], None]
"""Takes the event of a state that has ended: the end of its tag, and its data, without secrets."""
Load = Callable[[Custom, Context], declarations.Custom]
"""Gives the own code of the state tree that an assignment brought, for the context of its states. Raises StateError."""

_Running = dict["concurrent.futures.Future[tuple[Outcome, int]]", tuple[int, Chunk, float]]


def _nobody(_name: str, _data: Mapping[str, Data]) -> None:
    """Nobody takes events."""


def _no_code(_custom: Custom, _context: Context) -> declarations.Custom:
    raise StateError("the tree's own code cannot be loaded here", help="give `apply` what loads it")


def apply(
    assignment: Assignment,
    context: Context,
    emit: Emit,
    *,
    test: bool = False,
    foretold: Sequence[Foretold] = (),
    done: Mapping[int, StepResult] = NOTHING_DONE,
    wait: Callable[[float], None] = time.sleep,
    raise_event: Raise = _nobody,
    habits: Habits | None = None,
    load: Load = _no_code,
) -> list[StepResult]:
    """Make the host what `assignment` says (with `test`: only foretell) and give all results as they were finished.

    `emit` gets StepStarted when a state is called and StepEnded for every chunk, nothing with secrets in it.
    `foretold` is what earlier steps of the same dry run promise: it is not told again.
    `done` holds results by position from an earlier life of the same job: these chunks are not called again.
    `wait` sleeps between the attempts of a `retry`. `raise_event` takes what `fire_event` asks for; `habits` are the
    host's own; `load` gives the tree's own code, when the assignment brought some. Whatever a state raises becomes
    its result; what `emit` raises comes through, and what `load` raises.
    """
    context = replace(context, test=test, made={promise.subject for promise in foretold if promise.kind == "create"})
    if assignment.custom is not None:
        context.custom = load(assignment.custom, context)
    calling = Calling(context, wait, frozenset(foretold), habits or Habits())
    return _Engine(assignment, context, calling, emit, raise_event, habits or Habits()).run(done)


class _Engine:
    def __init__(
        self,
        assignment: Assignment,
        context: Context,
        calling: Calling,
        emit: Emit,
        raise_event: Raise,
        habits: Habits,
    ) -> None:
        self._chunks = assignment.chunks
        self._context = context
        self._calling = calling
        self._emit = emit
        self._raise = raise_event
        self._walk = Walk(assignment.chunks, test=context.test, failhard=lambda chunk: _failhard(chunk, habits))
        self._threads = concurrent.futures.ThreadPoolExecutor(max(1, habits.parallel), "state")
        self._running: _Running = {}
        context.scrubber.add(assignment.secrets)

    def run(self, done: Mapping[int, StepResult]) -> list[StepResult]:
        for position, result in done.items():
            self._walk.resumed(position, result)
            self._note(result)
        with self._threads:
            while True:
                step = self._walk.next()
                if step is not None:
                    self._step(*step)
                elif not self._running:
                    return self._walk.results
                self._gather(until_one=step is None)

    def _step(self, position: int, decision: Decision) -> None:
        chunk = self._walk.chunk(position)
        started = time.time()
        if isinstance(decision, Skip | Fail):
            self._end(position, self._scrubbed(chunk, not_called(chunk, decision, started)), 1)
            return
        called = self._chunks[position % len(self._chunks)]
        if isinstance(decision, Pretest):
            self._walk.started(position)
            self._walk.tested(position, self._result(chunk, self._calling.foretell(called), started))
            return
        beside = bool(called.options.get("parallel")) and "umask" not in called.options and not self._context.test
        if "umask" in called.options:  # it is the whole process's
            while self._running:
                self._gather(until_one=True)
        self._walk.started(position, numbered=beside)
        text = self._context.scrubber.text
        names = (text(chunk.tag), chunk.function, text(chunk.id), text(chunk.name))
        self._emit(StepStarted(position, *names, len(self._chunks), started))
        if beside:
            calling = self._calling.apart()
            self._running[self._threads.submit(calling.carry_out, called, decision)] = position, chunk, started
            return
        outcome, calls = self._calling.carry_out(called, decision)
        self._end(position, self._result(chunk, outcome, started), calls)

    def _gather(self, *, until_one: bool) -> None:
        """Take the results of what ran beside and is over; with `until_one`, wait for the first."""
        if not self._running:
            return
        wait = None if until_one else 0  # each state has deadlines of its own
        over, _ = concurrent.futures.wait(self._running, wait, concurrent.futures.FIRST_COMPLETED)
        for future in sorted(over, key=lambda each: self._running[each][0]):
            position, chunk, started = self._running.pop(future)
            outcome, calls = future.result()
            self._end(position, self._result(chunk, outcome, started), calls)

    def _end(self, position: int, result: StepResult, calls: int) -> None:
        numbered = self._walk.finished(position, result, calls=calls)
        self._note(numbered)
        self._emit(StepEnded(position, numbered))
        options = self._walk.chunk(position).options
        if options.get("reload_grains") and numbered.ran and not self._context.test:
            self._context.grains = {**self._context.grains, **gather(), "id": self._context.minion}
        event = options.get("fire_event")
        if event:
            self._raise(result.name if event is True else str(event), _told(numbered))

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

    # --- telling ----------------------------------------------------------------------------------------------

    def _result(self, chunk: Chunk, outcome: Outcome, started: float) -> StepResult:
        return self._scrubbed(
            chunk,
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
                skip_req=outcome.skip_req,
            ),
        )

    def _scrubbed(self, chunk: Chunk, result: StepResult) -> StepResult:
        """`result` without secrets; with `no_log` without anything that could be one."""
        text = self._context.scrubber.text
        if chunk.options.get("no_log"):
            changes = tuple(Change(change.kind, MASK) for change in result.changes)
            result = replace(result, name=MASK, comment=MASK, warnings=(), changes=changes)
        return replace(
            result,
            tag=text(result.tag),
            id=text(result.id),
            name=text(result.name),
            comment=text(result.comment),
            warnings=tuple(map(text, result.warnings)),
            changes=tuple(shown(self._context, change) for change in result.changes),
        )


def _failhard(chunk: Chunk, habits: Habits) -> bool:
    return bool(chunk.options.get("failhard", habits.failhard))


def _told(result: StepResult) -> dict[str, Data]:
    """A result as the data of an event."""
    return {
        "id": result.id,
        "name": result.name,
        "function": result.function,
        "sls": result.sls,
        "result": result.result,
        "comment": result.comment,
        "changed": bool(result.changes),
        "number": result.number,
        "duration": result.duration,
    }
