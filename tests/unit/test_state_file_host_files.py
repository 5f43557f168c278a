"""Replacing, comparing and keeping files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ArgumentError, StateError
from states.context import Context
from states.host import files


def test_a_new_file_has_its_mode_and_content(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "key", b"secret", mode=0o640, uid=os.getuid(), gid=os.getgid())
    status = (tmp_path / "key").stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_mode_is_set_before_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real_chmod, real_chown = os.fchmod, os.fchown

    def chmod(descriptor: int, mode: int) -> None:
        order.append(f"mode {os.fstat(descriptor).st_size}")
        real_chmod(descriptor, mode)

    def chown(descriptor: int, uid: int, gid: int) -> None:
        order.append(f"owner {os.fstat(descriptor).st_size}")
        real_chown(descriptor, uid, gid)

    monkeypatch.setattr(os, "fchmod", chmod)
    monkeypatch.setattr(os, "fchown", chown)
    files.write_atomic(tmp_path / "key", b"12345", mode=0o600)
    assert order == ["owner 0", "mode 0", "mode 5"]


@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod", "fchown"])
def test_a_failure_leaves_the_old_content_and_no_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "conf").write_text("old")

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StateError, match="No space left") as caught:
        files.write_atomic(tmp_path / "conf", b"new", mode=0o644)
    assert "free some space" in caught.value.help
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"conf": "old"}


def test_a_refusing_check_leaves_the_old_content(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("old")
    seen: list[bytes] = []

    def check(path: Path) -> None:
        seen.append(path.read_bytes())
        raise StateError("no good")

    with pytest.raises(StateError, match="no good"):
        files.write_atomic(tmp_path / "conf", b"new", mode=0o644, check=check)
    assert seen == [b"new"]
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"conf": "old"}


def test_a_missing_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="makedirs"):
        files.write_atomic(tmp_path / "no" / "conf", b"", mode=0o644)


@pytest.mark.parametrize(("given", "bits"), [("0644", 0o644), ("644", 0o644), (644, 0o644), ("4755", 0o4755), (0, 0)])
def test_modes(given: str | int, bits: int) -> None:
    assert files.parse_mode(given) == bits


@pytest.mark.parametrize("given", ["rw", "", "999", "77777", "-1"])
def test_what_is_no_mode(given: str) -> None:
    with pytest.raises(ArgumentError, match="octal"):
        files.parse_mode(given)


def test_a_diff_names_both_sides_and_a_missing_newline() -> None:
    assert files.unified_diff(b"a\n", b"b", "/x") == (
        "--- /x\n+++ /x\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n"
    )
    assert files.unified_diff(None, b"b\n", "/x").startswith("--- /dev/null\n+++ /x\n")


def test_a_diff_that_must_not_be_seen() -> None:
    assert files.unified_diff(b"password=1", b"password=2", "/x", show=False) == files.NOT_SHOWN


def test_binary_and_large_content_is_told_by_digest() -> None:
    for content in (b"\0abc", b"\xff\xfe", b"x\n" * files.COMPARE_LIMIT):
        told = files.unified_diff(b"", content, "/x")
        assert f"{len(content)} bytes, sha256" in told
        assert len(told) < 200


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_diff_is_empty_exactly_when_nothing_differs(old: bytes, new: bytes) -> None:
    assert (files.unified_diff(old, new, "/x") == "") == (old == new)


def test_a_diff_is_bounded() -> None:
    told = files.unified_diff(b"", b"".join(b"line %d\n" % n for n in range(40_000)), "/x")
    assert len(told) < files.DIFF_LIMIT + 100
    assert told.endswith("more lines\n")


def test_backups_are_private_and_bounded(tmp_path: Path) -> None:
    ctx = Context(minion="m", grains={}, root=tmp_path, state_dir=tmp_path / "state")
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "key").write_text("secret")
    kept = [files.backup(ctx, tmp_path / "key") for _ in range(files.BACKUPS_KEPT + 3)]
    assert kept[-1].read_text() == "secret"
    assert stat.S_IMODE(kept[-1].stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state/backups").stat().st_mode) == 0o700
    assert sorted(kept[-1].parent.iterdir()) == kept[-files.BACKUPS_KEPT :]
