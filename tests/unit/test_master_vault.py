"""What the vault seals opens again, for its purpose and by its key only, and shows nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.vault import Vault
from protocol.errors import StoreError
from protocol.identity import generate

IDENTITY = generate()


@given(st.binary(max_size=200))
def test_it_opens_again_and_shows_nothing(content: bytes) -> None:
    sealed = Vault(IDENTITY).seal(content, "job 1")
    assert Vault(IDENTITY).open(sealed, "job 1") == content
    assert len(content) < 4 or content not in sealed


def test_the_same_twice_looks_different() -> None:
    vault = Vault(IDENTITY)
    assert vault.seal(b"key", "job 1") != vault.seal(b"key", "job 1")


@pytest.mark.parametrize("cut", [0, 5, 12, 20])
def test_what_was_changed_does_not_open(cut: int) -> None:
    vault = Vault(IDENTITY)
    sealed = vault.seal(b"a content", "job 1")
    flipped = bytearray(sealed)
    flipped[cut] ^= 1
    for wrong in (bytes(flipped), sealed[:cut]):
        with pytest.raises(StoreError):
            vault.open(wrong, "job 1")
    with pytest.raises(StoreError):
        vault.open(sealed, "job 2")
    with pytest.raises(StoreError):
        Vault(generate()).open(sealed, "job 1")
