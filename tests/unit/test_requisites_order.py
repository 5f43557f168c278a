"""The order of execution, and how circles are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.assignment import Chunk, Requisite
from protocol.errors import SlsError
from protocol.order import ORDERING, arrange, execution_order


def chunk(name: str, *requisites: Requisite, line: int = 0, **options: int) -> Chunk:
    return Chunk("test", "nop", name, name, "main", options=options, requisites=requisites, file="main.sls", line=line)


def need(*targets: int, kind: str = "require") -> Requisite:
    return Requisite(kind, targets)


def names(*chunks: Chunk, orders: list[float] | None = None) -> str:
    return "".join(c.id for c in arrange(chunks, orders or [float(i) for i in range(len(chunks))]))


def test_without_requisites_the_number_decides() -> None:
    assert names(chunk("a"), chunk("b"), chunk("c"), orders=[3, 1, 2]) == "bca"


def test_a_requirement_is_pulled_to_just_before_its_dependent() -> None:
    assert names(chunk("a", need(2)), chunk("b"), chunk("c")) == "cab"


def test_an_order_never_beats_a_requisite() -> None:
    assert names(chunk("a", need(1)), chunk("b"), orders=[1, 1000]) == "ba"


def test_equal_orders_fall_back_to_the_text() -> None:
    assert names(chunk("z"), chunk("a"), orders=[5, 5]) == "az"


def test_a_prereq_puts_the_declaring_chunk_first() -> None:
    assert names(chunk("t"), chunk("s", need(0, kind="prereq"))) == "st"


def test_what_a_prereq_target_needs_comes_before_the_one_that_tests_it() -> None:
    assert names(chunk("s", need(1, kind="prereq")), chunk("t", need(2)), chunk("n")) == "nst"


def test_listen_orders_nothing() -> None:
    assert names(chunk("a", need(1, kind="listen")), chunk("b", need(0, kind="listen"))) == "ab"


def test_a_dependent_with_a_negative_order_pulls_to_the_front_as_in_salt() -> None:
    end = chunk("z", need(1), order=-1)
    assert names(end, chunk("b"), chunk("a"), orders=[1_000_000, 20, 10]) == "baz"


def test_positions_of_requisites_are_moved_along() -> None:
    first, second = arrange([chunk("a", need(1)), chunk("b")], [0, 1])
    assert (first.id, second.id) == ("b", "a")
    assert second.requisites == (need(0),)


def test_a_circle_is_told_whole_with_its_places() -> None:
    chunks = [
        chunk("a", need(1), line=3),
        chunk("b", need(2, kind="watch"), line=7),
        chunk("c", need(0, kind="onfail"), line=9),
    ]
    with pytest.raises(SlsError) as caught:
        execution_order(chunks, [0, 1, 2])
    told = caught.value.message
    assert "test.nop a (main.sls:3) waits for test.nop b (main.sls:7) (require)" in told
    assert "b (main.sls:7) waits for test.nop c (main.sls:9) (watch)" in told
    assert "c (main.sls:9) waits for test.nop a (main.sls:3) (onfail)" in told
    assert str(caught.value.where) == "main.sls:3"
    assert caught.value.help


def test_a_circle_through_a_prereq_says_who_names_whom() -> None:
    with pytest.raises(SlsError) as caught:
        execution_order([chunk("s", need(1, kind="prereq")), chunk("t", need(0, kind="onchanges"))], [0, 1])
    assert "whose prereq names it" in caught.value.message


def test_a_chunk_that_needs_itself_is_a_circle() -> None:
    with pytest.raises(SlsError, match="circle"):
        execution_order([chunk("a", need(0))], [0])


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[Chunk], list[float]]:
    """Chunks whose requisites follow a hidden order, so that there is no circle; declared in another order."""
    size = draw(st.integers(1, 12))
    hidden = draw(st.permutations(range(size)))
    chunks = []
    for position in range(size):
        requisites = []
        for kind in draw(st.lists(st.sampled_from(ORDERING), max_size=3, unique=True)):
            later = kind == "prereq"
            able = [other for other in range(size) if (hidden[other] > hidden[position]) == later and other != position]
            if able:
                requisites.append(need(*draw(st.lists(st.sampled_from(able), min_size=1, max_size=3)), kind=kind))
        chunks.append(chunk(f"n{position}", *requisites))
    orders = draw(st.lists(st.integers(0, 20).map(float), min_size=size, max_size=size))
    return chunks, orders


@given(trees())
def test_every_requisite_is_kept_by_the_order(tree: tuple[list[Chunk], list[float]]) -> None:
    try:
        arranged = arrange(*tree)
    except SlsError:  # only a prereq can close a circle here: its target's own needs come before who declares it
        assert any(requisite.kind == "prereq" for c in tree[0] for requisite in c.requisites)
        return
    assert sorted(c.id for c in arranged) == sorted(c.id for c in tree[0])
    for position, here in enumerate(arranged):
        for requisite in here.requisites:
            for target in requisite.targets:
                assert (position < target) if requisite.kind == "prereq" else (target < position)
