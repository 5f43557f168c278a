"""When a step on minions has succeeded: only on explicit successes; silence is a failure of its own kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from master.jobs import MinionOutcome
from protocol.results import Change, JobState, StepResult

if TYPE_CHECKING:
    from protocol.data import Data

SILENT: Final = frozenset({JobState.LOST, JobState.TIMED_OUT})


@dataclass(frozen=True, slots=True)
class Expectations:
    """What a step tolerates (the names are Salt's).

    allow_fail      how many minions may fail
    fail_minions    minions whose failure does not count
    expect_minions  True: every targeted minion must answer; False: those that do not are forgiven, and a target that
                    means nobody too; a number: so many must succeed, silence of the others is forgiven
    """

    allow_fail: int = 0
    fail_minions: frozenset[str] = frozenset()
    expect_minions: bool | int = True

    def counted(self, minions: Mapping[str, MinionOutcome]) -> list[str]:
        """The minions whose failure counts; silence is not a failure."""
        return [
            minion
            for minion, ended in minions.items()
            if ended.state.terminal
            and ended.state is not JobState.SUCCEEDED
            and ended.state not in SILENT
            and minion not in self.fail_minions
        ]

    def silent(self, minions: Mapping[str, MinionOutcome]) -> list[str]:
        """The minions that did not answer, where that counts."""
        if self.expect_minions is False:
            return []
        succeeded = sum(ended.state is JobState.SUCCEEDED for ended in minions.values())
        if self.expect_minions is not True and succeeded >= self.expect_minions:
            return []
        return [minion for minion, ended in minions.items() if ended.state in SILENT]


def expectations(args: Mapping[str, Data]) -> Expectations:
    """What the arguments of a step say."""
    names = args.get("fail_minions") or []
    wanted = args.get("expect_minions", True)
    return Expectations(
        allow_fail=int(str(args.get("allow_fail") or 0)),
        fail_minions=frozenset(map(str, _texts(names))),
        expect_minions=wanted if isinstance(wanted, bool | int) else True,
    )


def _texts(value: Data) -> Iterable[Data]:
    if isinstance(value, str):
        return [name for name in value.split(",") if name]
    return value if isinstance(value, list | tuple) else []


def judge(
    expected: Expectations, minions: Mapping[str, MinionOutcome], left_out: Sequence[str] = ()
) -> tuple[bool, str]:
    """Whether a step succeeded, and the sentence that says why; `left_out` were not begun because others failed."""
    failed, silent = expected.counted(minions), expected.silent(minions)
    lines = []
    succeeded = sum(ended.state is JobState.SUCCEEDED for ended in minions.values())
    number = expected.expect_minions
    if len(failed) > expected.allow_fail:
        lines.append(f"Run failed on minions: {', '.join(sorted(failed))}")
        lines += [f"{minion}: {_reason(minions[minion])}" for minion in sorted(failed)[:5]]
    if silent:
        lines.append(f"No answer from minions: {', '.join(sorted(silent))}")
        lines += [f"{minion}: {minions[minion].reason}" for minion in sorted(silent)[:5] if minions[minion].reason]
    if number is not True and number is not False and succeeded < number and not lines:
        lines.append(f"{succeeded} minions succeeded where {number} are expected")
    if left_out:
        lines.append(f"Not begun on: {', '.join(left_out)}")
    if lines:
        return False, "\n".join(lines)
    return True, _success(minions, failed)


def _success(minions: Mapping[str, MinionOutcome], failed: Sequence[str]) -> str:
    changed = sorted(minion for minion, ended in minions.items() if changes_of(ended.steps))
    text = f"{sum(ended.state is JobState.SUCCEEDED for ended in minions.values())} of {len(minions)} succeeded"
    text += f", {len(changed)} changed" if changed else ""
    return text + (f"; allowed to fail: {', '.join(sorted(failed))}" if failed else "")


def _reason(ended: MinionOutcome) -> str:
    """The first failure of a minion in one line."""
    for step in ended.steps:
        if step.result is False and step.ran:
            return f"{step.function} {step.name}: {step.comment.strip().splitlines()[0] if step.comment else 'failed'}"
    for step in ended.steps:
        if step.result is False:
            return f"{step.function} {step.name}: {' '.join(step.comment.split())}"
    return ended.reason or ended.state.value


def changes_of(steps: Iterable[StepResult]) -> int:
    """How many steps changed, or would change, something."""
    return sum(step.result is not False and (bool(step.changes) or step.result is None) for step in steps)


def changes(minions: Mapping[str, MinionOutcome]) -> tuple[Change, ...]:
    """One change a minion where an apply changed something, for requisites and for the eye."""
    return tuple(
        Change("change", minion, f"{count} states")
        for minion, ended in minions.items()
        if (count := changes_of(ended.steps))
    )


def told(minions: Mapping[str, MinionOutcome]) -> dict[str, Data]:
    """How each minion ended, as the event of a step tells it."""
    return {
        minion: {
            "state": ended.state.value,
            "reason": ended.reason,
            "changed": changes_of(ended.steps),
            "failed": sum(step.result is False for step in ended.steps),
        }
        for minion, ended in minions.items()
    }
