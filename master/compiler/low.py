"""From what files declare to the calls to be made: extends, `_in` forms, `use`, excludes, `names` and order numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from master.compiler.high import Argument, Declaration, Reader, Reference, suggestion
from master.compiler.sls import High
from master.compiler.words import REQUISITES_IN
from protocol.errors import SlsError

_LAST = 1_000_000
_NAME_STEP = 10_000


@dataclass(slots=True)
class Low:
    """One call: of `declaration`, about `name`, with arguments by name."""

    declaration: Declaration
    name: str
    arguments: dict[str, Argument] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    order: float = 0.0


def lower(high: High, *, strict: bool) -> list[Low]:
    """Every call that `high` asks for, in the order of its declarations. Raises SlsError.

    Not `strict`, an `_in` form that names nobody by a bare id is passed over, as Salt does.
    """
    _extend(high)
    for declaration in high.declarations():
        _give(high, declaration, strict)
    _use(high)
    _exclude(high)
    lows: list[Low] = []
    for declaration in high.declarations():
        lows += _named(declaration)
    _number(lows)
    return lows


# --- one declaration changes another --------------------------------------------------------------------------


def _extend(high: High) -> None:
    gone = [exclusion.sls for exclusion in high.exclusions if exclusion.sls]
    for extension in high.extends:
        if any(fnmatchcase(extension.sls, pattern) for pattern in gone):
            continue
        states = high.ids.get(extension.id, {})
        target = states.get(extension.state)
        if target is None:
            named = _by_name(high, extension.state, extension.id)
            target = named[0] if len(named) == 1 else None
        if target is None and states and extension.fun:
            extension.order = None
            states[extension.state] = extension
            continue
        if target is None:
            message = f"'extend' names the {extension.state} state {extension.id!r}, which no included file declares"
            help = "include the file that declares it; " + _near(high, extension.state, extension.id)
            raise SlsError(message, where=extension.where, help=help.removesuffix("; "))
        target.fun = extension.fun or target.fun
        for argument in extension.arguments:
            target.put(argument)
        target.references += extension.references


def _give(high: High, giver: Declaration, strict: bool) -> None:
    """Turn the `_in` forms of `giver` into the plain requisite of those that they name."""
    for reference in [found for found in giver.references if found.kind in REQUISITES_IN]:
        if reference.kind == "listen_in":
            continue
        giver.references.remove(reference)
        for target in _named_by(high, giver, reference, strict):
            kind = reference.kind.removesuffix("_in")
            target.references.append(Reference(kind, giver.state, giver.id, reference.where))


def _use(high: High) -> None:
    copies: list[tuple[Declaration, list[Argument]]] = []
    for declaration in high.declarations():
        for reference in [found for found in declaration.references if found.kind in ("use", "use_in")]:
            declaration.references.remove(reference)
            for other in _named_by(high, declaration, reference, strict=True):
                user, used = (declaration, other) if reference.kind == "use" else (other, declaration)
                copies.append((user, list(used.arguments)))
    for user, arguments in copies:
        own = {argument.name for argument in user.arguments}
        user.arguments += [found for found in arguments if found.name not in own | {"name", "names", "order"}]


def _named_by(high: High, giver: Declaration, reference: Reference, strict: bool) -> list[Declaration]:
    """The declarations that an `_in` form or `use` of `giver` names."""
    if reference.module == "sls":
        found = [other for other in high.declarations() if _in_sls(other, reference.value) and other is not giver]
    elif reference.module == "id":
        found = list(high.ids.get(reference.value, {}).values())
        if not found and not strict:
            return []
    else:
        own = high.ids.get(reference.value, {}).get(reference.module)
        found = [own] if own is not None else _by_name(high, reference.module, reference.value)
        if own is None and len(found) > 1:
            places = ", ".join(str(other.where) for other in found)
            message = f"{reference.kind} in {giver.id!r} names {reference}, and several have that name: {places}"
            raise SlsError(message, where=reference.where, help="name the id of the one that is meant")
    if not found:
        message = f"{reference.kind} in the id {giver.id!r} names {reference}, which no state declares"
        raise SlsError(message, where=reference.where, help=_near(high, reference.module, reference.value))
    return found


def _by_name(high: High, state: str, name: str) -> list[Declaration]:
    found = (states[state] for states in high.ids.values() if state in states)
    return [declaration for declaration in found if name in _names(declaration)]


def _in_sls(declaration: Declaration, sls: str) -> bool:
    return declaration.sls == sls or sls in declaration.included_from


def _near(high: High, state: str, name: str) -> str:
    known: set[str] = set()
    for declaration in high.declarations():
        if state in ("id", declaration.state):
            known |= {declaration.id, *_names(declaration)}
    return near(name, known)


def near(name: str, known: Iterable[str]) -> str:
    """The nearest of the `known` names, or some of them, as help."""
    there = sorted(known)
    close = suggestion(name, there)
    if close:
        return close
    return "there is " + ", ".join(repr(found) for found in there[:5]) if there else ""


def _exclude(high: High) -> None:
    ids = {exclusion.id for exclusion in high.exclusions if exclusion.id}
    patterns = [exclusion.sls for exclusion in high.exclusions if exclusion.sls]
    for identifier, states in list(high.ids.items()):
        for state, declaration in list(states.items()):
            if identifier in ids or any(fnmatchcase(declaration.sls, pattern) for pattern in patterns):
                del states[state]


# --- names and numbers ----------------------------------------------------------------------------------------


def _names(declaration: Declaration) -> list[str]:
    """What the declaration is about: its `name`, its `names`, or its id."""
    names = declaration.argument("names")
    if isinstance(names, list):
        return [str(next(iter(entry))) if isinstance(entry, dict) and entry else str(entry) for entry in names]
    name = declaration.argument("name")
    return [name if isinstance(name, str) else declaration.id]


def _named(declaration: Declaration) -> list[Low]:
    """One call, or with `names` one for each of them."""
    base = Low(declaration, declaration.id, references=list(declaration.references))
    base.arguments = {argument.name: argument for argument in declaration.arguments}
    name = base.arguments.pop("name", None)
    names = base.arguments.pop("names", None)
    if name is not None and isinstance(name.value, str):
        base.name = name.value
    if names is None:
        return [base]
    if not isinstance(names.value, list):
        raise SlsError(f"'names' of {declaration.label} must be a list", where=names.where)
    lows: list[Low] = []
    seen: list[Any] = []
    for entry in names.value:
        if entry not in seen:
            seen.append(entry)
            lows.append(_entry(base, entry, names))
    for position, low in enumerate(lows, 1):
        low.order = position / _NAME_STEP
    return lows


def _entry(base: Low, entry: Any, names: Argument) -> Low:
    low = Low(base.declaration, str(entry), dict(base.arguments), list(base.references))
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
    low.arguments |= {argument.name: argument for argument in holder.arguments}
    return low


def _number(lows: list[Low]) -> None:
    """Resolve orders: automatic, explicit, `first`, `last`, and negative ones from the end, as Salt does."""
    given = [_given_order(low) for low in lows]
    numbers = [order for order in given if isinstance(order, int)]
    cap = max([1, *numbers]) + 100
    for low, order in zip(lows, given, strict=True):
        low.order += _resolved(low, order, cap)


def _given_order(low: Low) -> Any:
    argument = low.arguments.get("order")
    return low.declaration.order if argument is None else argument.value


def _resolved(low: Low, order: Any, cap: int) -> float:
    if order is None:
        return cap
    if order in ("first", "last"):
        return 0 if order == "first" else cap + _LAST
    if isinstance(order, bool) or not isinstance(order, int | float):
        where = low.arguments["order"].where
        raise SlsError(
            f"the order {order!r} of {low.declaration.label} is none", where=where, help="a number, first or last"
        )
    return order if order >= 0 else cap + _LAST + order
