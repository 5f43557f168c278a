"""The entry of `stackmaster`: the command line for people, and `stackmaster serve` for the daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from master.cli.app import app
from master.cli.client import exit_code
from master.cli.errors import show_error
from master.cli.exits import DONE, LEFT, UNABLE
from master.cli.options import Invocation
from protocol.errors import StackmasterError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (the process's own when None) and give its exit code."""
    invocation = Invocation(serve=_serve)
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        ended = app.main(args=words, prog_name="stackmaster", standalone_mode=False, obj=invocation)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except StackmasterError as error:
        show_error(error, invocation.screen)
        return exit_code(error)
    except (click.Abort, KeyboardInterrupt):
        return LEFT
    except BrokenPipeError:
        # who read our output has left; without this, Python complains once more when it closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNABLE
    return ended if isinstance(ended, int) else DONE


def _serve(config: Path | None) -> int:
    """Be the daemon, with the settings in `config`, until told to stop."""
    from master.daemon import serve

    return serve(config)


if __name__ == "__main__":
    sys.exit(main())
