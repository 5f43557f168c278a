"""`stackmaster store`: is the master's database sound, and a repair when it is not."""

from __future__ import annotations

import os

import click

from master.cli import exits
from master.cli.app import Verbs
from master.cli.options import common, current

HELP = """The master's database: check and repair. It is read beside a running master; a repair needs it stopped.

\b
  stackmaster store check
  systemctl stop stackmaster && stackmaster store check --repair
"""


@click.group(cls=Verbs, help=HELP)
@common
def store() -> None:
    """The group `store`."""


@store.command("check", help="Look for damage, rows that belong to nothing, and a changed audit.\n\n\b\n"
               "  stackmaster store check -o json")  # fmt: skip
@click.option("--repair", is_flag=True, help="Keep what can be read in a new database; the old one stays beside it.")
@common
def check(repair: bool) -> int:
    """Print what is wrong; exit 1 when something is left."""
    from master import config
    from master.store import check as checking

    invocation = current()
    screen = invocation.screen
    path = config.load(invocation.config_path(), os.environ).value.state_dir / "master.db"
    found = checking.check(path)
    aside = None
    if repair and any(each.repairable for each in found):
        aside = str(checking.repair(path))
        screen.talk(f"repaired; the old database is {aside}")
        found = checking.check(path)
    if screen.machine:
        findings = [{"what": each.what, "repairable": each.repairable} for each in found]
        content = {"file": str(path), "findings": findings, "aside": aside}
        screen.document("stackmaster.store-check/1", content)
    else:
        for each in found:
            screen.data(each.what)
        if not found:
            screen.data(f"{path} is sound")
        elif not repair and any(each.repairable for each in found):
            screen.talk("stop the master, then `stackmaster store check --repair`")
    return exits.UNABLE if found else exits.DONE
