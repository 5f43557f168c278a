"""mount.*: what they foretell is what they do, and a second run is empty; by units of fstab and by mount(8)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import StateError
from states import mount, registry
from states.contract import Plan
from states.host import mounts
from tests.unit.fake_systemctl import FakeSystemctl

POINT = "/var/lib/nova/instances"
UNIT = "var-lib-nova-instances.mount"
LINE = "none /var/lib/nova/instances fuse.ceph ceph.id=nova,_netdev,defaults 0 0"
CEPH: dict[str, Any] = {"device": "none", "fstype": "fuse.ceph", "opts": ["ceph.id=nova", "_netdev", "defaults"]}

MOUNT = """#!/bin/sh
echo "mount $*" >> @ROOT@/fake/mount-log
eval "point=\\${$#}"
case "$*" in *remount*) sed -i "s| $point [^ ]* - | $point ro,noatime - |" @ROOT@/proc/self/mountinfo; exit 0;; esac
echo "78 1 0:9 / $point rw,relatime - tmpfs tmpfs rw" >> @ROOT@/proc/self/mountinfo
"""
UMOUNT = """#!/bin/sh
echo "umount $*" >> @ROOT@/fake/mount-log
[ ! -e @ROOT@/fake/busy ] || { echo "umount: $2: target is busy." >&2; exit 32; }
sed -i "\\\\| $2 |d" @ROOT@/proc/self/mountinfo
"""


class MountHost(FakeSystemctl):
    """A host with systemd and mount(8)."""

    def mounted(self) -> list[str]:
        """The mount points of now, but the root."""
        lines = (self.root / "proc/self/mountinfo").read_text().splitlines()
        return [line.split()[4] for line in lines if line.split()[4] != "/"]

    def mount_log(self) -> list[str]:
        """What mount and umount were told."""
        log = self.root / "fake/mount-log"
        return log.read_text().splitlines() if log.exists() else []

    def live(self, line: str) -> None:
        """Put a line into the kernel's table."""
        table = self.root / "proc/self/mountinfo"
        table.write_text(table.read_text() + line + "\n")


@pytest.fixture
def host(tmp_path: Path) -> MountHost:
    fake = MountHost(tmp_path)
    fake.lay()
    for folder in ("proc/self", "etc", "srv"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "etc/fstab").write_text("# mine\nUUID=1 / ext4 defaults 0 1\n")
    (tmp_path / "proc/self/mountinfo").write_text("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n")
    for name, script in (("mount", MOUNT), ("umount", UMOUNT)):
        path = tmp_path / "usr/bin" / name
        path.write_text(script.replace("@ROOT@", str(tmp_path)))
        path.chmod(0o755)
    return fake


def apply(plan: Plan) -> Plan:
    for action in plan.actions:
        action.perform()
    return plan


def told(plan: Plan) -> list[tuple[str, str, str]]:
    return [change.foretold() for change in plan.changes]


def test_a_cephfs_is_mounted_by_the_unit_of_fstab(host: MountHost) -> None:
    ctx = host.context()
    plan = mount.mounted(ctx, POINT, mkmnt=True, **CEPH)
    assert told(plan) == [
        ("create", POINT, "directory"),
        ("create", "/etc/fstab", f"entry {POINT}"),
        ("create", POINT, "mounted"),
    ]
    assert f"+{LINE}" in plan.changes[1].diff
    assert host.deeds() == []
    apply(plan)
    assert (host.root / "etc/fstab").read_text() == f"# mine\nUUID=1 / ext4 defaults 0 1\n{LINE}\n"
    assert host.deeds()[-2:] == [["daemon-reload"], ["start", UNIT]]
    (host.root / "proc/self/mountinfo").write_text(
        f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n77 22 0:9 / {POINT} rw,relatime - fuse.ceph-fuse ceph-fuse rw\n"
    )
    assert not mount.mounted(ctx, POINT, mkmnt=True, **CEPH).actions


def test_a_dry_run_tells_the_same_and_touches_nothing(host: MountHost) -> None:
    dry = mount.mounted(host.context(test=True), POINT, mkmnt=True, **CEPH)
    assert dry.changes == mount.mounted(host.context(), POINT, mkmnt=True, **CEPH).changes
    assert (host.mounted(), host.deeds()) == ([], [])


def test_a_missing_mount_point_is_an_error_unless_it_is_foretold(host: MountHost) -> None:
    with pytest.raises(StateError, match="does not exist") as caught:
        mount.mounted(host.context(), POINT, **CEPH)
    assert "mkmnt: True" in caught.value.help
    plan = mount.mounted(host.context(test=True, pending=True), POINT, **CEPH)
    assert told(plan)[-1] == ("create", POINT, "mounted")


