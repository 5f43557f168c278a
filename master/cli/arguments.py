"""How the words of a command line become arguments: Salt's rules (salt.utils.args), without its losses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import InputError, Where

if TYPE_CHECKING:
    from protocol.data import Data

_KEYWORD = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=(?!=)(.*)", re.DOTALL)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def split(words: Sequence[str]) -> tuple[tuple[Data, ...], dict[str, Data]]:
    """`words` as positional and keyword arguments: `k=v` is a keyword, the rest in order; values as `value` reads."""
    args: list[Data] = []
    kwargs: dict[str, Data] = {}
    for word in words:
        keyword = _KEYWORD.fullmatch(word)
        if keyword is None:
            args.append(value(word))
        else:
            kwargs[keyword[1]] = value(keyword[2])
    return tuple(args), kwargs


def value(text: str) -> Data:
    """One word as a YAML scalar, or as a flow list or mapping when it begins with `[` or `{`.

    What YAML would change without being asked stays text: `1_000`, `0644`, `1.10`, `12:30`, dates, `a: b`, text with
    a line break or a `#`.
    """
    if not text.strip() or "\n" in text or "\t" in text:
        return text
    if text == "None":
        return None
    flow = text.startswith(("{", "["))
    if not flow and (re.fullmatch(r"[0-9][0-9_:]*[_:][0-9_:]*|0[0-9]+", text) or text in ("|", "!")):
        return text
    parsed = _yaml(text)
    if isinstance(parsed, dict | list):
        return parsed if flow else text
    if parsed is None:
        return None if text in ("null", "~", "Null", "NULL") else text
    if isinstance(parsed, float):
        return parsed if math.isfinite(parsed) and repr(parsed) == text else text
    if isinstance(parsed, str):
        return text if "#" in text else parsed
    return parsed if isinstance(parsed, bool | int) else text


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def pillar(words: Sequence[str]) -> dict[str, Data]:
    """Pillar given on the command line: `k=v`, a JSON or YAML mapping in braces, or `@FILE` holding one.

    Later words win; `a:b=v` sets `b` inside `a`. Raises InputError.
    """
    merged: dict[str, Data] = {}
    for word in words:
        if word.startswith("@"):
            merged = _merge(merged, mapping_file(Path(word[1:])))
        elif word.startswith("{"):
            merged = _merge(merged, _mapping(word, "--pillar"))
        else:
            key, found, given = word.partition("=")
            if not found or not key:
                raise InputError(f"--pillar {word!r} is no pillar", help="give key=value, a JSON mapping, or @FILE")
            nested: Data = value(given)
            for part in reversed(key.split(":")):
                nested = {part: nested}
            assert isinstance(nested, dict)
            merged = _merge(merged, nested)
    return merged


def mapping_file(path: Path) -> dict[str, Data]:
    """The mapping in a YAML or JSON file; `-` is standard input. Raises InputError."""
    import sys

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=Where(file=str(path))) from None
    return _mapping(text, str(path))


def _mapping(text: str, place: str) -> dict[str, Data]:
    import yaml

    try:
        parsed = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = Where(file=place, line=mark.line + 1, column=mark.column + 1) if mark else Where(file=place)
        raise InputError(f"not YAML: {error.problem}", where=where) from None
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", where=Where(file=place)) from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise InputError("not a mapping of keys to values", where=Where(file=place), help="write key: value")
    plain: dict[str, Data] = json.loads(json.dumps(parsed, default=str))
    return plain


def _merge(under: Mapping[str, Data], over: Mapping[str, Data]) -> dict[str, Data]:
    merged = dict(under)
    for key, new in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, new) if isinstance(old, Mapping) and isinstance(new, Mapping) else new
    return merged


def seconds(text: str) -> float:
    """A span of time, `90`, `90s`, `10m`, `2h` or `1d`, in seconds. Raises InputError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is no span of time", help="write 90s, 10m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2]]
