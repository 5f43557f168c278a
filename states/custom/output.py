"""What custom code prints and logs: to the job's own log, without secrets, never among results."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator

from protocol.secrets import Scrubber


class Output(io.TextIOBase):
    """A text stream that writes to the standard error of the process what it is given, scrubbed."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__()
        self._scrubber = scrubber
        self._target = sys.stderr
        self._handler = logging.StreamHandler(self)
        self._handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write `text`, scrubbed."""
        self._target.write(self._scrubber.text(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what is written."""
        if not self._target.closed:
            self._target.flush()

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Take what is printed and logged within."""
        log = logging.getLogger("salt")
        before, log.propagate = log.propagate, False
        self._target = sys.stderr if not isinstance(sys.stderr, Output) else self._target
        log.addHandler(self._handler)
        try:
            with contextlib.redirect_stdout(self), contextlib.redirect_stderr(self):
                yield
        finally:
            log.removeHandler(self._handler)
            log.propagate = before
