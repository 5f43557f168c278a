"""Top files: which SLS files a minion gets, by targets in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from master.compiler.render import Document, Session
from master.compiler.trust import by_claims
from master.compiler.yaml import List, Map, line_of
from protocol.errors import SlsError, Where
from protocol.target import KINDS, Subject, Target, parse

_OPTIONS = ("match", "order", "ignore_missing")


@dataclass(frozen=True, slots=True)
class Assigned:
    """One SLS that a top file gives; `by_grains` when only what the minion reports of itself says so."""

    environment: str
    sls: str
    where: Where
    by_grains: bool = False
    ignore_missing: bool = False
    order: int = 0


class Tops:
    """Reads the top files of `session` for one `subject`. Raises SlsError."""

    def __init__(self, session: Session, subject: Subject, nodegroups: Mapping[str, Any]) -> None:
        self._session = session
        self._subject = subject
        self._nodegroups = nodegroups

    def assigned(self, environments: Iterable[str]) -> list[Assigned]:
        """What the top files of `environments` give, each SLS once.

        Salt's strategy "merge": the top file of `base` speaks for every environment that it names; another
        environment's own top file speaks for it when `base` does not.
        """
        names = sorted(environments, key=lambda name: (name != "base", name))
        spoken: set[str] = set()
        found: dict[tuple[str, str], Assigned] = {}
        for name in names:
            document = self._document(name)
            if document is None:
                continue
            sections = [key for key in document.data if key == name or (name == "base" and key in names)]
            self._check_sections(document, names)
            for section in sections:
                if section not in spoken:
                    for assigned in self._section(document, section):
                        key = assigned.environment, assigned.sls
                        first = found.setdefault(key, assigned)
                        if first.by_grains and not assigned.by_grains:
                            found[key] = replace(first, by_grains=False)
            spoken.update(sections)
        return sorted(found.values(), key=lambda assigned: assigned.order)

    def _document(self, environment: str) -> Document | None:
        if self._session.roots(environment).find("top.sls") is None:
            return None
        return self._session.document(environment, "top", "top.sls")

    def _check_sections(self, document: Document, environments: list[str]) -> None:
        for key in document.data:
            if key not in environments:
                where = document.place(line_of(document.data, key))
                help = "there is " + ", ".join(environments)
                raise SlsError(
                    f"the top file names the environment {key!r}, which does not exist", where=where, help=help
                )

    def _section(self, document: Document, section: str) -> list[Assigned]:
        targets = document.data[section]
        if targets is None:
            return []
        if not isinstance(targets, Map):
            where = document.place(line_of(document.data, section))
            raise SlsError(f"{section!r} in the top file must be a mapping of targets", where=where)
        found: list[Assigned] = []
        for expression, items in targets.items():
            where = document.place(line_of(targets, expression))
            listed = List(where.line) if items is None else items
            if isinstance(listed, str):
                listed = [listed]
            if not isinstance(listed, list):
                raise SlsError(f"the target {expression!r} must have a list of SLS names", where=where)
            options = _options(listed)
            target = self._target(expression, options, where)
            if target.matches(self._subject):
                found += self._items(document, section, listed, options, by_claims(target, self._subject))
        return found

    def _target(self, expression: Any, options: Mapping[str, Any], where: Where) -> Target:
        kind = str(options.get("match", "compound"))
        if kind not in KINDS:
            help = "there is " + ", ".join(sorted(KINDS))
            raise SlsError(f"the target {expression!r} has an unknown 'match': {kind!r}", where=where, help=help)
        target = parse(str(expression), kind, self._nodegroups)
        if target.problem:
            raise SlsError(f"the target {expression!r} cannot be read: {target.problem}", where=where)
        return target

    def _items(
        self, document: Document, section: str, items: list[Any], options: Mapping[str, Any], by_grains: bool
    ) -> list[Assigned]:
        found = []
        for index, item in enumerate(items):
            where = document.place(line_of(items, index))
            environment, name = section, item
            if isinstance(item, dict):
                if all(key in _OPTIONS for key in item):
                    continue
                environment, name = next(iter(item.items()))
            if not isinstance(name, str):
                raise SlsError(f"{name!r} in the top file is no SLS name", where=where)
            for sls in self._session.roots(environment, where).matching_sls(name.replace("/", ".")):
                ignore = bool(options.get("ignore_missing"))
                found.append(Assigned(environment, sls, where, by_grains, ignore, int(options.get("order", 0))))
        return found


def _options(items: list[Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in items:
        if isinstance(item, dict) and all(key in _OPTIONS for key in item):
            options |= item
    return options
