"""How long the command line takes to start: `stackmaster --help`, against a bare interpreter in the same run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def once(arguments: list[str]) -> float:
    """Seconds for one run of the interpreter with `arguments`."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(runs: int = 15) -> None:
    """Print the medians; the two are run by turns, so that noise meets both."""
    help_times: list[float] = []
    bare_times: list[float] = []
    for _ in range(runs):
        help_times.append(once(["-m", "master.main", "--help"]))
        bare_times.append(once(["-c", "pass"]))
    median, bare = statistics.median(help_times), statistics.median(bare_times)
    print(f"stackmaster --help: {median * 1000:.0f} ms ({median / bare:.1f} times a bare interpreter); budget 120 ms")
