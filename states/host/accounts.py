"""What passwd, group and shadow of a root say, and which numbers stand for a user or group there."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import StateError
from protocol.secrets import Secret
from states.context import Context
from states.host.files import failure


@dataclass(frozen=True, slots=True)
class User:
    """A line of passwd(5)."""

    name: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class Group:
    """A line of group(5)."""

    name: str
    gid: int
    members: tuple[str, ...]


def users(root: Path) -> dict[str, User]:
    """The users in etc/passwd of `root`, by name. Raises StateError when it cannot be read."""
    found: dict[str, User] = {}
    for name, _, uid, gid, gecos, home, shell in _rows(root / "etc/passwd", 7):
        if uid.isdigit() and gid.isdigit():
            found.setdefault(name, User(name, int(uid), int(gid), gecos, home, shell))
    return found


def groups(root: Path) -> dict[str, Group]:
    """The groups in etc/group of `root`, by name. Raises StateError when it cannot be read."""
    found: dict[str, Group] = {}
    for name, _, gid, members in _rows(root / "etc/group", 4):
        if gid.isdigit():
            found.setdefault(name, Group(name, int(gid), tuple(member for member in members.split(",") if member)))
    return found


def password_hash(root: Path, name: str) -> Secret | None:
    """What etc/shadow of `root` holds as the password of the user; None when there is no line for him."""
    for fields in _rows(root / "etc/shadow", 9):
        if fields[0] == name:
            return Secret(fields[1])
    return None


def memberships(known: dict[str, Group], name: str) -> set[str]:
    """The groups that list the user as a member (his primary group does not)."""
    return {group.name for group in known.values() if name in group.members}


def uid_of(ctx: Context, user: str) -> int | None:
    """The number of `user` (a name or a number) on this host; None in a dry run that foretells who is missing.

    Falls back to the host's name service (LDAP, systemd) when the root is the host's own. Raises StateError.
    """
    if user.isdigit():
        return int(user)
    known = users(ctx.root).get(user)
    if known is not None:
        return known.uid
    if ctx.root == Path("/"):
        try:
            return pwd.getpwnam(user).pw_uid
        except KeyError:
            pass
    if ctx.assumed():
        return None
    raise StateError(f"there is no user {user!r}", help="declare it with user.present and require that")


def gid_of(ctx: Context, group: str) -> int | None:
    """As `uid_of`, for a group. Raises StateError."""
    if group.isdigit():
        return int(group)
    known = groups(ctx.root).get(group)
    if known is not None:
        return known.gid
    if ctx.root == Path("/"):
        try:
            return grp.getgrnam(group).gr_gid
        except KeyError:
            pass
    if ctx.assumed():
        return None
    raise StateError(f"there is no group {group!r}", help="declare it with group.present and require that")


def _rows(path: Path, fields: int) -> Iterator[list[str]]:
    try:
        content = path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure(path, error, "read") from error
    for line in content.split("\n"):
        row = line.split(":")
        if len(row) == fields and row[0]:
            yield row
