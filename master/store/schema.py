"""The tables of the database, and how a database of an older version becomes one of this version."""

from __future__ import annotations

import sqlite3

from protocol.errors import StoreError, Where

VERSION = 2

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Who asked to be a minion. `generation` never comes again, so that a key deleted and accepted anew inherits nothing.
CREATE TABLE keys (
    generation INTEGER PRIMARY KEY AUTOINCREMENT,
    minion TEXT NOT NULL, curve TEXT NOT NULL, signing BLOB NOT NULL,
    state TEXT NOT NULL, since REAL NOT NULL, address TEXT NOT NULL, version TEXT NOT NULL, reason TEXT NOT NULL,
    UNIQUE (minion, curve, signing)
);
CREATE UNIQUE INDEX keys_one_accepted ON keys (minion) WHERE state = 'accepted';
CREATE UNIQUE INDEX keys_one_minion_a_key ON keys (curve) WHERE state = 'accepted';

CREATE TABLE tokens (
    digest BLOB PRIMARY KEY, created REAL NOT NULL, expires REAL NOT NULL, uses INTEGER NOT NULL, user TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE minions (
    minion TEXT PRIMARY KEY, grains BLOB, version TEXT NOT NULL DEFAULT '', boot_id TEXT NOT NULL DEFAULT '',
    machine_id TEXT NOT NULL DEFAULT '', last_seen REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE jobs (
    job TEXT PRIMARY KEY, created REAL NOT NULL, deadline REAL NOT NULL, ended REAL,
    user TEXT NOT NULL, cause TEXT NOT NULL, request BLOB NOT NULL, first_event INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX jobs_of_cause ON jobs (cause);
CREATE INDEX jobs_unended ON jobs (job) WHERE ended IS NULL;

CREATE TABLE job_minions (
    job TEXT NOT NULL, minion TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, value BLOB,
    changed REAL NOT NULL, PRIMARY KEY (job, minion)
) WITHOUT ROWID;

CREATE TABLE steps (
    job TEXT NOT NULL, minion TEXT NOT NULL, position INTEGER NOT NULL, result BLOB,
    PRIMARY KEY (job, minion, position)
) WITHOUT ROWID;

-- Signed commands that their minion may not have yet; they go once the job has ended.
CREATE TABLE commands (
    minion TEXT NOT NULL, sequence INTEGER NOT NULL, job TEXT NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (minion, sequence)
) WITHOUT ROWID;
CREATE INDEX commands_of_job ON commands (job, minion);

-- Which minion may fetch which content, and for which job.
CREATE TABLE grants (
    minion TEXT NOT NULL, digest TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (minion, digest, job)
) WITHOUT ROWID;
CREATE INDEX grants_of_job ON grants (job, minion);

CREATE TABLE runs (
    run TEXT PRIMARY KEY, created REAL NOT NULL, ended REAL, state TEXT NOT NULL, user TEXT NOT NULL,
    request BLOB NOT NULL, first_event INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX runs_unended ON runs (run) WHERE ended IS NULL;

CREATE TABLE journal (
    run TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (run, number)
) WITHOUT ROWID;

CREATE TABLE events (seq INTEGER PRIMARY KEY, tag TEXT NOT NULL, data BLOB NOT NULL, at REAL NOT NULL,
    cause TEXT NOT NULL);

-- Each record's hash covers the one before it, so that a changed or missing record shows.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, user TEXT NOT NULL, call TEXT NOT NULL, arguments TEXT NOT NULL,
    outcome TEXT NOT NULL, hash BLOB NOT NULL
);
"""

_DRIFT = """
-- What the last look at each minion for drift came to.
CREATE TABLE drift (
    minion TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL, steps BLOB NOT NULL, checked REAL NOT NULL,
    since REAL NOT NULL, job TEXT NOT NULL
) WITHOUT ROWID;
"""

_MIGRATIONS = {1: _DRIFT}
"""What makes a database of each older version one of the next."""


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables of a new database, or bring those of an older version to this one. Raises StoreError."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found == VERSION:
        return
    if found > VERSION:
        raise StoreError(
            f"the database has version {found}; this program knows {VERSION}",
            where=Where(file=path),
            help="run the version of stackmaster that wrote it, or restore a backup",
        )
    statements = _TABLES + _DRIFT if not found else "".join(_MIGRATIONS[at] for at in range(found, VERSION))
    connection.executescript(f"BEGIN; {statements} PRAGMA user_version = {VERSION}; COMMIT;")
