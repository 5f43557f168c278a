"""Keys and tokens in the database: who asked to be a minion, who is one, and which tokens still let someone in."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from protocol.identity import PublicIdentity


class Rows(Protocol):
    """What queries run on: a reader's connection or a writer's transaction."""

    def execute(self, sql: str, values: Sequence[Any] = ...) -> Any:
        """Run one statement."""
        ...


class KeyState(StrEnum):
    """What became of a key. A denied one wants an id that another key holds or asked for first."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Key:
    """One key that asked for the id `minion`; `generation` never comes again."""

    generation: int
    minion: str
    identity: PublicIdentity
    state: KeyState
    since: float
    address: str
    version: str
    reason: str

    @property
    def user(self) -> str:
        """The name of its sessions: a key deleted and accepted anew has another one."""
        return f"{self.minion}/{self.generation}"


_COLUMNS = "generation, minion, curve, signing, state, since, address, version, reason"


def _key(row: Sequence[Any]) -> Key:
    generation, minion, curve, signing, state, *rest = row
    return Key(generation, minion, PublicIdentity(signing, curve), KeyState(state), *rest)


def all_keys(rows: Rows) -> list[Key]:
    """Every key, by id."""
    return [_key(row) for row in rows.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY minion, generation")]


def keys_of(rows: Rows, minion: str) -> list[Key]:
    """The keys that asked for one id, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM keys WHERE minion = ? ORDER BY generation"
    return [_key(row) for row in rows.execute(sql, (minion,))]


def holder(rows: Rows, curve: str) -> str | None:
    """The id whose accepted key is `curve`."""
    row = rows.execute("SELECT minion FROM keys WHERE curve = ? AND state = 'accepted'", (curve,)).fetchone()
    return None if row is None else str(row[0])


def count(rows: Rows, state: KeyState) -> int:
    """How many keys are in `state`."""
    return int(rows.execute("SELECT count(*) FROM keys WHERE state = ?", (state.value,)).fetchone()[0])


def add(
    rows: Rows, minion: str, identity: PublicIdentity, state: KeyState, now: float, address: str, version: str, why: str
) -> Key:
    """Remember a new key."""
    values = (minion, identity.curve, identity.signing, state.value, now, address, version, why)
    sql = "INSERT INTO keys (minion, curve, signing, state, since, address, version, reason) VALUES (?,?,?,?,?,?,?,?)"
    generation = int(rows.execute(sql, values).lastrowid)
    return Key(generation, minion, identity, state, now, address, version, why)


def set_state(rows: Rows, generation: int, state: KeyState, now: float, reason: str) -> None:
    """Decide on a key."""
    sql = "UPDATE keys SET state = ?, since = ?, reason = ? WHERE generation = ?"
    rows.execute(sql, (state.value, now, reason, generation))


def renew(rows: Rows, key: Key) -> Key:
    """`key` as if it came now for the first time: a new generation."""
    rows.execute("DELETE FROM keys WHERE generation = ?", (key.generation,))
    return add(rows, key.minion, key.identity, key.state, key.since, key.address, key.version, key.reason)


def delete(rows: Rows, generation: int) -> None:
    """Forget a key."""
    rows.execute("DELETE FROM keys WHERE generation = ?", (generation,))


def forget_minion(rows: Rows, minion: str) -> None:
    """Forget everything that another key under the same id must not inherit. The history of its jobs stays."""
    for table in ("minions", "commands", "grants", "drift"):
        rows.execute(f"DELETE FROM {table} WHERE minion = ?", (minion,))


def add_token(rows: Rows, digest: bytes, created: float, expires: float, uses: int, user: str) -> None:
    """Remember a token by the SHA-256 of its secret."""
    rows.execute("DELETE FROM tokens WHERE expires <= ? OR uses <= 0", (created,))
    rows.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?)", (digest, created, expires, uses, user))


def live_token(rows: Rows, digest: bytes, now: float) -> str | None:
    """The user who made the token with this digest, if it still lets someone in; compared in constant time."""
    found = None
    for kept, user in rows.execute("SELECT digest, user FROM tokens WHERE expires > ? AND uses > 0", (now,)):
        if hmac.compare_digest(kept, digest):
            found = str(user)
    return found


def use_token(rows: Rows, digest: bytes) -> None:
    """Take one use from a token; the last one removes it."""
    rows.execute("UPDATE tokens SET uses = uses - 1 WHERE digest = ?", (digest,))
    rows.execute("DELETE FROM tokens WHERE digest = ? AND uses <= 0", (digest,))


def token_count(rows: Rows, now: float) -> int:
    """How many tokens still let someone in."""
    return int(rows.execute("SELECT count(*) FROM tokens WHERE expires > ? AND uses > 0", (now,)).fetchone()[0])
