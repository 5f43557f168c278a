"""The first line of a file, `#!jinja|yaml|gpg`: which renderers it goes through."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final, Literal

from protocol.errors import SlsError, Where

Kind = Literal["yaml", "json", "text", "py"]

RENDERERS: Final = {
    "jinja": "renders templates; first in the line, or nowhere",
    "yaml": "reads YAML",
    "json": "reads JSON",
    "text": "takes the text as it is",
    "py": "runs Python code; in the master's compiling processes, when allow_py_renderer is set",
    "gpg": "decrypts OpenPGP messages in what was read; behind yaml or json",
    "stateconf": "as `yaml . jinja`, with ids of the file's own (`.id`) and parameters",
}
"""The renderers that there are."""

ELSEWHERE: Final = frozenset(
    {
        "aws_kms", "cheetah", "dson", "genshi", "hjson", "json5", "mako", "msgpack", "nacl", "pass", "pydsl",
        "pyobjects", "toml", "tomlmod", "wempy", "yamlex",
    }
)  # fmt: skip
"""Renderers of Salt that are not offered."""

_END_OF_CONFIG: Final = re.compile(r"#\s*-+\s*end of state config\s*-+")


@dataclass(frozen=True, slots=True)
class StateConf:
    """The options of the renderer stateconf: without a goal state, in implicit order, with a start state."""

    goal: bool = True
    ordered: bool = False
    start: bool = False


@dataclass(frozen=True, slots=True)
class Pipe:
    """What a file goes through."""

    jinja: bool = True
    kind: Kind = "yaml"
    gpg: bool = False
    stateconf: StateConf | None = None


def pipe(file: str, source: str) -> Pipe:
    """The pipe of `file`, as its first line says. Raises SlsError for what is not known or makes no sense."""
    first = source.partition("\n")[0].rstrip()
    if not first.startswith("#!") or first.startswith("#!/"):
        return Pipe()
    line = first.removeprefix("#!").strip()
    if not line:
        return Pipe()
    try:
        return _stateconf(line) if line.split()[0] == "stateconf" else _pipe(line)
    except SlsError as error:
        raise SlsError(error.message, where=Where(file, 1), help=error.help) from None


def config_part(source: str) -> str | None:
    """The text before the mark that ends the parameters of a stateconf file, with as many lines; None without it."""
    found = _END_OF_CONFIG.search(source)
    return None if found is None else source[: found.start()]


def _pipe(line: str) -> Pipe:
    names = [part.split()[0] if part.split() else "" for part in line.split("|")]
    for name in names:
        _check(name)
    jinja = names[0] == "jinja"
    rest = names[1:] if jinja else names
    gpg = bool(rest) and rest[-1] == "gpg"
    rest = rest[:-1] if gpg else rest
    if rest == ["py"] and not jinja:
        return Pipe(False, "py", gpg)
    if len(rest) > 1 or (rest and rest[0] in ("jinja", "gpg", "py", "stateconf")):
        raise SlsError(f"the renderers {line!r} do not fit together", help="write jinja|yaml|gpg, or a part of it")
    kind: Kind = "json" if rest == ["json"] else "text" if rest == ["text"] else "yaml"
    return Pipe(jinja, kind, gpg)


def _stateconf(line: str) -> Pipe:
    words = line.split()[1:]
    flags = "".join(word.removeprefix("-") for word in words if word.startswith("-"))
    rest = [word for word in words if not word.startswith("-")] or ["yaml", ".", "jinja"]
    unknown = set(flags) - set("Gosp")
    if unknown or rest[:1] != ["yaml"] or rest[1:] not in (["."], [".", "jinja"]):
        help = "write `#!stateconf [-Gos] yaml . jinja`"
        raise SlsError(f"the renderer line {line!r} is none that stateconf knows", help=help)
    return Pipe(stateconf=StateConf("G" not in flags, "o" in flags, "s" in flags))


def _check(name: str) -> None:
    if name in RENDERERS:
        return
    if name in ELSEWHERE:
        help = "write the file as jinja|yaml, which is the default"
        raise SlsError(f"the renderer {name!r} is not offered", help=help)
    close = difflib.get_close_matches(name, RENDERERS, n=1)
    help = f"did you mean {close[0]!r}?" if close else "there is " + ", ".join(RENDERERS)
    raise SlsError(f"the renderer {name!r} is not known", help=help)
