"""From calls to the chunks of an assignment: arguments checked, files attached, requisites resolved, all in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from master.compiler.arguments import Known, known_state, on_master, parted
from master.compiler.blobs import Blobs
from master.compiler.custom import CustomTree, travelling
from master.compiler.files import Files
from master.compiler.high import Reference
from master.compiler.low import Low
from master.compiler.orchestration import check_step, steps_used
from master.compiler.references import Resolver
from master.compiler.render import Session
from master.compiler.reported import Guard
from master.compiler.request import Request
from master.compiler.settle import Settler
from master.compiler.several import apart, raise_all
from protocol.assignment import Chunk, Custom
from protocol.data import Data
from protocol.errors import ArgumentError, SlsError, Where
from protocol.requisites import arrange
from protocol.secrets import Scrubber


class Chunks:
    """Makes the chunks of one compilation; `blobs` holds their files. Raises SlsError."""

    def __init__(
        self,
        request: Request,
        session: Session,
        data: Mapping[str, Any],
        guard: Guard,
        scrubber: Scrubber,
        known_secrets: Iterable[str],
        tree: CustomTree,
    ) -> None:
        self._on_master = request.states == "master"
        self._strict = request.options.strict_requisites
        self._tree = tree
        self._lookup = on_master if self._on_master else tree.known_state
        self._request = request
        self.blobs = Blobs()
        self.warnings: list[str] = []
        self._settler = Settler(guard, scrubber, known_secrets)
        self._files = Files(session, data, guard, self.blobs)

    def arranged(self, lows: list[Low], loaded: Iterable[str]) -> tuple[Chunk, ...]:
        """The chunks of `lows` in execution order; `loaded` are the names of all rendered files."""
        errors: list[SlsError] = []
        chunks: list[Chunk] = []
        watches: list[bool] = []
        ids = {low.declaration.id for low in lows}
        for low in lows:
            try:
                known = known_state(low, self._lookup)
                watches.append(known.watches)
                chunks.append(self._chunk(low, known, ids))
            except SlsError as error:
                errors.append(error)
        raise_all(errors)
        resolver = Resolver(lows, loaded, strict=self._strict)
        requisites = resolver.all(watches)
        raise_all(resolver.errors)
        self.warnings += resolver.warnings
        finished = [replace(chunk, requisites=found) for chunk, found in zip(chunks, requisites, strict=True)]
        return arrange(finished, [low.order for low in lows], [low.written for low in lows])

    def mistakes(self, lows: list[Low], loaded: Iterable[str]) -> list[SlsError]:
        """Everything that is wrong with `lows`, each once, whether or not it would stop the compilation."""
        found: list[SlsError] = []
        chunks: list[Chunk] = []
        ids = {low.declaration.id for low in lows}
        for low in lows:
            try:
                known = known_state(low, self._lookup)
                chunks.append(self._chunk(low, known, ids))
                parted(low, known, {name: argument.value for name, argument in low.arguments.items()})
            except SlsError as error:
                found += apart(error)
        resolver = Resolver(lows, loaded, strict=True)
        requisites = [resolver.requisites(position, True) for position in range(len(lows))]
        found += resolver.errors
        if len(chunks) == len(lows) and not resolver.errors:
            finished = [replace(chunk, requisites=each) for chunk, each in zip(chunks, requisites, strict=True)]
            try:
                arrange(finished, [low.order for low in lows], [low.written for low in lows])
            except SlsError as error:
                found += apart(error)
        return list({str(error): error for error in found}.values())

    def custom(self, chunks: Iterable[Chunk], pillar: Mapping[str, Data]) -> Custom | None:
        """The tree's own code as the chunks need it: all of it with the pillar, else what gives grains."""
        if self._on_master:
            return None
        settled = None
        if self._tree.used_by(chunks):
            settled = {key: self._settler.value(value, key, Where("pillar")) for key, value in pillar.items()}
        return travelling(self._tree, self._request, self.blobs, settled)

    def secrets(self) -> tuple[str, ...]:
        """The literals that the chunks and their rendered files hold and that must not be shown."""
        for content in self.blobs.content.values():
            if isinstance(content, bytes):
                self._settler.content(content)
        return tuple(sorted(self._settler.secrets))

    def _chunk(self, low: Low, known: Known, ids: set[str]) -> Chunk:
        sources = {} if self._on_master else self._files.attach(low)
        settle = self._settler
        values = {name: settle.value(found.value, name, found.where) for name, found in low.arguments.items()}
        args, options = parted(low, known, values)
        if self._on_master:
            self._require_steps(low, args, ids)
        declaration = low.declaration
        return Chunk(
            state=declaration.state,
            fun=declaration.fun,
            id=settle.text(declaration.id),
            name=settle.text(low.name),
            sls=declaration.sls,
            args=args,
            options=options,
            sources=sources,
            file=declaration.where.file,
            line=declaration.where.line,
        )

    def _require_steps(self, low: Low, args: Mapping[str, Any], ids: set[str]) -> None:
        """A step whose arguments use another's output requires it, whether or not that is written."""
        declaration = low.declaration
        try:
            check_step(f"{declaration.state}.{declaration.fun}", args)
            used = set(steps_used(args, ids))
        except ArgumentError as error:
            message = f"{declaration.label}: {error.message}"
            raise SlsError(message, where=declaration.where, help=error.help) from None
        for step in sorted(used):
            low.references.append(Reference("require", "id", step, declaration.where))
