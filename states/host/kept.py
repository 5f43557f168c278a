"""What a job's changes found before they were made: kept on the minion for a rollback, bounded by age and bytes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from protocol.data import Data
from protocol.errors import StackmasterError, StateError, Where
from protocol.names import job_id
from protocol.results import Change

log = logging.getLogger("stackmaster.kept")

KEPT_FOR: Final = 30 * 86_400.0
"""Seconds that what a job found is kept."""

MOST_BYTES: Final = 256 * 1024 * 1024
"""Bytes kept of all jobs together; the oldest job goes first."""

MOST_FILE: Final = 16 * 1024 * 1024
"""Bytes of one file that is kept."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is at a path: `kind` is nothing, file, link, folder or other. `content` is the digest of a file, or where a
    link leads; `kept` whether all of it can be had back."""

    kind: str
    content: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One change that was made. `before` and `after` are set when its subject is a path; `shown`: its diff may be."""

    kind: str
    subject: str
    aspect: str
    old: str | bool | None
    before: Look | None = None
    after: Look | None = None
    shown: bool = False


class Keeper:
    """Keeps what the changes of `job` find below `folder` (0700; files 0600)."""

    def __init__(self, folder: Path, job: str) -> None:
        self._all = folder
        self._folder = folder / job_id(job)
        self._lock = threading.Lock()

    def around(self, place: Path | None, change: Change, shown: bool, perform: Callable[[], Data]) -> Data:
        """Carry out `perform`, which makes `change`, and keep what was at `place` before. Raises what it raises."""
        before = self._before(place) if place is not None else None
        try:
            return perform()
        finally:
            self._after(place, change, before, shown)

    def _before(self, place: Path) -> Look:
        try:
            with self._lock:
                return self._keep(place)
        except OSError as error:
            log.warning("%s is not kept for a rollback: %s", place, error.strerror)
            return Look("other", kept=False)

    def _after(self, place: Path | None, change: Change, before: Look | None, shown: bool) -> None:
        old = change.old if isinstance(change.old, str | bool) else None
        try:
            after = look(place) if place is not None else None
            with self._lock:
                self._write(Entry(change.kind, change.subject, change.aspect, old, before, after, shown))
        except OSError as error:
            log.warning("the change of %s is not noted for a rollback: %s", change.subject, error.strerror)

    def _keep(self, place: Path) -> Look:
        found = look(place)
        if found.kind == "folder":
            return Look("folder", "", found.mode, found.uid, found.gid, kept=not any(place.iterdir()))
        if found.kind != "file" or not found.kept:
            return found
        self._make()
        target = self._folder / found.content
        if not target.exists():
            with place.open("rb") as source, os.fdopen(os.open(target, _NEW, 0o600), "wb") as out:
                shutil.copyfileobj(source, out, 1024 * 1024)
        return found

    def _make(self) -> None:
        if not self._folder.is_dir():
            self._all.mkdir(mode=0o700, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            prune(self._all, time.time(), self._folder.name)

    def _write(self, entry: Entry) -> None:
        self._make()
        line = (json.dumps(asdict(entry)) + "\n").encode()
        descriptor = os.open(self._folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as journal:
            journal.write(line)
            journal.flush()
            os.fsync(journal.fileno())


_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def look(place: Path) -> Look:
    """What is at `place` now. Raises OSError."""
    try:
        now = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Look("nothing")
    owner = (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid)
    if stat.S_ISLNK(now.st_mode):
        return Look("link", str(place.readlink()), 0, now.st_uid, now.st_gid)
    if stat.S_ISDIR(now.st_mode):
        return Look("folder", "", *owner)
    if not stat.S_ISREG(now.st_mode):
        return Look("other", "", *owner, kept=False)
    if now.st_size > MOST_FILE:
        return Look("file", f"{now.st_size} bytes of {now.st_mtime_ns}", *owner, kept=False)
    with place.open("rb") as content:
        return Look("file", hashlib.file_digest(content, "sha256").hexdigest(), *owner)


def entries(folder: Path, job: str) -> list[Entry]:
    """What was kept of a job, in the order it was made; what a crash left half written is not. Raises StateError."""
    journal = folder / job_id(job) / "log"
    try:
        lines = journal.read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise StateError(
            f"nothing is kept of the job {job}",
            where=Where(file=str(folder)),
            help=f"what a job found is kept for {KEPT_FOR / 86400:.0f} days, or until newer jobs need the space",
        ) from None
    found: list[Entry] = []
    for line in lines:
        try:
            said: Mapping[str, Any] = json.loads(line)
            looks = {key: Look(**said[key]) if said[key] else None for key in ("before", "after")}
            found.append(Entry(**{**said, **looks}))
        except (ValueError, TypeError, KeyError):
            continue
    return found


def content(folder: Path, job: str, found: Look) -> bytes:
    """The content of a file that was kept. Raises StateError."""
    try:
        raw = (folder / job_id(job) / found.content).read_bytes()
    except OSError as error:
        raise StateError(f"the content {found.content[:12]} cannot be read: {error.strerror}") from None
    if hashlib.sha256(raw).hexdigest() != found.content:
        raise StateError(f"the content {found.content[:12]} was changed where it is kept")
    return raw


def prune(folder: Path, now: float, spared: str) -> None:
    """Remove what is older than KEPT_FOR, and the oldest jobs beyond MOST_BYTES; never the job `spared`."""
    total = 0
    for job in sorted((each for each in folder.iterdir() if each.name != spared), reverse=True):
        try:
            job_id(job.name)
        except StackmasterError:
            continue
        total += sum(file.stat().st_size for file in job.iterdir())
        age = now - int(job.name.partition("-")[0]) / 1_000_000
        if total > MOST_BYTES or age > KEPT_FOR:
            shutil.rmtree(job)
