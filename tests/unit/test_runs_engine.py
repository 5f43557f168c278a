"""The engine of orchestrations: order, requisites, failures, batches, gates, dry runs, cancelling."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from master.jobs import JobRequest, MinionOutcome
from master.runs.shapes import Cancelled, EventSeen, Listen, RunnerEnded, StartRunner, Tick, Unlisten
from protocol.errors import ArgumentError, NoTargetError, StoreError
from protocol.results import JobState
from protocol.secrets import UNKNOWN, Secret
from tests.unit.runs_bench import BAD, GOOD, LOST, Bench, all_good, chunk, ended


def state(id: str, **more: Any) -> Any:
    return chunk("salt.state", id, tgt=more.pop("tgt", "*"), sls=["a"], **more)


def call(id: str, function: str = "test.ping", **more: Any) -> Any:
    return chunk("salt.function", id, name=function, tgt=more.pop("tgt", "*"), **more)


# --- order ----------------------------------------------------------------------------------------------------


def test_steps_without_requisites_keep_their_order() -> None:
    bench = Bench([state("a"), state("b"), state("c")], all_good).begin()
    assert bench.started() == ["a"]
    bench.finish()
    assert bench.started() == ["a", "b"]
    assert bench.settle().state == "succeeded"
    assert bench.started() == ["a", "b", "c"]


def test_steps_with_requisites_start_as_soon_as_they_are_met() -> None:
    chunks = [state("a"), state("b", require=[0]), state("c", require=[0]), state("d", require=[1])]
    bench = Bench(chunks, all_good).begin()
    bench.finish()
    assert bench.started() == ["a", "b", "c"]
    bench.finish(0)
    assert bench.started() == ["a", "b", "c", "d"]


def test_a_parallel_step_holds_up_nobody() -> None:
    bench = Bench([state("a"), state("b", options={"parallel": True}), state("c"), state("d")], all_good).begin()
    assert bench.started() == ["a"]
    bench.finish(0)
    assert bench.started() == ["a", "b", "c"]
    bench.finish(1)
    assert bench.started() == ["a", "b", "c", "d"]
    assert bench.settle().state == "succeeded"


def test_a_failure_stops_its_dependents_and_nobody_else() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {"m1": ended(BAD if request.sls == ("bad",) else GOOD)}

    chunks = [
        chunk("salt.state", "bad", tgt="*", sls=["bad"]),
        state("needs", require=[0]),
        state("free"),
        state("onfail", require=[0], kind="onfail"),
    ]
    bench = Bench(chunks, answer).begin().settle()
    assert bench.state == "failed"
    assert bench.ends() == {"bad": False, "needs": False, "free": True, "onfail": True}
    assert "One or more requisite failed" in bench.comment("needs")


def test_failhard_ends_the_run() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {"m1": ended(BAD)}

    bench = Bench([state("a", options={"failhard": True}), state("b")], answer).begin().settle()
    assert (bench.state, bench.started()) == ("failed", ["a"])


def test_an_empty_orchestration_succeeds() -> None:
    assert Bench([], all_good).begin().state == "succeeded"


def test_onchanges_follows_what_minions_changed() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {"m1": ended(changed=request.sls == ("change",))}

    chunks = [
        chunk("salt.state", "same", tgt="*", sls=["same"]),
        chunk("salt.state", "change", tgt="*", sls=["change"]),
        state("after-same", require=[0], kind="onchanges"),
        state("after-change", require=[1], kind="onchanges"),
    ]
    bench = Bench(chunks, answer).begin().settle()
    assert bench.started() == ["same", "change", "after-change"]


# --- judging --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "states", "good"),
    [
        ({}, [GOOD, GOOD], True),
        ({}, [GOOD, BAD], False),
        ({"allow_fail": 1}, [GOOD, BAD], True),
        ({"allow_fail": 1}, [BAD, BAD], False),
        ({"fail_minions": "m1"}, [GOOD, BAD], True),
        ({"fail_minions": ["m0"]}, [GOOD, BAD], False),
        ({}, [GOOD, LOST], False),
        ({}, [GOOD, JobState.TIMED_OUT], False),
        ({}, [GOOD, JobState.REFUSED], False),
        ({}, [GOOD, JobState.CANCELLED], False),
        ({"allow_fail": 5}, [GOOD, LOST], False),
        ({"expect_minions": False}, [GOOD, LOST], True),
        ({"expect_minions": 1}, [GOOD, LOST], True),
        ({"expect_minions": 2}, [GOOD, LOST], False),
        ({"expect_minions": 3}, [GOOD, GOOD], False),
    ],
)
def test_only_explicit_successes_count(args: dict[str, Any], states: list[JobState], good: bool) -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {f"m{at}": ended(one) for at, one in enumerate(states)}

    bench = Bench([state("a", **args)], answer).begin().settle()
    assert bench.ends() == {"a": good}


def test_silence_is_told_apart_from_failure() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {"m1": ended(BAD), "m2": ended(LOST, reason="it was not connected")}

    comment = Bench([state("a")], answer).begin().settle().comment("a")
    assert "Run failed on minions: m1" in comment
    assert "No answer from minions: m2\nm2: it was not connected" in comment


@pytest.mark.parametrize(("args", "good"), [({}, False), ({"expect_minions": False}, True)])
def test_a_target_that_means_nobody(args: dict[str, Any], good: bool) -> None:
    bench = Bench([state("a", **args)], lambda request: NoTargetError("nobody")).begin().settle()
    assert bench.ends() == {"a": good}


def test_a_refusal_says_what_where_and_what_to_do() -> None:
    error = ArgumentError("there is no state 'x'", help="did you mean y?")
    comment = Bench([state("a")], lambda request: error).begin().settle().comment("a")
    assert comment == "there is no state 'x'\ndid you mean y?"


def test_a_failed_step_is_tried_again_as_often_as_it_says() -> None:
    tries: list[float] = []

    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        tries.append(bench.now)
        return {"m1": ended(GOOD if len(tries) == 3 else BAD)}

    bench = Bench([state("a", options={"retry": {"attempts": 3, "interval": 7}})], answer)
    assert bench.begin().settle().state == "succeeded"
    assert [later - earlier for earlier, later in itertools.pairwise(tries)] == [7, 7]


# --- windows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "at_once"), [(1, 1), ("2", 2), ("50%", 5), ("5%", 1), (99, 10)])
def test_a_batch_is_a_sliding_window(batch: Any, at_once: int) -> None:
    minions = tuple(f"m{at}" for at in range(10))
    bench = Bench([state("a", batch=batch)], all_good, minions).begin()
    assert len(bench.open) == at_once
    while bench.open:
        bench.finish()
        assert len(bench.open) <= at_once
    assert sorted(request.target for request in bench.requests) == sorted(minions)
    assert bench.state == "succeeded"


def test_a_batch_stops_when_more_fail_than_are_allowed() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {request.target: ended(BAD if request.target == "m2" else GOOD)}

    bench = Bench([state("a", batch=1)], answer, ("m1", "m2", "m3", "m4")).begin().settle()
    assert [request.target for request in bench.requests] == ["m1", "m2"]
    assert "Not begun on: m3, m4" in bench.comment("a")
    lenient = Bench([state("a", batch=1, allow_fail=1)], answer, ("m1", "m2", "m3")).begin().settle()
    assert lenient.state == "succeeded"


def test_a_subset_is_the_first_of_the_target() -> None:
    bench = Bench([state("a", subset=2)], all_good).begin().settle()
    assert [(request.target, request.target_kind) for request in bench.requests] == [("m1,m2", "list")]


# --- outputs --------------------------------------------------------------------------------------------------


def test_later_steps_use_what_earlier_ones_gave_with_its_type_and_secrecy() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        value: Any = {"key": Secret("AQsecret"), "n": 3, "list": [1, {"x.y": "deep"}]}
        return {"mon1.example": MinionOutcome(GOOD, "", value, ())}

    pillar = {
        "key": "${steps.keys.*.key}", "n": "${steps.keys.mon1.example.n}", "deep": ["${steps.keys.*.list.1.x.y}"],
        "plain": "no ${reference}",
    }  # fmt: skip
    bench = Bench([call("keys"), state("use", pillar=pillar, require=[0])], answer).begin().settle()
    used = bench.requests[-1].pillar
    assert used["n"] == 3 and used["deep"] == ["deep"] and used["plain"] == "no ${reference}"
    assert isinstance(used["key"], Secret) and used["key"].reveal() == "AQsecret"
    assert "AQsecret" not in repr(bench.tells)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("${steps.keys.*.nokey}", "there is no 'nokey'"),
        ("${steps.keys.m9.name}", "no answer of that minion"),
        ("${steps.later.*.x}", "no step of that name has ended"),
        ("${steps.keys}", "say of which minion"),
    ],
)
def test_a_reference_that_leads_nowhere_fails_its_step(reference: str, said: str) -> None:
    chunks = [call("keys"), state("use", pillar={"x": reference}, require=[0])]
    bench = Bench(chunks, all_good).begin().settle()
    assert bench.ends()["use"] is False
    assert said in bench.comment("use")


def test_minions_that_differ_do_not_agree_on_a_value() -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {id: MinionOutcome(GOOD, "", {"v": id}, ()) for id in ("m1", "m2")}

    bench = Bench([call("a"), state("b", pillar={"x": "${steps.a.*.v}"}, require=[0])], answer).begin().settle()
    assert "gave different values" in bench.comment("b")


# --- gates ----------------------------------------------------------------------------------------------------


def gate(**more: Any) -> Any:
    args = {"tgt": "m1", "tgt_type": "list", "function": "test.ping", "condition": "n >= 3", "interval": 2.0, **more}
    return chunk("gate.until", "gate", **args)


def counting(values: list[Any]) -> Any:
    left = iter(values)

    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {"m1": MinionOutcome(GOOD, "", {"n": next(left)}, ())}

    return answer


def test_a_gate_waits_until_the_condition_holds_so_many_times_in_a_row() -> None:
    bench = Bench([gate(samples=2)], counting([1, 3, 2, 3, 4])).begin().settle()
    assert bench.state == "succeeded"
    assert len(bench.requests) == 5
    assert bench.now == 1008.0


def test_a_gate_tells_its_reason_when_it_changes() -> None:
    bench = Bench([gate()], counting([1, 1, 2, 3])).begin().settle()
    reasons = [data["reason"] for _, what, data in bench.tells if what == "waiting"]
    assert reasons == ["m1: n is 1, wanted >= 3", "m1: n is 2, wanted >= 3"]


def test_a_gate_gives_up_and_says_what_it_last_saw() -> None:
    bench = Bench([gate(timeout=10.0)], counting([1] * 100)).begin().settle()
    assert bench.state == "failed"
    assert bench.now == 1010.0
    assert bench.comment("gate") == "waited 10 s for n >= 3\nlast: m1: n is 1, wanted >= 3"


def test_a_sample_that_hangs_at_the_end_is_cancelled() -> None:
    bench = Bench([gate(timeout=10.0)], all_good).begin()
    bench.now = 1011.0
    bench.hear(Tick())
    assert bench.state == "failed"
    assert len(bench.cancelled) == 1


def test_samples_that_fail_are_taken_again_but_mistakes_end_the_gate() -> None:
    answers: list[Any] = [{"m1": ended(LOST, reason="away")}, StoreError("busy"), {"m1": ended(GOOD, {"n": 5})}]
    bench = Bench([gate()], lambda request: answers.pop(0)).begin().settle()
    assert bench.state == "succeeded"
    mistake = Bench([gate()], lambda request: ArgumentError("no such argument")).begin().settle()
    assert (mistake.state, len(mistake.requests)) == ("failed", 1)


@pytest.mark.parametrize(("any_minion", "held"), [(False, False), (True, True)])
def test_a_gate_holds_on_all_minions_or_on_any(any_minion: bool, held: bool) -> None:
    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        return {"m1": ended(GOOD, {"n": 1}), "m2": ended(GOOD, {"n": 3})}

    bench = Bench([gate(any_minion=any_minion, timeout=5.0)], answer).begin().settle()
    assert (bench.state == "succeeded") is held


# --- events and runners ---------------------------------------------------------------------------------------


def test_a_step_waits_for_an_event_of_each_id() -> None:
    step = chunk("salt.wait_for_event", "w", name="minion/*/connected", id_list=["osd1", "osd2"], timeout=60.0)
    bench = Bench([step], all_good).begin()
    (listening,) = bench.others
    assert isinstance(listening, Listen)
    bench.hear(EventSeen(listening.key, "minion/osd2/connected", {}))
    bench.hear(EventSeen(listening.key, "minion/other/connected", {}))
    assert bench.state == "running"
    bench.hear(EventSeen(listening.key, "x", {"id": "osd1"}))
    assert bench.state == "succeeded"
    assert bench.others[-1] == Unlisten(listening.key)


def test_waiting_for_an_event_ends() -> None:
    step = chunk("salt.wait_for_event", "w", name="x/*", id_list="osd1", timeout=60.0)
    bench = Bench([step], all_good).begin().settle()
    assert (bench.state, bench.now) == ("failed", 1060.0)
    assert "osd1" in bench.comment("w")


def test_parallel_runners_succeed_when_all_do() -> None:
    runners = {"one": [{"name": "test.sleep"}, {"seconds": 1}], "two": {"name": "state.orch", "mods": "x"}}
    bench = Bench([chunk("salt.parallel_runners", "p", runners=runners)], all_good).begin()
    first, second = bench.others
    assert isinstance(first, StartRunner) and isinstance(second, StartRunner)
    assert (first.kwargs, second.name, second.kwargs) == ({"seconds": 1}, "state.orchestrate", {"mods": "x"})
    bench.hear(RunnerEnded(first.key, True, "slept", None))
    assert bench.state == "running"
    bench.hear(RunnerEnded(second.key, False, "run failed", None))
    assert bench.state == "failed"


# --- dry runs -------------------------------------------------------------------------------------------------


def test_a_dry_run_touches_nothing_and_tells_everything() -> None:
    chunks = [
        call("read", "test.ping"),
        state("first", require=[0]),
        state("second", require=[1]),
        call("kill", "cmd.run", arg=["x"], require=[2]),
        gate(require=[3]),
        chunk("salt.runner", "r", name="test.sleep", seconds=3),
        chunk("salt.wait_for_event", "e", name="x", id_list="m1"),
    ]
    bench = Bench(chunks, all_good, test=True).begin().settle()
    assert bench.state == "succeeded"
    assert [(r.kind, r.test, r.pending) for r in bench.requests] == [
        ("call", False, False), ("apply", True, False), ("apply", True, True),
    ]  # fmt: skip
    assert bench.ends() == {
        "read": True, "first": None, "second": None, "kill": None, "gate": None, "r": None, "e": None,
    }  # fmt: skip
    assert bench.comment("kill") == "would run cmd.run on *"
    assert bench.comment("gate").startswith("would wait until n >= 3")


def test_what_a_dry_run_cannot_know_is_unknown_and_secret() -> None:
    chunks = [call("keys", "cmd.run", arg=["x"]), state("use", pillar={"k": "${steps.keys.*.mon}"}, require=[0])]
    bench = Bench(chunks, all_good, test=True).begin().settle()
    used = bench.requests[-1].pillar["k"]
    assert isinstance(used, Secret) and used.reveal() == UNKNOWN


def test_a_read_that_fails_in_a_dry_run_is_forgiven_only_after_foretold_changes() -> None:
    def answer(request: JobRequest) -> Any:
        return {"m1": ended(BAD)} if request.kind == "call" else {"m1": ended(changed=None)}

    alone = Bench([call("read")], answer, test=True).begin().settle()
    assert alone.ends() == {"read": False}
    after = Bench([state("a"), call("read"), state("b", pillar={"x": "${steps.read.*.x}"})], answer, test=True)
    after.begin().settle()
    assert after.ends() == {"a": None, "read": True, "b": None}

    def refuse(request: JobRequest) -> Any:
        return NoTargetError("x") if request.kind == "call" else answer(request)

    assert Bench([state("a"), call("read")], refuse, test=True).begin().settle().ends()["read"] is True


# --- cancelling -----------------------------------------------------------------------------------------------


def test_cancelling_stops_jobs_gates_and_what_would_come() -> None:
    chunks = [state("a", options={"parallel": True}), gate(), state("b")]
    bench = Bench(chunks, all_good).begin()
    bench.hear(Cancelled("root"))
    assert bench.cancelled == ["job1", "job2"]
    assert bench.state == "running"
    bench.answer = lambda request: {"m1": ended(JobState.CANCELLED)}
    bench.finish(0)
    assert bench.state == "cancelled"
    assert bench.ends() == {"gate": False, "a": False}


def test_cancelling_a_batch_begins_no_further_minion() -> None:
    bench = Bench([state("a", batch=1)], all_good).begin()
    bench.hear(Cancelled("root"))
    bench.finish()
    assert bench.state == "cancelled"
    assert len(bench.requests) == 1
