"""Keys: what an enrolment comes to, what tokens let in, and that a deleted key leaves nothing behind."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from master.keys import Keys, check_request
from master.store import keyring, queries
from master.store.store import Store
from protocol.errors import InputError, NoTargetError
from protocol.identity import Identity, generate
from protocol.messages import Enrol
from tests.functional.wire_peer import enrol_request

MASTER = generate()


def run(path: Path, use: Callable[[Keys, Store], Awaitable[None]], pending: int = 10) -> None:
    """Use the keys in a fresh store within a loop."""

    async def within() -> None:
        opened = Store(path / "db")
        opened.open()
        try:
            keys = Keys(opened, MASTER, pending)
            await keys.load()
            await use(keys, opened)
        finally:
            await opened.close()

    asyncio.run(within())


async def ask(keys: Keys, identity: Identity, minion: str = "osd1", token: str = "") -> str:
    answer = await keys.enrol(enrol_request(identity, minion, token), identity.curve_public, "192.0.2.7")
    return answer.state


async def secret(keys: Keys, lifetime: float = 60.0, uses: int = 1) -> str:
    return (await keys.token(["ctl1"], lifetime, uses, "root")).secret


async def states(keys: Keys) -> list[tuple[str, str]]:
    return [(key.minion, key.state.value) for key in await keys.all()]


def test_without_a_token_a_key_waits_for_a_person(tmp_path: Path) -> None:
    one = generate()

    async def use(keys: Keys, store: Store) -> None:
        assert await ask(keys, one) == "pending"
        assert keys.user_of(one.curve_public) is None
        assert await keys.accept(["osd*"], "root") == ["osd1"]
        assert await ask(keys, one) == "accepted"
        assert keys.minion_of(keys.user_of(one.curve_public) or "") == "osd1"

    run(tmp_path, use)


def test_a_token_lets_in_as_often_as_it_says(tmp_path: Path) -> None:
    async def use(keys: Keys, store: Store) -> None:
        token = await secret(keys, uses=2)
        assert [await ask(keys, generate(), f"osd{n}", token) for n in range(3)] == ["accepted", "accepted", "refused"]
        assert await states(keys) == [("osd0", "accepted"), ("osd1", "accepted")]

    run(tmp_path, use)


def test_a_token_is_spent_by_one_of_many_at_once(tmp_path: Path) -> None:
    async def use(keys: Keys, store: Store) -> None:
        token = await secret(keys)
        answers = await asyncio.gather(*(ask(keys, generate(), f"osd{n}", token) for n in range(20)))
        assert sorted(answers) == ["accepted"] + ["refused"] * 19

    run(tmp_path, use)


@pytest.mark.parametrize(("later", "state"), [(59.0, "accepted"), (60.0, "refused"), (61.0, "refused")])
def test_a_token_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: float, state: str) -> None:
    async def use(keys: Keys, store: Store) -> None:
        monkeypatch.setattr(time, "time", lambda: 1000.0)
        token = await secret(keys, 60.0)
        monkeypatch.setattr(time, "time", lambda: 1000.0 + later)
        assert await ask(keys, generate(), token=token) == state

    run(tmp_path, use)


def test_a_wrong_token_leaves_no_trace(tmp_path: Path) -> None:
    async def use(keys: Keys, store: Store) -> None:
        await secret(keys)
        assert await ask(keys, generate(), token="guessed") == "refused"
        assert await states(keys) == []

    run(tmp_path, use)


def test_the_secret_of_a_token_is_not_in_the_database(tmp_path: Path) -> None:
    made: list[str] = []

    async def use(keys: Keys, store: Store) -> None:
        made.append(await secret(keys))

    run(tmp_path, use)
    assert made[0].encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_another_key_cannot_take_an_accepted_id(tmp_path: Path) -> None:
    one, two = generate(), generate()

    async def use(keys: Keys, store: Store) -> None:
        assert await ask(keys, one, token=await secret(keys)) == "accepted"
        spare = await secret(keys)
        assert await ask(keys, two) == "refused"
        assert await ask(keys, two, token=spare) == "refused"
        assert await states(keys) == [("osd1", "accepted"), ("osd1", "denied")]
        assert keys.user_of(two.curve_public) is None
        assert await ask(keys, two, "osd2", spare) == "accepted"

    run(tmp_path, use)


def test_one_key_cannot_be_two_minions(tmp_path: Path) -> None:
    one = generate()

    async def use(keys: Keys, store: Store) -> None:
        assert await ask(keys, one, token=await secret(keys)) == "accepted"
        assert await ask(keys, one, "osd2", await secret(keys)) == "refused"
        assert list(keys.accepted) == ["osd1"]

    run(tmp_path, use)


def test_who_asks_second_for_a_waiting_id_is_shown_as_a_conflict(tmp_path: Path) -> None:
    one, two = generate(), generate()

    async def use(keys: Keys, store: Store) -> None:
        assert await ask(keys, one) == "pending"
        assert await ask(keys, two) == "refused"
        assert await states(keys) == [("osd1", "pending"), ("osd1", "denied")]
        assert await keys.accept([two.public.fingerprint], "root") == ["osd1"]
        assert keys.user_of(two.curve_public) is not None
        assert keys.user_of(one.curve_public) is None
        assert sorted(await states(keys)) == [("osd1", "accepted"), ("osd1", "denied")]

    run(tmp_path, use)


def test_how_many_may_wait_is_bounded(tmp_path: Path) -> None:
    async def use(keys: Keys, store: Store) -> None:
        answers = [await ask(keys, generate(), f"osd{n}") for n in range(5)]
        assert answers == ["pending"] * 3 + ["refused"] * 2

    run(tmp_path, use, pending=3)


def test_a_key_accepted_anew_is_another_generation_and_inherits_nothing(tmp_path: Path) -> None:
    one = generate()
    removed: list[str] = []

    async def use(keys: Keys, store: Store) -> None:
        keys.on_removed(removed.append)
        await ask(keys, one, token=await secret(keys))
        before = keys.user_of(one.curve_public)
        await store.write(lambda tx: queries.save_grains(tx, "osd1", b"\x81\xa1a\x01"))
        assert await keys.delete(["osd1"], "root") == ["osd1"]
        assert removed == ["osd1"]
        assert keys.minion_of(before or "") is None
        assert await store.read(queries.minions) == []
        assert await ask(keys, one, token=await secret(keys)) == "accepted"
        assert keys.user_of(one.curve_public) not in (None, before)

    run(tmp_path, use)


def test_a_rejected_key_stays_rejected_until_a_person_decides_otherwise(tmp_path: Path) -> None:
    one = generate()

    async def use(keys: Keys, store: Store) -> None:
        await ask(keys, one)
        assert await keys.reject(["osd1"], "root") == ["osd1"]
        assert await ask(keys, one) == "rejected"
        assert await ask(keys, one, token=await secret(keys)) == "rejected"
        assert await keys.accept(["osd1"], "root") == ["osd1"]
        assert await ask(keys, one) == "accepted"

    run(tmp_path, use)


def test_a_name_that_no_key_has_is_an_error(tmp_path: Path) -> None:
    async def use(keys: Keys, store: Store) -> None:
        for decide in (keys.accept, keys.reject, keys.delete):
            with pytest.raises(NoTargetError, match="no key matches"):
                await decide(["nobody"], "root")

    run(tmp_path, use)


@pytest.mark.parametrize(("lifetime", "uses"), [(0.0, 1), (-1.0, 1), (1e9, 1), (60.0, 0), (60.0, 10**9)])
def test_tokens_have_bounds(tmp_path: Path, lifetime: float, uses: int) -> None:
    async def use(keys: Keys, store: Store) -> None:
        with pytest.raises(InputError):
            await secret(keys, lifetime, uses)
        assert await store.read(lambda rows: keyring.token_count(rows, 0.0)) == 0

    run(tmp_path, use)


def _forged(request: Enrol, other: Identity) -> dict[str, Enrol]:
    return {
        "older wire": dataclasses.replace(request, wire=0),
        "newer wire": dataclasses.replace(request, wire=99),
        "another id": dataclasses.replace(request, minion="osd2"),
        "a path": dataclasses.replace(request, minion="../../etc/passwd"),
        "another signing key": dataclasses.replace(request, signing=other.public.signing),
        "another curve key": dataclasses.replace(request, curve=other.curve_public),
        "no signature": dataclasses.replace(request, signature=b""),
        "a changed signature": dataclasses.replace(request, signature=bytes(64)),
        "a short key": dataclasses.replace(request, signing=b"x"),
    }


def test_only_proof_of_both_keys_is_looked_at() -> None:
    one, other = generate(), generate()
    request = enrol_request(one, "osd1")
    assert check_request(request, one.curve_public) == ""
    assert "another key" in check_request(request, other.curve_public)
    for what, forged in _forged(request, other).items():
        assert check_request(forged, one.curve_public), what
