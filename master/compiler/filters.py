"""The filters and tests that Salt adds to Jinja and that need nothing but their arguments."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import pprint
import re
import shlex
import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import yaml

from master.compiler.merge import traverse
from master.compiler.yaml import load_plain

_WIDE = 2**30
"""A line of YAML is never folded: a template prints it into the middle of other text."""


class _Dumper(yaml.SafeDumper):
    """Dumps subclasses of dict, list and str as what they are, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_multi_representer(str, lambda dumper, value: dumper.represent_str(value[:]))
_Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(value.items()))
_Dumper.add_multi_representer(list, lambda dumper, value: dumper.represent_list(value))
_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_list(list(value)))


def to_json(value: Any, sort_keys: bool = True, indent: int | None = None) -> str:
    """JSON; keys are sorted where they can be compared."""
    try:
        return json.dumps(value, sort_keys=sort_keys, indent=indent)
    except TypeError:
        return json.dumps(value, indent=indent)


def to_yaml(value: Any, flow_style: bool = True) -> str:
    """YAML in flow style on one line, or in block style."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=flow_style, sort_keys=False, width=_WIDE)
    return text.strip().removesuffix("\n...")


def to_python(value: Any) -> str:
    """A Python literal."""
    return pprint.pformat(value).strip()


def load_yaml(value: Any) -> Any:
    """The data in YAML text. Raises YamlError."""
    return load_plain(str(value), "the text given to load_yaml")


def load_json(value: Any) -> Any:
    """The data in JSON text. Raises ValueError."""
    return json.loads(str(value))


def yaml_dquote(value: Any) -> str:
    """A double-quoted YAML scalar."""
    text = yaml.dump(str(value), Dumper=_Dumper, default_style='"', width=_WIDE, allow_unicode=True)
    return text.strip()


def yaml_squote(value: Any) -> str:
    """A single-quoted YAML scalar."""
    text = yaml.dump(str(value), Dumper=_Dumper, default_style="'", width=_WIDE, allow_unicode=True)
    return text.strip()


def yaml_encode(value: Any) -> str:
    """One YAML scalar. Raises TypeError when `value` is a mapping or list."""
    if isinstance(value, Mapping | list | tuple):
        raise TypeError("yaml_encode() only works with YAML scalar data")
    return to_yaml(value)


def to_bool(value: Any) -> bool:
    """Salt's idea of truth: true, yes, 1, a positive number, a container that holds something."""
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.lower() in ("yes", "1", "true")
    if isinstance(value, int | float):
        return value > 0
    return not isinstance(value, Hashable) and len(value) > 0


def regex_search(text: str, pattern: str, ignorecase: bool = False, multiline: bool = False) -> tuple[Any, ...] | None:
    """The groups of the first place where `pattern` is found, or None."""
    found = re.search(pattern, text, _flags(ignorecase, multiline))
    return found.groups() if found else None


def regex_match(text: str, pattern: str, ignorecase: bool = False, multiline: bool = False) -> tuple[Any, ...] | None:
    """The groups of `pattern` at the beginning of `text`, or None."""
    found = re.match(pattern, text, _flags(ignorecase, multiline))
    return found.groups() if found else None


def regex_replace(text: str, pattern: str, by: str, ignorecase: bool = False, multiline: bool = False) -> str:
    """`text` with every match of `pattern` replaced."""
    return re.sub(pattern, by, text, flags=_flags(ignorecase, multiline))


def unique(values: Iterable[Any], *_ignored: Any) -> list[Any]:
    """Each value once, in order."""
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def sequence(value: Any) -> Any:
    """`value` when it is a list, else a list of it."""
    return value if isinstance(value, list | tuple | set | Mapping) else [value]


def flatten(values: Any, levels: int | None = None, preserve_nulls: bool = False) -> list[Any]:
    """One list of the items of lists within lists, down to `levels`."""
    flat: list[Any] = []
    for value in values:
        if value is None and not preserve_nulls:
            continue
        if isinstance(value, list | tuple) and (levels is None or levels >= 1):
            flat += flatten(value, None if levels is None else levels - 1, preserve_nulls)
        else:
            flat.append(value)
    return flat


