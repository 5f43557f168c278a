"""What one file may cost a check: processor time and memory, so that a template without end is a finding."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from protocol.errors import SlsError

SECONDS: Final = 20.0
"""Of processor time for one file and one sample."""
MEMORY: Final = 2 * 1024 * 1024 * 1024
"""Bytes of address space of the whole check."""

_LOOK: Final = "look for a loop without end, a long range or a slow regular expression"


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """Raises SlsError from within what takes longer, or more memory than `bounded_memory` leaves. Main thread only."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise SlsError(f"rendering takes more than {seconds:g} s of processor time", help=_LOOK)

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    except MemoryError:
        raise SlsError("rendering takes more memory than there is for it", help=_LOOK) from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def bounded_memory(size: int = MEMORY) -> Iterator[None]:
    """Within, this process gets no more than `size` bytes of address space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
