"""file.directory, symlink, absent, exists, missing, touch, copy, rename, recurse."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from tests.unit.state_contract import check, context, plan, snapshot

Args = Mapping[str, Data]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/passwd").write_text("ceph:x:64045:64045::/var/lib/ceph:/bin/false\n")
    (made / "etc/group").write_text("ceph:x:64045:\n")
    return made


def fill(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def told(done: object) -> list[tuple[str, str, str]]:
    return [change.foretold() for change in done.changes]  # type: ignore[attr-defined]


DIRECTORIES: list[tuple[Args, int, int]] = [
    ({}, 0o755, 0),
    ({"mode": "0700"}, 0o700, 0),
    ({"dir_mode": "1777", "mode": "0700"}, 0o1777, 0),
    ({"user": "ceph", "group": "ceph", "mode": "2750"}, 0o2750, 64045),
]


@pytest.mark.parametrize(("args", "mode", "uid"), DIRECTORIES)
def test_a_new_directory(root: Path, args: Args, mode: int, uid: int) -> None:
    done = check("file.directory", "/srv", args, root)
    assert snapshot(root)["/srv"][:3] == ("directory", mode, uid)
    assert told(done) == [("create", "/srv", "directory")]


def test_a_directory_with_missing_ones_above(root: Path) -> None:
    with pytest.raises(StateError, match="makedirs"):
        plan(context(root), "file.directory", "/a/b/c", {})
    done = check("file.directory", "/a/b/c", {"makedirs": True, "user": "ceph", "mode": "750"}, root)
    assert [subject for _, subject, _ in told(done)] == ["/a", "/a/b", "/a/b/c"]
    assert snapshot(root)["/a/b"][:3] == ("directory", 0o750, 64045)


def test_an_existing_directory(root: Path) -> None:
    done = check("file.directory", "/etc", {"mode": "0700", "user": "ceph"}, root)
    assert told(done) == [("change", "/etc", "user"), ("change", "/etc", "mode")]


def test_recursion(root: Path) -> None:
    fill(root, {"d/one": "", "d/sub/two": "", "d/sub/deep/three": "", "d/skip/four": ""})
    (root / "d/link").symlink_to("/etc/passwd")
    args: Args = {
        "user": "ceph",
        "dir_mode": "0750",
        "file_mode": "0640",
        "recurse": ["user", "mode"],
        "exclude_pat": "skip",
    }
    check("file.directory", "/d", args, root)
    found = snapshot(root)
    assert found["/d/sub/deep/three"][:3] == ("file", 0o640, 64045)
    assert found["/d/sub/deep"][:3] == ("directory", 0o750, 64045)
    assert found["/d/skip"][2] == found["/d/skip/four"][2] == 0
    assert found["/d/link"][2] == 64045
    assert found["/etc/passwd"][1:3] == (0o644, 0)


@pytest.mark.parametrize(
    ("depth", "changed"), [(0, []), (1, ["/d/one", "/d/sub"]), (2, ["/d/one", "/d/sub", "/d/sub/two"])]
)
def test_recursion_depth(root: Path, depth: int, changed: list[str]) -> None:
    fill(root, {"d/one": "", "d/sub/two": ""})
    os.chown(root / "d", 64045, -1)
    done = check("file.directory", "/d", {"user": "ceph", "recurse": ["user"], "max_depth": depth}, root)
    assert sorted(subject for _, subject, _ in told(done)) == changed


def test_very_many_differences_are_told_as_one(root: Path) -> None:
    fill(root, {f"d/{number}": "" for number in range(600)})
    done = check("file.directory", "/d", {"file_mode": "0600", "recurse": ["mode"]}, root)
    assert told(done) == [("change", "/d", "owner and mode below")]


CLEAN: list[tuple[Args, set[str]]] = [
    ({}, set()),
    ({"keep": ["/d/sub/two"]}, {"/d/sub", "/d/sub/two"}),
    ({"exclude_pat": "*.conf"}, {"/d/sub", "/d/sub/x.conf"}),
    ({"exclude_pat": "E@^one$"}, {"/d/one"}),
]


@pytest.mark.parametrize(("args", "left"), CLEAN)
def test_clean(root: Path, args: Args, left: set[str]) -> None:
    fill(root, {"d/one": "", "d/sub/two": "", "d/sub/x.conf": "", "d/other/y": ""})
    (root / "d/link").symlink_to("/etc")
    check("file.directory", "/d", {"clean": True, **args}, root)
    assert {path for path in snapshot(root) if path.startswith("/d/")} == left
    assert (root / "etc/passwd").exists()


def test_what_is_in_the_way_of_a_directory(root: Path) -> None:
    fill(root, {"d": "text", "e": "text"})
    with pytest.raises(StateError, match="a file is in the way"):
        plan(context(root), "file.directory", "/d", {})
    done = check("file.directory", "/d", {"force": True}, root)
    assert told(done) == [("remove", "/d", "file"), ("create", "/d", "directory")]
    check("file.directory", "/e", {"backupname": "/e.old"}, root)
    assert (root / "e.old").read_text() == "text"


WRONG: list[tuple[str, Args, str]] = [
    ("file.directory", {"recurse": ["owner"]}, "recurse cannot be 'owner'"),
    ("file.directory", {"clean": True, "max_depth": 1}, "exclude each other"),
    ("file.directory", {"clean": True, "exclude_pat": "E@("}, "not a regular expression"),
    ("file.symlink", {}, "needs the argument 'target'"),
]


@pytest.mark.parametrize(("state", "args", "message"), WRONG)
def test_wrong_arguments(root: Path, state: str, args: Args, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        plan(context(root), state, "/etc", args)


def test_a_new_link(root: Path) -> None:
    done = check("file.symlink", "/etc/link", {"target": "../srv/none", "user": "ceph"}, root)
    assert told(done) == [("create", "/etc/link", "link")]
    assert str((root / "etc/link").readlink()) == "../srv/none"
    assert snapshot(root)["/etc/link"][2] == 64045


def test_a_link_elsewhere_is_turned(root: Path) -> None:
    (root / "etc/link").symlink_to("/old")
    done = check("file.symlink", "/etc/link", {"target": "/new"}, root)
    assert (done.changes[0].old, done.changes[0].new) == ("/old", "/new")


def test_what_is_in_the_way_of_a_link(root: Path) -> None:
    fill(root, {"d/x": "", "f": "text"})
    with pytest.raises(StateError, match="a directory is in the way"):
        plan(context(root), "file.symlink", "/d", {"target": "/x"})
    check("file.symlink", "/d", {"target": "/x", "force": True}, root)
    check("file.symlink", "/f", {"target": "/x", "backupname": "f.old"}, root)
    assert (root / "f.old").read_text() == "text"
    check("file.symlink", "/new/dir/l", {"target": "/x", "makedirs": True}, root)


@pytest.mark.parametrize("name", ["/f", "/d", "/l", "/d/x"])
def test_absent(root: Path, name: str) -> None:
    fill(root, {"d/x": "", "f": "text"})
    (root / "l").symlink_to("f")
    before = snapshot(root)
    check("file.absent", name, {}, root)
    gone = {path for path in before if path == name or path.startswith(f"{name}/")}
    assert snapshot(root).keys() == before.keys() - gone


@pytest.mark.parametrize("name", ["/", "//", "/./"])
def test_the_root_directory_stays(root: Path, name: str) -> None:
    with pytest.raises(StateError, match="not removed"):
        plan(context(root), "file.absent", name, {})


def test_what_holds_a_mount_stays(root: Path) -> None:
    fill(root, {"var/lib/ceph/osd/ceph-0/keyring": "", "proc/self/mountinfo": ""})
    line = "36 35 98:0 / /var/lib/ceph/osd/ceph-0 rw,noatime master:1 - xfs /dev/sdb1 rw\n"
    (root / "proc/self/mountinfo").write_text(line)
    for state, name, args in (
        ("file.absent", "/var/lib/ceph", {}),
        ("file.absent", "/var/lib/ceph/osd/ceph-0", {}),
        ("file.directory", "/var/lib", {"clean": True}),
        ("file.symlink", "/var/lib/ceph", {"target": "/x", "force": True}),
    ):
        with pytest.raises(StateError, match="/var/lib/ceph/osd/ceph-0 is a mount point"):
            plan(context(root), state, name, args)  # type: ignore[arg-type]
    check("file.absent", "/var/lib/ceph/osd/ceph-0/keyring", {}, root)


def test_exists_and_missing(root: Path) -> None:
    check("file.exists", "/etc", {}, root)
    check("file.missing", "/none", {}, root)
    with pytest.raises(StateError, match="does not exist"):
        plan(context(root), "file.exists", "/none", {})
    with pytest.raises(StateError, match="exists"):
        plan(context(root), "file.missing", "/etc", {})
    ahead = context(root, test=True, pending=True)
    assert plan(ahead, "file.exists", "/none", {}).changes == plan(ahead, "file.missing", "/etc", {}).changes == ()


def test_touch(root: Path) -> None:
    assert told(check("file.touch", "/t", {}, root, idempotent=False)) == [("create", "/t", "content")]
    assert told(check("file.touch", "/t", {}, root, idempotent=False)) == [("change", "/t", "times")]
    check("file.touch", "/t", {"mtime": 7}, root)
    plan(context(root), "file.touch", "/t", {"atime": 5}).actions[0].perform()
    assert (int((root / "t").stat().st_atime), int((root / "t").stat().st_mtime)) == (5, 7)


def test_copy(root: Path) -> None:
    fill(root, {"a": "text", "b": "other", "d/x/y": "deep"})
    (root / "a").chmod(0o751)
    check("file.copy", "/c/d", {"source": "/a", "makedirs": True}, root)
    assert snapshot(root)["/c/d"] == ("file", 0o751, 0, 0, b"text")
    assert check("file.copy", "/b", {"source": "/a"}, root).changes == ()
    check("file.copy", "/b", {"source": "/a", "force": True, "user": "ceph", "mode": "600"}, root)
    assert snapshot(root)["/b"] == ("file", 0o600, 64045, 0, b"text")
    check("file.copy", "/e", {"source": "/d"}, root)
    assert (root / "e/x/y").read_text() == "deep"
    check("file.copy", "/e", {"source": "/a", "subdir": True}, root)
    assert (root / "e/a").read_text() == "text"
    with pytest.raises(StateError, match="not present"):
        plan(context(root), "file.copy", "/z", {"source": "/none"})


def test_rename(root: Path) -> None:
    fill(root, {"a": "text", "b": "other", "d/x": ""})
    assert check("file.rename", "/b", {"source": "/a"}, root).changes == ()
    check("file.rename", "/b", {"source": "/a", "force": True}, root)
    assert (root / "b").read_text() == "text"
    assert check("file.rename", "/b", {"source": "/a"}, root).changes == ()
    check("file.rename", "/new/e", {"source": "/d", "makedirs": True}, root)
    assert (root / "new/e/x").exists()


TREE = {"salt://t/a": b"A", "salt://t/sub/b": b"B", "salt://t/sub/deep/c.bak": b"C", "salt://other/z": b"Z"}


def test_recurse(root: Path) -> None:
    args: Args = {"source": "salt://t", "user": "ceph", "file_mode": "0640", "dir_mode": "0750"}
    done = check("file.recurse", "/srv/t", args, root, sources=TREE)
    assert [subject for _, subject, _ in told(done)] == [
        "/srv",
        "/srv/t",
        "/srv/t/sub",
        "/srv/t/sub/deep",
        "/srv/t/a",
        "/srv/t/sub/b",
        "/srv/t/sub/deep/c.bak",
    ]
    found = snapshot(root)
    assert found["/srv/t/sub/b"] == ("file", 0o640, 64045, 0, b"B")
    assert found["/srv/t/sub"][:3] == ("directory", 0o750, 64045)


def test_recurse_cleans_what_is_not_in_the_source(root: Path) -> None:
    fill(root, {"t/a": "old", "t/sub/extra": "", "t/stale/x": "", "t/mine": ""})
    args: Args = {"source": "salt://t", "clean": True, "keep": ["/t/mine"], "exclude_pat": "*.bak"}
    check("file.recurse", "/t", args, root, sources=TREE)
    assert {path for path in snapshot(root) if path.startswith("/t/")} == {"/t/a", "/t/sub", "/t/sub/b", "/t/mine"}


@pytest.mark.parametrize(
    ("args", "files"),
    [
        ({"include_pat": "*.bak"}, {"/t/sub/deep/c.bak"}),
        ({"exclude_pat": "E@^sub/deep"}, {"/t/a", "/t/sub/b"}),
        ({"max_depth": 0}, {"/t/a"}),
    ],
)
def test_recurse_takes_some(root: Path, args: Args, files: set[str]) -> None:
    check("file.recurse", "/t", {"source": "salt://t", **args}, root, sources=TREE)
    assert {path for path, entry in snapshot(root).items() if path.startswith("/t/") and entry[0] == "file"} == files


def test_recurse_of_nothing(root: Path) -> None:
    with pytest.raises(StateError, match="there are no files in salt://none"):
        plan(context(root, sources=TREE), "file.recurse", "/t", {"source": "salt://none"})
