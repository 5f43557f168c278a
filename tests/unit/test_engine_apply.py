"""What applying an assignment does: calls, changes, failures, dry runs, progress; with states made for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocol.assignment import Assignment, BlobRef, Chunk, Requisite
from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change, Progress, StepEnded, StepResult, StepStarted
from protocol.secrets import UNKNOWN
from states import engine
from states.context import Context
from states.contract import Action, DeedError, NoDifferenceError, Plan
from states.registry import state

SECRET = "hunter2-is-not-a-good-one"


@dataclass
class Diary:
    """What the states of this module did, and what they were told."""

    deeds: list[str] = field(default_factory=list)
    pending: list[bool] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    sources: list[Mapping[str, BlobRef]] = field(default_factory=list)


DIARY = Diary()


@pytest.fixture(autouse=True)
def _blank_diary() -> None:
    DIARY.__init__()  # type: ignore[misc]


def _deed(name: str, details: Data = None, error: Exception | None = None) -> Callable[[], Data]:
    def perform() -> Data:
        if error is not None:
            raise error
        DIARY.deeds.append(name)
        return details

    return perform


def _restart(ctx: Context, name: str, *, how: str = "gently") -> Plan:
    return Plan((Action(Change("restart", name, new=how), _deed(f"{name} restarted {how}")),), "Restarted")


@state("enginetest.make", watch=_restart)
def make(ctx: Context, name: str, *, steps: int = 1, how: str = "gently", other: int = 0) -> Plan:
    DIARY.pending.append(ctx.pending)
    DIARY.deadlines.append(ctx.deadline)
    DIARY.sources.append(ctx.sources)
    actions = (Action(Change("create", f"{name}{n}"), _deed(f"{name}{n}", {"step": n})) for n in range(steps))
    return Plan(tuple(actions), f"{name} made", ("mind the gap",))


@state("enginetest.half")
def half(ctx: Context, name: str) -> Plan:
    actions = (
        Action(Change("create", "first"), _deed("first")),
        Action(Change("create", "second"), _deed("second", error=StateError("no room", help="make some"))),
        Action(Change("create", "third"), _deed("third")),
    )
    return Plan(actions, "never said")


@state("enginetest.command")
def command(ctx: Context, name: str) -> Plan:
    deed = _deed(name, error=DeedError("it exited with 1", {"retcode": 1, "stderr": f"bad {SECRET}"}))
    return Plan((Action(Change("run", name), deed),), "never said")


@state("enginetest.look")
def look(ctx: Context, name: str, *, error: str) -> Plan:
    if error == "bug":
        raise ZeroDivisionError(f"{SECRET} by zero")
    if error == "os":
        raise PermissionError(13, "Permission denied", "/etc/shadow")
    raise StateError(f"there is no {name}, {SECRET}", help="make it first")


def chunk(fun: str, name: str, *requisites: Requisite, options: dict[str, Data] | None = None, **args: Data) -> Chunk:
    return Chunk("enginetest", fun, name, name, "main", args, options or {}, requisites, file="main.sls", line=4)


@dataclass
class Run:
    results: list[StepResult]
    progress: list[Progress]
    waits: list[float]

    @property
    def last(self) -> StepResult:
        return self.results[-1]


def run(
    *chunks: Chunk,
    test: bool = False,
    pending: bool = False,
    root: Path = Path("/"),
    done: Mapping[int, StepResult] = engine.NOTHING_DONE,
) -> Run:
    progress: list[Progress] = []
    waits: list[float] = []
    context = Context("m1", {}, root=root, pending=pending)
    assignment = Assignment("m1", chunks, secrets=(SECRET,))
    results = engine.apply(assignment, context, progress.append, test=test, done=done, wait=waits.append)
    assert context.test is False
    return Run(results, progress, waits)


def test_a_plan_is_performed_and_its_details_are_kept() -> None:
    last = run(chunk("make", "x", steps=2)).last
    assert (last.result, last.comment, last.warnings) == (True, "x made", ("mind the gap",))
    assert DIARY.deeds == ["x0", "x1"]
    assert [change.details for change in last.changes] == [{"step": 0}, {"step": 1}]
    assert (last.tag, last.file, last.line) == ("enginetest_|-x_|-x_|-make", "main.sls", 4)


def test_a_dry_run_tells_the_same_changes_and_does_nothing() -> None:
    dry, real = run(chunk("make", "x", steps=2), test=True).last, run(chunk("make", "x", steps=2)).last
    assert dry.result is None
    assert dry.comment == "x0 would be created\nx1 would be created"
    assert [c.foretold() for c in dry.changes] == [c.foretold() for c in real.changes]
    assert DIARY.deeds == ["x0", "x1"]


def test_no_actions_is_as_wanted_in_both() -> None:
    for test in (False, True):
        last = run(chunk("make", "x", steps=0), test=test).last
        assert (last.result, last.comment, last.changes) == (True, "x made", ())


def test_what_was_done_before_a_failure_is_told() -> None:
    last = run(chunk("half", "x")).last
    assert (last.result, last.comment) == (False, "no room (make some)")
    assert [change.subject for change in last.changes] == ["first"]
    assert DIARY.deeds == ["first"]


def test_a_deed_that_came_out_badly_is_a_change_and_a_failure() -> None:
    last = run(chunk("command", "x")).last
    assert (last.result, last.comment) == (False, "it exited with 1")
    assert last.changes[0].details == {"retcode": 1, "stderr": "bad ***"}


def test_an_error_of_the_host_is_the_result() -> None:
    assert run(chunk("look", "x", error="no")).last.comment == "there is no x, *** (make it first)"
    last = run(chunk("look", "x", error="os")).last
    assert last.result is False
    assert last.comment == "PermissionError: [Errno 13] Permission denied: '/etc/shadow'"


def test_a_bug_is_the_result_of_its_state_only() -> None:
    results = run(chunk("look", "x", error="bug"), chunk("make", "y")).results
    assert results[0].result is False
    assert results[0].comment.startswith(
        "An exception occurred in this state: ZeroDivisionError: *** by zero\nTraceback"
    )
    assert SECRET not in results[0].comment
    assert results[1].result is True


def test_unknown_states_and_arguments_are_told_with_a_suggestion() -> None:
    first, second, third = run(chunk("mak", "x"), chunk("make", "y", stepz=1), chunk("look", "z")).results
    assert first.comment == "there is no state 'enginetest.mak' (did you mean 'enginetest.make'?)"
    assert second.comment == "enginetest.make has no argument 'stepz' (did you mean 'steps'?)"
    assert third.comment.startswith("enginetest.look needs the argument 'error'")
    assert [r.result for r in (first, second, third)] == [False, False, False]


def test_nothing_secret_is_told() -> None:
    whole = run(chunk("make", f"say {SECRET}"), chunk("command", "x"), chunk("look", "y", error="no"))
    assert SECRET not in repr(whole.progress)
    assert SECRET not in repr(whole.results)


def test_progress_starts_what_is_called_and_ends_everything() -> None:
    chunks = (chunk("look", "x", error="no"), chunk("make", "y", Requisite("require", (0,))), chunk("make", "z"))
    progress = run(*chunks).progress
    kinds = [(type(p), p.index) for p in progress]
    assert kinds == [(StepStarted, 0), (StepEnded, 0), (StepEnded, 1), (StepStarted, 2), (StepEnded, 2)]
    first = progress[0]
    assert isinstance(first, StepStarted)
    assert (first.function, first.total, first.started > 0) == ("enginetest.look", 3, True)


def test_resumed_chunks_are_not_called_again() -> None:
    chunks = (chunk("make", "x"), chunk("make", "y", Requisite("require", (0,))))
    before = run(chunks[0]).results[0]
    DIARY.deeds.clear()
    after = run(*chunks, done={0: before})
    assert DIARY.deeds == ["y0"]
    assert [r.number for r in after.results] == [0, 1]
    assert [p.index for p in after.progress] == [1, 1]


@state("enginetest.same")
def same(ctx: Context, name: str) -> Plan:
    deed = _deed(name, error=NoDifferenceError("it said that nothing changed"))
    return Plan((Action(Change("run", name), deed),), "never said")


def test_a_deed_that_made_no_difference_is_no_change() -> None:
    last = run(chunk("same", "x")).last
    assert (last.result, last.comment, last.changes) == (True, "it said that nothing changed", ())


class TestWatch:
    def watching(self, *, steps: int = 0, options: dict[str, Data] | None = None) -> Run:
        watched = chunk("make", "x")
        watcher = chunk("make", "y", Requisite("watch", (0,)), options=options, steps=steps, how="firmly", other=1)
        return run(watched, watcher)

    def test_a_changed_watched_state_restarts_after_an_own_call_without_changes(self) -> None:
        last = self.watching().last
        assert DIARY.deeds == ["x0", "y restarted firmly"]
        assert (last.comment, last.number) == ("Restarted", 2)

    def test_an_own_change_is_enough(self) -> None:
        last = self.watching(steps=1).last
        assert DIARY.deeds == ["x0", "y0"]
        assert last.number == 1

    def test_a_state_that_its_conditions_skip_is_not_restarted(self) -> None:
        assert self.watching(options={"onlyif": "false"}).last.comment == "onlyif condition is false"
        assert DIARY.deeds == ["x0"]

    def test_a_state_without_a_watch_function_is_only_called(self) -> None:
        last = run(chunk("make", "x"), chunk("half", "y", Requisite("watch", (0,)))).last
        assert last.number == 1

    def test_listeners_come_last_and_bear_their_own_id(self) -> None:
        chunks = (chunk("make", "x"), chunk("make", "y", Requisite("listen", (0,)), steps=0), chunk("make", "z"))
        whole = run(*chunks)
        assert DIARY.deeds == ["x0", "z0", "y restarted gently"]
        assert whole.last.tag == "enginetest_|-listener_y_|-y_|-mod_watch"
        assert [p.index for p in whole.progress[-2:]] == [4, 4]

    def test_a_listener_without_a_watch_function_fails(self) -> None:
        last = run(chunk("make", "x"), chunk("command", "y", Requisite("listen", (0,)))).last
        assert (last.id, last.result) == ("listener_y", False)
        assert "nothing that it does when another state changes" in last.comment


class TestDryRun:
    def test_what_is_foretold_makes_later_chunks_pending(self) -> None:
        run(chunk("make", "a", steps=0), chunk("make", "b"), chunk("make", "c"), test=True)
        assert DIARY.pending == [False, False, True]

    def test_pending_from_before_stays(self) -> None:
        run(chunk("make", "a"), test=True, pending=True)
        assert DIARY.pending == [True]

    def test_a_real_run_has_nothing_pending(self) -> None:
        run(chunk("make", "a"), chunk("make", "b"))
        assert DIARY.pending == [False, False]

    @pytest.mark.parametrize("error", ["no", "os"])
    def test_what_cannot_be_looked_at_yet_is_unknown(self, error: str) -> None:
        last = run(chunk("make", "a"), chunk("look", "x", error=error), test=True).last
        (change,) = last.changes
        assert last.result is None
        assert (change.kind, change.subject, change.aspect) == ("run", "x", UNKNOWN)
        assert str(change.new).startswith("cannot be foretold until earlier changes are made: ")

    def test_with_nothing_before_it_is_a_failure(self) -> None:
        assert run(chunk("look", "x", error="no"), test=True).last.result is False

    def test_a_wrong_argument_is_certain(self) -> None:
        assert run(chunk("make", "a"), chunk("make", "x", bad=1), test=True).last.result is False

    def test_a_prereq_tests_without_doing(self) -> None:
        chunks = (chunk("make", "s", Requisite("prereq", (1,))), chunk("make", "t"))
        whole = run(*chunks)
        assert DIARY.deeds == ["s0", "t0"]
        assert [(r.name, r.number) for r in whole.results] == [("s", 0), ("t", 1)]
        assert [p.index for p in whole.progress] == [0, 0, 1, 1]


def test_a_chunk_has_its_own_deadline_and_sources() -> None:
    ref = BlobRef("0" * 64, 3)
    own = Chunk("enginetest", "make", "x", "x", "main", options={"timeout": 7}, sources={"salt://x": ref})
    last = run(own, chunk("make", "y"), chunk("make", "z", options={"timeout": "1m"})).last
    assert DIARY.deadlines == [7.0, 600.0]
    assert DIARY.sources == [{"salt://x": ref}, {}]
    assert last.comment == "timeout must be seconds, not '1m' (write a number like 30)"


def test_failhard_ends_the_run() -> None:
    assert len(run(chunk("look", "x", options={"failhard": True}, error="no"), chunk("make", "y")).results) == 1


def test_what_emit_raises_comes_through() -> None:
    def emit(progress: Progress) -> None:
        raise ConnectionError("the spool is gone")

    with pytest.raises(ConnectionError):
        engine.apply(Assignment("m1", (chunk("make", "x"),)), Context("m1", {}), emit)


def test_importing_the_engine_is_light() -> None:
    heavy = "{'jinja2', 'yaml', 'cryptography', 'zmq', 'asyncio', 'dbus_fast', 'sqlite3'}"
    code = f"import sys, states.engine; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
