"""How a unit is started, stopped, enabled or masked, and what is said when that fails."""

from __future__ import annotations

import time
from functools import partial
from typing import Final, Literal

from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change
from states.context import Context
from states.contract import Action, Perform
from states.host import process
from states.host.systemd import Systemd
from states.host.unitview import Unit, Verb

SETTLE: Final = 0.3
"""Seconds to watch a unit of Type=simple after its start: systemd calls it started before its program runs."""
JOURNAL_LINES: Final = 10
_POLL: Final = 0.1
_ENABLED: Final = frozenset({"enabled", "alias", "indirect"})
_FIXED: Final = frozenset({"static", "transient"})
"""States of unit files that have nothing to enable."""

FileVerb = Literal["enable", "disable", "mask", "unmask"]


def look(ctx: Context, manager: Systemd, name: str) -> Unit | None:
    """The unit `name`, or None when it is foretold to come. Raises StateError when there is none or it is broken."""
    unit = manager.unit(name)
    if not unit.exists:
        if ctx.assumed():
            return None
        raise StateError(f"there is no unit {name} on this host", help="is its package installed? see pkg.installed")
    if unit.load in ("bad-setting", "error"):
        raise StateError(f"unit {name} cannot be loaded: {unit.load_error or unit.load}", help=f"see {unit.fragment}")
    return unit


def enabled(ctx: Context, manager: Systemd, name: str) -> bool | None:
    """Whether the unit starts at boot; None when it has nothing to enable (static). Raises StateError."""
    state = manager.file_state(name)
    if state in _FIXED:
        return None
    if state == "generated":  # from an init script, of which only systemctl knows
        done = process.run(ctx, [process.require(ctx, "systemctl"), "is-enabled", "--", name], accept=None)
        return done.stdout.strip() == "enabled"
    return state in _ENABLED


def running_action(name: str, old: str | None, new: str, perform: Perform) -> Action:
    """The foretold change of the unit from the state `old` (None: unknown) to `new`."""
    return Action(Change("change", f"unit {name}", "running", old=old, new=new), perform)


def file_action(ctx: Context, name: str, verb: FileVerb, *, runtime: bool = False) -> Action:
    """Enable, disable, mask or unmask the unit; `runtime`: until the next boot only."""
    aspect = "enabled" if verb in ("enable", "disable") else "masked"
    new = verb in ("enable", "mask")
    change = Change("change", f"unit {name}", aspect, old=not new, new=new)
    return Action(change, partial(unit_file, ctx, name, verb, runtime=runtime))


def unit_file(ctx: Context, name: str, verb: FileVerb, *, runtime: bool = False) -> None:
    """`systemctl enable` and its like, which also reads the unit files again. Raises StateError."""
    options = ["--runtime"] if runtime else []
    process.run(ctx, [process.require(ctx, "systemctl"), *options, verb, "--", name])


def start(
    ctx: Context,
    manager: Systemd,
    name: str,
    *,
    verb: Verb = "start",
    wait: bool = True,
    watch: float = 0.0,
) -> Data:
    """Start, restart or reload the unit; `watch` is for how many seconds it must stay up.

    Changed unit files are read first. A start limit that is hit is reset once, and said. Raises StateError with the
    unit's result, exit status and last journal lines.
    """
    before = manager.unit(name)
    if before.need_reload:
        manager.reload_daemon()
    result = manager.job(verb, name, wait=wait)
    if not wait:
        return {"queued": True}
    details: dict[str, Data] = {}
    unit = manager.unit(name)
    if result != "done" and _limit_hit(before, unit):
        manager.reset_failed(name)
        result = manager.job(verb, name)
        unit = manager.unit(name)
        details["start_limit"] = "was hit; reset once and started again"
    if result == "done":
        unit = _watched(manager, unit, max(watch, SETTLE if unit.type == "simple" else 0.0))
    once = unit.type == "oneshot" and not unit.remains and unit.result == "success" and unit.conditions_met
    if result != "done" or not (unit.running or once):
        raise start_failure(ctx, unit, verb, result)
    if not unit.running:
        details["ended"] = "a one-shot unit: it ran and ended"
    return details or None


def stop(ctx: Context, manager: Systemd, name: str, *, wait: bool = True) -> Data:
    """Stop the unit. Raises StateError."""
    result = manager.job("stop", name, wait=wait)
    if not wait:
        return {"queued": True}
    unit = manager.unit(name)
    if result != "done" or unit.active not in ("inactive", "failed"):
        raise start_failure(ctx, unit, "stop", result)
    return None


def start_failure(ctx: Context, unit: Unit, verb: str, result: str) -> StateError:
    """The error that says why `verb` failed on `unit`: its result, exit status and last journal lines."""
    facts = [f"job {result}"] if result != "done" else []
    facts.append(f"now {unit.state}")
    if unit.result not in ("", "success"):
        facts.append(f"result {unit.result}")
    if unit.exit_status:
        facts.append(f"{'signal' if unit.killed else 'exit status'} {unit.exit_status}")
    if not unit.conditions_met and unit.active == "inactive" and verb != "stop":
        facts.append("its conditions are not met")
    message = f"unit {unit.name} did not {verb}: {', '.join(facts)}"
    return StateError("\n".join([message, *journal(ctx, unit.name)]), help=f"systemctl status {unit.name}")


def journal(ctx: Context, name: str, lines: int = JOURNAL_LINES) -> list[str]:
    """The last lines of the unit's journal without secrets; nothing where there is no journal."""
    command = process.locate(ctx, "journalctl")
    if command is None:
        return []
    process.run(ctx, [command, "--sync"], accept=None, deadline=10)
    argv = [command, f"--unit={name}", f"--lines={lines}", "--no-pager", "--quiet", "--output=short-iso"]
    return ctx.scrubber.text(process.run(ctx, argv, accept=None, deadline=20).stdout).splitlines()


def _limit_hit(before: Unit, after: Unit) -> bool:
    """Whether a start was refused for coming too often: then the unit says so, or, when it had failed before, keeps
    saying why it failed then and was not invoked again (service_can_start in systemd's service.c)."""
    if after.result == "start-limit-hit":
        return True
    return (
        before.active == after.active == "failed" and bool(before.invocation) and before.invocation == after.invocation
    )


def _watched(manager: Systemd, unit: Unit, seconds: float) -> Unit:
    """The unit after it was watched for `seconds`, or as soon as it is down."""
    until = time.monotonic() + seconds
    while unit.running and time.monotonic() < until:
        time.sleep(_POLL)
        unit = manager.unit(unit.name)
    return unit
