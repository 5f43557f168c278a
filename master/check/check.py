"""The check of a state tree: every SLS file compiled for every sample, top files and pillar too, and the text read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from master.check.findings import Finding, Findings, Severity, code_of, column_of
from master.check.limits import SECONDS, bounded_memory, limited
from master.check.samples import Guesses, Sample
from master.check.text import included_names, scanned, secret_line
from master.compiler.compile import Examined, compile_pillar, examine, examine_tops
from master.compiler.low import Low
from master.compiler.request import CompilerOptions, Request, Roots
from master.compiler.roots import FileRoots
from master.compiler.several import apart
from master.compiler.sls import full_name
from master.compiler.top import TopTarget
from master.compiler.trust import rests_on_claims
from protocol.data import Data
from protocol.errors import SlsError, TargetError, Where
from protocol.target import check as check_target
from protocol.target import parse

_MOST_TEXT: Final = 1024 * 1024
_AFTER_GUESSES: Final = ("render", "import", "yaml", "sls", "include")
"""Errors that another answer of the minion might have spared."""
_GUESSED: Final = "a guess stands in for what the minion would answer"


@dataclass(frozen=True, slots=True)
class Tree:
    """What is checked: the folders of states and pillar, pillar that is given, node groups, and what to leave out.

    `seconds` of processor time are for one file and one sample.
    """

    states: tuple[Path, ...]
    pillar: tuple[Path, ...] = ()
    overlaid: Mapping[str, Data] = field(default_factory=dict)
    nodegroups: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    seconds: float = SECONDS


@dataclass(slots=True)
class Report:
    """What a check comes to."""

    findings: Findings
    files: int = 0
    samples: tuple[str, ...] = ()


def check_tree(tree: Tree, samples: Sequence[Sample]) -> Report:
    """Check `tree` with `samples`. What is wrong with it is in the report; nothing is raised for it."""
    with bounded_memory():
        return _Check(tree, samples).report()


class _Check:
    def __init__(self, tree: Tree, samples: Sequence[Sample]) -> None:
        self._tree = tree
        self._samples = samples
        self._roots = FileRoots(tree.states, "base")
        self._pillar_roots = FileRoots(tree.pillar, "base")
        self._findings = Findings(len(samples))
        self._lines: dict[tuple[str, bool], list[str]] = {}
        self._declared: set[tuple[str, str]] = set()
        self._unanswered: list[tuple[SlsError, tuple[str, str], str]] = []
        self._reached: set[str] = set()
        self._rendered: set[str] = set()
        self._without_pillar: set[str] = set()
        self._inclusions: dict[tuple[str, int], set[str]] = {}

    def report(self) -> Report:
        """Everything that is found."""
        names = [name for name in self._roots.sls_names() if self._wanted(name)]
        self._texts()
        self._top_files()
        for sample in self._samples:
            pillar = self._pillar(sample)
            for name in names:
                self._file(name, sample, pillar)
        self._requisites()
        self._includes(names)
        return Report(self._findings, len(names), tuple(sample.name for sample in self._samples))

    def _wanted(self, name: str) -> bool:
        file = self._roots.sls_file(name) or name
        if any(fnmatchcase(file, pattern) or fnmatchcase(name, pattern) for pattern in self._tree.exclude):
            return False
        return not self._tree.only or any(fnmatchcase(name, pattern) for pattern in self._tree.only)

    # --- text ---------------------------------------------------------------------------------------------------

    def _texts(self) -> None:
        for roots, states in ((self._roots, True), (self._pillar_roots, False)):
            for file in roots.files_under(""):
                if any(fnmatchcase(file, pattern) for pattern in self._tree.exclude):
                    continue
                text = self._text(roots, file)
                for finding in scanned(file, text, states=states):
                    self._add(replace(finding, file=self._shown(file, pillar=not states)))

    def _text(self, roots: FileRoots, file: str) -> str:
        """The text of a file; nothing of one that is large or no text."""
        path = roots.find(file)
        if path is None or path.stat().st_size > _MOST_TEXT:
            return ""
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    # --- compiling ----------------------------------------------------------------------------------------------

    def _request(self, sample: Sample, **more: Any) -> Request:
        roots = Roots(
            {"base": self._tree.states}, {"base": self._tree.pillar} if more.pop("with_pillar", False) else {}
        )
        options = CompilerOptions(strict_requisites=False, all_pillar=not sample.given)
        return Request(sample.id, sample.grains, roots, nodegroups=self._tree.nodegroups, options=options, **more)

    def _pillar(self, sample: Sample) -> Mapping[str, Data]:
        """The pillar of a sample: what its targets give a given one, and all of it a made-up one."""
        if not self._tree.pillar:
            return self._tree.overlaid
        try:
            with limited(self._tree.seconds):
                return compile_pillar(self._request(sample, with_pillar=True, pillar_override=self._tree.overlaid))
        except SlsError as error:
            for each in apart(error):
                self._error(each, sample, pillar=True)
            self._without_pillar.add(sample.name)
        return self._tree.overlaid

    def _file(self, name: str, sample: Sample, pillar: Mapping[str, Data]) -> None:
        guesses = Guesses()
        request = self._request(sample, sls=(name,), pillar_override=pillar)
        try:
            with limited(self._tree.seconds):
                found = self._examined(request, guesses)
        except SlsError as error:
            for each in apart(error):
                self._error(each, sample, guesses, name=name)
            return
        for each in found.errors:
            if code_of(each) == "requisite.missing":
                self._unanswered.append((each, _named(each, found.lows), sample.name))
            else:
                self._error(each, sample, guesses, name=name)
        self._learn(found)

    def _examined(self, request: Request, guesses: Guesses) -> Examined:
        """The compilation as states of a minion, or as an orchestration if it is one."""
        found = examine(request, guesses)
        if any("is a step of an orchestration" in error.message for error in found.errors):
            return examine(replace(request, states="master"), guesses)
        return found

    def _learn(self, found: Examined) -> None:
        for low in found.lows:
            for name in (low.name, low.declaration.id):
                self._declared |= {(low.declaration.state, name), ("id", name)}
        self._rendered.update(found.high.files.values())
        for where, names in found.high.inclusions:
            self._inclusions.setdefault((where.file, where.line), set()).update(names)
            self._reached.update(names)

    def _error(
        self, error: SlsError, sample: Sample, guesses: Guesses | None = None, *, pillar: bool = False, name: str = ""
    ) -> None:
        severity: Severity = "error"
        help, code = error.help, code_of(error)
        if guesses is not None and guesses.asked and code.startswith(_AFTER_GUESSES):
            severity = "warning"
            help = f"{help}; " if help else ""
            help += f"{_GUESSED} ({', '.join(sorted(guesses.asked))})"
        if sample.name in self._without_pillar and not pillar and code == "render.undefined":
            severity, help = "warning", "the pillar could not be compiled"
        where = error.where
        if not where.file:
            where = Where((self._pillar_roots if pillar else self._roots).sls_file(name) or "top.sls")
        self._add(self._finding(error.message, where, severity, code, help, pillar), sample.name)

    def _finding(
        self, message: str, where: Where, severity: Severity, code: str, help: str = "", pillar: bool = False
    ) -> Finding:
        column = where.column or column_of(message, self._line(where.file, where.line, pillar))
        return Finding(self._shown(where.file, pillar), where.line, column, severity, code, message, help)

    def _add(self, finding: Finding, sample: str = "") -> None:
        self._findings.add(finding, sample)

    def _shown(self, file: str, pillar: bool = False) -> str:
        """The file as it is opened from here."""
        found = (self._pillar_roots if pillar else self._roots).find(file) if file else None
        if found is None:
            return file
        here = Path.cwd()
        return str(found.relative_to(here)) if found.is_relative_to(here) else str(found)

    def _line(self, file: str, number: int, pillar: bool) -> str:
        if (file, pillar) not in self._lines:
            roots = self._pillar_roots if pillar else self._roots
            self._lines[file, pillar] = self._text(roots, file).split("\n") if file else []
        lines = self._lines[file, pillar]
        return lines[number - 1] if 0 < number <= len(lines) else ""

    # --- what only the whole tree can tell ----------------------------------------------------------------------

    def _top_files(self) -> None:
        """The targets of the top files, and what they name."""
        for of, roots in (("states", self._roots), ("pillar", self._pillar_roots)):
            pillar = of == "pillar"
            if roots.find("top.sls") is None:
                continue
            request = self._request(self._samples[0], with_pillar=True)
            try:
                targets = examine_tops(request, "pillar" if pillar else "states")
            except SlsError as error:
                self._error(error, self._samples[0], pillar=pillar, name="top")
                continue
            for target in targets:
                self._target(target, roots, pillar)

    def _target(self, target: TopTarget, roots: FileRoots, pillar: bool) -> None:
        groups = self._tree.nodegroups
        try:
            check_target(target.expression, target.kind, groups)
        except TargetError as error:
            unknown = "there is no nodegroup" in error.message and not groups
            help = "give the node groups with --nodegroups FILE" if unknown else error.help
            severity: Severity = "hint" if unknown else "error"
            self._add(
                self._finding(f"{target.expression!r}: {error.message}", target.where, severity, "target", help, pillar)
            )
        if target.error is not None and not target.error.message.startswith("the target"):
            self._error(target.error, self._samples[0], pillar=pillar)
        claims = pillar and rests_on_claims(parse(target.expression, target.kind, groups))
        for _, sls, where in target.gives:
            self._reached.add(sls)
            if claims:
                self._claimed(target, sls, where)
            if roots.sls_file(sls) is None:
                message = f"the top file names {sls!r}, which is not there"
                help = roots.near(sls, roots.sls_names())
                self._add(self._finding(message, where, "error", "top.missing", help, pillar))

    def _claimed(self, target: TopTarget, sls: str, where: Where) -> None:
        """A pillar file with a secret that a target gives by what minions report of themselves."""
        file = self._pillar_roots.sls_file(sls) or ""
        line = secret_line(self._text(self._pillar_roots, file)) if file else 0
        if line:
            message = (
                f"{target.expression!r} gives {sls!r}, which holds a secret ({file}:{line}), by what minions report"
            )
            help = "assign it by id, list or node group"
            self._add(self._finding(message, where, "warning", "pillar.claimed", help, pillar=True))

    def _requisites(self) -> None:
        """References that nothing answers to: an error, unless some file that is not included declares it."""
        for error, named, sample in self._unanswered:
            elsewhere = named in self._declared
            severity: Severity = "warning" if elsewhere else "error"
            help = "another file declares it: include that one" if elsewhere else error.help
            self._add(self._finding(error.message, error.where, severity, "requisite.missing", help), sample)

    def _includes(self, names: list[str]) -> None:
        for name in names:
            file = self._roots.sls_file(name) or ""
            for line, pattern in included_names(self._text(self._roots, file)):
                self._include(name, file, line, pattern)
        if self._roots.find("top.sls") is None:
            return
        for name in names:
            if name not in self._reached:
                message = f"neither the top file nor an include names {name!r}"
                self._add(self._finding(message, Where(self._roots.sls_file(name) or "", 1), "hint", "sls.unreached"))

    def _include(self, name: str, file: str, line: int, pattern: str) -> None:
        if (file, line) in self._inclusions:
            if not self._inclusions[file, line]:
                message = f"no SLS matches the include {pattern!r}"
                self._add(self._finding(message, Where(file, line), "warning", "include.empty"))
            return
        full = full_name(pattern, name, file)
        if full is None or not (self._roots.matching_sls(full) and self._exists(full)):
            message = f"there is no SLS {full or pattern!r} to include"
            help = "no sample comes to this line"
            self._add(self._finding(message, Where(file, line), "warning", "include.missing", help))
        elif file in self._rendered:
            message = f"no sample comes to the include of {pattern!r}"
            self._add(self._finding(message, Where(file, line), "hint", "include.unreached"))

    def _exists(self, name: str) -> bool:
        return any(self._roots.sls_file(each) is not None for each in self._roots.matching_sls(name))


def _named(error: SlsError, lows: Iterable[Low]) -> tuple[str, str]:
    """The module and name of the reference that `error` is about."""
    for low in lows:
        for reference in low.references:
            if reference.where == error.where and f"names {reference}," in error.message:
                return reference.module, reference.value
    return "", ""
