"""Functions that tell which states and functions there are, what they do and what they take."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Union, get_args, get_origin

from protocol.data import Data
from states import registry
from states.context import Context
from states.declarations import Signature
from states.registry import function


@function("sys.list_functions", access="reads")
def list_functions(ctx: Context, pattern: str = "*") -> Data:
    """The names of functions that match `pattern` (a glob, or a family such as `service`), sorted."""
    return _matching(registry.function_names(), pattern)


@function("sys.list_states", access="reads")
def list_states(ctx: Context, pattern: str = "*") -> Data:
    """The names of states that match `pattern` (a glob, or a family such as `file`), sorted."""
    return _matching(registry.state_names(), pattern)


@function("sys.doc", access="reads")
def doc(ctx: Context, pattern: str = "*") -> Data:
    """The documentation of each function that matches `pattern`, by name."""
    return {name: registry.find_function(name).doc for name in _matching(registry.function_names(), pattern)}


@function("sys.state_doc", access="reads")
def state_doc(ctx: Context, pattern: str = "*") -> Data:
    """The documentation of each state that matches `pattern`, by name."""
    return {name: registry.find_state(name).doc for name in _matching(registry.state_names(), pattern)}


@function("sys.argspec", access="reads")
def argspec(ctx: Context, pattern: str = "*") -> Data:
    """The arguments of each function that matches `pattern`, by name: their types, defaults, which are required."""
    return _specs(registry.function_names(), pattern, lambda name: registry.find_function(name).signature)


@function("sys.state_argspec", access="reads")
def state_argspec(ctx: Context, pattern: str = "*") -> Data:
    """The arguments of each state that matches `pattern`, as `sys.argspec`; all take `name` besides."""
    return _specs(registry.state_names(), pattern, lambda name: registry.find_state(name).signature)


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")]


def _specs(names: Iterable[str], pattern: str, signature: Callable[[str], Signature]) -> dict[str, Data]:
    return {name: _spec(signature(name)) for name in _matching(names, pattern)}


def _spec(signature: Signature) -> Mapping[str, Data]:
    return {
        "args": list(signature.parameters),
        "required": [parameter.name for parameter in signature.parameters.values() if parameter.required],
        "types": {parameter.name: _type(parameter.type) for parameter in signature.parameters.values()},
        "defaults": {
            parameter.name: _plain(parameter.default)
            for parameter in signature.parameters.values()
            if not parameter.required
        },
        "kwargs": signature.open,
    }


def _type(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_type(choice) for choice in get_args(hint))
    if hint is type(None):
        return "null"
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "").replace("collections.abc.", "")


def _plain(value: Any) -> Data:
    """A default as data: what is no scalar, list or mapping is shown as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value)
