"""One compilation's rendering: SLS files to data, templates to text, and failures to errors that name file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import jinja2

from master.compiler.gpg import decrypted
from master.compiler.jinja import Environment, Rendered, file_context, render, render_text, text_name
from master.compiler.outward import Outward
from master.compiler.pysls import run
from master.compiler.renderers import Pipe, config_part, pipe
from master.compiler.reported import Guard
from master.compiler.roots import FileRoots
from master.compiler.stateconf import Parameters, prepared
from master.compiler.yaml import Map, load_json, load_shared
from protocol.errors import SlsError, StackmasterError, Where
from protocol.secrets import Scrubber
from protocol.target import Subject, Target
from protocol.yamlnodes import YamlError

_FAILURES = (
    jinja2.TemplateError,
    StackmasterError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    re.error,
)
"""What a template can raise: Jinja's errors, ours from the functions it calls, and Python's from what it computes."""


@dataclass(frozen=True, slots=True)
class Document:
    """One rendered SLS file: `file` in the roots of `environment`, its data (shared, not to be changed), and how
    lines lead back."""

    sls: str
    environment: str
    file: str
    data: Map
    rendered: Rendered

    def place(self, line: int) -> Where:
        """The place in the file behind line `line` of the rendered text."""
        return Where(self.file, self.rendered.line(line) if line else 0)


class Session:
    """Renders for one minion with one context (`grains`, `pillar`, `salt`, `opts`); nothing in it outlives it.

    `roots` are the file roots by environment; `outward` is what templates may ask; `learn` is told each text that was
    decrypted; `scrubber` hides secrets in the excerpts of errors. With `allow_py`, files may be Python code.
    """

    def __init__(
        self,
        roots: Mapping[str, FileRoots],
        context: Mapping[str, Any],
        scrubber: Scrubber,
        *,
        guard: Guard,
        outward: Outward,
        learn: Callable[[str], None],
        allow_py: bool = False,
    ) -> None:
        self._roots = roots
        self._context = context
        self._scrubber = scrubber
        self._guard = guard
        self._outward = outward
        self._learn = learn
        self._allow_py = allow_py
        self._parameters = Parameters()
        self._environments: dict[tuple[str, bool], Environment] = {}

    def roots(self, environment: str, where: Where | None = None) -> FileRoots:
        """The file roots of `environment`. Raises SlsError when there is none."""
        found = self._roots.get(environment)
        if found is None:
            help = "there is " + ", ".join(sorted(self._roots))
            raise SlsError(f"there is no environment {environment!r}", where=where, help=help)
        return found

    @property
    def data(self) -> Mapping[str, Any]:
        """Pillar and grains as templates see them."""
        return {name: self._context[name] for name in ("pillar", "grains")}

    def matches(self, target: Target, given: Any, subject: Subject) -> bool:
        """Whether `target`, read from the expression `given`, means the subject."""
        return self._outward.reads.matches(target, given, subject)

    def restored(self, data: Any) -> Any:
        """`data` of a document with what minions reported put back in its place."""
        return self._guard.restored(data)

    def document(self, environment: str, sls: str, file: str, extra: Mapping[str, Any] | None = None) -> Document:
        """The SLS `sls`, which is `file`, rendered and read. Raises SlsError."""
        source = self.roots(environment).read(file)
        if source is None:
            raise SlsError(f"the file {file} has gone", where=Where(file))
        through = pipe(file, source)
        context = self._for_file(environment, file, sls) | dict(extra or {})
        if through.kind == "py":
            return Document(sls, environment, file, self._python(file, sls, source, context), Rendered("", file, ()))
        if through.stateconf is not None:
            return self._stateconf(environment, sls, file, source, through, context)
        rendered = self._text(environment, file, source, through, context)
        return Document(sls, environment, file, self._read(sls, rendered, through), rendered)

    def _text(self, environment: str, file: str, source: str, through: Pipe, context: Mapping[str, Any]) -> Rendered:
        if through.jinja:
            return self._rendered(environment, file, source, context)
        text = source if through.kind == "yaml" else _without_first(source)
        return Rendered(text, file, tuple(range(1, text.count("\n") + 2)))

    def _read(self, sls: str, rendered: Rendered, through: Pipe) -> Map:
        data = self._data(sls, rendered, through.kind)
        if not through.gpg:
            return data
        try:
            read: Map = decrypted(data, self._outward.decrypt, self._learn)
        except SlsError as error:
            raise SlsError(self._shown(error.message), where=Where(rendered.file), help=error.help) from None
        return read

    def _python(self, file: str, sls: str, source: str, context: Mapping[str, Any]) -> Map:
        if not self._allow_py:
            help = "set allow_py_renderer in the master's settings, if whoever writes this tree may run code there"
            raise SlsError("files that are Python code are not allowed", where=Where(file, 1), help=help)
        self._outward.once()
        return self._mapping(sls, run(file, source, context), Rendered("", file, (1,)))

    def _stateconf(
        self, environment: str, sls: str, file: str, source: str, through: Pipe, context: Mapping[str, Any]
    ) -> Document:
        options = through.stateconf
        assert options is not None
        for text in (config_part(source), source):
            if text is None:
                continue
            given = {"sls_dir": context["slspath"], **context, **self._parameters.names(sls)}
            rendered = self._rendered(environment, file, text, given, whole=text is source)
            data = deepcopy(self._data(sls, rendered, "yaml"))
            try:
                data = prepared(data, sls, options, self._parameters, extracting=text is not source)
            except SlsError as error:
                raise SlsError(self._shown(error.message), where=Where(file, 1), help=error.help) from None
        return Document(sls, environment, file, data, rendered)

    def file_template(self, environment: str, file: str, extra: Mapping[str, Any]) -> str:
        """The template `file` as text that is no YAML: a configuration file. Raises SlsError."""
        context = self._for_file(environment, file, "") | dict(extra)
        try:
            return render_text(self._environment(environment, False).get_template(file), context)
        except _FAILURES as error:
            raise self._failure(error, file) from None

    def text_template(self, environment: str, text: str, extra: Mapping[str, Any], where: Where) -> str:
        """Template text that a state holds (`contents`), rendered. Raises SlsError at `where`."""
        context = self._for_file(environment, where.file, "") | dict(extra)
        try:
            template = self._environment(environment, False).from_string(text)
            template.name = text_name(text)
            return render_text(template, context)
        except _FAILURES as error:
            failure = self._failure(error, where.file)
            raise SlsError(failure.message, where=where, help=failure.help) from None

    def _for_file(self, environment: str, file: str, sls: str) -> dict[str, Any]:
        return {**self._context, "saltenv": environment, "env": environment, **file_context(file, sls)}

    def _environment(self, environment: str, into_yaml: bool) -> Environment:
        key = environment, into_yaml
        if key not in self._environments:
            guard = self._guard if into_yaml else None
            self._environments[key] = Environment(self.roots(environment), guard, self._outward)
        return self._environments[key]

    def _rendered(
        self, environment: str, file: str, source: str, context: Mapping[str, Any], whole: bool = True
    ) -> Rendered:
        try:
            known = self._environment(environment, True)
            template = known.get_template(file) if whole else known.from_string(source)
            template.name = file
            return render(template, context, source)
        except _FAILURES as error:
            raise self._failure(error, file) from None

    def _data(self, sls: str, rendered: Rendered, kind: str) -> Map:
        if kind == "text":
            return self._mapping(sls, rendered.text, rendered)
        try:
            data = (
                load_json(_without_first(rendered.text), rendered.file)
                if kind == "json"
                else load_shared(rendered.text, rendered.file)
            )
        except YamlError as error:
            raise self._yaml_failure(error, rendered) from None
        return self._mapping(sls, data, rendered)

    def _mapping(self, sls: str, data: Any, rendered: Rendered) -> Map:
        if data is None:
            return Map()
        if not isinstance(data, Map):
            kind = "a list" if isinstance(data, list) else f"the value {str(data)[:40]!r}"
            message = f"{sls} must hold a mapping of ids, and is {kind}"
            raise SlsError(self._shown(message), where=Where(rendered.file, rendered.line(1)))
        return data

    def _yaml_failure(self, error: YamlError, rendered: Rendered) -> SlsError:
        number = error.where.line
        if not number:
            return SlsError(error.message, where=error.where, help=error.help)
        lines = rendered.text.split("\n")
        excerpt = "\n".join(
            f"  {'>' if at == number else ' '} {at:4} | {self._shown(lines[at - 1])[:160]}"
            for at in range(max(1, number - 1), min(len(lines), number + 1) + 1)
        )
        end = "\n " if error.help else ""
        told = f"{self._shown(error.message)}; line {number} of the rendered text of {rendered.file}"
        message = f"{told}:\n{excerpt}{end}"
        return SlsError(message, where=Where(rendered.file, rendered.line(number)), help=error.help)

    def _failure(self, error: Exception, file: str) -> SlsError:
        where = _place(error, file)
        if isinstance(error, jinja2.TemplateNotFound):
            name = str(error.name or "")
            return SlsError(f"there is no file {name!r} to import", where=where, help=self._beside(name))
        if isinstance(error, jinja2.TemplateSyntaxError):
            return SlsError(f"template syntax: {self._shown(error.message or '')}", where=where)
        if isinstance(error, jinja2.UndefinedError):
            return SlsError(f"undefined in a template: {self._shown(str(error.message))}", where=where)
        if isinstance(error, StackmasterError):
            message = f"{error.where}: {error.message}" if isinstance(error, YamlError) else error.message
            return SlsError(self._shown(message), where=where, help=error.help)
        if isinstance(error, RecursionError):
            return SlsError("the template calls or includes itself without end", where=where)
        kind = "" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: "
        return SlsError(f"template: {kind}{self._shown(str(error))[:500]}", where=where)

    def _beside(self, name: str) -> str:
        roots = next(iter(self._roots.values()), None)
        folder = name.rpartition("/")[0]
        if roots is None:
            return ""
        return roots.near(name, roots.files_under(folder)) if folder else ""

    def _shown(self, text: str) -> str:
        return self._scrubber.text(self._guard.text(text))


def _without_first(source: str) -> str:
    """The text with its renderer line left empty."""
    return "\n" + source.partition("\n")[2] if source.startswith("#!") else source


def _place(error: Exception, file: str) -> Where:
    """The innermost template line that `error` went through."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return Where(error.name or file, error.lineno)
    found = Where(file)
    step: TracebackType | None = error.__traceback__
    while step is not None:
        template = step.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, jinja2.Template):
            found = Where(str(template.name), template.get_corresponding_lineno(step.tb_lineno))
        step = step.tb_next
    return found
