"""A crash at any entry of the journal, whatever persons want meanwhile: one end, nothing twice, one cleanup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from master.jobs import JobRequest, MinionOutcome
from master.runs.shapes import Cancelled, Paused, Resumed, Retried, RunEvent, Skipped
from protocol.assignment import Chunk
from tests.unit.runs_bench import BAD, GOOD, LOST, chunk, ended
from tests.unit.runs_world import MINIONS, World

TERMINAL = {"succeeded", "failed", "cancelled"}
ENDS = {"good": GOOD, "bad": BAD, "silent": LOST}


def answering(ends: Mapping[str, str]) -> Callable[[JobRequest], Mapping[str, MinionOutcome]]:
    """Jobs end as `ends` says for their SLS."""

    def answer(request: JobRequest) -> Mapping[str, MinionOutcome]:
        minions = request.target.split(",") if request.target_kind == "list" else MINIONS
        state = ENDS[ends.get(request.sls[0] if request.sls else "", "good")]
        return {minion: ended(state, {"n": 1}) for minion in minions}

    return answer


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Chunk], dict[str, str]]:
    """Steps of every kind, cleanup steps among them, and how the jobs of each end."""
    chunks: list[Chunk] = []
    for at in range(draw(st.integers(1, 6))):
        before = [place for place, one in enumerate(chunks) if "cleanup" not in one.options]
        needs = draw(st.lists(st.sampled_from(before), max_size=2, unique=True)) if before else []
        more: dict[str, Any] = draw(
            st.sampled_from(
                [{}, {"batch": 1}, {"batch": "grain:id"}, {"batch": 2, "max_failures": 1}, {"timeout": 9.0}]
            )
        )
        options: dict[str, Any] = draw(
            st.sampled_from(
                [
                    {},
                    {"cleanup": True},
                    {"retry": {"attempts": 2, "backoff": 2}},
                    {"failhard": True},
                    {"parallel": True},
                ]
            )
        )
        kind = draw(st.sampled_from(["require", "onfail", "require_any"]))
        what = draw(st.sampled_from(["salt.state", "salt.state", "gate.baseline", "gate.until", "approve.wait"]))
        if what != "salt.state" and "cleanup" not in options:
            gate = {"tgt": "*", "function": "test.ping", "condition": "n == 1", "not_less": ["n"], "timeout": 5.0}
            chunks.append(chunk(what, f"s{at}", require=needs, kind=kind, options=options, **gate))
            continue
        chunks.append(
            chunk("salt.state", f"s{at}", tgt="*", sls=[f"s{at}"], require=needs, kind=kind, options=options, **more)
        )
    chunks.append(chunk("salt.state", "last", tgt="*", sls=["last"], options={"cleanup": True}))
    ends: dict[str, str] = {one.id: draw(st.sampled_from(list(ENDS))) for one in chunks}
    ends[""] = draw(st.sampled_from(["good", "good", "bad"]))
    return chunks, ends


WISHES: list[RunEvent] = [
    Paused("ann"), Resumed("ann"), Cancelled("ann"), Skipped("ann", 0), Skipped("ann", 1), Skipped("ann", 2),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    runs(), st.randoms(use_true_random=False), st.sets(st.integers(1, 60), max_size=8),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(WISHES)), max_size=4), st.booleans(),
)  # fmt: skip
def test_every_run_ends_with_its_cleanup_done_exactly_once(
    run: tuple[list[Chunk], dict[str, str]], random: Random, where: set[int],
    wishes: list[tuple[int, RunEvent]], written: bool,
) -> None:  # fmt: skip
    chunks, ends = run
    left = set(where)

    def crash(number: int, after: bool) -> bool:
        due = after is written and number in left
        left.discard(number) if due else None
        return due

    world = World(chunks, answering(ends), crash).begin()
    for after, wish in wishes:
        for _ in range(after):
            if world.pending and world.engine.state == "running":
                world.hear(world._next(random))
        if world.engine.state == "running":
            world.hear(wish)
    world.settle(random)
    if world.engine.state == "running":
        assert world.engine.paused, "only a person's pause holds a run up"
        world.hear(Resumed("ann"))
        if world.engine.paused:
            world.hear(Resumed("ann"))
        world.settle(random)
    assert world.engine.state in TERMINAL
    assert world.ended == [world.engine.state]
    once(world, 1)
    if world.engine.state != "succeeded":
        left.clear()
        world.hear(Retried("ann"))
        world.settle(random)
        assert world.engine.state in TERMINAL
        once(world, 2)


def once(world: World, attempts: int) -> None:
    """Each cleanup step was begun once in each attempt of the run, by as many jobs as its batch has."""
    for one in world.chunks:
        if "cleanup" not in one.options:
            continue
        jobs = world.begun(one.id)
        batch = one.args.get("batch")
        if batch is None:
            assert jobs == attempts, (one.id, jobs)
        else:
            assert jobs <= attempts * len(MINIONS)
        told = [
            entry for entry in world.journal
            if entry.get("what") == "told" and entry["step"] == one.id and entry["state"] == "ended"
        ]  # fmt: skip
        assert len(told) == attempts


SCENARIO = [
    chunk("gate.baseline", "same", tgt="*", function="test.ping", not_less=["n"]),
    chunk("salt.state", "set", tgt="*", sls=["set"]),
    chunk("salt.state", "undo", tgt="*", sls=["undo"], require=[1], options={"cleanup": True}),
    chunk("salt.state", "roll", tgt="*", sls=["roll"], batch=1, options={"retry": {"attempts": 2, "backoff": 2}}),
    chunk("approve.wait", "ask", require=[3], kind="onfail"),
    chunk("salt.state", "mend", tgt="*", sls=["mend"], require=[4]),
    chunk("salt.state", "tell", tgt="*", sls=["tell"], options={"cleanup": True}),
]


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("cancel", [False, True])
def test_a_crash_at_each_entry_of_one_run(written: bool, cancel: bool) -> None:
    def play(crash: Callable[[int, bool], bool]) -> World:
        world = World(SCENARIO, answering({"roll": "bad"}), crash).begin()
        for _ in range(5):
            world.hear(world.pending.pop(0)) if world.pending else None
        if cancel:
            world.hear(Cancelled("ann"))
            if world.crashes and not written and not world.engine.stopping:
                world.hear(Cancelled("ann"))
        return world.settle(Random(1))

    whole = play(lambda number, after: False)
    tried = 0
    for entry in range(1, len(whole.journal)):
        once_only = [entry]

        def crash(number: int, after: bool, due: list[int] = once_only) -> bool:
            return after is written and bool(due) and number >= due[0] and due.pop() is not None

        world = play(crash)
        tried += world.crashes
        assert world.engine.state == ("cancelled" if cancel else "failed")
        assert (world.begun("undo"), world.begun("tell")) == (1, 1)
        assert world.begun("set") == 1
        assert world.begun("mend") == (0 if cancel else 1)
        assert world.ended == [world.engine.state]
    assert tried >= len(whole.journal) // 2
