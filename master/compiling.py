"""What the compiler is asked for: a minion's grains from the inventory, the roots and options from the settings."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from master.asking import Asking, MinionAnswers
from master.compiler.pool import Pool
from master.compiler.recalling import Recalling
from master.compiler.request import Compiled, CompiledCall, CompilerOptions, Request, Roots
from master.compiler.secretwords import SECRET_WORDS
from master.compiler.trees import TreeOptions
from master.config import MasterSettings
from master.inventory import Inventory
from master.jobs import JobRequest
from protocol import codec
from protocol.assignment import Assignment, Chunk
from protocol.data import Data
from protocol.names import MinionId
from protocol.secrets import Scrubber
from states.host.grains import gather


class Compiling:
    """Asks the compiler pool. `inventory` and `asking` are set once they are built, as they ask for pillars."""

    def __init__(self, settings: MasterSettings, pool: Pool) -> None:
        self._compiler = Recalling(pool)
        self._roots = Roots(settings.file_roots, settings.pillar_roots, settings.formulas)
        self._nodegroups = settings.nodegroups
        self._options = CompilerOptions(
            strict_requisites=settings.strict_requisites,
            trees=TreeOptions.of(settings),
            secret_words=settings.secret_words or SECRET_WORDS,
            custom_override=settings.custom_override,
            allow_py=settings.allow_py_renderer,
            strict_states=settings.strict_states,
            aggregate=settings.state_aggregate,
        )
        self.inventory: Inventory | None = None
        self.asking: Asking | None = None

    async def job(self, minion: MinionId, job: JobRequest) -> Compiled:
        """The assignment of a minion for an apply. Raises SlsError."""
        return await self._compiler.compile(
            self._request(minion, job.sls, job.environment, job.pillar), self._answers(minion)
        )

    async def call(self, minion: MinionId, job: JobRequest) -> CompiledCall:
        """The own code of the tree for a call of a minion. Raises SlsError."""
        request = self._request(minion, environment=job.environment)
        return await self._compiler.call(replace(request, function=job.function), self._answers(minion))

    async def orchestration(self, sls: tuple[str, ...], pillar: Mapping[str, Data], environment: str) -> Assignment:
        """The steps of an orchestration, compiled for this host under Salt's name for it. Raises SlsError."""
        own = MinionId(f"{socket.gethostname()}_master")
        request = self._request(own, sls, environment, pillar, {**gather(), "id": own})
        return (await self._compiler.compile(replace(request, states="master"), self._answers(own))).assignment

    async def pillar(self, minion: MinionId) -> Mapping[str, Data]:
        """The pillar of a minion, with Secrets. Raises SlsError."""
        return await self._compiler.pillar(self._request(minion), self._answers(minion))

    async def show(self, asked: Mapping[str, Any]) -> Mapping[str, Data]:
        """The chunks for the API's `compile`, scrubbed; with `low`, as Salt shows them. Raises SlsError."""
        minion = MinionId(asked["minion"] or str((asked["grains"] or {}).get("id", "minion")))
        request = self._request(minion, asked["sls"], asked["environment"], asked["pillar"], asked["grains"])
        if asked.get("low"):
            return {"minion": minion, **await self._compiler.low(request, self._answers(minion))}
        request = replace(request, explain=asked.get("explain", False))
        compiled = await self._compiler.compile(request, self._answers(minion))
        assignment = compiled.assignment
        scrubber = Scrubber(assignment.secrets)
        chunks = chunks_data(compiled)
        return {"minion": minion, "chunks": scrubber.data(chunks), "warnings": scrubber.data(compiled.warnings)}

    def _answers(self, minion: MinionId) -> MinionAnswers | None:
        return self.asking.of(minion) if self.asking is not None else None

    def _request(
        self,
        minion: MinionId,
        sls: tuple[str, ...] = (),
        environment: str = "base",
        pillar: Mapping[str, Data] | None = None,
        grains: Mapping[str, Data] | None = None,
    ) -> Request:
        assert self.inventory is not None
        return Request(
            minion=minion,
            grains=grains if grains is not None else self.inventory.grains(minion),
            roots=self._roots,
            sls=sls,
            environment=environment,
            pillar_override=pillar or {},
            nodegroups=cast(Mapping[str, Any], self._nodegroups),
            options=self._options,
        )


def chunks_data(compiled: Compiled) -> list[Data]:
    """The chunks as plain data, not yet scrubbed, with the `origins` of their arguments when these were asked for."""
    found = [chunk_data(chunk) for chunk in compiled.assignment.chunks]
    for chunk, origins in zip(found, compiled.origins, strict=False):
        chunk["origins"] = dict(origins)
    return [codec.unpack(codec.pack(chunk)) for chunk in found]


def chunk_data(chunk: Chunk) -> dict[str, Data]:
    """A chunk as the API and the command line tell it; what is secret in it is not hidden yet."""
    return {
        "tag": chunk.tag,
        "state": chunk.state,
        "fun": chunk.fun,
        "id": chunk.id,
        "name": chunk.name,
        "sls": chunk.sls,
        "args": chunk.args,
        "options": chunk.options,
        "requisites": [
            {"kind": each.kind, "targets": list(each.targets), "missing": list(each.missing)}
            for each in chunk.requisites
        ],
        "sources": {name: {"digest": ref.digest, "size": ref.size} for name, ref in chunk.sources.items()},
        "file": chunk.file,
        "line": chunk.line,
    }
