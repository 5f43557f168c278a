"""What a state is: a function that looks at the host and returns a Plan; applying performs exactly that plan.

So a dry run and an apply cannot disagree: both come from the same look, and the plan's changes are what is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change

Perform = Callable[[], Data]
"""Makes one change true. Returns details that only doing it can tell (or None). Raises StateError, DeedError when
the deed was done and came out badly, or NoDifferenceError when it changed nothing."""

Access = Literal["reads", "changes", "runs-code"]
"""What a function may do to a host: look only, change it, or run what the caller wrote."""


class DeedError(StateError):
    """Raised by a perform whose deed was done and came out badly (a command that ran and exited with 1): its change
    counts as made, with `details`, and the state has failed."""

    def __init__(self, message: str, details: Data = None, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.details = details


class NoDifferenceError(StateError):
    """Raised by a perform whose deed was done, is well, and made no difference, as only doing it could tell (a
    stateful command that says so): its change is not told; the message is the state's comment."""


@dataclass(frozen=True, slots=True)
class Action:
    """One foretold change and the deed that makes it true."""

    change: Change
    perform: Perform


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be done. No actions: the host is as wanted, and `comment` says so.

    With actions, `comment` is what is said once they are done, and `foretold` what a dry run says of them (when it is
    empty, a sentence made of the changes). `promised` is the result of a dry run with actions: None, "it would change",
    or True where Salt says so. `warnings` are for the operator.
    """

    actions: Sequence[Action] = ()
    comment: str = ""
    warnings: tuple[str, ...] = ()
    foretold: str = ""
    promised: bool | None = None

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes foretold, in order."""
        return tuple(action.change for action in self.actions)


@dataclass(frozen=True, slots=True)
class Done(Plan):
    """What a state came to that looks and acts at once: the own code of a state tree, written for Salt.

    `result` and `made` are its word, also in a dry run; nobody can check them. With `skip_req` it asks that nobody
    act on its changes.
    """

    result: bool | None = True
    made: tuple[Change, ...] = ()
    skip_req: bool = False
