"""service.*: what they foretell is what they do, a second run is empty, and a failed start says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ArgumentError, StateError
from protocol.secrets import Scrubber
from states import registry, service
from states.contract import Plan
from tests.unit.fake_systemctl import FakeSystemctl


@pytest.fixture
def host(tmp_path: Path) -> FakeSystemctl:
    fake = FakeSystemctl(tmp_path)
    fake.units = {
        "ceph-mon@mon1.service": {},
        "up.service": {"active": "active", "sub": "running", "file": "enabled", "can_reload": "yes"},
        "masked.service": {"load": "masked", "file": "masked"},
        "static.service": {"file": "static"},
        "broken.service": {"load": "bad-setting", "load_error": "Unit has no ExecStart="},
        "sys.timer": {},
    }
    fake.lay()
    return fake


def apply(plan: Plan) -> list[Any]:
    return [action.perform() for action in plan.actions]


def told(plan: Plan) -> list[tuple[str, str, str, Any, Any]]:
    return [(c.kind, c.subject, c.aspect, c.old, c.new) for c in plan.changes]


def test_it_is_enabled_and_started(host: FakeSystemctl) -> None:
    ctx = host.context()
    plan = service.running(ctx, "ceph-mon@mon1", enable=True)
    assert told(plan) == [
        ("change", "unit ceph-mon@mon1.service", "enabled", False, True),
        ("change", "unit ceph-mon@mon1.service", "running", "inactive", "active"),
    ]
    assert host.deeds() == []
    apply(plan)
    assert host.deeds() == [["enable", "ceph-mon@mon1.service"], ["start", "ceph-mon@mon1.service"]]
    assert not service.running(ctx, "ceph-mon@mon1", enable=True).actions


def test_a_dry_run_tells_the_same(host: FakeSystemctl) -> None:
    dry = service.running(host.context(test=True), "ceph-mon@mon1", enable=True)
    assert dry.changes == service.running(host.context(), "ceph-mon@mon1", enable=True).changes


@pytest.mark.parametrize(
    ("name", "full"), [("sys.timer", "sys.timer"), ("ceph-mon@mon1.service", "ceph-mon@mon1.service")]
)
def test_names_may_have_their_suffix(host: FakeSystemctl, name: str, full: str) -> None:
    assert service.running(host.context(), name).changes[0].subject == f"unit {full}"


def test_enable_false_disables(host: FakeSystemctl) -> None:
    ctx = host.context()
    apply(service.running(ctx, "up", enable=False))
    assert host.read("up.service")["file"] == "disabled"
    assert not service.running(ctx, "up", enable=False).actions


def test_a_missing_unit_is_an_error_unless_it_is_foretold(host: FakeSystemctl) -> None:
    with pytest.raises(StateError, match=r"no unit ceph-osd@1\.service") as caught:
        service.running(host.context(), "ceph-osd@1")
    assert "package" in caught.value.help
    with pytest.raises(StateError):
        service.running(host.context(test=True), "ceph-osd@1")
    plan = service.running(host.context(test=True, pending=True), "ceph-osd@1", enable=True)
    assert told(plan) == [
        ("change", "unit ceph-osd@1.service", "enabled", False, True),
        ("change", "unit ceph-osd@1.service", "running", None, "active"),
    ]


def test_a_masked_unit_needs_leave(host: FakeSystemctl) -> None:
    with pytest.raises(StateError, match="is masked") as caught:
        service.running(host.context(), "masked")
    assert "unmask: True" in caught.value.help
    apply(service.running(host.context(), "masked", unmask=True))
    assert [deed[0] for deed in host.deeds()] == ["unmask", "start"]


def test_a_unit_that_cannot_be_loaded_says_why(host: FakeSystemctl) -> None:
    with pytest.raises(StateError, match="has no ExecStart="):
        service.running(host.context(), "broken")


def test_a_static_unit_is_warned_of(host: FakeSystemctl) -> None:
    plan = service.enabled(host.context(), "static")
    assert not plan.actions
    assert "static" in plan.warnings[0]
    plan = service.disabled(host.context(), "static")
    assert (plan.actions, plan.warnings) == ([], ())


def test_a_failed_start_reports_result_status_and_journal_without_secrets(host: FakeSystemctl) -> None:
    outcome = {"fails": True, "active": "failed", "result": "exit-code", "exit_status": 7}
    host.units["ceph-mon@mon1.service"]["starts"] = [outcome]
    host.journal = ["cannot bind to 10.0.0.1:6789", "the key is hush-hush-key"]
    host.write()
    ctx = host.context()
    ctx.scrubber = Scrubber(["hush-hush-key"])
    with pytest.raises(StateError) as caught:
        apply(service.running(ctx, "ceph-mon@mon1"))
    assert "did not start: job failed, now failed, result exit-code, exit status 7" in caught.value.message
    assert "cannot bind to 10.0.0.1:6789" in caught.value.message
    assert "hush-hush-key" not in str(caught.value)
    assert caught.value.help == "systemctl status ceph-mon@mon1.service"


def test_a_start_limit_is_reset_once_and_said(host: FakeSystemctl) -> None:
    limit = {"fails": True, "active": "failed", "result": "start-limit-hit"}
    host.units["ceph-mon@mon1.service"].update(starts=[limit])
    host.write()
    assert apply(service.running(host.context(), "ceph-mon@mon1")) == [
        {"start_limit": "was hit; reset once and started again"}
    ]
    assert [deed[0] for deed in host.deeds()] == ["start", "reset-failed", "start"]
    host.units["ceph-mon@mon1.service"].update(active="inactive", starts=[limit], starts_after_reset=[limit])
    host.write()
    with pytest.raises(StateError, match="result start-limit-hit"):
        apply(service.running(host.context(), "ceph-mon@mon1"))


def test_a_start_limit_of_a_unit_that_failed_before_is_known_by_its_invocation(host: FakeSystemctl) -> None:
    failed = {"active": "failed", "result": "exit-code", "invocation": "0a"}
    host.units["ceph-mon@mon1.service"].update(**failed, starts=[{"fails": True, **failed}])
    host.write()
    apply(service.running(host.context(), "ceph-mon@mon1"))
    assert [deed[0] for deed in host.deeds()] == ["start", "reset-failed", "start"]


def test_a_unit_that_ends_at_once_is_seen(host: FakeSystemctl) -> None:
    host.units["ceph-mon@mon1.service"]["starts"] = [{"active": "activating", "sub": "auto-restart"}]
    host.write()
    with pytest.raises(StateError, match=r"now activating \(auto-restart\)"):
        apply(service.running(host.context(), "ceph-mon@mon1"))


def test_unmet_conditions_are_told(host: FakeSystemctl) -> None:
    host.units["ceph-mon@mon1.service"]["starts"] = [{"active": "inactive", "conditions": "no"}]
    host.write()
    with pytest.raises(StateError, match="conditions are not met"):
        apply(service.running(host.context(), "ceph-mon@mon1"))


def test_a_one_shot_that_ended_well_is_no_failure(host: FakeSystemctl) -> None:
    host.units["ceph-mon@mon1.service"].update(type="oneshot", starts=[{"active": "inactive"}])
    host.write()
    assert apply(service.running(host.context(), "ceph-mon@mon1")) == [{"ended": "a one-shot unit: it ran and ended"}]


def test_changed_unit_files_are_read_before_a_start(host: FakeSystemctl) -> None:
    host.units["ceph-mon@mon1.service"]["need_reload"] = "yes"
    host.write()
    apply(service.running(host.context(), "ceph-mon@mon1"))
    assert [deed[0] for deed in host.deeds()] == ["daemon-reload", "start"]


def test_no_block_does_not_wait(host: FakeSystemctl) -> None:
    assert apply(service.running(host.context(), "ceph-mon@mon1", no_block=True)) == [{"queued": True}]


def test_a_changed_watched_state_restarts_or_reloads(host: FakeSystemctl) -> None:
    watch = registry.find_state("service.running").watch
    assert watch is not None
    plan = watch(host.context(), "up")
    assert told(plan) == [("restart", "unit up.service", "restart", "active", "active")]
    apply(plan)
    apply(watch(host.context(), "up", reload=True))
    apply(watch(host.context(), "up", reload=True, full_restart=True))
    assert [deed[0] for deed in host.deeds()] == ["restart", "reload", "restart"]


def test_what_cannot_be_reloaded_is_restarted_and_warned_of(host: FakeSystemctl) -> None:
    watch = registry.find_state("service.running").watch
    assert watch is not None
    plan = watch(host.context(), "ceph-mon@mon1", reload=True)
    assert plan.changes[0].aspect == "restart"
    assert "cannot be reloaded" in plan.warnings[0]


def test_dead(host: FakeSystemctl) -> None:
    ctx = host.context()
    plan = service.dead(ctx, "up", enable=False)
    assert told(plan) == [
        ("change", "unit up.service", "enabled", True, False),
        ("change", "unit up.service", "running", "active", "inactive"),
    ]
    apply(plan)
    assert not service.dead(ctx, "up", enable=False).actions
    assert "no unit" in service.dead(ctx, "never-there").comment


def test_enabled_and_disabled(host: FakeSystemctl) -> None:
    ctx = host.context()
    apply(service.enabled(ctx, "ceph-mon@mon1"))
    assert not service.enabled(ctx, "ceph-mon@mon1").actions
    apply(service.disabled(ctx, "ceph-mon@mon1"))
    assert not service.disabled(ctx, "ceph-mon@mon1").actions
    assert not service.disabled(ctx, "never-there").actions
    assert len(service.enabled(host.context(test=True, pending=True), "never-there").changes) == 1
    with pytest.raises(StateError, match="is masked"):
        service.enabled(ctx, "masked")


def test_masked_and_unmasked(host: FakeSystemctl) -> None:
    ctx = host.context()
    plan = service.masked(ctx, "up")
    assert told(plan) == [("change", "unit up.service", "masked", False, True)]
    apply(plan)
    assert not service.masked(ctx, "up").actions
    assert not service.masked(ctx, "up", runtime=True).actions
    apply(service.unmasked(ctx, "up"))
    assert not service.unmasked(ctx, "up").actions
    apply(service.masked(ctx, "up", runtime=True))
    assert len(service.masked(ctx, "up").actions) == 1
    assert len(service.unmasked(ctx, "up", runtime=True).actions) == 1


@pytest.mark.parametrize("name", ["ceph-mon@", "a b", "-x", "a/b", ""])
def test_what_is_no_unit_is_refused(host: FakeSystemctl, name: str) -> None:
    with pytest.raises(ArgumentError):
        service.running(host.context(), name)


def test_a_host_without_systemd_is_told_so(host: FakeSystemctl) -> None:
    (host.root / "run/systemd/system").rmdir()
    with pytest.raises(StateError, match="systemd does not run this host"):
        service.running(host.context(), "up")
