"""How to reach a directory step by step, so that no link of another user leads a privileged write astray."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import StateError, Where

_HOPS = 40
"""Links followed on one way, as in Linux (path_resolution(7))."""

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def folder(path: Path) -> Iterator[int]:
    """A descriptor of the directory `path` (absolute), open for reading and for `dir_fd`.

    A symbolic link on the way is followed when root or this process's user owns it, or when the directory that it
    leads to belongs to the owner of the link (so nobody is led from his own directory into another's; the rule of
    systemd's chase with CHASE_SAFE). Raises StateError when a link is refused, OSError when the way does not exist.
    """
    way = _enter(os.open("/", _STEP), path.parts[1:], path, [0])
    try:
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=way)
    finally:
        os.close(way)
    try:
        yield here
    finally:
        os.close(here)


def target(path: Path) -> Path:
    """Where the link `path` leads, followed to its end; `path` itself when it is no link (or not there).

    Raises StateError for a link that somebody else owns, unless what it leads to is his too.
    """
    for _ in range(_HOPS):
        try:
            link = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return path
        if not stat.S_ISLNK(link.st_mode):
            return path
        following = path.parent / path.readlink()
        if not _trusted(link.st_uid):
            _check_owner(path, following, link.st_uid)
        path = following
    raise StateError("too many symbolic links", where=Where(str(path)), help="remove the loop")


def _check_owner(link: Path, following: Path, uid: int) -> None:
    try:
        owner = following.lstat().st_uid
    except FileNotFoundError:
        owner = following.parent.stat().st_uid if following.parent.exists() else -1
    if owner != uid:
        raise _refusal(link, uid)


def _enter(start: int, parts: tuple[str, ...], path: Path, hops: list[int]) -> int:
    """Walk from the descriptor `start` (closed here) through `parts`; gives the descriptor of the last directory."""
    here = start
    try:
        for part in parts:
            following = _step(here, part, path, hops)
            os.close(here)
            here = following
    except BaseException:
        os.close(here)
        raise
    return here


def _step(here: int, part: str, path: Path, hops: list[int]) -> int:
    found = os.open(part, _STEP, dir_fd=here)
    status = os.fstat(found)
    if stat.S_ISDIR(status.st_mode):
        return found
    try:
        if not stat.S_ISLNK(status.st_mode):
            raise NotADirectoryError(f"{part!r} on the way to {path} is not a directory")
        hops[0] += 1
        if hops[0] > _HOPS:
            raise StateError("too many symbolic links", where=Where(str(path)), help="remove the loop")
        leads_to = Path(os.readlink("", dir_fd=found))
    finally:
        os.close(found)
    if leads_to.is_absolute():
        reached = _enter(os.open("/", _STEP), leads_to.parts[1:], path, hops)
    else:
        reached = _enter(os.open(".", _STEP, dir_fd=here), leads_to.parts, path, hops)
    if not _trusted(status.st_uid) and os.fstat(reached).st_uid != status.st_uid:
        os.close(reached)
        raise _refusal(path, status.st_uid, part)
    return reached


def _trusted(uid: int) -> bool:
    return uid in (0, os.geteuid())


def _refusal(path: Path, uid: int, part: str = "") -> StateError:
    link = f"{part!r} on the way" if part else "it"
    return StateError(
        f"not followed: {link} is a symbolic link of the user with uid {uid} into a place that is not his",
        where=Where(str(path)),
        help="name the real path, or let root own the link",
    )
