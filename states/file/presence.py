"""The states that only care whether a path is there: absent, exists, missing, touch."""

from __future__ import annotations

import os
from pathlib import Path

from protocol.errors import StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.host.attributes import LEAVE
from states.host.files import failure, write_atomic
from states.host.folders import parents, removal
from states.host.walk import target
from states.registry import state


@state("file.absent")
def absent(ctx: Context, name: str) -> Plan:
    """Remove `name`, a directory with all in it. Refused for the root directory and where something is mounted."""
    path = ctx.path(name)
    if os.path.normpath(name) in ("/", "//"):
        raise StateError("the root directory is not removed", where=Where(name), help="name what must go")
    if not os.path.lexists(path):
        return Plan(comment=f"File {name} is not present")
    return Plan([removal(ctx, os.path.normpath(name))], f"Removed {name}")


@state("file.exists")
def exists(ctx: Context, name: str) -> Plan:
    """Fail unless `name` is there. Changes nothing."""
    if os.path.lexists(ctx.path(name)):
        return Plan(comment=f"Path {name} exists")
    if ctx.assumed():
        return Plan(comment=f"Path {name} is not there yet; an earlier state may make it")
    raise StateError(f"Specified path {name} does not exist", where=Where(name))


@state("file.missing")
def missing(ctx: Context, name: str) -> Plan:
    """Fail when `name` is there. Changes nothing."""
    if not os.path.lexists(ctx.path(name)):
        return Plan(comment=f"Path {name} is missing")
    if ctx.assumed():
        return Plan(comment=f"Path {name} is there now; an earlier state may remove it")
    raise StateError(f"Specified path {name} exists", where=Where(name))


@state("file.touch")
def touch(
    ctx: Context, name: str, *, atime: int | None = None, mtime: int | None = None, makedirs: bool = False
) -> Plan:
    """Make the empty file `name` when it is not there, and set its times: those given, else now, each time it is run.

    atime, mtime: when it was last read and written, in seconds since the epoch
    makedirs: make the missing directories above
    """
    above = parents(ctx, name, make=makedirs, want=LEAVE)
    path = target(ctx.path(name))
    if not os.path.lexists(path):
        return Plan(
            [*above, Action(Change("create", name, "content"), lambda: _make(path, atime, mtime))],
            f"Created empty file {name}",
        )
    now = path.stat()
    if (atime, mtime) != (None, None) and atime in (None, int(now.st_atime)) and mtime in (None, int(now.st_mtime)):
        return Plan(comment=f"File {name} has these times")
    change = Change("change", name, "times", int(now.st_mtime), mtime)
    return Plan([Action(change, lambda: _set_times(path, atime, mtime))], f"Updated times for file {name}")


def _make(path: Path, atime: int | None, mtime: int | None) -> None:
    write_atomic(path, b"", mode=0o644)
    _set_times(path, atime, mtime)


def _set_times(path: Path, atime: int | None, mtime: int | None) -> None:
    try:
        if atime is None and mtime is None:
            os.utime(path)
            return
        now = path.stat()
        os.utime(path, (now.st_atime if atime is None else atime, now.st_mtime if mtime is None else mtime))
    except OSError as error:
        raise failure(path, error, "set the times") from error
