"""Which packages the arguments of a state speak of, and whether the host has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from states.context import Context
from states.host.debversion import VersionWish, parse_wish
from states.host.packages import Database, Package, PackageManager

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]*(?<!-)(?::[a-z0-9-]+)?")

UNFINISHED: Final = ("unpacked", "half-configured")
"""States of dpkg in which a package only waits to be configured."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One package asked for: at any version, at one that fits `wish`, or from the package file at `path`."""

    name: str
    wish: VersionWish | None = None
    path: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.wish.text}" if self.wish else self.name


def wanted_packages(
    ctx: Context,
    manager: PackageManager,
    name: str,
    pkgs: Sequence[Data] | None,
    sources: Sequence[Data] | None,
    version: str | None,
    ignore_epoch: bool,
) -> list[Wanted]:
    """The packages that the arguments of a state speak of, each once. Raises ArgumentError, StateError."""
    if sources is not None:
        if pkgs is not None or version is not None:
            raise ArgumentError("sources cannot be used together with pkgs or version")
        return [_from_file(ctx, manager, one, str(place)) for one, place in _pairs(sources) if place is not None]
    pairs = _pairs(pkgs) if pkgs is not None else [(part.strip(), None) for part in name.split(",")]
    found: dict[str, Wanted] = {}
    for one, own in pairs:
        text = str(own) if own is not None else version if pkgs is None else None
        found[one] = Wanted(_checked(one), parse_wish(text, ignore_epoch=ignore_epoch) if text else None)
    return list(found.values())


def _from_file(ctx: Context, manager: PackageManager, name: str, source: str) -> Wanted:
    content = ctx.source(source) if source.startswith("salt://") else ctx.path(source)
    inside, version = manager.file_version(str(content))
    if inside != name:
        raise StateError(f"{source} is the package {inside}, not {name}")
    path = content
    if content.suffix != ".deb":
        # apt takes a package file by its suffix only; a blob has none
        path = ctx.state_dir / "packages" / f"{inside}_{version.replace(':', '%3a')}.deb"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(content)
    return Wanted(_checked(name), parse_wish(version), str(path))


def _pairs(entries: Sequence[Data]) -> list[tuple[str, Data]]:
    """Names with their versions (None) from `pkgs`. Raises ArgumentError."""
    pairs: list[tuple[str, Data]] = []
    for entry in entries:
        if isinstance(entry, Mapping):
            pairs.extend(entry.items())
        elif isinstance(entry, str):
            pairs.extend((part.strip(), None) for part in entry.split(",") if part.strip())
        else:
            raise ArgumentError(f"{entry!r} is not a package name or a mapping of names to versions")
    return pairs


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ArgumentError(f"{name!r} is not a package name", help="lower case letters, digits, '+', '-' and '.'")
    return name


def satisfied(database: Database, item: Wanted, allow_updates: bool) -> bool:
    """Whether `item` is installed as wanted; `allow_updates`: or at a newer version than the one wanted."""
    present = complete(database, item.name)
    if present is None:
        return item.wish is None and item.name in database.provides
    if item.wish is None or item.wish.fits(present.version):
        return True
    exact = item.wish.exact
    return allow_updates and exact is not None and parse_wish(f">={exact}").fits(present.version)


def there(database: Database, item: Wanted) -> bool:
    """Whether anything but configuration files of `item` (at its version, if one is wanted) is on the host."""
    present = database.find(item.name)
    if present is None or present.leftover or present.state == "not-installed":
        return False
    return item.wish is None or item.wish.fits(present.version)


def unfinished(database: Database, item: Wanted) -> bool:
    """Whether all that `item` lacks, at the version wanted, is to be configured."""
    present = database.find(item.name)
    if present is None or present.state not in UNFINISHED:
        return False
    return item.wish is None or item.wish.fits(present.version)


def leftover(database: Database, name: str) -> bool:
    """Whether configuration files are all that is left of `name`."""
    present = database.find(name)
    return present is not None and present.leftover


def complete(database: Database, name: str) -> Package | None:
    """The package `name` if it is unpacked and configured."""
    present = database.find(name)
    return present if present is not None and present.complete else None
