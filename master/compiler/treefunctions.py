"""Functions for templates about the state tree itself: `cp.*` and `slsutil.*` that look at its files."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from master.compiler.roots import FileRoots
from protocol.errors import SlsError


class TreeFunctions:
    """The functions for the trees `roots`, by environment; without one named, `environment`. Raises SlsError."""

    def __init__(self, roots: Mapping[str, FileRoots], environment: str) -> None:
        self._roots = roots
        self._environment = environment

    def map(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {
            "cp.list_master": lambda saltenv=None, prefix="": self._files(saltenv, prefix),
            "cp.list_master_dirs": self.folders,
            "cp.list_states": lambda saltenv=None: self._of(saltenv).sls_names(),
            "cp.envs": lambda: sorted(self._roots),
            "cp.get_file_str": self.text,
            "cp.hash_file": self.hash,
            "slsutil.file_exists": lambda path, saltenv=None: self._of(saltenv).find(_name(path)) is not None,
            "slsutil.dir_exists": self.is_folder,
            "slsutil.path_exists": lambda path, saltenv=None: (
                self._of(saltenv).find(_name(path)) is not None or self.is_folder(path, saltenv)
            ),
            "slsutil.findup": self.find_up,
        }

    def text(self, path: str, saltenv: str | None = None) -> Any:
        """The text of a file, False when there is none."""
        environment = path.partition("?saltenv=")[2] or saltenv
        found = self._of(environment).read(_name(path))
        return False if found is None else found

    def hash(self, path: str, saltenv: str | None = None) -> dict[str, str]:
        """The digest of a file as Salt tells it; an empty mapping when there is none."""
        text = self._of(saltenv).read(_name(path))
        if text is None:
            return {}
        return {"hsum": hashlib.sha256(text.encode()).hexdigest(), "hash_type": "sha256"}

    def folders(self, saltenv: str | None = None, prefix: str = "") -> list[str]:
        """The folders below `prefix`."""
        found = {posixpath.dirname(name) for name in self._files(saltenv, prefix)}
        return sorted(found - {""})

    def is_folder(self, path: str, saltenv: str | None = None) -> bool:
        """Whether there are files in a folder."""
        return bool(self._of(saltenv).files_under(_name(path)))

    def find_up(self, startpath: str, filenames: Any, saltenv: str | None = None) -> str:
        """The first of `filenames` in `startpath` or a folder above it. Raises SlsError when there is none."""
        roots = self._of(saltenv)
        names = [filenames] if isinstance(filenames, str) else list(filenames)
        folder = _name(startpath)
        while True:
            for name in names:
                path = posixpath.join(folder, name)
                if roots.find(path) is not None:
                    return path
            if not folder:
                raise SlsError(f"none of {', '.join(names)} is in {startpath!r} or above it")
            folder = posixpath.dirname(folder)

    def _files(self, saltenv: str | None, prefix: str) -> list[str]:
        names = self._of(saltenv).files_under("")
        return [name for name in names if name.startswith(_name(prefix))] if prefix else names

    def _of(self, environment: str | None) -> FileRoots:
        found = self._roots.get(environment or self._environment)
        if found is None:
            help = "there is " + ", ".join(sorted(self._roots))
            raise SlsError(f"there is no environment {environment!r}", help=help)
        return found


def _name(path: str) -> str:
    return path.removeprefix("salt://").partition("?")[0].strip("/")
