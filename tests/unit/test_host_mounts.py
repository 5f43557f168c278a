"""The kernel's table is read, and fstab edited so that all that is not ours stays as it is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import StateError
from states.context import Context
from states.host import mount_options, mounts
from states.host.mounts import Entry, Fstab, Mount

MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 22 0:35 / /tmp rw,nosuid,nodev,noatime - tmpfs tmpfs rw,size=1048576k
41 22 0:36 / /var/lib/nova/instances rw,relatime shared:5 - fuse.ceph-fuse ceph-fuse rw,user_id=0
42 22 0:37 / /mnt/with\\040space rw - glusterfs gl1:/vol rw
43 22 8:1 /srv/data /export rw,relatime - ext4 /dev/sda1 rw
44 40 0:38 / /tmp rw - tmpfs upper rw
garbage
"""
FSTAB = """\
# /etc/fstab: static file system information.
UUID=1234-abcd  /      ext4\terrors=remount-ro 0       1

/dev/sda5  none  swap sw 0 0
/dev/sdb1\t/srv\txfs\tdefaults\t0\t2
  # indented comment about /srv
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTINFO)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(FSTAB)
    return Context("m1", {}, root=tmp_path)


def test_the_table_of_the_kernel(ctx: Context) -> None:
    assert len(mounts.mounts(ctx)) == 6
    assert mounts.mounted_at(ctx, "/mnt/with space") == Mount(
        "/mnt/with space", "glusterfs", "gl1:/vol", "/", ("rw",), ("rw",)
    )
    assert mounts.mounted_at(ctx, "/nowhere") is None


def test_the_upper_mount_is_what_one_sees(ctx: Context) -> None:
    upper = mounts.mounted_at(ctx, "/tmp")
    assert upper is not None
    assert upper.source == "upper"


def test_a_host_without_the_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot read"):
        mounts.mounts(Context("m1", {}, root=tmp_path))


@pytest.mark.parametrize(
    ("wanted", "live", "same"),
    [
        ("fuse.ceph", "fuse.ceph-fuse", True),
        ("ceph-fuse", "fuse.ceph-fuse", True),
        ("glusterfs", "fuse.glusterfs", True),
        ("sshfs", "fuse.sshfs", True),
        ("nfs", "nfs4", True),
        ("auto", "xfs", True),
        ("ext4", "xfs", False),
        ("ceph", "fuse.ceph-fuse", False),
    ],
)
def test_types_by_the_names_of_their_helpers(wanted: str, live: str, same: bool) -> None:
    assert mounts.same_type(wanted, live) is same


def test_devices_by_their_links(ctx: Context) -> None:
    by_uuid = ctx.root / "dev/disk/by-uuid"
    by_uuid.mkdir(parents=True)
    (ctx.root / "dev/sda1").touch()
    (by_uuid / "1234-abcd").symlink_to("../../sda1")
    root = mounts.mounted_at(ctx, "/")
    assert root is not None
    assert mounts.same_device(ctx, Entry("UUID=1234-abcd", "/", "ext4"), root)
    assert mounts.same_device(ctx, Entry("/dev/disk/by-uuid/1234-abcd", "/", "ext4"), root)
    assert not mounts.same_device(ctx, Entry("/dev/sdb1", "/", "ext4"), root)


def test_devices_that_are_no_nodes(ctx: Context) -> None:
    ceph, gluster, bound = (
        mounts.mounted_at(ctx, point) for point in ("/var/lib/nova/instances", "/mnt/with space", "/export")
    )
    assert ceph and gluster and bound
    assert mounts.same_device(ctx, Entry("none", ceph.point, "fuse.ceph"), ceph)
    assert mounts.same_device(ctx, Entry("id=nova", ceph.point, "fuse.ceph"), ceph)
    assert mounts.same_device(ctx, Entry("gl1:/vol", gluster.point, "glusterfs"), gluster)
    assert not mounts.same_device(ctx, Entry("gl1:/other", gluster.point, "glusterfs"), gluster)
    assert mounts.same_device(ctx, Entry("/srv/data", "/export", "none", ("bind",)), bound)
    assert not mounts.same_device(ctx, Entry("/srv/other", "/export", "none", ("bind",)), bound)


def test_fstab_keeps_comments_order_and_gaps(ctx: Context) -> None:
    fstab = mounts.read_fstab(ctx, "/etc/fstab")
    ctx.path("/etc/fstab").chmod(0o600)
    fstab.put(Entry("/dev/sdc1", "/srv", "xfs", ("noatime",), 0, 2))
    fstab.put(Entry("none", "/var/lib/nova/instances", "fuse.ceph", ("ceph.id=nova", "_netdev", "defaults")))
    mounts.write_fstab(ctx, "/etc/fstab", fstab)
    assert ctx.path("/etc/fstab").read_text() == (
        FSTAB.replace("/dev/sdb1\t/srv\txfs\tdefaults", "/dev/sdc1\t/srv\txfs\tnoatime")
        + "none /var/lib/nova/instances fuse.ceph ceph.id=nova,_netdev,defaults 0 0\n"
    )
    assert ctx.path("/etc/fstab").stat().st_mode & 0o777 == 0o600
    fstab.drop("/var/lib/nova/instances")
    fstab.put(Entry("/dev/sdb1", "/srv", "xfs", ("defaults",), 0, 2))
    assert fstab.text() == FSTAB


def test_swap_is_found_by_its_device(ctx: Context) -> None:
    fstab = mounts.read_fstab(ctx, "/etc/fstab")
    assert fstab.find("/dev/sda5") == Entry("/dev/sda5", "none", "swap", ("sw",))
    assert fstab.find("none") is None


def test_no_fstab_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    ctx = Context("m1", {}, root=tmp_path)
    fstab = mounts.read_fstab(ctx, "/etc/fstab")
    fstab.put(Entry("tmpfs", "/x y", "tmpfs"))
    mounts.write_fstab(ctx, "/etc/fstab", fstab)
    assert ctx.path("/etc/fstab").read_text() == "tmpfs /x\\040y tmpfs defaults 0 0\n"


WORD = st.text(st.characters(codec="ascii", exclude_categories=("Cc", "Zs")), min_size=1, max_size=12)
PATHS = st.text(st.sampled_from("ab/ \t\\#-"), max_size=8).map(lambda text: "/" + text.strip("/"))


@given(device=WORD, point=PATHS, options=st.lists(WORD.map(lambda one: one.replace(",", "")).filter(bool), min_size=1))
def test_an_entry_written_is_read_back(device: str, point: str, options: list[str]) -> None:
    entry = Entry(device, point, "ext4", tuple(options), 1, 2)
    assert mounts.parse_line(entry.line()) == entry
    fstab = Fstab(FSTAB.splitlines())
    fstab.put(entry)
    assert fstab.find(point.rstrip("/") or "/") == entry
    assert sum(line.startswith(("#", "  #")) for line in fstab.lines) >= 2


LIVE = Mount("/tmp", "tmpfs", "tmpfs", "/", ("rw", "nosuid", "noatime"), ("rw", "size=1048576k"))


@pytest.mark.parametrize(
    ("wanted", "differing"),
    [
        ("defaults", []),
        ("rw,nosuid,noatime,size=1g", []),
        ("ro", ["ro"]),
        ("noexec,nosuid", ["noexec"]),
        ("suid", ["suid"]),
        ("exec", []),
        ("size=2g", ["size=2g"]),
        ("size=50%", []),
        ("mode=0755,x-systemd.automount,_netdev,nofail", []),
    ],
)
def test_options_against_the_table(wanted: str, differing: list[str]) -> None:
    assert mount_options.differing(mount_options.parse(wanted), LIVE) == differing


def test_options_for_others_do_not_matter_to_the_kernel() -> None:
    options = mount_options.parse(["defaults,_netdev", "x-systemd.requires=ceph.target", "ceph.id=nova", "size=1g"])
    assert mount_options.for_kernel(options, {"size"}) == {"ceph.id=nova"}


def test_what_a_helper_reads_at_its_start_cannot_be_remounted() -> None:
    assert mount_options.remountable("xfs")
    assert not any(mount_options.remountable(kind) for kind in ("fuse.ceph-fuse", "nfs4", "glusterfs", "ceph"))


def test_a_folder_answers_and_a_missing_one_says_why(tmp_path: Path) -> None:
    assert mounts.silence(tmp_path, 10) is None
    missing = mounts.silence(tmp_path / "nowhere", 10)
    assert missing is not None
    assert "No such file" in missing.reason
    assert not missing.gone


def test_what_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("states.host.mounts.os.statvfs", lambda path: release.wait(60))
    assert mounts.silence(tmp_path, 0.05) == mounts.Silence("no answer within 0.05 s")
    release.set()
