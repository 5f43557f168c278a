"""What minions report is data: hostile strings among grains come out of a YAML template as one literal scalar.

A string that YAML could read as more than one plain scalar becomes `Reported`. Where a template prints it into SLS
text, a token is printed in its place; once the text is parsed, the token becomes the string again. So no newline,
quote, brace or tag that a minion reports can close a scalar and open another state. Ordinary values (names, versions,
addresses) are printed as they are.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

_SAFE = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./()+@%=~: -]*")
_TWO_SCALARS = re.compile(r": |:$| $|  ")
_METHODS = (
    "capitalize casefold center expandtabs format format_map join ljust lower lstrip partition removeprefix "
    "removesuffix replace rjust rpartition rsplit rstrip split splitlines strip swapcase title translate upper zfill "
    "__add__ __getitem__ __mod__ __mul__ __rmul__"
)


class Reported(str):
    """A string that a minion reported and that YAML could read as structure; what is made of it stays one."""

    __slots__ = ()

    def __radd__(self, other: str) -> Any:
        return mark(other + str(self))

    def __rmod__(self, other: str) -> Any:
        return mark(other % str(self))

    def __iter__(self) -> Iterator[str]:
        return (mark(character) for character in str.__iter__(self))


def _marking(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return mark(method(*args, **kwargs))

    return call


for _name in _METHODS.split():
    setattr(Reported, _name, _marking(getattr(str, _name)))


def safe(text: str) -> bool:
    """Whether YAML reads `text` as at most one plain scalar wherever it is printed."""
    if not text:
        return True
    return _SAFE.fullmatch(text) is not None and _TWO_SCALARS.search(text) is None


def mark(value: Any) -> Any:
    """A copy of `value` in which every string that is not safe is Reported."""
    if isinstance(value, str):
        return value if isinstance(value, Reported) or safe(value) else Reported(value)
    if isinstance(value, Mapping):
        return {mark(key): mark(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mark(item) for item in value]
    if isinstance(value, tuple):
        return tuple(mark(item) for item in value)
    return value


def holds_reported(value: Any) -> bool:
    """Whether a Reported string is in `value`."""
    if isinstance(value, str):
        return isinstance(value, Reported)
    if isinstance(value, Mapping):
        return any(holds_reported(key) or holds_reported(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(holds_reported(item) for item in value)
    return False


class Guard:
    """The tokens of one compilation: printed in place of Reported strings, and turned back into them.

    `active` once there are Reported strings that a template may see.
    """

    def __init__(self) -> None:
        self.active = False
        nonce = secrets.token_hex(8)
        self._format = f"sm{nonce}x{{}}z"
        self._token = re.compile(f"sm{nonce}x([0-9]+)z")
        self._numbers: dict[str, int] = {}
        self._values: list[str] = []

    def printed(self, value: Any) -> Any:
        """`value` as a YAML template prints it."""
        if isinstance(value, str):
            return self._printed_text(value) if isinstance(value, Reported) else value
        if self.active and isinstance(value, list | tuple | Mapping) and holds_reported(value):
            return self._printed_container(value)
        return value

    def restored(self, value: Any) -> Any:
        """`value` with every token turned back into the string it stands for."""
        if not self._values:
            return value
        if isinstance(value, str):
            return self._restored_text(value)
        if isinstance(value, dict):
            return {self.restored(key): self.restored(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.restored(item) for item in value]
        return value

    def text(self, text: str) -> str:
        """`text` (of an error) with every token turned back."""
        return str(self.restored(text))

    def _printed_text(self, value: str) -> str:
        if safe(value):
            return str(value)
        number = self._numbers.setdefault(str(value), len(self._values))
        if number == len(self._values):
            self._values.append(str(value))
        return self._format.format(number)

    def _printed_container(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.printed(value)
        if isinstance(value, Mapping):
            return {self._printed_container(key): self._printed_container(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._printed_container(item) for item in value)
        return value

    def _restored_text(self, text: str) -> str:
        restored = self._token.sub(lambda found: self._values[int(found[1])], text)
        return text if restored == text else Reported(restored)
