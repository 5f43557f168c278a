"""How templates print containers: as YAML reads them back, like Salt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from master.compiler.filters.serial import yaml_dquote
from protocol.secrets import Secret


class _Printable(dict[Any, Any]):
    """A mapping whose text keeps line breaks and tabs when YAML reads it."""

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{key!r}: {_quoted(value)}" for key, value in self.items()) + "}"

    __str__ = __repr__


def printable(value: Any) -> Any:
    """`value` as `{{ value }}` prints it."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return _Printable({key: printable(item) for key, item in value.items()})
    if isinstance(value, list):
        return [printable(item) for item in value]
    if type(value) in (tuple, set):
        return type(value)(printable(item) for item in value)
    return value


def _quoted(value: Any) -> str:
    if isinstance(value, str) and any(mark in value for mark in "\n\r\t"):
        return yaml_dquote(str(value))
    return repr(value)
