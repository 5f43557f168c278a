"""How one term of a target is held against a minion: ids, grains and pillar, addresses. Salt's rules (3008).

Source: https://docs.saltproject.io/en/latest/topics/targeting/, confirmed by running Salt's matchers
(tests/conformance/targets.json).
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from protocol import nodeset, regexes
from protocol.data import Data
from protocol.errors import InputError, TargetError

Test = Callable[[str], bool]
"""Whether a value, as text, is as wanted."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A minion as targets see it."""

    id: str
    grains: Mapping[str, Data] = field(default_factory=dict)
    pillar: Mapping[str, Data] = field(default_factory=dict)


# --- ids ------------------------------------------------------------------------------------------------------


def id_test(pattern: str) -> Test:
    """The test of a glob or node set on an id; with a node set in it, `a[01-20],b` is a list of such patterns.

    Raises TargetError for a wrong node set.
    """
    if not nodeset.is_nodeset(pattern):
        return _glob(pattern)
    tests: list[Test] = []
    for part in _parts(pattern):
        tests.append(nodeset.parse(part).matches if nodeset.is_nodeset(part) else _glob(part))
    return tests[0] if len(tests) == 1 else lambda name: any(test(name) for test in tests)


def _parts(pattern: str) -> list[str]:
    """`pattern` cut at the commas outside brackets."""
    return [part for part in re.findall(r"(?:\[[^\]]*\]|[^,])+", pattern) if part]


def regex(pattern: str, flags: int = 0, *, strict: bool = False) -> re.Pattern[str]:
    """`pattern` compiled; with `strict`, refused when matching it may take for ever. Raises TargetError."""
    try:
        return regexes.compile_safe(pattern, flags) if strict else regexes.compile_pattern(pattern, flags)
    except InputError as error:
        raise TargetError(error.message, help=error.help) from None


# --- grains and pillar ----------------------------------------------------------------------------------------


def value_test(pattern: str, how: str, *, strict: bool = False) -> Test:
    """The test of a value: `how` is glob, pcre or exact; all ignore case. Raises TargetError.

    As on Salt a regular expression is put into small letters, `\\D` into `\\d` too; `strict` refuses such a one.
    """
    if strict and how == "pcre" and re.search(r"(?<!\\)(?:\\\\)*\\[A-Z]", pattern):
        raise TargetError(f"{pattern!r} has a class in capitals, which Salt reads in small letters", help="use [^…]")
    if how == "pcre":
        expression = regex(pattern.lower(), re.IGNORECASE, strict=strict)
        return lambda text: expression.match(text) is not None
    folded = pattern.lower()
    if how == "exact":
        return lambda text: text.lower() == folded
    test = _glob(folded)
    return lambda text: test(text.lower())


def data_matches(data: Data, expression: str, delimiter: str, how: str) -> bool:
    """Whether `key:key:value` holds in `data`; every way to cut it into keys and value is tried.

    A value that is a list matches by any member, a mapping by having the rest as key, path or `*`. `*` as the key
    looks under every top-level key. Without a delimiter nothing matches.
    """
    parts = expression.split(delimiter)
    for cut in range(len(parts) - 1, 0, -1):
        keys = parts[:cut]
        if keys == ["*"]:
            found, rest = data, expression
        else:
            found, rest = walk(data, keys), delimiter.join(parts[cut:])
        if found != {} and _holds(found, rest, how):
            return True
    return False


def walk(data: Data, keys: Sequence[str]) -> Data:
    """What lies in `data` under `keys`, through mappings, list indexes and mappings in lists; `{}` when nothing."""
    for key in keys:
        if isinstance(data, Mapping) and key in data:
            data = data[key]
        elif isinstance(data, list | tuple):
            members = data
            if key.isdigit() and key.isascii() and len(key) < 10:
                if int(key) >= len(members):
                    return {}
                data = members[int(key)]
            else:
                inside = [member for member in members if isinstance(member, Mapping) and key in member]
                if not inside:
                    return {}
                data = inside[0][key]
        else:
            return {}
    return data


def _holds(found: Data, rest: str, how: str) -> bool:
    if isinstance(found, Mapping):
        return _mapping_holds(found, rest, how)
    if isinstance(found, list | tuple):
        inside = (member for member in found if isinstance(member, Mapping))
        return any(_mapping_holds(member, rest, how) for member in inside) or _any_value(found, rest, how)
    return _any_value([found], rest, how)


def _mapping_holds(found: Mapping[str, Data], rest: str, how: str) -> bool:
    everywhere = rest.startswith("*:")
    rest = rest.removeprefix("*:")
    if rest == "*" or rest in found or _any_value(list(found), rest, how) or data_matches(found, rest, ":", how):
        return True
    return everywhere and any(
        _mapping_holds(value, rest, how) if isinstance(value, Mapping) else _any_value(_members(value), rest, how)
        for value in found.values()
    )


def _members(value: Data) -> Sequence[Data]:
    return value if isinstance(value, list | tuple) else [value]


def _any_value(values: Sequence[Data], pattern: str, how: str) -> bool:
    try:
        test = value_test(pattern, how)
    except TargetError:
        return False
    return any(test(text(value)) for value in values)


def text(value: Data) -> str:
    """A value as text, as Python prints it; secrets by their value, since this is only compared."""
    return value[:] if isinstance(value, str) else str(value)


# --- addresses ------------------------------------------------------------------------------------------------

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network(expression: str) -> Network:
    """An address or a network. Raises TargetError, also when host bits are set."""
    try:
        return ipaddress.ip_network(expression)
    except ValueError as error:
        raise TargetError(f"{expression!r} is no address or network: {error}") from None


def address_matches(subject: Subject, wanted: Network) -> bool:
    """Whether some address in the grains `ipv4` or `ipv6` lies in `wanted`."""
    return any(address in wanted for address in _addresses(subject.grains.get(f"ipv{wanted.version}")))


def _addresses(values: Data) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for value in _members(values):
        try:
            yield ipaddress.ip_address(str(value))
        except ValueError:
            continue


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> Test:
    expression = re.compile(fnmatch.translate(pattern))
    return lambda name: expression.match(name) is not None
