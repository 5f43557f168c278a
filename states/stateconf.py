"""The state that changes nothing and holds the parameters of a file rendered by stateconf."""

from __future__ import annotations

from protocol.data import Data
from states.context import Context
from states.contract import Plan
from states.registry import state


@state("stateconf.set")
def set_(_ctx: Context, _name: str, **_parameters: Data) -> Plan:
    """Hold parameters; what requires it waits for what it requires."""
    return Plan()


state("stateconf.context")(set_)
