"""`stackmaster audit`: who asked the master for what, and whether that record was changed."""

from __future__ import annotations

import time

import click

from master.cli import exits
from master.cli.app import Verbs
from master.cli.options import common, current

HELP = """The audit: every call of the API, chained so that a changed or missing record shows.

\b
  stackmaster audit ls --limit 50
  stackmaster audit verify
"""


@click.group(cls=Verbs, help=HELP)
@common
def audit() -> None:
    """The group `audit`."""


@audit.command("ls", help="The newest records, newest first.\n\n\b\n  stackmaster audit ls --limit 100")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@common
def list_(limit: int) -> int:
    """Print records."""
    screen = current().screen
    with current().client() as client:
        found = client.call("audit.show", {"limit": limit}, deadline=120.0).get("records", [])
    if screen.machine:
        screen.records("stackmaster.audit/1", "records", found)
        return exits.DONE
    rows = [
        (
            str(each.get("number", "")),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(each.get("at") or 0.0))),
            *(str(each.get(name, "")) for name in ("user", "call", "outcome", "arguments")),
        )
        for each in found
    ]
    screen.table(("NUMBER", "AT", "USER", "CALL", "OUTCOME", "ARGUMENTS"), rows)
    return exits.DONE


@audit.command("verify", help="Whether every record is as it was written.\n\n\b\n  stackmaster audit verify")
@common
def verify() -> int:
    """Print the first record that does not hold; exit 1 when there is one."""
    screen = current().screen
    with current().client() as client:
        broken = client.call("audit.show", {"limit": 1}, deadline=120.0).get("broken")
    if screen.machine:
        screen.document("stackmaster.audit-verify/1", {"whole": broken is None, "broken": broken})
    elif broken is None:
        screen.data("the audit is whole")
    else:
        screen.data(f"record {broken} was changed, or one before it is missing")
    return exits.DONE if broken is None else exits.UNABLE
