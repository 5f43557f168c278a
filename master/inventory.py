"""What minions told of themselves, and which of them a target means."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace

from master.keys import Keys
from master.sessions import Session, Sessions
from master.store import queries
from master.store.store import Store, Transaction
from protocol import codec
from protocol.data import Data
from protocol.errors import NoTargetError, StoreError
from protocol.messages import Facts
from protocol.names import MinionId
from protocol.target import Subject, Target, check, parse

log = logging.getLogger("stackmaster.inventory")

MOST_GRAINS = 512 * 1024
"""Bytes of one minion's grains."""

PillarOf = Callable[[MinionId], Awaitable[Mapping[str, Data]]]


class Inventory:
    """The grains of all accepted minions, and the targets over them. `pillar_of` is asked only for pillar targets."""

    def __init__(
        self, store: Store, keys: Keys, sessions: Sessions, nodegroups: Mapping[str, Data], pillar_of: PillarOf
    ) -> None:
        self._store = store
        self._keys = keys
        self._sessions = sessions
        self._nodegroups = nodegroups
        self._pillar_of = pillar_of
        self._grains: dict[MinionId, Mapping[str, Data]] = {}
        self._seen: dict[MinionId, queries.MinionRow] = {}
        self._unsaved: set[MinionId] = set()

    async def load(self) -> None:
        """Read what is known of the minions. Raises StoreError."""
        rows = await self._store.read(queries.minions)
        self._seen = {row.minion: row for row in rows}
        self._grains = {row.minion: row.grains for row in rows if row.grains}

    # --- facts --------------------------------------------------------------------------------------------------

    def told(self, session: Session, facts: Facts) -> None:
        """A minion told its grains; they count at once and are stored with the next `save`."""
        if len(codec.pack(facts.grains)) > MOST_GRAINS:
            self._sessions.count_bad(session, f"grains larger than {MOST_GRAINS} bytes")
            return
        # who a minion is says its key, not the minion
        grains = {**facts.grains, "id": session.minion}
        if self._grains.get(session.minion) != grains:
            self._grains[session.minion] = grains
            self._unsaved.add(session.minion)

    async def save(self) -> None:
        """Store the grains that changed. Raises StoreError."""
        saving, self._unsaved = self._unsaved, set()
        changed = [(minion, codec.pack(self._grains[minion])) for minion in saving if minion in self._keys]

        def write(tx: Transaction) -> None:
            for minion, packed in changed:
                queries.save_grains(tx, minion, packed)

        if not changed:
            return
        try:
            await self._store.write(write)
        except StoreError:
            self._unsaved |= {minion for minion in saving if minion in self._grains}
            raise

    def forget(self, minion: MinionId) -> None:
        """Another minion may come under this id: it inherits nothing."""
        self._grains.pop(minion, None)
        self._seen.pop(minion, None)
        self._unsaved.discard(minion)

    def grains(self, minion: str) -> Mapping[str, Data]:
        """The grains of a minion; empty when it never told any."""
        return self._grains.get(MinionId(minion), {})

    def last_seen(self, minion: MinionId) -> float:
        """When the minion was last here, in seconds since the epoch; 0 when never."""
        if self._sessions.get(minion) is not None:
            return time.time()
        row = self._seen.get(minion)
        return row.last_seen if row is not None else 0.0

    def version(self, minion: MinionId) -> str:
        """The version that the minion told last; empty when it never was here."""
        row = self._seen.get(minion)
        return row.version if row is not None else ""

    def arrived(self, session: Session) -> None:
        """A minion is here: remember what its greeting said."""
        hello = session.hello
        row = queries.MinionRow(session.minion, {}, hello.version, hello.boot_id, hello.machine_id, session.since)
        self._seen[session.minion] = row

    def left(self, minion: MinionId) -> None:
        """The minion is not here any more: remember when that was."""
        if minion in self._seen and minion in self._keys:
            self._seen[minion] = replace(self._seen[minion], last_seen=time.time())

    # --- targets ------------------------------------------------------------------------------------------------

    async def expand(self, expression: str, kind: str) -> list[MinionId]:
        """The accepted minions that a target means, sorted. Raises TargetError, NoTargetError."""
        matched = await self.match(expression, kind)
        if not matched:
            raise NoTargetError(
                f"the target {expression!r} matches none of {len(self._keys.accepted)} minions",
                help="`stackmaster minions ls` lists them; `stackmaster target show --explain` tells why",
            )
        return matched

    async def match(self, expression: str, kind: str) -> list[MinionId]:
        """`expand` without an error when nobody is meant. Raises TargetError."""
        check(expression, kind, self._nodegroups)
        target = parse(expression, kind, self._nodegroups)
        subjects = await self._subjects(self._keys.accepted, target)
        return [MinionId(subject.id) for subject in subjects if target.matches(subject)]

    async def explain(self, expression: str, kind: str) -> dict[str, Data]:
        """For each accepted minion what each term of the target says of it. Raises TargetError."""
        check(expression, kind, self._nodegroups)
        target = parse(expression, kind, self._nodegroups)
        subjects = await self._subjects(self._keys.accepted, target)
        return {subject.id: [asdict(each) for each in target.explain(subject)] for subject in subjects}

    async def _subjects(self, minions: Sequence[MinionId], target: Target) -> list[Subject]:
        pillars: Mapping[MinionId, Mapping[str, Data]] = {}
        if target.needs_pillar:
            found = await asyncio.gather(*(self._pillar_of(minion) for minion in minions))
            pillars = dict(zip(minions, found, strict=True))
        return [Subject(minion, self.grains(minion), pillars.get(minion, {})) for minion in minions]
