"""Top files: which SLS files a minion gets, by targets in the order of the file, over all environments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from master.compiler.render import Document, Session
from master.compiler.trees import TreeOptions
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


@dataclass(slots=True)
class Entry:
    """One target of a top file with its items, each with its place."""

    expression: Any
    where: Where
    items: list[tuple[Any, Where]] = field(default_factory=list)

    def options(self) -> dict[str, Any]:
        """`match`, `order` and `ignore_missing` of the target."""
        options: dict[str, Any] = {}
        for item, _ in self.items:
            if _is_option(item):
                options |= item
        return options

    def order(self) -> int:
        """The number that `order` gives; 0 when it gives none."""
        try:
            return int(self.options().get("order", 0))
        except (TypeError, ValueError):
            return 0


@dataclass(frozen=True, slots=True)
class TopTarget:
    """A target of a top file: its `kind`, the (environment, SLS, place) that it `gives`, and what is wrong with it."""

    expression: str
    kind: str
    where: Where
    gives: list[tuple[str, str, Where]]
    error: SlsError | None = None


Sections = dict[str, dict[Any, Entry]]
"""Environment to target to entry."""


class Tops:
    """Reads the top files of `session` for one `subject`. Raises SlsError.

    The rules are Salt's (salt/state.py and salt/pillar/__init__.py of 3008); an environment that does not exist is an
    error here.
    """

    def __init__(
        self,
        session: Session,
        subject: Subject,
        nodegroups: Mapping[str, Any],
        trees: TreeOptions | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._session = session
        self._subject = subject
        self._nodegroups = nodegroups
        self._trees = trees or TreeOptions()
        self._warn = warn

    def states(self, environments: Iterable[str], only: str = "") -> list[Assigned]:
        """What the state top files give, each SLS once; with `only`, from that environment alone."""
        return list(self._assigned(self.state_sections(environments, only)))

    def pillar(self, environments: Iterable[str], saltenv: str = "", *, everybody: bool = False) -> list[Assigned]:
        """What the pillar's top files give, each SLS once; within an environment targets come by their `order`.

        With `everybody` all targets count, whomever they mean.
        """
        sections = self.pillar_sections(environments, saltenv)
        for environment, body in sections.items():
            ordered = sorted(body.values(), key=lambda entry: entry.order())
            sections[environment] = {entry.expression: entry for entry in ordered}
        if everybody:
            gives = [given for target in self.everything(sections) for given in target.gives]
            unique = {(environment, sls): where for environment, sls, where in gives}
            return [Assigned(environment, sls, where) for (environment, sls), where in unique.items()]
        return list(self._assigned(sections))

    def everything(self, sections: Sections) -> list[TopTarget]:
        """Each target of `sections`, whomever it matches, with the (environment, SLS, place) that it gives."""
        found = []
        for environment, body in sections.items():
            for entry in body.values():
                kind, gives, error = str(entry.options().get("match", "compound")), [], None
                try:
                    gives = list(self._names(environment, entry))
                    self._target(entry)
                except SlsError as failure:
                    error = failure
                found.append(TopTarget(str(entry.expression), kind, entry.where, gives, error))
        return found

    # --- which top files speak ----------------------------------------------------------------------------------

    def state_sections(self, environments: Iterable[str], only: str = "") -> Sections:
        """The targets of the state top files under the strategy that is set."""
        there = list(environments)
        if only:
            own = self._gathered([only], there)
            return _added([body for bodies in own.values() for body in bodies], only=only)
        trees = self._trees
        read = [trees.state_top_saltenv] if trees.state_top_saltenv else self._ordered(there)
        tops = self._gathered(read, there)
        if trees.top_file_merging_strategy == "merge_all":
            return _added([body for bodies in tops.values() for body in bodies], append=True)
        if trees.top_file_merging_strategy == "same":
            return self._same(tops)
        return _merged(tops)

    def pillar_sections(self, environments: Iterable[str], saltenv: str = "") -> Sections:
        """The targets of the pillar's top files: all add, a later one replaces the same target."""
        there = list(environments)
        trees = self._trees
        only = trees.pillarenv or (saltenv if trees.pillarenv_from_saltenv and saltenv != "base" else "")
        if only and only not in there:
            help = "there is " + ", ".join(there)
            raise SlsError(f"'pillarenv' names the environment {only!r}, which does not exist", help=help)
        if not only and trees.pillar_source_merging_strategy == "none":
            only = saltenv if saltenv in there else "base"
        read = [only] if only else self._ordered(there)
        tops = self._gathered(read, there)
        return _added([body for bodies in tops.values() for body in bodies], only=only)

    def _ordered(self, there: list[str]) -> list[str]:
        if self._trees.env_order:
            return [name for name in dict.fromkeys(self._trees.env_order) if name in there]
        return sorted(there, key=lambda name: name != "base")

    def _same(self, tops: dict[str, list[Sections]]) -> Sections:
        """Each environment from its own top file, or from that of `default_top`."""
        whole: Sections = {}
        for environment, bodies in tops.items():
            speaking = bodies or tops.get(self._trees.default_top, [])
            for body in _added(speaking, only=environment).items():
                whole.setdefault(body[0], {}).update(body[1])
        return whole

    def _gathered(self, read: list[str], there: list[str]) -> dict[str, list[Sections]]:
        """The top files of the environments `read`, each with those that it includes."""
        tops: dict[str, list[Sections]] = {}
        for environment in read:
            tops[environment] = []
            if self._session.roots(environment).find("top.sls") is None:
                continue
            done = {"top"}
            waiting = [self._session.document(environment, "top", "top.sls")]
            while waiting:
                document = waiting.pop(0)
                tops[environment].append(self._sections(document, there))
                waiting += self._included(document, done)
        return tops

    def _included(self, document: Document, done: set[str]) -> list[Document]:
        listed = document.data.get("include", [])
        if not isinstance(listed, list):
            where = document.place(line_of(document.data, "include"))
            raise SlsError("'include' in a top file must be a list of SLS names", where=where)
        found = []
        roots = self._session.roots(document.environment)
        for index, pattern in enumerate(listed):
            where = document.place(line_of(listed, index))
            if not isinstance(pattern, str):
                raise SlsError(f"{pattern!r} in 'include' of a top file is no SLS name", where=where)
            for sls in roots.matching_sls(pattern.replace("/", ".")):
                file = roots.sls_file(sls)
                if file is None:
                    help = roots.near(sls, roots.sls_names())
                    raise SlsError(f"there is no top file {sls!r} to include", where=where, help=help)
                if sls not in done:
                    done.add(sls)
                    found.append(self._session.document(document.environment, sls, file))
        return found

    def _sections(self, document: Document, there: list[str]) -> Sections:
        sections: Sections = {}
        for name, targets in document.data.items():
            where = document.place(line_of(document.data, name))
            if name == "include":
                continue
            if name not in there:
                message = f"the top file names the environment {name!r}, which does not exist"
                raise SlsError(message, where=where, help="there is " + ", ".join(there))
            if targets is None:
                continue
            if not isinstance(targets, Map):
                raise SlsError(f"{name!r} in the top file must be a mapping of targets", where=where)
            sections[name] = {
                expression: _entry(document, targets, expression, items) for expression, items in targets.items()
            }
        return sections

    # --- whom they mean -----------------------------------------------------------------------------------------

    def _assigned(self, sections: Sections) -> Iterable[Assigned]:
        found: dict[tuple[str, str], Assigned] = {}
        for environment, body in sections.items():
            for entry in body.values():
                target = self._target(entry)
                if not self._session.matches(target, str(entry.expression), self._subject):
                    continue
                claimed = by_claims(target, self._subject)
                ignore = bool(entry.options().get("ignore_missing"))
                for name, sls, where in self._names(environment, entry):
                    first = found.setdefault((name, sls), Assigned(name, sls, where, claimed, ignore))
                    better = first.by_grains and not claimed
                    if better or (ignore and not first.ignore_missing):
                        by_grains = first.by_grains and claimed
                        found[name, sls] = replace(
                            first, by_grains=by_grains, ignore_missing=ignore or first.ignore_missing
                        )
        return found.values()

    def _target(self, entry: Entry) -> Target:
        kind = str(entry.options().get("match", "compound"))
        if kind not in KINDS:
            help = "there is " + ", ".join(sorted(KINDS))
            message = f"the target {entry.expression!r} has an unknown 'match': {kind!r}"
            raise SlsError(message, where=entry.where, help=help)
        target = parse(str(entry.expression), kind, self._nodegroups)
        if target.problem:
            message = f"the target {entry.expression!r} cannot be read: {target.problem}"
            raise SlsError(message, where=entry.where)
        if self._warn is not None and target.needs_pillar and not self._subject.pillar:
            self._warn(f"{entry.where}: {entry.expression!r} asks for pillar, and there is none yet: it matches nobody")
        return target

    def _names(self, section: str, entry: Entry) -> Iterator[tuple[str, str, Where]]:
        for item, where in entry.items:
            if _is_option(item):
                continue
            environment, name = section, item
            if isinstance(item, Mapping) and len(item) == 1:
                ((environment, name),) = item.items()
            if not isinstance(name, str):
                raise SlsError(f"{name!r} in the top file is no SLS name", where=where)
            pattern = name.replace("/", ".")
            for sls in self._session.roots(environment, where).matching_sls(pattern) or [pattern]:
                yield environment, sls, where


