"""What states ask of a package manager, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

EffectKind = Literal["install", "upgrade", "downgrade", "reinstall", "remove", "purge"]


@dataclass(frozen=True, slots=True)
class Package:
    """One package in the database of installed ones.

    `state` is the manager's own word; `complete` whether it is unpacked and configured; `held` whether its version
    is kept from upgrades.
    """

    name: str
    arch: str
    version: str
    state: str
    complete: bool
    held: bool

    @property
    def leftover(self) -> bool:
        """Whether only configuration files are left of it."""
        return self.state == "config-files"


class Database(Protocol):
    """What is on the host."""

    @property
    def journal(self) -> bool:
        """Whether the manager was interrupted and must be repaired before it works again."""
        ...

    @property
    def provides(self) -> Mapping[str, Sequence[str]]:
        """Virtual package -> those installed that provide it."""
        ...

    def find(self, name: str) -> Package | None:
        """The package `name` or `name:arch`, in whatever state."""
        ...

    def all(self) -> Iterator[Package]:
        """Every package there."""
        ...


@dataclass(frozen=True, slots=True)
class Available:
    """What the sources offer of one package. `candidate` is the version that would be taken, None when there is none
    (a virtual package, or pinned away); `versions` are all that can be had, newest first."""

    name: str
    candidate: str | None
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """How a transaction may go. `repo` is the release to prefer; the booleans are what is allowed or wanted."""

    repo: str = ""
    recommends: bool | None = None
    unauthenticated: bool = False
    downgrades: bool = False
    change_held: bool = False
    only_upgrade: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One transaction: `verb` and what it is about, each `name`, `name=version` or the path of a package file."""

    verb: Literal["install", "remove", "purge", "upgrade", "dist-upgrade"]
    items: tuple[str, ...]
    choice: Choice = Choice()


@dataclass(frozen=True, slots=True)
class Effect:
    """What a transaction does to one package; `old` and `new` are versions, None where there is none."""

    kind: EffectKind
    name: str
    old: str | None
    new: str | None


class PackageManager(Protocol):
    """What the package states need. Every method may raise StateError."""

    def installed(self) -> Database:
        """What is on the host, read without a process."""
        ...

    def available(self, names: Sequence[str], repo: str = "") -> Mapping[str, Available]:
        """What the known lists offer of `names`; a name that they do not know is not in it."""
        ...

    def lists_age(self) -> float:
        """Seconds since the lists were fetched; infinity when they never were."""
        ...

    def lists_outdated(self) -> bool:
        """Whether the configured sources changed since the lists were fetched."""
        ...

    def refresh(self, *, strict: bool = False) -> tuple[str, ...]:
        """Fetch the lists of all sources; gives warnings. `strict`: a source that fails is an error."""
        ...

    def refreshed(self) -> bool:
        """Whether this process fetched the lists already, and the sources did not change since."""
        ...

    def simulate(self, request: Request) -> tuple[Effect, ...]:
        """What `request` would do to this host now, dependencies included, in the manager's order."""
        ...

    def perform(self, request: Request) -> None:
        """Carry out `request`."""
        ...

    def repair(self) -> None:
        """Finish what an interrupted run left."""
        ...

    def hold(self, names: Sequence[str], held: bool) -> None:
        """Keep the versions of `names`, or let them go."""
        ...

    def file_version(self, path: str) -> tuple[str, str]:
        """Name and version of the package in the file `path`."""
        ...

    def known_names(self) -> list[str]:
        """Every package name that the lists know, for suggestions."""
        ...

    def compare(self, left: str, right: str) -> int:
        """-1, 0 or 1 as `left` is older than, equal to or newer than `right`."""
        ...
