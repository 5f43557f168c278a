"""`make bench`: prints every measured figure beside its budget."""

from __future__ import annotations

import sys

from tests.benchmarks import ceph_overhead, cli_start, compiling, idle


def main(names: list[str]) -> int:
    """Run the benchmarks `names` (all when empty)."""
    benches = {"idle": idle.main, "cli": cli_start.main, "ceph": ceph_overhead.main, "compiling": compiling.main}
    for name, bench in benches.items():
        if not names or name in names:
            print(f"== {name}", flush=True)
            bench()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
