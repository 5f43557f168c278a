"""The state that gives a directory the files of a folder of the state tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from protocol.data import Data
from protocol.errors import StateError, Where
from states.context import Context
from states.contract import Action, Plan
from states.file.directory import clean_actions, excluded
from states.file.managed import folder_attributes, keeps
from states.host.attributes import Wanted, differences, wanted
from states.host.content import LocalFile, of_source
from states.host.desired import Options, new_file, plan_file
from states.host.files import parse_mode
from states.host.folders import creation, parents
from states.registry import state


@state("file.recurse")
def recurse(
    ctx: Context,
    name: str,
    *,
    source: str,
    user: str | None = None,
    group: str | None = None,
    dir_mode: str | None = None,
    file_mode: str | None = None,
    clean: bool = False,
    keep: list[str] | None = None,
    include_pat: str | list[str] | None = None,
    exclude_pat: str | list[str] | None = None,
    include_empty: bool = False,
    makedirs: bool = True,
    replace: bool = True,
    backup: bool | str = False,
    show_changes: bool = True,
    template: str | None = None,
    context: Data = None,
    defaults: Data = None,
    keep_source: bool = True,
    keep_symlinks: bool = False,
    force_symlinks: bool = False,
    max_depth: int | None = None,
) -> Plan:
    """Give the directory `name` all files of a folder of the state tree.

    source: the folder, `salt://…`
    user, group: the owner of all files and directories; left as it is when not given
    dir_mode, file_mode: permissions in octal; 0755 and 0644 for what is new when not given
    clean: remove what is in `name` and not in the source
    keep: paths below that `clean` leaves; the files of states that require this one are put here
    include_pat: only files whose relative path fits (glob, or `E@` and a regular expression)
    exclude_pat: leave out files that fit, also when cleaning
    max_depth: how many levels of folders are taken; 0 is the folder's own files
    replace: False leaves the content of existing files
    backup: "minion" keeps the old content of replaced files
    show_changes: False keeps contents out of the diffs
    template, context, defaults: how the master renders the files
    makedirs, include_empty, keep_source, keep_symlinks, force_symlinks: taken for compatibility, without effect
    """
    if file_mode == "keep":
        file_mode = None
    found = _files(ctx, name, source, include_pat, exclude_pat, max_depth)
    file = wanted(ctx, user, group, file_mode)
    folder = file.with_mode(parse_mode(dir_mode) if dir_mode is not None else None)
    options = Options(show=show_changes, backup=keeps(backup), replace=replace)
    folders = sorted({str(above) for each in found for above in PurePosixPath(each).parents if str(above) != "."})
    top = name.rstrip("/")
    made = folder if dir_mode is not None else folder_attributes(file, None)
    actions: list[Action] = []
    for each in [top, *(f"{top}/{relative}" for relative in folders)]:
        if ctx.path(each).is_dir():
            actions += differences(ctx, ctx.path(each), each, folder)
        elif os.path.lexists(ctx.path(each)):
            raise StateError("is not a directory", where=Where(each), help="remove it first, with file.absent")
        else:
            actions += [*(parents(ctx, each, make=True, want=made) if each == top else []), creation(ctx, each, made)]
    for relative, key in sorted(found.items()):
        actions += _file(ctx, f"{top}/{relative}", of_source(ctx, key), file, options)
    if clean and ctx.path(top).is_dir():
        mine = [f"{top}/{each}" for each in found]
        actions += clean_actions(ctx, top, ctx.path(top), [*mine, *(keep or [])], exclude_pat)
    return Plan(actions, f"Recursively updated {name}" if actions else f"The directory {name} is in the correct state")


def _files(
    ctx: Context,
    name: str,
    source: str,
    include_pat: str | list[str] | None,
    exclude_pat: str | list[str] | None,
    max_depth: int | None,
) -> dict[str, str]:
    """Relative path -> source, of the files of the chunk at hand below `source`. Raises StateError."""
    prefix = source.partition("?")[0].rstrip("/") + "/"
    found = {}
    for key in ctx.sources:
        relative = key.partition("?")[0].removeprefix(prefix)
        if not key.startswith(prefix):
            continue
        parts = PurePosixPath(relative).parts
        if not parts or ".." in parts or relative.startswith("/") or "\0" in relative:
            raise StateError(f"{key!r} is no file below {source}", where=Where(name))
        if max_depth is not None and len(parts) - 1 > max_depth:
            continue
        if include_pat and not excluded(relative, ".", include_pat):
            continue
        if not excluded(relative, ".", exclude_pat):
            found["/".join(parts)] = key
    if not any(key.startswith(prefix) for key in ctx.sources):
        raise StateError(f"there are no files in {source}", where=Where(name), help="look at the folder's name")
    return found


def _file(ctx: Context, name: str, content: LocalFile, want: Wanted, options: Options) -> Sequence[Action]:
    path = ctx.path(name)
    if path.parent.is_dir():
        return plan_file(ctx, name, content, want, options).actions
    return [new_file(name, path, content, want, options)]
