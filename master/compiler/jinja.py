"""Jinja as Salt sets it up, sandboxed: undefined names are errors, files come from the roots, lines are traceable."""

from __future__ import annotations

import hashlib
import posixpath
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar

import jinja2
from jinja2 import nodes
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, Macro
from jinja2.sandbox import SandboxedEnvironment

from master.compiler.filters import ENCODERS, FILTERS, TESTS
from master.compiler.filters.outside import Outside, outside_filters
from master.compiler.lexer import DecimalLexer
from master.compiler.missing import Missing
from master.compiler.printing import printable
from master.compiler.reported import Guard, holds_reported, mark
from master.compiler.roots import FileRoots
from master.compiler.tags import DataTags
from protocol.secrets import Secret

MAX_RENDERED = 16 * 1024 * 1024
"""Characters of one rendered file."""

_LONGEST_COMMENT = 200
"""Lines that a comment within literal text may take before lines are no longer traced exactly."""

PYTHON2 = {
    "iteritems": "items",
    "itervalues": "values",
    "iterkeys": "keys",
    "viewitems": "items",
    "viewvalues": "values",
    "viewkeys": "keys",
    "has_key": "__contains__",
}
"""Methods of mappings that formulas of the Python 2 time call, and what they are today."""


class _Code(CodeGenerator):
    """Notes the line of every piece of output, and joins with `~` through the environment."""

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        self.newline(node)
        super().visit_Output(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for item in node.nodes:
            self.visit(item, frame)
            self.write(", ")
        self.write("))")


class _Loader(jinja2.BaseLoader):
    def __init__(self, roots: FileRoots) -> None:
        self._roots = roots

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        text = self._roots.read(template)
        if text is None:
            raise jinja2.TemplateNotFound(template)
        return text, template, lambda: True


class _CodeCache(BytecodeCache):
    """Compiled templates of this process, by name and content; the newest 1000 are kept."""

    _kept: ClassVar[OrderedDict[str, Any]] = OrderedDict()

    def load_bytecode(self, bucket: Bucket) -> None:
        code = self._kept.get(bucket.key + bucket.checksum)
        if code is not None:
            self._kept.move_to_end(bucket.key + bucket.checksum)
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key + bucket.checksum] = bucket.code
        if len(self._kept) > 1000:
            self._kept.popitem(last=False)


class Environment(SandboxedEnvironment):
    """One compilation's Jinja environment.

    With a `guard`, what is printed goes into YAML text: Reported strings are printed as tokens. Mappings and lists
    may be changed by templates (formulas call `update` and `append`), so each compilation gets copies of its own.
    """

    code_generator_class = _Code
    intercepted_binops = frozenset({"%"})

    def __init__(self, roots: FileRoots, guard: Guard | None, outside: Outside) -> None:
        super().__init__(
            loader=_Loader(roots),
            bytecode_cache=_CodeCache(),
            undefined=Missing,
            finalize=printable if guard is None else lambda value: printable(guard.printed(value)),
            extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols", DataTags],
            keep_trailing_newline=True,
            auto_reload=False,
        )
        self._guard = guard
        self.globals.pop("lipsum", None)
        self.globals |= {"raise": _raise, "odict": OrderedDict, "show_full_context": _context}
        self.filters |= FILTERS
        self.filters |= outside_filters(outside)
        self.filters["method_call"] = _method_call
        self.tests |= TESTS
        if guard is not None:
            self._mark_results(guard)

    @property
    def lexer(self) -> DecimalLexer:
        """The lexer, which takes numbers with leading zeros."""
        return DecimalLexer.of(self)

    @property
    def _reported(self) -> bool:
        """Whether Reported strings may be about, and must be followed."""
        return self._guard is not None and self._guard.active

    def join_path(self, template: str, parent: str) -> str:
        """Where `template` lies: `./x` and `../x` are beside `parent`, all else is below the roots."""
        if template.startswith(("./", "../")):
            return posixpath.normpath(posixpath.join(posixpath.dirname(parent), template))
        return template.removeprefix("salt://")

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Attribute or item `attribute`; mappings also have the methods of Python 2."""
        if attribute in PYTHON2 and isinstance(obj, Mapping) and attribute not in obj:
            return getattr(obj, PYTHON2[attribute])
        return super().getattr(obj, attribute)

    def joined(self, parts: tuple[Any, ...]) -> Any:
        """The parts of `a ~ b` as one string."""
        text = "".join([part.reveal() if isinstance(part, Secret) else str(part) for part in parts])
        return mark(text) if self._reported and holds_reported(parts) else text

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call `__obj` if it is safe; what a function makes of Reported strings stays Reported."""
        result = super().call(__context, __obj, *args, **kwargs)
        if __self._reported and not isinstance(__obj, Macro) and (holds_reported(args) or holds_reported(kwargs)):
            return mark(result)
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`left % right`, Reported when it formats a Reported string."""
        result = super().call_binop(context, operator, left, right)
        return mark(result) if self._reported and holds_reported(right) else result

    def _mark_results(self, guard: Guard) -> None:
        for name, call in list(self.filters.items()):
            if name in ("load_yaml", "load_json"):
                self.filters[name] = _restoring(call, guard)
            elif name not in ENCODERS:
                self.filters[name] = _marking(call, guard)


@jinja2.pass_context
def _method_call(context: Context, obj: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """The result of a method by its name, None when there is none; the sandbox's rules hold."""
    method = context.environment.getattr(obj, name)
    if isinstance(method, jinja2.Undefined):
        return None
    return context.call(method, *args, **kwargs)


