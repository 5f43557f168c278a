"""Removes what a run made on this machine: at its end, or later when its owner was killed."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.lab.harness import cgroup, claim
from tests.lab.harness.command import run
from tests.lab.harness.errors import LabError

_NAMESPACES = Path("/run/netns")


def remove_abandoned() -> list[str]:
    """Remove all runs whose owner is dead, and give back their names."""
    removed = []
    for found in claim.abandoned():
        remove(found.name, found.folder)
        found.release()
        removed.append(found.name)
    return removed


def remove(run_name: str, folder: Path) -> None:
    """Remove everything of one run. What is already gone is no error."""
    groups = cgroup.of_run(run_name)
    cgroup.kill(groups)
    spaces = list(namespaces(run_name))
    _kill_inside(spaces)
    for point in mounts_below(folder):
        run(["umount", str(point)])
    for space in spaces:
        run(["ip", "netns", "del", space], check=False)
    for group in groups:
        cgroup.remove(group)
    if folder.exists():
        shutil.rmtree(folder)


def namespaces(run_name: str) -> Iterator[str]:
    """The network namespaces of a run: the switch and one for each host."""
    if _NAMESPACES.is_dir():
        for path in _NAMESPACES.iterdir():
            if path.name == run_name or path.name.startswith(f"{run_name}-"):
                yield path.name


def mounts_below(folder: Path) -> list[Path]:
    """What is mounted in a folder, the innermost first."""
    points = [
        Path(line.split()[4].encode().decode("unicode_escape"))
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    return [point for point in reversed(points) if point.is_relative_to(folder)]


def _kill_inside(spaces: list[str], timeout: float = 15) -> None:
    """Kill what a test left running in the run's namespaces, such as a master on the switch."""
    deadline = time.monotonic() + timeout
    while pids := [pid for space in spaces for pid in run(["ip", "netns", "pids", space]).stdout.split()]:
        if time.monotonic() > deadline:
            raise LabError(f"processes that do not leave the lab's network: {pids}")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)
