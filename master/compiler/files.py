"""The files that a call names: `salt://` sources become blobs, templates are rendered here, pillar becomes contents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs

from master.compiler.blobs import Blobs
from master.compiler.high import Argument
from master.compiler.low import Low
from master.compiler.render import Session
from master.compiler.reported import Guard
from master.compiler.watched import look
from master.compiler.yaml import plain
from protocol.assignment import BlobRef
from protocol.errors import SlsError, Where
from states.file.directory import excluded

_SCHEME = "salt://"
_FOR_TEMPLATES = ("template", "context", "defaults")
_TEXTS = frozenset(
    {
        "contents",
        "text",
        "content",
        "repl",
        "unless",
        "onlyif",
        "check_cmd",
        "comment",
        "dataset",
        "env",
        *_FOR_TEMPLATES,
    }
)
"""Arguments whose text is text, even when it begins like a source."""

_RENDERED = ("source", "sources")
"""Arguments whose files are templates, when `template` says so."""

_MISSING = object()


class Files:
    """Finds and renders the files of one compilation into `blobs`, with its pillar and grains. Raises SlsError."""

    def __init__(self, session: Session, data: Mapping[str, Any], guard: Guard, blobs: Blobs) -> None:
        self._session = session
        self._data = data
        self._guard = guard
        self._blobs = blobs

    def attach(self, low: Low) -> dict[str, BlobRef]:
        """The content of every `salt://` source of `low`, whose arguments are changed to what the minion needs."""
        self._contents(low)
        template = self._template(low)
        if low.declaration.state == "file" and low.declaration.fun == "recurse":
            sources = self._folder(low, template)
        else:
            sources = self._sources(low, template)
        if template is not None:
            for name in _FOR_TEMPLATES:
                low.arguments.pop(name, None)
        return sources

    # --- contents ---------------------------------------------------------------------------------------------

    def _contents(self, low: Low) -> None:
        """`contents_pillar` and `contents_grains` become `contents`; `contents` with a template is rendered."""
        for kind in ("pillar", "grains"):
            argument = low.arguments.pop(f"contents_{kind}", None)
            if argument is not None and argument.value is not None:
                low.arguments["contents"] = Argument("contents", self._looked_up(low, kind, argument), argument.where)
        for kind in ("pillar",):
            argument = low.arguments.pop(f"dataset_{kind}", None)
            if argument is not None:
                low.arguments["dataset"] = Argument("dataset", self._looked_up(low, kind, argument), argument.where)
        contents = low.arguments.get("contents")
        if contents is None or not low.arguments.get("template"):
            return
        context = self._context(low, "")
        if isinstance(contents.value, str):
            environment = low.declaration.environment
            text = self._session.text_template(environment, contents.value, context, contents.where)
            low.arguments["contents"] = Argument("contents", text, contents.where)

    def _looked_up(self, low: Low, kind: str, argument: Argument) -> Any:
        paths = argument.value if isinstance(argument.value, list) else [argument.value]
        found = []
        for path in paths:
            value = look(self._data[kind], path, _MISSING)
            if value is _MISSING:
                message = f"{argument.name} of {low.declaration.label} names {path!r}, which the {kind} does not have"
                raise SlsError(message, where=argument.where)
            found.append(value)
        return found[0] if len(found) == 1 else found

    # --- templates --------------------------------------------------------------------------------------------

    def _template(self, low: Low) -> dict[str, Any] | None:
        """The context for the templates of `low`, None when they are no templates."""
        argument = low.arguments.get("template")
        if argument is None or not argument.value:
            return None
        if argument.value != "jinja" and low.declaration.state != "file":
            return None
        if argument.value != "jinja":
            message = f"the template engine {argument.value!r} of {low.declaration.label} is not known"
            raise SlsError(message, where=argument.where, help="write the template in jinja")
        return self._context(low, "")

    def _context(self, low: Low, source: str) -> dict[str, Any]:
        context: dict[str, Any] = {
            "name": low.name,
            "source": source,
            "sls": low.declaration.sls,
            **{name: self._value(low, name) for name in ("user", "group", "mode")},
        }
        for name in ("defaults", "context"):
            value = self._value(low, name)
            if isinstance(value, Mapping):
                context |= value
            elif value is not None:
                where = low.arguments[name].where
                raise SlsError(f"{name!r} of {low.declaration.label} must be a mapping", where=where)
        return {key: self._guard.restored(plain(value)) for key, value in context.items()}

    def _value(self, low: Low, name: str) -> Any:
        argument = low.arguments.get(name)
        return None if argument is None else argument.value

    # --- sources ----------------------------------------------------------------------------------------------

    def _sources(self, low: Low, template: dict[str, Any] | None) -> dict[str, BlobRef]:
        sources: dict[str, BlobRef] = {}
        source = low.arguments.get("source")
        if source is not None and isinstance(source.value, list):
            low.arguments["source"] = Argument("source", self._first(low, source), source.where)
        for name, argument in low.arguments.items():
            if name not in _TEXTS:
                for text in _urls(argument.value):
                    context = template if name in _RENDERED else None
                    sources[text] = self._blob(low, argument.where, text, context)
        if low.name.startswith(_SCHEME) and source is None:
            sources[low.name] = self._blob(low, low.declaration.where, low.name, template)
        return {self._guard.text(text): ref for text, ref in sources.items()}

    def _first(self, low: Low, source: Argument) -> list[Any]:
        """What may be used of a list of sources: those before the first that the roots have, and that one."""
        kept: list[Any] = []
        looked: list[str] = []
        for item in source.value:
            text = str(next(iter(item))) if isinstance(item, dict) and item else str(item)
            if not text.startswith(_SCHEME):
                kept.append(item)
                continue
            environment, path = self._parsed(low, text)
            if self._session.roots(environment, source.where).find(path) is not None:
                return [*kept, text]
            looked.append(text)
        if kept or not looked:
            return kept
        message = f"none of the sources of {low.declaration.label} is there"
        raise SlsError(message, where=source.where, help="looked for " + ", ".join(looked))

    def _blob(self, low: Low, where: Where, text: str, template: dict[str, Any] | None) -> BlobRef:
        environment, path = self._parsed(low, text)
        roots = self._session.roots(environment, where)
        found = roots.find(path)
        if found is None:
            help = roots.near(path, roots.files_under(str(PurePosixPath(path).parent)))
            message = f"there is no file {text} for {low.declaration.label}"
            raise SlsError(message, where=where, help=help)
        if template is None:
            ref = self._blobs.file(found)
            roots.blob(path, ref.digest)
            return ref
        context = template | {"source": self._guard.text(text)}
        return self._blobs.text(self._session.file_template(environment, path, context))

    def _folder(self, low: Low, template: dict[str, Any] | None) -> dict[str, BlobRef]:
        """The files of a `file.recurse`, each as `<source>/<path below it>`."""
        source = low.arguments.get("source")
        if source is None or not isinstance(source.value, str) or not source.value.startswith(_SCHEME):
            where = source.where if source is not None else low.declaration.where
            raise SlsError(f"{low.declaration.label} needs a 'source' that begins with salt://", where=where)
        environment, path = self._parsed(low, source.value.rstrip("/"))
        names = self._session.roots(environment, source.where).files_under(path)
        if not names:
            message = f"there are no files in {source.value} for {low.declaration.label}"
            raise SlsError(message, where=source.where)
        prefix = self._guard.text(source.value.partition("?")[0].rstrip("/"))
        included, left_out = self._value(low, "include_pat"), self._value(low, "exclude_pat")
        sources: dict[str, BlobRef] = {}
        for name in names:
            relative = name.removeprefix(path).lstrip("/")
            if excluded(relative, ".", left_out) or (included and not excluded(relative, ".", included)):
                continue
            key = f"{_SCHEME}{name}" + (f"?saltenv={environment}" if environment != low.declaration.environment else "")
            sources[f"{prefix}/{relative}"] = self._blob(low, source.where, key, template)
        return sources

    def _parsed(self, low: Low, text: str) -> tuple[str, str]:
        """Environment and path of a `salt://path?saltenv=environment`; without one, that of the declaring file."""
        path, _, query = self._guard.text(text).removeprefix(_SCHEME).partition("?")
        own = low.declaration.environment
        environment = parse_qs(query).get("saltenv", [own])[0] if query else own
        return environment, path.lstrip("/")


def _urls(value: Any) -> list[str]:
    """Every `salt://` string in `value`."""
    if isinstance(value, str):
        return [value] if value.startswith(_SCHEME) else []
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _urls(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _urls(item)]
    return []
