"""The systemd units of Ceph's daemons: whether they are enabled and run, and how they are started."""

from __future__ import annotations

from dataclasses import dataclass

from states.context import Context
from states.host.process import require, run


@dataclass(frozen=True, slots=True)
class Unit:
    """Whether a unit starts at boot, and whether it runs."""

    enabled: bool
    running: bool


def look(ctx: Context, unit: str) -> Unit:
    """How `unit` stands. Raises StateError."""
    systemctl = require(ctx, "systemctl")
    shown = run(ctx, [systemctl, "show", unit, "--property=UnitFileState,ActiveState"]).stdout
    found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    return Unit(found.get("UnitFileState") == "enabled", found.get("ActiveState") in ("active", "activating"))


def enable(ctx: Context, unit: str) -> None:
    """Have `unit` start at boot. Raises StateError."""
    run(ctx, [require(ctx, "systemctl"), "enable", "--quiet", unit])


def start(ctx: Context, unit: str) -> None:
    """Start `unit`; earlier failures are forgotten first, so that they do not forbid it. Raises StateError."""
    systemctl = require(ctx, "systemctl")
    run(ctx, [systemctl, "reset-failed", unit], accept=None)
    run(ctx, [systemctl, "start", unit])


def restart(ctx: Context, unit: str) -> None:
    """Restart `unit`. Raises StateError."""
    systemctl = require(ctx, "systemctl")
    run(ctx, [systemctl, "reset-failed", unit], accept=None)
    run(ctx, [systemctl, "restart", unit])
