"""Whether a chunk's `onlyif`, `unless` and `creates` let it be called, what its `check_cmd` says, how often to retry.

Salt's rules: https://docs.saltproject.io/en/latest/ref/states/requisites.html, confirmed by running Salt 3008.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.assignment import Chunk
from protocol.data import Data
from protocol.errors import StateError
from states import registry
from states.context import Context
from states.host import process, shell

CHECK_SUCCEEDED: Final = "check_cmd determined the state succeeded"
CHECK_FAILED: Final = "check_cmd determined the state failed"

MAX_ATTEMPTS: Final = 1000
"""Calls of one state that a retry may ask for."""
MAX_INTERVAL: Final = 86400
"""Seconds between two calls that a retry may ask for."""


@dataclass(frozen=True, slots=True)
class _Condition:
    skip: bool
    comment: str


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` calls at most, `interval` seconds apart and up to `splay` more, until the result is `until`; and
    within `deadline` seconds altogether, when one is given."""

    attempts: int = 2
    until: bool = True
    interval: float = 30
    splay: float = 0
    deadline: float | None = None

    @property
    def foretold(self) -> str:
        """What a dry run says of it."""
        return (
            f"The state would be retried every {self.interval:g} seconds (with a splay of up to {self.splay:g} seconds)"
            f" a maximum of {self.attempts} times or until a result of {self.until} is returned"
        )


def skip_reason(ctx: Context, chunk: Chunk) -> str | None:
    """Why the state is not called, or None when it is. Raises StateError or ArgumentError for a broken condition."""
    told: list[_Condition] = []
    if "onlyif" in chunk.options:
        told.append(_onlyif(ctx, chunk))
    if "unless" in chunk.options:
        told.append(_unless(ctx, chunk))
    if "creates" in chunk.options:
        told.append(_creates(ctx, chunk.options["creates"]))
    if not any(condition.skip for condition in told):
        return None
    return "\n".join(condition.comment for condition in told)


def check(ctx: Context, chunk: Chunk) -> bool | None:
    """Whether every command of `check_cmd` exits 0; None when the chunk has none."""
    if "check_cmd" not in chunk.options:
        return None
    return all(_status(ctx, str(command), chunk) == 0 for command in _listed(chunk.options["check_cmd"]))


def retry(option: Data) -> Retry:
    """The `retry` option as Salt reads it: True, False or a mapping; values of a wrong type fall back to defaults.

    Numbers are held within MAX_ATTEMPTS and MAX_INTERVAL, so that no state waits for ever.
    """
    if option is None or option is False:
        return Retry(attempts=1 if option is None else 0)
    given = option if isinstance(option, Mapping) else {}
    usual = Retry()
    until, deadline = given.get("until"), given.get("deadline")
    return Retry(
        attempts=int(_number(given.get("attempts"), usual.attempts, MAX_ATTEMPTS)),
        until=until if isinstance(until, bool) else usual.until,
        interval=_number(given.get("interval"), usual.interval, MAX_INTERVAL),
        splay=_number(given.get("splay"), usual.splay, MAX_INTERVAL),
        deadline=None if deadline is None else _number(deadline, MAX_INTERVAL, MAX_ATTEMPTS * MAX_INTERVAL),
    )


def _number(value: Data, default: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return max(0.0, min(value, most))


def _onlyif(ctx: Context, chunk: Chunk) -> _Condition:
    """Every entry must exit 0 or be true. What is neither command nor function lets the state be called."""
    for entry in _listed(chunk.options["onlyif"]):
        if isinstance(entry, str):
            holds = _status(ctx, entry, chunk, missing=100) == 0
        elif isinstance(entry, Mapping):
            if "fun" not in entry:
                return _Condition(False, f"no `fun` argument in onlyif: {entry}")
            holds = bool(_value(ctx, entry))
        else:
            return _Condition(False, "onlyif execution failed, bad type passed")
        if not holds:
            return _Condition(True, "onlyif condition is false")
    return _Condition(False, "onlyif condition is true")


def _unless(ctx: Context, chunk: Chunk) -> _Condition:
    """Skip when every entry exits 0 or is true; a command that cannot be executed counts as true."""
    for entry in _listed(chunk.options["unless"]):
        if isinstance(entry, str):
            holds = _status(ctx, entry, chunk, missing=0) == 0
        elif isinstance(entry, Mapping):
            if "fun" not in entry:
                return _Condition(False, f"no `fun` argument in unless: {entry}")
            holds = bool(_value(ctx, entry))
        else:
            return _Condition(False, "unless condition is false, bad type passed")
        if not holds:
            return _Condition(False, "unless condition is false")
    return _Condition(True, "unless condition is true")


def _creates(ctx: Context, option: Data) -> _Condition:
    paths = [str(path) for path in _listed(option)]
    if not paths or not all(ctx.path(path).exists() for path in paths):
        return _Condition(False, "Creates files not found")
    return _Condition(True, f"{option} exists" if isinstance(option, str) else "All files in creates exist")


def _value(ctx: Context, entry: Mapping[str, Data]) -> Data:
    """What the function of an entry gives: `{fun: file.file_exists, args: [/etc/x], get_return: a:b, …}`."""
    name = str(entry["fun"])
    function = registry.find_function(name, ctx.custom)
    if ctx.test and function.access == "changes":
        raise StateError(f"{name} changes the host, so that a dry run cannot ask it", help="ask with one that reads")
    kwargs = {key: value for key, value in entry.items() if key not in ("fun", "args", "get_return")}
    value = registry.invoke(function, ctx, _listed(entry.get("args")), kwargs)
    for part in str(entry.get("get_return") or "").split(":"):
        if part:
            value = _inside(value, part)
    return value


def _inside(value: Data, part: str) -> Data:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
        found: Data = value[int(part)]
        return found
    return None


def _status(ctx: Context, command: str, chunk: Chunk, *, missing: int = 127) -> int:
    """The exit status of a shell command; 0 also for one of `success_retcodes`; `missing` when there is no shell."""
    try:
        completed = shell.complete(ctx, command, _shell(chunk))
    except process.CommandMissing:
        return missing
    return 0 if shell.succeeded(completed, _listed(_option(chunk, "success_retcodes"))) else completed.status


def _shell(chunk: Chunk) -> shell.Shell:
    """How the commands of the conditions are run: as those of the state."""
    text = {name: str(_option(chunk, name) or "") for name in ("cwd", "root", "runas", "prepend_path")}
    timeout = _option(chunk, "timeout")
    return shell.Shell(
        shell=str(_option(chunk, "shell") or "/bin/sh"),
        env=shell.environment(_option(chunk, "env")),
        umask=str(_option(chunk, "umask") or "022"),
        timeout=float(timeout) if isinstance(timeout, int | float) and not isinstance(timeout, bool) else None,
        **text,
    )


def _option(chunk: Chunk, name: str) -> Data:
    """What the state says about how to run commands, unless `cmd_opts_exclude` keeps it to the state itself."""
    if name in _listed(chunk.options.get("cmd_opts_exclude")):
        return None
    return chunk.options.get(name, chunk.args.get(name))


def _listed(value: Data) -> Sequence[Data]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
