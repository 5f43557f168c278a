"""What dpkg knows to be on a host, read from its own files: no process, parsed once for each version of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.errors import StateError, Where
from states.context import Context
from states.host.packages import Package

_STATUS: Final = "/var/lib/dpkg/status"
_UPDATES: Final = "/var/lib/dpkg/updates"
_FIELD: Final = re.compile(r"^(Package|Status|Version|Architecture|Provides): *(.*)$", re.MULTILINE)
_PROVIDED: Final = re.compile(r"([a-z0-9][a-z0-9+.-]+)(?::\w+)?(?:\s*\(=\s*([^)\s]+)\))?")
_COMPLETE: Final = frozenset({"installed", "triggers-pending", "triggers-awaited"})


@dataclass(frozen=True, slots=True)
class Installed:
    """The packages in dpkg's database.

    `packages` by name, then by architecture; `provides` maps a virtual package to those installed that provide it;
    `journal` says that dpkg was interrupted while it wrote (it refuses work until `dpkg --configure -a`).
    """

    packages: Mapping[str, Mapping[str, Package]] = field(default_factory=dict)
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    journal: bool = False

    def find(self, name: str) -> Package | None:
        """The package `name` or `name:arch` in whatever state; an installed architecture before others."""
        name, _, arch = name.partition(":")
        found = self.packages.get(name, {})
        if arch:
            return found.get(arch) or found.get("all")
        return max(found.values(), key=lambda package: package.complete, default=None)

    def all(self) -> Iterator[Package]:
        """Every package in the database, whatever its state."""
        for by_arch in self.packages.values():
            yield from by_arch.values()


_cache: dict[Path, tuple[tuple[object, ...], Installed]] = {}


def read(ctx: Context) -> Installed:
    """What is in the database under `ctx.root`. Raises StateError when there is none or it cannot be read."""
    status, updates = ctx.path(_STATUS), ctx.path(_UPDATES)
    try:
        stat = status.stat()
        journal = sorted(entry for entry in updates.iterdir() if entry.name.isdigit()) if updates.is_dir() else []
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino, *(entry.stat().st_mtime_ns for entry in journal))
        known = _cache.get(status)
        if known is not None and known[0] == stamp:
            return known[1]
        texts = [path.read_text("utf-8", "replace") for path in (status, *journal)]
    except OSError as error:
        reason = f"dpkg's database cannot be read: {error.strerror}"
        raise StateError(reason, where=Where(str(status)), help="is this a Debian or Ubuntu host?") from None
    installed = parse(texts, journal=bool(journal))
    _cache[status] = (stamp, installed)
    return installed


def parse(texts: list[str], *, journal: bool = False) -> Installed:
    """The packages of status files; what a later text says of a package replaces what an earlier said."""
    packages: dict[str, dict[str, Package]] = {}
    provided_by: dict[tuple[str, str], list[str]] = {}
    for text in texts:
        for stanza in text.split("\n\n"):
            fields = dict(_FIELD.findall(stanza))
            name, arch = fields.get("Package"), fields.get("Architecture", "all")
            selection, _, rest = fields.get("Status", "").partition(" ")
            state = rest.rpartition(" ")[2]
            if not name or not state:
                continue
            held = selection == "hold"
            complete = state in _COMPLETE
            packages.setdefault(name, {})[arch] = Package(name, arch, fields.get("Version", ""), state, complete, held)
            provided_by[name, arch] = [found[0] for found in _PROVIDED.findall(fields.get("Provides", ""))]
    provides: dict[str, list[str]] = {}
    for (name, arch), virtual in provided_by.items():
        if packages[name][arch].complete:
            for one in virtual:
                provides.setdefault(one, []).append(name)
    return Installed(packages, {virtual: tuple(names) for virtual, names in provides.items()}, journal)
