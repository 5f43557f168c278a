"""Loads Python files as the own code of a state tree, for the tests of custom code."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from master.compiler import customcode
from protocol.assignment import BlobRef, Custom, CustomFile, CustomKind, digest
from protocol.data import Data
from protocol.secrets import Scrubber
from states import engine
from states.context import Context
from states.custom.loader import Loader


def manifest(folder: Path, files: Mapping[str, str], **more: Any) -> Custom:
    """The manifest of `files` (`_modules/a.py` -> text), whose contents are put into `folder` by digest."""
    found = []
    for name, text in files.items():
        raw = textwrap.dedent(text).encode()
        kind, path = name.removeprefix("_").split("/", 1)
        stem = path.removesuffix("/__init__.py").removesuffix(".py")
        names = () if "/" in stem else customcode.parse(raw, stem).names
        (folder / digest(raw)).write_bytes(raw)
        found.append(CustomFile(cast(CustomKind, kind), path, names, BlobRef(digest(raw), len(raw))))
    return Custom(tuple(found), **more)


def loader(tmp_path: Path, files: Mapping[str, str], *, test: bool = False, **more: Any) -> Loader:
    """A job's loader with a private root `tmp_path/root`; `more` are further fields of the manifest."""
    blobs, root = tmp_path / "blobs", tmp_path / "root"
    blobs.mkdir(exist_ok=True)
    root.mkdir(exist_ok=True)
    grains: dict[str, Data] = {"id": "m1", "os_family": "Debian", "roles": ["mon", "osd"]}
    context = Context(
        "m1", grains, root=root, state_dir=tmp_path / "state", test=test, scrubber=Scrubber(),
        blob_path=lambda ref: blobs / ref.digest,
    )  # fmt: skip
    made = Loader(manifest(blobs, files, **more), context, engine.apply)
    context.custom = made
    return made


def call(made: Loader, name: str, *args: Data, **kwargs: Data) -> Any:
    """What a function of the tree gives."""
    function = made.function(name)
    assert function is not None
    return function.call(made.context, *args, **kwargs)
