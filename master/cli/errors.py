"""How an error is shown: what happened, where, and what to do next, in one block."""

from __future__ import annotations

from master.cli.client import MasterError
from master.cli.screen import Screen, visible
from protocol.errors import StackmasterError


def show_error(error: StackmasterError, screen: Screen) -> None:
    """Write `error` to standard error; also with --quiet."""
    import sys

    lines = error.message.rstrip().split("\n")
    block = [screen.style("Error: ", "bad", sys.stderr) + visible(lines[0])]
    block += ["       " + visible(line) for line in lines[1:]]
    if str(error.where):
        block.append("   at: " + visible(str(error.where)))
    for number, line in enumerate(error.help.split("\n") if error.help else []):
        block.append(("  try: " if number == 0 else "       ") + visible(line))
    if screen.verbose:
        block.append(" code: " + (error.answered_code if isinstance(error, MasterError) else error.code))
    print("\n".join(block), file=sys.stderr)