def test_a_mount_point_that_is_a_file_is_refused(host: MountHost) -> None:
    (host.root / "file").touch()
    with pytest.raises(StateError, match="is not a directory"):
        mount.mounted(host.context(), "/file", mkmnt=True, device="tmpfs", fstype="tmpfs")


def test_without_persist_it_is_mount_and_fstab_is_left(host: MountHost) -> None:
    ctx = host.context()
    given: dict[str, Any] = {"device": "tmpfs", "fstype": "tmpfs", "opts": "size=1m", "persist": False}
    apply(mount.mounted(ctx, "/srv/", **given))
    assert host.mount_log() == ["mount -t tmpfs -o size=1m -- tmpfs /srv"]
    assert "/srv" not in (host.root / "etc/fstab").read_text()
    assert not mount.mounted(ctx, "/srv", **{**given, "opts": "defaults"}).actions


def test_without_systemd_it_is_mount(host: MountHost) -> None:
    shutil.rmtree(host.root / "run")
    apply(mount.mounted(host.context(), "/srv", device="tmpfs", fstype="tmpfs"))
    assert host.mount_log() == ["mount -t tmpfs -o defaults -- tmpfs /srv"]
    assert "tmpfs /srv tmpfs defaults 0 0" in (host.root / "etc/fstab").read_text()


def test_an_entry_of_which_systemd_makes_no_unit_is_mounted_by_mount(host: MountHost) -> None:
    (host.root / "usr/bin/systemctl").write_text("#!/bin/sh\necho LoadState=not-found\n")
    plan = mount.mounted(host.context(), "/srv", device="/dev/sdb1", fstype="xfs")
    assert [action.perform() for action in plan.actions][-1] == {"by": "mount(8): systemd makes no unit of this entry"}
    assert host.mount_log() == ["mount -t xfs -o defaults -- /dev/sdb1 /srv"]


def test_with_mount_false_only_fstab_is_kept(host: MountHost) -> None:
    ctx = host.context()
    apply(mount.mounted(ctx, "/srv", device="tmpfs", fstype="tmpfs", mount=False))
    assert host.mounted() == []
    assert not mount.mounted(ctx, "/srv", device="tmpfs", fstype="tmpfs", mount=False).actions


def test_another_device_is_replaced(host: MountHost) -> None:
    host.live("78 22 0:9 / /srv rw - xfs /dev/sdb1 rw")
    plan = mount.mounted(host.context(), "/srv", device="/dev/sdc1", fstype="xfs", persist=False)
    (change,) = plan.changes
    assert (change.kind, change.aspect) == ("change", "mounted")
    assert (change.old, change.new) == ("/dev/sdb1 (xfs)", "/dev/sdc1 (xfs)")
    apply(plan)
    assert [line.split()[0] for line in host.mount_log()] == ["umount", "mount"]
    regex = mount.mounted(host.context(), "/srv", device="x", fstype="tmpfs", persist=False, device_name_regex="tmp.*")
    assert not regex.actions


def test_options_that_differ_are_remounted(host: MountHost) -> None:
    host.live("78 22 0:9 / /srv rw,relatime - xfs /dev/sdb1 rw")
    ctx = host.context()
    given: dict[str, Any] = {"device": "/dev/sdb1", "fstype": "xfs", "opts": "ro,noatime"}
    plan = mount.mounted(ctx, "/srv", **given)
    assert told(plan) == [("create", "/etc/fstab", "entry /srv"), ("change", "/srv", "options")]
    apply(plan)
    assert host.mount_log() == ["mount -o remount,ro,noatime -- /dev/sdb1 /srv"]
    assert not mount.mounted(ctx, "/srv", **given).actions


def test_options_of_a_helper_wait_for_the_next_mount_and_are_warned_of(host: MountHost) -> None:
    (host.root / POINT[1:]).mkdir(parents=True)
    host.live(f"78 22 0:9 / {POINT} rw,relatime - fuse.ceph-fuse ceph-fuse rw")
    ctx = host.context()
    apply(mount.mounted(ctx, POINT, **CEPH))
    plan = mount.mounted(ctx, POINT, **{**CEPH, "opts": "ceph.id=other,_netdev,defaults"})
    assert told(plan) == [("change", "/etc/fstab", f"entry {POINT}")]
    assert "ceph.id=nova, ceph.id=other takes effect when it is mounted again" in plan.warnings[0]
    plan = mount.mounted(
        ctx, POINT, extra_mount_invisible_keys="ceph.id", **{**CEPH, "opts": "ceph.id=other,_netdev,defaults"}
    )
    assert plan.warnings == ()