@jinja2.pass_context
def _context(context: Context) -> dict[str, Any]:
    """Every simple value that the template knows by name."""
    simple = (str, int, float, bool, list, dict, tuple, type(None))
    return {name: value for name, value in context.get_all().items() if isinstance(value, simple)}


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _marking(call: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @wraps(call)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        if not guard.active:
            return result
        return mark(result) if holds_reported(args) or holds_reported(kwargs) else result

    return filtered


def _restoring(call: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @wraps(call)
    def filtered(value: Any) -> Any:
        result = guard.restored(call(value))
        return mark(result) if guard.active and holds_reported([value]) else result

    return filtered


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rendered text; `lines[n]` is the line of `file` that line n + 1 of the text comes from."""

    text: str
    file: str
    lines: tuple[int, ...]

    def line(self, number: int) -> int:
        """The template's line behind line `number` (from 1) of the text."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else (self.lines[-1] if self.lines else 0)


def render(template: jinja2.Template, context: Mapping[str, Any], source: str) -> Rendered:
    """What `template` (of text `source`) gives with `context`. Raises what the template raises."""
    tracer = _Tracer(template, source)
    pieces: list[str] = []
    output = template.root_render_func(template.new_context(dict(context)))
    for piece in _bounded(output):
        frame = getattr(output, "gi_frame", None)
        tracer.add(piece, frame.f_lineno if frame is not None else 0)
        pieces.append(piece)
    return Rendered("".join(pieces), str(template.name), tracer.lines())


def render_text(template: jinja2.Template, context: Mapping[str, Any]) -> str:
    """What `template` gives with `context`, without its lines. Raises what the template raises."""
    return "".join(_bounded(template.root_render_func(template.new_context(dict(context)))))


def _bounded(output: Iterable[str]) -> Iterator[str]:
    size = 0
    for piece in output:
        size += len(piece)
        if size > MAX_RENDERED:
            raise jinja2.TemplateError(f"the rendered text is longer than {MAX_RENDERED} characters")
        yield piece


class _Tracer:
    """Follows which line of the template each line of the output comes from."""

    def __init__(self, template: jinja2.Template, source: str) -> None:
        self._source = source.split("\n")
        pairs = sorted((code, line) for line, code in template.debug_info)
        self._codes = [code for code, _ in pairs]
        self._origins = [line for _, line in pairs]
        constants = getattr(template.root_render_func, "__code__", None)
        self._literals = frozenset(map(id, constants.co_consts)) if constants is not None else frozenset()
        self._lines = [0]

    def add(self, piece: str, code_line: int) -> None:
        """Note a piece of output made at line `code_line` of the compiled template."""
        position = bisect_right(self._codes, code_line) - 1
        origin = self._origins[position] if position >= 0 else 1
        if "\n" not in piece:
            if piece and not self._lines[-1]:
                self._lines[-1] = origin
            return
        first, *parts = piece.split("\n")
        if first and not self._lines[-1]:
            self._lines[-1] = origin
        literal = id(piece) in self._literals
        for part in parts:
            if literal:
                origin = self._found(part, origin)
            self._lines.append(origin if part else 0)

    def lines(self) -> tuple[int, ...]:
        """The origins of all lines; an empty line is where the line before it was."""
        last = 1
        for number, line in enumerate(self._lines):
            last = self._lines[number] = line or last
        return tuple(self._lines)

    def _found(self, part: str, origin: int) -> int:
        """The line below `origin` that holds the literal text `part`: the next one, unless a comment lies between."""
        if part.strip():
            for index in range(origin, min(origin + _LONGEST_COMMENT, len(self._source))):
                if part in self._source[index]:
                    return index + 1
        return min(origin + 1, len(self._source))


def file_context(file: str, sls: str) -> dict[str, str]:
    """The names that a template of the tree gets about itself (`tpldir`, `slspath`, …), as Salt gives them."""
    folder = posixpath.dirname(file)
    return {
        "sls": sls,
        "tplroot": folder.partition("/")[0] or ".",
        "tplpath": file,
        "tplfile": file,
        "tpldir": folder or ".",
        "tpldot": folder.replace("/", "."),
        "slspath": folder,
        "slsdotpath": folder.replace("/", "."),
        "slscolonpath": folder.replace("/", ":"),
        "sls_path": folder.replace("/", "_"),
    }


def text_name(text: str) -> str:
    """A name for template text that is in no file."""
    return "text " + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
