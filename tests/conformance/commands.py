"""What the product's commands make of a conformance case: `apply --local`, `compile`, `target show`."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from master.cli.options import TARGET_KINDS
from master.main import main
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


def compiled(files: Mapping[str, str], *sls: str) -> dict[str, Any]:
    """The document of `compile --output json` for a state tree."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        document = run("compile", *_place(Path(name), files), "-o", "json", *sls).document
    assert document is not None
    return document


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
    """The minions of a file of the form of targets.json."""

    def __init__(self, path: Path) -> None:
        self._path = path
        data = json.loads(path.read_text(encoding="utf-8"))
        self._nodegroups = data["nodegroups"]
        self._subjects = [Subject(minion["id"], minion["grains"], minion["pillar"]) for minion in data["minions"]]

    def matches(self, target: Any, matcher: str, kind: str) -> list[str]:
        """Whom `target` means for `stackmaster target show`, sorted.

        `kind` is the type of the target in Salt; numbers and nothing can come from programs only, and are asked of
        what the command asks.
        """
        if kind in ("str", "list", "tuple"):
            words = target if kind == "str" else repr(tuple(target) if kind == "tuple" else list(target))
            flags = [flag for _, flag, known, _ in TARGET_KINDS if known == matcher]
            ran = run("target", "show", *flags, "--minions", str(self._path), "-o", "json", "--", words)
            return sorted(ran.document["minions"]) if ran.document else []
        parsed = parse(target, matcher, self._nodegroups)
        return sorted(subject.id for subject in self._subjects if parsed.matches(subject))
