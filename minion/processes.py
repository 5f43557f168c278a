"""Processes of jobs as proc(5) shows them: whether one is still the same, and all that belong to a job."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from minion import scope

Member: TypeAlias = "tuple[int, str]"
"""A pid and when that process started, so that another process with its number is not taken for it."""


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


def family(pid: int, group: Path | None) -> tuple[Member, ...]:
    """All processes of the job whose process is `pid` (0: none): what descends from it, and its control group's."""
    pids = dict.fromkeys([*(tree(pid) if pid else ()), *(scope.members(group) if group else ())])
    return tuple((each, begun) for each in pids if (begun := started(each)))


def living(members: Iterable[Member]) -> tuple[Member, ...]:
    """Those of `members` that are still there."""
    return tuple((pid, begun) for pid, begun in members if started(pid) == begun)


def send(members: Iterable[Member], number: signal.Signals) -> None:
    """Signal each of `members` that is still the same process, and its process group: commands have their own."""
    for pid, begun in members:
        if started(pid) != begun:
            continue
        for deliver in (os.killpg, os.kill):
            try:
                deliver(pid, number)
            except OSError:
                continue


def _fields(pid: int) -> list[str]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()
