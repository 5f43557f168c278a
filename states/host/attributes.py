"""Owner and mode of a path: as wanted, as they are, and the actions between the two."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.data import Data
from protocol.errors import StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action
from states.host.accounts import gid_of, groups, uid_of, users
from states.host.files import failure, parse_mode, show_mode
from states.host.walk import folder


@dataclass(frozen=True, slots=True)
class Wanted:
    """Owner and mode that a path should have; empty or None means: leave it.

    `uid` (`gid`) is None with a `user` (`group`) given only in a dry run that foretells the account.
    """

    user: str = ""
    group: str = ""
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None

    def with_mode(self, mode: int | None) -> Wanted:
        """The same owner with another mode."""
        return Wanted(self.user, self.group, self.uid, self.gid, mode)

    def told(self) -> Data:
        """What is wanted, for a change that makes something new."""
        told: dict[str, Data] = {}
        if self.user:
            told["user"] = self.user
        if self.group:
            told["group"] = self.group
        if self.mode is not None:
            told["mode"] = show_mode(self.mode)
        return told or None


LEAVE: Final = Wanted()
"""Nothing is wanted of owner or mode."""


def wanted(ctx: Context, user: str | None, group: str | None, mode: str | None) -> Wanted:
    """The Wanted for names or numbers and a mode in octal. Raises StateError (no such account), ArgumentError."""
    return Wanted(
        user or "",
        group or "",
        uid_of(ctx, user) if user else None,
        gid_of(ctx, group) if group else None,
        parse_mode(mode) if mode is not None else None,
    )


def differences(ctx: Context, path: Path, subject: str, want: Wanted) -> list[Action]:
    """What must be done to the owner and mode of the existing `path`. Raises StateError.

    The mode comes last, because a change of owner clears set-user-id bits. A symbolic link has no mode of its own.
    """
    try:
        now = path.lstat()
    except OSError as error:
        raise failure(path, error, "look") from error
    actions = []
    if want.user and want.uid != now.st_uid:
        old = user_name(ctx, now.st_uid)
        actions.append(_owner(path, Change("change", subject, "user", old, want.user), uid=want.uid))
    if want.group and want.gid != now.st_gid:
        old = group_name(ctx, now.st_gid)
        actions.append(_owner(path, Change("change", subject, "group", old, want.group), gid=want.gid))
    bits = stat.S_IMODE(now.st_mode)
    if stat.S_ISLNK(now.st_mode):
        return actions
    if want.mode is not None and bits != want.mode:
        actions.append(_mode(path, Change("change", subject, "mode", show_mode(bits), show_mode(want.mode)), want))
    elif actions and bits & (stat.S_ISUID | stat.S_ISGID):
        actions.append(_and_mode(actions.pop(), path, bits))
    return actions


def set_owner(path: Path, *, uid: int | None = None, gid: int | None = None) -> None:
    """Change user and group of `path` itself (never of what a link leads to); None leaves it. Raises StateError."""
    try:
        with folder(path.parent) as parent:
            os.chown(
                path.name,
                -1 if uid is None else uid,
                -1 if gid is None else gid,
                dir_fd=parent,
                follow_symlinks=False,
            )
    except OSError as error:
        raise failure(path, error, "change the owner") from error


def set_mode(path: Path, mode: int) -> None:
    """Change the permission bits of `path`, which must not be a link. Raises StateError."""
    try:
        with folder(path.parent) as parent:
            found = os.open(path.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                if stat.S_ISLNK(os.fstat(found).st_mode):
                    raise StateError("became a symbolic link meanwhile", where=Where(str(path)))
                Path(f"/proc/self/fd/{found}").chmod(mode)
            finally:
                os.close(found)
    except OSError as error:
        raise failure(path, error, "change the mode") from error


def user_name(ctx: Context, uid: int) -> str:
    """The name of the user `uid` on this host, or the number as text."""
    return next((user.name for user in users(ctx.root).values() if user.uid == uid), str(uid))


def group_name(ctx: Context, gid: int) -> str:
    """The name of the group `gid` on this host, or the number as text."""
    return next((group.name for group in groups(ctx.root).values() if group.gid == gid), str(gid))


def _owner(path: Path, change: Change, *, uid: int | None = None, gid: int | None = None) -> Action:
    return Action(change, lambda: set_owner(path, uid=uid, gid=gid))


def _mode(path: Path, change: Change, want: Wanted) -> Action:
    mode = want.mode or 0
    return Action(change, lambda: set_mode(path, mode))


def _and_mode(action: Action, path: Path, mode: int) -> Action:
    def perform() -> None:
        action.perform()
        set_mode(path, mode)

    return Action(action.change, perform)
