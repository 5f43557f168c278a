"""YAML text as checked nodes: one document, no object tags, no repeated key, bounded in size, depth and aliases."""

from __future__ import annotations

import re
from typing import Final

import yaml

from protocol.errors import InputError, Where

MAX_TEXT: Final = 4 * 1024 * 1024
"""Characters of one document: a pillar of a whole cloud is a tenth of it."""

MAX_DEPTH: Final = 28
"""Nesting of one document: what an assignment carries must stay within `protocol.limits.MAX_DEPTH` of a message."""

MAX_NODES: Final = 200_000
"""Keys and values of one document once every alias is written out (a "billion laughs" has 10^9)."""

_UNCHECKED_DEPTH: Final = 2000
"""The composer of libyaml recurses on the C stack; text that may nest deeper is measured before it is composed."""

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp", "value")
)
_INDENTATION = re.compile(r"^[ \-?:]+", re.MULTILINE)

_HINTS: Final = {
    "mapping values are not allowed in this context": "quote a value that holds ': ', or check the indentation",
    "found character that cannot start any token": "indent with spaces, not tabs; quote what begins with @ or %",
    "could not find expected ':'": "a ':' is missing after a key, or the line is indented too little",
    "did not find expected key": "check the indentation and the quotes of this line and of the one before",
    "did not find expected '-' indicator": "the items of a list must begin in the same column",
}


class YamlError(InputError):
    """Text that is not YAML, or YAML that is refused."""

    code = "yaml"


def compose(text: str, file: str) -> yaml.Node | None:
    """The one document in `text` as nodes, None when it is empty; `file` is named in errors.

    Raises YamlError with file, line and column: for a syntax error, a second document, a tag that would build an
    object, a repeated or composite key, an alias of what holds it, and for text, depth or written-out aliases
    beyond the limits above.
    """
    if len(text) > MAX_TEXT:
        raise YamlError(f"{len(text)} characters where at most {MAX_TEXT} are allowed", where=Where(file))
    try:
        if _possible_depth(text) > _UNCHECKED_DEPTH:
            _measure_events(text, file)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _marked(error, file) from None
    except yaml.reader.ReaderError as error:
        line = text.encode("utf-8", "replace")[: error.position].count(b"\n") + 1
        raise YamlError(f"the character {error.character!r} is not allowed in YAML", where=Where(file, line)) from None
    except UnicodeError:
        raise YamlError("this is not valid Unicode text", where=Where(file)) from None
    if node is not None:
        _Check(file).visit(node, 1)
    return node


def place(node: yaml.Node, file: str) -> Where:
    """Where `node` begins."""
    mark = node.start_mark
    return Where(file, mark.line + 1, mark.column + 1) if mark is not None else Where(file)


class _Check:
    """Walks every node once and counts an aliased one each time it is used."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._known: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()

    def visit(self, node: yaml.Node, depth: int) -> tuple[int, int]:
        """How many nodes `node` stands for, and how deep it nests. Raises YamlError."""
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace(_TAG, "!!")
            raise YamlError(f"the tag {tag[:60]} is refused", where=place(node, self._file), help="write plain data")
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        known = self._known.get(id(node))
        if known is None:
            known = self._measure(node, depth)
        size, height = known
        if depth + height > MAX_DEPTH:
            raise YamlError(f"nested deeper than {MAX_DEPTH}", where=place(node, self._file))
        if size > MAX_NODES:
            help = "aliases that hold aliases multiply; write the data out, or split the file"
            raise YamlError(f"more than {MAX_NODES} values", where=place(node, self._file), help=help)
        return known

    def _measure(self, node: yaml.Node, depth: int) -> tuple[int, int]:
        if id(node) in self._open:
            raise YamlError("an alias names what holds it", where=place(node, self._file))
        if depth > MAX_DEPTH:
            raise YamlError(f"nested deeper than {MAX_DEPTH}", where=place(node, self._file))
        self._open.add(id(node))
        size, height = 1, 0
        for child in self._children(node):
            more, deeper = self.visit(child, depth + 1)
            size += more
            if deeper > height:
                height = deeper
        self._open.discard(id(node))
        self._known[id(node)] = size, height + 1
        return size, height + 1

    def _children(self, node: yaml.Node) -> list[yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            return list(node.value)
        seen: dict[tuple[str, str], yaml.Node] = {}
        children: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                help = "quote the whole value if it holds braces, as a template expression does"
                message = "a mapping or list cannot be a key"
                raise YamlError(message, where=place(key, self._file), help=help)
            first = seen.setdefault((key.tag, key.value), key)
            if first is not key and key.value != "<<":
                line = place(first, self._file).line
                message = f"the key {key.value[:80]!r} is written twice; the first is on line {line}"
                raise YamlError(message, where=place(key, self._file), help="merge the two, or rename one")
            children += (key, value)
        return children


def _possible_depth(text: str) -> int:
    """No fewer levels than `text` can nest: brackets anywhere, and two for each column of indentation."""
    columns = max((len(found) for found in _INDENTATION.findall(text)), default=0)
    return text.count("[") + text.count("{") + 2 * columns


def _measure_events(text: str, file: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark is not None else 0
                raise YamlError(f"nested deeper than {MAX_DEPTH}", where=Where(file, line))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _marked(error: yaml.MarkedYAMLError, file: str) -> YamlError:
    problem = error.problem or "this is not YAML"
    mark = error.problem_mark or error.context_mark
    where = Where(file, mark.line + 1, mark.column + 1) if mark is not None else Where(file)
    if error.context and error.context_mark is not None and error.context_mark.line + 1 != where.line:
        problem = f"{problem} ({error.context} from line {error.context_mark.line + 1})"
    elif error.context:
        problem = f"{problem} ({error.context})"
    return YamlError(problem, where=where, help=_HINTS.get(error.problem or "", ""))
