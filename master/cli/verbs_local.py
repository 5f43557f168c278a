"""`stackmaster compile`: what SLS files come to, without touching anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from master.cli import arguments, exits
from master.cli.local import Place, chunks_document, compile_here, low_here, place_options
from master.cli.options import common, current, pillar_option
from master.cli.verbs_apply import local_pillar, sls_names
from protocol.errors import InputError

HELP = """Compile SLS files (or, without any, the highstate) and print the chunks in execution order.

\b
  stackmaster compile --minion osd1 ceph.conf              as the master would for osd1
  stackmaster compile --states /srv/states ceph.conf       without a master, for this host
  stackmaster compile --states . --id osd1 --grains g.yaml --pillar ./pillar -o json
  stackmaster compile --states . --explain ceph.conf       where each argument came from

For a program (json, ndjson, yaml) these are Salt's low chunks, as `state.show_low_sls` shows them.
"""


@click.command("compile", help=HELP)
@click.argument("sls", nargs=-1, metavar="[SLS]...")
@click.option("--minion", "asked", default=None, help="Ask the master to compile for this minion.")
@place_options
@pillar_option
@click.option("--env", "environment", default="base", show_default=True, help="The environment of the SLS.")
@click.option("--explain", is_flag=True, help="Say where each argument came from: file, line, extend, use, pillar key.")
@common
def compile_(
    sls: tuple[str, ...], asked: str | None, minion: str | None, states: tuple[Path, ...],
    pillar_dir: tuple[Path, ...], grains: Path | None, root: Path | None,
    functions: tuple[str, ...], keyring: Path | None, pillar_words: tuple[str, ...],
    environment: str, strict: bool, explain: bool,
) -> int:  # fmt: skip
    """Print the chunks. Raises SlsError (exit 2) with file and line."""
    invocation = current()
    if asked is not None:
        if minion or states or pillar_dir or grains or root or strict:
            named = "--id, --states, --pillar-dir, --grains and --strict-requisites"
            raise InputError(f"--minion asks the master; {named} work without one")
        request = {
            "minion": asked, "sls": list(sls_names(sls)), "pillar": arguments.pillar(pillar_words),
            "environment": environment, **({"explain": True} if explain else {}),
            **({"low": True} if invocation.screen.machine and not explain else {}),
        }  # fmt: skip
        with invocation.client() as client:
            found = client.call("compile", request)
        return _low(found) if "low" in request else _print(found)
    folders, overlaid = local_pillar(pillar_dir, pillar_words)
    place = Place(minion, states, folders, grains, root, environment, overlaid, strict, functions, keyring)
    place = replace(place, config=invocation.config)
    if invocation.screen.machine and not explain:
        return _low({"minion": place.id, **low_here(place, sls_names(sls)).document()})
    return _print(chunks_document(compile_here(place, sls_names(sls), explain=explain), place.id))


def _low(found: dict[str, Any]) -> int:
    """Print the low chunks; what refuses them is in the document, and the exit code says so."""
    current().screen.document("stackmaster.low/1", found)
    return exits.USAGE if found["errors"] else exits.DONE


def _print(found: dict[str, Any]) -> int:
    screen = current().screen
    for warning in found.get("warnings") or ():
        screen.talk(f"warning: {warning}", "warn")
    if screen.machine:
        screen.document("stackmaster.chunks/1", found)
        return exits.DONE
    for number, chunk in enumerate(found["chunks"]):
        place = f"{chunk['file'] or chunk['sls']}:{chunk['line']}"
        about = "" if chunk["id"] == chunk["name"] else f" [{chunk['name']}]"
        screen.data(screen.style(f"{number}  {chunk['state']}.{chunk['fun']}  {chunk['id']}{about}  ({place})", "head"))
        for key, value in {**chunk["args"], **chunk["options"]}.items():
            screen.data(f"     {key}: {_short(value)}{_origin(chunk, key)}")
        for requisite in chunk["requisites"]:
            wanted = [str(target) for target in requisite["targets"]] + list(requisite["missing"])
            screen.data(f"     {requisite['kind']}: {', '.join(wanted)}")
    screen.talk(f"{len(found['chunks'])} chunks for {found['minion']}")
    return exits.DONE


def _origin(chunk: dict[str, Any], key: str) -> str:
    """Where an argument came from, as asked for with --explain."""
    origin = (chunk.get("origins") or {}).get(key)
    if not origin:
        return ""
    told = [f"{origin['file']}:{origin['line']}"]
    told += [origin["via"]] if origin.get("via") else []
    told += [f"pillar {origin['pillar']}"] if origin.get("pillar") else []
    told += [f"from {origin['imported']}"] if origin.get("imported") else []
    return f"   <- {', '.join(told)}"


def _short(value: Any) -> str:
    from master.cli.screen import as_json

    text = value if isinstance(value, str) else as_json(value)
    text = text.replace("\n", "⏎")
    return text if len(text) <= 160 else text[:159] + "…"
