"""From calls to the chunks of an assignment: arguments checked, files attached, requisites resolved, all in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from master.compiler.aggregate import aggregated
from master.compiler.arguments import Known, known_state, on_master, parted
from master.compiler.blobs import Blobs
from master.compiler.custom import CustomTree, travelling
from master.compiler.files import Files
from master.compiler.high import Reference
from master.compiler.low import Low
from master.compiler.lowstate import acts_on_watch
from master.compiler.orchestration import check_step, failing, step_options, steps_used
from master.compiler.references import Resolver
from master.compiler.render import Session
from master.compiler.reported import Guard
from master.compiler.request import Request
from master.compiler.settle import Settler
from master.compiler.several import apart, raise_all
from master.compiler.words import OPTIONS
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
        self._options = request.options
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
                if self._options.strict_states or self._on_master:
                    errors.append(error)
                else:
                    watches[len(chunks) :] = [acts_on_watch(low.declaration.state)]
                    chunks.append(self._as_written(low, error))
        raise_all(errors)
        resolver = Resolver(lows, loaded, strict=self._options.strict_requisites)
        requisites = resolver.all(watches)
        raise_all(resolver.errors)
        self.warnings += resolver.warnings
        finished = [replace(chunk, requisites=found) for chunk, found in zip(chunks, requisites, strict=True)]
        arranged = arrange(finished, [low.order for low in lows], [low.written for low in lows])
        return aggregated(arranged, usual=self._options.aggregate)

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
            options |= step_options(args)
            low.references += [Reference("onfail", "id", id, low.declaration.where) for id in failing(options)]
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

    def _as_written(self, low: Low, error: SlsError) -> Chunk:
        """The chunk of a state that is not known, or whose arguments or files are not as they should be: it is for
        the minion to fail. Arguments that a state does not take are left out, as on Salt."""
        declaration, left_out = low.declaration, set[str]()
        try:
            signature = self._lookup(f"{declaration.state}.{declaration.fun}").signature
            taken = {*signature.parameters, *OPTIONS}
            left_out = set() if signature.open else {name for name in low.arguments if name not in taken}
        except (ArgumentError, SlsError):
            pass  # there is no such state
        if left_out:
            for name in sorted(left_out):
                del low.arguments[name]
            self.warnings.append(f"{error}; that is left out")
            try:
                return self._chunk(low, known_state(low, self._lookup), set())
            except SlsError as further:
                return self._as_written(low, further)
        self.warnings.append(f"{error}; that state will fail")
        options: dict[str, Data] = {}
        args: dict[str, Data] = {}
        for name, argument in low.arguments.items():
            (options if name in OPTIONS else args)[name] = self._settler.value(argument.value, name, argument.where)
        text, where = self._settler.text, declaration.where
        return Chunk(
            declaration.state, declaration.fun, text(declaration.id), text(low.name), declaration.sls, args, options,
            file=where.file, line=where.line,
        )  # fmt: skip

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
