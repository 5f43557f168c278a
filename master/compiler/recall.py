"""What was made of which reads, to be found again: trees of questions with their answers, and results at the leaves.

What is asked next depends on nothing but the answers before it (rendering is a function of what it reads). So the
results of one kind of request form a tree: at each node a question, for each answer a branch. Who has the answers walks
from the root to the result, or to where nobody has been.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Hashable, Mapping
from typing import Any, Generic, TypeVar

from master.compiler.reads import FileQuestion, Question, Recorded

T = TypeVar("T")

MOST_RESULTS = 2000
"""Results that are kept, over all kinds of request."""

MOST_BYTES = 64 * 1024 * 1024
"""Bytes (about) of all results that are kept."""


class _Node(Generic[T]):
    __slots__ = ("branches", "question", "result")

    def __init__(self) -> None:
        self.question: Question | None = None
        self.branches: dict[bytes, _Node[T]] = {}
        self.result: T | None = None


class Shape(Generic[T]):
    """The results of requests that are alike but for their minion, with what the files said when they were made.

    `checked` is when the files were seen to say so still; `aside` is for whoever answers.
    """

    def __init__(self) -> None:
        self.files: dict[FileQuestion, bytes] = {}
        self.checked = float("-inf")
        self.once = False
        self.aside: dict[Hashable, Any] = {}
        self._root: _Node[T] = _Node()

    def walk(self) -> Generator[Question, bytes, T | None]:
        """Yields questions and takes their answers; returns the result for these, or None when there is none."""
        node = self._root
        while node.question is not None:
            found = node.branches.get((yield node.question))
            if found is None:
                return None
            node = found
        return node.result

    def add(self, recorded: Recorded, result: T) -> None:
        """Keep a result. What contradicts what was known before takes its place."""
        if any(self.files.get(question, value) != value for question, value in recorded.files):
            self.clear()
        self.files.update(recorded.files)
        node = self._root
        for question, answer in recorded.notes:
            if node.question != question:
                node.question, node.branches, node.result = question, {}, None
            node = node.branches.setdefault(answer, _Node())
        node.question, node.branches, node.result = None, {}, result

    def remove(self, recorded: Recorded) -> None:
        """Drop the result of these reads, and the branches that led to it only."""
        path = [self._root]
        for question, answer in recorded.notes:
            found = path[-1].branches.get(answer)
            if path[-1].question != question or found is None:
                return
            path.append(found)
        path[-1].result = None
        for (_, answer), node, below in reversed(list(zip(recorded.notes, path[:-1], path[1:], strict=True))):
            if below.branches or below.result is not None:
                return
            del node.branches[answer]

    def clear(self) -> None:
        """Forget everything."""
        self._root = _Node()
        self.files = {}
        self.checked = float("-inf")

    def holds(self, told: Mapping[FileQuestion, bytes]) -> bool:
        """Whether the files say what they said."""
        return all(told.get(question) == value for question, value in self.files.items())


class Recall(Generic[T]):
    """Shapes by name, within bounds: the oldest results go first."""

    def __init__(self, most: int = MOST_RESULTS, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._shapes: OrderedDict[bytes, Shape[T]] = OrderedDict()
        self._kept: OrderedDict[tuple[bytes, Recorded], int] = OrderedDict()
        self._bytes = 0

    def shape(self, name: bytes) -> Shape[T]:
        """The shape of that name, a new one when there is none."""
        found = self._shapes.get(name)
        if found is None:
            found = self._shapes[name] = Shape()
        self._shapes.move_to_end(name)
        return found

    def keep(self, name: bytes, recorded: Recorded, result: T, size: int) -> None:
        """Keep a result of `size` bytes for who reads the same."""
        shape = self.shape(name)
        if recorded.once:
            shape.once = True
            return
        shape.add(recorded, result)
        key = name, recorded
        self._bytes += size - self._kept.pop(key, 0)
        self._kept[key] = size
        while self._kept and (len(self._kept) > self._most or self._bytes > self._most_bytes):
            (old, reads), freed = self._kept.popitem(last=False)
            self._bytes -= freed
            if old in self._shapes:
                self._shapes[old].remove(reads)
        while len(self._shapes) > self._most:
            self._shapes.popitem(last=False)
