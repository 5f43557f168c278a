"""A state tree's own Python code: which files it has, which states and functions they give, who needs them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, get_args

from master.compiler import customcode
from master.compiler.arguments import Known, on_minion
from master.compiler.blobs import Blobs
from master.compiler.customcode import Declared, Source
from master.compiler.request import Request
from master.compiler.roots import FileRoots
from protocol.assignment import Chunk, Custom, CustomFile, CustomKind
from protocol.data import Data
from protocol.errors import ArgumentError, SlsError, Where
from states import registry
from states.declarations import Signature

KINDS: Final[tuple[CustomKind, ...]] = get_args(CustomKind)
MOST_FILES: Final = 2000
"""Files of one tree's own code."""


@dataclass(frozen=True, slots=True)
class Found:
    """One file of the tree: its kind, its path below the folder of the kind, where it is, and what it declares."""

    kind: CustomKind
    path: str
    real: Path
    source: Source

    @property
    def shown(self) -> str:
        """The file as its author knows it: `_modules/osd.py`."""
        return f"_{self.kind}/{self.path}"


@dataclass(frozen=True, slots=True)
class Definition:
    """A state or function that a file declares."""

    name: str
    file: Found
    declared: Declared

    @property
    def where(self) -> Where:
        """Its file and line."""
        return Where(self.file.shown, self.declared.line)


class CustomTree:
    """The own code below `roots`, which are in order of precedence: of one path the first has wins (Salt: the same).

    With `override`, it may replace states and functions of ours.
    """

    def __init__(self, roots: Sequence[FileRoots], *, override: bool = False) -> None:
        self.override = override
        self._files = list(_found(roots))

    @property
    def files(self) -> Sequence[Found]:
        """Every file."""
        return self._files

    # --- what there is ------------------------------------------------------------------------------------------

    def known_state(self, name: str) -> Known:
        """The state `name`, of ours or of the tree. Raises ArgumentError when there is none, or two of that name."""
        defined = self.find("states", name)
        if defined is None:
            return self._ours(name)
        if not self.override:
            _unshadowed(name, defined, registry.state_names())
        signature = defined.declared.signature
        rest = {key: each for key, each in signature.parameters.items() if key != "name"}
        family = name.partition(".")[0]
        watches = self.find("states", f"{family}.mod_watch") is not None
        return Known(Signature(rest, signature.open), watches)

    def find(self, kind: CustomKind, name: str) -> Definition | None:
        """The definition of `name`, None when the tree has none. Raises SlsError when its file is no Python."""
        family, _, function = name.partition(".")
        for file in self._modules(kind, family):
            if file.source.problem:
                help = f"{name} would be defined there; bring the file to Python 3"
                raise SlsError(file.source.problem, where=Where(file.shown, file.source.line), help=help)
            declared = file.source.functions.get(function)
            if declared is not None:
                return Definition(name, file, declared)
        return None

    def names(self, kind: CustomKind) -> list[str]:
        """Every state or function of the tree, sorted."""
        names = {
            f"{module}.{function}"
            for file in self._files
            if file.kind == kind
            for module in file.source.names
            for function in file.source.functions
        }
        return sorted(names - {name for name in names if name.endswith(".mod_watch") and kind == "states"})

    def _modules(self, kind: CustomKind, family: str) -> Iterator[Found]:
        return (file for file in self._files if file.kind == kind and family in file.source.names)

    def _ours(self, name: str) -> Known:
        try:
            return on_minion(name)
        except ArgumentError as error:
            near = difflib.get_close_matches(name, self.names("states"), n=1)
            if near and not error.help:
                raise ArgumentError(error.message, help=f"did you mean {near[0]!r}?") from None
            raise

    # --- who needs it -------------------------------------------------------------------------------------------

    def used_by(self, chunks: Iterable[Chunk]) -> bool:
        """Whether one of the chunks runs code of the tree: its state, a function it calls, a condition, a slot."""
        return bool(self._files) and any(self._used(chunk) for chunk in chunks)

    def _used(self, chunk: Chunk) -> bool:
        if any(chunk.state in file.source.names for file in self._files if file.kind == "states"):
            return True
        if not any(file.kind == "modules" for file in self._files):
            return False
        return chunk.state == "module" or any(map(self._called, (chunk.args, chunk.options)))

    def _called(self, value: Data) -> bool:
        """Whether `value` holds `{fun: module.function}` or a slot that names a function of the tree."""
        if isinstance(value, str):
            if not value.startswith("__slot__:salt:"):
                return False
            return self._has(value.removeprefix("__slot__:salt:").partition("(")[0])
        if isinstance(value, Mapping):
            return self._has(str(value.get("fun", ""))) or any(map(self._called, value.values()))
        return isinstance(value, list | tuple) and any(map(self._called, value))

    def _has(self, name: str) -> bool:
        return any(self._modules("modules", name.partition(".")[0]))

    # --- what travels -------------------------------------------------------------------------------------------

    def manifest(self, blobs: Blobs, kinds: Iterable[CustomKind] = KINDS) -> tuple[CustomFile, ...]:
        """The files of `kinds` as they travel; their content goes into `blobs`. Raises SlsError."""
        wanted = frozenset(kinds)
        return tuple(
            CustomFile(file.kind, file.path, file.source.names, blobs.file(file.real))
            for file in self._files
            if file.kind in wanted
        )


