"""The exit codes of the command line and which end of a job or run gives which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

DONE: Final = 0
UNABLE: Final = 1
USAGE: Final = 2
PENDING: Final = 3
FAILED: Final = 4
SILENT: Final = 5
NOBODY: Final = 6
REFUSED: Final = 7
TIMEOUT: Final = 124
LEFT: Final = 130

MEANING: Final = {
    DONE: "done",
    UNABLE: "could not do it (master unreachable, cancelled, internal)",
    USAGE: "what was typed or written is wrong",
    PENDING: "changes are pending (plan --exit-code only)",
    FAILED: "some minion failed",
    SILENT: "some minion did not answer",
    NOBODY: "the target matched nobody",
    REFUSED: "refused",
    TIMEOUT: "--timeout ran out",
    LEFT: "left while it goes on",
}


def of_job(states: Iterable[str], *, timed: bool = False) -> int:
    """The exit code of a job whose minions ended in `states`; `timed` when the caller set the time limit himself.

    A failure says more than a silence, a silence more than a refusal.
    """
    ended = set(states)
    if "failed" in ended:
        return FAILED
    if timed and "timed out" in ended:
        return TIMEOUT
    if ended & {"lost", "timed out", "pending", "accepted", "running"}:
        return SILENT
    if "refused" in ended:
        return REFUSED
    return UNABLE if "cancelled" in ended else DONE


def of_run(state: str, minions: Iterable[str]) -> int:
    """The exit code of a run that ended in `state`, whose steps' minions ended in `minions`."""
    if state == "succeeded":
        return DONE
    if state == "cancelled":
        return UNABLE
    code = of_job(minions)
    return code if code in (SILENT, REFUSED) else FAILED
