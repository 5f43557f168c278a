"""A local user cannot turn a write of root: no link of his leads it elsewhere, no name that he guessed is used."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from protocol.data import Data
from protocol.errors import StateError
from states.host import files
from states.host.attributes import LEAVE, set_mode, set_owner
from states.host.folders import make_folder, remove
from states.host.walk import folder, target
from tests.unit.state_contract import context, plan, snapshot

BOB, EVE = 4001, 4002


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a home of bob, a sticky directory for all, and a secret of root."""
    made = tmp_path / "root"
    for name in ("etc", "home/bob/own", "home/eve", "tmp"):
        (made / name).mkdir(parents=True)
    (made / "etc/shadow").write_text("root:secret\n")
    (made / "etc/shadow").chmod(0o640)
    for name in ("home/bob", "home/bob/own"):
        os.chown(made / name, BOB, BOB)
    os.chown(made / "home/eve", EVE, EVE)
    (made / "tmp").chmod(0o1777)
    return made


def link(path: Path, leads_to: Path | str, owner: int) -> None:
    path.symlink_to(leads_to)
    os.chown(path, owner, owner, follow_symlinks=False)


@pytest.mark.parametrize(
    ("owner", "leads_to", "allowed"),
    [
        (BOB, "etc", False),
        (BOB, "home/eve", False),
        (BOB, "home/bob/own", True),
        (0, "etc", True),
        (0, "home/eve", True),
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_whose_links_are_followed(root: Path, owner: int, leads_to: str, allowed: bool, relative: bool) -> None:
    to = root / leads_to
    link(root / "home/bob/link", os.path.relpath(to, root / "home/bob") if relative else to, owner)
    path = root / "home/bob/link/conf"
    if allowed:
        files.write_atomic(path, b"x", mode=0o600)
        assert (to / "conf").read_bytes() == b"x"
        return
    with pytest.raises(StateError, match=r"not followed: 'link' on the way is a symbolic link .* uid 4001"):
        files.write_atomic(path, b"x", mode=0o600)
    assert not (to / "conf").exists()


DEEDS: list[Callable[[Path], object]] = [
    lambda path: files.write_atomic(path / "shadow", b"x", mode=0o600),
    lambda path: files.copy_atomic(path / "shadow", Path("/etc/hostname"), mode=0o600),
    lambda path: set_mode(path / "shadow", 0o666),
    lambda path: set_owner(path / "shadow", uid=BOB),
    lambda path: make_folder(path / "new", LEAVE),
    lambda path: remove(path / "shadow"),
]


@pytest.mark.parametrize("deed", DEEDS)
def test_no_deed_goes_through_a_link_of_somebody_else(root: Path, deed: Callable[[Path], object]) -> None:
    link(root / "home/bob/link", root / "etc", BOB)
    before = snapshot(root)
    with pytest.raises(StateError, match="not followed"):
        deed(root / "home/bob/link")
    assert snapshot(root) == before


STATES: list[tuple[str, str, Mapping[str, Data]]] = [
    ("file.managed", "/tmp/x", {"contents": "x"}),
    ("file.managed", "/tmp/x", {"user": str(BOB)}),
    ("file.managed", "/home/bob/link/shadow", {"contents": "x"}),
    ("file.append", "/tmp/x", {"text": "x"}),
    ("file.replace", "/tmp/x", {"pattern": "root", "repl": "bob"}),
    ("file.touch", "/tmp/x", {"mtime": 1}),
    ("file.symlink", "/home/bob/link/shadow", {"target": "/x", "force": True}),
    ("file.directory", "/tmp/d", {"mode": "0777"}),
    ("file.directory", "/home/bob/link/new", {}),
    ("ini.options_present", "/tmp/x", {"sections": {"a": {"k": "v"}}}),
    ("file.copy", "/home/bob/link/y", {"source": "/etc/shadow"}),
]


@pytest.mark.parametrize(("state", "name", "args"), STATES)
def test_no_state_goes_through_a_link_of_somebody_else(
    root: Path, state: str, name: str, args: Mapping[str, Data]
) -> None:
    link(root / "tmp/x", root / "etc/shadow", BOB)
    link(root / "tmp/d", root / "etc", BOB)
    link(root / "home/bob/link", root / "etc", BOB)
    before = snapshot(root)
    with pytest.raises(StateError, match="not followed"):
        plan(context(root), state, name, args)
    assert snapshot(root) == before


def test_a_tree_that_is_given_away_gives_nothing_else_away(root: Path) -> None:
    """chown -R of a user's directory changes his link, not what it leads to."""
    link(root / "home/bob/own/link", root / "etc/shadow", BOB)
    link(root / "home/bob/own/dir", root / "etc", BOB)
    args = {"user": str(EVE), "mode": "0777", "file_mode": "0666", "recurse": ["user", "mode"]}
    for action in plan(context(root), "file.directory", "/home/bob/own", args).actions:
        action.perform()
    assert snapshot(root)["/etc/shadow"][1:3] == (0o640, 0)
    assert snapshot(root)["/etc"][2] == 0
    assert snapshot(root)["/home/bob/own/link"][2] == EVE


def test_removal_of_a_tree_does_not_follow_links(root: Path) -> None:
    link(root / "home/bob/own/dir", root / "etc", BOB)
    for action in plan(context(root), "file.absent", "/home/bob/own", {}).actions:
        action.perform()
    assert (root / "etc/shadow").exists()
    assert not (root / "home/bob/own").exists()


def test_a_guessed_name_of_the_new_file_is_not_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "guessed")
    link(root / "tmp/.conf.guessed.new", root / "etc/shadow", BOB)
    with pytest.raises(StateError, match="File exists"):
        files.write_atomic(root / "tmp/conf", b"x", mode=0o666)
    assert (root / "etc/shadow").read_text() == "root:secret\n"


def test_names_of_new_files_cannot_be_guessed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    real = os.open

    def spy(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            seen.add(str(path))
            assert flags & os.O_EXCL
            assert flags & os.O_NOFOLLOW
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", spy)
    for _ in range(20):
        files.write_atomic(root / "tmp/conf", b"x", mode=0o600)
    assert len(seen) == 20


def test_the_umask_does_not_matter(root: Path) -> None:
    for mask in (0o000, 0o077, 0o777):
        before = os.umask(mask)
        try:
            files.write_atomic(root / "etc/key", b"x", mode=0o640)
            make_folder(root / f"etc/d{mask}", LEAVE.with_mode(0o750))
        finally:
            os.umask(before)
        assert stat.S_IMODE((root / "etc/key").stat().st_mode) == 0o640
        assert stat.S_IMODE((root / f"etc/d{mask}").stat().st_mode) == 0o750


def test_loops_end(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(StateError, match="too many symbolic links"):
        target(root / "a")
    with pytest.raises(StateError, match="too many symbolic links"), folder(root / "a/x"):
        pass


def test_descriptors_are_closed(root: Path) -> None:
    link(root / "home/bob/link", root / "etc", BOB)
    (root / "chain").symlink_to("home/bob/../bob/own")
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(10):
        with pytest.raises(StateError):
            files.write_atomic(root / "home/bob/link/x", b"", mode=0o600)
        with pytest.raises(StateError):
            files.write_atomic(root / "none/x", b"", mode=0o600)
        files.write_atomic(root / "chain/x", b"", mode=0o600)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
