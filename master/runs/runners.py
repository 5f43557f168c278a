"""The runners: the few things that an orchestration can have the master itself do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from master.bus import Bus
from master.runs.machine import number, texts
from protocol.errors import ArgumentError
from protocol.names import RunId, event_tag

if TYPE_CHECKING:
    from protocol.data import Data

_OURS: Final = frozenset({"job", "run", "minion", "key"})
"""First parts of tags that only the master and its minions speak under."""

REPEATABLE: Final = frozenset({"test.sleep", "manage.up", "manage.down"})
"""Those that may be done again after a restart of the master."""

Nested = Callable[[tuple[str, ...], Mapping[str, "Data"], bool, str], Awaitable[tuple[RunId, str]]]
"""Begins a run of other SLS files (sls, pillar, test, environment) and waits: its id and the state it ended in."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What runners use: the bus, the minions that are accepted and those that are here, and nested runs."""

    bus: Bus
    accepted: Callable[[], Collection[str]]
    present: Callable[[], Collection[str]]
    nested: Nested


async def run(name: str, kwargs: Mapping[str, Data], hands: Hands, cause: str) -> tuple[bool, str, Data]:
    """Carry out the runner `name`: whether it succeeded, the sentence for it, its value. Raises InputError."""
    if name == "test.sleep":
        seconds = number(kwargs.get("seconds"), 1.0)
        await asyncio.sleep(seconds)
        return True, f"slept {seconds:g} s", None
    if name == "event.send":
        return await _send(kwargs, hands, cause)
    if name == "manage.up":
        up = sorted(hands.present())
        return True, f"{len(up)} minions are here", up
    if name == "manage.down":
        down = sorted(set(hands.accepted()) - set(hands.present()))
        return True, f"{len(down)} minions are away", down
    if name == "state.orchestrate":
        return await _orchestrate(kwargs, hands)
    raise ArgumentError(f"there is no runner {name!r}")


async def _send(kwargs: Mapping[str, Data], hands: Hands, cause: str) -> tuple[bool, str, Data]:
    tag = event_tag(str(kwargs.get("tag") or ""))
    if tag.partition("/")[0] in _OURS:
        raise ArgumentError(f"the tag {tag!r} is the master's own", help="begin it with a word of yours")
    data = kwargs.get("data")
    await hands.bus.publish(tag, data if isinstance(data, Mapping) else {"data": data}, cause)
    return True, f"sent {tag}", None


async def _orchestrate(kwargs: Mapping[str, Data], hands: Hands) -> tuple[bool, str, Data]:
    pillar = kwargs.get("pillar")
    names = texts(kwargs.get("mods"))
    if not names:
        raise ArgumentError("state.orchestrate needs 'mods'", help="name the SLS to run")
    given = pillar if isinstance(pillar, Mapping) else {}
    environment = str(kwargs.get("saltenv") or "base")
    run, state = await hands.nested(names, given, kwargs.get("test") is True, environment)
    return state == "succeeded", f"run {run} {state}", {"run": run, "state": state}
