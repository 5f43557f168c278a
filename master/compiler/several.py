"""Several mistakes told as one error, from which they can be had one by one."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.errors import SlsError

_MOST_TOLD = 9
"""Errors whose text is told behind the first one's."""


class SeveralErrors(SlsError):
    """The `errors`, of which the message tells the first and the next ones; `where` is that of the first."""

    def __init__(self, errors: Sequence[SlsError]) -> None:
        self.errors = tuple(each for error in errors for each in apart(error))
        first, *others = self.errors
        own = f"{first.message} ({first.help})" if first.help else first.message
        told = "".join(f"\n  {error}" for error in others[:_MOST_TOLD])
        more = f"\n  and {len(others) - _MOST_TOLD} more" if len(others) > _MOST_TOLD else ""
        super().__init__(own + told + more, where=first.where)


def apart(error: SlsError) -> tuple[SlsError, ...]:
    """The errors that `error` stands for."""
    return error.errors if isinstance(error, SeveralErrors) else (error,)


def raise_all(errors: Sequence[SlsError]) -> None:
    """Raise all `errors` as one; nothing when there are none."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralErrors(errors)
