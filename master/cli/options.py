"""The options that commands share, and the invocation that they fill."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from master.cli.client import Client
from master.cli.screen import FORMATS, Screen
from protocol.errors import ConfigError, InputError

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_SOCKET: Final = Path("/run/stackmaster/master.sock")
DEFAULT_CONFIG: Final = Path("/etc/stackmaster/master.yaml")

TARGET_KINDS: Final[Sequence[tuple[str, str, str, str]]] = (
    ("-C", "--compound", "compound", "TARGET joins matchers with and/or/not (the default)"),
    ("-L", "--list", "list", "TARGET is a list of ids, a,b,c"),
    ("-E", "--pcre", "pcre", "TARGET is a regular expression over ids"),
    ("-G", "--grain", "grain", "TARGET is a grain and a glob, os:Debian"),
    ("-P", "--grain-pcre", "grain_pcre", "TARGET is a grain and a regular expression"),
    ("-I", "--pillar-target", "pillar", "TARGET is a pillar key and a glob"),
    ("-J", "--pillar-pcre", "pillar_pcre", "TARGET is a pillar key and a regular expression"),
    ("", "--pillar-exact", "pillar_exact", "TARGET is a pillar key and a value"),
    ("", "--glob", "glob", "TARGET is a glob over ids, spaces included"),
    ("-N", "--nodegroup", "nodegroup", "TARGET is the name of a node group"),
    ("-S", "--ipcidr", "ipcidr", "TARGET is an address or a subnet"),
)


def _no_daemon(_config: Path | None) -> int:
    raise ConfigError("this program holds no daemon", help="run `stackmaster serve`")


@dataclass(slots=True)
class Invocation:
    """What the shared options of one command line say."""

    screen: Screen = field(default_factory=Screen)
    config: Path | None = None
    socket: Path | None = None
    out: Path | None = None
    serve: Callable[[Path | None], int] = _no_daemon

    def client(self) -> Client:
        """A connection to the master that the options, the environment or the configuration name."""
        return Client(self.socket_path())

    def socket_path(self) -> Path:
        """The master's socket. Raises ConfigError for a configuration that was named and cannot be used."""
        if self.socket is not None:
            return self.socket
        if "STACKMASTER_SOCKET" in os.environ:
            return Path(os.environ["STACKMASTER_SOCKET"])
        named = self.config_path()
        if named is None:
            return DEFAULT_SOCKET
        return socket_of(named)

    def config_path(self) -> Path | None:
        """The configuration to read: --config, STACKMASTER_CONFIG, or the default one when it can be read."""
        if self.config is not None:
            return self.config
        if "STACKMASTER_CONFIG" in os.environ:
            return Path(os.environ["STACKMASTER_CONFIG"])
        return DEFAULT_CONFIG if os.access(DEFAULT_CONFIG, os.R_OK) else None


def socket_of(path: Path) -> Path:
    """The socket that the master configured in `path` listens on. Raises ConfigError."""
    from master.config import load

    if path.is_dir():
        raise ConfigError(f"{path} is a folder", help="name the file, for example master.yaml in it")
    return load(path, os.environ).value.socket


def current() -> Invocation:
    """The invocation of the command that runs now."""
    found = click.get_current_context().find_object(Invocation)
    assert found is not None
    return found


def common(command: F) -> F:
    """Add the options of every command: output, talk, colours, and which master."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _set(change: Callable[[Invocation, Any], None]) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, given: Any) -> None:
        invocation = ctx.ensure_object(Invocation)
        if given is not None and given is not False and given != 0:
            change(invocation, given)

    return callback


if TYPE_CHECKING:
    ChoiceType = click.Choice[str]
    FloatType = click.ParamType[float]  # not generic at run time before click 8.2
else:
    ChoiceType = click.Choice
    FloatType = click.ParamType


class Output(ChoiceType):
    """A format; `plan` takes the name of a file too, for the plan (`-o plan.json`)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The format, or the path of the file."""
        planning = ctx is not None and ctx.command.name == "plan"
        if planning and value not in FORMATS and ("." in str(value) or "/" in str(value)):
            return Path(value)
        return super().convert(value, param, ctx)


def _output(invocation: Invocation, given: Any) -> None:
    if isinstance(given, Path):
        invocation.out = given
    else:
        invocation.screen.format = given


def _quiet(invocation: Invocation, _given: Any) -> None:
    invocation.screen.quiet = True


def _verbose(invocation: Invocation, given: Any) -> None:
    invocation.screen.verbose = given


def _colour(invocation: Invocation, _given: Any) -> None:
    invocation.screen.colour = False


def _config(invocation: Invocation, given: Any) -> None:
    invocation.config = given


def _socket(invocation: Invocation, given: Any) -> None:
    invocation.socket = given


_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option("-o", "--output", type=Output(FORMATS), expose_value=False, callback=_set(_output),
                 help="How to print the answer (table on a terminal and elsewhere)."),
    click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=_set(_quiet),
                 help="Only the answer: no progress, no hints."),
    click.option("-v", "--verbose", count=True, expose_value=False, callback=_set(_verbose),
                 help="Tell more; twice for all."),
    click.option("--no-color", is_flag=True, expose_value=False, callback=_set(_colour),
                 help="No colours (also NO_COLOR, TERM=dumb)."),
    click.option("--config", type=_PATH, expose_value=False, callback=_set(_config), metavar="FILE",
                 help="The master's configuration (also STACKMASTER_CONFIG)."),
    click.option("--socket", type=_PATH, expose_value=False, callback=_set(_socket), metavar="PATH",
                 help="The master's socket (also STACKMASTER_SOCKET)."),
)  # fmt: skip


def target_kinds(command: F) -> F:
    """Add Salt's flags that say what kind of expression TARGET is; the command gets `kind`."""
    for short, long, kind, help in reversed(TARGET_KINDS):
        command = click.option(*filter(None, (short, long)), "kind", flag_value=kind, default=None, help=help + ".")(
            command
        )
    return command


class Span(FloatType):
    """A span of time on the command line, in seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds from `90s`, `10m`, `2h`."""
        from master.cli.arguments import seconds

        if isinstance(value, int | float):
            return float(value)
        try:
            return seconds(str(value))
        except InputError as error:
            self.fail(f"{error.message}; {error.help}", param, ctx)


SPAN: Final = Span()


def pillar_option(command: F) -> F:
    """Add --pillar, as often as wanted."""
    help = "Pillar for this once: key=value (a:b=v nests), a JSON mapping, or @FILE (@- is standard input)."
    return click.option("--pillar", "pillar_words", multiple=True, metavar="K=V|JSON|@FILE", help=help)(command)


def completed(call: str, key: str, field_name: str) -> Callable[..., list[str]]:
    """A shell completion: what the API's `call` lists under `key`, by `field_name`, that begins as typed."""

    def complete(ctx: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        from protocol.errors import StackmasterError

        try:
            with (ctx.find_object(Invocation) or Invocation()).client() as client:
                items: Sequence[Mapping[str, Any]] = client.call(call, deadline=2.0).get(key, [])
        except StackmasterError:
            return []  # a completion that fails must not write into the line that is being typed
        return [name for item in items if (name := str(item.get(field_name, ""))).startswith(typed)]

    return complete


MINIONS: Final = completed("minions.list", "minions", "id")
JOBS: Final = completed("jobs.list", "jobs", "job")
RUNS: Final = completed("runs.list", "runs", "run")
KEYS: Final = completed("keys.list", "keys", "id")
