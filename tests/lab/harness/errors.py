"""What can go wrong in the lab, so that a test can tell the lab's fault from the product's.

LabError
├── LabUnavailable     this machine cannot run booted hosts; the message says what is lacking
├── HostDown           the host is not running, so it cannot be asked for anything
├── CommandFailed      a command ended with another code than 0
└── CommandTimedOut    a command or a wait did not end in its time
"""

from collections.abc import Sequence


class LabError(Exception):
    """Anything the lab itself has to complain about."""


class LabUnavailable(LabError):
    """This machine cannot run booted hosts."""


class HostDown(LabError):
    """The host is not running."""


class CommandTimedOut(LabError):
    """A command or a wait did not end in its time."""


class CommandFailed(LabError):
    """A command ended badly; carries what it wrote."""

    def __init__(self, argv: Sequence[str], returncode: int, output: str, where: str = "") -> None:
        self.argv = list(argv)
        self.returncode = returncode
        self.output = output
        place = f" on {where}" if where else ""
        super().__init__(f"code {returncode}{place}: {_shown(argv)}\n{output[-4000:]}")


def _shown(argv: Sequence[str]) -> str:
    """The command line, shortened to what a person reads."""
    line = " ".join(argv)
    return line if len(line) <= 300 else line[:300] + " …"
