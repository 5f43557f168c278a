"""What a state or function may touch: the host's root, commands, the files of its assignment, and what is foretold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.assignment import BlobRef
from protocol.data import Data
from protocol.errors import StateError
from protocol.secrets import Scrubber

if TYPE_CHECKING:
    from states.declarations import Custom
    from states.host.kept import Keeper

BlobPath = Callable[[BlobRef], Path]
"""Where the content of a blob lies on this host (already fetched and verified). Raises StateError."""


def _no_blobs(ref: BlobRef) -> Path:
    raise StateError(f"the content {ref.digest[:12]} is not on this host")


@dataclass(slots=True)
class Context:
    """Handed to every state and function.

    root       all paths of states lie under it: `/` on a host, a private folder in tests and the demo
    state_dir  where the minion may keep backups and caches of its own (mode 0700)
    test       dry run: look, plan, touch nothing
    pending    in a dry run: whether something before this chunk is foretold to change, so that what is missing
               now (a unit, a user, a command, a key) may be there by then
    made       in a dry run: the subjects of changes that steps before this chunk are foretold to make new (paths
               and the like), so that nothing is foretold twice
    sources    `salt://` source of the chunk at hand -> its content
    deadline   seconds that one command may take, unless the state was given its own `timeout`
    custom     the own code of the state tree, when the job brought some
    keeper     keeps what a change finds before it is made, for a rollback of the job
    """

    minion: str
    grains: Mapping[str, Data]
    root: Path = Path("/")
    state_dir: Path = Path("/var/lib/stackmaster/minion")
    test: bool = False
    pending: bool = False
    made: set[str] = field(default_factory=set)
    deadline: float = 600.0
    sources: Mapping[str, BlobRef] = field(default_factory=dict)
    blob_path: BlobPath = _no_blobs
    scrubber: Scrubber = field(default_factory=Scrubber)
    custom: Custom | None = None
    keeper: Keeper | None = None

    def path(self, path: str) -> Path:
        """The real place of the absolute `path` of a state, below `root`. Raises StateError when it is none."""
        if not path.startswith("/"):
            raise StateError(f"{path!r} is not an absolute path", help="begin it with '/'")
        if "\0" in path:
            raise StateError("a path must not hold a NUL character")
        if ".." in path.split("/"):
            raise StateError(f"{path!r} goes up by '..'", help="write the path without it")
        return self.root / path.lstrip("/")

    def shell(self, path: str) -> Path:
        """Where the shell `path` is: a private root may hold its own, else it is the host's. Raises StateError."""
        own = self.path(path)
        return own if own.exists() else Path(path)

    def source(self, source: str) -> Path:
        """Where the content of a `salt://` source of the chunk at hand lies. Raises StateError."""
        ref = self.sources.get(source)
        if ref is None:
            raise StateError(f"{source} is not among the files of this assignment")
        return self.blob_path(ref)

    def assumed(self) -> bool:
        """Whether what is missing now may be taken as made by then: a dry run with changes foretold before."""
        return self.test and self.pending
