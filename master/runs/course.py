"""Which steps of a run belong to its course and which to its cleanup, and which of them a retry does again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from protocol.assignment import Chunk, Requisite
from protocol.errors import ArgumentError
from protocol.order import ORDERING
from protocol.results import StepResult


@dataclass(frozen=True, slots=True)
class Course:
    """The steps of a run. Positions from 0 on are `steps`; the n-th cleanup step (from 0) has the position -1 - n.

    `undone`: the steps that a cleanup step names by a requisite, which a retry does again since they are undone.
    """

    steps: tuple[Chunk, ...]
    names: tuple[str, ...]
    cleanup: Mapping[int, Chunk]
    cleanup_names: Mapping[int, str]
    undone: frozenset[int]


def is_cleanup(chunk: Chunk) -> bool:
    """Whether a step always runs, at the end."""
    return chunk.options.get("cleanup") is True


def course(chunks: Sequence[Chunk], names: Sequence[str]) -> Course:
    """Part `chunks`, which are called `names`, in course and cleanup; each in the order that it has."""
    place = {old: new for new, old in enumerate(at for at, chunk in enumerate(chunks) if not is_cleanup(chunk))}
    if len(place) == len(chunks):
        return Course(tuple(chunks), tuple(names), {}, {}, frozenset())
    steps = tuple(_moved(chunks[old], place) for old in place)
    last = [at for at, chunk in enumerate(chunks) if is_cleanup(chunk)]
    undone = {place[target] for at in last for target in _targets(chunks[at]) if target in place}
    return Course(
        steps, tuple(names[old] for old in place),
        {-1 - number: chunks[at] for number, at in enumerate(last)},
        {-1 - number: names[at] for number, at in enumerate(last)},
        frozenset(undone),
    )  # fmt: skip


def check_course(chunks: Sequence[Chunk], chunk: Chunk) -> None:
    """Refuse a step that needs a cleanup step, which comes after all others. Raises ArgumentError."""
    if is_cleanup(chunk):
        if chunk.options.get("on_failure"):
            help = "a cleanup step always runs; leave out on_failure, or cleanup"
            raise ArgumentError("'cleanup' and 'on_failure' exclude each other", help=help)
        return
    for target in _targets(chunk):
        if is_cleanup(chunks[target]):
            help = "cleanup steps run when all others have ended"
            raise ArgumentError(f"it waits for the cleanup step {chunks[target].id!r}", help=help)


def again(steps: Sequence[Chunk], results: Mapping[int, StepResult], undone: frozenset[int]) -> set[int]:
    """The positions that a retry does again: what failed or was not reached, what was undone, and what needs those."""
    found = {at for at in range(len(steps)) if at not in results or results[at].result is False} | undone
    grown = True
    while grown:
        grown = False
        for at, chunk in enumerate(steps):
            if at not in found and any(target in found for target in _targets(chunk)):
                found.add(at)
                grown = True
    return found


def _targets(chunk: Chunk) -> list[int]:
    return [target for one in chunk.requisites if one.kind in ORDERING for target in one.targets]


def _moved(chunk: Chunk, place: Mapping[int, int]) -> Chunk:
    """The chunk with its requisites at their new places; trials find theirs anew."""
    requisites = tuple(
        Requisite(one.kind, tuple(place[target] for target in one.targets if target in place), one.missing)
        for one in chunk.requisites
    )
    return replace(chunk, requisites=requisites, trial=-1, trial_needs=())