def path_join(first: str, *rest: str) -> str:
    """One path of its parts."""
    parts = [first, *rest]
    joined = "/".join(part.strip("/") for part in parts if part.strip("/"))
    return "/" + joined if first.startswith("/") else joined


def _flags(ignorecase: bool, multiline: bool) -> re.RegexFlag:
    return (re.IGNORECASE if ignorecase else re.NOFLAG) | (re.MULTILINE if multiline else re.NOFLAG)


def _is_address(version: int | None) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            address = ipaddress.ip_address(str(value))
        except ValueError:
            return False
        return version is None or address.version == version

    return check


def _addresses(version: int | None) -> Callable[[Any], Any]:
    """Those of a list (or the one given) that are addresses or networks; None when there are none."""

    def pick(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [item for item in value if pick(item) is not None] or None
        try:
            interface = ipaddress.ip_interface(str(value))
        except ValueError:
            return None
        return value if version is None or interface.version == version else None

    return pick


def _hash(name: str) -> Callable[[Any], str]:
    return lambda value: hashlib.new(name, str(value).encode(), usedforsecurity=False).hexdigest()


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _number(text: Any) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


FILTERS: Mapping[str, Callable[..., Any]] = {
    "json": to_json,
    "yaml": to_yaml,
    "python": to_python,
    "load_yaml": load_yaml,
    "load_json": load_json,
    "yaml_encode": yaml_encode,
    "yaml_dquote": yaml_dquote,
    "yaml_squote": yaml_squote,
    "to_bool": to_bool,
    "quote": lambda value: shlex.quote(str(value)),
    "regex_search": regex_search,
    "regex_match": regex_match,
    "regex_replace": regex_replace,
    "regex_escape": re.escape,
    "unique": unique,
    "sequence": sequence,
    "flatten": flatten,
    "traverse": traverse,
    "path_join": path_join,
    "difference": lambda first, second: [item for item in first if item not in second],
    "intersect": lambda first, second: unique(item for item in first if item in second),
    "union": lambda first, second: unique(chain(first, second)),
    "symmetric_difference": lambda first, second: unique(
        chain((item for item in first if item not in second), (item for item in second if item not in first))
    ),
    "zip": lambda *values: list(zip(*values, strict=False)),
    "avg": _average,
    "is_list": lambda value: isinstance(value, list),
    "is_iter": lambda value: isinstance(value, Iterable) and not isinstance(value, str),
    "is_ip": _is_address(None),
    "is_ipv4": _is_address(4),
    "is_ipv6": _is_address(6),
    "ipaddr": _addresses(None),
    "ipv4": _addresses(4),
    "ipv6": _addresses(6),
    "base64_encode": lambda value: base64.b64encode(str(value).encode()).decode("ascii"),
    "base64_decode": lambda value: base64.b64decode(str(value)).decode(),
    "md5": _hash("md5"),
    "sha1": _hash("sha1"),
    "sha256": _hash("sha256"),
    "sha512": _hash("sha512"),
    "uuid": lambda value: str(uuid.uuid5(uuid.NAMESPACE_DNS, str(value))),
    "str_to_num": _number,
    "to_num": _number,
    "substring_in_list": lambda part, values: any(part in str(value) for value in values),
}
"""By the name that a template uses."""

ENCODERS = frozenset(
    {"json", "tojson", "yaml", "python", "yaml_encode", "yaml_dquote", "yaml_squote", "quote", "is_list"}
)
"""Filters whose result is safe in YAML text whatever goes in, or holds nothing of it."""

TESTS: Mapping[str, Callable[..., Any]] = {
    "list": lambda value: isinstance(value, list),
    "match": lambda value, pattern: re.match(pattern, str(value)) is not None,
    "equalto": lambda first, second: first == second,
}