def test_a_helper_that_is_gone_is_mounted_anew(host: MountHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.live(f"78 22 0:9 / {POINT} rw,relatime - fuse.ceph-fuse ceph-fuse rw")
    monkeypatch.setattr(mounts, "silence", lambda path, deadline: mounts.Silence("not connected", gone=True))
    plan = mount.mounted(host.context(), POINT, persist=False, **CEPH)
    (change,) = plan.changes
    assert (change.kind, change.old) == ("change", "ceph-fuse (fuse.ceph-fuse): not connected")
    apply(plan)
    assert [line.split()[0] for line in host.mount_log()] == ["umount", "mount"]


def test_a_helper_that_is_slow_is_warned_of_and_left(host: MountHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.live(f"78 22 0:9 / {POINT} rw,relatime - fuse.ceph-fuse ceph-fuse rw")
    monkeypatch.setattr(mounts, "silence", lambda path, deadline: mounts.Silence("no answer within 5 s"))
    plan = mount.mounted(host.context(), POINT, persist=False, **CEPH)
    assert (plan.actions, plan.warnings) == ([], (f"{POINT}: no answer within 5 s",))


def test_a_changed_watched_state_mounts_again(host: MountHost) -> None:
    watch = registry.find_state("mount.mounted").watch
    assert watch is not None
    host.live("78 22 0:9 / /srv rw,relatime - xfs /dev/sdb1 rw")
    plan = watch(host.context(), "/srv", device="/dev/sdb1", fstype="xfs", opts="noatime")
    assert told(plan) == [("restart", "/srv", "remount")]
    apply(plan)
    assert host.mount_log() == ["mount -o remount,noatime -- /dev/sdb1 /srv"]
    host.live(f"79 22 0:9 / {POINT} rw,relatime - fuse.ceph-fuse ceph-fuse rw")
    plan = watch(host.context(), POINT, persist=False, **CEPH)
    assert told(plan) == [("restart", POINT, "mount")]
    apply(plan)
    assert host.mount_log()[1:] == [
        f"umount -- {POINT}",
        f"mount -t fuse.ceph -o ceph.id=nova,_netdev,defaults -- none {POINT}",
    ]


def test_unmounted(host: MountHost) -> None:
    ctx = host.context()
    apply(mount.mounted(ctx, "/srv", device="tmpfs", fstype="tmpfs"))
    plan = mount.unmounted(ctx, "/srv", persist=True)
    assert told(plan) == [("remove", "/srv", "mounted"), ("remove", "/etc/fstab", "entry /srv")]
    apply(plan)
    assert host.mounted() == []
    assert (host.root / "etc/fstab").read_text() == "# mine\nUUID=1 / ext4 defaults 0 1\n"
    assert not mount.unmounted(ctx, "/srv", persist=True).actions


def test_unmounted_leaves_another_device(host: MountHost) -> None:
    host.live("78 22 0:9 / /srv rw - xfs /dev/sdb1 rw")
    assert not mount.unmounted(host.context(), "/srv", device="/dev/sdc1").actions
    assert len(mount.unmounted(host.context(), "/srv", device="/dev/sdb1").actions) == 1


def test_a_busy_mount_says_so(host: MountHost) -> None:
    host.live("78 22 0:9 / /srv rw - xfs /dev/sdb1 rw")
    (host.root / "fake/busy").touch()
    with pytest.raises(StateError, match="target is busy"):
        apply(mount.unmounted(host.context(), "/srv"))


def test_a_failed_mount_unit_says_why(host: MountHost) -> None:
    host.units[UNIT] = {"starts": [{"fails": True, "active": "failed", "result": "exit-code"}]}
    host.journal = ["mount error: connection refused"]
    host.write()
    with pytest.raises(StateError, match="connection refused"):
        apply(mount.mounted(host.context(), POINT, mkmnt=True, **CEPH))


@pytest.mark.parametrize(("point", "device"), [("srv", "tmpfs"), ("/srv", "a\nb"), ("/srv", "")])
def test_what_would_break_fstab_is_refused(host: MountHost, point: str, device: str) -> None:
    with pytest.raises(StateError):
        mount.mounted(host.context(), point, device=device, fstype="tmpfs")
