"""`stackmaster minions` and `target`: who is there, what is known of them, whom an expression means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from master.cli import exits, summary
from master.cli.app import Verbs
from master.cli.nodeset import fold
from master.cli.options import MINIONS, common, current, target_kinds
from master.cli.verbs_jobs import ago
from protocol.errors import NoTargetError

MINIONS_HELP = """Minions: list, show what is known of one, show the pillar compiled for one.

\b
  stackmaster minions ls
  stackmaster minions ls 'osd*' --output wide
  stackmaster minions show osd1
  stackmaster minions pillar osd1
"""

TARGET_HELP = """Target expressions: see whom one means before you use it.

\b
  stackmaster target show 'osd* and G@os:Debian'
  stackmaster target show -G os:Debian --explain
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


def _explained(terms: Mapping[str, Any], meant: Sequence[str]) -> list[str]:
    """For each minion whether it is meant, and what each part of the expression found."""
    lines = []
    for id, parts in terms.items():
        lines.append(f"{'+' if id in meant else '-'} {id}")
        for part in parts:
            indent = "  " * (int(part.get("depth") or 0) + 2)
            lines.append(f"{indent}{part.get('term')}: {'yes' if part.get('matched') else 'no'}, {part.get('why')}")
    return lines


@click.group("target", cls=Verbs, help=TARGET_HELP)
@common
def target() -> None:
    """The group `target`."""


@target.command("show", help=TARGET_HELP)
@click.argument("expression")
@target_kinds
@click.option("--explain", is_flag=True, help="Say how the expression was read.")
@common
def target_show(expression: str, kind: str | None, explain: bool) -> int:
    """Print whom an expression means. Raises NoTargetError (exit 6) when that is nobody."""
    screen = current().screen
    request = {"target": expression, "kind": kind or "compound", **({"explain": True} if explain else {})}
    with current().client() as client:
        found = client.call("target.show", request)
    meant = [str(id) for id in found.get("minions", [])]
    if screen.machine:
        screen.document("stackmaster.target/1", {"target": expression, **found})
    else:
        for line in _explained(found["explain"], meant) if found.get("explain") else meant:
            screen.data(line)
    if not meant:
        raise NoTargetError(f"{expression!r} matches nobody", help="`stackmaster minions ls` lists the minions")
    if not screen.machine:
        screen.talk(f"{len(meant)} minions: {fold(meant)}")
    return exits.DONE
