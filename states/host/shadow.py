"""How accounts are changed: by the tools of shadow-utils, with argument lists, and passwords on standard input."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from protocol.errors import ArgumentError, Where
from states.context import Context
from states.host import process

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")
_HELP = "install the package passwd (shadow-utils)"


def check_name(what: str, name: str) -> None:
    """Raises ArgumentError when `name` cannot be a user or group (useradd(8); letters of both cases are taken)."""
    if _NAME.fullmatch(name) is None:
        raise ArgumentError(
            f"{name[:80]!r} is no name of a {what}",
            help="at most 32 letters, digits, '_', '-' and '.', beginning with a letter or '_'",
        )


def check_field(name: str, what: str, value: str) -> None:
    """Raises ArgumentError when `value` cannot stand in a field of passwd(5)."""
    if ":" in value or "\n" in value or "\0" in value:
        raise ArgumentError(f"{what} must not hold ':' or line breaks", where=Where(f"user {name}"))


def useradd(ctx: Context, name: str, options: Sequence[str]) -> None:
    """Make a user. Raises StateError."""
    _run(ctx, "useradd", options, name)


def usermod(ctx: Context, name: str, options: Sequence[str]) -> None:
    """Change a user. Raises StateError."""
    _run(ctx, "usermod", options, name)


def userdel(ctx: Context, name: str, options: Sequence[str]) -> None:
    """Remove a user. Raises StateError."""
    _run(ctx, "userdel", options, name)


def groupadd(ctx: Context, name: str, options: Sequence[str]) -> None:
    """Make a group. Raises StateError."""
    _run(ctx, "groupadd", options, name)


def groupmod(ctx: Context, name: str, options: Sequence[str]) -> None:
    """Change a group. Raises StateError."""
    _run(ctx, "groupmod", options, name)


def groupdel(ctx: Context, name: str) -> None:
    """Remove a group. Raises StateError."""
    _run(ctx, "groupdel", [], name)


def set_members(ctx: Context, group: str, members: Collection[str]) -> None:
    """Make `members` the members of the group. Raises StateError."""
    command = process.require(ctx, "gpasswd", help=_HELP)
    process.run(ctx, [command, *_root(ctx), "--members", ",".join(sorted(members)), group])


def set_password(ctx: Context, name: str, hashed: str) -> None:
    """Make `hashed` the user's field in shadow(5). Raises StateError.

    It goes through standard input: arguments can be seen by every user of the host.
    """
    command = process.require(ctx, "chpasswd", help=_HELP)
    process.run(ctx, [command, "--encrypted", *_root(ctx)], stdin=f"{name}:{hashed}\n")


def _run(ctx: Context, tool: str, options: Sequence[str], name: str) -> None:
    process.run(ctx, [process.require(ctx, tool, help=_HELP), *_root(ctx), *options, "--", name])


def _root(ctx: Context) -> list[str]:
    """What makes a tool work on a private root: chroot, because not all know --prefix, and some that do still ask the
    host about groups."""
    return [] if ctx.root == Path("/") else ["--root", str(ctx.root)]
