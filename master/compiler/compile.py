"""The compiler's entry: from a request to the assignment of one minion, its blobs and its pillar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from master.compiler.blobs import Blobs
from master.compiler.chunks import Chunks
from master.compiler.custom import CustomTree, travelling
from master.compiler.functions import Functions
from master.compiler.low import Low, as_written, lower
from master.compiler.lowstate import LowState, Shower, acts_on_watch
from master.compiler.merge import update
from master.compiler.origins import Origins
from master.compiler.outward import Answers, Outward
from master.compiler.pillar import Pillar
from master.compiler.reads import Reads, Recorded
from master.compiler.render import Session
from master.compiler.reported import Guard, holds_reported, mark
from master.compiler.request import Compiled, CompiledCall, CompilerOptions, Request, Roots
from master.compiler.roots import FileRoots
from master.compiler.secretwords import SecretWords
from master.compiler.settle import Settler
from master.compiler.several import SeveralErrors, apart
from master.compiler.sls import High, Loader
from master.compiler.top import Tops, TopTarget
from master.compiler.treefunctions import TreeFunctions
from master.compiler.watched import Watched
from protocol.assignment import Assignment, Custom
from protocol.data import Data
from protocol.errors import InputError, SlsError, Where
from protocol.secrets import Scrubber, literals, reveal
from protocol.target import Subject

__all__ = ["Compiled", "CompilerOptions", "Request", "Roots", "compile_assignment", "compile_call", "compile_pillar"]

T = TypeVar("T")

_LONGEST_ERROR = 4000


@dataclass(frozen=True, slots=True)
class Examined:
    """The calls of a compilation, the files that it read, and all that is wrong, without secrets."""

    lows: list[Low]
    high: High
    errors: list[SlsError]
    warnings: list[str]


_MOST_WARNINGS = 100


def compile_assignment(request: Request, answers: Answers | None = None) -> Compiled:
    """Compile `request` in this process. Raises SlsError, free of secrets, that names file and line.

    Who asks for functions of the minion, or has what is encrypted, needs `answers`.
    """
    compilation = _Compilation(request, answers)
    return compilation.telling(compilation.compiled)


def compile_pillar(request: Request, answers: Answers | None = None) -> Mapping[str, Data]:
    """The pillar of `request.minion`, its secrets as Secret. Raises SlsError."""
    compilation = _Compilation(request, answers)
    return compilation.telling(lambda: compilation.pillar()[1])


def compile_recorded(request: Request, answers: Answers | None = None) -> tuple[Compiled, Recorded]:
    """As `compile_assignment`, with all that was read. Raises SlsError."""
    compilation = _Compilation(request, answers)
    return compilation.telling(compilation.compiled), compilation.recorded()


def pillar_recorded(request: Request, answers: Answers | None = None) -> tuple[Mapping[str, Data], Recorded]:
    """As `compile_pillar`, with all that was read. Raises SlsError."""
    compilation = _Compilation(request, answers)
    return compilation.telling(lambda: compilation.pillar()[1]), compilation.recorded()


def compile_call(request: Request, answers: Answers | None = None) -> CompiledCall:
    """What the tree's own code has for a call of `request.function`. Raises SlsError."""
    compilation = _Compilation(request, answers)
    return compilation.telling(compilation.call)


def examine(request: Request, answers: Answers | None = None) -> Examined:
    """Compile as far as it goes and tell all that is wrong. Raises SlsError for a file that cannot be read."""
    compilation = _Compilation(request, answers)
    return compilation.telling(compilation.examined)


def compile_low(request: Request, answers: Answers | None = None) -> LowState:
    """The low chunks of `request` as Salt shows them; what refuses it is in their errors, free of secrets."""
    compilation = _Compilation(request, answers)
    try:
        return compilation.telling(compilation.low)
    except SlsError as error:
        return LowState(errors=list(apart(error)))


def examine_tops(request: Request, of: Literal["states", "pillar"]) -> list[TopTarget]:
    """Every target of the top files, whomever it means. Raises SlsError for a top file that cannot be read."""
    compilation = _Compilation(request)
    return compilation.telling(lambda: compilation.tops(of))


