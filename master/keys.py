"""Who is accepted: keys and their states, one-time tokens, and the names that sessions are known by."""

from __future__ import annotations

import fnmatch
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from master.store import keyring
from master.store.keyring import Key, KeyState
from master.store.store import Store, Transaction
from protocol import WIRE_VERSION
from protocol.errors import InputError, NoTargetError, SignatureError
from protocol.identity import Identity, PublicIdentity
from protocol.messages import Enrol, Enrolment, enrolment_statement
from protocol.names import MinionId, minion_id
from protocol.token import JoinToken

MOST_TOKENS = 1000
"""Tokens that let someone in at once."""

LONGEST_TOKEN = 30 * 86400.0
"""Seconds that a token lives at most."""

_REFUSED = "refused"
_DELETE = "an operator can delete that one with `stackmaster keys delete`"
Removed = Callable[[MinionId], None]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What an enrolment came to, and the key that it made accepted."""

    answer: Enrolment
    accepted: Key | None = None


@dataclass(frozen=True, slots=True)
class _Decided:
    """What a decision came to: the ids it was about, keys that became accepted and keys that are so no more."""

    ids: list[MinionId]
    accepted: Sequence[Key] = ()
    gone: Sequence[Key] = ()


class Keys:
    """The keys of all minions. Answers about accepted ones come from memory, decisions are committed first."""

    def __init__(self, store: Store, identity: Identity, most_pending: int) -> None:
        self._store = store
        self._identity = identity
        self._most_pending = most_pending
        self._by_curve: dict[str, Key] = {}
        self._by_user: dict[str, MinionId] = {}
        self._by_minion: dict[MinionId, Key] = {}
        self._on_removed: list[Removed] = []

    async def load(self) -> None:
        """Read the accepted keys. Raises StoreError."""
        keys = [key for key in await self._store.read(keyring.all_keys) if key.state is KeyState.ACCEPTED]
        for key in keys:
            self._add_accepted(key)

    def on_removed(self, call: Removed) -> None:
        """Have `call` told at once of each minion whose key is not accepted any more."""
        self._on_removed.append(call)

    # --- answers from memory ----------------------------------------------------------------------------------

    def user_of(self, curve: str) -> str | None:
        """The session name of the accepted key `curve` (Z85), None when it is not accepted."""
        key = self._by_curve.get(curve)
        return None if key is None else key.user

    def minion_of(self, user: str) -> MinionId | None:
        """The minion behind a session name, None when its key is not accepted any more."""
        return self._by_user.get(user)

    @property
    def accepted(self) -> Sequence[MinionId]:
        """The ids of all accepted minions, sorted."""
        return sorted(self._by_minion)

    def __contains__(self, minion: str) -> bool:
        return minion in self._by_minion

    @property
    def master(self) -> PublicIdentity:
        """The master's own key."""
        return self._identity.public

    # --- enrolment --------------------------------------------------------------------------------------------

    async def enrol(self, request: Enrol, connection: str, address: str) -> Enrolment:
        """Decide on a stranger's request; `connection` is the CURVE key (Z85) that its connection proved.

        Raises StoreError.
        """
        refusal = check_request(request, connection)
        if refusal:
            return Enrolment(_REFUSED, refusal)
        now = time.time()
        verdict = await self._store.write(lambda tx: self._decide(tx, request, address, now))
        if verdict.accepted is not None:
            self._add_accepted(verdict.accepted)
        return verdict.answer

    def _decide(self, tx: Transaction, request: Enrol, address: str, now: float) -> _Verdict:
        """In the writer: the state of a request whose signature holds."""
        identity = PublicIdentity(request.signing, request.curve)
        known = keyring.keys_of(tx, request.minion)
        own = next((key for key in known if key.identity == identity), None)
        if own is not None and own.state is KeyState.ACCEPTED:
            return _Verdict(Enrolment("accepted", "this key is accepted already"))
        digest = hashlib.sha256(request.token.encode()).digest()
        let_in_by = keyring.live_token(tx, digest, now) if request.token else None
        if request.token and let_in_by is None:
            return _Verdict(Enrolment(_REFUSED, "the token is wrong, expired or used up"))
        conflict = self._conflict(tx, request, known, own)
        if conflict:
            return self._deny(tx, request, own, now, address, conflict)
        if own is not None and own.state is KeyState.REJECTED:
            return _Verdict(Enrolment("rejected", "an operator rejected this key"))
        if let_in_by is not None:
            keyring.use_token(tx, digest)
            asking = own or self._add(tx, request, KeyState.PENDING, now, address)
            accepted = self._accept(tx, asking, now, f"token of {let_in_by}")
            return _Verdict(Enrolment("accepted", "the token was valid"), accepted)
        return self._wait(tx, request, own, known, now, address)

    def _conflict(self, tx: Transaction, request: Enrol, known: Sequence[Key], own: Key | None) -> str:
        if any(key.state is KeyState.ACCEPTED for key in known):
            return f"another key is accepted as {request.minion}"
        holder = keyring.holder(tx, request.curve)
        if holder is not None:
            return f"this key is accepted as {holder}"
        if not request.token and own is None and any(key.state is KeyState.PENDING for key in known):
            return f"another key asked for {request.minion} first"
        return ""

    def _deny(self, tx: Transaction, request: Enrol, own: Key | None, now: float, address: str, why: str) -> _Verdict:
        if own is not None and (own.state, own.reason) == (KeyState.DENIED, why):
            return _Verdict(Enrolment(_REFUSED, f"{why}; {_DELETE}"))
        if own is not None:
            keyring.set_state(tx, own.generation, KeyState.DENIED, now, why)
        elif keyring.count(tx, KeyState.DENIED) < self._most_pending:
            own = self._add(tx, request, KeyState.DENIED, now, address, why)
        else:
            return _Verdict(Enrolment(_REFUSED, why))
        _tell(tx, own, "denied", now, why)
        return _Verdict(Enrolment(_REFUSED, f"{why}; {_DELETE}"))

    def _wait(
        self, tx: Transaction, request: Enrol, own: Key | None, known: Sequence[Key], now: float, address: str
    ) -> _Verdict:
        waits = Enrolment("pending", f"accept it with `stackmaster keys accept {request.minion}`")
        if own is not None and own.state is KeyState.PENDING:
            return _Verdict(waits)
        if keyring.count(tx, KeyState.PENDING) >= self._most_pending:
            return _Verdict(Enrolment(_REFUSED, "too many keys wait for an operator's decision"))
        if own is not None:
            keyring.set_state(tx, own.generation, KeyState.PENDING, now, "")
        else:
            own = self._add(tx, request, KeyState.PENDING, now, address)
        _tell(tx, own, "pending", now, "")
        return _Verdict(waits)

    def _add(self, tx: Transaction, request: Enrol, state: KeyState, now: float, address: str, why: str = "") -> Key:
        identity = PublicIdentity(request.signing, request.curve)
        return keyring.add(tx, request.minion, identity, state, now, address, request.version[:40], why)

    def _accept(self, tx: Transaction, key: Key, now: float, reason: str) -> Key:
        """Accept a key as a new generation; what waited under the same id is denied."""
        for other in keyring.keys_of(tx, key.minion):
            if other.state is KeyState.PENDING and other.generation != key.generation:
                why = f"another key was accepted as {key.minion}"
                keyring.set_state(tx, other.generation, KeyState.DENIED, now, why)
        key = keyring.renew(tx, key)
        keyring.forget_minion(tx, key.minion)
        keyring.set_state(tx, key.generation, KeyState.ACCEPTED, now, reason)
        _tell(tx, key, "accepted", now, reason)
        return key

    # --- an operator's decisions ------------------------------------------------------------------------------

    async def all(self) -> list[Key]:
        """Every key that asked, by id."""
        return await self._store.read(keyring.all_keys)

    async def accept(self, patterns: Sequence[str], user: str) -> list[MinionId]:
        """Accept the pending, rejected or denied keys whose id matches; gives the ids.

        Raises NoTargetError, InputError.
        """
        now = time.time()

        def write(tx: Transaction) -> _Decided:
            chosen = _matching(keyring.all_keys(tx), patterns)
            names = sorted({key.minion for key in chosen})
            tried = [self._accept_one(tx, [key for key in chosen if key.minion == name], now, user) for name in names]
            accepted = [key for key in tried if key is not None]
            return _Decided([MinionId(key.minion) for key in accepted], accepted=accepted)

        return await self._decided(write)

    def _accept_one(self, tx: Transaction, keys: Sequence[Key], now: float, user: str) -> Key | None:
        if any(key.state is KeyState.ACCEPTED for key in keys):
            return None
        waiting = [key for key in keys if key.state is KeyState.PENDING] or list(keys)
        if len(waiting) > 1:
            shown = ", ".join(key.identity.fingerprint for key in waiting)
            raise InputError(
                f"several keys ask for {keys[0].minion}: {shown}", help="delete or reject all but one first"
            )
        holder = keyring.holder(tx, waiting[0].identity.curve)
        if holder is not None:
            raise InputError(f"this key is accepted as {holder} already", help=f"delete {holder} first")
        return self._accept(tx, waiting[0], now, f"accepted by {user}")

    async def reject(self, patterns: Sequence[str], user: str) -> list[MinionId]:
        """Reject the keys whose id matches, accepted ones too; gives the ids. Raises NoTargetError."""
        why = f"rejected by {user}"
        return await self._remove(
            patterns, "rejected", why, lambda tx, key, now: keyring.set_state(tx, key, KeyState.REJECTED, now, why)
        )

    async def delete(self, patterns: Sequence[str], user: str) -> list[MinionId]:
        """Forget the keys whose id matches and all that belongs to them; gives the ids. Raises NoTargetError."""
        return await self._remove(
            patterns, "deleted", f"deleted by {user}", lambda tx, key, now: keyring.delete(tx, key)
        )

    async def _remove(
        self, patterns: Sequence[str], what: str, why: str, change: Callable[[Transaction, int, float], None]
    ) -> list[MinionId]:
        now = time.time()

        def write(tx: Transaction) -> _Decided:
            chosen = _matching(keyring.all_keys(tx), patterns)
            gone = [key for key in chosen if key.state is KeyState.ACCEPTED]
            for key in gone:
                keyring.forget_minion(tx, key.minion)
            for key in chosen:
                change(tx, key.generation, now)
                _tell(tx, key, what, now, why)
            return _Decided(sorted({MinionId(key.minion) for key in chosen}), gone=gone)

        return await self._decided(write)

    async def _decided(self, write: Callable[[Transaction], _Decided]) -> list[MinionId]:
        """Commit a decision, then have it count. Decisions count in the order of their commits."""
        decided = await self._store.write(write)
        for key in decided.gone:
            self._by_user.pop(key.user, None)
            self._by_curve.pop(key.identity.curve, None)
            self._by_minion.pop(MinionId(key.minion), None)
            for call in self._on_removed:
                call(MinionId(key.minion))
        for key in decided.accepted:
            self._add_accepted(key)
        return decided.ids

    def _add_accepted(self, key: Key) -> None:
        minion = MinionId(key.minion)
        self._by_curve[key.identity.curve] = key
        self._by_user[key.user] = minion
        self._by_minion[minion] = key

    # --- tokens -----------------------------------------------------------------------------------------------

    async def token(self, addresses: Sequence[str], lifetime: float, uses: int, user: str) -> JoinToken:
        """A new token for `uses` minions, valid for `lifetime` seconds. Raises InputError."""
        if not 0 < lifetime <= LONGEST_TOKEN:
            raise InputError(f"a token lives more than 0 and at most {LONGEST_TOKEN / 86400:.0f} days")
        if not 0 < uses <= 100_000:
            raise InputError("a token is good for 1 to 100000 minions")
        secret = secrets.token_urlsafe(32)
        digest = hashlib.sha256(secret.encode()).digest()
        now = time.time()

        def write(tx: Transaction) -> None:
            if keyring.token_count(tx, now) >= MOST_TOKENS:
                raise InputError(f"there are {MOST_TOKENS} unused tokens", help="wait until some expire")
            keyring.add_token(tx, digest, now, now + lifetime, uses, user)

        await self._store.write(write)
        return JoinToken(tuple(addresses), self.master.signing, self.master.curve, secret)