def travelling(tree: CustomTree, request: Request, blobs: Blobs, pillar: Mapping[str, Data] | None) -> Custom | None:
    """What a minion gets of the tree: with `pillar`, because its code is used, every file; else those of its grains."""
    if pillar is None and not any(file.kind == "grains" for file in tree.files):
        return None
    files = tree.manifest(blobs, KINDS if pillar is not None else ("grains", "utils"))
    if pillar is None:
        return Custom(files, request.environment)
    return Custom(files, request.environment, pillar, request.options.opts, tree.override)


def _unshadowed(name: str, defined: Definition, ours: Iterable[str]) -> None:
    if name in ours:
        message = f"{name!r} is a state of stackmaster's own, and {defined.where} defines it too"
        help = "give the file another name or __virtualname__, or set `custom_override: true` in the master's settings"
        raise ArgumentError(message, help=help)


def _found(roots: Sequence[FileRoots]) -> Iterator[Found]:
    seen: set[tuple[str, str]] = set()
    for root in roots:
        for kind in KINDS:
            for name in root.files_under(f"_{kind}"):
                path = name.removeprefix(f"_{kind}/")
                if not path.endswith(".py") or (kind, path) in seen:
                    continue
                seen.add((kind, path))
                if len(seen) > MOST_FILES:
                    raise SlsError(f"the tree has more than {MOST_FILES} files of its own code", where=Where(name))
                yield Found(kind, path, _real(root, name), _source(root, name, path))


def _real(root: FileRoots, name: str) -> Path:
    real = root.find(name)
    if real is None:
        raise SlsError("the file is gone", where=Where(name), help="compile again")
    root.watch(name)
    return real


def _source(root: FileRoots, name: str, path: str) -> Source:
    """What the file declares; a part of a package declares nothing by itself."""
    parts = PurePosixPath(path).parts
    if len(parts) > 2 or (len(parts) == 2 and parts[1] != "__init__.py"):
        return Source(())
    module = parts[0].removesuffix(".py")
    try:
        return customcode.read(_real(root, name), module)
    except OSError as error:
        raise SlsError(f"cannot be read: {error.strerror}", where=Where(name)) from None


def bound(
    name: str, signature: Signature, args: Sequence[Data], kwargs: Mapping[str, Any]
) -> tuple[tuple[Data, ...], dict[str, Data]]:
    """The arguments of a call to the function `name` of the tree, checked: those by position, those by name.

    They are all by name unless it takes further values. Raises ArgumentError naming the first that it does not take
    or lacks.
    """
    names = [each for each in signature.parameters if each not in kwargs]
    positional = set(names[: len(args)])
    if not signature.rest and len(args) > len(names):
        takes = ", ".join(signature.parameters) or "no arguments"
        raise ArgumentError(f"{name} was given {len(args)} positional arguments", help=f"it takes {takes}")
    given = dict(kwargs) if signature.rest else {**dict(zip(names, args, strict=False)), **kwargs}
    loose = {
        key: replace(each, required=each.required and not (signature.rest and key in positional))
        for key, each in signature.parameters.items()
    }
    checked = registry.check_arguments(name, Signature(loose, signature.open), given)
    return (tuple(args) if signature.rest else ()), checked
