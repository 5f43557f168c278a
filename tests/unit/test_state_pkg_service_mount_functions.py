"""What `stackmaster exec` asks of packages, services and mounts; and that every argument of these families is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import StateError
from states import declarations, registry
from states.context import Context
from states.host import apt
from tests.unit.fake_apt import FakeApt
from tests.unit.fake_systemctl import FakeSystemctl

FAMILIES = ("pkg", "pkgrepo", "service", "systemd_unit", "mount")


def call(ctx: Context, name: str, *args: Any) -> Any:
    """Call a function as the minion does: positional arguments by name, checked."""
    found = registry.find_function(name)
    given = registry.by_name(name, found.signature, args, {})
    return found.call(ctx, **registry.check_arguments(name, found.signature, given))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    monkeypatch.setattr(apt, "_refreshed", set())
    fake = FakeApt(tmp_path)
    fake.offer("hello", "2.10-3", "2.9-1")
    fake.offer("bash", "5.2")
    fake.have("hello", "2.9-1")
    fake.have("bash", "5.2")
    fake.have("gone", "1", "config-files", "deinstall")
    fake.lay()
    return fake


def test_versions(packages: FakeApt) -> None:
    ctx = packages.context()
    assert call(ctx, "pkg.version", "hello") == "2.9-1"
    assert call(ctx, "pkg.version", "gone") == ""
    assert call(ctx, "pkg.version", "hello", "nowhere") == {"hello": "2.9-1", "nowhere": ""}
    assert call(ctx, "pkg.list") == call(ctx, "pkg.list_pkgs") == {"hello": "2.9-1", "bash": "5.2"}
    assert packages.calls() == []
    assert call(ctx, "pkg.latest_version", ["hello", "bash", "x"]) == {"hello": "2.10-3", "bash": "", "x": ""}
    assert call(ctx, "pkg.latest_version", "hello") == "2.10-3"
    assert call(ctx, "pkg.version_cmp", "1.0~rc1", "1.0") == -1
    assert call(ctx, "pkg.refresh_db") is True


def test_no_name_is_an_error(packages: FakeApt) -> None:
    with pytest.raises(StateError, match="no package was named"):
        call(packages.context(), "pkg.version", [])


def test_services(tmp_path: Path) -> None:
    host = FakeSystemctl(tmp_path)
    host.units = {"up.service": {"active": "active", "file": "enabled", "can_reload": "yes"}, "down.service": {}}
    host.lay()
    ctx = host.context()
    assert call(ctx, "service.status", "up") is True
    assert call(ctx, "service.status", "up", "down") == {"up": True, "down": False}
    assert call(ctx, "service.enabled", "up") is True
    assert call(ctx, "service.enabled", "down") is False
    assert call(ctx, "service.available", "down") is True
    assert call(ctx, "service.available", "nowhere") is False
    shown = call(ctx, "service.show", "up")
    assert (shown["active"], shown["file_state"], shown["can_reload"]) == ("active", "enabled", True)
    for name, verb in (("down", "start"), ("down", "restart"), ("up", "reload"), ("up", "stop"), ("down", "enable")):
        assert call(ctx, f"service.{verb}", name) is True
    assert call(ctx, "service.disable", "up") is True
    assert call(ctx, "service.stop", "nowhere") is True
    assert call(ctx, "service.systemctl_reload") is True
    assert [deed[0] for deed in host.deeds()] == [
        *("start", "restart", "reload", "stop", "enable", "disable", "daemon-reload"),
    ]
    with pytest.raises(StateError, match="no unit nowhere"):
        call(ctx, "service.restart", "nowhere")


def test_mounts(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text("# x\n/dev/sda1 / ext4 noatime 0 1\n/dev/sda2 none swap sw 0 0\n")
    ctx = Context("m1", {}, root=tmp_path)
    assert call(ctx, "mount.active") == {
        "/": {
            "device": "/dev/sda1",
            "fstype": "ext4",
            "opts": ["rw", "relatime"],
            "superopts": ["rw", "errors=remount-ro"],
        }
    }
    assert call(ctx, "mount.is_mounted", "/") is True
    assert call(ctx, "mount.is_mounted", "/srv/") is False
    assert list(call(ctx, "mount.fstab")) == ["/", "/dev/sda2"]


def declared() -> list[tuple[str, declarations.State | declarations.Function]]:
    states = [name for name in registry.state_names() if name.partition(".")[0] in FAMILIES]
    functions = [name for name in registry.function_names() if name.partition(".")[0] in FAMILIES]
    return [
        *((f"state {name}", registry.find_state(name)) for name in states),
        *((f"function {name}", registry.find_function(name)) for name in functions),
    ]


def test_all_families_are_declared() -> None:
    assert {name.split()[1].partition(".")[0] for name, _ in declared()} == set(FAMILIES)


@pytest.mark.parametrize(("name", "item"), declared(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_argument_is_told_in_one_line(name: str, item: declarations.State | declarations.Function) -> None:
    lines = item.doc.splitlines()
    assert lines[0].endswith(".")
    told = {match[1] for line in lines[1:] if (match := re.match(r"(\w+): \S", line))}
    assert set(item.signature.parameters) <= told, name
    assert told <= {*item.signature.parameters, "name"}, name


@pytest.mark.parametrize(("name", "item"), declared(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_watch_takes_is_taken_by_its_state(name: str, item: declarations.State | declarations.Function) -> None:
    watch = item.watch if isinstance(item, declarations.State) else None
    if watch is not None:
        names = set(watch.__code__.co_varnames[: watch.__code__.co_argcount + watch.__code__.co_kwonlyargcount])
        assert names <= {"ctx", "name", *item.signature.parameters}, name
