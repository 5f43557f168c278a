"""What persons may want of a run, and what always runs: pause, skip, retry, approval, cleanup, cancel with force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from master.jobs import JobRequest, MinionOutcome
from master.runs.shapes import Cancelled, Decided, Paused, Resumed, Retried, Skipped, Tick
from protocol.errors import RefusedError
from protocol.results import JobState
from tests.unit.runs_bench import BAD, GOOD, Bench, all_good, chunk, ended

CLEANUP = {"cleanup": True}


def state(id: str, **more: Any) -> Any:
    return chunk("salt.state", id, tgt=more.pop("tgt", "*"), sls=[id], **more)


def failing(*ids: str) -> Callable[[JobRequest], Mapping[str, MinionOutcome]]:
    """Minions on which the SLS of these names fail."""

    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        minions = request.target.split(",") if request.target_kind == "list" else ["m1", "m2"]
        return {minion: ended(BAD if request.sls[0] in ids else GOOD) for minion in minions}

    return answer


def applied(bench: Bench) -> list[str]:
    return [request.sls[0] for request in bench.requests]


# --- cleanup --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "end"), [((), "succeeded"), (("work",), "failed"), (("undo",), "failed"), (("work", "undo"), "failed")]
)
def test_cleanup_runs_once_and_last_whatever_happened(bad: tuple[str, ...], end: str) -> None:
    chunks = [state("set"), state("undo", require=[0], options=CLEANUP), state("work"), state("then", require=[2])]
    bench = Bench(chunks, failing(*bad)).begin().settle()
    assert bench.state == end
    assert applied(bench)[-1] == "undo" and applied(bench).count("undo") == 1
    assert bench.ends()["undo"] is ("undo" not in bad)


def test_cleanup_steps_run_one_after_the_other_also_when_one_fails() -> None:
    chunks = [state("work"), state("one", options=CLEANUP), state("two", options=CLEANUP)]
    bench = Bench(chunks, failing("one")).begin()
    bench.finish()
    assert len(bench.open) == 1
    bench.settle()
    assert (bench.state, applied(bench)) == ("failed", ["work", "one", "two"])


def test_cleanup_runs_after_a_cancel_and_a_second_cancel_does_not_stop_it() -> None:
    bench = Bench([state("work"), state("more"), state("undo", options=CLEANUP)], all_good).begin()
    bench.hear(Cancelled("root"))
    bench.finish()
    assert applied(bench) == ["work", "undo"]
    assert bench.engine.stopping
    bench.hear(Cancelled("root"))
    assert bench.cancelled == ["job1"]
    assert bench.settle().state == "cancelled"
    assert bench.ends() == {"work": False, "undo": True}


def test_force_cancels_the_cleanup_and_says_what_was_not_run() -> None:
    chunks = [state("work"), state("undo", options=CLEANUP), state("last", options=CLEANUP)]
    bench = Bench(chunks, all_good).begin()
    bench.finish()
    bench.hear(Cancelled("root", force=True))
    assert bench.cancelled == ["job2"]
    assert bench.settle().state == "cancelled"
    assert bench.ends() == {"work": True, "undo": False, "last": False}
    assert "root cancelled the run with force" in bench.comment("last")


def test_a_dry_run_tells_its_cleanup_too() -> None:
    bench = Bench([state("work"), state("undo", options=CLEANUP)], all_good, test=True).begin().settle()
    assert [(request.sls[0], request.test) for request in bench.requests] == [("work", True), ("undo", True)]


# --- pause and skip -------------------------------------------------------------------------------------------


def test_a_paused_run_begins_nothing_not_even_the_next_minion_of_a_batch() -> None:
    bench = Bench([state("work", batch=1), state("then"), state("undo", options=CLEANUP)], all_good).begin()
    bench.hear(Paused("ann"))
    bench.finish()
    assert (len(bench.requests), bench.state) == (1, "running")
    assert bench.said == [("paused", {"user": "ann"})]
    bench.hear(Resumed("bob"))
    assert len(bench.requests) == 2
    assert bench.settle().state == "succeeded"


def test_a_retry_waits_while_the_run_is_paused() -> None:
    options = {"retry": {"attempts": 2, "interval": 5}}
    bench = Bench([state("work", options=options)], failing("work")).begin()
    bench.finish()
    bench.hear(Paused("ann"))
    assert bench.engine.wake is None
    bench.now += 60
    bench.hear(Tick())
    assert len(bench.requests) == 1
    bench.hear(Resumed("ann"))
    assert len(bench.requests) == 2


def test_cancelling_a_paused_run_lets_its_cleanup_go_on() -> None:
    bench = Bench([state("a"), state("b"), state("undo", options=CLEANUP)], all_good).begin()
    bench.hear(Paused("ann"))
    bench.finish()
    bench.hear(Cancelled("ann"))
    assert bench.settle().state == "cancelled"
    assert applied(bench) == ["a", "undo"]


def test_a_step_is_skipped_before_it_begins_while_it_runs_and_between_attempts() -> None:
    options = {"retry": {"attempts": 5, "interval": 50}}
    chunks = [state("a"), state("b", options=options), state("c"), state("d", require=[0, 1, 2])]
    bench = Bench(chunks, failing("b")).begin()
    bench.hear(Skipped("ann", 2))
    bench.hear(Skipped("ann", 0))
    assert bench.cancelled == ["job1"]
    bench.answer = lambda request: {"m1": ended(JobState.CANCELLED)}
    bench.finish()
    bench.answer = failing("b")
    bench.finish()
    bench.hear(Skipped("bob", 1))
    assert bench.settle().state == "succeeded"
    assert applied(bench) == ["a", "b", "d"]
    assert bench.ends() == {"a": True, "b": True, "c": True, "d": True}
    assert bench.comment("b").startswith("skipped by bob") or bench.comment("b") == "cancelled between attempts"


@pytest.mark.parametrize("position", [-1, 0, 7])
def test_what_has_ended_and_cleanup_are_not_skipped(position: int) -> None:
    bench = Bench([state("a"), state("b"), state("undo", options=CLEANUP)], all_good).begin()
    bench.finish()
    before = len(bench.tells)
    bench.hear(Skipped("ann", position))
    assert len(bench.tells) == before
    assert (bench.engine.skippable("a"), bench.engine.skippable("b"), bench.engine.skippable("undo")) == (None, 1, None)


# --- retry ----------------------------------------------------------------------------------------------------


def test_a_retry_does_again_what_failed_and_what_needs_it_and_no_more() -> None:
    chunks = [
        state("a"), state("b"), state("needs", require=[1]), state("mend", require=[1], kind="onfail"), state("free"),
    ]  # fmt: skip
    bench = Bench(chunks, failing("b")).begin().settle()
    assert (bench.state, applied(bench)) == ("failed", ["a", "b", "mend", "free"])
    bench.requests.clear()
    bench.answer = failing()
    bench.hear(Retried("ann"))
    assert bench.said[-1] == ("retried", {"user": "ann", "failed": False, "steps": ["b", "needs", "mend"]})
    assert bench.settle().state == "succeeded"
    assert applied(bench) == ["b", "needs"]


def test_a_retry_does_again_what_the_cleanup_has_undone() -> None:
    chunks = [state("other"), state("set"), state("work"), state("undo", require=[1], options=CLEANUP)]
    bench = Bench(chunks, failing("work")).begin().settle()
    bench.requests.clear()
    bench.answer = failing()
    bench.hear(Retried("ann"))
    assert bench.settle().state == "succeeded"
    assert applied(bench) == ["set", "work", "undo"]


def test_a_retry_of_what_failed_asks_only_the_minions_that_failed() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {minion: ended(BAD if minion == "m2" else GOOD) for minion in ("m1", "m2", "m3")}

    bench = Bench([state("a")], answer).begin().settle()
    bench.answer = all_good
    bench.hear(Retried("ann", failed=True))
    assert bench.requests[-1].target == "m2"
    assert bench.settle().state == "succeeded"
    assert "3 of 3 succeeded" in [data["comment"] for _, what, data in bench.tells if what == "ended"][-1]


def test_what_was_undone_and_the_cleanup_are_done_again_on_all_minions() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {minion: ended(BAD if minion == "m2" else GOOD) for minion in ("m1", "m2", "m3")}

    chunks = [state("set"), state("work", require=[0]), state("undo", require=[0], options=CLEANUP)]
    bench = Bench(chunks, answer).begin().settle()
    bench.requests.clear()
    bench.answer = all_good
    bench.hear(Retried("ann", failed=True))
    assert bench.settle().state == "succeeded"
    assert [(request.sls[0], request.target) for request in bench.requests] == [
        ("set", "*"), ("work", "*"), ("undo", "*"),
    ]  # fmt: skip


def test_a_cancelled_run_is_retried_from_where_it_was() -> None:
    bench = Bench([state("a"), state("b"), state("c")], all_good).begin()
    bench.finish()
    bench.hear(Cancelled("ann"))
    bench.answer = lambda request: {"m1": ended(JobState.CANCELLED)}
    bench.finish()
    assert bench.state == "cancelled"
    bench.answer = all_good
    bench.hear(Retried("ann"))
    assert bench.settle().state == "succeeded"
    assert applied(bench) == ["a", "b", "b", "c"]


def test_causes_differ_between_attempts_of_a_run() -> None:
    bench = Bench([state("a"), state("undo", options=CLEANUP)], failing("a")).begin().settle()
    bench.hear(Retried("ann"))
    bench.settle()
    causes = [request.cause for request in bench.requests]
    assert len(causes) == len(set(causes)) == 4


# --- approval -------------------------------------------------------------------------------------------------


def asking(**more: Any) -> Bench:
    step = chunk("approve.wait", "ask", message="go on with rack 2?", **more)
    return Bench([step, state("work", require=[0])], all_good).begin()


@pytest.mark.parametrize(("granted", "end", "word"), [(True, "succeeded", "approved"), (False, "failed", "denied")])
def test_an_approval_lets_the_run_go_on_and_a_denial_does_not(granted: bool, end: str, word: str) -> None:
    bench = asking()
    assert bench.tells[-1][2]["reason"] == "approval: go on with rack 2?"
    (machine,) = bench.engine.approvals().values()
    assert machine.key is not None
    bench.hear(Decided(machine.key, "ann", granted, "seen"))
    assert bench.settle().state == end
    assert bench.comment("ask") == f"{word} by ann: seen"
    assert ("ask", "decided", {"user": "ann", "granted": granted, "comment": "seen"}) in bench.tells


def test_an_approval_has_a_deadline() -> None:
    bench = asking(timeout=100.0).settle()
    assert (bench.state, bench.now) == ("failed", 1100.0)
    assert bench.comment("ask") == "nobody approved in 100 s: go on with rack 2?"


def test_only_those_who_are_asked_may_decide() -> None:
    bench = asking(by=["ann", "bob"])
    machine = bench.engine.approvals()["ask"]
    machine.check("bob")
    with pytest.raises(RefusedError, match="eve may not"):
        machine.check("eve")


def test_an_approval_can_be_skipped_and_cancelled() -> None:
    bench = asking()
    bench.hear(Skipped("ann", 0))
    assert bench.engine.approvals() == {}
    assert bench.settle().state == "succeeded"
    bench = asking()
    bench.hear(Cancelled("ann"))
    assert bench.state == "cancelled"
