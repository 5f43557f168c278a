"""What each call of the API does about keys, minions, targets, documentation; and the table of all calls."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from master import __version__
from master.api.roles import Caller
from master.api.table import Argument, Call, Emit
from master.bus import Bus
from master.config import MasterSettings, token_addresses
from master.inventory import Inventory
from master.jobs import Jobs
from master.keys import Keys
from master.plans import Plans
from master.rollbacks import Rollbacks
from master.runs.driver import Runs
from master.sessions import Sessions
from master.store import driftrows
from master.store.store import Store
from protocol.data import Data
from protocol.errors import ArgumentError, InputError
from protocol.names import MinionId
from protocol.secrets import Scrubber
from states import declarations, registry

CompileChunks = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Data]]]
PillarOf = Callable[[MinionId], Awaitable[Mapping[str, Data]]]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the master that calls speak to."""

    settings: MasterSettings
    store: Store
    bus: Bus
    keys: Keys
    sessions: Sessions
    inventory: Inventory
    jobs: Jobs
    runs: Runs
    pillar: PillarOf
    compile: CompileChunks
    plans: Plans
    rollbacks: Rollbacks
    started: float


class NodeCalls:
    """The calls about keys, minions and targets."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def status(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """How the master is."""
        parts = self._parts
        counters = parts.sessions.counters
        return {
            "version": __version__,
            "minions": {"accepted": len(parts.keys.accepted), "connected": len(parts.sessions)},
            "jobs_running": parts.jobs.running,
            "runs_running": parts.runs.running,
            "uptime": time.time() - parts.started,
            "store_backlog": parts.store.backlog,
            "store_full": parts.store.full,
            "last_event": parts.store.last_seq,
            "dropped": {"strangers": counters.strangers, "bad": counters.bad, "stray": counters.stray},
            "dropped_events": counters.events,
        }

    async def keys_list(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Every key that asked."""
        return {
            "keys": [
                {
                    "id": key.minion, "state": key.state.value, "fingerprint": key.identity.fingerprint,
                    "since": key.since, "address": key.address, "version": key.version, "reason": key.reason,
                }
                for key in await self._parts.keys.all()
            ]
        }  # fmt: skip

    async def keys_accept(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Accept keys."""
        return {"ids": list(await self._parts.keys.accept(args["ids"], who.user))}

    async def keys_reject(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Reject keys."""
        return {"ids": list(await self._parts.keys.reject(args["ids"], who.user))}

    async def keys_delete(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Forget keys."""
        return {"ids": list(await self._parts.keys.delete(args["ids"], who.user))}

    async def keys_token(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Make a join token."""
        addresses = token_addresses(self._parts.settings)
        token = await self._parts.keys.token(addresses, args["ttl"], args["uses"], who.user)
        return {"token": token.text(), "addresses": list(addresses), "expires": time.time() + args["ttl"]}

    async def keys_master(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """The master's own public key."""
        master = self._parts.keys.master
        return {"key": master.text(), "fingerprint": master.fingerprint}

    async def minions_list(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """The accepted minions, or those of them that a target means."""
        inventory = self._parts.inventory
        found = (
            self._parts.keys.accepted if not args["target"] else await inventory.expand(args["target"], args["kind"])
        )
        told = [self._minion(minion) for minion in found]
        if args["drift"]:
            rows = await self._parts.store.read(driftrows.all_rows)
            told = [{**each, "drift": rows[each["id"]].told() if each["id"] in rows else None} for each in told]
        return {"minions": told}

    def _minion(self, minion: MinionId) -> dict[str, Data]:
        inventory, session = self._parts.inventory, self._parts.sessions.get(minion)
        grains = inventory.grains(minion)
        os = " ".join(str(grains[key]) for key in ("os", "osrelease") if grains.get(key))
        return {
            "id": str(minion),
            "connected": session is not None,
            "last_seen": inventory.last_seen(minion),
            "version": session.hello.version if session is not None else inventory.version(minion),
            "os": os,
        }

    async def minions_show(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """What is known of one minion."""
        minion = self._known(args["id"])
        session = self._parts.sessions.get(minion)
        more: dict[str, Data] = {}
        if session is not None:
            more = {"since": session.since, "boot_id": session.hello.boot_id, "machine_id": session.hello.machine_id}
        row = await self._parts.store.read(lambda rows: driftrows.row(rows, minion))
        drift = row.told(steps=True) if row is not None else None
        return {**self._minion(minion), **more, "drift": drift, "grains": self._parts.inventory.grains(minion)}

    def _known(self, name: str) -> MinionId:
        if name not in self._parts.keys:
            raise InputError(f"there is no accepted minion {name!r}", help="`stackmaster minions ls` lists them")
        return MinionId(name)

    async def target_show(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """Whom a target means, and why."""
        inventory = self._parts.inventory
        found: dict[str, Data] = {"minions": list(await inventory.match(args["target"], args["kind"]))}
        if args["explain"]:
            found["explain"] = await inventory.explain(args["target"], args["kind"])
        return found

    async def pillar_show(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """The pillar of a minion, secrets masked."""
        pillar = Scrubber().data(await self._parts.pillar(self._known(args["minion"])))
        return cast(Mapping[str, Data], pillar)

    async def compile(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """What SLS files come to for a minion, or for a host with the given grains."""
        if (args["minion"] is None) == (args["grains"] is None):
            raise ArgumentError("compile needs either 'minion' or 'grains'")
        if args["minion"] is not None:
            self._known(args["minion"])
        return await self._parts.compile(args)

    async def doc(self, who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
        """The names of states and functions, or the documentation of one."""
        name = args["name"]
        if not name:
            return {"states": list(registry.state_names()), "functions": list(registry.function_names())}
        found: declarations.State | declarations.Function
        try:
            found = registry.find_function(name)
        except ArgumentError:
            found = registry.find_state(name)
        arguments: list[Data] = [
            {"name": each.name, "required": each.required, "default": None if each.required else repr(each.default)}
            for each in found.signature.parameters.values()
        ]
        return {"name": found.name, "doc": found.doc, "arguments": arguments}


def node_calls(parts: Parts) -> list[Call]:
    """The calls of this module."""
    calls = NodeCalls(parts)
    ids = {"ids": Argument("strings")}
    target = {"target": Argument("str"), "kind": Argument("str", "compound")}
    what = {
        "minion": Argument("str", None), "grains": Argument("mapping", None), "sls": Argument("strings", ()),
        "pillar": Argument("mapping", {}), "environment": Argument("str", "base"),
    }  # fmt: skip
    shown = {"explain": Argument("bool", False), "low": Argument("bool", False)}
    ttl, uses = Argument("float", 3600.0, least=1), Argument("int", 1, least=1)
    return [
        Call("status", "read", calls.status),
        Call("keys.list", "read", calls.keys_list),
        Call("keys.accept", "admin", calls.keys_accept, ids),
        Call("keys.reject", "admin", calls.keys_reject, ids),
        Call("keys.delete", "admin", calls.keys_delete, ids),
        Call("keys.token", "admin", calls.keys_token, {"ttl": ttl, "uses": uses}),
        Call("keys.master", "read", calls.keys_master),
        Call(
            "minions.list",
            "read",
            calls.minions_list,
            {**target, "target": Argument("str", ""), "drift": Argument("bool", False)},
        ),
        Call("minions.show", "read", calls.minions_show, {"id": Argument("str")}),
        Call("target.show", "read", calls.target_show, {**target, "explain": Argument("bool", False)}, 120.0),
        Call("pillar.show", "operate", calls.pillar_show, {"minion": Argument("str")}, 120.0),
        Call("compile", "operate", calls.compile, {**what, **shown}, 120.0),
        Call("doc", "read", calls.doc, {"name": Argument("str", "")}),
    ]
