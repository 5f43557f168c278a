"""Every state on the cases of tests/contracts: a dry run touches nothing and foretells what an apply makes, once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.assignment import Assignment, BlobRef, Chunk
from protocol.results import Change, StepResult
from protocol.secrets import UNKNOWN
from states import engine, registry
from states.ceph import client
from states.context import Context
from tests.unit.contract_cases import Case, load
from tests.unit.contract_worlds import PERIPHERAL, World, build, lay
from tests.unit.state_contract import Entry, snapshot

CASES = load()

ELSEWHERE = {
    "module.run": "calls functions: tests/unit/test_state_module_run.py",
    "module.wait": "calls functions when watched: tests/unit/test_state_module_run.py",
    "stateconf.context": "holds values for templates; is never called",
    "stateconf.set": "holds values for templates; is never called",
    "test.configurable_test_state": "is told to be random: tests/unit/test_engine_teststates.py",
    "test.fail_with_changes": "is to fail: tests/unit/test_engine_teststates.py",
    "rollback.jobs": "needs a job before it: tests/unit/test_state_rollback.py",
    "ceph.osd": "needs LVM and a device: tests/unit/test_ceph_daemons.py",
}
"""States without a case here, and where they are tested instead."""


class Player:
    """Applies the state of a case to its host."""

    def __init__(self, case: Case, world: World) -> None:
        self.case = case
        self.world = world
        world.state_dir.mkdir(mode=0o700, exist_ok=True)
        refs: dict[str, BlobRef] = {}
        for source, content in case.sources.items():
            raw = content.encode()
            refs[source] = BlobRef(hashlib.sha256(raw).hexdigest(), len(raw))
            (world.state_dir / refs[source].digest).write_bytes(raw)
        family, _, fun = case.state.partition(".")
        chunk = Chunk(family, fun, case.name, case.name, "case", case.args, case.options, sources=refs)
        self.assignment = Assignment("m1", (chunk,))

    def run(self, *, test: bool = False) -> StepResult:
        """The result of a dry run (`test`) or of an apply."""
        client.forget()
        context = Context(
            minion="m1", grains={"id": "m1"}, root=self.world.root, state_dir=self.world.state_dir, deadline=30.0,
            blob_path=lambda ref: self.world.state_dir / ref.digest,
        )  # fmt: skip
        (result,) = engine.apply(self.assignment, context, lambda _: None, test=test)
        return result

    def seen(self) -> dict[str, Entry]:
        """The host as it is, but for what is not its own."""
        found = snapshot(self.world.root)
        return {path: entry for path, entry in found.items() if not path.startswith(PERIPHERAL)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_foretold_is_made_and_a_second_run_is_empty(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = build(case.world, tmp_path, case.facts, monkeypatch)
    lay(world.root, case.have)
    player = Player(case, world)
    before = player.seen()

    foretold = player.run(test=True)
    assert player.seen() == before, "the dry run changed something"
    made = player.run()
    if case.fails:
        assert made.result is False
        assert case.fails in made.comment
        assert foretold.result is False
        assert not world.exact or player.seen() == before
        return
    assert made.result is True, made.comment
    after = player.seen()
    _same(foretold.changes, made.changes)
    assert foretold.result is (case.promised if foretold.changes else True), foretold.comment
    _as_written(case, foretold.changes)
    if world.exact:
        _nothing_untold(made.changes, before, after)
    for path, content in case.then.items():
        place = world.root / path.lstrip("/")
        assert (place.read_text() if place.exists() else None) == content

    if not case.acts:
        assert player.run(test=True).changes == ()
        again = player.run()
        assert (again.result, again.changes) == (True, ()), again
        assert player.seen() == after


def _same(foretold: tuple[Change, ...], made: tuple[Change, ...]) -> None:
    """The changes foretold are those made, value for value; only what was said to be unknown may be anything."""
    for promise, done in zip(foretold, made, strict=True):
        known = replace(done, details=None)
        if promise.new == UNKNOWN:
            known = replace(known, old=promise.old, new=UNKNOWN)
        assert promise == known


def _as_written(case: Case, foretold: tuple[Change, ...]) -> None:
    """The changes foretold are those that the case names."""
    told = [[each.kind, each.subject, each.aspect, each.old, each.new] for each in foretold]
    cut = [one[: len(wanted)] for one, wanted in zip(told, case.plan, strict=False)] + told[len(case.plan) :]
    assert cut == [list(wanted) for wanted in case.plan]


def _nothing_untold(made: tuple[Change, ...], before: Mapping[str, Entry], after: Mapping[str, Entry]) -> None:
    """Each path that differs is below what a change names, and each path that a change names differs.

    A folder made for a new file that is told (that of a drop-in) need not be told itself.
    """
    differing = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    values = {str(value) for change in made for value in (change.old, change.new)}
    subjects = {os.path.normpath(change.subject) for change in made if change.subject.startswith("/")} | values
    ways = {str(above) for change in made if change.kind == "create" for above in Path(change.subject).parents}
    ways = {path for path in ways if path not in before and after.get(path, ("",))[0] == "directory"}
    acted = any(change.kind == "run" or not change.subject.startswith("/") for change in made)
    for path in differing:
        above = {path, *map(str, Path(path).parents)}
        assert acted or path in ways or above & subjects, f"{path} changed and no change tells of it"
    for change in made:
        if change.subject.startswith("/") and change.kind != "run" and change.aspect not in ("times", "mounted"):
            subject = os.path.normpath(change.subject)
            assert any(path == subject or path.startswith(f"{subject}/") for path in differing), change


def test_every_state_has_a_case_or_a_reason() -> None:
    tried = {case.state for case in CASES}
    named = ((name, registry.find_state(name).call.__module__) for name in registry.state_names())
    shipped = {name for name, module in named if module.startswith("states.")}  # other tests register their own
    assert tried | ELSEWHERE.keys() == shipped
    assert not tried & ELSEWHERE.keys()


def test_every_state_that_can_change_something_is_seen_doing_it() -> None:
    busy = {case.state for case in CASES if case.plan}
    only_looking = {
        "file.exists", "file.missing", "test.nop", "test.succeed_without_changes", "test.fail_without_changes",
        "test.show_notification", "test.check_pillar", "cmd.wait", "cmd.watch", "cmd.wait_script",
    }  # fmt: skip
    assert {case.state for case in CASES} - busy == only_looking


def test_lies_are_caught() -> None:
    told, other = Change("create", "/a", "content", new="1"), Change("create", "/a", "content", new="2")
    entry: Entry = ("file", 0o644, 0, 0, b"")
    with pytest.raises(AssertionError):
        _same((told,), (other,))
    with pytest.raises(ValueError, match="shorter"):
        _same((told,), ())
    with pytest.raises(AssertionError, match="/b"):
        _nothing_untold((told,), {}, {"/a": entry, "/b": entry})
    with pytest.raises(AssertionError):
        _nothing_untold((told,), {"/a": entry}, {"/a": entry})
    case = Case("f", "t", "file.managed", "/a", plan=[["create", "/a", "content", None, "2"]])
    with pytest.raises(AssertionError):
        _as_written(case, (told,))
    with pytest.raises(AssertionError):
        _as_written(case, (other, other))
