"""Requisites by file that run in a circle, and which of their targets are left out so that none is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Edges = Mapping[int, set[int]]
"""For each position, those that it waits for."""


def in_circles(waits: Edges) -> dict[int, int]:
    """For each position that is on a circle the number of its strongly connected part (Tarjan, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    parts: dict[int, int] = {}
    for start in waits:
        if start not in index:
            _visit(start, waits, index, low, stack, parts)
    return parts


def _visit(
    start: int, waits: Edges, index: dict[int, int], low: dict[int, int], stack: list[int], parts: dict[int, int]
) -> None:
    work = [(start, iter(sorted(waits.get(start, ()))))]
    index[start] = low[start] = len(index)
    stack.append(start)
    standing = {start}
    while work:
        node, rest = work[-1]
        following = next(rest, None)
        if following is None:
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == index[node]:
                _close(node, waits, stack, standing, parts)
        elif following not in index:
            index[following] = low[following] = len(index)
            stack.append(following)
            standing.add(following)
            work.append((following, iter(sorted(waits.get(following, ())))))
        elif following in standing:
            low[node] = min(low[node], index[following])


def _close(node: int, waits: Edges, stack: list[int], standing: set[int], parts: dict[int, int]) -> None:
    """The part that `node` leads is whole: note it, unless it is one position that does not wait for itself."""
    part = stack[stack.index(node) :]
    del stack[len(stack) - len(part) :]
    standing.difference_update(part)
    if len(part) > 1 or node in waits.get(node, ()):
        parts.update(dict.fromkeys(part, node))


def softened(waits: Mapping[int, set[int]], soft: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Which of the `soft` pairs (who waits, for whom) are on a circle: those to leave out."""
    parts = in_circles(waits)
    return {(who, whom) for who, whom in soft if who in parts and parts[who] == parts.get(whom)}
