"""What steps gave, and the references by which later steps use it: `${steps.<id>.<minion or *>.<path>}`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from protocol.errors import StateError
from protocol.secrets import MASK, UNKNOWN, Secret

if TYPE_CHECKING:
    from protocol.data import Data

_REFERENCE: Final = re.compile(r"\$\{steps\.([^{}]+)\}")


class Outputs:
    """The values of ended steps, by step and minion; in memory only, since they may be secret.

    `replaying`: an earlier master's run is gone through again. Some of what was secret may be gone, so whatever leads
    nowhere is taken as unknown: the step that used it has begun already.
    """

    def __init__(self) -> None:
        self._values: dict[str, Mapping[str, Data] | None] = {}
        self.replaying = False
        self._replayed = False

    def replay(self, goes_on: bool) -> None:
        """A replay begins or ends."""
        self.replaying = goes_on
        self._replayed = True

    def put(self, step: str, values: Mapping[str, Data] | None) -> None:
        """Keep what a step gave by minion; None when a dry run cannot tell."""
        self._values[step] = values

    def resolve(self, value: Data) -> Data:
        """`value` with every string that is a reference replaced by what it refers to, of its own type.

        What a dry run cannot tell is Secret(UNKNOWN). Raises StateError for a reference that leads nowhere.
        """
        if isinstance(value, str):
            found = _REFERENCE.fullmatch(value) if "${steps." in value else None
            return value if found is None else self._found(found[0], found[1])
        if isinstance(value, Mapping):
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolve(item) for item in value]
        return value

    def _found(self, reference: str, path: str) -> Data:
        try:
            return self._lookup(reference, path)
        except StateError as error:
            if self.replaying:
                return Secret(UNKNOWN)
            if self._replayed:
                help = "what a step gave in secret while the master was away is not kept; run it again"
                raise StateError(error.message, help=help) from None
            raise

    def _lookup(self, reference: str, path: str) -> Data:
        step = _longest(path.split("."), self._values)
        if step is None:
            raise StateError(
                f"{reference}: no step of that name has ended", help="add `require` on the step whose output is used"
            )
        values = self._values[step]
        if values is None:
            return Secret(UNKNOWN)
        rest = path[len(step) + 1 :].split(".") if len(path) > len(step) else []
        if not rest:
            raise StateError(f"{reference}: say of which minion, or `*`", help=f"steps.{step}.*.<path>")
        if rest[0] == "*":
            return self._agreed(reference, values, rest[1:])
        minion = _longest(rest, values)
        if minion is None:
            known = ", ".join(sorted(values)) or "none"
            raise StateError(f"{reference}: the step {step!r} has no answer of that minion", help=f"it has: {known}")
        return _walk(reference, values[minion], rest[minion.count(".") + 1 :])

    def _agreed(self, reference: str, values: Mapping[str, Data], path: Sequence[str]) -> Data:
        """The value on which all minions that answered agree."""
        found = {minion: _walk(reference, value, path) for minion, value in values.items()}
        if not found:
            raise StateError(f"{reference}: no minion answered that step")
        first, *others = found.values()
        if any(other != first for other in others):
            minions = ", ".join(sorted(found))
            raise StateError(f"{reference}: the minions {minions} gave different values", help="name one of them")
        return first


def _longest(parts: Sequence[str], names: Mapping[str, object]) -> str | None:
    """The longest of `names` that `parts` begin with; names may hold dots themselves."""
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in names:
            return name
    return None


def _kept(reference: str, value: Data) -> Data:
    """`value`, unless it was secret and only its mask was kept. Raises StateError."""
    if value == MASK and not isinstance(value, Secret):
        raise StateError(f"{reference}: the value is secret and was not kept", help="run it again")
    return value


def _walk(reference: str, value: Data, path: Sequence[str]) -> Data:
    """What lies at `path` inside `value`; keys may hold dots, lists take numbers. Raises StateError."""
    while path:
        if isinstance(value, Mapping):
            key = _longest(path, value)
            if key is None:
                known = ", ".join(sorted(map(str, value))[:12]) or "nothing"
                raise StateError(f"{reference}: there is no {path[0]!r}", help=f"there is {known}")
            value, path = value[key], path[key.count(".") + 1 :]
        elif isinstance(value, list | tuple) and path[0].isdigit() and int(path[0]) < len(value):
            value, path = value[int(path[0])], path[1:]
        else:
            raise StateError(f"{reference}: there is no {path[0]!r} in {type(_kept(reference, value)).__name__}")
    return _kept(reference, value)
