"""How often strangers may knock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.door import MOST_ADDRESSES, Rate


class Clock:
    """Time as told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_a_rate() -> None:
    clock = Clock()
    rate = Rate(2.0, 1000.0, clock)
    assert [rate.allows("a") for _ in range(25)].count(True) == 20
    clock.now = 1.0
    assert [rate.allows("a") for _ in range(5)].count(True) == 2
    assert rate.allows("b")


def test_all_together_have_a_rate_of_their_own() -> None:
    clock = Clock()
    rate = Rate(10.0, 1.0, clock)
    assert [rate.allows(f"address {n}") for n in range(50)].count(True) == 10


def test_what_is_remembered_is_bounded() -> None:
    clock = Clock()
    rate = Rate(1.0, 1e9, clock)
    for number in range(MOST_ADDRESSES * 2):
        rate.allows(str(number))
    assert len(rate._keys) <= MOST_ADDRESSES


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abc")), max_size=200))
def test_no_address_gets_more_than_its_rate(knocks: list[tuple[float, str]]) -> None:
    clock = Clock()
    rate = Rate(2.0, 3.0, clock)
    passed: dict[str, int] = {}
    for pause, address in knocks:
        clock.now += pause
        if rate.allows(address):
            passed[address] = passed.get(address, 0) + 1
    assert all(count <= 20 + 2.0 * clock.now for count in passed.values())
    assert sum(passed.values()) <= 30 + 3.0 * clock.now
