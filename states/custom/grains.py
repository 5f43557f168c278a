"""The grains that a tree's `_grains` give: each public function is called, what they return is laid together."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from protocol import codec
from protocol.assignment import Custom
from protocol.data import Data
from protocol.errors import StackmasterError
from states.context import Context
from states.custom import outcome
from states.custom.loader import Loader
from states.custom.tree import Apply

MOST: Final = 256 * 1024
"""Bytes of all grains of the tree together."""


@dataclass(slots=True)
class Gathered:
    """The grains, and what went wrong, in words."""

    grains: dict[str, Data] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def gather(custom: Custom, context: Context, apply: Apply) -> Gathered:
    """Run every function of `_grains`; one that fails takes nothing from the others. `apply` is the engine's."""
    loader = Loader(custom, context, apply)
    found = Gathered()
    for module in loader.modules("grains"):
        if module.problem:
            found.problems.append(module.problem)
        for name, call in sorted(module.functions.items()):
            try:
                given = {"grains": loader.salt["grains.items"]()} if _wants_grains(call) else {}
                returned = loader.run(call, **given)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a grain that cannot be told is left out, and said
                found.problems.append(f"{module.file.shown}: {name}: {type(error).__name__}: {error}")
                continue
            _take(found, f"{module.file.shown}: {name}", returned)
    return found


def _take(found: Gathered, place: str, returned: object) -> None:
    if not isinstance(returned, Mapping):
        if returned:
            found.problems.append(f"{place} returned {type(returned).__name__}, where grains are a mapping")
        return
    grown = {**found.grains, **{str(key): outcome.plain(value) for key, value in returned.items()}}
    try:
        size = len(codec.pack(grown))
    except (StackmasterError, ValueError, TypeError) as error:
        found.problems.append(f"{place}: {error}")
        return
    if size > MOST:
        found.problems.append(f"{place}: the grains of the tree are larger than {MOST} bytes together")
        return
    found.grains = grown


def _wants_grains(call: object) -> bool:
    try:
        return callable(call) and "grains" in inspect.signature(call).parameters
    except (TypeError, ValueError):
        return False
