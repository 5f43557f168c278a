"""State rollback.jobs: puts back what jobs changed on this host, from what was kept before each change."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from protocol.data import Data
from protocol.errors import StackmasterError, StateError
from protocol.results import Change
from states import pkg, service
from states.context import Context
from states.contract import Action, Plan
from states.host import files, kept
from states.host.kept import Entry, Look
from states.host.systemd import booted, systemd
from states.registry import state

_UNITS: Final = ("/etc/systemd/", "/run/systemd/", "/usr/lib/systemd/", "/lib/systemd/")


@dataclass(frozen=True, slots=True)
class _Subject:
    """All that the jobs did to one aspect of one thing: the first entry, with its job, and the last one."""

    job: str
    first: Entry
    last: Entry


@state("rollback.jobs")
def jobs(ctx: Context, name: str, *, jobs: list[str]) -> Plan:
    """Put back the files, units and package versions that `jobs` (ids, oldest first) changed.

    A path that something else changed since is left, as is all that cannot be put back (what a command did, content
    too large to be kept): each is named in a warning. Raises StateError when nothing is kept of a job.
    """
    actions: list[Action] = []
    left: list[str] = []
    reload = False
    subjects = list(_subjects(ctx, jobs))
    going = {
        ctx.path(each.first.subject)
        for each in subjects
        if each.first.before is not None and each.first.before.kind == "nothing"
    }
    for subject in reversed(subjects):
        entry = subject.first
        try:
            made = _path_actions(ctx, subject, going) if entry.before is not None else _thing_actions(ctx, entry)
        except StackmasterError as error:
            left.append(f"{entry.subject} {entry.aspect}".strip() + f" is not put back: {error.message}")
            continue
        actions += made
        reload = reload or (bool(made) and entry.subject.startswith(_UNITS))
    if reload and booted(ctx):
        change = Change("run", "systemd", "daemon-reload")
        actions.append(Action(change, lambda: systemd(ctx).reload_daemon()))
    comment = f"{len(actions)} things were put back" if actions else "there is nothing to put back"
    return Plan(tuple(actions), comment, tuple(left))


def _subjects(ctx: Context, jobs: Iterable[str]) -> Iterable[_Subject]:
    """What the jobs changed, each thing once, in the order of its first change."""
    found: dict[tuple[str, str], _Subject] = {}
    for job in jobs:
        for entry in kept.entries(ctx.state_dir / "kept", job):
            key = (entry.subject, "" if entry.before is not None else entry.aspect)
            seen = found.get(key)
            found[key] = _Subject(seen.job, seen.first, entry) if seen else _Subject(job, entry, entry)
    return found.values()


# --- paths ----------------------------------------------------------------------------------------------------


def _path_actions(ctx: Context, subject: _Subject, going: Set[Path]) -> list[Action]:
    """The deeds that bring a path back; `going` are paths that are removed anyway. Raises StateError."""
    before, after, path = subject.first.before, subject.last.after, subject.first.subject
    assert before is not None
    place = ctx.path(path)
    now = kept.look(place)
    if now == before:
        return []
    if now != after:
        raise StateError("something else changed it since")
    if not before.kept:
        raise StateError("its content was not kept")
    if now.kind == "folder" and before.kind != "folder" and not going >= set(place.iterdir()):
        raise StateError("the directory that was made holds more by now")
    shown = subject.first.shown and subject.last.shown
    change = _path_change(ctx, subject, before, now, place, shown=shown)
    return [Action(change, functools.partial(_put_back, ctx, subject.job, place, before, now))]


def _path_change(ctx: Context, subject: _Subject, before: Look, now: Look, place: Path, *, shown: bool) -> Change:
    """What putting a path back is told as; the diff of a file whose own diff was not `shown` is not either."""
    path, kind = subject.first.subject, _kind(before, now)
    diff = ""
    if "file" in (before.kind, now.kind) and before.content != now.content and now.kept:
        old = place.read_bytes() if now.kind == "file" else None
        new = kept.content(ctx.state_dir / "kept", subject.job, before) if before.kind == "file" else None
        diff = files.unified_diff(old, new, path, show=shown)
    if kind == "remove":
        return Change(kind, path, "directory" if now.kind == "folder" else now.kind, None, None, diff)
    return Change(kind, path, "content", _told(now), _told(before), diff)


def _kind(before: Look, now: Look) -> Literal["create", "remove", "change"]:
    if now.kind == "nothing":
        return "create"
    return "remove" if before.kind == "nothing" else "change"


def _told(found: Look) -> Data:
    """A look in words."""
    if found.kind == "nothing":
        return None
    if found.kind == "link":
        return f"link to {found.content}"
    kind = "directory" if found.kind == "folder" else found.kind
    return f"{kind}, mode {files.show_mode(found.mode)}, owner {found.uid}:{found.gid}"


def _put_back(ctx: Context, job: str, place: Path, before: Look, now: Look) -> None:
    """Make `place` what it was. Raises StateError."""
    try:
        if now.kind == "folder" and before.kind != "folder":
            place.rmdir()
        elif now.kind != "nothing" and before.kind != now.kind:
            place.unlink()
        if before.kind == "folder":
            place.mkdir(mode=0o700, exist_ok=True)
            os.chown(place, before.uid, before.gid)
            place.chmod(before.mode)
        elif before.kind == "link":
            place.unlink(missing_ok=True)
            place.symlink_to(before.content)
        elif before.kind == "file":
            raw = kept.content(ctx.state_dir / "kept", job, before)
            files.write_atomic(place, raw, mode=before.mode, uid=before.uid, gid=before.gid)
    except OSError as error:
        raise files.failure(place, error, "put back") from error


# --- units and packages -----------------------------------------------------------------------------------------


def _thing_actions(ctx: Context, entry: Entry) -> list[Action]:
    """The deeds that bring a unit or package back. Raises StateError for what cannot be brought back."""
    what, _, name = entry.subject.partition(" ")
    if what == "unit":
        return list(_unit(ctx, name, entry).actions)
    if what == "package" and entry.aspect == "version":
        return list(_package(ctx, name, entry).actions)
    raise StateError("only files, units and versions of packages are")


def _unit(ctx: Context, name: str, entry: Entry) -> Plan:
    if entry.aspect == "enabled" and isinstance(entry.old, bool):
        return service.enabled(ctx, name) if entry.old else service.disabled(ctx, name)
    if entry.aspect == "masked" and isinstance(entry.old, bool):
        return service.masked(ctx, name) if entry.old else service.unmasked(ctx, name)
    if entry.aspect == "running":
        ran = entry.old is True or entry.old == "active"
        return service.running(ctx, name) if ran else service.dead(ctx, name)
    raise StateError("a restart or reload leaves nothing to put back")


def _package(ctx: Context, name: str, entry: Entry) -> Plan:
    if entry.kind == "create":
        return pkg.removed(ctx, name)
    if not isinstance(entry.old, str):
        raise StateError("the version it had is not known")
    return pkg.installed(ctx, name, version=entry.old, allow_downgrade=True, refresh=False)
