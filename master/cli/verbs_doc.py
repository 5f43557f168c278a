"""`stackmaster doc`: what states and functions there are, and their arguments, from their declarations."""

from __future__ import annotations

from typing import Any

import click

from master.cli import exits
from master.cli.options import common, current
from protocol.errors import ArgumentError

HELP = """Describe a state or function, a whole family, or list all there are.

\b
  stackmaster doc file.managed
  stackmaster doc pkg
  stackmaster doc
"""


@click.command(help=HELP)
@click.argument("name", required=False)
@common
def doc(name: str | None) -> int:
    """Print documentation. Raises ArgumentError for a name that does not exist."""
    screen = current().screen
    found = describe(name)
    if screen.machine:
        screen.records("stackmaster.doc/1", "entries", found)
        return exits.DONE
    if len(found) > 1 or name is None:
        rows = [(entry["name"], entry["what"], entry["doc"].partition("\n")[0]) for entry in found]
        screen.table(("NAME", "WHAT", "DOES"), rows)
        return exits.DONE
    for entry in found:
        _print(entry)
    return exits.DONE


def describe(name: str | None) -> list[dict[str, Any]]:
    """The states and functions called `name`, of the family `name`, or all of them. Raises ArgumentError."""
    from states import registry

    states, functions = registry.state_names(), registry.function_names()
    found: list[dict[str, Any]] = []
    for one in states:
        if _meant(one, name):
            found.append(_entry(one, "state", registry.find_state(one)))
    for one in functions:
        if _meant(one, name):
            found.append(_entry(one, "function", registry.find_function(one)))
    if not found and name is not None:
        import difflib

        close = difflib.get_close_matches(name, {*states, *functions}, n=1)
        help = f"did you mean {close[0]!r}?" if close else "`stackmaster doc` lists them all"
        raise ArgumentError(f"there is no state or function {name!r}", help=help)
    return found


def _meant(one: str, name: str | None) -> bool:
    return name is None or one == name or one.partition(".")[0] == name


def _entry(name: str, what: str, found: Any) -> dict[str, Any]:
    parameters = [
        {
            "name": parameter.name,
            "required": parameter.required,
            "default": None if parameter.required else repr(parameter.default),
            "type": getattr(parameter.type, "__name__", str(parameter.type)).replace("typing.", ""),
        }
        for parameter in found.signature.parameters.values()
    ]
    access = {"access": found.access} if what == "function" else {}
    return {"name": name, "what": what, "doc": found.doc, "arguments": parameters, **access}


def _print(entry: dict[str, Any]) -> None:
    screen = current().screen
    screen.data(screen.style(f"{entry['name']}  ({entry['what']})", "head"))
    screen.data("")
    screen.data(entry["doc"] or "(no description)")
    arguments = entry["arguments"]
    if entry["what"] == "state":
        arguments = [{"name": "name", "required": True, "default": None, "type": "str"}, *arguments]
    if arguments:
        screen.data("\nArguments:")
    for argument in arguments:
        default = "required" if argument["required"] else f"default {argument['default']}"
        screen.data(f"  {argument['name']}: {argument['type']}, {default}")
