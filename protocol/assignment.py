"""What one minion is to do: ordered low chunks, the files they need, and the secrets to hide; content-addressed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from protocol import codec
from protocol.data import Data


@dataclass(frozen=True, slots=True)
class BlobRef:
    """File content by name of its SHA-256 (64 hex digits), with its size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Requisite:
    """One requisite of a chunk, resolved: `kind` as in SLS (`require`, `watch`, `onfail_any`, …); `targets` are
    positions in `Assignment.chunks`; `missing` are references that nothing answers to, as a person wrote them."""

    kind: str
    targets: tuple[int, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One low chunk: call `state.fun` with `args`.

    `id` is the declaration's id, `name` what the state is about; `sls` the file that declared it. `args` are the
    function's own arguments (without `name`); `options` the state-global ones (`unless`, `onlyif`, `creates`,
    `check_cmd`, `retry`, `failhard`, `parallel`, `timeout`, `order`, …). `sources` maps each `salt://` source
    that the arguments name to its content; for a template it is the rendered content.

    A chunk that others have as `prereq` has a trial, a dry run before these: `trial` is its place, counted from 0, in
    the sequence of all trials and chunks (-1: none); `trial_needs` are the positions of the chunks whose trials must
    come before it.
    """

    state: str
    fun: str
    id: str
    name: str
    sls: str
    args: Mapping[str, Data] = field(default_factory=dict)
    options: Mapping[str, Data] = field(default_factory=dict)
    requisites: tuple[Requisite, ...] = ()
    sources: Mapping[str, BlobRef] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    trial: int = -1
    trial_needs: tuple[int, ...] = ()

    @property
    def function(self) -> str:
        """The state function's name, `file.managed`."""
        return f"{self.state}.{self.fun}"

    @property
    def tag(self) -> str:
        """Salt's key of a result: `state_|-id_|-name_|-fun`."""
        return f"{self.state}_|-{self.id}_|-{self.name}_|-{self.fun}"


CustomKind = Literal["modules", "states", "grains", "utils"]
"""What a file of a tree's own Python code is, by its folder: `_modules`, `_states`, `_grains`, `_utils`."""


@dataclass(frozen=True, slots=True)
class CustomFile:
    """One file of a state tree's own Python code.

    `path` is relative to the folder of its `kind` (`osd.py`, `keystonev3/__init__.py`). `names` are the modules that it
    may load as; empty for a part of a package, and for a file of which only loading it can tell.
    """

    kind: CustomKind
    path: str
    names: tuple[str, ...]
    ref: BlobRef

    @property
    def shown(self) -> str:
        """The file as its author knows it: `_modules/osd.py`."""
        return f"_{self.kind}/{self.path}"


@dataclass(frozen=True, slots=True)
class Custom:
    """A state tree's own Python code for one job on one minion, with what it may read.

    `pillar` and `opts` are what it sees as `__pillar__` and `__opts__`; they are empty when nothing of the job runs it
    but its grains. `override` lets it replace states and functions of ours.
    """

    KIND: ClassVar[str] = "custom"

    files: tuple[CustomFile, ...]
    environment: str = "base"
    pillar: Mapping[str, Data] = field(default_factory=dict)
    opts: Mapping[str, Data] = field(default_factory=dict)
    override: bool = False

    def blobs(self) -> frozenset[BlobRef]:
        """The content of its files."""
        return frozenset(file.ref for file in self.files)


CUSTOM = codec.table(Custom)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The compiled chunks for one minion, in execution order.

    `secrets` are literal values that must not leave the minion in any output. `warnings` are for the operator.
    `custom` is the tree's own code, when it has any that this minion needs.
    """

    KIND: ClassVar[str] = "assignment"

    minion: str
    chunks: tuple[Chunk, ...]
    environment: str = "base"
    secrets: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    custom: Custom | None = None

    def encoded(self) -> bytes:
        """The assignment as bytes; its SHA-256 is its name."""
        return codec.encode(self)

    def blobs(self) -> frozenset[BlobRef]:
        """Every file content that applying it may need."""
        named = frozenset(ref for chunk in self.chunks for ref in chunk.sources.values())
        return named if self.custom is None else named | self.custom.blobs()


ASSIGNMENTS = codec.table(Assignment)


def decode_assignment(raw: bytes) -> Assignment:
    """The assignment in `raw`. Raises DecodeError."""
    return codec.decode(raw, ASSIGNMENTS)


def digest(raw: bytes) -> str:
    """SHA-256 of `raw` in 64 hex digits: the name of a blob or an assignment."""
    return hashlib.sha256(raw).hexdigest()
