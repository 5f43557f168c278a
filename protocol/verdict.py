"""What the outcomes of its requisites mean for a chunk: Salt 3008's table, as one pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "met", "change", "change unheard", "fail", "no change foretold", "no failure", "no change", "skipped by another"
]
"""met: call it; change: call it and, when that alone changes nothing, tell it that what it watches has changed;
change unheard: call it and tell it nothing, because another asked for that; fail: something it needs has failed;
skipped by another: it would be called for a change whose state asked that nobody act on it; the rest: it is not
needed, because no prereq target would change, because nothing failed (onfail), because nothing changed (onchanges)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a requisite asks of its target: the result, whether it changed anything, whether it was called at all."""

    result: bool | None
    changed: bool
    ran: bool = True
    skip_req: bool = False


_Fact = Literal[
    "", "met", "fail", "change", "fell", "stood", "changed", "unchanged", "foretold", "nothing foretold", "skip"
]


def judge(requisites: Mapping[str, Iterable[Outcome]]) -> Verdict:
    """The verdict from the outcomes of the targets of each kind; those of `prereq` are of test runs.

    Kinds count together: a failed need beats all, then what another asked to skip, prereq, onfail, onchanges and
    watch; a changed `onchanges` target lets an unmet `onfail` pass when something watched has changed too.
    """
    facts: set[_Fact] = set()
    for kind, outcomes in requisites.items():
        facts |= _facts(kind, outcomes)
    if "fail" in facts:
        return "fail"
    if "skip" in facts and facts & {"changed", "foretold"}:
        return "skipped by another"
    if "skip" in facts and "change" in facts:
        return "change unheard"
    if "nothing foretold" in facts:
        return "met" if "foretold" in facts else "no change foretold"
    if "stood" in facts and "changed" not in facts:
        return "no failure"
    if "unchanged" in facts and "changed" not in facts:
        return "no change"
    if "change" in facts:
        return "change"
    return "no failure" if "stood" in facts else "met"


def _facts(kind: str, outcomes: Iterable[Outcome]) -> set[_Fact]:
    base = kind.removesuffix("_any").removesuffix("_all")
    given = list(outcomes)
    facts = {_fact(base, outcome) for outcome in given}
    if any(outcome.skip_req for outcome in given):
        facts.add("skip")
    if kind.endswith("_any") or kind == "onfail":
        if facts & {"met", "change", "changed"}:
            facts.discard("fail")
        if "met" in facts:
            facts.discard("stood")
    return facts


def _fact(base: str, outcome: Outcome) -> _Fact:
    """What one target says. One that was not called counts neither as met nor, when it is true, as failed."""
    if base == "onchanges":
        return "changed" if outcome.changed and outcome.result is not False else "unchanged"
    if base == "onfail":
        if outcome.result is True:
            return "stood"
    elif outcome.result is False:
        return "fail"
    if base == "watch" and outcome.changed:
        return "change"
    if base == "prereq":
        return "foretold" if outcome.result is None else "nothing foretold"
    return "met" if outcome.ran else ""
