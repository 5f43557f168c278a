"""How packages asked for become one transaction, foretold package by package and carried out once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change, ChangeKind
from states.context import Context
from states.contract import Action
from states.host.packages import Choice, Database, Effect, EffectKind, PackageManager, Request
from states.host.wanted import UNFINISHED, Wanted

RECENT: Final = 24 * 3600.0
"""Seconds for which a dry run takes a name that the lists do not know for a mistake, not for stale lists."""

_KINDS: Final[Mapping[EffectKind, ChangeKind]] = {
    "install": "create",
    "upgrade": "change",
    "downgrade": "change",
    "reinstall": "change",
    "remove": "remove",
    "purge": "remove",
}


@dataclass(frozen=True, slots=True)
class Refresh:
    """When the lists are to be fetched: `wanted` as the user said (None: when they do not suffice), not when they are
    younger than `valid` seconds."""

    wanted: bool | None = None
    valid: float = 0.0

    def due(self, manager: PackageManager) -> bool:
        """Whether to fetch them before anything is looked up in them."""
        if self.wanted is False or manager.refreshed() or manager.lists_age() < self.valid:
            return False
        return self.wanted is True or manager.lists_outdated()


class Once:
    """A deed shared by several actions: done by the first; its error is the error of all."""

    def __init__(self, deed: Callable[[], None]) -> None:
        self._deed = deed
        self._done = False
        self._error: StateError | None = None

    def __call__(self) -> None:
        """Do it, if it was not done. Raises StateError."""
        if self._error is not None:
            raise self._error
        if self._done:
            return
        try:
            self._deed()
        except StateError as error:
            self._error = error
            raise
        self._done = True


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the lists say of the packages wanted. `items` are for the transaction; `unknown` is what they lack."""

    items: tuple[str, ...]
    unknown: tuple[Wanted, ...]
    warnings: tuple[str, ...] = ()


def look_up(
    ctx: Context,
    manager: PackageManager,
    wanted: Sequence[Wanted],
    choice: Choice,
    refresh: Refresh,
    *,
    downgrade: bool,
) -> Lookup:
    """Which versions are meant by `wanted`, from lists that are fetched first when that is due.

    In a dry run nothing is fetched: what the present lists lack is then given as unknown when it may be there by the
    time of the apply. Raises StateError for what does not exist.
    """
    warnings = fetch(ctx, manager, needed=refresh.wanted is True) if refresh.due(manager) else ()
    found = _resolve(manager, wanted, choice, downgrade)
    if found.unknown and refresh.wanted is not False and not ctx.test and not manager.refreshed():
        warnings += fetch(ctx, manager, needed=False)
        found = _resolve(manager, wanted, choice, downgrade)
    if found.unknown and not (ctx.assumed() or _may_appear(ctx, manager, refresh)):
        raise _unknown(manager, found.unknown, choice, warnings)
    if found.unknown:
        names = ", ".join(map(str, found.unknown))
        warnings += (f"not in the package lists of now: {names}; versions and dependencies cannot be foretold",)
    return Lookup(found.items, found.unknown, warnings)


def fetch(ctx: Context, manager: PackageManager, *, needed: bool) -> tuple[str, ...]:
    """Fetch the lists, or in a dry run say that an apply would. Gives warnings; that it failed is one of them unless
    it is `needed`. Raises StateError."""
    if ctx.test:
        return ("an apply fetches the package lists first; this is foretold from those of now",)
    try:
        return manager.refresh()
    except StateError as error:
        if needed:
            raise
        return (f"the package lists could not be fetched: {error.message}",)


def effects_as_actions(
    manager: PackageManager, request: Request, effects: Sequence[Effect], asked: Collection[str]
) -> list[Action]:
    """One action for each effect that was `asked` for (all, when nothing is named) or that takes something away.

    The first one performed carries out the transaction. What comes along because it is needed is no change of its
    own, since a dry run on a host whose repository is only foretold cannot know it: it is in the first one's details.
    """
    if not effects:
        return []
    once = Once(partial(manager.perform, request))
    own = [effect for effect in effects if not asked or _is_own(effect, asked)] or list(effects)
    along = [effect for effect in effects if effect not in own]
    ordered = sorted(own, key=lambda effect: effect.name.partition(":")[0] not in asked)
    first, *others = [Action(_change(effect), partial(_settle, manager, once, effect)) for effect in ordered]
    return [Action(first.change, partial(_settle_first, manager, once, ordered[0], along)), *others]


def brought_along(effects: Sequence[Effect], asked: Collection[str]) -> str:
    """What a dry run says of the packages that are needed besides; empty when there are none."""
    along = [f"{effect.name} {effect.new}" for effect in effects if not _is_own(effect, asked)]
    return f"; with {len(along)} more that they need: {', '.join(along)}" if along and asked else ""


def _is_own(effect: Effect, asked: Collection[str]) -> bool:
    return effect.name.partition(":")[0] in asked or effect.new is None or effect.kind == "downgrade"


