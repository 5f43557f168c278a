"""Batches by failure domain, what may fail in them, baselines, hold-down, back-off and time limits of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.jobs import JobRequest, MinionOutcome
from master.runs import steps
from master.runs.backoff import check_retry, retry
from master.runs.batches import Limit, domain_of
from master.runs.shapes import Tick
from protocol.errors import ArgumentError, SlsError
from protocol.results import JobState
from tests.unit.runs_bench import BAD, GOOD, LOST, Bench, all_good, chunk, ended

RACKS = {"m1": "r1", "m2": "r1", "m3": "r2", "m4": "r2", "m5": "r3"}


def state(**more: Any) -> Any:
    return chunk("salt.state", "a", tgt="*", sls=["a"], **more)


def failing(*bad: str, how: JobState = BAD) -> Any:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {minion: ended(how if minion in bad else GOOD) for minion in request.target.split(",")}

    return answer


def targets(bench: Bench) -> list[str]:
    return [request.target for request in bench.requests]


def test_one_failure_domain_goes_at_a_time() -> None:
    bench = Bench([state(batch="grain:rack")], all_good, tuple(RACKS), domains=RACKS).begin()
    assert len(bench.open) == 1
    bench.settle()
    assert (bench.state, targets(bench)) == ("succeeded", ["m1,m2", "m3,m4", "m5"])


def test_a_minion_without_the_grain_fails_the_step_before_it_begins() -> None:
    bench = Bench([state(batch="grain:rack")], all_good, (*RACKS, "m9"), domains=RACKS).begin()
    assert (bench.state, bench.requests) == ("failed", [])
    assert bench.comment("a").startswith("no grain 'rack' on m9")


@pytest.mark.parametrize(
    ("limits", "bad", "begun"),
    [
        (None, ["m1"], ["m1,m2"]),
        (1, ["m1"], ["m1,m2", "m3,m4", "m5"]),
        (1, ["m1", "m3"], ["m1,m2", "m3,m4"]),
        ("40%", ["m1", "m3"], ["m1,m2", "m3,m4", "m5"]),
        ("39%", ["m1", "m3"], ["m1,m2", "m3,m4"]),
        ({"domain": 1}, ["m1", "m3"], ["m1,m2", "m3,m4", "m5"]),
        ({"domain": 1}, ["m1", "m2"], ["m1,m2"]),
        ({"domain": "50%", "step": 9}, ["m1", "m3", "m4"], ["m1,m2", "m3,m4"]),
        ({"domain": 1, "step": 1}, ["m1", "m3"], ["m1,m2", "m3,m4"]),
    ],
)
@pytest.mark.parametrize("how", [BAD, LOST])
def test_so_many_may_fail_before_no_further_batch_begins(
    limits: Any, bad: list[str], begun: list[str], how: JobState
) -> None:
    step = state(batch="grain:rack", max_failures=limits)
    bench = Bench([step], failing(*bad, how=how), tuple(RACKS), domains=RACKS).begin().settle()
    assert (bench.state, targets(bench)) == ("failed", begun)
    if len(begun) < 3:
        assert "Not begun on: m" in bench.comment("a")


def test_a_window_goes_on_past_failures_that_may_be_and_fails_all_the_same() -> None:
    bench = Bench([state(batch=1, max_failures=1)], failing("m1"), ("m1", "m2", "m3")).begin().settle()
    assert (bench.state, targets(bench)) == ("failed", ["m1", "m2", "m3"])


def test_the_time_of_a_step_counts_for_all_its_batches() -> None:
    bench = Bench([state(batch=1, timeout=100.0)], all_good).begin()
    assert bench.requests[0].timeout == 100.0
    bench.now += 60
    bench.finish()
    assert bench.requests[1].timeout == 40.0
    bench.now += 50
    bench.hear(Tick())
    bench.finish()
    assert bench.state == "failed"
    assert bench.comment("a").endswith("Not begun on: m3\nthe step was not done in 100 s")


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_failures": 1}, {"batch": 1, "max_failures": "many"}, {"batch": 1, "max_failures": True},
        {"batch": 1, "max_failures": {"domain": 1}}, {"batch": "grain:"}, {"batch": 1, "max_failures": {"rack": 1}},
        {"batch": 1, "max_failures": "101%"},
    ],
)  # fmt: skip
def test_batches_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SlsError):
        steps.check([state(**wrong)])


@given(st.integers(0, 100), st.integers(0, 50), st.integers(1, 50))
def test_a_limit_in_percent_is_never_passed_by_its_share(percent: int, failures: int, of: int) -> None:
    assert Limit(f"{percent}%").passed(failures, of) == (failures > of * percent // 100)
    assert not Limit("100%").passed(of, of)


def test_a_domain_is_a_grain_also_within_a_mapping() -> None:
    grains: dict[str, Any] = {"rack": 7, "place": {"row": "b"}, "list": ["x"]}
    assert [domain_of(grains, path) for path in ("rack", "place:row", "place", "list", "none", "rack:x")] == [
        "7", "b", "", "", "", "",
    ]  # fmt: skip


# --- baselines ------------------------------------------------------------------------------------------------


def baseline(**more: Any) -> Any:
    args = {"tgt": "*", "function": "test.ping", "interval": 2.0, "timeout": 10.0, **more}
    return chunk("gate.baseline", "gate", require=[0], **args)


def measured(*values: Any) -> Any:
    """m1 gives one value after the other, m2 always the first."""
    left = list(values)

    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        if request.kind == "apply":
            return {"m1": ended()}
        now = left.pop(0) if len(left) > 1 else left[0]
        return {"m1": MinionOutcome(GOOD, "", now, ()), "m2": MinionOutcome(GOOD, "", values[0], ())}

    return answer


def test_a_baseline_is_taken_before_the_first_step_and_told() -> None:
    bench = Bench([state(), baseline(not_less="osds_up")], measured({"osds_up": 3, "x": 1}, {"osds_up": 4})).begin()
    assert [request.kind for request in bench.requests] == ["call"]
    bench.settle()
    assert bench.state == "succeeded"
    assert ("gate", "baseline", {"values": {"m1": {"osds_up": 3}, "m2": {"osds_up": 3}}}) in bench.tells


@pytest.mark.parametrize(
    ("args", "was", "now", "culprit"),
    [
        ({"not_less": ["osds_up"]}, {"osds_up": 3}, {"osds_up": 2}, "m1: osds_up was 3, is 2"),
        ({"not_more": ["pgs.bad"]}, {"pgs": {"bad": 0}}, {"pgs": {"bad": 9}}, "m1: pgs.bad was 0, is 9"),
        ({"same": ["fsid"]}, {"fsid": "a"}, {"fsid": "b"}, "m1: fsid was 'a', is 'b'"),
        ({"not_less": ["n"]}, {"n": 1}, {}, "m1: n was 1, is missing"),
        ({"conditions": ["now.n >= was.n - 1"]}, {"n": 5}, {"n": 3}, "m1: now.n is 3"),
    ],
)
def test_a_gate_names_the_minion_and_the_field_that_is_worse(args: Any, was: Any, now: Any, culprit: str) -> None:
    bench = Bench([state(), baseline(**args)], measured(was, now)).begin().settle()
    assert bench.state == "failed"
    assert culprit in bench.comment("gate")
    assert "m2" not in bench.comment("gate")
    better = Bench([state(), baseline(**args)], measured(was, now, was)).begin().settle()
    assert better.state == "succeeded"


def test_no_step_begins_when_nobody_knows_how_it_was() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {"m1": ended(GOOD, {"n": 1}), "m2": ended(LOST, reason="away")}

    undo = chunk("salt.state", "undo", tgt="*", sls=["a"], options={"cleanup": True})
    bench = Bench([state(), baseline(not_less="n"), undo], answer).begin()
    bench.finish()
    bench.answer = all_good
    bench.settle()
    assert bench.state == "failed"
    assert bench.comment("gate") == "how it is when the run begins is not known: m2: lost away"
    assert bench.started() == ["undo"]


@pytest.mark.parametrize("args", [{}, {"not_less": "a b"}, {"not_less": "a", "kwarg": {"x": "${steps.a.*.x}"}}])
def test_baselines_that_compare_nothing_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(SlsError):
        steps.check([state(), baseline(**args)])


def test_a_dry_run_takes_no_baseline() -> None:
    bench = Bench([state(), baseline(not_less="n")], all_good, test=True).begin().settle()
    assert bench.comment("gate").startswith("would wait until no worse than when the run began: n not less")
    assert [request.kind for request in bench.requests] == ["apply"]


# --- hold-down and back-off -----------------------------------------------------------------------------------


def test_a_gate_holds_for_so_many_seconds_on_end() -> None:
    values = iter([3, 3, 1, 3, 3, 3, 3, 3])

    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {"m1": MinionOutcome(GOOD, "", {"n": next(values)}, ())}

    gate = chunk("gate.until", "g", tgt="m1", function="test.ping", condition="n >= 3", interval=2.0, hold=5.0)
    bench = Bench([gate], answer).begin().settle()
    assert (bench.state, bench.now) == ("succeeded", 1012.0)
    assert {"reason": "holds, and has to for 5 s"} in [data for _, what, data in bench.tells if what == "waiting"]


@given(st.integers(1, 60), st.text(max_size=5))
def test_waits_between_attempts_grow_within_bounds_and_repeat(attempt: int, seed: str) -> None:
    terms = retry({"attempts": 9, "interval": 4, "backoff": 2, "max_interval": 100})
    wait = terms.wait(attempt, seed)
    whole = min(4 * 2.0 ** (attempt - 1), 100)
    assert whole / 2 <= wait <= whole
    assert wait == terms.wait(attempt, seed)


def test_steps_that_failed_together_do_not_come_back_together() -> None:
    terms = retry({"backoff": 2})
    assert len({terms.wait(1, f"run/{number}") for number in range(50)}) == 50


def test_without_back_off_a_wait_is_what_it_says_and_bounds_are_kept() -> None:
    assert retry(True).wait(1, "x") == 30.0
    assert retry({"interval": 7, "attempts": 10**6}).attempts == 100
    assert 7.0 <= retry({"interval": 7, "splay": 3}).wait(2, "x") <= 10.0
    with pytest.raises(ArgumentError, match="'until'"):
        check_retry({"until": True})
