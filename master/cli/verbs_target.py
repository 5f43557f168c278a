"""`stackmaster target`: whom an expression means and why, asked of the master or worked out from a file of minions."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from master.cli import exits
from master.cli.app import Verbs
from master.cli.nodeset import fold
from master.cli.options import common, current, target_kinds
from protocol.errors import InputError, NoTargetError, TargetError, Where

if TYPE_CHECKING:
    from protocol.data import Data
    from protocol.target import Subject

HELP = """Target expressions: see whom one means before you use it.

\b
  stackmaster target show 'osd* and G@os:Debian'
  stackmaster target show 'G@os:Debian and not osd*' --explain
  stackmaster target show -G os:Debian --explain
  stackmaster target show 'N@mons' --minions minions.json    without a master
"""

_NO_MINIONS = 'write [{"id": …, "grains": {…}, "pillar": {…}}], or {"minions": […], "nodegroups": {…}}'


@click.group("target", cls=Verbs, help=HELP)
@common
def target() -> None:
    """The group `target`."""


@target.command("show", help=HELP)
@click.argument("expression")
@target_kinds
@click.option("--explain", is_flag=True, help="Say for each minion what each term says of it.")
@click.option("--minions", "file", type=click.Path(path_type=Path), default=None, metavar="FILE",
              help="Ask no master: take ids, grains and pillar from this JSON or YAML file.")  # fmt: skip
@click.option("--nodegroups", type=click.Path(path_type=Path), default=None, metavar="FILE",
              help="With --minions: node groups, name to expression or list, from this file.")  # fmt: skip
@common
def show(expression: str, kind: str | None, explain: bool, file: Path | None, nodegroups: Path | None) -> int:
    """Print whom an expression means. Raises NoTargetError (exit 6) when that is nobody."""
    kind = kind or "compound"
    if file is not None:
        found = _worked_out(expression, kind, file, nodegroups)
    elif nodegroups is not None:
        raise InputError("--nodegroups goes with --minions", help="the master has node groups of its own")
    else:
        request = {"target": expression, "kind": kind, **({"explain": True} if explain else {})}
        with current().client() as client:
            found = client.call("target.show", request)
    if not explain:
        found.pop("explain", None)
    return _print(expression, found)


def _print(expression: str, found: Mapping[str, Any]) -> int:
    screen = current().screen
    problem = str(found.get("problem") or "")
    meant = [str(id) for id in found.get("minions", [])]
    if screen.machine:
        screen.document("stackmaster.target/1", {"target": expression, **found})
    else:
        for line in _explained(found["explain"], meant) if found.get("explain") else meant:
            screen.data(line)
    if problem:
        screen.talk(f"warning: {problem}", "warn")
    if not meant:
        raise NoTargetError(
            f"{expression!r} matches nobody" + (f": {problem}" if problem else ""),
            help="`stackmaster minions ls` lists the minions; --explain tells why each one is out",
        )
    if not screen.machine:
        screen.talk(f"{len(meant)} minions: {fold(meant)}")
    return exits.DONE


def _explained(terms: Mapping[str, Any], meant: Sequence[str]) -> list[str]:
    """For each minion whether it is meant, and what each part of the expression found."""
    lines = []
    for id, parts in terms.items():
        lines.append(f"+ {id}  is in" if id in meant else f"- {id}  is out")
        for part in parts:
            indent = "  " * (int(part.get("depth") or 0) + 2)
            negated = bool(part.get("negated"))
            holds = bool(part.get("matched")) is not negated
            term = f"{'not ' if negated else ''}{part.get('term')}"
            lines.append(f"{indent}{term}: {'yes' if holds else 'no'}, {part.get('why')}")
    return lines


# --- without a master -----------------------------------------------------------------------------------------


def _worked_out(expression: str, kind: str, file: Path, nodegroups: Path | None) -> dict[str, Any]:
    """As the API's `target.show`, over the minions of `file`. What Salt takes for nobody is nobody, with a warning."""
    from protocol.target import check, parse

    subjects, groups = _from_file(file)
    if nodegroups is not None:
        groups = _mapping(nodegroups)
    words = _words(expression)
    read = parse(words, kind, groups)
    found: dict[str, Any] = {
        "minions": [subject.id for subject in subjects if read.matches(subject)],
        "explain": {subject.id: [asdict(each) for each in read.explain(subject)] for subject in subjects},
    }
    try:
        check(words, kind, groups)
    except TargetError as error:
        found["problem"] = f"{error.message} ({error.help})" if error.help else error.message
    return found


def _words(expression: str) -> Any:
    """The expression; as a Python or JSON list or tuple of strings what Salt takes from programs: `['a b', 'or', 'c']`.

    Anything else that begins so stays text: `[ab]*` is a glob.
    """
    if not expression.startswith(("[", "(")):
        return expression
    try:
        words = ast.literal_eval(expression)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return expression
    return words if isinstance(words, list | tuple) and all(isinstance(word, str) for word in words) else expression


def _from_file(file: Path) -> tuple[list[Subject], Mapping[str, Data]]:
    from protocol.target import Subject

    content = _content(file)
    groups: Any = {}
    minions = content
    if isinstance(content, Mapping):
        minions, groups = content.get("minions"), content.get("nodegroups", {})
    if not isinstance(minions, list) or not isinstance(groups, Mapping):
        raise InputError("there is no list of minions", where=Where(str(file)), help=_NO_MINIONS)
    subjects = []
    for number, minion in enumerate(minions, 1):
        if not isinstance(minion, Mapping) or not isinstance(minion.get("id"), str):
            raise InputError(f"minion {number} has no id", where=Where(str(file)), help=_NO_MINIONS)
        grains, pillar = minion.get("grains") or {}, minion.get("pillar") or {}
        if not isinstance(grains, Mapping) or not isinstance(pillar, Mapping):
            raise InputError(f"grains and pillar of {minion['id']!r} must be mappings", where=Where(str(file)))
        subjects.append(Subject(minion["id"], {"id": minion["id"], **grains}, pillar))
    return subjects, groups


def _mapping(file: Path) -> Mapping[str, Data]:
    content = _content(file)
    if not isinstance(content, Mapping):
        raise InputError("not a mapping of names to expressions", where=Where(str(file)))
    return content.get("nodegroups", content)  # type: ignore[no-any-return]


def _content(file: Path) -> Any:
    """The JSON or YAML in `file`; `-` is standard input. Raises InputError."""
    import sys

    import yaml

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=Where(str(file))) from None
    try:
        return json.loads(text)
    except ValueError:
        pass  # then it is YAML
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"neither JSON nor YAML: {error}", where=Where(str(file))) from None
