"""A step that waits until a person approves, or denies, or the time is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from master.runs.machine import Setting
from master.runs.shapes import Decided, Effect, Key, StepEvent, StepOutcome, Tell
from protocol.errors import RefusedError

if TYPE_CHECKING:
    from protocol.data import Data

PATIENCE: Final = 86_400.0
"""Seconds that an approval is waited for when the step sets no timeout."""


@dataclass(slots=True)
class ApprovalStep:
    """Waits `timeout` seconds for a decision of one of the users `by` (empty: of anybody who may operate runs)."""

    setting: Setting
    message: str
    by: tuple[str, ...]
    timeout: float
    outcome: StepOutcome | None = None
    wake: float | None = None
    key: Key | None = None

    def begin(self, now: float) -> list[Effect]:
        """Tell that somebody is asked."""
        self.key = self.setting.key()
        self.wake = now + self.timeout
        who = f" by {' or '.join(self.by)}" if self.by else ""
        return [Tell(self.key.step, "waiting", {"reason": f"approval{who}: {self.message}", "approval": True})]

    def handle(self, event: StepEvent, now: float) -> list[Effect]:
        """Somebody decided, or the time is over."""
        if self.outcome is not None:
            return []
        if isinstance(event, Decided) and event.key == self.key:
            return self._decided(event)
        if self.wake is not None and now >= self.wake:
            self._end(StepOutcome(False, f"nobody approved in {self.timeout:g} s: {self.message}", values={}))
        return []

    def stop(self, now: float) -> list[Effect]:
        """End at once."""
        self._end(StepOutcome(False, "cancelled while it waited for approval", values={}))
        return []

    def check(self, user: str) -> None:
        """Whether this user may decide. Raises RefusedError."""
        if self.by and user not in self.by:
            raise RefusedError(f"{user} may not decide on this step", help=f"it asks {', '.join(self.by)}")

    def _decided(self, event: Decided) -> list[Effect]:
        word = "approved" if event.granted else "denied"
        data: dict[str, Data] = {"user": event.user, "granted": event.granted, "comment": event.comment}
        said = f"{word} by {event.user}" + (f": {event.comment}" if event.comment else "")
        self._end(StepOutcome(event.granted, said, values={"master": data}))
        return [Tell(event.key.step, "decided", data)]

    def _end(self, outcome: StepOutcome) -> None:
        self.outcome, self.wake = outcome, None
