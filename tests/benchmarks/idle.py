"""What an idle minion costs: memory (PSS), processes, processor."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.demo.site import Site

HERE = Path(__file__).parent
DEMO = HERE.parent / "demo"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process tree: PSS in MB (10^6 bytes), processes, and the share of a core over the time watched."""

    pss: float
    processes: int
    core: float


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found


def pss(pids: list[int]) -> float:
    """Their proportional set size in MB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def seconds(pid: int) -> float:
    """Processor time that `pid` has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(pid: int, watch: float) -> Cost:
    """What the tree under `pid` costs over `watch` seconds."""
    before = seconds(pid)
    time.sleep(watch)
    pids = tree(pid)
    return Cost(pss(pids), len(pids), (seconds(pid) - before) / watch)


def measure(watch: float = 20.0) -> dict[str, Cost]:
    """A site of one master and one minion at rest, after one ping."""
    with Site(DEMO / "states", DEMO / "pillar") as site:
        site.start_master()
        token = json.loads(site.run("keys", "token", "--output", "json").stdout)["token"]
        site.start_minion("idle", token)
        site.run("exec", "*", "test.ping")
        return {name: cost(site.pid(name), watch) for name in ("idle", "master")}


def main() -> None:
    """Print the figures beside their budgets."""
    for name, found in measure().items():
        who = "minion" if name == "idle" else name
        print(f"idle {who}: {found.pss:.1f} MB PSS, {found.processes} process, {found.core * 100:.2f} % of a core")
    print("budget: minion 30 MB or less, one process")
