"""What passwd, group and shadow of a root say, and which numbers stand for a user or group there."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import StateError
from protocol.secrets import Secret
from states.context import Context
from states.host.files import failure
from states.host.process import Account


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


def find_user(ctx: Context, name: str) -> User | None:
    """The user, also one that only the host's name service (LDAP, systemd) knows when the root is the host's own."""
    known = users(ctx.root).get(name)
    if known is None and ctx.root == Path("/"):
        try:
            row = pwd.getpwnam(name)
        except KeyError:
            return None
        return User(row.pw_name, row.pw_uid, row.pw_gid, row.pw_gecos, row.pw_dir, row.pw_shell)
    return known


def account(ctx: Context, name: str) -> Account | None:
    """Whom a command runs as that runs as `name`, with all his groups; None in a dry run that foretells the user.

    Raises StateError when there is no such user.
    """
    found = find_user(ctx, name)
    if found is None:
        if ctx.assumed():
            return None
        raise StateError(
            f"there is no user {name!r} to run commands as", help="declare it with user.present and require that"
        )
    if ctx.root == Path("/"):
        return Account(found.uid, found.gid, tuple(os.getgrouplist(name, found.gid)))
    known = groups(ctx.root)
    return Account(found.uid, found.gid, tuple(sorted(known[each].gid for each in memberships(known, name))))


def uid_of(ctx: Context, user: str) -> int | None:
    """The number of `user` (a name or a number) on this host; None in a dry run that foretells who is missing.

    Falls back to the host's name service (LDAP, systemd) when the root is the host's own. Raises StateError.
    """
    if user.isdigit():
        return int(user)
    known = find_user(ctx, user)
    if known is not None:
        return known.uid
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
