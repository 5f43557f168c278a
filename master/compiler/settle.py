"""The last step before the wire: plain data with string keys, reported strings in place, secrets marked as Secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from master.compiler.reported import Guard
from master.compiler.secretwords import SECRET_WORDS, SecretWords
from protocol.data import Data
from protocol.errors import SlsError, Where
from protocol.secrets import Scrubber, Secret, literals

MAX_NESTING = 24
"""Containers within one argument: with those of the message around it, they stay within `limits.MAX_DEPTH`."""

_SHORTEST = 6
"""A literal shorter than this hides nothing (as in protocol.secrets): it would match innocent words."""


class Settler:
    """Settles the values of one assignment and remembers in `secrets` which literals they hold."""

    def __init__(self, guard: Guard, scrubber: Scrubber, known: Iterable[str]) -> None:
        self._guard = guard
        self._scrubber = scrubber
        self._known = tuple(known)
        self._words = SecretWords(word for word in SECRET_WORDS if word != "key")
        self.secrets: set[str] = set()

    def value(self, value: Any, name: str, where: Where) -> Data:
        """The argument `name` as it is sent. Raises SlsError when it holds what cannot be sent."""
        marked = self._words.marked(self._plain(value, where, MAX_NESTING), name)
        self.secrets |= {text for text in literals(marked) if len(text) >= _SHORTEST and text not in self.secrets}
        return self._with_known(marked)

    def text(self, text: str) -> str:
        """A name or id as it is sent."""
        restored = self._guard.text(text)
        self._note(restored)
        return restored

    def content(self, content: bytes) -> None:
        """Note the secrets in rendered content."""
        self._note(content.decode("utf-8", "replace"))

    def _plain(self, value: Any, where: Where, left: int) -> Any:
        if isinstance(value, str):
            return str(self._guard.restored(value)) if not isinstance(value, Secret) else value
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise SlsError("a number does not fit in 64 bits", where=where, help="quote it")
        if value is None or isinstance(value, bool | int | float | bytes):
            return value
        if left == 0:
            raise SlsError(f"a value nests deeper than {MAX_NESTING}", where=where)
        if isinstance(value, Mapping):
            return {self._key(key): self._plain(item, where, left - 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item, where, left - 1) for item in value]
        raise SlsError(f"a value of type {type(value).__name__} cannot be sent to a minion", where=where)

    def _key(self, key: Any) -> str:
        if isinstance(key, bool):
            return "true" if key else "false"
        return "null" if key is None else self._guard.text(str(key))

    def _with_known(self, value: Data) -> Data:
        if isinstance(value, str):
            return Secret(value) if not isinstance(value, Secret) and self._note(value) else value
        if isinstance(value, Mapping):
            return {key: self._with_known(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._with_known(item) for item in value]
        return value

    def _note(self, text: str) -> bool:
        """Whether `text` holds a secret; those of the pillar that it holds are remembered."""
        if self._scrubber.text(text) == text:
            return False
        for literal in self._known:
            if literal not in self.secrets and any(part in text for part in _parts(literal)):
                self.secrets.add(literal)
        return True


def _parts(literal: str) -> list[str]:
    return [part for part in (literal, *literal.splitlines()) if len(part.strip()) >= _SHORTEST]
