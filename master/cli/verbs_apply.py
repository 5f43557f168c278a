"""`stackmaster apply` and `plan`: make minions what their states say, or show what that would change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from master.cli import arguments
from master.cli.follow import ANSWER_WITHIN
from master.cli.local import Place, place_options
from master.cli.options import MINIONS, SPAN, common, current, pillar_option, target_kinds
from master.cli.verbs_exec import start
from protocol.data import Data
from protocol.errors import InputError

APPLY_HELP = """Apply SLS files (or, without any, the highstate) on the minions that TARGET means.

\b
  stackmaster apply 'osd*' ceph.conf            the SLS ceph.conf on every osd
  stackmaster apply '*'                         the highstate everywhere
  stackmaster apply osd1 ceph.osd --test        only show what would change
  stackmaster apply -G os:Debian ntp --pillar ntp:server=10.0.0.1
  stackmaster apply --plan plan.json            what `plan … --out plan.json` foretold, or nothing
  stackmaster apply --local --states /srv/states ntp    this host, without a master
"""

PLAN_HELP = """Show what apply would change on the minions that TARGET means, and touch nothing.

\b
  stackmaster plan 'osd*' ceph.conf
  stackmaster plan '*' --exit-code              3 when something is pending
  stackmaster plan '*' --out plan.json          keep it; `apply --plan plan.json` applies exactly that

+ create, ~ change, - remove, ! restart, > run, ? not known until applied.
"""


def _shared(command: Any) -> Any:
    """The options that apply and plan have in common."""
    options = [
        click.option("--env", "environment", default="base", show_default=True, help="The environment of the SLS."),
        click.option("--timeout", type=SPAN, default=None, help="How long it may take (an hour); then exit code 124."),
        click.option("--answer-within", type=SPAN, default=ANSWER_WITHIN, show_default="30s",
                     help="How long a minion may take to begin; then it is told not to."),
        click.option("--detach", is_flag=True, help="Print the job's id and do not wait."),
        click.option("--local", is_flag=True, help="Without a master: compile here and apply to this host."),
        place_options,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command("apply", help=APPLY_HELP)
@click.argument("words", nargs=-1, metavar="TARGET [SLS]...", shell_complete=MINIONS)
@target_kinds
@click.option("--test", "--dry-run", "test", is_flag=True, help="Show what would change and touch nothing.")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Apply the plan in FILE, if a dry run still foretells the same; else exit with 7.",
)
@pillar_option
@_shared
@common
def apply(words: tuple[str, ...], test: bool, plan_file: Path | None, **given: Any) -> int:
    """Apply; the exit code is exits.of_job's."""
    if plan_file is not None:
        from master.cli.planfile import apply_plan

        if words or test or given["local"] or given["kind"] or given["pillar_words"]:
            raise InputError("--plan says the target, the states and the pillar already", help="leave out all others")
        return apply_plan(current(), plan_file, patience=given["answer_within"], detach=given["detach"])
    return _apply(words, test=test, exit_code=False, **given)


@click.command("plan", help=PLAN_HELP)
@click.argument("words", nargs=-1, metavar="TARGET [SLS]...", shell_complete=MINIONS)
@target_kinds
@click.option("--exit-code", is_flag=True, help="Exit with 3 when something would change.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the plan in FILE for `apply --plan`; `-o FILE` too.",
)
@pillar_option
@_shared
@common
def plan(words: tuple[str, ...], exit_code: bool, out: Path | None, **given: Any) -> int:
    """A dry run; 0, or with --exit-code 3 when changes are pending."""
    return _apply(words, test=True, exit_code=exit_code, out=out or current().out, **given)


def _apply(
    words: tuple[str, ...], *, test: bool, exit_code: bool, kind: str | None, pillar_words: tuple[str, ...],
    environment: str, timeout: float | None, answer_within: float, detach: bool, local: bool, minion: str | None,
    states: tuple[Path, ...], pillar_dir: tuple[Path, ...], grains: Path | None, root: Path | None,
    functions: tuple[str, ...], keyring: Path | None,
    strict: bool, out: Path | None = None,
) -> int:  # fmt: skip
    if out is not None and (local or detach):
        raise InputError("a plan is kept by a master, and only once it is made", help="without --local and --detach")
    if local:
        from master.cli.local import apply_here

        folders, overlaid = local_pillar(pillar_dir, pillar_words)
        place = Place(minion, states, folders, grains, root, environment, overlaid, strict, functions, keyring)
        return apply_here(current(), place, sls_names(words), test=test, exit_code=exit_code)
    if Place(minion, states, pillar_dir, grains, root, strict=strict, functions=functions, keyring=keyring).named:
        named = "--id, --states, --pillar-dir, --grains, --root and --strict-requisites"
        raise InputError(f"{named} belong to --local", help="add --local; a master has strict_requisites of its own")
    if not words:
        raise InputError("a target is missing", help="stackmaster apply 'osd*' ceph.conf; '*' means every minion")
    request: dict[str, Any] = {
        "target": words[0], "target_kind": kind or "compound", "kind": "apply", "sls": list(sls_names(words[1:])),
        "environment": environment, "pillar": arguments.pillar(pillar_words), "test": test,
        **({"timeout": timeout} if timeout else {}),
    }  # fmt: skip
    if out is not None:
        from master.cli.planfile import keep_plan

        return keep_plan(current(), request, out, timeout=timeout, patience=answer_within, exit_code=exit_code)
    return start(current(), request, timeout=timeout, patience=answer_within, detach=detach, exit_code=exit_code)


def sls_names(words: tuple[str, ...]) -> tuple[str, ...]:
    """Names of SLS files; `a,b` names two, as in Salt."""
    return tuple(name for word in words for name in word.split(",") if name)


def local_pillar(folders: tuple[Path, ...], words: tuple[str, ...]) -> tuple[tuple[Path, ...], dict[str, Data]]:
    """The pillar trees and the pillar laid over: a word of --pillar that is a folder is a tree."""
    trees = [Path(word) for word in words if "=" not in word and Path(word).is_dir()]
    rest = [word for word in words if Path(word) not in trees]
    return (*folders, *trees), arguments.pillar(rest)
