"""What one declaration changes in others: `extend`, the `_in` forms, `use`, and `exclude`, as Salt applies them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from master.compiler.high import Argument, Declaration, Reference, suggestion
from master.compiler.sls import High
from master.compiler.words import REQUISITES_IN
from protocol.errors import SlsError

Warn = Callable[[str], None]

_NOT_USED: Final = frozenset({"require", "watch", "prereq", "onfail", "onchanges", "use", "use_in", *REQUISITES_IN})
_NOT_USED_IN: Final = _NOT_USED - {"listen_in"}
"""The requisites that `use` does not copy; Salt 3008 copies the `_any` and `_all` forms, `listen` and `listen_in`."""


def extend(high: High) -> None:
    """Apply every `extend`, save those of excluded files. Raises SlsError for one that names nothing."""
    gone = [exclusion.sls for exclusion in high.exclusions if exclusion.sls]
    for extension in high.extends:
        if any(fnmatchcase(extension.sls, pattern) for pattern in gone):
            continue
        states = high.ids.get(extension.id, {})
        target = states.get(extension.state)
        if target is None and not states:
            named = _by_argument(high, extension.state, extension.id)
            target = named[0] if len(named) == 1 else None
        if target is None and states and extension.fun:
            _added(states, extension)
            continue
        if target is None:
            message = f"'extend' names the {extension.state} state {extension.id!r}, which no included file declares"
            help = "include the file that declares it; " + _near(high, extension.state, extension.id)
            raise SlsError(message, where=extension.where, help=help.removesuffix("; "))
        target.fun = extension.fun or target.fun
        for argument in extension.arguments:
            target.put(argument)
        target.references += extension.references


def _added(states: dict[str, Declaration], extension: Declaration) -> None:
    """A further state under an id that a file declares: it counts as that file's, and has no automatic order."""
    first = next(iter(states.values()))
    extension.order = None
    extension.sls, extension.environment, extension.included_from = first.sls, first.environment, first.included_from
    states[extension.state] = extension


def give(high: High, *, strict: bool, warn: Warn) -> None:
    """Turn every `_in` form into the plain requisite of those that it names, then do what `use` says.

    Not `strict`, what names nobody by a bare id or by a file is passed over, as on Salt, and so is the giver itself
    when it is named by a file; `warn` is told. Else, and for what names nobody by a module, raises SlsError.
    """
    gifts: list[_Gift] = []
    for giver in high.declarations():
        gifts += _gifts(high, giver, strict, warn)
    gone = {exclusion.sls for exclusion in high.exclusions if exclusion.sls}
    last = {gift.target.id: gift.giver.sls for gift in gifts}
    for gift in gifts:
        if last[gift.target.id] not in gone:  # Salt: the file of the last who gives an id something speaks for all
            gift.target.references.append(gift.reference)
    _use(high, strict, warn)


@dataclass(frozen=True, slots=True)
class _Gift:
    """A requisite that `giver` puts on `target`."""

    giver: Declaration
    target: Declaration
    reference: Reference


def _gifts(high: High, giver: Declaration, strict: bool, warn: Warn) -> list[_Gift]:
    gifts: list[_Gift] = []
    meant: dict[str, list[Declaration]] = {}
    for reference in [found for found in giver.references if found.kind in REQUISITES_IN]:
        if reference.kind == "listen_in":
            continue
        giver.references.remove(reference)
        giver.given.append(reference)
        found = _named_by(high, giver, reference, strict, warn)
        if reference.module == "sls" and not strict and giver in found:
            warn(f"{reference.where}: {reference.kind} of {giver.label} names its own file; it is left out of that")
            found = [other for other in found if other is not giver]
        # Salt goes through all that an earlier item of the same list named once more
        meant[reference.kind] = found if reference.module == "sls" else [*meant.get(reference.kind, ()), *found]
        kind = reference.kind.removesuffix("_in")
        given = Reference(kind, giver.state, giver.id, reference.where)
        gifts += [_Gift(giver, target, given) for target in meant[reference.kind]]
    return gifts


