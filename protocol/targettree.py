"""A target that was read: its terms, whom it matches, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from protocol import matchers
from protocol.matchers import Subject

Kind = Literal[
    "compound",
    "glob",
    "pcre",
    "list",
    "grain",
    "grain_pcre",
    "pillar",
    "pillar_pcre",
    "pillar_exact",
    "ipcidr",
    "nodegroup",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one term matched a minion or not; `depth` counts the parentheses and nodegroups around it.

    `negated`: an odd number of `not` stands before it, so that its match keeps a minion out.
    """

    term: str
    matched: bool
    why: str
    depth: int = 0
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """One word: what a minion is held against. `pattern` is it without its letter, cut at `delimiter`.

    An evaluation that comes to a `broken` one means nobody.
    """

    text: str
    kind: Kind
    test: Callable[[Subject], bool]
    delimiter: str = ":"
    pattern: str = ""
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """Everybody but."""

    inner: Node


@dataclass(frozen=True, slots=True)
class AllOf:
    """Who is meant by every part."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Who is meant by some part."""

    parts: tuple[Node, ...]


Node = Term | Not | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Target:
    """A target that was read. `problem` says why it matches nobody, when it cannot be read."""

    expression: str
    kind: str
    root: Node | None
    problem: str = ""

    def matches(self, subject: Subject) -> bool:
        """Whether `subject` is meant."""
        return self.root is not None and _holds(self.root, subject) is True

    def explain(self, subject: Subject) -> list[Reason]:
        """Each term with what it says of `subject`, in the order of the expression. Pillar values are not shown."""
        if self.root is None:
            return [Reason(self.expression, False, self.problem)]
        return [
            Reason(term.text, term.test(subject), _why(term, subject), depth, negated)
            for term, depth, negated in _terms(self.root)
        ]

    @property
    def needs_pillar(self) -> bool:
        """Whether the pillar of a subject decides."""
        return self.root is not None and any(term.kind.startswith("pillar") for term, _, _ in _terms(self.root))


def _holds(node: Node, subject: Subject) -> bool | None:
    """Whether `node` holds, evaluated from left to right no further than needed; None when that breaks."""
    match node:
        case Term():
            return None if node.broken else node.test(subject)
        case Not():
            inner = _holds(node.inner, subject)
            return None if inner is None else not inner
        case AllOf():
            for part in node.parts:
                found = _holds(part, subject)
                if not found:
                    return found
            return True
        case AnyOf():
            for part in node.parts:
                found = _holds(part, subject)
                if found is not False:
                    return found
            return False


def _terms(node: Node, depth: int = 0, negated: bool = False) -> Iterator[tuple[Term, int, bool]]:
    match node:
        case Term():
            yield node, depth, negated
        case Not():
            yield from _terms(node.inner, depth, not negated)
        case AllOf() | AnyOf():
            for part in node.parts:
                yield from _terms(part, depth + (not isinstance(part, Term | Not)), negated)


def _why(term: Term, subject: Subject) -> str:
    """What of the subject decides a term, in words."""
    if term.kind in ("glob", "pcre", "list"):
        return f"the id is {subject.id}"
    if term.kind == "ipcidr":
        found = [subject.grains.get(name) for name in ("ipv4", "ipv6") if subject.grains.get(name)]
        return f"the addresses are {found}"
    keys = term.pattern.split(term.delimiter)
    in_pillar = term.kind.startswith("pillar")
    data = subject.pillar if in_pillar else subject.grains
    what = "pillar" if in_pillar else "grain"
    for cut in range(len(keys) - 1, 0, -1):
        found_value = matchers.walk(data, keys[:cut])
        if found_value != {}:
            name = ":".join(keys[:cut])
            return f"the pillar has {name}" if in_pillar else f"the grain {name} is {str(found_value)[:200]}"
    return f"there is no {what} {keys[0]}"
