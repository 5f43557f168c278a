"""`stackmaster events`: the event log, followed."""

from __future__ import annotations

import click

from master.cli import exits
from master.cli.app import Verbs
from master.cli.options import SPAN, common, current
from master.cli.verbs_jobs import event_line

HELP = """Events: follow what happens, by tag.

\b
  stackmaster events tail
  stackmaster events tail 'minion/*/lost'
  stackmaster events tail 'job/*' --since 0 --output ndjson
"""


@click.group(cls=Verbs, help=HELP)
@common
def events() -> None:
    """The group `events`."""


@events.command("tail", help=HELP)
@click.argument("pattern", default="*")
@click.option("--since", type=int, default=None, metavar="SEQ", help="Begin behind this number; 0 is the oldest kept.")
@click.option("--count", type=click.IntRange(1), default=None, help="Stop after so many.")
@click.option("--timeout", type=SPAN, default=None, help="Stop when nothing came for so long; then exit code 124.")
@common
def tail(pattern: str, since: int | None, count: int | None, timeout: float | None) -> int:
    """Print events as they come, until the person leaves."""
    screen = current().screen
    seen = 0
    with current().client() as client:
        stream = client.stream("events.tail", {"pattern": pattern, **({"since": since} if since is not None else {})})
        while stream.result is None:
            event = stream.next(timeout if timeout is not None else 3600.0)
            if event is None:
                if timeout is not None and stream.result is None:
                    return exits.TIMEOUT
                continue
            if screen.machine:
                screen.record({"schema": "stackmaster.event/1", **event.plain()})
            else:
                line = event_line(event)
                limit = screen.width()
                screen.data(line if len(line) <= limit else line[: limit - 1] + "…")
            seen += 1
            if count is not None and seen >= count:
                break
    return exits.DONE
