"""Answers for a compilation without a master: functions run on this host, its keyring decrypts messages."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path

from master.compiler.gpg import decrypt_here
from master.compiler.outward import checked_call, plain_answer
from protocol.data import Data
from protocol.errors import SlsError, StackmasterError
from protocol.target import Subject, parse
from states.context import Context


class Here:
    """Calls functions with `context`; those that do more than read only when `allowed` names them (names or globs)."""

    def __init__(self, context: Context, allowed: Sequence[str] = (), keyring: Path | None = None) -> None:
        self._context = context
        self._allowed = allowed
        self._keyring = keyring

    def function(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        """What the function returns. Raises SlsError."""
        if name == "mine.get":
            return self._mine(*args, **kwargs)  # type: ignore[arg-type]
        allowed = (name,) if any(fnmatch.fnmatchcase(name, pattern) for pattern in self._allowed) else ()
        function, bound = checked_call(name, args, kwargs, allowed)
        try:
            return plain_answer(function, function.call(self._context, **bound))
        except SlsError:
            raise
        except StackmasterError as error:
            raise SlsError(f"{name}: {error.message}", help=error.help) from None

    def decrypt(self, message: str) -> str:
        """The text in the OpenPGP message. Raises SlsError."""
        return decrypt_here(self._keyring, message)

    def _mine(self, tgt: str, fun: str | list[str], tgt_type: str = "glob", exclude_minion: bool = False) -> Data:
        """As the master answers it when there is this host only."""
        if not isinstance(fun, str):
            return {name: self._mine(tgt, name, tgt_type) for name in fun}
        subject = Subject(self._context.minion, self._context.grains, {})
        if not parse(tgt, tgt_type).matches(subject):
            return {}
        return {self._context.minion: self.function(fun, (), {})}
