"""The tree's own code as this minion keeps it between jobs: the manifest it last took over, and what gives grains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from protocol import codec
from protocol.assignment import CUSTOM, Custom, CustomFile, CustomKind, digest
from protocol.data import Data
from protocol.errors import DecodeError, StateError, Where
from protocol.identity import write_private
from states.context import Context

_NEEDED: Final = ("grains", "utils")
"""Kinds whose content is kept: what runs when there is no job."""


def folder(state_dir: Path) -> Path:
    """Where everything of this module lies (0700)."""
    return state_dir / "custom"


def load(state_dir: Path) -> Custom | None:
    """The manifest that was taken over last, None when there is none or it is damaged."""
    try:
        return codec.decode((folder(state_dir) / "manifest").read_bytes(), CUSTOM)
    except (OSError, DecodeError):
        return None


def content(state_dir: Path, file: CustomFile) -> Path:
    """Where the content of a kept file lies."""
    return folder(state_dir) / "files" / file.ref.digest


def keep(context: Context, custom: Custom) -> dict[CustomKind, list[Data]]:
    """Take over a manifest that came with a job; by kind, what is new. Raises StateError."""
    before = load(context.state_dir)
    if before is not None and before.files == custom.files:
        return {kind: [] for kind in get_args(CustomKind)}
    known = {(file.kind, file.path): file.ref.digest for file in (() if before is None else before.files)}
    place = folder(context.state_dir)
    try:
        (place / "files").mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in custom.files:
            if file.kind in _NEEDED:
                write_private(content(context.state_dir, file), _checked(context, file))
        write_private(place / "manifest", codec.encode(replace(custom, pillar={}, opts={})))
        wanted = {file.ref.digest for file in custom.files}
        for old in (place / "files").iterdir():
            if old.name not in wanted:
                old.unlink()
    except OSError as error:
        raise StateError(f"the tree's own code cannot be kept: {error.strerror}", where=Where(str(place))) from None
    return {
        kind: [
            _name(file)
            for file in custom.files
            if file.kind == kind and known.get((file.kind, file.path)) != file.ref.digest
        ]
        for kind in get_args(CustomKind)
    }


def keep_grains(context: Context, custom: Custom) -> None:
    """Take over what an apply brought for grains, when it is not what there is already. Raises StateError."""
    brought = tuple(file for file in custom.files if file.kind in _NEEDED)
    before = load(context.state_dir)
    had = tuple(file for file in (() if before is None else before.files) if file.kind in _NEEDED)
    if brought != had and any(file.kind == "grains" for file in (*brought, *had)):
        keep(context, replace(custom, files=brought))


def synchronise(context: Context) -> Mapping[CustomKind, list[Data]]:
    """Take over the tree that the call at hand brought. Raises StateError."""
    from states.custom.loader import Loader

    if not isinstance(context.custom, Loader):
        help = "call it through a master: `stackmaster exec TARGET saltutil.sync_all`"
        raise StateError("no state tree came with this call", help=help)
    return keep(context, context.custom.manifest)


def _name(file: CustomFile) -> str:
    """As Salt tells it: `modules.osd`."""
    return f"{file.kind}.{file.path.removesuffix('.py').replace('/', '.')}"


def _checked(context: Context, file: CustomFile) -> bytes:
    raw = context.blob_path(file.ref).read_bytes()
    if digest(raw) != file.ref.digest:
        raise StateError("its content on this host is not what the master signed", where=Where(file.shown))
    return raw
