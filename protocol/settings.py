"""Configuration: a YAML file, its `conf.d/`, then the environment, read into a typed class; every mistake has a place.

A settings class is a frozen dataclass whose fields have defaults. Sources, later ones win: `NAME.yaml`, the files of
`conf.d/` beside it in name order, variables `STACKMASTER_<FIELD>` (upper case). Both daemons read `conf.d/`, but a
file there whose name begins with `master` or `minion` is for that one only. An unknown key is an error with file,
line and suggestion.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

import yaml

from protocol.data import Data
from protocol.errors import ConfigError, InputError, Where
from protocol.yamlnodes import compose

C = TypeVar("C")
PREFIX = "STACKMASTER_"


@dataclass(frozen=True, slots=True)
class Loaded(Generic[C]):
    """The settings (`value`) and where each one that is not a default came from (`file:line` or `$VARIABLE`)."""

    value: C
    origins: Mapping[str, str]


def load(cls: type[C], path: Path | None, environment: Mapping[str, str]) -> Loaded[C]:
    """Read the settings `cls` from `path` (its conf.d beside it) and `environment`.

    A `path` of None reads the environment only. Raises ConfigError.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for file in _files(path):
        _read_file(cls, file, values, origins)
    _read_environment(cls, environment, values, origins)
    return Loaded(cls(**values), origins)


def build(cls: type[C], given: Mapping[str, Any], place: str) -> C:
    """A settings class from plain data that stands at `place` of a configuration. Raises ConfigError."""
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1)
            help = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(hints))}"
            raise ConfigError(f"unknown key {key!r}", where=Where(file=place), help=help)
        values[key] = _convert(hints[key], value, key, Where(file=place))
    return cls(**values)


def _files(path: Path | None) -> list[Path]:
    if path is None:
        return []
    if not path.is_file():
        raise ConfigError(f"there is no configuration file {path}", help="name another with --config")
    beside = sorted((path.parent / "conf.d").glob("*.yaml"))
    others = {"master", "minion"} - {path.stem}
    return [path, *(file for file in beside if not file.name.startswith(tuple(others)))]


def _read_file(cls: type, file: Path, values: dict[str, Any], origins: dict[str, str]) -> None:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=Where(file=str(file))) from None
    node = _compose(text, str(file))
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError("a configuration file is a mapping of keys to values", where=Where(file=str(file), line=1))
    hints = typing.get_type_hints(cls)
    for key_node, value_node in node.value:
        key = str(key_node.value)
        where = Where(file=str(file), line=key_node.start_mark.line + 1, column=key_node.start_mark.column + 1)
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1)
            help = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(hints))}"
            raise ConfigError(f"unknown key {key!r}", where=where, help=help)
        values[key] = _convert(hints[key], _value(hints[key], value_node), key, where)
        origins[key] = f"{file}:{where.line}"


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        return compose(text, name)
    except InputError as error:
        raise ConfigError(error.message, where=error.where, help=error.help) from None


def _read_environment(
    cls: Any, environment: Mapping[str, str], values: dict[str, Any], origins: dict[str, str]
) -> None:
    hints = typing.get_type_hints(cls)
    for field in fields(cls):
        variable = PREFIX + field.name.upper()
        if variable in environment:
            where = Where(file=f"${variable}")
            node = _compose(environment[variable], f"${variable}")
            plain = _value(hints[field.name], node) if node is not None else ""
            values[field.name] = _convert(hints[field.name], plain, field.name, where)
            origins[field.name] = f"${variable}"


def _value(hint: Any, node: yaml.Node) -> Any:
    """The value of a node; where text is wanted, as it was written: `id: 010` is not the number 8."""
    if hint is str and isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null":
        return node.value
    return _plain(node)


def _plain(node: yaml.Node) -> Any:
    """The value of a composed node: strings, numbers, booleans, lists and mappings of YAML 1.1."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    finally:
        loader.dispose()


def _convert(hint: Any, value: Any, key: str, where: Where) -> Any:
    """`value` as the field wants it. Raises ConfigError."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        choices = [choice for choice in get_args(hint) if choice is not type(None)]
        return None if value is None else _convert(choices[0], value, key, where)
    if hint is Data:
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_convert(get_args(hint)[0], item, key, where) for item in items)
    if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        if isinstance(value, dict):
            return {name: _convert(get_args(hint)[1], item, key, where) for name, item in value.items()}
    elif hint is Any or (isinstance(hint, type) and type(value) is hint):
        return value
    wanted = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{key!r} must be {wanted}, not {value!r}", where=where)
