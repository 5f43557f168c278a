"""Options in the monitors' configuration database: what is set there, and the state that sets one."""

from __future__ import annotations

import re
from typing import Final

from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.results import Change
from states.ceph import client
from states.ceph.client import Cluster
from states.context import Context
from states.contract import Action, Plan
from states.registry import state

_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<suffix>[KMGTPE])(?:i?B)?", re.IGNORECASE)
_WORDS: Final = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}


@state("ceph.config_set")
def config_set(
    ctx: Context,
    name: str,
    *,
    value: Data,
    section: str | None = None,
    option: str | None = None,
    admin_key: str | None = None,
) -> Plan:
    """The monitors' database sets an option to `value` (as `ceph config set` does).

    The name is `section/option` (`mon/auth_allow_insecure_global_id_reclaim`), unless both are given. A section is a
    daemon or kind of daemon (`global`, `mon`, `osd.3`), also with a mask (`osd/class:ssd`). Values are compared by
    what they mean: 4G is 4294967296, yes is true. Raises ArgumentError, StateError.
    """
    where, what = (section, option) if section and option else _split(name)
    text = _text(where, what, value)
    found = client.look(ctx, admin_key, lambda cluster: read(cluster, what))
    old = None if found is None else found.get((where, what))
    if old is not None and same_value(old, text):
        return Plan((), f"{where} {what} is {text}")

    def perform() -> Data:
        client.connect(ctx, admin_key).tell("config", "set", where, what, text, about=[what])
        return None

    change = Change("create" if old is None else "change", f"ceph option {where}/{what}", "value", old=old, new=text)
    return Plan([Action(change, perform)], f"{where} {what} was set to {text}")


def read(cluster: Cluster, about: str) -> dict[tuple[str, str], str]:
    """(section with mask, option) -> value as the monitors keep it. Raises StateError."""
    return {
        (_section(row["section"], row["mask"]), row["name"]): row["value"]
        for row in cluster.ask("config", "dump", about=about)
    }


def same_value(one: str, other: str) -> bool:
    """Whether two texts of an option mean the same value."""
    return _meaning(one) == _meaning(other)


def size_in_bytes(size: str | int) -> int:
    """The bytes of "4G", "512M" (powers of 1024) or a plain number. Raises ArgumentError."""
    meaning = _meaning(str(size))
    if isinstance(meaning, str) or meaning < 0 or not meaning.is_integer():
        raise ArgumentError(f"{size!r} is not a size", help="write it like 4G")
    return int(meaning)


def _section(section: str, mask: str) -> str:
    return f"{section}/{mask}" if mask else section


def _split(name: str) -> tuple[str, str]:
    section, slash, option = name.rpartition("/")
    if not slash or not section or not option:
        raise ArgumentError(f"{name!r} does not say which option of which section", help="write it like mon/debug_mon")
    return section, option


def _text(section: str, option: str, value: Data) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return value[:] if isinstance(value, str) else str(value)
    raise ArgumentError(f"the value of {section}/{option} must be a text, a number or a boolean")


def _meaning(text: str) -> str | float:
    plain = text.strip()
    if plain.lower() in _WORDS:
        return _WORDS[plain.lower()]
    if size := _SIZE.fullmatch(plain):
        power = "KMGTPE".index(size["suffix"].upper()) + 1
        return float(size["number"]) * float(1024**power)
    try:
        return float(plain)
    except ValueError:
        return plain