def check_request(request: Enrol, connection: str) -> str:
    """Why a request is not even looked at: version, id, proof of both keys. Empty when all of it holds."""
    if request.wire != WIRE_VERSION:
        return f"this master speaks wire version {WIRE_VERSION}, not {request.wire}; install the same version"
    try:
        minion_id(request.minion)
    except InputError as error:
        return str(error)
    if request.curve != connection:
        return "the connection was made with another key than the one that asks"
    try:
        statement = enrolment_statement(request.minion, request.signing, request.curve)
        PublicIdentity(request.signing, request.curve).verify(request.signature, statement)
    except SignatureError:
        return "the signature does not hold: this is no proof of the key"
    return ""


def _matching(keys: Sequence[Key], patterns: Sequence[str]) -> list[Key]:
    """The keys whose id or fingerprint is one of `patterns` or matches one as a glob. Raises NoTargetError."""
    chosen = [
        key
        for key in keys
        if any(fnmatch.fnmatchcase(key.minion, p) or key.identity.fingerprint == p for p in patterns)
    ]
    if not chosen:
        raise NoTargetError(f"no key matches {', '.join(patterns)}", help="`stackmaster keys ls` lists them")
    return chosen


def _tell(tx: Transaction, key: Key, what: str, now: float, reason: str) -> None:
    told = {"fingerprint": key.identity.fingerprint, "address": key.address, "reason": reason}
    tx.event(f"key/{key.minion}/{what}", told, now)
