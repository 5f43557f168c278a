"""What one compilation read of its minion and of its files, in order, each thing with the value it had."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from protocol.secrets import Secret
from protocol.target import Subject, Target
from protocol.targettree import AllOf, AnyOf, Node, Not, Term

Question = tuple[Hashable, ...]
"""What was read: a kind and what belongs to it.

("grains" | "opts" | "pillar", key)                     one entry of the mapping
("grains" | "opts" | "pillar",)                         all of it
("grains at" | "pillar at", path, delimiter)            what lies at a path
("match" | "match pillar", kind, expression)            for each term of a target whether it holds
("call", function, arguments)                           what the minion answered
("secrets",)                                            the literals of the pillar's secrets
"""

FileQuestion = tuple[str, str, str, str]
"""What was read of a tree: `states` or `pillar`, the environment, the verb (see FileRoots.told), and the name."""

ABSENT: Final = b"\xc1"
"""What `frozen` says of a value that is not there (no value packs to this)."""

_LONGEST: Final = 64
_ABOUT_PILLAR: Final = frozenset({"pillar", "pillar at", "match pillar", "secrets"})


def frozen(value: Any) -> bytes:
    """A short text that two values share only if a template cannot tell them apart: type, order, everything counts."""
    packed: bytes = msgpack.packb(value, default=_plain, use_bin_type=True)
    return packed if len(packed) <= _LONGEST else b"\xc1" + hashlib.blake2b(packed, digest_size=32).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value.items())
    if isinstance(value, Secret):
        return {"secret": value.reveal()}
    if isinstance(value, set | frozenset):
        return ["set", *sorted(map(repr, value))]
    return [type(value).__name__, repr(value)]


def about_pillar(question: Question) -> bool:
    """Whether the pillar, which itself comes of other reads, answers the question."""
    return question[0] in _ABOUT_PILLAR


@dataclass(frozen=True, slots=True)
class Recorded:
    """Everything that was read: answers in the order of the questions, and what files said.

    With `once`, what was made must not be taken over by anybody: chance, the clock or other code had a part in it.
    """

    notes: tuple[tuple[Question, bytes], ...]
    files: tuple[tuple[FileQuestion, bytes], ...]
    once: bool = False


class Reads:
    """Notes what is read. A question asked twice is noted once: nothing changes while one compilation goes on."""

    def __init__(self) -> None:
        self.notes: dict[Question, bytes] = {}
        self.files: dict[FileQuestion, bytes] = {}
        self.is_once = False

    def note(self, question: Question, value: bytes) -> None:
        """The answer to `question`, frozen, was `value`."""
        self.notes.setdefault(question, value)

    def file(self, question: FileQuestion, value: bytes) -> None:
        """A tree said `value`."""
        self.files.setdefault(question, value)

    def once(self) -> None:
        """What comes of this compilation is true once only."""
        self.is_once = True

    def matches(self, target: Target, given: Any, subject: Subject) -> bool:
        """Whether `target`, read from the expression `given`, means the subject; noted term by term."""
        expression = frozen_expression(given)
        self.note(("match", target.kind, expression), outcome(target, subject, pillar=False))
        self.note(("match pillar", target.kind, expression), outcome(target, subject, pillar=True))
        return target.matches(subject)

    def recorded(self) -> Recorded:
        """All of it that is not about the pillar, which itself comes of what else was read."""
        notes = tuple((question, value) for question, value in self.notes.items() if not about_pillar(question))
        return Recorded(notes, tuple(self.files.items()), self.is_once)

    def and_then(self, later: Reads) -> Recorded:
        """What was read up to a pillar and, by `later`, from there on."""
        both = Reads()
        both.notes = {**self.notes, **{key: value for key, value in later.notes.items() if key not in self.notes}}
        both.files = {**self.files, **later.files}
        both.is_once = self.is_once or later.is_once
        return both.recorded()


def frozen_expression(given: Any) -> bytes:
    """A target expression as part of a question."""
    packed: bytes = msgpack.packb(given, default=str, use_bin_type=True)
    return packed


def thawed_expression(packed: bytes) -> Any:
    """The target expression that was packed."""
    return msgpack.unpackb(packed, raw=False, strict_map_key=False)


def outcome(target: Target, subject: Subject, *, pillar: bool) -> bytes:
    """For each term of `target` (about the pillar, or about all else) whether it holds: what the match rests on."""
    if target.root is None:
        return b""
    return bytes(term.test(subject) for term in _terms(target.root) if term.kind.startswith("pillar") == pillar)


def _terms(node: Node) -> list[Term]:
    if isinstance(node, Term):
        return [node]
    if isinstance(node, Not):
        return _terms(node.inner)
    assert isinstance(node, AllOf | AnyOf)
    return [term for part in node.parts for term in _terms(part)]
