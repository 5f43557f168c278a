"""Keys are made, kept for their owner alone, and told apart; a token carries them whole."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from protocol.errors import IdentityError, InputError, SignatureError
from protocol.identity import generate, load, load_or_create, public_identity
from protocol.names import event_tag, job_id, minion_id, new_job_id
from protocol.token import JoinToken, read_token


def test_an_identity_is_made_once_and_kept(tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert load_or_create(tmp_path / "key").public == first.public
    first.public.verify(load(tmp_path / "key").sign(b"x"), b"x")


def test_a_key_file_open_to_others_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(IdentityError, match="chmod 600"):
        load(tmp_path / "key")


@pytest.mark.parametrize("change", ["", "zz\n", "00\n\n\n"])
def test_a_damaged_key_file_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(change)
    with pytest.raises(IdentityError, match="malformed"):
        load(path)


def test_halves_of_different_keys_are_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path / "a")
    load_or_create(tmp_path / "b")
    a, b = ((tmp_path / name).read_text().split("\n") for name in "ab")
    (tmp_path / "a").write_text("\n".join([a[0], b[1], a[2], ""]))
    with pytest.raises(IdentityError, match="do not belong together"):
        load(tmp_path / "a")


def test_keys_are_unique_and_well_formed() -> None:
    identities = [generate() for _ in range(200)]
    assert len({i.public.signing for i in identities}) == len({i.public.curve for i in identities}) == 200
    assert all(public_identity(i.public.text()) == i.public for i in identities)


def test_a_public_key_verifies_only_its_own() -> None:
    one, other = generate(), generate()
    with pytest.raises(SignatureError):
        other.public.verify(one.sign(b"m"), b"m")


def test_the_private_key_is_not_printed() -> None:
    identity = generate()
    assert identity.curve_secret.decode() not in repr(identity)


def test_a_token_comes_back_and_damage_is_told() -> None:
    public = generate().public
    token = JoinToken(("10.0.0.1", "ctl1:4505"), public.signing, public.curve, "s" * 32)
    assert read_token(f" {token.text()}\n") == token
    for bad in ("", "hello", "sm1-", token.text()[:-7], token.text().replace("sm1-", "sm1-!")):
        with pytest.raises(InputError, match="keys token"):
            read_token(bad)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\0b", "-a", ".a", "a..b", "é", "a" * 254, "a b", "a\n"])
def test_what_is_no_minion_id(name: str) -> None:
    with pytest.raises(InputError):
        minion_id(name)


def test_job_ids_sort_by_time() -> None:
    first, second = new_job_id(1_800_000_000.0), new_job_id(1_800_000_000.1)
    assert first < second
    assert job_id(first) == first
    for bad in ("../../etc/passwd", first + "x", ""):
        with pytest.raises(InputError):
            job_id(bad)


@pytest.mark.parametrize("tag", ["", "a//b", "/a", "a/", "a/../b\0", "a b", "x" * 600, "a/é"])
def test_what_is_no_event_tag(tag: str) -> None:
    with pytest.raises(InputError):
        event_tag(tag)
