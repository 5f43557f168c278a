"""In which order chunks are executed: the graph of their requisites, sorted by Salt's key; and its cycles, told."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from protocol.assignment import Chunk, Requisite
from protocol.errors import SlsError, Where

ORDERING: Final = (
    "require",
    "require_any",
    "watch",
    "watch_any",
    "prereq",
    "onfail",
    "onfail_any",
    "onfail_all",
    "onchanges",
    "onchanges_any",
)
"""The kinds that order execution, as they are read from one chunk. `listen` and `listen_in` order nothing."""

RANK: Final = {
    kind: rank
    for rank, kind in enumerate(
        (
            "onfail",
            "onfail_any",
            "onfail_all",
            "require",
            "require_any",
            "onchanges",
            "onchanges_any",
            "watch",
            "watch_any",
            "prereq",
        )
    )
}
"""Which dependents pull a chunk forward: those by the highest ranked kind (Salt 3008, `RequisiteType`)."""


def arrange(chunks: Sequence[Chunk], orders: Sequence[float]) -> tuple[Chunk, ...]:
    """`chunks` in execution order, their requisites re-indexed to the new positions.

    `chunks` come as Salt's high data has them (a file's states from top to bottom, then those of the files that it
    includes), with requisites whose targets are positions in `chunks`; `orders` gives each its number (automatic,
    explicit, `first`, `last` and negative ones already resolved; the n-th of `names` n/10000 behind). An explicit
    order stays in the options of its chunk. Raises SlsError when requisites run in a circle.
    """
    sequence = execution_order(chunks, orders)
    place = {old: new for new, old in enumerate(sequence)}
    return tuple(replace(chunks[old], requisites=_moved(chunks[old].requisites, place)) for old in sequence)


def execution_order(chunks: Sequence[Chunk], orders: Sequence[float]) -> list[int]:
    """Positions in `chunks` in execution order.

    Topological over the requisites; of those that may run, the smallest of (own order or the lowest order among
    those that directly wait for it, own order, state+name+function). Of those that wait, one by a kind of lower rank
    than an earlier one does not count. This is Salt 3008's rule, confirmed by running it (tests/conformance). Raises
    SlsError when requisites run in a circle, naming all of it.
    """
    graph = _graph(chunks)
    waiting = {node: len(before) for node, before in graph.before.items()}
    heap = [(_key(node, chunks, orders, graph), node) for node, count in waiting.items() if count == 0]
    heapq.heapify(heap)
    sequence: list[int] = []
    while heap:
        _, node = heapq.heappop(heap)
        del waiting[node]
        if node < len(chunks):
            sequence.append(node)
        for after in graph.after[node]:
            waiting[after] -= 1
            if waiting[after] == 0:
                heapq.heappush(heap, (_key(after, chunks, orders, graph), after))
    if waiting:
        raise _circle(chunks, graph, waiting)
    return sequence


@dataclass(slots=True)
class _Graph:
    """Who waits for whom and by which kinds. Node `n` is chunk `n`; `len(chunks) + n` is its test run for a prereq."""

    after: dict[int, dict[int, list[str]]] = field(default_factory=dict)
    before: dict[int, dict[int, list[str]]] = field(default_factory=dict)

    def node(self, node: int) -> None:
        self.after.setdefault(node, {})
        self.before.setdefault(node, {})

    def edge(self, first: int, then: int, kind: str) -> None:
        self.node(first)
        self.node(then)
        kinds = self.after[first].setdefault(then, [])
        if kind not in kinds:
            kinds.append(kind)
            self.before[then].setdefault(first, []).append(kind)


def _graph(chunks: Sequence[Chunk]) -> _Graph:
    """A prereq makes the target's test run come before the chunk that declares it, and the chunk before the target.

    What the target itself waits for, its test run waits for too.
    """
    graph = _Graph()
    for position in range(len(chunks)):
        graph.node(position)
    tested = {target for chunk in chunks for kind, target in _references(chunk) if kind == "prereq"}
    for position, chunk in enumerate(chunks):
        for kind, target in _references(chunk):
            if kind == "prereq":
                graph.edge(position, target, "require")
            first = target + len(chunks) if kind == "prereq" else target
            graph.edge(first, position, kind)
            if position in tested:
                graph.edge(first, len(chunks) + position, kind)
    return graph


def _references(chunk: Chunk) -> Iterator[tuple[str, int]]:
    for kind in ORDERING:
        for requisite in chunk.requisites:
            if requisite.kind == kind:
                for target in requisite.targets:
                    yield kind, target


def _key(node: int, chunks: Sequence[Chunk], orders: Sequence[float], graph: _Graph) -> tuple[float, float, str]:
    size = len(chunks)
    own = orders[node % size]
    pulled, highest = own, -1
    for after, kinds in graph.after[node].items():
        for kind in kinds:
            if RANK[kind] >= highest:
                highest = RANK[kind]
                pulled = min(pulled, _declared(chunks[after % size], orders[after % size]))
    chunk = chunks[node % size]
    return pulled, own, f"{chunk.state}{chunk.name}{chunk.fun}"


def _declared(chunk: Chunk, order: float) -> float:
    """The order by which a chunk pulls forward what it needs: as it was written, also when that is negative (Salt
    3008 resolves `order: -1` to the end for the chunk itself only)."""
    written = chunk.options.get("order")
    return written if isinstance(written, int) and written < 0 else order


def _moved(requisites: Sequence[Requisite], place: dict[int, int]) -> tuple[Requisite, ...]:
    return tuple(
        replace(requisite, targets=tuple(place[target] for target in requisite.targets)) for requisite in requisites
    )


def _circle(chunks: Sequence[Chunk], graph: _Graph, waiting: dict[int, int]) -> SlsError:
    """The error that names one whole circle among the nodes that never became ready."""
    size = len(chunks)
    path = [min(waiting)]
    while True:
        before = next(first for first in graph.before[path[-1]] if first in waiting)
        if before in path:
            circle = [*path[path.index(before) :], before]
            break
        path.append(before)
    lines = []
    for later, first in itertools.pairwise(circle):
        kind = graph.before[later][first][0]
        waits, target = chunks[later % size], chunks[first % size]
        if any(r.kind == "prereq" and later % size in r.targets for r in target.requisites):
            lines.append(f"{_named(waits)} waits for {_named(target)}, whose prereq names it")
        else:
            lines.append(f"{_named(waits)} waits for {_named(target)} ({kind})")
    start = chunks[circle[0] % size]
    return SlsError(
        "requisites run in a circle: " + "; ".join(lines),
        where=Where(file=start.file or start.sls, line=start.line),
        help="remove one of these requisites",
    )


def _named(chunk: Chunk) -> str:
    place = f"{chunk.file or chunk.sls}:{chunk.line}" if chunk.line else chunk.file or chunk.sls
    shown = chunk.id if chunk.id == chunk.name else f"{chunk.id} [{chunk.name}]"
    return f"{chunk.function} {shown} ({place})"
