"""`stackmaster status` and `version`."""

from __future__ import annotations

import click

from master.cli import exits
from master.cli.live import span
from master.cli.options import common, current


@click.command(
    help="Is the master well, and what is it doing.\n\n\b\n  stackmaster status\n  stackmaster status -o json"
)
@common
def status() -> int:
    """Print the master's state. Raises UnreachableError (exit 1) when it does not answer."""
    invocation = current()
    with invocation.client() as client:
        found = client.call("status", deadline=10.0)
    screen = invocation.screen
    if screen.machine:
        screen.document("stackmaster.status/1", found)
        return exits.DONE
    minions = found.get("minions") or {}
    screen.data(f"master   {found.get('version', '')}, up {span(float(found.get('uptime') or 0.0))}")
    screen.data(f"minions  {minions.get('connected', 0)} of {minions.get('accepted', 0)} connected")
    if found.get("store_full"):
        screen.data("disk     full: old history is forgotten so that work goes on")
    screen.data(f"at work  {found.get('jobs_running', 0)} jobs, {found.get('runs_running', 0)} runs")
    return exits.DONE


@click.command(help="Print the version.\n\n\b\n  stackmaster version")
@common
def version() -> int:
    """Print the version of this program."""
    from master import __version__

    screen = current().screen
    if screen.machine:
        screen.document("stackmaster.version/1", {"version": __version__})
    else:
        screen.data(f"stackmaster {__version__}")
    return exits.DONE
