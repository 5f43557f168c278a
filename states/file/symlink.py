"""The state that makes a symbolic link."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from protocol.errors import StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.file.managed import folder_attributes
from states.host.attributes import Wanted, differences, wanted
from states.host.files import failure
from states.host.folders import kind, parents, removal, remove
from states.host.walk import folder
from states.registry import state


@state("file.symlink")
def symlink(
    ctx: Context,
    name: str,
    *,
    target: str,
    force: bool = False,
    backupname: str | None = None,
    makedirs: bool = False,
    user: str | None = None,
    group: str | None = None,
    mode: str | None = None,
    follow_symlinks: bool = True,
    atomic: bool = True,
) -> Plan:
    """Make the symbolic link `name`.

    target: what it leads to; it need not be there
    force: replace a file or directory that is in the way
    backupname: move what is in the way to this path
    makedirs: make the missing directories above, with the same owner
    user, group: the owner of the link; left as it is when not given
    mode: the mode of directories made above
    follow_symlinks, atomic: taken for compatibility; a link is always replaced in one step
    """
    want = wanted(ctx, user, group, mode)
    above = parents(ctx, name, make=makedirs, want=folder_attributes(want, mode))
    path = ctx.path(name)
    if not os.path.lexists(path):
        change = Change("create", name, "link", new=target)
        return Plan([*above, _link(path, target, want, change)], f"Link {name} made")
    if path.is_symlink():
        now = str(path.readlink())
        if now == target:
            actions = differences(ctx, path, name, want)
            return Plan(actions, f"Link {name} updated" if actions else f"Link {name} is in the correct state")
        return Plan([_link(path, target, want, Change("change", name, "target", now, target))], f"Link {name} updated")
    way = _make_way(ctx, name, force, backupname)
    change = Change("create", name, "link", new=target)
    return Plan([way, _link(path, target, want, change)], f"Link {name} made")


def _make_way(ctx: Context, name: str, force: bool, backupname: str | None) -> Action:
    path = ctx.path(name)
    if backupname is not None:
        backup = backup_path(name, backupname)
        if os.path.lexists(ctx.path(backup)):
            if not force:
                raise StateError(f"{backup} is there already", where=Where(name), help="set force, or remove it")
            removal(ctx, backup)
        return Action(Change("change", name, "moved", new=backup), lambda: _move(path, ctx.path(backup)))
    if not force:
        raise StateError(f"a {kind(path)} is in the way", where=Where(name), help="set force: True to remove it")
    return removal(ctx, name)


def backup_path(name: str, backupname: str) -> str:
    """Where what is in the way of `name` is moved: an absolute path, or a name beside it."""
    return backupname if backupname.startswith("/") else str(Path(name).parent / backupname)


def _move(path: Path, kept: Path) -> None:
    try:
        if os.path.lexists(kept):
            remove(kept)
        path.rename(kept)
    except OSError as error:
        raise failure(path, error, f"move to {kept}") from error


def _link(path: Path, target: str, want: Wanted, change: Change) -> Action:
    def perform() -> None:
        new = f".{path.name[:100]}.{secrets.token_hex(8)}.new"
        try:
            with folder(path.parent) as parent:
                os.symlink(target, new, dir_fd=parent)
                try:
                    uid, gid = (-1 if each is None else each for each in (want.uid, want.gid))
                    os.chown(new, uid, gid, dir_fd=parent, follow_symlinks=False)
                    os.rename(new, path.name, src_dir_fd=parent, dst_dir_fd=parent)
                except OSError:
                    os.unlink(new, dir_fd=parent)
                    raise
        except OSError as error:
            raise failure(path, error, "make the link") from error

    return Action(change, perform)
