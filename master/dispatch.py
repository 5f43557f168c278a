"""Signed commands on their way: to each minion in the order of their sequence numbers, until it has them.

A minion refuses a command whose sequence number is not above the newest one it journaled, so none may overtake
another: the first that cannot be sent holds back those behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.names import JobId, MinionId

Send = Callable[[MinionId, bytes], bool]


@dataclass(slots=True)
class _Command:
    sequence: int
    job: JobId
    raw: bytes
    cancel: bool
    sent: bool = False


class Dispatch:
    """The commands that minions do not have yet. `send` gives False when a minion does not take one now."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: dict[MinionId, list[_Command]] = {}

    def add(self, minion: MinionId, sequence: int, job: JobId, raw: bytes, *, cancel: bool = False) -> None:
        """Send a command now, or once the minion is here. `cancel`: it ends `job` and may be sent again at will."""
        waiting = self._waiting.setdefault(minion, [])
        waiting.append(_Command(sequence, job, raw, cancel))
        waiting.sort(key=lambda each: each.sequence)
        self.flush(minion)

    def flush(self, minion: MinionId) -> None:
        """Send what was not sent yet, in order, as far as the minion takes it."""
        for each in self._waiting.get(minion, ()):
            if not each.sent:
                if not self._send(minion, each.raw):
                    return
                each.sent = True

    def connected(self, minion: MinionId, high_water: int) -> None:
        """The minion began a session having journaled commands up to `high_water`; those behind it are sent again."""
        for each in self._waiting.get(minion, ()):
            each.sent = not each.cancel and each.sequence <= high_water
        self.flush(minion)

    def sent(self, minion: MinionId, job: JobId) -> bool:
        """Whether the minion may have the command of `job`: it was sent, or is not here any more."""
        return all(each.sent for each in self._waiting.get(minion, ()) if each.job == job and not each.cancel)

    def taken(self, minion: MinionId, job: JobId, *, ended: bool) -> None:
        """The minion told that it has the job; once it `ended` there, its cancel needs no sending either."""
        waiting = self._waiting.get(minion)
        if waiting is None:
            return
        left = [each for each in waiting if each.job != job or (each.cancel and not ended)]
        if left:
            self._waiting[minion] = left
        else:
            del self._waiting[minion]

    def forget(self, minion: MinionId) -> None:
        """Nothing is for this minion any more."""
        self._waiting.pop(minion, None)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))
