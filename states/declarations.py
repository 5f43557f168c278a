"""What a declared state or function is: name, arguments, call; and what a tree's own code offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.data import Data
from states.contract import Access, Plan

StateCall = Callable[..., Plan]
FunctionCall = Callable[..., Data]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument a caller may give. `type` is the annotation; `required` when there is no default."""

    name: str
    type: Any
    required: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a state or function; `open` when it takes any further keyword, `rest` any further value."""

    parameters: Mapping[str, Parameter]
    open: bool = False
    rest: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """A declared state function. `watch` plans what a changed watched state brings (Salt's mod_watch)."""

    name: str
    call: StateCall
    signature: Signature
    watch: StateCall | None
    doc: str


@dataclass(frozen=True, slots=True)
class Function:
    """A declared execution function; `secret` when what it returns must never be shown or stored."""

    name: str
    call: FunctionCall
    signature: Signature
    access: Access
    secret: bool
    inline: bool
    doc: str


class Custom(Protocol):
    """What the own code of a state tree gives to the job at hand; no other code can be asked for by name."""

    def state(self, name: str) -> State | None:
        """The state `name`, None when the tree has none. Raises StateError when its file cannot be loaded."""
        ...

    def function(self, name: str) -> Function | None:
        """The function `name`, None when the tree has none. Raises StateError when its file cannot be loaded."""
        ...
