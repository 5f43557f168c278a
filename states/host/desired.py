"""How the wanted content, owner and mode of a file become the actions that make it so."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from protocol.data import Data
from protocol.errors import StateError, Where
from protocol.results import Change
from protocol.secrets import UNKNOWN
from states.context import Context
from states.contract import Action, Plan
from states.host import files
from states.host.attributes import LEAVE, Wanted, differences
from states.host.content import Bytes, Content, Foretold
from states.host.files import Check
from states.host.folders import parents
from states.host.walk import target

NEW_MODE = 0o644
NEW_SECRET_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is brought to its content.

    show      whether its content may be seen in diffs
    secret    whether it holds secrets: never shown, and for nobody but its owner unless a mode is wanted
    backup    whether the old content is kept before it is replaced
    check     looks at the new content before it is put in place
    replace   whether the content of an existing file is changed
    create    whether a missing file is made
    makedirs  whether missing directories above are made, with `folders` as their owner and mode
    follow    whether a symbolic link is followed (else it is replaced by a file)
    """

    show: bool = True
    secret: bool = False
    backup: bool = False
    check: Check | None = None
    replace: bool = True
    create: bool = True
    makedirs: bool = False
    folders: Wanted = LEAVE
    follow: bool = True


def plan_file(ctx: Context, name: str, content: Content | None, want: Wanted, options: Options) -> Plan:
    """The plan that gives the file `name` this content (None: whatever it has, empty when new), owner and mode.

    Raises StateError when something else is in the way or a directory is missing.
    """
    above = parents(ctx, name, make=options.makedirs, want=options.folders)
    path = target(ctx.path(name)) if options.follow else ctx.path(name)
    try:
        now = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        if not options.create:
            return Plan(comment=f"File {name} is not present and is not to be made")
        if name in ctx.made:
            return unknown(name, "content")
        return Plan([*above, new_file(name, path, content or Bytes(b""), want, options)], f"File {name} made")
    except OSError as error:
        raise files.failure(path, error, "look") from error
    if stat.S_ISLNK(now.st_mode):
        return Plan([_replacement_of_link(name, path, content or Bytes(b""), want, options)], f"File {name} updated")
    if not stat.S_ISREG(now.st_mode):
        raise StateError("is not a regular file", where=Where(name), help="remove it first, with file.absent")
    actions = differences(ctx, path, name, want)
    if content is not None and options.replace:
        actions = [*_update(ctx, name, path, now, content, want, options), *actions]
    return Plan(actions, f"File {name} updated" if actions else f"File {name} is in the correct state")


def unknown(name: str, aspect: str) -> Plan:
    """What a dry run tells of something that only an earlier step's real run makes: that it may change."""

    def perform() -> None:
        raise StateError("was to be made by an earlier step", where=Where(name))

    action = Action(Change("change", name, aspect, UNKNOWN, UNKNOWN), perform)
    return Plan([action], foretold=f"{name} is made by an earlier step; what this one changes then is not known yet")


def new_file(name: str, path: Path, content: Content, want: Wanted, options: Options) -> Action:
    """The action that makes the file `name` at `path`, whose directory is there by then."""
    new = files.NOT_SHOWN if not _shown(options) else content.told()
    change = Change("create", name, "content", None, _or_unknown(content, new), _diff(None, content, name, options))
    told = want.told()
    if isinstance(told, dict):
        change = Change("create", name, "content", None, {**told, "content": change.new}, change.diff)
    mode = _mode(want, options, None)
    return Action(change, lambda: _put(path, content, want, mode, None, options))


def _replacement_of_link(name: str, path: Path, content: Content, want: Wanted, options: Options) -> Action:
    change = Change("change", name, "content", f"link to {path.readlink()}", _or_unknown(content, "file"))
    mode = _mode(want, options, None)
    return Action(change, lambda: _put(path, content, want, mode, None, options))


def _update(
    ctx: Context, name: str, path: Path, now: os.stat_result, content: Content, want: Wanted, options: Options
) -> list[Action]:
    """The action that replaces the content of the regular file `path`, when it differs."""
    try:
        if content.same_as(path):
            return []
        old = path.read_bytes() if now.st_size <= files.COMPARE_LIMIT else None
    except OSError as error:
        raise files.failure(path, error, "read") from error
    was: Data = files.describe(old) if old is not None else f"{now.st_size} bytes"
    new: Data = content.told()
    if not _shown(options):
        was = new = files.NOT_SHOWN
    diff = files.without_old_secrets(_diff(old, content, name, options), ctx.scrubber) if old is not None else ""
    change = Change("change", name, "content", was, _or_unknown(content, new), diff)
    mode = _mode(want, options, now)

    def perform() -> Data:
        kept = files.backup(ctx, path) if options.backup else None
        _put(path, content, want, mode, now, options)
        return {"backup": str(kept)} if kept else None

    return [Action(change, perform)]


def _put(path: Path, content: Content, want: Wanted, mode: int, now: os.stat_result | None, options: Options) -> None:
    kept_uid, kept_gid = (-1, -1) if now is None else (now.st_uid, now.st_gid)
    uid = kept_uid if want.uid is None else want.uid
    gid = kept_gid if want.gid is None else want.gid
    content.put(path, mode=mode, uid=uid, gid=gid, check=options.check)


def _mode(want: Wanted, options: Options, now: os.stat_result | None) -> int:
    if want.mode is not None:
        return want.mode
    if now is not None:
        return stat.S_IMODE(now.st_mode)
    return NEW_SECRET_MODE if options.secret else NEW_MODE


def _shown(options: Options) -> bool:
    return options.show and not options.secret


def _or_unknown(content: Content, told: Data) -> Data:
    return UNKNOWN if isinstance(content, Foretold) else told


def _diff(old: bytes | None, content: Content, name: str, options: Options) -> str:
    if not _shown(options):
        return files.NOT_SHOWN
    new = content.text()
    return "" if new is None else files.unified_diff(old, new, name)
