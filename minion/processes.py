"""Processes of jobs as proc(5) shows them: whether one is still the same, and all that descend from it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path


def started(pid: int) -> str:
    """When process `pid` started (clock ticks since boot, field 22 of proc(5)); empty when it is gone or a zombie."""
    fields = _fields(pid)
    return "" if not fields or fields[0] == "Z" else fields[19]


def tree(pid: int) -> list[int]:
    """`pid` and everything that descends from it, parents before children."""
    found = [pid]
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return found
    for task in tasks:
        try:
            children = (task / "children").read_text("ascii").split()
        except OSError:
            continue
        for child in children:
            found += tree(int(child))
    return found


def family(pid: int) -> tuple[tuple[int, str], ...]:
    """`pid` and all that descends from it now, each with its start, so that it can be known later."""
    return tuple((each, started(each)) for each in tree(pid))


def send(members: Iterable[tuple[int, str]], number: signal.Signals) -> None:
    """Signal each of a `family` that is still the same process, and its process group: commands have their own."""
    for pid, begun in members:
        if begun == "" or started(pid) != begun:
            continue
        for deliver in (os.killpg, os.kill):
            try:
                deliver(pid, number)
            except ProcessLookupError:
                continue


def _fields(pid: int) -> list[str]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()
