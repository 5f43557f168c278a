"""What "no worse than when the run began" means: values that may not sink, rise or change, and conditions on both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from master.jobs import JobOutcome
from master.runs.machine import texts
from protocol import expression
from protocol.errors import ArgumentError, ExpressionError
from protocol.expression import Expression
from protocol.results import JobState

if TYPE_CHECKING:
    from protocol.data import Data

KINDS: Final = ("not_less", "not_more", "same")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field of what the function gives, and how it may not differ (one of KINDS)."""

    kind: str
    field: Expression

    def culprit(self, was: Data, now: Data) -> str:
        """What is worse: `osds_up was 3, is 2`; empty when nothing is."""
        before, after = _value(self.field, was), _value(self.field, now)
        told = f"{self.field.text} was {_shown(before)}, is {_shown(after)}"
        if self.kind == "same" or not (_is_number(before) and _is_number(after)):
            return "" if before == after else told
        assert isinstance(before, int | float) and isinstance(after, int | float)
        worse = after < before if self.kind == "not_less" else after > before
        return told if worse else ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """All that a gate compares; `text` says it in one line."""

    comparisons: tuple[Comparison, ...]
    conditions: tuple[Expression, ...]

    @property
    def text(self) -> str:
        """What is compared."""
        fields = [f"{one.field.text} {_WORDS[one.kind]}" for one in self.comparisons]
        return "; ".join([*fields, *(one.text for one in self.conditions)])

    def culprits(self, was: Data, now: Data) -> str:
        """What is worse than it was; empty when nothing is. Both are what the function gave on one minion."""
        found = [said for one in self.comparisons if (said := one.culprit(was, now))]
        both: dict[str, Data] = {"was": was, "now": now}
        for condition in self.conditions:
            try:
                holds = condition.holds(both)
            except ExpressionError:
                holds = False
            if not holds:
                found.append(condition.explain(both))
        return ", ".join(found)

    def kept(self, value: Data) -> Data:
        """The part of a value that the journal tells: the compared fields, or all of it when there are conditions."""
        if self.conditions:
            return value
        return {one.field.text: _value(one.field, value) for one in self.comparisons}


_WORDS: Final = {"not_less": "not less", "not_more": "not more", "same": "the same"}


def baseline(args: Mapping[str, Data]) -> Baseline:
    """What the arguments of a gate.baseline compare. Raises ArgumentError, InputError."""
    comparisons = [Comparison(kind, expression.parse(text)) for kind in KINDS for text in texts(args.get(kind))]
    conditions = [expression.parse(text) for text in _conditions(args.get("conditions"))]
    if not comparisons and not conditions:
        raise ArgumentError(
            "a gate.baseline compares nothing", help="not_less: [osds_up], not_more: [degraded], same: or conditions:"
        )  # fmt: skip
    return Baseline(tuple(comparisons), tuple(conditions))


def _conditions(value: Data) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def taken(outcome: JobOutcome) -> tuple[dict[str, Data], str]:
    """The values by minion when the run began, and what keeps them from being complete (empty: nothing)."""
    values = {id: ended.value for id, ended in outcome.minions.items() if ended.state is JobState.SUCCEEDED}
    missing = [
        f"{id}: {ended.state.value} {ended.reason}".strip()
        for id, ended in sorted(outcome.minions.items())
        if id not in values
    ]
    return values, "; ".join(missing[:5])


def _value(field: Expression, data: Data) -> Data:
    """What a field comes to; a missing one is null."""
    try:
        return field.evaluate(data if isinstance(data, Mapping) else {"value": data})
    except ExpressionError:
        return None


def _is_number(value: Data) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Data) -> str:
    return "missing" if value is None else repr(value) if isinstance(value, str) else str(value)
