"""Packages: installed, at a version, at the newest, held, removed, purged."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.data import Data
from protocol.errors import StateError
from states.context import Context
from states.contract import Action, Plan
from states.host import apt, transaction
from states.host.debversion import parse_wish
from states.host.packages import Choice, Database, PackageManager, Request
from states.host.transaction import Refresh
from states.host.wanted import Wanted, complete, leftover, satisfied, there, unfinished, wanted_packages
from states.registry import state


@state("pkg.installed")
def installed(
    ctx: Context,
    name: str,
    *,
    pkgs: Sequence[Data] | None = None,
    sources: Sequence[Data] | None = None,
    version: str | None = None,
    refresh: bool | None = None,
    cache_valid_time: int = 0,
    fromrepo: str = "",
    skip_verify: bool = False,
    install_recommends: bool | None = None,
    hold: bool | None = None,
    update_holds: bool = False,
    only_upgrade: bool = False,
    allow_downgrade: bool = False,
    allow_updates: bool = False,
    ignore_epoch: bool = False,
    normalize: bool = True,
    skip_suggestions: bool = False,
    resolve_capabilities: bool = False,
) -> Plan:
    """Packages are installed, all in one transaction; a virtual package counts when one that provides it is.

    name: the package, unless pkgs or sources is given
    pkgs: several packages: names, or mappings of a name to a version
    sources: packages from files: mappings of a name to a salt:// source or a path on the host
    version: the version wanted: exact, with wildcards (1.2*), or bounds (>=1.2,<2); 'latest' as pkg.latest
    refresh: fetch the package lists first; by default only when they lack what is wanted or the sources changed
    cache_valid_time: seconds for which fetched lists are taken as fresh
    fromrepo: the release or suite to take packages from
    skip_verify: accept packages whose repository is not authenticated
    install_recommends: also what is recommended; by default as the host is configured
    hold: true keeps the version from upgrades from now on, false lets it go
    update_holds: change the version of held packages too
    only_upgrade: leave out what is not installed
    allow_downgrade: install a version older than the present one
    allow_updates: an installed version newer than `version` is as wanted
    ignore_epoch: compare versions without their epoch
    normalize: accepted for Salt's sake; names are taken as they are
    skip_suggestions: accepted for Salt's sake
    resolve_capabilities: accepted for Salt's sake; virtual packages always count
    """
    manager = apt.manager(ctx)
    if version == "latest":
        return latest(ctx, name, pkgs=pkgs, refresh=refresh, cache_valid_time=cache_valid_time, fromrepo=fromrepo)
    wanted = wanted_packages(ctx, manager, name, pkgs, sources, version, ignore_epoch)
    database = manager.installed()
    lacking = [item for item in wanted if not satisfied(database, item, allow_updates)]
    if only_upgrade:
        lacking = [item for item in lacking if complete(database, item.name) is not None]
    holds = _holds(manager, database, [item.name for item in wanted], hold)
    if not lacking:
        return Plan(holds, comment=_told(wanted, "installed"))
    _refuse_held(database, lacking, allowed=update_holds or hold is False)
    choice = Choice(
        repo=fromrepo,
        recommends=install_recommends,
        unauthenticated=skip_verify,
        downgrades=allow_downgrade,
        change_held=update_holds or hold is False,
        only_upgrade=only_upgrade,
    )
    refreshing = Refresh(refresh, cache_valid_time)
    work = _install(ctx, manager, lacking, choice, refreshing, downgrade=allow_downgrade)
    before, after = ([], holds) if hold else (holds, [])
    actions = [*before, *work.actions, *after]
    return Plan(actions, comment=_told(wanted, "installed"), foretold=work.foretold, warnings=work.warnings)


@state("pkg.latest")
def latest(
    ctx: Context,
    name: str,
    *,
    pkgs: Sequence[Data] | None = None,
    refresh: bool | None = None,
    cache_valid_time: int = 0,
    fromrepo: str = "",
    skip_verify: bool = False,
    install_recommends: bool | None = None,
    update_holds: bool = False,
    only_upgrade: bool = False,
) -> Plan:
    """Packages are installed at the newest version that the sources offer; held ones stay.

    name: the package, unless pkgs is given
    pkgs: several packages
    refresh: fetch the package lists first; by default once in a job
    cache_valid_time: seconds for which fetched lists are taken as fresh
    fromrepo: the release or suite to take packages from
    skip_verify: accept packages whose repository is not authenticated
    install_recommends: also what is recommended; by default as the host is configured
    update_holds: change the version of held packages too
    only_upgrade: leave out what is not installed
    """
    manager = apt.manager(ctx)
    wanted = wanted_packages(ctx, manager, name, pkgs, None, None, False)
    refreshing = Refresh(refresh is not False, cache_valid_time)
    warnings = transaction.fetch(ctx, manager, needed=True) if refreshing.due(manager) else ()
    database = manager.installed()
    offers = manager.available([item.name for item in wanted], fromrepo)
    lacking = []
    for item in wanted:
        present = complete(database, item.name)
        offer = offers.get(item.name)
        newest = Wanted(item.name, parse_wish(offer.candidate)) if offer and offer.candidate else item
        if present is None:
            if not only_upgrade and item.name not in database.provides:
                lacking.append(newest)
        elif offer and offer.candidate and manager.compare(offer.candidate, present.version) > 0:
            if present.held and not update_holds:
                warnings += (f"{item.name} is held at {present.version}; {offer.candidate} is the newest",)
            else:
                lacking.append(newest)
    if not lacking:
        return Plan(comment=_told(wanted, "at the newest version"), warnings=warnings)
    choice = Choice(fromrepo, install_recommends, skip_verify, False, update_holds, only_upgrade)
    work = _install(ctx, manager, lacking, choice, Refresh(False if refresh is False else None), downgrade=False)
    told = tuple(dict.fromkeys((*warnings, *work.warnings)))
    return Plan(work.actions, comment=_told(wanted, "at the newest version"), warnings=told)


@state("pkg.removed")
def removed(ctx: Context, name: str, *, pkgs: Sequence[Data] | None = None, version: str | None = None) -> Plan:
    """Packages are not installed; their configuration files may stay.

    name: the package, unless pkgs is given
    pkgs: several packages: names, or mappings of a name to a version
    version: remove only this version
    """
    manager = apt.manager(ctx)
    wanted = wanted_packages(ctx, manager, name, pkgs, None, version, False)
    database = manager.installed()
    present = [item for item in wanted if there(database, item)]
    return _remove(manager, database, present, "remove", _told(wanted, "absent"))


@state("pkg.purged")
def purged(ctx: Context, name: str, *, pkgs: Sequence[Data] | None = None, version: str | None = None) -> Plan:
    """Packages are not installed, and nothing of their configuration is left.

    name: the package, unless pkgs is given
    pkgs: several packages: names, or mappings of a name to a version
    version: purge only this version
    """
    manager = apt.manager(ctx)
    wanted = wanted_packages(ctx, manager, name, pkgs, None, version, False)
    database = manager.installed()
    present = [item for item in wanted if there(database, item) or leftover(database, item.name)]
    return _remove(manager, database, present, "purge", _told(wanted, "absent, with their configuration"))


@state("pkg.uptodate")
def uptodate(
    ctx: Context, name: str, *, refresh: bool = True, cache_valid_time: int = 0, dist_upgrade: bool = False
) -> Plan:
    """Every installed package is at the newest version that the sources offer.

    name: only a label
    refresh: fetch the package lists first, once in a job
    cache_valid_time: seconds for which fetched lists are taken as fresh
    dist_upgrade: also when that needs packages to be added or removed
    """
    manager = apt.manager(ctx)
    refreshing = Refresh(refresh, cache_valid_time)
    warnings = transaction.fetch(ctx, manager, needed=True) if refreshing.due(manager) else ()
    request = Request("dist-upgrade" if dist_upgrade else "upgrade", ())
    effects = manager.simulate(request)
    repair = transaction.repair_actions(manager, manager.installed(), ()) if effects else []
    actions = transaction.effects_as_actions(manager, request, effects, ())
    warnings += transaction.side_effects(effects, ())
    return Plan([*repair, *actions], comment="every package is at the newest version", warnings=warnings)


@state("pkg.held")
def held(ctx: Context, name: str, *, pkgs: Sequence[Data] | None = None) -> Plan:
    """Installed packages are kept from upgrades.

    name: the package, unless pkgs is given
    pkgs: several packages
    """
    return _hold_state(ctx, name, pkgs, hold=True)


@state("pkg.unheld")
def unheld(ctx: Context, name: str, *, pkgs: Sequence[Data] | None = None) -> Plan:
    """Packages are no longer kept from upgrades.

    name: the package, unless pkgs is given
    pkgs: several packages
    """
    return _hold_state(ctx, name, pkgs, hold=False)


def _hold_state(ctx: Context, name: str, pkgs: Sequence[Data] | None, *, hold: bool) -> Plan:
    manager = apt.manager(ctx)
    names = [item.name for item in wanted_packages(ctx, manager, name, pkgs, None, None, False)]
    database = manager.installed()
    missing = [one for one in names if complete(database, one) is None]
    if hold and missing and not ctx.assumed():
        raise StateError(f"{', '.join(missing)} is not installed, so it cannot be held", help="use pkg.installed")
    return Plan(_holds(manager, database, names, hold), comment=f"{', '.join(names)}: {'held' if hold else 'not held'}")


def _install(
    ctx: Context,
    manager: PackageManager,
    lacking: Sequence[Wanted],
    choice: Choice,
    refresh: Refresh,
    *,
    downgrade: bool,
) -> Plan:
    """The plan that brings `lacking` to the host."""
    database = manager.installed()
    names = [item.name for item in lacking]
    repair = transaction.repair_actions(manager, database, names)
    absent = [item for item in lacking if not unfinished(database, item)]
    found = transaction.look_up(ctx, manager, absent, choice, refresh, downgrade=downgrade)
    request = Request("install", found.items, choice)
    effects = manager.simulate(request) if found.items else ()
    if not effects and not repair and not found.unknown:
        raise StateError(f"apt-get would change nothing, though {', '.join(map(str, lacking))} is not as wanted")
    actions = [
        *repair,
        *transaction.effects_as_actions(manager, request, effects, names),
        *transaction.unforetold_actions(manager, found.unknown, choice, database),
    ]
    foretold = f"{', '.join(map(str, lacking))} would be installed{transaction.brought_along(effects, names)}"
    return Plan(actions, foretold=foretold, warnings=found.warnings + transaction.side_effects(effects, names))


def _remove(manager: PackageManager, database: Database, present: Sequence[Wanted], verb: str, comment: str) -> Plan:
    if not present:
        return Plan(comment=comment)
    _refuse_held(database, present, allowed=False)
    names = [item.name for item in present]
    request = Request("purge" if verb == "purge" else "remove", tuple(names))
    effects = manager.simulate(request)
    repair = transaction.repair_actions(manager, database, ())
    actions = transaction.effects_as_actions(manager, request, effects, names)
    return Plan([*repair, *actions], comment=comment, warnings=transaction.side_effects(effects, names))


def _holds(manager: PackageManager, database: Database, names: Sequence[str], hold: bool | None) -> list[Action]:
    """What brings the holds of `names` to `hold`; what is not installed yet is not held now."""
    if hold is None:
        return []
    different = [name for name in names if ((found := database.find(name)) is not None and found.held) is not hold]
    return [transaction.hold_action(manager, name, hold) for name in different]


def _refuse_held(database: Database, wanted: Sequence[Wanted], *, allowed: bool) -> None:
    for item in wanted:
        present = complete(database, item.name)
        if present is not None and present.held and not allowed:
            raise StateError(
                f"{item.name} is held at {present.version}",
                help="let it go with pkg.unheld, or for pkg.installed with hold: False or update_holds: True",
            )


def _told(wanted: Sequence[Wanted], what: str) -> str:
    return f"{', '.join(map(str, wanted))}: {what}"
