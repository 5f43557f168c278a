"""Where each argument of a call came from: the line that gave it, what carried it there, and which pillar key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from master.compiler.high import Argument, Declaration
from master.compiler.low import Low
from master.compiler.merge import traverse
from master.compiler.render import Session
from master.compiler.sls import High
from protocol.data import Data
from protocol.errors import SlsError, Where

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_READ: Final = re.compile(
    r"""salt(?:\[['"]|\.)(?:pillar\.(?:get|fetch)|pillar\.item|config\.get|defaults\.merge)(?:['"]\])?\(\s*['"]([^'"]+)['"]"""
    r"""|\bpillar\.get\(\s*['"]([^'"]+)['"]"""
    rf"""|\bpillar((?:\[['"][^'"\]]+['"]\]|\.(?!get\b|items\b|keys\b|values\b){_NAME})+)"""
)
_STEP: Final = re.compile(r"""\[['"]([^'"\]]+)['"]\]|\.([A-Za-z_][A-Za-z0-9_]*)""")
_PRINTED: Final = re.compile(r"\{\{(.*?)\}\}")
_SET: Final = r"\{%-?\s*set\s+NAME\s*=(.*?)%\}"
_LOOP: Final = r"\{%-?\s*for\s+[^%]*?\bNAME\b[^%]*?\bin\b(.*?)%\}"
_IMPORT: Final = re.compile(
    r"\{%-?\s*from\s+['\"]([^'\"]+)['\"]\s+import\s+([^%]*?)(?:\s+with(?:out)?\s+context)?\s*-?%\}"
)
_SHORTEST: Final = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of an argument; `via` is `extend`, `use of <id>` or `names` when it is not written in the state itself.

    `pillar` is the key that it was read of; `imported` the file that the template took it from, when no key is known.
    """

    where: Where
    via: str = ""
    pillar: str = ""
    imported: str = ""

    def data(self) -> dict[str, Data]:
        """As plain data, empty things left out."""
        told: dict[str, Data] = {"file": self.where.file, "line": self.where.line}
        more = {"via": self.via, "pillar": self.pillar, "imported": self.imported}
        return told | {key: value for key, value in more.items() if value}


class Origins:
    """Made of `high` before it is lowered, so that what is carried from one state into another can be told."""

    def __init__(self, high: High, session: Session, pillar: Mapping[Any, Any]) -> None:
        self._session = session
        self._pillar = pillar
        self._lines: dict[tuple[str, str], list[str]] = {}
        self._extends = {_mark(argument) for each in high.extends for argument in each.arguments}
        self._owners: dict[tuple[str, str, int], Declaration] = {}
        for declaration in high.declarations():
            for argument in declaration.arguments:
                self._owners.setdefault(_mark(argument), declaration)

    def of(self, low: Low) -> dict[str, Data]:
        """The origin of each argument of `low`, and under `name` that of its name."""
        own = {argument.name: argument for argument in low.declaration.arguments if argument.name in ("name", "names")}
        named = own.get("names") or own.get("name")
        found: dict[str, Data] = {"name": self._origin(low, named).data()} if named is not None else {}
        for name, argument in low.arguments.items():
            found[name] = self._origin(low, argument).data()
        return found

    def _origin(self, low: Low, argument: Argument) -> Origin:
        text = self._line(low.declaration.environment, argument.where)
        pillar, imported = self._read(low.declaration.environment, argument, text)
        return Origin(argument.where, self._via(low.declaration, argument), pillar, imported)

    def _via(self, declaration: Declaration, argument: Argument) -> str:
        mark = _mark(argument)
        owner = self._owners.get(mark)
        if owner is not None:
            same = (owner.id, owner.state) == (declaration.id, declaration.state)
            return "" if same else f"use of {owner.state}: {owner.id}"
        if mark in self._extends:
            return "extend"
        return "names" if declaration.argument("names") is not None else ""

    # --- pillar -------------------------------------------------------------------------------------------------

    def _read(self, environment: str, argument: Argument, text: str) -> tuple[str, str]:
        """The pillar key that the line reads, itself or by a variable that its file sets, or the file it imports."""
        direct = self._key_in(text)
        if direct:
            return direct, ""
        if "{{" not in text:
            return "", ""
        whole = "\n".join(self._lines.get((environment, argument.where.file), []))
        imported = ""
        for expression in _PRINTED.findall(text):
            for name in re.findall(_NAME, re.sub(r"'[^']*'|\"[^\"]*\"", "", expression)):
                for source in _given(name, whole):
                    key = self._key_in(source)
                    if key:
                        return key, ""
                imported = imported or _imported(name, whole)
        return self._same_value(argument.value), imported

    def _key_in(self, text: str) -> str:
        """The first pillar key that `text` reads and that there is; of those that there are not, the first."""
        keys = [_key(found) for found in _READ.finditer(text)]
        return next(
            (key for key in keys if traverse(self._pillar, key, _ABSENT) is not _ABSENT), keys[0] if keys else ""
        )

    def _same_value(self, value: Any) -> str:
        """The one key of the pillar whose value is this one; nothing when several have it, or it says too little."""
        if isinstance(value, bool) or value is None or len(str(value)) < _SHORTEST:
            return ""
        keys = [key for key, found in _leaves(self._pillar) if found == value]
        return f"{keys[0]} (same value)" if len(keys) == 1 else ""

    def _line(self, environment: str, where: Where) -> str:
        key = environment, where.file
        if key not in self._lines:
            try:
                text = self._session.roots(environment).read(where.file) if where.file else None
            except SlsError:
                text = None
            self._lines[key] = (text or "").split("\n")
        lines = self._lines[key]
        return lines[where.line - 1] if 0 < where.line <= len(lines) else ""


_ABSENT: Final = object()


def _mark(argument: Argument) -> tuple[str, str, int]:
    return argument.name, argument.where.file, argument.where.line


def _key(found: re.Match[str]) -> str:
    if found[3] is None:
        return found[1] or found[2]
    return ":".join(step[1] or step[2] for step in _STEP.finditer(found[3]))


def _given(name: str, text: str) -> Iterator[str]:
    """The expressions that `set` and `for` give the variable `name`."""
    for pattern in (_SET, _LOOP):
        for found in re.finditer(pattern.replace("NAME", name), text, re.DOTALL):
            yield found[1]


def _imported(name: str, text: str) -> str:
    for found in _IMPORT.finditer(text):
        names = [part.split()[-1] for part in found[2].split(",") if part.split()]
        if name in names:
            return found[1]
    return ""


def _leaves(data: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping) and depth < 20:
        for key, value in data.items():
            yield from _leaves(value, f"{path}:{key}" if path else str(key), depth + 1)
    else:
        yield path, data
