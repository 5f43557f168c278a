"""Keys come out of their armour, have the fingerprints that GnuPG gives them, and nothing else passes for a key."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import StateError
from states.host import openpgp
from tests.unit.openpgp_samples import ED25519, ED25519_FINGERPRINT, RSA, RSA_FINGERPRINT


def test_armour_is_taken_off_and_put_on() -> None:
    keys = openpgp.binary(ED25519.encode())
    assert keys[0] & 0x80
    assert openpgp.binary(keys) == keys
    assert openpgp.binary(openpgp.armoured(keys)) == keys
    assert openpgp.armoured(keys).decode() == ED25519


def test_several_blocks_with_headers_and_foreign_line_ends() -> None:
    text = (
        ED25519.replace("BLOCK-----\n\n", "BLOCK-----\nVersion: x\nComment: y\n\n").replace("\n", "\r\n")
        + "noise\n"
        + RSA
    )
    assert openpgp.fingerprints(openpgp.binary(text.encode())) == (ED25519_FINGERPRINT, RSA_FINGERPRINT)


@pytest.mark.parametrize(
    "identity",
    [
        RSA_FINGERPRINT,
        f"0x{RSA_FINGERPRINT.lower()}",
        RSA_FINGERPRINT[-16:],
        "3109 01DE 52EF 0ABF 698D  E361 46B8 DC2B 753B E81B",
    ],
)
def test_a_key_is_known_by_its_id(identity: str) -> None:
    assert openpgp.has_key(openpgp.binary(RSA.encode()), identity)
    assert not openpgp.has_key(openpgp.binary(ED25519.encode()), identity)
    assert not openpgp.has_key(openpgp.binary(RSA.encode()), "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no OpenPGP public key"),
        (b"<html>not found</html>", "no OpenPGP key"),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "private key"),
        (ED25519.replace("mDMEav", "mDMEaw").encode(), "checksum"),
        (ED25519.replace("mDMEav", "mDM!av").encode(), "damaged"),
        (openpgp.binary(RSA.encode())[:-5], "cut short"),
        (b"\x94\x03\x04ab", "private key"),
    ],
)
def test_what_is_no_public_key_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(StateError, match=reason):
        openpgp.binary(content)


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_key_or_a_state_error(content: bytes) -> None:
    with contextlib.suppress(StateError):
        openpgp.fingerprints(openpgp.binary(content))
    with contextlib.suppress(StateError):
        openpgp.fingerprints(openpgp.binary(openpgp.armoured(content)))
