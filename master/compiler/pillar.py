"""The pillar of one minion: what top file and further sources give it, merged, with the operator's override on top."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

from master.compiler.high import Inclusion, Reader
from master.compiler.merge import combined
from master.compiler.render import Document, Session
from master.compiler.secretwords import SecretWords
from master.compiler.several import raise_all
from master.compiler.sls import resolved
from master.compiler.top import Assigned
from master.compiler.trees import TreeOptions
from master.compiler.yaml import line_of, plain
from protocol.errors import SlsError, Where
from protocol.secrets import literals

Warn = Callable[[str], None]


class Pillar:
    """Compiles pillar files with `session`, whose roots are the pillar's. Raises SlsError.

    A file that only what the minion reports of itself assigns, and that holds a secret, is told to `warn`; under
    `strict_pillar_targets` it is refused.
    """

    def __init__(self, session: Session, words: SecretWords, trees: TreeOptions, warn: Warn) -> None:
        self._session = session
        self._words = words
        self._trees = trees
        self._warn = warn
        self._loaded: dict[tuple[str, str], dict[Any, Any]] = {}
        self._open: list[tuple[str, str]] = []
        self._documents: list[Document] = []

    def compiled(self, assigned: Iterable[Assigned]) -> dict[Any, Any]:
        """What the files give, later ones over earlier ones. All files that cannot be read are told at once."""
        whole: dict[Any, Any] = {}
        errors: list[SlsError] = []
        for each in assigned:
            self._documents = []
            self._open = []
            try:
                data = self._file(each.environment, each.sls, each)
                if each.by_grains:
                    self._look_for_secrets(each)
                whole = self.combined(whole, deepcopy(data))
            except SlsError as error:
                if str(error) not in map(str, errors):
                    errors.append(error)
        raise_all(errors)
        return whole

    def combined(self, below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
        """`above` on `below` by the strategy that is set."""
        trees = self._trees
        return dict(combined(below, above, trees.pillar_source_merging_strategy, lists=trees.pillar_merge_lists))

    def _file(
        self,
        environment: str,
        sls: str,
        assigned: Assigned,
        inclusion: Inclusion | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> dict[Any, Any]:
        key = environment, sls
        where = inclusion.where if inclusion is not None else assigned.where
        if key in self._open:
            return {}
        if key in self._loaded and not defaults:
            return self._loaded[key]
        document = self._document(environment, sls, where, defaults, assigned.ignore_missing)
        if document is None:
            return {}
        self._open.append(key)
        self._documents.append(document)
        own = {name: plain(value) for name, value in document.data.items() if name != "include"}
        included = [
            self._included(environment, document, inner, assigned, defaults)
            for inner in Reader(sls, environment, document.place).inclusions(document.data)
        ]
        self._open.pop()
        layers = [own, *included] if self._trees.pillar_includes_override_sls else [*included, own]
        whole: dict[Any, Any] = {}
        for layer in layers:
            whole = self.combined(whole, layer)
        restored: dict[Any, Any] = self._session.restored(whole)
        if not defaults:
            self._loaded[key] = restored
        return restored

    def _document(
        self, environment: str, sls: str, where: Where, defaults: Mapping[str, Any] | None, ignore_missing: bool
    ) -> Document | None:
        roots = self._session.roots(environment, where)
        file = roots.sls_file(sls)
        if file is None and ignore_missing:
            return None
        if file is None:
            help = roots.near(sls, roots.sls_names())
            raise SlsError(f"there is no pillar {sls!r} in environment {environment!r}", where=where, help=help)
        return self._session.document(environment, sls, file, defaults)

    def _included(
        self,
        environment: str,
        document: Document,
        inclusion: Inclusion,
        assigned: Assigned,
        inherited: Mapping[str, Any] | None,
    ) -> dict[Any, Any]:
        """What an item of `include` gives, below its `key`; without `defaults` of its own it has the file's."""
        target = inclusion.environment or environment
        name = resolved(inclusion.sls, document)
        if name is None:
            raise SlsError(f"{inclusion.sls!r} leads above the top of the pillar", where=inclusion.where)
        for option in inclusion.options:
            if option not in ("defaults", "key"):
                message = f"the include of {inclusion.sls!r} has no option {option!r}"
                raise SlsError(message, where=inclusion.where, help="it takes defaults and key")
        defaults = inclusion.options.get("defaults", inherited)
        if defaults is not None and not isinstance(defaults, Mapping):
            raise SlsError(f"'defaults' of the include of {inclusion.sls!r} must be a mapping", where=inclusion.where)
        found: dict[Any, Any] = {}
        roots = self._session.roots(target, inclusion.where)
        for sls in roots.matching_sls(name) or [name]:
            data: Any = self._file(target, sls, assigned, inclusion, defaults)
            for step in reversed(str(inclusion.options.get("key") or "").split(":")):
                data = {step: data} if step else data
            found = self.combined(found, data)
        return found

    def _look_for_secrets(self, assigned: Assigned) -> None:
        for document in self._documents:
            for key, value in document.data.items():
                if literals(self._words.marked(plain(value), str(key))):
                    message = f"{key!r} holds a secret, and the top file assigns this file by grains ({assigned.where})"
                    help = "minions report grains themselves: assign it by id, list or nodegroup"
                    where = document.place(line_of(document.data, key))
                    if self._trees.strict_pillar_targets:
                        raise SlsError(message, where=where, help=help)
                    self._warn(f"{where}: {message}; {help}")
