"""`stackmaster check`: what is wrong with a state tree, before any minion is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from master.cli import exits
from master.cli.options import common, current, pillar_option
from protocol.errors import InputError

if TYPE_CHECKING:
    from master.check.check import Report, Tree
    from master.check.findings import Severity
    from master.check.samples import Sample
    from master.cli.screen import Role

HELP = """Check the state tree in DIR (here, if none is named): every SLS file is compiled for sampled minions.

\b
  stackmaster check                                   this folder, with the grains of common systems
  stackmaster check /srv/states --pillar /srv/pillar
  stackmaster check . --grains osd1.yaml --grains mon1.yaml --pillar-dir ./pillar
  stackmaster check . --sls 'ceph*' --ignore py2 -o json

Each finding is a line  file:line:column: severity: message [code].

\b
Exit codes: 0 no error was found (with --strict no warning either), 1 some were, 2 usage.
"""

_ROLES: Final[dict[Severity, Role]] = {"error": "bad", "warning": "warn", "hint": "dim"}
_FILE = click.Path(path_type=Path)


@click.command("check", help=HELP)
@click.argument("folders", nargs=-1, type=_FILE, metavar="[DIR]...")
@click.option(
    "--pillar-dir", multiple=True, type=_FILE, metavar="DIR", help="The pillar tree; `--pillar DIR` is taken too."
)
@pillar_option
@click.option(
    "--grains",
    "grains_files",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="A minion to check with, by its grains (YAML or JSON; `id` names it); may be repeated.",
)
@click.option(
    "--sample", "names", multiple=True, metavar="NAME", help="Only this shipped sample (debian, ubuntu, centos, suse)."
)
@click.option("--nodegroups", type=_FILE, default=None, metavar="FILE", help="The node groups that top files name.")
@click.option("--sls", "only", multiple=True, metavar="GLOB", help="Only these SLS files.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not these SLS names or files.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave out findings of this code; may be repeated.")
@click.option("--strict", is_flag=True, help="Warnings count as errors do.")
@common
def check(
    folders: tuple[Path, ...], pillar_dir: tuple[Path, ...], pillar_words: tuple[str, ...],
    grains_files: tuple[Path, ...], names: tuple[str, ...], nodegroups: Path | None, only: tuple[str, ...],
    exclude: tuple[str, ...], ignore: tuple[str, ...], strict: bool,
) -> int:  # fmt: skip
    """Print what is found; 1 when something must be mended."""
    from master.check.check import Tree, check_tree
    from master.cli.arguments import mapping_file
    from master.cli.verbs_apply import local_pillar

    trees, overlaid = local_pillar(pillar_dir, pillar_words)
    states = folders or (Path(),)
    for folder in (*states, *trees):
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder", help="name the folder that holds the SLS files")
    groups = mapping_file(nodegroups) if nodegroups is not None else {}
    tree = Tree(states, trees, overlaid, groups, only, exclude)
    report = check_tree(tree, _samples(grains_files, names))
    report.findings.remove(ignore)
    _print(report, tree)
    failed = report.findings.count("error") + (report.findings.count("warning") if strict else 0)
    return exits.UNABLE if failed else exits.DONE


def _samples(files: tuple[Path, ...], names: tuple[str, ...]) -> list[Sample]:
    from master.check.samples import given, sample_names, sampled
    from master.cli.arguments import mapping_file

    for name in names:
        if name not in sample_names():
            raise InputError(f"there is no sample {name!r}", help=f"there is {', '.join(sample_names())}")
    own = [given(mapping_file(file), file.stem) for file in files]
    return own + (sampled(names) if names or not own else [])


def _print(report: Report, tree: Tree) -> None:
    screen = current().screen
    findings = report.findings
    counts = {severity: findings.count(severity) for severity in _ROLES}
    if screen.machine:
        screen.document(
            "stackmaster.check/1",
            {
                "files": report.files, "samples": list(report.samples),
                "errors": counts["error"], "warnings": counts["warning"], "hints": counts["hint"],
                "findings": [dict(finding.data()) for finding in findings.all()],
            },
        )  # fmt: skip
        return
    for finding in findings.all():
        screen.data(screen.style(finding.text(), _ROLES[finding.severity]))
    told = ", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items())
    where = ", ".join(map(str, tree.states))
    screen.talk(f"{report.files} SLS files in {where} with {', '.join(report.samples)}: {told}")
