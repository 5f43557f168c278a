"""The systemd units of Ceph's daemons: whether they are enabled and run, and how they are started."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import StateError
from states.context import Context
from states.host.process import require, run
from states.host.systemd import systemd
from states.host.unitview import Verb


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a unit starts at boot, and whether it runs."""

    enabled: bool
    running: bool


def look(ctx: Context, unit: str) -> Standing:
    """How `unit` stands; one that does not exist stands still. Raises StateError."""
    manager = systemd(ctx)
    return Standing(manager.file_state(unit) == "enabled", manager.unit(unit).running)


def enable(ctx: Context, unit: str) -> None:
    """Have `unit` start at boot. Raises StateError."""
    run(ctx, [require(ctx, "systemctl"), "enable", "--quiet", unit])


def start(ctx: Context, unit: str, verb: Verb = "start") -> None:
    """Start (or restart) `unit`; failures before are forgotten, so that they cannot forbid it. Raises StateError."""
    manager = systemd(ctx)
    if manager.unit(unit).active == "failed":
        manager.reset_failed(unit)
    result = manager.job(verb, unit)
    if result != "done":
        raise StateError(f"{unit} could not be started: {result}", help=f"journalctl -u {unit} says why")
