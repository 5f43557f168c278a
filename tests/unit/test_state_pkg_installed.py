"""pkg.installed and pkg.latest: what they foretell is what they do, and a second run is empty."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ArgumentError, StateError
from states import pkg
from states.contract import Plan
from states.host import apt
from tests.unit.fake_apt import FakeApt


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    monkeypatch.setattr(apt, "_refreshed", set())
    fake = FakeApt(tmp_path)
    fake.offer("hello", "2.10-3", "2.9-1", depends=["libhello"])
    fake.offer("libhello", "1.0")
    fake.offer("postfix", "3.7", provides=["mail-transport-agent", "default-mta (= 3.7)"])
    fake.offer("exim4", "4.96", provides=["mail-transport-agent"], conflicts=["postfix"])
    fake.offer("mail-transport-agent")
    fake.have("bash", "5.2")
    fake.lay()
    return fake


def apply(plan: Plan) -> Plan:
    for action in plan.actions:
        action.perform()
    return plan


def told(plan: Plan) -> list[tuple[str, str, str, Any, Any]]:
    return [(c.kind, c.subject, c.aspect, c.old, c.new) for c in plan.changes]


def test_what_comes_along_is_told_and_one_transaction_does_it(host: FakeApt) -> None:
    ctx = host.context()
    plan = pkg.installed(ctx, "hello")
    assert told(plan) == [("create", "package hello", "version", None, "2.10-3")]
    assert plan.foretold == "hello would be installed; with 1 more that they need: libhello 1.0"
    assert host.transactions() == []
    assert [action.perform() for action in plan.actions] == [{"with": {"libhello": "1.0"}}]
    assert host.transactions() == [["apt-get", "install", "hello"]]
    assert host.versions() == {"bash": "5.2", "hello": "2.10-3", "libhello": "1.0"}
    assert pkg.installed(ctx, "hello").actions == []


def test_a_dry_run_tells_the_same_and_touches_nothing(host: FakeApt) -> None:
    dry = pkg.installed(host.context(test=True), "hello")
    assert host.transactions() == []
    assert dry.changes == pkg.installed(host.context(), "hello").changes


def test_what_is_there_costs_no_process(host: FakeApt) -> None:
    plan = pkg.installed(host.context(), "bash", version="5.*")
    assert (plan.actions, host.calls()) == ([], [])
    assert "bash" in plan.comment


def test_several_packages_go_in_one_transaction(host: FakeApt) -> None:
    apply(pkg.installed(host.context(), "all", pkgs=["hello", {"postfix": "3.7"}, "bash"]))
    assert host.transactions() == [["apt-get", "install", "hello", "postfix=3.7"]]


@pytest.mark.parametrize(
    ("version", "chosen"),
    [("2.9-1", "2.9-1"), ("2.9*", "2.9-1"), ("2.*", "2.10-3"), (">=2.9,<2.10", "2.9-1"), ("latest", "2.10-3")],
)
def test_versions_exact_with_wildcards_and_bounds(host: FakeApt, version: str, chosen: str) -> None:
    ctx = host.context()
    apply(pkg.installed(ctx, "hello", version=version))
    assert host.versions()["hello"] == chosen
    assert not pkg.installed(ctx, "hello", version=version).actions


def test_a_version_that_is_not_offered_is_named_with_those_that_are(host: FakeApt) -> None:
    with pytest.raises(StateError, match=r"no package hello 9\.9") as caught:
        pkg.installed(host.context(), "hello", version="9.9")
    assert "2.10-3, 2.9-1" in caught.value.help


def test_an_unknown_package_is_named_with_close_names(host: FakeApt) -> None:
    with pytest.raises(StateError, match="no package helo") as caught:
        pkg.installed(host.context(), "helo")
    assert "hello" in caught.value.help
    assert host.transactions() == [["apt-get", "update"]]


def test_lists_are_fetched_when_they_lack_the_package(host: FakeApt) -> None:
    host.after_update = {"fresh": {"versions": ["1"]}}
    host.write()
    apply(pkg.installed(host.context(), "fresh"))
    assert host.versions()["fresh"] == "1"
    assert host.transactions() == [["apt-get", "update"], ["apt-get", "install", "fresh"]]


def test_lists_are_fetched_when_sources_changed_and_then_no_more(host: FakeApt) -> None:
    (host.root / "etc/apt/sources.list.d/new.list").write_text("deb file:/new ./\n")
    os.utime(host.root / "var/lib/apt/lists/fake_Packages", (1, 1))
    for place in ("var/lib/apt/lists", "var/lib/apt/lists/partial"):
        os.utime(host.root / place, (1_100_000_000, 1_100_000_000))
    ctx = host.context()
    apply(pkg.installed(ctx, "hello"))
    apply(pkg.installed(ctx, "postfix"))
    assert [call[1] for call in host.transactions()] == ["update", "install", "install"]


def test_refresh_is_asked_for_once_in_a_process_and_saved_by_fresh_lists(host: FakeApt) -> None:
    ctx = host.context()
    apply(pkg.installed(ctx, "hello", refresh=True, cache_valid_time=3600))
    assert [call[1] for call in host.transactions()] == ["install"]
    apply(pkg.installed(ctx, "postfix", refresh=True))
    apply(pkg.installed(ctx, "exim4", refresh=True))
    assert [call[1] for call in host.transactions()] == ["install", "update", "install", "install"]


def test_a_dry_run_never_fetches_and_says_so(host: FakeApt) -> None:
    plan = pkg.installed(host.context(test=True), "hello", refresh=True)
    assert len(plan.changes) == 1
    assert "fetches the package lists first" in plan.warnings[0]
    assert host.transactions() == []


def test_a_dry_run_with_current_lists_takes_an_unknown_name_for_a_mistake(host: FakeApt) -> None:
    with pytest.raises(StateError, match="no package helo"):
        pkg.installed(host.context(test=True), "helo")


def test_after_foretold_changes_an_unknown_package_is_taken_as_installable(host: FakeApt) -> None:
    plan = pkg.installed(host.context(test=True, pending=True), "x", pkgs=["hello", {"from-new-repo": "1.2*"}])
    assert ("create", "package from-new-repo", "version", None, "1.2*") in told(plan)
    assert "libhello 1.0" in plan.foretold
    assert any("from-new-repo" in warning for warning in plan.warnings)


def test_explicit_refresh_that_fails_is_an_error_and_an_implied_one_a_warning(host: FakeApt) -> None:
    host.fails = {"apt-get": ["E: Failed to fetch http://gone/\n"] * 2}
    host.write()
    with pytest.raises(StateError, match="Failed to fetch"):
        pkg.installed(host.context(), "hello", refresh=True)
    os.utime(host.root / "etc/apt/sources.list")
    for place in ("var/lib/apt/lists", "var/lib/apt/lists/partial"):
        os.utime(host.root / place, (1_100_000_000, 1_100_000_000))
    plan = pkg.installed(host.context(), "hello")
    assert "could not be fetched" in plan.warnings[0]
    assert len(plan.actions) == 1


def test_a_downgrade_needs_leave(host: FakeApt) -> None:
    ctx = host.context()
    apply(pkg.installed(ctx, "hello"))
    with pytest.raises(StateError, match=r"newer than 2\.9-1"):
        pkg.installed(ctx, "hello", version="2.9-1")
    plan = apply(pkg.installed(ctx, "hello", version="2.9-1", allow_downgrade=True))
    assert told(plan) == [("change", "package hello", "version", "2.10-3", "2.9-1")]
    assert host.versions()["hello"] == "2.9-1"


def test_allow_updates_takes_a_newer_version_as_wanted(host: FakeApt) -> None:
    assert not pkg.installed(host.context(), "bash", version="5.1", allow_updates=True).actions
    with pytest.raises(StateError):
        pkg.installed(host.context(), "bash", version="5.1")


def test_a_provided_virtual_package_counts(host: FakeApt) -> None:
    ctx = host.context()
    with pytest.raises(StateError, match="no installation candidate"):
        pkg.installed(ctx, "mail-transport-agent")
    apply(pkg.installed(ctx, "postfix"))
    assert not pkg.installed(ctx, "mail-transport-agent").actions
    assert not pkg.installed(ctx, "default-mta").actions


def test_what_a_transaction_removes_is_foretold_and_warned_of(host: FakeApt) -> None:
    ctx = host.context()
    apply(pkg.installed(ctx, "postfix"))
    plan = pkg.installed(ctx, "exim4")
    assert ("remove", "package postfix", "version", "3.7", None) in told(plan)
    assert plan.warnings == ("this removes postfix",)
    apply(plan)
    assert "postfix" not in host.versions()


def test_holds(host: FakeApt) -> None:
    ctx = host.context()
    plan = apply(pkg.installed(ctx, "hello", version="2.9-1", hold=True))
    assert told(plan)[-1] == ("change", "package hello", "hold", False, True)
    assert not pkg.installed(ctx, "hello", version="2.9-1", hold=True).actions
    with pytest.raises(StateError, match=r"held at 2\.9-1"):
        pkg.installed(ctx, "hello", version="2.10-3")
    plan = apply(pkg.installed(ctx, "hello", version="2.10-3", hold=False))
    assert [change.aspect for change in plan.changes] == ["hold", "version"]
    assert not pkg.installed(ctx, "hello", hold=False).actions


def test_only_upgrade_leaves_out_what_is_not_installed(host: FakeApt) -> None:
    assert not pkg.installed(host.context(), "hello", only_upgrade=True).actions
    assert not pkg.latest(host.context(), "hello", only_upgrade=True, refresh=False).actions


def test_an_interrupted_dpkg_is_repaired_first(host: FakeApt) -> None:
    (host.root / "var/lib/dpkg/updates/0001").write_text("")
    ctx = host.context()
    plan = pkg.installed(ctx, "hello")
    assert told(plan)[0] == ("change", "dpkg", "state", "interrupted", "configured")
    apply(plan)
    assert [call[0] for call in host.transactions()] == ["dpkg", "apt-get"]
    assert not pkg.installed(ctx, "hello").actions


def test_a_half_configured_package_is_finished(host: FakeApt) -> None:
    host.have("hello", "2.10-3", "half-configured")
    host.have("libhello", "1.0")
    host.write()
    ctx = host.context()
    plan = apply(pkg.installed(ctx, "hello"))
    assert told(plan)[0] == ("change", "package hello", "state", "half-configured", "installed")
    assert not pkg.installed(ctx, "hello").actions


def test_a_package_that_does_not_end_up_installed_is_an_error(host: FakeApt) -> None:
    host.broken = ["hello"]
    host.write()
    with pytest.raises(StateError, match=r"should be at 2\.10-3 and is 2\.10-3 .half-configured"):
        apply(pkg.installed(host.context(), "hello"))


def test_a_transaction_that_fails_fails_every_action_of_it(host: FakeApt) -> None:
    ctx = host.context()
    plan = pkg.installed(ctx, "hello")
    host.fails = {"apt-get": ["E: disk is full\n"]}
    host.write()
    for action in plan.actions:
        with pytest.raises(StateError, match="disk is full"):
            action.perform()
    assert len(host.transactions()) == 1


def test_a_lock_is_waited_for(host: FakeApt, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("states.host.apt.time.sleep", pauses.append)
    plan = pkg.installed(host.context(), "hello")
    host.fails = {"apt-get": ["E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7\n"] * 2}
    host.write()
    apply(plan)
    assert len(pauses) == 2
    assert host.versions()["hello"] == "2.10-3"


def test_latest_upgrades_and_respects_holds(host: FakeApt) -> None:
    host.have("hello", "2.9-1")
    host.have("libhello", "1.0")
    host.have("postfix", "3.6", selection="hold")
    host.write()
    ctx = host.context()
    plan = apply(pkg.latest(ctx, "x", pkgs=["hello", "postfix"]))
    assert told(plan) == [("change", "package hello", "version", "2.9-1", "2.10-3")]
    assert plan.warnings == ("postfix is held at 3.6; 3.7 is the newest",)
    assert not pkg.latest(ctx, "x", pkgs=["hello", "postfix"]).actions
    assert [call[1] for call in host.transactions()] == ["update", "install"]


def test_latest_foretells_from_the_present_lists_in_a_dry_run(host: FakeApt) -> None:
    plan = pkg.latest(host.context(test=True), "hello", refresh=True)
    assert told(plan)[0] == ("create", "package hello", "version", None, "2.10-3")
    assert "fetches the package lists first" in plan.warnings[0]


def test_a_package_file_is_installed_from_a_path(host: FakeApt) -> None:
    (host.root / "tmp").mkdir()
    (host.root / "tmp/hello.deb").write_text("hello 2.11")
    host.offer(str(host.root / "tmp/hello.deb"), "2.11")
    host.write()
    plan = pkg.installed(host.context(), "hello", sources=[{"hello": "/tmp/hello.deb"}])
    assert plan.changes[0].new == "2.11"
    with pytest.raises(StateError, match="is the package hello, not other"):
        pkg.installed(host.context(), "other", sources=[{"other": "/tmp/hello.deb"}])


@pytest.mark.parametrize("name", ["-oDebug=1", "hello-", "Hello", "a b", "../x", ""])
def test_what_is_no_package_name_is_refused(host: FakeApt, name: str) -> None:
    with pytest.raises(ArgumentError):
        pkg.installed(host.context(), "x", pkgs=[{name: None}])
    assert host.calls() == []


def test_options_reach_apt(host: FakeApt) -> None:
    apply(pkg.installed(host.context(), "hello", fromrepo="backports", install_recommends=False, skip_verify=True))
    log = (host.root / "fake/log").read_text().splitlines()[-1]
    for option in ("APT::Default-Release=backports", "APT::Install-Recommends=false", "--allow-unauthenticated"):
        assert option in log
    for option in ("DPkg::Lock::Timeout=120", "--force-confold", "--force-confdef"):
        assert option in log


def test_a_host_without_apt_is_told_so(host: FakeApt) -> None:
    (host.root / "usr/bin/apt-get").unlink()
    with pytest.raises(StateError, match="no command apt-get") as caught:
        pkg.installed(host.context(), "hello")
    assert caught.value.help
