"""Filters that make digests."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

from master.compiler.filters.text import to_bytes


def digest(value: Any, checksum: str = "md5") -> str:
    """The digest of text or bytes in hex. Raises ValueError for an unknown algorithm."""
    return hashlib.new(checksum, to_bytes(value), usedforsecurity=False).hexdigest()


def hmac_compute(value: Any, key: Any) -> str:
    """HMAC-SHA256 in hex."""
    return hmac.new(to_bytes(key), to_bytes(value), hashlib.sha256).hexdigest()


def hmac_signature(value: Any, key: Any, challenge: Any) -> bool:
    """Whether `challenge` is the HMAC-SHA256 of `value`, in base64."""
    made = base64.b64encode(hmac.new(to_bytes(key), to_bytes(value), hashlib.sha256).digest())
    return hmac.compare_digest(made, to_bytes(challenge))


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "md5": digest,
    "sha1": lambda value: digest(value, "sha1"),
    "sha256": lambda value: digest(value, "sha256"),
    "sha512": lambda value: digest(value, "sha512"),
    "hmac": hmac_signature,
    "hmac_compute": hmac_compute,
}
"""By the name that a template uses."""
