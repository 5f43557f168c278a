"""The further sources of pillar (`ext_pillar`): which there are, their options, and asking them in their order."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from master.compiler.external.source import Asked, Source
from master.compiler.merge import combined
from master.compiler.secretwords import SecretWords
from master.compiler.trees import TreeOptions
from protocol.data import Data
from protocol.errors import ConfigError, InputError, SlsError, StackmasterError, Where
from protocol.secrets import Scrubber
from protocol.settings import build

__all__ = ["SOURCES", "Asked", "Sources", "check_sources"]

SOURCES: Final[Mapping[str, str]] = {
    "file_tree": "master.compiler.external.filetree:FileTree",
    "cmd_yaml": "master.compiler.external.command:YamlCommand",
    "cmd_json": "master.compiler.external.command:JsonCommand",
    "sql": "master.compiler.external.sql:Sql",
    "vault": "master.compiler.external.vault:Vault",
    "python": "master.compiler.external.python:PythonFunction",
}
"""Name to the class of its options, which is also what is asked; imported when a configuration names it."""


class Sources:
    """Asks the sources of `trees` one after the other. `words` learns what a secret source gives."""

    def __init__(self, trees: TreeOptions, words: SecretWords, scrubber: Scrubber) -> None:
        self._trees = trees
        self._words = words
        self._scrubber = scrubber

    def given(self, asked: Asked) -> dict[Any, Any]:
        """What they give for one minion, later over earlier; none is skipped. Raises SlsError naming the source."""
        whole: dict[Any, Any] = {}
        trees = self._trees
        for number, (name, source) in enumerate(_sources(trees.ext_pillar, trees.ext_pillar_python), 1):
            where = Where(f"ext_pillar {number} ({name})")
            try:
                data = source.given(asked.with_more(whole))
            except StackmasterError as error:
                raise SlsError(self._scrubber.text(error.message), where=where, help=error.help) from None
            if not isinstance(data, Mapping):
                raise SlsError(f"it gave {type(data).__name__} where pillar is a mapping", where=where)
            if source.secret:
                self._words.learn(data)
            strategy = trees.pillar_source_merging_strategy
            whole = dict(combined(whole, data, strategy, lists=trees.pillar_merge_lists))
        return whole


def check_sources(given: Sequence[Data], allowed: Sequence[str] = ()) -> None:
    """Refuse sources that cannot be asked as they are written. Raises ConfigError."""
    _sources(given, allowed)


def _sources(given: Sequence[Data], allowed: Sequence[str]) -> list[tuple[str, Source]]:
    found = []
    for number, item in enumerate(given, 1):
        if not isinstance(item, Mapping) or len(item) != 1:
            help = "write:  ext_pillar:\n    - file_tree:\n        root_dir: /srv/pillar-files"
            raise ConfigError(f"item {number} of 'ext_pillar' must be one source with its options", help=help)
        ((name, options),) = item.items()
        place = f"ext_pillar {number} ({name})"
        if name not in SOURCES:
            raise ConfigError(f"{place}: there is no such source", help=f"there is {', '.join(SOURCES)}")
        module, _, attribute = SOURCES[name].partition(":")
        cls: Any = getattr(importlib.import_module(module), attribute)
        try:
            source: Source = build(cls, cls.options(options), place)
            source.check(allowed)
        except InputError as error:
            known = ", ".join(one.name for one in fields(cls))
            raise ConfigError(f"{place}: {error.message}", help=error.help or f"it takes {known}") from None
        found.append((name, source))
    return found
