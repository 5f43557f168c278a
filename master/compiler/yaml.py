"""YAML as Salt reads it: nodes to data, with the line of every key and list item kept beside it."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import yaml

from protocol.errors import Where
from protocol.yamlnodes import YamlError, compose, place

_TAG: Final = "tag:yaml.org,2002:"
_SCALARS = yaml.SafeLoader("")
"""Only its constructors of numbers and booleans are used: they keep no state."""


_shared: OrderedDict[tuple[str, bytes], Any] = OrderedDict()
_MOST_SHARED: Final = 200
"""Documents that a process remembers."""
_LONGEST_SHARED: Final = 64 * 1024
"""Characters of a document that is worth remembering."""


class Map(dict[Any, Any]):
    """A mapping that knows the line of each of its keys (counted from 1; of itself in `line`)."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[Any, int] = {}


class List(list[Any]):
    """A list that knows the line of each of its items (counted from 1; of itself in `line`)."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


def line_of(container: Any, key: Any) -> int:
    """The line of the key or item `key` of `container`; of the container when unknown; 0 when that is unknown too."""
    if isinstance(container, Map):
        return container.lines.get(key, container.line)
    if isinstance(container, List):
        return container.lines[key] if 0 <= key < len(container.lines) else container.line
    return 0


def load(text: str, file: str) -> Any:
    """The data in `text`; an empty document is None.

    YAML 1.1 as Salt's loader has it: yes/no/on/off are booleans, an integer with leading zeros is decimal
    (`0644` is 644), timestamps stay strings, `<<` merges and explicit keys win. Raises YamlError.
    """
    node = compose(text, file)
    return None if node is None else _Builder(file).build(node)


def load_shared(text: str, file: str) -> Any:
    """Like `load`, remembered: what is returned is shared, and must not be changed. Raises YamlError.

    Minions that are alike render to the same text; reading it is half of the work of a compilation.
    """
    key = file, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    if key in _shared:
        _shared.move_to_end(key)
        return _shared[key]
    data = load(text, file)
    if len(text) <= _LONGEST_SHARED:
        _shared[key] = data
        if len(_shared) > _MOST_SHARED:
            _shared.popitem(last=False)
    return data


def load_json(text: str, file: str) -> Any:
    """The data in JSON text; lines are known where YAML reads it alike. Raises YamlError."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise YamlError(f"this is no JSON: {error.msg}", where=Where(file, error.lineno, error.colno)) from None
    except RecursionError:
        raise YamlError("nested too deeply", where=Where(file)) from None
    try:
        read = load(text, file)
    except YamlError:
        read = None
    return read if read is not None and plain(read) == data else without_lines(data)


def without_lines(value: Any) -> Any:
    """Data that comes of no text, as what is read from a file: every line is 1."""
    if isinstance(value, Mapping):
        made = Map(1)
        made.update({key: without_lines(item) for key, item in value.items()})
        return made
    if isinstance(value, list | tuple):
        listed = List(1)
        listed.extend(without_lines(item) for item in value)
        listed.lines.extend([1] * len(listed))
        return listed
    return value


def load_plain(text: str, file: str) -> Any:
    """Like `load`, as ordinary dicts and lists, for templates. Raises YamlError."""
    return plain(load(text, file))


def plain(value: Any) -> Any:
    """A deep copy of `value` in ordinary dicts and lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class _Builder:
    def __init__(self, file: str) -> None:
        self._file = file

    def build(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == f"{_TAG}str" else self._scalar(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        items = List(_line(node))
        for child in node.value:
            items.append(self.build(child))
            items.lines.append(_line(child))
        return items

    def _mapping(self, node: yaml.Node) -> Map:
        built = Map(_line(node))
        merged: list[Map] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged += self._merged(value_node)
                continue
            key = self.build(key_node)
            if key in built:
                raise YamlError(f"the key {key!r} is written twice", where=place(key_node, self._file))
            built[key] = self.build(value_node)
            built.lines[key] = _line(key_node)
        return _under(built, merged) if merged else built

    def _merged(self, node: yaml.Node) -> list[Map]:
        values = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(value, yaml.MappingNode) for value in values):
            raise YamlError("'<<' can merge mappings only", where=place(node, self._file))
        return [self._mapping(value) for value in values]

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix(_TAG)
        try:
            if kind == "int":
                return self._integer(node)
            if kind == "bool":
                return _SCALARS.construct_yaml_bool(node)
            if kind == "float":
                return _SCALARS.construct_yaml_float(node)
        except (ValueError, KeyError, IndexError):
            raise YamlError(f"{node.value[:40]!r} is no {kind}", where=place(node, self._file)) from None
        return None if kind == "null" else node.value

    def _integer(self, node: yaml.ScalarNode) -> int:
        text = node.value
        if text.startswith("0") and not text.startswith(("0b", "0x")):
            text = text.lstrip("0") or "0"
        if len(text) > 80:
            raise ValueError
        value = int(_SCALARS.construct_yaml_int(yaml.ScalarNode(node.tag, text)))
        if not -(2**63) <= value < 2**64:
            message = f"the number {text[:24]} does not fit in 64 bits"
            raise YamlError(message, where=place(node, self._file), help="quote it, if it is a name")
        return value


def _under(built: Map, merged: list[Map]) -> Map:
    """`built` on top of what it merges: merged keys come first, the first mapping that has a key gives it."""
    whole = Map(built.line)
    for layer in merged:
        for key, value in layer.items():
            if key not in whole and key not in built:
                whole[key] = value
                whole.lines[key] = built.line
    whole.update(built)
    whole.lines.update(built.lines)
    return whole


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1 if node.start_mark is not None else 0


def where(file: str, container: Any, key: Any) -> Where:
    """The place of `key` in `container` as an error names it."""
    return Where(file, line_of(container, key))
