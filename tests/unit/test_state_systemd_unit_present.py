"""systemd_unit.*: what they foretell is what they do, a second run is empty, and broken units are not written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ArgumentError, StateError
from protocol.secrets import Secret
from states import systemd_unit
from states.contract import Plan
from tests.unit.fake_systemctl import FakeSystemctl

TEXT = "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n"
ANALYZE = """#!/bin/sh
for file; do :; done
name=$(basename "$file")
grep -q ExecStart= "$file" || { echo "$name: Service has no ExecStart=. Refusing." >&2; exit 1; }
echo "other.service:1: not about us" >&2
echo "$name: Command /opt/later is not executable: No such file or directory" >&2
exit 1
"""


@pytest.fixture
def host(tmp_path: Path) -> FakeSystemctl:
    fake = FakeSystemctl(tmp_path)
    fake.units = {"demo.service": {"file": "disabled"}}
    fake.lay()
    analyze = tmp_path / "usr/bin/systemd-analyze"
    analyze.write_text(ANALYZE)
    analyze.chmod(0o755)
    return fake


def apply(plan: Plan) -> list[Any]:
    return [action.perform() for action in plan.actions]


def told(plan: Plan) -> list[tuple[str, str, str]]:
    return [change.foretold() for change in plan.changes]


def test_a_unit_is_verified_written_read_and_enabled(host: FakeSystemctl) -> None:
    ctx = host.context()
    plan = systemd_unit.present(ctx, "demo", contents=TEXT, enable=True)
    path = "/etc/systemd/system/demo.service"
    assert told(plan) == [("create", path, "content"), ("change", "unit demo.service", "enabled")]
    assert "+ExecStart=/bin/true" in plan.changes[0].diff
    details = apply(plan)
    assert details[0] == {"verify": ["demo.service: Command /opt/later is not executable: No such file or directory"]}
    place = ctx.path(path)
    assert place.read_text() == TEXT
    assert place.stat().st_mode & 0o777 == 0o644
    assert [deed[0] for deed in host.deeds()] == ["daemon-reload", "enable"]
    assert not systemd_unit.present(ctx, "demo", contents=TEXT, enable=True).actions


def test_a_dry_run_tells_the_same_and_writes_nothing(host: FakeSystemctl) -> None:
    dry = systemd_unit.present(host.context(test=True), "demo", contents=TEXT)
    assert dry.changes == systemd_unit.present(host.context(), "demo", contents=TEXT).changes
    assert list(host.root.joinpath("etc/systemd/system").iterdir()) == []


def test_sections_become_text(host: FakeSystemctl) -> None:
    ctx = host.context()
    sections: dict[str, Any] = {
        "Unit": {"Description": "x", "After": ["a.target", "b.target"]},
        "Service": {"ExecStart": ["", "/bin/true"], "RemainAfterExit": True, "Environment": Secret("TOKEN=abcdef")},
    }
    apply(systemd_unit.present(ctx, "demo.service", sections=sections, mode="0600"))
    place = ctx.path("/etc/systemd/system/demo.service")
    assert place.read_text() == (
        "[Unit]\nDescription=x\nAfter=a.target\nAfter=b.target\n\n"
        "[Service]\nExecStart=\nExecStart=/bin/true\nRemainAfterExit=yes\nEnvironment=TOKEN=abcdef\n"
    )
    assert place.stat().st_mode & 0o777 == 0o600
    assert not systemd_unit.present(ctx, "demo.service", sections=sections, mode="0600").actions


def test_secret_contents_are_written_as_they_are(host: FakeSystemctl) -> None:
    ctx = host.context()
    apply(systemd_unit.present(ctx, "demo", contents=Secret(TEXT.rstrip("\n"))))
    assert ctx.path("/etc/systemd/system/demo.service").read_text() == TEXT


def test_a_drop_in_and_its_source(host: FakeSystemctl) -> None:
    ctx = host.context()
    ctx.path("/srv").mkdir()
    ctx.path("/srv/limit.conf").write_text("[Service]\nLimitNOFILE=65536\n")
    plan = systemd_unit.present(ctx, "ceph-osd@", dropin="limits", source="/srv/limit.conf")
    path = "/etc/systemd/system/ceph-osd@.service.d/limits.conf"
    assert told(plan) == [("create", path, "content")]
    apply(plan)
    assert ctx.path(path).read_text() == "[Service]\nLimitNOFILE=65536\n"
    assert not systemd_unit.present(ctx, "ceph-osd@", dropin="limits.conf", source="/srv/limit.conf").actions
    apply(systemd_unit.absent(ctx, "ceph-osd@", dropin="limits"))
    assert not systemd_unit.absent(ctx, "ceph-osd@", dropin="limits").actions
    assert [deed[0] for deed in host.deeds()] == ["daemon-reload", "daemon-reload"]


def test_a_unit_that_cannot_be_loaded_is_not_written(host: FakeSystemctl) -> None:
    ctx = host.context()
    with pytest.raises(StateError, match="Service has no ExecStart=") as caught:
        apply(systemd_unit.present(ctx, "demo", contents="[Service]\nType=simple\n"))
    assert caught.value.help == "nothing was written"
    assert not ctx.path("/etc/systemd/system/demo.service").exists()


def test_only_the_mode_differs(host: FakeSystemctl) -> None:
    ctx = host.context()
    apply(systemd_unit.present(ctx, "demo", contents=TEXT))
    plan = systemd_unit.present(ctx, "demo", contents=TEXT, mode="0640")
    assert told(plan) == [("change", "/etc/systemd/system/demo.service", "mode")]
    apply(plan)
    assert not systemd_unit.present(ctx, "demo", contents=TEXT, mode="0640").actions


def test_absent_disables_and_removes_and_warns_of_what_runs(host: FakeSystemctl) -> None:
    ctx = host.context()
    apply(systemd_unit.present(ctx, "demo", contents=TEXT, enable=True))
    host.read("demo.service").update(active="active")
    host.write()
    plan = systemd_unit.absent(ctx, "demo")
    assert told(plan) == [
        ("change", "unit demo.service", "enabled"),
        ("remove", "/etc/systemd/system/demo.service", "file"),
    ]
    assert "runs on" in plan.warnings[0]
    apply(plan)
    assert not systemd_unit.absent(ctx, "demo").actions


def test_a_mask_is_not_written_through(host: FakeSystemctl) -> None:
    ctx = host.context()
    ctx.path("/etc/systemd/system/demo.service").symlink_to("/dev/null")
    with pytest.raises(StateError, match="symbolic link to /dev/null") as caught:
        systemd_unit.present(ctx, "demo", contents=TEXT)
    assert "unmasked" in caught.value.help


def test_without_systemd_the_file_is_written_all_the_same(host: FakeSystemctl) -> None:
    shutil.rmtree(host.root / "run")
    ctx = host.context()
    apply(systemd_unit.present(ctx, "demo", contents=TEXT))
    apply(systemd_unit.absent(ctx, "demo"))
    assert host.deeds() == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"contents": "x", "sections": {}},
        {"sections": {"Unit": "x"}},
        {"sections": {"a b": {}}},
        {"sections": {"Unit": {"A": "x\ny"}}},
        {"contents": "x", "dropin": "../x"},
    ],
)
def test_what_cannot_be_a_unit_is_refused(host: FakeSystemctl, given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        systemd_unit.present(host.context(), "demo", **given)


def test_a_template_cannot_be_enabled(host: FakeSystemctl) -> None:
    with pytest.raises(ArgumentError, match="is a template"):
        systemd_unit.present(host.context(), "demo@", contents=TEXT, enable=True)
