"""Requisites resolved: from modules, ids, names, files and globs to positions among the chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from master.compiler.circles import softened
from master.compiler.extends import near
from master.compiler.high import Reference
from master.compiler.low import Low
from protocol.assignment import Requisite
from protocol.errors import SlsError
from protocol.order import ORDERING

WITHOUT_WATCH = {"watch": "require", "watch_any": "require_any"}
"""What watching is for a state that has nothing to do when a watched one changes (Salt's rule for mod_watch)."""


class Resolver:
    """Resolves the references of `lows`. `loaded` are the names of all files that were rendered.

    `strict` is Salt 3008's way: a reference that no state answers to is among `errors`. Otherwise, as on Salt 3006,
    it is in `Requisite.missing`, and a reference to a file that leads back to its own state leaves that out; either
    is told in `warnings`. A `listen` of nobody never stops a compilation.
    """

    def __init__(self, lows: list[Low], loaded: Iterable[str], *, strict: bool) -> None:
        self._lows = lows
        self._loaded = frozenset(loaded)
        self._strict = strict
        self._exact: dict[tuple[str, str], list[int]] = {}
        self._by_file: dict[tuple[int, int], Reference] = {}
        for position, low in enumerate(lows):
            for name in {low.name, low.declaration.id}:
                self._exact.setdefault((low.declaration.state, name), []).append(position)
                self._exact.setdefault(("id", name), []).append(position)
            for sls in {low.declaration.sls, *low.declaration.included_from}:
                self._exact.setdefault(("sls", sls), []).append(position)
        self.errors: list[SlsError] = []
        self.warnings: list[str] = []

    def all(self, watches: Sequence[bool]) -> list[tuple[Requisite, ...]]:
        """The requisites of every chunk; `watches` says of each whether its state has a watch function."""
        found = [self.requisites(position, watch) for position, watch in enumerate(watches)]
        return found if self._strict else self._without_circles(found)

    def requisites(self, position: int, watches: bool) -> tuple[Requisite, ...]:
        """The requisites of the chunk at `position`, one for each kind; `watches`: its state has a watch function."""
        targets: dict[str, dict[int, None]] = {}
        missing: dict[str, list[str]] = {}
        for reference in self._lows[position].references:
            kind = reference.kind if watches else WITHOUT_WATCH.get(reference.kind, reference.kind)
            found = self._targets(position, reference)
            if found is None:
                missing.setdefault(kind, []).append(str(reference))
                self._refuse(position, reference)
            targets.setdefault(kind, {}).update(dict.fromkeys(found or ()))
        resolved = (Requisite(kind, tuple(found), tuple(missing.get(kind, ()))) for kind, found in targets.items())
        return tuple(requisite for requisite in resolved if requisite.targets or requisite.missing)

    def _targets(self, position: int, reference: Reference) -> list[int] | None:
        """The positions that `reference` names; None when nothing answers to it."""
        found = self._exact.get((reference.module, reference.value))
        if found is None and any(mark in reference.value for mark in "*?["):
            found = self._matching(reference)
        if self._strict:
            return found
        if found is None and reference.module == "sls" and reference.value in self._loaded:
            return []
        if found is not None and reference.module == "sls":
            self._by_file.update({(position, target): reference for target in found})
            return found
        return None if found is None else [target for target in found if target != position]

    def _matching(self, reference: Reference) -> list[int] | None:
        found: dict[int, None] = {}
        for (module, name), positions in self._exact.items():
            if module == reference.module and fnmatchcase(name, reference.value):
                found.update(dict.fromkeys(positions))
        return sorted(found) if found or reference.module == "sls" else None

    def _without_circles(self, found: list[tuple[Requisite, ...]]) -> list[tuple[Requisite, ...]]:
        """`found` without what leads back to its own state by a file."""
        waits: dict[int, set[int]] = {position: set() for position in range(len(found))}
        for position, requisites in enumerate(found):
            for requisite in requisites:
                for target in requisite.targets if requisite.kind in ORDERING else ():
                    first, then = (position, target) if requisite.kind == "prereq" else (target, position)
                    waits[then].add(first)
        prereqs = [(target, position) for position, target in self._by_file if position in waits[target]]
        dropped = softened(waits, [*self._by_file, *prereqs])
        told: set[str] = set()
        for position, target in sorted(dropped):
            reference = self._by_file.get((position, target)) or self._by_file[target, position]
            own = self._lows[position if (position, target) in self._by_file else target].declaration
            text = f"{reference.where}: {reference.kind} of {own.label} names {reference}, which leads back to it; "
            told.add(text + "what does is left out")
        self.warnings += sorted(told)
        gone = {pair if pair in self._by_file else pair[::-1] for pair in dropped}
        return [self._kept(position, requisites, gone) for position, requisites in enumerate(found)]

    def _kept(
        self, position: int, requisites: tuple[Requisite, ...], gone: set[tuple[int, int]]
    ) -> tuple[Requisite, ...]:
        kept = (
            replace(each, targets=tuple(target for target in each.targets if (position, target) not in gone))
            for each in requisites
        )
        return tuple(requisite for requisite in kept if requisite.targets or requisite.missing)

    def _refuse(self, position: int, reference: Reference) -> None:
        declaration = self._lows[position].declaration
        message = f"{reference.kind} of {declaration.label} names {reference}, which no state declares"
        known = {name for module, name in self._exact if module == reference.module}
        help = near(reference.value, known)
        if self._strict and reference.kind not in ("listen", "listen_in"):
            self.errors.append(SlsError(message, where=reference.where, help=help))
            return
        failing = "nothing is told" if reference.kind == "listen_in" else "that state will fail"
        self.warnings.append(f"{reference.where}: {message}; {failing}" + (f" ({help})" if help else ""))
