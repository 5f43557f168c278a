"""The pillar of one minion: what the pillar's top file gives it, merged, with the operator's override on top."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from master.compiler.high import Inclusion, Reader
from master.compiler.merge import merged
from master.compiler.render import Document, Session
from master.compiler.secretwords import SecretWords
from master.compiler.sls import resolved
from master.compiler.top import Assigned, Tops
from master.compiler.yaml import line_of, plain
from protocol.errors import SlsError, Where
from protocol.secrets import literals


class Pillar:
    """Compiles a pillar with `session`, whose roots are the pillar's. Raises SlsError.

    Without `secrets_by_grains`, a file that is assigned by what the minion reports of itself must hold no secret.
    """

    def __init__(self, session: Session, words: SecretWords, *, secrets_by_grains: bool) -> None:
        self._session = session
        self._words = words
        self._secrets_by_grains = secrets_by_grains
        self._loaded: dict[tuple[str, str], dict[Any, Any]] = {}
        self._open: list[tuple[str, str]] = []
        self._documents: list[Document] = []

    def compiled(self, tops: Tops, environments: Iterable[str], override: Mapping[str, Any]) -> dict[Any, Any]:
        """The whole pillar, later files over earlier ones (mappings deeply, lists replaced), `override` over all."""
        whole: dict[Any, Any] = {}
        for assigned in tops.assigned(environments):
            self._documents = []
            data = self._file(assigned.environment, assigned.sls, assigned)
            if assigned.by_grains and not self._secrets_by_grains:
                self._refuse_secrets(assigned)
            whole = merged(whole, deepcopy(data))
        return dict(merged(whole, override))

    def _file(
        self, environment: str, sls: str, assigned: Assigned, inclusion: Inclusion | None = None
    ) -> dict[Any, Any]:
        key = environment, sls
        with_options = inclusion is not None and bool(inclusion.options)
        where = inclusion.where if inclusion is not None else assigned.where
        if key in self._open:
            return {}
        if key in self._loaded and not with_options:
            return self._loaded[key]
        document = self._document(environment, sls, where, inclusion, assigned.ignore_missing)
        if document is None:
            return {}
        self._open.append(key)
        self._documents.append(document)
        below: dict[Any, Any] = {}
        for inner in Reader(sls, environment, document.place).inclusions(document.data):
            below = merged(below, self._included(environment, document, inner, assigned))
        self._open.pop()
        own = {name: plain(value) for name, value in document.data.items() if name != "include"}
        self._loaded[key] = self._session.restored(merged(below, own))
        return self._loaded[key]

    def _document(
        self, environment: str, sls: str, where: Where, inclusion: Inclusion | None, ignore_missing: bool
    ) -> Document | None:
        roots = self._session.roots(environment, where)
        file = roots.sls_file(sls)
        if file is None and ignore_missing:
            return None
        if file is None:
            help = roots.near(sls, roots.sls_names())
            raise SlsError(f"there is no pillar {sls!r} in environment {environment!r}", where=where, help=help)
        extra = inclusion.options.get("defaults") if inclusion is not None else None
        return self._session.document(environment, sls, file, extra if isinstance(extra, Mapping) else None)

    def _included(
        self, environment: str, document: Document, inclusion: Inclusion, assigned: Assigned
    ) -> dict[Any, Any]:
        target = inclusion.environment or environment
        name = resolved(inclusion.sls, document)
        if name is None:
            raise SlsError(f"{inclusion.sls!r} leads above the top of the pillar", where=inclusion.where)
        found: dict[Any, Any] = {}
        for sls in self._session.roots(target, inclusion.where).matching_sls(name):
            data: Any = self._file(target, sls, assigned, inclusion)
            for step in reversed(str(inclusion.options.get("key") or "").split(":")):
                data = {step: data} if step else data
            found = merged(found, data)
        return found

    def _refuse_secrets(self, assigned: Assigned) -> None:
        for document in self._documents:
            for key, value in document.data.items():
                if literals(self._words.marked(plain(value), str(key))):
                    message = f"{key!r} holds a secret, and the top file assigns this file by grains ({assigned.where})"
                    help = (
                        "minions report grains themselves: assign it by id, list or nodegroup, or set secrets_by_grains"
                    )
                    raise SlsError(message, where=document.place(line_of(document.data, key)), help=help)
