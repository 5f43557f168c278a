"""Following a job or run until it ends, the time is over, or the person leaves (which stops nothing)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal

from master.cli.client import Stream
from master.cli.options import Invocation
from master.cli.painter import REDRAW, painter
from master.cli.progress import Progress
from protocol.errors import StackmasterError

Ending = Literal["ended", "left", "timeout"]

ANSWER_WITHIN: Final = 30.0
"""Seconds in which a minion must take up a job that somebody waits for; then it is withdrawn from that minion."""

JOB_LIMIT: Final = 3600.0
"""Seconds a job may take when the caller sets no limit, as the API has it."""

GRACE: Final = 10.0
"""Seconds beyond the limit given to a job in which the master's own ending of it may still arrive."""


@dataclass(slots=True)
class Followed:
    """What was seen, and why the watching ended; `withdrawn` are minions that never took the job up."""

    progress: Progress
    ending: Ending
    withdrawn: tuple[str, ...] = ()


def follow(
    invocation: Invocation, stream: Stream, *, timeout: float | None = None, patience: float | None = None
) -> Followed:
    """Show `stream` until its result.

    `timeout`: seconds to wait at most. `patience`: seconds in which minions must take up the job; it is then
    cancelled on those that did not. Raises MasterError, UnreachableError.
    """
    progress = Progress()
    paint = painter(invocation.screen)
    begun = time.monotonic()
    withdrawn: tuple[str, ...] = ()
    drawn = 0.0
    try:
        while stream.result is None:
            event = stream.next(REDRAW)
            if event is not None:
                paint.event(event, progress.feed(event))
            now = time.monotonic()
            if now - drawn >= REDRAW:
                paint.draw(progress)
                drawn = now
            if timeout is not None and now - begun > timeout:
                return Followed(progress, "timeout", withdrawn)
            if patience is not None and now - begun > patience:
                withdrawn = _withdraw(invocation, progress)
                patience = None
    except KeyboardInterrupt:
        return Followed(progress, "left", withdrawn)
    finally:
        paint.close()
    return Followed(progress, "ended", withdrawn)


def _withdraw(invocation: Invocation, progress: Progress) -> tuple[str, ...]:
    """Cancel the job on minions that never took it up; gives them."""
    silent: list[str] = []
    for job in progress.jobs.values():
        waiting = [minion.id for minion in job.minions.values() if minion.state == "pending"]
        if not waiting:
            continue
        try:
            with invocation.client() as client:
                client.call("jobs.cancel", {"job": job.id, "minions": waiting})
        except StackmasterError as error:
            invocation.screen.talk(f"the job could not be withdrawn from {', '.join(waiting)}: {error}", "warn")
            continue
        silent += waiting
    return tuple(silent)
