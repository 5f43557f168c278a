"""Whether a database is sound, and what of it can be kept when it is not; for a master that does not run."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from master.store import kept, queries, schema
from protocol.errors import InputError, RefusedError, StoreError, Where

_BELONGS: Final = (
    ("steps", "job", "jobs"), ("job_minions", "job", "jobs"), ("commands", "job", "jobs"), ("grants", "job", "jobs"),
    ("journal", "run", "runs"),
)  # fmt: skip
"""Tables whose rows are nothing without the row of another one: table, column, that other table."""

_PACKED: Final = (("jobs", "job", "request"), ("runs", "run", "request"), ("minions", "minion", "grains"))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong; `repairable` when a repair removes it without loss of what could be read."""

    what: str
    repairable: bool


def check(path: Path) -> list[Finding]:
    """What is wrong with the database in `path`; it is only read. Raises InputError when there is none."""
    if not path.is_file():
        raise InputError(f"there is no database {path}", help="is 'state_dir' in master.yaml right?")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return list(_findings(connection))
    except sqlite3.Error as error:
        return [Finding(f"it cannot be read: {error}", True)]


def _findings(connection: sqlite3.Connection) -> Iterator[Finding]:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > schema.VERSION:
        yield Finding(f"its version is {version}; this program knows {schema.VERSION}", False)
    for (said,) in connection.execute("PRAGMA integrity_check(20)").fetchall():
        if said != "ok":
            yield Finding(str(said), True)
    for table, column, owner in _BELONGS:
        count = _one(connection, f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT {column} FROM {owner})")
        if count:
            yield Finding(f"{count} rows of {table} belong to no {column}", True)
    for table, name, column in _PACKED:
        for key, raw in connection.execute(f"SELECT {name}, {column} FROM {table} WHERE {column} IS NOT NULL"):
            if kept.UNREADABLE in kept.mapping(raw):
                yield Finding(f"{column} of {name} {key} cannot be read", False)
    broken = queries.first_broken_audit(connection)
    if broken is not None:
        yield Finding(f"record {broken} of the audit was changed, or one before it is missing", False)


def _one(connection: sqlite3.Connection, sql: str) -> int:
    return int(connection.execute(sql).fetchone()[0])


def repair(path: Path) -> Path:
    """Put in the place of the database one with every row of it that can be read and belongs to something.

    Gives where the old one is kept. Raises RefusedError while a master runs on it, StoreError, InputError.
    """
    if not path.is_file():
        raise InputError(f"there is no database {path}")
    with _alone(path.with_name("lock")):
        new = path.with_name(f"{path.name}.repaired")
        old = _unused(path)
        try:
            for left in (new, *_beside(new)):
                left.unlink(missing_ok=True)
            os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            _salvage(path, new)
            for file, target in zip((path, *_beside(path)), (old, *_beside(old)), strict=True):
                if file.exists():
                    file.replace(target)
            new.replace(path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the database cannot be repaired: {error}", where=Where(file=str(path))) from None
    return old


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    target = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RefusedError("the master runs on this database", help="stop it first") from None
    finally:
        os.close(target)


def _beside(path: Path) -> tuple[Path, Path]:
    """The log of a database and its index."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _unused(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return name


def _salvage(damaged: Path, new: Path) -> None:
    with closing(sqlite3.connect(new, isolation_level=None)) as target:
        schema.prepare(target, str(new))
        target.execute("BEGIN")
        with closing(sqlite3.connect(damaged)) as source:
            tables = target.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            for (table,) in tables.fetchall():
                _copy(source, target, str(table))
        for table, column, owner in _BELONGS:
            target.execute(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT {column} FROM {owner})")
        target.execute("COMMIT")


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """Rows from the front until one cannot be read, then from the back until one cannot be read or is there."""
    names = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
    keys = [row[1] for row in target.execute(f"PRAGMA table_info({table})") if row[5]]
    sql = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    for order in ("ASC", "DESC"):
        by = ", ".join(f"{key} {order}" for key in keys)
        try:
            for row in source.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {by}"):
                if not target.execute(sql, row).rowcount and order == "DESC":
                    break
        except sqlite3.DatabaseError:
            continue
        if order == "ASC":
            return
