"""Kernel parameters, now and after the next boot: the family `sysctl`."""

from __future__ import annotations

from protocol.errors import ArgumentError, StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.host import sysctl
from states.host.attributes import LEAVE
from states.host.desired import Options
from states.host.edit import plan_edit
from states.registry import state


@state("sysctl.present")
def present(ctx: Context, name: str, *, value: str, config: str = "/etc/sysctl.d/99-stackmaster.conf") -> Plan:
    """Give the kernel parameter `name` a value, now and at each boot.

    value: the value; several are parted by spaces
    config: the file that keeps it, in the form of sysctl.d(5); other lines in it stay
    """
    wanted = sysctl.plain(value)
    if not wanted or "\n" in value:
        raise ArgumentError("the value must be one line that is not empty", where=Where(name))
    now = sysctl.current(ctx, name)
    if now is None and not ctx.assumed():
        raise StateError(
            "the kernel has no such parameter",
            where=Where(name),
            help="correct the name, or load the module that it belongs to first",
        )
    actions = []
    if now != wanted:
        change = Change("change", f"sysctl {name}", "value", now, wanted)
        actions.append(Action(change, lambda: sysctl.assign(ctx, name, wanted)))

    def edit(text: str) -> str:
        written = sysctl.written(text, name)
        return text if written is not None and sysctl.plain(written) == wanted else sysctl.with_line(text, name, wanted)

    kept = plan_edit(ctx, config, edit, options=Options(makedirs=True, folders=LEAVE), missing="")
    actions += kept.actions
    said = f"Updated sysctl value {name} = {wanted}" if actions else f"Sysctl value {name} = {wanted} is already set"
    return Plan(actions, said)
