"""`stackmaster fmt`: SLS files that are plain YAML in their canonical form."""

from __future__ import annotations

import difflib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from master.cli import exits
from master.cli.options import common, current
from protocol.errors import InputError, SlsError, Where

HELP = """Format SLS files that are plain YAML; a folder means every .sls file in it. Files with Jinja are left alone.

\b
  stackmaster fmt .                       write what changes
  stackmaster fmt --check .               write nothing; exit 1 when something would change
  stackmaster fmt --diff ntp/init.sls     write nothing; show the changes
  stackmaster fmt - < ntp/init.sls        standard input to standard output

Two spaces a level, a list two columns right of the line that names it, single quotes where there were any, one blank
line between ids. Comments and values stay; what would be read otherwise afterwards is left alone.

\b
Exit codes: 0 done, 1 --check found something or a file is no YAML, 2 usage.
"""


@dataclass(slots=True)
class _Tally:
    """What became of the files."""

    changed: list[str] = field(default_factory=list)
    same: int = 0
    left: dict[str, str] = field(default_factory=dict)
    errors: list[SlsError] = field(default_factory=list)


@click.command("fmt", help=HELP)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|DIR...")
@click.option("--check", "checking", is_flag=True, help="Write nothing; exit with 1 when something would change.")
@click.option("--diff", "differing", is_flag=True, help="Write nothing; show the changes.")
@common
def fmt(paths: tuple[Path, ...], checking: bool, differing: bool) -> int:
    """Format; 1 for errors, and with --check for what is not in canonical form."""
    if paths == (Path("-"),):
        return _filter()
    tally = _Tally()
    for path in _files(paths):
        _one(path, tally, write=not (checking or differing), differing=differing)
    _print(tally, written=not (checking or differing))
    return exits.UNABLE if tally.errors or (checking and tally.changed) else exits.DONE


def _filter() -> int:
    import sys

    from master.format import formatted

    result = formatted(sys.stdin.read(), "standard input")
    sys.stdout.write(result.text)
    if result.left:
        current().screen.talk(f"left alone: {result.left}")
    return exits.DONE


def _files(paths: tuple[Path, ...]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            below = (each for each in path.rglob("*.sls") if ".git" not in each.parts and not each.is_symlink())
            found.update(dict.fromkeys(sorted(below)))
        elif path.is_file():
            found[path] = None
        else:
            raise InputError(f"{path} is neither a file nor a folder", help="name SLS files, or the folder of a tree")
    return list(found)


def _one(path: Path, tally: _Tally, *, write: bool, differing: bool) -> None:
    from master.format import formatted

    name = str(path)
    try:
        text = path.read_bytes().decode("utf-8")
        result = formatted(text, name)
    except (OSError, UnicodeDecodeError) as error:
        tally.errors.append(SlsError(f"cannot be read: {error}", where=Where(name)))
        return
    except SlsError as error:
        tally.errors.append(error)
        return
    if result.left:
        tally.left[name] = result.left
    elif result.text == text:
        tally.same += 1
    else:
        tally.changed.append(name)
        if differing:
            _show(name, text, result.text)
        if write:
            _replace(path, result.text)


def _show(name: str, before: str, after: str) -> None:
    screen = current().screen
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, f"{name} (formatted)", lineterm="")
    if not screen.machine:
        for line in lines:
            screen.data(screen.style(line, "good" if line.startswith("+") else "bad") if line[:1] in "+-" else line)


def _replace(path: Path, text: str) -> None:
    """Put `text` in the place of the file, whole or not at all, with its mode and owner. Raises InputError."""
    status = path.stat()
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), status.st_mode & 0o7777)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
                file.write(text.encode())
            Path(beside).replace(path)
        except OSError:
            Path(beside).unlink()
            raise
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=Where(str(path))) from None


def _print(tally: _Tally, *, written: bool) -> None:
    screen = current().screen
    if screen.machine:
        content: dict[str, Any] = {
            "changed": tally.changed, "unchanged": tally.same, "left": tally.left,
            "errors": [{"file": each.where.file, "line": each.where.line, "column": each.where.column,
                        "message": each.message} for each in tally.errors],
        }  # fmt: skip
        screen.document("stackmaster.fmt/1", content)
        return
    for name in tally.changed:
        screen.data(f"{'formatted' if written else 'would format'} {name}")
    for error in tally.errors:
        where = error.where
        message = error.message.partition("\n")[0]
        screen.data(f"{where.file}:{max(1, where.line)}:{max(1, where.column)}: error: {message} [yaml]")
    for name, why in tally.left.items():
        screen.talk(f"left alone: {name}: {why}")
    told = "formatted" if written else "to format"
    screen.talk(f"{len(tally.changed)} {told}, {tally.same} in form, {len(tally.left)} left alone")
