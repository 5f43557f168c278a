"""The bus: each follower gets each event once and in order, however slow it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from master import bus as bus_module
from master.bus import Bus
from master.store.store import Store
from protocol.errors import InputError


def run(path: Path, use: Callable[[Bus, Store], Awaitable[None]]) -> None:
    """Use a bus on a fresh store within a loop."""

    async def within() -> None:
        opened = Store(path)
        opened.open()
        try:
            await use(Bus(opened), opened)
        finally:
            await opened.close()

    asyncio.run(within())


async def publish(bus: Bus, count: int, tag: str = "a") -> None:
    await asyncio.gather(*(bus.publish(tag, {"n": number}) for number in range(count)))


async def take(follower: bus_module.Follower, count: int) -> list[int]:
    seen: list[int] = []
    for _ in range(count):
        event = await asyncio.wait_for(follower.next(), 10)
        assert event is not None
        seen.append(event.seq)
    return seen


def test_a_follower_sees_what_was_before_and_what_comes(tmp_path: Path) -> None:
    async def use(bus: Bus, store: Store) -> None:
        await publish(bus, 3)
        follower = bus.follow("*", 0)
        assert await take(follower, 3) == [1, 2, 3]
        await publish(bus, 2)
        assert await take(follower, 2) == [4, 5]
        assert follower.cursor == 5

    run(tmp_path / "db", use)


def test_only_what_matches_is_given_and_from_now_on(tmp_path: Path) -> None:
    async def use(bus: Bus, store: Store) -> None:
        await publish(bus, 3, "job/1/new")
        follower = bus.follow("job/*/ended")
        await publish(bus, 2, "job/1/new")
        await publish(bus, 1, "job/1/ended")
        assert await take(follower, 1) == [6]

    run(tmp_path / "db", use)


def test_a_bound_ends_the_following(tmp_path: Path) -> None:
    async def use(bus: Bus, store: Store) -> None:
        await publish(bus, 3)
        follower = bus.follow("nothing", 0)
        assert await asyncio.wait_for(follower.next(store.last_seq), 10) is None

    run(tmp_path / "db", use)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bursts=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), min_size=1, max_size=6))
def test_nothing_is_lost_or_doubled_however_slow_a_follower_is(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, bursts: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(bus_module, "QUEUE", 8)
    monkeypatch.setattr(bus_module, "PAGE", 5)

    async def use(bus: Bus, store: Store) -> None:
        follower = bus.follow("*", 0)
        seen: list[int] = []
        total = 0
        for told, taken in bursts:
            await publish(bus, told)
            total += told
            seen += await take(follower, min(taken, total - len(seen)))
        seen += await take(follower, total - len(seen))
        assert seen == list(range(1, total + 1))

    run(tmp_path_factory.mktemp("bus") / "db", use)


def test_a_follower_that_does_not_take_costs_no_more_than_its_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "QUEUE", 8)

    async def use(bus: Bus, store: Store) -> None:
        stopped, well = bus.follow("*", 0), bus.follow("*", 0)
        await publish(bus, 1)
        assert await take(stopped, 1) == [1]
        await publish(bus, 500)
        assert len(stopped._ready) <= 8
        assert await take(well, 501) == list(range(1, 502))
        assert await take(stopped, 500) == list(range(2, 502))

    run(tmp_path / "db", use)


def test_large_events_are_held_by_bytes_and_none_is_lost(tmp_path: Path) -> None:
    async def use(bus: Bus, store: Store) -> None:
        follower = bus.follow("*", 0)
        # so that it has caught up and takes events as they come
        await publish(bus, 1)
        assert await take(follower, 1) == [1]
        waiting = asyncio.ensure_future(follower.next())
        for _ in range(60):
            await bus.publish("a", {"x": "y" * 1_000_000})
        first = await asyncio.wait_for(waiting, 10)
        assert first is not None and first.seq == 2
        assert sum(event.size for event in follower._ready) <= bus_module.MOST_BYTES + 1_100_000
        assert await take(follower, 59) == list(range(3, 62))
        assert follower._bytes == 0

    run(tmp_path / "db", use)


def test_a_tag_that_is_none_is_refused(tmp_path: Path) -> None:
    async def use(bus: Bus, store: Store) -> None:
        with pytest.raises(InputError):
            await bus.publish("job/../x\n", {})

    run(tmp_path / "db", use)
