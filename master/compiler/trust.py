"""Whether a target holds whatever a minion reports of itself: grains are claims, the id is proven by the key."""

from __future__ import annotations

from protocol.matchers import Subject
from protocol.targettree import AllOf, AnyOf, Node, Not, Target, Term


def by_claims(target: Target, subject: Subject) -> bool:
    """Whether `subject`, which `target` matches, might not be meant if it reported other grains."""
    return target.root is not None and _certain(target.root, subject) is not True


def rests_on_claims(target: Target) -> bool:
    """Whether some term of `target` asks for what a minion reports of itself."""
    return target.root is not None and any(_claimed(term) for term in _terms(target.root))


def _claimed(term: Term) -> bool:
    return term.kind in ("grain", "grain_pcre", "ipcidr") and not term.pattern.startswith(f"id{term.delimiter}")


def _terms(node: Node) -> list[Term]:
    match node:
        case Term():
            return [node]
        case Not():
            return _terms(node.inner)
        case AllOf() | AnyOf():
            return [term for part in node.parts for term in _terms(part)]


def _certain(node: Node, subject: Subject) -> bool | None:
    """Whether `node` holds; None when the grains decide."""
    match node:
        case Term():
            if _claimed(node):
                return None
            return node.test(subject)
        case Not():
            inner = _certain(node.inner, subject)
            return None if inner is None else not inner
        case AllOf():
            parts = [_certain(part, subject) for part in node.parts]
            return False if False in parts else None if None in parts else True
        case AnyOf():
            parts = [_certain(part, subject) for part in node.parts]
            return True if True in parts else None if None in parts else False
