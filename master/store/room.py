"""What the database does on a full disk: it gives up a reserve, then its oldest history, and goes on writing."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from master.store import history

log = logging.getLogger("stackmaster.store")

RESERVE: Final = 64 * 1024 * 1024
"""Bytes held back on the disk, a fourth of a small one. It must have room for what the log holds (usually 2 MiB, and
as much as was written in one transaction), since that is what has to get into the database first."""

_STEP: Final = 256 * 1024
"""Bytes forgotten at once: what is deleted goes through the write-ahead log, for which there must be space."""

_NO_CAP: Final = 4_294_967_294
"""Pages that SQLite allows at most (https://www.sqlite.org/limits.html)."""

_ROUNDS: Final = 64
_LEAST: Final = 4 * 1024 * 1024
"""Bytes of free pages after which enough was forgotten; with a small database, a fourth of it."""


class Room:
    """The space of the database at `path`, with a reserve of `size` bytes beside it (0: none).

    `full` from when space ran out until there is enough for the reserve again.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._reserve = path.with_name("reserve")
        self._size = size
        self.full = False
        self._capped = False

    def lacks(self, error: sqlite3.Error) -> bool:
        """Whether a statement failed for want of space (the log's index tells a full disk as an I/O error)."""
        code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        if code == sqlite3.SQLITE_IOERR:
            disk = os.statvfs(self._reserve.parent)
            return disk.f_bavail * disk.f_frsize < _STEP
        return code == sqlite3.SQLITE_FULL

    def open(self) -> None:
        """Hold the reserve, or give it up at once when the disk is full already."""
        if self._size and not self.hold() and self._reserve.exists():
            self._release()

    def hold(self) -> bool:
        """Take the reserve when there is twice the space for it; gives whether it is held."""
        if not self._size:
            return False
        disk = os.statvfs(self._reserve.parent)
        size = min(self._size, disk.f_blocks * disk.f_frsize // 4)
        held = self._reserve.stat().st_size if self._reserve.exists() else 0
        if disk.f_bavail * disk.f_frsize < 2 * size - held:
            self.full = self.full or not held
            return bool(held) and disk.f_bavail > 0
        try:
            target = os.open(self._reserve, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(target, 0, size)
            finally:
                os.close(target)
        except OSError as error:
            log.warning("no space can be reserved: %s", error.strerror)
            return False
        self.full = False
        return True

    def settle(self, connection: sqlite3.Connection) -> None:
        """Let the database grow again, once the disk is not full any more."""
        if self._capped and not self.full:
            connection.execute(f"PRAGMA max_page_count = {_NO_CAP}")
            self._capped = False

    def make(self, connection: sqlite3.Connection) -> bool:
        """Free space, with no transaction open; whether trying again has a chance."""
        if not self.full:
            log.error("the disk is full: old history is forgotten to go on")
        released = self._release()
        try:
            return self._forget(connection) or released
        except sqlite3.Error as error:
            log.error("no history can be forgotten: %s", error)
            if connection.in_transaction:
                connection.rollback()
            return released

    def _release(self) -> bool:
        self.full = True
        held = self._reserve.exists()
        self._reserve.unlink(missing_ok=True)
        return held

    def _forget(self, connection: sqlite3.Connection) -> bool:
        """Forget until there are free pages. From then on the database does not grow: what the log holds of a larger
        one could not be brought into it, and the log would grow in its place."""
        connection.execute("PRAGMA secure_delete = FAST")
        try:
            freed = False
            for _ in range(_ROUNDS):
                # the log is written from its beginning again, in the space that it has already
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                if not self._capped:
                    connection.execute(f"PRAGMA max_page_count = {_pages(connection)}")
                    self._capped = True
                if _free_enough(connection):
                    return True
                connection.execute("BEGIN IMMEDIATE")
                gone = history.forget(connection, most=_STEP) or history.forget(connection, most=_STEP, ongoing=True)
                connection.execute("COMMIT")
                if not gone:
                    break
                freed = True
            return freed
        finally:
            connection.execute("PRAGMA secure_delete = ON")


def _pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA page_count").fetchone()[0])


def _free_enough(connection: sqlite3.Connection) -> bool:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return free * size >= min(_LEAST, pages * size // 4)
