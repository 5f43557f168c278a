"""What a Python file of a state tree declares, read from its syntax alone: nothing of a tree is ever imported here."""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.data import Data
from protocol.errors import SlsError
from states.declarations import Parameter, Signature

MAX_FILE = 1024 * 1024
"""Bytes of one file of a tree's own code."""

_KEPT = 2000
_OPEN = Signature({}, open=True, rest=True)
"""What is known of a function that is made at run time: nothing."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One function of a file: the line it begins at, its arguments (the first one too), its documentation."""

    line: int
    signature: Signature
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file's functions by the names they are called by, and the module names it may load as.

    `names` is empty when only loading the file can tell. With a `problem`, on `line`, the file is no Python of today.
    """

    names: tuple[str, ...]
    functions: Mapping[str, Declared] = field(default_factory=dict)
    problem: str = ""
    line: int = 0


_sources: OrderedDict[tuple[str, int, int, int], Source] = OrderedDict()


def read(path: Path, name: str) -> Source:
    """What the file `path` declares; `name` is the module that it is by its file name. Raises SlsError, OSError."""
    status = path.stat()
    key = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
    found = _sources.get(key)
    if found is None:
        if status.st_size > MAX_FILE:
            raise SlsError(f"{path.name} has {status.st_size} bytes, where at most {MAX_FILE} are allowed")
        found = _sources[key] = parse(path.read_bytes(), name)
        if len(_sources) > _KEPT:
            _sources.popitem(last=False)
    return found


def parse(content: bytes, name: str) -> Source:
    """What Python source declares, for the module `name`."""
    try:
        tree = ast.parse(content)
    except SyntaxError as error:
        return Source((name,), problem=f"this is no Python 3: {error.msg}", line=error.lineno or 0)
    except (ValueError, RecursionError, MemoryError) as error:
        return Source((name,), problem=f"this cannot be read as Python: {error}")
    body = list(_statements(tree.body))
    constants = _constants(body)
    functions = _functions(body)
    wanted = constants.get("__load__")
    if isinstance(wanted, list | tuple):
        functions = {found: functions[found] for found in functions if found in wanted}
    aliases = constants.get("__func_alias__")
    if isinstance(aliases, dict):
        functions = {str(aliases.get(found, found)): declared for found, declared in functions.items()}
    return Source(_names(body, constants, name), functions)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those within its conditions and try blocks included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handled = [inner for handler in statement.handlers for inner in handler.body]
            yield from _statements([*statement.body, *handled, *statement.orelse, *statement.finalbody])
        elif isinstance(statement, ast.With):
            yield from _statements(statement.body)


def _constants(body: list[ast.stmt]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(statement, ast.Assign):
                value, is_constant = _literal(statement.value)
                if is_constant:
                    found[target.id] = value
    return found


def _functions(body: list[ast.stmt]) -> dict[str, Declared]:
    found: dict[str, Declared] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = Declared(
                statement.lineno, _signature(statement), ast.get_docstring(statement) or ""
            )
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name | ast.Attribute | ast.Lambda):
            value = statement.value
            same = found.get(value.id) if isinstance(value, ast.Name) else None
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    found[target.id] = same or Declared(statement.lineno, _OPEN)
    return {name: declared for name, declared in found.items() if not name.startswith("_")}


def _signature(function: ast.FunctionDef) -> Signature:
    """The arguments of a function; one whose decorators are not known to keep them takes any."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    none: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    pairs = [*zip(positional, [*none, *given.defaults], strict=True)]
    pairs += list(zip(given.kwonlyargs, given.kw_defaults, strict=True))
    parameters = {
        argument.arg: Parameter(argument.arg, Any, default is None, _default(default)) for argument, default in pairs
    }
    if function.decorator_list:
        parameters = {name: Parameter(name, Any, False, each.default) for name, each in parameters.items()}
    loose = bool(function.decorator_list)
    return Signature(parameters, given.kwarg is not None or loose, given.vararg is not None or loose)


def _default(value: ast.expr | None) -> Data:
    found, is_constant = (None, True) if value is None else _literal(value)
    return found if is_constant and isinstance(found, bool | int | float | str | list | dict) else None


def _names(body: list[ast.stmt], constants: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The names a module may load as: what its `__virtual__` can return. Salt: True is its `__virtualname__`."""
    virtual = constants.get("__virtualname__")
    own = virtual if isinstance(virtual, str) and virtual else name
    gate = next((each for each in body if isinstance(each, ast.FunctionDef) and each.name == "__virtual__"), None)
    if gate is None:
        return (name,)
    names: dict[str, None] = {}
    returns = [each for each in ast.walk(gate) if isinstance(each, ast.Return) and each.value is not None]
    for statement in sorted(returns, key=lambda each: each.lineno):
        for value in _returned(statement.value) if statement.value is not None else ():
            found, is_constant = _literal(value)
            if isinstance(value, ast.Name) and value.id in constants:
                found = constants[value.id]
            if isinstance(found, str) and found:
                names[found] = None
            elif found is True or not is_constant:
                names[own] = None
    return tuple(names) or (own,)


def _returned(value: ast.expr) -> Iterator[ast.expr]:
    """What an expression can give: both sides of `a if b else c` and of `a or b`."""
    if isinstance(value, ast.IfExp):
        yield from _returned(value.body)
        yield from _returned(value.orelse)
    elif isinstance(value, ast.BoolOp):
        for part in value.values:
            yield from _returned(part)
    else:
        yield value


def _literal(value: ast.expr) -> tuple[Any, bool]:
    """The value of an expression that is a literal, and whether it is one."""
    try:
        return ast.literal_eval(value), True
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None, False
