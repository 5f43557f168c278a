"""Without a master: compile a state tree here and apply it to this host."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from master.cli import exits, summary
from master.cli.client import Event
from master.cli.follow import Followed
from master.cli.options import Invocation
from master.cli.painter import Painter, painter
from master.cli.progress import Progress
from master.cli.verbs_exec import finish
from protocol.errors import ConfigError, InputError, StateError

if TYPE_CHECKING:
    from master.compiler.here import Here
    from master.compiler.lowstate import LowState
    from master.compiler.request import Compiled, CompilerOptions, Request, Roots
    from protocol.assignment import Custom
    from protocol.data import Data
    from states.context import Context
    from states.custom.loader import Loader

F = TypeVar("F", bound=Callable[..., Any])

_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class Place:
    """What --local works with: the id, the trees, grains from a file instead of this host's, the root of paths, and
    whether a reference that no state answers to refuses the whole (else only the state that has it fails); functions
    that templates may call though they do more than read; the folder of gpg's keys; a master's configuration, for its
    node groups, its sources of pillar and, when no trees are named, its trees."""

    minion: str | None = None
    states: tuple[Path, ...] = ()
    pillar: tuple[Path, ...] = ()
    grains: Path | None = None
    root: Path | None = None
    environment: str = "base"
    overlaid: Mapping[str, Data] = field(default_factory=dict)
    strict: bool = False
    functions: tuple[str, ...] = ()
    keyring: Path | None = None
    config: Path | None = None

    @property
    def named(self) -> bool:
        """Whether anything was said that only --local can use."""
        more = self.strict or self.functions or self.keyring
        return bool(self.minion or self.states or self.pillar or self.grains or self.root or more)

    @property
    def id(self) -> str:
        """The minion id: as given, or this host's name."""
        return self.minion or socket.gethostname().lower()