def _entry(document: Document, targets: Map, expression: Any, items: Any) -> Entry:
    where = document.place(line_of(targets, expression))
    if isinstance(items, str):
        return Entry(expression, where, [(items, where)])
    if items is None:
        return Entry(expression, where)
    if not isinstance(items, List):
        raise SlsError(f"the target {expression!r} must have a list of SLS names", where=where)
    return Entry(expression, where, [(item, document.place(line_of(items, index))) for index, item in enumerate(items)])


def _merged(tops: dict[str, list[Sections]]) -> Sections:
    """Salt's `merge`: base speaks for every environment that it names, another for itself when base does not."""
    whole = _added(tops.get("base", []))
    spoken = set(whole)
    for environment, bodies in tops.items():
        if environment != "base" and environment not in spoken:
            for name, targets in _added(bodies, only=environment).items():
                whole.setdefault(name, {}).update(targets)
    return whole


def _added(bodies: Iterable[Sections], *, only: str = "", append: bool = False) -> Sections:
    """All `bodies`, or of each the section `only`; a later entry replaces that of the same target, or is appended."""
    whole: Sections = {}
    for body in bodies:
        for environment, targets in body.items():
            if only and environment != only:
                continue
            section = whole.setdefault(environment, {})
            for expression, entry in targets.items():
                earlier = section.get(expression)
                section[expression] = _appended(earlier, entry) if append and earlier is not None else entry
    return whole


def _appended(earlier: Entry, later: Entry) -> Entry:
    """Both lists of names, each once; the options of the later one, if it has any."""
    options = [pair for pair in later.items if _is_option(pair[0])] or [
        pair for pair in earlier.items if _is_option(pair[0])
    ]
    names = [pair for pair in earlier.items if not _is_option(pair[0])]
    known = [item for item, _ in names]
    names += [pair for pair in later.items if not _is_option(pair[0]) and pair[0] not in known]
    return Entry(earlier.expression, earlier.where, options + names)


def _is_option(item: Any) -> bool:
    return isinstance(item, Mapping) and all(key in _OPTIONS for key in item)
