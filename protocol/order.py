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


def arrange(
    chunks: Sequence[Chunk], orders: Sequence[float], written: Sequence[float] | None = None
) -> tuple[Chunk, ...]:
    """`chunks` in execution order, their requisites re-indexed to the new positions, the places of trials noted.

    `chunks` come as Salt's high data has them (a file's states from top to bottom, then those of the files that it
    includes), with requisites whose targets are positions in `chunks`; `orders` gives each its number (automatic,
    explicit, `first`, `last` and negative ones already resolved; the n-th of `names` n/10000 behind). `written` are
    the same before negative ones were resolved and the fraction was added; by default they are taken from the `order`
    in the options. Raises SlsError when requisites run in a circle.
    """
    graph = _Graph.of(chunks)
    sequence = _sequence(chunks, orders, written, graph)
    size = len(chunks)
    place = {old: new for new, old in enumerate(node for node in sequence if node < size)}
    trials = {node - size: at for at, node in enumerate(sequence) if node >= size}
    arranged = []
    for old in place:
        chunk = replace(chunks[old], requisites=_moved(chunks[old].requisites, place))
        if old in trials:
            before = graph.before[old + size]
            needs = tuple(sorted(place[node - size] for node in before if node >= size))
            chunk = replace(chunk, trial=trials[old], trial_needs=needs)
        arranged.append(chunk)
    return tuple(arranged)


def sequence(
    chunks: Sequence[Chunk], orders: Sequence[float], written: Sequence[float] | None = None
) -> list[tuple[int, bool]]:
    """Positions in `chunks` in execution order, each with whether it is only the trial of that chunk for a prereq.

    Arguments and errors as of `arrange`.
    """
    size = len(chunks)
    return [(node % size, node >= size) for node in _sequence(chunks, orders, written, _Graph.of(chunks))]


def execution_order(chunks: Sequence[Chunk], orders: Sequence[float]) -> list[int]:
    """Positions in `chunks` in execution order.

    Topological over the requisites; of those that may run, the smallest of (own order or the lowest order among
    those that directly wait for it, own order, state+name+function). Of those that wait, one by a kind of lower rank
    than an earlier one does not count. This is Salt 3008's rule, confirmed by running it (tests/conformance). Raises
    SlsError when requisites run in a circle, naming all of it.
    """
    return [node for node in _sequence(chunks, orders, None, _Graph.of(chunks)) if node < len(chunks)]


def _sequence(
    chunks: Sequence[Chunk], orders: Sequence[float], written: Sequence[float] | None, graph: _Graph
) -> list[int]:
    """Every node of `graph` in execution order: chunks, and their trials. Raises SlsError for a circle."""
    waiting = {node: len(before) for node, before in graph.before.items()}
    keys = _Keys(chunks, orders, written, graph)
    heap = [(keys.of(node), node) for node, count in waiting.items() if count == 0]
    heapq.heapify(heap)
    sequence: list[int] = []
    while heap:
        _, node = heapq.heappop(heap)
        del waiting[node]
        sequence.append(node)
        for after in graph.after[node]:
            waiting[after] -= 1
            if waiting[after] == 0:
                heapq.heappush(heap, (keys.of(after), after))
    if waiting:
        raise _circle(chunks, graph, waiting)
    return sequence


@dataclass(slots=True)
class _Graph:
    """Who waits for whom and by which kinds. Node `n` is chunk `n`; `len(chunks) + n` is its trial for a prereq."""

    after: dict[int, dict[int, list[str]]] = field(default_factory=dict)
    before: dict[int, dict[int, list[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> _Graph:
        """The graph of the requisites of `chunks`, built reference by reference.

        A prereq makes the target's trial come before the chunk that declares it, and the chunk before the target.
        What the target waits for, its trial waits for too, save for prereqs that were declared before it was to be
        tried itself: so it is in Salt 3008, where the order of declarations decides.
        """
        graph, size = cls(), len(chunks)
        for position in range(size):
            graph.node(position)
        for position, chunk in enumerate(chunks):
            for kind, target in _references(chunk):
                if kind == "prereq":
                    graph.prereq(position, target, size)
                    continue
                graph.edge(target, position, kind)
                if position + size in graph.after:
                    graph.edge(target, position + size, kind)
        return graph

    def node(self, node: int) -> None:
        """Make `node` known."""
        self.after.setdefault(node, {})
        self.before.setdefault(node, {})

    def edge(self, first: int, then: int, kind: str) -> None:
        """`then` waits for `first`."""
        self.node(first)
        self.node(then)
        kinds = self.after[first].setdefault(then, [])
        if kind not in kinds:
            kinds.append(kind)
            self.before[then].setdefault(first, []).append(kind)

    def prereq(self, declaring: int, target: int, size: int) -> None:
        """`declaring` comes between the trial of `target` and `target`."""
        trial = target + size
        if trial not in self.after:
            self.node(trial)
            for first, kinds in list(self.before[target].items()):
                for kind in kinds:
                    if kind != "prereq":
                        self.edge(first, trial, kind)
        self.edge(trial, declaring, "prereq")
        self.edge(declaring, target, "require")
        if declaring + size in self.after:
            self.edge(trial, declaring + size, "prereq")


def _references(chunk: Chunk) -> Iterator[tuple[str, int]]:
    for kind in ORDERING:
        for requisite in chunk.requisites:
            if requisite.kind == kind:
                for target in requisite.targets:
                    yield kind, target


class _Keys:
    """The keys by which ready nodes are sorted. Asked once for each node, when it is ready.

    A chunk pulls forward what it needs by its order as it was written (negative, without the fraction of `names`)
    until its own key, or its trial's, was asked for; from then on by its resolved order. Salt 3008 resolves orders
    where they stand, at that time.
    """

    def __init__(
        self, chunks: Sequence[Chunk], orders: Sequence[float], written: Sequence[float] | None, graph: _Graph
    ) -> None:
        self._chunks = chunks
        self._orders = orders
        self._graph = graph
        self._declared = list(written) if written is not None else list(map(_declared, chunks, orders))

    def of(self, node: int) -> tuple[float, float, str, str, bool]:
        """The key of `node`, which is ready now."""
        size = len(self._chunks)
        position = node % size
        own = self._declared[position] = self._orders[position]
        pulled, highest = own, -1
        for after, kinds in self._graph.after[node].items():
            for kind in kinds:
                if RANK[kind] >= highest:
                    highest = RANK[kind]
                    pulled = min(pulled, self._declared[after % size])
        chunk = self._chunks[position]
        return pulled, own, f"{chunk.state}{chunk.name}{chunk.fun}", chunk.tag, node >= size


def _declared(chunk: Chunk, order: float) -> float:
    """The order of a chunk as it was written."""
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
