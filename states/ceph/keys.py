"""cephx keys and keyring files: how a key is made, and how a keyring is read, compared and written."""

from __future__ import annotations

import base64
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from protocol.errors import ArgumentError, StateError
from protocol.secrets import UNKNOWN, Secret

Caps = Mapping[str, str]
"""What an entity may do: daemon kind (`mon`, `osd`, `mds`, `mgr`) -> capability (`allow r`)."""

FOUNDING_CAPS: Final[Mapping[str, Caps]] = MappingProxyType(
    {
        "mon.": {"mon": "allow *"},
        "client.admin": {"mds": "allow *", "mgr": "allow *", "mon": "allow *", "osd": "allow *"},
        "client.bootstrap-osd": {"mgr": "allow r", "mon": "profile bootstrap-osd"},
    }
)
"""The entities that a cluster begins with and their capabilities (docs.ceph.com, manual deployment)."""

_KEY = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_ENTITY = re.compile(r"(?:mon|(?:client|osd|mds|mgr)\.[A-Za-z0-9][A-Za-z0-9._-]*)\.?")
_SECTION = re.compile(r"\[(?P<entity>[^\]]+)\]")
_LINE = re.compile(r"(?P<name>[a-z ]+?)\s*=\s*(?P<value>.*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entity of a keyring."""

    key: Secret
    caps: Caps = field(default_factory=dict)


Keyring = Mapping[str, Entry]
"""Entity (`client.admin`, `mon.`) -> its key and capabilities."""


def generate(now: float) -> Secret:
    """A new key, made at `now` (epoch seconds)."""
    return from_bytes(os.urandom(16), int(now))


def from_bytes(secret: bytes, created: int = 1577836800) -> Secret:
    """The key that holds the 16 bytes `secret`: type 1 (AES), the time it was made, the bytes; in base64.

    The layout is that of Ceph's CryptoKey (src/auth/Crypto.cc): u16 type, u32 seconds, u32 nanoseconds, u16 length.
    """
    return Secret(base64.b64encode(struct.pack("<HIIH", 1, created, 0, len(secret)) + secret).decode())


def is_unknown(key: str) -> bool:
    """Whether `key` stands for one that only a real run can tell."""
    return key[:] == UNKNOWN


def check_key(key: str, entity: str) -> Secret:
    """`key` as a Secret. Raises ArgumentError when it is no cephx key (its text is not shown)."""
    text = key[:].strip()
    if not is_unknown(text) and _KEY.fullmatch(text) is None:
        raise ArgumentError(f"the key given for {entity} is not a cephx key", help="`ceph auth get-key` prints one")
    return Secret(text)


def check_entity(entity: str) -> str:
    """`entity` when it is a name of an entity (`client.cinder`). Raises ArgumentError."""
    if _ENTITY.fullmatch(entity) is None:
        raise ArgumentError(f"{entity!r} is not an entity of Ceph", help="write it like client.cinder or mgr.mon1")
    return entity


def parse(text: str, file: str = "keyring") -> dict[str, Entry]:
    """The entities of a keyring file. Raises StateError when it cannot be read as one (its text is not shown)."""
    drafts: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    for number, raw in enumerate(text[:].splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if section := _SECTION.fullmatch(line):
            current = drafts.setdefault(section["entity"].strip(), {})
            continue
        setting = _LINE.fullmatch(line)
        if setting is None or current is None:
            raise StateError(f"line {number} of {file} is not part of a keyring", help="move the file away")
        current[setting["name"]] = setting["value"].strip().strip('"')
    return {entity: _entry(draft) for entity, draft in drafts.items() if "key" in draft}


def _entry(draft: Mapping[str, str]) -> Entry:
    caps = {name.removeprefix("caps ").strip(): text for name, text in draft.items() if name.startswith("caps ")}
    return Entry(Secret(draft["key"]), caps)


def render(keyring: Keyring) -> Secret:
    """The text of a keyring file, as `ceph-authtool` writes it."""
    lines: list[str] = []
    for entity, entry in keyring.items():
        lines += [f"[{entity}]", "\tkey = " + entry.key[:]]
        lines += [f'\tcaps {kind} = "{caps}"' for kind, caps in sorted(entry.caps.items())]
    return Secret("".join(line + "\n" for line in lines))


def same_caps(one: Caps, other: Caps) -> bool:
    """Whether two sets of capabilities say the same, whatever their blanks."""
    return _plain(one) == _plain(other)


def _plain(caps: Caps) -> dict[str, str]:
    return {kind: ", ".join(" ".join(part.split()) for part in text.split(",")) for kind, text in caps.items()}
