"""Services: running, dead, enabled at boot, masked."""

from __future__ import annotations

from functools import partial

from protocol.errors import StateError
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.host import units
from states.host.systemd import Systemd, systemd, unit_name
from states.host.unitview import Verb
from states.registry import state


def _restart_on_change(
    ctx: Context,
    name: str,
    *,
    reload: bool = False,
    full_restart: bool = False,
    no_block: bool = False,
    init_delay: float = 0.0,
) -> Plan:
    """What a change of a watched state brings: a reload if asked for and possible, else a restart."""
    manager, name = systemd(ctx), unit_name(name)
    unit = units.look(ctx, manager, name)
    can_reload = unit is None or (unit.can_reload and unit.running)
    reloading = reload and not full_restart and can_reload
    warnings = () if reloading or not reload or full_restart else (f"{name} cannot be reloaded: restarted",)
    verb: Verb = "reload" if reloading else "restart"
    change = Change("restart", f"unit {name}", verb, old=unit.state if unit else None, new="active")
    perform = partial(units.start, ctx, manager, name, verb=verb, wait=not no_block, watch=init_delay)
    return Plan([Action(change, perform)], comment=f"{name}: {verb}ed", warnings=warnings)


@state("service.running", watch=_restart_on_change)
def running(
    ctx: Context,
    name: str,
    *,
    enable: bool | None = None,
    sig: str = "",
    init_delay: float = 0.0,
    no_block: bool = False,
    unmask: bool = False,
    unmask_runtime: bool = False,
    reload: bool = False,
    full_restart: bool = False,
) -> Plan:
    """A service runs; when a watched state changes it is restarted.

    enable: true also starts it at boot, false does not
    sig: accepted for Salt's sake; systemd knows its processes
    init_delay: seconds for which it must stay up after the start
    no_block: queue the start without waiting for it
    unmask: unmask it first if it is masked
    unmask_runtime: the same for a mask that lasts until the next boot
    reload: a change of a watched state reloads it instead, where it can
    full_restart: a change of a watched state restarts it even with reload
    """
    manager, name = systemd(ctx), unit_name(name)
    unit = units.look(ctx, manager, name)
    actions = []
    if unit is not None and unit.load == "masked":
        if not (unmask or unmask_runtime):
            raise StateError(f"unit {name} is masked, so it cannot start", help="give unmask: True if it is to run")
        actions.append(units.file_action(ctx, name, "unmask", runtime=unmask_runtime and not unmask))
    enabling, warnings = _enabling(ctx, manager, name, enable, known=unit is not None)
    actions += enabling
    if unit is None or not unit.running:
        perform = partial(units.start, ctx, manager, name, wait=not no_block, watch=init_delay)
        actions.append(units.running_action(name, unit.state if unit else None, "active", perform))
    return Plan(actions, comment=f"{name} runs{_said(enable)}", warnings=warnings)


@state("service.dead")
def dead(
    ctx: Context,
    name: str,
    *,
    enable: bool | None = None,
    sig: str = "",
    init_delay: float = 0.0,
    no_block: bool = False,
) -> Plan:
    """A service does not run; one that does not exist does not run either.

    enable: false also keeps it from starting at boot, true makes it start then
    sig: accepted for Salt's sake; systemd knows its processes
    init_delay: accepted for Salt's sake; the end of the service is waited for
    no_block: queue the stop without waiting for it
    """
    manager, name = systemd(ctx), unit_name(name)
    unit = manager.unit(name)
    if not unit.exists and not (enable and ctx.assumed()):
        return Plan(comment=f"there is no unit {name}, so it does not run")
    actions, warnings = _enabling(ctx, manager, name, enable, known=unit.exists and unit.load != "masked")
    if unit.active not in ("inactive", "failed"):
        perform = partial(units.stop, ctx, manager, name, wait=not no_block)
        actions.append(units.running_action(name, unit.state, "inactive", perform))
    return Plan(actions, comment=f"{name} does not run{_said(enable)}", warnings=warnings)


@state("service.enabled")
def enabled(ctx: Context, name: str) -> Plan:
    """A service starts at boot; whether it runs now is left as it is."""
    manager, name = systemd(ctx), unit_name(name)
    unit = units.look(ctx, manager, name)
    if unit is not None and unit.load == "masked":
        raise StateError(f"unit {name} is masked, so it cannot be enabled", help="declare service.unmasked before it")
    actions, warnings = _enabling(ctx, manager, name, True, known=unit is not None)
    return Plan(actions, comment=f"{name} is enabled", warnings=warnings)


@state("service.disabled")
def disabled(ctx: Context, name: str) -> Plan:
    """A service does not start at boot; whether it runs now is left as it is."""
    manager, name = systemd(ctx), unit_name(name)
    if not manager.unit(name).exists:
        return Plan(comment=f"there is no unit {name}, so it is not enabled")
    actions, warnings = _enabling(ctx, manager, name, False, known=True)
    return Plan(actions, comment=f"{name} is disabled", warnings=warnings)


@state("service.masked")
def masked(ctx: Context, name: str, *, runtime: bool = False) -> Plan:
    """A service cannot be started, by nobody; one that runs goes on.

    runtime: until the next boot only
    """
    manager, name = systemd(ctx), unit_name(name)
    if manager.unit(name).load == "masked":
        state = manager.file_state(name)
        if runtime or state != "masked-runtime":
            return Plan(comment=f"{name} is masked")
    return Plan([units.file_action(ctx, name, "mask", runtime=runtime)], comment=f"{name} is masked")


@state("service.unmasked")
def unmasked(ctx: Context, name: str, *, runtime: bool = False) -> Plan:
    """A service is not masked.

    runtime: take away only a mask that lasts until the next boot
    """
    manager, name = systemd(ctx), unit_name(name)
    if manager.file_state(name) not in (("masked-runtime",) if runtime else ("masked", "masked-runtime")):
        return Plan(comment=f"{name} is not masked")
    runtime = manager.file_state(name) == "masked-runtime"
    return Plan([units.file_action(ctx, name, "unmask", runtime=runtime)], comment=f"{name} is not masked")


def _enabling(
    ctx: Context, manager: Systemd, name: str, wanted: bool | None, *, known: bool
) -> tuple[list[Action], tuple[str, ...]]:
    """What brings the unit to start at boot, or not to, and warnings; `known` is false for a unit only foretold."""
    if wanted is None:
        return [], ()
    now = units.enabled(ctx, manager, name) if known else not wanted
    if now is None:
        static = f"{name} is static: it is started by other units, and cannot be enabled or disabled"
        return [], (static,) if wanted else ()
    if now is wanted:
        return [], ()
    return [units.file_action(ctx, name, "enable" if wanted else "disable")], ()


def _said(enable: bool | None) -> str:
    return "" if enable is None else " and is enabled" if enable else " and is not enabled"
