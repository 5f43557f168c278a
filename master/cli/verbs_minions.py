"""`stackmaster minions`: who is there and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from master.cli import exits, summary
from master.cli.app import Verbs
from master.cli.nodeset import fold
from master.cli.options import MINIONS, common, current
from master.cli.verbs_jobs import ago

MINIONS_HELP = """Minions: list, show what is known of one, show the pillar compiled for one.

\b
  stackmaster minions ls
  stackmaster minions ls 'osd*' --output wide
  stackmaster minions show osd1
  stackmaster minions pillar osd1
"""


@click.group("minions", cls=Verbs, help=MINIONS_HELP)
@common
def minions() -> None:
    """The group `minions`."""


@minions.command("ls", help="The minions, connected or not.\n\n\b\n  stackmaster minions ls 'osd*'")
@click.argument("target", required=False, shell_complete=MINIONS)
@common
def list_(target: str | None) -> int:
    """Print the minions."""
    screen = current().screen
    with current().client() as client:
        found = client.call("minions.list", {"target": target} if target else {}).get("minions", [])
    if screen.machine:
        screen.records("stackmaster.minions/1", "minions", found)
        return exits.DONE
    rows = [
        (str(m.get("id")), "connected" if m.get("connected") else "away", ago(m, "last_seen"), str(m.get("os") or ""),
         str(m.get("version") or ""))
        for m in found
    ]  # fmt: skip
    screen.table(("MINION", "STATE", "SEEN", "OS", "VERSION"), rows)
    away = [str(m.get("id")) for m in found if not m.get("connected")]
    screen.talk(f"{len(found)} minions, {len(found) - len(away)} connected" + (f"; away: {fold(away)}" if away else ""))
    return exits.DONE


@minions.command("show", help="What is known of one minion.\n\n\b\n  stackmaster minions show osd1")
@click.argument("minion", shell_complete=MINIONS)
@common
def show(minion: str) -> int:
    """Print one minion with its grains."""
    with current().client() as client:
        found = client.call("minions.show", {"id": minion})
    return _print(found, "stackmaster.minion/1")


@minions.command("pillar", help="The pillar of one minion, secrets masked.\n\n\b\n  stackmaster minions pillar osd1")
@click.argument("minion", shell_complete=MINIONS)
@common
def pillar(minion: str) -> int:
    """Print the pillar compiled for one minion."""
    with current().client() as client:
        found = client.call("pillar.show", {"minion": minion})
    return _print(found, "stackmaster.pillar/1")


def _print(found: Mapping[str, Any], schema: str) -> int:
    screen = current().screen
    if screen.machine:
        screen.document(schema, found)
    else:
        screen.data(summary.text_of(dict(found)))
    return exits.DONE
