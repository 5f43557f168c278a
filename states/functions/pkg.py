"""Which packages a minion has, and could have."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.data import Data
from protocol.errors import StateError
from states.context import Context
from states.host import apt, debversion, dpkg
from states.registry import function


@function("pkg.version", access="reads")
def version(ctx: Context, names: Sequence[str]) -> Data:
    """The installed version of a package, empty when it is not installed; of several, name -> version.

    names: one package or several
    """
    installed = dpkg.read(ctx)
    found: dict[str, Data] = {}
    for name in names:
        package = installed.find(name)
        found[name] = package.version if package is not None and package.complete else ""
    return _one_or_all(names, found)


def _list(ctx: Context) -> Data:
    """Every installed package: name -> version."""
    return {package.name: package.version for package in dpkg.read(ctx).all() if package.complete}


for _name in ("pkg.list", "pkg.list_pkgs"):
    function(_name, access="reads")(_list)


@function("pkg.latest_version", access="reads")
def latest_version(ctx: Context, names: Sequence[str], refresh: bool = False, fromrepo: str = "") -> Data:
    """The version to which a package could be installed or upgraded, empty when it is the newest already or unknown.

    names: one package or several; of several, name -> version
    refresh: fetch the package lists first
    fromrepo: the release or suite to take packages from
    """
    manager = apt.manager(ctx)
    if refresh:
        manager.refresh()
    offers, installed = manager.available(names, fromrepo), manager.installed()
    found: dict[str, Data] = {}
    for name in names:
        offer, package = offers.get(name), installed.find(name)
        candidate = offer.candidate if offer is not None else None
        present = package.version if package is not None and package.complete else None
        newer = candidate is not None and (present is None or manager.compare(candidate, present) > 0)
        found[name] = candidate if newer else ""
    return _one_or_all(names, found)


@function("pkg.version_cmp", access="reads", inline=True)
def version_cmp(ctx: Context, pkg1: str, pkg2: str) -> Data:
    """-1, 0 or 1 as the version pkg1 is older than, equal to or newer than pkg2.

    pkg1: a version
    pkg2: a version
    """
    return debversion.compare(pkg1, pkg2)


@function("pkg.refresh_db", access="changes")
def refresh_db(ctx: Context) -> Data:
    """True, after the package lists were fetched; with warnings, these."""
    warnings = apt.manager(ctx).refresh()
    return list(warnings) if warnings else True


def _one_or_all(names: Sequence[str], found: dict[str, Data]) -> Data:
    if not names:
        raise StateError("no package was named", help="name one or several")
    return found[names[0]] if len(names) == 1 else found