def _use(high: High, strict: bool, warn: Warn) -> None:
    copies: list[tuple[Declaration, list[Argument], list[Reference]]] = []
    for declaration in high.declarations():
        for reference in [found for found in declaration.references if found.kind in ("use", "use_in")]:
            declaration.references.remove(reference)
            declaration.given.append(reference)
            for other in _named_by(high, declaration, reference, strict, warn):
                user, used = (declaration, other) if reference.kind == "use" else (other, declaration)
                copies.append((user, list(used.arguments), list(used.references)))
    taken = [
        ({found.name for found in user.arguments}, {found.kind for found in user.references}) for user, *_ in copies
    ]
    for (user, arguments, references), (own, kinds) in zip(copies, taken, strict=True):
        user.arguments += [found for found in arguments if found.name not in own | {"name", "names", "order"}]
        user.references += [found for found in references if found.kind not in kinds | _NOT_USED_IN]


def _named_by(high: High, giver: Declaration, reference: Reference, strict: bool, warn: Warn) -> list[Declaration]:
    """The declarations that an `_in` form or `use` of `giver` names. Raises SlsError."""
    if reference.module == "sls":
        found = [other for other in high.declarations() if other.sls == reference.value]
    elif reference.module == "id":
        found = _by_bare_name(high, reference.value)
    else:
        own = high.ids.get(reference.value, {}).get(reference.module)
        found = [own] if own is not None else _by_argument(high, reference.module, reference.value)
        if own is None and len(found) > 1:
            places = ", ".join(str(other.where) for other in found)
            message = f"{reference.kind} in {giver.id!r} names {reference}, and several have that name: {places}"
            raise SlsError(message, where=reference.where, help="name the id of the one that is meant")
    if found:
        return found
    message = f"{reference.kind} in the id {giver.id!r} names {reference}, which no state declares"
    help = _near(high, reference.module, reference.value)
    if strict or reference.module not in ("sls", "id"):
        raise SlsError(message, where=reference.where, help=help)
    warn(f"{reference.where}: {message}; it is passed over" + (f" ({help})" if help else ""))
    return []


def _by_bare_name(high: High, name: str) -> list[Declaration]:
    """The first state of the id `name`; else the first whose argument `name` it is."""
    states = high.ids.get(name)
    if states:
        return [next(iter(states.values()))]
    named = (other for other in high.declarations() if other.argument("name") == name)
    return [found for found in [next(named, None)] if found is not None]


def _by_argument(high: High, state: str, name: str) -> list[Declaration]:
    """The declarations of `state` with an argument (`name`, as a rule) that is `name`."""
    found = (states[state] for states in high.ids.values() if state in states)
    return [each for each in found if any(argument.value == name for argument in each.arguments)]


def exclude(high: High) -> None:
    """Remove what `exclude` names: ids, and every id of the files that its globs fit."""
    ids = {exclusion.id for exclusion in high.exclusions if exclusion.id}
    patterns = [exclusion.sls for exclusion in high.exclusions if exclusion.sls]
    for identifier, states in list(high.ids.items()):
        first = next(iter(states.values()))
        if identifier in ids or any(fnmatchcase(first.sls, pattern) for pattern in patterns):
            del high.ids[identifier]


def names_of(declaration: Declaration) -> list[str]:
    """What the declaration is about: its `name`, its `names`, or its id."""
    names = declaration.argument("names")
    if isinstance(names, list) and names:
        return [str(next(iter(entry))) if isinstance(entry, dict) and entry else str(entry) for entry in names]
    name = declaration.argument("name")
    return [name if isinstance(name, str) else declaration.id]


def _near(high: High, state: str, name: str) -> str:
    known: set[str] = set()
    for declaration in high.declarations():
        if state in ("id", declaration.state):
            known |= {declaration.id, *names_of(declaration)}
        elif state == "sls":
            known.add(declaration.sls)
    return near(name, known)


def near(name: str, known: Iterable[str]) -> str:
    """The nearest of the `known` names, or some of them, as help."""
    there = sorted(known)
    close = suggestion(name, there)
    if close:
        return close
    return "there is " + ", ".join(repr(found) for found in there[:5]) if there else ""
