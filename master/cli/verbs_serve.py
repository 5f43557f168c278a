"""`stackmaster serve`: the daemon in the foreground, as its unit runs it."""

from __future__ import annotations

import click

from master.cli.options import common, current

HELP = """Run the master in the foreground, as its systemd unit does.

\b
  stackmaster serve
  stackmaster serve --config ./master.yaml
"""


@click.command(help=HELP)
@common
def serve() -> int:
    """Serve until told to stop (SIGTERM, SIGINT). Raises ConfigError and what the daemon cannot do without."""
    invocation = current()
    return invocation.serve(invocation.config_path())
