"""How one small file of Ceph's is planned: its content, mode and owner, with a diff unless it holds a key."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.host.accounts import gid_of, uid_of
from states.host.files import failure, parse_mode, show_mode, unified_diff, write_atomic


@dataclass(frozen=True, slots=True)
class File:
    """A file as it should be. `text` None: its content is as wanted, only mode and owner are looked at.

    shown    whether its content may be seen in a diff
    unknown  whether `text` holds what only a real run can tell: a change is foretold without comparing
    """

    path: str
    text: str | None
    user: str = "root"
    group: str = "root"
    mode: str = "0644"
    shown: bool = True
    unknown: bool = False


def read_text(ctx: Context, path: str) -> str | None:
    """The content of `path`, None when it is not there. Raises StateError."""
    real = ctx.path(path)
    try:
        return real.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise failure(real, error if isinstance(error, OSError) else OSError(str(error)), "read") from error


def plan_file(ctx: Context, file: File) -> Plan:
    """What makes `file` true. Raises StateError when it cannot be read or its owner does not exist."""
    if file.unknown and not ctx.test:
        raise StateError(f"a value for {file.path} is not known", help="the step that should have given it did not run")
    real = ctx.path(file.path)
    uid, gid, bits = uid_of(ctx, file.user), gid_of(ctx, file.group), parse_mode(file.mode)
    old = read_text(ctx, file.path)
    actions: list[Action] = []
    if file.text is not None and (file.unknown or old != file.text[:]):
        actions.append(_content(file, old, _write(real, file.text, bits, uid, gid)))
    if old is not None:
        actions += _attributes(file, real, bits, uid, gid)
    return Plan(actions, f"{file.path} is as declared" if not actions else f"{file.path} was written")


def _content(file: File, old: str | None, perform: Callable[[], Data]) -> Action:
    new = (file.text or "")[:].encode()
    before = None if old is None else old.encode()
    diff = unified_diff(before, new, file.path, show=file.shown)
    made: Data = {"mode": show_mode(parse_mode(file.mode)), "user": file.user, "group": file.group}
    if old is None:
        return Action(Change("create", file.path, "content", new=made, diff=diff), perform)
    return Action(Change("change", file.path, "content", diff=diff), perform)


def _write(real: Path, text: str, bits: int, uid: int | None, gid: int | None) -> Callable[[], Data]:
    def perform() -> Data:
        try:
            real.parent.mkdir(mode=0o755, exist_ok=True)
        except OSError as error:
            raise failure(real.parent, error, "make") from error
        owner = (-1 if uid is None else uid, -1 if gid is None else gid)
        write_atomic(real, text[:].encode(), mode=bits, uid=owner[0], gid=owner[1])
        return None

    return perform


def _attributes(file: File, real: Path, bits: int, uid: int | None, gid: int | None) -> list[Action]:
    found = real.stat()
    actions: list[Action] = []
    if found.st_mode & 0o7777 != bits:
        change = Change("change", file.path, "mode", old=show_mode(found.st_mode), new=show_mode(bits))
        actions.append(Action(change, _touch(real, lambda: real.chmod(bits))))
    if uid is not None and found.st_uid != uid:
        change = Change("change", file.path, "user", old=found.st_uid, new=file.user)
        actions.append(Action(change, _touch(real, lambda: os.chown(real, uid, -1, follow_symlinks=False))))
    if gid is not None and found.st_gid != gid:
        change = Change("change", file.path, "group", old=found.st_gid, new=file.group)
        actions.append(Action(change, _touch(real, lambda: os.chown(real, -1, gid, follow_symlinks=False))))
    return actions


def _touch(real: Path, do: Callable[[], None]) -> Callable[[], Data]:
    def perform() -> Data:
        try:
            do()
        except OSError as error:
            raise failure(real, error, "change the mode or owner of") from error
        return None

    return perform