def place_options(command: F) -> F:
    """Add the options that say what --local works with."""
    options = (
        click.option("--id", "minion", default=None, help="The minion id (this host's name)."),
        click.option("--states", multiple=True, type=_FOLDER, metavar="DIR", help="The state tree; may be repeated."),
        click.option("--pillar-dir", multiple=True, type=_FOLDER, metavar="DIR",
                     help="The pillar tree; `--pillar DIR` is taken too."),
        click.option("--grains", type=_FOLDER, default=None, metavar="FILE",
                     help="Grains from a YAML or JSON file instead of this host's."),
        click.option("--allow-function", "functions", multiple=True, metavar="NAME",
                     help="Let templates call a function that does more than read, as cmd.run; may be repeated."),
        click.option("--gpg-keyring", "keyring", type=_FOLDER, default=None, metavar="DIR",
                     help="The gpg keys for files of the renderer gpg."),
        click.option("--root", type=_FOLDER, default=None, metavar="DIR",
                     help="Where the paths of states begin, instead of /."),
        click.option("--strict-requisites", "strict", is_flag=True,
                     help="Refuse all when a requisite names nothing (Salt 3008); else that state alone fails."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def compile_here(place: Place, sls: tuple[str, ...], *, explain: bool = False, strict_states: bool = True) -> Compiled:
    """The assignment for `place`, of `sls` or of its top file; with `explain`, where each argument came from.

    Not `strict_states`, a state that is not known fails alone when it is applied. Raises SlsError, InputError.
    """
    from master.compiler.compile import compile_assignment

    request = replace(_request(place, sls), explain=explain)
    request = replace(request, options=replace(request.options, strict_states=strict_states))
    return compile_assignment(request, answers_here(place))


def low_here(place: Place, sls: tuple[str, ...]) -> LowState:
    """The low chunks for `place` as Salt shows them, or why there are none. Raises InputError."""
    from master.compiler.compile import compile_low

    return compile_low(_request(place, sls), answers_here(place))


def _request(place: Place, sls: tuple[str, ...]) -> Request:
    from master.compiler.request import CompilerOptions, Request, Roots

    for folder in (*place.states, *place.pillar):
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder", help="--states and --pillar-dir name the trees")
    environment = place.environment
    roots, options = Roots({environment: place.states}, {environment: place.pillar}), CompilerOptions()
    groups: Mapping[str, Data] = {}
    if place.config is not None:
        roots, options, groups = _configured(place.config, roots)
    if not any(roots.states.values()):
        raise InputError("the state tree is missing", help="name it with --states DIR")
    return Request(
        minion=place.id, grains=_grains(place), roots=roots, sls=sls, environment=environment,
        pillar_override=place.overlaid, nodegroups=groups,
        options=replace(options, strict_requisites=place.strict),
    )  # fmt: skip


def _configured(path: Path, roots: Roots) -> tuple[Roots, CompilerOptions, Mapping[str, Data]]:
    """The trees (those named win), options and node groups of a master's configuration. Raises ConfigError."""
    from master.compiler.request import CompilerOptions, Roots
    from master.compiler.secretwords import SECRET_WORDS
    from master.compiler.trees import TreeOptions
    from master.config import load

    settings = load(path, os.environ).value
    words = settings.secret_words or SECRET_WORDS
    states = roots.states if any(roots.states.values()) else settings.file_roots
    pillar = roots.pillar if any(roots.pillar.values()) else settings.pillar_roots
    options = CompilerOptions(secret_words=words, trees=TreeOptions.of(settings))
    return Roots(states, pillar, settings.formulas), options, settings.nodegroups


def answers_here(place: Place) -> Here:
    """Who answers what templates ask: this host."""
    from master.compiler.here import Here
    from states.context import Context

    context = Context(minion=place.id, grains=_grains(place), root=place.root or Path("/"))
    return Here(context, place.functions, place.keyring)


def _grains(place: Place) -> dict[str, Data]:
    from master.cli.arguments import mapping_file

    if place.grains is not None:
        return {**mapping_file(place.grains), "id": place.id}
    from states.host.grains import gather

    return {**gather(), "id": place.id}


def apply_here(
    invocation: Invocation, place: Place, sls: tuple[str, ...], *, test: bool, exit_code: bool = False
) -> int:
    """Compile and apply (with `test`: foretell), show it as a job of one minion; gives the exit code."""
    compiled = compile_here(place, sls, strict_states=False)
    for warning in compiled.warnings:
        invocation.screen.talk(f"warning: {warning}", "warn")
    paint = painter(invocation.screen)
    teller = _Teller(place.id, paint)
    teller.tell("new", kind="apply", sls=list(sls), target=place.id, test=test, minions=[place.id])
    try:
        with tempfile.TemporaryDirectory(prefix="stackmaster-") as folder:
            states = _carry_out(compiled, place, Path(folder), teller, test=test)
    except KeyboardInterrupt:
        return exits.LEFT
    finally:
        paint.close()
    teller.tell(f"minion/{place.id}/state", state=states, reason="")
    teller.tell("ended", states={place.id: states})
    return finish(invocation, Followed(teller.progress, "ended"), summary.LOCAL, exit_code=exit_code)


@dataclass(slots=True)
class _Teller:
    """Tells of a local apply in the events of a master."""

    minion: str
    paint: Painter
    progress: Progress = field(default_factory=Progress)

    def tell(self, what: str, **data: Any) -> None:
        """Feed one event of the job and draw."""
        event = Event(f"job/{summary.LOCAL}/{what}", data, time.time())
        self.paint.event(event, self.progress.feed(event))
        self.paint.draw(self.progress)


def _carry_out(compiled: Compiled, place: Place, folder: Path, teller: _Teller, *, test: bool) -> str:
    from master.store.jobrows import step_data
    from protocol.results import Progress as StepProgress
    from protocol.results import StepStarted
    from states.context import Context
    from states.engine import apply

    def emit(told: StepProgress) -> None:
        base = f"minion/{place.id}/step"
        if isinstance(told, StepStarted):
            teller.tell(
                f"{base}/started", index=told.index, total=told.total, id=told.id, name=told.name,
                function=told.function,
            )  # fmt: skip
        else:
            teller.tell(f"{base}/ended", index=told.index, result=step_data(told.result))

    blobs = _contents(compiled, folder)
    state_dir = place.root / "var/lib/stackmaster/local" if place.root else Path("/var/lib/stackmaster/local")
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{state_dir} cannot be made: {error.strerror}", help="run as root, or with --root") from None
    context = Context(
        minion=place.id, grains=_grains(place), root=place.root or Path("/"), state_dir=state_dir,
        blob_path=blobs,
    )  # fmt: skip
    results = apply(compiled.assignment, context, emit, test=test, load=_own_code)
    return "failed" if any(result.result is False for result in results) else "succeeded"


def _own_code(custom: Custom, context: Context) -> Loader:
    """The tree's own code, for the context of its states."""
    from states.custom.loader import load
    from states.engine import apply

    return load(custom, context, apply)


def _contents(compiled: Compiled, folder: Path) -> Callable[..., Path]:
    """Where the contents lie: in the tree, or written below `folder` (0700)."""
    paths: dict[str, Path] = {}
    for digest, content in compiled.blobs.items():
        if isinstance(content, Path):
            paths[digest] = content
            continue
        path = folder / digest
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        paths[digest] = path

    def find(ref: Any) -> Path:
        try:
            return paths[ref.digest]
        except KeyError:
            raise StateError(f"the content {ref.digest[:12]} was not compiled") from None

    return find


def chunks_document(compiled: Compiled, minion: str) -> dict[str, Any]:
    """The chunks of an assignment, secrets masked, as the API's `compile` tells them."""
    from master.compiling import chunks_data
    from protocol.secrets import Scrubber

    scrubber = Scrubber(compiled.assignment.secrets)
    chunks = chunks_data(compiled)
    return {"minion": minion, "chunks": scrubber.data(chunks), "warnings": scrubber.data(list(compiled.warnings))}
