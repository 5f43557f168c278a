"""The low chunks in the form in which Salt shows them (`state.show_low_sls`), secrets hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from master.compiler.high import Reference
from master.compiler.low import Low
from master.compiler.references import WITHOUT_WATCH, Resolver
from master.compiler.settle import Settler
from master.compiler.several import raise_all
from protocol import codec
from protocol.assignment import Chunk
from protocol.data import Data
from protocol.errors import SlsError
from protocol.order import sequence
from protocol.secrets import Scrubber
from states.registry import watches

_WATCHING: Final = frozenset({"at", "cmd", "etcd", "event", "module", "mount", "pkg", "service", "test"})
"""The families of Salt 3008.5 that have a mod_watch."""

Watches = Callable[[Low], bool]
"""Whether the state of a call does something when what it watches changes."""


@dataclass(slots=True)
class LowState:
    """The low chunks, a mapping each, in execution order; before its own place a chunk also stands at that of its
    trial for a prereq, as on Salt.

    `low` are those that Salt shows: of named files as they are written, before `extend`, the `_in` forms, `use` and
    `exclude` (`state.show_low_sls`); of a highstate `applied` (`state.show_lowstate`). `applied` are those that are
    applied. `errors` say why there are none to apply; `warnings` are for the operator.
    """

    low: list[dict[str, Data]] = field(default_factory=list)
    applied: list[dict[str, Data]] = field(default_factory=list)
    errors: list[SlsError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Data]:
        """It as data for a program: each error as message, file, line, column and help."""
        errors = [error_data(error) for error in self.errors]
        return {"low": list(self.low), "applied": list(self.applied), "errors": errors, "warnings": self.warnings}


def acts_on_watch(family: str) -> bool:
    """Whether the states of `family`, of Salt's or ours, do something when what they watch changes."""
    return family in _WATCHING or watches(family)


def error_data(error: SlsError) -> dict[str, Data]:
    """An error as data."""
    where = error.where
    return {
        "message": error.message,
        "file": where.file,
        "line": where.line,
        "column": where.column,
        "help": error.help,
    }


class Shower:
    """Shows calls as low chunks. `loaded` are the names of all rendered files; `acts` says who acts on a watch."""

    def __init__(self, loaded: Sequence[str], acts: Watches, settler: Settler, *, strict: bool) -> None:
        self._loaded = loaded
        self._acts = acts
        self._settler = settler
        self._strict = strict
        self.warnings: list[str] = []

    def shown(self, lows: Sequence[Low]) -> list[dict[str, Data]]:
        """The low chunks of `lows`, whether or not their states and arguments are known. Raises SlsError."""
        resolver = Resolver(list(lows), self._loaded, strict=self._strict)
        acting = [self._acts(low) for low in lows]
        requisites = resolver.all(acting)
        self.warnings = resolver.warnings
        raise_all(resolver.errors)
        chunks = [replace(_chunk(low), requisites=each) for low, each in zip(lows, requisites, strict=True)]
        order = sequence(chunks, [low.order for low in lows], [low.written for low in lows])
        plain = [_low(low, acts, self._settler) for low, acts in zip(lows, acting, strict=True)]
        for chunk, shown in zip(chunks, plain, strict=True):
            prereqs = [target for each in chunk.requisites if each.kind == "prereq" for target in each.targets]
            if prereqs:
                shown["__prerequiring__"] = True
            for target in prereqs:
                plain[target]["__prereq__"] = True
        scrubber = Scrubber(self._settler.secrets)
        hidden = [_mapping(scrubber.data(codec.unpack(codec.pack(each)))) for each in plain]
        return [hidden[position] for position, _ in order]


def _mapping(value: Data) -> dict[str, Data]:
    assert isinstance(value, Mapping)
    return dict(value)


def _chunk(low: Low) -> Chunk:
    declaration = low.declaration
    return Chunk(
        declaration.state,
        declaration.fun,
        declaration.id,
        low.name,
        declaration.sls,
        file=declaration.where.file,
        line=declaration.where.line,
    )


def _low(low: Low, acts: bool, settler: Settler) -> dict[str, Data]:
    """One chunk, flat: what it is, its arguments, its requisites. Raises SlsError for what cannot be told."""
    declaration = low.declaration
    shown: dict[str, Data] = {
        "state": declaration.state,
        "name": settler.text(low.name),
        "__sls__": declaration.sls,
        "__env__": declaration.environment,
        "__id__": settler.text(declaration.id),
    }
    if declaration.included_from:
        shown["__sls_included_from__"] = list(declaration.included_from)
    for name, argument in low.arguments.items():
        shown[name] = settler.value(argument.value, name, argument.where)
    shown |= _references([*low.references, *low.also], declaration.kinds, acts)
    order = low.order
    return {**shown, "order": int(order) if order == int(order) else order, "fun": declaration.fun}


def _references(references: Sequence[Reference], kinds: Iterable[str], acts: bool) -> dict[str, list[Any]]:
    """Requisites by kind as they are written; those of a state without a watch function under what they become."""
    found: dict[str, list[Any]] = {}
    turned: dict[str, list[Any]] = {}
    for kind in kinds:
        empty = kind if acts else WITHOUT_WATCH.get(kind, kind)
        found.setdefault(empty, [])
    for reference in references:
        written = reference.value if reference.bare else {reference.module: reference.value}
        kind = reference.kind if acts else WITHOUT_WATCH.get(reference.kind, reference.kind)
        (found if kind == reference.kind else turned).setdefault(kind, []).append(written)
    for kind, items in turned.items():
        found.setdefault(kind, []).extend(items)
    return found
