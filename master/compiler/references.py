"""Requisites resolved: from modules, ids, names, files and globs to positions among the chunks."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from master.compiler.high import Reference
from master.compiler.low import Low, near
from protocol.assignment import Requisite
from protocol.errors import SlsError

_WITHOUT_WATCH = {"watch": "require", "watch_any": "require_any"}
"""What watching is for a state that has nothing to do when a watched one changes (Salt's rule for mod_watch)."""


class Resolver:
    """Resolves the references of `lows`. `loaded` are the names of all files that were rendered."""

    def __init__(self, lows: list[Low], loaded: Iterable[str], *, strict: bool) -> None:
        self._lows = lows
        self._loaded = frozenset(loaded)
        self._strict = strict
        self._exact: dict[tuple[str, str], list[int]] = {}
        for position, low in enumerate(lows):
            for name in {low.name, low.declaration.id}:
                self._exact.setdefault((low.declaration.state, name), []).append(position)
                self._exact.setdefault(("id", name), []).append(position)
            for sls in {low.declaration.sls, *low.declaration.included_from}:
                self._exact.setdefault(("sls", sls), []).append(position)
        self.errors: list[SlsError] = []

    def requisites(self, position: int, watches: bool) -> tuple[Requisite, ...]:
        """The requisites of the chunk at `position`, one for each kind; `watches`: its state has a watch function.

        References that nothing answers to are errors when strict, else they are in `Requisite.missing`.
        """
        targets: dict[str, dict[int, None]] = {}
        missing: dict[str, list[str]] = {}
        for reference in self._lows[position].references:
            kind = reference.kind if watches else _WITHOUT_WATCH.get(reference.kind, reference.kind)
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
        if found is None and reference.module == "sls" and reference.value in self._loaded:
            return []
        if found is None or self._strict:
            return found
        return self._without_circles(position, reference, found)

    def _matching(self, reference: Reference) -> list[int] | None:
        found: dict[int, None] = {}
        for (module, name), positions in self._exact.items():
            if module == reference.module and fnmatchcase(name, reference.value):
                found.update(dict.fromkeys(positions))
        return sorted(found) if found or reference.module == "sls" else None

    def _without_circles(self, position: int, reference: Reference, found: list[int]) -> list[int]:
        """Leave out the chunk itself and, for a file, chunks that name by file where this one is."""
        others = [target for target in found if target != position]
        if reference.module != "sls":
            return others
        return [target for target in others if position not in self._reached_by_file(target)]

    def _reached_by_file(self, position: int) -> set[int]:
        reached: set[int] = set()
        for reference in self._lows[position].references:
            if reference.module == "sls":
                reached.update(self._exact.get(("sls", reference.value), ()))
        return reached

    def _refuse(self, position: int, reference: Reference) -> None:
        if not self._strict:
            return
        declaration = self._lows[position].declaration
        message = f"{reference.kind} of {declaration.label} names {reference}, which no state declares"
        known = {name for module, name in self._exact if module == reference.module}
        self.errors.append(SlsError(message, where=reference.where, help=near(reference.value, known)))
