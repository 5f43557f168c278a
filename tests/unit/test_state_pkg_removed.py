"""pkg.removed, purged, held, unheld and uptodate: what they foretell is what they do, and a second run is empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import StateError
from states import pkg
from states.contract import Plan
from states.host import apt
from tests.unit.fake_apt import FakeApt


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    monkeypatch.setattr(apt, "_refreshed", set())
    fake = FakeApt(tmp_path)
    fake.offer("hello", "2.10-3", "2.9-1")
    fake.offer("other", "2")
    fake.have("hello", "2.9-1")
    fake.have("other", "1")
    fake.have("gone", "1", "config-files", "deinstall")
    fake.lay()
    return fake


def apply(plan: Plan) -> Plan:
    for action in plan.actions:
        action.perform()
    return plan


def test_removed(host: FakeApt) -> None:
    ctx = host.context()
    plan = apply(pkg.removed(ctx, "x", pkgs=["hello", "never-there", "gone"]))
    assert [(c.kind, c.subject, c.old, c.new) for c in plan.changes] == [("remove", "package hello", "2.9-1", None)]
    assert host.transactions() == [["apt-get", "remove", "hello"]]
    assert not pkg.removed(ctx, "x", pkgs=["hello", "never-there", "gone"]).actions
    assert len(host.transactions()) == 1


def test_only_the_named_version_is_removed(host: FakeApt) -> None:
    assert not pkg.removed(host.context(), "hello", version="2.10-3").actions
    assert len(pkg.removed(host.context(), "hello", version="2.9*").actions) == 1


def test_purged_takes_left_configuration_too(host: FakeApt) -> None:
    ctx = host.context()
    plan = apply(pkg.purged(ctx, "x", pkgs=["hello", "gone"]))
    assert [(c.subject, c.aspect) for c in plan.changes] == [
        ("package hello", "version"),
        ("package gone", "configuration"),
    ]
    assert not pkg.purged(ctx, "x", pkgs=["hello", "gone"]).actions


def test_held_packages_are_not_removed(host: FakeApt) -> None:
    host.have("hello", "2.9-1", selection="hold")
    host.write()
    with pytest.raises(StateError, match="is held") as caught:
        pkg.removed(host.context(), "hello")
    assert "pkg.unheld" in caught.value.help


def test_held_and_unheld(host: FakeApt) -> None:
    ctx = host.context()
    plan = apply(pkg.held(ctx, "hello"))
    assert plan.changes[0].foretold() == ("change", "package hello", "hold")
    assert not pkg.held(ctx, "hello").actions
    apply(pkg.unheld(ctx, "hello"))
    assert not pkg.unheld(ctx, "hello").actions
    assert not pkg.unheld(ctx, "never-there").actions


def test_what_is_not_installed_cannot_be_held_unless_it_is_foretold(host: FakeApt) -> None:
    with pytest.raises(StateError, match="never-there is not installed"):
        pkg.held(host.context(), "never-there")
    assert len(pkg.held(host.context(test=True, pending=True), "never-there").changes) == 1


def test_uptodate(host: FakeApt) -> None:
    ctx = host.context()
    plan = apply(pkg.uptodate(ctx, "all"))
    assert [(c.subject, c.old, c.new) for c in plan.changes] == [
        ("package hello", "2.9-1", "2.10-3"),
        ("package other", "1", "2"),
    ]
    assert not pkg.uptodate(ctx, "all").actions
