"""Asking a minion to look at itself again, and to take over the own code of its master's state tree."""

from __future__ import annotations

from typing import Final

from protocol.assignment import CustomKind
from protocol.data import Data
from states.context import Context
from states.host import grains
from states.registry import function

SYNCHRONISING: Final[dict[str, CustomKind | None]] = {
    "saltutil.sync_all": None,
    "saltutil.sync_modules": "modules",
    "saltutil.sync_states": "states",
    "saltutil.sync_grains": "grains",
    "saltutil.sync_utils": "utils",
}
"""Functions whose call brings the code of the tree along; the kind that they tell of, or all."""


@function("saltutil.refresh_grains", access="reads")
def refresh_grains(_ctx: Context) -> Data:
    """Gather the grains anew; the minion tells its master when they changed. Returns how many there are."""
    return len(grains.gather())


@function("saltutil.refresh_pillar", access="reads", inline=True)
def refresh_pillar(_ctx: Context) -> Data:
    """True: pillar is compiled on the master for each job, so there is none on the minion that could be stale."""
    return True


@function("saltutil.sync_all", access="changes")
def sync_all(ctx: Context, saltenv: str = "base", refresh: bool = True) -> Data:
    """Fetch the own code of the tree; by kind, what is new here. Its grains are gathered when the job has ended.

    saltenv: the environment whose tree it is
    refresh: taken for Salt's sake; grains are always gathered
    """
    return _taken(ctx)


@function("saltutil.sync_modules", access="changes")
def sync_modules(ctx: Context, saltenv: str = "base", refresh: bool = True) -> Data:
    """As `saltutil.sync_all`; tells of `_modules`."""
    return _taken(ctx)["modules"]


@function("saltutil.sync_states", access="changes")
def sync_states(ctx: Context, saltenv: str = "base", refresh: bool = True) -> Data:
    """As `saltutil.sync_all`; tells of `_states`."""
    return _taken(ctx)["states"]


@function("saltutil.sync_grains", access="changes")
def sync_grains(ctx: Context, saltenv: str = "base", refresh: bool = True) -> Data:
    """As `saltutil.sync_all`; tells of `_grains`."""
    return _taken(ctx)["grains"]


@function("saltutil.sync_utils", access="changes")
def sync_utils(ctx: Context, saltenv: str = "base", refresh: bool = True) -> Data:
    """As `saltutil.sync_all`; tells of `_utils`."""
    return _taken(ctx)["utils"]


def _taken(ctx: Context) -> dict[str, Data]:
    """Keep the tree that came with the call; by kind, the files that were not here or were others."""
    from states.custom import store

    told: dict[str, Data] = {}
    for kind, files in store.synchronise(ctx).items():
        told[kind] = files
    return told
