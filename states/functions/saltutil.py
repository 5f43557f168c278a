"""Asking a minion to look at itself again, by the names that Salt's users type."""

from __future__ import annotations

from protocol.data import Data
from states.context import Context
from states.host import grains
from states.registry import function


@function("saltutil.refresh_grains", access="reads")
def refresh_grains(_ctx: Context) -> Data:
    """Gather the grains anew; the minion tells its master when they changed. Returns how many there are."""
    return len(grains.gather())


@function("saltutil.refresh_pillar", access="reads", inline=True)
def refresh_pillar(_ctx: Context) -> Data:
    """True: pillar is compiled on the master for each job, so there is none on the minion that could be stale."""
    return True
