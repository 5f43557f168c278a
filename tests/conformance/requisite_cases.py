"""Knows just enough of SLS (YAML, no templates) to make chunks of the random state trees in requisites.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from protocol.assignment import Assignment, Chunk, Requisite
from protocol.errors import SlsError
from protocol.order import ORDERING, arrange

KINDS = (*ORDERING, "listen", "listen_in")
COMMANDS = "commands"
"""The family of the stand-in for `cmd.run`, which the test declares: these cases are about requisites."""

OPTIONS = ("unless", "onlyif", "check_cmd", "failhard", "order", "creates", "retry")


@dataclass
class Declaration:
    """One state under one ID: what Salt calls a low chunk before `names` is expanded."""

    id: str
    state: str
    fun: str
    sls: str
    order: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    requisites: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(self.arguments.get("names") or [self.arguments.get("name", self.id)]))

    def add(self, arguments: list[dict[str, Any]]) -> None:
        for argument in arguments:
            for key, value in argument.items():
                if key in KINDS or key.endswith("_in"):
                    self.requisites.setdefault(key, []).extend(value)
                elif key == "order":
                    self.order = value
                else:
                    if key == "name":
                        self.arguments.pop("names", None)
                    self.arguments[key] = value


def cases() -> list[dict[str, Any]]:
    """The cases of requisites.json."""
    text = (Path(__file__).parent / "requisites.json").read_text("utf-8")
    loaded: list[dict[str, Any]] = json.loads(text)["cases"]
    return loaded


def assignment(files: dict[str, str], main: str) -> Assignment:
    """The state tree as an assignment. Raises SlsError as the compiler must."""
    tree = _Tree(files)
    tree.load(main)
    declared = tree.finished()
    cap = max([1, *(d.order for d in declared if isinstance(d.order, int))]) + 100
    chunks: list[Chunk] = []
    owners: list[Declaration] = []
    orders: list[float] = []
    for declaration in declared:
        for index, name in enumerate(declaration.names):
            fraction = (index + 1) / 10000 if "names" in declaration.arguments else 0
            orders.append(_order(declaration.order, cap) + fraction)
            chunks.append(_chunk(declaration, name))
            owners.append(declaration)
    for position, declaration in enumerate(owners):
        requisites = tuple(_requisite(tree, chunks, kind, declaration) for kind in KINDS)
        chunks[position] = replace(chunks[position], requisites=tuple(r for r in requisites if r is not None))
    return Assignment("m1", arrange(chunks, orders))


class _Tree:
    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.declared: list[Declaration] = []
        self.extends: list[tuple[str, dict[str, Any]]] = []
        self.excludes: list[dict[str, str]] = []
        self.loaded: dict[str, list[str]] = {}
        self.counter = 10000

    def load(self, sls: str) -> None:
        if sls in self.loaded:
            return
        document = yaml.safe_load(self.files[f"{sls}.sls"]) or {}
        self.loaded[sls] = included = document.pop("include", [])
        earlier, self.declared = self.declared, []
        for name in included:
            self.load(name)
        below, self.declared = self.declared, earlier
        self.extends += [(sls, document.pop("extend", {}))]
        self.excludes += document.pop("exclude", [])
        for identifier, body in document.items():
            for function, arguments in body.items():
                state, _, fun = function.replace("cmd.", f"{COMMANDS}.").partition(".")
                declaration = Declaration(identifier, state, fun, sls, None)
                declaration.add(arguments)
                if declaration.order is None:
                    declaration.order = self.counter
                    self.counter += 1
                self.declared.append(declaration)
        self.declared += below

    def reached(self, sls: str) -> set[str]:
        """`sls` and all that it includes."""
        found = {sls}
        for name in self.loaded.get(sls, []):
            found |= self.reached(name)
        return found

    def finished(self) -> list[Declaration]:
        gone = {exclude["sls"] for exclude in self.excludes if "sls" in exclude}
        for sls, extend in self.extends:
            for identifier, body in extend.items():
                for state, arguments in body.items():
                    target = self._find(identifier, _state(state))
                    if sls not in gone:
                        target.add(arguments)
        for declaration in self.declared:
            for kind in [key for key in declaration.requisites if key.endswith("_in") and key != "listen_in"]:
                for reference in declaration.requisites.pop(kind):
                    ((state, name),) = reference.items()
                    back = {declaration.state: declaration.id}
                    self._find(name, _state(state)).add([{kind.removesuffix("_in"): [back]}])
        ids = {exclude["id"] for exclude in self.excludes if "id" in exclude}
        return [d for d in self.declared if d.sls not in gone and d.id not in ids]

    def _find(self, name: str, state: str) -> Declaration:
        by_id = [d for d in self.declared if d.id == name and d.state == state]
        by_name = [d for d in self.declared if name in d.names and d.state == state]
        found = by_id or by_name
        if len(found) != 1:
            raise SlsError(f"there is no {state} {name} to extend")
        return found[0]


def _state(name: str) -> str:
    return COMMANDS if name == "cmd" else name


def _order(order: Any, cap: int) -> float:
    if order == "last":
        return cap + 1_000_000
    if order == "first":
        return 0
    return float(order if order >= 0 else cap + 1_000_000 + order)


def _chunk(declaration: Declaration, name: str) -> Chunk:
    own = {k: v for k, v in declaration.arguments.items() if k not in (*OPTIONS, "name", "names")}
    options = {k: v for k, v in declaration.arguments.items() if k in OPTIONS} | {"order": declaration.order}
    d = declaration
    return Chunk(d.state, d.fun, d.id, name, d.sls, args=own, options=options)


def _requisite(tree: _Tree, chunks: list[Chunk], kind: str, declaration: Declaration) -> Requisite | None:
    targets: list[int] = []
    missing: list[str] = []
    for reference in declaration.requisites.get(kind, ()):
        key, value = next(iter(reference.items())) if isinstance(reference, dict) else ("", reference)
        if key == "sls":
            reached = tree.reached(value)
            found = [i for i, chunk in enumerate(chunks) if chunk.sls in reached]
        else:
            found = [
                i
                for i, chunk in enumerate(chunks)
                if _state(key) in ("", chunk.state) and (fnmatchcase(chunk.id, value) or fnmatchcase(chunk.name, value))
            ]
        targets += found
        if not found:
            missing.append(f"{key}: {value}" if key else value)
    if not targets and not missing:
        return None
    return Requisite(kind, tuple(dict.fromkeys(targets)), tuple(missing))
