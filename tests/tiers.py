"""Runs the tiers of tests one after the other and ends by saying which ran and which this machine could not run.

    python -m tests.tiers            all tiers
    python -m tests.tiers unit lab   some of them

In CI (`CI=true`) a tier that cannot run is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.harness.requirements import lab_unavailable_reason

ROOT = Path(__file__).resolve().parent.parent


def _always() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Tier:
    """A part of `tests/`: the folders it holds and why this machine cannot run it, if so."""

    name: str
    folders: tuple[str, ...]
    options: tuple[str, ...] = ()
    unavailable: Callable[[], str | None] = _always


TIERS = (
    Tier("unit", ("tests/unit", "tests/conformance"), ("--numprocesses=2", "--dist=worksteal")),
    Tier("functional", ("tests/functional", "tests/security", "tests/faults")),
    Tier("lab", ("tests/lab",), unavailable=lab_unavailable_reason),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a tier."""

    tier: Tier
    status: str
    seconds: float = 0.0


def _run(tier: Tier) -> Outcome:
    reason = tier.unavailable()
    if reason is not None:
        return Outcome(tier, f"not run: {reason}")
    print(f"== {tier.name}: {' '.join(tier.folders)}", flush=True)
    began = time.monotonic()
    folders = [folder for folder in tier.folders if any((ROOT / folder).rglob("test_*.py"))]
    status = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tier.options, *folders], cwd=ROOT, check=False
    ).returncode
    return Outcome(tier, "passed" if status == 0 else f"FAILED (pytest exit {status})", time.monotonic() - began)


def main(names: list[str]) -> int:
    """Run the tiers `names` (all when empty); the exit code."""
    unknown = set(names) - {tier.name for tier in TIERS}
    if unknown:
        print(f"no such tier: {', '.join(sorted(unknown))}; there are {', '.join(t.name for t in TIERS)}")
        return 2
    outcomes = [_run(tier) for tier in TIERS if not names or tier.name in names]
    print("== tiers")
    for outcome in outcomes:
        print(f"{outcome.tier.name:12} {outcome.status} ({outcome.seconds:.0f} s)")
    failed = any(outcome.status.startswith("FAILED") for outcome in outcomes)
    left_out = any(outcome.status.startswith("not run") for outcome in outcomes)
    if left_out and os.environ.get("CI") == "true":
        print("in CI no tier may be left out")
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
