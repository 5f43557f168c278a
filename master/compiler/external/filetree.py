"""Pillar from a tree of files: `hosts/<minion>/a/b` is the key `b` within `a`; `nodegroups/<group>/…` lies below."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from master.compiler.external.source import Asked, Source
from master.compiler.merge import merged
from protocol.errors import ConfigError, SlsError
from protocol.target import Subject, parse

_MOST_FILES = 2000
_MOST_BYTES = 1024 * 1024
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class FileTree(Source):
    """Salt's file_tree (salt/pillar/file_tree.py): each file is a key, its content the value.

    root_dir      the folder that holds `hosts` and `nodegroups`
    keep_newline  keep the newline at the end of a file; a list of globs says of which paths
    secret        all that it gives is secret

    Files of a host win over those of its nodegroups. A nodegroup that needs grains or pillar does not count here: a
    minion could report itself into it. Links are not followed; what is no UTF-8 text is refused.
    """

    root_dir: Path = Path()
    keep_newline: Any = False

    def check(self, allowed: Sequence[str]) -> None:
        """Refuse a root that is no absolute path. Raises ConfigError."""
        if not self.root_dir.is_absolute():
            raise ConfigError("'root_dir' must be an absolute path")
        if not isinstance(self.keep_newline, bool | list):
            raise ConfigError("'keep_newline' must be true, false or a list of globs")

    def given(self, asked: Asked) -> Any:
        """The files of the minion. Raises SlsError."""
        if not self.root_dir.is_dir():
            raise SlsError(f"there is no folder {self.root_dir}")
        counted = [0]
        whole: Any = {}
        subject = Subject(asked.minion)
        for group in sorted(asked.nodegroups):
            folder = self.root_dir / "nodegroups" / group
            if "/" not in group and folder.is_dir() and _means(group, asked, subject):
                whole = merged(whole, self._folder(folder, "", counted))
        own = self.root_dir / "hosts" / asked.minion
        return merged(whole, self._folder(own, "", counted)) if own.is_dir() else whole

    def _folder(self, folder: Path, inside: str, counted: list[int]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if inside.count("/") > _DEEPEST:
            raise SlsError(f"{folder} nests deeper than {_DEEPEST}")
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found[entry.name] = self._folder(Path(entry.path), f"{inside}{entry.name}/", counted)
                elif entry.is_file(follow_symlinks=False):
                    found[entry.name] = self._content(Path(entry.path), f"{inside}{entry.name}", counted)
        except OSError as error:
            raise SlsError(f"{folder} cannot be read: {error.strerror}") from None
        return found

    def _content(self, path: Path, name: str, counted: list[int]) -> str:
        counted[0] += 1
        if counted[0] > _MOST_FILES:
            raise SlsError(f"more than {_MOST_FILES} files below {self.root_dir}")
        if path.stat().st_size > _MOST_BYTES:
            raise SlsError(f"{path} is larger than {_MOST_BYTES} bytes")
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise SlsError(f"{path} is no UTF-8 text") from None
        keep = self.keep_newline
        kept = keep if isinstance(keep, bool) else any(fnmatch(name, str(pattern)) for pattern in keep)
        return text if kept else text.removesuffix("\n")


def _means(group: str, asked: Asked, subject: Subject) -> bool:
    """Whether `group` holds the minion by its id alone."""
    from master.compiler.trust import by_claims

    target = parse(group, "nodegroup", asked.nodegroups)
    return target.matches(subject) and not target.needs_pillar and not by_claims(target, subject)
