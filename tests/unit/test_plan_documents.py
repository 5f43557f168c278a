"""Plans as documents: what seals them, what they compare, and that the order and the form of values do not matter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master import planned
from master.planned import Kept, Moved
from master.vault import Vault
from protocol.data import Data
from protocol.errors import RefusedError
from protocol.identity import generate
from protocol.results import Change, StepResult

VAULT, OTHER = Vault(generate()), Vault(generate())
HEAD: Mapping[str, Data] = {
    "created": 1000.0, "expires": 2000.0, "user": "root", "target": "*", "target_kind": "compound", "sls": ["a"],
    "environment": "base", "pillar": {}, "timeout": 60.0, "job": "20261120-1",
}  # fmt: skip


def step(*changes: Change, tag: str = "t", result: bool | None = None) -> StepResult:
    """A step of a dry run."""
    return StepResult(tag, "file.managed", tag, f"/{tag}", "a", result, "", changes)


def made(*changes: Change) -> dict[str, Any]:
    """The plan of one minion whose only step foretells `changes`."""
    steps = {"osd1": planned.steps_of([step(*changes)])}
    return planned.document(HEAD, {"osd1": Kept("a" * 64, "b" * 64)}, steps, VAULT)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
CHANGES = st.builds(
    Change, st.sampled_from(["create", "change", "remove"]), st.text(max_size=5), st.text(max_size=5), VALUES, VALUES,
    st.text(max_size=9),
)  # fmt: skip


@given(st.lists(CHANGES, max_size=4))
def test_a_plan_holds_after_its_way_through_a_file(changes: list[Change]) -> None:
    plan = made(*changes)
    text = json.dumps(plan, indent=1, ensure_ascii=False, sort_keys=True)
    again = json.loads(text.encode("utf-8", "replace"))
    planned.check(again, VAULT, 1500.0)
    foretold = again["foretold"][again["minions"]["osd1"]["foretold"]]
    assert planned.moved("osd1", foretold, planned.steps_of([step(*changes)])) == []


@given(st.lists(CHANGES, max_size=3), st.lists(CHANGES, max_size=3))
def test_what_moved_is_empty_for_the_same_and_mirrored_for_the_other_way(one: list[Change], two: list[Change]) -> None:
    first, second = planned.steps_of([step(*one)]), planned.steps_of([step(*two)])
    there, back = planned.moved("m", first, second), planned.moved("m", second, first)
    assert {(each.subject, each.aspect) for each in there} == {(each.subject, each.aspect) for each in back}
    assert len(there) == len(back)
    if first == second:
        assert there == []


def test_every_edit_and_every_other_master_is_noticed() -> None:
    plan = made(Change("change", "/t", "mode", "0600", "0640"))
    planned.check(plan, VAULT, 1500.0)
    for key in plan:
        edited = {**plan, key: "other"}
        with pytest.raises(RefusedError):
            planned.check(edited, VAULT, 1500.0)
        with pytest.raises(RefusedError):
            planned.check({name: value for name, value in plan.items() if name != key}, VAULT, 1500.0)
    with pytest.raises(RefusedError, match="not as this master made it"):
        planned.check(plan, OTHER, 1500.0)
    with pytest.raises(RefusedError, match="hours old"):
        planned.check(plan, VAULT, 2000.1)


def test_what_moved_is_named_by_subject_and_aspect() -> None:
    was = planned.steps_of([step(Change("change", "/t", "mode", "0600", "0640")), step(tag="u", result=True)])
    now = planned.steps_of(
        [
            step(Change("change", "/t", "mode", "0644", "0640"), Change("change", "/t", "user", "a", "b")),
            step(tag="u", result=False),
        ]
    )
    mode = {"kind": "change", "old": "0600", "new": "0640", "diff": ""}
    assert planned.moved("osd1", was, now) == [
        Moved("osd1", "file.managed /t", "/t", "mode", mode, {**mode, "old": "0644"}),
        Moved("osd1", "file.managed /t", "/t", "user", None, {**mode, "old": "a", "new": "b"}),
        Moved("osd1", "file.managed /u", "", "result", None, False),
    ]


def test_the_same_change_twice_is_two_changes() -> None:
    change = Change("run", "service x", "reload")
    once, twice = planned.steps_of([step(change)]), planned.steps_of([step(change, change)])
    assert len(planned.moved("m", once, twice)) == 1


def test_minions_that_foretell_the_same_share_it() -> None:
    steps = planned.steps_of([step(Change("create", "/t", "content"))])
    kept = {name: Kept(name, name) for name in ("osd1", "osd2", "osd3")}
    plan = planned.document(HEAD, kept, {"osd1": steps, "osd2": steps, "osd3": []}, VAULT)
    assert len(plan["foretold"]) == 2
    assert plan["minions"]["osd1"]["foretold"] == plan["minions"]["osd2"]["foretold"]


def test_who_joined_and_who_left() -> None:
    assert planned.membership(["a", "b"], ["c", "b", "d"]) == (["c", "d"], ["a"])
