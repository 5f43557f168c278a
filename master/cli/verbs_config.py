"""`stackmaster config`: is the configuration right, and where does each setting come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from master.cli import exits
from master.cli.app import Verbs
from master.cli.options import DEFAULT_CONFIG, common, current

HELP = """Configuration: check it, or show what holds and where it was said.

\b
  stackmaster config check
  stackmaster config check --config ./master.yaml
  stackmaster config show --origin
"""


@click.group(cls=Verbs, help=HELP)
@common
def config() -> None:
    """The group `config`."""


def _path() -> Path:
    invocation = current()
    if invocation.config is not None:
        return invocation.config
    return Path(os.environ.get("STACKMASTER_CONFIG", DEFAULT_CONFIG))


@config.command("check", help="Read the configuration and say whether it can be used.\n\n\b\n"
                "  stackmaster config check --config ./master.yaml")  # fmt: skip
@click.option("--daemon", type=click.Choice(["master"]), default="master", help="Whose configuration.")
@common
def check(daemon: str) -> int:
    """Print that the configuration is right. Raises ConfigError (exit 2)."""
    from master.config import load

    path = _path()
    loaded = load(path, os.environ)
    screen = current().screen
    if screen.machine:
        screen.document("stackmaster.config-check/1", {"daemon": daemon, "file": str(path), "ok": True})
    else:
        screen.data(f"{path} is right: {len(loaded.origins)} settings, the rest are defaults")
    return exits.DONE


@config.command("show", help="The settings that hold.\n\n\b\n  stackmaster config show --origin")
@click.option("--daemon", type=click.Choice(["master"]), default="master", help="Whose configuration.")
@click.option("--origin", is_flag=True, help="Say where each one was set.")
@common
def show(daemon: str, origin: bool) -> int:
    """Print every setting. Raises ConfigError (exit 2)."""
    from master.config import load

    loaded = load(_path(), os.environ)
    settings: Any = loaded.value
    values = {one.name: _plain(getattr(settings, one.name)) for one in fields(settings)}
    screen = current().screen
    if screen.machine:
        origins = {name: loaded.origins.get(name, "default") for name in values}
        screen.document("stackmaster.config/1", {"daemon": daemon, "settings": values, "origins": origins})
        return exits.DONE
    if origin:
        rows = [(name, _text(value), loaded.origins.get(name, "default")) for name, value in values.items()]
        screen.table(("KEY", "VALUE", "FROM"), rows)
        return exits.DONE
    for name, value in values.items():
        screen.data(f"{name}: {_text(value)}")
    return exits.DONE


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _text(value: Any) -> str:
    from master.cli.screen import as_json

    return value if isinstance(value, str) else as_json(value)
