"""The state that makes a directory, and can give all in it one owner and mode, or take out what is not managed."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from protocol.errors import ArgumentError, StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.file.managed import folder_attributes
from states.file.symlink import backup_path
from states.host.attributes import Wanted, differences, wanted
from states.host.desired import unknown
from states.host.files import failure, parse_mode
from states.host.folders import creation, kind, parents, removal, remove
from states.host.walk import target
from states.registry import state

_TOLD_SINGLY = 500
"""Differences below a directory that are told one by one; more are told as one change with their number."""


@state("file.directory")
def directory(
    ctx: Context,
    name: str,
    *,
    user: str | None = None,
    group: str | None = None,
    mode: str | None = None,
    dir_mode: str | None = None,
    file_mode: str | None = None,
    recurse: list[str] | None = None,
    max_depth: int | None = None,
    clean: bool = False,
    keep: list[str] | None = None,
    exclude_pat: str | list[str] | None = None,
    makedirs: bool = False,
    force: bool = False,
    backupname: str | None = None,
    follow_symlinks: bool = False,
    allow_symlink: bool = True,
    children_only: bool = False,
) -> Plan:
    """Make the directory `name` and give it its owner and mode.

    user, group: the owner; left as it is when not given
    mode, dir_mode: permissions of the directory in octal, "0755"
    file_mode: permissions of the files below, with `recurse: [mode]`
    recurse: what is also done below: `user`, `group`, `mode`; `ignore_files`, `ignore_dirs` leave those out
    max_depth: how many levels below `recurse` reaches; 0 is the directory itself
    clean: remove what is below, except what `keep` and `exclude_pat` name and what leads there
    keep: paths below that `clean` leaves; the files of states that require this one are put here
    exclude_pat: patterns (glob, or `E@` and a regular expression) of paths below that `clean` and `recurse` leave
    makedirs: make the missing directories above, with the same owner and mode
    force: replace a file or link that is in the way
    backupname: move a file or link that is in the way to this path
    allow_symlink: a link to a directory will do
    children_only: with `recurse`, leave the directory itself
    follow_symlinks: taken for compatibility; links below are not followed
    """
    bits = dir_mode if dir_mode is not None else mode
    want = wanted(ctx, user, group, bits)
    if clean and max_depth is not None:
        raise ArgumentError("clean and max_depth exclude each other", where=Where(name), help="give one of them")
    path = _place(ctx, name, allow_symlink)
    if not os.path.lexists(path) and name.rstrip("/") in ctx.made:
        return unknown(name, "owner and mode")
    blocked: list[Action] = []
    if os.path.lexists(path) and not path.is_dir():
        blocked = _make_way(ctx, name, force, backupname)
    if blocked or not path.is_dir():
        above = parents(ctx, name, make=makedirs, want=folder_attributes(want, bits))
        return Plan([*above, *blocked, creation(ctx, name, want)], f"Directory {name} updated")
    actions = [] if children_only else differences(ctx, path, name, want)
    below = _below(ctx, name, path, want, file_mode, recurse or [], max_depth, exclude_pat)
    actions += _grouped(name, below)
    if clean:
        actions += clean_actions(ctx, name, path, keep or [], exclude_pat)
    return Plan(actions, f"Directory {name} updated" if actions else f"Directory {name} is in the correct state")


def clean_actions(
    ctx: Context, name: str, path: Path, keep: Collection[str], exclude_pat: str | Sequence[str] | None
) -> list[Action]:
    """The removals that leave below `name` only the absolute paths `keep`, what leads to them, and what is excluded.

    Raises StateError when something to be removed holds a mount.
    """
    kept = {os.path.normpath(each) for each in keep}
    leading = {str(parent) for each in kept for parent in Path(each).parents}
    actions = []

    def look(folder: Path, shown: str) -> None:
        for entry in sorted(_entries(folder), key=lambda each: each.name):
            below = f"{shown}/{entry.name}"
            if below in kept or excluded(below, name, exclude_pat):
                continue
            leads = below in leading or _holds_excluded(Path(entry.path), below, name, exclude_pat)
            if leads and entry.is_dir(follow_symlinks=False):
                look(Path(entry.path), below)
            else:
                actions.append(removal(ctx, below))

    look(path, name.rstrip("/"))
    return actions


def excluded(path: str, top: str, patterns: str | Sequence[str] | None) -> bool:
    """Whether `path` below `top` fits a pattern: a glob on the relative path or the name, or `E@` and a regex."""
    if not patterns:
        return False
    relative = os.path.relpath(path, top)
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if pattern.startswith("E@"):
            try:
                if re.search(pattern[2:], relative):
                    return True
            except re.error as error:
                raise ArgumentError(f"{pattern!r} is not a regular expression: {error}", where=Where(top)) from error
        elif fnmatch.fnmatchcase(relative, pattern) or fnmatch.fnmatchcase(Path(path).name, pattern):
            return True
    return False


def _holds_excluded(folder: Path, shown: str, top: str, patterns: str | Sequence[str] | None) -> bool:
    for above, folders, names in os.walk(folder) if patterns else ():
        at = f"{shown}/{os.path.relpath(above, folder)}" if above != str(folder) else shown
        if any(excluded(f"{at}/{each}", top, patterns) for each in [*folders, *names]):
            return True
    return False


def _place(ctx: Context, name: str, allow_symlink: bool) -> Path:
    path = ctx.path(name)
    if not path.is_symlink():
        return path
    return target(path) if allow_symlink and path.is_dir() else path


def _make_way(ctx: Context, name: str, force: bool, backupname: str | None) -> list[Action]:
    """The actions that clear the path `name` of what is no directory."""
    what = kind(ctx.path(name))
    if backupname is not None:
        kept = backup_path(name, backupname)
        if os.path.lexists(ctx.path(kept)):
            raise StateError(f"{kept} is there already", where=Where(name), help="remove it, or name another")
        return [Action(Change("change", name, "moved", new=kept), lambda: _rename(ctx.path(name), ctx.path(kept)))]
    if force:
        return [Action(Change("remove", name, what), lambda: remove(ctx.path(name)))]
    raise StateError(f"a {what} is in the way", where=Where(name), help="set force: True to remove it")


def _rename(old: Path, new: Path) -> None:
    try:
        old.rename(new)
    except OSError as error:
        raise failure(old, error, f"move to {new}") from error


def _below(
    ctx: Context,
    name: str,
    path: Path,
    want: Wanted,
    file_mode: str | None,
    recurse: Sequence[str],
    max_depth: int | None,
    exclude_pat: str | Sequence[str] | None,
) -> Iterator[Action]:
    """The differences of all below `path`, as far as `recurse` names them."""
    unknown = set(recurse) - {"user", "group", "mode", "ignore_files", "ignore_dirs", "silent"}
    if unknown:
        raise ArgumentError(f"recurse cannot be {sorted(unknown)[0]!r}", where=Where(name), help="user, group or mode")
    if not {"user", "group", "mode"} & set(recurse):
        return
    folder = Wanted(
        want.user if "user" in recurse else "",
        want.group if "group" in recurse else "",
        want.uid if "user" in recurse else None,
        want.gid if "group" in recurse else None,
        want.mode if "mode" in recurse else None,
    )
    file = folder.with_mode(parse_mode(file_mode) if file_mode is not None and "mode" in recurse else None)
    for above, folders, names in os.walk(path):
        depth = len(Path(above).relative_to(path).parts) + 1
        if max_depth is not None and depth > max_depth:
            folders.clear()
            continue
        at = name.rstrip("/") + str(above).removeprefix(str(path))
        folders[:] = sorted(each for each in folders if not excluded(f"{at}/{each}", name, exclude_pat))
        for each in [] if "ignore_dirs" in recurse else folders:
            yield from differences(ctx, Path(above, each), f"{at}/{each}", folder)
        for each in [] if "ignore_files" in recurse else sorted(names):
            if not excluded(f"{at}/{each}", name, exclude_pat):
                yield from differences(ctx, Path(above, each), f"{at}/{each}", file)


def _grouped(name: str, below: Iterator[Action]) -> list[Action]:
    actions = list(below)
    if len(actions) <= _TOLD_SINGLY:
        return actions

    def perform() -> None:
        for action in actions:
            action.perform()

    return [Action(Change("change", name, "owner and mode below", new=f"{len(actions)} changes"), perform)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise failure(folder, error, "list") from error