class _Compilation:
    """One compilation: what it reads, and what must not be seen in what it says."""

    def __init__(self, request: Request, answers: Answers | None = None) -> None:
        self._request = request
        self._guard = Guard()
        self._reads = Reads()
        self._outward = Outward(answers, self._guard, self._reads)
        self._first_reads = self._reads
        self._scrubber = Scrubber()
        self._warnings: list[str] = []
        self._grains: dict[str, Any] = mark(dict(request.grains) | {"id": request.minion})
        self._words = SecretWords(request.options.secret_words, literals(request.pillar_override))

    def telling(self, call: Callable[[], T]) -> T:
        """What `call` gives; any error of the input as a SlsError without secrets."""
        try:
            return call()
        except SeveralErrors as error:
            raise SeveralErrors([self._told(each) for each in error.errors]) from None
        except InputError as error:
            raise self._told(error) from None

    def recorded(self) -> Recorded:
        """What was read so far."""
        if self._first_reads is self._reads:
            return self._reads.recorded()
        return self._first_reads.and_then(self._reads)

    def compiled(self) -> Compiled:
        """The whole: pillar, states, blobs."""
        pillar, marked = self.pillar()
        request = self._request
        self._reads = Reads()
        self._outward = self._outward.reading(self._reads)
        session = self._session(self._state_roots(), pillar)
        high = self._loaded(session, pillar)
        chunks = Chunks(request, session, session.data, self._guard, self._scrubber, literals(marked), self._tree())
        origins = Origins(high, session, pillar) if request.explain else None
        lows = lower(high, strict=request.options.strict_requisites, warn=self._warn)
        told = {} if origins is None else {self._called(low): origins.of(low) for low in lows}
        arranged = chunks.arranged(lows, [sls for _, sls in high.files])
        for warning in chunks.warnings:
            self._warn(warning)
        warnings = tuple(self._shown(warning)[:_LONGEST_ERROR] for warning in self._warnings)
        custom = chunks.custom(arranged, marked)
        if custom is not None:
            self._reads.once()
        assignment = Assignment(request.minion, arranged, request.environment, chunks.secrets(), warnings, custom)
        explained = tuple(told.get((chunk.state, chunk.fun, chunk.id, chunk.name), {}) for chunk in arranged if told)
        return Compiled(assignment, chunks.blobs.content, marked, warnings, explained)

    def _called(self, low: Low) -> tuple[str, str, str, str]:
        declaration = low.declaration
        return declaration.state, declaration.fun, self._guard.text(declaration.id), self._guard.text(low.name)

    def examined(self) -> Examined:
        """The calls, and everything that is wrong with them."""
        pillar, marked = self.pillar()
        request = self._request
        session = self._session(self._state_roots(), pillar)
        errors: list[SlsError] = []
        high = self._loaded(session, pillar, errors)
        data = {"pillar": pillar, "grains": self._grains}
        chunks = Chunks(request, session, data, self._guard, self._scrubber, literals(marked), self._tree())
        lows: list[Low] = []
        try:
            lows = lower(high, strict=request.options.strict_requisites)
        except SlsError as error:
            errors += apart(error)
        errors += chunks.mistakes(lows, [sls for _, sls in high.files])
        return Examined(lows, high, [self._told(error) for error in errors], [self._shown(w) for w in self._warnings])

    def low(self) -> LowState:
        """The calls as Salt shows them; their states and arguments need not be known."""
        pillar, marked = self.pillar()
        strict = self._request.options.strict_requisites
        high = self._loaded(self._session(self._state_roots(), pillar), pillar)
        tree = self._tree()

        def acts(low: Low) -> bool:
            family = low.declaration.state
            return acts_on_watch(family) or tree.find("states", f"{family}.mod_watch") is not None

        settler = Settler(self._guard, self._scrubber, literals(marked))
        shower = Shower([sls for _, sls in high.files], acts, settler, strict=strict)
        found = LowState()
        with contextlib.suppress(SlsError):  # what is wrong only as it is written is no error
            found.low = shower.shown(as_written(high)) if self._request.sls else []
        try:
            found.applied = shower.shown(lower(high, strict=strict, warn=self._warn))
        except SlsError as error:
            found.errors = [self._told(each) for each in apart(error)]
        found.low = found.low if self._request.sls else found.applied
        found.warnings = [self._shown(warning) for warning in [*self._warnings, *shower.warnings]]
        return found

    def tops(self, of: Literal["states", "pillar"]) -> list[TopTarget]:
        """Every target of the top files, with what it gives or what is wrong with it."""
        request = self._request
        roots = self._state_roots() if of == "states" else self._pillar_roots()
        session = self._session(roots, {})
        tops = Tops(session, Subject(request.minion), request.nodegroups, request.options.trees)
        if of == "states":
            return tops.everything(tops.state_sections(roots))
        return tops.everything(tops.pillar_sections(roots))

    def call(self) -> CompiledCall:
        """The tree's own code: with the pillar when it has the function, without when it is to be synchronised."""
        request, tree, blobs = self._request, self._tree(), Blobs()
        names = tuple(tree.names("modules"))
        if request.function.startswith("saltutil."):
            files = tree.manifest(blobs)
            return CompiledCall(Custom(files, request.environment), blobs.content, names=names)
        definition = tree.find("modules", request.function)
        if definition is None:
            return CompiledCall(None, {}, names=names)
        _, marked = self.pillar()
        settler = Settler(self._guard, self._scrubber, literals(marked))
        pillar = {key: settler.value(value, key, Where("pillar")) for key, value in marked.items()}
        custom = travelling(tree, request, blobs, pillar)
        return CompiledCall(custom, blobs.content, tuple(settler.secrets), definition.declared.signature, names)

    def _tree(self) -> CustomTree:
        """The own code of the environment, of `base`, and for the top file of every other, the first one winning."""
        request, roots = self._request, self._state_roots()
        of_all = () if request.sls or request.function else tuple(roots)
        names = dict.fromkeys((request.environment, "base", *of_all))
        return CustomTree([roots[name] for name in names if name in roots], override=request.options.custom_override)

    def pillar(self) -> tuple[dict[Any, Any], dict[str, Data]]:
        """The pillar for templates, and the same with its secrets marked, which from here on are never told."""
        request = self._request
        trees = request.options.trees
        roots = self._pillar_roots()
        override = {key: mark(reveal(value)) for key, value in request.pillar_override.items()}
        first = self._external(override) if trees.ext_pillar_first else {}
        seen = update(dict(first), override)
        session = self._session(roots, seen)
        compiler = Pillar(session, self._words, trees, self._warn)
        tops = Tops(session, Subject(request.minion, self._grains, first), request.nodegroups, trees, self._warn)
        assigned = tops.pillar(roots, request.environment, everybody=request.options.all_pillar)
        compiled = compiler.combined(first, compiler.compiled(assigned))
        if trees.ext_pillar and not trees.ext_pillar_first:
            compiled = compiler.combined(compiled, self._external(compiled))
        compiled = compiler.combined(compiled, override)
        marked = {str(key): self._words.marked(value, str(key)) for key, value in compiled.items()}
        self._scrubber.add(literals(marked))
        return compiled, marked

    def _external(self, pillar: Mapping[str, Any]) -> dict[Any, Any]:
        """What the sources of `ext_pillar` give, each on what there was before it; secrets are learnt."""
        trees = self._request.options.trees
        if not trees.ext_pillar:
            return {}
        from master.compiler.external import Asked, Sources

        self._reads.once()
        asked = Asked(self._request.minion, self._request.environment, pillar, self._request.nodegroups)
        return Sources(trees, self._words, self._scrubber).given(asked)

    def _loaded(self, session: Session, pillar: Mapping[str, Any], mistakes: list[SlsError] | None = None) -> High:
        request = self._request
        loader = Loader(session, mistakes)
        if request.sls:
            for sls in request.sls:
                for name in session.roots(request.environment).matching_sls(sls):
                    loader.load(request.environment, name)
            return loader.high
        subject = Subject(request.minion, self._grains, pillar)
        tops = Tops(session, subject, request.nodegroups, request.options.trees)
        only = "" if request.environment == "base" else request.environment
        assigned = tops.states(request.roots.states, only)
        if not assigned:
            help = "add a target for it to top.sls, or name the SLS to apply"
            raise SlsError(f"the top file gives nothing to {request.minion}", where=Where("top.sls"), help=help)
        for each in assigned:
            loader.load(each.environment, each.sls, each.where)
        return loader.high

    def _session(self, roots: Mapping[str, FileRoots], pillar: dict[Any, Any]) -> Session:
        request = self._request
        reads, outward = self._reads, self._outward
        grains = Watched("grains", self._grains, reads)
        seen = Watched("pillar", pillar, reads)
        watched = Watched("opts", request.opts(), reads)
        functions = Functions(request.minion, grains, seen, watched, request.nodegroups, self._warn, reads)
        own = lambda: self._tree().names("modules")  # noqa: E731
        salt = functions.map(outward, TreeFunctions(roots, request.environment).map(), own)
        self._guard.active = self._guard.active or holds_reported([self._grains, pillar])
        context = {"salt": salt, "ifelse": functions.ifelse, "grains": grains, "pillar": seen, "opts": watched}
        return Session(
            roots, context, self._scrubber, guard=self._guard, outward=outward, learn=self._words.learn,
            allow_py=request.options.allow_py,
        )  # fmt: skip

    def _pillar_roots(self) -> dict[str, FileRoots]:
        return self._roots("pillar", self._request.roots.pillar)

    def _state_roots(self) -> dict[str, FileRoots]:
        return self._roots("states", self._request.roots.state_directories())

    def _roots(self, tree: str, directories: Mapping[str, tuple[Path, ...]]) -> dict[str, FileRoots]:
        note = self._reads.file
        return {
            name: FileRoots(paths, name, lambda verb, of, told, name=name: note((tree, name, verb, of), told))  # type: ignore[misc]
            for name, paths in directories.items()
        }

    def _warn(self, message: str) -> None:
        if len(self._warnings) < _MOST_WARNINGS:
            self._warnings.append(message)

    def _told(self, error: InputError) -> SlsError:
        message, help = self._shown(error.message), self._shown(error.help)
        where = Where(error.where.file, error.where.line, error.where.column)
        return SlsError(message[:_LONGEST_ERROR], where=where, help=help[:_LONGEST_ERROR])

    def _shown(self, text: str) -> str:
        return self._scrubber.text(self._guard.text(text))
