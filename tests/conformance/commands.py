"""What the product's commands make of a conformance case: `apply --local`, `compile`, and the master's targeting."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from master.inventory import Inventory
from master.keys import Keys
from master.main import main
from master.sessions import Sessions
from master.store.store import Store
from protocol.errors import TargetError
from protocol.names import MinionId
from protocol.target import Subject, parse

MINION = "m1"


def applied(case: Mapping[str, Any]) -> dict[str, Any]:
    """A case of the form of requisites.json applied: `return` and `low_order`, or `errors` when it is refused."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        place = _place(folder, case["files"])
        compiled = run("compile", *place, "-o", "json", *case["call"]["args"])
        test = ["--test"] if case["call"]["kwargs"].get("test") else []
        told = run("apply", "--local", *place, "--root", str(folder / "root"), "-o", "json", *test, *_sls(case))
    if told.document is None:
        return {"errors": told.errors.splitlines(), "low_errors": (compiled.document or {}).get("errors")}
    steps = told.document["minions"][MINION]["steps"]
    order = [_tag(chunk) for chunk in (compiled.document or {}).get("low", [])]
    return {"return": {step["tag"]: _result(step) for step in steps}, "low_order": order}


class Ran:
    """One command that ended: its document on standard output (None when it printed none) and its words."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        self.document: dict[str, Any] | None = json.loads(output) if output.strip() else None
        self.errors = errors


def run(*words: str) -> Ran:
    """Run a command line of `stackmaster` in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main(words)
    return Ran(code, output.getvalue(), errors.getvalue())


def _place(folder: Path, files: Mapping[str, str]) -> list[str]:
    """A state tree, grains and a private root; the options that name them."""
    for name, text in files.items():
        path = folder / "states" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "root").mkdir()
    grains = folder / "grains.json"
    grains.write_text(json.dumps({"id": MINION, "os": "Debian", "os_family": "Debian"}), encoding="utf-8")
    states = str(folder / "states")
    return ["--id", MINION, "--states", states, "--grains", str(grains), "--strict-requisites"]


def _sls(case: Mapping[str, Any]) -> list[str]:
    return [str(word) for word in case["call"]["args"]]


def _tag(chunk: Mapping[str, Any]) -> str:
    return "_|-".join((chunk["state"], chunk["__id__"], chunk["name"], chunk["fun"]))


def _result(step: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "result": step["result"],
        "comment": step["comment"],
        "has_changes": bool(step["changes"]),
        "__run_num__": step["number"],
        "__state_ran__": step["ran"],
    }


class Pool:
    """The minions of a file of the form of targets.json, as the master's inventory knows them."""

    def __init__(self, minions: Sequence[Mapping[str, Any]], nodegroups: Mapping[str, Any]) -> None:
        self._minions = minions
        self._nodegroups = nodegroups
        pillars = {minion["id"]: minion["pillar"] for minion in minions}

        async def pillar(minion: MinionId) -> Mapping[str, Any]:
            return cast(Mapping[str, Any], pillars[minion])

        keys = cast(Keys, SimpleNamespace(accepted=[MinionId(minion["id"]) for minion in minions]))
        sessions, store = cast(Sessions, SimpleNamespace()), cast(Store, SimpleNamespace())
        self._inventory = Inventory(store, keys, sessions, nodegroups, pillar)
        for minion in minions:
            self._inventory._grains[MinionId(minion["id"])] = minion["grains"]

    def matches(self, target: Any, matcher: str, kind: str) -> list[str]:
        """Whom `target` means for `stackmaster target show`, sorted; nobody when it is refused.

        `kind` is the type of the target in Salt: what is no string can come from a top file only.
        """
        if kind == "str":
            try:
                return sorted(asyncio.run(self._inventory.match(target, matcher)))
            except TargetError:
                return []
        parsed = parse(tuple(target) if kind == "tuple" else target, matcher, self._nodegroups)
        subjects = (Subject(minion["id"], minion["grains"], minion["pillar"]) for minion in self._minions)
        return sorted(subject.id for subject in subjects if parsed.matches(subject))
