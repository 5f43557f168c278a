"""`stackmaster minions`: who is there and what is known of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

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
  stackmaster minions ls --drift
  stackmaster minions show osd1
  stackmaster minions pillar osd1
"""


@click.group("minions", cls=Verbs, help=MINIONS_HELP)
@common
def minions() -> None:
    """The group `minions`."""


@minions.command("ls", help="The minions, connected or not.\n\n\b\n  stackmaster minions ls 'osd*'")
@click.argument("target", required=False, shell_complete=MINIONS)
@click.option("--drift", is_flag=True, help="Whether each is as its states say, by the last dry run of the clock.")
@common
def list_(target: str | None, drift: bool) -> int:
    """Print the minions."""
    screen = current().screen
    asked: dict[str, Any] = {"target": target} if target else {}
    with current().client() as client:
        found = client.call("minions.list", {**asked, **({"drift": True} if drift else {})}).get("minions", [])
    if screen.machine:
        screen.records("stackmaster.minions/1", "minions", found)
        return exits.DONE
    if drift:
        return _drift(found)
    rows = [
        (str(m.get("id")), "connected" if m.get("connected") else "away", ago(m, "last_seen"), str(m.get("os") or ""),
         str(m.get("version") or ""))
        for m in found
    ]  # fmt: skip
    screen.table(("MINION", "STATE", "SEEN", "OS", "VERSION"), rows)
    away = [str(m.get("id")) for m in found if not m.get("connected")]
    screen.talk(f"{len(found)} minions, {len(found) - len(away)} connected" + (f"; away: {fold(away)}" if away else ""))
    return exits.DONE


def _drift(found: list[Mapping[str, Any]]) -> int:
    """Print which of the minions drifted, those first."""
    screen = current().screen
    rows = []
    states = Counter[str]()
    for minion in sorted(found, key=lambda m: (_ORDER.index(_standing(m)), str(m.get("id")))):
        told, standing = minion.get("drift") or {}, _standing(minion)
        states[standing] += 1
        text = f"{told.get('changes')} changes" if standing == "drifted" else standing
        ages = (ago(told, "checked"), ago(told, "since")) if told else ("", "")
        rows.append((str(minion.get("id")), text, *ages, str(told.get("reason") or "").split("\n")[0]))
    screen.table(("MINION", "DRIFT", "CHECKED", "SINCE", "REASON"), rows)
    counts = ", ".join(f"{states[state]} {state}" for state in _ORDER if states[state])
    screen.talk(f"{len(found)} minions: {counts}" if found else "0 minions")
    if states["drifted"] or states["failed"]:
        screen.talk("next: stackmaster minions show MINION tells the changes; stackmaster apply MINION makes them")
    return exits.DONE


_ORDER: Final = ("failed", "drifted", "not looked at", "clean")


def _standing(minion: Mapping[str, Any]) -> str:
    state = str((minion.get("drift") or {}).get("state"))
    return state if state in _ORDER else "not looked at"


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
