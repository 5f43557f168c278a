"""The link never ends, never floods, and finds a dead master within three intervals."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from protocol.link import PATIENCE, SLOWEST_RETRY, Action, Link, LinkState


def link(seed: int = 0) -> Link:
    return Link(interval=5.0, rng=random.Random(seed))


def test_it_opens_greets_and_beats() -> None:
    it = link()
    assert it.tick(0.0) == [Action.OPEN]
    it.welcomed(0.5, 5.0)
    assert it.state is LinkState.UP
    assert it.tick(it.deadline()) == [Action.BEAT]


def test_silence_for_three_intervals_rebuilds_it() -> None:
    it = link()
    it.tick(0.0)
    it.welcomed(0.0, 2.0)
    assert Action.CLOSE not in it.tick(PATIENCE * 2.0 - 0.01)
    assert it.tick(PATIENCE * 2.0) == [Action.CLOSE]
    assert it.tick(it.deadline()) == [Action.OPEN]


def test_any_word_of_the_master_keeps_it_up() -> None:
    it = link()
    it.tick(0.0)
    it.welcomed(0.0, 1.0)
    for second in range(1, 50):
        it.heard(float(second))
        assert Action.CLOSE not in it.tick(float(second))


@given(st.integers(), st.lists(st.sampled_from(["wait", "heard", "welcome", "broken"]), max_size=200))
def test_it_never_ends_and_never_waits_longer_than_it_may(seed: int, happenings: list[str]) -> None:
    it, now = link(seed), 0.0
    for happening in happenings:
        if happening == "wait":
            now = max(now, it.deadline())
            assert it.tick(now)
        elif happening == "heard" and it.state is not LinkState.CLOSED:
            it.heard(now)
        elif happening == "welcome" and it.state is not LinkState.CLOSED:
            it.welcomed(now, 5.0)
        elif happening == "broken" and it.state is not LinkState.CLOSED:
            assert it.broken(now) is Action.CLOSE
        assert it.deadline() - now <= max(SLOWEST_RETRY, PATIENCE * it.interval)


def test_retries_are_spread() -> None:
    waits = set()
    for seed in range(50):
        it = link(seed)
        it.tick(0.0)
        it.broken(0.0)
        waits.add(round(it.deadline(), 3))
    assert len(waits) > 40
