"""The states that copy and rename what is already on the host."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from protocol.errors import ArgumentError, StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.file.managed import folder_attributes
from states.host.attributes import Wanted, wanted
from states.host.content import Foretold, LocalFile
from states.host.desired import Options, plan_file
from states.host.files import failure
from states.host.folders import parents, removal
from states.registry import state


@state("file.copy")
def copy(
    ctx: Context,
    name: str,
    *,
    source: str,
    force: bool = False,
    makedirs: bool = False,
    preserve: bool = False,
    user: str | None = None,
    group: str | None = None,
    mode: str | None = None,
    dir_mode: str | None = None,
    subdir: bool = False,
) -> Plan:
    """Copy the file or directory `source` of this host to `name`, when that is not there.

    source: an absolute path
    force: replace a file that is there and differs
    subdir: when `name` is a directory, copy into it under the source's own name
    preserve: take owner and mode of the source too
    user, group, mode: owner and permissions; those of the source's mode when not given
    makedirs, dir_mode: make the missing directories above
    """
    here = ctx.path(source)
    if subdir and ctx.path(name).is_dir():
        name = f"{name.rstrip('/')}/{Path(source).name}"
    if os.path.lexists(ctx.path(name)) and not force:
        return Plan(comment=f"The target file {name} exists and will not be overwritten")
    if not here.exists():
        if ctx.assumed():
            return plan_file(ctx, name, Foretold(source), wanted(ctx, user, group, mode), Options(makedirs=makedirs))
        raise StateError(f"the source {source} is not present", where=Where(name))
    status = here.stat()
    if mode is None:
        mode = f"{status.st_mode & 0o7777:04o}"
    want = wanted(ctx, user, group, mode)
    if preserve:
        want = replace(want, user=str(status.st_uid), group=str(status.st_gid), uid=status.st_uid, gid=status.st_gid)
    above = folder_attributes(want, dir_mode)
    if here.is_dir():
        return _copy_tree(ctx, name, here, source, makedirs, above)
    return plan_file(ctx, name, LocalFile(here), want, Options(makedirs=makedirs, folders=above))


@state("file.rename")
def rename(ctx: Context, name: str, *, source: str, force: bool = False, makedirs: bool = False) -> Plan:
    """Move the file or directory `source` to `name`. Nothing is done when `source` is not there.

    source: an absolute path
    force: replace what is at `name`
    makedirs: make the missing directories above
    """
    old, new = ctx.path(source), ctx.path(name)
    if not os.path.lexists(old):
        return Plan(comment=f"Source file {source} has already been moved out of place")
    if os.path.lexists(new) and not force:
        return Plan(comment=f"The target file {name} exists and will not be overwritten")
    above = parents(ctx, name, make=makedirs, want=Wanted())
    way = [removal(ctx, name)] if new.is_dir() and not new.is_symlink() else []
    move = Action(Change("change", name, "moved", source, name), lambda: _rename(old, new))
    return Plan([*above, *way, move], f"Moved {source} to {name}")


def _copy_tree(ctx: Context, name: str, here: Path, source: str, makedirs: bool, above: Wanted) -> Plan:
    new = ctx.path(name)
    if os.path.lexists(new):
        raise ArgumentError("force does not replace directories", where=Where(name), help="remove it, with file.absent")

    def perform() -> None:
        try:
            shutil.copytree(here, new, symlinks=True)
        except (OSError, shutil.Error) as error:
            raise StateError(f"cannot copy {source}: {error}", where=Where(name)) from error

    copied = Action(Change("create", name, "directory", new=f"copy of {source}"), perform)
    return Plan([*parents(ctx, name, make=makedirs, want=above), copied], f"Copied {source} to {name}")


def _rename(old: Path, new: Path) -> None:
    try:
        shutil.move(old, new)
    except OSError as error:
        raise failure(old, error, f"move to {new}") from error
