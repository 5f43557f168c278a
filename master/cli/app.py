"""The tree of commands: their names, one line each, and the module that is imported only when one is used."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Final

import click

from master.cli.options import common

VERBS: Final[Mapping[str, tuple[str, str]]] = {
    "exec": ("master.cli.verbs_exec:execute", "Call a function on minions"),
    "apply": ("master.cli.verbs_apply:apply", "Make minions what their states say"),
    "plan": ("master.cli.verbs_apply:plan", "Show what apply would change; touch nothing"),
    "run": ("master.cli.verbs_run:run", "Start an orchestration and follow it"),
    "runs": ("master.cli.verbs_run:runs", "Orchestrations: ls, show, watch, pause, approve, cancel, retry"),
    "jobs": ("master.cli.verbs_jobs:jobs", "Jobs: ls, show, watch, cancel"),
    "minions": ("master.cli.verbs_minions:minions", "Minions: ls, show, pillar"),
    "keys": ("master.cli.verbs_keys:keys", "Who may join: ls, accept, reject, delete, token, master"),
    "audit": ("master.cli.verbs_audit:audit", "Who asked for what: ls, verify"),
    "events": ("master.cli.verbs_events:events", "The event log: tail"),
    "target": ("master.cli.verbs_target:target", "Show whom a target expression means"),
    "compile": ("master.cli.verbs_local:compile_", "Compile states and print the chunks"),
    "check": ("master.cli.verbs_check:check", "Check a state tree without a minion"),
    "fmt": ("master.cli.verbs_fmt:fmt", "Format SLS files that are plain YAML"),
    "doc": ("master.cli.verbs_doc:doc", "Describe a state or function"),
    "config": ("master.cli.verbs_config:config", "Configuration: check, show"),
    "store": ("master.cli.verbs_store:store", "The master's database: check, repair"),
    "status": ("master.cli.verbs_status:status", "Is the master well, and what is it doing"),
    "serve": ("master.cli.verbs_serve:serve", "Run the master in the foreground"),
    "version": ("master.cli.verbs_status:version", "Print the version"),
}

HELP: Final = """Orchestrate Ceph and OpenStack nodes.

\b
  stackmaster exec '*' test.ping                 ask every minion
  stackmaster plan 'osd*' ceph.conf              what would change, as a diff
  stackmaster apply 'osd*' ceph.conf             change it, and watch
  stackmaster apply '*'                          every minion to its highstate
  stackmaster run ceph.upgrade --dry-run         what an orchestration would do
  stackmaster keys accept osd1                   let a new minion in
"""

EPILOG: Final = """\b
Exit codes: 0 done, 1 could not do it, 2 usage, 3 changes pending
(plan --exit-code), 4 some minion failed, 5 some minion did not answer,
6 the target matched nobody, 7 refused, 124 --timeout, 130 left.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, and which knows what was meant by a typing mistake."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of a working day."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is none of that name."""
        place = VERBS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place[0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begin with. Raises click.UsageError with a suggestion."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {args[0]!r}.{suggestion(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


class Verbs(click.Group):
    """A group of a few sub-commands, which knows what was meant by a typing mistake."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begin with. Raises click.UsageError with a suggestion."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            meant = suggestion(args[0], self.commands) or f" There are: {', '.join(self.commands)}."
            raise click.UsageError(f"there is no command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)


def suggestion(given: str, known: Mapping[str, object]) -> str:
    """` Did you mean …?` for the nearest of `known`, or nothing."""
    close = difflib.get_close_matches(given, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


@click.command(cls=LazyGroup, help=HELP, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@common
def app() -> None:
    """The root of the commands; its help is HELP."""
