"""What a state is: a function that looks at the host and returns a Plan; applying performs exactly that plan.

So a dry run and an apply cannot disagree: both come from the same look, and the plan's changes are what is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from protocol.data import Data
from protocol.results import Change

Perform = Callable[[], Data]
"""Makes one change true. Returns details that only doing it can tell (or None). Raises StateError."""

Access = Literal["reads", "changes", "runs-code"]
"""What a function may do to a host: look only, change it, or run what the caller wrote."""


@dataclass(frozen=True, slots=True)
class Action:
    """One foretold change and the deed that makes it true."""

    change: Change
    perform: Perform


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be done. No actions: the host is as wanted, and `comment` says so.

    With actions, `comment` is what is said once they are done. `warnings` are for the operator.
    """

    actions: Sequence[Action] = ()
    comment: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes foretold, in order."""
        return tuple(action.change for action in self.actions)
