"""What rendering costs: a highstate for a thousand minions in the daemon, and a tree of two thousand states."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from master.compiler.pool import Limits, Pool
from master.compiler.recalling import Recalling
from master.compiler.request import Compiled, Request, Roots
from master.orders import JobRequest, prepare_apply
from protocol.data import Data
from protocol.names import MinionId
from tests.unit.compiler_tree import write

MINIONS = 1000
STATES = 50
TREE = 2000


def tree(folder: Path, states: int) -> Roots:
    """A tree of `states` states in files of ten, of every common kind, with pillar and templates."""
    files = {"top.sls": "base:\n  '*':\n" + "".join(f"    - part{number}\n" for number in range(states // 10))}
    for number in range(states // 10):
        files[f"part{number}.sls"] = (
            "{% set os = grains['os_family'] %}\n"
            f"{{% for item in range(10) %}}\npart{number}-{{{{ item }}}}:\n"
            "  file.managed:\n"
            f"    - name: /etc/part/{number}/{{{{ item }}}}\n"
            "    - source: salt://conf.j2\n"
            "    - template: jinja\n"
            "    - mode: 644\n"
            f"    - context: {{part: {number}, item: {{{{ item }}}}, os: {{{{ os }}}}}}\n"
            "{% if not loop.first %}"
            f"    - require:\n      - file: part{number}-{{{{ item - 1 }}}}\n"
            "{% endif %}{% endfor %}\n"
        )
    files["conf.j2"] = "# {{ part }} {{ item }} {{ os }}\nport = {{ pillar['app']['port'] }}\n"
    write(folder / "states", files)
    write(folder / "pillar", {"top.sls": "base:\n  '*': [app]\n", "app.sls": "app: {port: 80, password: abcdefgh}\n"})
    return Roots({"base": (folder / "states",)}, {"base": (folder / "pillar",)}, formulas=False)


def grains(number: int) -> dict[str, Data]:
    """The grains of one of many machines that are alike but for what tells them apart."""
    address = f"10.0.{number // 250}.{number % 250}"
    return {
        "os_family": "Debian", "os": "Debian", "osrelease": "12", "oscodename": "bookworm", "osmajorrelease": 12,
        "kernel": "Linux", "kernelrelease": "6.1.0", "cpuarch": "x86_64", "num_cpus": 8, "mem_total": 32768,
        "init": "systemd", "virtual": "physical", "host": f"n{number}", "nodename": f"n{number}",
        "fqdn": f"n{number}.example.org", "machine_id": f"{number:032x}", "ipv4": ["127.0.0.1", address],
        "ip4_interfaces": {"lo": ["127.0.0.1"], "eth0": [address]},
        "hwaddr_interfaces": {"lo": "00:00:00:00:00:00", "eth0": f"52:54:00:00:{number // 256:02x}:{number % 256:02x}"},
        "disks": [f"sd{letter}" for letter in "abcdefghijkl"],
    }  # fmt: skip


async def highstates(roots: Roots, count: int, width: int) -> tuple[float, float]:
    """Seconds until the orders for `count` minions are ready: the first time, and when nothing has changed."""
    pool = Pool(Limits(workers=width))
    compiler = Recalling(pool)
    inventory = {MinionId(f"n{number}"): grains(number) for number in range(count)}

    async def compile(minion: MinionId, _job: JobRequest) -> Compiled:
        return await compiler.compile(Request(minion, inventory[minion], roots))

    took = []
    try:
        for _ in range(2):
            began = time.perf_counter()
            prepared = await prepare_apply(JobRequest("*", kind="apply"), list(inventory), compile)
            took.append(time.perf_counter() - began)
            assert len(prepared.orders) == count
    finally:
        await pool.close()
    return took[0], took[1]


_ONE = """
import resource, sys, time
from pathlib import Path
from master.compiler.compile import compile_assignment
from master.compiler.request import Request, Roots
from tests.benchmarks.compiling import grains
folder = Path(sys.argv[1])
roots = Roots({"base": (folder / "states",)}, {"base": (folder / "pillar",)}, formulas=False)
began = time.perf_counter()
compiled = compile_assignment(Request("n1", grains(1), roots))
took = time.perf_counter() - began
print(len(compiled.assignment.chunks), took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def large(folder: Path) -> tuple[int, float, int]:
    """States, seconds and peak MB of a process that compiles the tree in `folder` once."""
    done = subprocess.run(
        [sys.executable, "-c", _ONE, str(folder)], capture_output=True, text=True, check=True, timeout=120,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    states, seconds, megabytes = done.stdout.split()
    return int(states), float(seconds), int(megabytes)


def main() -> None:
    """Print the figures beside their budgets."""
    with tempfile.TemporaryDirectory() as name:
        roots = tree(Path(name) / "small", STATES)
        first, again = asyncio.run(highstates(roots, MINIONS, 2))
        print(
            f"highstate of {STATES} states for {MINIONS} like minions: {first:.2f} s, again {again:.2f} s (budget 2 s)"
        )
        tree(Path(name) / "large", TREE)
        states, seconds, megabytes = large(Path(name) / "large")
        print(f"a tree of {states} states: {seconds:.2f} s (budget 3 s), {megabytes} MB at most (budget 200 MB)")
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB at most")


if __name__ == "__main__":
    main()
