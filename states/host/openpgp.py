"""OpenPGP public keys as apt needs them: without their ASCII armour, known by their fingerprints (RFC 9580)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Final

from protocol.errors import StateError

_ARMOUR: Final = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
_PRIVATE: Final = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"
_CRC_START: Final = 0xB704CE
_CRC_POLYNOMIAL: Final = 0x1864CFB
_PUBLIC_KEY: Final = 6
_PUBLIC_SUBKEY: Final = 14
_SECRET_TAGS: Final = (5, 7)


def binary(content: bytes) -> bytes:
    """A key ring in binary: `content` itself, or what its armour holds (every block of it, one after the other).

    Raises StateError when it is neither, is damaged, or holds a private key.
    """
    if _PRIVATE in content:
        raise StateError("this is a private key, which must not be here", help="export only the public key")
    blocks = _ARMOUR.findall(content)
    keys = b"".join(_dearmoured(block) for block in blocks) if blocks else content
    tags = [tag for tag, _ in _packets(keys)]
    if any(tag in _SECRET_TAGS for tag in tags):
        raise StateError("this is a private key, which must not be here", help="export only the public key")
    if _PUBLIC_KEY not in tags:
        raise StateError("this is no OpenPGP public key", help="give the key as gpg --export wrote it")
    return keys


def armoured(keys: bytes) -> bytes:
    """Binary `keys` as one armoured block."""
    body = base64.b64encode(keys)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    checksum = b"=" + base64.b64encode(_crc24(keys).to_bytes(3, "big"))
    begin, end = b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----END PGP PUBLIC KEY BLOCK-----"
    return b"\n".join([begin, b"", *lines, checksum, end, b""])


def fingerprints(keys: bytes) -> tuple[str, ...]:
    """The fingerprints of the keys and subkeys in binary `keys`: 40 or 64 capital hex digits. Raises StateError."""
    found = []
    for tag, body in _packets(keys):
        if tag not in (_PUBLIC_KEY, _PUBLIC_SUBKEY) or not body:
            continue
        if body[0] == 4:
            digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
            found.append(digest.hexdigest().upper())
        elif body[0] == 6:
            found.append(hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper())
    return tuple(found)


def has_key(keys: bytes, identity: str) -> bool:
    """Whether one of `keys` has the fingerprint `identity`, or ends in it (a key id). Raises StateError."""
    wanted = identity.upper().removeprefix("0X").replace(" ", "")
    return bool(wanted) and any(fingerprint.endswith(wanted) for fingerprint in fingerprints(keys))


def _dearmoured(block: bytes) -> bytes:
    """What one armoured block holds, checked by its CRC-24 when it has one."""
    lines = [line.strip() for line in block.strip().splitlines()]
    if b"" in lines:  # headers end at the empty line; without headers there may be none
        lines = lines[lines.index(b"") + 1 :]
    else:
        lines = [line for line in lines if b": " not in line]
    sums = [line for line in lines if line.startswith(b"=")]
    try:
        body = base64.b64decode(b"".join(line for line in lines if not line.startswith(b"=")), validate=True)
        crc = int.from_bytes(base64.b64decode(sums[-1][1:], validate=True), "big") if sums else None
    except (binascii.Error, ValueError):
        raise StateError("the ASCII armour of the key is damaged", help="fetch the key again") from None
    if crc is not None and crc != _crc24(body):
        raise StateError("the checksum of the armoured key is wrong", help="fetch the key again")
    return body


def _crc24(data: bytes) -> int:
    crc = _CRC_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc & 0xFFFFFF


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet. Raises StateError when `data` is no sequence of packets."""
    at = 0
    while at < len(data):
        first = data[at]
        if not first & 0x80:
            raise StateError("this is no OpenPGP key", help="give the key as gpg --export wrote it")
        if first & 0x40:
            tag, (length, at) = first & 0x3F, _new_length(data, at + 1)
        else:
            tag, (length, at) = (first >> 2) & 0x0F, _old_length(data, at + 1, first & 3)
        if at + length > len(data):
            raise StateError("the OpenPGP key is cut short", help="fetch the key again")
        yield tag, data[at : at + length]
        at += length


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    """The length of a packet in the new format and where its body begins."""
    first = data[at] if at < len(data) else 255
    if first < 192:
        return first, at + 1
    if first < 224:
        second = data[at + 1] if at + 1 < len(data) else 0
        return ((first - 192) << 8) + second + 192, at + 2
    if first == 255:
        return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5
    raise StateError("an OpenPGP key has no packets of partial length", help="give the key as gpg --export wrote it")


def _old_length(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """The length of a packet in the old format and where its body begins."""
    if kind == 3:
        return len(data) - at, at
    size = 1 << kind
    return int.from_bytes(data[at : at + size], "big"), at + size
