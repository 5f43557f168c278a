"""What may be called next: one after the other, and all at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.assignment import Chunk, Requisite
from protocol.errors import SlsError
from protocol.order import ORDERING, arrange
from protocol.requisites import Call, CallWatch, Decision, Fail, Listen, Pretest, Skip, Walk, not_called
from protocol.results import Change, StepResult
from protocol.verdict import Outcome, judge

CHANGED = (Change("run", "x"),)


def chunk(name: str, *requisites: Requisite, **options: bool) -> Chunk:
    return Chunk("test", "nop", name, name, "main", options=options, requisites=requisites)


def need(kind: str, *targets: int, missing: tuple[str, ...] = ()) -> Requisite:
    return Requisite(kind, targets, missing)


def result(of: Chunk, good: bool | None = True, changed: bool = False) -> StepResult:
    return StepResult(of.tag, of.function, of.id, of.name, of.sls, good, "", CHANGED if changed else ())


def walk_through(walk: Walk, outcomes: dict[str, StepResult]) -> list[tuple[str, Decision]]:
    """Take step after step; what is called comes to what `outcomes` has for its name (else: good, unchanged)."""
    steps = []
    while (step := walk.next()) is not None:
        position, decision = step
        here = walk.chunk(position)
        steps.append((here.id, decision))
        if isinstance(decision, Skip | Fail):
            walk.finished(position, not_called(here, decision, 0.0))
            continue
        walk.started(position)
        outcome = outcomes.get(here.name, result(here))
        if isinstance(decision, Pretest):
            walk.tested(position, outcome)
        else:
            walk.finished(position, outcome)
    assert walk.done
    return steps


def decisions(chunks: list[Chunk], **outcomes: StepResult) -> dict[str, Decision]:
    return dict(walk_through(Walk(chunks), outcomes))


A = chunk("a")
GOOD, CHANGING = result(A), result(A, changed=True)
BAD, BAD_CHANGING = result(A, False), result(A, False, changed=True)
FORETOLD = result(A, None, changed=True)


@pytest.mark.parametrize(
    ("kind", "outcome", "expected"),
    [
        ("require", GOOD, Call()),
        ("require", FORETOLD, Call()),
        ("require", BAD, Fail("One or more requisite failed: main.a")),
        ("watch", CHANGING, CallWatch((0,))),
        ("watch", GOOD, Call()),
        ("watch", BAD_CHANGING, Fail("One or more requisite failed: main.a")),
        ("onchanges", CHANGING, Call()),
        ("onchanges", GOOD, Skip("State was not run because none of the onchanges reqs changed")),
        ("onchanges", BAD_CHANGING, Skip("State was not run because none of the onchanges reqs changed")),
        ("onfail", BAD, Call()),
        ("onfail", FORETOLD, Call()),
        ("onfail", GOOD, Skip("State was not run because onfail req did not change")),
        ("onfail_all", BAD, Call()),
        ("onfail_all", GOOD, Skip("State was not run because onfail req did not change")),
    ],
)
def test_one_requisite(kind: str, outcome: StepResult, expected: Decision) -> None:
    assert decisions([A, chunk("b", need(kind, 0))], a=outcome)["b"] == expected


@pytest.mark.parametrize(
    ("kind", "first", "second", "called"),
    [
        ("require_any", BAD, GOOD, True),
        ("require_any", BAD, BAD, False),
        ("require", BAD, GOOD, False),
        ("onfail", BAD, GOOD, True),
        ("onfail_any", BAD, GOOD, True),
        ("onfail_all", BAD, GOOD, False),
        ("onchanges", CHANGING, GOOD, True),
        ("onchanges_any", CHANGING, BAD, True),
        ("watch_any", BAD, CHANGING, True),
    ],
)
def test_two_targets(kind: str, first: StepResult, second: StepResult, called: bool) -> None:
    chunks = [A, chunk("b"), chunk("c", need(kind, 0, 1))]
    assert isinstance(decisions(chunks, a=first, b=second)["c"], Call | CallWatch) is called


def test_a_failed_requirement_beats_all_other_kinds() -> None:
    chunks = [A, chunk("b"), chunk("c", need("require", 0), need("onfail", 1), need("onchanges", 1))]
    assert isinstance(decisions(chunks, a=BAD)["c"], Fail)


def test_a_skipped_state_is_no_failure_for_those_that_need_it() -> None:
    chunks = [A, chunk("b", need("onfail", 0)), chunk("c", need("require", 1)), chunk("d", need("onfail", 1))]
    found = decisions(chunks)
    assert isinstance(found["c"], Call)
    assert isinstance(found["d"], Skip)


def test_a_missing_reference_fails_its_chunk_only() -> None:
    chunks = [chunk("a", need("require", missing=("cmd: Z",)), need("watch", missing=("Y",))), chunk("b")]
    found = decisions(chunks)
    indent = " " * 19
    lines = ("The following requisites were not found:", f"{indent}require:", f"{indent}    cmd: Z")
    assert found["a"] == Fail("\n".join((*lines, f"{indent}watch:", f"{indent}    Y", "")))
    assert found["b"] == Call()


class TestPrereq:
    CHUNKS = (chunk("s", need("prereq", 1)), chunk("t"))

    def test_the_target_is_tested_then_who_wanted_it_then_the_target(self) -> None:
        steps = walk_through(Walk(self.CHUNKS), {"t": FORETOLD})
        assert steps == [("t", Pretest()), ("s", Call()), ("t", Call())]

    def test_nothing_to_change_skips_who_wanted_it(self) -> None:
        steps = walk_through(Walk(self.CHUNKS), {})
        assert steps == [("t", Pretest()), ("s", Skip("No changes detected")), ("t", Call())]

    def test_a_failed_test_fails_who_wanted_it_and_leaves_the_target(self) -> None:
        steps = walk_through(Walk(self.CHUNKS), {"t": BAD})
        assert steps[1:] == [("s", Fail("One or more requisite failed: main.t")), ("t", Skip("", False, ran=True))]

    def test_when_who_wanted_it_fails_the_target_is_not_run(self) -> None:
        steps = walk_through(Walk(self.CHUNKS), {"t": FORETOLD, "s": BAD})
        assert steps[-1] == ("t", Skip("", None, ran=True))

    def test_a_target_that_is_skipped_is_skipped_at_once(self) -> None:
        chunks = [A, chunk("s", need("prereq", 2)), chunk("t", need("onfail", 0))]
        steps = walk_through(Walk(chunks), {})
        assert [name for name, _ in steps] == ["a", "t", "s"]
        assert isinstance(dict(steps)["s"], Skip)

    def test_a_chain_is_tested_from_its_end(self) -> None:
        chunks = [chunk("a", need("prereq", 1)), chunk("b", need("prereq", 2)), chunk("c")]
        steps = walk_through(Walk(chunks), {"c": FORETOLD, "b": FORETOLD})
        assert [name for name, _ in steps] == ["c", "b", "a", "b", "c"]

    def test_a_run_resumed_after_the_one_who_wanted_it_does_not_test_again(self) -> None:
        walk = Walk(self.CHUNKS)
        walk.resumed(0, result(self.CHUNKS[0], changed=True))
        assert walk.next() == (1, Call())


class TestListen:
    def test_a_listener_is_called_once_after_all_else(self) -> None:
        chunks = [chunk("a", need("listen", 1, 2)), chunk("b"), chunk("c")]
        steps = walk_through(Walk(chunks), {"b": CHANGING, "c": CHANGING})
        assert steps[-1] == ("listener_a", Listen((1, 2)))
        assert len(steps) == 4

    def test_nothing_changed_nothing_heard(self) -> None:
        assert len(walk_through(Walk([chunk("a", need("listen", 1)), chunk("b")]), {})) == 2

    def test_listen_in_is_read_from_the_other_side_and_keeps_its_order(self) -> None:
        chunks = [chunk("a", need("listen_in", 2, 1)), chunk("b"), chunk("c")]
        steps = walk_through(Walk(chunks), {"a": CHANGING})
        assert [name for name, _ in steps[3:]] == ["listener_c", "listener_b"]

    def test_listeners_are_called_after_failhard_too(self) -> None:
        chunks = [chunk("a"), chunk("b", failhard=True), chunk("c", need("listen", 0)), chunk("d")]
        steps = walk_through(Walk(chunks), {"a": CHANGING, "b": BAD})
        assert [name for name, _ in steps] == ["a", "b", "listener_c"]

    def test_a_missing_reference_is_reported_at_the_end(self) -> None:
        chunks = [chunk("a", need("listen", missing=("test: x", "bare")))]
        walk = Walk(chunks)
        steps = walk_through(walk, {})
        assert steps[-1] == ("listen_x", Skip("Referenced state test: x does not exist", False, ran=True))
        assert walk.results[-1].tag == "Listen_Error_|-listen_x_|-listen_test_|-Listen_Error"

    def test_a_listener_that_fails_hard_stops_the_other_listeners(self) -> None:
        chunks = [chunk("a"), chunk("b", need("listen", 0), failhard=True), chunk("c", need("listen", 0))]
        walk = Walk(chunks)
        for _ in range(3):
            position, _ = walk.next() or (-1, None)
            walk.finished(position, result(chunks[position], changed=position == 0))
        position, decision = walk.next() or (-1, None)
        assert isinstance(decision, Listen)
        walk.finished(position, BAD)
        assert walk.done


class TestFailhard:
    def test_nothing_is_started_after_it(self) -> None:
        walk = Walk([chunk("a", failhard=True), chunk("b")])
        assert [name for name, _ in walk_through(walk, {"a": BAD})] == ["a"]
        assert walk.stopped

    def test_a_dry_run_goes_on(self) -> None:
        walk = Walk([chunk("a", failhard=True), chunk("b")], test=True)
        assert len(walk_through(walk, {"a": BAD})) == 2

    def test_the_caller_can_say_when(self) -> None:
        walk = Walk([chunk("a"), chunk("b")], failhard=lambda _: True)
        assert len(walk_through(walk, {"a": BAD})) == 1

    def test_what_is_under_way_is_awaited_before_listeners(self) -> None:
        walk = Walk([chunk("a", failhard=True), chunk("b"), chunk("c", need("listen", 1))])
        walk.started(0)
        walk.started(1)
        walk.finished(0, BAD)
        assert walk.ready() == []
        assert not walk.done
        walk.finished(1, CHANGING)
        assert [type(decision) for _, decision in walk.ready()] == [Listen]


def test_numbers_count_calls_in_the_order_of_their_ends() -> None:
    walk = Walk([chunk("a"), chunk("b"), chunk("c")])
    assert walk.finished(1, GOOD).number == 0
    assert walk.finished(0, GOOD, calls=2).number == 2
    assert walk.finished(2, GOOD).number == 3


def test_numbers_go_on_where_an_earlier_life_stopped() -> None:
    walk = Walk([chunk("a"), chunk("b")])
    walk.resumed(0, StepResult("", "", "a", "a", "main", True, "", number=7))
    assert walk.results[0].number == 7
    assert walk.finished(1, GOOD).number == 8


@pytest.mark.parametrize("bad", [need("require", 1), need("require", 5), need("require", -1), need("prereq", 0)])
def test_chunks_out_of_order_are_refused(bad: Requisite) -> None:
    with pytest.raises(SlsError, match="execution order"):
        Walk([chunk("a", bad), chunk("b")])


def test_a_test_run_that_two_want_is_offered_once() -> None:
    walk = Walk([chunk("a", need("prereq", 2)), chunk("b", need("prereq", 2)), chunk("t")])
    assert walk.ready() == [(2, Pretest())]


def test_independent_chunks_are_ready_together() -> None:
    walk = Walk([chunk("a"), chunk("b"), chunk("c", need("require", 0, 1))])
    assert [position for position, _ in walk.ready()] == [0, 1]
    walk.started(0)
    walk.started(1)
    walk.finished(1, GOOD)
    assert walk.ready() == []
    walk.finished(0, GOOD)
    assert [position for position, _ in walk.ready()] == [2]


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Chunk], dict[str, StepResult]]:
    size = draw(st.integers(1, 9))
    chunks = []
    for position in range(size):
        requisites = []
        for kind in draw(st.lists(st.sampled_from((*ORDERING, "listen", "listen_in")), max_size=3, unique=True)):
            if kind.startswith("listen"):
                able = list(range(size))
            else:
                able = list(range(position + 1, size)) if kind == "prereq" else list(range(position))
            if able:
                requisites.append(need(kind, *draw(st.lists(st.sampled_from(able), min_size=1, max_size=2))))
        chunks.append(chunk(f"n{position}", *requisites))
    outcomes = {
        c.name: result(c, draw(st.sampled_from((True, True, False, None))), draw(st.booleans())) for c in chunks
    }
    return chunks, outcomes


def _at_once(walk: Walk, outcomes: dict[str, StepResult], pick: Callable[[int], int]) -> None:
    """Start all that is ready, then end one of those under way; so on until done."""
    busy: list[tuple[int, Decision]] = []
    while True:
        for position, decision in walk.ready():
            if isinstance(decision, Skip | Fail):
                walk.finished(position, not_called(walk.chunk(position), decision, 0.0))
                break
            walk.started(position)
            busy.append((position, decision))
        else:
            if not busy:
                return
            position, decision = busy.pop(pick(len(busy)))
            outcome = outcomes.get(walk.chunk(position).name, GOOD)
            if isinstance(decision, Pretest):
                walk.tested(position, outcome)
            else:
                walk.finished(position, outcome)


@given(plans(), st.data())
def test_results_do_not_depend_on_what_runs_at_once(
    plan: tuple[list[Chunk], dict[str, StepResult]], data: st.DataObject
) -> None:
    chunks, outcomes = plan
    try:
        arranged = arrange(chunks, [0.0] * len(chunks))
    except SlsError:
        assume(False)
    one_by_one, at_once = Walk(arranged), Walk(arranged)
    walk_through(one_by_one, outcomes)
    _at_once(at_once, outcomes, lambda count: data.draw(st.integers(0, count - 1)))
    assert at_once.done

    def told(walk: Walk) -> list[tuple[str, str, list[str]]]:
        return sorted((r.tag, str(r.result), sorted(r.comment.split(", "))) for r in walk.results)

    assert told(at_once) == told(one_by_one)
    assert len(one_by_one.results) >= len(chunks)


def test_the_verdict_of_no_requisites_is_to_call() -> None:
    assert judge({}) == "met"
    assert judge({"require_any": [Outcome(True, False, ran=False), Outcome(False, False)]}) == "fail"
    assert judge({"onchanges": [Outcome(True, True)], "onfail": [Outcome(True, False)]}) == "no failure"
    both = {"onchanges": [Outcome(True, True)], "onfail": [Outcome(True, False)], "watch": [Outcome(True, True)]}
    assert judge(both) == "change"
