"""Options that every state takes: parallel, slots, umask, no_log, fire_event, skip_req; and a host's own habits."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from protocol.assignment import Assignment, Chunk, Requisite
from protocol.data import Data
from protocol.requisites import arrange
from protocol.results import Change, Progress, StepEnded, StepResult
from states import engine, slots
from states.calling import NOT_MET
from states.context import Context
from states.contract import Action, Done, Plan
from states.registry import state

MEETING = threading.Barrier(2)
SEEN: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()
    MEETING.reset()


def _does(name: str, deed: Any) -> Plan:
    return Plan((Action(Change("run", name), deed),), "done")


@state("optiontest.meet")
def meet(ctx: Context, name: str) -> Plan:
    def deed() -> Data:
        MEETING.wait(10)
        return None

    return _does(name, deed)


@state("optiontest.say", watch=lambda ctx, name: _does(name, lambda: None))
def say(ctx: Context, name: str, *, text: str = "", others: list[str] | None = None) -> Plan:
    SEEN.append(f"{name} {text} {others or ''}".strip())
    return Plan(comment=f"said {text}")


@state("optiontest.mask")
def mask(ctx: Context, name: str) -> Plan:
    def deed() -> Data:
        now = os.umask(0o077)
        os.umask(now)
        return {"mask": now}

    return _does(name, deed)


@state("optiontest.hushed", watch=lambda ctx, name: _does(name, lambda: None))
def hushed(ctx: Context, name: str, *, skip: bool = True) -> Plan:
    return Done(comment="changed", made=(Change("run", name),), skip_req=skip)


def chunk(
    name: str, fun: str = "say", *needs: Requisite, args: Mapping[str, Data] | None = None, **options: Data
) -> Chunk:
    return Chunk("optiontest", fun, name, name, "main", args=args or {}, options=options, requisites=needs)


def applied(*chunks: Chunk, test: bool = False, **further: Any) -> list[StepResult]:
    arranged = arrange(chunks, [float(number) for number in range(len(chunks))])
    told: list[Progress] = []
    results = engine.apply(
        Assignment("m1", arranged), Context("m1", {"os": "Debian"}), told.append, test=test, **further
    )
    assert [each.result for each in told if isinstance(each, StepEnded)] == results
    return results


class TestParallel:
    def test_two_states_are_under_way_at_once(self) -> None:
        results = applied(chunk("a", "meet", parallel=True), chunk("b", "meet", parallel=True))
        assert [(each.id, each.result) for each in sorted(results, key=lambda each: each.number)] == [
            ("a", True),
            ("b", True),
        ]

    def test_a_dependent_waits_and_numbers_are_taken_at_the_start(self) -> None:
        results = applied(
            chunk("a", "meet", parallel=True),
            chunk("b", "meet", parallel=True),
            chunk("c", "say", Requisite("require", (0, 1))),
        )
        assert results[-1].id == "c"
        assert {each.id: each.number for each in results} == {"a": 0, "b": 1, "c": 2}

    def test_what_waits_holds_up_what_is_not_parallel_and_nothing_else(self) -> None:
        results = applied(
            chunk("a", "meet", parallel=True),
            chunk("late", "say", Requisite("require", (0,)), parallel=True),
            chunk("b", "meet", parallel=True),
        )
        assert {each.id: each.number for each in results} == {"a": 0, "b": 1, "late": 2}

    def test_one_after_the_other_when_the_host_allows_one(self) -> None:
        results = applied(chunk("a", parallel=True), chunk("b", parallel=True), habits=engine.Habits(parallel=1))
        assert [each.id for each in results] == ["a", "b"]

    def test_a_dry_run_asks_one_after_the_other(self) -> None:
        results = applied(chunk("a", "meet", parallel=True), chunk("b", parallel=True), test=True)
        assert [each.result for each in results] == [None, True]

    def test_failhard_lets_what_runs_end_and_starts_nothing(self) -> None:
        results = applied(
            chunk("bad", "nothing", parallel=True, failhard=True), chunk("after", "say", Requisite("onfail", (0,)))
        )
        assert [each.id for each in results] == ["bad"]


class TestSlots:
    @pytest.mark.parametrize(
        ("slot", "value"),
        [
            ("__slot__:salt:grains.get(os)", "Debian"),
            ('__slot__:salt:grains.get("os") ~ "/x y"', "Debian/x y"),
            ("__slot__:salt:grains.get(os) ~ -12", "Debian-12"),
            ("__slot__:salt:grains.items().os", "Debian"),
            ("__slot__:salt:test.echo('a, b')", "a, b"),
            ("__slot__:salt:test.echo([1, [2, 'x']]).1.1", "x"),
            ("__slot__:salt:test.echo({'a': 1}).b", None),
            ("no __slot__:salt:test.true()", "no __slot__:salt:test.true()"),
            (7, 7),
        ],
    )
    def test_a_slot_is_the_call_of_a_function(self, slot: Data, value: Data) -> None:
        assert slots.evaluated(Context("m1", {"os": "Debian"}), slot) == value

    def test_arguments_names_lists_and_mappings_may_hold_them(self) -> None:
        slot = "__slot__:salt:grains.get(os)"
        assert slots.filled(Context("m1", {"os": "X"}), {"a": [slot, {"b": slot}], "c": {"d": slot}}) == {
            "a": ["X", {"b": "X"}],
            "c": {"d": "X"},
        }
        (result,) = applied(chunk(f"{slot} ~ -a", args={"text": slot, "others": [slot]}))
        assert result.comment == "said Debian"
        assert SEEN == ["Debian-a Debian ['Debian']"]

    @pytest.mark.parametrize(
        ("slot", "told"),
        [
            ("__slot__:salt:test.echo(", "cannot be read"),
            ("__slot__:runner:test.echo()", "cannot be read"),
            ("__slot__:salt:tset.echo()", "did you mean"),
            ("__slot__:salt:test.echo(a, b, c)", "positional arguments"),
            ("__slot__:salt:test.echo(1) ~ x", "gives no text"),
        ],
    )
    def test_what_cannot_be_called_fails_the_state(self, slot: str, told: str) -> None:
        (result,) = applied(chunk("a", args={"text": slot}))
        assert result.result is False
        assert told in result.comment

    def test_a_dry_run_calls_nothing_that_changes_the_host(self) -> None:
        (result,) = applied(chunk("a", args={"text": "__slot__:salt:service.start(x)"}), test=True)
        assert "changes the host" in result.comment


class TestUmask:
    def test_it_holds_for_the_call_alone(self) -> None:
        before = os.umask(0o022)
        try:
            first, second = applied(chunk("a", "mask", umask="027"), chunk("b", "mask"))
        finally:
            now = os.umask(before)
        assert [each.changes[0].details for each in (first, second)] == [{"mask": 0o027}, {"mask": 0o022}]
        assert now == 0o022

    def test_it_is_the_whole_processs_so_nothing_runs_beside(self) -> None:
        results = applied(
            chunk("a", "meet", parallel=True), chunk("b", "meet", parallel=True), chunk("c", "mask", umask=7)
        )
        assert results[-1].id == "c"
        assert results[-1].changes[0].details == {"mask": 7}

    @pytest.mark.parametrize("umask", ["abc", "0999", 1000])
    def test_what_is_none_fails_the_state(self, umask: Data) -> None:
        (result,) = applied(chunk("a", umask=umask))
        assert "is not a umask" in result.comment
        assert not SEEN


def test_no_log_hides_name_comment_and_changes() -> None:
    (result,) = applied(chunk("a", "mask", no_log=True))
    assert (result.name, result.comment, result.changes) == ("***", "***", (Change("run", "***"),))
    assert result.id == "a"


def test_events_are_raised_for_results_by_name_or_as_asked() -> None:
    raised: list[tuple[str, Mapping[str, Data]]] = []
    applied(
        chunk("a", fire_event=True),
        chunk("b", "say", Requisite("onfail", (0,)), fire_event="mine/ended"),
        chunk("c"),
        raise_event=lambda name, data: raised.append((name, data)),
    )
    assert [(name, data["id"], data["result"], data["number"]) for name, data in raised] == [
        ("a", "a", True, 0),
        ("mine/ended", "b", True, 1),
    ]


class TestSkipReq:
    @pytest.mark.parametrize("kind", ["onchanges", "onchanges_any"])
    def test_a_change_that_nobody_shall_act_on_calls_nobody(self, kind: str) -> None:
        _, result = applied(chunk("a", "hushed"), chunk("b", "say", Requisite(kind, (0,))))
        assert result.comment == "State was not run because requisites were skipped by another state"
        assert (result.result, result.ran) == (True, False)

    def test_a_watching_state_is_called_and_told_nothing(self) -> None:
        _, result = applied(chunk("a", "hushed"), chunk("b", "say", Requisite("watch", (0,))))
        assert result.comment == "said  mod_watch was not run because requisites were skipped by another state"
        assert not result.changes

    def test_a_requirement_is_met(self) -> None:
        _, result = applied(chunk("a", "hushed"), chunk("b", "say", Requisite("require", (0,))))
        assert result.comment == "said "

    def test_without_it_the_change_is_acted_on(self) -> None:
        _, result = applied(chunk("a", "hushed", args={"skip": False}), chunk("b", "say", Requisite("watch", (0,))))
        assert result.changes


class TestHabits:
    def test_failhard_of_the_host_ends_the_run_unless_the_state_says_no(self) -> None:
        hard = engine.Habits(failhard=True)
        assert len(applied(chunk("a", "nothing"), chunk("b"), habits=hard)) == 1
        assert len(applied(chunk("a", "nothing", failhard=False), chunk("b"), habits=hard)) == 2
        assert len(applied(chunk("a", "nothing"), chunk("b"))) == 2

    @pytest.mark.parametrize(
        ("conditions", "called"),
        [
            ({}, True),
            ({"*": ["G@os:Debian"]}, True),
            ({"*": "G@os:Fedora"}, False),
            ({"optiontest": ["G@os:Fedora", "m1"]}, True),
            ({"optiontest.say": ["not m1"]}, False),
            ({"optiontest.say": ["not m1"], "*": ["m1"]}, True),
            ({"optiontest.other": ["not m1"]}, True),
        ],
    )
    def test_conditions_of_the_host_let_states_be_called(self, conditions: Mapping[str, Any], called: bool) -> None:
        (result,) = applied(chunk("a"), habits=engine.Habits(conditions=conditions))
        assert bool(SEEN) is called
        assert (result.result, result.comment) == ((True, "said ") if called else (None, NOT_MET))