def unforetold_actions(
    manager: PackageManager, wanted: Sequence[Wanted], choice: Choice, database: Database
) -> list[Action]:
    """What a dry run says of packages that are not in the lists yet."""
    request = Request("install", tuple(item.name for item in wanted), choice)
    once = Once(partial(manager.perform, request))
    actions = []
    for item in wanted:
        before = database.find(item.name)
        old = before.version if before is not None and before.complete else None
        new = item.wish.text if item.wish else None
        kind: ChangeKind = "create" if old is None else "change"
        change = Change(kind, f"package {item.name}", "version", old=old, new=new)
        actions.append(Action(change, once))
    return actions


def repair_actions(manager: PackageManager, database: Database, names: Sequence[str]) -> list[Action]:
    """What must be finished of earlier runs before `names` can be worked on."""
    once = Once(manager.repair)
    changes = [Change("change", "dpkg", "state", old="interrupted", new="configured")] if database.journal else []
    for name in names:
        package = database.find(name)
        if package is not None and package.state in UNFINISHED:
            subject = f"package {package.name}"
            changes.append(Change("change", subject, "state", old=package.state, new="installed"))
    return [Action(change, once) for change in changes]


def hold_action(manager: PackageManager, name: str, held: bool) -> Action:
    """Keep the version of `name`, or let it go."""
    change = Change("change", f"package {name}", "hold", old=not held, new=held)
    return Action(change, partial(manager.hold, [name], held))


def side_effects(effects: Sequence[Effect], asked: Collection[str]) -> tuple[str, ...]:
    """A warning of the packages that go though nobody asked for it."""
    gone = [effect.name for effect in effects if effect.new is None and effect.name.partition(":")[0] not in asked]
    return (f"this removes {', '.join(gone)}",) if gone else ()


def _resolve(manager: PackageManager, wanted: Sequence[Wanted], choice: Choice, downgrade: bool) -> Lookup:
    available = manager.available([item.name for item in wanted if not item.path], choice.repo)
    database = manager.installed()
    items, unknown = [], []
    for item in wanted:
        offer = available.get(item.name)
        version = item.wish.best(offer.versions) if item.wish and offer else None
        if item.path:
            version = item.wish.exact if item.wish else None
        elif offer is None or (item.wish is not None and version is None):
            unknown.append(item)
            continue
        before = database.find(item.name)
        older = version and before and before.complete and manager.compare(version, before.version) < 0
        if older and before and not downgrade:
            raise StateError(
                f"{item.name} {before.version} is installed, which is newer than {version}",
                help="allow it with allow_downgrade: True",
            )
        items.append(item.path or (f"{item.name}={version}" if version else item.name))
    return Lookup(tuple(items), tuple(unknown))


def _may_appear(ctx: Context, manager: PackageManager, refresh: Refresh) -> bool:
    if not ctx.test or refresh.wanted is False or manager.refreshed():
        return False
    return refresh.wanted is True or manager.lists_outdated() or manager.lists_age() > RECENT


def _unknown(manager: PackageManager, unknown: Sequence[Wanted], choice: Choice, warnings: Sequence[str]) -> StateError:
    first = unknown[0]
    others = f" (nor {', '.join(map(str, unknown[1:]))})" if unknown[1:] else ""
    message = "\n".join([f"there is no package {first}{others}", *warnings])
    offer = manager.available([first.name], choice.repo).get(first.name)
    if offer is not None:
        versions = ", ".join(offer.versions[:5]) or "no version"
        return StateError(message, help=f"the lists have {first.name} {versions}")
    close = difflib.get_close_matches(first.name, manager.known_names(), n=3)
    help = f"close names: {', '.join(close)}" if close else "is its repository declared (pkgrepo.managed)?"
    return StateError(message, help=help)


def _change(effect: Effect) -> Change:
    aspect = "version" if effect.kind != "purge" or effect.old else "configuration"
    return Change(_KINDS[effect.kind], f"package {effect.name}", aspect, old=effect.old, new=effect.new)


def _settle_first(manager: PackageManager, once: Once, effect: Effect, along: Sequence[Effect]) -> Data:
    """Settle `effect` and what came along, and tell of the latter: name and version."""
    for each in (effect, *along):
        _settle(manager, once, each)
    return {"with": {each.name: each.new for each in along}} if along else None


def _settle(manager: PackageManager, once: Once, effect: Effect) -> None:
    """Carry out the transaction if nobody did, and make sure that this effect came about."""
    once()
    package = manager.installed().find(effect.name)
    if effect.new is None:
        if package is not None and package.complete:
            raise StateError(f"package {effect.name} is still installed")
    elif package is None or not package.complete or package.version != effect.new:
        is_now = f"{package.version} ({package.state})" if package else "not installed"
        raise StateError(f"package {effect.name} should be at {effect.new} and is {is_now}")
