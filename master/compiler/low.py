"""From what files declare to the calls to be made: one for each of `names`, with their order numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from master.compiler.extends import Warn, exclude, extend, give
from master.compiler.high import Argument, Declaration, Reader, Reference
from master.compiler.sls import High
from master.compiler.words import REQUISITES_IN
from protocol.errors import SlsError

_LAST = 1_000_000
_NAME_STEP = 10_000
_FOR_OTHERS = frozenset({*REQUISITES_IN, "use", "use_in"} - {"listen_in"})


@dataclass(slots=True)
class Low:
    """One call: of `declaration`, about `name`, with arguments by name.

    `also` are its `_in` forms and `use`, which say nothing (any more) of this call itself.
    `order` is its number; `written` the same before a negative one was resolved and the fraction of `names` added.
    """

    declaration: Declaration
    name: str
    arguments: dict[str, Argument] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    also: list[Reference] = field(default_factory=list)
    order: float = 0.0
    written: float = 0.0


def _unheard(_warning: str) -> None:
    """Nobody asked for warnings."""


def lower(high: High, *, strict: bool, warn: Warn = _unheard) -> list[Low]:
    """Every call that `high` asks for, in the order of its declarations. Raises SlsError.

    `strict` is as Salt 3008 does it; `warn` is told of what is passed over.
    """
    extend(high)
    give(high, strict=strict, warn=warn)
    exclude(high)
    return as_written(high)


def as_written(high: High) -> list[Low]:
    """The calls of the declarations of `high` as they stand. Raises SlsError."""
    lows: list[Low] = []
    for declaration in high.declarations():
        lows += _named(declaration)
    _number(lows)
    return lows


def _named(declaration: Declaration) -> list[Low]:
    """One call, or with `names` one for each of them."""
    base = Low(declaration, declaration.id, references=list(declaration.references), also=list(declaration.given))
    _part(base)
    base.arguments = {argument.name: argument for argument in declaration.arguments}
    name = base.arguments.pop("name", None)
    names = base.arguments.pop("names", None)
    if name is not None and isinstance(name.value, str):
        base.name = name.value
    if names is not None and not isinstance(names.value, list):
        raise SlsError(f"'names' of {declaration.label} must be a list", where=names.where)
    if names is None or not names.value:
        return [base]
    lows: list[Low] = []
    seen: list[Any] = []
    for entry in names.value:
        if entry not in seen:
            seen.append(entry)
            lows.append(_entry(base, entry, names))
    for position, low in enumerate(lows, 1):
        low.order = position / _NAME_STEP
    return lows


def _part(low: Low) -> None:
    """Put aside the references that are for others."""
    low.also += [found for found in low.references if found.kind in _FOR_OTHERS]
    low.references = [found for found in low.references if found.kind not in _FOR_OTHERS]


def _entry(base: Low, entry: Any, names: Argument) -> Low:
    low = Low(base.declaration, str(entry), dict(base.arguments), list(base.references), list(base.also))
    if not isinstance(entry, dict):
        return low
    if len(entry) != 1:
        raise SlsError(f"an item of 'names' of {base.declaration.label} must have one name", where=names.where)
    ((name, overrides),) = entry.items()
    low.name = str(name)
    holder = Declaration(base.declaration.id, base.declaration.state, "", "", "", names.where)
    reader = Reader(base.declaration.sls, base.declaration.environment, lambda line: names.where)
    for override in overrides if isinstance(overrides, list) else [overrides]:
        if not isinstance(override, dict):
            raise SlsError(f"what {name!r} overrides must be a list of '- argument: value'", where=names.where)
        for key, value in override.items():
            reader.add(holder, key, value, override, names.where)
    replaced = {reference.kind for reference in holder.references}
    low.references = [found for found in low.references if found.kind not in replaced] + holder.references
    _part(low)
    low.arguments |= {argument.name: argument for argument in holder.arguments}
    renamed = low.arguments.pop("name", None)
    if renamed is not None and isinstance(renamed.value, str):
        low.name = renamed.value
    return low


def _number(lows: list[Low]) -> None:
    """Resolve orders: automatic, explicit, `first`, `last`, and negative ones from the end, as Salt does.

    Its end is 100 behind the highest order, as far as going through them once in their sequence finds it.
    """
    given = [_given_order(low) for low in lows]
    cap = 1
    for order in given:
        if isinstance(order, int) and order > max(cap - 1, 0):
            cap = order + 100
    for low, order in zip(lows, given, strict=True):
        low.written = _resolved(low, order, cap)
        low.order += low.written
        if low.written < 0:
            low.order += cap + _LAST


def _given_order(low: Low) -> Any:
    argument = low.arguments.get("order")
    return low.declaration.order if argument is None else argument.value


def _resolved(low: Low, order: Any, cap: int) -> float:
    """The number that `order` means, negative ones as they are. Raises SlsError."""
    if order is None:
        return cap
    if order in ("first", "last"):
        return 0 if order == "first" else cap + _LAST
    if isinstance(order, bool) or not isinstance(order, int | float):
        where = low.arguments["order"].where
        raise SlsError(
            f"the order {order!r} of {low.declaration.label} is none", where=where, help="a number, first or last"
        )
    return order
