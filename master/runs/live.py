"""A run that goes on: its engine, what waits for it, and what persons may want of it at this moment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from master.jobs import JobOutcome
from master.runs.engine import Engine
from master.runs.shapes import Cancelled, Decided, Key, Paused, Resumed, RunEvent, Skipped
from protocol.errors import RefusedError
from protocol.names import RunId
from protocol.secrets import Scrubber, literals

MOST_EVENTS: Final = 1000
"""Events that may wait for one run's engine; who brings more waits."""


@dataclass(slots=True)
class Live:
    """A run that goes on."""

    run: RunId
    engine: Engine
    user: str
    scrubber: Scrubber
    inbox: asyncio.Queue[RunEvent] = field(default_factory=lambda: asyncio.Queue(MOST_EVENTS))
    tasks: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    side: set[asyncio.Task[None]] = field(default_factory=set)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def learn(self, outcome: JobOutcome) -> None:
        """What minions gave in secret is told to nobody."""
        self.scrubber.add(literals({minion: ended.value for minion, ended in outcome.minions.items()}))

    # --- what persons want --------------------------------------------------------------------------------------

    async def cancel(self, user: str, force: bool = False) -> None:
        """Stop a run: its jobs are cancelled, nothing more is begun but its cleanup; with `force` not that either.

        Raises RefusedError when only force would do.
        """
        if self.engine.stopping and not force:
            what = "is at its cleanup" if self.engine.cleaning else "is being cancelled"
            help = "wait for it, or use --force, which leaves undone what the cleanup would put right"
            raise RefusedError(f"the run {self.run} {what}", help=help)
        await self.inbox.put(Cancelled(user, force))

    async def pause(self, user: str) -> None:
        """Begin nothing more of a run until it is resumed. Raises RefusedError."""
        if self.engine.stopping:
            raise RefusedError(f"the run {self.run} is at its end", help="its cleanup is not paused")
        if self.engine.paused:
            raise RefusedError(f"the run {self.run} is paused already", help=f"`stackmaster runs resume {self.run}`")
        await self.inbox.put(Paused(user))

    async def resume(self, user: str) -> None:
        """Let a paused run go on. Raises RefusedError."""
        if not self.engine.paused:
            raise RefusedError(f"the run {self.run} is not paused", help=f"`stackmaster runs watch {self.run}`")
        await self.inbox.put(Resumed(user))

    async def skip(self, step: str, user: str) -> None:
        """Count a step that has not ended as done. Raises RefusedError."""
        position = self.engine.skippable(step)
        if position is None:
            help = f"a step that has not ended, and is no cleanup; `stackmaster runs show {self.run}` lists them"
            raise RefusedError(f"there is no step {step!r} to skip", help=help)
        if self.engine.stopping:
            raise RefusedError(f"the run {self.run} is at its end", help="nothing is left to skip")
        await self.inbox.put(Skipped(user, position))

    async def decide(self, step: str, granted: bool, comment: str, user: str) -> str:
        """Approve or deny the `step` that waits for it (empty: the only one); gives its name.

        Raises RefusedError.
        """
        waiting = self.engine.approvals()
        names = [name for name in waiting if not step or name == step]
        if len(names) != 1:
            told = ", ".join(waiting) or "no step"
            raise RefusedError(f"say which step: {told} waits for approval", help=f"`stackmaster runs show {self.run}`")
        machine = waiting[names[0]]
        machine.check(user)
        assert machine.key is not None
        await self.inbox.put(Decided(machine.key, user, granted, comment))
        return names[0]
