"""How directories are made and trees are removed, and which of them must not be: those that hold a mount."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from protocol.errors import StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action
from states.host.attributes import Wanted
from states.host.files import failure
from states.host.walk import folder


def make_folder(path: Path, want: Wanted) -> None:
    """Make the directory `path` (its parent exists) with owner and mode of `want` (0755). Raises StateError."""
    mode = 0o755 if want.mode is None else want.mode
    try:
        with folder(path.parent) as parent:
            os.mkdir(path.name, 0o700, dir_fd=parent)
            made = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                os.fchown(made, -1 if want.uid is None else want.uid, -1 if want.gid is None else want.gid)
                os.fchmod(made, mode)
            finally:
                os.close(made)
    except OSError as error:
        raise failure(path, error, "make the directory") from error


def parents(ctx: Context, name: str, *, make: bool, want: Wanted) -> list[Action]:
    """The actions that make the missing directories above `name`.

    Raises StateError when some are missing and `make` is false, unless a dry run foretells changes before.
    """
    missing: list[Path] = []
    above = Path(name).parent
    while not ctx.path(str(above)).is_dir():
        if str(above) in ctx.made:
            return _creations(ctx, missing, make, want)
        if os.path.lexists(ctx.path(str(above))):
            raise StateError("is not a directory", where=Where(str(above)), help="move it away, or choose another path")
        if above == above.parent:
            raise StateError("there is no root directory", where=Where(str(ctx.root)))
        missing.append(above)
        above = above.parent
    _check_way(ctx.path(str(above)))
    if missing and not make:
        if ctx.assumed():
            return []
        raise StateError(
            f"its directory {missing[0]} does not exist",
            where=Where(name),
            help="declare it with file.directory and require that, or set makedirs: True",
        )
    return _creations(ctx, missing, make, want)


def _creations(ctx: Context, missing: Sequence[Path], make: bool, want: Wanted) -> list[Action]:
    return [creation(ctx, str(path), want) for path in reversed(missing)] if make else []


def _check_way(path: Path) -> None:
    """Raises StateError when a link that somebody else owns is on the way to the existing directory `path`."""
    try:
        with folder(path):
            return
    except OSError as error:
        raise failure(path, error, "look") from error


def creation(ctx: Context, name: str, want: Wanted) -> Action:
    """The action that makes the directory `name`."""
    path = ctx.path(name)
    return Action(Change("create", name, "directory", new=want.told()), lambda: make_folder(path, want))


def removal(ctx: Context, name: str) -> Action:
    """The action that removes the existing `name`, whatever it is, with all in it.

    Raises StateError when something is mounted there or below: removing would empty it.
    """
    path = ctx.path(name)
    mounted = mounts_below(ctx, name)
    if mounted:
        raise StateError(
            f"not removed: {mounted[0]} is a mount point",
            where=Where(name),
            help=f"unmount it first (mount.unmounted with the name {mounted[0]})",
        )
    return Action(Change("remove", name, kind(path)), lambda: remove(path))


def remove(path: Path) -> None:
    """Remove `path` itself (never what a link leads to), a directory with all in it. Raises StateError."""
    try:
        with folder(path.parent) as parent:
            if stat.S_ISDIR(os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode):
                shutil.rmtree(path.name, dir_fd=parent)
            else:
                os.unlink(path.name, dir_fd=parent)
    except OSError as error:
        raise failure(path, error, "remove") from error


def mounts_below(ctx: Context, name: str) -> list[str]:
    """The mount points at or below the absolute path `name`, as /proc/self/mountinfo of the root tells."""
    try:
        text = ctx.path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return []  # a private root without /proc has no mounts of its own
    real = "/" + os.path.relpath(ctx.path(name).parent.resolve() / Path(name).name, ctx.root.resolve())
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) > 4:
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
            if point == real or point.startswith(real.rstrip("/") + "/"):
                found.append(point)
    return found


def kind(path: Path) -> str:
    """What `path` is: "directory", "file", "link" or "special file"."""
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "special file"
