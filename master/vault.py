"""Seals what the database must keep though it holds secrets: commands that wait for their minions.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits; the key is derived by HKDF-SHA256 (RFC 5869) from the
master's signing key. So the database file and its copies tell no secret without the identity file.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import StoreError
from protocol.identity import Identity

_NONCE = 12


class Vault:
    """Seals and opens byte strings with a key that only this master's identity gives."""

    def __init__(self, identity: Identity) -> None:
        seed = identity.signing.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )
        key = HKDF(hashes.SHA256(), 32, salt=None, info=b"stackmaster vault v1").derive(seed)
        self._cipher = AESGCM(key)

    def seal(self, content: bytes, purpose: str) -> bytes:
        """`content` as nobody else can read or change it; it opens for the same `purpose` only."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, purpose.encode("utf-8"))

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed. Raises StoreError when it was changed, or sealed for another purpose or by another key."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode("utf-8"))
        except (InvalidTag, ValueError):
            raise StoreError(
                "a sealed entry of the database cannot be opened",
                help="was the master's identity file replaced? jobs that were waiting must be started again",
            ) from None
