"""How a step's minions are parted into batches, and when so many have failed that no further one begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from master.jobs import MinionOutcome
from master.runs.verdicts import Expectations
from protocol.errors import SlsError, StateError

if TYPE_CHECKING:
    from protocol.data import Data

GRAIN: Final = "grain:"
"""What a `batch` by failure domain begins with."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many failures may be, of all minions of a step or of a domain: a number or "N%", which is rounded down."""

    text: str

    def passed(self, failures: int, of: int) -> bool:
        """Whether there are more failures than may be."""
        digits = self.text.removesuffix("%")
        most = int(digits) * of // 100 if self.text.endswith("%") else int(digits)
        return failures > most


@dataclass(frozen=True, slots=True)
class Batches:
    """A sliding `window` (N or "N%"), or one failure `domain` (a grain) after the other, and what may fail on the way.

    Without a limit the step stops at the first failure that does not count as allowed.
    """

    window: int | str | None = None
    domain: str = ""
    step_limit: Limit | None = None
    domain_limit: Limit | None = None


@dataclass(slots=True)
class Plan:
    """The batches that wait, how many may go on at once, each minion's domain, and the number of all minions."""

    waiting: list[tuple[str, ...]] = field(default_factory=list)
    size: int = 1
    domains: dict[str, str] = field(default_factory=dict)
    total: int = 0

    def stops(self, batches: Batches, expected: Expectations, minions: Mapping[str, MinionOutcome]) -> str:
        """Why no further batch begins after `minions` have ended so; empty when one may."""
        counted, silent = expected.counted(minions), expected.silent(minions)
        bad = [*counted, *silent]
        if batches.domain_limit is not None:
            for domain in sorted(set(self.domains.values())):
                members = [minion for minion, its in self.domains.items() if its == domain]
                failures = sum(minion in bad for minion in members)
                if batches.domain_limit.passed(failures, len(members)):
                    return (
                        f"{failures} of {len(members)} failed in {domain}; max_failures is {batches.domain_limit.text}"
                    )
        if batches.step_limit is not None:
            if batches.step_limit.passed(len(bad), self.total):
                return f"{len(bad)} of {self.total} failed; max_failures is {batches.step_limit.text}"
            return ""
        if batches.domain_limit is None and (len(counted) > expected.allow_fail or silent):
            return "a batch failed"
        return ""


def planned(batches: Batches, minions: list[str], domains: Mapping[str, str], total: int) -> Plan:
    """The plan for `minions`, some of whom may be left of `total`. Raises StateError when one has no domain."""
    if not batches.domain:
        assert batches.window is not None
        return Plan([(minion,) for minion in minions], size_of(batches.window, total), {}, total)
    homeless = [minion for minion in minions if not domains.get(minion)]
    if homeless:
        raise StateError(
            f"no grain {batches.domain!r} on {', '.join(homeless[:8])}", help="set it, or name another grain in `batch`"
        )
    names = sorted({domains[minion] for minion in minions})
    waiting = [tuple(minion for minion in minions if domains[minion] == name) for name in names]
    return Plan(waiting, 1, dict(domains), total)


def batches_of(args: Mapping[str, Data]) -> Batches | None:
    """What `batch` and `max_failures` among the arguments of a step say. Raises SlsError."""
    batch, limits = args.get("batch"), args.get("max_failures")
    if batch is None:
        if limits is not None:
            raise SlsError("'max_failures' without 'batch' could stop nothing", help="batch: 1, 25% or grain:rack")
        return None
    domain = str(batch)[len(GRAIN) :].strip() if str(batch).startswith(GRAIN) else ""
    if str(batch).startswith(GRAIN) and not domain:
        raise SlsError("'batch' names no grain", help="batch: grain:rack")
    window = None if domain else check_size("batch", batch)
    given = limits if isinstance(limits, Mapping) else {"step": limits}
    strange = sorted(given.keys() - {"step", "domain"})
    if strange:
        raise SlsError(f"'max_failures' has no {strange[0]!r}", help="it takes step and domain")
    if given.get("domain") is not None and not domain:
        raise SlsError("'max_failures' of a domain needs a batch by domain", help="batch: grain:rack")
    return Batches(window, domain, _limit(given.get("step")), _limit(given.get("domain")))


def _limit(given: Data) -> Limit | None:
    if given is None:
        return None
    text = str(given).strip()
    digits = text.removesuffix("%")
    if isinstance(given, bool) or not digits.isdigit() or (text.endswith("%") and int(digits) > 100):
        raise SlsError(
            f"'max_failures' must be a number or a percentage, not {text!r}", help="max_failures: 2, or 10%"
        )  # fmt: skip
    return Limit(text)


def domain_of(grains: Mapping[str, Data], path: str) -> str:
    """The value of the grain `path` (`rack`, or `place:rack` within a mapping) as text; empty when there is none."""
    found: Data = grains
    for part in path.split(":"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return "" if found is None or isinstance(found, Mapping | list | tuple) else str(found)


def size_of(given: int | str, of: int) -> int:
    """`N` or `N%` of a number, at least 1 and at most all."""
    text = str(given).strip()
    count = int(text[:-1]) * of // 100 if text.endswith("%") else int(text)
    return min(max(count, 1), max(of, 1))


def check_size(what: str, given: Data) -> int | str | None:
    """The argument `what` (batch, subset) as N or "N%". Raises SlsError."""
    if given is None:
        return None
    text = str(given).strip()
    digits = text.removesuffix("%")
    if isinstance(given, bool) or not digits.isdigit() or int(digits) < 1:
        raise SlsError(f"{what!r} must be a number or a percentage, not {text!r}", help=f"{what}: 3, or {what}: 25%")
    return text
