"""The compiler's entry: from a request to the assignment of one minion, its blobs and its pillar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import states
from master.compiler.chunks import Chunks
from master.compiler.functions import Functions
from master.compiler.low import lower
from master.compiler.pillar import Pillar
from master.compiler.render import Session
from master.compiler.reported import Guard, holds_reported, mark
from master.compiler.request import Compiled, CompilerOptions, Request, Roots
from master.compiler.roots import FileRoots
from master.compiler.secretwords import SecretWords
from master.compiler.sls import High, Loader
from master.compiler.top import Tops
from protocol.assignment import Assignment
from protocol.data import Data
from protocol.errors import InputError, SlsError, Where
from protocol.secrets import Scrubber, literals, reveal
from protocol.target import Subject

__all__ = ["Compiled", "CompilerOptions", "Request", "Roots", "compile_assignment", "compile_pillar"]

T = TypeVar("T")

_LONGEST_ERROR = 4000
_MOST_WARNINGS = 100


def compile_assignment(request: Request) -> Compiled:
    """Compile `request` in this process. Raises SlsError, free of secrets, that names file and line."""
    compilation = _Compilation(request)
    return compilation.telling(compilation.compiled)


def compile_pillar(request: Request) -> Mapping[str, Data]:
    """The pillar of `request.minion`, its secrets as Secret. Raises SlsError."""
    compilation = _Compilation(request)
    return compilation.telling(lambda: compilation.pillar()[1])


class _Compilation:
    """One compilation: what it reads, and what must not be seen in what it says."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._guard = Guard()
        self._scrubber = Scrubber()
        self._warnings: list[str] = []
        self._grains: dict[str, Any] = mark(dict(request.grains) | {"id": request.minion})
        self._words = SecretWords(request.options.secret_words, literals(request.pillar_override))

    def telling(self, call: Callable[[], T]) -> T:
        """What `call` gives; any error of the input as a SlsError without secrets."""
        try:
            return call()
        except InputError as error:
            message, help = self._shown(error.message), self._shown(error.help)
            where = Where(error.where.file, error.where.line, error.where.column)
            raise SlsError(message[:_LONGEST_ERROR], where=where, help=help[:_LONGEST_ERROR]) from None

    def compiled(self) -> Compiled:
        """The whole: pillar, states, blobs."""
        pillar, marked = self.pillar()
        request = self._request
        session = self._session(self._state_roots(), pillar)
        high = self._loaded(session, pillar)
        chunks = Chunks(
            request, session, {"pillar": pillar, "grains": self._grains}, self._guard, self._scrubber, literals(marked)
        )
        lows = lower(high, strict=request.options.strict_requisites)
        arranged = chunks.arranged(lows, [sls for _, sls in high.files])
        warnings = tuple(self._shown(warning)[:_LONGEST_ERROR] for warning in self._warnings)
        assignment = Assignment(request.minion, arranged, request.environment, chunks.secrets(), warnings)
        return Compiled(assignment, chunks.blobs.content, marked, warnings)

    def pillar(self) -> tuple[dict[Any, Any], dict[str, Data]]:
        """The pillar for templates, and the same with its secrets marked, which from here on are never told."""
        request = self._request
        roots = {name: FileRoots(paths, name) for name, paths in request.roots.pillar.items()}
        override = {key: mark(reveal(value)) for key, value in request.pillar_override.items()}
        session = self._session(roots, override)
        subject = Subject(request.minion, self._grains, {})
        compiler = Pillar(session, self._words, secrets_by_grains=request.options.secrets_by_grains)
        compiled = compiler.compiled(Tops(session, subject, request.nodegroups), roots, override)
        marked = {str(key): self._words.marked(value, str(key)) for key, value in compiled.items()}
        self._scrubber.add(literals(marked))
        return compiled, marked

    def _loaded(self, session: Session, pillar: Mapping[str, Any]) -> High:
        request = self._request
        loader = Loader(session)
        if request.sls:
            for sls in request.sls:
                for name in session.roots(request.environment).matching_sls(sls):
                    loader.load(request.environment, name)
            return loader.high
        tops = Tops(session, Subject(request.minion, self._grains, pillar), request.nodegroups)
        environments = request.roots.states if request.environment == "base" else [request.environment]
        assigned = tops.assigned(environments)
        if not assigned:
            help = "add a target for it to top.sls, or name the SLS to apply"
            raise SlsError(f"the top file gives nothing to {request.minion}", where=Where("top.sls"), help=help)
        for each in assigned:
            loader.load(each.environment, each.sls, each.where)
        return loader.high

    def _session(self, roots: Mapping[str, FileRoots], pillar: Mapping[str, Any]) -> Session:
        request = self._request
        opts: dict[str, Any] = {
            "id": request.minion,
            "saltenv": request.environment,
            "test": False,
            **request.options.opts,
        }
        functions = Functions(request.minion, self._grains, pillar, opts, request.nodegroups, self._warn)
        context = {"salt": functions.map(), "grains": self._grains, "pillar": pillar, "opts": opts}
        return Session(
            roots, context, self._scrubber, guard=self._guard, reported=holds_reported([self._grains, pillar])
        )

    def _state_roots(self) -> dict[str, FileRoots]:
        given = self._request.roots
        directories = dict(given.states)
        if given.formulas:
            directories["base"] = (*directories.get("base", ()), *_formulas())
        return {name: FileRoots(paths, name) for name, paths in directories.items()}

    def _warn(self, message: str) -> None:
        if len(self._warnings) < _MOST_WARNINGS:
            self._warnings.append(message)

    def _shown(self, text: str) -> str:
        return self._scrubber.text(self._guard.text(text))


def _formulas() -> list[Path]:
    """The directory of the formulas that come with the product."""
    return [Path(path) / "formulas" for path in states.__path__]
